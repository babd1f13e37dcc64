"""One file, read by byte ranges: on disk here, over HTTP in `skyharvest.archive.http.file`."""

import errno
import os
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from skyharvest.core.errors import Absent, ArchiveRefused, ArchiveUnavailable, MalformedFile

Range = tuple[int, int]
"""Half-open byte range ``(start, stop)``."""

CHUNK = 1 << 20  # bytes per read of a whole file
TRY_AGAIN_ERRNOS = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENOTCONN})


def merge(ranges: Sequence[Range], gap: int) -> list[Range]:
    """Return the sorted ranges that cover ``ranges``, joined where ``gap`` bytes or fewer lie between two."""
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if start < 0 or stop < start:
            raise ValueError(f"not a byte range: {start}-{stop}")
        if start == stop:
            continue
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def cut(ranges: Sequence[Range], blocks: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
    """Cut ranges out of blocks of a file.

    Parameters
    ----------
    ranges
        In any order.
    blocks
        (start, bytes) of disjoint parts of the file, sorted by start.

    Returns
    -------
    list of bytes or None
        None for a range that no single block covers.
    """
    starts = [start for start, _ in blocks]
    parts: list[bytes | None] = []
    for start, stop in ranges:
        if start == stop:
            parts.append(b"")
            continue
        k = bisect_right(starts, start) - 1
        if k < 0 or stop > starts[k] + len(blocks[k][1]):
            parts.append(None)
            continue
        block, offset = blocks[k][1], start - starts[k]
        whole = offset == 0 and stop - start == len(block)
        parts.append(block if whole else block[offset : offset + stop - start])
    return parts


class Closable(ABC):
    """Something to close at the end of a ``with`` block."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Source(Closable):
    """One file of an archive, read by byte ranges."""

    name: str  # path or URL, for messages

    @property
    @abstractmethod
    def gap(self) -> int:
        """Largest number of bytes between two ranges that is read rather than skipped."""

    @abstractmethod
    def _read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each of these disjoint, sorted, non-empty ranges."""

    @abstractmethod
    def head(self, length: int) -> bytes:
        """Return the first ``length`` bytes, or the whole file if it is shorter."""

    @abstractmethod
    def size(self) -> int:
        """Return the file's length in bytes."""

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Read many ranges of the file at once.

        Parameters
        ----------
        ranges
            Half-open byte ranges, in any order; they may overlap or be empty.

        Returns
        -------
        list of bytes
            In the order of ``ranges``, each exactly ``stop - start`` long.

        Raises
        ------
        MalformedFile
            If the file ends before a range does.
        Absent, ArchiveUnavailable, ArchiveRefused
            See `skyharvest.archive.archive`.
        """
        merged = merge(ranges, self.gap)
        blocks = self._read(merged) if merged else []
        parts = cut(ranges, [(start, block) for (start, _), block in zip(merged, blocks, strict=True)])
        assert all(
            part is not None and len(part) == stop - start for part, (start, stop) in zip(parts, ranges, strict=True)
        )
        return [part for part in parts if part is not None]


class LocalFile(Source):
    """A file on disk, read with ``pread``; ``name`` is what messages call it, by default its path."""

    gap = 4096

    def __init__(self, path: Path, name: str = "") -> None:
        self.name = name or str(path)
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Absent(f"{path} does not exist") from error
        except OSError as error:
            raise _local_error(path, error) from error
        if not path.is_file():  # a directory opens, too
            self.close()
            raise MalformedFile(f"{path} is not a file")

    def _read(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self._read_one(start, stop) for start, stop in ranges]

    def _read_one(self, start: int, stop: int) -> bytes:
        pieces = []
        position = start
        while position < stop:
            try:
                piece = os.pread(self._handle, stop - position, position)
            except OSError as error:
                raise _local_error(Path(self.name), error) from error
            if not piece:
                raise too_short(self.name, self.size(), stop)
            pieces.append(piece)
            position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def head(self, length: int) -> bytes:
        """Return the first ``length`` bytes, or the whole file if it is shorter."""
        return self._read_one(0, min(length, self.size()))

    def size(self) -> int:
        """Return the file's length in bytes."""
        return os.fstat(self._handle).st_size

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Prefetched(Source):
    """A source that keeps what was fetched ahead, so that later reads need no request.

    Parameters
    ----------
    source
        File to read. Not closed.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self._blocks: list[tuple[int, bytes]] = []

    @property
    def gap(self) -> int:
        """The source's."""
        return self._source.gap

    def fetch(self, ranges: Sequence[Range]) -> None:
        """Read these ranges now, and keep them; ranges are cut at the file's end."""
        size = self.size()
        wanted = [(start, min(stop, size)) for start, stop in ranges if start < size]
        missing = [span for span, part in zip(wanted, cut(wanted, self._blocks), strict=True) if part is None]
        self._keep(zip(missing, self._source.read(missing), strict=True))

    def kept_from(self, position: int, most: int) -> bytes:
        """Return the kept bytes from ``position`` up to the first gap, at most ``most``."""
        for start, data in self._blocks:
            if start <= position < start + len(data):
                return data[position - start : position - start + most]
        return b""

    def _keep(self, parts: "zip[tuple[Range, bytes]] | list[tuple[Range, bytes]]") -> None:
        """Add parts of the file, joined where they touch: a later read may begin in one and end in the next."""
        blocks: list[tuple[int, bytes]] = []
        for start, data in sorted([*self._blocks, *((span[0], data) for span, data in parts)]):
            if blocks and start <= blocks[-1][0] + len(blocks[-1][1]):
                first, before = blocks[-1]
                blocks[-1] = (first, before + data[first + len(before) - start :])
            else:
                blocks.append((start, data))
        self._blocks = blocks

    def forget(self) -> None:
        """Drop the kept bytes."""
        self._blocks = []

    def _read(self, ranges: Sequence[Range]) -> list[bytes]:
        parts = cut(ranges, self._blocks)
        missing = [span for span, part in zip(ranges, parts, strict=True) if part is None]
        read = iter(self._source.read(missing))
        return [next(read) if part is None else part for part in parts]

    def head(self, length: int) -> bytes:
        """Return the first ``length`` bytes, or the whole file if it is shorter; they are kept."""
        data = self._source.head(length)
        self._keep([((0, len(data)), data)])
        return data

    def size(self) -> int:
        """Return the file's length in bytes."""
        return self._source.size()

    def close(self) -> None:
        """Drop the kept bytes; the source stays open."""
        self.forget()


def _local_error(path: Path, error: OSError) -> ArchiveRefused | ArchiveUnavailable:
    if error.errno in TRY_AGAIN_ERRNOS:
        return ArchiveUnavailable(f"{path}: {error.strerror}; run again when the file system is back")
    return ArchiveRefused(f"{path}: {error.strerror}")


def too_short(name: str, size: int | None, wanted: int) -> MalformedFile:
    """Return the error for a file that ends before byte ``wanted``."""
    end = "ends" if size is None else f"has {size:,} bytes and ends"
    return MalformedFile(f"{name}: the file {end} before byte {wanted:,}: it is truncated or its headers lie")
