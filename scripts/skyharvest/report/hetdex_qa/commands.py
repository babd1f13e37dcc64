"""The command that repeats a job: as its log begins with it, and by Snakemake."""

import functools
import shlex
from pathlib import Path

from skyharvest.core.cli import COMMAND
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.places import STEPS, Place

TARGET = "reduce_hetdex"


class Commands:
    """Commands of a run.

    Parameters
    ----------
    layout
        Where products stand.
    logs
        Directory of the run's logs.
    configfiles
        As Snakemake was given them.
    """

    def __init__(self, layout: Layout, logs: Path, configfiles: tuple[Path, ...] = ()) -> None:
        self.layout, self.logs, self.configfiles = layout, logs, configfiles

    def of(self, step: str, place: Place) -> tuple[str, str]:
        """Return what repeats a job, a command a line, and the path of its log; "" if it has none."""
        if step not in STEPS:
            return "", ""
        log = self.logs / place.log(step)
        said = _command(log)
        lines = [said] if said else []
        given = ["--configfile", *map(str, self.configfiles)] if self.configfiles else []
        again = ["snakemake", *given, "--forcerun", str(place.product(step, self.layout)), "--", TARGET]
        return "\n".join([*lines, shlex.join(again)]), str(log) if said else ""


@functools.lru_cache(maxsize=4096)
def _command(log: Path) -> str:
    """Return the command that a log begins with; "" if there is none."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            return next((line.partition(COMMAND)[2].strip() for line in lines if COMMAND in line), "")
    except FileNotFoundError:
        return ""
