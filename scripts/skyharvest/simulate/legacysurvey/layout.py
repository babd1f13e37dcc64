"""Where the simulated bricks are: around positions of the demo's CSV, and elsewhere."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyharvest.core.arrays import Bools, Floats
from skyharvest.simulate.legacysurvey.brick import BANDS, PIXEL, Box
from skyharvest.simulate.positions import separation_arcsec

NEEDED = ("ra-0", "ra-negative-same-side", "duplicate-row-0", "separation-0.99", "match-12258-0")  # rows with a brick
SIDE = 0.03  # degrees
SIZE = round(SIDE * 3600 / PIXEL) + 40  # pixels: that many overlap, in total; 165 in real bricks

_NO_I = ("g", "r", "z")  # as all of BASS and MzLS, in the north
_CORNER_DEC = 0.633  # and RA 0: where four bricks meet
_AWAY = [("south", 51.4, -12.1), ("south", 320.7, 4.3), ("north", 240.2, 45.9)]


@dataclass(frozen=True)
class Brick:
    """A brick of the release; ``trail``: on one that has flaws, a place (RA, Dec) that a trail crosses."""

    region: str
    name: str
    box: Box
    bands: tuple[str, ...] = BANDS
    on_disk: bool = True
    trail: tuple[float, float] | None = None

    @property
    def center(self) -> tuple[float, float]:
        """RA and Dec."""
        ra1, ra2, dec1, dec2 = self.box
        return (ra1 + ra2) / 2, (dec1 + dec2) / 2

    @property
    def directory(self) -> str:
        """Below the release's root."""
        return f"{self.region}/coadd/{self.name[:3]}/{self.name}"

    @property
    def checksums(self) -> str:
        """File name in its directory."""
        return f"legacysurvey_demo_{self.region}_coadd_{self.name[:3]}_{self.name}.sha256sum"

    def holds(self, ra: Floats, dec: Floats) -> Bools:
        """Return which positions (RA 0 to 360) are in its box."""
        ra1, ra2, dec1, dec2 = self.box
        return np.asarray((ra >= ra1) & (ra < ra2) & (dec >= dec1) & (dec < dec2))


def lay_out(names: Mapping[str, int], positions: Mapping[int, tuple[float, float]]) -> list[Brick]:
    """Return the bricks: four that meet amid CSV rows at RA 0, one beneath a HETDEX cube, one absent, one in the north.

    Real names are of tenths of a degree, in which several of these small bricks fit: the next name is taken.
    """
    bricks: list[Brick] = []

    def add(region: str, box: Box, **options: Any) -> None:
        ra, dec = (box[0] + box[1]) / 2, (box[2] + box[3]) / 2
        tenths, taken = int(abs(dec) * 10), {brick.name for brick in bricks}
        while (name := f"{int(ra * 10):04d}{'p' if dec >= 0 else 'm'}{tenths:03d}") in taken:
            tenths += 1
        bricks.append(Brick(region, name, box, **options))

    def around(name: str, x: float, y: float) -> Box:
        """Return a box in which a row's position is at these shares of the way from ra1 to ra2, and dec1 to dec2."""
        ra, dec = positions[names[name]]
        dec1 = dec - y * SIDE
        width = SIDE / math.cos(math.radians(dec1 + SIDE / 2))
        return ra - x * width, ra + (1 - x) * width, dec1, dec1 + SIDE

    below, above = (_CORNER_DEC - SIDE, _CORNER_DEC), (_CORNER_DEC, _CORNER_DEC + SIDE)
    west, east = (360 - SIDE, 360.0), (0.0, SIDE)
    add("south", (*west, *below), trail=positions[names["ra-negative-same-side"]])
    add("south", (*east, *below), bands=_NO_I)
    add("south", (*west, *above))
    add("south", (*east, *above))
    add("south", around("duplicate-row-0", 0.55, 0.45))
    add("south", around("separation-0.99", 0.5, 0.5), on_disk=False)
    # Near the western edge, beyond which nothing was observed.
    add("north", around("match-12258-0", 0.085, 0.6), bands=_NO_I)
    return bricks


def bricks_elsewhere(positions: Mapping[int, tuple[float, float]]) -> list[Brick]:
    """Return bricks far from all CSV rows: they stand in the tables only."""
    bricks = []
    for region, ra, dec in _AWAY:
        if min(separation_arcsec(at, (ra, dec)) for at in positions.values()) > 3600:
            half = SIDE / 2
            name = f"{int(ra * 10):04d}{'p' if dec >= 0 else 'm'}{int(abs(dec) * 10):03d}"
            bands = _NO_I if region == "north" else BANDS
            wide = half / math.cos(math.radians(dec))
            box = (ra - wide, ra + wide, dec - half, dec + half)
            bricks.append(Brick(region, name, box, bands, on_disk=False))
    return bricks
