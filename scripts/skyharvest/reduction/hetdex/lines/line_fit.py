"""Lines of candidates: where they are, what they are like, and which are kept.

At the best place near a candidate (`line_place`) the spectrum is extracted, with its continuum, and a Gaussian line on
a straight continuum is fitted to it. Lines are taken the brightest first, and each is taken off the fibers before the
next is fitted: what is left of a bright line is no other one.

Noise scatters by `Search.ratio` of what errors of fibers say, and so do errors of all that is fitted. Two errors of a
flux are told apart: `Line.errors` knows that place in wavelength, width and continuum are fitted too; `Line.noise` is
that of a line whose shape is known, by which signal to noise is measured, as in the search. Bins by themselves scatter
less than sums of them, as neighbours are correlated: χ² is in units of their own scatter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from skyharvest.core.arrays import Bools, Floats, Ints
from skyharvest.reduction.hetdex.lines.gaussian_fit import Fit, fit
from skyharvest.reduction.hetdex.lines.line_place import Neighbourhood, Place, share_at
from skyharvest.reduction.hetdex.lines.line_search import Candidate, Search
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.sources.point_spectrum import PointSpectrum, extract
from skyharvest.reduction.hetdex.virus import GRID, GRID_STEP

MODEL_ERROR = 0.1
"""Of the light that a fiber should have of a line: images are not quite Moffat profiles."""
HALO = 8.0
"""Arcsec: so far a line is taken off fibers."""
TAKEN_OFF, MATCHED = 6.0, 4.0
"""σ of a line, within which it is taken off; and within which its light in fibers is measured."""
MOST_OF = 0.5
"""Of a line's power at which a fiber has to be known, to be compared with others."""
FITTED = 3
"""Flux and position: what is fitted to the light of fibers."""
BEST = 3
"""Fibers with the highest weights, whose signal to noise is told; and bins in the middle of a line."""


@dataclass(frozen=True)
class Line:
    """An emission line.

    Attributes
    ----------
    place
        Where it is, on the focal plane of the first exposure; with the scatter of noise in the errors.
    fit
        Of the spectrum at that place.
    errors
        (5,) f8: of flux, wave, width, continuum and slope.
    noise
        1e-17 erg/s/cm²: the error of the flux of a line there whose shape is known.
    noise_ratio
        By what noise scatters more than errors of fibers say; it is in all errors here.
    sn, sn_err
        Signal to noise, by `noise`: the root of that by which the line lowers χ² of what has no continuum.
    sn_middle, sn_best, sn_best_middle
        Of the `BEST` bins in the middle of the line; of the `BEST` fibers; of both.
    chi2, chi2_err
        By degrees of freedom.
    chi2_fixed
        The same, of a fit whose width is that of the filter.
    chi2_fibers
        χ² of the line's light in fibers, by degrees of freedom: as a point source has it? NaN of fewer than four.
    one_exposure, one_fiber
        σ by which the exposure, and the fiber, that has most of the line, by its error, is above the others, as they
        have it of a point source; NaN if there are no others.
    candidate
        What it was found as.
    spectrum
        At its place.
    """

    place: Place
    fit: Fit
    errors: Floats
    noise: float
    noise_ratio: float
    sn: float
    sn_err: float
    sn_middle: float
    sn_best: float
    sn_best_middle: float
    chi2: float
    chi2_err: float
    chi2_fixed: float
    chi2_fibers: float
    one_exposure: float
    one_fiber: float
    candidate: Candidate
    spectrum: PointSpectrum

    def at(self, values: Floats) -> float:
        """Return what an array (1036,) has at its wavelength."""
        return float(np.interp(self.fit.wave, GRID, values))


