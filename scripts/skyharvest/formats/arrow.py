"""Arrow tables to numpy, without pandas, whose import takes half of a short job's time.

`pyarrow.parquet.read_table` with a filter, `pyarrow.array`, and an array's own ``to_numpy`` import pandas if it is
installed, so they are not used here.

Source: arrow.apache.org/docs/format/Columnar.html, "Validity bitmaps" and "Fixed-size Primitive Layout".
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from skyharvest.core.arrays import NULL_INTEGER

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


def rows_where(parquet: Path, column: str, value: int) -> pa.Table:
    """Return the rows of a Parquet file that have this number in a column, holding one row group at a time."""
    with pq.ParquetFile(parquet.absolute()) as file:  # pyarrow takes run:2/a.parquet for an address
        parts = [pa.Table.from_batches([], file.schema_arrow)]
        for group in range(file.num_row_groups):
            index = np.flatnonzero(to_numpy(file.read_row_group(group, [column]).column(column))[0] == value)
            if len(index):
                parts.append(take(file.read_row_group(group), index))
    return pa.concat_tables(parts)


def take(table: pa.Table, index: Ints) -> pa.Table:
    """Return the table's rows ``index``, (n,) int64."""
    index = np.ascontiguousarray(index, np.int64)
    return table.take(pa.Array.from_buffers(pa.int64(), len(index), [None, pa.py_buffer(index)]))


def to_numpy(column: pa.ChunkedArray) -> tuple[Array, int | None]:
    """Return a column as an array, and the number that stands for an empty cell, if any.

    Integers stay 64-bit integers even where cells are empty: as floats, long identifiers would lose digits. Strings
    become an object array, with "" for empty cells.
    """
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return np.array([cell or "" for cell in column.to_pylist()], object), None
    chunks = [_numbers(chunk) for chunk in column.chunks]
    dtype = np.dtype("?") if pa.types.is_boolean(kind) else _dtype(kind)
    values = np.concatenate([np.zeros(0, dtype), *(numbers for numbers, _ in chunks)])
    if not column.null_count:
        return values, None
    empty = ~np.concatenate([valid for _, valid in chunks])
    if pa.types.is_floating(kind):
        return np.where(empty, np.nan, values).astype(dtype), None
    if pa.types.is_boolean(kind):
        return np.where(empty, -1, values).astype(np.int8), -1
    return np.where(empty, NULL_INTEGER, values.astype(np.int64)), NULL_INTEGER


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    letter = "f" if pa.types.is_floating(kind) else "u" if pa.types.is_unsigned_integer(kind) else "i"
    return np.dtype(f"{letter}{kind.bit_width // 8}")


def _numbers(chunk: pa.Array) -> tuple[Array, Array]:
    """Return an array's numbers (arbitrary in empty cells), and which cells are not empty."""
    begin, n = chunk.offset, len(chunk)
    bitmap, data = chunk.buffers()
    valid = np.ones(n, bool) if bitmap is None else _bits(bitmap, begin, n)
    if n == 0:
        return np.zeros(0, bool), valid
    if pa.types.is_boolean(chunk.type):
        return _bits(data, begin, n), valid
    return np.frombuffer(data, _dtype(chunk.type))[begin : begin + n], valid


def _bits(bitmap: pa.Buffer, begin: int, n: int) -> Array:
    packed = np.frombuffer(bitmap, np.uint8)
    return np.unpackbits(packed, count=begin + n, bitorder="little")[begin:].astype(bool)
