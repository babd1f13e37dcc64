"""How far the traces of an exposure are from those of the month's twilights: a fraction of a pixel, up or down.

The light that is left over when the profiles are at the wrong place has the shape of their slope. One Gauss-Newton step
finds the shift, and how it changes along x and y; a second one what the first has left.
"""

from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.detector.extraction import Weights, model_image
from skyharvest.reduction.hetdex.detector.profile import Profile
from skyharvest.reduction.hetdex.settings import Cosmics, Extract
from skyharvest.reduction.hetdex.spectra.cosmics import Cleaned, extract_without_cosmics

_FAR = 5.0
"""Pixels that are so many σ from the model say nothing of the trace."""
_ENOUGH = 0.004
"""Pixels: a step that is smaller is the last."""
_ROUNDS = 2
"""Cosmic rays need not be found as well as they can be."""


@dataclass(frozen=True)
class Shifted:
    """Traces of an exposure.

    Attributes
    ----------
    trace
        (n_fiber, n_x) f8: rows.
    shift
        (3,) f8, pixels: at the middle of the detector, and how much more at its right and at its upper edge.
    weights
        Of the fibers.
    cleaned
        The last extraction.
    """

    trace: Floats
    shift: Floats
    weights: Weights
    cleaned: Cleaned


def shifted_traces(
    image: Float32s,
    good: Bools,
    trace: Array,
    alive: Bools,
    profile: Profile,
    scattered: Float32s,
    flat: Float32s,
    readnoise: float,
    settings: Extract,
    cosmics: Cosmics,
) -> Shifted:
    """Measure how far traces have moved, and move them.

    Parameters
    ----------
    image, good, scattered, flat, readnoise
        As of `skyharvest.reduction.hetdex.spectra.cosmics.extract_without_cosmics`.
    trace, alive, profile
        Of the month.
    settings, cosmics
        Of the extraction, and of cosmic rays.

    Raises
    ------
    InputError
        If they have moved farther than they may.
    """
    n_y, n_x = image.shape
    cosmics = replace(cosmics, cosmic_rounds=_ROUNDS)
    shift = np.zeros(3)
    u = 2 * np.arange(n_x) / (n_x - 1) - 1
    now = np.asarray(trace, np.float64)
    for _ in range(settings.trace_rounds):
        weights, slopes = profile.weights_and_slopes(now, n_y)
        cleaned = extract_without_cosmics(image, good, weights, alive, scattered, flat, readnoise, cosmics)
        slope = model_image(cleaned.extracted.spectrum, Weights(weights.rows, slopes), n_y)
        usable = good & ~cleaned.cosmic
        normal, right = _equations(image, cleaned.model, cleaned.variance, slope, usable)
        if not normal[0, 0] > 0:
            break  # no light
        step = np.linalg.lstsq(normal, right, rcond=1e-6)[0]
        shift += step
        if not abs(shift[0]) + abs(shift[1]) + abs(shift[2]) <= settings.most_trace_shift:
            raise InputError(
                f"found traces that are {shift[0]:.2f} pixels from those of the month's twilights, {shift[1]:+.2f} at "
                f"the right and {shift[2]:+.2f} at the upper edge; expected at most {settings.most_trace_shift} "
                "(hetdex_reduction.extract.most_trace_shift); was the IFU plugged in otherwise?"
            )
        now = trace + shift[0] + shift[1] * u + shift[2] * (2 * np.asarray(trace, np.float64) / (n_y - 1) - 1)
        if np.abs(step).max() < _ENOUGH:
            break
    return Shifted(now, shift, profile.weights(now, n_y), cleaned)


@numba.njit(cache=True)
def _equations(image: Any, model: Any, variance: Any, slope: Any, usable: Any) -> tuple[Any, Any]:
    """Return the normal equations of shift and slopes, (3, 3) and (3,)."""
    n_y, n_x = image.shape
    normal, right = np.zeros((3, 3)), np.zeros(3)
    basis = np.ones(3)
    for y in range(n_y):
        basis[2] = 2 * y / (n_y - 1) - 1
        for x in range(n_x):
            left = image[y, x] - model[y, x]
            if slope[y, x] == 0 or not usable[y, x] or not left * left < _FAR * _FAR * variance[y, x]:
                continue
            basis[1] = 2 * x / (n_x - 1) - 1
            for p in range(3):
                weighted = slope[y, x] * basis[p] / variance[y, x]
                right[p] += weighted * left
                for q in range(p + 1):
                    normal[p, q] += weighted * slope[y, x] * basis[q]
    for p in range(3):
        for q in range(p):
            normal[q, p] = normal[p, q]
    return normal, right
