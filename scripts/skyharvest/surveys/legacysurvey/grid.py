"""How the Legacy Surveys divide the sky into bricks, for where a release's tables of them are not at hand.

Rows of 0.25° in Dec, one of them around the equator, each divided into an even number of equal bricks of at most 0.25°,
from RA 0 on. Source: legacysurvey.org/dr9/description, "bricks"; a brick is named after its centre.
"""

import math

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.surveys.legacysurvey.bricks import BRICK_DTYPE, Bricks, is_north
from skyharvest.surveys.legacysurvey.release import Release

SIDE = 0.25  # degrees
FIRST = -90 - SIDE / 2  # Dec of the first row's lower edge: it reaches beyond the pole
LAST_ROW = 720


def grid_bricks(ra: Floats, dec: Floats, release: Release) -> Bricks:
    """Return the bricks, each once, that positions would be in if a release had images everywhere.

    Parameters
    ----------
    ra, dec : (n,) float64, degrees
    release
        Its bands are those of every brick. Of two regions, a brick is of the one that `is_north` says.
    """
    bricks = np.zeros(len(ra), BRICK_DTYPE)
    row = np.floor((dec - FIRST) / SIDE).astype(np.int64)
    columns = np.array([_n_columns(k) for k in row.tolist()], np.int64)
    width = 360 / np.maximum(columns, 1)
    column = np.floor((ra % 360) / width)
    bricks["ra1"], bricks["ra2"] = column * width, (column + 1) * width
    bricks["dec1"], bricks["dec2"] = FIRST + row * SIDE, FIRST + (row + 1) * SIDE
    bricks["ra"], bricks["dec"] = (column + 0.5) * width, FIRST + (row + 0.5) * SIDE
    centres = zip(bricks["ra"].tolist(), bricks["dec"].tolist(), strict=True)
    bricks["brickname"] = [_name(*centre) for centre in centres]
    north = is_north(bricks["ra"], bricks["dec"])
    both = set(release.regions) == {"north", "south"}
    bricks["region"] = np.where(north, b"north", b"south") if both else release.regions[0].encode()
    bricks["bands"] = "".join(release.bands).encode()
    return np.unique(bricks)


def _n_columns(row: int) -> int:
    """Return how many bricks a row has: one at a pole, else an even number."""
    if row in (0, LAST_ROW):
        return 1
    widest = min(abs(FIRST + row * SIDE), abs(FIRST + (row + 1) * SIDE))
    return 2 * math.ceil(180 / SIDE * math.cos(math.radians(widest)))


def _name(ra: float, dec: float) -> str:
    """Return a brick's name: RA and Dec of its centre, cut off after tenths of a degree."""
    return f"{round(ra * 10_000):07d}"[:4] + ("m" if dec < 0 else "p") + f"{round(abs(dec) * 10_000):06d}"[:3]
