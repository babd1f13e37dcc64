"""The table of a shot's cubes, ``cubes.csv`` beside them: a row for each pairing, also of those that have no cube.

Columns: ifu (the pairing), state, reason (why there is no cube), path (the cube's, in the directory), then those of
``ifu-index.fits`` that are known when a cube is made. A shot that failed has one row, without a pairing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.csv_file import read_rows, write_rows
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.amp_file import DONE, FAILED
from skyharvest.reduction.hetdex.shots.shot_tables import columns_of

NAME = "cubes.csv"
FLUX_LIMIT = "fluxlimit_4600"
INDEX = columns_of(
    """shotid i8, ifuslot S3, ra_cen f8, dec_cen f8, flag f4, flag_badamp f4, flag_badfib f4, flag_meteor f4,
    flag_satellite f4, flag_shot f4, flag_throughput f4, field S12, objid S18, date i4, obsid i4, ra_shot f8, dec_shot
    f8, pa f8, n_ifu i4, fwhm_virus f4, fwhm_virus_err f4, response_4540 f4, ambtemp f4, datevobs S12, dewpoint f4,
    exptime f4, humidity f4, mjd f8, nstars_fit_fwhm i4, obsind i4, pressure f4, structaz f4, time S7, trajcdec f4,
    trajcpa f4, trajcra f4, content S16, fluxlimit_4600 f4"""
)
"""Columns of ``ifu-index.fits``, as PDR1 has them (ra_cen and dec_cen in 64 bits: 32 are 0.06″ off); and content, a
digest of the cube's file, by which the harvest sees that a cube was made again."""
_VALUES = tuple(name for name in INDEX.names or () if name != FLUX_LIMIT)
HEADER = ("ifu", "state", "reason", "path", *_VALUES)


@dataclass(frozen=True)
class CubeRow:
    """A row.

    Attributes
    ----------
    ifu
        The pairing; no text for a shot that failed.
    reason
        Why there is no cube; empty if there is.
    path
        The cube's, in the directory.
    values
        () of type `INDEX`, without the flux limit: NaN; None if there is no cube.
    """

    ifu: str
    reason: str = ""
    path: str = ""
    values: Array | None = None


def write(directory: Path, rows: Iterable[CubeRow]) -> None:
    """Write the table."""
    write_rows(directory / NAME, HEADER, map(_cells, rows))


def read(directory: Path) -> list[CubeRow]:
    """Read the table.

    Raises
    ------
    MalformedFile
        If it is no such table.
    """
    path = directory / NAME
    try:
        return [_row(path, cells) for cells in read_rows(path, HEADER)]
    except FileNotFoundError:
        raise MalformedFile(f"{path}: it is not there; remove the directory and run again") from None


def _cells(row: CubeRow) -> list[str]:
    state = FAILED if row.values is None else DONE
    values = [""] * len(_VALUES) if row.values is None else [_cell(row.values[name]) for name in _VALUES]
    return [row.ifu, state, row.reason, row.path, *values]


def _cell(value: Array) -> str:
    if value.dtype.kind == "S":
        return str(value.item().decode("ascii", "replace"))
    if value.dtype.kind == "i":
        return str(value)
    return "" if np.isnan(value) else str(value)  # as many digits as tell it


def _row(path: Path, cells: list[str]) -> CubeRow:
    ifu, state, reason, name, *words = cells
    if state != DONE:
        return CubeRow(ifu, reason)
    values = np.zeros((), INDEX)
    values[FLUX_LIMIT] = np.nan
    try:
        for column, word in zip(_VALUES, words, strict=True):
            values[column] = word.encode() if INDEX[column].kind == "S" else word or np.nan
    except ValueError as error:
        raise MalformedFile(f"{path}: {ifu}: found {error}; remove the directory and run again") from None
    return CubeRow(ifu, reason, name, values)
