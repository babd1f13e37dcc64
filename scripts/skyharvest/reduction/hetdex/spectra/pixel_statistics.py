"""What a pixel does over many frames."""

import numpy as np

from skyharvest.core.arrays import Float32s
from skyharvest.reduction.hetdex.biweight import TO_SIGMA

CHI2_MEDIAN = 0.45494
"""The median of χ² with one degree of freedom."""


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
