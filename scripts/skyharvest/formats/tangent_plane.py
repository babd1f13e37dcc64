"""Celestial coordinates of an image: positions to pixels and back.

The gnomonic projection (TAN) is computed here, any other by astropy, whose import is slow for short jobs.

Source: Calabretta & Greisen 2002, A&A 395, 1077, §5.1.3; Greisen & Calabretta 2002, A&A 395, 1061, for the matrices.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.formats.fits_header import Value

Floats = npt.NDArray[np.float64]

_CELESTIAL = re.compile(
    r"(CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA)[12]|(PC|CD)[12]_[12]|PV[12]_\d+|LONPOLE|LATPOLE|RADESYS|EQUINOX"
)


class Sky:
    """The celestial axes of a header.

    Parameters
    ----------
    header
        Keyword → value; keywords of axes other than 1 and 2 are ignored. The frame is taken to be ICRS.
    shape
        Shape of the image, (y, x), for astropy's WCS.

    Raises
    ------
    ValueError
        If the keywords make no celestial WCS.
    """

    def __init__(self, header: Mapping[str, Value], shape: tuple[int, ...] | None = None) -> None:
        self._shape = shape
        self.cards = {key: value for key, value in header.items() if _CELESTIAL.fullmatch(key)}
        types = self.cards.get("CTYPE1"), self.cards.get("CTYPE2")
        if not (str(types[0]).startswith("RA--") and str(types[1]).startswith("DEC-")):
            raise ValueError(f"CTYPE1 and CTYPE2 are {types[0]!r} and {types[1]!r}, expected 'RA---TAN' and 'DEC--TAN'")
        for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
            if not np.isfinite(self._number(key)):
                raise ValueError(f"{key} is {self.cards.get(key)!r}, expected a number")
        self._matrix = self._pixel_scale_matrix()
        if not np.isfinite(self._matrix).all():
            raise ValueError("its CDELTi and PCi_j, or CDi_j, are not all numbers")
        self._is_plain = (
            types == ("RA---TAN", "DEC--TAN")
            and self.cards.get("LONPOLE", 180.0) == 180.0
            and all(self.cards.get(f"CUNIT{axis}", "deg") == "deg" for axis in (1, 2))
            and not any(key.startswith(("PV", "CROTA")) for key in self.cards)
            and abs(self._number("CRVAL2")) < 90  # at the pole LONPOLE has another default
            and np.linalg.det(self._matrix) != 0
        )
        if not self._is_plain:
            self.wcs.wcs.set()  # raises if the keywords are wrong
            self._matrix = self.wcs.pixel_scale_matrix

    def _number(self, key: str, default: float | None = None) -> float:
        return as_number(self.cards.get(key, default))

    def _pixel_scale_matrix(self) -> Floats:
        """Return the (2, 2) matrix from pixels to degrees on the plane of projection."""
        pairs = [[(i, j) for j in (1, 2)] for i in (1, 2)]
        if any(re.match("CD[12]", key) for key in self.cards):
            return np.array([[self._number(f"CD{i}_{j}", 0) for i, j in row] for row in pairs])
        return np.array(
            [[self._number(f"CDELT{i}", 1) * self._number(f"PC{i}_{j}", i == j) for i, j in row] for row in pairs]
        )

    @cached_property
    def wcs(self) -> Any:
        """`astropy.wcs.WCS` of the celestial axes."""
        from astropy.io.fits import Header  # noqa: PLC0415 (with astropy.wcs 0.4 s)
        from astropy.wcs import WCS  # noqa: PLC0415

        wcs = WCS(Header(self.cards), fix=False)
        wcs.array_shape = self._shape
        return wcs

    @property
    def pixel_arcsec(self) -> float:
        """Side of a pixel: the first of the WCS's projected pixel scales."""
        return float(np.hypot(*self._matrix[:, 0]) * 3600)

    def pixels(self, ra: Any, dec: Any) -> tuple[Floats, Floats]:
        """Return the pixels of positions.

        Parameters
        ----------
        ra, dec : (n,) degrees, ICRS

        Returns
        -------
        x, y : (n,) float64
            0 is the first pixel's centre; NaN for a position that the projection does not reach.
        """
        ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
        if not self._is_plain:
            x, y = self.wcs.wcs_world2pix(np.column_stack([ra, dec]), 0).T
            return x, y
        dec0 = np.radians(self._number("CRVAL2"))
        dec, east = np.radians(dec), np.radians(ra - self._number("CRVAL1"))
        toward = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(east)
        toward = np.where(toward > 0, toward, np.nan)  # behind the observer
        xi = np.cos(dec) * np.sin(east) / toward
        eta = (np.sin(dec - dec0) + 2 * np.sin(dec0) * np.cos(dec) * np.sin(east / 2) ** 2) / toward
        dx, dy = np.linalg.solve(self._matrix, np.degrees([xi, eta]))
        return dx + self._number("CRPIX1") - 1, dy + self._number("CRPIX2") - 1

    def positions(self, x: Any, y: Any) -> tuple[Floats, Floats]:
        """Return the positions of pixels: the inverse of `pixels`.

        Parameters
        ----------
        x, y : arrays of one shape
            0 is the first pixel's centre.

        Returns
        -------
        ra, dec : float64 arrays of that shape, degrees, ICRS; 0 <= ra < 360
        """
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if not self._is_plain:
            ra, dec = self.wcs.wcs_pix2world(np.column_stack([x.ravel(), y.ravel()]), 0).T
            return ra.reshape(x.shape) % 360, dec.reshape(x.shape)
        offsets = np.stack([x.ravel() - self._number("CRPIX1") + 1, y.ravel() - self._number("CRPIX2") + 1])
        xi, eta = np.radians(self._matrix @ offsets)
        dec0 = np.radians(self._number("CRVAL2"))
        toward = np.cos(dec0) - eta * np.sin(dec0)
        ra = np.degrees(np.arctan2(xi, toward)) + self._number("CRVAL1")
        dec = np.degrees(np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, toward)))
        return (ra % 360).reshape(x.shape), dec.reshape(x.shape)


def as_number(value: Value) -> float:
    """Return a card's value as a float; NaN if it is no number."""
    return float(value) if isinstance(value, int | float) else float("nan")
