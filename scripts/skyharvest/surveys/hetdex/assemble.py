"""Assemble the extracted HETDEX spectra of one NSIDE=16 pixel into ``crossmatch_hetdex.hdf5``.

Layout (n rows, a row per (CSV row, cube) pair; row i of one group belongs to row i of the other):

=============================================  ==============================================================
``/hetdex/shotid``, ``ifuslot``                int64; three digits
``/hetdex/ra``, ``dec``                        of the CSV row, where the aperture was laid; degrees, ICRS
``/hetdex/x``, ``y``                           float64, spaxels of the cube, 0-based
``/hetdex/separation_arcsec``                  from the cube's centre
``/hetdex/aperture_on_cube``                   float64, share of the aperture's area that lies on the cube
``/hetdex/spectrum_flux``, ``spectrum_error``  (n, 1036) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹; NaN where the coverage
                                               is too small
``/hetdex/spectrum_coverage``                  (n, 1036) float32, share of the aperture's part on the cube with good
                                               voxels
``/hetdex/optimal_flux``, ``optimal_error``    (n, 1036) with ``optimal``; weighted with the point-spread function
``/hetdex/spectrum_lambda``                    (1036,) float64 Å, air
``/hetdex/spectrum_lambda_vacuum``             (1036,) float64 Å
``/hetdex/flag, fwhm_virus, mjd, …``           the cube's columns of the index
``/hetdex/in_2017``                            whether the shot is of 2017, when the instrument was being built up
``/hetdex/epoch_group``, ``n_epochs``          positions within 1.5″ of one another are one source: its smallest CSV
                                               row, and the number of its shots with a spectrum
``/hetdex/maps/broad``, …                      (n, size, size) float32 images with their WCS, if asked for:
                                               `skyharvest.surveys.hetdex.map_files.write_maps`
``/<name>/row``, ``/<name>/*``                 the CSV row, and every CSV column
=============================================  ==============================================================
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Ints
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import arrow, hdf5
from skyharvest.formats.hdf5_spectra import spectra_dataset, write_rows
from skyharvest.harvest import assembled
from skyharvest.surveys.hetdex.cube import N_WAVE, WAVE_AIR, air_to_vacuum
from skyharvest.surveys.hetdex.extract import FLUX_UNIT
from skyharvest.surveys.hetdex.index import CONTENT
from skyharvest.surveys.hetdex.map_files import read_maps, write_fits, write_maps
from skyharvest.surveys.hetdex.maps import Maps, concatenate
from skyharvest.surveys.hetdex.plan import AFTER_2017
from skyharvest.targets.csv_columns import write_csv_columns

SPECTRA, OPTIMAL = ("spectrum_flux", "spectrum_error", "spectrum_coverage"), ("optimal_flux", "optimal_error")
UNITS: dict[str, str | None] = {"ra": "deg", "dec": "deg", "x": "spaxel", "y": "spaxel"}
UNITS |= {"separation_arcsec": "arcsec", "aperture_on_cube": None}
NOT_OF_INDEX = ("shotid", "ifuslot", "ra_cen", "dec_cen", CONTENT)
"""Columns of a cube that have names of their own here, or are none of a source."""


def assemble_hetdex(
    pix16: int,
    extracted: Sequence[Path],
    out: Path,
    *,
    targets: Path,
    plan_targets: Path,
    plan_cubes: Path,
    name: str,
    attributes: Mapping[str, Any],
    fits: Path | None = None,
) -> int:
    """Assemble one NSIDE=16 pixel and return its number of rows.

    Parameters
    ----------
    pix16
        The pixel (NESTED) of the CSV's positions.
    extracted
        Extracted files of every cube that is near the pixel's targets, or near another position of the same source.
    attributes
        Root attributes beside the pixel and the provenance.
    fits
        A directory, to write each source's maps as FITS to, ``{row}_{shotid}_{ifuslot}.fits``.

    Raises
    ------
    MalformedFile
        If an extracted file is torn. The message says to remove it.
    """
    table = arrow.rows_where(targets, "pix16", pix16)
    rows = arrow.to_numpy(table.column("row"))[0]
    plan = np.load(plan_targets, allow_pickle=False)
    cubes = np.load(plan_cubes, allow_pickle=False)
    pieces: list[dict[str, Array]] = []
    shots: list[Array] = []
    maps: list[Maps] = []
    for path in extracted:
        with hdf5.reading(path, check=True) as file:
            of_file = _read(file, path)
            of_maps = read_maps(file["maps"]) if "maps" in file else None
        shots.append(np.stack([_groups(plan, of_file["row"]), of_file["shotid"]], axis=1))
        inside = np.isin(of_file["row"], rows)
        pieces.append({key: values[inside] for key, values in of_file.items()})
        if of_maps is not None:
            maps.append(of_maps.take(inside))
    keys = [*UNITS, *SPECTRA, *(key for key in OPTIMAL if any(key in piece for piece in pieces))]
    columns = {key: _stack(pieces, key) for key in ("row", "shotid", "ifuslot", *keys)}
    order = np.lexsort((columns["ifuslot"], columns["shotid"], columns["row"]))
    columns = {key: values[order] for key, values in columns.items()}
    n = len(order)
    images = concatenate(maps).take(order) if maps else None
    if fits is not None:
        fits.mkdir(parents=True, exist_ok=True)
        if images is not None:
            _write_fits(fits, images, columns)
    with hdf5.create(out) as file:
        assembled.describe(file, "hetdex", name, pix16, targets=table, attributes=attributes)
        hetdex = file.create_group("hetdex")
        hdf5.write_column(hetdex, "shotid", columns["shotid"])
        hdf5.write_column(hetdex, "ifuslot", columns["ifuslot"])
        for key, unit in UNITS.items():
            hdf5.write_column(hetdex, key, columns[key], unit=unit)
        _write_index(hetdex, cubes, columns)
        groups = _groups(plan, columns["row"])
        hdf5.write_column(hetdex, "epoch_group", groups)
        hdf5.write_column(hetdex, "n_epochs", _n_epochs(groups, np.concatenate([np.zeros((0, 2), np.int64), *shots])))
        hdf5.write_column(hetdex, "spectrum_lambda", WAVE_AIR, unit="Angstrom", medium="air")
        hdf5.write_column(hetdex, "spectrum_lambda_vacuum", air_to_vacuum(WAVE_AIR), unit="Angstrom", medium="vacuum")
        for key in (key for key in (*SPECTRA, *OPTIMAL) if key in columns):
            of_flux = {} if key.endswith("coverage") else {"unit": FLUX_UNIT}
            dataset = spectra_dataset(hetdex, key, n, (N_WAVE,), np.float32, compressed=True, **of_flux)
            write_rows(dataset, slice(None), columns[key])
        if images is not None:
            write_maps(hetdex.create_group("maps"), images, compressed=True)
        write_csv_columns(file.create_group(name), table, np.searchsorted(rows, columns["row"]))
    return n


def _write_fits(directory: Path, maps: Maps, columns: dict[str, Array]) -> None:
    """Write the maps of every row."""
    names = zip(*(columns[key].tolist() for key in ("row", "shotid", "ifuslot", "ra", "dec")), strict=True)
    for i, (row, shotid, ifuslot, ra, dec) in enumerate(names):
        about = {"ROW": row, "SHOTID": shotid, "IFUSLOT": ifuslot, "RA": ra, "DEC": dec}
        write_fits(directory / f"{row}_{shotid}_{ifuslot.decode()}.fits", maps, i, about)


def _read(file: h5py.File, path: Path) -> dict[str, Array]:
    """Return the columns and spectra of an extracted file, with the cube's name in every row."""
    shotid, _, ifuslot = file.attrs["unit"].partition("_")
    n = len(file["row"])
    columns = {key: file[key][:] for key in ("row", *UNITS, *SPECTRA, *OPTIMAL) if key in file}
    if n and "spectrum_flux" not in columns:
        raise MalformedFile(f"{path} has rows without spectra: remove it, the next run makes it anew")
    return {**columns, "shotid": np.full(n, int(shotid)), "ifuslot": np.full(n, ifuslot.encode(), "S3")}


