"""What drifts over months: bias, wavelengths, traces, and the throughput of fibers and amplifiers.

Each amplifier of a pairing is compared with its own first month in the same place. A jump of all amplifiers of a
spectrograph tells of work on it; one amplifier alone, of its controller or of a bad twilight.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array, Bools
from skyharvest.reduction.hetdex.amp_file import AmpFailed, AmpFile
from skyharvest.reduction.hetdex.calibration.amp_to_amp import AmpRatios
from skyharvest.reduction.hetdex.calibration.drift_table import NAN, Row, write
from skyharvest.reduction.hetdex.layout import AMPS


@dataclass
class _First:
    """What is kept of an amplifier's first month."""

    month: int
    bias: float
    wavelength: Array
    trace: Array
    ratio: Array
    level: float


def measure(
    biases: Iterable[Path], traces: Iterable[Path], wavelengths: Iterable[Path], amp_to_amps: Iterable[Path]
) -> list[Row]:
    """Return the drift of all amplifiers of some pairings, by pairing, amplifier and month.

    Parameters
    ----------
    biases, traces, wavelengths
        Products of pairings, ``{month}/{ifu}.fits``. One that there is not is as one that failed.
    amp_to_amps
        Products of months, ``{month}.fits``.

    Raises
    ------
    MalformedFile
        If a file is no such product.
    """
    of_bias, of_trace, of_wave = (
        {(path.stem, int(path.parent.name)): path for path in paths} for paths in (biases, traces, wavelengths)
    )
    ratios = {int(path.stem): AmpRatios(path) for path in amp_to_amps}
    rows = []
    for ifu, group in groupby(sorted(of_bias.keys() | of_trace.keys() | of_wave.keys()), key=lambda key: key[0]):
        first: dict[str, _First] = {}  # of one pairing at a time: all together are half a gigabyte
        for _, month in group:
            paths = [of.get((ifu, month)) for of in (of_bias, of_trace, of_wave)]
            rows += [_row(ifu, amp, month, paths, ratios.get(month), first) for amp in AMPS]
    return sorted(rows, key=lambda row: (row.ifu, AMPS.index(row.amp), row.month))


def _row(
    ifu: str,
    amp: str,
    month: int,
    paths: Sequence[Path | None],
    ratios: AmpRatios | None,
    first: dict[str, _First],
) -> Row:
    bias_path, trace_path, wave_path = paths
    reasons = []
    bias = level = NAN
    if bias_path:
        try:
            with AmpFile(bias_path) as product:
                product.check(amp)
                bias = float(product.values(amp)["level"])
        except AmpFailed as failure:
            reasons.append(str(failure))
    if ratios:
        try:
            level = float(np.nanmedian(ratios.ratio(ifu, amp)))
        except AmpFailed as failure:
            reasons.append(str(failure))
    if not (trace_path and wave_path):
        return Row(ifu, amp, month, 0, _told([*reasons, "no twilight"]), bias_level=bias, amp_to_amp=level)
    try:
        with AmpFile(trace_path) as traces, AmpFile(wave_path) as waves:
            trace = traces.array("trace", amp)
            wavelength, ratio = waves.array("wavelength", amp), waves.array("fiber_to_fiber", amp)
    except AmpFailed as failure:
        return Row(ifu, amp, month, 0, _told([*reasons, str(failure)]), bias_level=bias, amp_to_amp=level)
    start = first.setdefault(amp, _First(month, bias, wavelength, trace, ratio, level))
    alive: Bools = np.isfinite(ratio).any(axis=1) & np.isfinite(start.ratio).any(axis=1)
    if math.isnan(start.level):  # it may have failed in the first month alone
        start.level = level
    if math.isnan(start.bias):
        start.bias = bias
    wave = (wavelength - start.wavelength)[alive]
    fifth = wave.shape[1] // 5
    change = np.nanmean(ratio[alive] / start.ratio[alive], axis=1) - 1 if alive.any() else np.array([NAN])
    return Row(
        ifu,
        amp,
        month,
        start.month,
        _told(reasons),
        bias_level=bias,
        bias_change=bias - start.bias,
        wave_change=_median(wave),
        wave_stretch=_median(wave[:, -fifth:]) - _median(wave[:, :fifth]),
        trace_change=_median((trace - start.trace)[alive]),
        f2f_change=1.48 * _median(np.abs(change - _median(change))),
        amp_to_amp=level,
        amp_to_amp_change=level / start.level - 1,
    )


def _told(reasons: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(reasons))


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else NAN


def measure_drift(
    biases: Iterable[Path],
    traces: Iterable[Path],
    wavelengths: Iterable[Path],
    amp_to_amps: Iterable[Path],
    out: Path,
) -> None:
    """Measure the drift, and write it as a CSV file with the columns of `Row`; nothing stands for what is not known."""
    write(out, measure(biases, traces, wavelengths, amp_to_amps))
