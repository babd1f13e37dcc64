"""How fibers of an amplifier differ in throughput: smooth ratios of their twilights to a master spectrum.

Fibers see one sky, each at its own wavelengths. The master is a spline through the samples of all living fibers,
electrons per Å (so that dispersion is no throughput), with knots each Å: much finer than a fiber's pixels, which
together sample each Å some fifty times. The ratio of a fiber to it is a smooth curve
(`skyharvest.reduction.hetdex.calibration.smooth_ratios`). Master and ratios follow each other some times.

At each wavelength the biweight of the ratios of living fibers is 1: the level of an amplifier is not in them
(`skyharvest.reduction.hetdex.calibration.amp_to_amp`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_lsq_spline

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.calibration.smooth_ratios import smooth
from skyharvest.reduction.hetdex.settings import FiberToFiber
from skyharvest.reduction.hetdex.virus import GRID, GRID_STEP

MASTER_KNOTS = 1.0
"""Å between knots of the master."""
TURNS = 4
OUTLIER_SIGMA = 5.0
BESIDE, UNLIKE = 3, 0.3
"""A pixel this part (and its noise) off those of so many fibers on each side is left out from the start."""
MODEL_ERROR = 0.01
"""Of the flux: what the master, which has one width of lines, does not reach in a single pixel."""


@dataclass(frozen=True)
class Ratios:
    """How fibers differ.

    Attributes
    ----------
    ratio
        (n_fiber, n_column) float32: throughput over that of the amplifier's mean fiber; NaN for dead fibers.
    error
        Median standard error of a ratio.
    rms
        Scatter of the fibers' mean ratios.
    mean
        The twilight of a mean fiber on `GRID`, electrons per 2 Å, (1036,) float32; NaN where fewer than half of the
        fibers reach.
    mean_error
        Its standard error.
    alive
        Fibers that were used: those of the trace, without those that are too faint.
    """

    ratio: Float32s
    error: float
    rms: float
    mean: Float32s
    mean_error: Float32s
    alive: Bools


def ratios(spectrum: Float32s, variance: Float32s, alive: Bools, wavelength: Floats, options: FiberToFiber) -> Ratios:
    """Return the throughput of each fiber over that of the mean fiber.

    Parameters
    ----------
    spectrum, variance
        Of a twilight, electrons per pixel, (n_fiber, n_column) float32; NaN where nothing is known.
    alive
        Fibers that have light, (n_fiber,) bool.
    wavelength
        Å, (n_fiber, n_column) float64, rising.
    options
        Knots and limits.

    Raises
    ------
    InputError
        If fewer fibers than ``options.min_living`` have light.
    """
    n_fiber, n_column = spectrum.shape
    dispersion = np.gradient(wavelength, axis=1)
    assert (dispersion > 0).all()
    good = np.isfinite(spectrum) & np.isfinite(variance) & (variance > 0) & alive[:, None]
    density = np.where(good, spectrum, 0) / dispersion
    level = np.array([np.median(row[known]) if known.any() else 0.0 for row, known in zip(density, good, strict=True)])
    typical = float(np.median(level[alive])) if alive.any() else 0.0
    use = np.flatnonzero((level > options.min_ratio * typical) & (good.sum(axis=1) > n_column / 2))
    if use.size < options.min_living or not typical > 0:
        raise InputError(f"found {use.size} fibers with a twilight; expected {options.min_living}: see the trace")
    wave, values = wavelength[use], density[use]
    inverse = np.zeros_like(values)
    np.divide(dispersion[use] ** 2, variance[use], out=inverse, where=good[use])
    fit = _Fit(wave, values, inverse, options.intervals)
    fit.run(level[use] / typical)
    on_grid = fit.ratio_at(GRID)
    inside = (GRID[None] >= wave[:, :1]) & (GRID[None] <= wave[:, -1:])
    norm = np.asarray(
        biweight.location(on_grid, 0), np.float64
    )  # ends: each fiber's last ratio where it does not reach
    out = np.full(spectrum.shape, np.nan, np.float32)
    for k, fiber in enumerate(use):
        out[fiber] = fit.ratio[k] / np.interp(wave[k], GRID, norm)
    reached = inside.sum(axis=0) >= len(use) / 2
    mean = np.where(reached, fit.master(np.clip(GRID, fit.first, fit.last)) * norm * GRID_STEP, np.nan)
    per_bin = _binned(wave, inverse * fit.ratio**2)
    mean_error = np.where(reached & (per_bin > 0), norm * GRID_STEP / np.sqrt(np.maximum(per_bin, 1e-30)), np.nan)
    used = np.zeros(n_fiber, bool)
    used[use] = True
    each = np.nanmean(out[use], axis=1)
    return Ratios(out, fit.error, float(np.std(each)), mean.astype(np.float32), mean_error.astype(np.float32), used)


def _binned(wave: Floats, weight: Floats) -> Floats:
    """Return the sums of weights in bins about `GRID`."""
    edges = np.append(GRID, GRID[-1] + GRID_STEP) - GRID_STEP / 2
    return np.asarray(np.histogram(wave, edges, weights=weight)[0], np.float64)


class _Fit:
    """Master and ratios of living fibers: wavelengths, electrons per Å and inverse variances, (n_fiber, n_column)."""

    def __init__(self, wave: Floats, values: Floats, inverse: Floats, intervals: int) -> None:
        self.wave, self.values, self.inverse = wave, values, inverse
        self.intervals = intervals
        self.order = np.argsort(wave, axis=None, kind="stable")
        self.first, self.last = float(wave.min()), float(wave.max())

    def run(self, level: Floats) -> None:
        """Fit the master and the ratios in turn.

        Parameters
        ----------
        level
            First guess of the ratios, (n_fiber,).
        """
        self.ratio = np.broadcast_to(level[:, None], self.values.shape)
        self._leave_out(level)
        weight = self.inverse
        for turn in range(TURNS):
            self.master = self._master(weight)
            model = self.master(self.wave)
            relative = np.maximum(self.ratio * model, 1e-3 * np.median(model))
            weight = np.zeros_like(self.inverse)
            np.divide(1, self.inverse, out=weight, where=self.inverse > 0)
            weight = np.where(self.inverse > 0, 1 / (weight + (MODEL_ERROR * relative) ** 2), 0)
            if turn:
                off = (self.values - self.ratio * model) ** 2 * weight
                weight[off > OUTLIER_SIGMA**2] = 0
            found = smooth(self.values, model, weight, self.intervals)
            self.ratio = np.maximum(found.ratio, 1e-3)
        self.error = float(np.median(found.error))

    def _leave_out(self, level: Floats) -> None:
        """Leave out pixels that are far from those of the fibers beside them, such as cosmic rays."""
        known = self.inverse > 0
        relative = np.where(known, self.values / level[:, None], np.nan)
        padded = np.pad(relative, ((BESIDE, BESIDE), (0, 0)), constant_values=np.nan)
        beside = np.stack([padded[k : k + len(relative)] for k in range(2 * BESIDE + 1) if k != BESIDE])
        expected = np.nan_to_num(biweight.location(beside.astype(np.float32), 0))
        off = np.abs(np.where(known, relative - expected, 0)) * level[:, None]
        allowed = OUTLIER_SIGMA * np.sqrt(1 / np.where(known, self.inverse, 1)) + UNLIKE * np.abs(
            expected * level[:, None]
        )
        self.inverse = np.where(off > allowed, 0, self.inverse)

    def _master(self, weight: Floats) -> Callable[[Array], Floats]:
        x = self.wave.ravel()[self.order]
        y = (self.values / self.ratio).ravel()[self.order]
        w = np.sqrt(weight * self.ratio**2).ravel()[self.order]
        known = w > 0
        x, y, w = x[known], y[known], w[known]
        n = np.histogram(x, np.arange(x[0], x[-1] + MASTER_KNOTS, MASTER_KNOTS))[0]
        inner = x[0] + MASTER_KNOTS * np.arange(1, len(n))
        inner = inner[(n[:-1] > 0) & (n[1:] > 0) & (inner < x[-1] - MASTER_KNOTS / 2)]  # none in a gap
        spline: Callable[[Array], Floats] = make_lsq_spline(
            x, y, np.concatenate([[x[0]] * 4, inner, [x[-1]] * 4]), 3, w, method="norm-eq"
        )
        return spline

    def ratio_at(self, wave: Array) -> Floats:
        """Return the ratios at wavelengths, (n_fiber, n); beyond a fiber's ends those of its ends."""
        return np.stack([np.interp(wave, self.wave[k], self.ratio[k]) for k in range(len(self.wave))])
