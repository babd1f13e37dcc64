"""How many CSV rows have a spectrum within a radius, counted from the HDF5 files alone.

An independent check of a run: distances are computed again from positions, not with `skyharvest.sky.matching`, and
without ``separation_arcsec``, plan and ledger. Reads ``healpix=N/crossmatch_*.hdf5`` (N: NSIDE=16, NESTED) of any
survey, and files of an older layout, in which ``/desi`` has the fibers' positions as ``edr_sv3_ra`` and
``edr_sv3_dec``, and which are counted against the CSV.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest import assembled
from skyharvest.harvest.manifest import check_alike, meaning_of, read_manifest

OLDER = ("desi", "edr_sv3_ra", "edr_sv3_dec")
"""Group and names of the fibers' positions in the older layout, whose files do not say of which survey they are."""

BLOCK_ROWS = 512  # CSV rows compared with all spectra of a pixel at once
_FOLDER = re.compile(r"healpix=(\d+)")


@dataclass(frozen=True)
class Count:
    """Of one pixel, or of all.

    Attributes
    ----------
    csv_rows
        CSV rows looked at: with a CSV all whose position is in the pixel, without one those that the files hold.
    with_spectrum
        Those with a spectrum within the radius.
    spectra
        Rows of the survey's group.
    """

    csv_rows: int = 0
    with_spectrum: int = 0
    spectra: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.csv_rows + other.csv_rows, self.with_spectrum + other.with_spectrum, self.spectra + other.spectra
        )


def find_files(root: Path, healpix: int | None = None) -> dict[int, list[Path]]:
    """Return the files of each pixel, or of one; in the results of a run those that its manifest lists.

    Raises
    ------
    InputError
        If there is no such directory, or there are no files in it.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a directory: give the one that holds healpix=*/ with --hdf5-root")
    found: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(root.glob("healpix=*/crossmatch_*.hdf5")):
        folder = _FOLDER.fullmatch(path.parent.name)
        if folder:
            found[int(folder[1])].append(path)
    files = dict(found)
    survey = root.resolve().name.removesuffix("_crossmatches")
    manifest = read_manifest(root.resolve().parent, survey)
    if manifest is not None:
        files = {pixel: paths for pixel, paths in files.items() if pixel in manifest.pixels}
    if not files:
        raise InputError(f"{root} holds no healpix=*/crossmatch_*.hdf5: has the run finished, and is it the right one?")
    if healpix is None:
        return dict(sorted(files.items()))
    if healpix not in files:
        raise InputError(
            f"{root} holds no healpix={healpix}/crossmatch_*.hdf5; it has {len(files)} pixels from {min(files)} to "
            f"{max(files)} (NSIDE=16, NESTED)"
        )
    return {healpix: files[healpix]}


def count_files(files: Mapping[int, Sequence[Path]], max_arcsec: float) -> dict[int, Count]:
    """Count by the CSV's columns that the files hold: a CSV row and the spectrum beside it.

    Parameters
    ----------
    files
        From `find_files`.
    max_arcsec
        The radius; a distance equal to it counts.

    Returns
    -------
    dict
        Pixel → `Count`.

    Raises
    ------
    InputError
        If the files are of more than one run of a survey: their row numbers do not mean the same.
    MalformedFile
        If a file is torn, or lacks positions. The message names the file.
    """
    counts = {}
    first: dict[str, tuple[Path, dict[str, str]]] = {}
    for pixel, paths in files.items():
        rows, near, spectra = [], [], 0
        for path in paths:
            with _reading(path) as file:
                meaning = meaning_of(file.attrs)
                other, expected = first.setdefault(path.name, (path, meaning))
                check_alike(meaning, expected, path, other)
                name, ra, dec = positions(file, path)
                row, csv_ra, csv_dec = _csv_positions(file, path)
            lengths = [len(values) for values in (row, csv_ra, csv_dec)]
            if lengths != [len(ra)] * 3:
                raise MalformedFile(
                    f"{path}: /{name} has {len(ra)} rows, the CSV's row, RA and Dec have {', '.join(map(str, lengths))}"
                )
            rows.append(row)
            near.append(_arcsec(_unit(csv_ra, csv_dec), _unit(ra, dec)) <= max_arcsec)
            spectra += len(ra)
        row = np.concatenate(rows)
        counts[pixel] = Count(len(np.unique(row)), len(np.unique(row[np.concatenate(near)])), spectra)
    return counts


def count_csv(
    files: Mapping[int, Sequence[Path]], pixel: Ints, ra: Floats, dec: Floats, max_arcsec: float
) -> dict[int, Count]:
    """Count by the positions of a CSV: each row against every spectrum in the files of its pixel.

    Parameters
    ----------
    files
        From `find_files`.
    pixel : (n,) int64
        NSIDE=16 NESTED pixel of each CSV row.
    ra, dec : (n,) float64, degrees
    max_arcsec
        The radius; a distance equal to it counts.

    Returns
    -------
    dict
        Pixel → `Count`, for the pixels of ``files``.

    Raises
    ------
    MalformedFile
        If a file is torn, or lacks positions. The message names the file.
    """
    counts = {}
    for number, paths in files.items():
        of_files = []
        for path in paths:
            with _reading(path) as file:
                of_files.append(_unit(*positions(file, path)[1:]))
        spectra = np.concatenate(of_files)
        rows = np.flatnonzero(pixel == number)
        with_spectrum = 0
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            near = _arcsec(_unit(ra[block], dec[block])[:, None], spectra[None]) <= max_arcsec
            with_spectrum += int(near.any(axis=1).sum())
        counts[number] = Count(len(rows), with_spectrum, len(spectra))
    return counts


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    """Open a file; an unreadable part of it is a `MalformedFile`, too."""
    with hdf5.reading(path) as file:
        try:
            yield file
        except (OSError, RuntimeError) as error:
            raise MalformedFile(f"{path} is damaged ({error}): remove it, the next run makes it anew") from error


def positions(file: h5py.File, path: Path) -> tuple[str, Floats, Floats]:
    """Return the survey's group, and RA and Dec (degrees) of its spectra."""
    today = "survey" in file.attrs
    name, *columns = (str(file.attrs["survey"]), "ra", "dec") if today else OLDER
    group = file.get(name)
    if not isinstance(group, h5py.Group):
        raise MalformedFile(f"{path}: no group /{name}; found {', '.join(file) or 'nothing'}")
    if not all(isinstance(group.get(column), h5py.Dataset) for column in columns):
        raise MalformedFile(
            f"{path}: /{name} has no positions: expected {', '.join(columns)}; found {', '.join(group) or 'nothing'}"
            + ("" if today else ": another version made it, run the workflow again")
        )
    ra, dec = (np.asarray(group[column][:], np.float64) for column in columns)
    if ra.shape != dec.shape or ra.ndim != 1:
        raise MalformedFile(f"{path}: /{name}/{columns[0]} has shape {ra.shape}, /{name}/{columns[1]} {dec.shape}")
    return name, ra, dec


