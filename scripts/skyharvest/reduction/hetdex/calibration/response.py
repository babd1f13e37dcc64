"""The response of pixels, from a twilight: the image over a model of it that does not follow its pixels.

Were each fiber's own spectrum in the model, a defect as large as the fiber would be in the spectrum and not be seen. So
a fiber's spectrum is taken from its neighbours: the biweight of those on both sides, each over its own smooth
continuum and moved by how lines move from fiber to fiber, times a smooth curve; its first and second derivatives take
up what is left of moves and widths. What is left in a pixel is its response.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from scipy.interpolate import CubicSpline
from scipy.ndimage import binary_closing, label

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.reduction.hetdex.biweight import TO_SIGMA, location, location_scale
from skyharvest.reduction.hetdex.detector.extraction import Extracted
from skyharvest.reduction.hetdex.settings import Flat

_TERMS, _TERMS_FIRST, _TERMS_SECOND = 9, 4, 2
"""Of Chebyshev series of the column: by which the neighbours' spectrum is multiplied, and its derivatives."""
_TERMS_MOVE = 3
"""Of the move of lines from a fiber to the next."""
_MODEL_ERROR = 0.01
"""Of a spectrum that neighbours tell, relative."""
_MOST_LOST = 0.3
"""A fiber that has lost more of its profile in a column is not used there."""
_BLOCK = 43
"""Columns over which a row's response is the same but for single pixels: what is broader is of the model."""
_BOX = 5
"""Rows and columns of the box in which defects are seen that are too faint in single pixels."""


@dataclass(frozen=True)
class Response:
    """Of the pixels of an amplifier, (n_rows, n_column).

    Attributes
    ----------
    flat
        f4: response relative to pixels of the same row nearby, as far as the twilight tells it: with its scatter over
        the detector as what is known before, and the noise of the twilight. 1 where there is not enough light; NaN
        where the twilight is not known.
    defects
        bool: pixels with much less response.
    scatter
        Of the response of pixels without defects; relative.
    model
        f4: electrons.
    """

    flat: Float32s
    defects: Bools
    scatter: float
    model: Float32s


def predicted_spectra(extracted: Extracted, alive: Bools, settings: Flat) -> Float32s:
    """Return each fiber's spectrum as its neighbours tell it.

    Parameters
    ----------
    extracted
        Of a twilight, (n_fiber, n_column).
    alive
        (n_fiber,) bool: the fibers that are neighbours of others.
    settings
        How many neighbours there are on each side, at most.

    Returns
    -------
    Float32s
        (n_fiber, n_column): electrons; NaN for fibers without any light.
    """
    known: Bools = np.isfinite(extracted.spectrum) & (extracted.lost < _MOST_LOST)
    spectrum = np.where(known, extracted.spectrum, np.float32(np.nan))
    seen = np.asarray(known.any(axis=1), bool)
    level = np.nanmedian(np.where(seen[:, None], spectrum, 0), axis=1)
    lit = alive & (level > 0)
    scaled = spectrum / np.where(lit, level, np.nan)[:, None].astype(np.float32)
    common = _interpolated(np.asarray(location(scaled[lit]), np.float64))
    shape = np.full(scaled.shape, np.nan)  # spectra over their own smooth continua
    for fiber in np.flatnonzero(lit):
        ratio = scaled[fiber] / common
        shape[fiber] = scaled[fiber] / _smooth(ratio, np.isfinite(ratio))
    found = np.full(spectrum.shape, np.nan, np.float32)
    order = np.flatnonzero(lit)
    moved = _moved(shape, order)
    columns = np.arange(spectrum.shape[1])
    splines = {fiber: CubicSpline(columns, _interpolated(shape[fiber])) for fiber in order}
    for fiber in np.flatnonzero(seen):
        below, above = order[order < fiber][-settings.neighbours :], order[order > fiber][: settings.neighbours]
        own = moved[fiber] if lit[fiber] else np.mean([moved[at[0]] for at in (below[::-1], above) if at.size], axis=0)
        others = []
        for other in (*below, *above):
            place = np.clip(columns + moved[other] - own, 0, columns[-1])
            there = known[other, np.round(place).astype(int)]
            others.append(np.where(there, splines[other](place), np.nan))
        near = location(np.array(others))
        error = np.sqrt(extracted.variance[fiber])
        found[fiber] = _like(_interpolated(np.asarray(near, np.float64)), spectrum[fiber], error)
    return found


