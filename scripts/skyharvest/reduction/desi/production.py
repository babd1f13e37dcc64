"""A production: its frozen options, its exposure tables, and its jobs.

Light: it is imported whenever the workflow is parsed.
"""

import functools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.core.many_objects import without_collector
from skyharvest.core.yaml_file import read_yaml
from skyharvest.reduction.desi import exposure_healpix, exposure_table
from skyharvest.reduction.desi.commands import Commands, Exposed
from skyharvest.reduction.desi.exposure_healpix import ExposurePixel
from skyharvest.reduction.desi.exposure_table import Exposure
from skyharvest.reduction.desi.graph import RUN, Graph, Selection, Task, owner_of, owner_of_pixel
from skyharvest.reduction.desi.settings import CHOICES, frozen
from skyharvest.reduction.desi.steps import OF_STARS, QA, STEPS, Step, reaches

OPTIONS = "options.yaml"
"""What is frozen into a production stands in this file of it."""
BY_HAND = "tasks/by_hand"
"""Is as old as the last change of records beside the workflow, of which its ledger has to be told."""


def directory_of(results: Path, specprod: str) -> Path:
    """Return the directory of a production."""
    return results / "reduction" / "desi" / "spectro" / "redux" / specprod


def check_frozen(production: Path, settings: Mapping[str, Any]) -> None:
    """Check that settings are those that a production was begun with.

    Raises
    ------
    InputError
        If they differ; says in what.
    """
    path = production / OPTIONS
    if not path.exists():
        return
    differing = list(_differing(read_yaml(path), frozen(settings), ""))
    if differing:
        lines = "\n".join(f"  desi_reduction.{key}: {there} there, {here} now" for key, there, here in differing)
        raise InputError(
            f"{path.parent} was begun with other options:\n{lines}\n"
            "Give them back their values, or give desi_reduction.specprod another name: a production has one set. An "
            f"option that is new in this version of Skyharvest can be added to {path.name} there, if it makes no "
            "difference."
        )


def _differing(there: Any, here: Any, key: str) -> Any:
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted({*there, *here}):
            yield from _differing(there.get(name, _ABSENT), here.get(name, _ABSENT), f"{key}.{name}" if key else name)
    elif there != here:
        yield key, *(one if one is _ABSENT else repr(one) for one in (there, here))


_ABSENT = "no such option"


def check_there(settings: Mapping[str, Any]) -> None:
    """Check that what tasks read beside the production is there: else each of them would fail.

    Raises
    ------
    InputError
        Names the setting and the path.
    """
    names = ["desimodel"]
    if "cframe" not in settings["start_from"]["products"]:
        names += ["calibration", "star_templates"] + ([] if settings["raw_archive"] else ["raw"])
    for name in names:
        path = settings[name]
        if path is not None and not Path(path).exists():
            raise InputError(f"desi_reduction.{name}: there is no {path}: mend the path, or make it")


def freeze(production: Path, options: Mapping[str, Any]) -> None:
    """Write options, as `frozen` gives them, into a production that has none yet."""
    if not (production / OPTIONS).exists():
        with atomic_path(production / OPTIONS) as temporary:
            temporary.write_text(yaml.safe_dump(dict(options), sort_keys=False), encoding="utf-8")


@dataclass(frozen=True)
class Job:
    """A job of a step: some owners of tasks.

    Attributes
    ----------
    name
        ``20250115-00000006``, ``20250115-00000006-00000009``, ``20250115``, or ``main-dark-97``.
    """

    step: str
    name: str
    owners: tuple[str, ...]


