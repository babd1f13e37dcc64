"""The picture of an emission line on the sky: a narrow band less the continuum, from an IFU's fibers.

North is up and east to the left, about the line's position. A pixel's value is the mean of the fibers about it, with
Gaussian weights of their distance (Shepard 1968, Proc. 23rd ACM Nat. Conf., 517), over a fiber's area: light per pixel,
so that sums over pixels are fluxes. Fibers are where they look at the line's wavelength (`refraction`). The image is
linear in the fibers' light, and so the error of its flux is that of fibers; pixels, which share fibers, are not
independent.

The flux is what is in an aperture, as hetdex_tools measures it (`fit_circular_aperture` and `make_narrowband_image`
say what is meant): it lacks the light outside, so that it is below the flux of the fitted line. The background is taken
off only where it is more than twice its scatter.
"""

import functools
from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Bools, Float32s, Floats
from skyharvest.formats.tangent_plane import Sky
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.virus import FIBER_RADIUS, GRID, GRID_STEP

SIZE, SCALE = 80, 0.25
"""Pixels of a side, and arcsec of a pixel."""
KERNEL_FWHM = 1.2
"""Arcsec, of the weights: fibers of three dithers are up to 0.9″ from any point."""
REACH = 2.0
"""Arcsec: a pixel without a fiber so near has no value."""
HALF_BAND = 2.0
"""Of the band, in σ of the line."""
CONTINUUM_GAP, CONTINUUM_WIDTH = 10.0, 50.0
"""Å: between the band and the windows of the continuum on both sides, and how wide these are."""
LEAST_KNOWN = 0.75
"""A fiber with a smaller share of a window's bins has no light there."""
APERTURE, ANNULUS = 1.5, (5.0, 7.0)
"""Arcsec: radius of the aperture, and those of the background."""
_CLIPS, _CLIP_SIGMA = 5, 3.0
_FINE = 10  # points along a pixel's side, by which its share in the aperture is known
_SIGMA = KERNEL_FWHM / (8 * np.log(2)) ** 0.5
_CARD, _HEADER = 80, 2880


@dataclass(frozen=True)
class LineImage:
    """A line's picture.

    Attributes
    ----------
    image, error
        (80, 80) f4, [y, x], 1e-17 erg/s/cm² in a pixel; NaN where there is no fiber.
    header
        2880 characters: the FITS header of its coordinates.
    flux, flux_err
        1e-17 erg/s/cm² in the aperture, and the error by those of the fibers; NaN if no pixel is known.
    bkg_stddev
        Scatter of the background's pixels times those of the aperture: that of the flux if all pixels rose and fell
        together, which is more than it is.
    apcor
        The share of the aperture that has a value.
    """

    image: Float32s
    error: Float32s
    header: str
    flux: float
    flux_err: float
    bkg_stddev: float
    apcor: float

    @property
    def sn(self) -> float:
        """Signal to noise: flux over ``bkg_stddev``."""
        return self.flux / self.bkg_stddev if self.bkg_stddev > 0 else np.nan


def offsets() -> tuple[Floats, Floats]:
    """Return how far east and north of the middle pixels are, (80, 80) f8 each, arcsec on the sky."""
    along = (np.arange(SIZE) - (SIZE - 1) / 2) * SCALE
    return np.tile(-along, (SIZE, 1)), np.tile(along[:, None], (1, SIZE))


def line_image(fibers: IfuFibers, ra: float, dec: float, wave: float, linewidth: float) -> LineImage:
    """Return the picture of a line.

    Parameters
    ----------
    fibers
        Of the IFU.
    ra, dec
        Degrees.
    wave, linewidth
        Å, of the line; the second is its σ.
    """
    first, last = wave - HALF_BAND * linewidth, wave + HALF_BAND * linewidth
    light, variance = band_less_continuum(fibers.flux, fibers.error, first, last)
    sky = Sky(_cards(ra, dec))
    x, y = sky.pixels(*fibers.pointing.to_sky(fibers.x - refraction.shift(np.array(wave)), fibers.y))
    known = np.isfinite(light) & (np.hypot(x - SIZE / 2, y - SIZE / 2) < (SIZE / 2**0.5 + REACH / SCALE))
    in_x, in_y = (_weights(place[known]) for place in (x, y))
    light, variance = light[known], variance[known]
    weight = np.einsum("yf,xf->yx", in_y, in_x, optimize=True)
    lit = weight > np.exp(-0.5 * (REACH / _SIGMA) ** 2)
    norm = np.where(lit, SCALE**2 / (np.pi * FIBER_RADIUS**2) / np.where(lit, weight, 1), np.nan)
    image = norm * np.einsum("yf,xf,f->yx", in_y, in_x, light, optimize=True)
    error = norm * np.sqrt(np.einsum("yf,xf,f->yx", in_y**2, in_x**2, variance, optimize=True))
    # How much each fiber counts in the aperture's sum.
    share = np.einsum("yx,yf,xf->f", np.where(lit, aperture() * norm, 0), in_y, in_x, optimize=True)
    background, stddev, apcor = _background(image, lit)
    flux = float(share @ light) if apcor > 0 else np.nan
    return LineImage(
        image.astype(np.float32),
        error.astype(np.float32),
        _header(ra, dec, first, last),
        flux - background if abs(background) > 2 * stddev else flux,
        float(np.sqrt(share**2 @ variance)) if apcor > 0 else np.nan,
        stddev,
        apcor,
    )


