"""Some planes of images, or rows of those of two axes, compressed or not, without reading the whole file.

What is needed of the file is written at its own position into a sparse copy, which cfitsio reads.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from skyharvest.core.arrays import Array, Ints
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Range, merge
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.tile_table import heap_columns, heap_of, image_of, is_compressed, tile_shape


def read_planes(fits: FitsFile, wanted: Mapping[str, Sequence[int] | Ints], n_axes: int | None = 3) -> dict[str, Array]:
    """Read planes of images.

    Parameters
    ----------
    wanted
        Name of an HDU → which planes of its slowest axis, from 0; some of each.
    n_axes
        That all images must have; None for any number.

    Returns
    -------
    dict
        Name → (n, …) array of its planes, as cfitsio reads them: in native byte order.

    Raises
    ------
    MalformedFile
        If an image has not so many axes or planes, a descriptor points outside the heap, or cfitsio cannot decode a
        tile.
    Absent, ArchiveRefused, ArchiveUnavailable
        From the source.
    """
    images = {name: image_of(fits[name]) if is_compressed(fits[name]) else fits[name] for name in wanted}
    for hdu in images.values():
        if hdu.is_table or (n_axes is not None and len(hdu.shape) != n_axes):
            raise MalformedFile(f"{hdu}: expected an image" + (f" of {n_axes} axes" if n_axes else ""))
    tables = {name: _table_rows(fits[name], images[name], planes) for name, planes in wanted.items()}
    parts = fits.source.read([span for spans in tables.values() for span in spans])
    stored = iter(parts)
    data: list[Range] = []
    for name, spans in tables.items():
        rows = b"".join(next(stored) for _ in spans)
        data += _pieces(fits[name], rows, fits.source.size()) if is_compressed(fits[name]) else spans
    headers = [(hdu.start, hdu.data_start) for hdu in fits.hdus]
    ranges = merge([*headers, *(span for spans in tables.values() for span in spans), *data], 0)
    with tempfile.TemporaryFile(prefix="skyharvest-", suffix=".fits") as copy:
        copy.truncate(fits.source.size())
        for (start, _), part in zip(ranges, fits.source.read(ranges), strict=True):
            copy.seek(start)
            copy.write(part)
        copy.flush()
        return _decode(images, copy.fileno(), wanted)


def _table_rows(hdu: HDU, image: HDU, planes: Sequence[int] | Ints) -> list[Range]:
    """Return the byte ranges of the planes, or of the rows of the tile table that are of them."""
    if not is_compressed(hdu):
        return merge(hdu.rows(planes), 0)
    shape = image.shape
    tile = tile_shape(hdu, len(shape))
    tiles = [-(-length // side) for length, side in zip(shape, tile, strict=True)]
    if math.prod(tiles) != hdu.n_rows:
        raise MalformedFile(f"{hdu}: its tile table has {hdu.n_rows:,} rows; {tiles} tiles of {tile} make {shape}")
    of_slab = math.prod(tiles[1:]) * hdu.row_bytes
    slabs = sorted({plane // tile[0] for plane in planes})
    if slabs and not 0 <= slabs[0] <= slabs[-1] < tiles[0]:
        raise MalformedFile(f"{hdu}: has {shape[0]} planes, asked for {max(planes)}")
    return merge([(hdu.data_start + slab * of_slab, hdu.data_start + (slab + 1) * of_slab) for slab in slabs], 0)


def _pieces(hdu: HDU, rows: bytes, size: int) -> list[Range]:
    """Return where in the file the tiles of rows of the tile table are."""
    first, stop = heap_of(hdu, size)
    pieces = []
    n_rows = len(rows) // hdu.row_bytes
    for column in heap_columns(hdu):
        strides = hdu.row_bytes, np.dtype(column.dtype).itemsize
        stored: Array = np.ndarray((n_rows, 2), column.dtype, rows, column.offset, strides)
        for count, offset in stored.tolist():
            start = first + offset
            if count < 0 or offset < 0 or start + count * column.item_bytes > stop:
                raise MalformedFile(
                    f"{hdu}: column {column.name} of the tile table: {count:,} elements at byte {offset:,} of the "
                    f"heap, which has {stop - first:,} bytes"
                )
            pieces.append((start, start + count * column.item_bytes))
    return pieces


def _decode(images: Mapping[str, HDU], handle: int, wanted: Mapping[str, Sequence[int] | Ints]) -> dict[str, Array]:
    import fitsio  # noqa: PLC0415

    read: dict[str, Array] = {}
    name = ""
    try:
        with fitsio.FITS(f"/dev/fd/{handle}") as file:
            for name, planes in wanted.items():
                rest = images[name].shape[1:]
                whole = (slice(None),) * len(rest)
                parts = [file[name][(slice(int(k), int(k) + 1), *whole)].reshape(1, *rest) for k in planes]
                read[name] = np.concatenate(parts)
    except (OSError, LookupError, ValueError) as error:  # fitsio's
        raise MalformedFile(f"{images[name]}: cfitsio cannot decode it: {' '.join(str(error).split())}") from error
    return read