class Production:
    """What a production is made of, and how.

    Parameters
    ----------
    directory
        Its own.
    settings
        The configuration's section ``desi_reduction``.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        self.directory, self.settings = directory, dict(settings)
        self.selection = Selection(*(settings[name] for name in CHOICES))
        self.graph = Graph.of_settings(settings)

    def of_job(self, step: str, name: str) -> "Production":
        """Return it with what a job needs: of one that is not of pixels, its night, and not a month of tables."""
        return self if STEPS[step].per == "pixel" else self.of_nights([int(name.partition("-")[0])])

    def of_nights(self, nights: Iterable[int]) -> "Production":
        """Return it with those of its nights. Pixels have less in it then: it is for other tasks."""
        return Production(self.directory, self.settings | {"nights": [*filter(self.selection.has_night, nights)]})

    def whole(self) -> "Production":
        """Return it with all that its tables have, whatever is asked for."""
        measured = {"qa": self.settings["qa"] | {"enabled": True}}
        return Production(self.directory, self.settings | dict.fromkeys(CHOICES) | measured)

    @functools.cached_property
    def tables(self) -> dict[int, Path]:
        """The exposure tables of the nights that are asked for, by night, in order."""
        found = exposure_table.tables_in(self.directory / "exposure_tables")
        return {night: path for night, path in found.items() if self.selection.has_night(night)}

    @functools.cached_property
    def _listed(self) -> dict[int, list[Exposure]]:
        """Night → all exposures of its table, for the nights that are asked for."""
        return {night: exposure_table.read_table(path) for night, path in self.tables.items()}

    @functools.cached_property
    def nights(self) -> dict[int, list[Exposure]]:
        """Night → its exposures that are asked for, with those that the table leaves out."""
        chosen = {night: self.selection.of(exposures) for night, exposures in self._listed.items()}
        return {night: exposures for night, exposures in chosen.items() if exposures}

    def check_choices(self) -> None:
        """Check that there is something of what is asked for.

        Raises
        ------
        InputError
            If not; says what there is.
        """
        there = self.whole() if self.selection.nights is not None else self
        listed = [exposure for exposures in there._listed.values() for exposure in exposures]
        if not listed or self.selection.is_all:
            return
        science = [one for one in listed if one.obstype == "science"]
        has: dict[str, set[Any]] = {
            "nights": {one.night for one in listed},
            "expids": {one.expid for one in science},
            "tiles": {one.tileid for one in science},
            "cameras": {camera for one in listed for camera in one.cameras | one.left_out},
        }
        for name, values in has.items():
            asked = self.settings[name]
            if asked is not None and values.isdisjoint(asked):
                few = ", ".join(map(str, sorted(values)[:10])) + (", …" if len(values) > 10 else "")
                of = " of science exposures" if name in ("expids", "tiles") else ""
                raise InputError(
                    f"desi_reduction.{name}: none of {asked} is in the exposure tables; there are{of} {few}"
                )
        if not self.exposures:
            raise InputError("desi_reduction: no exposure has all that nights, expids, tiles and cameras ask for")

    @functools.cached_property
    def pixels(self) -> list[ExposurePixel]:
        """In which pixels the targets of exposures are, of the nights that are asked for."""
        paths = (exposure_healpix.path_of(self.directory, night) for night in self.nights)
        return [found for path in paths if path.exists() for found in exposure_healpix.read_healpix(path)]

    @functools.cached_property
    def _all(self) -> "Production":
        return self if self.selection.is_all else self.whole()

    @property
    def exposures(self) -> list[Exposure]:
        """Those of all nights."""
        return [exposure for exposures in self.nights.values() for exposure in exposures]

    @functools.cached_property
    def commands(self) -> Commands:
        """Of its tasks."""
        exposed = {one.expid: Exposed(one.obstype, dict(one.badamps)) for one in self.exposures}
        return Commands(self.directory, self.settings, exposed)

    def note_by_hand(self) -> None:
        """Note that records are being changed beside the workflow."""
        path = self.directory / BY_HAND
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def tasks(self) -> list[Task]:
        """Return all tasks, each after those that it needs."""
        with without_collector():
            made = [task for night in self.nights for task in self._of_night(night)]
            return made + self._of_pixels(self._pixel_owners)

    def tasks_of(self, job: Job) -> list[Task]:
        """Return the tasks of a job."""
        kinds, owners = STEPS[job.step].kinds, set(job.owners)
        if STEPS[job.step].per == "pixel":
            tasks = self._of_pixels(owners)
        else:
            nights = sorted({int(owner.partition("/")[0]) for owner in owners})
            tasks = [task for night in nights for task in self._of_night(night)]
        return [task for task in tasks if task.key.kind in kinds and task.key.owner in owners]

    def job(self, step: str, name: str) -> Job:
        """Return a job by its name.

        Raises
        ------
        InputError
            If the production has no such job.
        """
        owners = tuple(owner for owner in self._owners(STEPS[step]) if is_of(name, owner, STEPS[step]))
        if not owners:
            raise InputError(f"{self.directory} has nothing for job {name} of step {step}: see its exposure_tables")
        return Job(step, name, owners)

    def jobs(self, step: str, seconds: float) -> list[Job]:
        """Return the jobs of a step: of neighbouring exposures of a night, as many as take about so long."""
        per = STEPS[step].per
        owners = self._owners(STEPS[step])
        if per == "night":
            return [Job(step, owner, (owner,)) for owner in owners]
        if per == "pixel":
            groups: dict[str, list[str]] = {}
            for owner in owners:
                groups.setdefault(_group_of(owner), []).append(owner)
            return [Job(step, name, tuple(some)) for name, some in groups.items()]
        made: list[Job] = []
        packed: list[str] = []
        left = 0.0
        # Cameras that are left out count: that one is bad is not to change which exposures a job has.
        n_tasks = {owner_of(one): len(one.cameras | one.left_out) for one in self.exposures}
        for owner in owners:
            takes = n_tasks[owner] * self.seconds(step) / self.settings["cores_per_job"]
            if packed and (takes > left or packed[-1].partition("/")[0] != owner.partition("/")[0]):
                made.append(_job(step, packed))
                packed, left = [], 0.0
            left = (left if packed else seconds) - takes
            packed.append(owner)
        return made + ([_job(step, packed)] if packed else [])

    @functools.cached_property
    def n_fiber(self) -> int:
        """Most fibers of a spectrograph, as the science exposures' targets tell; 500 where there are none."""
        counts: dict[tuple[int, int], int] = {}
        for one in self.pixels:
            counts[one.expid, one.spectro] = counts.get((one.expid, one.spectro), 0) + one.n_targets
        return max(counts.values(), default=500)

    def seconds(self, step: str) -> float:
        """Return how long a task of a step takes."""
        base, per_fiber = STEPS[step].seconds
        return base + per_fiber * self.n_fiber

    def megabytes(self, step: str) -> float:
        """Return the memory that a task of a step takes."""
        base, per_fiber = STEPS[step].megabytes
        return base + per_fiber * self.n_fiber

    def minutes(self, n_tasks: Mapping[str, int], workers: int) -> int:
        """Return how long some tasks of some steps may take: three times what was measured, and five minutes."""
        seconds = sum(math.ceil(n / workers) * self.seconds(step) for step, n in n_tasks.items())
        return 5 + math.ceil(3 * seconds / 60)

    def mem_mb(self, step: str, workers: int) -> int:
        """Return the memory of tasks of a step that run at once, and of the process that they are forked from."""
        return math.ceil(300 + workers * self.megabytes(step))

    def _owners(self, step: Step) -> Sequence[str]:
        linked = self.graph.linked
        if not {QA: self.graph.quality, "redshift": self.graph.redshifts}.get(step.name, True):
            return []
        if step.per == "pixel":
            return self._pixel_owners
        run = [one for one in self.exposures if not one.reason and one.obstype in step.obstypes]
        if step.per == "night":
            if "cframe" in linked:
                return []
            nights = {one.night for one in self.exposures if not one.reason and one.obstype != "arc"}
            return [str(night) for night in sorted(nights | {one.night for one in run})]
        if "cframe" in linked:
            science = [one for one in run if one.obstype == "science"]
            return [owner_of(one) for one in science] if step.name in ("cframe", QA) else []
        left_out = {kind for kind, name in (("arc", "psfnight"), ("flat", "fiberflatnight")) if name in linked}
        return [
            owner_of(one)
            for one in run
            if one.obstype not in left_out
            and (one.with_stars if step.name in OF_STARS else one.cameras)
            and reaches(one.laststep, step.name)
        ]

    def _of_night(self, night: int) -> list[Task]:
        """Return the tasks of a night: made of all its exposures, and those of them that are asked for."""
        tasks = self.graph.of_night([one for one in self._listed.get(night, []) if one.obstype in RUN])
        if self.selection.is_all:
            return list(tasks)
        run = [one for one in self.nights.get(night, []) if not one.reason]
        cameras = {owner_of(one): one.cameras for one in run}
        cameras[str(night)] = frozenset().union(*cameras.values())
        return [task for task in tasks if _has(cameras.get(task.key.owner, frozenset()), task.key.unit)]

    def _of_pixels(self, owners: Collection[str]) -> list[Task]:
        """Return the tasks of some pixels: each is made of all its exposures, whatever is asked for."""
        every, wanted = self._all, set(owners)
        pixels = [one for one in every.pixels if owner_of_pixel(one.survey, one.program, one.healpix) in wanted]
        return list(self.graph.of_pixels(every.exposures, pixels))

    @functools.cached_property
    def _pixel_owners(self) -> list[str]:
        """Pixels of the exposures that are asked for."""
        return [
            task.key.owner
            for task in self.graph.of_pixels(self.exposures, self.pixels)
            if task.key.kind == "spectra" and task.some_of
        ]


