"""Boxes of tile-compressed images, against cfitsio's and astropy's reading of the whole file; and files that lie."""

import tempfile
from itertools import pairwise
from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core.errors import ArchiveRefused, HarvestError, MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.tiled_image import TiledImage
from small_tiled_image import (
    RNG,
    SHAPE,
    TAN,
    WHOLE,
    bits,
    boxes_of,
    check,
    longer_descriptor,
    patched,
    point,
    read,
    remade,
    sky_image,
    table_at,
    wild_tiles,
    write,
)

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)


@pytest.fixture
def brick(tmp_path) -> Path:
    return write(tmp_path / "image.fits.fz", sky_image(), "R 100,100; qz -1e-4")


# --- The same pixels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", ["100,100", "37,64", "407,1", "1000,1000"])
@pytest.mark.parametrize(
    ("data", "compress"),
    [
        (sky_image(), "R {}; qz -1e-4"),
        (sky_image(), "R {}; q 4"),
        (np.nan_to_num(100 + 10 * sky_image()), "R {}; q0 16"),
        (bits("i2", 2**14), "R {}"),
        (bits("i4", 2**30), "R {}"),
        (bits("u1", 2**8), "R {}"),
        (bits("u2", 2**16), "R {}"),
        (bits("i2", 2**14), "H {}"),
        (bits("i4", 2**20), "H {}"),
        (sky_image(), "G {}; qz 0"),
        (sky_image("f8"), "G {}; qz 0"),
        (bits("i4", 2**30), "G {}"),
        (bits("i2", 2**14), "G2 {}"),
    ],
    ids=lambda value: value.dtype.str if isinstance(value, np.ndarray) else value,
)
def test_boxes_are_those_of_the_whole_image(tmp_path, data, compress, tile):
    if compress.startswith("H") and tile == "407,1":
        tile = "407,9"  # HCOMPRESS takes no less than 4 pixels, of the last tile too
    whole = check(write(tmp_path / "x.fits", data, compress.format(tile)))
    if data.dtype.kind == "f" and "qz 0" not in compress:
        assert not np.array_equal(whole, data, equal_nan=True)
        np.testing.assert_allclose(whole, data, atol=0.02 if "q0" not in compress else 1)
    else:
        np.testing.assert_array_equal(whole, data)
    if "qz" in compress:
        np.testing.assert_array_equal(whole == 0, data == 0)


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1"])
def test_astropys_files_are_read_too(tmp_path, kind):
    real = np.nan_to_num(sky_image()) if kind == "HCOMPRESS_1" else sky_image()
    for k, (data, quantize) in enumerate(((real, 2), (bits("i4", 2**20), -1))):
        hdu = fits.CompImageHDU(
            data, fits.Header(TAN), compression_type=kind, tile_shape=(50, 80), quantize_method=quantize, dither_seed=77
        )
        path = tmp_path / f"{k}.fits"
        hdu.writeto(path)
        check(path)


def test_tiles_that_cannot_be_quantised_are_read_from_where_they_are(tmp_path):
    data = wild_tiles()
    path = write(tmp_path / "x.fits", data, "R 100,100; qz -1e-3")
    wild = [(100, 200, 100, 200), (300, 331, 400, 407)]
    whole = check(path, [*boxes_of(SHAPE), *wild])
    with fits.open(path, disable_image_compression=True) as hdus:
        in_gzip = [row for row, stored in enumerate(hdus[1].data["GZIP_COMPRESSED_DATA"]) if len(stored)]
    assert in_gzip == [1 * 5 + 1, 3 * 5 + 4]
    for y0, y1, x0, x1 in wild:
        np.testing.assert_array_equal(whole[y0:y1, x0:x1], data[y0:y1, x0:x1])

    def uncompressed(column):
        if column.name != "GZIP_COMPRESSED_DATA":
            return column
        stored = np.empty(20, object)
        for row in range(20):
            stored[row] = np.zeros(0, np.float32)
        for row, (y0, y1, x0, x1) in zip(in_gzip, wild, strict=True):
            stored[row] = data[y0:y1, x0:x1].ravel()
        return fits.Column("UNCOMPRESSED_DATA", "1PE()", array=stored)

    remade(path, uncompressed)
    found = read(path, [*wild, (0, 331, 0, 407)])
    for got, (y0, y1, x0, x1) in zip(found, wild, strict=False):
        np.testing.assert_array_equal(got, data[y0:y1, x0:x1])
    np.testing.assert_array_equal(found[-1], whole)


