"""Step: the continuum sources of a shot, with their spectra, as HETDEX's own file of them is laid out.

Sources are found in each IFU by itself (`continuum_search`): IFUs are farther apart than any light reaches. A spectrum
is that of a point source in all fibers of the aperture, to which the light of other sources of the IFU, by their
spectra, is not counted. Tables and columns are those of `detection_file`; ``/Sources`` has a row more for each, of what
was found. In ``/Detections`` a continuum source has

* ``continuum`` and its error, 1e-17 erg/s/cm²/Å: the mean in the window where it is brighter; ``sn`` by these two;
* ``chi2`` of a point source in that window: far above 1 if it is none;
* ``wavein`` of its fibers, and what belongs to it (``apcor``, ``x_raw``, …), of the middle of that window;
* no wave, flux and linewidth: NaN (HETDEX's have 0).

Attributes of the file: beside those of `detection_file`, n_sources, n_fibers (lit ones), n_groups, n_extended (sources
that are no points), n_left_out (the faintest sources of IFUs that have more than `detectids.MOST_CONTINUUM`: these have
no number), chi2 (median of sources; NaN if there are none) and the settings as JSON.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.formats.pytables import write_table
from skyharvest.reduction.hetdex.detectids import MOST_CONTINUUM, first_detectid, why_no_numbers
from skyharvest.reduction.hetdex.layout import shotid_of
from skyharvest.reduction.hetdex.shots.shot_tables import columns_of, empty_rows
from skyharvest.reduction.hetdex.source_settings import Continuum
from skyharvest.reduction.hetdex.sources.continuum_search import BLUE, EXTENDED, RED, Found, find_sources
from skyharvest.reduction.hetdex.sources.detection_file import (
    MORE,
    SourceRows,
    new_detection_file,
    rows_of_source,
    write_rows,
)
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers, ShotFibers
from skyharvest.reduction.hetdex.sources.point_spectrum import (
    PointSpectrum,
    between_knots,
    extract,
    shares_at_knots,
)
from skyharvest.reduction.hetdex.virus import GRID, GRID_STEP

log = logging.getLogger(__name__)

SOURCES = columns_of(
    """detectid i8, window S4, counts_blue f4, counts_red f4, flux_blue f4, flux_blue_err f4, flux_red f4, flux_red_err
    f4, n_fibers i4, group i4, group_fibers i4, group_sources i4, group_extent f4, offset f4, chi2 f4, width f4,
    coverage f4"""
)
OF_FOUND = ("n_fibers", "group", "group_fibers", "group_sources", "group_extent", "offset", "chi2", "width")
"""Columns that `Found` has by the same name."""
WINDOWS = {BLUE: "blue", RED: "red"}
REACH = 12.0
"""Arcsec: the light of sources so near is told from each other's."""
ROUNDS = 2
"""How often spectra of sources that are near to others are extracted again, of what the others leave."""


def find_continuum(shot: ShotFibers, out: Path, settings: Continuum) -> None:
    """Write the continuum sources of a shot; memory is that of an IFU.

    A shot that failed has a file with nothing but its reason.

    Raises
    ------
    MalformedFile
        If a file is not what it should be.
    """
    title = f"HETDEX continuum sources of {shot.name}"
    how = json.dumps(asdict(settings))
    if shot.failed:
        log.warning("%s: %s", shot.name, shot.failed)
        with new_detection_file(out, title, shot.name, shot.failed, settings=how):
            return
    parts, told = [], [np.zeros(0, SOURCES)]
    numbers = dict.fromkeys(("n_sources", "n_fibers", "n_groups", "n_left_out"), 0)
    for ifu in shot.ifus:
        fibers = shot.read(ifu, MORE)
        if why := why_no_numbers(fibers.ifu.ifuslot):
            log.warning("%s, IFU %s: no sources are looked for: %s", shot.name, ifu, why)
            continue
        found = sorted(find_sources(fibers, settings), key=lambda one: -max(one.counts))
        numbers["n_fibers"] += sum(one.n_fibers for one in found)
        numbers["n_groups"] += len({one.group for one in found})
        if len(found) > MOST_CONTINUUM:
            log.warning("%s, IFU %s: %d sources; the brightest %d are kept", shot.name, ifu, len(found), MOST_CONTINUUM)
            numbers["n_left_out"] += len(found) - MOST_CONTINUUM
        rows, more = sources_of_ifu(fibers, found[:MOST_CONTINUUM], settings)
        parts.append(rows)
        told.append(more)
    rows = SourceRows.joined(parts)
    sources = np.concatenate(told)
    numbers["n_sources"], numbers["n_extended"] = len(rows), int((sources["chi2"] > EXTENDED).sum())
    chi2 = float(np.nanmedian(sources["chi2"])) if np.isfinite(sources["chi2"]).any() else np.nan
    with new_detection_file(out, title, shot.name, "", settings=how, chi2=chi2, **numbers) as file:
        write_rows(file, rows)
        write_table(file, "Sources", sources[np.argsort(sources["detectid"])], "What was found")
    log.info("%s: %d continuum sources", out, len(rows))


