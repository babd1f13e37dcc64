"""Where the light of each fiber falls on the detector: traces, from a twilight.

In blocks of columns the peaks of fibers are found and followed, and a Chebyshev polynomial of the column is laid
through each fiber's. Then, again and again, all fibers are extracted together with the profile so far, what is left of
the image is projected on how the profile changes when a trace is moved (a Gauss-Newton step), and the profile is fitted
anew: centroids of peaks are pulled by neighbours and by pixels, these are not.

specreduce 1.9 was tried and not taken: `FitTrace` follows one fiber at a time in rows of its own, by centroids, 0.3
pixels rms from the truth beside neighbours; this is 0.007.

With the profile known, what is left between and beside the fibers is searched for fibers that are nearly dead: they
have two per cent of the light, and count when fibers are numbered (`fiber_numbers`).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.polynomial import chebyshev
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.biweight import TO_SIGMA, location, location_scale
from skyharvest.reduction.hetdex.calibration.fiber_numbers import Numbers, number_fibers
from skyharvest.reduction.hetdex.detector.extraction import Weights, extract, model_image
from skyharvest.reduction.hetdex.detector.profile import Profile, first_guess, fit_profile
from skyharvest.reduction.hetdex.settings import Trace
from skyharvest.reduction.hetdex.virus import N_FIBERS

N_BLOCKS = 43
"""Blocks of columns in which peaks are found, and traces are recentred."""
_FIRST_SIGMA = 2.2
"""Pixels: of the profile to begin with."""
_JUMP = 3.0
"""Pixels: no farther is a peak from where it is expected in the next block."""
_LEAST_PEAK_SIGMA = 10.0
"""A typical fiber's peak is so many σ, or there is no light."""
_FLOOR = 0.01
"""Pixels: error of a block's move that is not noise. So no bright defect counts more than the rest of a trace."""
_STEPS = 4
"""Of Gauss-Newton, each with a new profile. After two nothing moves by more than 0.003 pixels."""
_FAINT_SIGMA = 8.0
_FAINT_HALF = 4
"""Rows on each side of a nearly dead fiber: beyond is the light of its neighbours."""
_FAINT_OFFSETS = np.linspace(-1, 1, 9)
"""Pixels: so far may a nearly dead fiber be from its place."""
_FAR, _MODEL_ERROR = 6.0, 0.1
"""As in `profile`: what is farther from the model is a defect."""

Scattered = Callable[[Floats], Float32s]
"""Returns the scattered light of the image, given the traces of all fibers, (n, n_column)."""


@dataclass(frozen=True)
class Traces:
    """Fibers of an amplifier.

    Attributes
    ----------
    trace
        (112, n_column) f8: row of each fiber's centre, pixels; of dead ones from their neighbours.
    alive
        (112,) bool: fibers with light that no one has named as bad.
    profile
        Of their light.
    scattered
        (n_rows, n_column) f4: scattered light, electrons.
    light
        (112,) f8: light relative to the median fiber; NaN where none is seen.
    rms
        Pixels: what is left between the traces and the last recentring, in blocks of columns.
    chi2
        Median of the reduced χ² of fibers and columns.
    numbers
        How the fibers are numbered.
    """

    trace: Floats
    alive: Bools
    profile: Profile
    scattered: Float32s
    light: Floats
    rms: float
    chi2: float
    numbers: Numbers


