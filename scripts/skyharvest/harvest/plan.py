"""A survey's plan as the workflow's rules ask for it: light enough for parse time, and read once for many jobs.

A *unit* is what is extracted into a file of its own, and fails, is kept and is resumed alone: an NSIDE=64 pixel of DESI
(its number), a cube of HETDEX (``20190102009_034``), or a brick of the Legacy Surveys (``south_1234p567``).
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyharvest.harvest.survey import Survey

Unit = int | str
Kind = tuple[str, str]
"""Survey and program of a coadd; ``hetdex, cube`` of a cube; ``legacysurvey, brick`` of a brick."""


class Plan:
    """What is to be read: what ``plan.csv`` and ``plan_pixels.csv`` say.

    Parameters
    ----------
    survey
        Whose plan it is; says how a line names its unit and kind.
    plan
        Path of ``plan.csv``; ``plan_pixels.csv`` is beside it.

    Attributes
    ----------
    files
        Unit → kind of each file to read, in the plan's order.
    n_targets
        Unit → number of targets to look for.
    digest
        Unit → digest of its targets.
    searched
        pix16 of targets → units to search for them. Near an edge, two pixels may share a unit.
    """

    def __init__(self, survey: "Survey", plan: Path) -> None:
        self.survey = survey
        self.files: dict[Unit, list[Kind]] = defaultdict(list)
        self.n_targets: dict[Unit, int] = {}
        self.digest: dict[Unit, str] = {}
        self.searched: dict[int, list[Unit]] = defaultdict(list)
        for line in lines_of(plan):
            unit = survey.unit_of(line)
            self.files[unit].append(survey.kind_of(line))
            self.n_targets[unit] = int(line["n_targets"])
        for line in lines_of(plan.parent / "plan_pixels.csv"):
            unit = survey.unit_of(line)
            self.searched[int(line["pix16"])].append(unit)
            self.digest[unit] = line["digest"]

    def units(self, pixels: Iterable[int]) -> list[Unit]:
        """Return the units to search for the targets of some NSIDE=16 pixels, each once."""
        return list(dict.fromkeys(unit for pix16 in pixels for unit in self.searched[pix16]))


def lines_of(path: Path) -> Iterator[dict[str, str]]:
    """Return the lines of a CSV file."""
    with path.open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def read_plan(survey: "Survey", path: str | Path) -> Plan:
    """Return a survey's plan, ``plan.csv``; it is read again only when the file has changed."""
    return _read(survey, str(path), Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=16)  # more than there are surveys
def _read(survey: "Survey", path: str, _modified_ns: int) -> Plan:
    return Plan(survey, Path(path))


def recorded() -> Any:
    """Return `skyharvest.harvest.recorded`, whose libraries parse time hardly ever needs."""
    return import_module("skyharvest.harvest.recorded")
