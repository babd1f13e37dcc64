"""The emission lines of an IFU in a shot: the directory ``detections/SHOT/IFU``.

``detections.h5``
    The three tables of `detection_file`; ``/Search``: ``histogram`` (of signal to noise at all positions and
    wavelengths) with its ``edges``, whose first and last bin have what is beyond; ``noise_ratio`` and ``bin_ratio``
    (1036,), by what noise scatters more than errors of fibers say, of lines and of single bins; and ``lines``, what
    ``/Detections`` has no columns for. Attributes: shot, ifu, failed (why there is nothing else, or no text),
    n_candidates, n_lines, n_negative (candidates of the negative search, which is noise), n_left_out (lines beyond
    those that have numbers), n_positions, scatter (of signal to noise, 1 if all is well), noise_ratio (its median),
    lost (candidates that are no lines, by reason).
``*.mc``, ``*.spec``, ``*.list``
    See `line_texts`.
``flux_limits.h5``
    See `flux_limits`.

Columns of ``/Detections`` that other files leave open: ``sn`` is by how much the line lowers χ², and
``flux_noise_1sigma`` the noise that it is by; both know ``noise_ratio``, as all errors do. ``sn_cen`` is of the three
bins in the middle of the line, ``sn_3fib`` of the three fibers with the highest weights, ``sn_3fib_cen`` of both.
``inputid`` and ``mc_file`` name the line in the tables of text.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.whole_directory import whole_directory
from skyharvest.formats.pytables import new_group, write_array, write_table
from skyharvest.reduction.hetdex.detectids import MOST_LINES, first_detectid, why_no_numbers
from skyharvest.reduction.hetdex.layout import DETECTIONS_FILE, Pairing, shotid_of
from skyharvest.reduction.hetdex.lines import line_monte_carlo
from skyharvest.reduction.hetdex.lines.flux_limits import FILE as LIMITS_FILE
from skyharvest.reduction.hetdex.lines.flux_limits import measure_flux_limits, no_flux_limits, write_flux_limits
from skyharvest.reduction.hetdex.lines.line_fit import Line, fit_lines
from skyharvest.reduction.hetdex.lines.line_search import EDGES, Search, search
from skyharvest.reduction.hetdex.lines.line_texts import stem_of, write_texts
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.detection_file import (
    MORE,
    SourceRows,
    new_detection_file,
    rows_of_source,
    write_rows,
)
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers, ShotFibers

log = logging.getLogger(__name__)

TITLE = "emission lines of an IFU"
LINES = np.dtype(
    [
        ("detectid", "<i8"),
        *((name, "<f8") for name in ("x", "y", "x_err", "y_err")),
        *(
            (name, "<f4")
            for name in (
                "coverage",
                "search_sn",
                "structure",
                "slope",
                "chi2_fix",
                "chi2_fibers",
                "one_exposure",
                "one_fiber",
            )
        ),
    ]
)
"""``/Search/lines``: arcsec on the focal plane of the first exposure; share of light that fibers have; signal to noise
of the search, and by what it was divided; slope of the continuum, by Å; χ² with a fixed width, and of fibers; σ by
which one exposure, and one fiber, has more of the line than the others."""


@dataclass(frozen=True)
class Found:
    """The lines of an IFU.

    Attributes
    ----------
    search
        What was searched.
    lines
        Those that are kept, the best first.
    lost
        How many candidates are no lines, by reason.
    """

    search: Search
    lines: list[Line]
    lost: dict[str, int]


def lines_of(fibers: IfuFibers, how: Detections) -> Found:
    """Look for the lines of an IFU, which has fibers, and fit them."""
    found = search(fibers, how)
    lines, lost = fit_lines(fibers, found, how)
    if how.monte_carlo:
        lines = line_monte_carlo.with_errors(fibers, found, lines, how)
    return Found(found, lines, lost)


def find_lines(shot: ShotFibers, ifu: str, how: Detections, out: Path) -> None:
    """Write the directory of an IFU's lines.

    Parameters
    ----------
    shot
        Fibers of the shot.
    ifu
        The pairing.
    how
        Settings.
    out
        The directory.

    Raises
    ------
    InputError, MalformedFile
        If the files, or the name of the IFU, are wrong. An IFU without fibers, one whose lines have no numbers, and a
        shot that failed are no errors: the files say so.
    """
    pairing = Pairing.named(ifu)
    fibers = None if shot.failed else shot.read(ifu, MORE)
    with whole_directory(out) as directory:
        failed = shot.failed or why_no_numbers(pairing.ifuslot)
        if fibers is None or failed or not len(fibers):
            failed = failed or "no amplifier has fibers"
            log.warning("%s %s: %s", shot.name, ifu, failed)
            with new_detection_file(directory / DETECTIONS_FILE, TITLE, shot.name, failed, ifu=ifu):
                pass
            limits = no_flux_limits(shot.name, pairing, how, failed)
            write_flux_limits(directory / LIMITS_FILE, limits)
            return
        _write(fibers, lines_of(fibers, how), how, directory)


def _write(fibers: IfuFibers, found: Found, how: Detections, directory: Path) -> None:
    lines = found.lines[:MOST_LINES]
    left_out = len(found.lines) - len(lines)
    name = f"{fibers.shot} {fibers.ifu}"
    log.info("%s: %d candidates, %d lines; %s", name, len(found.search.candidates), len(lines), found.lost)
    if left_out:
        log.warning("%s: %d lines with less signal to noise than the best %d are left out", name, left_out, MOST_LINES)
    first = first_detectid(shotid_of(fibers.shot), fibers.ifu.ifuslot)
    stem = stem_of(fibers.shot, fibers.ifu)
    parts = [
        rows_of_source(first + k, fibers, line.spectrum, line.fit.wave, _values(line, stem, k))
        for k, line in enumerate(lines)
    ]
    rows = SourceRows.joined(parts)
    attributes: dict[str, Any] = {
        "ifu": str(fibers.ifu),
        "n_candidates": len(found.search.candidates),
        "n_lines": len(lines),
        "n_negative": found.search.n_negative,
        "n_left_out": left_out,
        "n_positions": found.search.n_positions,
        "scatter": found.search.scatter,
        "noise_ratio": float(np.median(found.search.ratio)),
        "lost": ", ".join(f"{why}: {n}" for why, n in sorted(found.lost.items())),
    }
    with new_detection_file(directory / DETECTIONS_FILE, TITLE, fibers.shot, **attributes) as file:
        write_rows(file, rows)
        _write_search(file, found.search, lines, first)
    chi2_fixed = np.array([line.chi2_fixed for line in lines])
    write_texts(directory, stem, rows, how.filter_width, chi2_fixed)
    write_flux_limits(directory / LIMITS_FILE, measure_flux_limits(fibers, how, found.search.ratio))


def _values(line: Line, stem: str, index: int) -> dict[str, Any]:
    """Return what a line's row of ``/Detections`` has of its fit."""
    made, errors = line.fit, line.errors
    return {
        "wave": made.wave,
        "wave_err": errors[1],
        "flux": made.flux,
        "flux_err": errors[0],
        "linewidth": made.width,
        "linewidth_err": errors[2],
        "continuum": made.continuum,
        "continuum_err": errors[3],
        "sn": line.sn,
        "sn_err": line.sn_err,
        "chi2": line.chi2,
        "chi2_err": line.chi2_err,
        "flux_noise_1sigma": line.noise,
        "noise_ratio": line.noise_ratio,
        "sn_cen": line.sn_middle,
        "sn_3fib": line.sn_best,
        "sn_3fib_cen": line.sn_best_middle,
        "inputid": f"{stem}_{index:03d}",
        "mc_file": f"{stem}.mc",
        "mc_file_idx": index,
    }


def _write_search(file: h5py.File, found: Search, lines: list[Line], first: int) -> None:
    group = new_group(file, "Search", "the search for lines")
    write_array(group, "histogram", found.histogram, "positions and wavelengths by signal to noise")
    write_array(group, "edges", EDGES, "of the histogram")
    write_array(group, "noise_ratio", found.ratio, "scatter of noise by its error, of lines")
    write_array(group, "bin_ratio", found.bin_ratio, "scatter of noise by its error, of bins")
    rows = np.zeros(len(lines), LINES)
    for k, (row, line) in enumerate(zip(rows, lines, strict=True)):
        row["detectid"] = first + k
        for name in ("x", "y", "x_err", "y_err"):
            row[name] = getattr(line.place, name)
        row["coverage"], row["slope"] = line.at(line.spectrum.coverage), line.fit.slope
        row["search_sn"], row["structure"] = line.candidate.sn, line.candidate.structure
        row["chi2_fix"], row["chi2_fibers"] = line.chi2_fixed, line.chi2_fibers
        row["one_exposure"], row["one_fiber"] = line.one_exposure, line.one_fiber
    write_table(group, "lines", rows, "more of the lines")
