"""Indices of columns as PyTables lays them out, by which its queries read few rows: written with h5py.

Layout: class ``Index`` of PyTables (https://www.pytables.org/usersguide/libref/helper_classes.html; format 2.1), of
the kind ``full``. An index of a column has its values in slices, each of which is sorted by itself, with the numbers of
their rows; what does not fill a slice is the last row, ``LR``. Values of chunks' edges (bounds) and of slices' (ranges)
say where to look. A query looks into every slice, so that values need not be sorted over all of them; if they are,
the index says so (``is_csi``), and PyTables sorts by it, too. NaN is in the index as infinity: what an index finds,
PyTables compares with the rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.formats.pytables import LEVEL, TableWriter, describe, new_group

SLICE, CHUNK = 1 << 18, 1 << 12
"""Values of a slice and of a chunk."""
VERSION, CONTAINER, GROWING, FIXED = "2.1", "1.0", "1.1", "1.1"
_ZLIB_SHUFFLE = 65793
"""How PyTables writes down gzip of level 1 with shuffle."""


class IndexWriter:
    """The index of a column, written while its table is. Memory is that of a slice.

    Parameters
    ----------
    table
        Dataset of the table, see `skyharvest.formats.pytables.TableWriter`.
    column
        Its column: of numbers.
    n_rows
        How many rows the table will have.
    slice_size, chunk_size
        Values of a slice, and of a chunk, of which it has several.
    """

    def __init__(
        self, table: h5py.Dataset, column: str, n_rows: int, *, slice_size: int = SLICE, chunk_size: int = CHUNK
    ) -> None:
        assert slice_size % chunk_size == 0 and slice_size > chunk_size, f"found {slice_size} and {chunk_size}"
        self._dtype: np.dtype[Any] = table.dtype[column]
        self._size, self._chunk, self._n_rows = slice_size, chunk_size, n_rows
        self._n_slices, self._n_last = divmod(n_rows, slice_size)
        self._waiting = np.zeros(min(slice_size, n_rows), self._dtype)
        self._n_waiting = self._done = 0
        self._largest: Any = None
        self._is_sorted = n_rows > 0
        self.group = self._new_group(table, column)
        self._make_datasets()

    def _new_group(self, table: h5py.Dataset, column: str) -> h5py.Group:
        name = table.name.rpartition("/")[2]
        if f"_i_{name}" not in table.parent:
            container = new_group(table.parent, f"_i_{name}", f"Indexes container for table {table.name}")
            describe(container, "TINDEX", CONTAINER, f"Indexes container for table {table.name}")
        group = new_group(table.parent[f"_i_{name}"], column)
        describe(group, "INDEX", VERSION, f"Index for {column} column")
        block = np.uint64(self._size * max(1, -(-self._n_rows // self._size)))
        group.attrs.update(
            DIRTY=np.int32(0),
            FILTERS=np.int64(_ZLIB_SHUFFLE),
            superblocksize=block,
            blocksize=block,
            slicesize=np.uint32(self._size),
            chunksize=np.uint32(self._chunk),
            optlevel=np.int64(0),
            reduction=np.int64(1),
        )
        return group

    def _make_datasets(self) -> None:
        per_slice = self._size // self._chunk
        n, kind = self._n_slices, self._dtype
        self._new("sorted", kind, (n, self._size), (1, self._chunk), kind="INDEXARRAY", title="Sorted Values")
        self._new(
            "indices", "<u8", (n, self._size), (1, self._chunk), kind="INDEXARRAY", title="Number of chunk in table"
        )
        self._new("ranges", kind, (n, 2), (4096, 2), kind="CACHEARRAY", title="Range Values")
        self._new("mranges", kind, (n,), (4096,), kind="EARRAY", title="Median ranges")
        self._new("bounds", kind, (n, per_slice - 1), (1, per_slice - 1), kind="CACHEARRAY", title="Boundary Values")
        for name, title in (("abounds", "Start bounds"), ("zbounds", "End bounds"), ("mbounds", "Median bounds")):
            self._new(name, kind, (n * per_slice,), (4096,), kind="EARRAY", title=title)
        length = self._size + per_slice + 1  # with the bounds of its chunks, and the first and the last value
        self._new(
            "sortedLR", kind, (length,), (self._chunk,), kind="LASTROWARRAY", title="Last Row sorted values + bounds"
        )
        self._new("indicesLR", "<u8", (self._size,), (self._chunk,), kind="LASTROWARRAY", title="Last Row indices")
        for name in ("sortedLR", "indicesLR"):
            self.group[name].attrs["nelements"] = np.int64(self._n_last)

    def _new(
        self, name: str, dtype: Any, shape: tuple[int, ...], chunks: tuple[int, ...], *, kind: str, title: str
    ) -> None:
        grows = kind != "LASTROWARRAY"
        dataset = self.group.create_dataset(
            name,
            shape,
            dtype,
            chunks=chunks,
            maxshape=(None, *shape[1:]) if grows else shape,
            compression="gzip",
            compression_opts=LEVEL,
            shuffle=True,
        )
        describe(dataset, kind, GROWING if grows else FIXED, title)
        if grows:
            dataset.attrs["EXTDIM"] = np.int32(0)

    def __enter__(self) -> Self:
        """Open it: nothing is left to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Write the last row; all values have to be there."""
        if kind is None:
            found = self._done + self._n_waiting
            assert found == self._n_rows, f"{self.group.name}: found {found} values; expected {self._n_rows}"
            if self._n_waiting:
                self._write_last_row()
            self.group.attrs["is_csi"] = np.uint8(self._is_sorted)

    def append(self, values: Array) -> None:
        """Add the values of the next rows, (n,)."""
        done = 0
        while done < len(values):
            n = min(len(self._waiting) - self._n_waiting, len(values) - done)
            assert n, f"{self.group.name}: found more values than {self._n_rows}"
            piece = values[done : done + n]
            if self._dtype.kind == "f":  # NaN as the last value of a slice would hide the others
                piece = np.where(np.isnan(piece), np.inf, piece)
            self._waiting[self._n_waiting : self._n_waiting + n] = piece
            self._n_waiting += n
            done += n
            if self._n_waiting == self._size:
                self._write_slice()

    def _sorted(self) -> tuple[Array, Array]:
        """Return the waiting values, sorted, and their rows."""
        values = self._waiting[: self._n_waiting]
        order = np.argsort(values, kind="stable")
        made = values[order]
        if self._largest is not None and not self._largest <= made[0]:
            self._is_sorted = False
        self._largest = made[-1]
        rows = self._done + order.astype(np.uint64)
        self._done += self._n_waiting
        self._n_waiting = 0
        return made, rows

    def _write_slice(self) -> None:
        k, n, per_slice = self._done // self._size, self._chunk, self._size // self._chunk
        values, rows = self._sorted()
        median = values[n // 2 :: n]
        self.group["sorted"][k], self.group["indices"][k] = values, rows
        self.group["ranges"][k], self.group["mranges"][k] = values[[0, -1]], median[per_slice // 2]
        self.group["bounds"][k] = values[n::n]
        chunks = slice(k * per_slice, (k + 1) * per_slice)
        for name, edges in (("abounds", values[::n]), ("zbounds", values[n - 1 :: n]), ("mbounds", median)):
            self.group[name][chunks] = edges

    def _write_last_row(self) -> None:
        values, rows = self._sorted()
        edges = np.concatenate([values[:: self._chunk], values[-1:]])
        self.group["sortedLR"][: len(values) + len(edges)] = np.concatenate([values, edges])
        self.group["indicesLR"][: len(rows)] = rows


class IndexedTable:
    """A table that is written piece by piece, with indices of columns.

    Parameters
    ----------
    parent, name, dtype, n_rows, title, chunk
        See `TableWriter`.
    columns
        Those that get an index.
    """

    def __init__(
        self,
        parent: h5py.Group,
        name: str,
        dtype: np.dtype[Any],
        n_rows: int,
        *,
        columns: Sequence[str],
        title: str = "",
        chunk: int | None = None,
    ) -> None:
        self._table = TableWriter(parent, name, dtype, n_rows, title, chunk=chunk)
        self._indices = {column: IndexWriter(self._table.dataset, column, n_rows) for column in columns}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Open it: it is whole once it is left."""
        self._open.enter_context(self._table)
        for index in self._indices.values():
            self._open.enter_context(index)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Write what is left."""
        self._open.__exit__(kind, error, where)

    def takes_chunks_of(self, other: h5py.Dataset) -> bool:
        """Tell whether chunks of another table may be added as they are."""
        return self._table.takes_chunks_of(other)

    def append(self, rows: Array) -> None:
        """Add rows, (n,) of the table's type."""
        self._table.append(rows)
        for column, index in self._indices.items():
            index.append(rows[column])

    def append_chunks(self, chunks: Iterable[tuple[int, bytes]], values: Mapping[str, Array]) -> None:
        """Add chunks of another table as they are: filter mask and bytes of each; and their values of the columns."""
        for mask, stored in chunks:
            self._table.append_chunk(stored, mask)
        for column, index in self._indices.items():
            index.append(values[column])
