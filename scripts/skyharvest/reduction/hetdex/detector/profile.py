"""The profile of fibers across their traces, as the light itself shows it: on a grid of fibers and columns.

A profile is what a fiber of one electron gives to a pixel whose centre is so many pixels above the trace. It is a cubic
spline of this distance, fitted to all pixels of a group of fibers in a group of columns together with the neighbours'
light in them: beyond half the spacing there is more of theirs than of the fiber's own.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.detector.extraction import Weights, model_image
from skyharvest.reduction.hetdex.virus import SIZE

STEPS = 16
"""Profiles are tabulated at so many distances a pixel; between them linearly, which is right to 1e-5 of the light."""
KNOTS_A_PIXEL = 2
HALF = 6
"""A fiber's light is looked for in so many rows on each side of its own: with 13 rows fibers 8.7 pixels apart share
pixels with their next neighbours only."""
SHARPNESS = 2.35
"""Exponent of the profile with which a fit begins."""
_FAR, _MODEL_ERROR = 6.0, 0.1
"""A pixel that is so many σ, with that relative error of the model, from the profile is not used: a defect."""
_UNLIKE = 2.5
"""A fiber in a column of which so much more is left than of others is not used there: a defect, a cosmic ray."""
_WINGS, _ALIKE = 3.0, 0.05
"""Pixels from the trace beyond which a profile should be the same on both sides; weight of that, relative."""
_FEWEST = 10
"""Samples of a group for each unknown."""


@dataclass(frozen=True)
class Profile:
    """Profiles on a grid; between its places linear, and beyond the outermost as well.

    Attributes
    ----------
    values
        (n_y, n_x, n) f4: electrons in a pixel for an electron of the fiber, at distances (row - trace) from
        ``-(half + 0.5)`` to ``half + 0.5`` in steps of ``1 / STEPS`` pixels.
    x
        (n_x,) f8: columns of the grid.
    y
        (n_y,) f8: its fibers, as fibidx.
    """

    values: Array
    x: Floats
    y: Floats

    @property
    def half(self) -> int:
        """Rows on each side of a fiber's own."""
        return int(self.values.shape[-1] - 1) // (2 * STEPS)

    @property
    def distances(self) -> Floats:
        """Distances of the values, (n,) f8, pixels."""
        n = self.values.shape[-1]
        return np.linspace(-(n - 1) / 2, (n - 1) / 2, n) / STEPS

    def weights(self, trace: Array, n_rows: int = SIZE) -> Weights:
        """Return what a fiber of one electron gives to each pixel.

        Parameters
        ----------
        trace
            (n_fiber, n_column): rows of the fibers' centres, pixels; finite also for dead ones.
        n_rows
            Rows of the detector.

        Returns
        -------
        Weights
            Their sum over rows is 1; those of rows that are not on the detector are then made 0.
        """
        return self._weights(trace, n_rows)[0]

    def weights_and_slopes(self, trace: Array, n_rows: int = SIZE) -> tuple[Weights, Array]:
        """Return `weights`, and by how much each changes for a trace that is a pixel higher, f4 of the same shape."""
        return self._weights(trace, n_rows)

    def _weights(self, trace: Array, n_rows: int) -> tuple[Weights, Array]:
        trace = np.asarray(trace, np.float64)
        assert np.isfinite(trace).all(), "found a trace that is not finite; expected one for each fiber, dead or not"
        rows = np.floor(trace + 0.5).astype(np.int32) - np.int32(self.half)
        values = np.empty((*trace.shape, 2 * self.half + 1), np.float32)
        slopes = np.empty_like(values)
        fiber, column = np.arange(len(trace), dtype=np.float64), np.arange(trace.shape[1], dtype=np.float64)
        places = *_between(self.y, fiber), *_between(self.x, column)
        _tabulated(np.ascontiguousarray(self.values, np.float32), *places, trace, rows, n_rows, values, slopes)
        return Weights(rows, values), slopes


def _between(grid: Floats, places: Floats) -> tuple[Any, Floats]:
    """Return where places are in a grid: (n,) index of the value before, and the weight of the next."""
    if len(grid) == 1:
        return np.zeros(len(places), np.int64), np.zeros(len(places))
    before = np.clip(np.searchsorted(grid, places, "right") - 1, 0, len(grid) - 2)
    return before, (places - grid[before]) / (grid[before + 1] - grid[before])


