"""Put the extracted rows of one NSIDE=16 pixel into one file, with combined spectra and the CSV's columns.

Layout of ``crossmatch_desi.hdf5`` (n rows, a row per (CSV row, spectrum) pair, ordered by CSV row; row i of one group
belongs to row i of the other):

=========================================  ====================================================================
``/desi/targetid, ra, dec``                of the fiber (TARGET_RA, TARGET_DEC), degrees
``/desi/survey, program, pix64``           the coadd that the spectrum is from
``/desi/separation_arcsec, primary``       distance to the CSV's position; DESI's choice among the spectra of the object
                                           nearest to it
``/desi/z, zerr, zwarn, spectype, subtype, deltachi2``  redrock's; zwarn -1 and z NaN where the archive has no redrock
``/desi/<fibermap and scores column>``     every column of FIBERMAP and SCORES in lower case, but for names of this list
``/desi/spectrum_lambda``                  (7781,) float64 Å, vacuum, 0.8 Å
``/desi/spectrum_flux, spectrum_ivar``     (n, 7781) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ and its inverse square
``/desi/spectrum_mask``                    (n, 7781) int32, 0 = good
``/desi/spectrum_lsf_sigma``               (n, 7781) float32, pixels of 0.8 Å
``/desi/{b,r,z}_{flux,…}``                 with ``spectra: {arms: true}``: the native arms
``/<name>/row``, ``/<name>/*``             the CSV row, and every CSV column
=========================================  ====================================================================

A pixel whose targets matched nothing has the same datasets with n = 0.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Ints
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import arrow, hdf5
from skyharvest.formats.hdf5_spectra import spectra_dataset, write_rows
from skyharvest.harvest import assembled
from skyharvest.harvest.extracted import kept_rows
from skyharvest.surveys.desi.shown import ARMS, SPECTRA
from skyharvest.surveys.desi.spectra import (
    COMBINED_WAVE,
    LSF_UNIT,
    Arm,
    arms_of_files,
    combine_cameras,
    combined_grid,
    has_no_data,
    is_farther,
    is_same_grid,
    is_sky,
    primary,
    stack_what_fits,
)
from skyharvest.targets.csv_columns import write_csv_columns
from skyharvest.targets.settings import Targets

log = logging.getLogger(__name__)

BATCH_ROWS = 64  # spectra combined at once: about 100 MB of float64 work space
REDSHIFT_TYPES = {"Z": "f8", "ZERR": "f8", "ZWARN": "i8", "SPECTYPE": "S6", "SUBTYPE": "S20", "DELTACHI2": "f8"}
FLUX_UNIT = "10**-17 erg/(s cm2 Angstrom)"
IVAR_UNIT = "10**+34 (s2 cm4 Angstrom2) / erg2"


@dataclass(frozen=True)
class Layout:
    """What an assembled file holds: the configuration's ``targets: name`` and ``spectra``."""

    name: str = Targets.name
    combine: bool = True
    lsf: bool = True
    arms: bool = False
    redshifts: bool = True


@dataclass
class PixelRows:
    """The rows of one extracted file that belong to the pixel.

    Attributes
    ----------
    take : (k,) int64
        Rows of the extracted file.
    place : (k,) int64
        Their rows in the assembled file.
    arms
        Of each of its files, the arms that it has.
    """

    file: h5py.File
    take: Ints
    row: Ints
    place: Ints
    arms: list[list[str]]


