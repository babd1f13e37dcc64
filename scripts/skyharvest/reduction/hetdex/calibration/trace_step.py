"""The step trace: a month's twilight of each amplifier of a pairing, and where its fibers are."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest import __version__
from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.amp_file import AmpFile, AmpResult, Value, each_amp, write_amps
from skyharvest.reduction.hetdex.biweight import location, relative_variance
from skyharvest.reduction.hetdex.calibration.bias import traps_of
from skyharvest.reduction.hetdex.calibration.trace import find_traces
from skyharvest.reduction.hetdex.detector.background import electrons_of, scattered_light
from skyharvest.reduction.hetdex.detector.profile import Profile
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.frames.bad_fibers import named_fibers
from skyharvest.reduction.hetdex.frames.frame import read_frame
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.settings import Background, Trace

log = logging.getLogger(__name__)

PAIRING = ("SPECID", "IFUSLOT", "IFUID", "CONTID")
"""Cards of products that say what is connected."""
TRAP_MARGIN = 3
"""So many rows before and behind a trap are bad, too."""


@dataclass(frozen=True)
class Twilight:
    """The twilight of an amplifier.

    Attributes
    ----------
    image
        (1032, 1032) f4: electrons of a mean frame, bias off; NaN where nothing is known.
    variance
        (1032, 1032) f4: electrons²; NaN where nothing is known. It follows the noise of the pixel itself, by so little
        that it does not matter: a twilight is bright.
    levels
        (n,) f8: light in the middle of each frame, electrons a pixel.
    exposures
        (n, 3) int: night, observation and exposure of each.
    readnoise
        Of one frame, electrons, as its overscan has it.
    ampname
        AMPNAME of the frames' headers: how they were turned.
    """

    image: Float32s
    variance: Float32s
    levels: Floats
    exposures: Array
    readnoise: float
    ampname: str


def trace_fibers(
    frames: Path, bias: Path, out: Path, settings: Trace, background: Background, bad_fibers: Path | None = None
) -> None:
    """Write where the fibers of a pairing's amplifiers are.

    Parameters
    ----------
    frames
        The list of its frames, see `frames_file`.
    bias
        Its bias.
    out
        The product: arrays ``trace`` (112, 1032) f4 in pixels, ``alive`` (112,) u1, ``light`` (112,) f4 relative to the
        median fiber, ``profile``, ``profile_x``, ``profile_y`` (see `read_profile`), ``twilight`` and ``twilight_ivar``
        (1032, 1032) f4, electrons and their inverse variance, NaN where a pixel is bad; ``exposures`` (n, 3) i4 and
        ``levels`` (n,) f8, see `Twilight`.
    settings, background
        Of the step, and of scattered light.
    bad_fibers
        Table of fibers that are known to be dead, missing or not to be used.
    """
    members = frames_file.read(frames, type="twi")
    header: dict[str, Value] = {"CREATOR": f"skyharvest {__version__}", **pairing_of(members)}
    with AmpFile(bias) as biases:

        def do(amp: str) -> AmpResult:
            biases.check(amp)
            own = [member for member in members if member.amp == amp]
            named = named_fibers(bad_fibers, own) if bad_fibers else ()
            return _of_amp(own, frames, biases, amp, named, settings, background)

        results = each_amp(do)
    write_amps(out, header, results)
    for amp, result in results.items():
        log.info("%s %s: %s", out, amp, result.failed or f"{result.values['n_alive']} fibers")


def pairing_of(members: Sequence[Member]) -> dict[str, str]:
    """Return the cards `PAIRING` of a pairing's frames; none without frames."""
    return {name: getattr(members[0], name.lower()) for name in PAIRING} if members else {}


def read_profile(product: AmpFile, amp: str) -> Profile:
    """Return the profile of an amplifier from the product of this step."""
    x, y = (product.array(name, amp).astype(np.float64) for name in ("profile_x", "profile_y"))
    return Profile(product.array("profile", amp), x, y)


