"""The twilight calibration of a pairing in a month: wavelengths, and how its fibers differ in throughput.

Of each amplifier: the master twilight over the pixel flat, without scattered light, extracted; then
`.wavelength` and `.fiber_to_fiber`. What is written,
``wavelength/{month}/{ifu}.fits``, by amplifier:

wavelength
    (112, 1032) f8: Å in air, at the centre of each pixel, also of dead fibers.
fiber_to_fiber
    (112, 1032) f4: throughput over that of the amplifier's mean fiber; NaN for dead fibers.
twilight_spectrum
    (112, 1032) f4: electrons per pixel; NaN where nothing is known.
twilight_mean, twilight_mean_error
    (1036,) f4: the twilight of a mean fiber and its standard error, electrons per 2 Å, on the grid of 2 Å; NaN where it
    does not reach.
lsf
    (112, 1032) f4: full width at half maximum of lines, Å.
exposures, levels
    As the trace has them: which twilights the master is of, (n, 3), and how bright each was, (n,).
"""

from pathlib import Path

import numpy as np

from skyharvest import __version__
from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.amp_file import AmpFile, AmpResult, each_amp, write_amps
from skyharvest.reduction.hetdex.calibration import fiber_to_fiber, solar_spectrum, wavelength
from skyharvest.reduction.hetdex.calibration.solar_spectrum import SolarSpectrum
from skyharvest.reduction.hetdex.calibration.trace_step import read_profile
from skyharvest.reduction.hetdex.detector.background import scattered_light
from skyharvest.reduction.hetdex.detector.extraction import Weights, extract, model_image
from skyharvest.reduction.hetdex.settings import Background, FiberToFiber, Wavelength

READ_NOISE = 3.0
"""Electrons of a frame, where the trace does not say."""
PASSED_ON = ("exposures", "levels")


def calibrate_twilight(
    trace: Path,
    flat: Path,
    out: Path,
    wavelengths: Wavelength,
    fibers: FiberToFiber,
    background: Background,
) -> None:
    """Calibrate a pairing's amplifiers, and write the product.

    Parameters
    ----------
    trace
        Traces, profiles and master twilights of the pairing.
    flat
        Directory with its pixel flats.
    out
        The file to write.
    wavelengths, fibers, background
        Settings of the steps.

    Raises
    ------
    InputError
        If the user's solar spectrum cannot be used. An amplifier that cannot be done is told in the product.
    """
    own = wavelengths.solar_spectrum
    sun = solar_spectrum.read(Path(own) if own else None, wavelengths.solar_fwhm)
    with AmpFile(trace) as traces, AmpFile(flat / "flat.fits") as flats:
        results = each_amp(lambda amp: _of_amp(traces, flats, amp, sun, wavelengths, fibers, background))
        write_amps(out, {"CREATOR": f"skyharvest {__version__}"}, results)


def _of_amp(
    traces: AmpFile,
    flats: AmpFile,
    amp: str,
    sun: SolarSpectrum,
    wavelengths: Wavelength,
    fibers: FiberToFiber,
    background: Background,
) -> AmpResult:
    trace, alive = traces.array("trace", amp), traces.array("alive", amp).astype(bool)
    image = traces.array("twilight", amp)
    response, good = flats.array("flat", amp), flats.array("good", amp).astype(bool)
    good = good & np.isfinite(image) & np.isfinite(response) & (response > 0)
    image = np.where(good, image / np.where(good, response, 1), np.nan).astype(np.float32)
    scattered = scattered_light(image, trace, good, background)
    values = traces.values(amp)
    n_frames, read_noise = _number(values.get("n_frames"), 1.0), _number(values.get("readnoise"), READ_NOISE)
    weights = read_profile(traces, amp).weights(trace)
    spectrum, variance, alive = _spectra(image, scattered.image, good, response, weights, alive, n_frames, read_noise)
    y = trace[:, trace.shape[1] // 2].astype(np.float64)
    solution = wavelength.solve(spectrum, variance, alive, y, sun, wavelengths)
    ratios = fiber_to_fiber.ratios(spectrum, variance, alive, solution.wavelength, fibers)
    arrays: dict[str, Array] = {
        "wavelength": solution.wavelength,
        "fiber_to_fiber": ratios.ratio,
        "twilight_spectrum": spectrum,
        "twilight_mean": ratios.mean,
        "twilight_mean_error": ratios.mean_error,
        "lsf": solution.fwhm,
    }
    for name in PASSED_ON:
        passed = traces.optional_array(name, amp)
        if passed is not None:
            arrays[name] = passed
    return AmpResult(
        arrays,
        {
            "wave_rms": solution.rms,
            "wave_worst": solution.worst,
            "n_segments": solution.n_segments,
            "n_matched": solution.n_matched,
            "wave_offset_rms": solution.offset_rms,
            "wave_first": float(solution.wavelength[:, 0].mean()),
            "wave_middle": float(solution.wavelength[:, solution.wavelength.shape[1] // 2].mean()),
            "lsf_fwhm": float(solution.fwhm.mean()),
            "f2f_rms": ratios.rms,
            "f2f_error": ratios.error,
            "n_alive": int(ratios.alive.sum()),
            "twilight_level": float(np.nanmedian(ratios.mean)),
            "scattered": scattered.median,
        },
    )


def _number(value: float | int | str | None, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) and value > 0 else otherwise


def _spectra(
    image: Float32s,
    scattered: Float32s,
    good: Bools,
    response: Float32s,
    weights: Weights,
    alive: Bools,
    n_frames: float,
    read_noise: float,
) -> tuple[Float32s, Float32s, Bools]:
    """Return spectra, their variances, and which fibers have light.

    Extracted twice: the variance of pixels is that of the model of the first time, which does not know their noise.
    """
    light = image - scattered
    even = np.ones_like(light)
    first = extract(light, even, good, weights, alive)
    known = np.isfinite(first.spectrum)
    level = np.array([np.median(row[ok]) if ok.any() else 0 for row, ok in zip(first.spectrum, known, strict=True)])
    alive = alive & (level > 0)
    if not alive.any():
        raise InputError("found no light of fibers in the twilight: see the bias and the trace")
    model = model_image(np.maximum(first.spectrum, 0), weights, len(light)) + np.maximum(scattered, 0)
    # In electrons of the frames, which the flat has not yet touched.
    gain: Floats = np.where(good, response, 1.0)
    variance = (model * gain + read_noise**2) / (n_frames * gain**2)
    found = extract(light, variance.astype(np.float32), good, weights, alive)
    return found.spectrum, found.variance, alive
