"""Spectra of an amplifier's science frame, with the sky taken off: from its image and the month's calibration.

Normalised counts are electrons in 2 Å of a mean fiber of the field: the electrons of a pixel of a spectrum over
``fiber_to_fiber × amp_to_amp × dispersion / 2 Å``.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.amp_file import Value
from skyharvest.reduction.hetdex.detector.background import LOW, ScatteredLight, scattered_light
from skyharvest.reduction.hetdex.detector.extraction import CHI2_HALF, Extracted, Weights, extract, model_image
from skyharvest.reduction.hetdex.detector.profile import Profile
from skyharvest.reduction.hetdex.settings import Background, Cosmics, Extract, Sky
from skyharvest.reduction.hetdex.spectra.cosmics import Cleaned, extract_without_cosmics, variance_of
from skyharvest.reduction.hetdex.spectra.local_sky import LocalSky, fit_sky
from skyharvest.reduction.hetdex.spectra.trace_shift import shifted_traces

BIN = 2.0
"""Å to which counts are normalised."""
_AROUND = 12
"""Pixels on each side whose light tells how much noise one has. A line's width is too few: its noise would follow its
light, so that what is low by chance seems surer than what is high."""
_CLEAR = 4.0
"""What is so many σ above the light around it is light, not noise."""


@dataclass(frozen=True)
class AmpCalibration:
    """What a month says of an amplifier.

    Attributes
    ----------
    bias
        (n_y, n_x) f4, electrons.
    flat
        (n_y, n_x) f4: the pixels' response.
    good
        (n_y, n_x) bool: pixels to use.
    trace
        (n_fiber, n_x): rows of the fibers, of dead ones as well.
    alive
        (n_fiber,) bool.
    profile
        Of the fibers.
    wavelength
        (n_fiber, n_x) f8, Å.
    throughput
        (n_fiber, n_x): fiber to fiber times amplifier to amplifier; NaN of dead fibers.
    bias_noise
        Electrons: noise of the bias, as it is in the sum over a fiber's profile.
    """

    bias: Float32s
    flat: Float32s
    good: Bools
    trace: Array
    alive: Bools
    profile: Profile
    wavelength: Floats
    throughput: Array
    bias_noise: float = 0.0


@dataclass(frozen=True)
class HowToReduce:
    """The settings of what is done to a frame."""

    background: Background
    cosmics: Cosmics
    extract: Extract
    sky: Sky


@dataclass(frozen=True)
class ReducedAmp:
    """What has become of a frame.

    Attributes
    ----------
    arrays
        Images and spectra, as `skyharvest.reduction.hetdex.spectra.multifits.LAYOUT` names them, but for ``ifupos``.
    counts
        The numbers of `skyharvest.reduction.hetdex.spectra.multifits.COUNTS`.
    values
        How it went.
    """

    arrays: dict[str, Array]
    counts: dict[str, int]
    values: dict[str, Value]


def reduce_amp(image: Float32s, readnoise: float, calibration: AmpCalibration, how: HowToReduce) -> ReducedAmp:
    """Reduce a frame.

    Parameters
    ----------
    image
        (n_y, n_x) f4, electrons: without overscan, oriented; NaN where it is saturated.
    readnoise
        Electrons.
    calibration
        Of the amplifier's month.
    how
        Settings.

    Returns
    -------
    ReducedAmp
        Images are over the flat. ``processed`` has no bias; ``model2d`` is fibers and scattered light; ``clean_image``
        is without scattered light and sky. Spectra are NaN where too much is lost, or χ² is too high.

    Raises
    ------
    InputError
        If the frame has no light, traces that are elsewhere, or too few fibers without sources.
    """
    good = calibration.good & np.isfinite(image) & (calibration.flat > 0)
    flat = np.where(good, calibration.flat, np.float32(1))
    image = np.where(good, (image - calibration.bias) / flat, np.float32(np.nan))
    readnoise = float(np.hypot(readnoise, calibration.bias_noise))
    trace, alive = calibration.trace, calibration.alive
    scattered = scattered_light(image, trace, good, how.background)
    if scattered.kind == LOW:
        raise InputError(
            f"found a science frame of the level {scattered.level:.3g}; expected at least {how.background.sci_least} "
            "(hetdex_reduction.background.sci_least): it has no light of the sky"
        )
    bare = image - scattered.image
    of_noise = scattered.image, flat, readnoise
    moved = shifted_traces(bare, good, trace, alive, calibration.profile, *of_noise, how.extract, how.cosmics)
    cleaned = extract_without_cosmics(bare, good, moved.weights, alive, *of_noise, how.cosmics, moved.cleaned.model)
    norm = calibration.throughput * np.gradient(calibration.wavelength, axis=1) / BIN
    counts, error = _normalised(cleaned.extracted, norm, how.extract)
    sky = fit_sky(counts, error, calibration.wavelength, how.sky)
    # Once more, with the noise of the light that is expected: that of a pixel's own light follows its noise.
    expected = _expected(cleaned.extracted.spectrum, cleaned.extracted.variance, sky.sky * norm, _AROUND, _CLEAR)
    light = model_image(expected, moved.weights, len(image)) + scattered.image
    variance = variance_of(light, readnoise, flat)
    usable = good & ~cleaned.cosmic
    extracted = extract(bare, variance, usable, moved.weights, alive)
    counts, error = _normalised(extracted, norm, how.extract)
    arrays = _images(image, bare, scattered, extracted, moved.weights, variance, usable, sky, norm)
    arrays |= {
        "flat": np.where(good, calibration.flat, np.float32(np.nan)),
        "flat_orig": calibration.flat,
        "chi2": extracted.chi2,
        "rms": _scatter(image - arrays["model2d"], usable, moved.trace, alive, CHI2_HALF),
        "spectrum": np.where(np.isfinite(counts), extracted.spectrum, np.float32(np.nan)),
        "wavelength": calibration.wavelength,
        "trace": moved.trace,
        "fiber_to_fiber": calibration.throughput,
        "error1d": error,
        "sky_subtracted": counts - sky.sky,
        "sky_spectrum": sky.sky,
    }
    return ReducedAmp(
        arrays, _counts(counts, good, alive, sky), _values(scattered, moved.shift, cleaned, extracted, sky, arrays)
    )


def _normalised(extracted: Extracted, norm: Array, settings: Extract) -> tuple[Floats, Floats]:
    """Return normalised counts and their errors, NaN where they are not to be trusted.

    A profile that is wrong by a few per cent has a high χ² in bright stars only, which is no reason to leave them out.
    """
    spectrum, variance = extracted.spectrum, extracted.variance
    with np.errstate(invalid="ignore", divide="ignore"):
        signal = spectrum**2 / variance
        most = settings.most_chi2 * (1 + settings.profile_error**2 * signal / (2 * CHI2_HALF))
        bad = (extracted.lost > settings.most_lost) | (extracted.chi2 > most) | ~(norm > 0) | ~np.isfinite(spectrum)
        return np.where(bad, np.nan, spectrum / norm), np.where(bad, np.nan, np.sqrt(variance) / norm)


def _images(
    image: Float32s, bare: Float32s, scattered: ScatteredLight, extracted: Extracted, weights: Weights,
    variance: Float32s, usable: Bools, sky: LocalSky, norm: Array,
) -> dict[str, Array]:  # fmt: skip
    fibers = model_image(extracted.spectrum, weights, len(image))
    of_sky = np.where(np.isfinite(extracted.variance), sky.sky * norm, np.nan)
    missing = np.float32(np.nan)
    return {
        "processed": image,
        "error": np.where(usable, np.sqrt(variance), missing),
        "clean_image": np.where(usable, bare - model_image(of_sky, weights, len(image)), missing),
        "model2d": fibers + scattered.image,
    }


def _counts(counts: Floats, good: Bools, alive: Bools, sky: LocalSky) -> dict[str, int]:
    aside = int((sky.source | sky.low).sum())
    return {
        "NCUT": int((~np.isfinite(counts[alive])).sum()),
        "NERR": int((~good).sum()),
        "NBTRACE": int((~alive).sum()),
        "NBACK": int(alive.sum()) - aside,
        "NBACKB": aside,
    }


def _values(
    scattered: ScatteredLight, shift: Floats, cleaned: Cleaned, extracted: Extracted, sky: LocalSky,
    arrays: dict[str, Array],
) -> dict[str, Value]:  # fmt: skip
    living = np.isfinite(extracted.variance).any(1)
    spectra = arrays["sky_subtracted"]
    return {
        "level": scattered.level,
        "kind": scattered.kind,
        "background": scattered.median,
        "trace_shift": float(shift[0]),
        "trace_shift_x": float(shift[1]),
        "trace_shift_y": float(shift[2]),
        "n_cosmics": int(cleaned.cosmic.sum()),
        "n_alive": int(living.sum()),
        "n_sources": int(sky.source.sum()),
        "n_low": int(sky.low.sum()),
        "chi2": float(np.nanmedian(extracted.chi2)),
        "sky": float(np.nanmedian(arrays["sky_spectrum"])),
        "sky_residual": float(np.nanmedian(spectra[living & ~sky.source])),
        "local_background": float(np.nanmedian(np.abs(sky.background))),
        "wavelength_shift": float(np.nanmedian(sky.shift)),
        "pull": sky.rms,
        "lost": float(1 - np.isfinite(spectra[living]).mean()),
    }


@numba.njit(cache=True)
def _expected(spectrum: Any, variance: Any, sky: Any, around: int, clear: float) -> Any:
    """Return the electrons to expect in each pixel: the sky's, and the mean of its neighbours' other light.

    A pixel that is ``clear`` σ from this mean has its own, but not less than the sky.
    """
    n_fiber, n_x = spectrum.shape
    out = np.full((n_fiber, n_x), np.nan, np.float32)
    for i in range(n_fiber):
        for x in range(n_x):
            total, n = 0.0, 0
            for k in range(max(x - around, 0), min(x + around + 1, n_x)):
                left = spectrum[i, k] - sky[i, k]
                if np.isfinite(left):
                    total += left
                    n += 1
            if n == 0:
                out[i, x] = spectrum[i, x]
                continue
            out[i, x] = sky[i, x] + total / n
            off = spectrum[i, x] - out[i, x]
            if not np.isfinite(out[i, x]) or off * off > clear * clear * variance[i, x]:
                out[i, x] = sky[i, x] if sky[i, x] > spectrum[i, x] else spectrum[i, x]
    return out


@numba.njit(cache=True)
def _scatter(left: Any, usable: Any, trace: Any, alive: Any, half: int) -> Any:
    """Return the root of the mean square of what the model leaves in the rows of each fiber, (n_fiber, n_x) f4."""
    n_fiber, n_x = trace.shape
    out = np.full((n_fiber, n_x), np.nan, np.float32)
    for i in range(n_fiber):
        if not alive[i]:
            continue
        for x in range(n_x):
            middle = int(np.floor(trace[i, x] + 0.5))
            total, n = 0.0, 0
            for y in range(max(middle - half, 0), min(middle + half + 1, len(left))):
                if usable[y, x]:
                    total += left[y, x] ** 2
                    n += 1
            if n > 1:
                out[i, x] = np.sqrt(total / n)
    return out
