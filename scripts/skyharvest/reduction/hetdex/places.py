"""Jobs by what they are about: which there are, and where the log and the product of each stand. Light."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skyharvest.reduction.hetdex.layout import DETECTIONS_FILE, Layout, month_of, shotid_of
from skyharvest.reduction.hetdex.plan import BIAS, SCIENCE, TWILIGHT, Plan
from skyharvest.reduction.hetdex.steps import (
    BY_SHOTID,
    CALIBRATIONS,
    FRAMES,
    INDEXED,
    MERGED,
    OF_SHOT,
    SWITCHED,
    Chosen,
    rule_of,
)
from skyharvest.reduction.hetdex.steps import STEPS as OF_LEDGER

TOLD_IN = {
    "flat": "flat.fits",
    "science": "amps.csv",
    "full_sky": "full_sky.fits",
    "residuals": "amps.csv",
    "detections": DETECTIONS_FILE,
    "cubes": "cubes.csv",
}
"""Of products that are directories, the file that says what failed."""
STEPS = tuple(step for step in OF_LEDGER if step != FRAMES)
"""Steps that are jobs, in their order."""


@dataclass(frozen=True)
class Place:
    """Where something is: what it has not is empty. A shot has its month, too. Not every step needs all."""

    month: str = ""
    ifu: str = ""
    shot: str = ""
    exposure: str = ""

    def parts(self, step: str) -> tuple[str, ...]:
        """Return what the job of a step is named after."""
        if step in MERGED:
            some: tuple[str, ...] = (self.month,) if step == "detections_of_month" else ()
        elif step in BY_SHOTID:
            some = (str(shotid_of(self.shot)),)
        elif step in OF_SHOT or (step in (INDEXED, *SWITCHED) and step != "detections"):
            some = (self.shot,)
        elif step == "amp_to_amp":
            some = (self.month,)
        else:
            some = (self.shot, self.exposure, self.ifu) if self.shot else (self.month, self.ifu)
        return tuple(filter(None, some))

    def log(self, step: str) -> str:
        """Return the name of a step's log, below the directory of logs."""
        return f"{'/'.join((rule_of(step), *self.parts(step)))}.log"

    def product(self, step: str, layout: Layout, release: str = Chosen().release) -> Path:
        """Return what a step makes.

        Parameters
        ----------
        step
            One of `STEPS`.
        layout
            Where products stand.
        release
            What files of the release are called.
        """
        if step in OF_SHOT or step == "continuum":
            return layout.of_shot(step, self.shot)
        if step in CALIBRATIONS and step != "flat":
            return layout.calibration(step, self.month, self.ifu)
        made = {
            "flat": lambda: layout.flat(self.month, self.ifu),
            "amp_to_amp": lambda: layout.amp_to_amp(self.month),
            "science": lambda: layout.science(self.shot, self.exposure, self.ifu),
            "full_sky": lambda: layout.full_sky(self.shot, self.exposure),
            "residuals": lambda: layout.residuals(self.month, self.ifu),
            INDEXED: lambda: layout.of_shot("fiber_index", self.shot),
            "detections": lambda: layout.detections(self.shot, self.ifu),
            "cubes": lambda: layout.cubes(self.shot),
            "cutouts": lambda: layout.cutouts(self.shot),
            "reports": lambda: layout.reports(self.shot),
            "detections_of_month": lambda: layout.detections_of_month(self.month),
            "detect": lambda: layout.merged("detect", release),
            "cont": lambda: layout.merged("cont", release),
            "detect_index": lambda: layout.detect_index,
            "survey": lambda: layout.survey(release),
            "fiber_index": lambda: layout.fiber_index(release),
            "cube_index": lambda: layout.cube_index,
            "all_cutouts": lambda: layout.all_cutouts(release),
            "report_pages": lambda: layout.report_pages,
        }
        return made[step]()


def jobs(plan: Plan, chosen: Chosen) -> Iterator[tuple[str, Place]]:
    """Yield the steps and places of all jobs of a reduction, in the order of `STEPS`."""
    yield from _of_months(plan)
    exposed = [unit for unit in plan.units if unit.kind == SCIENCE]
    for unit in exposed:
        yield "science", Place(str(unit.month), unit.ifu, unit.shot, unit.exposure)
    for shot, exposure in dict.fromkeys((unit.shot, unit.exposure) for unit in exposed):
        yield "full_sky", Place(str(month_of(shot)), "", shot, exposure)
    shots = [Place(str(month_of(shot)), "", shot) for shot in dict.fromkeys(unit.shot for unit in exposed)]
    for step in OF_SHOT:
        yield from ((step, place) for place in shots)
    for month, ifu in dict.fromkeys((str(unit.month), unit.ifu) for unit in exposed):
        yield "residuals", Place(month, ifu)
    ifus = [
        Place(str(month_of(shot)), ifu, shot) for shot, ifu in dict.fromkeys((unit.shot, unit.ifu) for unit in exposed)
    ]
    for step in chosen.made:
        yield from ((step, place) for place in (ifus if step == "detections" else shots))
    for step in filter(chosen.merges, MERGED if shots else ()):
        months = plan.months if step == "detections_of_month" else [""]
        yield from ((step, Place(str(month))) for month in months)


def _of_months(plan: Plan) -> Iterator[tuple[str, Place]]:
    for step in CALIBRATIONS:
        for unit in plan.units:
            if unit.kind == (BIAS if step == "bias" else TWILIGHT):
                yield step, Place(str(unit.month), unit.ifu)
    for month in dict.fromkeys(str(unit.month) for unit in plan.units if unit.kind == TWILIGHT):
        yield "amp_to_amp", Place(month)