def test_descriptors_of_either_length(brick):
    whole = fitsio.read(str(brick))
    remade(brick, longer_descriptor)
    with fits.open(brick, disable_image_compression=True) as hdus:
        assert hdus[1].header["NAXIS1"] == 32 and "QB" in hdus[1].columns["COMPRESSED_DATA"].format
    np.testing.assert_array_equal(check(brick), whole)


def test_a_heap_may_begin_behind_a_gap(brick):
    whole = fitsio.read(str(brick))
    _, n_rows, row_bytes, heap = table_at(brick)
    with fits.open(brick, disable_image_compression=True) as hdus:
        n_bytes = hdus[1].header["PCOUNT"]
    data = brick.read_bytes()
    made = data[:heap] + bytes(1000) + data[heap : heap + n_bytes]
    brick.write_bytes(made + bytes(-len(made) % 2880))
    text = brick.read_bytes()
    end = text.index(b"END" + b" " * 77, 2880)
    card = f"THEAP   = {n_rows * row_bytes + 1000:>20}".ljust(80).encode()
    brick.write_bytes(text[:end] + card + text[end : end + 80] + text[end + 160 :])
    patched(brick, PCOUNT=n_bytes + 1000)
    np.testing.assert_array_equal(fitsio.read(str(brick)), whole)  # astropy 8 reads past the file's end
    np.testing.assert_array_equal(read(brick, [WHOLE])[0], whole)


@pytest.mark.parametrize("first", ["compressed", "image", "table"])
def test_the_first_compressed_image_is_found_whatever_is_around_it(tmp_path, first):
    path, before = tmp_path / "x.fits", bits("i2", 9)
    with fitsio.FITS(str(path), "rw") as file:
        if first == "image":
            file.write(sky_image(), header=TAN)
        if first == "table":
            file.write(np.zeros(7000, [("a", "f8")]), header={"ZIMAGE": False})
        file.write(before, header=TAN, compress="hcompress", tile_dims=(100, 100))
        file.write(bits("i4", 99), header=TAN, compress="rice", tile_dims=(50, 50))
    np.testing.assert_array_equal(read(path, [WHOLE])[0], before)


def test_shape_header_and_sky(tmp_path):
    path = write(tmp_path / "x.fits", sky_image(), "R 37,64; qz 4")
    with LocalFile(path) as source:
        image = TiledImage(source)
    assert (image.shape, image.tile, image.header["BRICK"]) == (SHAPE, (64, 37), "3599m312")
    x, y = np.array([0.0, 203.5, 406.2]), np.array([330.0, 165, -0.4])
    ra, dec = WCS(fits.Header(TAN)).wcs_pix2world(x, y, 0)
    np.testing.assert_allclose(image.sky.pixels(ra, dec), (x, y), atol=1e-6)
    assert image.read([]) == image.ranges([]) == []


# --- What is read ----------------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path) -> Path:
    """A brick of many tiles: 1.6 MB, whose table has 29 kB, with another image behind it as maskbits have."""
    data = RNG.normal(0, 1, (1200, 1600)).astype("f4")
    path = write(tmp_path / "large.fits", data, "R 40,40; qz 16", {f"KEY{k}": k for k in range(150)})
    with fitsio.FITS(str(path), "rw") as file:
        file.write(bits("i4", 9), compress="hcompress", tile_dims=(100, 100))
    return path


