"""HDF5 layouts: how columns and spectra are laid down, and read back.

Everything that is written here can be read by every h5py and every HDF5 library: fixed-length or UTF-8 strings, native
numbers, gzip with shuffle. Files carry no time stamps of their own, so equal content gives equal bytes.

A sealed file has a digest of itself before the HDF5 part, in its user block: uncompressed HDF5 has no checksums, and
zeros where a disk lost a page would read as data.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile

Array = npt.NDArray[Any]

GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
CHUNK_ROWS = 4096  # of one-dimensional columns
NULL_INTEGER = np.iinfo(np.int64).min
_ERRNO = re.compile(r"\berrno = ([1-9][0-9]*)")  # in what HDF5 says
_ROOMY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 (memory: not the disk that may be full)
USER_BLOCK = 512  # bytes; the smallest that HDF5 has


@contextmanager
def create(path: str | os.PathLike[str], *, sealed: bool = False) -> Iterator[h5py.File]:
    """Open a new HDF5 file that appears under its name, sealed or not, when the block ends without an error."""
    with atomic_path(path) as temporary:
        file = _new(temporary, USER_BLOCK if sealed else 0)
        try:
            yield file
            file.flush()
        except BaseException as error:
            # HDF5 writes what it still holds when a file is closed, and crashes as Python exits where that fails.
            with tempfile.TemporaryFile(dir=_ROOMY) as elsewhere:
                os.dup2(elsewhere.fileno(), file.id.get_vfd_handle())
                file.close()
            if isinstance(error, OSError | RuntimeError) and (found := _ERRNO.search(str(error))):
                raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
            raise
        file.close()
        if sealed:
            with temporary.open("r+b") as stream:
                stream.write(_seal(temporary))


def _new(path: Path, user_block: int) -> h5py.File:
    """Open a new file that writes what it is told at once.

    From its buffers HDF5 writes later, when Python drops a dataset: an error is then printed and passed over, and if
    there is room again by the time that the file is closed, it is there without that piece.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_V110)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_sieve_buf_size(0)  # of contiguous datasets
    access.set_cache(0, 0, 0, 0.75)  # of chunks: whole ones are written here
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_userblock(user_block)
    return h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access))


@contextmanager
def reading(path: str | os.PathLike[str], *, check: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file to read; a torn one is a `MalformedFile` that says to remove it.

    With ``check`` a sealed file is read as a whole first, and must be as it was written.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise MalformedFile(
            f"{path} is not a readable HDF5 file ({error}): remove it, the next run makes it anew"
        ) from error
    with file:
        if check and file.userblock_size:
            with open(path, "rb") as stream:  # noqa: PTH123 (any path)
                found = stream.read(USER_BLOCK).rstrip(b"\x00")
            if found != _seal(path):
                raise MalformedFile(f"{path} is not as it was written: remove it, the next run makes it anew")
        yield file


def _seal(path: str | os.PathLike[str]) -> bytes:
    """Return what a file's user block should hold."""
    made = hashlib.blake2b(digest_size=32)
    with open(path, "rb") as stream:  # noqa: PTH123 (any path)
        stream.seek(USER_BLOCK)
        while piece := stream.read(1 << 20):
            made.update(piece)
    return b"skyharvest blake2b " + made.hexdigest().encode()


def safe_name(name: str, taken: Mapping[str, Any] | Sequence[str] = ()) -> str:
    """Return a link name for a column of any name: ``/`` would make a group, ``.`` is the group itself."""
    made = re.sub(r"[/\x00]", "_", name).strip() or "_"
    if set(made) == {"."}:
        made = "_" * len(made)
    unique, k = made, 2
    while unique in taken:
        unique, k = f"{made}_{k}", k + 1
    return unique


def write_column(group: h5py.Group, name: str, values: Array, **attributes: Any) -> h5py.Dataset:
    """Write one column: any shape, rows first; short columns whole, long ones in compressed chunks.

    Strings: ``S`` dtypes stay fixed-length bytes, object and ``U`` arrays become variable-length UTF-8.
    """
    if values.dtype.kind in "OU":
        values = values.astype(object)
        dtype: Any = h5py.string_dtype()
    elif values.dtype.kind == "S" and values.dtype.itemsize == 0:
        dtype = "S1"  # HDF5 has no zero-length strings
    else:
        dtype = values.dtype
    options: dict[str, Any] = {}
    if len(values) > CHUNK_ROWS:
        options = {"chunks": (CHUNK_ROWS, *values.shape[1:]), **GZIP}
    dataset = group.create_dataset(name, data=values, dtype=dtype, **options)
    dataset.attrs.update({key: value for key, value in attributes.items() if value not in (None, "")})
    return dataset


def spectra_dataset(
    group: h5py.Group,
    name: str,
    n_rows: int,
    shape: tuple[int, ...],
    dtype: Any,
    *,
    compressed: bool,
    **attributes: Any,
) -> h5py.Dataset:
    """Make a dataset for ``n_rows`` spectra of ``shape``, to be filled by slices; a chunk is one whole spectrum.

    Uncompressed ones are contiguous: a row is one read all the same.
    """
    options: dict[str, Any] = {"chunks": (1, *shape), **GZIP} if compressed else {}
    if n_rows == 0:
        options = {}
    dataset = group.create_dataset(name, (n_rows, *shape), dtype, **options)
    dataset.attrs.update(attributes)
    return dataset


def write_table(group: h5py.Group, columns: Mapping[str, Array], units: Mapping[str, str] | None = None) -> None:
    """Write columns of equal length under safe names; a changed name is kept in the attribute ``column``."""
    for name, values in columns.items():
        link = safe_name(name, group)
        write_column(group, link, values, unit=(units or {}).get(name), column=name if link != name else None)


def read_table(group: h5py.Group, rows: Any = slice(None)) -> dict[str, Array]:
    """Read the columns of a group, or some rows of them; strings as stored (bytes)."""
    return {name: item[rows] for name, item in group.items() if isinstance(item, h5py.Dataset)}


def columns(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets of a group by their columns' own names, which those of links may not be: `write_column`."""
    return {str(item.attrs.get("column", link)): item for link, item in group.items()}


def text(values: Array) -> list[str]:
    """Return HDF5 strings (bytes, fixed or variable length) as ``str``."""
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
