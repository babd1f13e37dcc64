"""HDF5 tables as PyTables lays them out, so that it opens, reads and queries them: written with h5py.

Layout: https://www.pytables.org/usersguide/file_format.html (PyTables format 2.1).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from isal import isal_zlib

from skyharvest.core.arrays import Array

FORMAT, GROUP, TABLE, ARRAY = "2.1", "1.0", "2.7", "2.4"
LEVEL = 1
"""Of gzip, which PyTables calls zlib."""
CACHE = 1 << 16
"""Bytes of a file's metadata, see `limit_cache`."""
Columns = Sequence[tuple[Any, ...]]
"""Name, type and, where it has one, shape of each column: as numpy's."""


def describe(place: h5py.Group | h5py.Dataset, kind: str, version: str, title: str) -> None:
    """Write the attributes that tell PyTables what an object is."""
    attributes = {"CLASS": kind, "VERSION": version, "TITLE": title}
    if place.name == "/":
        attributes["PYTABLES_FORMAT_VERSION"] = FORMAT
    for name, value in attributes.items():
        place.attrs[name] = np.bytes_(value.encode("ascii", "replace")) if value else h5py.Empty("S1")


def open_new(path: Path, title: str) -> h5py.File:
    """Return a new file, to be written; its memory is limited, see `limit_cache`."""
    file = limit_cache(h5py.File(path, "w"))
    describe(file, "GROUP", GROUP, title)
    return file


def limit_cache(file: h5py.File) -> h5py.File:
    """Make HDF5 keep little of the places of a file's chunks in memory, and return the file.

    It keeps 2 MB and more of what it reads and writes, and that is 10 times as large in memory: 300 bytes a chunk.
    """
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = CACHE
    file.id.set_mdc_config(config)
    return file


def new_group(parent: h5py.Group, name: str, title: str = "") -> h5py.Group:
    """Return a new group."""
    group = parent.create_group(name)
    describe(group, "GROUP", GROUP, title)
    return group


def write_array(parent: h5py.Group, name: str, values: Array | bytes, title: str = "") -> h5py.Dataset:
    """Write an array, or a text."""
    stored = np.bytes_(values) if isinstance(values, bytes) else values
    dataset = parent.create_dataset(name, data=stored)
    describe(dataset, "ARRAY", ARRAY, title)
    dataset.attrs["FLAVOR"] = np.bytes_(b"python" if isinstance(values, bytes) else b"numpy")
    return dataset


def rows_of(columns: Columns, values: Mapping[str, Any]) -> Array:
    """Return the rows of a table, a structured array (n,).

    Parameters
    ----------
    columns
        Its type.
    values
        Of every column: an array of n, or one value for all rows. Text becomes UTF-8.
    """
    n = max((len(value) for value in values.values() if np.ndim(value)), default=1)
    made = np.zeros(n, dtype=list(columns))
    assert set(values) == set(made.dtype.names or ()), f"{sorted(values)} are not {made.dtype.names}"
    for name, value in values.items():
        is_text = made.dtype[name].kind == "S" and np.asarray(value).dtype.kind == "U"
        made[name] = np.char.encode(np.asarray(value), "utf-8") if is_text else value
    return made


def write_table(
    parent: h5py.Group,
    name: str,
    rows: Array,
    title: str = "",
    attributes: Mapping[str, Any] | None = None,
    *,
    chunk: int | None = None,
) -> h5py.Dataset:
    """Write a table that is in memory: a structured array (n,); for its chunks see `TableWriter`."""
    with TableWriter(parent, name, rows.dtype, len(rows), title, chunk=chunk) as table:
        table.append(rows)
    table.dataset.attrs.update(attributes or {})
    return table.dataset