def assemble(
    pix16: int, targets: Path, extracted: Sequence[Path], out: Path, *, layout: Layout, attributes: Mapping[str, Any]
) -> int:
    """Assemble one NSIDE=16 pixel and return its number of rows.

    Parameters
    ----------
    pix16
        The pixel (NESTED) of the CSV's positions.
    extracted
        Extracted files of every NSIDE=64 pixel that was searched for the pixel's targets.
    attributes
        Root attributes beside the pixel and the provenance: release, specprod, radius …

    Raises
    ------
    MalformedFile
        If an extracted file is torn. The message says to remove it.
    """
    table = arrow.rows_where(targets, "pix16", pix16)
    rows = arrow.to_numpy(table.column("row"))[0]
    with ExitStack() as opened:
        files = [opened.enter_context(hdf5.reading(path, check=True)) for path in extracted]
        pieces = _pieces(files, rows)
        n = sum(len(piece.take) for piece in pieces)
        csv_row = np.zeros(n, np.int64)
        for piece in pieces:
            csv_row[piece.place] = piece.row
        with hdf5.create(out) as file:
            assembled.describe(file, "desi", layout.name, pix16, targets=table, attributes=attributes)
            desi = file.create_group("desi")
            _write_columns(desi, pieces, csv_row, layout)
            _write_spectra(desi, pieces, n, layout)
            write_csv_columns(file.create_group(layout.name), table, np.searchsorted(rows, csv_row))
    return n


