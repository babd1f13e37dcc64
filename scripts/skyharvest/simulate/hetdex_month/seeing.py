"""What of a point source's light a fiber gets: a Moffat profile over the face of the fiber, moved by the atmosphere."""

from math import cos, pi, sin
from typing import Any

import numba
import numpy as np
from scipy.interpolate import PchipInterpolator

from skyharvest.core.arrays import Floats

BETA, RADIUS = 3.9, 0.75
"""Of the Moffat profile; of a fiber, ″."""
REFERENCE = 4500.0
"""Å: what the FWHM of an exposure is given for, and where the atmosphere moves nothing."""
REFRACTION = ((3500.0, 4000.0, 4500.0, 5000.0, 5500.0), (-0.74, -0.40, 0.0, 0.08, 0.20))
"""Å, and ″ along the focal plane's first axis."""
KNOTS: Floats = np.arange(3400.0, 5700.0, 100.0)
"""Å: fractions are found here."""
_RINGS, _SPOKES = 6, 12
_GAUSS: Floats = (np.polynomial.legendre.leggauss(_RINGS)[0] + 1) / 2
_WEIGHTS: Floats = np.polynomial.legendre.leggauss(_RINGS)[1] / 2


def refraction(wave: Floats) -> Floats:
    """Return by how much light is moved along the focal plane's first axis, ″."""
    moved: Floats = PchipInterpolator(*REFRACTION, extrapolate=True)(wave)
    return moved


def fractions(x: Floats, y: Floats, fwhm: float) -> Floats:
    """Return the part of a source's light that fibers get.

    Parameters
    ----------
    x, y
        (n,) f8: fibers from the source, ″ in the turned focal plane.
    fwhm
        At 4500 Å, ″; it goes with λ^-0.2.

    Returns
    -------
    (n, m) f8 at `KNOTS`. The face is sampled at 6 Gauss–Legendre rings of 12 points: better than 1e-6.
    """
    widths = fwhm * (KNOTS / REFERENCE) ** -0.2
    found: Floats = _fractions(np.asarray(x, float), np.asarray(y, float), widths, refraction(KNOTS), _GAUSS, _WEIGHTS)
    return found


@numba.njit(cache=True)
def _fractions(x: Any, y: Any, widths: Any, moved: Any, rings: Any, weights: Any) -> Any:
    found = np.zeros((x.size, widths.size))
    for i in range(x.size):
        for k in range(widths.size):
            shape = 4 * (2 ** (1 / BETA) - 1) / widths[k] ** 2
            total = 0.0
            for m in range(rings.size):
                r = RADIUS * np.sqrt(rings[m])  # rings of equal area have equal weight
                for n in range(_SPOKES):
                    dx = x[i] - moved[k] + r * cos(2 * pi * n / _SPOKES)
                    dy = y[i] + r * sin(2 * pi * n / _SPOKES)
                    total += weights[m] * (1 + shape * (dx * dx + dy * dy)) ** -BETA
            found[i, k] = total / _SPOKES * shape * (BETA - 1) * RADIUS**2
    return found
