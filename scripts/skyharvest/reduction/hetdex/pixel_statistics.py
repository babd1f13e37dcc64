"""What a pixel does over many frames, and rectangles of pixels."""

from typing import Any

import numba
import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Ints

CHI2_MEDIAN = 0.45494
"""The median of χ² with one degree of freedom."""
TO_SIGMA = 1.4826
"""σ over the median absolute deviation of normal values."""


def median(stack: Float32s) -> Float32s:
    """Return the median over the first axis, NaN left out; NaN where nothing is finite. The stack is sorted in place.

    `numpy.nanmedian` takes five times as long (180 frames × 64 rows: 4.4 s, here 0.9 s) and copies the stack.
    """
    stack.sort(axis=0)  # NaN comes last
    known = np.isfinite(stack).sum(axis=0)
    low, high = np.maximum((known - 1) // 2, 0), np.minimum(known // 2, len(stack) - 1)
    pair = (np.take_along_axis(stack, at[None], axis=0)[0] for at in (low, high))
    return np.asarray(np.where(known > 0, sum(pair) / np.float32(2), np.float32(np.nan)), np.float32)


def scatter(stack: Float32s) -> Float32s:
    """Return the median absolute deviation over the first axis as σ, NaN left out. The stack is overwritten."""
    stack -= median(stack.copy())
    np.abs(stack, out=stack)
    return np.asarray(median(stack) * TO_SIGMA, np.float32)


def rectangles(mask: Array) -> Ints:
    """Return rectangles that cover the pixels of a mask, each once.

    Parameters
    ----------
    mask
        (n_y, n_x) bool.

    Returns
    -------
    Ints
        (n, 4): x1, x2, y1, y2, counted from 1, both ends included: runs along x, joined where runs of neighbouring rows
        are alike.
    """
    found = np.empty((int(np.count_nonzero(mask)), 4), np.int64)
    return found[: _rectangles(np.ascontiguousarray(mask, np.bool_), found)] + 1


@numba.njit(cache=True)
def _rectangles(mask: Any, found: Any) -> int:
    n_y, n_x = mask.shape
    left = mask.copy()
    n = 0
    for y in range(n_y):
        x = 0
        while x < n_x:
            if not left[y, x]:
                x += 1
                continue
            last = x
            while last + 1 < n_x and left[y, last + 1]:
                last += 1
            bottom = y
            while bottom + 1 < n_y and _is_run(left, bottom + 1, x, last):
                bottom += 1
            left[y : bottom + 1, x : last + 1] = False
            found[n, 0], found[n, 1], found[n, 2], found[n, 3] = x, last, y, bottom
            n += 1
            x = last + 1
    return n


@numba.njit(cache=True)
def _is_run(mask: Any, y: int, first: int, last: int) -> bool:
    """Tell whether a row has exactly this run."""
    if first > 0 and mask[y, first - 1]:
        return False
    if last + 1 < mask.shape[1] and mask[y, last + 1]:
        return False
    return bool(mask[y, first : last + 1].all())


def paint(boxes: Array, shape: tuple[int, int]) -> Bools:
    """Return the mask (n_y, n_x) that rectangles, as of `rectangles`, cover."""
    mask = np.zeros(shape, bool)
    for x1, x2, y1, y2 in boxes:
        mask[y1 - 1 : y2, x1 - 1 : x2] = True
    return mask
