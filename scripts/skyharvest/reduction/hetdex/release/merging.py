"""Files of units that are merged into one: a unit whose file is wrong fails alone, and the others are merged."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import h5py
import numpy as np
from isal import isal_zlib

from skyharvest.core.arrays import Ints
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.hdf5 import open_made
from skyharvest.formats.pytables import limit_cache
from skyharvest.reduction.hetdex.layout import SHOT
from skyharvest.reduction.hetdex.release.failures import Failure

log = logging.getLogger(__name__)

Chunk = tuple[int, bytes]
"""Of a table, as it is stored: filter mask and bytes."""
BEGINNING = 1024
"""Bytes of a chunk that its first number is unpacked from: the rest would be copied."""


@dataclass(frozen=True)
class Source:
    """A file that is to be merged.

    Attributes
    ----------
    path
        Of it.
    shot, ifu
        The unit that it is of, which fails if the file cannot be read. A file of an IFU has both, of a shot no pairing;
        one of several shots neither: it has to be right.
    """

    path: Path
    shot: str = ""
    ifu: str = ""

    @classmethod
    def named(cls, path: Path) -> "Source":
        """Return a file by its name: ``SHOT.h5`` is of a shot, others are of several."""
        return cls(path, path.stem if re.fullmatch(SHOT, path.stem) else "")


class Part(Protocol):
    """What of a file is to be merged."""

    @property
    def source(self) -> Source:
        """The file."""


P = TypeVar("P", bound=Part)


class Unreadable(Exception):
    """A file turns out to be wrong while its rows are read."""

    def __init__(self, source: Source, problem: object) -> None:
        super().__init__(f"{source.path}: {problem}; remove it and run again")
        self.source = source


def open_source(path: Path) -> h5py.File:
    """Open a file; memory is little, however many chunks it has.

    Raises
    ------
    MalformedFile
        If it is not there, not HDF5, or cut short.
    """
    return limit_cache(open_made(path))


def check_unit(file: h5py.File, source: Source) -> None:
    """See that a file is of the unit that it stands for, if it says which.

    Raises
    ------
    MalformedFile
        If it is of another one.
    """
    for name, expected in (("shot", source.shot), ("ifu", source.ifu)):
        found = str(file.attrs.get(name, expected))
        if expected and found != expected:
            raise MalformedFile(f"{source.path}: found {name} {found}; expected {expected}: remove it and run again")


def merge_files(
    sources: Sequence[Source],
    out: Path,
    look_at: Callable[[Source], tuple[P | None, list[Failure]]],
    write: Callable[[Path, Sequence[P], Sequence[Failure]], None],
) -> Sequence[P]:
    """Merge files; the merged one appears whole.

    Parameters
    ----------
    sources
        Files, in any order.
    out
        The file to write.
    look_at
        Returns what of a file is to be merged, None if nothing is, and what failed; raises MalformedFile.
    write
        Writes a file of parts, and of what failed; raises `Unreadable`.

    Returns
    -------
    What was merged.

    Raises
    ------
    MalformedFile
        If a file of several shots is not what it should be.
    """
    parts: list[P] = []
    failures: list[Failure] = []
    for source in sources:
        try:
            part, failed = look_at(source)
        except MalformedFile as error:
            part, failed = None, [_failure(source, error)]
        failures += failed
        if part is not None:
            parts.append(part)
    while True:
        try:
            with atomic_path(out) as temporary:
                write(temporary, parts, failures)
            break
        except Unreadable as error:  # rare: all that was written is written again, without it
            failures.append(_failure(error.source, error))
            parts = [part for part in parts if part.source is not error.source]
    log.info("%s: %d files are merged; %d units failed", out, len(parts), len(set(failures)))
    return parts


def _failure(source: Source, error: Exception) -> Failure:
    """Return the failure of a unit whose file is wrong."""
    if not source.shot:
        raise MalformedFile(str(error)) from None
    log.warning("%s", error)
    return Failure(source.shot, source.ifu, str(error))


def stored_chunks(table: h5py.Dataset, first: int, last: int) -> list[Chunk]:
    """Return rows of a table, half-open, each of which is a chunk, as they are stored."""
    return [table.id.read_direct_chunk((row,)) for row in range(first, last)]


def detectids_of(chunks: Sequence[Chunk]) -> Ints:
    """Return the detectids of such rows: the first number of each."""
    return np.array([int.from_bytes(_beginning(mask, stored), "little") for mask, stored in chunks], np.int64)


def _beginning(mask: int, stored: bytes) -> bytes:
    """Return the first 8 bytes of a row. Shuffling, the first filter, changes nothing of a chunk that is one row."""
    if mask:
        return stored[:8]
    found = isal_zlib.decompressobj().decompress(stored[:BEGINNING], 8)
    return found if len(found) == 8 else isal_zlib.decompressobj().decompress(stored, 8)
