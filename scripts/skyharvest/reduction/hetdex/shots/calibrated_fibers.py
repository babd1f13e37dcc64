"""Calibrated spectra of an amplifier's fibers: on the grid 3470 + 2 i Å, in counts and in flux.

Units are HETDEX's: counts are electrons in 2 Å of a mean fiber of the field; flux is 1e-17 erg/s/cm² in a bin of 2 Å
(for 1e-17 erg/s/cm²/Å divide by 2, as hetdex_api does when it reads), of the light that came into the fiber. What is
not known is NaN (HETDEX's own files have 0 there, which is a value; its readers that mask put NaN).

Variances of bins add up to those of sums of bins, see `rebin`. To them comes how wrong the sky may be: a part of the
sky's counts, larger where the residual maps of the month say so.
"""

from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Float32s, Floats
from skyharvest.reduction.hetdex.rebin import rebin
from skyharvest.reduction.hetdex.virus import AREA_CM2, EXPOSURE_S, GRID, GRID_STEP, LIGHT, PLANCK

UNIT = 1e-17  # erg/s/cm²
SURE, DOUBTFUL = 0.03, 0.1
"""Residuals of the sky (of its light) up to which its error is the least, and from which it is the largest."""


@dataclass(frozen=True)
class Spectra:
    """What the multifits of an amplifier has, each (112, 1032); NaN where nothing is known.

    Attributes
    ----------
    wavelength
        Å.
    sky_subtracted, sky_spectrum, error
        Counts in 2 Å of a mean fiber: without the local sky, that sky, and the error of the first.
    """

    wavelength: Floats
    sky_subtracted: Array
    sky_spectrum: Array
    error: Array


@dataclass(frozen=True)
class FullSky:
    """The sky of the whole field, as it is in an amplifier.

    Attributes
    ----------
    wave, counts
        (n,): Å, and counts in 2 Å of a mean fiber.
    factor
        How much of it the amplifier sees.
    shift, stretch
        Å; and Å for each Å that a wavelength is below 4500 Å: they are added to the amplifier's wavelengths.
    """

    wave: Floats
    counts: Floats
    factor: float = 1.0
    shift: float = 0.0
    stretch: float = 0.0

    def corrected(self, wavelength: Floats) -> Floats:
        """Return an amplifier's wavelengths as the whole field has them."""
        return wavelength + self.shift + self.stretch * (4500.0 - wavelength)

    def at(self, corrected: Floats) -> Floats:
        """Return the sky in the amplifier at wavelengths of the field; NaN outside those of the sky."""
        return np.asarray(self.factor * np.interp(corrected, self.wave, self.counts, left=np.nan, right=np.nan))


@dataclass(frozen=True)
class Calibrated:
    """Calibrated spectra, each (112, 1036) f4: the columns of the shot file."""

    calfib: Float32s
    calfibe: Float32s
    calfib_counts: Float32s
    calfibe_counts: Float32s
    calfib_ffsky: Float32s


def flux_per_count(throughput: Floats, norm: float = 1.0) -> Floats:
    """Return 1e-17 erg/s/cm² in 2 Å for one count in 2 Å, (1036,).

    Parameters
    ----------
    throughput
        (1036,): on the grid, of 360 s and 5e5 cm².
    norm
        How much light the exposure has, relative to the mean of its shot.
    """
    return np.asarray(PLANCK * LIGHT / GRID / (EXPOSURE_S * AREA_CM2 * throughput * norm) / UNIT)


def sky_error_of(residual: Array | None, least: float, most: float) -> Array | float:
    """Return what part of the sky may be wrong, for residuals of the sky relative to it (NaN: not known).

    Between `SURE` and `DOUBTFUL` it grows from the least to the most.
    """
    if residual is None:
        return least
    doubt = (np.abs(np.nan_to_num(residual)) - SURE) / (DOUBTFUL - SURE)
    return np.asarray(least + (most - least) * np.clip(doubt, 0, 1))


def calibrate(
    spectra: Spectra,
    throughput: Floats,
    *,
    norm: float = 1.0,
    full_sky: FullSky | None = None,
    residual: Array | None = None,
    sky_error: float = 0.03,
    sky_error_most: float = 0.06,
    coverage: float = 0.75,
) -> Calibrated:
    """Return the calibrated spectra of an amplifier.

    Parameters
    ----------
    spectra
        Of the amplifier.
    throughput, norm
        See `flux_per_count`.
    full_sky
        The whole field's sky; None: ``calfib_ffsky`` is NaN, and wavelengths are the amplifier's own.
    residual
        (112, 1032): what is left of the sky, usually, relative to it; it is subtracted. None: nothing is known of it.
    sky_error, sky_error_most
        See `sky_error_of`.
    coverage
        A bin of which less than this part is known is NaN.
    """
    sky = np.asarray(spectra.sky_spectrum, np.float64)
    wave = spectra.wavelength if full_sky is None else full_sky.corrected(spectra.wavelength)
    left = np.asarray(spectra.sky_subtracted, np.float64)
    remains = 0.0 if residual is None else sky * np.nan_to_num(residual)
    above = left - remains
    above_field = np.full_like(left, np.nan) if full_sky is None else left + sky - full_sky.at(wave) - remains
    wrong = np.abs(sky) * sky_error_of(residual, sky_error, sky_error_most)
    (counts, field, doubt), (variance,) = rebin(
        wave,
        (above, above_field, np.where(np.isfinite(above), wrong, np.nan)),
        (np.where(np.isfinite(above), np.asarray(spectra.error, np.float64) ** 2, np.nan),),
        GRID[0],
        GRID_STEP,
        GRID.size,
        coverage,
    )
    error = np.sqrt(variance + doubt**2)
    known = np.isfinite(counts) & np.isfinite(error)
    counts, error, field = (np.where(known, each, np.float32(np.nan)) for each in (counts, error, field))
    factor = flux_per_count(throughput, norm).astype(np.float32)
    return Calibrated(counts * factor, error * factor, counts, error, field * factor)