@numba.njit(cache=True)
def _tabulated(
    table: Any,
    at_y: Any,
    part_y: Any,
    at_x: Any,
    part_x: Any,
    trace: Any,
    rows: Any,
    n_rows: int,
    out: Any,
    slopes: Any,
) -> None:
    """Fill ``out`` and ``slopes`` (n_fiber, n_column, n_row): 13 times as fast as in numpy."""
    n_fiber, n_column, n_row = out.shape
    n_y, n_x, n = table.shape
    own = np.empty((n_x, n))
    value, slope = np.empty(n_row), np.empty(n_row)
    for i in range(n_fiber):
        low, high = table[at_y[i]], table[min(at_y[i] + 1, n_y - 1)]
        for b in range(n_x):
            for j in range(n):
                own[b, j] = (1 - part_y[i]) * low[b, j] + part_y[i] * high[b, j]
        for x in range(n_column):
            left, right = own[at_x[x]], own[min(at_x[x] + 1, n_x - 1)]
            part = part_x[x]
            total, total_slope = 0.0, 0.0
            place = (rows[i, x] - trace[i, x]) * STEPS + (n - 1) / 2
            first = min(max(int(np.floor(place)), 0), STEPS - 1)
            fraction = place - first
            for k in range(n_row):
                j = first + k * STEPS
                before = (1 - part) * left[j] + part * right[j]
                after = (1 - part) * left[j + 1] + part * right[j + 1]
                value[k] = max(before + fraction * (after - before), 0.0)
                slope[k] = (before - after) * STEPS
                total += value[k]
                total_slope += slope[k]
            for k in range(n_row):
                on = 0 <= rows[i, x] + k < n_rows and total > 0
                out[i, x, k] = value[k] / total if on else 0.0
                slopes[i, x, k] = (slope[k] - value[k] / total * total_slope) / total if on else 0.0


