"""Write the spectra of one NSIDE=16 pixel as DESI writes a coadd: a FITS file that desispec and specutils read.

It holds every spectrum of the pixel's targets once, bit for bit as in DESI's coadds:

==========================================  ===================================================================
``FIBERMAP``                                every column of DESI's, then those below
``B_WAVELENGTH``                            (npix,) float64 Å, vacuum; ditto ``R_`` and ``Z_``
``B_FLUX``, ``B_IVAR``                      (n, npix) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ and its inverse square
``B_MASK``                                  (n, npix) int32, or uint32 (BZERO) if one of the coadds has that
``B_RESOLUTION``                            (n, ndiag, npix) float32; not there if it was not extracted
``SCORES``                                  every column of DESI's, row by row
==========================================  ===================================================================

The dark, bright and backup spectra of a target are rows with the same TARGETID, as desispec's
``read_spectra_parallel`` returns them; FIBERMAP says which coadd a row is from:

==========================  ===================================================================================
``SURVEY, PROGRAM``         such as ``main``, ``dark``
``HEALPIX``                 NSIDE=64 pixel of the coadd
``CSV_ROW``                 0-based row of the CSV that it matches; the nearest one, if there are several
``CSV_SEPARATION``          distance to that row's position, arcsec
``CSV_ROWS``                all rows that it matches in this pixel, nearest first: ``12,345``
==========================  ===================================================================================

``desispec.coaddition.coadd`` and redrock take rows with the same TARGETID for one target: give them one program at a
time, ``spectra[spectra.fibermap["PROGRAM"] == "dark"]``.

There is no EXP_FIBERMAP. Redrock's fits are in a separate file, ``redrock-…``, where ``read_spectra`` looks for them
(``return_redshifts=True``); its REDSHIFTS has the same rows. An arm that no coadd has is left out. Where only some
coadds have an arm, the others have flux and ivar 0 and desispec's mask bit NODATA.

Sources: desidatamodel.readthedocs.io, coadd-SURVEY-PROGRAM-PIXNUM; desispec 0.70, ``desispec.io.spectra``.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import numpy.typing as npt
from astropy.io import fits

from skyharvest.core import provenance
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import arrow, hdf5
from skyharvest.formats.fits_header import BLOCK
from skyharvest.harvest.extracted import kept_rows
from skyharvest.harvest.manifest import csv_of
from skyharvest.harvest.origin import CARDS
from skyharvest.surveys.desi.shown import ARMS
from skyharvest.surveys.desi.spectra import NODATA, arms_of_files, is_same_grid, stack_columns

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


BATCH_ROWS = 128  # of the widest image: 16 MB
BITPIX = {"f4": -32, "f8": -64, "i2": 16, "i4": 32, "u4": 32}
UNITS = {"wavelength": "Angstrom", "flux": "10**-17 erg/(s cm2 Angstrom)", "ivar": "10**+34 (s2 cm4 Angstrom2) / erg2"}


@dataclass
class ExportedRows:
    """The spectra of one extracted file that are exported.

    Attributes
    ----------
    take : (k,) int64
        Their rows in the extracted file, in increasing order.
    added
        Columns that this module adds to FIBERMAP, (k,) each.
    """

    file: h5py.File
    take: Ints
    added: dict[str, Array]

    def has(self, arm: str) -> Bools:
        """Tell of which spectra the coadd has an arm, (k,)."""
        having = [k for k, arms in enumerate(arms_of_files(self.file)) if arm in arms]
        return np.isin(self.file["file"][:][self.take], having)


def export_fits(
    pix16: int,
    targets: Path,
    extracted: Sequence[Path],
    out: Path,
    *,
    redrock: Path | None = None,
    attributes: Mapping[str, str | float] | None = None,
) -> int:
    """Write one NSIDE=16 pixel and return its number of spectra.

    Parameters
    ----------
    pix16
        The pixel (NESTED) of the CSV's positions.
    targets
        ``targets.parquet``.
    extracted
        Extracted files of every NSIDE=64 pixel that was searched for the pixel's targets.
    out
        ``coadd-….fits``. Without any match, tables and images have no rows.
    redrock
        ``redrock-….fits`` in the same directory, if wanted.
    attributes
        Additional cards of the primary header.

    Raises
    ------
    MalformedFile
        If an extracted file is damaged, or inconsistent with the others. The message says to remove it.
    """
    table = arrow.rows_where(targets, "pix16", pix16)
    rows = arrow.to_numpy(table.column("row"))[0]
    csv = {"CSVSHA": csv_of(table.schema)}
    with ExitStack() as opened:
        files = [opened.enter_context(hdf5.reading(path, check=True)) for path in extracted]
        selections = [_select(file, rows) for file in files]
        fibermap = _table(selections, "fibermap")
        for name in [name for selection in selections[:1] for name in selection.added]:
            fibermap[name] = np.concatenate([selection.added[name] for selection in selections])
        scores = _table(selections, "scores")
        redshifts = _redshifts(selections, fibermap["TARGETID"]) if redrock is not None else {}
        n = sum(len(selection.take) for selection in selections)
        with atomic_path(out) as temporary, temporary.open("wb") as stream:
            header = _primary(pix16, selections, fibermap, csv | dict(attributes or {}))
            primary = fits.PrimaryHDU(header=header)
            fits.HDUList([primary, _table_hdu("FIBERMAP", fibermap, _units(files))]).writeto(stream, checksum=True)
            for arm in ARMS:
                _write_arm(stream, arm, files, selections)
            _append_table(stream, _table_hdu("SCORES", scores or {"TARGETID": fibermap["TARGETID"]}, {}))
        if redrock is not None:
            with atomic_path(redrock) as temporary, temporary.open("wb") as stream:
                hdu = _table_hdu("REDSHIFTS", redshifts, {})
                origin = {key: value for key, value in header.items() if key in CARDS}
                primary = fits.PrimaryHDU(header=fits.Header(origin))
                fits.HDUList([primary, hdu]).writeto(stream, checksum=True)
    return n


def _select(file: h5py.File, rows: Ints) -> ExportedRows:
    """Return the spectra of an extracted file that match these CSV rows, each once, in the file's order."""
    row, coadd = file["row"][:], file["file"][:].astype(np.int64)
    inside = np.flatnonzero(kept_rows(file) & np.isin(row, rows))
    if not len(inside):
        return ExportedRows(file, inside, _added(file, coadd[inside], row[inside], np.zeros(0), []))
    coadd_row, separation = file["coadd_row"][:][inside], file["separation_arcsec"][:][inside]
    _, first, spectrum = np.unique(np.stack([coadd[inside], coadd_row]), axis=1, return_index=True, return_inverse=True)
    order = np.argsort(first)
    spectrum = np.argsort(order)[spectrum.ravel()]
    first = first[order]
    nearest_first = np.lexsort((row[inside], separation, spectrum))
    groups = np.split(nearest_first, np.cumsum(np.bincount(spectrum))[:-1])
    nearest = np.array([group[0] for group in groups])
    matched = [",".join(str(row[inside[pair]]) for pair in group) for group in groups]
    take = inside[first]
    return ExportedRows(file, take, _added(file, coadd[take], row[inside[nearest]], separation[nearest], matched))


