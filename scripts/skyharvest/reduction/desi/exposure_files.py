"""Summaries of a production's tiles and exposures, as a public release has them.

``tiles-{specprod}.fits`` and ``.csv`` (HDU TILE_COMPLETENESS) have a row for each tile with a calibrated frame;
``exposures-{specprod}.fits`` one for each exposure with one (HDU EXPOSURES), and for each such frame (HDU FRAMES).

Columns and types are those of DESI's data model (desidatamodel.readthedocs.io, DESI_SPECTRO_REDUX/SPECPROD). What the
exposure table does not have is NaN, and unknown words are empty: that is what the guiders' cameras measure, effective
exposure times, and TSNR2.
"""

import csv
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from skyharvest.core.atomic import atomic_path
from skyharvest.reduction.desi.exposure_table import COLUMNS, Exposure
from skyharvest.reduction.desi.layout import Layout
from skyharvest.reduction.desi.production import Production

log = logging.getLogger(__name__)

Types = dict[str, str]


def _types(text: str) -> Types:
    """Return NumPy types by column from lines ``type: name name …``."""
    lines = (line.split(":") for line in text.strip().splitlines())
    return {name: kind for kind, names in lines for name in names.split()}


TILES = _types("""
i4: TILEID
U20: SURVEY
U6: PROGRAM
U20: FAPRGRM FAFLAVOR
i8: NEXP
f8: EXPTIME TILERA TILEDEC EFFTIME_ETC EFFTIME_SPEC EFFTIME_GFA GOALTIME
U20: OBSSTATUS
f8: LRG_EFFTIME_DARK ELG_EFFTIME_DARK BGS_EFFTIME_BRIGHT LYA_EFFTIME_DARK
U20: GOALTYPE
f8: MINTFRAC
i4: LASTNIGHT
""")
EXPOSURES = _types("""
i4: NIGHT EXPID TILEID
f8: TILERA TILEDEC MJD
U7: SURVEY
U6: PROGRAM
U16: FAPRGRM
U19: FAFLAVOR
f8: EXPTIME EFFTIME_SPEC GOALTIME
U6: GOALTYPE
f8: MINTFRAC
f4: AIRMASS EBV
f8: SEEING_ETC EFFTIME_ETC
f4: TSNR2_ELG TSNR2_QSO TSNR2_LRG
f8: TSNR2_LYA
f4: TSNR2_BGS TSNR2_GPBDARK TSNR2_GPBBRIGHT TSNR2_GPBBACKUP LRG_EFFTIME_DARK ELG_EFFTIME_DARK BGS_EFFTIME_BRIGHT
f8: LYA_EFFTIME_DARK
f4: GPB_EFFTIME_DARK GPB_EFFTIME_BRIGHT GPB_EFFTIME_BACKUP
f8: TRANSPARENCY_GFA SEEING_GFA FIBER_FRACFLUX_GFA FIBER_FRACFLUX_ELG_GFA FIBER_FRACFLUX_BGS_GFA FIBERFAC_GFA
f8: FIBERFAC_ELG_GFA FIBERFAC_BGS_GFA AIRMASS_GFA SKY_MAG_AB_GFA SKY_MAG_G_SPEC SKY_MAG_R_SPEC SKY_MAG_Z_SPEC
f8: EFFTIME_GFA EFFTIME_DARK_GFA EFFTIME_BRIGHT_GFA EFFTIME_BACKUP_GFA
""")
FRAMES = _types("""
i4: NIGHT EXPID TILEID
f8: TILERA TILEDEC MJD
f4: EXPTIME AIRMASS EBV SEEING_ETC EFFTIME_ETC
U2: CAMERA
f4: TSNR2_GPBDARK TSNR2_ELG TSNR2_GPBBRIGHT
f8: TSNR2_LYA
f4: TSNR2_BGS TSNR2_GPBBACKUP TSNR2_QSO TSNR2_LRG
U7: SURVEY
U6: GOALTYPE
U15: FAPRGRM
U18: FAFLAVOR
f8: MINTFRAC GOALTIME
""")
EXTINCTION = 2.165
"""R magnitudes per E(B-V), in EBVFAC = 10**(2.165 E(B-V) / 2.5) of fiberassign."""