def first_guess(sigma: float, half: int = HALF) -> Profile:
    """Return one profile for the whole detector, ``exp(-|d / sigma| ** SHARPNESS / 2)``, to begin with.

    Parameters
    ----------
    sigma
        Its width, pixels.
    half
        Rows on each side of a fiber's own.
    """
    distance = np.arange(-(2 * half + 1) * STEPS // 2, (2 * half + 1) * STEPS // 2 + 1) / STEPS
    values = np.exp(-0.5 * np.abs(distance / sigma) ** SHARPNESS)
    values *= STEPS / values.sum()
    return Profile(values[None, None].astype(np.float32), np.zeros(1), np.zeros(1))


def fit_profile(
    image: Array,
    variance: Array,
    good: Bools,
    trace: Array,
    alive: Bools,
    spectrum: Array,
    profile: Profile,
    groups: tuple[int, int] = (8, 8),
) -> Profile:
    """Fit profiles to an image, given the fibers' light.

    Parameters
    ----------
    image, variance, good
        (n_rows, n_column) f4, f4, bool: electrons without scattered light; their variance; pixels to be used.
    trace, alive, spectrum
        (n_fiber, n_column), (n_fiber,), (n_fiber, n_column): rows of the centres, which fibers have light, and their
        electrons as extracted with ``profile``; NaN where they are not known.
    profile
        The profile so far, by which defects are seen.
    groups
        Groups of fibers and of columns. A group without enough light has the profile of the next that has.

    Returns
    -------
    Profile
        With as many rows as ``profile``.

    Raises
    ------
    ValueError
        If no group has enough light.
    """
    weights = profile.weights(trace, len(image))
    light = np.where(alive[:, None] & (spectrum > 0), spectrum, 0.0)  # NaN is not > 0
    left = image - model_image(light, weights, len(image))
    n_fiber, n_column = light.shape
    misfit = np.full(light.shape, np.nan)
    _misfit(left, good, light, weights.rows, weights.values, misfit)
    of_column = np.array(biweight.location(misfit, 0))
    use = misfit < _UNLIKE * of_column  # NaN is not
    by_fiber = np.arange(n_fiber) * groups[0] // n_fiber
    by_column = np.arange(n_column) * groups[1] // n_column
    n_unknown = (2 * profile.half + 1) * KNOTS_A_PIXEL + 3
    normal = np.zeros((*groups, n_unknown, n_unknown))
    right = np.zeros((*groups, n_unknown))
    count = np.zeros(groups, np.int64)
    light_of = np.pad(light, ((1, 1), (0, 0)))  # no light below the first and above the last
    trace_of = np.pad(np.asarray(trace, np.float64), ((1, 1), (0, 0)))
    places = weights.rows, weights.values, by_fiber, by_column
    _accumulate(image, left, variance, good, use, light_of, trace_of, *places, normal, right, count)
    return _solved(normal, right, count, profile, by_fiber, by_column)


@numba.njit(cache=True)
def _misfit(left: Any, good: Any, light: Any, rows: Any, values: Any, out: Any) -> None:
    """Fill, by fiber and column, what the last profile leaves of a fiber's light, relative; where there is light."""
    for i in range(out.shape[0]):
        for x in range(out.shape[1]):
            rest, seen = 0.0, 0.0
            for k in range(values.shape[2]):
                row = rows[i, x] + k
                if 0 <= row < left.shape[0] and good[row, x]:
                    rest += abs(left[row, x])
                    seen += light[i, x] * values[i, x, k]
            if seen > 0:
                out[i, x] = rest / seen


@numba.njit(cache=True)
def _accumulate(
    image: Any,
    left: Any,
    variance: Any,
    good: Any,
    use: Any,
    light: Any,
    trace: Any,
    rows: Any,
    values: Any,
    by_fiber: Any,
    by_column: Any,
    normal: Any,
    right: Any,
    count: Any,
) -> None:
    """Add up the normal equations of each group: ``normal`` (n_y, n_x, n, n), ``right`` (n_y, n_x, n), ``count``.

    A pixel is the light of a fiber and of its neighbours, all with the unknown profile of the fiber's group: if what
    the last profile says were taken off for them, the middle between two fibers would swing from one to the other.
    """
    n_row = values.shape[2]
    basis, place = np.empty(12), np.empty(12, np.int64)
    for i in range(values.shape[0]):
        for x in range(values.shape[1]):
            own = light[i + 1, x]
            if own <= 0 or not use[i, x]:
                continue
            a, b = by_fiber[i], by_column[x]
            for k in range(n_row):
                row = rows[i, x] + k
                if row < 0 or row >= image.shape[0] or not good[row, x]:
                    continue
                noise = variance[row, x]
                if left[row, x] ** 2 > _FAR**2 * (noise + (_MODEL_ERROR * own * values[i, x, k]) ** 2):
                    continue
                n = 0
                for fiber in range(i, i + 3):
                    from_edge = (row - trace[fiber, x] + 0.5 * n_row) * KNOTS_A_PIXEL
                    if light[fiber, x] > 0 and 0 <= from_edge <= n_row * KNOTS_A_PIXEL:
                        _spline(from_edge, n_row * KNOTS_A_PIXEL, light[fiber, x], basis[n:], place[n:])
                        n += 4
                weight = 1 / (noise * own)  # so that bright columns of the group do not count more than faint ones
                for p in range(n):
                    right[a, b, place[p]] += weight * basis[p] * image[row, x]
                    for q in range(n):
                        normal[a, b, place[p], place[q]] += weight * basis[p] * basis[q]
                count[a, b] += 1


@numba.njit(cache=True)
def _spline(at: float, n: int, light: float, basis: Any, place: Any) -> None:
    """Fill the cubic B-splines, times ``light``, that are not 0 in the interval (of n) of ``at``, and their indices."""
    j = min(int(at), n - 1)
    t = at - j
    basis[0] = light * (1 - t) ** 3 / 6
    basis[1] = light * (3 * t**3 - 6 * t**2 + 4) / 6
    basis[2] = light * (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    basis[3] = light * t**3 / 6
    for p in range(4):
        place[p] = j + p


def _solved(normal: Floats, right: Floats, count: Any, before: Profile, by_fiber: Any, by_column: Any) -> Profile:
    n_unknown = right.shape[-1]
    distance = before.distances
    knots = np.arange(-3, n_unknown + 1) / KNOTS_A_PIXEL - (before.half + 0.5)
    inside = np.clip(distance, knots[3], knots[-4])
    # Where wings of neighbours as bright overlap, more of one side and less of the other is the same light: nothing but
    # fibers of different light tells. So sides are drawn to one another.
    wings = np.abs(np.arange(n_unknown) - (n_unknown - 1) / 2) / KNOTS_A_PIXEL > _WINGS
    mirrored = np.diag(wings.astype(float)) - np.diag(wings.astype(float))[::-1]
    values = np.full((*count.shape, len(distance)), np.nan)
    for place in np.ndindex(count.shape):
        if count[place] < _FEWEST * n_unknown:
            continue
        try:
            alike = _ALIKE * np.trace(normal[place][np.ix_(wings, wings)]) / np.count_nonzero(wings) * mirrored
            spline = BSpline(knots, cho_solve(cho_factor(normal[place] + alike), right[place]), 3)
        except LinAlgError:
            continue
        found = np.clip(spline(inside), 0, None)
        if found.any():
            # A profile and its traces may move against each other: its middle is where its squares have it.
            middle = found**2 @ distance / (found @ found)
            found = np.clip(spline(np.clip(distance + middle, knots[3], knots[-4])), 0, None)
            values[place] = found * STEPS / found.sum()
    fitted = np.isfinite(values[..., 0])
    if not fitted.any():
        raise ValueError(f"found at most {count.max()} usable pixels in a group; expected {_FEWEST * n_unknown}")
    have = np.argwhere(fitted)
    for lacking in np.argwhere(~fitted):
        values[tuple(lacking)] = values[tuple(have[np.abs(have - lacking).sum(axis=1).argmin()])]
    x, y = (np.bincount(group, np.arange(len(group))) / np.bincount(group) for group in (by_column, by_fiber))
    return Profile(values.astype(np.float32), x, y)
