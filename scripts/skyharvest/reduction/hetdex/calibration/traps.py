"""Charge traps: columns of a bias that are bright from a row on."""

from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Bools
from skyharvest.reduction.hetdex.biweight import location_scale

_BRIDGED = 5
"""So many rows of a trap may look as the others do, one after the other."""
_BLOCK = 128
"""Rows at once, so that the stack of neighbours is small."""


@dataclass(frozen=True)
class Trap:
    """A charge trap.

    Attributes
    ----------
    x
        Its column, from 0.
    y
        The first row that it makes bright, from 0.
    n
        Rows from there on.
    """

    x: int
    y: int
    n: int


def find_traps(bias: Array, noise: float, sigma: float = 10.0, half: int = 9, rows: int = 50) -> list[Trap]:
    """Return the charge traps of a bias.

    Parameters
    ----------
    bias
        (n_rows, n_column) f4: the master bias, not smoothed; electrons.
    noise
        Of a pixel of it, electrons: the scatter of neighbours is not taken to be less.
    sigma
        How many σ a pixel of a trap is above the biweight location of its row's neighbours.
    half
        So many pixels on each side are neighbours; at the edges those that there are.
    rows
        A column with more such pixels has a trap.

    Returns
    -------
    list of Trap
        By column; of a column with several runs of bright rows, the longest.
    """
    bright = _above_neighbours(bias, noise, sigma, half)
    found = []
    for x in np.flatnonzero(np.count_nonzero(bright, axis=0) > rows):
        hits = np.flatnonzero(bright[:, x])
        runs = np.split(hits, np.flatnonzero(np.diff(hits) > _BRIDGED + 1) + 1)
        longest = max(runs, key=len)
        found.append(Trap(int(x), int(longest[0]), int(longest[-1] - longest[0]) + 1))
    return found


def _above_neighbours(bias: Array, noise: float, sigma: float, half: int) -> Bools:
    padded = np.pad(np.asarray(bias, np.float32), ((0, 0), (half, half)), constant_values=np.nan)
    n_column = bias.shape[1]
    bright = np.zeros(bias.shape, bool)
    for first in range(0, len(bias), _BLOCK):
        rows = slice(first, first + _BLOCK)
        stack = [padded[rows, k : k + n_column] for k in range(2 * half + 1) if k != half]
        middle, scatter = location_scale(np.stack(stack))
        bright[rows] = bias[rows] - middle > sigma * np.maximum(scatter, noise)
    return bright
