"""Metrics and places as the pages say them."""

from collections.abc import Mapping, Sequence
from typing import Any

from skyharvest.core.words import counted
from skyharvest.reduction.desi.cameras import create_camword
from skyharvest.reduction.desi.qa.definitions import STEP_OF, Definition, definition_of

NAMED = 9
"""Cameras that are named one by one."""


def describe(name: str) -> Definition:
    """Return what a metric is; of one that this version does not know, its name."""
    try:
        return definition_of(name)
    except KeyError:
        return Definition(name, "", "")


def kind_of(name: str) -> str:
    """Return the kind of task that makes what a metric measures; "" if it is of no one task."""
    return STEP_OF.get(name.partition("-")[0], "")


def place(expids: Sequence[int], cameras: Sequence[str]) -> str:
    """Return exposures and cameras in words; a spectrograph may stand for its cameras."""
    named = f" {create_camword(cameras)}" if len(cameras) <= NAMED else ""
    one = f"petal {cameras[0]}" if cameras and cameras[0].isdigit() else "".join(cameras[:1])
    which = one if len(cameras) == 1 else f"{len(cameras)} cameras{named}"
    if len(expids) == 1:
        return f"{which}, {expids[0]:08d}" if cameras else f"{expids[0]:08d}"
    if not expids:
        return which if cameras else "the night"
    return f"{which}, {counted(len(expids), 'exposure')}"


def span(expids: Sequence[int]) -> str:
    """Return the first and the last of some exposures; "" of one."""
    return f"{min(expids):08d} to {max(expids):08d}" if len(expids) > 1 else ""


def path(night: int, expid: int | None = None, camera: str = "") -> str:
    """Return the path of a page in the site."""
    if expid is None:
        return f"{night}/index.html"
    return f"{night}/{expid:08d}/{camera or 'index'}.html"


def program_of(exposure: Mapping[str, Any]) -> str:
    """Return by what a reader chooses an exposure: its conditions, its program, or its type."""
    return str(
        exposure["conditions"] or exposure["program"] if exposure["obstype"] == "science" else exposure["obstype"]
    )
