"""Files of detections that are merged: of an IFU, a shot, a month, or several merged before; checked, read in pieces.

Each has ``/Detections``, sorted by detectid, ``/Spectra``, a row for each of them, and ``/Fibers``, sorted likewise; or
an attribute ``failed`` that says why it has none. See `skyharvest.reduction.hetdex.sources.detection_tables`.
"""

import functools
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Ints
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.release.failures import Failure, read_failures
from skyharvest.reduction.hetdex.release.merging import (
    Chunk,
    Source,
    Unreadable,
    check_unit,
    detectids_of,
    open_source,
    stored_chunks,
)
from skyharvest.reduction.hetdex.sources.detection_tables import TABLES

BATCH = 50
"""Detections that are read at once: 2.5 MB of spectra."""
FIBERS_AT_ONCE = 100 * BATCH
"""Fibers whose detectids are read at once."""
IDS = 100_000
"""Detectids that are read at once where those of several files are among one another."""


@dataclass(frozen=True)
class Part:
    """A file that has been looked at.

    Attributes
    ----------
    source
        Which.
    n_rows
        Of each table, by its name.
    first, last
        Its first and last detectid; there is one.
    """

    source: Source
    n_rows: Mapping[str, int]
    first: int
    last: int

    @property
    def n(self) -> int:
        """How many detections there are."""
        return self.n_rows["Detections"]

    def ids(self, start: int) -> Ints:
        """Return detectids from a row on, up to `IDS` of them."""
        with open_source(self.source.path) as file:
            return np.asarray(file["Detections"].fields("detectid")[start : start + IDS], np.int64)


def look_at(source: Source) -> tuple[Part | None, list[Failure]]:
    """Return what of a file is to be merged, None if nothing is, and what failed.

    Raises
    ------
    MalformedFile
        If it is not what it should be.
    """
    path = source.path
    with open_source(path) as file:
        check_unit(file, source)
        failures = list(read_failures(file))
        if reason := str(file.attrs.get("failed", "")):
            return None, [*failures, Failure(source.shot, source.ifu, reason)]
        n_rows = {name: _count(file.get(name), dtype, f"{path}[/{name}]") for name, dtype in TABLES.items()}
        if n_rows["Detections"] != n_rows["Spectra"]:
            raise MalformedFile(f"{path}: found {n_rows['Spectra']} spectra of {n_rows['Detections']} detections")
        if not n_rows["Detections"]:
            return None, failures
        first, last = _range_of(file["Detections"], path)
        return Part(source, n_rows, first, last), failures


def _count(table: Any, dtype: np.dtype[Any], where: str) -> int:
    """Return the rows of a table, which has to have these columns."""
    if not isinstance(table, h5py.Dataset):
        raise MalformedFile(f"{where}: found no table; remove it and run again")
    if table.id.get_type() != _hdf5_type(dtype) and table.dtype != dtype:  # the second takes longer
        raise MalformedFile(f"{where}: found columns {table.dtype}; expected {dtype}: remove it and run again")
    return len(table)


@functools.cache
def _hdf5_type(dtype: np.dtype[Any]) -> Any:
    return h5py.h5t.py_create(dtype, logical=True)


def _range_of(detections: h5py.Dataset, path: Path) -> tuple[int, int]:
    """Return the first and last detectid."""
    seen: list[int] = []
    try:
        for start in range(0, len(detections), IDS):
            ids = np.asarray(detections.fields("detectid")[start : start + IDS], np.int64)
            if (np.diff(ids, prepend=seen[-1:]) <= 0).any():
                raise MalformedFile(f"{path}[/Detections]: found detectids that do not increase; remove it")
            seen = [*seen[:1], int(ids[0]), int(ids[-1])]
    except OSError as error:
        raise MalformedFile(f"{path}[/Detections]: cannot be read ({error}); remove it") from None
    return seen[0], seen[-1]


