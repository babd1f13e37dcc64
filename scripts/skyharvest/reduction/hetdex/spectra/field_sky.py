"""The sky of the whole field, from the skies of its amplifiers.

Every amplifier sees the same sky, times a factor that is near 1, on wavelengths that are a little off. Both are fitted
for each amplifier, and the sky is the biweight of them all: an amplifier full of a galaxy, or with a bad calibration,
does not change it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.spectra.amp_dat import PIVOT
from skyharvest.reduction.hetdex.spectra.sky_spline import Spline

FINE = 3450 + 0.25 * np.arange(8441)
"""Å: where the field's sky is known."""
_ROUNDS = 5
_PRIOR = 0.08, 3e-5
"""Å, and Å for each Å: how large offsets of wavelength, and their slopes, may be if nothing tells."""
_FAR = 5.0


@dataclass(frozen=True)
class FieldSky:
    """What `combine` returns.

    Attributes
    ----------
    counts
        (n,) f8 on `FINE`: normalised counts; NaN where no amplifier reaches.
    factor, shift, stretch
        (n_amp,) f8: of each amplifier, see `skyharvest.reduction.hetdex.spectra.amp_dat.AmpSky`.
    """

    counts: Floats
    factor: Floats
    shift: Floats
    stretch: Floats

    def in_amp(self, amp: int, wave: Array) -> Floats:
        """Return the sky in an amplifier, by its number, at its own wavelengths; NaN outside."""
        corrected = on_field(wave, self.shift[amp], self.stretch[amp])
        known = np.isfinite(self.counts)
        return np.asarray(
            self.factor[amp] * np.interp(corrected, FINE[known], self.counts[known], left=np.nan, right=np.nan)
        )


def on_field(wave: Array, shift: float, stretch: float) -> Floats:
    """Return wavelengths of an amplifier on the scale of the field."""
    return np.asarray(wave + shift + stretch * (PIVOT - wave), np.float64)


def combine(splines: Sequence[Spline], most_factor: float) -> FieldSky:
    """Combine the skies of amplifiers.

    Parameters
    ----------
    splines
        Of the amplifiers, normalised counts.
    most_factor
        A factor that is farther from 1 is no calibration's: the amplifier sees something else, and gets a factor of 1.

    Raises
    ------
    InputError
        If there are none.
    """
    if not splines:
        raise InputError("found no amplifier with a sky; expected at least one for the sky of the field")
    n = len(splines)
    factor, shift, stretch = np.ones(n), np.zeros(n), np.zeros(n)
    for _ in range(_ROUNDS):
        own = np.stack([_on_fine(splines[a], shift[a], stretch[a]) for a in range(n)])
        counts = np.asarray(biweight.location(own / factor[:, None], 0), np.float64)
        slope = np.gradient(counts, FINE)
        for a in range(n):
            factor[a], more, steeper = _compared(own[a], counts, slope, shift[a], stretch[a], splines[a].step)
            shift[a] += more
            stretch[a] += steeper
        middle = float(biweight.location(factor, None))
        factor /= middle
        counts *= middle
    return FieldSky(counts, np.where(np.abs(factor - 1) <= most_factor, factor, 1.0), shift, stretch)


def _on_fine(spline: Spline, shift: float, stretch: float) -> Floats:
    """Return an amplifier's sky where its wavelengths are `FINE` on the field's scale."""
    return spline((FINE - shift - stretch * PIVOT) / (1 - stretch))


def _compared(
    own: Floats, counts: Floats, slope: Floats, shift: float, stretch: float, step: float
) -> tuple[float, float, float]:
    """Return an amplifier's factor, and what is to be added to its shift and stretch."""
    use: Bools = np.isfinite(own) & np.isfinite(counts) & np.isfinite(slope)
    factor = float(biweight.location(own[use] / counts[use], None))
    basis = np.stack([counts, factor * slope, factor * slope * (PIVOT - FINE)], axis=1)
    found = np.array([factor, 0.0, 0.0])
    prior = np.array([0.0, _PRIOR[0] ** -2, _PRIOR[1] ** -2])
    for _ in range(2):
        left = own - basis @ found
        scale = float(biweight.location_scale(left[use], None)[1]) + 1e-6
        use &= np.abs(left) < _FAR * scale
        # Neighbours on the fine grid have the same noise: a knot of the spline counts once.
        weight = (FINE[1] - FINE[0]) / max(step, FINE[1] - FINE[0]) / scale**2
        matrix, right = basis[use].T @ basis[use] * weight, basis[use].T @ own[use] * weight
        right -= prior * np.array([0.0, shift, stretch])
        found = np.linalg.solve(matrix + np.diag(prior), right)
    return float(found[0]), float(found[1]), float(found[2])
