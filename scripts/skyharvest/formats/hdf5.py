"""Columns and spectra in HDF5 files.

Every HDF5 library can read these files: fixed-length or UTF-8 strings, native numbers, gzip with shuffle. HDF5's own
time stamps are off, so equal content gives equal bytes.

A sealed file has a digest of its HDF5 part in its user block: uncompressed HDF5 has no checksums, so that a page lost
by a disk would be read as zeros.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.core import arrays
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.written import Written

Array = npt.NDArray[Any]

GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
CHUNK_ROWS = 4096  # of one-dimensional columns
NULL_INTEGER = arrays.NULL_INTEGER
_ERRNO = re.compile(r"\berrno = ([1-9][0-9]*)")  # in HDF5's messages
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 (not the disk, which may be full)
USER_BLOCK = 512  # bytes; the smallest that HDF5 has
_SEALED = b"skyharvest blake2b "
_CREATION, _LINK = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5p.create(h5py.h5p.LINK_CREATE)
_CREATION.set_obj_track_times(False)
_LINK.set_char_encoding(h5py.h5t.CSET_UTF8)
_TEXT = h5py.string_dtype()
_WRITTEN = Written()
_SCALAR = h5py.h5s.create(h5py.h5s.SCALAR)


@contextmanager
def create(path: str | os.PathLike[str], *, sealed: bool = False) -> Iterator[h5py.File]:
    """Open a new HDF5 file, which appears under its name when the block ends without an error."""
    with atomic_path(path) as temporary:
        file = _new(temporary, USER_BLOCK if sealed else 0)
        _WRITTEN.begin(str(temporary))
        try:
            yield file
            file.flush()
        except BaseException as error:
            _WRITTEN.end(str(temporary), well=False)
            # Closing writes HDF5's buffers, and Python would crash at exit if that fails: write them to another file.
            with tempfile.TemporaryFile(dir=_MEMORY) as elsewhere:
                os.dup2(elsewhere.fileno(), file.id.get_vfd_handle())
                with suppress(RuntimeError):  # what broke off is not always in order again
                    file.close()
            if isinstance(error, OSError | RuntimeError) and (match := _ERRNO.search(str(error))):
                raise OSError(int(match[1]), os.strerror(int(match[1])), str(path)) from error
            raise
        file.close()
        if sealed:
            with temporary.open("r+b") as stream:
                stream.write(_seal(temporary))
        _WRITTEN.end(str(temporary), well=True)


def _new(path: Path, user_block: int) -> h5py.File:
    """Open a new file without write buffers.

    HDF5 writes buffers when Python deletes a dataset: an error is then printed but not raised, and the closed file
    may lack that part of its data.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_V110)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_sieve_buf_size(0)  # of contiguous datasets
    access.set_cache(0, 0, 0, 0.75)  # of chunks: only whole chunks are written here
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_userblock(user_block)
    return h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access))


