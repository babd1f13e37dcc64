"""Stars that an exposure shows: found on the picture of an IFU, measured on its fibers.

photutils finds the peaks of the picture, whose positions are good to 0.5″: it has pixels of 1″ and is made of fibers
2.5″ apart. Each peak is then measured by a fit to the fibers' light (`point_source`), the brightest first, and what it
is by the model is taken off before the next, and before fainter peaks are looked for: positions are good to 0.1″ for
stars of S/N 20 (tests). photutils' DAOStarFinder was tried in place of peaks: it does not see a star 9″ from one five
times as bright.

Lists that DAOPHOT's ALLSTAR made (``.als``) are read as well.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from photutils.detection import find_peaks
from photutils.utils.exceptions import NoDetectionsWarning

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.biweight import TO_SIGMA, location
from skyharvest.reduction.hetdex.stars import ifu_image
from skyharvest.reduction.hetdex.stars.point_source import Scene, Source

BOX = 5
"""Pixels: a peak is the highest pixel of a box of that size."""
ROUNDS = 2
"""How often peaks are looked for."""
SAME = 1.5
"""Arcsec: of two found so near, the fainter is the other again."""
MOST = 60
"""Peaks of an IFU that are measured, the highest."""
WIDTH_SNR, WIDTH_COVERAGE = 30.0, 0.8
"""Stars so bright, and so far from the edge, tell the width of images."""

_COLUMNS = 9


@dataclass(frozen=True)
class FoundStars:
    """Stars of an IFU in an exposure; all (n,) f8.

    Attributes
    ----------
    x, y
        Arcsec in the IFU.
    total, error
        Their light.
    chi2
        Of the fit, by degrees of freedom.
    coverage
        1 far from the edge: see `point_source.Source`.
    """

    x: Floats
    y: Floats
    total: Floats
    error: Floats
    chi2: Floats
    coverage: Floats

    def __len__(self) -> int:
        return len(self.x)


def peaks(picture: Array, threshold: float) -> Floats:
    """Return columns and rows, (n, 2) f8, of the peaks of a picture, the highest first.

    Parameters
    ----------
    picture
        (51, 51); NaN where there is no value.
    threshold
        In σ of the picture, from its median absolute deviation, above its median.
    """
    known = np.isfinite(picture)
    if not known.any():
        return np.zeros((0, 2))
    middle = np.median(picture[known])
    sigma = TO_SIGMA * float(np.median(np.abs(picture[known] - middle)))
    if sigma == 0:
        return np.zeros((0, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        found = find_peaks(np.where(known, picture - middle, 0.0), threshold * sigma, box_size=BOX, n_peaks=MOST)
    if found is None:
        return np.zeros((0, 2))
    found.sort("peak_value", reverse=True)
    return np.column_stack([found["x_peak"], found["y_peak"]]).astype(np.float64)


def find(
    ifus: Sequence[tuple[Floats, Floats, Floats, Floats]], *, threshold: float, least_snr: float, fwhm: float
) -> tuple[list[FoundStars], float]:
    """Find the stars of an exposure.

    Parameters
    ----------
    ifus
        Of each IFU x, y, light and its error, (n,) f8: where the fibers are in the IFU, arcsec, and their light in a
        band; NaN for a fiber of which nothing is known.
    threshold
        In σ of the picture.
    least_snr
        Of a star's light, by the fit.
    fwhm
        Of stars, arcsec, about: then it is measured, on bright ones if there are any.

    Returns
    -------
    stars : list of FoundStars, one for each IFU
        Brightest first.
    fwhm : arcsec
    """
    fields = [Scene(*ifu) for ifu in ifus]
    for ifu in fields:
        for _ in range(ROUNDS):
            for column, row in peaks(ifu_image.reconstruct(ifu.x, ifu.y, ifu.left()), threshold):
                at_x, at_y = ifu_image.position(column, row)
                source = ifu.fit((float(at_x), float(at_y)), fwhm)
                if source is not None and source.total >= least_snr * source.total_error:
                    ifu.sources[len(ifu.sources)] = source
    width = _width(fields, fwhm)
    made = []
    for ifu in fields:
        again = [ifu.fit((s.x, s.y), width, index=index) for index, s in ifu.sources.items()]
        good = [source for source in again if source is not None and source.total >= least_snr * source.total_error]
        kept: list[Source] = []
        for source in sorted(good, key=lambda source: -source.total):
            if all(np.hypot(source.x - other.x, source.y - other.y) > SAME for other in kept):
                kept.append(source)
        values = [[s.x, s.y, s.total, s.total_error, s.chi2, s.coverage] for s in kept]
        made.append(FoundStars(*np.array(values, dtype=np.float64).reshape(-1, 6).T))
    return made, width


def _width(fields: Sequence[Scene], fwhm: float) -> float:
    """Return the width of images, by bright stars; what it was taken to be if there are none."""
    widths = []
    for ifu in fields:
        for index, source in ifu.sources.items():
            if source.total < WIDTH_SNR * source.total_error or source.coverage < WIDTH_COVERAGE:
                continue
            again = ifu.fit((source.x, source.y), fwhm, index=index, fit_fwhm=True)
            if again is not None:
                widths.append(again.fwhm)
    return float(location(np.array(widths), axis=0)) if widths else fwhm


def read_als(path: Path, origin: tuple[float, float]) -> tuple[Floats, Floats, Floats, Floats]:
    """Read a list of stars that ALLSTAR made of a picture.

    Parameters
    ----------
    path
        ``….als``: three rows of header; number, x, y, magnitude, its error and four more columns in each other row.
    origin
        x and y in the IFU, arcsec, of the first pixel's centre: the picture's CRPIX1 and CRPIX2, as the field writes
        them. Pixels, of 1″, are counted from 1.

    Returns
    -------
    x, y, magnitude, error : (n,) f8
        Arcsec in the IFU; magnitudes have no zero point.

    Raises
    ------
    MalformedFile
        If it is no such list.
    """
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if number <= 3 or not line.strip():
            continue
        try:
            rows.append([float(word) for word in line.split()])
        except ValueError as error:
            raise MalformedFile(f"{path}, row {number}: found {line.strip()}; expected numbers") from error
        if len(rows[-1]) != _COLUMNS:
            raise MalformedFile(f"{path}, row {number}: found {len(rows[-1])} numbers; expected {_COLUMNS}")
    table = np.array(rows, dtype=np.float64).reshape(-1, _COLUMNS)
    return table[:, 1] - 1 + origin[0], table[:, 2] - 1 + origin[1], table[:, 3], table[:, 4]
