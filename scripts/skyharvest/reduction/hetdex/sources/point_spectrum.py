"""The spectrum of a point source, of the fibers around it in all exposures.

Each fiber has a share of the source's light: that of a Moffat profile (`stars.moffat`) as wide as images of its
exposure are, moved and widened with wavelength (`stars.refraction`). With flux f, error σ and share p of each fiber,
the source has Σ (p f / σ²) / Σ (p² / σ²), with the variance 1 / Σ (p² / σ²): the best sum there is (Horne 1986, PASP
98, 609). Calibrated fibers know the norm of their exposure, so that all exposures have the same flux.

`extract` is for one source, with all that is to be known of it; `Extractor` for thousands of positions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
from scipy.spatial import KDTree

from skyharvest.core.arrays import Array, Float32s, Floats, Ints
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.stars.moffat import fractions
from skyharvest.reduction.hetdex.stars.point_source import FILLING
from skyharvest.reduction.hetdex.virus import GRID, N_GRID

BINS = 45
"""Bins of a spectrum between knots: shares are made at knots, and are linear between."""
KNOTS = GRID[::BINS]
"""Å."""
AT_ONCE = 512
"""Positions whose shares are in memory."""


@dataclass(frozen=True)
class PointSpectrum:
    """The spectrum of a point source.

    Attributes
    ----------
    x, y
        Where it is on the focal plane of the first exposure at `refraction.REFERENCE_WAVELENGTH`, arcsec.
    flux, error
        (1036,) f8: 1e-17 erg/s/cm² in 2 Å, of all of its light; NaN where no fiber has a value.
    apcor
        (1036,) f8: the share of its light that fibers have; exposures, which are dithered, are added up.
    coverage
        (1036,) f8: that by what fibers have of a source that is far from an edge (1 in the mean).
    used
        (m,) i8: fibers within the aperture that have a value anywhere: rows, nearest first.
    distance
        (m,) f8: from the source, arcsec.
    weight
        (m,) f8: the weight of each in the sum, mean of wavelengths; their sum is 1.
    share
        (m, 1036) f8: of the source's light in each.
    inverse_variance
        (m, 1036) f8: 0 where the fiber has no value.
    """

    x: float
    y: float
    flux: Floats
    error: Floats
    apcor: Floats
    coverage: Floats
    used: Ints
    distance: Floats
    weight: Floats
    share: Floats
    inverse_variance: Floats

    def total(self, values: Array) -> Floats:
        """Return the source's total of another column, such as counts, by the same shares and weights.

        Parameters
        ----------
        values
            (n, 1036): of all fibers of the IFU; those that are NaN are left out.

        Returns
        -------
        (1036,) f8.
        """
        known, value = self._known(values)
        weight = self.share * self.inverse_variance * known
        return _by((weight * value).sum(0), (weight * self.share).sum(0))

    def total_error(self, errors: Array) -> Floats:
        """Return the error of such a total, given those of fibers, (n, 1036)."""
        known, error = self._known(errors)
        weight = self.share * self.inverse_variance * known
        return _by(np.sqrt(((weight * error) ** 2).sum(0)), (weight * self.share).sum(0))

    def summed(self, values: Array) -> Floats:
        """Return the plain sum of a column, (n, 1036), over the fibers of the aperture: (1036,) f8."""
        known, value = self._known(values)
        return np.where(known.any(0), value.sum(0), np.nan)

    def summed_error(self, errors: Array) -> Floats:
        """Return the error of such a sum, given those of fibers, (n, 1036)."""
        known, error = self._known(errors)
        return np.where(known.any(0), np.sqrt((error**2).sum(0)), np.nan)

    def _known(self, values: Array) -> tuple[Array, Floats]:
        """Return which values of the fibers used are known, and them, 0 where not."""
        value = np.asarray(values[self.used], np.float64)
        known = np.isfinite(value) & (self.inverse_variance > 0)
        return known, np.where(known, value, 0.0)


def extract(fibers: IfuFibers, x: float, y: float, *, aperture: float) -> PointSpectrum:
    """Extract the spectrum of a point source.

    Parameters
    ----------
    fibers
        Of an IFU.
    x, y
        Where it is, arcsec on the plane of ``fibers.x``.
    aperture
        Arcsec: fibers so near are used, in all exposures.

    Returns
    -------
    PointSpectrum
        Of NaN, and no fibers, where there are none.
    """
    distance = np.hypot(fibers.x - x, fibers.y - y)
    near = np.flatnonzero(distance <= aperture)
    inverse = _inverse_variance(fibers.flux[near], fibers.error[near]).astype(np.float64)
    near, inverse = near[inverse.any(1)], inverse[inverse.any(1)]
    order = np.lexsort((near, distance[near]))
    used, inverse = near[order], inverse[order]
    share = between_knots(shares_at_knots(fibers, used, np.full(len(used), x), np.full(len(used), y)))
    known = inverse > 0
    weighted = share * inverse
    power = (share * weighted).sum(0)
    flux = _by((weighted * np.where(known, fibers.flux[used], 0.0)).sum(0), power)
    apcor = (share * known).sum(0)
    of_all = _by(weighted, weighted.sum(0))
    weight = np.nanmean(of_all[:, np.isfinite(of_all).all(0)], axis=1) if len(used) else np.zeros(0)
    return PointSpectrum(
        x=float(x),
        y=float(y),
        flux=flux,
        error=_by(np.ones(N_GRID), np.sqrt(power)),
        apcor=apcor,
        coverage=apcor / whole_share(fibers),
        used=used,
        distance=distance[used],
        weight=weight,
        share=share,
        inverse_variance=inverse,
    )


def whole_share(fibers: IfuFibers) -> float:
    """Return the share of its light that fibers have of a source far from an edge, all exposures added up."""
    return float(FILLING * max(len(fibers.exposures), 1))


def shares_at_knots(fibers: IfuFibers, used: Ints, x: Floats, y: Floats) -> Floats:
    """Return the share of sources' light in fibers, at `KNOTS`.

    Parameters
    ----------
    used
        (m,) i8: rows of fibers.
    x, y
        (m,) f8: where the source of each is, arcsec.

    Returns
    -------
    (m, 24) f8.
    """
    dx = (fibers.x[used] - x)[:, None] - refraction.shift(KNOTS)
    dy = (fibers.y[used] - y)[:, None]
    return fractions(dx, dy, fibers.fwhm[used][:, None] * refraction.fwhm_at(KNOTS, 1.0))


def between_knots(at_knots: Floats) -> Floats:
    """Return values at `KNOTS`, (m, 24), at all wavelengths, (m, 1036)."""
    part = np.arange(BINS) / BINS
    first, step = at_knots[:, :-1, None], np.diff(at_knots, axis=1)[:, :, None]
    return np.concatenate([(first + step * part).reshape(len(at_knots), N_GRID - 1), at_knots[:, -1:]], axis=1)


@dataclass(frozen=True)
class Sums:
    """What spectra of positions are made of; flux is ``weighted / power``, its error ``power ** -0.5``.

    Attributes
    ----------
    weighted, power, apcor
        (k, 1036) f4: Σ p f / σ², Σ p² / σ², Σ p; 0 where no fiber has a value.
    """

    weighted: Float32s
    power: Float32s
    apcor: Float32s

    @property
    def flux(self) -> Float32s:
        """(k, 1036) f4; NaN where no fiber has a value."""
        return np.where(self.power > 0, self.weighted / np.where(self.power > 0, self.power, 1), np.float32(np.nan))


class Extractor:
    """Spectra of point sources at many positions of an IFU.

    Parameters
    ----------
    fibers
        Of the IFU.
    aperture
        Arcsec: fibers so near are used.
    flux
        (n, 1036) f4: taken for that of the fibers, such as flux without continuum; None: ``fibers.flux``.
    """

    def __init__(self, fibers: IfuFibers, aperture: float, flux: Float32s | None = None) -> None:
        self.fibers, self.aperture = fibers, aperture
        given = fibers.flux if flux is None else flux
        self._inverse = _inverse_variance(given, fibers.error)
        self._weighted = np.where(self._inverse > 0, given, 0) * self._inverse
        self._tree = KDTree(np.column_stack([fibers.x, fibers.y])) if len(fibers) else None

    def sums(self, x: Floats, y: Floats) -> Sums:
        """Return the sums of positions, (k,) arcsec."""
        pieces = list(self.pieces(x, y))
        if not pieces:
            return Sums(*(np.zeros((0, N_GRID), np.float32) for _ in range(3)))
        return Sums(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in Sums.__annotations__))

    def pieces(self, x: Floats, y: Floats) -> Iterator[Sums]:
        """Yield the sums of positions, (k,) arcsec, some hundreds at once: memory does not grow with them."""
        for start in range(0, len(x), AT_ONCE):
            at_x, at_y = x[start : start + AT_ONCE], y[start : start + AT_ONCE]
            near = self._tree.query_ball_point(np.column_stack([at_x, at_y]), self.aperture) if self._tree else []
            count = np.array([len(one) for one in near] or [0] * len(at_x), np.int64)
            used = np.fromiter((row for one in near for row in sorted(one)), np.int64, int(count.sum()))
            source = np.repeat(np.arange(len(at_x)), count)
            share = shares_at_knots(self.fibers, used, at_x[source], at_y[source]).astype(np.float32)
            first = np.concatenate([[0], np.cumsum(count)])
            yield Sums(*_add_up(first, used, share, self._weighted, self._inverse, BINS))


def _inverse_variance(flux: Float32s, error: Float32s) -> Float32s:
    """Return 1 / σ², 0 where a value is not known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(flux) & np.isfinite(error) & (error > 0)
        return np.where(known, 1 / np.where(known, error, 1) ** 2, 0).astype(np.float32)