def find_traces(
    image: Float32s,
    variance: Float32s,
    good: Bools,
    scattered: Scattered,
    settings: Trace,
    named: Collection[int] = (),
) -> Traces:
    """Find and measure all fibers of an amplifier.

    Parameters
    ----------
    image, variance, good
        (n_rows, n_column) f4, f4, bool: a twilight, electrons; electrons²; pixels to be used.
    scattered
        Models the scattered light of ``image``.
    settings
        Of the step.
    named
        fibidx of fibers that someone has named as dead or missing.

    Raises
    ------
    InputError
        If there is no light of fibers, or they cannot be numbered.
    """
    trace = _followed(image, variance, good, settings)
    measured = _Measured(image, variance, good, trace, settings)
    background = scattered(measured.trace)
    for step in range(_STEPS):
        measured.recentre(background)
        if step == 0:  # by better traces than those that peaks tell
            background = scattered(measured.trace)
    rows, light, faint, dim = measured.with_faint(scattered, settings)
    if faint.any():  # their light has been taken for scattered light
        measured.recentre(scattered(rows) + dim)
        rows, light, faint, dim = measured.with_faint(scattered, settings)
    numbers = number_fibers(rows[:, image.shape[1] // 2], faint, named)
    alive = np.zeros(N_FIBERS, bool)
    alive[numbers.seen[~faint]] = True
    alive[list(named)] = False
    of_fiber = np.full(N_FIBERS, np.nan)
    of_fiber[numbers.seen] = light
    complete = _completed(rows, numbers)
    profile = measured.profile
    by_number = np.interp(profile.y, np.arange(np.count_nonzero(~faint)), numbers.seen[~faint])
    return Traces(
        complete,
        alive,
        Profile(profile.values, profile.x, by_number),
        scattered(complete),
        of_fiber,
        measured.rms,
        measured.chi2,
        numbers,
    )


def _followed(image: Float32s, variance: Float32s, good: Bools, settings: Trace) -> Floats:
    """Return traces of all fibers with full light, (n, n_column), from the peaks in blocks of columns."""
    n_column = image.shape[1]
    blocks = np.array_split(np.arange(n_column), N_BLOCKS)
    centres = np.array([block.mean() for block in blocks])
    shown = np.where(good, image, np.nan)
    lines = [_filled(np.asarray(location(shown[:, block], 1), np.float64)) for block in blocks]
    noise = 1.3 * np.sqrt(np.nanmedian(np.where(good, variance, np.nan)) / len(blocks[0]))
    peaks = [_peaks(line, noise, settings.least_light) for line in lines]
    # Some block near the middle has the usual number of peaks, also if a defect is in the middle itself.
    near = sorted(range(N_BLOCKS), key=lambda block: abs(block - N_BLOCKS // 2))[: N_BLOCKS // 3]
    usual = int(np.median([len(peaks[block]) for block in near]))
    start = next(block for block in near if len(peaks[block]) == usual)
    if usual < N_FIBERS // 2:
        raise InputError(f"found {usual} fibers with light; expected {N_FIBERS}: is the amplifier dead?")
    places = np.full((usual, N_BLOCKS), np.nan)
    places[:, start] = peaks[start]
    for blocks_on in (range(start + 1, N_BLOCKS), range(start - 1, -1, -1)):
        last, slope = peaks[start].copy(), np.zeros(usual)
        for block in blocks_on:
            expected = last + slope
            found = _nearest(peaks[block], expected)
            hit = np.abs(found - expected) < _JUMP
            places[hit, block] = found[hit]
            now = np.where(hit, found, expected)
            slope = 0.5 * slope + 0.5 * np.median(now - last)
            last = now
    at, everywhere = _scaled(centres, n_column), _scaled(np.arange(n_column), n_column)
    series = _fitted(at, places, np.isfinite(places).astype(np.float64), settings.degree)
    return np.asarray(chebyshev.chebval(everywhere, series.T), np.float64)


def _filled(line: Floats) -> Floats:
    known = np.isfinite(line)
    return np.interp(np.arange(len(line)), np.flatnonzero(known), line[known]) if known.any() else np.zeros(len(line))


def _peaks(line: Floats, noise: float, least: float) -> Floats:
    """Return where the peaks of a line are, (n,) f8: those that stand out by ``least`` of a typical one."""
    smooth = gaussian_filter1d(line, 1.0)
    peaks, about = find_peaks(smooth, prominence=_LEAST_PEAK_SIGMA * noise / 2)
    if not len(peaks):
        return np.zeros(0)
    height = about["prominences"]
    typical = np.median(height[height > least * np.percentile(height, 75)])
    if typical < _LEAST_PEAK_SIGMA * noise:
        return np.zeros(0)
    peaks = peaks[(height > least * typical) & (peaks > 0) & (peaks < len(line) - 1)]
    below, middle, above = smooth[peaks - 1], smooth[peaks], smooth[peaks + 1]
    return np.asarray(peaks + 0.5 * (below - above) / np.minimum(below - 2 * middle + above, -1e-9), np.float64)


def _nearest(peaks: Floats, expected: Floats) -> Floats:
    if not len(peaks):
        return np.full(len(expected), np.inf)
    after = np.clip(np.searchsorted(peaks, expected), 1, max(len(peaks) - 1, 1))
    low, high = peaks[after - 1], peaks[np.minimum(after, len(peaks) - 1)]
    return np.where(np.abs(low - expected) < np.abs(high - expected), low, high)


def _scaled(x: Array, n_column: int) -> Floats:
    return np.asarray(2 * x / (n_column - 1) - 1, np.float64)


def _fitted(at: Floats, values: Floats, weight: Floats, degree: int) -> Floats:
    """Return Chebyshev series, (n, degree + 1), of each row of values; what is far off has no weight."""
    design = chebyshev.chebvander(at, degree)
    known = weight > 0
    values = np.where(known, values, 0)
    use = known
    series = np.zeros((len(values), degree + 1))
    for _ in range(6):
        counted = np.where(use, weight, 0)
        normal = np.einsum("nb,bp,bq->npq", counted, design, design)
        stiff = np.maximum(1e-10 * np.trace(normal, axis1=1, axis2=2), 1e-30)  # should there be too few values
        normal += stiff[:, None, None] * np.eye(degree + 1)
        series = np.linalg.solve(normal, ((counted * values) @ design)[..., None])[..., 0]
        off = np.abs(values - series @ design.T) * np.sqrt(weight)
        limit = 4 * TO_SIGMA * np.nanmedian(np.where(use, off, np.nan), axis=1)
        use = known & (off <= np.maximum(limit, 1e-9)[:, None])
    return series


class _Measured:
    """Traces of the fibers with light that become better step by step, with their profile."""

    def __init__(self, image: Float32s, variance: Float32s, good: Bools, trace: Floats, settings: Trace) -> None:
        self.image, self.variance, self.good, self.trace = image, variance, good, trace
        self.alive = np.ones(len(trace), bool)
        self.profile = first_guess(_FIRST_SIGMA)
        self.degree = settings.degree
        self.groups = settings.groups_y, settings.groups_x
        self.rms = self.chi2 = np.nan
        self.light = np.ones(len(trace))

    def recentre(self, background: Float32s) -> None:
        """Move the traces to where the light is, and fit its profile."""
        image = self.image - background
        n_rows, n_column = image.shape
        edges = np.linspace(0, n_column, N_BLOCKS + 1).round().astype(np.int64)
        moved, known, _ = self._moves(image, self.trace, edges)
        move = np.clip(np.divide(moved, known, out=np.zeros_like(moved), where=known > 0), -1, 1)
        at = _scaled((edges[1:] + edges[:-1] - 1) / 2, n_column)
        weight = np.divide(known, 1 + _FLOOR**2 * known)
        series = _fitted(at, move, weight, self.degree)
        rest = (move - chebyshev.chebval(at, series.T))[known > 0]
        self.rms = float(location_scale(rest, None)[1])
        self.trace = self.trace + chebyshev.chebval(_scaled(np.arange(n_column), n_column), series.T)
        weights = self.profile.weights(self.trace, n_rows)
        found = extract(image, self.variance, self.good, weights, self.alive)
        self.chi2 = float(np.nanmedian(found.chi2))
        self.light = np.nanmedian(found.spectrum, axis=1)
        try:
            self.profile = fit_profile(
                image, self.variance, self.good, self.trace, self.alive, found.spectrum, self.profile, self.groups
            )
        except ValueError as error:
            raise InputError(f"no profile of the fibers: {error}") from None

    def with_faint(self, scattered: Scattered, settings: Trace) -> tuple[Floats, Floats, Bools, Float32s]:
        """Return rows, light and faintness of all fibers, ascending, also of the nearly dead, and the image of these.

        They are where they should be between their neighbours: their own light tells it less well. No gap between
        fibers is taken for free of light until it is known to be: scattered light is that of the edges at first. Where
        there is a peak may be a fiber; then scattered light is measured in the other gaps, and these are looked at
        again. At last all fibers are extracted together.
        """
        between, beside = _free_places(self.trace, len(self.image), self.profile.half)
        try:
            background = scattered(self._with(between)[0])
        except InputError:  # the fibers leave no edge
            background = scattered(self.trace)
        places = self._peaked([*between, *beside], background, settings.faint_light / 2)
        rows, _ = self._with(places)
        rows, faint = self._with(self._peaked(places, scattered(rows), settings.faint_light))
        weights = self.profile.weights(rows, len(self.image))
        image = self.image - scattered(rows)
        found = extract(image, self.variance, self.good, weights, np.ones(len(rows), bool))
        light = np.nanmedian(found.spectrum, axis=1)
        dim: Float32s = model_image(np.where(faint[:, None], found.spectrum, 0), weights, len(image))
        return rows, light / np.median(light[~faint]), faint, dim

    def _with(self, places: list[Floats]) -> tuple[Floats, Bools]:
        """Return all traces with those of some places, ascending, and which these are."""
        rows = np.array([*self.trace, *places])
        order = np.argsort(rows[:, rows.shape[1] // 2])
        return rows[order], order >= len(self.trace)

    def _peaked(self, places: list[Floats], background: Float32s, least: float) -> list[Floats]:
        """Return the places (n_column,) that have a peak of so much light, relative to a typical fiber."""
        if not places:
            return []
        image = self.image - background
        weights = self.profile.weights(self.trace, len(image))
        found = extract(image, self.variance, self.good, weights, self.alive)
        left = image - model_image(found.spectrum, weights, len(image))
        typical = float(np.median(self.light))
        return [place for place in places if self._light_at(place, left) > least * typical]

    def _light_at(self, place: Floats, left: Float32s) -> float:
        """Return the electrons of a fiber near a place (n_column,), 0 if they are no more than noise may be."""
        rows = np.floor(place + 0.5).astype(np.int64)[:, None] + np.arange(-_FAINT_HALF, _FAINT_HALF + 1)
        column = np.arange(len(place))[:, None]
        known = self.good[rows, column]
        values = location(np.where(known, left[rows, column], np.nan), 0)
        variance = np.nanmean(np.where(known, self.variance[rows, column], np.nan)) / len(place)
        smooth = np.linalg.qr(chebyshev.chebvander(np.linspace(-1, 1, 2 * _FAINT_HALF + 1), 1))[0]
        most = 0.0
        for offset in _FAINT_OFFSETS:
            profile = _at_rows(self.profile.weights((place + offset)[None], len(left)), rows).mean(axis=0)
            profile -= smooth @ (smooth.T @ profile)  # what is smooth is no fiber
            light = float(profile @ values / (profile @ profile))
            if light > _FAINT_SIGMA * np.sqrt(variance / (profile @ profile)):
                most = max(most, light)
        return most

    def _moves(self, image: Float32s, trace: Floats, edges: Array) -> tuple[Floats, Floats, Floats]:
        """Return what `_moves` adds up for traces, (n, n_block) twice, and the light of each fiber, (n,)."""
        weights, slopes = self.profile.weights_and_slopes(trace, len(image))
        found = extract(image, self.variance, self.good, weights, np.ones(len(trace), bool))
        left = image - model_image(found.spectrum, weights, len(image))
        moved, known = np.zeros((2, len(trace), len(edges) - 1))
        places = weights.rows, weights.values, slopes
        _moves(left, self.variance, self.good, found.spectrum, *places, edges, moved, known)
        return moved, known, np.nanmedian(found.spectrum, axis=1)


def _at_rows(weights: Weights, rows: Array) -> Floats:
    """Return the weights of one fiber at given rows of each column, (n_column, n)."""
    shift = rows - weights.rows[0][:, None]
    inside = (shift >= 0) & (shift < weights.values.shape[2])
    values = np.take_along_axis(weights.values[0], np.clip(shift, 0, weights.values.shape[2] - 1), axis=1)
    return np.where(inside, values, 0).astype(np.float64)


def _free_places(trace: Floats, n_rows: int, half: int) -> tuple[list[Floats], list[Floats]]:
    """Return where there is room for a fiber: traces (n_column,) between neighbours, and those beside the outermost."""
    middle = trace.shape[1] // 2
    steps = np.diff(trace, axis=0)
    spacing = np.median(steps[:, middle])
    between = []
    for i in np.flatnonzero(steps[:, middle] > 1.5 * spacing):
        n = round(steps[i, middle] / spacing)
        between += [trace[i] + steps[i] * k / n for k in range(1, n)]
    beside = []
    for edge, step in ((trace[0], -steps[0]), (trace[-1], steps[-1])):
        one = step / round(np.abs(step[middle]) / spacing)
        beside += [edge + k * one for k in (1, 2)]
    return between, [place for place in beside if place.min() > half + 1 and place.max() < n_rows - half - 2]


def _completed(rows: Floats, numbers: Numbers) -> Floats:
    """Return traces of all fibers, (112, n_column), those without light from their neighbours."""
    trace = np.full((N_FIBERS, rows.shape[1]), np.nan)
    trace[numbers.seen] = rows
    spacing = np.median(np.diff(rows, axis=0), axis=0)
    for fiber, (below, steps) in numbers.dark.items():
        apart = rows[below + 1] - rows[below]
        trace[fiber] = rows[below] + apart * steps / np.round(apart / spacing)
    first, last = numbers.seen[0], numbers.seen[-1]
    for fiber in numbers.missing:
        if fiber < first:
            trace[fiber] = rows[0] - (first - fiber) * spacing
        elif fiber > last:
            trace[fiber] = rows[-1] + (fiber - last) * spacing
    for fiber in np.flatnonzero(np.isnan(trace[:, 0])).tolist():  # no room is left for it: between its neighbours
        known = np.flatnonzero(np.isfinite(trace[:, 0]))
        below, above = known[known < fiber][-1], known[known > fiber][0]
        part = (fiber - below) / (above - below)
        trace[fiber] = (1 - part) * trace[below] + part * trace[above]
    return trace


@numba.njit(cache=True)
def _moves(
    left: Any,
    variance: Any,
    good: Any,
    spectrum: Any,
    rows: Any,
    values: Any,
    slopes: Any,
    edges: Any,
    moved: Any,
    known: Any,
) -> None:
    """Add up by fiber and block of columns, (n_fiber, n_block): ``moved`` / ``known`` is how far a trace is off.

    The light of a column is free, so that only what of the slope is at right angles to the profile counts.
    """
    for i in range(rows.shape[0]):
        for block in range(len(edges) - 1):
            for x in range(edges[block], edges[block + 1]):
                light = spectrum[i, x]
                if not light > 0:
                    continue
                ww, ws, ss, rs, rw = 0.0, 0.0, 0.0, 0.0, 0.0
                for k in range(values.shape[2]):
                    row = rows[i, x] + k
                    if row < 0 or row >= left.shape[0] or not good[row, x]:
                        continue
                    noise, rest = variance[row, x], left[row, x]
                    w, s = values[i, x, k], slopes[i, x, k]
                    if rest**2 > _FAR**2 * (noise + (_MODEL_ERROR * light * w) ** 2):
                        continue
                    ww += w * w / noise
                    ws += w * s / noise
                    ss += s * s / noise
                    rs += rest * s / noise
                    rw += rest * w / noise
                if ww > 0:
                    moved[i, block] += light * (rs - rw * ws / ww)
                    known[i, block] += light**2 * (ss - ws**2 / ww)