def _pieces(files: Sequence[h5py.File], rows: Ints) -> list[PixelRows]:
    pieces = []
    for file in files:
        row = file["row"][:]
        take = np.flatnonzero(kept_rows(file) & np.isin(row, rows))
        pieces.append(PixelRows(file, take, row[take], np.zeros(0, np.int64), arms_of_files(file)))
    # By CSV row; within it in the order of the files and of their rows.
    order = np.argsort(np.concatenate([piece.row for piece in pieces]), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    start = 0
    for piece in pieces:
        piece.place = place[start : start + len(piece.take)]
        start += len(piece.take)
    return pieces


def _gather(pieces: Sequence[PixelRows], group: str, units: dict[str, str] | None = None) -> dict[str, Array]:
    """Return the columns of a group of all extracted files, in the assembled order; ``units`` gets theirs."""
    having = [piece for piece in pieces if group in piece.file]
    having = [piece for piece in having if len(piece.take)] or having[:1]  # without rows, any file tells the columns
    tables = [
        {name: values[piece.take] for name, values in hdf5.read_group(piece.file, group, units=units).items()}
        for piece in having
    ]
    stacked, misfits = stack_what_fits(tables, [len(piece.take) for piece in having])
    for _, name in misfits:
        log.warning("column %s of %s has another shape or type in some pixels: it is left out there", name, group)
    place = np.concatenate([np.zeros(0, np.int64), *(piece.place for piece in having)])
    assert np.array_equal(np.sort(place), np.arange(len(place)))
    order = np.argsort(place)
    return {name: values[order] for name, values in stacked.items()}


def _write_columns(desi: h5py.Group, pieces: Sequence[PixelRows], csv_row: Ints, layout: Layout) -> None:
    n = len(csv_row)
    if layout.redshifts:
        for piece in pieces:
            if len(piece.take) and "redshifts" not in piece.file:
                raise MalformedFile(
                    f"{piece.file.filename} has no redshifts: it was extracted with `redshifts: false`; remove it, the "
                    "next run makes it anew"
                )
    units: dict[str, str] = {}
    fibermap, scores = _gather(pieces, "fibermap", units), _gather(pieces, "scores")
    redshifts = _gather(pieces, "redshifts") if layout.redshifts else {}
    empty = {"TARGETID": "i8", "TARGET_RA": "f8", "TARGET_DEC": "f8"}
    core = {name: fibermap.pop(name, np.zeros(0, dtype)) for name, dtype in empty.items()}
    for aligned in (scores, redshifts):
        assert len(aligned.get("TARGETID", core["TARGETID"])) == n
        assert np.array_equal(aligned.pop("TARGETID", core["TARGETID"]), core["TARGETID"])
    coadd = _coadd_columns(pieces)
    separation = _at_places(pieces, lambda piece: piece.file["separation_arcsec"][:][piece.take], np.float64)
    redrock = {name: redshifts.get(name, np.zeros(n, dtype)) for name, dtype in REDSHIFT_TYPES.items()}
    hdf5.write_column(desi, "targetid", core["TARGETID"])
    hdf5.write_column(desi, "ra", core["TARGET_RA"], unit="deg")
    hdf5.write_column(desi, "dec", core["TARGET_DEC"], unit="deg")
    for name, values in coadd.items():
        hdf5.write_column(desi, name, values)
    hdf5.write_column(desi, "separation_arcsec", separation, unit="arcsec")
    zwarn = redrock["ZWARN"] if layout.redshifts else None
    sky = is_sky(fibermap.get("OBJTYPE"), n)
    ra, dec = core["TARGET_RA"], core["TARGET_DEC"]
    farther = is_farther(csv_row, separation, ra, dec, core["TARGETID"], but=sky | has_no_data(zwarn, n))
    best = primary(csv_row, zwarn, scores.get("TSNR2_LRG"), farther=farther, never=sky)
    hdf5.write_column(desi, "primary", best)
    if layout.redshifts:
        hdf5.write_table(desi, {name.lower(): values for name, values in redrock.items()})
    more: dict[str, Array] = {}
    for name, values in (fibermap | scores).items():
        if name.lower() not in desi and name.lower() not in SPECTRA:
            more[hdf5.safe_name(name.lower(), more)] = values  # that two differ by their case alone loses neither
    hdf5.write_table(desi, more, {name.lower(): unit for name, unit in units.items()})


def _at_places(pieces: Sequence[PixelRows], read: Any, dtype: Any) -> Array:
    parts = [read(piece) for piece in pieces if len(piece.take)]
    if not parts:
        return np.zeros(0, dtype)
    values = np.concatenate(parts)
    placed = np.empty_like(values)
    placed[np.concatenate([piece.place for piece in pieces])] = values
    return placed


def _coadd_columns(pieces: Sequence[PixelRows]) -> dict[str, Array]:
    def of(name: str) -> Any:
        def read(piece: PixelRows) -> Array:
            values = piece.file[f"files/{name}"][:]
            if name != "pix64":
                values = np.array(hdf5.text(values)).astype("S")
            return np.asarray(values[piece.file["file"][:][piece.take]])

        return read

    types = {"survey": "S1", "program": "S1", "pix64": np.int64}
    return {name: _at_places(pieces, of(name), dtype) for name, dtype in types.items()}


def _batches(
    pieces: Sequence[PixelRows], *, resolution: bool
) -> Iterator[tuple[PixelRows, Ints, Ints, dict[str, Arm], list[str]]]:
    """Yield the native spectra, some rows at a time: of which file, their rows there and their places (rising) here.

    The rows of a batch have the same arms, which come last; the others are blank.
    """
    for piece in pieces:
        of_file = piece.file["file"][:][piece.take]
        batches = []
        for there in sorted({tuple(piece.arms[k]) for k in of_file}):
            chosen = np.flatnonzero(np.isin(of_file, [k for k, arms in enumerate(piece.arms) if tuple(arms) == there]))
            batches += [(chosen[start : start + BATCH_ROWS], there) for start in range(0, len(chosen), BATCH_ROWS)]
        for batch, there in batches:
            take, place = piece.take[batch], piece.place[batch]
            by = np.argsort(place)
            take, place = take[by], place[by]
            kinds = ("flux", "ivar", "mask", "resolution") if resolution else ("flux", "ivar", "mask")
            arms = {
                arm: Arm(group["wavelength"][:], **{kind: _rows(group[kind], take) for kind in kinds})
                for arm, group in ((arm, piece.file[arm]) for arm in ARMS)
            }
            yield piece, take, place, arms, list(there)


def _rows(dataset: h5py.Dataset, take: Ints) -> Array:
    """Return rows of a dataset, (k, …). HDF5 reads one piece much faster than single rows, and rising ones only."""
    first, last = int(take.min()), int(take.max())
    if last - first < 2 * len(take):
        return np.asarray(dataset[first : last + 1][take - first])
    rising, at = np.unique(take, return_inverse=True)
    return np.asarray(dataset[rising][at])


def _write_spectra(desi: h5py.Group, pieces: Sequence[PixelRows], n: int, layout: Layout) -> None:
    if not (layout.combine or layout.arms):
        return
    # Where nothing matched, files tell the arms' shapes all the same, if a coadd was read at all.
    files = [piece.file for piece in pieces if len(piece.take)]
    _check_grids(pieces)
    _check_lsf(files, layout)
    files = files or [piece.file for piece in pieces if ARMS[0] in piece.file]
    datasets: dict[str, h5py.Dataset] = {}
    if layout.combine:
        own = {arm: files[0][arm]["wavelength"][:] for arm in ARMS} if files else {}
        wave = combined_grid(own) if files else COMBINED_WAVE
        hdf5.write_column(desi, "spectrum_lambda", wave, unit="Angstrom", medium="vacuum")
        columns: list[tuple[str, Any, dict[str, str]]] = [
            ("flux", np.float32, {"unit": FLUX_UNIT}),
            ("ivar", np.float32, {"unit": IVAR_UNIT}),
            ("mask", np.int32, {}),
        ]
        if layout.lsf:
            columns.append(("lsf_sigma", np.float32, {"unit": LSF_UNIT}))
        for kind, dtype, unit in columns:
            name = f"spectrum_{kind}"
            datasets[name] = spectra_dataset(desi, name, n, wave.shape, dtype, compressed=True, **unit)
    if layout.arms and files:
        datasets |= _arm_datasets(desi, files, n, resolution=layout.lsf)
    for piece, take, place, arms, there in _batches(pieces, resolution=layout.lsf and layout.arms):
        if layout.combine:
            _, flux, ivar, mask = combine_cameras(arms, there)
            write_rows(datasets["spectrum_flux"], place, flux)
            write_rows(datasets["spectrum_ivar"], place, ivar)
            write_rows(datasets["spectrum_mask"], place, mask)
            if layout.lsf:
                write_rows(datasets["spectrum_lsf_sigma"], place, _rows(piece.file["lsf_sigma"], take))
        if layout.arms:
            for arm, native in arms.items():
                for kind in ("flux", "ivar", "mask"):
                    write_rows(datasets[f"{arm}_{kind}"], place, getattr(native, kind))
                if native.resolution is not None:
                    dataset = datasets[f"{arm}_resolution"]
                    pad = (dataset.shape[1] - native.resolution.shape[1]) // 2
                    write_rows(dataset, place, np.pad(native.resolution, ((0, 0), (pad, pad), (0, 0))))


def _check_lsf(files: Sequence[h5py.File], layout: Layout) -> None:
    needed = ([f"{ARMS[0]}/resolution"] if layout.arms else []) + (["lsf_sigma"] if layout.combine else [])
    for file, name in ((file, name) for file in files for name in needed if layout.lsf and name not in file):
        raise MalformedFile(
            f"{file.filename} has no {name}: it was extracted with other settings of `spectra`; remove it, the next "
            "run makes it anew"
        )


def _check_grids(pieces: Sequence[PixelRows]) -> None:
    for arm in ARMS:
        files = [piece.file for piece in pieces if len(piece.take) and any(arm in arms for arms in piece.arms)]
        for file in files:
            if not is_same_grid(file[arm]["wavelength"][:], files[0][arm]["wavelength"][:]):
                raise MalformedFile(f"{file.filename}: its {arm} wavelengths differ from those of {files[0].filename}")


def _arm_datasets(desi: h5py.Group, files: Sequence[h5py.File], n: int, *, resolution: bool) -> dict[str, h5py.Dataset]:
    """Make the datasets of the native arms, wide enough for every file's."""
    datasets = {}
    for arm in ARMS:
        wave = files[0][arm]["wavelength"][:]
        hdf5.write_column(desi, f"{arm}_lambda", wave, unit="Angstrom", medium="vacuum")
        for kind, unit in (("flux", FLUX_UNIT), ("ivar", IVAR_UNIT), ("mask", ""), ("resolution", "")):
            native = [file[arm][kind] for file in files if kind in file[arm]]
            if not native or (kind == "resolution" and not resolution):
                continue
            name, attributes = f"{arm}_{kind}", {"unit": unit} if unit else {}
            shape = max(dataset.shape[1:] for dataset in native)
            dtype = np.result_type(*(dataset.dtype for dataset in native))
            datasets[name] = spectra_dataset(desi, name, n, shape, dtype, compressed=True, **attributes)
    return datasets
