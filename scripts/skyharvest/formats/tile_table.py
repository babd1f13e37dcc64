"""The table of tiles of a compressed image: its structure, checked where cfitsio does not, and where its heap is.

Source: FITS Standard 4.0 (2018), §7.3.5 (heaps), §10.1 (tiled images).
"""

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Range
from skyharvest.formats.fits_hdu import COLUMN_TYPES, HDU, IMAGE_TYPES

GZIP = ("GZIP_1", "GZIP_2")
ALGORITHMS = ("RICE_1", "RICE_ONE", *GZIP, "HCOMPRESS_1")

_DESCRIPTOR = re.compile(r"\s*1?([PQ])([A-Z])")


@dataclass(frozen=True)
class HeapColumn:
    """A column whose values are in the heap: the offset and dtype of its descriptors, and the bytes of a value."""

    name: str
    offset: int
    dtype: str
    item_bytes: int


def check_compression(hdu: HDU) -> None:
    """Check that a compressed image is a table, and compressed in a way that can be undone.

    Raises
    ------
    MalformedFile
        If not; names the header card, and what was expected.
    """
    if not hdu.is_table:
        raise MalformedFile(f"{hdu}: ZIMAGE is set, expected a binary table")
    if hdu.header.get("ZBITPIX") not in IMAGE_TYPES:
        raise MalformedFile(f"{hdu}: ZBITPIX is {hdu.header.get('ZBITPIX')!r}, expected one of {sorted(IMAGE_TYPES)}")
    if hdu.header.get("ZCMPTYPE") not in ALGORITHMS:
        raise MalformedFile(
            f"{hdu}: ZCMPTYPE is {hdu.header.get('ZCMPTYPE')!r}, expected one of {', '.join(ALGORITHMS)}"
        )
    dither = str(hdu.header.get("ZQUANTIZ")).startswith("SUBTRACTIVE_DITHER")
    if dither and hdu.header.get("ZDITHER0") not in range(1, 10001):
        raise MalformedFile(f"{hdu}: ZDITHER0 is {hdu.header.get('ZDITHER0')!r}, expected an integer from 1 to 10000")
    if hdu.header["ZBITPIX"] in (-32, -64) and hdu.header["ZCMPTYPE"] not in GZIP:
        for name in ("ZSCALE", "ZZERO"):  # without them cfitsio returns the integers
            if name not in hdu.columns and name not in hdu.header:
                raise MalformedFile(f"{hdu}: floating-point numbers in {hdu.header['ZCMPTYPE']} without {name}")


def is_compressed(hdu: HDU) -> bool:
    """Tell whether an HDU is a table of tiles of an image."""
    return hdu.header.get("ZIMAGE") is True


def image_of(hdu: HDU) -> HDU:
    """Return the image that a table of tiles holds, as the header of a plain one would describe it.

    Its shape and types are told so, but not where its rows are.

    Raises
    ------
    MalformedFile
        See `check_compression`; or if the image has no axes.
    """
    check_compression(hdu)
    n_axes = _positive(hdu, "ZNAXIS")
    shape = image_shape(hdu, n_axes)
    said = {"XTENSION": "IMAGE", "BITPIX": hdu.header["ZBITPIX"], "NAXIS": n_axes}
    sides = {f"NAXIS{axis}": hdu.header[f"ZNAXIS{axis}"] for axis in range(1, n_axes + 1)}
    row_bytes = np.dtype(IMAGE_TYPES[hdu.header["ZBITPIX"]]).itemsize * math.prod(shape[1:])  # type: ignore[index]
    return replace(hdu, header={**hdu.header, **said, **sides}, n_rows=shape[0], row_bytes=row_bytes)


def tile_shape(hdu: HDU, n_axes: int) -> tuple[int, ...]:
    """Return the shape of a tile, in NumPy's order, of a compressed image of so many axes."""
    sides = {
        axis: _positive(hdu, f"ZTILE{axis}", 1 if axis > 1 else _positive(hdu, "ZNAXIS1"))
        for axis in range(1, n_axes + 1)
    }
    return tuple(sides[axis] for axis in range(n_axes, 0, -1))


def image_shape(hdu: HDU, n_axes: int) -> tuple[int, ...]:
    """Return the shape, in NumPy's order, of a compressed image that must have so many axes."""
    if hdu.header.get("ZNAXIS") != n_axes:
        raise MalformedFile(f"{hdu}: ZNAXIS is {hdu.header.get('ZNAXIS')!r}, expected {n_axes}")
    return tuple(_positive(hdu, f"ZNAXIS{axis}") for axis in range(n_axes, 0, -1))


def _positive(hdu: HDU, keyword: str, default: int | None = None) -> int:
    value = hdu.header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        raise MalformedFile(f"{hdu}: {keyword} is {value!r}, expected a number of pixels")
    return value


def heap_of(hdu: HDU, size: int) -> Range:
    """Return the byte range of the heap in the file."""
    table = hdu.n_rows * hdu.row_bytes
    offset, gap_and_heap = hdu.header.get("THEAP", table), hdu.header.get("PCOUNT", 0)
    if not isinstance(offset, int) or not isinstance(gap_and_heap, int) or not table <= offset <= table + gap_and_heap:
        raise MalformedFile(
            f"{hdu}: the heap begins at byte THEAP {offset!r}, expected one between the table's end at {table:,} and "
            f"PCOUNT {gap_and_heap!r} bytes after it"
        )
    stop = hdu.data_start + table + gap_and_heap
    if stop > size:
        raise MalformedFile(
            f"{hdu}: its header claims a heap up to byte {stop:,}, the file has {size:,}: it is truncated"
        )
    return hdu.data_start + offset, stop


def heap_columns(hdu: HDU) -> list[HeapColumn]:
    """Return the columns of variable length: COMPRESSED_DATA, GZIP_COMPRESSED_DATA, UNCOMPRESSED_DATA."""
    columns = []
    for k, column in enumerate(hdu.columns.values(), 1):
        match = _DESCRIPTOR.match(column.form)
        if match is None:
            continue
        if match[2] not in COLUMN_TYPES:
            raise MalformedFile(
                f"{hdu}: TFORM{k} is {column.form!r}, expected elements of numbers or bytes such as '1PB'"
            )
        dtype = ">u4" if match[1] == "P" else ">i8"
        columns.append(HeapColumn(column.name, column.offset, dtype, np.dtype(COLUMN_TYPES[match[2]]).itemsize))
    if "COMPRESSED_DATA" not in [column.name for column in columns]:
        forms = ", ".join(f"{column.name} {column.form}" for column in hdu.columns.values())
        raise MalformedFile(
            f"{hdu}: expected a column COMPRESSED_DATA of variable length, found {forms or 'no columns'}"
        )
    return columns
