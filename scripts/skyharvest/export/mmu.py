"""Write the spectra that lie in one NSIDE=16 pixel in the flat HDF5 layout of the Multimodal Universe.

Its DESI loader and its ``cross_match_datasets`` read these files unchanged. n targets, ordered by TARGETID:

=========================================  ====================================================================
``object_id``                              (n,) int64, TARGETID
``ra, dec``                                (n,) float64 of the fiber (TARGET_RA, TARGET_DEC), degrees
``healpix``                                (n,) int64, NSIDE=16 NESTED pixel of the fiber: the file's
``spectrum_flux``, ``spectrum_ivar``       (n, 7781) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ and its inverse square
``spectrum_mask``                          (n, 7781) bool, True = bad: a mask bit is set, or ivar < 10⁻⁶
``spectrum_lsf_sigma``                     (n, 7781) float32, pixels of 0.8 Å
``spectrum_lambda``                        (n, 7781) float32 Å, vacuum; the same in every row
``Z, ZERR, ZWARN``                         (n,) redrock's; NaN, NaN and -1 where there is none
``EBV, FLUX_*, FLUX_IVAR_*, FIBERFLUX_*``  (n,) FIBERMAP's, nanomaggy, ditto ``FIBERTOTFLUX_*``; * is G, R, Z. NaN where
                                           the release has no such column
``TARGETID, SURVEY, PROGRAM, HEALPIX``     (n,) which coadd (NSIDE=64) the spectrum is from
``CSV_ROW, CSV_SEPARATION``                (n,) 0-based row of the CSV, the nearest one; distance to it, arcsec
all other columns of ``/desi``             (n,) in upper case
=========================================  ====================================================================

Two things differ from the assembled files, because the Multimodal Universe needs unique ids and crossmatches rows
with equal ``healpix``. Each target has one row: of its spectra the primary one by DESI's rule, see
`skyharvest.surveys.desi.spectra.primary`. And it is in the file of its fiber's pixel, which near an edge is not the
pixel of the CSV's position. Fibers of sky are left out, and nothing else; the Multimodal Universe's own sample has only
OBJTYPE ``TGT`` and COADD_FIBERSTATUS 0.

Source: github.com/MultimodalUniverse/MultimodalUniverse, scripts/desi (desi.py, build_parent_sample.py), mmu/utils.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.core import provenance
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.hdf5_spectra import spectra_dataset, write_rows
from skyharvest.harvest.manifest import MEANING, check_alike
from skyharvest.surveys.desi import shown
from skyharvest.surveys.desi.spectra import N_COMBINED, is_sky, primary, stack_columns
from skyharvest.targets.csv_columns import csv_group
from skyharvest.targets.settings import Targets

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

BATCH_ROWS = 256  # spectra held at once: 40 MB
FAINTEST_IVAR = 1e-6  # build_parent_sample.py
SPECTRA: dict[str, Any] = {"flux": np.float32, "ivar": np.float32, "mask": np.bool_, "lsf_sigma": np.float32}
FLUXES = [f"{kind}_{band}" for kind in ("FLUX", "FLUX_IVAR", "FIBERFLUX", "FIBERTOTFLUX") for band in "GRZ"]
NUMBERS: dict[str, Any] = {"Z": np.float64, "ZERR": np.float64} | dict.fromkeys(["EBV", *FLUXES], np.float32)
"""Columns that the loader reads as float32."""
RENAMED = {"pix64": "HEALPIX", "separation_arcsec": "CSV_SEPARATION"}
LEFT_OUT = ("ra", "dec", "primary")  # primary is chosen per CSV row, not per target


def export_mmu(
    pix16: int,
    crossmatches: Sequence[Path],
    out: Path,
    *,
    name: str = Targets.name,
    attributes: Mapping[str, Any] | None = None,
) -> int:
    """Write one NSIDE=16 pixel and return its number of targets.

    Parameters
    ----------
    pix16
        The pixel (NESTED) of the fibers.
    crossmatches
        Every ``crossmatch_desi.hdf5`` with rows of a coadd in that pixel, also of neighbouring pixels: the fiber of a
        source may be across the edge.
    out
        The file to write.
    name
        Group of the CSV's columns.
    attributes
        Additional root attributes.

    Raises
    ------
    InputError
        If the files have no combined spectra, or no line-spread function, or are of more than one run.
    """
    with ExitStack() as opened:
        files = [opened.enter_context(hdf5.reading(path)) for path in crossmatches]
        for file, path in zip(files, crossmatches, strict=True):
            _check(file, name)
            check_alike(file.attrs, files[0].attrs, path, crossmatches[0])
        takes = [np.flatnonzero(file["desi/pix64"][:] >> 4 == pix16) for file in files]
        columns = stack_columns(
            [_columns(file, name, take) for file, take in zip(files, takes, strict=True)], map(len, takes)
        )
        source = np.repeat(np.arange(len(files)), [len(take) for take in takes])
        chosen = _choose(columns)
        source, take = source[chosen], np.concatenate(takes)[chosen]
        with hdf5.create(out) as file_out:
            file_out.attrs.update({"healpix": pix16, "nside": 16, "ordering": "NESTED", **(attributes or {})})
            file_out.attrs.update({key: files[0].attrs[key] for key in MEANING if key in files[0].attrs})
            file_out.attrs.update(provenance.attributes())
            _write_columns(file_out, {key: values[chosen] for key, values in columns.items()}, pix16)
            _write_spectra(file_out, files, source, take)
    return len(chosen)


def _check(file: h5py.File, name: str) -> None:
    csv_group(file, name)
    for kind, setting in (("flux", "combine"), ("lsf_sigma", "lsf")):
        if f"spectrum_{kind}" not in file["desi"]:
            raise InputError(
                f"{file.filename} has no spectrum_{kind}, which the Multimodal Universe needs: set "
                f"desi.spectra.{setting} to true and run again"
            )
    n_pixels = len(file["desi/spectrum_lambda"])
    if n_pixels != N_COMBINED:
        raise MalformedFile(
            f"{file.filename}: its spectra have {n_pixels} pixels; the Multimodal Universe's have {N_COMBINED}"
        )


def _columns(file: h5py.File, name: str, take: Ints) -> dict[str, Array]:
    desi = file["desi"]
    columns = {"ra": desi["ra"][:][take], "dec": desi["dec"][:][take], "CSV_ROW": file[name]["row"][:][take]}
    for link, item in desi.items():
        if link not in LEFT_OUT and link not in shown.SPECTRA:
            column = str(item.attrs.get("column", link))
            columns[RENAMED.get(link, column.upper())] = item[:][take]
    for key, dtype in NUMBERS.items():
        columns.setdefault(key, np.full(len(take), np.nan, dtype))
    columns.setdefault("ZWARN", np.full(len(take), -1, np.int64))
    return columns


def _choose(columns: Mapping[str, Array]) -> Ints:
    """Return one row per TARGETID, in increasing order: the primary spectrum, paired with its nearest CSV row.

    Fibers of sky are left out.
    """
    nearest_first = np.argsort(columns["CSV_SEPARATION"], kind="stable")
    depth = columns.get("TSNR2_LRG")
    sky = is_sky(columns.get("OBJTYPE"), len(nearest_first))
    best = primary(
        columns["TARGETID"][nearest_first],
        columns["ZWARN"][nearest_first],
        None if depth is None else depth[nearest_first],
        never=sky[nearest_first],
    )
    chosen = nearest_first[best]
    return np.asarray(chosen[np.argsort(columns["TARGETID"][chosen])], np.int64)


def _write_columns(file_out: h5py.File, columns: Mapping[str, Array], pix16: int) -> None:
    targetid = columns["TARGETID"]
    hdf5.write_column(file_out, "object_id", targetid.astype(np.int64))
    hdf5.write_column(file_out, "healpix", np.full(len(targetid), pix16, np.int64))
    hdf5.write_table(file_out, columns, {"ra": "deg", "dec": "deg", "CSV_SEPARATION": "arcsec"})


def _write_spectra(file_out: h5py.File, files: Sequence[h5py.File], source: Ints, take: Ints) -> None:
    n = len(take)
    datasets = {
        kind: spectra_dataset(file_out, f"spectrum_{kind}", n, (N_COMBINED,), dtype, compressed=True)
        for kind, dtype in (SPECTRA | {"lambda": np.float32}).items()
    }
    for k, file in enumerate(files):
        desi, rows = file["desi"], np.flatnonzero(source == k)
        rows = rows[np.argsort(take[rows])]  # HDF5 reads increasing selections only
        wave = desi["spectrum_lambda"][:].astype(np.float32)
        for start in range(0, len(rows), BATCH_ROWS):
            places = rows[start : start + BATCH_ROWS]
            spectra = {kind: desi[f"spectrum_{kind}"][take[places]] for kind in SPECTRA}
            spectra["mask"] = (spectra["mask"] != 0) | (spectra["ivar"] < FAINTEST_IVAR)
            spectra["lambda"] = np.broadcast_to(wave, (len(places), N_COMBINED))
            for kind, values in spectra.items():
                write_rows(datasets[kind], places, values)
