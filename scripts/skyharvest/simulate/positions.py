"""The positions of the demo's CSV, around which the simulated cubes and bricks are laid."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.errors import InputError

WRITER = "it must be the CSV that simulate_release.py writes"


def read_positions(path: Path, needed: Iterable[str]) -> tuple[dict[str, int], dict[int, tuple[float, float]]]:
    """Return the rows by name, and RA (0 to 360) and Dec of those that have both, by row.

    Raises
    ------
    InputError
        If one of the rows named ``needed`` is missing or has no position: it is not the demo's CSV.
    """
    names: dict[str, int] = {}
    positions: dict[int, tuple[float, float]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row, line in enumerate(csv.DictReader(stream)):
            try:
                names[line["name"]] = row
                ra, dec = float(line["RA_DESI"]), float(line["DEC_DESI"])
            except KeyError as error:
                raise InputError(f"{path} has no column {error}: {WRITER}") from error
            except (TypeError, ValueError):  # a short row, an odd cell
                continue
            if -180 <= ra <= 360 and -90 <= dec <= 90:
                positions[row] = (ra % 360, dec)
    for name in needed:
        if names.get(name) not in positions:
            raise InputError(f"{path} has no row named {name!r}: {WRITER}")
    return names, positions


def separation_arcsec(a: Any, b: Any) -> Any:
    """Return the distance in arcsec of two positions (RA, Dec in degrees), or of arrays of them (haversine formula)."""
    lon, lat, lat0 = np.radians(a[0] - b[0]), np.radians(a[1]), np.radians(b[1])
    half = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * np.cos(lat0) * np.sin(lon / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half))) * 3600