class LineFitter:
    """Fits lines one after the other.

    Parameters
    ----------
    fibers
        Of an IFU.
    found
        What the search has of it.
    how
        Settings.
    """

    def __init__(self, fibers: IfuFibers, found: Search, how: Detections) -> None:
        self._how, self._found = how, found
        self._fibers = replace(fibers, flux=fibers.flux.copy())
        self._left = found.left.copy()

    def neighbourhood(self, candidate: Candidate) -> Neighbourhood:
        """Return the fibers around a candidate, as they are now."""
        return Neighbourhood.around(
            self._fibers, self._left, candidate.x, candidate.y, self._window(candidate), self._how
        )

    def _window(self, candidate: Candidate) -> Bools:
        window: Bools = np.abs(GRID - candidate.wave) <= self._how.fit_half_width
        return window

    def fit(self, candidate: Candidate) -> Line | None:
        """Return the line of a candidate; None if nothing can be fitted."""
        how, window = self._how, self._window(candidate)
        near = self.neighbourhood(candidate)
        place = near.best(candidate.x, candidate.y, candidate.wave)
        if place is None:
            return None
        alone = near.fit(place.x, place.y, candidate.wave)
        spectrum = extract(self._fibers, place.x, place.y, aperture=how.aperture)
        known = np.isfinite(spectrum.error[window])
        inverse = np.where(known, 1 / np.where(known, spectrum.error[window], 1.0) ** 2, 0.0)
        of_spectrum = (GRID[window], np.where(known, spectrum.flux[window], 0.0), inverse)
        made = fit(*of_spectrum, candidate.wave, how.filter_width)
        fixed = fit(*of_spectrum, candidate.wave, how.filter_width, hold_width=True)
        if alone is None or made is None or fixed is None or not alone.flux > 0 or not made.flux > 0:
            return None
        ratio = float(np.interp(made.wave, GRID, self._found.ratio)) * candidate.structure
        bins = float(np.median(self._found.bin_ratio[window])) ** 2
        compared = self._compare(spectrum, made, ratio)
        return Line(
            place=replace(place, x_err=place.x_err * ratio, y_err=place.y_err * ratio),
            fit=made,
            errors=ratio * np.sqrt(np.diag(made.covariance)),
            noise=ratio * alone.noise,
            noise_ratio=ratio,
            sn=alone.flux / alone.noise / ratio,
            sn_err=float(np.sqrt(made.covariance[0, 0])) / alone.noise,
            chi2=made.chi2 / made.n_free / bins,
            chi2_err=float(np.sqrt(2 / made.n_free)),
            chi2_fixed=fixed.chi2 / fixed.n_free / bins,
            candidate=candidate,
            spectrum=spectrum,
            **compared,
        )

    def take_off(self, line: Line) -> None:
        """Take a line's light off the fibers."""
        x, y, wave = line.place.x, line.place.y, line.fit.wave
        near = np.flatnonzero(np.hypot(self._fibers.x - x, self._fibers.y - y) <= HALO)
        reach = np.abs(GRID - wave) <= TAKEN_OFF * line.fit.width
        light = share_at(self._fibers, near, x, y, wave)[:, None] * line.fit.line(GRID[reach])
        for flux in (self._fibers.flux, self._left):
            flux[np.ix_(near, reach)] -= light.astype(np.float32)

    def _compare(self, spectrum: PointSpectrum, made: Fit, ratio: float) -> dict[str, float]:
        """Return what fibers say of a line: its signal to noise in some, χ², and how unlike they are; by attribute."""
        reach = np.abs(GRID - made.wave) <= MATCHED * made.width
        shape = made.line(GRID[reach]) / made.flux
        inverse = spectrum.inverse_variance[:, reach]
        left = np.where(inverse > 0, self._left[spectrum.used][:, reach], 0.0)
        share = spectrum.share[:, reach]
        total, power = share * shape * left * inverse, (share * shape) ** 2 * inverse

        def significance(fibers: Ints | slice, bins: Ints | slice) -> float:
            known = power[fibers][:, bins].sum()
            return float(total[fibers][:, bins].sum() / np.sqrt(known) / ratio) if known > 0 else np.nan

        best = np.argsort(-spectrum.weight, kind="stable")[:BEST]
        middle = np.flatnonzero(np.abs(GRID[reach] - made.wave) <= BEST / 2 * GRID_STEP)
        everything = slice(None)
        known = (shape**2 * inverse).sum(1)
        whole = (shape**2).sum() * np.median(inverse[inverse > 0]) if (inverse > 0).any() else np.inf
        enough = known > MOST_OF * whole
        at_line = share[:, np.argmax(shape)][enough]
        light = (shape * left * inverse)[enough].sum(1) / known[enough]
        variance = ratio**2 / known[enough]
        expnum = self._fibers.expnum[spectrum.used][enough]
        return {
            "sn_middle": significance(everything, middle),
            "sn_best": significance(best, everything),
            "sn_best_middle": significance(best, middle),
            "chi2_fibers": _chi2(light, variance, at_line, made.flux),
            "one_exposure": _above_others(expnum, light, variance, at_line),
            "one_fiber": _above_others(np.arange(len(light)), light, variance, at_line),
        }


def fit_lines(fibers: IfuFibers, found: Search, how: Detections) -> tuple[list[Line], dict[str, int]]:
    """Return the lines of a search that are kept, the best first, and how many are not, by reason."""
    fitter = LineFitter(fibers, found, how)
    kept: list[Line] = []
    lost: dict[str, int] = {}
    for candidate in found.candidates:
        line = fitter.fit(candidate)
        why = "no fit" if line is None else next(_faults(line, how), "")
        if line is None or why:
            lost[why] = lost.get(why, 0) + 1
            continue
        fitter.take_off(line)
        # Of the fibers as they are: with the light of lines that are beside it.
        of_all = extract(fibers, line.place.x, line.place.y, aperture=how.aperture)
        kept.append(replace(line, spectrum=of_all))
    return sorted(kept, key=lambda line: (-line.sn, line.fit.wave)), lost


def _faults(line: Line, how: Detections) -> Iterator[str]:
    """Yield why a line is not kept."""
    if not line.sn >= how.least_sn:
        yield "signal to noise"
    if not how.least_linewidth <= line.fit.width <= how.most_linewidth:
        yield "width"
    if not line.chi2 <= how.most_chi2:
        yield "chi2"
    if line.fit.flux < how.least_equivalent_width * line.fit.continuum:
        yield "equivalent width"
    if line.one_exposure > how.most_difference:
        yield "in one exposure"
    if line.one_fiber > how.most_difference:
        yield "in one fiber"


def _chi2(light: Floats, variance: Floats, share: Floats, flux: float) -> float:
    """Return χ² of the light of a line in fibers, by degrees of freedom."""
    left = len(light) - FITTED
    if left < 1:
        return np.nan
    expected = share * flux
    chi2 = ((light - expected) ** 2 / (variance + (MODEL_ERROR * expected) ** 2)).sum()
    return float(chi2 / left)


def _above_others(group: Ints, light: Floats, variance: Floats, share: Floats) -> float:
    """Return by how many σ the group of fibers with the most of a line is above the others; NaN if there are none."""
    members = (group == np.unique(group)[:, None]).astype(np.float64)
    power, total = members @ (share**2 / variance), members @ (share * light / variance)
    power, total = power[power > 0], total[power > 0]
    if len(power) < 2:
        return np.nan
    best = int(np.argmax(total / np.sqrt(power)))
    rest = power.sum() - power[best]
    own, others = total[best] / power[best], (total.sum() - total[best]) / rest
    spread = 1 / power[best] + 1 / rest + (MODEL_ERROR * own) ** 2
    return float((own - others) / np.sqrt(spread))
