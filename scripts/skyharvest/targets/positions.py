"""The positions of a CSV: which of its rows can be used, where they are, and which pixels they fall into.

Reads with numpy and the standard library alone: a program that needs no other column of the CSV starts quickly.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import InputError
from skyharvest.sky.healpix import ang2pix
from skyharvest.targets.csv_rows import OWN_COLUMNS, Names, Rejected, Row, blocks, open_rows
from skyharvest.targets.healpix_column import NSIDE_FILES

log = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NSIDE_COADDS = 64  # of DESI's healpix coadds
HOURS = 24.0
SPREAD_HOURS, SPREAD_DEC = 12.0, 60.0  # of RA and Dec (degrees) that are spread over the sky
FEWEST = 10  # positions that are spread over anything
GROUP = 100  # pix64 // 100 names the coadds' directory


class RowsRead:
    """What has been read so far: the accepted rows' numbers and positions, and the rejected rows."""

    def __init__(self) -> None:
        self.n_rows = 0
        self.rejected: list[Rejected] = []
        self.row: list[int] = []
        self.ra: list[float] = []
        self.dec: list[float] = []
        self.healpix: list[int] = []

    def accept(self, block: Sequence[Row]) -> list[Row]:
        """Count and number the rows, and return those without problems."""
        accepted = []
        for number, row in enumerate(block, self.n_rows):
            if row.problems:
                reason = "; ".join(reason for _, reason in row.problems)
                self.rejected.append(Rejected(number, reason, row.cells, row.problems[0][0]))
            else:
                accepted.append(row)
                self.row.append(number)
        self.ra += [row.ra for row in accepted]
        self.dec += [row.dec for row in accepted]
        self.healpix += [row.healpix for row in accepted]
        self.n_rows += len(block)
        return accepted

    def require_some(self, path: Path) -> None:
        """Raise if no row is usable."""
        if self.n_rows == 0:
            raise InputError(f"{path} has a header but no rows")
        if not self.row:
            first = "; ".join(f"row {bad.row}: {bad.reason}" for bad in self.rejected[:3])
            raise InputError(f"{path}: none of its {self.n_rows:,} rows is usable. The first ones: {first}")

    def remarks(self, names: Names) -> list[str]:
        """Return what is suspicious of the positions together: RA that looks to be in hours."""
        _, ra, dec = self.positions()
        spread = len(ra) >= FEWEST and ra.max() - ra.min() > SPREAD_HOURS and dec.max() - dec.min() > SPREAD_DEC
        if not spread or ra.max() > HOURS:
            return []
        return [
            f"column {names.ra!r} looks to be in hours: no value is above 24 ({ra.min():g} to {ra.max():g}), while "
            f"{names.dec} goes from {dec.min():g} to {dec.max():g}. Degrees are expected: multiply by 15 if it is so"
        ]

    def positions(self) -> tuple[Ints, Floats, Floats]:
        """Return the accepted rows' numbers, RA and Dec."""
        return np.array(self.row, np.int64), np.array(self.ra, np.float64), np.array(self.dec, np.float64)

    def own_columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of `OWN_COLUMNS` for the accepted rows."""
        row, ra, dec = self.positions()
        pix64 = ang2pix(NSIDE_COADDS, ra, dec)
        values = (row, ra, dec, ang2pix(NSIDE_FILES, ra, dec), pix64, pix64 // GROUP)
        return dict(zip(OWN_COLUMNS, values, strict=True))


def read_positions(path: str | os.PathLike[str], names: Names) -> tuple[Ints, Floats, Floats]:
    """Return the 0-based row, RA in [0, 360) and Dec (degrees) of every usable row of a CSV, (n,) each.

    Raises
    ------
    InputError
        As `table.read_targets` does; it accepts and rejects the same rows.
    """
    path = Path(path)
    rows_read = RowsRead()
    with open_rows(path, names) as opened:
        for block in blocks(opened.rows):
            rows_read.accept(block)
    rows_read.require_some(path)
    for remark in rows_read.remarks(names):
        log.warning("%s: %s", path, remark)
    return rows_read.positions()