def _added(file: h5py.File, coadd: Ints, row: Ints, separation: Array, rows: Sequence[str]) -> dict[str, Array]:
    return {
        **{name.upper(): np.array(hdf5.text(file[f"files/{name}"][:]), "S")[coadd] for name in ("survey", "program")},
        "HEALPIX": file["files/pix64"][:][coadd].astype(np.int32),
        "CSV_ROW": row,
        "CSV_SEPARATION": separation,
        "CSV_ROWS": np.array(rows, "S"),
    }


def _table(selections: Sequence[ExportedRows], name: str) -> dict[str, Array]:
    """Return the columns of one table of all files, (n, …) each; TARGETID first, as in DESI's files."""
    with_table = [selection for selection in selections if name in selection.file]
    with_table = [selection for selection in with_table if len(selection.take)] or with_table  # for the columns
    if not with_table:
        return {"TARGETID": np.zeros(0, np.int64)} if name == "fibermap" else {}
    tables = [
        {column: values[:][selection.take] for column, values in hdf5.columns(selection.file[name]).items()}
        for selection in with_table
    ]
    stacked = stack_columns(tables, [len(selection.take) for selection in with_table])
    return {"TARGETID": stacked["TARGETID"]} | stacked


def _redshifts(selections: Sequence[ExportedRows], targetid: Ints) -> dict[str, Array]:
    for selection in selections:
        if len(selection.take) and "redshifts" not in selection.file:
            raise MalformedFile(
                f"{selection.file.filename} has no redshifts: it was extracted with `redshifts: false`; remove it, the "
                "next run makes it anew"
            )
    redshifts = _table(selections, "redshifts") or {"TARGETID": targetid}
    assert np.array_equal(redshifts["TARGETID"], targetid)
    return redshifts


def _units(files: Sequence[h5py.File]) -> dict[str, str]:
    units = {"CSV_SEPARATION": "arcsec"}
    for file in files:
        for name, dataset in hdf5.columns(file["fibermap"]).items() if "fibermap" in file else ():
            if "unit" in dataset.attrs:
                units[name] = str(dataset.attrs["unit"])
    return units


def _primary(
    pix16: int, selections: Sequence[ExportedRows], fibermap: Mapping[str, Array], attributes: Mapping[str, str | float]
) -> Any:
    header = fits.Header()
    header.extend([("SPGRP", "healpix"), ("SPGRPVAL", pix16), ("HPXPIXEL", pix16), ("HPXNSIDE", 16), ("HPXNEST", True)])
    for name in ("SURVEY", "PROGRAM"):
        values = np.unique(fibermap.get(name, np.zeros(0, "S1")))
        if len(values) == 1:
            header[name] = values[0].decode()
    header["LONGSTRN"] = "OGIP 1.0"
    header.extend(list(attributes.items()))
    origin = provenance.attributes()
    header["CREATOR"] = f"{origin['workflow']} {origin['workflow_version']}"
    header["GITHASH"] = origin["git_commit"]
    header["DATE"] = origin["created"].removesuffix("+00:00")
    coadds = [
        hdf5.text(selection.file["files/path"][:])[k]
        for selection in selections
        for k in np.unique(selection.file["file"][:][selection.take])
    ]
    # specutils recognises coadds by INFIL000.
    for k, name in enumerate(coadds[:1000] or ["none"]):
        header[f"INFIL{k:03d}"] = name.rpartition("/")[2]
    return header


