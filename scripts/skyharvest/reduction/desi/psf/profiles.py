"""Light of fibers in the rows of an image: its amounts, and how far from the traces it is."""

from typing import Any

import numba
import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.desi.psf.gauss_hermite import derivatives, integrals


@numba.njit(cache=True)
def across(
    image: Any, weight: Any, x: Any, sigma: Any, terms: Any, half: int, light: Any, light_weight: Any, move: Any
) -> None:
    """Fit the profile of a trace to each row of an image.

    Parameters
    ----------
    image, weight
        (n_y, n_x) f8: electrons; inverse variances, 0 where a pixel is bad.
    x, sigma
        (n_y,) f8: where the trace is in each row, and its width, pixels.
    terms
        (n_y, degree + 1) f8: Gauss-Hermite coefficients of the profile.
    half
        Pixels used on each side of the trace.
    light, light_weight
        To be filled, (n_y,) f8: electrons in each row, and their inverse variance; 0 where too few pixels are good.
    move
        To be filled, (n_y, 2) f8: what a common move dx adds to χ²: ``dx = sum(move[:, 0]) / sum(move[:, 1])``, with
        the variance ``1 / sum(move[:, 1])``.
    """
    degree = terms.shape[1] - 1
    n = 2 * half + 1
    values, by_centre, by_sigma = np.empty((degree + 1, n)), np.empty((degree + 1, n)), np.empty((degree + 1, n))
    profile, slope = np.empty(n), np.empty(n)
    for y in range(image.shape[0]):
        light[y], light_weight[y], move[y, 0], move[y, 1] = 0.0, 0.0, 0.0, 0.0
        first = int(np.floor(x[y] + 0.5)) - half
        if first < 0 or first + n > image.shape[1]:
            continue
        integrals(x[y], sigma[y], first, values)
        derivatives(x[y], sigma[y], first, by_centre, by_sigma)
        pp, ps, ss, dp, ds, seen, total = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            profile[i], slope[i] = 0.0, 0.0
            for k in range(degree + 1):
                profile[i] += terms[y, k] * values[k, i]
                slope[i] += terms[y, k] * by_centre[k, i]
            w, d = weight[y, first + i], image[y, first + i]
            total += profile[i]
            if w > 0:
                seen += profile[i]
                pp += w * profile[i] ** 2
                ps += w * profile[i] * slope[i]
                ss += w * slope[i] ** 2
                dp += w * d * profile[i]
                ds += w * d * slope[i]
        if pp <= 0 or seen < 0.8 * total:
            continue
        amount = dp / pp
        light[y], light_weight[y] = amount, pp
        # The amount is free: what is left of the slope is at right angles to the profile.
        move[y, 0] = amount * (ds - dp * ps / pp)
        move[y, 1] = amount**2 * (ss - ps**2 / pp)


@numba.njit(cache=True)
def along(y: Any, sigma: Any, terms: Any, light: Any, half: int, n_y: int) -> tuple[Floats, Floats]:
    """Return the rows that light at some places makes, and how they change when it moves.

    Parameters
    ----------
    y, sigma, light
        (n,) f8: places and widths, pixels; electrons.
    terms
        (n, degree + 1) f8: Gauss-Hermite coefficients of the profile along the trace.
    half
        A spot has ``2 half + 1`` rows.

    Returns
    -------
    tuple
        (n_y,) f8, twice: light, and its derivative by y.
    """
    degree, n = terms.shape[1] - 1, 2 * half + 1
    values, by_centre, by_sigma = np.empty((degree + 1, n)), np.empty((degree + 1, n)), np.empty((degree + 1, n))
    rows, slopes = np.zeros(n_y), np.zeros(n_y)
    for k in range(y.size):
        if light[k] == 0:
            continue
        first = int(np.floor(y[k] + 0.5)) - half
        integrals(y[k], sigma[k], first, values)
        derivatives(y[k], sigma[k], first, by_centre, by_sigma)
        for j in range(n):
            if 0 <= first + j < n_y:
                for m in range(degree + 1):
                    rows[first + j] += light[k] * terms[k, m] * values[m, j]
                    slopes[first + j] += light[k] * terms[k, m] * by_centre[m, j]
    return rows, slopes
