"""Stars of the catalogue in the fibers of a shot: where they are, how wide, how bright, and their spectra.

Each exposure by itself, as a common width of images would make the brightness of exposures wrong by some per cent:

1. the width, by bright stars of which nothing is wrong: the mean of theirs by its errors, without what is far off;
2. the position of each star by χ², with this width: the mean over exposures is by how much the star is off;
3. its light, with position and width; how exposures differ in it is the norm.

All of this twice, each star on what the models of the others leave (`point_source.Scene`). Then spectra: at each
wavelength the best total of a Moffat profile that has the width and the place of that wavelength (`refraction`), by
least squares with the fibers' errors; stars that share fibers together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from skyharvest.core.arrays import Array, Bools, Float32s, Floats, Ints
from skyharvest.reduction.hetdex.biweight import location_scale
from skyharvest.reduction.hetdex.settings import Stars as Options
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.stars.moffat import fractions
from skyharvest.reduction.hetdex.stars.point_source import Scene, Source
from skyharvest.reduction.hetdex.virus import GRID

EDGE, BLENDED, SATURATED, OFF, FAINT, MISSING = 1, 2, 4, 8, 16, 32
FLAGS = {
    EDGE: "on the edge of an IFU, or of dead fibers, in an exposure",
    BLENDED: "another star is near",
    SATURATED: "too bright",
    OFF: "not where the catalogue has it, or not to be fitted",
    FAINT: "too faint to tell widths and norms",
    MISSING: "not seen in all exposures",
}
"""What is wrong with a star: bits."""

KNOTS = np.linspace(GRID[0], GRID[-1], 24)
"""Å: profiles are made here, and are linear between."""
ROUNDS = 2
LEAST_EIGENVALUE, MOST_DARK = 1e-3, 0.05
"""Of the normal equations of stars that share fibers; and how much of a star may lie in directions below it."""
SEEN = 0.2
"""A star with a smaller share of its light, by that far from an edge, is not seen."""
LEAST_ERROR = 0.03
"""Arcsec: of a position in one exposure."""
LEAST_WIDTH, LEAST_LIGHT = 0.02, 0.01
"""Arcsec, and a part of the light: no star's width and light are better known."""
CLIP = 4.0
"""Stars further from the others, in standard deviations, tell nothing."""


@dataclass(frozen=True)
class NearFibers:
    """The fibers of an exposure that are near stars.

    Attributes
    ----------
    x, y
        (n,) f8: arcsec on the focal plane of the exposure.
    light, error
        (n,) f8: in the band of the settings.
    brightest
        (n,) f8: of the spectrum.
    counts, variance
        (n, 1036) f4: spectra on the grid, electrons in 2 Å of a mean fiber; NaN where nothing is known.
    """

    x: Floats
    y: Floats
    light: Floats
    error: Floats
    brightest: Floats
    counts: Float32s
    variance: Float32s


@dataclass(frozen=True)
class Measured:
    """What was measured of stars, and of exposures by them; shapes (n_star, n_exp) where nothing else is said.

    Attributes
    ----------
    light, light_error
        f8: all of a star's light in the band. NaN where it is not seen.
    chi2, coverage
        f8: see `skyharvest.reduction.hetdex.stars.point_source.Source`.
    width, width_error
        f8: FWHM at `refraction.REFERENCE_WAVELENGTH`, arcsec, where it was fitted.
    dx, dy, offset_error
        (n_star,) f8: from where the catalogue has it, arcsec on the focal plane; 0 where it was not measured.
    flags
        (n_star,) int: `FLAGS`.
    used_fwhm, used_norm
        bool, and (n_star,) bool.
    fwhm, fwhm_error, norm, norm_error
        (n_exp,) f8; the mean of the norms is 1.
    """

    light: Floats
    light_error: Floats
    chi2: Floats
    coverage: Floats
    width: Floats
    width_error: Floats
    dx: Floats
    dy: Floats
    offset_error: Floats
    flags: Ints
    used_fwhm: Bools
    used_norm: Bools
    fwhm: Floats
    fwhm_error: Floats
    norm: Floats
    norm_error: Floats


@dataclass(frozen=True)
class Spectra:
    """Spectra of stars in an exposure.

    Attributes
    ----------
    counts, variance, fraction
        (n_star, 1036) f4: all of the star's light in 2 Å, its variance, and the share of it that fibers got.
    chi2
        (n_star,) f8: by degrees of freedom, mean over wavelengths.
    n_fibers
        (n_star,) int.
    """

    counts: Float32s
    variance: Float32s
    fraction: Float32s
    chi2: Floats
    n_fibers: Ints


