"""Where points of the focal plane are on the sky.

A fiber at (x, y) in its IFU, arcsec, is at ``(x + Y_FP, y + X_FP)`` on the focal plane, with the IFU's position from
the fplane file: the axes of that file are swapped. The plane is the gnomonic projection about the pointing; its x axis
points along the position angle, north through east, and y along an angle 90° larger.

This is how the field's public code does it (rotation ``360 - (PA + 90)``); on a real shot it gives the positions of the
field's own star list to 0.001″ (tests). The fplane file's IFUROT and PLATESC, 0 and 1 in all real files, are not used
by that code, nor here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.formats.tangent_plane import Sky

ARCSEC = 1 / 3600
"""Degrees."""


@dataclass(frozen=True)
class Pointing:
    """Where an exposure points.

    Attributes
    ----------
    ra, dec
        Degrees, ICRS: of the focal plane's centre.
    pa
        Degrees: the position angle of its x axis.
    """

    ra: float
    dec: float
    pa: float

    @cached_property
    def _sky(self) -> Sky:
        rotation = np.radians(360 - (self.pa + 90))
        cosine, sine = float(np.cos(rotation)), float(np.sin(rotation))
        return Sky(
            {
                "CTYPE1": "RA---TAN",
                "CTYPE2": "DEC--TAN",
                "CRVAL1": self.ra,
                "CRVAL2": self.dec,
                "CRPIX1": 1.0,
                "CRPIX2": 1.0,
                "CDELT1": -ARCSEC,
                "CDELT2": ARCSEC,
                "PC1_1": cosine,
                "PC1_2": sine,
                "PC2_1": -sine,
                "PC2_2": cosine,
            }
        )

    def to_sky(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return RA and Dec, degrees, of points of the focal plane, arcsec."""
        return self._sky.positions(x, y)

    def to_plane(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        """Return x and y on the focal plane, arcsec, of positions, degrees; NaN for what is more than 90° away."""
        return self._sky.pixels(ra, dec)

    def moved(self, dx: float, dy: float, turn: float) -> "Pointing":
        """Return the pointing in which what is seen at p is where this one has ``turned(p) + (dx, dy)``.

        Parameters
        ----------
        dx, dy
            Arcsec on the focal plane of this pointing.
        turn
            Degrees, by which points are turned about its centre, from x to y.
        """
        ra, dec = self.to_sky(np.array([dx]), np.array([dy]))
        # North turns with RA (the meridians of two pointings are not parallel): the angle is kept on the sky.
        ahead = self.to_sky(
            np.array([dx + 60 * np.cos(np.radians(turn))]), np.array([dy + 60 * np.sin(np.radians(turn))])
        )
        return Pointing(float(ra[0]), float(dec[0]), _position_angle(ra[0], dec[0], ahead[0][0], ahead[1][0]))


def _position_angle(ra: float, dec: float, to_ra: float, to_dec: float) -> float:
    """Return the position angle, degrees in 0 … 360, of one position seen from another."""
    east, here, there = (np.radians(value) for value in (to_ra - ra, dec, to_dec))
    across = np.cos(there) * np.sin(east)
    along = np.cos(here) * np.sin(there) - np.sin(here) * np.cos(there) * np.cos(east)
    return float(np.degrees(np.arctan2(across, along)) % 360)
