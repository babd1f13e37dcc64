"""Values of what is found in calibrated fibers and made of them: of IFUs, and of shots."""

from pathlib import Path

import h5py
import numpy as np

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex import report_list
from skyharvest.reduction.hetdex.layout import DETECTIONS_FILE, Layout
from skyharvest.reduction.hetdex.lines import flux_limits
from skyharvest.reduction.hetdex.qa.read import Values, shot_values
from skyharvest.reduction.hetdex.release import cubes_csv
from skyharvest.reduction.hetdex.steps import DONE, FAILED

COUNTED = "n_"
"""Of IFUs, values that are named so are added up for the shot; of others the median is taken."""


def line_values(directory: Path) -> Values:
    """Return what the emission lines of an IFU say; nothing if they failed, or are not there.

    Parameters
    ----------
    directory
        ``detections/SHOT/PAIRING``.

    Raises
    ------
    MalformedFile
        If it has not what it should.
    """
    path = directory / DETECTIONS_FILE
    if not path.exists():
        return {}
    values, _ = shot_values("detections", path)
    try:
        with h5py.File(path) as file:
            if file.attrs.get("failed"):
                return {}
            values["detections.n_lines"] = float(len(file["Detections"]))
    except (OSError, KeyError) as error:
        raise MalformedFile(f"{path}: found no detections ({error}); remove {directory} and run again") from None
    limit = flux_limits.FluxLimits.read(directory / flux_limits.FILE).typical(np.array([flux_limits.INDEX_WAVE]))
    return values | {"detections.flux_limit_4600": float(limit[0])}


def cube_values(directory: Path) -> dict[str, Values]:
    """Return what the table of a shot's cubes says of each IFU that has one, by pairing.

    Parameters
    ----------
    directory
        ``release/datacubes/SHOTID``.

    Raises
    ------
    MalformedFile
        If it has no such table.
    """
    names = [name for name in cubes_csv.INDEX.names or () if name.startswith("flag")]
    rows = {row.ifu: row.values for row in cubes_csv.read(directory)} if directory.exists() else {}
    return {
        ifu: {f"cubes.{name}": float(values[name]) for name in names}
        for ifu, values in rows.items()
        if values is not None
    }


def source_values(step: str, layout: Layout, shot: str) -> Values:
    """Return what a step says of a shot as a whole.

    Parameters
    ----------
    step
        ``continuum``, ``cutouts`` or ``reports``.
    layout, shot
        Where products stand, and of what.

    Raises
    ------
    MalformedFile
        If the product is none.
    """
    if step == "reports":
        path = layout.reports(shot)
        if not path.exists():
            return {}
        states = [one.state for one in report_list.read_list(path).values()]
        return {"reports.n_reports": float(states.count(DONE)), "reports.n_failed": float(states.count(FAILED))}
    path = layout.cutouts(shot) if step == "cutouts" else layout.of_shot(step, shot)
    return shot_values(step, path)[0] if path.exists() else {}


def of_all(by_ifu: dict[str, Values]) -> Values:
    """Return what values of a shot's IFUs say of the shot."""
    names = dict.fromkeys(name for values in by_ifu.values() for name in values)
    some = {name: np.array([of[name] for of in by_ifu.values() if name in of]) for name in names}
    return {
        name: float(values.sum() if name.partition(".")[2].startswith(COUNTED) else np.nanmedian(values))
        for name, values in some.items()
    }
