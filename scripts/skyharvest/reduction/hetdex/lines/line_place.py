"""Where a line is: a raster of positions around a candidate, and a Gaussian fitted at each.

The raster moves until the best of its positions, by χ², is inside. A paraboloid through that and its neighbours tells
the position, and how sure it is.
"""

from dataclasses import dataclass, replace
from typing import Self

import numba
import numpy as np

from skyharvest.core.arrays import Bools, Float32s, Floats, Ints
from skyharvest.reduction.hetdex.lines.gaussian_fit import FEWEST, Fit, fit, levenberg
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.stars.moffat import fractions
from skyharvest.reduction.hetdex.virus import GRID

MOST_MOVES = 12
"""Of a raster, by half of it each."""


@dataclass(frozen=True)
class Place:
    """A position, and its errors as those of fibers say: arcsec. Errors are NaN where χ² has no clear least."""

    x: float
    y: float
    x_err: float
    y_err: float


def share_at(fibers: IfuFibers, used: Ints, x: float | Floats, y: float | Floats, wave: float) -> Floats:
    """Return the share that fibers, (m,) rows, have at a wavelength of sources; positions broadcast with fibers."""
    at = np.array([wave])
    dx = fibers.x[used] - x - refraction.shift(at)[0]
    width = fibers.fwhm[used] * refraction.fwhm_at(at, 1.0)[0]
    return fractions(dx, fibers.y[used] - y, width)


@dataclass(frozen=True)
class Neighbourhood:
    """The fibers around a candidate, without continuum, m of them at w wavelengths.

    Attributes
    ----------
    fibers
        Of the IFU.
    used
        (m,) i8: rows.
    wave
        (w,) f8, Å.
    left, inverse
        (m, w) f8: flux without continuum, and 1 / σ²; both 0 where nothing is known.
    how
        Settings.
    """

    fibers: IfuFibers
    used: Ints
    wave: Floats
    left: Floats
    inverse: Floats
    how: Detections

    @classmethod
    def around(cls, fibers: IfuFibers, left: Float32s, x: float, y: float, window: Bools, how: Detections) -> Self:
        """Return what is so near to a position, arcsec, that its raster may come there.

        Parameters
        ----------
        left
            (n, 1036) f4: flux of all fibers, without continuum.
        window
            (1036,): which wavelengths.
        """
        reach = how.aperture + (MOST_MOVES + 1) * how.raster_step * (how.raster_size // 2)
        used = np.flatnonzero(np.hypot(fibers.x - x, fibers.y - y) <= reach)
        value, error = (one[used][:, window].astype(np.float64) for one in (left, fibers.error))
        known = np.isfinite(value) & np.isfinite(error) & (error > 0)
        inverse = np.where(known, 1 / np.where(known, error, 1.0) ** 2, 0.0)
        return cls(fibers, used, GRID[window], np.where(known, value, 0.0), inverse, how)

    def holding(self, left: Floats) -> Self:
        """Return the same fibers with other flux, (m, w)."""
        return replace(self, left=np.where(self.inverse > 0, left, 0.0))

    def share(self, x: float | Floats, y: float | Floats, wave: float) -> Floats:
        """Return the share that fibers have of sources; positions broadcast with fibers."""
        return share_at(self.fibers, self.used, x, y, wave)

    def spectrum(self, x: float, y: float, wave: float) -> tuple[Floats, Floats]:
        """Return the spectrum of a point source, and 1 / σ² of it, (w,) f8 each; both 0 where nothing is known."""
        share = self.share(x, y, wave)
        share[np.hypot(self.fibers.x[self.used] - x, self.fibers.y[self.used] - y) > self.how.aperture] = 0.0
        power = share**2 @ self.inverse
        return (share @ (self.left * self.inverse)) / np.where(power > 0, power, 1.0), power

    def fit(self, x: float, y: float, wave: float) -> Fit | None:
        """Return the fit of a line without continuum to the spectrum of a place, see `gaussian_fit.fit`."""
        return fit(self.wave, *self.spectrum(x, y, wave), wave, self.how.filter_width, continuum=False)

    def best(self, x: float, y: float, wave: float) -> Place | None:
        """Return the best position near one; None if the line is negative, or the raster leaves the fibers."""
        how = self.how
        half = how.raster_size // 2
        steps = np.arange(-half, half + 1) * how.raster_step
        for _ in range(MOST_MOVES):
            at_x, at_y = (one.ravel()[:, None] for one in np.meshgrid(x + steps, y + steps, indexing="ij"))
            share = self.share(at_x, at_y, wave)
            share[np.hypot(self.fibers.x[self.used] - at_x, self.fibers.y[self.used] - at_y) > how.aperture] = 0.0
            gain = _gains(share, self.left, self.inverse, self.wave, wave, how.filter_width)
            if np.isnan(gain).all():
                return None
            i, j = divmod(int(np.nanargmax(gain)), len(steps))
            if 0 < i < 2 * half and 0 < j < 2 * half:
                near = gain.reshape(len(steps), -1)[i - 1 : i + 2, j - 1 : j + 2]
                return _top(near, x + steps[i], y + steps[j], how.raster_step)
            x, y = x + steps[i], y + steps[j]
        return None


def _top(gain: Floats, x: float, y: float, step: float) -> Place:
    """Return the top of a paraboloid through (3, 3) values around x, y."""
    slope = np.array([gain[2].mean() - gain[0].mean(), gain[:, 2].mean() - gain[:, 0].mean()]) / (2 * step)
    xx = (gain[2] - 2 * gain[1] + gain[0]).mean() / step**2
    yy = (gain[:, 2] - 2 * gain[:, 1] + gain[:, 0]).mean() / step**2
    xy = (gain[2, 2] - gain[2, 0] - gain[0, 2] + gain[0, 0]) / (4 * step**2)
    bend = -np.array([[xx, xy], [xy, yy]])
    if not (np.isfinite(bend).all() and xx < 0 and np.linalg.det(bend) > 0):
        return Place(float(x), float(y), np.nan, np.nan)
    dx, dy = np.clip(np.linalg.solve(bend, slope), -step, step)
    error_x, error_y = np.sqrt(np.diag(np.linalg.inv(bend / 2)))  # where χ² is larger by 1
    return Place(float(x + dx), float(y + dy), float(error_x), float(error_y))


@numba.njit(cache=True)
def _gains(share: Floats, left: Floats, inverse: Floats, wave: Floats, at: float, width: float) -> Floats:
    """Return by how much a line lowers χ² at positions; NaN where nothing is known, or the line is negative.

    Parameters
    ----------
    share
        (k, m) f8: of m fibers at k positions.
    left, inverse
        (m, w) f8: light of the fibers, and 1 / σ².
    """
    made = np.full(len(share), np.nan)
    found, covariance = np.empty(5), np.empty((5, 5))
    free = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    for k in range(len(share)):
        power, total = np.zeros(wave.size), np.zeros(wave.size)
        for m in range(share.shape[1]):
            p = share[k, m]
            if p > 0:
                for i in range(wave.size):
                    power[i] += p * p * inverse[m, i]
                    total[i] += p * left[m, i] * inverse[m, i]
        for i in range(wave.size):
            total[i] = total[i] / power[i] if power[i] > 0 else 0.0
        chi2, straight, n, _ = levenberg(wave, total, power, at, width, free, found, covariance)
        if n >= FEWEST and found[0] > 0:
            made[k] = straight - chi2
    return made
