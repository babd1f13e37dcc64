"""Spectra of all fibers of an amplifier: in each column all fibers are fitted together.

Horne's (1986, PASP 98, 609) optimal extraction takes fibers one by one, and a star's wings for light of its
neighbours. Here a column's pixels are the sum of all fibers' profiles times their unknown electrons, and χ² is
smallest. As fibers share pixels with their next neighbours only, the normal equations are tridiagonal, and both their
solution and the diagonal of their inverse, which is the variance of each fiber whatever its neighbours are, take a
forward and a backward elimination. Where rows of second neighbours overlap as well, the product of their far wings is
left out of the equations: less than 1e-5 of a diagonal element for fibers 8.7 pixels apart.

specreduce 1.9 was tried and not taken: its `HorneExtract` fits one Gaussian to all rows that it is given. In rows as
far as the neighbours, it finds 0.4 to 0.6 of a fiber's light, or less; and it takes 0.06 s for each of the 112.

The compiled kernels take 0.01 s for an amplifier (112 × 1032), the same in numpy 0.06 s (bench/hetdex_kernels.py).
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from skyharvest.core.arrays import Array, Bools
from skyharvest.reduction.hetdex.virus import SIZE

LEAST_SEEN = 0.05
"""Where less of a fiber's profile is on good pixels nothing can be known of its light."""
CHI2_HALF = 4
"""χ² is that of so many rows on each side of a fiber's own: half of the way to its neighbours."""


@dataclass(frozen=True)
class Weights:
    """What each fiber gives to pixels.

    Attributes
    ----------
    rows
        (n_fiber, n_column) i4: the lowest row.
    values
        (n_fiber, n_column, n_row) f4: electrons in that row and the next ones, for an electron of the fiber.
    """

    rows: Array
    values: Array


@dataclass(frozen=True)
class Extracted:
    """Spectra, (n_fiber, n_column) f4 each; NaN where nothing can be known.

    Attributes
    ----------
    spectrum, variance
        Electrons for each pixel along x; electrons².
    chi2
        Reduced, of the fiber's own rows about the model of all fibers; NaN if fewer than two are good.
    lost
        Part of the profile that is on bad pixels or off the detector: 0 to 1, also where there is no spectrum.
    """

    spectrum: Array
    variance: Array
    chi2: Array
    lost: Array


