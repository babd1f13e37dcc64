"""Step: how pixels of a detector behave over a month, from all multifits of a pairing.

For each amplifier ``residuals_cam{SPECID}_{AMP}.fits`` has, of pixels (1032, 1032): RESIDUAL, the median of image less
model over the error; CHI2, the median of its square, over that of χ² (1 is as expected); FLAGGED, in what part of the
frames a pixel is not known or has more χ² than ``max_chi2``. Of fibers (112, 1032): SKY_RESIDUAL, the median of what is
left of the sky, relative to the sky; FIBER_CHI2, the median of the extraction's χ²; ERROR_RATIO, the scatter over the
stated error.

``bad_pixels.txt`` has the pixels that are flagged in too many frames (`bad_from`), as rows ``311RU 538 556 737 755``
(SPECID and amp, x1 x2 y1 y2 from 1): a file that ``bad.pixels`` takes. ``amps.csv`` tells how each amplifier stands.

Medians are exact: rows are worked on in blocks, as many as there is memory for.
"""

import csv
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
from scipy.stats import binom

from skyharvest.core.arrays import Array, Float32s
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.core.whole_directory import whole_directory
from skyharvest.reduction.hetdex.amp_file import DONE, FAILED
from skyharvest.reduction.hetdex.calibration.pixel_mask import Box, boxes_of, write_boxes
from skyharvest.reduction.hetdex.layout import AMPS
from skyharvest.reduction.hetdex.settings import ResidualMaps
from skyharvest.reduction.hetdex.spectra import multifits
from skyharvest.reduction.hetdex.spectra.pixel_statistics import CHI2_MEDIAN, median, scatter
from skyharvest.reduction.hetdex.steps import LEFT_OUT
from skyharvest.reduction.hetdex.virus import N_FIBERS, SIZE

log = logging.getLogger(__name__)

COPIES = 5
"""So many times a block of frames is in memory, at most."""
BAD_PIXELS, STATES = "bad_pixels.txt", "amps.csv"


def name_of_map(specid: str, amp: str) -> str:
    """Return the name of an amplifier's file."""
    return f"residuals_cam{specid}_{amp}.fits"


@dataclass(frozen=True)
class Maps:
    """Maps of an amplifier: see the module; all f4, NaN where no frame knows."""

    residual: Float32s
    chi2: Float32s
    flagged: Float32s
    sky_residual: Float32s
    fiber_chi2: Float32s
    error_ratio: Float32s


def write_residual_maps(directories: Sequence[Path], out: Path, settings: ResidualMaps) -> None:
    """Write the maps of a pairing's amplifiers.

    Parameters
    ----------
    directories
        ``science/{shot}/exp0N/{ifu}``, of all exposures of a month.
    out
        The directory to write; it appears whole.
    settings
        Of the step.
    """
    found: dict[str, list[Path]] = {amp: [] for amp in AMPS}
    specids = set()
    for directory in directories:
        for path in sorted(directory.glob("multi_*.fits")):
            if match := multifits.NAME.fullmatch(path.name):
                found[match["amp"]].append(path)
                specids.add(match["specid"])
    if len(specids) > 1:
        raise InputError(f"found spectrographs {', '.join(sorted(specids))}; expected frames of one pairing")
    with whole_directory(out) as made:
        _write(found, next(iter(specids), ""), made, settings)


