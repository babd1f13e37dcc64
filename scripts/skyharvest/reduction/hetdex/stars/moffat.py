"""The share of a star's light that fibers get.

Images of stars are Moffat profiles (Moffat 1969, A&A 3, 455) of one β; a fiber takes the light that falls on its face.
The integral has no closed form. It is summed over points of the disc, by Gauss's rule in r² and evenly in angle (over
half of them: the light is symmetric about the line from the fiber to the star), and depends only on distance and radius
in units of the FWHM: so it is kept in a table of these two, and interpolated by cubic convolution (Keys 1981, IEEE
Trans. ASSP 29, 1153), which has no steps in its slope. It is good to 1e-4 of a star's light for images of 0.8″ and
wider. The sum itself takes as long compiled as with numpy, as powers take nearly all of it; the table is some ten times
as fast (bench/hetdex_stars.py).
"""

import functools

import numba
import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.virus import FIBER_RADIUS

BETA = 3.9

N_RADII, N_ANGLES = 4, 6

_nodes, _weights = np.polynomial.legendre.leggauss(N_RADII)
RADII = np.sqrt((_nodes + 1) / 2)
"""Of points on a disc of radius 1; with `RADIUS_WEIGHTS`, of sum 1, an average over its area."""
RADIUS_WEIGHTS = _weights / 2
COSINES = np.cos((np.arange(N_ANGLES) + 0.5) * np.pi / N_ANGLES)

STEP = 0.02
"""Of the table, in FWHM."""
FARTHEST, WIDEST = 6.0, 1.2
"""Distance from a star, and radius of a fiber, in FWHM, up to which the table goes; beyond, the sum is taken."""


@numba.njit(cache=True)
def _sum(distance: float, radius: float, beta: float, radii: Floats, weights: Floats, cosines: Floats) -> float:
    """Return the share in a fiber; distance and radius in FWHM."""
    k = 4.0 * (2.0 ** (1.0 / beta) - 1.0)
    total = 0.0
    for i in range(radii.size):
        r = radius * radii[i]
        ring = 0.0
        for cosine in cosines:
            ring += (1.0 + k * (distance * distance + r * r + 2.0 * distance * r * cosine)) ** -beta
        total += weights[i] * ring
    share: float = (beta - 1.0) * k * radius * radius * total / cosines.size
    return share


@numba.njit(cache=True)
def _filled(
    n_distance: int, n_radius: int, step: float, beta: float, radii: Floats, weights: Floats, cosines: Floats
) -> Floats:
    """Return the table; its first row is at the distance of -1 step, its first column at a radius of 0."""
    table = np.empty((n_distance, n_radius))
    for i in range(n_distance):
        for j in range(n_radius):
            table[i, j] = _sum(abs(i - 1) * step, j * step, beta, radii, weights, cosines)
    return table


@numba.njit(cache=True)
def _cubic(t: float) -> tuple[float, float, float, float]:
    """Return the weights of four values at -1, 0, 1 and 2, for one at t."""
    return (
        ((2.0 - t) * t - 1.0) * t / 2.0,
        ((3.0 * t - 5.0) * t * t + 2.0) / 2.0,
        ((4.0 - 3.0 * t) * t + 1.0) * t / 2.0,
        (t - 1.0) * t * t / 2.0,
    )


@numba.njit(cache=True)
def _looked_up(
    dx: Floats,
    dy: Floats,
    fwhm: Floats,
    radius: float,
    table: Floats,
    step: float,
    beta: float,
    radii: Floats,
    weights: Floats,
    cosines: Floats,
) -> Floats:
    out = np.empty(dx.size)
    for n in range(dx.size):
        distance = np.sqrt(dx[n] * dx[n] + dy[n] * dy[n]) / fwhm[n]
        wide = radius / fwhm[n]
        at, there = distance / step, wide / step
        if not (at < table.shape[0] - 3 and 1.0 <= there < table.shape[1] - 2):  # or it is NaN
            out[n] = _sum(distance, wide, beta, radii, weights, cosines)
            continue
        i, j = int(at), int(there)
        a = _cubic(at - i)
        b0, b1, b2, b3 = _cubic(there - j)
        total = 0.0
        for m in range(4):
            row = table[i + m]
            total += a[m] * (b0 * row[j - 1] + b1 * row[j] + b2 * row[j + 1] + b3 * row[j + 2])
        out[n] = total
    return out


@functools.lru_cache(maxsize=8)
def _table(beta: float) -> Floats:
    n_distance, n_radius = int(FARTHEST / STEP) + 4, int(WIDEST / STEP) + 3
    made: Floats = _filled(n_distance, n_radius, STEP, beta, RADII, RADIUS_WEIGHTS, COSINES)
    return made


def fractions(dx: Floats, dy: Floats, fwhm: float | Floats, beta: float = BETA, radius: float = FIBER_RADIUS) -> Floats:
    """Return the share of a star's light in fibers.

    Parameters
    ----------
    dx, dy
        f8, of one shape: from the star to the fibers' centres, arcsec.
    fwhm
        Of the image, arcsec: one for all, or of a shape that broadcasts with ``dx``.
    beta
        Of the Moffat profile, above 1.
    radius
        Of a fiber, arcsec.

    Returns
    -------
    f8 of the shape that they broadcast to: 0 … 1.
    """
    shape = np.broadcast_shapes(np.shape(dx), np.shape(dy), np.shape(fwhm))
    x, y, width = (np.array(np.broadcast_to(values, shape), np.float64).ravel() for values in (dx, dy, fwhm))
    made: Floats = _looked_up(x, y, width, radius, _table(beta), STEP, beta, RADII, RADIUS_WEIGHTS, COSINES)
    return made.reshape(shape)