def _of_amp(
    members: Sequence[Member],
    frames: Path,
    biases: AmpFile,
    amp: str,
    named: Sequence[int],
    settings: Trace,
    background: Background,
) -> AmpResult:
    twilight = master_twilight(members, frames, biases.array("bias", amp), settings, background)
    good = np.isfinite(twilight.image) & np.isfinite(twilight.variance)
    good &= ~trapped(biases, amp)
    image = np.where(good, twilight.image, np.float32(0))

    def scattered(trace: Floats) -> Float32s:
        return scattered_light(image, trace, good, background).image

    try:
        found = find_traces(image, twilight.variance, good, scattered, settings, named)
    except InputError as error:
        raise InputError(f"{frames}: twilight: {error}") from None
    arrays: dict[str, Array] = {
        "trace": found.trace.astype(np.float32),
        "alive": found.alive.astype(np.uint8),
        "light": found.light.astype(np.float32),
        "profile": found.profile.values,
        "profile_x": found.profile.x,
        "profile_y": found.profile.y,
        "twilight": np.where(good, twilight.image, np.float32(np.nan)),
        "exposures": twilight.exposures.astype(np.int32),
        "levels": twilight.levels,
        "twilight_ivar": np.where(good, 1 / twilight.variance, np.float32(np.nan)).astype(np.float32),
    }
    values: dict[str, Value] = {
        "n_frames": len(twilight.levels),
        "level": float(twilight.levels.mean()),
        "n_alive": int(np.count_nonzero(found.alive)),
        "dead": " ".join(str(fiber + 1) for fiber in np.flatnonzero(~found.alive)),
        "gaps": f"{found.numbers.gaps[0]} {found.numbers.gaps[1]}",
        "trace_rms": found.rms,
        "chi2": found.chi2,
        "scattered": float(np.median(found.scattered)),
        "readnoise": twilight.readnoise,
        "ampname": twilight.ampname,
    }
    return AmpResult(arrays, values)


def trapped(biases: AmpFile, amp: str) -> Bools:
    """Return the pixels of an amplifier's charge traps, (1032, 1032)."""
    pixels = np.zeros(biases.array("bias", amp).shape, bool)
    if biases.values(amp)["n_traps"]:
        for trap in traps_of(biases.array("traps", amp)):
            pixels[max(trap.y - TRAP_MARGIN, 0) : trap.y + trap.n + TRAP_MARGIN, trap.x] = True
    return pixels


def master_twilight(
    members: Sequence[Member], frames: Path, bias: Array, settings: Trace, background: Background
) -> Twilight:
    """Combine the twilights of an amplifier, each scaled to the same light in the middle.

    Parameters
    ----------
    members
        The frames. One that cannot be read is left out, with a warning; so are those with too little or too much light.
    frames
        Their list, for messages.
    bias
        (1032, 1032) f4, electrons.
    settings
        Of the step: what is too little and too much.
    background
        Which rows tell how much light a frame has.

    Raises
    ------
    InputError
        If there are too few: says what light they have.
    """
    images: list[Float32s] = []
    levels: list[float] = []
    noises: list[float] = []
    exposures: list[tuple[int, int, int]] = []
    ampname = ""
    said: list[str] = []
    for member in members:
        try:
            frame = read_frame(member)
        except MalformedFile as error:
            log.warning("twilight left out: %s", error)
            said.append("not readable")
            continue
        image = frame.image - bias
        level = electrons_of(image, background)
        saturated = 1 - np.count_nonzero(np.isfinite(image)) / image.size
        said.append(f"{level:z.0f}" + (f" ({saturated:.1%} saturated)" if saturated > settings.saturated_most else ""))
        if not settings.level_least <= level <= settings.level_most or saturated > settings.saturated_most:
            log.warning("twilight left out: %s has %s electrons a pixel", member, said[-1])
            continue
        images.append(image)
        levels.append(level)
        noises.append(frame.overscan_rms)
        ampname = str(frame.header.get("AMPNAME") or "").strip()
        exposures.append((member.night, member.obs, member.expnum))
        if len(images) > settings.most_frames:
            faintest = int(np.argmin(levels))
            del images[faintest], levels[faintest], noises[faintest], exposures[faintest]
    if len(images) < settings.min_frames:
        raise InputError(
            f"{frames}: found {len(images)} usable twilights of {len(members)}, with {', '.join(said) or 'none'} "
            f"electrons a pixel; expected {settings.min_frames} with {settings.level_least:g} to "
            f"{settings.level_most:g} (hetdex_reduction.trace); name an amplifier without light in "
            "hetdex_reduction.bad.amps, or a neighbour of the month in hetdex_reduction.calibration_from"
        )
    light = np.array(levels)
    scale = light / light.mean()
    stack = np.stack(images)
    del images
    stack /= scale.astype(np.float32)[:, None, None]
    image = location(stack)
    readnoise = float(np.mean(noises))
    n_known = np.isfinite(stack).sum(axis=0)
    # A frame has the variance (noise² + scale × light) / scale².
    of_noise, of_light = readnoise**2 * np.mean(scale**-2.0), np.mean(1 / scale)
    of_biweight = np.array([relative_variance(n) / max(n, 1) for n in range(len(light) + 1)])
    variance = (of_noise + of_light * np.maximum(image, 0)) * of_biweight[n_known]
    variance[~np.isfinite(image)] = np.nan
    return Twilight(image, variance.astype(np.float32), light, np.array(exposures), readnoise, ampname)
