"""Boxes of pixels of a tile-compressed image, without reading the whole file.

A binary table has a row per tile, whose descriptors say which bytes of the table's heap hold it. After headers and
table only the tiles of the boxes are read. They are written at their own positions into a sparse file, which cfitsio
decodes: rows keep their numbers, on which a tile's dither depends (FITS Standard §10.2.1).

Source: FITS Standard 4.0 (2018), §7.3.5 (heaps), §10.1 (tiled images).
"""

import math
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Range, Source, merge
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU, Array
from skyharvest.formats.fits_header import BLOCK, Value
from skyharvest.formats.tangent_plane import Sky
from skyharvest.formats.tile_table import GZIP, check_compression, heap_columns, heap_of, image_shape, tile_shape

Box = tuple[int, int, int, int]
"""Half-open ``(y0, y1, x0, x1)``, inside the image."""

FIRST_READ = 24 * BLOCK  # 69 kB: a table of 36 x 36 rows of 32 bytes and 27 kB of headers
MAX_TILE = 1 << 27  # pixels: an image may be one tile, and cfitsio allocates the header's size
HCOMPRESS_HEAD = struct.Struct(">2sII")  # magic number, sides
HCOMPRESS_MAGIC = b"\xdd\x99"

_PRIMARY = "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in (("SIMPLE", "T"), ("BITPIX", 8), ("NAXIS", 0)))


@dataclass(frozen=True)
class _Piece:
    """Bytes of a tile in the file: its row in the tile table, the column of its descriptor, and the byte range."""

    row: int
    column: str
    start: int
    stop: int


