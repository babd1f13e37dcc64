"""Results compared with those of a run without faults: which rows are lost, and which are not what they should be."""

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import h5py

Key = tuple[int, int, str, int]  # CSV row, TARGETID, program, pix64

OF_A_RUN = ("created", "git_commit", "made_from")
"""Attributes that say when a file was made, and from what: the rows of one pixel tell nothing of the others'."""


@dataclass
class Comparison:
    """What was found.

    Attributes
    ----------
    rows, lost, wrong
        Per NSIDE=64 pixel: rows without faults (assembled spectra, and the ledger's lines); those of them that are not
        there; those that differ, and any that should not be there.
    files
        Extracted files that were compared, and are the same byte for byte.
    """

    rows: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    wrong: Counter[int] = field(default_factory=Counter)
    files: int = 0

    def figures(self, pixels: Collection[int] | None = None) -> tuple[int, int, int]:
        """Return rows, lost and wrong, of some pixels or of all."""
        return tuple(  # type: ignore[return-value]
            sum(n for pixel, n in counts.items() if pixels is None or pixel in pixels)
            for counts in (self.rows, self.lost, self.wrong)
        )


def compare(results: Path, sound: Path) -> Comparison:
    """Compare all of a run's results with those of a run without faults."""
    found = Comparison()
    expected, there = spectra(sound), spectra(results)
    for key, digest in expected.items():
        found.rows[key[3]] += 1
        found.lost[key[3]] += key not in there
        found.wrong[key[3]] += key in there and there[key] != digest
    for key in set(there) - set(expected):
        found.wrong[key[3]] += 1
    expected_lines, lines = ledger(sound), ledger(results)
    for row, line in expected_lines.items():
        pixel = int(line.split(",")[5] or -1)
        found.rows[pixel] += 1
        found.lost[pixel] += row not in lines
        found.wrong[pixel] += row in lines and lines[row] != line
    for path in sorted((sound / "desi/extracted").glob("*/*.hdf5")):
        other = results / path.relative_to(sound)
        found.files += other.exists() and other.read_bytes() == path.read_bytes()
    return found


def spectra(results: Path) -> dict[Key, bytes]:
    """Return a digest of every assembled row, in all datasets; and check the attributes and what is not by rows."""
    digests: dict[Key, bytes] = {}
    for path in sorted((results / "desi_crossmatches").glob("*/*.hdf5")):
        with h5py.File(path) as file:
            n = len(file["desi/targetid"])
            about = {name: value for name, value in file.attrs.items() if name not in OF_A_RUN}
            common = hashlib.blake2b(repr(sorted(about.items())).encode())
            made = [hashlib.blake2b() for _ in range(n)]
            for group in sorted(file):
                for name, dataset in sorted(file[group].items()):
                    values = dataset[:]
                    if name == "spectrum_lambda" or name.endswith("_lambda"):
                        common.update(values.tobytes())
                        continue
                    assert len(values) == n, (path, name)
                    for digest, value in zip(made, values, strict=True):
                        digest.update(name.encode())
                        digest.update(value if isinstance(value, bytes) else value.tobytes())
            rows = zip(
                *(file[name][:].tolist() for name in ("chandra/row", "desi/targetid", "desi/program", "desi/pix64")),
                strict=True,
            )
            for (row, targetid, program, pix64), digest in zip(rows, made, strict=True):
                digest.update(common.digest())
                key = (row, targetid, program.decode(), pix64)
                assert key not in digests, f"{path}: {key} is there twice"
                digests[key] = digest.digest()
    return digests


def ledger(results: Path) -> dict[int, str]:
    """Return the ledger's lines by CSV row; none if there is no ledger."""
    path = results / "desi/ledger.csv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return {int(line.partition(",")[0]): line for line in lines}
