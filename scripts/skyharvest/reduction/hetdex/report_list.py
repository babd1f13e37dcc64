"""The list of a shot's reports, ``reports/SHOT.csv``: what became of each detection."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skyharvest.core.csv_file import read_rows, write_rows
from skyharvest.reduction.hetdex.layout import shotid_of

HEADER = ("detectid", "state", "reason")


@dataclass(frozen=True)
class Outcome:
    """What became of the report of a detection.

    Attributes
    ----------
    state
        One of `steps.STATES`: done, failed, or left_out by a setting.
    reason
        Why it is not there, or what it lacks; else no text.
    """

    state: str
    reason: str = ""


def images_beside(path: Path, shot: str) -> Path:
    """Return the SQLite file with the reports of a list, named as HETDEX's own are: ``detectid // 100000``."""
    return path.with_name(f"elixer_reports_{shotid_of(shot)}.db")


def write_list(path: Path, outcomes: Mapping[int, Outcome]) -> None:
    """Write the list, by detectid."""
    write_rows(path, HEADER, ((detectid, one.state, one.reason) for detectid, one in sorted(outcomes.items())))


def read_list(path: Path) -> dict[int, Outcome]:
    """Read a list.

    Raises
    ------
    MalformedFile
        If it is none.
    """
    return {int(detectid): Outcome(state, reason) for detectid, state, reason in read_rows(path, HEADER)}