class TiledImage:
    """The first tile-compressed image in a file.

    Opening it reads headers and tile table, in most files with one request.

    Parameters
    ----------
    source
        File to read. Not closed.
    scratch
        Directory for the temporary file that cfitsio reads in `read`; the system's unless given.

    Attributes
    ----------
    shape
        Shape of the image, (y, x), pixels.
    tile
        Shape of a tile, (y, x), pixels; at the upper and right edges tiles may be smaller.
    sky
        Its celestial coordinates.
    header
        Keyword → value, as stored: the image's own and those of the compressed table.

    Raises
    ------
    MalformedFile
        If there is no such image, it has not two axes, no celestial WCS, invalid headers or another number of table
        rows than tiles, or the file ends before the heap.
    Absent, ArchiveRefused, ArchiveUnavailable
        From the source.
    """

    def __init__(self, source: Source, scratch: Path | None = None) -> None:
        fits = _FirstCompressed(source, first_read=FIRST_READ)
        self._source = fits.source
        self._scratch = scratch
        self._hdu = hdu = fits.hdu()
        self.header: Mapping[str, Value] = hdu.header
        self.shape, self.tile = _shapes(hdu)
        self._tiles = (-(-self.shape[0] // self.tile[0]), -(-self.shape[1] // self.tile[1]))
        if math.prod(self._tiles) != hdu.n_rows:
            raise MalformedFile(
                f"{hdu}: its tile table has {hdu.n_rows:,} rows, expected {math.prod(self._tiles):,}: "
                f"{self._tiles[0]:,} x {self._tiles[1]:,} tiles of {self.tile} pixels (y, x) make {self.shape}"
            )
        self._heap = heap_of(hdu, source.size())
        self._columns = heap_columns(hdu)
        try:
            self.sky = Sky(hdu.header, self.shape)
        except ValueError as error:  # wcslib's, too
            raise MalformedFile(f"{hdu}: no celestial axes: {' '.join(str(error).split())}") from error
        stop = hdu.all_rows()[1]
        begin = self._source.kept_from(hdu.start, stop - hdu.start)
        self._head = begin + self._source.read([(hdu.start + len(begin), stop)])[0]

    def __str__(self) -> str:
        return str(self._hdu)

    def ranges(self, boxes: Iterable[Box]) -> list[Range]:
        """Return the byte ranges of the tiles of these boxes: sorted, disjoint, joined where they touch.

        Raises
        ------
        IndexError
            If a box is empty or not inside the image.
        MalformedFile
            If a descriptor points outside the heap, or a tile has no data.
        """
        return merge([(piece.start, piece.stop) for piece in self._pieces(boxes)], 0)

    def fetch(self, boxes: Iterable[Box]) -> None:
        """Read the tiles of these boxes and keep them for `read`. Threads may fetch, but only one may `read`."""
        self._source.fetch(self.ranges(boxes))

    def read(self, boxes: Sequence[Box]) -> list[Array]:
        """Read boxes of pixels with one read of the source, each tile once.

        Returns
        -------
        list of (y1 - y0, x1 - x0) arrays
            In the order of ``boxes``, in native byte order. Values and dtype are those that cfitsio reads from the
            whole file: BSCALE and BZERO applied, NaN for ZBLANK.

        Raises
        ------
        IndexError
            If a box is empty or not inside the image.
        MalformedFile
            If a descriptor points outside the heap, a tile has no data, or cfitsio cannot decode one.
        Absent, ArchiveRefused, ArchiveUnavailable
            From the source.
        """
        if not boxes:
            return []
        pieces = self._pieces(boxes)
        parts = self._source.read([(piece.start, piece.stop) for piece in pieces])
        for piece, part in zip(pieces, parts, strict=True):
            self._check(piece, part)
        shift = BLOCK - self._hdu.start  # the HDU follows an empty primary HDU; whatever was before it is left out
        with tempfile.TemporaryFile(dir=self._scratch, prefix="skyharvest-", suffix=".fits") as file:
            file.truncate(self._hdu.stop + shift)
            handle = file.fileno()
            _write(handle, f"{_PRIMARY}END".ljust(BLOCK).encode(), 0)
            _write(handle, self._head, BLOCK)
            for piece, part in zip(pieces, parts, strict=True):
                _write(handle, part, piece.start + shift)
            return self._decode(handle, boxes)

    def _rows(self, box: Box) -> list[int]:
        """Return the rows of the tile table that a box needs."""
        y0, y1, x0, x1 = box
        if not (0 <= y0 < y1 <= self.shape[0] and 0 <= x0 < x1 <= self.shape[1]):
            raise IndexError(f"{self}: no box of pixels y {y0}:{y1}, x {x0}:{x1} in an image of shape {self.shape}")
        across = range(x0 // self.tile[1], (x1 - 1) // self.tile[1] + 1)
        return [j * self._tiles[1] + i for j in range(y0 // self.tile[0], (y1 - 1) // self.tile[0] + 1) for i in across]

    def _pieces(self, boxes: Iterable[Box]) -> list[_Piece]:
        """Return the bytes of the tiles of these boxes, each tile once."""
        rows = sorted({row for box in boxes for row in self._rows(box)})
        pieces = []
        table = self._hdu.data_start - self._hdu.start
        for column in self._columns:
            strides = self._hdu.row_bytes, np.dtype(column.dtype).itemsize
            stored: Array = np.ndarray((self._hdu.n_rows, 2), column.dtype, self._head, table + column.offset, strides)
            for row, (count, offset) in zip(rows, stored[rows].tolist(), strict=True):
                start, stop = self._heap[0] + offset, self._heap[0] + offset + count * column.item_bytes
                if count < 0 or offset < 0 or stop > self._heap[1]:
                    raise MalformedFile(
                        f"{self}: row {row} of the tile table, column {column.name}: {count:,} elements at byte "
                        f"{offset:,} of the heap, which has {self._heap[1] - self._heap[0]:,} bytes"
                    )
                if count:
                    pieces.append(_Piece(row, column.name, start, stop))
        empty = set(rows) - {piece.row for piece in pieces}
        if empty:
            names = ", ".join(column.name for column in self._columns)
            raise MalformedFile(f"{self}: row {min(empty)} of the tile table: no data in any of the columns {names}")
        return pieces

    def _check(self, piece: _Piece, data: bytes) -> None:
        """Check what cfitsio does not: a broken gzip stream never ends, and HCOMPRESS may divide by zero."""
        algorithm = str(self.header["ZCMPTYPE"])
        j, i = divmod(piece.row, self._tiles[1])
        height, width = (
            min(side, length - k * side) for k, side, length in zip((j, i), self.tile, self.shape, strict=True)
        )
        problem = None
        if piece.column == "GZIP_COMPRESSED_DATA" or (piece.column == "COMPRESSED_DATA" and algorithm in GZIP):
            problem = _gzip_problem(data, 8 * height * width)
        elif piece.column == "COMPRESSED_DATA" and algorithm == "HCOMPRESS_1":
            sides = HCOMPRESS_HEAD.unpack_from(data) if len(data) >= HCOMPRESS_HEAD.size else None
            if sides is None or sides[0] != HCOMPRESS_MAGIC or sides[1] * sides[2] != height * width:
                problem = f"begins with {data[: HCOMPRESS_HEAD.size].hex()}, expected an HCOMPRESS stream of its size"
        if problem is not None:
            raise MalformedFile(
                f"{self}: row {piece.row} of the tile table, {height} x {width} pixels in bytes {piece.start:,} to "
                f"{piece.stop:,} of the file: {problem}"
            )

    def _decode(self, handle: int, boxes: Sequence[Box]) -> list[Array]:
        import fitsio  # noqa: PLC0415

        decoded = []
        box = boxes[0]
        try:
            with fitsio.FITS(f"/dev/fd/{handle}") as file:
                for box in boxes:
                    y0, y1, x0, x1 = box
                    decoded.append(np.asarray(file[1][y0:y1, x0:x1]))
        except (OSError, LookupError, ValueError) as error:  # fitsio's
            rows = self._rows(box)
            raise MalformedFile(
                f"{self}: cfitsio cannot decode pixels y {box[0]}:{box[1]}, x {box[2]}:{box[3]} (rows {rows[0]} to "
                f"{rows[-1]} of the tile table): {' '.join(str(error).split())}"
            ) from error
        return decoded


class _FirstCompressed(FitsFile):
    """The HDUs of a file up to the first compressed image."""

    def hdu(self) -> HDU:
        while self._hdus[-1].header.get("ZIMAGE") is not True:
            if not self._next():
                kinds = ", ".join(
                    f"{hdu.name} ({'a table' if hdu.is_table else f'an image of shape {hdu.shape}'})"
                    for hdu in self._hdus
                )
                raise MalformedFile(f"{self.name}: expected a tile-compressed image (ZIMAGE), found {kinds}")
        return self._hdus[-1]


def _shapes(hdu: HDU) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the shapes (y, x) of the image and of its tiles, after the checks that cfitsio leaves out."""
    shape, tile = image_shape(hdu, 2), tile_shape(hdu, 2)
    check_compression(hdu)
    if math.prod(tile) > MAX_TILE:
        raise MalformedFile(f"{hdu}: a tile has {tile} pixels (y, x), expected {MAX_TILE:,} in all at most")
    return (shape[0], shape[1]), (tile[0], tile[1])


def _gzip_problem(data: bytes, most: int) -> str | None:
    """Return what is wrong with a gzip stream of at most ``most`` uncompressed bytes; None if nothing is."""
    stream = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # gzip or zlib header
    try:
        uncompressed = stream.decompress(data, most + 1)
    except zlib.error as error:
        return f"no gzip stream ({error})"
    if len(uncompressed) > most:
        return f"a gzip stream of more than {most:,} bytes"
    return None if stream.eof else "a gzip stream that is cut off"


def _write(handle: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, position)
        view, position = view[written:], position + written
