"""HDF5 layouts: how columns and spectra are laid down, and read back.

Everything that is written here can be read by every h5py and every HDF5 library: fixed-length or UTF-8 strings, native
numbers, gzip with shuffle. Files carry no time stamps of their own, so equal content gives equal bytes.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.atomic import atomic_path
from skyharvest.errors import MalformedFile

Array = npt.NDArray[Any]

GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
CHUNK_ROWS = 4096  # of one-dimensional columns
NULL_INTEGER = np.iinfo(np.int64).min


@contextmanager
def create(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open a new HDF5 file that appears under its name when the block ends without an error."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=("earliest", "v110")) as file:
        yield file


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file to read; a torn one is a `MalformedFile` that says to remove it."""
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise MalformedFile(
            f"{path} is not a readable HDF5 file ({error}): remove it, the next run makes it anew"
        ) from error
    with file:
        yield file


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


def text(values: Array) -> list[str]:
    """Return HDF5 strings (bytes, fixed or variable length) as ``str``."""
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
