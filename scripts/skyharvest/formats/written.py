"""Tables that this process has written last, for whoever reads them next: reading takes as long as writing."""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from skyharvest.core.arrays import Array

Table = tuple[Mapping[str, Array], Mapping[str, str]]
"""Columns and their units, by the names that they have in the file."""
Identity = tuple[int, int, int, int]

MOST = 128
"""Files whose tables are kept: more than are read ahead."""


class Written:
    """The tables of the last files.

    A file is known by its inode, length and time: whatever stands in its place later is read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, dict[str, Table]] = {}
        self._closed: OrderedDict[Identity, dict[str, Table]] = OrderedDict()

    def add(self, path: str, group: str, columns: Mapping[str, Array], units: Mapping[str, str]) -> None:
        """Keep a table of a file that is being written, as it will be read."""
        table = {name: _as_read(values) for name, values in columns.items()}
        with self._lock:
            if path in self._open:
                self._open[path][group] = table, units

    def begin(self, path: str) -> None:
        """Keep what is added of a file from now on."""
        with self._lock:
            self._open[path] = {}

    def end(self, path: str, *, well: bool) -> None:
        """Close a file; forget what was added if it was not written well."""
        with self._lock:
            tables = self._open.pop(path)
            if well:
                self._closed[_identity(path)] = tables
                while len(self._closed) > MOST:
                    self._closed.popitem(last=False)

    def tables(self, path: str) -> Mapping[str, Table] | None:
        """Return the tables of a file by their group's path; None if the file is not one of the last."""
        try:
            identity = _identity(path)
        except OSError:
            return None
        with self._lock:
            return self._closed.get(identity)


def _identity(path: str) -> Identity:
    found = os.stat(path)  # noqa: PTH116 (any path)
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _as_read(values: Array) -> Array:
    """Return a column as HDF5 gives it back: texts as bytes."""
    if values.dtype.kind in "OU":
        return np.array([str(value).encode() for value in values.ravel()], object).reshape(values.shape)
    return values
