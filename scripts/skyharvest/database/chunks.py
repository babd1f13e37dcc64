"""Rows of FITS tables, some at a time, and as rows of tables of the database."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pyarrow as pa

from skyharvest.core.arrays import Array, Bools
from skyharvest.core.errors import MalformedFile
from skyharvest.database.schema import Definition, arrow_of, text_length

CHUNK_ROWS = 16_384
UNKNOWN = -9999
"""A number that a file does not have, or NaN: as desispec's own loader has it."""

OF_ALL = ("TILEID", "SURVEY", "PROGRAM")
"""Columns that may be cards of a header instead."""


class Chunk:
    """Rows of a table of a file.

    Parameters
    ----------
    hdu
        Its name.
    rows
        A structured array.
    header
        Of the HDU, and of the file: what a column has for all rows.
    place
        File and HDU, for messages.
    """

    def __init__(self, hdu: str, rows: Array, header: Mapping[str, Any], place: str) -> None:
        self.names = {name.upper(): name for name in rows.dtype.names or ()}
        self.hdu, self.place = hdu, place
        self._rows, self._header = rows, header

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self.names or name in self._header

    def __getitem__(self, name: str) -> Array:
        """Return a column, in native byte order; texts without blanks at their end."""
        if name not in self.names:
            if name not in self._header:
                raise MalformedFile(f"{self.place} has no column {name}")
            return np.full(len(self), self._header[name])
        values = np.asarray(self._rows[self.names[name]])
        if values.dtype.kind in "SU":
            return np.char.rstrip(values)
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def chosen(self, rows: Bools) -> "Chunk":
        """Return some of the rows."""
        return Chunk(self.hdu, self._rows[rows], self._header, self.place)


def tables_in(path: Path, needed: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Return the tables of a file that are read, with their columns in capitals.

    Parameters
    ----------
    needed
        HDUs that are read → columns that they must have.

    Raises
    ------
    MalformedFile
        If it is no FITS file, is cut short, or lacks such a column.
    """
    with _open(path) as file:
        tables = {hdu.get_extname(): {name.upper() for name in hdu.get_colnames()} for hdu in _tables(file, needed)}
    for name, columns in tables.items():
        if missing := [one for one in needed[name] if one not in columns]:
            raise MalformedFile(f"{path}[{name}] has no column {', '.join(missing)}")
    return tables


def read_chunks(path: Path, needed: Collection[str]) -> Iterator[Chunk]:
    """Yield the rows of a file's tables, some at a time; of an empty table once none.

    Raises
    ------
    MalformedFile
        If it cannot be read to its end.
    """
    with _open(path) as file:
        for hdu in _tables(file, needed):
            name = hdu.get_extname()
            cards = {key: of for of in (file[0].read_header(), hdu.read_header()) for key in OF_ALL if key in of}
            header = {key: of[key] for key, of in cards.items()}
            n_rows = hdu.get_nrows()
            if not n_rows:
                yield Chunk(name, np.zeros(0, hdu.get_rec_dtype()[0]), header, f"{path}[{name}]")
            for start in range(0, n_rows, CHUNK_ROWS):
                try:
                    rows = hdu[start : min(start + CHUNK_ROWS, n_rows)]
                except OSError as error:
                    raise MalformedFile(f"{path}[{name}]: rows from {start} on cannot be read: {error}") from error
                yield Chunk(name, rows, header, f"{path}[{name}]")


def _open(path: Path) -> Any:
    try:
        return fitsio.FITS(str(path))
    except OSError as error:
        raise MalformedFile(f"{path} cannot be read as FITS: {error}") from error


def _tables(file: Any, wanted: Collection[str]) -> Iterator[Any]:
    return (hdu for hdu in file if hdu.get_extname() in wanted)


def rows_of(definition: Definition, chunk: Chunk, given: Mapping[str, Any]) -> pa.RecordBatch:
    """Return a chunk as rows of a table: given columns, else the chunk's of the same names, else what is not known.

    Raises
    ------
    MalformedFile
        If a value is out of the range of its column; names the column.
    """
    columns = []
    for name, kind in definition.columns.items():
        if name in given:
            values = given[name]
        elif name.upper() in chunk:
            values = chunk[name.upper()]
        else:
            values = _unknown(name, kind, len(chunk))
        columns.append(_typed(values, name, kind, chunk))
    return pa.RecordBatch.from_arrays(columns, schema=definition.arrow)


def _unknown(name: str, kind: str, n: int) -> Array:
    if kind.startswith("text"):
        return np.full(n, b"")
    if kind == "boolean":
        return np.zeros(n, bool)
    return np.full(n, 0 if name.endswith("_target") else UNKNOWN)


def _typed(values: Any, name: str, kind: str, chunk: Chunk) -> pa.Array:
    """Return values as the type of a kind; what does not fit is an error."""
    wanted = arrow_of(kind)
    try:
        if pa.types.is_string(wanted):
            array = pa.array(values)
            text = array.cast(wanted) if array.type != wanted else array
            length = text_length(kind)
            width = values.itemsize // (4 if values.dtype.kind == "U" else 1) if isinstance(values, np.ndarray) else 0
            if length is not None and width > length:
                longest = max(map(len, text.to_pylist()), default=0)
                if longest > length:
                    raise pa.ArrowInvalid(f"a text of {longest} characters")
            return text
        values = np.asarray(values)
        if pa.types.is_boolean(wanted):
            return pa.array(values.astype(bool))
        if pa.types.is_floating(wanted):
            values = np.nan_to_num(values.astype(wanted.to_pandas_dtype()), nan=UNKNOWN, posinf=np.inf, neginf=-np.inf)
        return pa.array(values).cast(wanted)
    except (pa.ArrowInvalid, ValueError, TypeError, OverflowError) as error:
        raise MalformedFile(f"{chunk.place}, column {name.upper()}: {error}, expected {kind}") from None
