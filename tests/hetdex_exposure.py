"""An exposure of a pairing, and what the steps before made of its month: as they would if they were exact."""

from pathlib import Path

import numpy as np

import raw_frames
from hetdex_amplifier import READNOISE, SIGMA, Amplifier, N, add_rays, observed, sky
from skyharvest.reduction.hetdex.amp_file import AmpResult, write_amps
from skyharvest.reduction.hetdex.calibration.amp_to_amp import compare_amps
from skyharvest.reduction.hetdex.detector.profile import first_guess
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.settings import AmpToAmp
from skyharvest.reduction.hetdex.spectra.science import ScienceInputs

IFU, SHOT = "008_093_054_0123", "20190103v012"
FACTOR = {"LL": 0.9, "LU": 1.0, "RL": 1.1, "RU": 1.0}
"""Throughput of each amplifier."""
BIAS = 5.0  # electrons
TURNED = ("LU", "RL")
GAIN = raw_frames.HEADER["GAIN"]
LEFT = 100_000
"""Bytes of a torn frame."""


def amplifier(amp: str) -> Amplifier:
    """Return what is true of an amplifier."""
    return Amplifier(seed=3 + list(FACTOR).index(amp))


def raw(amp: str, rays: int) -> bytes:
    """Return a raw frame of the sky."""
    own = amplifier(amp)
    rng = np.random.default_rng(1)
    image = observed(own.paint(sky(own.wave) * FACTOR[amp] * own.norm), rng)
    add_rays(image, rng, rays)
    image = image[::-1, ::-1] + BIAS if amp in TURNED else image + BIAS
    overscan = rng.normal(0, READNOISE, (N, 32))
    whole = np.concatenate([image, overscan], axis=1) / GAIN + 1000
    return raw_frames.frame(amp, np.round(whole).clip(0, 65535).astype("u2"), PARANGLE=31.5)


def write_exposure(root: Path, rays: int = 0, torn: str = "", uncalibrated: str = "") -> ScienceInputs:
    """Write an exposure and its calibration.

    Parameters
    ----------
    root
        A directory.
    rays
        Cosmic rays of a frame.
    torn, uncalibrated
        An amplifier whose frame is cut short, and one that has no wavelengths.
    """
    order = [amp for amp in FACTOR if amp != torn] + [torn] * bool(torn)
    frames = {raw_frames.name_of(12, 1, amp, "sci"): raw(amp, rays) for amp in order}
    tar = root / "virus0000012.tar"
    offsets = raw_frames.write_tar(tar, frames)
    members = [
        frames_file.Member(
            "sci", 20190103, 12, 1, *IFU.split("_"), amp, str(tar), name, offsets[name], len(data), exptime=360.0
        )
        for amp, (name, data) in zip(order, frames.items(), strict=True)
    ]
    frames_file.write(root / f"{IFU}.csv", members)
    if torn:
        with tar.open("r+b") as file:
            file.truncate(members[-1].offset + LEFT)
    _write_calibration(root, uncalibrated)
    return ScienceInputs(
        frames=root / f"{IFU}.csv",
        bias=root / "bias.fits",
        trace=root / "trace.fits",
        flat=root / "flat",
        wavelength=root / f"wavelength/{IFU}.fits",
        amp_to_amp=root / "amp_to_amp.fits",
    )


def words(inputs: ScienceInputs, out: Path) -> list[str]:
    """Return the options of the program."""
    files = [f"--{name.replace('_', '-')}={path}" for name, path in vars(inputs).items() if path]
    return [*files, f"--shot={SHOT}", "--exposure=exp01", f"--out={out}"]


def _write_calibration(root: Path, uncalibrated: str) -> None:
    made: dict[str, dict[str, AmpResult]] = {"bias": {}, "trace": {}, f"wavelength/{IFU}": {}, "flat/flat": {}}
    profile = first_guess(SIGMA)
    for amp, factor in FACTOR.items():
        own = amplifier(amp)
        made["bias"][amp] = AmpResult(
            {"bias": np.full((N, N), BIAS, np.float32)}, {"n_traps": 0, "rms": 3.0, "n_frames": 400}
        )
        arrays = {"trace": own.trace.astype(np.float32), "alive": own.alive.astype(np.uint8)}
        made["trace"][amp] = AmpResult(
            arrays | {"profile": profile.values, "profile_x": profile.x, "profile_y": profile.y}
        )
        ratio = np.where(own.alive[:, None], own.fiber_to_fiber, np.nan).astype(np.float32)
        made[f"wavelength/{IFU}"][amp] = AmpResult(
            {
                "wavelength": own.wave,
                "fiber_to_fiber": ratio,
                "twilight_mean": np.full(1036, 2000 * factor),
                "twilight_mean_error": np.full(1036, 1.0),
            }
        )
        made["flat/flat"][amp] = AmpResult({"flat": np.ones((N, N), np.float32), "good": np.ones((N, N), np.uint8)})
    if uncalibrated:
        made[f"wavelength/{IFU}"][uncalibrated] = AmpResult(failed="found no lines of the Sun")
    for name, results in made.items():
        write_amps(root / f"{name}.fits", {}, results)
    compare_amps([root / f"wavelength/{IFU}.fits"], root / "amp_to_amp.fits", AmpToAmp())
