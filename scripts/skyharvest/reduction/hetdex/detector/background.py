"""Scattered light of a frame, from what lies between and beside the fibers.

Fibers leave the detector free at its lower and upper edge, and in the gaps between their groups. What is measured there
in blocks of columns is smooth in x; its places are the knots of straight lines in y. How smooth it is in x, and how far
from the fibers it is measured, depends on how much light there is: on the class of the frame's level, see `class_of`.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.polynomial import chebyshev

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.biweight import TO_SIGMA
from skyharvest.reduction.hetdex.settings import Background

LOW, SCI, BRI, TWI = "low", "sci", "bri", "twi"
_WING_SIGMA, _WING_SHARE = 4.0, 0.15
"""A half of a zone that is so many σ, and this share, above its other half, holds light of its neighbour."""


@dataclass(frozen=True)
class ScatteredLight:
    """What `scattered_light` returns.

    Attributes
    ----------
    image
        (n_y, n_x) f4, electrons: the model.
    level
        The frame's level, see `level_of`.
    kind
        Its class: ``low``, ``sci``, ``bri`` or ``twi``.
    median
        Electrons: the median of the model.
    knots
        (n,) f8: rows at which it has been measured.
    """

    image: Float32s
    level: float
    kind: str
    median: float
    knots: Floats


def level_of(image: Array, good: Bools, settings: Background) -> float:
    """Return a frame's level: the biweight of the good pixels of its middle rows, in ``level_unit``; or NaN."""
    return electrons_of(np.where(good, image, np.nan), settings) / settings.level_unit


def electrons_of(image: Array, settings: Background) -> float:
    """Return a frame's level in electrons; pixels that are NaN do not count. Every fourth column is enough."""
    return float(biweight.location(image[settings.level_first_row : settings.level_last_row, ::4], None))


def class_of(level: float, settings: Background) -> str:
    """Return the class of a level: ``sci``, ``bri`` or ``twi``; ``low`` if it is below all, or unknown.

    Where the classes of science and bright frames overlap, it is ``sci``.
    """
    if not level >= settings.sci_least:
        return LOW
    if level <= settings.sci_most:
        return SCI
    return BRI if level <= settings.bri_most else TWI