@contextmanager
def reading(path: str | os.PathLike[str], *, check: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file to read; `MalformedFile` for a damaged one says to remove it.

    With ``check`` the digest of a sealed file is compared first, unless this process has just written it.
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
        if check and file.userblock_size and _WRITTEN.tables(str(path)) is None:
            with open(path, "rb") as stream:  # noqa: PTH123 (any path)
                seal = stream.read(USER_BLOCK).rstrip(b"\x00")
            if seal != _seal(path):
                raise MalformedFile(f"{path} is not as it was written: remove it, the next run makes it anew")
        yield file


def open_made(path: Path) -> h5py.File:
    """Open a file that another program has made, to read it.

    Raises
    ------
    MalformedFile
        If it is not there, not HDF5, or cut short.
    """
    if not path.is_file():
        raise MalformedFile(f"{path}: it is not there; correct the path, or run what makes it")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise MalformedFile(f"{path}: found no HDF5 file ({error}); remove it and run again") from None


def seal_of(path: str | os.PathLike[str]) -> str:
    """Return what a sealed file says of its content: hex digits that equal content has in common; "" if not sealed."""
    with open(path, "rb") as stream:  # noqa: PTH123 (any path)
        seal = stream.read(USER_BLOCK)
    return seal.removeprefix(_SEALED).rstrip(b"\x00").decode("ascii", "replace") if seal.startswith(_SEALED) else ""


def _seal(path: str | os.PathLike[str]) -> bytes:
    """Return the content of the user block for a file."""
    digest = hashlib.blake2b(digest_size=32)
    with open(path, "rb") as stream:  # noqa: PTH123 (any path)
        stream.seek(USER_BLOCK)
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return _SEALED + digest.hexdigest().encode()


def safe_name(name: str, taken: Container[str] = ()) -> str:
    """Return a valid link name for a column's name: in HDF5 ``/`` separates groups, and ``.`` is the group itself."""
    link = re.sub(r"[/\x00]", "_", name).strip() or "_"
    if set(link) == {"."}:
        link = "_" * len(link)
    unique, k = link, 2
    while unique in taken:
        unique, k = f"{link}_{k}", k + 1
    return unique


def write_column(group: h5py.Group, name: str, values: Array, **attributes: Any) -> None:
    """Write one column of any shape, rows first; long columns in compressed chunks.

    Strings: ``S`` dtypes stay fixed-length bytes, object and ``U`` arrays become variable-length UTF-8.
    """
    if values.dtype.kind in "OU":
        values = values.astype(object)
        dtype: Any = _TEXT
    elif values.dtype.kind == "S" and values.dtype.itemsize == 0:
        dtype = "S1"  # HDF5 has no zero-length strings
    else:
        dtype = values.dtype
    if len(values) > CHUNK_ROWS:
        options = {"chunks": (CHUNK_ROWS, *values.shape[1:]), **GZIP}
        dataset = group.create_dataset(name, data=values, dtype=dtype, **options).id
    else:
        dataset = _new_dataset(group, name, np.ascontiguousarray(values, dtype))
    for key, value in attributes.items():
        if isinstance(value, str) and value:
            _set_text(dataset, key, value)
        elif value not in (None, ""):
            h5py.Dataset(dataset).attrs[key] = value


def _set_text(dataset: h5py.h5d.DatasetID, key: str, value: str) -> None:
    """Give a new dataset an attribute as ``attrs[key] = value`` does, which is slower by a temporary name."""
    made = h5py.h5a.create(dataset, key.encode(), _kind(_TEXT, in_file=True), _SCALAR)
    made.write(np.array(value, _TEXT), _kind(_TEXT))


def _new_dataset(group: h5py.Group, name: str, values: Array) -> h5py.h5d.DatasetID:
    """Write a contiguous dataset as `create_dataset` does, in a third of its time: files have hundreds of them."""
    kind = _kind(values.dtype, in_file=True)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, _space(values.shape), _CREATION, _LINK)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values, _kind(values.dtype))
    return dataset


@lru_cache(maxsize=256)
def _kind(dtype: np.dtype[Any], *, in_file: bool = False) -> h5py.h5t.TypeID:
    """Return HDF5's name for a dtype, in memory or in a file. Objects are text: there are no others here."""
    return h5py.h5t.py_create(_TEXT if dtype.kind == "O" else dtype, logical=in_file)


@lru_cache(maxsize=256)
def _space(shape: tuple[int, ...]) -> h5py.h5s.SpaceID:
    return h5py.h5s.create_simple(shape)


def write_table(group: h5py.Group, columns: Mapping[str, Array], units: Mapping[str, str] | None = None) -> None:
    """Write columns of equal length under valid link names; the attribute ``column`` keeps a changed name."""
    taken = set(group)
    links = {}
    for name, values in columns.items():
        link = links[name] = safe_name(name, taken)
        taken.add(link)
        write_column(group, link, values, unit=(units or {}).get(name), column=name if link != name else None)
    of_links = {link: unit for name, link in links.items() if (unit := (units or {}).get(name))}
    _WRITTEN.add(group.file.filename, group.name, {links[name]: values for name, values in columns.items()}, of_links)


def read_table(group: h5py.Group, *, units: dict[str, str] | None = None) -> dict[str, Array]:
    """Read the columns of a group; strings as stored (bytes). ``units`` gets those that they have."""
    columns = {}
    for name in group:
        link = name.encode()
        if h5py.h5o.get_info(group.id, link).type != h5py.h5o.TYPE_DATASET:
            continue
        # As `group[name][:]`, in a third of the time.
        dataset = h5py.h5d.open(group.id, link)
        values = np.empty(dataset.shape, dataset.dtype)
        if values.size:
            dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values, _kind(values.dtype))
        columns[name] = values
        if units is not None and h5py.h5a.exists(dataset, b"unit"):
            unit = np.empty((), _TEXT)
            h5py.h5a.open(dataset, b"unit").read(unit, _kind(_TEXT))
            units[name] = unit.item().decode()
    return columns


def read_group(file: h5py.File, name: str, *, units: dict[str, str] | None = None) -> dict[str, Array]:
    """Read the columns of a group, as `read_table` does; of a file that this process has just written, at once.

    The arrays are others', too: they are not to be changed.
    """
    written = _WRITTEN.tables(file.filename)
    if written is None or f"/{name}" not in written:
        return read_table(file[name], units=units)
    table, of_columns = written[f"/{name}"]
    if units is not None:
        units |= of_columns
    return dict(table)


def columns(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets of a group by their columns' names, which may differ from the links: `write_table`."""
    return {str(item.attrs.get("column", link)): item for link, item in group.items()}


def text(values: Array) -> list[str]:
    """Return HDF5 strings (bytes, fixed or variable length) as ``str``."""
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
