"""The plan as the workflow's rules ask for it: light enough for parse time, and read once for many jobs."""

import csv
from collections import defaultdict
from functools import lru_cache
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


def read_plan(path: str) -> Planned:
    """Return the plan at ``path``; read again only when the file has changed."""
    return _read(path, Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: str, _modified_ns: int) -> Planned:
    return Planned(Path(path))
