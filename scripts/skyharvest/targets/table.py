"""The targets: a CSV of sky positions in, a validated table out.

What is wrong with the file as a whole is an `InputError`. What is wrong with a row rejects that row, with a reason, and
the rest goes on: every row of the CSV ends either in the table or among the rejected ones.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyharvest.core.atomic import atomic_path
from skyharvest.core.words import distinct_names
from skyharvest.formats import arrow
from skyharvest.targets import settings, targetids
from skyharvest.targets.column_types import as_text, typed
from skyharvest.targets.csv_path import content_digest
from skyharvest.targets.csv_rows import OWN_COLUMNS, Names, Rejected, blocks, count_kinds, open_rows
from skyharvest.targets.csv_text import open_to_write, readable, write_rows
from skyharvest.targets.healpix_column import check_healpix_column
from skyharvest.targets.positions import GROUP, NSIDE_COADDS, RowsRead

log = logging.getLogger(__name__)

REJECTED_COLUMNS = ("row", "reason")
GROUP_ROWS = 1 << 14  # of the table, read at once by jobs that want a few of them


@dataclass(frozen=True)
class TargetTable:
    """The rows of a CSV.

    Attributes
    ----------
    table : pyarrow.Table
        Of the accepted rows, in CSV order: ``row`` int64, ``ra`` [0, 360) and ``dec`` float64 (degrees), ``pix16``,
        ``pix64`` (NESTED), ``pix64_group`` int64, then the CSV's columns, each with its name in the CSV in the field's
        metadata as ``csv_column``.
    rejected
        The other rows.
    columns
        The CSV's header.
    n_rows
        Rows in all; blank lines are not rows.
    n_healpix_disagree
        RowsRead rows whose ``healpix`` is not the NSIDE=16 NESTED pixel of RA and Dec; None where there is no such
        column to check.
    remarks
        What is suspicious of the values as a whole, or was left out.
    """

    table: pa.Table
    rejected: list[Rejected]
    columns: list[str]
    n_rows: int
    n_healpix_disagree: int | None
    remarks: list[str]


def read_targets(
    csv: str | os.PathLike[str],
    ra: str = settings.Targets.ra,
    dec: str = settings.Targets.dec,
    healpix: str | None = None,
    targetid: str | None = None,
    *,
    text: Sequence[str] = (),
) -> TargetTable:
    """Read and check a CSV of sky positions.

    Columns become int64 if every cell that is not blank is an integer of that range without leading zeros, else
    float64 if every one is a number that a float gives back as it is written, else bool if every one is true or false
    in any case; anything else stays text, cell by cell as it was: see `skyharvest.targets.column_types`. In numbers
    and booleans a blank cell is a null. Integers of 64 bits do not fit into a float: a column of them with blank cells
    stays int64, and one with other numbers or larger integers stays text.

    Parameters
    ----------
    csv
        RFC 4180 text in UTF-8 with a header line, as ``.gz`` too.
    ra, dec
        Columns of the position, ICRS degrees; RA within [-180, 360] is taken modulo 360.
    healpix
        Column that should hold NSIDE=16 NESTED pixels.
    targetid
        Column of DESI TARGETIDs; rows without one are rejected.
    text
        Columns that stay text, whatever their cells look like.

    Raises
    ------
    InputError
        If the file is absent, unreadable, or not a CSV; if a column is absent, two have one name, or one has none; if
        no row is usable; if less than 99.9 % of ``healpix`` agree with RA and Dec.
    """
    path, names = Path(csv), Names(ra, dec, healpix, targetid, tuple(text))
    rows_read = RowsRead()
    with open_rows(path, names) as (columns, rows, given, of_file):
        chunks: list[list[Any]] = [[] for _ in columns]
        for block in blocks(rows):
            accepted = [row.cells for row in rows_read.accept(block)]
            if given is None:
                for chunk, cells in zip(chunks, zip(*accepted, strict=True), strict=False):  # no columns of no rows
                    chunk.append(pa.array(cells, pa.string()))
    rows_read.require_some(path)
    own = rows_read.own_columns()
    if given is None:
        values = [pa.chunked_array(chunk, pa.string()) for chunk in chunks]
    else:
        values = arrow.take(given, own["row"]).columns
    everywhere = np.concatenate([own["row"], np.array([bad.row for bad in rows_read.rejected], np.int64)])
    assert np.array_equal(np.sort(everywhere), np.arange(rows_read.n_rows)), "a row was lost or is there twice"
    disagree = check_healpix_column(path, names, rows_read.healpix, own)
    metadata = {
        "csv": os.fsencode(path.name).decode("utf-8", "backslashreplace"),
        "csv_sha256": content_digest(path),
        "n_rows": str(rows_read.n_rows),
        "n_rejected": str(len(rows_read.rejected)),
        "ra_column": ra,
        "dec_column": dec,
    }
    table = _table(own, columns, values, names, metadata, guess=given is None)
    remarks = [*of_file, *rows_read.remarks(names)]
    if targetid is not None and (said := targetids.warning(column_of(table, targetid).to_numpy())):
        remarks.append(f"column {targetid}: {said}")
    for remark in remarks:
        log.warning("%s: %s", path, remark)
    return TargetTable(table, rows_read.rejected, columns, rows_read.n_rows, disagree, remarks)


def column_of(table: Any, name: str) -> Any:
    """Return a column by its name in the CSV."""
    return next(
        table.column(k)
        for k, field in enumerate(table.schema)
        if (field.metadata or {}).get(b"csv_column") == name.encode()
    )


def write_targets(targets: TargetTable, directory: str | os.PathLike[str]) -> None:
    """Write ``targets.parquet``, ``rejected.csv``, ``pix64.txt`` and ``pix64_counts.csv``.

    ``rejected.csv`` is ``row,reason`` and the CSV's columns (one that is itself called so gets ``csv_`` before its
    name), rows of other lengths padded or cut (what was cut is in the reason), undecodable bytes and NULs as ``\\xNN``.
    The two lists of pixels are ordered by falling count, then pixel.
    """
    directory = Path(directory)
    with atomic_path(directory / "targets.parquet") as temporary:  # pyarrow takes run:2/a.parquet for an address
        pq.write_table(targets.table, temporary.absolute(), row_group_size=GROUP_ROWS)
    n = len(targets.columns)
    header = [*REJECTED_COLUMNS, *distinct_names(targets.columns, REJECTED_COLUMNS)]
    refused = ([str(bad.row), bad.reason, *(bad.cells + [""] * n)[:n]] for bad in targets.rejected)
    with atomic_path(directory / "rejected.csv") as temporary, open_to_write(temporary) as out:
        write_rows(out, ([readable(cell) for cell in row] for row in (header, *refused)))
    pixel, count = np.unique(targets.table.column("pix64").to_numpy(), return_counts=True)
    order = np.lexsort((pixel, -count))
    pixel, count = pixel[order].tolist(), count[order].tolist()
    with atomic_path(directory / "pix64.txt") as temporary:
        temporary.write_text("".join(f"{pix}\n" for pix in pixel), encoding="utf-8")
    with atomic_path(directory / "pix64_counts.csv") as temporary:
        lines = (f"{pix},{n},{pix // GROUP}\n" for pix, n in zip(pixel, count, strict=True))
        temporary.write_text("".join(["pix64,count,pix64_group\n", *lines]), encoding="utf-8")


def summary(targets: TargetTable, directory: str | os.PathLike[str]) -> str:
    """Return the table that ``prepare_targets.py`` shows; ``directory`` is where `write_targets` wrote."""
    lines = [
        f"{'rows read':<34}{targets.n_rows:>9,}",
        f"{'  accepted':<34}{targets.table.num_rows:>9,}",
        f"{'  rejected':<34}{len(targets.rejected):>9,}",
    ]
    lines += [f"    {kind:<30}{count:>9,}" for kind, count in count_kinds(targets.rejected)]
    n_pixels = pc.count_distinct(targets.table.column("pix64")).as_py()
    lines.append(f"{f'NSIDE={NSIDE_COADDS} pixels':<34}{n_pixels:>9,}")
    if targets.n_healpix_disagree is not None:
        lines.append(f"{'healpix column: rows that disagree':<34}{targets.n_healpix_disagree:>9,}")
    lines += targets.remarks
    if targets.rejected:
        lines.append(f"the rejected rows and why: {Path(directory) / 'rejected.csv'}")
    return "\n".join(lines)


def _table(
    own: dict[str, npt.NDArray[Any]],
    columns: Sequence[str],
    values: Sequence[Any],
    names: Names,
    metadata: dict[str, str],
    *,
    guess: bool,
) -> Any:
    """Return the table of the accepted rows, with the CSV's columns in their types; ``guess`` those of its text."""
    fields = [pa.field(name, pa.from_numpy_dtype(values.dtype)) for name, values in own.items()]
    arrays: list[Any] = [pa.array(values) for values in own.values()]
    for name, stored, given in zip(columns, distinct_names(columns, OWN_COLUMNS), values, strict=True):
        column = given
        if name in names.text:
            column = as_text(given)
        elif pa.types.is_string(given.type) and (guess or name in (names.ra, names.dec, names.targetid)):
            column = typed(given, identifier=name == names.targetid, position=name in (names.ra, names.dec))
        fields.append(pa.field(stored, column.type, metadata={"csv_column": name}))
        arrays.append(column)
    return pa.table(arrays, schema=pa.schema(fields, metadata=metadata))
