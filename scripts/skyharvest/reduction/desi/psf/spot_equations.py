"""How the image of a spot changes with its parameters: what a step of a least-squares fit needs of each spot."""

from typing import Any

import numba
import numpy as np

from skyharvest.reduction.desi.psf.gauss_hermite import corner, derivatives, integrals

X, Y, SIGMA_X, SIGMA_Y, N_CORE = 0, 1, 2, 3, 4
"""Places of a spot's own parameters; those of its Gauss-Hermite terms follow."""


@numba.njit(cache=True)
def equations(  # noqa: PLR0912 (one loop over pixels, for speed)
    residual: Any,
    weight: Any,
    flux: float,
    core: Any,
    gh: Any,
    terms: Any,
    half: Any,
    matrix: Any,
    right: Any,
) -> float:
    """Set up the normal equations of one spot, its flux and a constant background being free.

    Parameters
    ----------
    residual, weight
        (n_y, n_x) f8: a whole image less its model, electrons; inverse variances, 0 where a pixel is not to be used.
    flux
        Electrons.
    core
        (4,) f8: x, y, and widths of the spot, pixels.
    gh
        (degree_x + 1, degree_y + 1) f8: its Gauss-Hermite coefficients.
    terms
        (n, 2) i8: which of these are parameters: i and j.
    half
        (2,) i8: it has ``2 half + 1`` pixels in x and y.
    matrix, right
        To be filled, (4 + n, 4 + n) and (4 + n,) f8; zeros where the spot has too few good pixels.

    Returns
    -------
    float
        The share of the spot's light on pixels that are not used.
    """
    n_terms = terms.shape[0]
    n = N_CORE + n_terms
    n_x, n_y = 2 * half[0] + 1, 2 * half[1] + 1
    first_x, first_y = corner(core[X], half[0]), corner(core[Y], half[1])
    in_x, by_x, wider_x = np.empty((gh.shape[0], n_x)), np.empty((gh.shape[0], n_x)), np.empty((gh.shape[0], n_x))
    in_y, by_y, wider_y = np.empty((gh.shape[1], n_y)), np.empty((gh.shape[1], n_y)), np.empty((gh.shape[1], n_y))
    integrals(core[X], core[SIGMA_X], first_x, in_x)
    integrals(core[Y], core[SIGMA_Y], first_y, in_y)
    derivatives(core[X], core[SIGMA_X], first_x, by_x, wider_x)
    derivatives(core[Y], core[SIGMA_Y], first_y, by_y, wider_y)
    full = np.zeros((n + 2, n + 2))
    full_right = np.zeros(n + 2)
    row = np.empty(n + 2)
    lost, total = 0.0, 0.0
    for j in range(n_y):
        for i in range(n_x):
            spot = 0.0
            row[:N_CORE] = 0.0
            for a in range(gh.shape[0]):
                for b in range(gh.shape[1]):
                    c = gh[a, b]
                    if c != 0.0:
                        spot += c * in_x[a, i] * in_y[b, j]
                        row[X] += c * by_x[a, i] * in_y[b, j]
                        row[Y] += c * in_x[a, i] * by_y[b, j]
                        row[SIGMA_X] += c * wider_x[a, i] * in_y[b, j]
                        row[SIGMA_Y] += c * in_x[a, i] * wider_y[b, j]
            total += spot
            y, x = first_y + j, first_x + i
            if y < 0 or y >= weight.shape[0] or x < 0 or x >= weight.shape[1] or weight[y, x] <= 0:
                lost += spot
                continue
            for k in range(n_terms):
                row[N_CORE + k] = in_x[terms[k, 0], i] * in_y[terms[k, 1], j]
            for k in range(n):
                row[k] *= flux
            row[n], row[n + 1] = spot, 1.0
            w = weight[y, x]
            for k in range(n + 2):
                value = w * row[k]
                full_right[k] += value * residual[y, x]
                for m in range(k + 1):
                    full[k, m] += value * row[m]
    matrix[:], right[:] = 0.0, 0.0
    # The flux and the background are eliminated: what is left does not depend on their values.
    a, b, c = full[n, n], full[n + 1, n], full[n + 1, n + 1]
    determinant = a * c - b * b
    if determinant <= 1e-9 * a * c or a * c == 0.0:
        return 1.0
    for k in range(n):
        p = (full[n, k] * c - full[n + 1, k] * b) / determinant
        q = (full[n + 1, k] * a - full[n, k] * b) / determinant
        right[k] = full_right[k] - p * full_right[n] - q * full_right[n + 1]
        for m in range(k + 1):
            matrix[k, m] = full[k, m] - p * full[n, m] - q * full[n + 1, m]
            matrix[m, k] = matrix[k, m]
    return lost / total