def _table_hdu(name: str, columns: Mapping[str, Array], units: Mapping[str, str]) -> Any:
    fields = [(column, values.dtype, values.shape[1:]) for column, values in columns.items()]
    table = np.zeros(len(columns["TARGETID"]), fields)
    for column, values in columns.items():
        table[column] = values
    hdu = fits.BinTableHDU(table, name=name)
    for i, column in enumerate(columns, 1):
        if column in units:
            hdu.header.set(f"TUNIT{i}", units[column], after=f"TFORM{i}")
    return hdu


def _append_table(stream: BinaryIO, hdu: Any) -> None:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer, checksum=True)
    stream.write(buffer.getbuffer()[BLOCK:])


def _write_arm(stream: BinaryIO, arm: str, files: Sequence[h5py.File], selections: Sequence[ExportedRows]) -> None:
    """Append the images of an arm, a batch of rows at a time."""
    # Without any match, the arm's shapes come from files without rows, if a coadd was read.
    with_rows = [selection.file for selection in selections if selection.has(arm).any()]
    models = with_rows or [file for file in files if any(arm in arms for arms in arms_of_files(file))]
    if not models:
        return
    wave = models[0][arm]["wavelength"][:]
    for file in models:
        if not is_same_grid(file[arm]["wavelength"][:], wave):
            raise MalformedFile(f"{file.filename}: its {arm} wavelengths differ from those of {models[0].filename}")
        if ("resolution" in file[arm]) != ("resolution" in models[0][arm]):
            raise MalformedFile(
                f"{file.filename} and {models[0].filename}: only one has {arm}/resolution; remove the one that has "
                "none, the next run makes it anew"
            )
    _append_image(stream, f"{arm}_wavelength", wave.shape, wave.dtype, [wave], unit=UNITS["wavelength"])
    n = sum(len(selection.take) for selection in selections)
    for kind in ("flux", "ivar", "mask", "resolution"):
        native = [file[arm][kind] for file in models if kind in file[arm]]
        if not native:
            continue
        shape = max(dataset.shape[1:] for dataset in native)
        dtype = np.result_type(*(dataset.dtype for dataset in native))
        if kind == "mask" and dtype != np.int32:
            dtype = np.dtype(np.uint32)  # extraction widens int32 with uint32 to int64
        batches = _batches(selections, arm, kind, shape, dtype)
        _append_image(stream, f"{arm}_{kind}", (n, *shape), dtype, batches, unit=UNITS.get(kind, ""))


def _batches(
    selections: Sequence[ExportedRows], arm: str, kind: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[Array]:
    for selection in selections:
        has = selection.has(arm)
        for start in range(0, len(selection.take), BATCH_ROWS):
            take = selection.take[start : start + BATCH_ROWS]
            values = np.full((len(take), *shape), NODATA if kind == "mask" else 0, dtype)
            there = has[start : start + BATCH_ROWS]
            if there.any():
                dataset = selection.file[arm][kind]
                pad = (shape[0] - dataset.shape[1]) // 2  # the number of diagonals may differ
                native = dataset[take[there]].astype(dtype)
                # A resolution that its coadd has not is NaN.
                native = np.nan_to_num(native, nan=0) if kind == "resolution" else native
                values[there, pad : pad + dataset.shape[1]] = native
            yield values


def _append_image(
    stream: BinaryIO, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], batches: Iterable[Array], *, unit: str
) -> None:
    """Append an image extension from batches of rows."""
    header = fits.Header(
        [
            ("XTENSION", "IMAGE", "Image extension"),
            ("BITPIX", BITPIX[dtype.str[1:]]),
            ("NAXIS", len(shape)),
            *((f"NAXIS{i}", length) for i, length in enumerate(reversed(shape), 1)),
            ("PCOUNT", 0),
            ("GCOUNT", 1),
            *([("BSCALE", 1), ("BZERO", 1 << 31)] if dtype.kind == "u" else []),
        ]
    )
    header["EXTNAME"] = name.upper()
    if unit:
        header["BUNIT"] = unit
    stream.write(header.tostring().encode("ascii"))
    n_bytes = 0
    for batch in batches:
        # FITS has no unsigned integers: stored minus 2³¹, which flips the top bit.
        stored = batch ^ np.uint32(1 << 31) if dtype.kind == "u" else batch
        n_bytes += stream.write(stored.astype(dtype.newbyteorder(">")).tobytes())
    assert n_bytes == np.prod(shape) * dtype.itemsize
    stream.write(b"\0" * (-n_bytes % BLOCK))
