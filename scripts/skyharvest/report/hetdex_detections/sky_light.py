"""The sky's own light: its spectrum in a shot, and where that has lines."""

from pathlib import Path

import h5py
import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.virus import GRID

BINS = 61
"""So many bins have the median that is the continuum of the sky."""
NEAR_SIGMAS, STRONG = 2.0, 0.1
"""A detected line is on one of the sky if, within so many σ of it, the sky is this part above its continuum."""


def read_sky(shot: Path) -> Floats:
    """Return the mean of the sky's spectra of a shot's exposures, (1036,) f8 counts on `GRID`; NaN if it has none."""
    with h5py.File(shot, "r") as file:
        skies = [table[:] for table in file["FullSkyModel"].values()] if "FullSkyModel" in file else []
    skies = [sky for sky in skies if len(sky)]
    if not skies:
        return np.full(GRID.shape, np.nan)
    on_grid = [np.interp(GRID, sky[:, 0], sky[:, 1], left=np.nan, right=np.nan) for sky in skies]
    return np.asarray(np.mean(on_grid, axis=0))


def continuum_of(sky: Floats) -> Floats:
    """Return the running median of a sky, (1036,) f8; NaN where it is not known."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(sky, BINS // 2, mode="edge"), BINS)
    return np.asarray(np.median(windows, axis=1))


def lines_of(sky: Floats) -> Floats:
    """Return what of a sky is above its continuum, (1036,) f8; NaN where it is not known."""
    return np.asarray(np.maximum(sky - continuum_of(sky), 0.0))


def is_on_sky_line(sky: Floats, wave: float, sigma: float) -> bool:
    """Tell whether a line, Å, is on one of the sky, (1036,)."""
    near = np.abs(GRID - wave) <= NEAR_SIGMAS * sigma
    with np.errstate(invalid="ignore"):
        return bool((lines_of(sky)[near] > STRONG * continuum_of(sky)[near]).any())
