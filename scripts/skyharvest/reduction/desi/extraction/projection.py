"""What spots of fibers make of pixels: sums over the pixels of a box, for the spots of a patch.

An image is the sum of ``flux * spot`` over fibers and wavelengths. The unknowns of a patch are numbered by fiber first:
``k = fiber * n_wave + wave``. Spots are sparse, so all sums go over the pixels where two spots overlap.
"""

from typing import Any

import numba
import numpy as np

from skyharvest.core.arrays import Floats, Ints

Box = tuple[int, int, int, int]
"""First and last + 1 row, first and last + 1 column: of an image."""


def box_of(corners: Ints, n_y: int, n_x: int) -> Box:
    """Return the box that holds spots of ``n_y`` times ``n_x`` pixels; ``corners``: (…, 2), x and y of their first."""
    x, y = corners[..., 0], corners[..., 1]
    return int(y.min()), int(y.max()) + n_y, int(x.min()), int(x.max()) + n_x


@numba.njit(cache=True)
def normal_equations(image: Any, weight: Any, spots: Any, corners: Any, box: Any) -> tuple[Floats, Floats, Floats]:
    """Set up the equations whose solution is the flux: Bolton & Schlegel 2010, PASP 122, 248, eq. 4.

    Parameters
    ----------
    image, weight
        (n_y, n_x) f8: a whole image, and the inverse variances of its pixels, 0 where they are bad.
    spots, corners
        Of a patch: (n_fiber, n_wave, …), see `skyharvest.reduction.desi.psf.model.Spots`.
    box
        Pixels to use, as `Box`; within the image.

    Returns
    -------
    tuple
        Inverse covariance, (n, n); right-hand side, (n,); weight of each unknown's pixels, (n,): all f8.
    """
    n_fiber, n_wave, size_y, size_x = spots.shape
    n = n_fiber * n_wave
    matrix, right, sums = np.zeros((n, n)), np.zeros(n), np.zeros(n)
    weighted = np.empty((size_y, size_x))
    for f in range(n_fiber):
        for w in range(n_wave):
            k = f * n_wave + w
            x, y = corners[f, w, 0], corners[f, w, 1]
            first_y, stop_y = max(y, box[0]), min(y + size_y, box[1])
            first_x, stop_x = max(x, box[2]), min(x + size_x, box[3])
            if first_y >= stop_y or first_x >= stop_x:
                continue
            for j in range(first_y, stop_y):
                for i in range(first_x, stop_x):
                    value = weight[j, i] * spots[f, w, j - y, i - x]
                    weighted[j - y, i - x] = value
                    right[k] += value * image[j, i]
                    sums[k] += value
            if sums[k] == 0:
                continue
            for g in range(f, n_fiber):
                for v in range(w if g == f else 0, n_wave):
                    other_x, other_y = corners[g, v, 0], corners[g, v, 1]
                    low_y, high_y = max(first_y, other_y), min(stop_y, other_y + size_y)
                    low_x, high_x = max(first_x, other_x), min(stop_x, other_x + size_x)
                    if low_y >= high_y or low_x >= high_x:
                        continue
                    total = 0.0
                    for j in range(low_y, high_y):
                        for i in range(low_x, high_x):
                            total += weighted[j - y, i - x] * spots[g, v, j - other_y, i - other_x]
                    matrix[k, g * n_wave + v] = total
                    matrix[g * n_wave + v, k] = total
    return matrix, right, sums


@numba.njit(cache=True)
def model(flux: Any, spots: Any, corners: Any, box: Any) -> Floats:
    """Return the image that fluxes make, within a box: f8 of the box's shape. Arguments as `normal_equations`."""
    n_fiber, n_wave, size_y, size_x = spots.shape
    made = np.zeros((box[1] - box[0], box[3] - box[2]))
    for f in range(n_fiber):
        for w in range(n_wave):
            x, y = corners[f, w, 0], corners[f, w, 1]
            for j in range(max(y, box[0]), min(y + size_y, box[1])):
                for i in range(max(x, box[2]), min(x + size_x, box[3])):
                    made[j - box[0], i - box[2]] += flux[f, w] * spots[f, w, j - y, i - x]
    return made


@numba.njit(cache=True)
def spot_means(values: Any, use: Any, spots: Any, corners: Any, box: Any) -> tuple[Floats, Floats]:
    """Return means of a box's pixels, weighted by each spot.

    Parameters
    ----------
    values
        f8 of the box's shape.
    use
        Whether a pixel counts, bool of the box's shape.

    Returns
    -------
    tuple
        (n_fiber, n_wave) f8: means over the pixels that count, 0 where none does; the spots' shares that lie on pixels
        that do not count, those off the box included.
    """
    n_fiber, n_wave, size_y, size_x = spots.shape
    means, lost = np.zeros((n_fiber, n_wave)), np.zeros((n_fiber, n_wave))
    for f in range(n_fiber):
        for w in range(n_wave):
            x, y = corners[f, w, 0], corners[f, w, 1]
            used = 0.0
            for j in range(max(y, box[0]), min(y + size_y, box[1])):
                for i in range(max(x, box[2]), min(x + size_x, box[3])):
                    if use[j - box[0], i - box[2]]:
                        spot = spots[f, w, j - y, i - x]
                        means[f, w] += spot * values[j - box[0], i - box[2]]
                        used += spot
            if used > 0:
                means[f, w] /= used
            lost[f, w] = 1 - used
    return means, lost
