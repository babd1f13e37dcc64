"""The step that tells which share of lines is found, and how well they are measured: ``completeness/SHOT/IFU.h5``.

Lines of known light are put into the calibrated fibers of an IFU (`injected_lines`); the same search and fits as of
real ones are made; and each line is paired with what was found beside it. Lines are put everywhere, also on stars and
beside real lines: those that are on neither are isolated. What is written: `completeness_file`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.formats.pytables import open_new, write_table
from skyharvest.reduction.hetdex.lines.completeness_file import (
    FOUND,
    HISTOGRAM,
    INJECTED,
    LIMITS,
    MEASURED,
    MEASURED_INJECTED,
    TABLES,
    statistics,
)
from skyharvest.reduction.hetdex.lines.find_lines import lines_of
from skyharvest.reduction.hetdex.lines.flux_limits import INDEX_WAVE, FluxLimits, measure_flux_limits
from skyharvest.reduction.hetdex.lines.injected_lines import draw, rounds_of
from skyharvest.reduction.hetdex.lines.line_search import EDGES, Search
from skyharvest.reduction.hetdex.source_settings import Completeness, Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers, ShotFibers
from skyharvest.reduction.hetdex.sources.point_spectrum import Extractor
from skyharvest.reduction.hetdex.virus import GRID

BESIDE, BESIDE_WAVE = 5.0, 25.0
"""Arcsec and Å: a line with a real one so near is not isolated,"""
MOST_CONTINUUM = 0.5
"""nor one on a continuum that is so many times the error of a bin."""


def measure_completeness(fibers: IfuFibers, how: Completeness, search: Detections) -> tuple[dict[str, Array], Any]:
    """Put lines into the fibers of an IFU, and look for them.

    Parameters
    ----------
    fibers
        Of the IFU, some.
    how
        Settings of lines.
    search
        Settings of the search.

    Returns
    -------
    Tables, and attributes, of its file.
    """
    found, real = _find(fibers, search)
    _, false = _find(replace(fibers, flux=-fibers.flux), search)
    false["sign"] = -1
    for of in (real, false):
        of["continuum"] = _continuum(fibers, of, search)
        of["isolated"] = np.abs(of["continuum"]) < MOST_CONTINUUM
    limits = measure_flux_limits(fibers, search, found.ratio)
    rows = mark(fibers, draw(fibers, found.ratio, how, search), real, limits, search)
    for chosen, with_lines in rounds_of(fibers, rows):
        pair(rows, chosen, _find(with_lines, search)[1], how)
    histogram = np.zeros(len(found.histogram), HISTOGRAM)
    histogram["low"], histogram["high"], histogram["n"] = EDGES[:-1], EDGES[1:], found.histogram
    by_wave = np.zeros(len(limits.wavelengths), LIMITS)
    by_wave["wave"], by_wave["limit"] = limits.wavelengths, limits.typical(limits.wavelengths)
    tables = {"Injected": rows, "Found": np.concatenate([real, false]), "Histogram": histogram, "Limits": by_wave}
    isolated = statistics(rows[rows["isolated"] > 0])
    attributes = {
        "least_sn": search.least_sn,
        "limit_sn": search.limit_sn,
        "fluxlimit_4600": float(limits.typical(np.array([INDEX_WAVE]))[0]),
        "scatter": found.scatter,
        "n_positions": found.n_positions,
        **statistics(rows),
        **{f"isolated_{name}": value for name, value in isolated.items()},
    }
    return tables, attributes


def _find(fibers: IfuFibers, search: Detections) -> tuple[Search, Array]:
    """Return what the search finds, and the lines that are kept: (n,) of `FOUND`."""
    found = lines_of(fibers, search)
    rows = np.zeros(len(found.lines), FOUND)
    for row, line in zip(rows, found.lines, strict=True):
        row["sign"] = 1
        row["x"], row["y"], row["sn"], row["chi2"] = line.place.x, line.place.y, line.sn, line.chi2
        row["flux"], row["wave"], row["linewidth"] = line.fit.flux, line.fit.wave, line.fit.width
        row["flux_err"], row["wave_err"], row["linewidth_err"] = line.errors[:3]
    return found.search, rows


def mark(fibers: IfuFibers, rows: Array, real: Array, limits: FluxLimits, search: Detections) -> Array:
    """Return drawn lines with what is known of their places, (n,) of `MEASURED_INJECTED`.

    Parameters
    ----------
    fibers
        Of the IFU.
    rows
        (n,) of `INJECTED`.
    real
        Of `FOUND`: the lines that the search finds by itself.
    limits
        The product of flux limits.
    search
        Settings of the search.
    """
    made = np.zeros(len(rows), MEASURED_INJECTED)
    for name in INJECTED.names or ():
        made[name] = rows[name]
    for name in MEASURED:
        made[f"found_{name}"] = np.nan
    made["limit"] = limits.limit_on_plane(rows["x"], rows["y"], rows["wave"], linewidth=rows["linewidth"], sn=1.0)
    made["continuum"] = _continuum(fibers, rows, search)
    near = np.hypot(rows["x"][:, None] - real["x"], rows["y"][:, None] - real["y"]) < BESIDE
    near &= np.abs(rows["wave"][:, None] - real["wave"]) < BESIDE_WAVE
    made["isolated"] = (np.abs(made["continuum"]) < MOST_CONTINUUM) & ~near.any(1)
    return made


def _continuum(fibers: IfuFibers, rows: Array, search: Detections) -> Floats:
    sums = Extractor(fibers, search.aperture).sums(rows["x"].astype(np.float64), rows["y"].astype(np.float64))
    flux = sums.flux
    with np.errstate(divide="ignore"):
        error = np.where(sums.power > 0, 1 / np.sqrt(sums.power), np.nan)
    made = np.full(len(rows), np.nan)
    for k, wave in enumerate(rows["wave"]):
        about = np.abs(GRID - wave) < search.fit_half_width
        if np.isfinite(flux[k, about]).any():
            made[k] = np.nanmedian(flux[k, about]) / np.nanmedian(error[k, about])
    return made


def pair(rows: Array, chosen: Bools, found: Array, how: Completeness) -> None:
    """Write what was found into the rows of the lines that it is of: of more than one, that with the highest S/N.

    Parameters
    ----------
    rows
        (n,) of `MEASURED_INJECTED`, changed in place.
    chosen
        (n,) bool: the lines that the fibers had.
    found
        Of `FOUND`.
    how
        How near a line has to be found.
    """
    for k in np.flatnonzero(chosen):
        one = rows[k]
        near = np.hypot(found["x"] - one["x"], found["y"] - one["y"]) <= how.match_radius
        near &= np.abs(found["wave"] - one["wave"]) <= how.match_wave
        if near.any():
            best = found[near][np.argmax(found["sn"][near])]
            rows["found"][k] = 1
            for name in MEASURED:
                rows[f"found_{name}"][k] = best[name]


def write_completeness(path: Path, fibers: ShotFibers, ifu: str, how: Completeness, search: Detections) -> None:
    """Write the file of an IFU of a shot; of one without fibers, or a shot that failed, with the reason alone."""
    attributes: dict[str, Any] = {"shot": fibers.name, "ifu": ifu, "failed": fibers.failed}
    tables: dict[str, Array] = {}
    if not fibers.failed:
        of_ifu = fibers.read(ifu)
        if len(of_ifu):
            tables, measured = measure_completeness(of_ifu, how, search)
            attributes |= measured
        else:
            attributes["failed"] = "no amplifier has fibers"
    write_file(path, tables, attributes)


def write_file(path: Path, tables: Mapping[str, Array], attributes: Mapping[str, Any]) -> None:
    """Write a file, of rows of `TABLES`, of which those that are not given are empty."""
    with atomic_path(path) as temporary, open_new(temporary, "lines that were put in, and found") as file:
        for name, kind in TABLES.items():
            write_table(file, name, tables.get(name, np.zeros(0, kind)))
        file.attrs.update(attributes)