def band_less_continuum(flux: Float32s, error: Float32s, first: float, last: float) -> tuple[Floats, Floats]:
    """Return the light of fibers between two wavelengths less their continuum, and its variance, (n,) f8 each.

    The continuum is the mean of a window on either side, or of the one that is known.

    Parameters
    ----------
    flux, error
        (n, 1036): calibrated fibers.
    first, last
        Å.

    Returns
    -------
    1e-17 erg/s/cm², and its square; NaN where too little is known.
    """
    band = _mean(flux, error, first, last)
    blue = _mean(flux, error, first - CONTINUUM_GAP - CONTINUUM_WIDTH, first - CONTINUUM_GAP)
    red = _mean(flux, error, last + CONTINUUM_GAP, last + CONTINUUM_GAP + CONTINUUM_WIDTH)
    n_sides = np.isfinite(blue[0]).astype(int) + np.isfinite(red[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        level = (np.nan_to_num(blue[0]) + np.nan_to_num(red[0])) / n_sides
        variance = (np.nan_to_num(blue[1]) + np.nan_to_num(red[1])) / n_sides**2
    n = (last - first) / GRID_STEP
    return n * (band[0] - level), n**2 * (band[1] + variance)


def _mean(flux: Float32s, error: Float32s, first: float, last: float) -> tuple[Floats, Floats]:
    """Return the mean of fibers' bins between two wavelengths, and its variance; NaN where too few are known.

    Bins at the ends count by their share.
    """
    share = np.clip(np.minimum(GRID + GRID_STEP / 2, last) - np.maximum(GRID - GRID_STEP / 2, first), 0, GRID_STEP)
    used = np.flatnonzero(share > 0)
    bins = share[used] / GRID_STEP
    values, variances = (array[:, used].astype(np.float64) for array in (flux, error))
    known: Bools = np.isfinite(values) & np.isfinite(variances)
    weight = known @ bins
    enough = weight >= LEAST_KNOWN * (last - first) / GRID_STEP
    norm = np.where(enough, 1 / np.where(enough, weight, 1), np.nan)
    return norm * (np.where(known, values, 0) @ bins), norm**2 * (np.where(known, variances, 0) ** 2 @ bins)


def _weights(place: Floats) -> Floats:
    """Return the weights of fibers along an axis, (80, n)."""
    return np.asarray(np.exp(-0.5 * ((np.arange(SIZE)[:, None] - place) * SCALE / _SIGMA) ** 2))


@functools.cache
def aperture() -> Floats:
    """Return the share of each pixel that is in the aperture, (80, 80) f8."""
    fine = (np.arange(SIZE * _FINE) - (SIZE * _FINE - 1) / 2) * SCALE / _FINE
    inside = np.hypot(fine, fine[:, None]) < APERTURE
    return np.asarray(inside.reshape(SIZE, _FINE, SIZE, _FINE).mean((1, 3)))


@functools.cache
def _annulus() -> Bools:
    radius = np.hypot(*offsets())
    inside: Bools = (radius >= ANNULUS[0]) & (radius < ANNULUS[1])
    return inside


def _background(image: Floats, lit: Bools) -> tuple[float, float, float]:
    """Return the background's light in the aperture, its scatter likewise, and the aperture's share with a value."""
    covered = float((aperture() * lit).sum())
    apcor = covered / float(aperture().sum())
    values = image[_annulus() & lit]
    for _ in range(_CLIPS):
        if len(values) < 2:
            return np.nan, np.nan, apcor
        values = values[np.abs(values - np.median(values)) <= _CLIP_SIGMA * values.std()]
    return float(np.median(values)) * covered, float(values.std()) * covered, apcor


def _cards(ra: float, dec: float) -> dict[str, str | float]:
    middle = (SIZE + 1) / 2
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": ra,
        "CRVAL2": dec,
        "CRPIX1": middle,
        "CRPIX2": middle,
        "CDELT1": -SCALE / 3600,
        "CDELT2": SCALE / 3600,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "RADESYS": "ICRS",
    }


def _header(ra: float, dec: float, first: float, last: float) -> str:
    axes: dict[str, str | float] = {"NAXIS": 2, "NAXIS1": SIZE, "NAXIS2": SIZE}
    said: dict[str, str | float] = {"BUNIT": "1e-17 erg s-1 cm-2", "WAVEMIN": first, "WAVEMAX": last}
    text = "".join(
        f"{key:8s}= {_value(value):>20s}".ljust(_CARD) for key, value in (axes | _cards(ra, dec) | said).items()
    )
    return (text + "END").ljust(_HEADER)


def _value(value: str | float) -> str:
    return f"'{value:8s}'".ljust(20) if isinstance(value, str) else str(value).upper()
