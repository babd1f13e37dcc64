"""Tables of HETDEX's detection databases: rows found by detectid and read over the network, without the whole file."""

import io
import logging
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from skyharvest.archive.archive import Archive
from skyharvest.core.arrays import Array
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Range, Source

log = logging.getLogger(__name__)


SCAN_PIECE = 1 << 25
PROBE = 1 << 12  # bytes of rows that a step of the search reads
MOST_STEPS = 128  # of a search; every other one halves what is left
TOGETHER = 16  # neighbouring rows read at once
BLOCK = 1 << 14  # bytes: smaller reads take a whole block, as its other bytes are often wanted next
CACHE = 1 << 25  # bytes of a file


class _SourceFile(io.RawIOBase):
    """A source as a Python file, for h5py. Recent reads are cached.

    It must not store an exception: its frames hold h5py objects, HDF5 holds this file, and HDF5 would free both by
    calling Python after Python has ended.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._size = source.size()
        self._position = 0
        self._cache: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._n_cached = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._size)
        wanted = max(0, stop - self._position)
        if wanted:
            view[:wanted] = self._read(self._position, stop)
        self._position += wanted
        return wanted

    def _read(self, start: int, stop: int) -> bytes:
        if stop - start > BLOCK:
            return self._parts([(start, stop)])[0]
        first, last = start // BLOCK, (stop - 1) // BLOCK
        blocks = self._parts([(k * BLOCK, min((k + 1) * BLOCK, self._size)) for k in range(first, last + 1)])
        return b"".join(blocks)[start - first * BLOCK : stop - first * BLOCK]

    def _parts(self, ranges: Sequence[Range]) -> list[bytes]:
        new = [span for span in ranges if span not in self._cache]
        for span, data in zip(new, self._source.read(new), strict=True):
            self._cache[span] = data
            self._n_cached += len(data)
        parts = [self._cache[span] for span in ranges]
        for span in ranges:
            self._cache.move_to_end(span)
        while self._n_cached > CACHE:
            self._n_cached -= len(self._cache.popitem(last=False)[1])
        return parts


@contextmanager
def open_hdf5(archive: Archive, path: str) -> Iterator[h5py.File]:
    """Open an HDF5 file of an archive to read parts of it.

    Raises
    ------
    MalformedFile
        If it is not HDF5, or reading it fails.
    """
    with archive.open(path) as source:
        stream = _SourceFile(source)
        try:
            # Without a chunk cache, HDF5 reads only the wanted rows of an uncompressed chunk.
            with h5py.File(stream, "r", rdcc_nbytes=0) as file:
                yield file
        except (OSError, RuntimeError) as error:  # h5py's, of broken files; the archive's errors are others
            raise MalformedFile(f"{source.name}: not a readable HDF5 file ({error})") from error


@dataclass(frozen=True)
class Storage:
    """How a table is stored.

    Attributes
    ----------
    chunk_bytes
        Of a chunk before compression; 0 if the table is in one piece.
    filters
        Code → name of the filters that its chunks went through.
    n_bytes
        Of all rows.
    """

    chunk_bytes: int
    filters: Mapping[int, str]
    n_bytes: int


class DetectionTable:
    """A table of a database, whose rows are found by detectid.

    Parameters
    ----------
    where
        The database's path or URL, for messages.
    columns
        Those needed beside ``detectid``: column → shape in a row.

    Raises
    ------
    MalformedFile
        If there is no such table, or it lacks a column.
    """

    def __init__(self, file: h5py.File, name: str, where: str, columns: Mapping[str, tuple[int, ...]]) -> None:
        self.name = f"{where}[/{name}]"
        dataset = file.get(name)
        names = (dataset.dtype.names or ()) if isinstance(dataset, h5py.Dataset) else ()
        if not names or dataset.ndim != 1:
            raise MalformedFile(f"{self.name}: no such table; found {', '.join(file) or 'nothing'}")
        for column, shape in {"detectid": (), **columns}.items():
            if column not in names:
                raise MalformedFile(f"{self.name}: column {column} is missing; found {', '.join(names)}")
            if dataset.dtype[column].shape != shape:
                raise MalformedFile(
                    f"{self.name}: column {column} is of shape {dataset.dtype[column].shape}, not {shape}"
                )
        if dataset.dtype["detectid"].kind not in "iu":
            raise MalformedFile(f"{self.name}: detectid is {dataset.dtype['detectid']}, expected a whole number")
        self._dataset = dataset
        self._n_rows: int = len(dataset)
        self._n_bytes: int = dataset.dtype.itemsize  # of a row
        self.dtype: np.dtype[Any] = dataset.dtype

    @property
    def storage(self) -> Storage:
        """How it is stored."""
        plist = self._dataset.id.get_create_plist()
        filters = {}
        for k in range(plist.get_nfilters()):
            code, _, _, name = plist.get_filter(k)
            filters[code] = name.decode("latin-1") or f"filter {code}"
        chunk = self._dataset.chunks[0] * self._n_bytes if self._dataset.chunks else 0
        return Storage(chunk, filters, self._n_rows * self._n_bytes)

    def is_sorted(self, n_rows: int) -> bool:
        """Tell whether so many rows, from all over the table, are in the order of their detectids."""
        rows = np.unique(np.linspace(0, max(self._n_rows - 1, 0), n_rows).astype(np.int64))[: self._n_rows]
        ids = [int(self._ids(row, row + 1)[0]) for row in rows]
        return ids == sorted(ids)

    def entry(self, row: int) -> np.void:
        """Return one row, with all columns."""
        entry: np.void = self._dataset[row]
        return entry

    def _ids(self, first: int, stop: int) -> Array:
        return np.asarray(self._dataset.fields("detectid")[first:stop], np.int64)

    def rows(self, wanted: Sequence[int], scan_limit: int) -> dict[int, int]:
        """Return detectid → row, for those in the table.

        In a sorted table a search reads few rows. Detectids that it misses are looked for in every row, unless the
        table is larger than ``scan_limit`` bytes.
        """
        row_of: dict[int, int] = {}
        if not self._n_rows:
            return row_of
        rows = sorted({0, self._n_rows - 1})
        ids = [int(self._ids(row, row + 1)[0]) for row in rows]
        for detectid in sorted(wanted):
            row = self._search(detectid, rows, ids)
            if row is not None:
                row_of[detectid] = row
        left = np.array(sorted(set(wanted) - set(row_of)), np.int64)
        if len(left) and self.can_scan(scan_limit):
            log.info("%s: looking for %d detectids in all of its %d rows", self.name, len(left), self._n_rows)
            row_of.update(self._scan(left))
        return row_of

    def can_scan(self, scan_limit: int) -> bool:
        """Tell whether the table is small enough to be read as a whole."""
        return self._n_rows * self._n_bytes <= scan_limit

    def _search(self, detectid: int, rows: list[int], ids: list[int]) -> int | None:
        """Return the row of a detectid, or None if the rows around its place have others.

        ``rows`` and ``ids`` are the known rows and their detectids; the search adds to them. In an unsorted table it
        may miss a detectid, but never returns a wrong row.
        """
        for step in range(MOST_STEPS):
            k = bisect_left(ids, detectid)
            if k < len(ids) and ids[k] == detectid:
                return rows[k]
            if k in (0, len(ids)):
                return None
            # Detectids are increasing whole numbers: between two of them lie at most as many rows as numbers.
            low = max(rows[k - 1] + 1, rows[k] - (ids[k] - detectid))
            high = min(rows[k] - 1, rows[k - 1] + (detectid - ids[k - 1]))
            if low > high:
                return None
            # Most detectids are consecutive: the limit is the best guess. Halving makes sure that the search ends.
            guess = high if step % 2 == 0 else (low + high) // 2
            n_rows = max(1, PROBE // self._n_bytes)
            first = max(low, guess - n_rows // 2)
            stop = min(high + 1, first + n_rows)
            seen = self._ids(first, stop)
            new = {first: int(seen[0]), stop - 1: int(seen[-1])}
            new |= dict.fromkeys((first + np.flatnonzero(seen == detectid)).tolist(), detectid)
            rows[k:k], ids[k:k] = sorted(new), [new[row] for row in sorted(new)]
        return None

    def _scan(self, wanted: Array) -> dict[int, int]:
        """Look for detectids in every row; the first row of each counts."""
        row_of: dict[int, int] = {}
        n_rows = max(1, SCAN_PIECE // self._n_bytes)
        for first in range(0, self._n_rows, n_rows):
            ids = self._ids(first, min(first + n_rows, self._n_rows))
            for k in np.flatnonzero(np.isin(ids, wanted)).tolist():
                row_of.setdefault(int(ids[k]), first + k)
            if len(row_of) == len(wanted):
                break
        return row_of

    def read(self, rows: Mapping[int, int], columns: Sequence[str]) -> dict[int, Array]:
        """Return detectid → its row, one element of a structured array with ``columns``."""
        values_of: dict[int, Array] = {}
        wanted = sorted((row, detectid) for detectid, row in rows.items())
        names = list(dict.fromkeys(["detectid", *columns]))
        fields = self._dataset.fields(names)
        position = 0
        while position < len(wanted):
            first = wanted[position][0]
            together = [pair for k, pair in enumerate(wanted[position : position + TOGETHER]) if pair[0] == first + k]
            values = fields[first : first + len(together)]
            for value, (row, detectid) in zip(values, together, strict=True):
                assert value["detectid"] == detectid, f"{self.name}: row {row}"
                values_of[detectid] = value
            position += len(together)
        return values_of