def test_one_request_for_the_table_and_one_for_all_tiles(large):
    boxes = [(600, 760, 800, 960), (610, 770, 790, 950), (3, 20, 1590, 1600), (1190, 1200, 0, 10)]
    whole = fitsio.read(str(large))
    start, n_rows, row_bytes, heap = table_at(large)
    stored = np.ndarray((n_rows, 2), ">i4", large.read_bytes(), start, (row_bytes, 4)).astype(int)
    needed = {
        row
        for y0, y1, x0, x1 in boxes
        for row in range(n_rows)
        if y0 < 40 * (row // 40) + 40 and y1 > 40 * (row // 40) and x0 < 40 * (row % 40) + 40 and x1 > 40 * (row % 40)
    }
    with serve(large.parent) as server, Archive(server.url, patience=QUICK) as archive, archive.open("large.fits") as f:
        image = TiledImage(f)
        assert len(server.requests) == 1
        found = image.read(boxes)
        assert len(server.requests) == 2 and server.requests[1][1].count(",") > 4
        spent = archive.client.traffic.bytes
        ranges = image.ranges(boxes)
        assert len(server.requests) == 2
        image.read(boxes[:1])
        assert len(server.requests) == 3
    for (y0, y1, x0, x1), got in zip(boxes, found, strict=True):
        np.testing.assert_array_equal(got, whole[y0:y1, x0:x1])
    assert {k for a, b in ranges for k in range(a, b)} == {
        k for row in needed for k in range(heap + stored[row, 1], heap + stored[row].sum())
    }
    assert ranges == sorted(ranges) and all(a[1] < b[0] for a, b in pairwise(ranges))
    assert spent < 70_000 + sum(b - a for a, b in ranges) + 400 * len(ranges)


@pytest.mark.parametrize("way", ["single", "first", "refuse", "none"])
def test_servers_of_every_ability_give_the_same(large, way):
    boxes = boxes_of((1200, 1600), 3)[1:]
    whole = fitsio.read(str(large))
    with serve(large.parent) as server, Archive(server.url, patience=QUICK) as archive, archive.open("large.fits") as f:
        server.ranges = way
        found = TiledImage(f).read(boxes)
    for (y0, y1, x0, x1), got in zip(boxes, found, strict=True):
        np.testing.assert_array_equal(got, whole[y0:y1, x0:x1])


def test_long_headers_and_tables_are_read_on(tmp_path):
    data = RNG.integers(0, 99, (500, 600)).astype("i4")
    header = {f"KEY{k}": k for k in range(900)}  # 72 kB
    path = write(tmp_path / "x.fits", data, "R 5,5", header)  # 96 kB of table
    with serve(tmp_path) as server, Archive(server.url, patience=QUICK) as archive, archive.open("x.fits") as source:
        image = TiledImage(source)
        np.testing.assert_array_equal(image.read([(7, 450, 500, 600)])[0], data[7:450, 500:600])
        assert image.header["KEY899"] == 899
        assert len(server.requests) <= 4
        assert server.sent < path.stat().st_size


def test_scratch_files_are_gone(brick, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch [1], with +1"  # cfitsio has a syntax of its own for paths
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    with LocalFile(brick) as source:
        image = TiledImage(source, scratch)
        image.read([(0, 10, 0, 10)])
        assert list(scratch.iterdir()) == []
        with pytest.raises(FileNotFoundError):
            TiledImage(source).read([(0, 10, 0, 10)])


OUTSIDE = [
    (0, 0, 0, 5),
    (5, 4, 0, 5),
    (-1, 5, 0, 5),
    (0, 332, 0, 5),
    (0, 5, 400, 408),
    (0, 5, -3, -1),
    (340, 350, 1, 2),
]


@pytest.mark.parametrize("box", OUTSIDE)
def test_boxes_outside_of_the_image_are_an_error(brick, box):
    with pytest.raises(IndexError, match=r"image\.fits.*no box"):
        read(brick, [(0, 5, 0, 5), box])


# --- Files that lie --------------------------------------------------------------------------------------------------


def test_a_truncated_file_is_malformed_wherever_it_ends(brick):
    data, whole = brick.read_bytes(), fitsio.read(str(brick))
    start, n_rows, row_bytes, heap = table_at(brick)
    with fits.open(brick, disable_image_compression=True) as hdus:
        stop = heap + hdus[1].header["PCOUNT"]
    for length in (0, 100, 2880, 4000, start, start + n_rows * row_bytes - 1, heap, heap + 5000, stop - 1):
        brick.write_bytes(data[:length])
        with pytest.raises(MalformedFile, match=r"image\.fits.*(truncated|empty|ZIMAGE)"):
            read(brick, [(0, 1, 0, 1)])
    brick.write_bytes(data[:stop])  # only the padding is missing
    np.testing.assert_array_equal(read(brick, [WHOLE])[0], whole)


@pytest.mark.parametrize(
    ("count", "offset", "says"),
    [
        (4000, 10**9, r"4,000 elements at byte 1,000,000,000 of the heap, which has \d+,\d+ bytes"),
        (10**9, 0, "1,000,000,000 elements at byte 0"),
        (-5, 0, "4,294,967,291 elements"),
        (5, -5, "at byte 4,294,967,291"),
        (0, 0, "no data in any of the columns COMPRESSED_DATA"),
    ],
)
def test_a_descriptor_that_points_outside_is_malformed_for_those_who_need_it(brick, count, offset, says):
    whole = fitsio.read(str(brick))
    point(brick, 7, count, offset)
    with pytest.raises(MalformedFile, match=rf"image\.fits.*row 7 of the tile table.*{says}"):
        read(brick, [(0, 10, 0, 10), (150, 160, 290, 310)])
    boxes = [(0, 100, 0, 407), (200, 331, 0, 407), (0, 331, 300, 407)]
    for (y0, y1, x0, x1), got in zip(boxes, read(brick, boxes), strict=True):
        np.testing.assert_array_equal(got, whole[y0:y1, x0:x1])


def test_long_descriptors_that_point_outside_are_malformed(brick):
    remade(brick, longer_descriptor)
    start = table_at(brick)[0]
    good = brick.read_bytes()
    for count, offset in ((-1, 0), (10, -1), (2**62, 2**62), (1, 2**40)):
        brick.write_bytes(good[:start] + np.array([count, offset], ">i8").tobytes() + good[start + 16 :])
        with pytest.raises(MalformedFile, match="row 0 of the tile table"):
            read(brick, [(0, 10, 0, 10)])


@pytest.mark.parametrize(
    ("cards", "says"),
    [
        ({"ZTILE1": 50}, r"has 20 rows, expected 36: 4 x 9 tiles of \(100, 50\)"),
        ({"ZNAXIS2": 300}, "has 20 rows, expected 15"),
        ({"ZNAXIS2": 401}, "has 20 rows, expected 25"),
        ({"NAXIS2": 19}, "has 19 rows, expected 20"),
        ({"NAXIS2": 10**9}, "truncated"),
        ({"NAXIS1": 25}, "columns take 24 bytes"),
        ({"PCOUNT": 10**12}, "truncated"),
        ({"ZNAXIS": 3}, "ZNAXIS is 3, expected 2"),
        ({"ZNAXIS1": -5}, "ZNAXIS1 is -5"),
        ({"ZTILE1": 0}, "ZTILE1 is 0"),
        ({"ZTILE2": "many"}, "ZTILE2 is 'many'"),
        ({"ZTILE1": 2**30, "ZTILE2": 2**30}, "a tile has"),
        ({"ZBITPIX": 12}, "ZBITPIX is 12"),
        ({"ZCMPTYPE": "ZIP"}, "ZCMPTYPE is 'ZIP', expected one of RICE_1"),
        ({"ZVAL1": 0}, "cfitsio cannot decode"),
        ({"ZDITHER0": -10000}, "ZDITHER0 is -10000"),
        ({"TTYPE1": "DATA"}, "expected a column COMPRESSED_DATA of variable length, found DATA 1PB"),
        ({"TTYPE2": "SCALE"}, "without ZSCALE"),
        ({"TFORM1": "8B"}, "found COMPRESSED_DATA 8B"),
        ({"TFORM1": "1PX"}, "TFORM1 is '1PX'"),
        ({"ZIMAGE": "F"}, "expected a tile-compressed image"),
        ({"CTYPE1": "GLON-TAN"}, "no celestial axes"),
    ],
)
def test_headers_that_lie(brick, cards, says):
    patched(brick, **cards)
    with pytest.raises(MalformedFile, match=says) as caught:
        read(brick, [(0, 331, 0, 407)])
    assert str(brick) in str(caught.value)


@pytest.mark.parametrize("compress", ["R 100,100", "H 100,100", "G 100,100", "G2 100,100"])
def test_broken_tiles_are_malformed_and_end(tmp_path, compress):
    """Of such gzip streams cfitsio never ends; of such HCOMPRESS streams it kills the process."""
    path = write(tmp_path / "x.fits", RNG.integers(0, 2**14, SHAPE).astype("i4"), compress)
    heap = table_at(path)[3]
    good = path.read_bytes()
    broken = []
    if compress[0] != "R":  # which takes any bits for numbers
        broken += [good[:heap] + fill * 3000 + good[heap + 3000 :] for fill in (b"\x00", b"\xff")]
    if compress[0] == "H":
        broken.append(good[: heap + 2] + bytes(4) + good[heap + 6 :])
    if compress[0] == "G":
        broken.append(good[: heap + 3000] + bytes(500) + good[heap + 3500 :])
    for data in broken:
        path.write_bytes(data)
        with pytest.raises(MalformedFile, match=r"x\.fits.*row 0 of the tile table, 100 x 100 pixels"):
            read(path, [(0, 10, 0, 10)])
        assert read(path, [(110, 120, 110, 120)])[0].shape == (10, 10)
    path.write_bytes(good)
    point(path, 2, 100, 0)  # a stream that is cut off
    with pytest.raises(MalformedFile, match=r"row(s)? 2 |rows 2 to 2"):
        read(path, [(0, 10, 210, 220)])


def test_what_is_no_compressed_image_is_said(tmp_path):
    path = tmp_path / "x.fits"
    fits.PrimaryHDU(sky_image(), fits.Header(TAN)).writeto(path)
    with pytest.raises(MalformedFile, match=r"ZIMAGE\), found PRIMARY \(an image of shape \(331, 407\)\)"):
        read(path, [(0, 1, 0, 1)])
    path.write_bytes(b"<html><body>503 Service Unavailable</body></html>" * 100)
    with pytest.raises(MalformedFile, match="HTML"):
        read(path, [(0, 1, 0, 1)])
    path.write_bytes(b"\x1f\x8b" + bytes(5000))
    with pytest.raises(MalformedFile, match="gzip"):
        read(path, [(0, 1, 0, 1)])


def test_any_byte_of_header_and_table_may_be_wrong(brick):
    """Whatever is read of it, the answer is pixels or an error that says which file."""
    data = brick.read_bytes()
    heap = table_at(brick)[3]
    for _ in range(150):
        broken = bytearray(data)
        for at in RNG.integers(2880, heap, 4):
            broken[at] = RNG.choice(np.frombuffer(b"0159 -'TF=\x00\xff", "u1"))
        brick.write_bytes(broken)
        try:
            assert read(brick, [(95, 105, 95, 105)])[0].shape == (10, 10)
        except (HarvestError, IndexError) as error:
            assert not isinstance(error, ArchiveRefused)
            assert "image.fits" in str(error)
