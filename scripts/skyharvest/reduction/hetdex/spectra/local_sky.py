"""The sky in the fibers of an amplifier, from its own fibers without sources.

All numbers are normalised counts: electrons in 2 Å of a mean fiber of the field. The sky is a spline through all pixels
of the fibers without sources (`.sky_spline`). Wavelengths are right to some hundredths of an
Å only, and lines are not equally wide everywhere on the detector: what either leaves on the flanks of lines changes
smoothly over the detector, and is fitted with the spline's first and second derivative. What is left then of a
background that is common to 5 fibers in a row, in three blocks of columns, is sky as well: scattered light that its
model does not have.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.polynomial import legendre

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.settings import Sky
from skyharvest.reduction.hetdex.spectra import sky_spline
from skyharvest.reduction.hetdex.spectra.sky_spline import Spline

MIDDLE = slice(200, 900)
"""Columns whose median tells fibers with sources."""
BLOCKS = ((100, 400), (400, 700), (700, 1000))
"""Columns in which the background is measured."""
N_SHIFT, N_WIDTH = (3, 4), (3, 3)
"""Terms in y and x of shifts of wavelength, and of widths of lines."""
_N_TERMS = N_SHIFT[0] * N_SHIFT[1] + N_WIDTH[0] * N_WIDTH[1]
_PIXEL = 2.0
_PRIOR_SHIFT, _PRIOR_WIDTH = 0.05, 0.1
"""Å, Å²: how large these terms may be if nothing tells."""
_FAR, _MODEL_ERROR = 5.0, 0.02
"""A pixel that is so many σ off, with that relative error of the sky, does not tell them."""


@dataclass(frozen=True)
class LocalSky:
    """Sky of an amplifier's fibers.

    Attributes
    ----------
    sky
        (n_fiber, n_x) f4: of all fibers, also of dead ones; NaN beyond the wavelengths of the fibers used.
    spline
        The spectrum that fibers share.
    background
        (n_fiber, n_x) f4: the part of ``sky`` that is not in the spectrum.
    shift, width
        (n_fiber, n_x) f4: Å by which wavelengths are too small; Å² by which the variance of lines is larger.
    source, low
        (n_fiber,) bool: which fibers have a source, or less light than the sky; they are not used.
    rms
        Scatter of what is left, over its error, in the fibers used.
    """

    sky: Float32s
    spline: Spline
    background: Float32s
    shift: Float32s
    width: Float32s
    source: Bools
    low: Bools
    rms: float


def fit_sky(counts: Array, error: Array, wave: Array, settings: Sky) -> LocalSky:
    """Model the sky of an amplifier.

    Parameters
    ----------
    counts, error
        (n_fiber, n_x): normalised counts and their errors; NaN where there are none.
    wave
        (n_fiber, n_x), Å: of all fibers.
    settings
        Of the step.

    Raises
    ------
    InputError
        If too few fibers are without sources.
    """
    counts, wave = np.asarray(counts, np.float64), np.asarray(wave, np.float64)
    weights = quiet_weights(counts, error)
    living = np.isfinite(counts[:, MIDDLE]).mean(1) > 0.5
    source, low = apart(_levels(counts), living, settings)
    for _ in range(settings.sky_rounds):
        used = living & ~source & ~low
        if used.sum() < settings.least_sky_fibers:
            raise InputError(
                f"found {used.sum()} fibers without a source, of {living.sum()} with light; expected at least "
                f"{settings.least_sky_fibers} for the sky (hetdex_reduction.sky.least_sky_fibers)"
            )
        step = max(settings.sky_knots, _PIXEL * settings.sky_samples / used.sum())
        spline = sky_spline.fit(wave[used], counts[used], weights[used], step)
        before = source, low
        source, low = apart(_levels(counts - spline(wave)), living, settings)
        if np.array_equal(source, before[0]) and np.array_equal(low, before[1]):
            break
    used = living & ~source & ~low
    shift, width = np.zeros(wave.shape), np.zeros(wave.shape)
    terms = np.zeros(_N_TERMS)
    for _ in range(settings.line_rounds):
        terms = _derivative_terms(counts, wave + shift, weights, width, used, spline, terms)
        shift, width = _surfaces(terms, wave.shape)
        second = np.nan_to_num(spline(wave + shift, 2))
        bare = counts - 0.5 * width * second
        spline = sky_spline.fit((wave + shift)[used], bare[used], weights[used], step, spline, 1)
    sky = _sky(spline, wave, shift, width)
    # Neighbours of a source have some of its light, too little to be told: a part of it would be taken for background.
    beside = source.copy()
    beside[1:] |= source[:-1]
    beside[:-1] |= source[1:]
    background = _background(counts - sky, beside | low | ~living, settings)
    sky += background
    rms = biweight.location_scale(((counts - sky) / error)[used], None)[1]
    return LocalSky(
        sky.astype(np.float32), spline, background.astype(np.float32), shift.astype(np.float32),
        width.astype(np.float32), source, low, float(rms),
    )  # fmt: skip


def apart(medians: Floats, living: Bools, settings: Sky) -> tuple[Bools, Bools]:
    """Tell which fibers have more light than the sky, and which have less.

    Parameters
    ----------
    medians
        (n_fiber,): normalised counts.
    living
        (n_fiber,): fibers to judge.
    settings
        Of the step.
    """
    use = living & np.isfinite(medians)
    for _ in range(10):
        place, scale = biweight.location_scale(np.where(use, medians, np.nan), None)
        with np.errstate(invalid="ignore"):
            source = living & (medians > place + settings.source_sigma * scale)
            low = living & (medians < place - settings.low_sigma * scale)
        again = living & np.isfinite(medians) & ~source & ~low
        if np.array_equal(again, use):
            break
        use = again
    return source, low


def quiet_weights(counts: Array, error: Array) -> Floats:
    """Return inverse variances that do not follow the noise of single pixels, 0 where there are no counts.

    An error is larger where a pixel happens to be high: a mean with these weights would be too low. The errors of a
    column, and those of a fiber, are taken together, unless a pixel has lost so much that its own error tells more.
    """
    variance = np.where(np.isfinite(counts), np.asarray(error, np.float64) ** 2, np.nan)
    some = np.isfinite(variance).any(1)
    column = _smooth(np.nan_to_num(_location(variance[some], 0), nan=np.inf))
    fiber = np.full(len(variance), np.nan)
    fiber[some] = _location((variance / column)[some], 1)
    quiet = fiber[:, None] * column
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = 1 / np.where(variance > 2 * quiet, variance, quiet)
    return np.where(np.isfinite(variance) & np.isfinite(weights), weights, 0.0)


def _smooth(values: Floats) -> Floats:
    """Return the mean of three neighbours."""
    padded = np.pad(values, 1, mode="edge")
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)


def _location(values: Floats, axis: int) -> Floats:
    return np.asarray(biweight.location(values, axis), np.float64)


def _levels(values: Floats) -> Floats:
    return _location(np.ascontiguousarray(values[:, MIDDLE]), 1)


def _sky(spline: Spline, wave: Floats, shift: Floats, width: Floats) -> Floats:
    place = wave + shift
    return spline(place) + 0.5 * width * spline(place, 2)


def _derivative_terms(
    counts: Floats, wave: Floats, weights: Floats, width: Floats, used: Bools, spline: Spline, terms: Floats
) -> Floats:
    """Return better terms of shifts and widths: a Gauss-Newton step, with what is known of them beforehand."""
    first, second = spline(wave, 1), spline(wave, 2)
    model = spline(wave) + 0.5 * width * second
    ok = used[:, None] & (weights > 0) & np.isfinite(model)
    variance = 1 / np.where(ok, weights, 1.0) + (_MODEL_ERROR * np.where(ok, model, 0)) ** 2
    along_y, along_x = _polynomials(wave.shape)
    prior = np.repeat([_PRIOR_SHIFT**-2, _PRIOR_WIDTH**-2], [N_SHIFT[0] * N_SHIFT[1], N_WIDTH[0] * N_WIDTH[1]])
    normal, right = np.diag(prior), -prior * terms
    _add_terms(counts - model, variance, ok, first, 0.5 * second, along_x, along_y, N_SHIFT, N_WIDTH, normal, right)
    return np.asarray(terms + np.linalg.solve(normal, right))


def _surfaces(terms: Floats, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return shifts and widths, (n_fiber, n_x) each."""
    along_y, along_x = _polynomials(shape)
    n_shift = N_SHIFT[0] * N_SHIFT[1]
    shift, width = terms[:n_shift].reshape(N_SHIFT), terms[n_shift:].reshape(N_WIDTH)
    return (
        along_y[:, : N_SHIFT[0]] @ shift @ along_x[:, : N_SHIFT[1]].T,
        along_y[:, : N_WIDTH[0]] @ width @ along_x[:, : N_WIDTH[1]].T,
    )