def scattered_light(image: Array, trace: Array, good: Bools, settings: Background) -> ScatteredLight:
    """Model the scattered light of a frame.

    Parameters
    ----------
    image
        (n_y, n_x), electrons, bias off.
    trace
        (n_fiber, n_x), pixels, ascending: of all fibers, also of dead ones, which may have some light.
    good
        (n_y, n_x): pixels to use.
    settings
        Of the step.

    Raises
    ------
    InputError
        If no part of the image is free of fibers.
    """
    n_y, n_x = image.shape
    level = level_of(image, good, settings)
    kind = class_of(level, settings)
    bounds = np.linspace(0, n_x, settings.blocks + 1).astype(np.int64)
    distance, terms = {
        TWI: (settings.distance_twi, settings.terms_twi),
        BRI: (settings.distance_bri, settings.terms_bri),
    }.get(kind, (settings.distance_sci, settings.terms_sci))
    counts = _count(trace, good, bounds, distance, settings.edge)
    zones = np.flatnonzero((counts >= settings.least_pixels).sum(1) >= max(2, settings.blocks // 2))
    if len(zones) == 0:
        raise InputError(
            f"found no zone with {settings.least_pixels} good pixels a block that are farther than {distance} pixels "
            "from all fibers, which scattered light needs; look at the trace, or make "
            f"hetdex_reduction.background.distance_{kind} or blocks smaller"
        )
    size = int(counts[zones].max())
    values, rows = _gather(image, trace, good, bounds, zones, size, distance, settings.edge)
    found = _without_wings(values, rows)
    knots = np.array([np.nanmean(zone) for zone in rows])
    measured = zip(found, counts[zones], strict=True)
    curves = np.array([_smooth(curve, n, bounds, terms, settings) for curve, n in measured])
    model = _lines(knots, n_y) @ curves
    return ScatteredLight(model.astype(np.float32), level, kind, float(np.median(model)), knots)


def _without_wings(values: Float32s, rows: Float32s) -> Floats:
    """Return the light of each zone and block, (n_zone, n_block) f8.

    The half of a zone that lies beside a bright star's fiber is left out if it has light of its wings.
    """
    found = np.asarray(biweight.location(values, 2), np.float64)
    for z in range(len(values)):
        middle = np.nanmedian(rows[z], axis=1, keepdims=True)
        halves = [np.where(side, values[z], np.nan) for side in (rows[z] <= middle, rows[z] > middle)]
        low, high = (np.asarray(biweight.location(half, 1), np.float64) for half in halves)
        difference, scatter = biweight.location_scale(low - high, None)
        both = np.isfinite(low - high)
        n = both.sum()
        if n < 2:
            continue
        least = np.median(np.minimum(np.abs(low), np.abs(high))[both])
        if abs(difference) > max(_WING_SIGMA * scatter / np.sqrt(n), _WING_SHARE * least):
            found[z] = high if difference > 0 else low
    return found


def _smooth(curve: Floats, n: Array, bounds: Array, terms: int, settings: Background) -> Floats:
    """Return a zone's light in all columns: a Chebyshev series through its blocks, twice without what is far off."""
    middles = (bounds[:-1] + bounds[1:] - 1) / 2
    n_x = bounds[-1]
    ok = np.isfinite(curve) & (n >= settings.least_pixels)
    degree = min(terms, (int(ok.sum()) - 1) // 2)

    def place(x: Any) -> Any:
        return 2 * x / (n_x - 1) - 1

    for _ in range(3):
        series = chebyshev.chebfit(place(middles[ok]), curve[ok], degree, w=np.sqrt(n[ok]))
        off = np.abs(curve - chebyshev.chebval(place(middles), series)) * np.sqrt(n)
        ok &= off <= 5 * TO_SIGMA * np.median(off[ok]) + 1e-9
    return np.asarray(chebyshev.chebval(place(np.arange(n_x)), series), np.float64)


def _lines(knots: Floats, n_y: int) -> Floats:
    """Return the weight of each knot in each row, (n_y, n_knot) f8; constant beyond the outer ones."""
    return np.stack([np.interp(np.arange(n_y), knots, one) for one in np.eye(len(knots))], axis=1)


@numba.njit(cache=True)
def _rows_of(trace: Any, z: int, x: int, distance: float, edge: int, n_y: int) -> tuple[int, int]:
    """Return the first row, and the last + 1, of column x that lie between fiber z - 1 and fiber z, far from both."""
    first = edge if z == 0 else max(int(np.ceil(trace[z - 1, x] + distance)), edge)
    stop = n_y - edge if z == len(trace) else min(int(np.floor(trace[z, x] - distance)) + 1, n_y - edge)
    return first, stop


@numba.njit(cache=True)
def _count(trace: Any, good: Any, bounds: Any, distance: float, edge: int) -> Any:
    """Return how many good pixels each zone has in each block, (n_fiber + 1, n_block)."""
    counts = np.zeros((len(trace) + 1, len(bounds) - 1), np.int64)
    for z in range(len(trace) + 1):
        for b in range(len(bounds) - 1):
            for x in range(bounds[b], bounds[b + 1]):
                first, stop = _rows_of(trace, z, x, distance, edge, len(good))
                for y in range(first, stop):
                    counts[z, b] += good[y, x]
    return counts


@numba.njit(cache=True)
def _gather(
    image: Any, trace: Any, good: Any, bounds: Any, zones: Any, size: int, distance: float, edge: int
) -> tuple[Any, Any]:
    """Return the values of good pixels of some zones, and their rows, (n_zone, n_block, size) f4; NaN behind them."""
    values = np.full((len(zones), len(bounds) - 1, size), np.nan, np.float32)
    rows = np.full(values.shape, np.nan, np.float32)
    for i in range(len(zones)):
        for b in range(len(bounds) - 1):
            n = 0
            for x in range(bounds[b], bounds[b + 1]):
                first, stop = _rows_of(trace, zones[i], x, distance, edge, len(image))
                for y in range(first, stop):
                    if good[y, x]:
                        values[i, b, n], rows[i, b, n] = image[y, x], y
                        n += 1
    return values, rows