def _moved(shape: Floats, order: Array) -> Floats:
    """Return how far the lines of each fiber are beside those of the first, (n_fiber, n_column), pixels.

    From fiber to fiber it is little: a smooth curve times the derivative of their spectrum.
    """
    total = np.zeros(shape.shape)
    vander = chebyshev.chebvander(_place(shape.shape[1]), _TERMS_MOVE - 1)
    for before, after in itertools.pairwise(order):
        difference = shape[after] - shape[before]
        slope = -np.gradient(0.5 * (shape[after] + shape[before]))
        use = np.isfinite(difference) & np.isfinite(slope)
        move = np.zeros(shape.shape[1])
        for _ in range(3):
            if np.count_nonzero(use) < 10 * _TERMS_MOVE:
                break
            series = np.linalg.lstsq(vander[use] * slope[use, None], difference[use], rcond=1e-10)[0]
            move = vander @ series
            off = np.abs(difference - move * slope)
            use = np.isfinite(off) & (off < 4 * TO_SIGMA * np.median(off[use]))
        total[after] = total[before] + move
    return total


def _interpolated(line: Floats) -> Floats:
    known = np.isfinite(line)
    return np.interp(np.arange(len(line)), np.flatnonzero(known), line[known])


def _place(n: int) -> Floats:
    return np.linspace(-1, 1, n)


def _smooth(ratio: Array, use: Bools) -> Floats:
    at = _place(len(ratio))
    smooth = np.ones(len(ratio))
    for _ in range(3):
        smooth = np.asarray(chebyshev.chebval(at, chebyshev.chebfit(at[use], ratio[use], _TERMS - 1)), np.float64)
        off = np.abs(ratio - smooth)
        use = use & (off < 4 * TO_SIGMA * np.median(off[use]))
    return np.maximum(smooth, 1e-3)


def _like(shape: Floats, spectrum: Float32s, error: Float32s) -> Floats:
    """Return the spectrum that a shape, and its derivatives, times smooth curves, come nearest to."""
    at = _place(len(shape))
    first = np.gradient(shape)
    design = np.concatenate(
        [
            chebyshev.chebvander(at, n - 1) * line[:, None]
            for line, n in ((shape, _TERMS), (first, _TERMS_FIRST), (np.gradient(first), _TERMS_SECOND))
        ],
        axis=1,
    )
    use = np.isfinite(spectrum) & np.isfinite(error) & (error > 0)
    sigma = np.hypot(error, _MODEL_ERROR * np.abs(spectrum))
    made = np.zeros(len(shape))
    for _ in range(4):
        if np.count_nonzero(use) < 3 * design.shape[1]:
            break
        weighted = design[use] / sigma[use, None]
        solution = np.linalg.lstsq(weighted, spectrum[use] / sigma[use], rcond=1e-10)[0]
        made = design @ solution
        off = np.abs(spectrum - made) / sigma
        use = np.isfinite(off) & (off < 4 * max(TO_SIGMA * float(np.median(off[use])), 0.5))
    return np.asarray(made, np.float64)


