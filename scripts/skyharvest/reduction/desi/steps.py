"""The steps of the reduction: of what each makes one task, what it needs of a machine, and what it imports.

Light: it is imported whenever the workflow is parsed.
"""

from dataclasses import dataclass
from typing import Literal

Per = Literal["exposure", "night", "pixel"]


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes
    ----------
    name
        As the field calls it.
    per
        What owns its tasks, and their record.
    obstypes
        Exposures that have it; of a step by night, those that it is made from.
    tasks
        Kinds of tasks, in order. Nearly every step has one kind, of its own name.
    imports
        What its commands import; a job does it once for all its tasks.
    seconds
        Of a task, at 2.5 GHz: without fibers, and for each fiber.
    megabytes
        Of a task: without fibers, and for each fiber.
    """

    name: str
    per: Per
    obstypes: tuple[str, ...]
    imports: tuple[str, ...]
    seconds: tuple[float, float]
    megabytes: tuple[float, float]
    tasks: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its tasks, in order."""
        return self.tasks or (self.name,)


_D = "desispec.scripts."
_STEPS = (
    Step(
        "preproc",
        "exposure",
        ("arc", "flat", "science"),
        (_D + "preproc",),
        (10, 0.02),
        (390, 2.8),  # a CCD has 8 columns for a fiber: 1.6 GB for 4,096 by 4,096 pixels
    ),
    Step(
        "psf",
        "exposure",
        ("arc",),
        ("skyharvest.reduction.desi.psf.steps",),
        (1, 0.25),
        (300, 2),
    ),
    Step(
        "psfnight",
        "night",
        ("arc",),
        ("skyharvest.reduction.desi.psf.steps",),
        (1, 0.02),
        (250, 0.5),
    ),
    Step(
        "traceshift",
        "exposure",
        ("flat", "science"),
        ("skyharvest.reduction.desi.psf.steps",),
        (1, 0.12),
        (300, 1),
    ),
    Step(
        "extract",
        "exposure",
        ("flat", "science"),
        ("skyharvest.reduction.desi.extraction.frame",),
        (1, 0.28),
        (450, 3),
    ),
    Step(
        "fiberflat",
        "exposure",
        ("flat",),
        (_D + "fiberflat",),
        (2, 0.2),
        (300, 2),
    ),
    Step(
        "fiberflatnight",
        "night",
        ("flat",),
        (_D + "average_fiberflat",),
        (1, 0.05),
        (150, 1),
    ),
    Step(
        "sky",
        "exposure",
        ("science",),
        (_D + "sky",),
        (2, 0.8),
        (800, 4),
    ),
    Step(
        "starfit",
        "exposure",
        ("science",),
        (_D + "stdstars",),
        (4, 0.2),
        (300, 4),
    ),
    Step(
        "fluxcalib",
        "exposure",
        ("science",),
        (_D + "select_calib_stars", _D + "fluxcalibration"),
        (4, 0.2),
        (600, 4),
        tasks=("calibstars", "fluxcalib"),
    ),
    Step(
        "cframe",
        "exposure",
        ("science",),
        (_D + "procexp",),
        (3, 0.1),
        (320, 2),
    ),
    Step(
        "qa",
        "exposure",
        ("arc", "flat", "science"),
        ("skyharvest.reduction.desi.qa.measure",),
        (1, 0.01),
        (350, 3),
    ),
    Step(
        "spectra",
        "pixel",
        ("science",),
        (_D + "group_spectra", "skyharvest.reduction.desi.coadds"),
        (4, 0.02),
        (250, 2),
        tasks=("spectra", "coadd-cameras", "coadd-lin", "coadd-log", "coadd-fast"),
    ),
    Step(
        "redshift",
        "pixel",
        ("science",),
        ("redrock.external.desi",),
        (15, 4),
        (1500, 4),
    ),
)
STEPS = {step.name: step for step in _STEPS}
"""Steps by name, in their order."""
STEP_OF = {kind: step for step in _STEPS for kind in step.kinds}
"""Kind of task → its step."""

OF_STARS = ("starfit", "fluxcalib", "cframe")
"""Steps that a spectrograph without standard stars does not have."""
QA = "qa"
"""The step that measures what the others have made: of every exposure, whatever is the last of its steps."""

LAST = {"skysub": "sky", "stdstarfit": "starfit", "fluxcal": "cframe", "all": "redshift"}
"""LASTSTEP → the last step that an exposure is in."""


def reaches(laststep: str, step: str) -> bool:
    """Tell whether an exposure with this LASTSTEP is in a step."""
    order = list(STEPS)
    return laststep in LAST and (step == QA or order.index(step) <= order.index(LAST[laststep]))
