"""A copy of a CSV of sky positions with its pixels added."""

import os
from pathlib import Path

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.sky.healpix import ang2pix
from skyharvest.targets.csv_rows import Names, Rejected, blocks, open_rows
from skyharvest.targets.csv_text import open_to_write, write_rows
from skyharvest.targets.healpix_column import check_healpix_column
from skyharvest.targets.positions import GROUP, NSIDE_COADDS, RowsRead

ADDED_COLUMNS = ("pix64", "pix64_group")


def add_pix64(path: str | os.PathLike[str], out: str | os.PathLike[str], names: Names) -> tuple[int, list[Rejected]]:
    """Copy a CSV, with ``pix64`` (NSIDE=64, NESTED) and ``pix64_group`` (pix64 // 100) added as last columns.

    All rows are kept, in their order, and all cells as they were. Rejected rows have the two cells empty; where a row
    has more fields than the header, its surplus comes after the two.

    Parameters
    ----------
    path
        As for `table.read_targets`.
    out
        The file to write; compressed if its name ends in ``.gz``.
    names
        The columns to use.

    Returns
    -------
    n_rows : int
    rejected : list of Rejected

    Raises
    ------
    InputError
        As `table.read_targets` does, and if the CSV has one of the two columns already, or is the file to write.
    """
    path, out = Path(path), Path(out)
    if out.exists() and path.exists() and out.samefile(path):
        raise InputError(f"{out} is the CSV itself: give another file to write")
    rows_read = RowsRead()
    with open_rows(path, names) as (columns, rows, *_), atomic_path(out) as temporary:
        for name in ADDED_COLUMNS:
            if name in columns:
                raise InputError(f"{path} has a column {name!r} already: rename or remove it first")
        n = len(columns)
        with open_to_write(temporary, compress=out.suffix == ".gz") as stream:
            write_rows(stream, [[*columns, *ADDED_COLUMNS]])
            for block in blocks(rows):
                accepted = rows_read.accept(block)
                pixel = ang2pix(NSIDE_COADDS, [row.ra for row in accepted], [row.dec for row in accepted])
                given = iter([[str(pix), str(pix // GROUP)] for pix in pixel.tolist()])
                added = [["", ""] if row.problems else next(given) for row in block]
                padded = [row.cells + [""] * (n - len(row.cells)) for row in block]
                write_rows(stream, (cells[:n] + two + cells[n:] for cells, two in zip(padded, added, strict=True)))
        rows_read.require_some(path)
        check_healpix_column(path, names, rows_read.healpix, rows_read.own_columns())
    return rows_read.n_rows, rows_read.rejected