def sources_of_ifu(fibers: IfuFibers, found: Sequence[Found], settings: Continuum) -> tuple[SourceRows, Array]:
    """Return the rows of an IFU's sources.

    Parameters
    ----------
    fibers
        With the columns `MORE`.
    found
        In the order of their numbers.

    Returns
    -------
    SourceRows
    (n,) of type `SOURCES`
    """
    spectra = extract_apart(fibers, found, settings.aperture)
    first = first_detectid(shotid_of(fibers.shot), fibers.ifu.ifuslot, continuum=True)
    rows, told = [], empty_rows(SOURCES, len(found))
    for k, (source, spectrum) in enumerate(zip(found, spectra, strict=True)):
        row = told[k]
        row["detectid"], row["window"] = first + k, WINDOWS[source.window].encode()
        row["counts_blue"], row["counts_red"] = source.counts
        for name in OF_FOUND:
            row[name] = getattr(source, name)
        levels = []
        for number, name in WINDOWS.items():
            window = (settings.blue, settings.red)[number]
            level, error = _level(spectrum, *window)
            row[f"flux_{name}"], row[f"flux_{name}_err"] = level, error
            levels.append((level, error, (window[0] + window[1]) / 2))
        level, error, wave = levels[source.window]
        row["coverage"] = np.interp(wave, GRID, spectrum.coverage)
        values: dict[str, Any] = {"continuum": level, "continuum_err": error, "sn": level / error, "chi2": source.chi2}
        values["inputid"] = f"{fibers.shot}_{fibers.ifu.ifuslot}_{k}".encode()
        rows.append(rows_of_source(first + k, fibers, spectrum, wave, values))
    return SourceRows.joined(rows), told


def extract_apart(fibers: IfuFibers, found: Sequence[Found], aperture: float) -> list[PointSpectrum]:
    """Return the spectra of sources, each of what the others leave: (n,).

    Parameters
    ----------
    fibers
        Of an IFU.
    found
        Its sources.
    aperture
        Arcsec.
    """
    spectra = [extract(fibers, one.x, one.y, aperture=aperture) for one in found]
    x, y = np.array([one.x for one in found]), np.array([one.y for one in found])
    for _ in range(ROUNDS):
        for k, spectrum in enumerate(spectra):
            distance = np.hypot(x - x[k], y - y[k])
            others = np.flatnonzero((distance <= REACH) & (distance > 0))
            if not len(others):
                continue
            flux = fibers.flux.copy()
            flux[spectrum.used] -= sum(_light_of(fibers, spectrum, spectra[other]) for other in others)
            spectra[k] = extract(replace(fibers, flux=flux), x[k], y[k], aperture=aperture)
    return spectra


def _light_of(fibers: IfuFibers, here: PointSpectrum, other: PointSpectrum) -> Floats:
    """Return the light of a source in fibers of another, (m, 1036); 0 where it is not known."""
    n = len(here.used)
    share = between_knots(shares_at_knots(fibers, here.used, np.full(n, other.x), np.full(n, other.y)))
    return share * np.nan_to_num(other.flux)


def _level(spectrum: PointSpectrum, first: float, last: float) -> tuple[float, float]:
    """Return the mean in a window, 1e-17 erg/s/cm²/Å, and its error; NaN where nothing is known."""
    bins = (first <= GRID) & (last >= GRID) & np.isfinite(spectrum.flux)
    if not bins.any():
        return np.nan, np.nan
    error = float(np.sqrt((spectrum.error[bins] ** 2).sum()) / bins.sum())
    return float(spectrum.flux[bins].mean()) / GRID_STEP, error / GRID_STEP
