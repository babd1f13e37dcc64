"""The science step: the multifits of a pairing's exposure, from its raw frames and the month's calibration.

Makes a directory with ``multi_{specid}_{ifuslot}_{ifuid}_{amp}.fits`` (`.multifits`) of the
amplifiers that could be done, and ``amps.csv`` (`.amps_csv`), which says why others could
not.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest import __version__
from skyharvest.core.whole_directory import whole_directory
from skyharvest.reduction.hetdex.amp_file import AmpFile, AmpResult, each_amp
from skyharvest.reduction.hetdex.calibration.amp_to_amp import AmpRatios
from skyharvest.reduction.hetdex.detector.profile import Profile
from skyharvest.reduction.hetdex.frames import frames_file, ifucen
from skyharvest.reduction.hetdex.frames.frame import read_frame
from skyharvest.reduction.hetdex.layout import Pairing
from skyharvest.reduction.hetdex.spectra import amps_csv, multifits
from skyharvest.reduction.hetdex.spectra.reduced_amp import AmpCalibration, HowToReduce, reduce_amp
from skyharvest.reduction.hetdex.virus import N_FIBERS

SMOOTHED = 0.85
"""Noise of a fiber's sum over a bias that is smoothed over 7 rows, relative to one that is not."""


@dataclass(frozen=True)
class ScienceInputs:
    """Files of an exposure's pairing.

    Attributes
    ----------
    frames
        The list of the pairing's frames in the month.
    bias, trace, wavelength
        The month's products by amplifier.
    flat
        The directory with the month's pixel flats.
    amp_to_amp
        The month's comparison of amplifiers.
    ifucen
        The directory with the files of fiber positions; None: positions are NaN.
    """

    frames: Path
    bias: Path
    trace: Path
    flat: Path
    wavelength: Path
    amp_to_amp: Path
    ifucen: Path | None = None


def extract_exposure(inputs: ScienceInputs, shot: str, expnum: int, out: Path, how: HowToReduce) -> None:
    """Reduce the four frames of a pairing in an exposure; the directory appears whole.

    An amplifier whose frame, or whose calibration, cannot be used is in ``amps.csv`` with the reason.

    Parameters
    ----------
    inputs
        Files; the list of frames is named after the pairing.
    shot, expnum
        The exposure, such as ``20190103v012`` and 1.
    out
        The directory.
    how
        Settings.
    """
    ifu = inputs.frames.stem
    ifuid = Pairing.named(ifu).ifuid
    with whole_directory(out) as directory:

        def do(amp: str) -> AmpResult:
            member = frames_file.read_one(inputs.frames, "sci", shot, expnum, amp)
            places = ifucen.positions(inputs.ifucen, ifuid, amp) if inputs.ifucen else np.full((N_FIBERS, 2), np.nan)
            frame = read_frame(member)
            calibration = read_calibration(inputs, ifu, amp)
            made = reduce_amp(frame.image, frame.overscan_rms, calibration, how)
            header = {
                **frame.header,
                "NAME0": Path(member.member).name,
                **made.counts,
                "REDUCED": f"skyharvest {__version__}",
            }
            multifits.write(directory / multifits.name_of(ifu, amp), header, made.arrays | {"ifupos": places})
            own = {"readnoise": frame.overscan_rms, "overscan": frame.level, "exptime": member.exptime}
            return AmpResult(values={**made.values, **own})

        amps_csv.write(directory, each_amp(do))


def read_calibration(inputs: ScienceInputs, ifu: str, amp: str) -> AmpCalibration:
    """Read what a month says of an amplifier.

    Raises
    ------
    AmpFailed
        If it has failed in one of the steps, with that step's reason.
    MalformedFile
        If a product is not what it should be.
    """
    with AmpFile(inputs.bias) as file:
        bias, said = file.array("bias", amp), file.values(amp)
    with AmpFile(inputs.trace) as file:
        trace, alive = file.array("trace", amp), file.array("alive", amp) > 0
        profile = Profile(*(file.array(name, amp) for name in ("profile", "profile_x", "profile_y")))
    with AmpFile(inputs.flat / "flat.fits") as file:
        flat, good = file.array("flat", amp), file.array("good", amp) > 0
    with AmpFile(inputs.wavelength) as file:
        wavelength, ratio = file.array("wavelength", amp), file.array("fiber_to_fiber", amp)
    throughput = ratio * AmpRatios(inputs.amp_to_amp).at(ifu, amp, wavelength)
    alive &= np.isfinite(throughput).all(1)
    noise = SMOOTHED * float(said["rms"]) / math.sqrt(float(said["n_frames"]))
    return AmpCalibration(bias, flat, good, trace, alive, profile, wavelength, throughput, noise)
