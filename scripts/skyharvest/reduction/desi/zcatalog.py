"""The redshifts and targets of a production in one table each, as a public release has them.

``zcatalog/zall-pix-{specprod}.fits``, HDU ZCATALOG, has a row for each fiber of each pixel: redrock's REDSHIFTS, and
the coadd's FIBERMAP and TSNR2. Columns and types are those of DESI's data model (desidatamodel.readthedocs.io,
zpix-SURVEY-PROGRAM and zall-pix-SPECPROD). Where TSNR2 was not computed it is NaN.

``zcatalog/targetphot-{specprod}.fits``, HDU TARGETPHOT, has a row for each target and tile: what targeting knew of it,
by the coadd's FIBERMAP, in the form of DESI's catalogue of photometry (lsdr9-photometry).

The primary spectrum of a target is the one that `desispec.zcatalog.find_primary_spectra` chooses: ZWARN = 0 first, then
the largest TSNR2_LRG, or the largest COADD_EXPTIME where a production has no TSNR2.
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import numpy.typing as npt

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.layout import Layout
from skyharvest.reduction.desi.production import Production

log = logging.getLogger(__name__)

Rows = npt.NDArray[Any]
Pixel = tuple[str, str, int]
"""Survey, program, NSIDE=64 pixel (NESTED)."""

N_COEFF = 10
ZCATALOG, TARGETPHOT = "ZCATALOG", "TARGETPHOT"
FIRST: list[tuple[Any, ...]] = [
    *(("TARGETID", "i8"), ("SURVEY", "S7"), ("PROGRAM", "S6"), ("HEALPIX", "i4"), ("SPGRPVAL", "i4")),
    *(("Z", "f8"), ("ZERR", "f8"), ("ZWARN", "i8"), ("CHI2", "f8"), ("COEFF", "f8", (N_COEFF,))),
    *(("NPIXELS", "i8"), ("SPECTYPE", "S6"), ("SUBTYPE", "S20"), ("NCOEFF", "i8"), ("DELTACHI2", "f8")),
]
LAST: list[tuple[Any, ...]] = [
    *(
        (f"TSNR2_{kind}{arm}", "f4")
        for arm in ("_B", "_R", "_Z", "")
        for kind in ("GPBDARK", "ELG", "GPBBRIGHT", "LYA", "BGS", "GPBBACKUP", "QSO", "LRG")
    ),
    *(("SV_NSPEC", "i2"), ("SV_PRIMARY", "?"), ("MAIN_NSPEC", "i2"), ("MAIN_PRIMARY", "?")),
    *(("ZCAT_NSPEC", "i2"), ("ZCAT_PRIMARY", "?")),
]
"""Columns of ZCATALOG before and behind those of FIBERMAP."""
OF_TILE: list[tuple[Any, ...]] = [("TILEID", "i4"), ("HPXPIXEL", "i8"), ("SURVEY", "S7"), ("PROGRAM", "S6")]
"""Columns of TARGETPHOT beside those of FIBERMAP."""
OF_NO_FIBERS = {"TARGETID": "i8", "TARGET_RA": "f8", "TARGET_DEC": "f8", "COADD_FIBERSTATUS": "i4"}
"""Columns of FIBERMAP, if no pixel has one: then the tables are empty."""


@dataclass(frozen=True)
class _Redrock:
    """Tables of a pixel's redrock file: all but ``exposures`` are of the same targets, row by row."""

    path: Path
    pixel: Pixel
    redshifts: Rows
    fibers: Rows
    tsnr2: Rows
    exposures: Rows


def write_zcatalog(production: Production) -> int:
    """Write the redshifts of all pixels that have some, and their targets; return the number of redshifts.

    Raises
    ------
    MalformedFile
        If tables of a pixel are not of the same targets, row by row.
    """
    layout = Layout(production.directory)
    pixels = sorted({(one.survey, one.program, one.healpix) for one in production.whole().pixels})
    paths = {pixel: layout.healpix("redrock", *pixel) for pixel in pixels}
    there = {pixel: path for pixel, path in paths.items() if path.is_file()}
    of_fibers, counts = _first_pass(there)
    of_fibers = of_fibers or {name: np.dtype(kind) for name, kind in OF_NO_FIBERS.items()}
    own = {name for name, *_ in (*FIRST, *LAST)}
    first, of_tile = (_wide_enough(columns, there) for columns in (FIRST, OF_TILE))
    of_redshift = np.dtype([*first, *((name, kind) for name, kind in of_fibers.items() if name not in own), *LAST])
    of_target = np.dtype([*of_tile, *of_fibers.items()])
    start = 0
    with (
        _writing(layout.targets(), of_target, TARGETPHOT) as targets,
        _writing(layout.redshifts(), of_redshift, ZCATALOG) as redshifts,
    ):
        for pixel, path in there.items():
            read = _read(pixel, path)
            rows = _redshifts(read, of_redshift)
            for name in counts.dtype.names or ():
                rows[name] = counts[name][start : start + len(rows)]
            redshifts.append(rows)
            targets.append(_targets(read, of_target))
            start += len(rows)
    assert start == len(counts)
    log.info("%s: %d redshifts of %d pixels", layout.redshifts(), start, len(there))
    return start


def _wide_enough(columns: list[tuple[Any, ...]], there: Collection[Pixel]) -> list[tuple[Any, ...]]:
    """Return columns with room for all surveys and programs: NumPy cuts what is too long."""
    names = {"SURVEY": [survey for survey, *_ in there], "PROGRAM": [program for _, program, _ in there]}
    made = []
    for name, kind, *shape in columns:
        longest = max(map(len, names.get(name, ())), default=0)
        made.append((name, f"S{longest}" if longest > np.dtype(kind).itemsize else kind, *shape))
    return made


