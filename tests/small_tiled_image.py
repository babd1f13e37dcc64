"""Small tile-compressed images, intact and damaged."""

from pathlib import Path

import fitsio
import numpy as np
from astropy.io import fits

from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.tiled_image import TiledImage

SHAPE = (331, 407)  # a multiple of no tile
TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 359.99,
    "CRVAL2": -31.2,
    "CRPIX1": 204.5,
    "CRPIX2": 166.0,
    "CD1_1": -0.262 / 3600,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 0.262 / 3600,
    "BRICK": "3599m312",
}
WHOLE = (0, SHAPE[0], 0, SHAPE[1])
RNG = np.random.default_rng(6)


def sky_image(dtype: str = "f4") -> np.ndarray:
    """Noise with a star, zeros (which dither 2 keeps) and NaNs."""
    y, x = np.indices(SHAPE)
    image = RNG.normal(0, 0.01, SHAPE) + 50 * np.exp(-((x - 200) ** 2 + (y - 99.5) ** 2) / 8)
    image[40:180, 290:310] = 0
    image[:3, 5:120] = image[200, 200] = image[-1, -1] = np.nan
    return image.astype(dtype)


def bits(dtype: str, most: int) -> np.ndarray:
    return np.where(RNG.random(SHAPE) < 0.1, RNG.integers(0, most, SHAPE), 0).astype(dtype)


def wild_tiles() -> np.ndarray:
    """An image in which tiles of 100 pixels cannot be quantised: they span too many decades."""
    image = sky_image()
    image[100:200, 100:200] = 10 ** RNG.uniform(-30, 30, (100, 100))
    image[300:, 400:] = 10 ** RNG.uniform(-30, 30, (31, 7))
    return image


def write(path: Path, data: np.ndarray, compress: str, header: dict | None = None) -> Path:
    """Write as the survey does, with cfitsio's own words for how to compress."""
    with fitsio.FITS(f"{path}[compress {compress}]", "rw", clobber=True) as file:
        file.write(data, header=TAN | (header or {}))
    return path


def remade(path: Path, change) -> Path:
    """Make the tile table anew of columns that ``change`` (column → column) gives."""
    with fits.open(path, disable_image_compression=True) as hdus:
        old = hdus[1]
        columns = [change(fits.Column(c.name, c.format, array=old.data[c.name])) for c in old.columns]
        cards = [card for card in old.header.cards if card.keyword[:5] not in ("TTYPE", "TFORM", "THEAP")]
        table = fits.BinTableHDU.from_columns(columns)
        table.header.update({card.keyword: card.value for card in cards if card.keyword not in table.header})
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return path


def longer_descriptor(column: fits.Column) -> fits.Column:
    """Return the column, with descriptors of 64 bits if it is the compressed data's."""
    is_heap = column.name == "COMPRESSED_DATA"
    return fits.Column(column.name, "1QB()", array=column.array) if is_heap else column


def patched(path: Path, **cards) -> Path:
    """Overwrite cards of the tile table's header."""
    data = bytearray(path.read_bytes())
    start = data.index(b"XTENSION")
    for key, value in cards.items():
        at = data.index(f"{key:8}=".encode(), start)
        text = f"'{value}'" if isinstance(value, str) else f"{value:>20}"
        data[at : at + 80] = f"{key:8}= {text}".ljust(80).encode()
    path.write_bytes(data)
    return path


def table_at(path: Path) -> tuple[int, int, int, int]:
    """Return where the tile table starts, its rows, the bytes of each, and where the heap starts: astropy's view."""
    with fits.open(path, disable_image_compression=True) as hdus:
        header, start = hdus[1].header, hdus[1].fileinfo()["datLoc"]
        n_rows, row_bytes = header["NAXIS2"], header["NAXIS1"]
        return start, n_rows, row_bytes, start + header.get("THEAP", n_rows * row_bytes)


def point(path: Path, row: int, count: int, offset: int) -> Path:
    """Write a row's first descriptor."""
    start, _, row_bytes, _ = table_at(path)
    data = bytearray(path.read_bytes())
    data[start + row * row_bytes : start + row * row_bytes + 8] = np.array([count, offset], ">i4").tobytes()
    path.write_bytes(data)
    return path


def boxes_of(shape: tuple[int, int], n_random: int = 15) -> list[tuple[int, int, int, int]]:
    """The whole image, its corners, its edges, single pixels, edges of tiles, and places anywhere."""
    height, width = shape
    boxes = [(0, height, 0, width), (0, 1, 0, 1), (height - 1, height, width - 1, width), (0, 1, 0, width)]
    boxes += [(0, 30, width - 30, width), (height - 30, height, 0, 30), (99, 101, 99, 101), (100, 200, 100, 200)]
    for _ in range(n_random):
        y, x = (np.sort(RNG.choice(side + 1, 2, replace=False)).tolist() for side in shape)
        boxes.append((*y, *x))
    return boxes


def read(path: Path, boxes) -> list[np.ndarray]:
    with LocalFile(path) as source:
        return TiledImage(source).read(boxes)


def check(path: Path, boxes=None) -> np.ndarray:
    """Compare boxes with what cfitsio and astropy make of the whole file, each alone and all together."""
    whole = fitsio.read(str(path), ext=1)
    with fits.open(path) as hdus:
        theirs = hdus[1].data
        np.testing.assert_array_equal(theirs, whole)
    boxes = boxes_of(whole.shape) if boxes is None else boxes
    values = read(path, boxes)
    for box, got in zip(boxes, values, strict=True):
        y0, y1, x0, x1 = box
        assert got.dtype == whole.dtype and got.dtype.isnative
        np.testing.assert_array_equal(got, whole[y0:y1, x0:x1], strict=True)
    for box, got in list(zip(boxes, values, strict=True))[-5:]:
        np.testing.assert_array_equal(read(path, [box])[0], got)
    return whole
