"""How the image of a star changes with wavelength: where it is, and how wide it is.

The telescope has a fixed altitude, so that refraction by the atmosphere is the same for all exposures. The x axis of
the focal plane points along the position angle of the shot (`tangent`), which is away from the zenith: at 55° of
altitude the parallactic angle of a real shot is its header's PARANGLE less 180° (tests). So blue light, lifted more, is
at smaller x. Source of the figures: the field's own extraction.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

from skyharvest.core.arrays import Floats

REFERENCE_WAVELENGTH = 4500.0
"""Å: where positions and FWHM are those of a star."""

WAVELENGTHS = np.array([3500.0, 4000.0, 4500.0, 5000.0, 5500.0])
"""Å."""
SHIFTS = np.array([-0.74, -0.40, 0.0, 0.08, 0.20])
"""Arcsec, of the image at these wavelengths, along the focal plane's x."""

_CURVE = PchipInterpolator(WAVELENGTHS, SHIFTS, extrapolate=True)  # smooth, and does not swing between them

SEEING_EXPONENT = -0.2
"""FWHM ∝ λ^-0.2: Kolmogorov turbulence (Fried 1966, JOSA 56, 1372)."""


def shift(wavelength: Floats) -> Floats:
    """Return by how much a star's image is moved along the focal plane's x, arcsec.

    Parameters
    ----------
    wavelength
        f8, Å.
    """
    return np.asarray(_CURVE(wavelength))


def fwhm_at(wavelength: Floats, fwhm: float) -> Floats:
    """Return the FWHM of a star's image at wavelengths, given that at `REFERENCE_WAVELENGTH`; in its unit."""
    return np.asarray(fwhm * (np.asarray(wavelength) / REFERENCE_WAVELENGTH) ** SEEING_EXPONENT)
