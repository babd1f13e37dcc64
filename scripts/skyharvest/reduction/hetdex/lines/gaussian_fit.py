"""A Gaussian line on a straight continuum, fitted to a spectrum by Levenberg and Marquardt's method.

The spectrum is in bins of 2 Å, as calibrated fibers are. Compiled, as it is done some ten thousand times for an IFU.
"""

from dataclasses import dataclass

import numba
import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.virus import GRID_STEP

NARROWEST, WIDEST = 0.8, 15.0
"""Å: σ of a line that is fitted."""
FARTHEST = 8.0
"""Å: by so much its middle may move from where it was thought to be."""
FEWEST = 12
"""Bins that are known: with fewer nothing is fitted."""
STEPS, ENOUGH, MOST_DAMPED = 40, 1e-4, 1e8
"""Steps at most; by how much χ² falls in the last; and from which damping on no step is tried."""
ROOT = np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Fit:
    """A line that was fitted.

    Attributes
    ----------
    flux, wave, width, continuum, slope
        1e-17 erg/s/cm²; Å; σ in Å; 1e-17 erg/s/cm²/Å in the middle of the line, and its change in 1 Å.
    covariance
        (5, 5) f8: of these, as errors of bins say.
    noise
        The error of the flux if the line's middle and width were known.
    chi2
        χ².
    gain
        By how much χ² is lower than without a line.
    n_free
        Degrees of freedom.
    """

    flux: float
    wave: float
    width: float
    continuum: float
    slope: float
    covariance: Floats
    noise: float
    chi2: float
    gain: float
    n_free: int

    def model(self, wave: Floats) -> Floats:
        """Return what a spectrum has at wavelengths, 1e-17 erg/s/cm² in 2 Å."""
        straight = GRID_STEP * (self.continuum + self.slope * (wave - self.wave))
        return self.line(wave) + straight

    def line(self, wave: Floats) -> Floats:
        """Return the line alone."""
        shape = np.exp(-0.5 * ((wave - self.wave) / self.width) ** 2) / (ROOT * self.width)
        return np.asarray(GRID_STEP * self.flux * shape)


def fit(
    wave: Floats,
    flux: Floats,
    inverse_variance: Floats,
    at: float,
    width: float,
    *,
    hold_width: bool = False,
    continuum: bool = True,
) -> Fit | None:
    """Fit a line.

    Parameters
    ----------
    wave, flux, inverse_variance
        (m,) f8: Å, 1e-17 erg/s/cm² in 2 Å, and by its errors; 0 where it is not known (what the flux is there does not
        matter, but NaN).
    at, width
        Where it is, about, and its σ: Å.
    hold_width
        Whether the width is as given.
    continuum
        Whether there is one.

    Returns
    -------
    Fit or None
        None if there is too little to fit.
    """
    found, covariance = np.empty(5), np.empty((5, 5))
    free = np.array([True, True, not hold_width, continuum, continuum], np.float64)
    chi2, straight, n, noise = levenberg(wave, flux, inverse_variance, at, width, free, found, covariance)
    if not (n >= FEWEST and np.isfinite(noise) and noise > 0):
        return None
    turn = np.eye(5)  # the continuum is that in the middle of the line
    turn[3, 4], turn[3, 1] = found[1] - at, found[4]
    return Fit(
        flux=float(found[0]),
        wave=float(found[1]),
        width=float(found[2]),
        continuum=float(found[3] + found[4] * (found[1] - at)),
        slope=float(found[4]),
        covariance=turn @ covariance @ turn.T,
        noise=float(noise),
        chi2=float(chi2),
        gain=float(straight - chi2),
        n_free=int(n - free.sum()),
    )


@numba.njit(cache=True)
def _equations(wave: Floats, flux: Floats, iv: Floats, at: float, p: Floats, normal: Floats, right: Floats) -> float:
    """Fill the normal equations at parameters p; return χ²."""
    for a in range(5):
        right[a] = 0.0
        for b in range(5):
            normal[a, b] = 0.0
    slope = np.empty(5)
    chi2 = 0.0
    for i in range(wave.size):
        if not iv[i] > 0:
            continue
        u = (wave[i] - p[1]) / p[2]
        g = GRID_STEP * np.exp(-0.5 * u * u) / (ROOT * p[2])
        slope[0] = g
        slope[1] = p[0] * g * u / p[2]
        slope[2] = p[0] * g * (u * u - 1.0) / p[2]
        slope[3] = GRID_STEP
        slope[4] = GRID_STEP * (wave[i] - at)
        left = flux[i] - p[0] * g - slope[3] * p[3] - slope[4] * p[4]
        chi2 += left * left * iv[i]
        for a in range(5):
            right[a] += slope[a] * left * iv[i]
            for b in range(a + 1):
                normal[a, b] += slope[a] * slope[b] * iv[i]
    for a in range(5):
        for b in range(a + 1, 5):
            normal[a, b] = normal[b, a]
    return chi2


