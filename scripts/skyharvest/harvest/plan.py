"""A survey's plan as the workflow's rules ask for it: light enough for parse time, and read once for many jobs.

A *unit* is what is extracted into a file of its own, and fails, is kept and is resumed alone: an NSIDE=64 pixel of DESI
(its number), a cube of HETDEX (``20190102009_034``), or a brick of the Legacy Surveys (``south_1234p567``).
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

P = TypeVar("P")

Unit = int | str
Kind = tuple[str, str]
"""Survey and program of a coadd; ``hetdex, cube`` of a cube; ``legacysurvey, brick`` of a brick."""

CUBE: Kind = ("hetdex", "cube")
BRICK: Kind = ("legacysurvey", "brick")


class Plan(Protocol):
    """What is to be read, of any survey.

    Attributes
    ----------
    unit, file
        What its units and their files are called: ``pixel``, ``coadd``.
    files
        Unit → kind of each file to read.
    n_targets
        Unit → number of targets to look for.
    searched
        pix16 of targets → units to search for them.
    batch, batches
        Unit → name of the job that it is extracted in; name → its units.
    """

    unit: str
    file: str
    files: dict[Unit, list[Kind]]
    n_targets: dict[Unit, int]
    digest: dict[Unit, str]
    searched: dict[int, list[Unit]]
    batch: dict[Unit, str]
    batches: dict[str, list[Unit]]

    def unmade(self, extracted: Path, failed: Collection[Unit]) -> Iterator[Unit]:
        """Yield the units without results below the directory ``extracted``, and those that failed to be made anew."""


class Planned:
    """What ``plan.csv`` and ``plan_pixels.csv`` of DESI say.

    Parameters
    ----------
    plan
        Path of ``plan.csv``; ``plan_pixels.csv`` is beside it.

    Attributes
    ----------
    files
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

    unit, file = "pixel", "coadd"

    def __init__(self, plan: Path) -> None:
        self.files: dict[Unit, list[Kind]] = defaultdict(list)
        self.n_targets: dict[Unit, int] = {}
        self.digest: dict[Unit, str] = {}
        self.searched: dict[int, list[Unit]] = defaultdict(list)
        for line in _lines(plan):
            self._add(self._unit_of(line), line)
        for line in _lines(plan.parent / "plan_pixels.csv"):
            unit = self._unit_of(line)
            self.searched[int(line["pix16"])].append(unit)
            self.digest[unit] = line["digest"]
        self.batch, self.batches = self._batched()

    def _batched(self) -> tuple[dict[Unit, str], dict[str, list[Unit]]]:
        return _batches(self.files, self.searched)

    def _add(self, unit: Unit, line: Mapping[str, str]) -> None:
        self.files[unit].append(self._kind_of(line))
        self.n_targets[unit] = int(line["n_targets"])

    def _unit_of(self, line: Mapping[str, str]) -> Unit:
        return int(line["pix64"])

    def _kind_of(self, line: Mapping[str, str]) -> Kind:
        return line["survey"], line["program"]

    def _path(self, extracted: Path, unit: Unit) -> Path:
        return extracted_path(extracted, int(unit))

    def unmade(self, extracted: Path, failed: Collection[Unit]) -> Iterator[Unit]:
        """Yield the units without results; a batch's list stands for all of its units."""
        for batch, units in self.batches.items():
            if not batch_list(extracted, batch).exists():
                yield from (unit for unit in units if unit in failed or not self._path(extracted, unit).exists())


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def _batches(
    units: Iterable[Unit], searched: Mapping[int, Sequence[Unit]]
) -> tuple[dict[Unit, str], dict[str, list[Unit]]]:
    """Return each unit's batch, and each batch's units: see `Planned`."""
    needed_by: dict[Unit, list[int]] = defaultdict(list)
    for pix16, of_pixel in searched.items():
        for unit in of_pixel:
            needed_by[unit].append(pix16)
    batch = {unit: "+".join(map(str, sorted(needed_by[unit]))) for unit in units}
    batches: dict[str, list[Unit]] = defaultdict(list)
    for unit, name in batch.items():
        batches[name].append(unit)
    return batch, batches


class PlannedCubes(Planned):
    """What ``plan.csv`` and ``plan_pixels.csv`` of HETDEX say.

    Parameters
    ----------
    plan
        Path of ``plan.csv``; ``plan_pixels.csv`` is beside it.

    Attributes
    ----------
    files
        Cube → its one file.
    n_targets
        Cube → number of targets to look for.
    digest
        Cube → digest of its targets.
    searched
        pix16 of targets → cubes to search for them.
    batch, batches
        A cube is a job of its own, of its name.
    """

    unit, file = "cube", "cube"

    def _batched(self) -> tuple[dict[Unit, str], dict[str, list[Unit]]]:
        return {cube: str(cube) for cube in self.files}, {str(cube): [cube] for cube in self.files}

    def _unit_of(self, line: Mapping[str, str]) -> Unit:
        return f"{line['shotid']}_{line['ifuslot']}"

    def _kind_of(self, line: Mapping[str, str]) -> Kind:
        return CUBE

    def unmade(self, extracted: Path, failed: Collection[Unit]) -> Iterator[Unit]:
        """Yield the cubes without results."""
        return (cube for cube in self.files if cube in failed or not cube_list(extracted, str(cube)).exists())