def blended(x: Floats, y: Floats, magnitude: Floats, options: Options) -> Bools:
    """Return which stars have another near that is not much fainter; one without a magnitude may be bright."""
    made = np.zeros(len(x), bool)
    for i, j in KDTree(np.column_stack([x, y])).query_pairs(options.blend_radius):
        fainter = magnitude[j] - magnitude[i]
        made[i] |= not fainter > options.blend_magnitudes
        made[j] |= not -fainter > options.blend_magnitudes
    return made


def measure(
    exposures: Sequence[NearFibers], x: Floats, y: Floats, magnitude: Floats, start: Floats, options: Options
) -> Measured:
    """Measure stars in a band.

    Parameters
    ----------
    exposures
        The shot's.
    x, y
        (n_star, n_exp) f8: where the catalogue has the stars on the focal plane of each exposure, arcsec.
    magnitude
        (n_star,) f8: g; NaN where it is not known.
    start
        (n_exp,) f8: FWHM, arcsec, about.

    Returns
    -------
    Measured
        FWHM and norm are NaN for exposures without a star that tells them.
    """
    return _Measuring(exposures, x, y, magnitude, start, options).made()


class _Measuring:
    def __init__(
        self, exposures: Sequence[NearFibers], x: Floats, y: Floats, magnitude: Floats, start: Floats, options: Options
    ) -> None:
        self.options, self.x, self.y, self.fwhm = options, x, y, start.copy()
        self.exposures = exposures
        self.scenes = [Scene(e.x, e.y, e.light, e.error, level=True) for e in exposures]
        middle = np.array([(options.first_wavelength + options.last_wavelength) / 2])
        self.moved = float(refraction.shift(middle)[0])
        self.widened = float(refraction.fwhm_at(middle, 1.0)[0])
        self.n_star, self.n_exp = x.shape
        self.dx, self.dy = np.zeros(self.n_star), np.zeros(self.n_star)
        self.offset_error = np.full(self.n_star, np.nan)
        self.flags = np.where(blended(x[:, 0], y[:, 0], magnitude, options), BLENDED, 0)
        self.order = np.argsort(np.where(np.isfinite(magnitude), magnitude, np.inf), kind="stable")
        self.fwhm_error = np.full(self.n_exp, np.nan)
        self.norm, self.norm_error = np.full(self.n_exp, np.nan), np.full(self.n_exp, np.nan)
        self.width, self.width_error = (np.full(x.shape, np.nan) for _ in range(2))
        self.used_fwhm, self.used_norm = np.zeros(x.shape, bool), np.zeros(self.n_star, bool)

    def made(self) -> Measured:
        self._light()
        self._flag_bright()
        for _ in range(ROUNDS):
            self._positions()
            self._widths()
            self._positions()
            self._light()
        self._norms()
        values = [[self._of(star, e) for e in range(self.n_exp)] for star in range(self.n_star)]
        light, error, chi2, coverage = (
            np.array([[getattr(s, name) if s else np.nan for s in row] for row in values]).reshape(self.x.shape)
            for name in ("total", "total_error", "chi2", "coverage")
        )
        return Measured(
            light,
            error,
            chi2,
            coverage,
            self.width,
            self.width_error,
            self.dx,
            self.dy,
            self.offset_error,
            self.flags,
            self.used_fwhm,
            self.used_norm,
            self.fwhm,
            self.fwhm_error,
            self.norm,
            self.norm_error,
        )

    def _of(self, star: int, e: int) -> Source | None:
        return self.scenes[e].sources.get(star)

    def _place(self, star: int, e: int) -> tuple[float, float]:
        """Return where a star's image in the band is."""
        return self.x[star, e] + self.dx[star] + self.moved, self.y[star, e] + self.dy[star]

    def _light(self) -> None:
        """Measure the light of all stars where they are taken to be."""
        for e, scene in enumerate(self.scenes):
            width = self.fwhm[e] * self.widened
            for star in self.order:
                source = scene.fit(self._place(star, e), width, index=int(star), fit_position=False)
                if source is not None and source.coverage >= SEEN:
                    scene.sources[int(star)] = source
                else:
                    scene.sources.pop(int(star), None)

    def _flag_bright(self) -> None:
        for e, exposure in enumerate(self.exposures):
            tree = KDTree(np.column_stack([exposure.x, exposure.y]))
            for star in range(self.n_star):
                near = tree.query_ball_point((self.x[star, e], self.y[star, e]), self.options.aperture)
                if near and np.nanmax(np.append(exposure.brightest[near], 0.0)) >= self.options.saturated:
                    self.flags[star] |= SATURATED

    def _positions(self) -> None:
        """Measure by how much stars are off: the mean over exposures."""
        for star in range(self.n_star):
            found: list[tuple[float, float, float]] = []
            total = 0.0
            for e, scene in enumerate(self.scenes):
                own = self._of(star, e)
                if own is None or own.total <= 0:
                    continue
                total += (own.total / own.total_error) ** 2
                width = self.fwhm[e] * self.widened
                source = scene.fit((own.x, own.y), width, index=star, most_moved=self.options.most_off)
                if source is not None:
                    error2 = source.x_error**2 + source.y_error**2 + LEAST_ERROR**2
                    at_x, at_y = self.x[star, e] + self.moved, self.y[star, e]
                    found.append((source.x - at_x, source.y - at_y, 1 / error2))
            if np.sqrt(total) < self.options.recentre_snr:
                continue
            dx, dy, weight = np.array(found).T if found else (np.full(1, np.nan),) * 3
            off = np.array([(dx * weight).sum(), (dy * weight).sum()]) / weight.sum()
            if np.hypot(*off) <= self.options.most_off:
                self.dx[star], self.dy[star] = off
                self.offset_error[star] = np.sqrt(0.5 / weight.sum())
                self.flags[star] &= ~OFF
            else:
                self.dx[star] = self.dy[star] = 0.0
                self.flags[star] |= OFF

    def _tell(self, star: int, e: int, wrong: int) -> bool:
        """Return whether a star tells something of an exposure."""
        own = self._of(star, e)
        return bool(
            own is not None
            and not self.flags[star] & wrong
            and own.total >= self.options.least_snr * own.total_error
            and own.coverage >= self.options.least_coverage
        )

    def _widths(self) -> None:
        for e, scene in enumerate(self.scenes):
            self.width[:, e] = self.width_error[:, e] = np.nan
            self.used_fwhm[:, e] = False
            for star in range(self.n_star):
                if not self._tell(star, e, BLENDED | SATURATED | OFF):
                    continue
                start = self._place(star, e)
                width = self.fwhm[e] * self.widened
                source = scene.fit(start, width, index=star, fit_fwhm=True, most_moved=self.options.most_off)
                if source is not None:
                    self.width[star, e] = source.fwhm / self.widened
                    self.width_error[star, e] = source.fwhm_error / self.widened
                    self.used_fwhm[star, e] = True
            found = self.width[self.used_fwhm[:, e], e]
            if found.size:
                self.fwhm[e], self.fwhm_error[e] = _mean(found, self.width_error[self.used_fwhm[:, e], e], LEAST_WIDTH)

    def _norms(self) -> None:
        """Compare exposures, by stars that are good in all of them; and say of each star what is wrong with it."""
        for star in range(self.n_star):
            sources = [self._of(star, e) for e in range(self.n_exp)]
            seen = [source for source in sources if source is not None]
            if len(seen) < self.n_exp:
                self.flags[star] |= MISSING
            if any(source.coverage < self.options.least_coverage for source in seen):
                self.flags[star] |= EDGE
            if any(source.total < self.options.least_snr * source.total_error for source in seen):
                self.flags[star] |= FAINT
            self.used_norm[star] = all(self._tell(star, e, SATURATED | OFF | MISSING) for e in range(self.n_exp))
        used = np.flatnonzero(self.used_norm)
        if not used.size:
            return
        good = [[scene.sources[int(star)] for star in used] for scene in self.scenes]
        light = np.array([[source.total for source in row] for row in good])
        error = np.array([[source.total_error for source in row] for row in good])
        mean = light.mean(axis=0)
        for e in range(self.n_exp):
            self.norm[e], self.norm_error[e] = _mean(light[e] / mean, error[e] / mean, LEAST_LIGHT)
        scale = self.norm.mean()
        self.norm, self.norm_error = self.norm / scale, self.norm_error / scale