def _csv_positions(file: h5py.File, path: Path) -> tuple[Ints, Floats, Floats]:
    """Return CSV row, RA and Dec (degrees) from the group with the CSV's columns."""
    group = file.get(str(file.attrs.get("csv_group")))
    if group is None or "row" not in group or not {"ra_column", "dec_column"} <= set(group.attrs):
        raise MalformedFile(
            f"{path}: no group with the CSV's columns (`row`, and attributes ra_column and dec_column), as in the "
            "older layout: give the CSV with --csv"
        )
    columns = hdf5.columns(group) | assembled.csv_columns(group)
    names = [group.attrs["ra_column"], group.attrs["dec_column"]]
    if not set(names) <= set(columns):
        raise MalformedFile(f"{path}: {group.name} lacks {' or '.join(names)}; found {', '.join(columns)}")
    ra, dec = (_numbers(columns[name][:]) for name in names)
    return np.asarray(group["row"][:], np.int64), ra, dec


def _numbers(values: Array) -> Floats:
    return np.array(hdf5.text(values), np.float64) if values.dtype.kind in "OS" else values.astype(np.float64)


def _unit(ra: Floats, dec: Floats) -> Floats:
    """Return unit vectors (n, 3) to positions in degrees."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _arcsec(a: Floats, b: Floats) -> Floats:
    """Return the angle between unit vectors from the length of their chord: exact where it is small."""
    chord = np.sqrt(sum((a[..., k] - b[..., k]) ** 2 for k in range(3)))
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))) * 3600)


def show(counts: Mapping[int, Count], elsewhere: int | None = None) -> str:
    """Return the table; ``elsewhere`` is how many rows of the CSV lie in pixels without a file."""
    lines = [_line("healpix", "csv_rows", "with_spectrum", "spectra")]
    lines += [_line(pixel, n.csv_rows, n.with_spectrum, n.spectra) for pixel, n in counts.items()]
    total = sum(counts.values(), Count(elsewhere or 0))
    if elsewhere is not None:
        lines.append(_line("no file", elsewhere, 0, 0))
    lines.append(_line("all", total.csv_rows, total.with_spectrum, total.spectra))
    return "\n".join(lines)


def _line(*cells: str | int) -> str:
    first, *rest = (cell if isinstance(cell, str) else str(cell) for cell in cells)
    return f"{first:<9}" + "".join(f"{cell:>15}" for cell in rest)