@contextmanager
def _writing(path: Path, row_type: np.dtype[Any], name: str) -> Iterator[Any]:
    """Give a table to append rows to; its file appears whole."""
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
        file.create_table_hdu(dtype=row_type, extname=name)
        yield file[-1]


def _first_pass(there: dict[Pixel, Path]) -> tuple[dict[str, np.dtype[Any]], Rows]:
    """Return the columns that FIBERMAP has in any pixel, and what `_counts` says of all rows."""
    of_fibers: dict[str, np.dtype[Any]] = {}
    known_type = [("TARGETID", "i8"), ("ZWARN", "i8"), ("SURVEY", "U7"), ("TSNR2_LRG", "f8"), ("EXPTIME", "f8")]
    parts = [np.zeros(0, known_type)]
    for pixel, path in there.items():
        read = _read(pixel, path)
        for name in read.fibers.dtype.names or ():
            kind = read.fibers.dtype[name]
            if kind.kind == "U":
                kind = np.dtype(f"S{kind.itemsize // 4}")
            of_fibers[name] = max(of_fibers.get(name, kind), kind, key=lambda one: one.itemsize)
        part = np.zeros(len(read.redshifts), known_type)
        part["TARGETID"], part["ZWARN"], part["SURVEY"] = read.redshifts["TARGETID"], read.redshifts["ZWARN"], pixel[0]
        part["TSNR2_LRG"] = read.tsnr2["TSNR2_LRG"] if "TSNR2_LRG" in (read.tsnr2.dtype.names or ()) else np.nan
        part["EXPTIME"] = read.fibers["COADD_EXPTIME"]
        parts.append(part)
    return of_fibers, _counts(np.concatenate(parts))


def _counts(known: Rows) -> Rows:
    """Return how many spectra a target has, and which of them is the primary one: in SV, in main, in all."""
    from desispec.zcatalog import find_primary_spectra  # noqa: PLC0415 (heavy)

    counts = np.zeros(len(known), LAST[-6:])
    survey = known["SURVEY"]
    by = "TSNR2_LRG" if np.isfinite(known["TSNR2_LRG"]).all() else "EXPTIME"
    groups = {"SV": np.char.startswith(survey, "sv"), "MAIN": survey == "main", "ZCAT": np.ones(len(known), bool)}
    for group, members in groups.items():
        if members.any():
            n_spectra, primary = find_primary_spectra(known[members], sort_column=by)
            counts[f"{group}_NSPEC"][members], counts[f"{group}_PRIMARY"][members] = n_spectra, primary
    return counts


def _read(pixel: Pixel, path: Path) -> _Redrock:
    try:
        with fitsio.FITS(str(path)) as file:
            redshifts = file["REDSHIFTS"].read()
            tsnr2 = file["TSNR2"].read() if "TSNR2" in file else redshifts[["TARGETID"]]
            read = _Redrock(path, pixel, redshifts, file["FIBERMAP"].read(), tsnr2, file["EXP_FIBERMAP"].read())
    except OSError as error:
        raise MalformedFile(f"{path} cannot be read ({error}): remove it, the next run makes it anew") from error
    for name, table in (("FIBERMAP", read.fibers), ("TSNR2", read.tsnr2)):
        if not np.array_equal(table["TARGETID"], read.redshifts["TARGETID"]):
            raise MalformedFile(f"{path}: {name} and REDSHIFTS are not of the same targets, row by row: remove it")
    return read


def _redshifts(read: _Redrock, row_type: np.dtype[Any]) -> Rows:
    """Return the rows of a pixel, but for what `_counts` says."""
    survey, program, pix64 = read.pixel
    rows = np.zeros(len(read.redshifts), row_type)
    for name in rows.dtype.names or ():
        if name.startswith("TSNR2_"):
            rows[name] = np.nan
    for table in (read.fibers, read.tsnr2, read.redshifts):
        for name in table.dtype.names or ():
            if name in (rows.dtype.names or ()) and name != "COEFF":
                rows[name] = table[name]
    coeff = read.redshifts["COEFF"].reshape(len(rows), -1)
    if coeff.shape[1] > N_COEFF:
        raise MalformedFile(f"{read.path}: COEFF has {coeff.shape[1]} numbers, expected {N_COEFF} at most")
    rows["COEFF"][:, : coeff.shape[1]] = coeff
    rows["SURVEY"], rows["PROGRAM"], rows["HEALPIX"], rows["SPGRPVAL"] = survey, program, pix64, pix64
    return rows


def _targets(read: _Redrock, row_type: np.dtype[Any]) -> Rows:
    """Return a row for each target and tile of a pixel."""
    survey, program, pix64 = read.pixel
    pairs = np.unique(read.exposures[["TARGETID", "TILEID"]])
    order = np.argsort(read.fibers["TARGETID"], kind="stable")
    place = order[np.searchsorted(read.fibers["TARGETID"], pairs["TARGETID"], sorter=order).clip(max=len(order) - 1)]
    fibers = read.fibers[place]
    if not np.array_equal(fibers["TARGETID"], pairs["TARGETID"]):
        raise MalformedFile(f"{read.path}: EXP_FIBERMAP has targets that FIBERMAP does not have: remove it")
    rows = np.zeros(len(pairs), row_type)
    for name in fibers.dtype.names or ():
        rows[name] = fibers[name]
    rows["TILEID"], rows["HPXPIXEL"], rows["SURVEY"], rows["PROGRAM"] = pairs["TILEID"], pix64, survey, program
    return rows