def _mean(values: Floats, errors: Floats, least: float) -> tuple[float, float]:
    """Return the mean of values by their errors, and its error, without those that are far from their biweight.

    Parameters
    ----------
    least
        Of an error: no star is better than that, as images are not what they are taken to be.
    """
    errors = np.hypot(errors, least)
    middle, scale = location_scale(values, axis=0)
    kept = np.abs(values - middle) <= CLIP * np.maximum(errors, float(scale))
    weights = np.where(kept, 1 / errors**2, 0.0)
    mean = float((values * weights).sum() / weights.sum())
    chi2 = float(((values - mean) ** 2 * weights).sum())
    left = int(kept.sum()) - 1
    wider = max(chi2 / left, 1.0) if left > 0 else 1.0
    return mean, float(np.sqrt(wider / weights.sum()))


def extract(fibers: NearFibers, x: Floats, y: Floats, fwhm: float, grid: Floats, options: Options) -> Spectra:
    """Extract the spectra of stars from the fibers of an exposure.

    Parameters
    ----------
    x, y
        (n_star,) f8: on the focal plane at `refraction.REFERENCE_WAVELENGTH`, arcsec.
    fwhm
        There, arcsec.
    grid
        (m,) f8: Å of the spectra.
    """
    n_star, n_wave = len(x), len(grid)
    counts, variance = (np.full((n_star, n_wave), np.nan, np.float32) for _ in range(2))
    fraction = np.zeros((n_star, n_wave), np.float32)
    chi2, n_fibers = np.full(n_star, np.nan), np.zeros(n_star, np.int64)
    if not n_star or not len(fibers.x):
        return Spectra(counts, variance, fraction, chi2, n_fibers)
    weights = np.stack([np.interp(grid, KNOTS, row) for row in np.eye(len(KNOTS))])
    tree = KDTree(np.column_stack([fibers.x, fibers.y]))
    near = tree.query_ball_point(np.column_stack([x, y]), options.aperture)
    for group in _groups(x, y, 2 * options.aperture):
        used = np.unique(np.concatenate([np.array(near[star], dtype=np.int64) for star in group]))
        n_fibers[group] = [len(near[star]) for star in group]
        if not used.size:
            continue
        dx = fibers.x[used] - x[group, None]
        dy = fibers.y[used] - y[group, None]
        at_knots = fractions(dx[..., None] - refraction.shift(KNOTS), dy[..., None], refraction.fwhm_at(KNOTS, fwhm))
        share = at_knots @ weights  # (n_star, n_fiber, n_wave)
        found = _solve(share, fibers.counts[used], fibers.variance[used])
        known = found.fraction >= options.least_fraction
        counts[group] = np.where(known, found.counts, np.nan)
        variance[group] = np.where(known, found.variance, np.nan)
        fraction[group] = found.fraction
        chi2[group] = found.chi2
    return Spectra(counts, variance, fraction, chi2, n_fibers)


