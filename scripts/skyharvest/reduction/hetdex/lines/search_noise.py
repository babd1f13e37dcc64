"""How noise scatters in a search for lines: by wavelength, over the positions of an IFU that have no source."""

from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.reduction.hetdex.biweight import TO_SIGMA
from skyharvest.reduction.hetdex.lines.fiber_continuum import row_median
from skyharvest.reduction.hetdex.virus import N_GRID

CALM = 1.25
"""A position whose signal to noise scatters by more than that of most, by this factor, has a source."""
FEWEST = 30
"""Positions that tell how much noise scatters at a wavelength; with fewer, all wavelengths tell it together."""
NARROW, WIDE = 9, 75
"""Bins over which scatter is averaged where it is other than around, and elsewhere."""
OTHER, FAR = 1.15, 4.0
"""By what factor it is larger than around; and how many times its scatter the middle of noise is from 0, to be told
apart from 0: positions are few, and what they tell is not better."""
QUIETEST = 1e-3
"""Scatter of noise by its error, at least."""


@dataclass(frozen=True)
class Noise:
    """Noise of a search.

    Attributes
    ----------
    middle, scatter
        (1036,) f8: of signal to noise, at each wavelength; finite.
    calm
        (k,): which positions they are from.
    """

    middle: Floats
    scatter: Floats
    calm: Bools


def noise_of(sn: Float32s) -> Noise:
    """Measure noise.

    Parameters
    ----------
    sn
        (k, 1036) f4: signal to noise at some positions; NaN where it is not known.
    """
    own = TO_SIGMA * row_median(np.abs(sn))
    known = np.isfinite(own)
    calm = np.zeros(len(own), bool)
    calm[known] = own[known] <= CALM * np.median(own[known]) if known.any() else False
    if not calm.any():
        return Noise(np.zeros(N_GRID), np.ones(N_GRID), calm)
    by_wave = np.ascontiguousarray(sn[calm].T)
    enough = np.isfinite(by_wave).sum(1) >= FEWEST
    middle = np.where(enough, row_median(by_wave), 0.0)
    spread = TO_SIGMA * row_median(np.abs(by_wave - middle[:, None].astype(np.float32)))
    narrow, wide = (_smoothed(np.where(enough, spread, np.nan), size) for size in (NARROW, WIDE))
    with np.errstate(invalid="ignore"):
        scatter = np.where(narrow > OTHER * wide, narrow, wide)
    whole = max(float(TO_SIGMA * np.nanmedian(np.abs(by_wave))), QUIETEST)
    typical = TO_SIGMA * np.median(np.abs(middle[enough])) if enough.any() else 0.0
    return Noise(
        np.where(np.abs(middle) > FAR * typical, middle, 0.0),
        np.where(np.isfinite(scatter) & (scatter > QUIETEST), scatter, whole),
        calm,
    )


def _smoothed(values: Array, size: int) -> Floats:
    """Return the average of values over some bins, without those that are NaN."""
    kernel = np.ones(size)
    known = np.isfinite(values)
    n = np.convolve(known, kernel, "same")
    return np.where(n > 0, np.convolve(np.where(known, values, 0.0), kernel, "same") / np.maximum(n, 1), np.nan)
