"""Files of completeness, ``completeness/SHOT/IFU.h5`` (made by `completeness`), and what they tell.

With numpy and h5py alone, as the page has no more.

``/Injected``: what was put in, `INJECTED`; limit, the flux that the product of flux limits gives for S/N 1 there;
continuum, the median of the spectrum about the line by the error of its bins; isolated and found (0 or 1); and what was
found: found_x, … , NaN where nothing was.

``/Found``: what the search finds without them; isolated are those that are on no continuum. sign is -1 for what it
finds in the fibers with their sign turned, where no line is: noise makes as many that are positive. Absorption lines of
stars are among them, if they are not isolated.

``/Histogram``: n positions and wavelengths of the search with a signal to noise from ``low`` to ``high``; the first and
last also have what is beyond.

``/Limits``: the typical flux limit of the IFU by wavelength.

Attributes: shot, ifu, failed; least_sn (of lines that are kept); limit_sn (of limits), fluxlimit_4600 (the typical one
at 4600 Å, 1e-17 erg/s/cm²); scatter (of the search's S/N in noise), n_positions; and those of `statistics`, of all
lines, and with ``isolated_`` before their names of those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import MalformedFile

INJECTED = np.dtype(
    [
        ("round", "<i4"),
        *((name, "<f8") for name in ("ra", "dec", "x", "y")),
        *((name, "<f4") for name in ("wave", "linewidth", "flux", "noise", "sn", "sn_fit", "coverage")),
    ]
)
"""A line: where it is (degrees; arcsec on the focal plane), Å, 1e-17 erg/s/cm².

