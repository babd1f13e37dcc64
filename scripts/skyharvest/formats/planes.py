"""Some planes of images of three axes, compressed or not, without reading the whole file.

What is needed of the file is written at its own position into a sparse copy, which cfitsio reads.
"""

import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Range, merge
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.tile_table import check_compression, heap_columns, heap_of, image_shape, tile_shape


def read_planes(fits: FitsFile, wanted: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """Read planes of images.

    Parameters
    ----------
    wanted
        Name of an HDU → which planes of its slowest axis, from 0.

    Returns
    -------
    dict
        Name → (n, y, x) array of its planes, as cfitsio reads them: in native byte order.

    Raises
    ------
    MalformedFile
        If an image has not three axes or that many planes, a descriptor points outside the heap, or cfitsio cannot
        decode a tile.
    Absent, ArchiveRefused, ArchiveUnavailable
        From the source.
    """
    tables = {name: _table_rows(fits[name], planes) for name, planes in wanted.items()}
    parts = fits.source.read([span for spans in tables.values() for span in spans])
    stored = iter(parts)
    data: list[Range] = []
    for name, spans in tables.items():
        rows = b"".join(next(stored) for _ in spans)
        data += _pieces(fits[name], rows, fits.source.size()) if _is_compressed(fits[name]) else spans
    headers = [(hdu.start, hdu.data_start) for hdu in fits.hdus]
    ranges = merge([*headers, *(span for spans in tables.values() for span in spans), *data], 0)
    with tempfile.TemporaryFile(prefix="skyharvest-", suffix=".fits") as copy:
        copy.truncate(fits.source.size())
        for (start, _), part in zip(ranges, fits.source.read(ranges), strict=True):
            copy.seek(start)
            copy.write(part)
        copy.flush()
        return _decode(fits, copy.fileno(), wanted)


def _is_compressed(hdu: HDU) -> bool:
    return hdu.header.get("ZIMAGE") is True


def _table_rows(hdu: HDU, planes: Sequence[int]) -> list[Range]:
    """Return the byte ranges of the planes, or of the rows of the tile table that are of them."""
    if not _is_compressed(hdu):
        if hdu.is_table or len(hdu.shape) != 3:
            raise MalformedFile(f"{hdu}: expected an image of three axes")
        return merge(hdu.rows(planes), 0)
    check_compression(hdu)
    shape, tile = image_shape(hdu, 3), tile_shape(hdu, 3)
    tiles = [-(-length // side) for length, side in zip(shape, tile, strict=True)]
    if tiles[0] * tiles[1] * tiles[2] != hdu.n_rows:
        raise MalformedFile(f"{hdu}: its tile table has {hdu.n_rows:,} rows; {tiles} tiles of {tile} make {shape}")
    of_slab = tiles[1] * tiles[2] * hdu.row_bytes
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


def _decode(fits: FitsFile, handle: int, wanted: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    import fitsio  # noqa: PLC0415

    read: dict[str, Array] = {}
    name = ""
    try:
        with fitsio.FITS(f"/dev/fd/{handle}") as file:
            for name, planes in wanted.items():
                read[name] = np.concatenate([np.atleast_3d(file[name][k : k + 1, :, :]) for k in planes])
    except (OSError, LookupError, ValueError) as error:  # fitsio's
        raise MalformedFile(f"{fits[name]}: cfitsio cannot decode it: {' '.join(str(error).split())}") from error
    return read
