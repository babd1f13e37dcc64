"""Variances of pixels from a model of their light.

`desi_preproc` takes a pixel's own electrons for their variance. Where there are few, a pixel that is low by chance then
counts more than one that is high, and faint light comes out too faint; so do means of spectra that are weighted with
such errors. With ``--model-variance`` it takes a smooth model of the image, for which it needs the package specter.
This is such a model, by the spots of the PSF.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from skyharvest.core.arrays import Floats
from skyharvest.reduction.desi.extraction.bundle import PATCHING, Patching, light_of, padded
from skyharvest.reduction.desi.extraction.projection import model
from skyharvest.reduction.desi.psf.model import Psf

SMOOTHED = 10.0
"""σ in Å by which what is not the sky of all fibers is smoothed, as desispec does."""
FAR = 5.0
"""A wavelength, or a pixel, that is so many σ from the model is taken as it is: an object's line, a cosmic ray."""
STIFF = 1e-4
"""Weight of the light's second differences: so that its noise is no more than that of an image."""
MODEL_ERROR = 0.1
"""Relative error of the model, as far as that is told."""


def modelled_ivar(
    image: Floats, ivar: Floats, read_noise: Floats, psf: Psf, wave: Floats, patching: Patching = PATCHING
) -> Floats:
    """Return inverse variances that do not depend on each pixel's own noise.

    Parameters
    ----------
    image, ivar
        (n_y, n_x) f8: electrons, and 1 / electrons², with a pixel's own electrons as the variance of its light; 0 where
        a pixel is bad.
    read_noise
        (n_y, n_x) f8: electrons, root of the variance without light.
    wave
        (n_wave,) f8: equally spaced, Å as the traces have it.

    Returns
    -------
    Floats
        (n_y, n_x) f8; where no light of these wavelengths falls, as it was.
    """
    wave = padded(wave, patching.pad_wave)
    even = np.where(ivar > 0, 1.0, 0.0)  # all alike: else it would be too faint itself
    bundles = list(psf.by_bundle())
    light = np.concatenate([light_of(image, even, bundle, wave, STIFF, patching) for bundle in bundles])
    light = smooth(light, SMOOTHED / (wave[1] - wave[0]))
    made, lit = np.zeros_like(image), np.zeros(image.shape, bool)
    for bundle in bundles:
        own = light[bundle.first_fiber - psf.first_fiber :][: bundle.n_fiber]
        spots = bundle.spots(wave)
        box = 0, psf.n_y, 0, psf.n_x
        made += model(own, spots.values, spots.corners, box)
        lit |= model(np.ones_like(own), spots.values, spots.corners, box) != 0
    good = ivar > 0
    variance = np.divide(1, ivar, where=good, out=np.ones_like(ivar))
    far = (image - made) ** 2 > FAR**2 * (variance + (MODEL_ERROR * made) ** 2)
    instead = np.maximum(variance + np.maximum(made, 0) - np.maximum(image, 0), read_noise**2)
    return np.where(good & lit & ~far, 1 / np.where(good, instead, 1.0), ivar)


def smooth(light: Floats, sigma: float) -> Floats:
    """Return light with less noise: what all fibers have in common, times an amount, and the rest smoothed.

    Parameters
    ----------
    light
        (n_fiber, n_wave) f8.
    sigma
        By how many wavelengths.
    """
    common = np.median(light, axis=0)
    lines = common - _broad(common, sigma)  # of these an object's continuum has none
    total = lines @ lines
    shared = np.outer((light - _broad(light, sigma)) @ lines / total if total > 0 else np.zeros(len(light)), common)
    rest = light - shared
    broad = _broad(rest, sigma)
    left = rest - broad
    noise = 1.4826 * np.median(np.abs(left), axis=1)[:, None]
    brighter = np.maximum((broad + shared) / np.maximum(np.median(broad + shared, axis=1), 1e-30)[:, None], 1)
    own = left**2 > (FAR * noise) ** 2 * brighter
    return np.where(own, light, shared + _broad(np.where(own, broad, rest), sigma))


def _broad(light: Floats, sigma: float) -> Floats:
    return np.asarray(gaussian_filter1d(light, sigma, axis=-1, mode="nearest"))