``sn`` is ``flux / noise``, that of a line of known shape, as flux limits and ``sn`` of detections have it; ``sn_fit``
is the flux by the error of a fit of it, as ``flux_err`` of detections is.
"""
MEASURED = ("x", "y", "wave", "wave_err", "flux", "flux_err", "linewidth", "linewidth_err", "sn", "chi2")
"""Of a line that was found."""
FOUND = np.dtype([("sign", "<i4"), *((name, "<f4") for name in (*MEASURED, "continuum")), ("isolated", "<i4")])
MEASURED_INJECTED = np.dtype(
    [
        *INJECTED.descr,
        *((name, "<f4") for name in ("limit", "continuum")),
        *((name, "<i4") for name in ("isolated", "found")),
        *((f"found_{name}", "<f4") for name in MEASURED),
    ]
)
HISTOGRAM = np.dtype([("low", "<f8"), ("high", "<f8"), ("n", "<i8")])
LIMITS = np.dtype([("wave", "<f8"), ("limit", "<f4")])
TABLES = {"Injected": MEASURED_INJECTED, "Found": FOUND, "Histogram": HISTOGRAM, "Limits": LIMITS}

FAINT, BRIGHT, MEASURED_SN = (5.0, 6.0), 6.5, 6.0
"""True S/N: of lines whose completeness is told; and from which on it is told how well they are measured."""
BY = {"": "sn_fit", "_known": "sn"}
"""What is told of lines by their S/N of a fit, and what of those of known shape: ends of names, and columns."""
BINS, ROUNDS, GRID_OF_FIT = 400, 6, np.linspace(-1, 1, 21)
"""Of a fit of completeness: lines are counted in bins, and parameters tried on a grid that shrinks."""
CENTRAL = (0.158655, 0.841345)
"""Quantiles of normal numbers at -1 and 1 σ."""


@dataclass(frozen=True)
class Pooled:
    """What is in the files of some IFUs.

    Attributes
    ----------
    injected, found, histogram, limits
        Rows of all of them; those of histograms are added up.
    units
        Shot, IFU, and attributes, file by file; those that failed have no rows.
    of_found, of_limits
        (n,) i8: of which unit a row is.
    """

    injected: Array
    found: Array
    histogram: Array
    limits: Array
    units: Sequence[Mapping[str, Any]]
    of_found: Array
    of_limits: Array


def read_files(paths: Sequence[Path]) -> Pooled:
    """Read files of IFUs.

    Raises
    ------
    MalformedFile
        If one is none.
    """
    tables: dict[str, list[Array]] = {name: [np.zeros(0, kind)] for name, kind in TABLES.items()}
    units = []
    for path in paths:
        try:
            with h5py.File(path, "r") as file:
                units.append(dict(file.attrs))
                for name, kind in TABLES.items():
                    rows = file[name][:]
                    if rows.dtype != kind:
                        raise MalformedFile(f"{path}: {name} has other columns; remove it and run again")
                    tables[name].append(rows)
        except (OSError, KeyError) as error:
            raise MalformedFile(f"{path}: found no completeness ({error}); remove it and run again") from None
    return Pooled(
        injected=np.concatenate(tables["Injected"]),
        found=np.concatenate(tables["Found"]),
        histogram=_added([rows for rows in tables["Histogram"] if len(rows)]),
        limits=np.concatenate(tables["Limits"]),
        units=units,
        of_found=_numbers(tables["Found"]),
        of_limits=_numbers(tables["Limits"]),
    )


def _numbers(parts: Sequence[Array]) -> Array:
    return np.repeat(np.arange(len(parts) - 1), [len(part) for part in parts[1:]])


def _added(histograms: Sequence[Array]) -> Array:
    if not histograms:
        return np.zeros(0, HISTOGRAM)
    made = histograms[0].copy()
    made["n"] = np.sum([one["n"] for one in histograms], axis=0)
    return made


def statistics(rows: Array) -> dict[str, float]:
    """Return how many lines are found, and how well they are measured; NaN where no line tells.

    Parameters
    ----------
    rows
        (n,) of `MEASURED_INJECTED`.

    Returns
    -------
    n_faint, completeness_faint
        Of lines with a true S/N of 5 to 6, ``sn_fit``; with ``_known`` after their names: ``sn``.
    n_bright, completeness_bright
        Of those above 6.5, likewise.
    n_measured, flux_ratio, flux_pull, flux_bias, wave_rms, position_rms, linewidth_ratio
        Of lines with ``sn_fit`` above 6 that were found: medians of measured over true; scatter of
        (measured - true) / error, half of what 68 % are within, and its median; Å, and arcsec (of the distance).
    """
    is_found, made = rows["found"] > 0, {}
    for end, column in BY.items():
        sn = rows[column]
        for name, of in (("faint", (sn >= FAINT[0]) & (sn < FAINT[1])), ("bright", sn >= BRIGHT)):
            made[f"n_{name}{end}"] = float(of.sum())
            made[f"completeness_{name}{end}"] = float(is_found[of].mean()) if of.any() else np.nan
    good = rows[is_found & (rows["sn_fit"] >= MEASURED_SN)]
    made["n_measured"] = float(len(good))
    pull = (good["found_flux"] - good["flux"]) / good["found_flux_err"]
    made["flux_ratio"] = _median(good["found_flux"] / good["flux"])
    made["flux_pull"] = float(np.ptp(np.quantile(pull, CENTRAL)) / 2) if len(pull) else np.nan
    made["flux_bias"] = _median(pull)
    made["wave_rms"] = _rms(good["found_wave"] - good["wave"])
    made["position_rms"] = _rms(np.hypot(good["found_x"] - good["x"], good["found_y"] - good["y"]))
    made["linewidth_ratio"] = _median(good["found_linewidth"] / good["linewidth"])
    return made


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if len(values) else np.nan


def fleming(ratio: Array, half: float | Floats, slope: float | Floats) -> Floats:
    """Return the completeness of lines, as Fleming et al. (1995, AJ 109, 1044) describe it.

    Parameters
    ----------
    ratio
        Flux, or signal to noise.
    half
        The same, where half of the lines are found.
    slope
        How steep it is: ``α``, above 0.
    """
    at = slope * 2.5 * np.log10(np.asarray(ratio, np.float64) / half)
    return np.asarray(0.5 * (1 + at / np.sqrt(1 + at**2)))


def fit_fleming(ratio: Array, found: Array) -> tuple[float, float]:
    """Return ``half`` and ``slope`` with the highest likelihood; NaN unless some lines were found and some were not.

    Parameters
    ----------
    ratio
        (n,): above 0; those that are NaN are left out.
    found
        (n,) 0 or 1.
    """
    ratio, is_found = np.asarray(ratio, np.float64), np.asarray(found) > 0
    known = np.isfinite(ratio)
    ratio, is_found = ratio[known], is_found[known]
    if not (is_found.any() and not is_found.all()):
        return np.nan, np.nan
    logarithm = np.log(ratio)
    edges = np.linspace(logarithm.min(), logarithm.max() + 1e-9, BINS + 1)
    middle = np.exp((edges[:-1] + edges[1:]) / 2)
    n_found, n_lost = (np.histogram(logarithm[of], edges)[0] for of in (is_found, ~is_found))
    half, slope = np.median(logarithm), np.log(3.0)
    wide, steep = float(np.ptp(logarithm)), 3.0
    for _ in range(ROUNDS):  # ever finer grids about the best
        halves, slopes = half + wide * GRID_OF_FIT, slope + steep * GRID_OF_FIT
        share = fleming(middle, np.exp(halves)[:, None, None], np.exp(slopes)[:, None])
        share = np.clip(share, 1e-6, 1 - 1e-6)
        likely = np.log(share) @ n_found + np.log(1 - share) @ n_lost
        i, j = np.unravel_index(np.argmax(likely), likely.shape)
        half, slope, wide, steep = halves[i], slopes[j], wide / 4, steep / 4
    return float(np.exp(half)), float(np.exp(slope))
