"""The plan as the workflow's rules ask for it: light enough for parse time, and read once for many jobs."""

import csv
from collections import defaultdict
from functools import cache, lru_cache
from pathlib import Path


class Planned:
    """What ``plan.csv`` and ``plan_pixels.csv`` say.

    Parameters
    ----------
    plan
        Path of ``plan.csv``; ``plan_pixels.csv`` is beside it.

    Attributes
    ----------
    coadds
        pix64 → (survey, program) of each coadd to read, in the plan's order.
    n_targets
        pix64 → number of targets to look for.
    digest
        pix64 → digest of its targets.
    searched
        pix16 of targets → pix64 to search for them.
    batch
        pix64 → name of the batch that it is extracted in.
    batches
        name → its pix64. All of a batch's pixels are searched for the targets of the same NSIDE=16 pixels; those make
        its name, such as ``1704``, or ``1704+1705`` on an edge. So a pixel that fails holds up only what needs it.
    """

    def __init__(self, plan: Path) -> None:
        self.coadds: dict[int, list[tuple[str, str]]] = defaultdict(list)
        self.n_targets: dict[int, int] = {}
        self.digest: dict[int, str] = {}
        self.searched: dict[int, list[int]] = defaultdict(list)
        with plan.open(newline="", encoding="utf-8") as stream:
            for line in csv.DictReader(stream):
                self.coadds[int(line["pix64"])].append((line["survey"], line["program"]))
                self.n_targets[int(line["pix64"])] = int(line["n_targets"])
        with (plan.parent / "plan_pixels.csv").open(newline="", encoding="utf-8") as stream:
            for line in csv.DictReader(stream):
                self.searched[int(line["pix16"])].append(int(line["pix64"]))
                self.digest[int(line["pix64"])] = line["digest"]
        needed_by: dict[int, list[int]] = defaultdict(list)
        for pix16, pixels in self.searched.items():
            for pix64 in pixels:
                needed_by[pix64].append(pix16)
        self.batch = {pix64: "+".join(map(str, sorted(needed_by[pix64]))) for pix64 in self.coadds}
        self.batches: dict[str, list[int]] = defaultdict(list)
        for pix64, batch in self.batch.items():
            self.batches[batch].append(pix64)


def read_plan(path: str) -> Planned:
    """Return the plan at ``path``; read again only when the file has changed."""
    return _read(path, Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: str, _modified_ns: int) -> Planned:
    return Planned(Path(path))


@cache
def to_read_again(batch_list: str, again: tuple[str, ...]) -> bool:
    """Tell whether a batch's list, as an earlier run left it, counts a file of a status that is to be tried again.

    Parameters
    ----------
    batch_list
        See `skyharvest.batch`. One that is not there counts none. Read once: what this run finds is left to the next.
    again
        ``unreadable``, ``absent``.
    """
    try:
        with Path(batch_list).open(newline="", encoding="utf-8") as stream:
            return any(
                value not in ("", "0")
                for line in csv.DictReader(stream)
                for name, value in line.items()
                if name and name.endswith(again)
            )
    except FileNotFoundError:
        return False


def extracted_path(extracted: Path, pix64: int) -> Path:
    """Return where the extracted file of an NSIDE=64 pixel stands, below ``desi/extracted``."""
    return extracted / str(pix64 // 100) / f"{pix64}.hdf5"
