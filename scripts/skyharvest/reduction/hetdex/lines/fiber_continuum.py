"""The continuum of fibers, which lines stand on: medians of blocks of their spectra, and what is linear between."""

import itertools

import numpy as np

from skyharvest.core.arrays import Array, Float32s, Floats
from skyharvest.reduction.hetdex.biweight import TO_SIGMA
from skyharvest.reduction.hetdex.virus import N_GRID

LONG, SHORT = 148, 28
"""Bins of a spectrum whose median is its continuum: of most spectra, and of those with a source."""
CLEAR = 1.4
"""By so much more than noise medians of short blocks scatter where a source begins to be seen; wholly at 1 more."""


def without_continuum(flux: Float32s, error: Float32s) -> Float32s:
    """Return spectra, (n, 1036) f4, without their continuum; NaN stays NaN.

    Medians of long blocks are taken off all. Medians of short ones follow a star's spectrum, but are noise, too, which
    a line would have to be seen above: they are taken off only where they say more than noise does.
    """
    left: Float32s = flux - _between(*_medians(flux, LONG)).astype(np.float32)
    at, medians = _medians(left, SHORT)
    with np.errstate(invalid="ignore"):
        of_noise = _medians(error, SHORT)[1] * np.sqrt(np.pi / 2 / SHORT)  # error of a median of normal numbers
        excess = TO_SIGMA * row_median(np.abs(medians / of_noise))
        source = np.clip(excess - CLEAR, 0.0, 1.0)
    follows = _between(at, np.where(source[:, None] > 0, source[:, None] * medians, 0.0))
    left -= follows.astype(np.float32)
    return left


def _medians(values: Float32s, size: int) -> tuple[Floats, Array]:
    """Return the middles of blocks of bins, (k,), and the medians of spectra there, (n, k)."""
    edges = np.linspace(0, N_GRID, N_GRID // size + 1).astype(int)
    blocks = itertools.pairwise(edges.tolist())
    return (edges[:-1] + edges[1:] - 1) / 2, np.stack([row_median(values[:, start:stop]) for start, stop in blocks], 1)


def row_median(values: Array) -> Array:
    """Return the median of each row, NaN where nothing is known."""
    ordered = np.sort(values, axis=1)  # NaN last
    n = np.isfinite(values).sum(1)
    rows = np.arange(len(values))
    middle = (ordered[rows, np.maximum(n - 1, 0) // 2] + ordered[rows, np.minimum(n // 2, values.shape[1] - 1)]) / 2
    return np.where(n > 0, middle, np.nan)


def _between(at: Floats, values: Array) -> Floats:
    """Return values at some bins, (n, k), at all bins, (n, 1036): linear between those that are known, 0 if none is."""
    bins = np.arange(N_GRID)
    made = np.zeros((len(values), N_GRID))
    for row, one in zip(made, values, strict=True):
        known = np.isfinite(one)
        if known.any():
            row[:] = np.interp(bins, at[known], one[known])
    return made
