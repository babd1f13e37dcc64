"""Where the log and the product of a job stand, by the step that it is of."""

from dataclasses import dataclass
from pathlib import Path

from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.steps import CALIBRATIONS, FRAMES, OF_SHOT, RULES
from skyharvest.reduction.hetdex.steps import STEPS as OF_LEDGER

STEPS = tuple(step for step in OF_LEDGER if step != FRAMES)
"""Steps that are jobs, in their order."""


@dataclass(frozen=True)
class Place:
    """Where something is: what it has not is empty. A shot has its month, too. Not every step needs all."""

    month: str = ""
    ifu: str = ""
    shot: str = ""
    exposure: str = ""

    def log(self, step: str) -> str:
        """Return the name of a step's log, below the directory of logs."""
        if step in OF_SHOT:
            parts: tuple[str, ...] = (self.shot,)
        elif step == "amp_to_amp":
            parts = (self.month,)
        else:
            parts = (self.shot, self.exposure, self.ifu) if self.shot else (self.month, self.ifu)
        return f"{RULES.get(step, f'hetdex_{step}')}/{'/'.join(filter(None, parts))}.log"

    def product(self, step: str, layout: Layout) -> Path:
        """Return what a step makes."""
        if step in OF_SHOT:
            return layout.of_shot(step, self.shot)
        if step in CALIBRATIONS and step != "flat":
            return layout.calibration(step, self.month, self.ifu)
        return {
            "flat": layout.flat(self.month, self.ifu),
            "amp_to_amp": layout.amp_to_amp(self.month),
            "science": layout.science(self.shot, self.exposure, self.ifu),
            "full_sky": layout.full_sky(self.shot, self.exposure),
            "residuals": layout.residuals(self.month, self.ifu),
        }[step]
