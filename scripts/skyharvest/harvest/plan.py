"""A survey's plan as the workflow's rules ask for it: light enough for parse time, and read once for many jobs.

A *unit* is what is extracted into a file of its own, and fails, is kept and is resumed alone: an NSIDE=64 pixel of DESI
(its number), a cube of HETDEX (``20190102009_034``), or a brick of the Legacy Surveys (``south_1234p567``).
"""

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import cache, lru_cache
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
        pix16 of targets → units to search for them.
    batch
        Unit → name of the batch that it is extracted in.
    batches
        Name → its units. All of a batch's units are searched for the targets of the same NSIDE=16 pixels; those make
        its name, such as ``1704``, or ``1704+1705`` on an edge. So a unit that fails holds up only what needs it.
    """

    def __init__(self, survey: "Survey", plan: Path) -> None:
        self.survey = survey
        self.files: dict[Unit, list[Kind]] = defaultdict(list)
        self.n_targets: dict[Unit, int] = {}
        self.digest: dict[Unit, str] = {}
        self.searched: dict[int, list[Unit]] = defaultdict(list)
        for line in _lines(plan):
            unit = survey.unit_of(line)
            self.files[unit].append(survey.kind_of(line))
            self.n_targets[unit] = int(line["n_targets"])
        pixels: dict[Unit, list[int]] = defaultdict(list)
        for line in _lines(plan.parent / "plan_pixels.csv"):
            unit, pix16 = survey.unit_of(line), int(line["pix16"])
            self.searched[pix16].append(unit)
            pixels[unit].append(pix16)
            self.digest[unit] = line["digest"]
        self.batch = {unit: "+".join(map(str, sorted(pixels[unit]))) for unit in self.files}
        self.batches: dict[str, list[Unit]] = defaultdict(list)
        for unit, name in self.batch.items():
            self.batches[name].append(unit)

    def missing(self, extracted: Path, failed: Collection[Unit]) -> Iterator[Unit]:
        """Yield the units without results below the directory ``extracted``, and those that failed.

        A batch's list stands for the results of all its units.
        """
        for batch, units in self.batches.items():
            if not self.survey.listed(extracted, batch).exists():
                yield from (unit for unit in units if unit in failed or not self.survey.path(extracted, unit).exists())


def _lines(path: Path) -> Iterator[dict[str, str]]:
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


@cache
def is_stale(
    survey: "Survey", extracted: str, batch: str, digests: tuple[tuple[Unit, str], ...], again: tuple[str, ...]
) -> bool:
    """Tell whether a batch is to be extracted again, whatever Snakemake knows of it.

    So it is if its list counts a file that is to be tried again, or is of other targets or settings; or if another
    batch has extracted one of its units since: the plan between had other batches. Answered once: what this run finds
    is left to the next.

    Parameters
    ----------
    digests
        Unit of the batch, and digest of what it is to be extracted for.
    again
        Columns of the list, ``n_{again}`` and ``n_beside_{again}``, that are to be zero: `unreadable`, `absent`.
    """
    path = survey.listed(Path(extracted), batch)
    try:
        lines = {line["unit"]: line for line in _lines(path)}
    except FileNotFoundError:
        return False
    if {str(unit): digest for unit, digest in digests} != {unit: line.get("digest") for unit, line in lines.items()}:
        return True
    if any(line[name] not in ("", "0") for line in lines.values() for name in line if name.endswith(again)):
        return True
    written = path.stat().st_mtime_ns
    for unit, _ in digests:
        file = survey.path(Path(extracted), unit)
        try:
            is_newer = file.stat().st_mtime_ns > written
        except FileNotFoundError:
            continue  # it is made when it is needed
        if is_newer and recorded().request_of(file) != lines[str(unit)]["request"]:
            return True
    return False
