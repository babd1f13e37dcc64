"""The magnitude of a source by its own spectrum."""

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.virus import GRID

BAND = (4000.0, 5400.0)
"""Å: what VIRUS sees well of the g band."""
LIGHT = 2.99792458e18
"""Å/s."""
AB_ZERO = 48.6
"""Of magnitudes by flux in erg/s/cm²/Hz."""
LIMIT_SIGMA = 2.0


def ab_magnitude(flux: Floats, error: Floats) -> tuple[float, float, bool]:
    """Return the AB magnitude of the mean of a spectrum's `BAND`.

    Parameters
    ----------
    flux, error
        (1036,) f8: on `GRID`, 1e-17 erg/s/cm²/Å; NaN where nothing is known.

    Returns
    -------
    magnitude, error
        NaN where less than half of the band is known.
    is_limit
        Whether there is less than 2 σ: then it is the magnitude of 2 σ more than there is.
    """
    first, last = BAND
    inside = (first <= GRID) & (last >= GRID)
    known = inside & np.isfinite(flux) & np.isfinite(error)
    if known.sum() < inside.sum() / 2:
        return np.nan, np.nan, False
    # Photons count, so that the mean is that of λ times the flux; the pivot wavelength makes it one of frequency.
    wave = GRID[known]
    weight = wave / wave.sum()
    mean = float(weight @ flux[known])
    its_error = float(np.sqrt(weight**2 @ error[known] ** 2))
    is_limit = mean < LIMIT_SIGMA * its_error
    shown = max(mean, 0.0) + LIMIT_SIGMA * its_error if is_limit else mean
    pivot2 = float(wave.sum() / (1 / wave).sum())
    magnitude = -2.5 * np.log10(shown * 1e-17 * pivot2 / LIGHT) - AB_ZERO
    return float(magnitude), 2.5 / np.log(10) * its_error / mean if not is_limit else np.nan, bool(is_limit)
