"""Looks for continuum sources in the fibers of an IFU.

A fiber is lit if the median of its counts in the blue or the red window is high enough. Lit fibers that are near to
each other on the sky are a group (friends of friends). HETDEX takes a group for one source. Here, stars that are as
near as that to each other, or joined by a third, stay apart: each peak of a group is a source if

* it is the brightest fiber within ``least_apart``,
* brighter sources of the group, as point sources, leave enough light in it (`CONTRAST`), and enough counts,
* what they leave there stands out from what they leave around it (`PROMINENCE`): the light of a large galaxy is smooth,
  and its fibers are one source.

Each source is then fitted to what the others leave, some times, in the window where it is brighter. One that is no
point (`EXTENDED`) is taken for two if these are points; else it is fitted with a width of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skyharvest.core.arrays import Floats, Ints
from skyharvest.reduction.hetdex.source_settings import Continuum
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.stars.moffat import fractions
from skyharvest.reduction.hetdex.stars.point_source import LEFT, NEAR, Source, fit
from skyharvest.reduction.hetdex.virus import GRID
from skyharvest.sky.matching import within_radius

BLUE, RED = 0, 1
KNOWN = 0.5
"""Of a window: the least share of wavelengths that a fiber knows."""
CONTRAST = 0.3
"""Least light that brighter sources leave in a peak, over what they have there: models of their wings are not exact."""
PROMINENCE = 1.5
"""Least light that they leave in a peak, over the median of what they leave around it."""
EXTENDED = 5.0
"""χ² by degrees of freedom of a point source, above which the width is fitted."""
ROUNDS = 3
"""Of fits of sources that are near to others."""


@dataclass(frozen=True)
class Window:
    """The light of n fibers in a window of wavelengths.

    Attributes
    ----------
    wave
        Å: its middle.
    counts
        (n,) f8: median, electrons in 2 Å; NaN where too little is known.
    light, error
        (n,) f8: mean flux, 1e-17 erg/s/cm² in 2 Å; NaN where too little is known.
    """

    wave: float
    counts: Floats
    light: Floats
    error: Floats


@dataclass(frozen=True)
class Found:
    """A source.

    Attributes
    ----------
    x, y
        Arcsec on the plane of the fibers, at `refraction.REFERENCE_WAVELENGTH`.
    window
        `BLUE` or `RED`: where it was fitted.
    counts
        (2,) f8: of its brightest fiber in each window.
    n_fibers
        Lit fibers of its group that are nearer to it than to others.
    group
        Number of its group in the IFU, from 0.
    group_fibers, group_sources
        Fibers and sources of its group.
    group_extent
        Arcsec: the largest distance of a fiber of the group from its brightest.
    offset
        Arcsec: by how much it is from the light's centre of its fibers; NaN if that is where it was left.
    chi2
        χ² by degrees of freedom, of a point source.
    width
        FWHM of its light over that of a point source's, if it was fitted; else 1.
    """

    x: float
    y: float
    window: int
    counts: tuple[float, float]
    n_fibers: int
    group: int
    group_fibers: int
    group_sources: int
    group_extent: float
    offset: float
    chi2: float
    width: float


def window_of(fibers: IfuFibers, first: float, last: float) -> Window:
    """Return the light in a window.

    Parameters
    ----------
    fibers
        With the column ``calfib_counts``.
    first, last
        Å, both included.
    """
    bins = (first <= GRID) & (last >= GRID)
    flux, error = fibers.flux[:, bins].astype(np.float64), fibers.error[:, bins].astype(np.float64)
    known = np.isfinite(flux) & np.isfinite(error)
    many = known.sum(1) >= max(1, KNOWN * bins.sum())
    number = np.where(many, known.sum(1), np.nan)
    counts = np.full(len(fibers), np.nan)
    counts[many] = np.nanmedian(fibers.more["calfib_counts"][:, bins][many], axis=1)
    light = np.where(known, flux, 0).sum(1) / number
    return Window((first + last) / 2, counts, light, np.sqrt(np.where(known, error**2, 0).sum(1)) / number)


def groups_of(ra: Floats, dec: Floats, radius: float) -> Ints:
    """Return the group of each position, from 0: those within a radius of one another, and of others between.

    Parameters
    ----------
    ra, dec
        (n,) f8, degrees.
    radius
        Arcsec, of the true separation on the sphere.

    Returns
    -------
    (n,) i8
    """
    first, second, _ = within_radius(ra, dec, ra, dec, radius)
    pairs = coo_array((np.ones(len(first)), (first, second)), shape=(len(ra), len(ra)))
    return np.asarray(connected_components(pairs, directed=False)[1], np.int64)


def find_sources(fibers: IfuFibers, settings: Continuum) -> list[Found]:
    """Find the continuum sources of an IFU, by group: brighter groups, and the brighter of a group, first.

    Parameters
    ----------
    fibers
        With the column ``calfib_counts``.
    """
    windows = (window_of(fibers, *settings.blue), window_of(fibers, *settings.red))
    counts = np.stack([window.counts for window in windows])
    lit = np.flatnonzero((counts >= settings.counts).any(0) & np.isfinite(fibers.ra) & np.isfinite(fibers.dec))
    label = groups_of(fibers.ra[lit], fibers.dec[lit], settings.group_radius)
    groups = [lit[label == number] for number in range(label.max(initial=-1) + 1)]
    found: list[Found] = []
    for number, rows in enumerate(sorted(groups, key=lambda rows: -np.nan_to_num(counts[:, rows]).max())):
        found += _Group(fibers, windows, rows, found, settings).found(number)
    return found


@dataclass
class _Placed:
    """A source of a group, while others are looked for.

    Attributes
    ----------
    peak
        Its brightest fiber.
    centre
        Of the light of fibers around that, arcsec.
    fitted
        What was fitted to the light that others leave.
    width
        FWHM over that of a point source.
    point
        The same as a point source, with its χ².
    light
        (n,) f8: what it has in all fibers.
    refused
        Whether no fit was within the limits, and it was left at the centre.
    """

    peak: int
    centre: tuple[float, float]
    fitted: Source
    point: Source
    light: Floats
    width: float = 1.0
    refused: bool = False

    @property
    def extended(self) -> bool:
        """Whether it is no point."""
        return self.point.chi2 > EXTENDED


class _Group:
    """Lit fibers that are near to each other, in the window where they are brighter, without light of other groups."""

    def __init__(
        self,
        fibers: IfuFibers,
        windows: Sequence[Window],
        rows: Ints,
        others: Sequence[Found],
        settings: Continuum,
    ) -> None:
        self.fibers, self.windows, self.rows, self.settings = fibers, windows, rows, settings
        self.window = int(np.argmax([np.nan_to_num(window.counts[rows]).max() for window in windows]))
        chosen = windows[self.window]
        self.counts, self.light, self.error = chosen.counts, chosen.light, chosen.error
        wave = np.array([chosen.wave])
        self.x, self.y = fibers.x - refraction.shift(wave), fibers.y
        self.fwhm = fibers.fwhm * refraction.fwhm_at(wave, 1.0)
        for other in others:
            if np.hypot(self.x[rows] - other.x, self.y[rows] - other.y).min() < 2 * NEAR:
                self._take_off(other)
        self.placed: list[_Placed] = []

    def _take_off(self, other: Found) -> None:
        """Take off the light of a source that was found before."""
        near = self._near(other.x, other.y, NEAR)
        data = (self.x[near], self.y[near], self.light[near], self.error[near])
        there = fit(*data, (other.x, other.y), self.fwhm[near], fit_position=False)
        if there is not None:
            model = there.total * fractions(self.x - other.x, self.y - other.y, self.fwhm)
            self.light, self.error = self.light - model, np.hypot(self.error, LEFT * model)

    def found(self, number: int) -> list[Found]:
        """Return the sources of the group: none, if all of its light is that of other groups."""
        lit = self.rows[np.argsort(-np.nan_to_num(self.light[self.rows], nan=-np.inf), kind="stable")]
        for row in lit[:1] if self.settings.one_each else lit:
            if self._is_peak(int(row)):
                self._place(int(row))
        if not self.placed:
            return []
        self._fit_again(range(len(self.placed)))
        if not self.settings.one_each:
            for k in range(len(self.placed)):
                if self.placed[k].extended:
                    self._split(k)
        self._drop_doubles()
        return self._described(number, int(lit[0]))

    def _near(self, x: float, y: float, radius: float) -> Ints:
        return np.flatnonzero(np.hypot(self.x - x, self.y - y) <= radius)

    def _model(self, but: _Placed | None = None) -> Floats:
        """Return the light of sources in all fibers, but that of one."""
        model = np.zeros(len(self.x))
        for one in self.placed:
            if one is not but:
                model += one.light
        return model

    def _light(self, of: Source, width: float) -> Floats:
        """Return what a source has in all fibers."""
        return of.total * fractions(self.x - of.x, self.y - of.y, self.fwhm * width)

    def _left(self, but: _Placed | None = None) -> tuple[Floats, Floats]:
        """Return the light that sources leave, but for one, and its error."""
        model = self._model(but)
        return self.light - model, np.hypot(self.error, LEFT * model)

    def _is_peak(self, row: int) -> bool:
        """Tell whether a fiber is the peak of a source that is not there yet."""
        x, y, apart = self.x[row], self.y[row], self.settings.least_apart
        light = self.light[row]
        if not light > 0 or light < np.nanmax(self.light[self._near(x, y, apart)]):
            return False
        if not self.placed:
            return True
        left, _ = self._left()
        at = left[row]
        around = np.setdiff1d(self._near(x, y, 2 * apart), self._near(x, y, apart))
        beside = np.nanmedian(left[around]) if np.isfinite(left[around]).any() else 0.0
        return bool(
            at >= CONTRAST * (light - at)
            and at * self.counts[row] >= self.settings.counts * light
            and at >= PROMINENCE * beside
        )

    def _place(self, row: int) -> None:
        left, error = self._left()
        near = self._near(self.x[row], self.y[row], self.settings.least_apart)
        weight = np.clip(np.nan_to_num(left[near]), 0, None)
        centre = (float(np.average(self.x[near], weights=weight)), float(np.average(self.y[near], weights=weight)))
        self.placed.append(self._fitted(row, centre, left, error))

    def _fitted(self, peak: int, centre: tuple[float, float], left: Floats, error: Floats) -> _Placed:
        """Return the source that is fitted to light, or left at the light's centre."""
        near = self._near(*centre, NEAR)
        near = near[np.isfinite(left[near]) & np.isfinite(error[near])]
        fwhm = self.fwhm[near]

        def fitted(**how: bool) -> Source | None:
            most = self.settings.most_moved
            made = fit(self.x[near], self.y[near], left[near], error[near], centre, fwhm, most_moved=most, **how)
            return made if made is not None and made.total > 0 else None

        point = fitted()
        if point is not None and not point.chi2 > EXTENDED:
            return _Placed(peak, centre, point, point, self._light(point, 1.0))
        there = fit(self.x[near], self.y[near], left[near], error[near], centre, fwhm, fit_position=False)
        assert there is not None, "a lit fiber is near, so that its light can be fitted"
        wide = fitted(fit_fwhm=True)
        if wide is None or not wide.chi2 < (point or there).chi2:
            return _Placed(peak, centre, there, point or there, self._light(there, 1.0), refused=True)
        width = wide.fwhm / float(fwhm.mean())
        return _Placed(peak, centre, wide, point or there, self._light(wide, width), width)

    def _fit_again(self, which: Sequence[int]) -> None:
        """Fit some sources, some times, each to what all others leave."""
        for _ in range(ROUNDS if len(self.placed) > 1 else 0):
            for k in which:
                one = self.placed[k]
                self.placed[k] = self._fitted(one.peak, one.centre, *self._left(one))

    def _split(self, k: int) -> None:
        """Put two sources in the place of one that is no point, if both of them are."""
        before = list(self.placed)
        point = before[k].point
        self.placed[k] = replace(before[k], fitted=point, light=self._light(point, 1.0), width=1.0)
        left, _ = self._left()
        near = np.intersect1d(self.rows, self._near(*before[k].centre, NEAR))
        row = int(near[np.argmax(left[near])])
        if left[row] * self.counts[row] >= self.settings.counts * self.light[row]:
            self._place(row)
            self._fit_again((k, len(before), k, len(before)))
            if not any(one.extended or one.refused for one in (self.placed[k], self.placed[-1])):
                return
        self.placed = before

    def _drop_doubles(self) -> None:
        """Drop sources that fits have brought to a brighter one."""
        kept: list[_Placed] = []
        for one in sorted(self.placed, key=lambda placed: -placed.fitted.total):
            apart = [np.hypot(one.fitted.x - other.fitted.x, one.fitted.y - other.fitted.y) for other in kept]
            if min(apart, default=np.inf) >= self.settings.least_apart / 2:
                kept.append(one)
        self.placed = kept

    def _described(self, number: int, brightest: int) -> list[Found]:
        extent = np.hypot(self.x[self.rows] - self.x[brightest], self.y[self.rows] - self.y[brightest]).max()
        of = np.argmin(
            [np.hypot(self.x[self.rows] - one.fitted.x, self.y[self.rows] - one.fitted.y) for one in self.placed],
            axis=0,
        )
        return [
            Found(
                x=one.fitted.x,
                y=one.fitted.y,
                window=self.window,
                counts=tuple(float(window.counts[one.peak]) for window in self.windows),  # type: ignore[arg-type]
                n_fibers=int((of == k).sum()),
                group=number,
                group_fibers=len(self.rows),
                group_sources=len(self.placed),
                group_extent=float(extent),
                offset=np.nan
                if one.refused
                else float(np.hypot(*np.subtract(one.centre, (one.fitted.x, one.fitted.y)))),
                chi2=one.point.chi2,
                width=one.width,
            )
            for k, one in enumerate(self.placed)
        ]
