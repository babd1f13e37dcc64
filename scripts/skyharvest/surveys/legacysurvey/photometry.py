"""Aperture photometry on cutouts of the Legacy Surveys.

With w the exact fraction of each pixel that lies in the circle, and sums over the pixels that are good (finite, of
finite invvar > 0):

- flux = Σ w image, error = √(Σ w / invvar), good = Σ w / π r²;
- flux and error are NaN where good is 0.

This is what the survey's own catalogues call apflux and 1/√apflux_ivar, and 1 − good their apflux_masked. (Source:
legacypipe/coadds.py; https://www.legacysurvey.org/dr10/catalogs.) Nothing makes up for the light on pixels that are not
good, nor for the light outside of the circle, and no background is taken off: the images have none. Resampling has
correlated the noise of neighbouring pixels, which the errors leave out.
"""

from typing import Any

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.core.errors import InputError

ZERO_POINT = 22.5  # AB magnitude of 1 nanomaggy


def aperture_fluxes(image: Any, invvar: Any, x: Any, y: Any, radii_pixels: Any) -> tuple[Floats, Floats, Floats]:
    """Return the fluxes in circles around the sources of cutouts. The module's docstring has the definitions.

    Parameters
    ----------
    image : (n, band, y, x) nanomaggy
        Cutouts, one a source.
    invvar : (n, band, y, x) nanomaggy⁻²
        Their inverse variance; 0 for pixels without data.
    x, y : (n,) pixels of the cutout
        Where the source is, 0 = the first pixel's centre: for an assembled file x − x0 and y − y0. It may be NaN, or
        off the cutout.
    radii_pixels : (radius,)
        Of the circles.

    Returns
    -------
    flux, flux_error : (n, band, radius) float64, nanomaggy
    good : (n, band, radius) float64
        Share of the circle's area that has good pixels, 0 to 1; what lies off the cutout is not good.

    Raises
    ------
    InputError
        If a radius is not positive.
    ValueError
        If the shapes do not belong together.
    """
    from photutils.aperture import CircularAperture  # noqa: PLC0415 (0.9 s)

    image, invvar = np.asarray(image), np.asarray(invvar)
    x, y, radii = (np.asarray(values, np.float64) for values in (x, y, radii_pixels))
    if not (image.ndim == 4 and image.shape == invvar.shape and x.shape == y.shape == image.shape[:1]):
        raise ValueError(f"image {image.shape}, invvar {invvar.shape}, x {x.shape}, y {y.shape}: not of one (n, ...)")
    if radii.ndim != 1 or not ((radii > 0) & np.isfinite(radii)).all():
        raise InputError(f"the apertures' radii are {radii.tolist()} pixels, expected a list of positive numbers")
    shape = (*image.shape[:2], len(radii))
    flux, variance, good = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for k in np.flatnonzero(np.isfinite(x) & np.isfinite(y)):
        for i, radius in enumerate(radii):
            mask = CircularAperture((x[k], y[k]), radius).to_mask(method="exact")
            on_image, on_mask = mask.get_overlap_slices(image.shape[2:])
            if on_image is None:
                continue
            weights = np.asarray(mask.data[on_mask], np.float64)
            values, inverse = image[k][:, *on_image], invvar[k][:, *on_image]
            usable = np.isfinite(values) & np.isfinite(inverse) & (inverse > 0)
            flux[k, :, i] = (weights * np.where(usable, values, 0)).sum(axis=(1, 2))
            variance[k, :, i] = (weights * usable / np.where(usable, inverse, 1)).sum(axis=(1, 2))
            good[k, :, i] = (weights * usable).sum(axis=(1, 2)) / (np.pi * radius**2)
    none = good == 0
    flux[none] = variance[none] = np.nan
    return flux, np.sqrt(variance), np.minimum(good, 1)


def magnitudes(flux: Any, flux_error: Any) -> tuple[Floats, Floats]:
    """Return AB magnitudes, 22.5 − 2.5 log₁₀ flux, and their errors to first order.

    Parameters
    ----------
    flux, flux_error
        Arrays of one shape, nanomaggy.

    Returns
    -------
    magnitude, magnitude_error : float64 arrays of that shape
        NaN where the flux is not above 0.
    """
    flux, flux_error = np.asarray(flux, np.float64), np.asarray(flux_error, np.float64)
    positive = np.where(flux > 0, flux, np.nan)
    return ZERO_POINT - 2.5 * np.log10(positive), 2.5 / np.log(10) * flux_error / positive
