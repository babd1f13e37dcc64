"""Pictures of the sky from Legacy Surveys cutouts that this workflow has harvested.

A harvest has a cutout at each of the user's positions, which need not be detections: any that covers one will do; of
several it is the one in which the detection is farthest from an edge. Cutouts have north up and east to the left.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import HarvestError
from skyharvest.products.results import open_healpix, pixels
from skyharvest.report.hetdex_detections.neighbours import offsets
from skyharvest.sky.healpix import touched_pixels
from skyharvest.surveys.legacysurvey.colors import lupton, shown_planes, sky_noise
from skyharvest.surveys.legacysurvey.images import PIXEL_ARCSEC

SURVEY, NSIDE = "legacysurvey", 16
LEAST_INSIDE = 2.0
"""Arcsec: a position that is nearer to a cutout's edge is not covered."""
FARTHEST = 300.0
"""Arcsec: cutouts whose middle is farther from a detection are not looked at."""
NOTHING = 232
"""Grey of pixels without data."""
NONE_HARVESTED = "no harvest of the Legacy Surveys"


@dataclass(frozen=True)
class SkyPicture:
    """A picture of the sky about a detection.

    Attributes
    ----------
    colours
        (n, n, 3) u1; the first row is north, the first column east.
    half
        Arcsec from the middle to an edge.
    bands
        Those of the cutout that have data.
    """

    colours: Array
    half: float
    bands: str


@dataclass(frozen=True)
class Covering:
    """The cutout that covers a detection.

    Attributes
    ----------
    pix16, row
        Which one: of the file of this pixel.
    x, y
        Where the detection is on it, pixels from 0.
    origin
        Name and time of its file.
    """

    pix16: int
    row: int
    x: float
    y: float
    origin: str


class LegacyImages:
    """Cutouts that cover detections.

    Parameters
    ----------
    results
        Directory of the harvest's results.
    ra, dec
        (n,) f8 degrees, of detections.

    Attributes
    ----------
    covering
        Of each detection: its cutout, or None.
    why
        Why there is none of those that have none.
    """

    def __init__(self, results: Path, ra: Floats, dec: Floats) -> None:
        self._results = results
        self.covering: list[Covering | None] = [None] * len(ra)
        self.why = "no harvested cutout covers it"
        try:
            there = set(pixels(results, SURVEY))
        except HarvestError:
            self.why = NONE_HARVESTED
            return
        _, touched = touched_pixels(NSIDE, ra, dec, FARTHEST)
        inside = np.full(len(ra), LEAST_INSIDE)
        for pix16 in sorted(there & set(touched.tolist())):
            try:
                self._look(pix16, ra, dec, inside)
            except HarvestError as error:  # a harvest of other products, or a file that is torn
                self.why = str(error)

    def _look(self, pix16: int, ra: Floats, dec: Floats, inside: Floats) -> None:
        """Take the cutouts of a pixel in which detections are farther from an edge than ``inside``, which grows."""
        with open_healpix(self._results, pix16, SURVEY) as file:
            if not len(file):
                return
            at_ra, at_dec, x, y, x0, y0 = (file[name].astype(float) for name in ("ra", "dec", "x", "y", "x0", "y0"))
            side = file.images(0, ["image"])["image"].shape[-1]
            origin = f"{file.path} {file.path.stat().st_mtime_ns}"
        for k in range(len(ra)):
            near = np.flatnonzero(np.abs(at_dec - dec[k]) * 3600 <= FARTHEST)
            if not near.size:
                continue
            east, north = offsets(at_ra[near], at_dec[near], ra[k], dec[k])
            px = x[near] - x0[near] - east / PIXEL_ARCSEC
            py = y[near] - y0[near] + north / PIXEL_ARCSEC
            edge = np.min([px, py, side - 1 - px, side - 1 - py], axis=0) * PIXEL_ARCSEC
            edge = np.where(np.hypot(east, north) <= FARTHEST, edge, -1)
            best = int(np.argmax(edge))
            if edge[best] >= inside[k]:
                inside[k] = edge[best]
                self.covering[k] = Covering(pix16, int(near[best]), float(px[best]), float(py[best]), origin)

    def picture(self, covering: Covering, half: float) -> SkyPicture:
        """Return the picture about a detection.

        Parameters
        ----------
        half
            Arcsec from the middle to an edge; what the cutout does not have is grey.
        """
        with open_healpix(self._results, covering.pix16, SURVEY) as file:
            image = file.images(covering.row, ["image"])["image"]
            bands = [str(band) for band in file["band"]]
        planes, having = shown_planes(image, bands)
        n = 2 * round(half / PIXEL_ARCSEC) + 1
        grey = np.full((n, n, 3), NOTHING, np.uint8)
        if not planes:
            return SkyPicture(grey, half, "")
        # Rows go down from the north.
        row = np.rint(covering.y - np.linspace(-half, half, n) / PIXEL_ARCSEC).astype(int)
        column = np.rint(covering.x + np.linspace(-half, half, n) / PIXEL_ARCSEC).astype(int)
        size = planes[0].shape[0]
        inside = ((row >= 0) & (row < size))[:, None] & ((column >= 0) & (column < size))
        at = np.clip(row, 0, size - 1)[:, None], np.clip(column, 0, size - 1)
        colours = lupton(planes, sky_noise(planes), np.full((size, size, 3), NOTHING, np.uint8))[at]
        return SkyPicture(np.where(inside[..., None], colours, grey), half, "".join(having))