def _has(cameras: Collection[str], unit: str) -> bool:
    """Tell whether some cameras have a task's unit: one of them, a spectrograph, or "" for all together."""
    return unit in cameras if len(unit) == 2 else any(camera.endswith(unit) for camera in cameras)


def log_of(production: Path, step: str, owner: str) -> str:
    """Return the log of the job that has run an owner's tasks last, below the results; "" if none has."""
    jobs = (production / "tasks" / "jobs" / step).glob("*.json")
    own = [path for path in jobs if is_of(path.stem, owner, STEPS[step])]
    newest = max(own, key=lambda path: path.stat().st_mtime, default=None)
    return f"logs/desi_{step}/{newest.stem}.log" if newest else ""


def _group_of(owner: str) -> str:
    """Return the name of the job that has a pixel: ``main-dark-97``."""
    return "-".join(owner.split("/")[1:4])


def _job(step: str, owners: Sequence[str]) -> Job:
    first, last = (owner.replace("/", "-") for owner in (owners[0], owners[-1]))
    return Job(step, first if len(owners) == 1 else f"{first}-{last.partition('-')[2]}", tuple(owners))


def is_of(name: str, owner: str, step: Step) -> bool:
    """Tell whether a job of this name has the tasks of an owner."""
    if step.per == "pixel":
        return _group_of(owner) == name
    if step.per == "night":
        return owner == name
    night, *expids = name.split("-")
    own_night, own_expid = owner.split("/")
    return night == own_night and expids[0] <= own_expid <= expids[-1]
