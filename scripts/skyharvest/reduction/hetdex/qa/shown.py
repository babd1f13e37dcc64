"""What the page of a shot draws: its throughput, and which stars told it."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.amp_file import text

CURVES = ("throughput", "tp_low", "tp_high", "tp_gband")
STARS = ("g", "level", "scatter", "rms")
DIGITS = 5


def curves_of(path: Path) -> dict[str, Any]:
    """Return the throughput of a shot, at the wavelengths of its table, and its stars; nothing of one without.

    Parameters
    ----------
    path
        ``throughput/{shot}.h5``.

    Raises
    ------
    MalformedFile
        If it is no such file.
    """
    if not path.exists():
        return {}
    try:
        with h5py.File(path) as file:
            if file.attrs.get("failed"):
                return {}
            table, stars = file["throughput"][()], file["stars"][()]
    except (OSError, KeyError) as error:
        raise MalformedFile(f"{path}: found no throughput of a shot ({error}): remove it and run again") from None
    return {
        "wavelength": _plain(table["wavelength"]),
        **{name: _plain(table[name]) for name in CURVES},
        "stars": {
            "id": [text(one) for one in stars["star_id"]],
            "reason": ["" if row["taken"] else text(row["reason"]) for row in stars],
            **{name: _plain(stars[name]) for name in STARS},
        },
    }


def _plain(values: NDArray[Any]) -> list[float | None]:
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]