def extract(image: Array, variance: Array, good: Bools, weights: Weights, alive: Bools) -> Extracted:
    """Extract all fibers.

    Parameters
    ----------
    image, variance
        (n_rows, n_column) f4: electrons, without bias and scattered light; electrons². The variance must not follow the
        noise of the pixel itself (a pixel that is low by chance would count more): take it from a model of the light.
    good
        (n_rows, n_column) bool: pixels to be used. One that is not finite, or whose variance is not above 0, is not.
    weights
        Of the fibers, as `Profile.weights` gives them.
    alive
        (n_fiber,) bool: the others are taken to have no light, and have no spectrum.

    Returns
    -------
    Extracted
        Spectra.
    """
    n_fiber, n_column, _ = weights.values.shape
    assert image.shape == variance.shape == good.shape
    assert image.shape[1] == n_column
    assert alive.shape == (n_fiber,)
    inverse = np.zeros(image.shape, np.float32)
    usable = good & np.isfinite(image) & (variance > 0)
    np.divide(np.float32(1), variance, out=inverse, where=usable, casting="same_kind")
    image = np.where(usable, image, np.float32(0))
    diagonal, right = np.zeros((2, n_fiber, n_column))
    off = np.zeros((n_fiber - 1, n_column))
    seen = np.zeros((n_fiber, n_column))
    _equations(image, inverse, weights.rows, weights.values, alive, diagonal, off, right, seen)
    _solve(diagonal, off, right)
    spectrum = right
    known = alive[:, None] & (seen >= LEAST_SEEN)
    chi2 = np.empty((n_fiber, n_column), np.float32)
    model = model_image(spectrum, weights, len(image))
    _chi2(image - model, inverse, weights.rows, weights.values.shape[2] // 2, known, chi2)
    return Extracted(
        np.where(known, spectrum, np.nan).astype(np.float32),
        np.where(known, diagonal, np.nan).astype(np.float32),
        chi2,
        (1 - seen).astype(np.float32),
    )


def model_image(spectrum: Array, weights: Weights, n_rows: int = SIZE) -> Array:
    """Return the image that spectra make.

    Parameters
    ----------
    spectrum
        (n_fiber, n_column): electrons; NaN gives no light.
    weights
        Of the fibers.
    n_rows
        Rows of the detector.

    Returns
    -------
    Array
        (n_rows, n_column) f4: electrons.
    """
    out = np.zeros((n_rows, spectrum.shape[1]), np.float32)
    _add_light(spectrum, weights.rows, weights.values, out)
    return out


@numba.njit(cache=True)
def _add_light(spectrum: Any, rows: Any, values: Any, out: Any) -> None:
    for i in range(spectrum.shape[0]):
        for x in range(spectrum.shape[1]):
            light = spectrum[i, x]
            if not np.isfinite(light):
                continue
            for k in range(values.shape[2]):
                row = rows[i, x] + k
                if 0 <= row < out.shape[0]:
                    out[row, x] += light * values[i, x, k]


@numba.njit(cache=True)
def _equations(
    image: Any, inverse: Any, rows: Any, values: Any, alive: Any, diagonal: Any, off: Any, right: Any, seen: Any
) -> None:
    """Fill the normal equations of each column: their diagonal, what is beside it, and their right-hand side."""
    n_fiber, n_column, n_row = values.shape
    for i in range(n_fiber):
        for x in range(n_column):
            first = rows[i, x]
            a, b, s = 0.0, 0.0, 0.0
            for k in range(n_row):
                row = first + k
                if 0 <= row < image.shape[0]:
                    w, v = values[i, x, k], inverse[row, x]
                    a += w * w * v
                    b += w * v * image[row, x]
                    s += w if v > 0 else 0.0
            seen[i, x] = s
            if not alive[i]:
                continue
            diagonal[i, x], right[i, x] = a, b
            if i + 1 < n_fiber and alive[i + 1]:
                shared = 0.0
                for row in range(
                    max(rows[i + 1, x], first, 0), min(first + n_row, rows[i + 1, x] + n_row, image.shape[0])
                ):
                    shared += values[i, x, row - first] * values[i + 1, x, row - rows[i + 1, x]] * inverse[row, x]
                off[i, x] = shared


@numba.njit(cache=True)
def _solve(diagonal: Any, off: Any, right: Any) -> None:
    """Solve tridiagonal equations; ``right`` becomes the solution, ``diagonal`` that of the inverse.

    With the pivots d of the elimination downwards and e of that upwards, an element of the inverse's diagonal is
    1 / (d + e - a), where a is that of the matrix. An unknown with the diagonal 0 has no equation: it becomes 0, with
    the variance NaN.
    """
    n_fiber, n_column = diagonal.shape
    up = np.empty((n_fiber, n_column))
    for x in range(n_column):
        up[n_fiber - 1, x] = diagonal[n_fiber - 1, x]
    for i in range(n_fiber - 2, -1, -1):
        for x in range(n_column):
            up[i, x] = diagonal[i, x]
            if up[i + 1, x] > 0:
                up[i, x] -= off[i, x] ** 2 / up[i + 1, x]
    before = np.zeros(n_column)  # pivots of the row before, downwards
    for i in range(n_fiber):
        for x in range(n_column):
            a = diagonal[i, x]
            down = a
            if i > 0 and before[x] > 0:
                factor = off[i - 1, x] / before[x]
                down -= factor * off[i - 1, x]
                right[i, x] -= factor * right[i - 1, x]
            before[x] = down
            together = down + up[i, x] - a
            diagonal[i, x] = 1 / together if a > 0 and together > 0 else np.nan
            # Downwards pivots are needed again on the way back: they take the place of those upwards.
            up[i, x] = down
    for i in range(n_fiber - 1, -1, -1):
        for x in range(n_column):
            if i + 1 < n_fiber:
                right[i, x] -= off[i, x] * right[i + 1, x]
            right[i, x] = right[i, x] / up[i, x] if up[i, x] > 0 else 0.0


@numba.njit(cache=True)
def _chi2(left: Any, inverse: Any, rows: Any, middle: int, known: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        for x in range(out.shape[1]):
            centre = rows[i, x] + middle
            total, n = 0.0, 0
            for row in range(max(centre - CHI2_HALF, 0), min(centre + CHI2_HALF + 1, left.shape[0])):
                if inverse[row, x] > 0:
                    total += left[row, x] ** 2 * inverse[row, x]
                    n += 1
            out[i, x] = total / (n - 1) if n > 1 and known[i, x] else np.nan