@numba.njit(cache=True)
def _invert(normal: Floats, used: Floats, damping: float, out: Floats) -> None:
    """Put the inverse of the used part of the normal equations, damped, into ``out``, 0 beside it, by Cholesky."""
    lower, inverse = np.zeros((5, 5)), np.zeros((5, 5))
    for a in range(5):
        for b in range(a + 1):
            total = normal[a, b] * used[a] * used[b]
            if a == b:
                total = total * (1.0 + damping) if total > 0 else 1.0  # what is not used does not matter
            for c in range(b):
                total -= lower[a, c] * lower[b, c]
            lower[a, b] = np.sqrt(max(total, 1e-300)) if a == b else total / lower[b, b]
    for a in range(5):
        inverse[a, a] = 1.0 / lower[a, a]
        for b in range(a):
            total = 0.0
            for c in range(b, a):
                total -= lower[a, c] * inverse[c, b]
            inverse[a, b] = total / lower[a, a]
    for a in range(5):
        for b in range(5):
            total = 0.0
            for c in range(max(a, b), 5):
                total += inverse[c, a] * inverse[c, b]
            out[a, b] = total * used[a] * used[b]


@numba.njit(cache=True)
def _moved(start: Floats, inverse: Floats, right: Floats, out: Floats) -> None:
    """Put the parameters after a step into ``out``."""
    for a in range(5):
        out[a] = start[a]
        for b in range(5):
            out[a] += inverse[a, b] * right[b]


@numba.njit(cache=True)
def levenberg(
    wave: Floats,
    flux: Floats,
    iv: Floats,
    at: float,
    width: float,
    free: Floats,
    result: Floats,
    covariance: Floats,
) -> tuple[float, float, int, float]:
    """Fit a line; see `fit`.

    Parameters
    ----------
    free
        (5,) f8: 1 for what is fitted, else 0: flux, wave, width, continuum and slope. The flux is.
    result, covariance
        (5,) and (5, 5) f8: filled, if there are `FEWEST` bins.

    Returns
    -------
    χ²; χ² of the continuum alone; how many bins are known; and the error of the flux if the line's middle and width
    were known.
    """
    n = 0
    for i in range(wave.size):
        n += iv[i] > 0
    if n < FEWEST:
        return np.nan, np.nan, n, np.nan
    normal, right, inverse = np.empty((5, 5)), np.empty(5), np.empty((5, 5))
    begin, found, tried = np.zeros(5), np.empty(5), np.empty(5)
    begin[1], begin[2] = at, width
    # A line of that place and width, and the continuum, are what is linear: the best of them is where to begin.
    linear, even = np.zeros(5), np.zeros(5)
    linear[0] = 1.0
    for a in range(3, 5):
        linear[a] = even[a] = free[a]
    _equations(wave, flux, iv, at, begin, normal, right)
    _invert(normal, even, 0.0, inverse)
    _moved(begin, inverse, right, tried)
    _invert(normal, linear, 0.0, inverse)
    _moved(begin, inverse, right, found)
    without = _equations(wave, flux, iv, at, tried, normal, right)
    chi2 = _equations(wave, flux, iv, at, found, normal, right)
    tried_normal, tried_right = np.empty((5, 5)), np.empty(5)
    damping = 1e-3
    for _ in range(STEPS):
        _invert(normal, free, damping, inverse)
        _moved(found, inverse, right, tried)
        tried[1] = min(max(tried[1], at - FARTHEST), at + FARTHEST)
        tried[2] = min(max(tried[2], NARROWEST), WIDEST)
        lower = _equations(wave, flux, iv, at, tried, tried_normal, tried_right)
        if lower <= chi2:
            gained = chi2 - lower
            chi2, damping = lower, damping * 0.3
            found, tried = tried, found
            normal, tried_normal = tried_normal, normal
            right, tried_right = tried_right, right
            if gained < ENOUGH:
                break
        else:
            damping *= 10.0
            if damping > MOST_DAMPED:
                break
    _invert(normal, free, 0.0, covariance)
    _invert(normal, linear, 0.0, inverse)
    for a in range(5):
        result[a] = found[a]
    return chi2, without, n, np.sqrt(inverse[0, 0])
