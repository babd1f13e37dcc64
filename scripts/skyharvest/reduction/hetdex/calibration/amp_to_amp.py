"""How amplifiers of the field differ in throughput: their twilights over the mean of all, smooth in wavelength.

The twilight's spectrum is that of a mean fiber of each amplifier, so that what is compared is amplifiers, not fibers.
All have to be of the same exposures: where an amplifier lacks some, its twilight is brought to the level that it would
have with all. The levels of frames are a product of the exposure's brightness and the amplifier's throughput; both are
fitted to those frames that there are.

A known systematic is that the twilight sky is not even: over HETDEX's field of 20′ it is brighter towards the Sun, and
that is taken for throughput here. Twilights of several nights, taken at other angles, average some of it.

``amp_to_amp/{month}.fits`` has a table AMPS of how each stands: ifu, amp, state, reason, level, error, n_exposures,
correction; and a table AMP_TO_AMP with the same rows: ifu, amp, amp_to_amp (1036,) f4, NaN for one that failed.
WAVELENGTH (1036,) f8 and MEAN (1036,) f4 are the grid, Å, and the mean twilight, electrons per 2 Å.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitsio
import numpy as np

from skyharvest import __version__
from skyharvest.core.arrays import Float32s, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.amp_file import DONE, FAILED, TABLE, AmpFailed, AmpFile, text
from skyharvest.reduction.hetdex.calibration.smooth_ratios import smooth
from skyharvest.reduction.hetdex.layout import AMPS
from skyharvest.reduction.hetdex.settings import AmpToAmp
from skyharvest.reduction.hetdex.virus import GRID

MODEL_ERROR = 0.02
"""Of the flux in a bin of 2 Å: amplifiers see lines with different widths."""
Exposure = tuple[int, ...]


@dataclass
class Amp:
    """The twilight of an amplifier.

    Attributes
    ----------
    ifu, amp
        Which one: the pairing, and the amplifier.
    mean, error
        Electrons per 2 Å of a mean fiber on the grid, and standard error, (1036,) float64; NaN where it does not reach.
    levels
        Brightness of each of its frames, electrons, by exposure; empty if that is not known.
    failed
        Why there is nothing.
    """

    ifu: str
    amp: str
    mean: Floats
    error: Floats
    levels: Mapping[Exposure, float]
    failed: str = ""


@dataclass(frozen=True)
class Compared:
    """How amplifiers differ.

    Attributes
    ----------
    ratio
        Throughput over that of the mean of the field, (n_amp, 1036) float32; NaN for those that failed.
    error
        Its median standard error, (n_amp,).
    level
        Its median, (n_amp,).
    correction
        By what the twilight of an amplifier was multiplied for exposures that it lacks, (n_amp,).
    mean
        The mean twilight, electrons per 2 Å, (1036,) float32.
    failed
        Why an amplifier has none; empty if it has one.
    """

    ratio: Float32s
    error: Floats
    level: Floats
    correction: Floats
    mean: Float32s
    failed: tuple[str, ...]


def compare(amps: Sequence[Amp], options: AmpToAmp) -> Compared:
    """Compare amplifiers of the field. Where none has a twilight, all have failed, each with its reason."""
    failed = [amp.failed for amp in amps]
    correction = level_corrections([amp.levels for amp in amps])
    values = np.stack([amp.mean for amp in amps]) * correction[:, None]
    errors = np.stack([amp.error for amp in amps]) * correction[:, None]
    known = np.isfinite(values) & np.isfinite(errors) & (errors > 0)
    for k, amp in enumerate(amps):
        if not failed[k] and not known[k].any():
            failed[k] = f"{amp.ifu} {amp.amp}: found no twilight on the grid of wavelengths"
    use = np.array([not why for why in failed])
    if not use.any():
        return _nothing(correction, failed)
    # Levels first, in the middle of the spectrum: an amplifier without light must not be a part of the mean.
    middle = slice(len(GRID) // 4, 3 * len(GRID) // 4)
    rough = np.array(
        [
            np.median(row[middle][ok[middle]]) if ok[middle].any() else np.nan
            for row, ok in zip(values, known, strict=True)
        ]
    )
    typical = float(np.nanmedian(rough[use]))
    for k in range(len(amps)):
        if failed[k]:
            continue
        share = rough[k] / typical
        if not options.min_level <= share <= options.max_level:
            failed[k] = (
                f"found a twilight of {share:.3g} times the field's; expected {options.min_level:g} to "
                f"{options.max_level:g}: see its bias and trace"
            )
    use = np.array([not why for why in failed])
    if not use.any():
        return _nothing(correction, failed)
    values, errors, known = values[use], errors[use], known[use]
    ratio = np.broadcast_to((rough[use] / typical)[:, None], values.shape)
    for _ in range(3):
        relative = np.where(known, values / ratio, np.nan)
        mean = np.asarray(biweight.location(relative, 0), np.float64)
        model = np.broadcast_to(np.nan_to_num(mean), values.shape)
        weight = np.zeros_like(values)
        np.divide(1, errors**2 + (MODEL_ERROR * ratio * model) ** 2, out=weight, where=known & (model > 0))
        found = smooth(np.where(known, values, 0), model, weight, options.pieces)
        ratio = _within(found.ratio, known)
        ratio = ratio / np.asarray(biweight.location(ratio, 0))[None]
    out = np.full((len(amps), len(GRID)), np.nan, np.float32)
    error, level = np.full(len(amps), np.nan), np.full(len(amps), np.nan)
    out[use] = ratio
    error[use] = np.median(found.error / found.ratio, axis=1)
    level[use] = np.median(ratio, axis=1)
    return Compared(out, error, level, correction, mean.astype(np.float32), tuple(failed))


def _nothing(correction: Floats, failed: Sequence[str]) -> Compared:
    n, unknown = len(failed), np.full(len(failed), np.nan)
    no_ratio = np.full((n, len(GRID)), np.nan, np.float32)
    return Compared(no_ratio, unknown, unknown, correction, no_ratio[0], tuple(failed))


def _within(ratio: Floats, known: Any) -> Floats:
    """Return curves that stay as they are at the ends of what is known."""
    out = ratio.copy()
    for k, row in enumerate(known):
        where = np.flatnonzero(row)
        out[k, : where[0]], out[k, where[-1] :] = ratio[k, where[0]], ratio[k, where[-1]]
    return np.maximum(out, 1e-3)


def level_corrections(levels: Sequence[Mapping[Exposure, float]]) -> Floats:
    """Return the factors that bring masters of some exposures to what they would be with all, (n_amp,); 1 if unknown.

    A master is taken to have the mean level of its frames.

    Parameters
    ----------
    levels
        Of each amplifier: how bright each of its frames was.
    """
    exposures = sorted({exposure for each in levels for exposure in each})
    table = np.full((len(levels), len(exposures)), np.nan)
    for k, each in enumerate(levels):
        for exposure, level in each.items():
            if level > 0:
                table[k, exposures.index(exposure)] = np.log(level)
    factor = np.ones(len(levels))
    if not np.isfinite(table).any():
        return factor
    brightness = np.zeros(len(exposures))
    for _ in range(20):  # of amplifier and exposure in turn: medians, so that one bad frame tells nothing
        own = _median(table - brightness[None], 1)
        brightness = np.nan_to_num(_median(table - own[:, None], 0))
    light = np.exp(brightness)
    for k in range(len(levels)):
        has = np.isfinite(table[k])
        if has.any():
            factor[k] = light.mean() / light[has].mean()
    return factor


def _median(values: Floats, axis: int) -> Floats:
    empty = ~np.isfinite(values).any(axis=axis)
    filled = np.where(np.expand_dims(empty, axis), 0, values)
    return np.where(empty, np.nan, np.nanmedian(filled, axis=axis))


def compare_amps(wavelengths: Sequence[Path], out: Path, options: AmpToAmp) -> None:
    """Compare the amplifiers of a month, and write the product.

    Parameters
    ----------
    wavelengths
        Products of the twilight calibration, named after their pairings.
    out
        The file to write.
    options
        Limits.

    Raises
    ------
    MalformedFile
        If a product is none.
    """
    amps = [amp for path in wavelengths for amp in _read_ifu(path)]
    found = compare(amps, options)
    words = [why.encode("ascii", "replace") for why in found.failed]
    columns = {
        "ifu": np.array([amp.ifu.encode() for amp in amps]),
        "amp": np.array([amp.amp.encode() for amp in amps]),
        "state": np.array([(FAILED if why else DONE).encode() for why in found.failed], "S8"),
        "reason": np.array(words, f"S{max(1, *map(len, words))}"),
        "level": found.level,
        "error": found.error,
        "n_exposures": np.array([len(amp.levels) for amp in amps], np.int64),
        "correction": found.correction,
    }
    curves = {name: columns[name] for name in ("ifu", "amp")} | {"amp_to_amp": found.ratio}
    with atomic_path(out) as temporary:
        temporary.unlink()  # fitsio makes its files itself
        with fitsio.FITS(str(temporary), "rw", clobber=True) as file:
            file.write(None, header={"CREATOR": f"skyharvest {__version__}"})
            file.write(list(columns.values()), names=list(columns), extname=TABLE)
            file.write(list(curves.values()), names=list(curves), extname="AMP_TO_AMP")
            file.write(GRID, extname="WAVELENGTH")
            file.write(found.mean, extname="MEAN")


def _read_ifu(path: Path) -> list[Amp]:
    nothing = np.full(len(GRID), np.nan)
    amps = []
    with AmpFile(path) as product:
        for amp in AMPS:
            try:
                mean, error = (
                    product.array(name, amp).astype(np.float64) for name in ("twilight_mean", "twilight_mean_error")
                )
            except AmpFailed as failure:
                amps.append(Amp(path.stem, amp, nothing, nothing, {}, str(failure)))
                continue
            levels: dict[Exposure, float] = {}
            exposures, brightness = (product.optional_array(name, amp) for name in ("exposures", "levels"))
            if exposures is not None and brightness is not None:
                levels = {tuple(map(int, row)): float(level) for row, level in zip(exposures, brightness, strict=True)}
            amps.append(Amp(path.stem, amp, mean, error, levels))
    return amps


class AmpRatios:
    """A product that is read.

    Parameters
    ----------
    path
        ``amp_to_amp/{month}.fits``.

    Raises
    ------
    MalformedFile
        If it is no such product.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with fitsio.FITS(str(path)) as file:
                self.table = file[TABLE].read()
                self._ratio = file["AMP_TO_AMP"].read(columns="amp_to_amp").astype(np.float32)
        except OSError as error:
            raise MalformedFile(
                f"{path}: found no comparison of amplifiers ({error}); remove it and run again"
            ) from None
        words = [(text(row["ifu"]), text(row["amp"])) for row in self.table]
        self._rows = {name: k for k, name in enumerate(words)}

    def ratio(self, ifu: str, amp: str) -> Float32s:
        """Return the throughput of an amplifier over the field's, on the grid of 2 Å, (1036,) float32.

        Raises
        ------
        AmpFailed
            If it has none, with the reason.
        """
        if (ifu, amp) not in self._rows:
            raise AmpFailed(f"{self.path} has no amplifier {ifu} {amp}")
        k = self._rows[ifu, amp]
        if text(self.table["state"][k]) != DONE:
            raise AmpFailed(text(self.table["reason"][k]))
        found: Float32s = self._ratio[k]
        return found

    def at(self, ifu: str, amp: str, wavelength: Floats) -> Float32s:
        """Return it at wavelengths of any shape; beyond the grid it is as at its ends."""
        return np.interp(wavelength, GRID, self.ratio(ifu, amp)).astype(np.float32)