def _by(values: Floats, divisor: Floats) -> Floats:
    """Return a quotient, NaN where it is of 0."""
    return np.where(divisor > 0, values / np.where(divisor > 0, divisor, 1.0), np.nan)


@numba.njit(cache=True)
def _add_up(
    first: Ints, used: Ints, share: Float32s, weighted: Float32s, inverse: Float32s, bins: int
) -> tuple[Float32s, Float32s, Float32s]:
    """Return the sums of positions; those of position i have the fibers ``used[first[i]:first[i + 1]]``."""
    n, n_wave = first.size - 1, weighted.shape[1]
    sums, power, apcor = np.zeros((3, n, n_wave), np.float32)
    none = np.float32(0)
    for i in range(n):
        for pair in range(first[i], first[i + 1]):
            row = used[pair]
            for knot in range(share.shape[1]):
                start = knot * bins
                p0 = share[pair, knot]
                last = knot == share.shape[1] - 1
                step = none if last else (share[pair, knot + 1] - p0) / np.float32(bins)
                for k in range(1 if last else bins):
                    p = p0 + step * np.float32(k)
                    v = inverse[row, start + k]
                    sums[i, start + k] += p * weighted[row, start + k]
                    power[i, start + k] += p * p * v
                    apcor[i, start + k] += p if v > none else none
    return sums, power, apcor