def _write(found: dict[str, list[Path]], specid: str, directory: Path, settings: ResidualMaps) -> None:
    states: list[dict[str, str | int]] = []
    bad: dict[str, list[Box]] = {}
    for amp, paths in found.items():
        state: dict[str, str | int] = {
            "amp": amp,
            "state": DONE,
            "reason": "",
            "n_frames": len(paths),
            "n_bad": 0,
            "chi2": "",
            "sky": "",
        }
        states.append(state)
        if len(paths) < settings.min_frames:  # a month with one shot is no failure
            why = f"{len(paths)} frames, fewer than residual_maps.min_frames = {settings.min_frames}"
            state |= {"state": LEFT_OUT, "reason": why}
            continue
        try:
            maps = maps_of(paths, settings)
        except (InputError, MalformedFile) as error:
            state |= {"state": FAILED, "reason": str(error)}
            continue
        mask = maps.flagged > bad_from(maps.flagged, len(paths), settings.bad_fraction)
        bad[f"{specid}{amp}"] = list(boxes_of(mask))
        middle = [float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan for values in
                  (maps.chi2, np.abs(maps.sky_residual))]  # fmt: skip
        state |= {"n_bad": int(mask.sum()), "chi2": f"{middle[0]:.4f}", "sky": f"{middle[1]:.5f}"}
        _write_maps(directory / name_of_map(specid, amp), maps, {"SPECID": specid, "AMP": amp, "NFRAMES": len(paths)})
        log.info("%s %s: %d frames, %d bad pixels", specid, amp, len(paths), mask.sum())
    write_boxes(directory / BAD_PIXELS, bad)
    with (directory / STATES).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(states[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(states)


def bad_from(flagged: Float32s, n_frames: int, fraction: float) -> float:
    """Return the part of the frames beyond which a pixel is bad.

    It is the given one, or more where there are so few frames that by chance (of cosmic rays and noise) a pixel of the
    detector would be flagged so often.
    """
    seldom = flagged[flagged < 0.5]
    rate = float(seldom.mean()) if seldom.size else 0.0
    numbers = np.arange(n_frames + 1)
    by_chance = flagged.size * binom.sf(numbers, n_frames, rate)  # pixels flagged in more frames than that
    return max(fraction, float(np.argmax(by_chance < 1)) / n_frames)


def _write_maps(path: Path, maps: Maps, cards: dict[str, str | int]) -> None:
    with fitsio.FITS(str(path), "rw", clobber=True) as file:
        file.write(None, header=cards)
        for name in ("residual", "chi2", "flagged", "sky_residual", "fiber_chi2", "error_ratio"):
            file.write(getattr(maps, name), extname=name.upper())


def maps_of(paths: Sequence[Path], settings: ResidualMaps) -> Maps:
    """Return the maps of an amplifier from its multifits.

    Raises
    ------
    MalformedFile
        If one of them has not the images that multifits have.
    """
    rows = max(1, int(settings.memory_mb * 1e6 / (4 * COPIES * SIZE * len(paths))))
    residual, chi2, flagged = (np.empty((SIZE, SIZE), np.float32) for _ in range(3))
    for first in range(0, SIZE, rows):
        block = slice(first, min(first + rows, SIZE))
        pulls = _stack(paths, block, _pull)
        over = ~(pulls**2 <= settings.max_chi2)
        flagged[block] = over.mean(axis=0)
        residual[block] = median(pulls.copy())
        np.square(pulls, out=pulls)
        chi2[block] = median(pulls) / np.float32(CHI2_MEDIAN)
    sky, fiber_chi2, ratio = (np.empty((N_FIBERS, SIZE), np.float32) for _ in range(3))
    for first in range(0, N_FIBERS, rows):
        block = slice(first, min(first + rows, N_FIBERS))
        sky[block] = median(_stack(paths, block, _relative_to_sky))
        fiber_chi2[block] = median(_stack(paths, block, lambda file, at: _read(file, "chi2", at)))
        ratio[block] = scatter(_stack(paths, block, _relative_to_error))
    return Maps(residual, chi2, flagged, sky, fiber_chi2, ratio)


def _stack(paths: Sequence[Path], block: slice, of: Callable[[fitsio.FITS, slice], Array]) -> Float32s:
    """Return something of a block of rows of each file, (n, n_row, 1032) f4."""
    stack = np.empty((len(paths), block.stop - block.start, SIZE), np.float32)
    for values, path in zip(stack, paths, strict=True):
        try:
            with fitsio.FITS(str(path)) as file, np.errstate(divide="ignore", invalid="ignore"):
                values[:] = of(file, block)
        except (OSError, ValueError) as error:
            raise MalformedFile(f"{path}: found no multifits ({error}); remove its directory and run again") from None
    stack[~np.isfinite(stack)] = np.nan
    return stack


def _read(file: fitsio.FITS, name: str, block: slice) -> Array:
    return np.asarray(file[name][block, :], np.float32)


def _pull(file: fitsio.FITS, block: slice) -> Array:
    error = _read(file, "error", block)
    error[~(error > 0)] = np.nan
    return (_read(file, "processed", block) - _read(file, "model2d", block)) / error


def _relative_to_sky(file: fitsio.FITS, block: slice) -> Array:
    sky = _read(file, "sky_spectrum", block)
    sky[~(sky > 0)] = np.nan
    return _read(file, "sky_subtracted", block) / sky


def _relative_to_error(file: fitsio.FITS, block: slice) -> Array:
    error = _read(file, "error1d", block)
    error[~(error > 0)] = np.nan
    return _read(file, "sky_subtracted", block) / error


def read_sky_residual(directory: Path, specid: str, amp: str) -> Float32s | None:
    """Return SKY_RESIDUAL (112, 1032) of an amplifier from a directory of this step; None if it has none of it."""
    path = directory / name_of_map(specid, amp)
    if not path.is_file():
        return None
    return np.asarray(fitsio.read(str(path), ext="SKY_RESIDUAL"), np.float32)
