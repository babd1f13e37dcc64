"""The step bias: a month's bias of each amplifier of a pairing, and its charge traps.

What is left of a bias frame without its overscan is a pattern of a few electrons, which is constant over a month. The
biweight of a month's frames is smoothed along columns, over a box of 1 × 7 pixels: the pattern belongs to columns, the
noise does not.

ccdproc 2.5.1 was tried and not taken: its `Combiner` takes 1.6 s for the median of 15 frames, and 2.8 s with astropy's
biweight; the biweight here 0.1 s.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest import __version__
from skyharvest.core.arrays import Array, Float32s
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.amp_file import AmpResult, Value, each_amp, write_amps
from skyharvest.reduction.hetdex.biweight import location, location_scale, relative_variance
from skyharvest.reduction.hetdex.calibration.traps import Trap, find_traps
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.frames.frame import read_frame
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.settings import Bias
from skyharvest.reduction.hetdex.virus import SIZE

log = logging.getLogger(__name__)

MOST_BYTES = 800_000_000
"""Of frames in memory: of more of them a part of the rows is combined at a time, and they are read again."""
_SOME = 5
"""Noise is measured in every so many rows and columns."""


@dataclass(frozen=True)
class MasterBias:
    """The bias of an amplifier.

    Attributes
    ----------
    image
        (1032, 1032) f4, electrons, smoothed.
    unsmoothed
        The same before that.
    level
        Mean of the frames' overscans, ADU.
    rms
        Noise of a pixel of a single frame, electrons, from differences of frames.
    overscan_rms
        The same in the overscan.
    n_frames
        How many frames there are.
    """

    image: Float32s
    unsmoothed: Float32s
    level: float
    rms: float
    overscan_rms: float
    n_frames: int


def make_bias(frames: Path, out: Path, settings: Bias) -> None:
    """Write the bias of a pairing's amplifiers.

    Parameters
    ----------
    frames
        The list of its frames, see `frames_file`.
    out
        The product: arrays ``bias`` (1032, 1032) f4 in electrons, and ``traps`` (n, 3) i4, column, first row and number
        of rows of each trap; an amplifier without traps has no such array, but n_traps 0.
    settings
        Of the step.
    """
    members = frames_file.read(frames, type="zro")

    def do(amp: str) -> AmpResult:
        own = [member for member in members if member.amp == amp]
        return _of_amp(own, frames, settings)

    results = each_amp(do)
    header: dict[str, Value] = {"CREATOR": f"skyharvest {__version__}"}
    write_amps(out, header, results)
    for amp, result in results.items():
        log.info("%s %s: %s", out, amp, result.failed or f"{result.values['n_frames']} frames")


def _of_amp(members: Sequence[Member], frames: Path, settings: Bias) -> AmpResult:
    master = master_bias(members, frames, settings.min_frames, settings.smooth_rows)
    noise = master.rms * math.sqrt(relative_variance(master.n_frames) / master.n_frames)
    traps = find_traps(master.unsmoothed, noise, settings.trap_sigma, settings.trap_half_width, settings.trap_rows)
    arrays: dict[str, Array] = {"bias": master.image}
    if traps:
        arrays["traps"] = np.array([[trap.x, trap.y, trap.n] for trap in traps], np.int32)
    values: dict[str, Value] = {
        "n_frames": master.n_frames,
        "level": master.level,
        "rms": master.rms,
        "overscan_rms": master.overscan_rms,
        "n_traps": len(traps),
        "scatter": float(location_scale(master.image, None)[1]),
    }
    return AmpResult(arrays, values)


def master_bias(members: Sequence[Member], frames: Path, min_frames: int, smooth_rows: int) -> MasterBias:
    """Combine the bias frames of an amplifier. One that cannot be read is left out, with a warning.

    Parameters
    ----------
    members
        The frames.
    frames
        Their list, for messages.
    min_frames
        As many are needed.
    smooth_rows
        See `smoothed`.

    Raises
    ------
    InputError
        If there are fewer: says how many.
    """
    unsmoothed = np.empty((SIZE, SIZE), np.float32)
    noises: list[float] = []
    levels: list[float] = []
    overscans: list[float] = []
    passes = max(1, math.ceil(len(members) * unsmoothed.nbytes / MOST_BYTES))
    n_rows = math.ceil(SIZE / passes)
    for first in range(0, SIZE, n_rows):
        rows = slice(first, min(first + n_rows, SIZE))
        stack = np.empty((len(members), rows.stop - first, SIZE), np.float32)
        levels, overscans = [], []
        for image, level, rms in _readable(members, quiet=first > 0):
            stack[len(levels)] = image[rows]
            levels.append(level)
            overscans.append(rms)
        if len(levels) < min_frames:
            raise InputError(
                f"{frames}: found {len(levels)} bias frames that can be read, of {len(members)}; expected at least "
                f"{min_frames} (hetdex_reduction.bias.min_frames), or name a neighbour of the month in "
                "hetdex_reduction.calibration_from"
            )
        stack = stack[: len(levels)]
        unsmoothed[rows] = location(stack)
        some = stack[:, ::_SOME, ::_SOME]
        noises.append(float(location_scale(some[1:] - some[:-1], None)[1]) / math.sqrt(2))
        del stack, some
    return MasterBias(
        smoothed(unsmoothed, smooth_rows),
        unsmoothed,
        float(np.mean(levels)),
        float(np.mean(noises)),
        float(np.mean(overscans)),
        len(levels),
    )


def smoothed(bias: Array, n_rows: int) -> Float32s:
    """Return the biweight location over so many rows of each column; at the edges over those that there are.

    The first row of a trap stays where it is.
    """
    half = n_rows // 2
    padded = np.pad(bias, ((half, half), (0, 0)), constant_values=np.nan)
    found: Float32s = location(np.stack([padded[k : k + len(bias)] for k in range(2 * half + 1)]))
    return found


def traps_of(table: Array) -> list[Trap]:
    """Return the traps of the array ``traps``."""
    return [Trap(int(x), int(y), int(n)) for x, y, n in table]


def _readable(members: Sequence[Member], *, quiet: bool) -> Iterator[tuple[Array, float, float]]:
    """Yield image, level and scatter of the overscan of each frame that can be read."""
    for member in members:
        try:
            frame = read_frame(member)
        except MalformedFile as error:
            if not quiet:
                log.warning("bias frame left out: %s", error)
            continue
        yield frame.image, frame.level, frame.overscan_rms