def _polynomials(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return Legendre polynomials of fibers, (n_fiber, n), and of columns, (n_x, n)."""
    numbers = max(N_SHIFT[0], N_WIDTH[0]), max(N_SHIFT[1], N_WIDTH[1])
    along_y, along_x = (
        np.asarray(legendre.legvander(np.linspace(-1, 1, size), n - 1), np.float64)
        for size, n in zip(shape, numbers, strict=True)
    )
    return along_y, along_x


@numba.njit(cache=True)
def _add_terms(
    left: Any, variance: Any, ok: Any, first: Any, second: Any, along_x: Any, along_y: Any, n_shift: Any, n_width: Any,
    normal: Any, right: Any,
) -> None:  # fmt: skip
    """Add up the normal equations of the terms of shifts and of widths."""
    n = len(right)
    slope = np.empty(n)
    for i in range(left.shape[0]):
        for x in range(left.shape[1]):
            if not ok[i, x] or not left[i, x] ** 2 < _FAR * _FAR * variance[i, x]:
                continue
            k = 0
            for p in range(n_shift[0]):
                for q in range(n_shift[1]):
                    slope[k] = first[i, x] * along_y[i, p] * along_x[x, q]
                    k += 1
            for p in range(n_width[0]):
                for q in range(n_width[1]):
                    slope[k] = second[i, x] * along_y[i, p] * along_x[x, q]
                    k += 1
            for p in range(n):
                weighted = slope[p] / variance[i, x]
                right[p] += weighted * left[i, x]
                for q in range(n):
                    normal[p, q] += weighted * slope[q]


def _background(left: Floats, without: Bools, settings: Sky) -> Floats:
    """Return the background that neighbouring fibers share, (n_fiber, n_x) f8: lines between the blocks.

    Parameters
    ----------
    left
        (n_fiber, n_x): counts without sky.
    without
        (n_fiber,): fibers that do not tell it.
    settings
        Of the step.
    """
    n_fiber, n_x = left.shape
    half = settings.background_fibers // 2
    told = np.where(without[:, None], np.nan, left)
    padded = np.pad(told, ((half, half), (0, 0)), constant_values=np.nan)
    middles, values = [], []
    fiber = np.arange(n_fiber)
    for first, stop in BLOCKS:
        together = np.stack([padded[k : k + n_fiber, first:stop] for k in range(2 * half + 1)], axis=1)
        value = np.asarray(biweight.location(together.reshape(n_fiber, -1), 1), np.float64)
        known = np.isfinite(value)
        values.append(np.interp(fiber, fiber[known], value[known]) if known.any() else np.zeros(n_fiber))
        middles.append((first + stop) / 2)
    weights = np.stack([np.interp(np.arange(n_x), middles, one) for one in np.eye(len(BLOCKS))])
    return np.asarray(np.stack(values, axis=1) @ weights)