def measure_response(image: Float32s, variance: Float32s, model: Float32s, light: Float32s, settings: Flat) -> Response:
    """Measure the response of pixels.

    Parameters
    ----------
    image, variance
        (n_rows, n_column) f4: a twilight, electrons, with its scattered light; electrons². NaN where unknown.
    model
        The same image, as it would be with the same response everywhere.
    light
        What of the model is light of fibers: the rest is scattered and not known well enough.
    settings
        What a defect is.

    Returns
    -------
    Response
        Of all pixels.
    """
    known = np.isfinite(image) & np.isfinite(variance) & (model > 0)
    bright = known & (light > settings.least_light * np.maximum(model - light, 0)) & (light > 0)
    ratio = np.divide(image, model, out=np.full_like(model, np.nan), where=bright)
    sigma = np.divide(np.sqrt(variance), model, out=np.full_like(model, np.nan), where=bright)
    defects = _defects(image, variance, model, bright, settings)
    broad = _broad(np.where(defects, np.nan, ratio))
    ratio /= broad
    fine = bright & ~defects
    best = fine & (sigma < np.nanpercentile(np.where(fine, sigma, np.nan), 40))
    total = float(location_scale(ratio[best], None)[1]) if best.any() else 0.0
    noise2 = float(np.mean(sigma[best].astype(np.float64) ** 2)) if best.any() else 0.0
    scatter2 = max(total**2 - noise2, 0.0)
    trusted = np.divide(scatter2, scatter2 + sigma**2, out=np.zeros_like(sigma), where=fine)
    flat = np.where(fine, 1 + (ratio - 1) * trusted, np.where(bright, ratio, 1))
    flat = np.where(known, np.maximum(flat, 0), np.nan).astype(np.float32)
    return Response(flat, defects, float(np.sqrt(scatter2)), model)


def _defects(image: Float32s, variance: Float32s, model: Float32s, bright: Bools, settings: Flat) -> Bools:
    """Return the pixels with little response: by themselves, or together with those around them."""
    lack = np.where(bright, model - image, 0)  # electrons
    noise2 = np.where(bright, np.maximum(variance, variance * model / np.maximum(image, 1)), 0)
    expected = np.where(bright, model, 0)
    single = bright & (lack > settings.defect * expected) & (lack > settings.defect_sigma * np.sqrt(noise2))
    lacks, expecteds, noises = (_box_sum(one) for one in (lack, expected, noise2))
    around = (lacks > settings.defect * expecteds) & (lacks > settings.defect_sigma * np.sqrt(noises)) & (noises > 0)
    found = single | (around & bright & (lack > settings.defect / 2 * expected))
    closed = binary_closing(np.pad(found, 2), np.ones((3, 3)))[2:-2, 2:-2] | found
    # A single pixel that is low among a million is chance, unless it is very low.
    which, n = label(closed, np.ones((3, 3)))
    size = np.bincount(which.ravel(), minlength=n + 1)
    sure = np.zeros(n + 1, bool)
    sure[np.unique(which[single & (lack > 1.5 * settings.defect_sigma * np.sqrt(noise2))])] = True
    keep = sure | (size >= settings.defect_pixels)
    keep[0] = False
    return np.asarray(keep[which], bool)


def _box_sum(image: Array) -> Floats:
    """Return the sums over boxes of `_BOX` × `_BOX` pixels, of as many as there are at edges."""
    half = _BOX // 2
    padded = np.pad(image.astype(np.float64), ((half + 1, half), (half + 1, half)))
    total = padded.cumsum(axis=0).cumsum(axis=1)
    return np.asarray(
        total[_BOX:, _BOX:] - total[:-_BOX, _BOX:] - total[_BOX:, :-_BOX] + total[:-_BOX, :-_BOX], np.float64
    )


def _broad(ratio: Float32s) -> Float32s:
    """Return each row's response over blocks of columns, and straight lines between them; 1 where nothing is known."""
    n_rows, n_column = ratio.shape
    blocks = np.array_split(np.arange(n_column), n_column // _BLOCK)
    centres = np.array([block.mean() for block in blocks])
    values = np.array([location(ratio[:, block], 1) for block in blocks]).T
    values = np.where(np.isfinite(values), values, 1)
    columns = np.arange(n_column)
    return np.array([np.interp(columns, centres, row) for row in values], np.float32).reshape(n_rows, n_column)
