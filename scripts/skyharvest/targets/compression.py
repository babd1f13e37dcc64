"""Compressed files of targets, read as what is in them."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from skyharvest.core.errors import InputError

DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a torn file raises."""


class Compression(NamedTuple):
    """A way of compression: its name, what its files begin with, and what unpacks them."""

    name: str
    magic: bytes
    unpack: Callable[[Any], Any]


def _unpack_zstd(raw: BinaryIO) -> Any:
    import pyarrow as pa  # noqa: PLC0415 (Python has no zstd before 3.14)

    return pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")


COMPRESSIONS = {
    ".gz": Compression("gzip", b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    ".bz2": Compression("bzip2", b"BZh", bz2.BZ2File),
    ".xz": Compression("xz", b"\xfd7zXZ\x00", lzma.LZMAFile),
    ".zst": Compression("zstd", b"\x28\xb5\x2f\xfd", _unpack_zstd),
}
"""By the ending of the file's name."""


@contextmanager
def open_unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file once (it may be a pipe), unpacked.

    Raises
    ------
    InputError
        If it cannot be read, or its name says another compression than its content.
    """
    try:
        raw: Any = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    with raw:
        head = raw.peek(8)
        of_name = COMPRESSIONS.get(path.suffix.lower())
        for suffix, way in COMPRESSIONS.items():
            if head.startswith(way.magic) and way is not of_name:
                raise InputError(
                    f"{path} is {way.name}-compressed, but its name does not end in {suffix}: rename it, or unpack it"
                )
        if of_name is None:
            yield raw
            return
        if head and not head.startswith(of_name.magic):
            raise InputError(
                f"{path} is named {path.suffix.lower()}, but is not {of_name.name}-compressed: rename it, or download "
                "it again"
            )
        with io.BufferedReader(of_name.unpack(raw)) as unpacked:
            yield unpacked


def look_into(path: Path, stream: io.BufferedReader) -> bytes:
    """Return what an open file begins with, some thousand bytes; they are still to be read."""
    try:
        return stream.peek(4096)
    except DAMAGED as error:
        raise InputError(f"cannot read {path}: {error} (is it complete?)") from error