def _stack(pieces: Sequence[dict[str, Array]], key: str) -> Array:
    """Return a column of all pieces, one after another. Absent cubes have no rows, and no spectra."""
    parts = [piece[key] for piece in pieces if key in piece and len(piece["row"])]
    if parts:
        return np.asarray(np.concatenate(parts))
    empty: dict[str, Any] = {"row": np.int64, "shotid": np.int64, "ifuslot": "S3"}
    if key in UNITS or key in empty:
        return np.zeros(0, empty.get(key, np.float64))
    return np.zeros((0, N_WAVE), np.float32)


def _write_index(hetdex: h5py.Group, cubes: Array, columns: dict[str, Array]) -> None:
    """Write the cubes' columns of the index, row by row."""
    known = {(int(shotid), bytes(ifuslot)): k for k, (shotid, ifuslot) in enumerate(cubes[["shotid", "ifuslot"]])}
    pairs = zip(columns["shotid"].tolist(), columns["ifuslot"].tolist(), strict=True)
    at = np.array([known[pair] for pair in pairs], np.int64)
    for key in cubes.dtype.names or ():
        if key not in NOT_OF_INDEX:
            hdf5.write_column(hetdex, key, cubes[key][at])
    hdf5.write_column(hetdex, "in_2017", columns["shotid"] < AFTER_2017)


def _groups(plan: Array, rows: Array) -> Ints:
    """Return the group of positions, (n,), that each CSV row belongs to."""
    of_row, at = np.unique(plan["row"], return_index=True)
    return np.asarray(plan["epoch_group"][at][np.searchsorted(of_row, rows)], np.int64)


def _n_epochs(groups: Array, pairs: Array) -> Ints:
    """Return the number of shots of each row's group.

    Parameters
    ----------
    groups
        (n,) of the rows.
    pairs
        (m, 2) group and shot of every spectrum, of other pixels' rows as well.
    """
    known, counts = np.unique(np.unique(pairs, axis=0)[:, 0], return_counts=True)
    return np.asarray(counts[np.searchsorted(known, groups)] if len(known) else np.zeros(0), np.int64)