def runs(parts: Sequence[Part]) -> Iterator[tuple[Part, int, int]]:
    """Yield parts, first and last (exclusive) row, such that their rows are in the order of detectids.

    A file is yielded as a whole, unless other files have detectids between its own. Those are merged in pieces: memory
    is that of `IDS` numbers of each.

    Raises
    ------
    InputError
        If a detectid is in two files.
    """
    cached: dict[int, tuple[int, Ints]] = {}
    heads = [(part.first, k, 0) for k, part in enumerate(parts)]
    heapq.heapify(heads)
    while heads:
        _, k, start = heapq.heappop(heads)
        part = parts[k]
        if not heads or part.last < heads[0][0]:
            cached.pop(k, None)
            yield part, start, part.n
            continue
        following, other, _ = heads[0]
        begin, ids = cached.get(k, (0, np.zeros(0, np.int64)))
        if start >= begin + len(ids):
            begin, ids = cached[k] = start, part.ids(start)
        stop = begin + int(np.searchsorted(ids, following))
        if stop < begin + len(ids) and ids[stop - begin] == following:
            paths = " and ".join(sorted([str(part.source.path), str(parts[other].source.path)]))
            raise InputError(f"{paths}: found detectid {following} in both; expected it once: merge one of them")
        yield part, start, stop
        next_id = int(ids[stop - begin]) if stop < begin + len(ids) else int(part.ids(stop)[0])
        heapq.heappush(heads, (next_id, k, stop))


class Batch(NamedTuple):
    """Some detections of a file.

    Attributes
    ----------
    detections
        (n,) of type `DETECTIONS`.
    spectra
        (n,) of type `SPECTRA`; or n chunks as they are stored, each a filter mask and bytes.
    fibers
        (m,) of type `FIBERS`.
    """

    detections: Array
    spectra: Array | list[Chunk]
    fibers: Array


def batches(
    part: Part, start: int, stop: int, first_fiber: int, may_be_stored: Callable[[h5py.Dataset], bool]
) -> Iterator[Batch]:
    """Yield rows of a file.

    Parameters
    ----------
    part
        The file.
    start, stop
        Rows of ``/Detections``, half-open.
    first_fiber
        Row of ``/Fibers`` that they begin with.
    may_be_stored
        Tells of ``/Spectra``, each row of which is a chunk, whether they are to be yielded as they are stored.

    Raises
    ------
    Unreadable
        If the rows of the tables do not belong together, or cannot be read.
    """
    try:
        with open_source(part.source.path) as file:
            table, spectrum, fiber = (file[name] for name in ("Detections", "Spectra", "Fibers"))
            is_stored = may_be_stored(spectrum)
            for first in range(start, stop, BATCH):
                last = min(first + BATCH, stop)
                detections = table[first:last]
                ids = detections["detectid"]
                spectra = stored_chunks(spectrum, first, last) if is_stored else spectrum[first:last]
                if not np.array_equal(_detectids_of(spectra), ids):
                    raise Unreadable(part.source, f"found spectra of other detections than {ids[0]} to {ids[-1]}")
                fibers = _fibers_through(fiber, first_fiber, int(ids[-1]))
                first_fiber += len(fibers)
                if not np.isin(fibers["detectid"], ids).all() or (np.diff(fibers["detectid"]) < 0).any():
                    raise Unreadable(part.source, f"found fibers of other detections than {ids[0]} to {ids[-1]}")
                yield Batch(detections, spectra, fibers)
            if stop == part.n and first_fiber != part.n_rows["Fibers"]:
                raise Unreadable(part.source, f"found {part.n_rows['Fibers'] - first_fiber} fibers of no detection")
    except OSError as error:
        raise Unreadable(part.source, error) from None


def _detectids_of(spectra: Array | list[Chunk]) -> Array:
    return detectids_of(spectra) if isinstance(spectra, list) else np.asarray(spectra["detectid"])


def _fibers_through(fibers: h5py.Dataset, first: int, last_id: int) -> Array:
    """Return rows from ``first`` on up to the last with that detectid."""
    stop = first
    while stop < len(fibers):
        ids = fibers.fields("detectid")[stop : stop + FIBERS_AT_ONCE]
        n = int(np.searchsorted(ids, last_id, "right"))
        stop += n
        if n < len(ids):
            break
    return np.asarray(fibers[first:stop])