def write_exposures(production: Production) -> tuple[int, int, int]:
    """Write the summaries of exposures and of tiles, the latter also as a CSV of the same name.

    Returns
    -------
    tuple
        Numbers of tiles, exposures and frames.
    """
    layout = Layout(production.directory)
    of_exposures, of_frames = [], []
    whole = production.whole()
    for night, listed in whole.nights.items():
        cells = _cells(whole.tables[night])
        for exposure in listed:
            cameras = _calibrated(layout, exposure)
            if exposure.obstype == "science" and cameras:
                row = _row(exposure, cells[exposure.expid])
                of_exposures.append(row)
                of_frames += [row | {"CAMERA": camera} for camera in cameras]
    of_tiles = [_tile(tileid, of_exposures) for tileid in sorted({row["TILEID"] for row in of_exposures})]
    with atomic_path(layout.exposures()) as temporary:
        tables = ((of_exposures, EXPOSURES, "EXPOSURES"), (of_frames, FRAMES, "FRAMES"))
        hdus = [fits.BinTableHDU(_table(rows, types), name=name) for rows, types, name in tables]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(temporary, overwrite=True)
    table = _table(of_tiles, TILES)
    with atomic_path(layout.tiles().with_suffix(".csv")) as temporary:
        table.write(temporary, format="ascii.csv", overwrite=True)
    with atomic_path(layout.tiles()) as temporary:
        hdu = fits.BinTableHDU(table, name="TILE_COMPLETENESS")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(temporary, overwrite=True)
    return len(of_tiles), len(of_exposures), len(of_frames)


def _calibrated(layout: Layout, exposure: Exposure) -> list[str]:
    """Return the cameras of which there is a calibrated frame."""
    paths = {camera: layout.exposure("cframe", exposure.night, exposure.expid, camera) for camera in exposure.cameras}
    return sorted(camera for camera, path in paths.items() if path.is_file())


def _cells(path: Path) -> dict[int, dict[str, str]]:
    """Return the cells of an exposure table that the library has no other use for, by expid."""
    with path.open(newline="", encoding="utf-8") as stream:
        return {int(cells["EXPID"]): cells for cells in csv.DictReader(stream)}


def _row(exposure: Exposure, cells: Mapping[str, str]) -> dict[str, Any]:
    """Return an exposure as a row, with what frames and tiles say of it as well."""
    goal = _word(cells, "GOALTYPE")
    ebvfac = _number(cells, "EBVFAC")
    return {
        "NIGHT": exposure.night,
        "EXPID": exposure.expid,
        "TILEID": exposure.tileid,
        "TILERA": _number(cells, "TARGTRA"),
        "TILEDEC": _number(cells, "TARGTDEC"),
        "MJD": float(cells.get("MJD-OBS") or COLUMNS["MJD-OBS"]),
        "SURVEY": exposure.survey,
        "PROGRAM": exposure.program,
        "FAPRGRM": exposure.program,
        "FAFLAVOR": f"{exposure.survey}{exposure.program}",
        "EXPTIME": exposure.exptime,
        "GOALTIME": _number(cells, "GOALTIME"),
        "GOALTYPE": goal,
        "AIRMASS": _number(cells, "AIRMASS"),
        "EBV": 2.5 * np.log10(ebvfac) / EXTINCTION,
        "EFFTIME_ETC": _number(cells, "EFFTIME_ETC"),
    }


def _number(cells: Mapping[str, str], name: str) -> float:
    """Return a number, NaN where the table has what stands for none."""
    text = cells.get(name) or ""
    try:
        return float("nan") if not text or float(text) == COLUMNS[name] else float(text)
    except ValueError:
        return float("nan")


def _word(cells: Mapping[str, str], name: str) -> str:
    text = cells.get(name) or ""
    return "" if text == COLUMNS[name] else text


def _tile(tileid: int, exposures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a tile as a row."""
    own = [row for row in exposures if row["TILEID"] == tileid]
    same = ("SURVEY", "PROGRAM", "FAPRGRM", "FAFLAVOR", "TILERA", "TILEDEC", "GOALTIME", "GOALTYPE")
    return {name: own[-1][name] for name in same} | {
        "TILEID": tileid,
        "NEXP": len(own),
        "EXPTIME": sum(row["EXPTIME"] for row in own),
        "EFFTIME_ETC": sum(row["EFFTIME_ETC"] for row in own),
        "LASTNIGHT": max(row["NIGHT"] for row in own),
    }


def _table(rows: list[dict[str, Any]], types: Types) -> Table:
    """Return rows as a table; what they do not have is NaN, or empty."""
    missing = {"f": float("nan"), "U": ""}
    columns = {
        name: np.array([row[name] if name in row else missing[np.dtype(kind).kind] for row in rows], kind)
        for name, kind in types.items()
    }
    return Table(columns)
