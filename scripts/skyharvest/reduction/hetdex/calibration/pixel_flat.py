"""The step flat: how pixels of a pairing's amplifiers respond to light, and which are not used."""

import logging
from pathlib import Path

import fitsio
import numpy as np

from skyharvest import __version__
from skyharvest.core.arrays import Array, Bools, Float32s
from skyharvest.core.atomic import atomic_path
from skyharvest.core.whole_directory import whole_directory
from skyharvest.reduction.hetdex.amp_file import AmpFile, AmpResult, Value, each_amp, write_amps
from skyharvest.reduction.hetdex.calibration.pixel_mask import Box, boxes_of, masked, read_boxes, write_boxes
from skyharvest.reduction.hetdex.calibration.response import measure_response, predicted_spectra
from skyharvest.reduction.hetdex.calibration.trace_step import PAIRING, read_profile, trapped
from skyharvest.reduction.hetdex.detector.background import scattered_light
from skyharvest.reduction.hetdex.detector.extraction import extract, model_image
from skyharvest.reduction.hetdex.frames.frame import orient
from skyharvest.reduction.hetdex.settings import Background, Flat
from skyharvest.reduction.hetdex.virus import SIZE

log = logging.getLogger(__name__)

PRODUCT, MASK = "flat.fits", "mask.txt"


def make_pixel_flats(
    bias: Path, trace: Path, out: Path, settings: Flat, background: Background, bad_pixels: Path | None = None
) -> None:
    """Write the flats and masks of a pairing.

    Parameters
    ----------
    bias, trace
        Its products: charge traps; twilights, traces and profiles.
    out
        Directory: ``flat.fits`` with the arrays ``flat`` (1032, 1032) f4, the response of pixels (NaN where nothing is
        known), and ``good`` (1032, 1032) u1, 0 where a pixel is not used; ``pixelflat_cam{SPECID}_{AMP}.fits`` with the
        flat alone, as raw frames are turned when they are trimmed; ``mask.txt``, all pixels that are not used as
        `pixel_mask` has them.
    settings, background
        Of the step, and of scattered light.
    bad_pixels
        Table of pixels that are known to be bad.

    Raises
    ------
    InputError
        If the table of bad pixels is not what it should be.
    """
    boxes = read_boxes(bad_pixels) if bad_pixels else {}
    with AmpFile(bias) as biases, AmpFile(trace) as traces:
        pairing = {name: str(traces.header[name]).strip() for name in PAIRING if name in traces.header}
        specid = pairing.get("SPECID", "")  # without twilights there is none, and no amplifier has been traced

        def do(amp: str) -> AmpResult:
            known = masked(boxes.get(f"{specid}{amp}", ()), (SIZE, SIZE), f"{bad_pixels}: {specid}{amp}")
            return _of_amp(biases, traces, amp, known, settings, background)

        results = each_amp(do)
        ampnames = {amp: str(traces.values(amp)["ampname"]) for amp, result in results.items() if not result.failed}
    with whole_directory(out) as directory:
        found: dict[str, list[Box]] = {}
        for amp, result in results.items():
            if result.failed:
                continue
            own = directory / f"pixelflat_cam{specid}_{amp}.fits"
            _write_flat(own, result.arrays["flat"], amp, ampnames[amp], pairing)
            found[f"{specid}{amp}"] = list(boxes_of(result.arrays["good"] == 0))
        write_boxes(directory / MASK, found)
        write_amps(directory / PRODUCT, {"CREATOR": f"skyharvest {__version__}", **pairing}, results)
    for amp, result in results.items():
        log.info("%s %s: %s", out, amp, result.failed or f"{result.values['n_masked']} pixels are not used")


def _of_amp(
    biases: AmpFile, traces: AmpFile, amp: str, known_bad: Bools, settings: Flat, background: Background
) -> AmpResult:
    trace, alive = traces.array("trace", amp), traces.array("alive", amp) > 0
    lit = np.isfinite(traces.array("light", amp))
    image: Float32s = traces.array("twilight", amp)
    good = np.isfinite(image) & ~known_bad
    variance: Float32s = (1 / traces.array("twilight_ivar", amp)).astype(np.float32)
    weights = read_profile(traces, amp).weights(trace)
    scattered = scattered_light(image, trace, good, background).image
    extracted = extract(image - scattered, variance, good, weights, lit)
    light: Float32s = model_image(predicted_spectra(extracted, alive, settings), weights)
    response = measure_response(image, variance, light + scattered, light, settings)
    traps = trapped(biases, amp)
    bad = traps | response.defects | known_bad | ~np.isfinite(image)
    values: dict[str, Value] = {
        "n_masked": int(np.count_nonzero(bad)),
        "n_defects": int(np.count_nonzero(response.defects)),
        "n_trapped": int(np.count_nonzero(traps)),
        "n_named": int(np.count_nonzero(known_bad)),
        "scatter": response.scatter,
    }
    return AmpResult({"flat": response.flat, "good": (~bad).astype(np.uint8)}, values)


def _write_flat(path: Path, flat: Array, amp: str, ampname: str, pairing: dict[str, str]) -> None:
    """Write a flat as the field has it: one image, which is divided by before frames are turned."""
    cards = {**pairing, "CCDPOS": amp[0], "CCDHALF": amp[1], "AMPNAME": ampname, "CREATOR": f"skyharvest {__version__}"}
    with atomic_path(path) as temporary:
        temporary.unlink()  # fitsio makes its files itself
        with fitsio.FITS(str(temporary), "rw", clobber=True) as out:
            out.write(orient(flat, amp, ampname), header=cards)