class TableWriter:
    """A table that is written piece by piece.

    Memory is that of a piece and a chunk.

    Parameters
    ----------
    parent, name, title
        Where it is, and what it is called.
    dtype
        Of its rows: a packed structured type, columns as PyTables has them (numbers, bytes, arrays of numbers).
    n_rows
        How many there will be.
    chunk
        Rows of a chunk, which is compressed with shuffle and gzip; None: about 1 MB. A table of up to that is one
        chunk.
    compressed
        Whether chunks are compressed.

    Notes
    -----
    Chunks are compressed by ISA-L: 230 MB/s of spectra, HDF5's own gzip 45 MB/s; 0.61 of their size, not 0.58.
    """

    def __init__(
        self,
        parent: h5py.Group,
        name: str,
        dtype: np.dtype[Any],
        n_rows: int,
        title: str = "",
        *,
        chunk: int | None = None,
        compressed: bool = True,
    ) -> None:
        per_chunk = chunk or max(1, min(n_rows, 1_000_000 // dtype.itemsize))
        options: dict[str, Any] = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": True}
        self.dataset = parent.create_dataset(
            name, (n_rows,), dtype, chunks=(per_chunk,), maxshape=(None,), **(options if compressed else {})
        )
        describe(self.dataset, "TABLE", TABLE, title)
        for k, column in enumerate(dtype.names or ()):
            self.dataset.attrs[f"FIELD_{k}_NAME"] = np.bytes_(column.encode("ascii"))
            base = dtype[column].base
            self.dataset.attrs[f"FIELD_{k}_FILL"] = np.bytes_(b"") if base.kind == "S" else base.type(0)
        self.dataset.attrs["NROWS"] = np.int64(n_rows)
        self._compressed = compressed
        self._chunk = per_chunk
        self._waiting = np.zeros(per_chunk, dtype)
        self._n_waiting = 0
        self.written = 0

    def __enter__(self) -> Self:
        """Open it: nothing is left to do."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Write what is left; all rows have to be there."""
        if kind is None:
            assert self.written + self._n_waiting == len(self.dataset), (
                f"{self.dataset.name}: found {self.written + self._n_waiting} rows; expected {len(self.dataset)}"
            )
            if self._n_waiting:
                self._waiting[self._n_waiting :] = np.zeros((), self._waiting.dtype)
                self._flush()

    def append(self, rows: Array) -> None:
        """Add rows, (n,) of the table's type."""
        assert rows.dtype == self._waiting.dtype, f"found rows of {rows.dtype}; expected {self._waiting.dtype}"
        done = 0
        while done < len(rows):
            n = min(self._chunk - self._n_waiting, len(rows) - done)
            self._waiting[self._n_waiting : self._n_waiting + n] = rows[done : done + n]
            self._n_waiting += n
            done += n
            if self._n_waiting == self._chunk:
                self._flush()

    def takes_chunks_of(self, other: h5py.Dataset) -> bool:
        """Tell whether chunks of another table may be added as they are: its rows, chunks and filters are the same."""
        names = ("chunks", "compression", "shuffle", "fletcher32", "scaleoffset")
        is_stored_so = all(getattr(other, name) == getattr(self.dataset, name) for name in names)
        return is_stored_so and bool(other.id.get_type() == self.dataset.id.get_type())

    def append_chunk(self, stored: bytes, filter_mask: int = 0) -> None:
        """Add a chunk of such a table, as `h5py.h5d.DatasetID.read_direct_chunk` returns it; it has to be full."""
        assert not self._n_waiting, (
            f"{self.dataset.name}: found {self._n_waiting} rows that wait; expected whole chunks"
        )
        self.dataset.id.write_direct_chunk((self.written,), stored, filter_mask)
        self.written += self._chunk

    def _flush(self) -> None:
        if not self._compressed:
            last = min(self.written + self._chunk, len(self.dataset))
            self.dataset[self.written : last] = self._waiting[: last - self.written]
        else:
            shuffled = np.ascontiguousarray(self._waiting.view(np.uint8).reshape(self._chunk, -1).T)
            self.dataset.id.write_direct_chunk((self.written,), isal_zlib.compress(shuffled, LEVEL))
        self.written += self._n_waiting
        self._n_waiting = 0