class PlannedBricks(Planned):
    """What ``plan.csv`` and ``plan_pixels.csv`` of the Legacy Surveys say.

    Parameters
    ----------
    plan
        Path of ``plan.csv``; ``plan_pixels.csv`` is beside it.

    Attributes
    ----------
    files
        Brick → one for all its files.
    bands
        Brick → letters of the bands that are wanted and there.
    n_targets
        Brick → number of targets to cut out.
    digest
        Brick → digest of its targets.
    searched
        pix16 of targets → bricks to cut them out of.
    batch, batches
        As of `Planned`: bricks with targets of the same NSIDE=16 pixels are a job.
    """

    unit, file = "brick", "brick"

    def __init__(self, plan: Path) -> None:
        self.bands: dict[Unit, str] = {}
        super().__init__(plan)

    def _add(self, unit: Unit, line: Mapping[str, str]) -> None:
        super()._add(unit, line)
        self.bands[unit] = line["bands"]

    def _unit_of(self, line: Mapping[str, str]) -> Unit:
        return f"{line['region']}_{line['brickname']}"

    def _kind_of(self, line: Mapping[str, str]) -> Kind:
        return BRICK

    def _path(self, extracted: Path, unit: Unit) -> Path:
        return brick_path(extracted, str(unit))


def read_plan(path: str) -> Planned:
    """Return DESI's plan at ``path``; read again only when the file has changed."""
    plan: Planned = _read(Planned, path, Path(path).stat().st_mtime_ns)
    return plan


def read_cubes(path: str) -> PlannedCubes:
    """Return HETDEX's plan at ``path``; read again only when the file has changed."""
    plan: PlannedCubes = _read(PlannedCubes, path, Path(path).stat().st_mtime_ns)
    return plan


def read_bricks(path: str) -> PlannedBricks:
    """Return the Legacy Surveys' plan at ``path``; read again only when the file has changed."""
    plan: PlannedBricks = _read(PlannedBricks, path, Path(path).stat().st_mtime_ns)
    return plan


@lru_cache(maxsize=4)
def _read(survey: Callable[[Path], P], path: str, _modified_ns: int) -> P:
    return survey(Path(path))


@lru_cache(maxsize=1)
def by_fibers(plan: Planned) -> dict[int, list[int]]:
    """Return pix16 of fibers → pix16 of targets whose match circles reach into it, in the order of DESI's plan."""
    found: dict[int, list[int]] = defaultdict(list)
    for pix16, pixels in plan.searched.items():
        for of_fibers in {int(pix64) >> 4 for pix64 in pixels}:
            found[of_fibers].append(pix16)
    return dict(found)


@cache
def to_read_again(listed: str, again: tuple[str, ...]) -> bool:
    """Tell whether the list of an extract job, as an earlier run left it, counts a file that is to be tried again.

    Parameters
    ----------
    listed
        See `skyharvest.harvest.extracted`. One that is not there counts none. Read once: what this run finds is left
        to the next.
    again
        ``unreadable``, ``absent``.
    """
    try:
        with Path(listed).open(newline="", encoding="utf-8") as stream:
            return any(
                value not in ("", "0")
                for line in csv.DictReader(stream)
                for name, value in line.items()
                if name and name.endswith(again)
            )
    except FileNotFoundError:
        return False


def extracted_path(extracted: Path, pix64: Unit) -> Path:
    """Return where the extracted file of an NSIDE=64 pixel stands, below ``desi/extracted``."""
    return extracted / str(int(pix64) // 100) / f"{pix64}.hdf5"


def batch_list(extracted: Path, batch: str) -> Path:
    """Return where the list of a batch stands, below ``desi/extracted``."""
    return extracted / "batches" / f"{batch}.csv"


def cube_path(extracted: Path, cube: str) -> Path:
    """Return where the extracted file of a cube such as ``20190102009_034`` stands, below ``hetdex/extracted``."""
    return extracted / cube.partition("_")[0] / f"{cube}.hdf5"


def cube_list(extracted: Path, cube: str) -> Path:
    """Return where the list of a cube stands, beside its file."""
    return cube_path(extracted, cube).with_suffix(".csv")


def brick_path(extracted: Path, brick: str) -> Path:
    """Return where the extracted file of a brick (``south_1234p567``) stands, below ``legacysurvey/extracted``."""
    return extracted / brick.partition("_")[2][:3] / f"{brick}.hdf5"
