"""The cutouts of all shots in one file, ``im2D_NAME.h5``, for machine learning.

Tables are those of a shot's file (`skyharvest.reduction.hetdex.sources.cutout_tables`), sorted by detectid, with an
index of it for PyTables; ``/Failed`` has the shots that have no rows, with the reason. The file is the same, byte by
byte, in whatever order shots are named. Rows are copied as they are stored, a shot at a time: memory does not grow with
their number, and nothing is unpacked.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Ints
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.pytables import TableWriter, open_new
from skyharvest.formats.pytables_index import IndexedTable
from skyharvest.reduction.hetdex.detectids import PER_SHOT
from skyharvest.reduction.hetdex.layout import shotid_of
from skyharvest.reduction.hetdex.release.failures import Failure, write_failures
from skyharvest.reduction.hetdex.release.merging import (
    Source,
    Unreadable,
    detectids_of,
    merge_files,
    open_source,
    stored_chunks,
)
from skyharvest.reduction.hetdex.sources.cutout_tables import OF_DETECTIONS, TITLES, UNITS, tables

AT_ONCE = 100
"""Detections that are copied at once: 7 MB."""


@dataclass(frozen=True)
class Part:
    """The file of a shot.

    Attributes
    ----------
    source
        The file.
    size
        Columns and rows of its pieces.
    ids
        (n,) i8: its detectids.
    n_not_cut
        Rows of ``/NotCut``.
    """

    source: Source
    size: tuple[int, int]
    ids: Ints
    n_not_cut: int


def merge_cutouts(sources: Sequence[Source], out: Path) -> int:
    """Merge files of shots, and return the number of detections.

    Parameters
    ----------
    sources
        Each of one shot, in any order. One that failed, or cannot be read, is told in ``/Failed``.
    out
        The file to write.

    Raises
    ------
    InputError
        If a shot is named twice, or pieces of two shots differ in size.
    """
    shots = [source.shot for source in sources]
    if twice := sorted({shot for shot in shots if shots.count(shot) > 1}):
        raise InputError(f"found shot {twice[0]} twice; expected each once")
    parts = merge_files(sources, out, _look_at, _write)
    return sum(len(part.ids) for part in parts)


def _look_at(source: Source) -> tuple[Part | None, list[Failure]]:
    path = source.path
    with open_source(path) as file:
        if reason := str(file.attrs.get("failed", "")):
            return None, [Failure(source.shot, "", reason)]
        width, height = _size_of(file, path)
        for name, dtype in tables(width, height).items():
            n = len(file["FiberImages"]) if name in OF_DETECTIONS else None
            if name not in file or file[name].dtype != dtype or n not in (None, len(file[name])):
                raise MalformedFile(f"{path}: found no table {name} of the rows expected; remove it and run again")
        ids = np.asarray(file["FiberImages"].fields("detectid")[:], np.int64)
        if (np.diff(ids) <= 0).any() or (ids // PER_SHOT != shotid_of(source.shot)).any():
            raise MalformedFile(f"{path}: found detectids that do not increase, or of other shots; remove it")
        return Part(source, (width, height), ids, len(file["NotCut"])), []


def _size_of(file: h5py.File, path: Path) -> tuple[int, int]:
    """Return columns and rows of the pieces of a file."""
    try:
        height, width = file["FiberImages"].dtype["im_sum"].shape
    except (KeyError, AttributeError, ValueError):
        raise MalformedFile(f"{path}: found no table FiberImages; remove it and run again") from None
    return int(width), int(height)


def _write(path: Path, parts: Sequence[Part], failures: Sequence[Failure]) -> None:
    parts = sorted(parts, key=lambda part: shotid_of(part.source.shot))
    sizes = {part.size: part.source.path for part in parts if len(part.ids)}
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise InputError(f"{first} has pieces of {one} pixels, {second} of {other}: make both with the same settings")
    kinds = tables(*next(iter(sizes), parts[0].size if parts else (1, 1)))
    n_rows = sum(len(part.ids) for part in parts)
    with open_new(path, "HETDEX cutouts of detections") as file, ExitStack() as stack:
        file.attrs.update(missing="NaN", units=UNITS)
        made = {
            name: stack.enter_context(
                IndexedTable(file, name, kinds[name], n_rows, columns=("detectid",), title=TITLES[name], chunk=1)
            )
            for name in OF_DETECTIONS
        }
        n_not_cut = sum(part.n_not_cut for part in parts)
        not_cut = stack.enter_context(TableWriter(file, "NotCut", kinds["NotCut"], n_not_cut, TITLES["NotCut"]))
        for part in parts:
            not_cut.append(_copy(part, made))
        write_failures(file, failures)


def _copy(part: Part, made: dict[str, Any]) -> Array:
    """Copy the rows of a shot, and return what could not be cut.

    Raises
    ------
    Unreadable
        If rows do not belong together, or cannot be read.
    """
    try:
        with open_source(part.source.path) as file:
            for name, table in made.items():
                _copy_table(part, file[name], table)
            return np.asarray(file["NotCut"][:])
    except OSError as error:
        raise Unreadable(part.source, error) from None


def _copy_table(part: Part, table: h5py.Dataset, made: IndexedTable) -> None:
    as_stored = made.takes_chunks_of(table)
    for first in range(0, len(table), AT_ONCE):
        last = min(first + AT_ONCE, len(table))
        ids = part.ids[first:last]
        rows = stored_chunks(table, first, last) if as_stored else table[first:last]
        found = detectids_of(rows) if isinstance(rows, list) else rows["detectid"]
        if not np.array_equal(found, ids):
            raise Unreadable(part.source, f"found rows of other detections than {ids[0]} to {ids[-1]} in {table.name}")
        if isinstance(rows, list):
            made.append_chunks(rows, {"detectid": ids})
        else:
            made.append(rows)