@dataclass(frozen=True)
class _Solved:
    counts: Floats
    variance: Floats
    fraction: Floats
    chi2: float


def _groups(x: Floats, y: Floats, distance: float) -> list[Ints]:
    """Return stars that share fibers, directly or by others, as lists of indices."""
    pairs = KDTree(np.column_stack([x, y])).query_pairs(distance, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(x), len(x)))
    n, label = connected_components(links, directed=False)
    return [np.flatnonzero(label == group) for group in range(n)]


def _solve(share: Floats, counts: Array, variance: Array) -> _Solved:
    """Return the totals of stars at each wavelength.

    Parameters
    ----------
    share
        (n_star, n_fiber, n_wave) f8.
    counts, variance
        (n_fiber, n_wave).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        good = np.isfinite(counts) & np.isfinite(variance) & (variance > 0)
        weight = np.where(good, 1 / variance.astype(np.float64), 0.0)
    value = np.where(good, counts, 0.0).astype(np.float64)
    weighted = share * weight
    normal = np.einsum("sfw,tfw->wst", weighted, share, optimize=True)
    right = np.einsum("sfw,fw->ws", weighted, value, optimize=True)
    # In units in which each star by itself has the variance 1: eigenvalues near 0 are stars that cannot be told apart.
    diagonal = np.einsum("wss->ws", normal)
    empty = diagonal <= 0
    scale = np.where(empty, 1.0, np.sqrt(np.where(empty, 1.0, diagonal)))
    level, direction = np.linalg.eigh(normal / (scale[:, :, None] * scale[:, None, :]))
    dark = level < LEAST_EIGENVALUE
    unknown = ((direction**2 * dark[:, None, :]).sum(axis=2) > MOST_DARK) | empty
    inverse = (direction * np.where(dark, 0.0, 1 / np.where(dark, 1.0, level))[:, None, :]) @ direction.swapaxes(1, 2)
    total = (np.einsum("wst,wt->ws", inverse, right / scale) / scale).T
    spread = (np.einsum("wss->ws", inverse) / scale**2).T.copy()
    residual = value - np.einsum("sfw,sw->fw", share, total, optimize=True)
    left = good.sum(axis=0) - len(share)
    enough = left > 0
    chi2 = ((residual**2 * weight).sum(axis=0)[enough] / left[enough]).mean() if enough.any() else np.nan
    spread[unknown.T] = np.nan
    total = np.where(unknown.T, np.nan, total)
    return _Solved(total, spread, np.einsum("sfw,fw->sw", share, good, optimize=True), float(chi2))
