"""Rows of FITS files, compared with astropy; and headers that lie."""

import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Source
from skyharvest.formats.fits_file import FitsFile

RNG = np.random.default_rng(7)
N = 9


class Memory(Source):
    """A file in memory."""

    name = "memory.fits"
    gap = 0
    asked = 0

    def __init__(self, data: bytes) -> None:
        self.data = data

    def _read(self, ranges):
        self.asked += 1
        for _, stop in ranges:
            if stop > len(self.data):
                raise MalformedFile(f"{self.name}: truncated")
        return [self.data[start:stop] for start, stop in ranges]

    def head(self, length):
        self.asked += 1
        return self.data[:length]

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        pass


def odd_file() -> bytes:
    """Make a file with everything that rows may come in."""
    primary = fits.PrimaryHDU()
    primary.header["LONG"] = "a value that is much too long for one card " * 4 + "with a 'quote' & an ampersand"
    for k in range(900):  # more than one read of header
        primary.header[f"KEY{k}"] = (k, "padding")
    table = np.zeros(
        N,
        [("TARGETID", "i8"), ("RA", "f8"), ("OK", "?"), ("NAME", "S5"), ("COEFF", "f4", 10), ("U", "u2"), ("B", "u1")],
    )
    table["TARGETID"] = RNG.integers(-(2**62), 2**62, N)
    table["RA"] = RNG.random(N)
    table["OK"] = RNG.random(N) > 0.5
    table["NAME"] = [b"", b"a", b"ab ", b"abcde", b" x", b"b", b"c", b"d", b"e"]
    table["COEFF"] = RNG.random((N, 10))
    table["U"] = RNG.integers(0, 65536, N)
    table["B"] = RNG.integers(0, 256, N)
    scaled = fits.ImageHDU(RNG.integers(-9, 9, (N, 6)).astype(np.float32) / 2 + 10, name="SCALED")
    scaled.scale("int16", bscale=0.5, bzero=10)
    ragged = fits.Column("RAGGED", "PJ()", array=np.array([np.arange(k) for k in range(N)], object))
    bits = fits.Column("BITS", "3X", array=RNG.random((N, 3)) > 0.5)
    columns = fits.ColDefs(table) + fits.ColDefs([ragged, bits])
    hdus = [
        primary,
        fits.BinTableHDU.from_columns(columns, name="TABLE"),
        fits.ImageHDU(RNG.integers(0, 2**32, (N, 6), dtype=np.uint32), name="UINT32"),
        fits.ImageHDU(RNG.integers(0, 2**16, (N, 6)).astype(np.uint16), name="UINT16"),
        fits.ImageHDU(RNG.integers(-128, 128, (N, 6)).astype(np.int8), name="INT8"),
        fits.ImageHDU(RNG.integers(0, 2**64, (N, 2), dtype=np.uint64), name="UINT64"),
        fits.ImageHDU(RNG.random((N, 11, 4)).astype(np.float32), name="CUBE"),
        fits.ImageHDU(np.array([np.nan, np.inf, -0.0, 1e-310, 1.5]), name="LINE"),
        scaled,
        fits.ImageHDU(name="NOTHING"),
        fits.ImageHDU(np.zeros((0, 5), np.float32), name="EMPTY"),
    ]
    out = io.BytesIO()
    fits.HDUList(hdus).writeto(out, checksum=True)
    return out.getvalue()


ODD = odd_file()


def test_every_row_and_column_equals_astropys():
    read = FitsFile(Memory(ODD))
    rows = [8, 0, 3, 3]
    with fits.open(io.BytesIO(ODD), uint=True) as expected:
        assert [hdu.name for hdu in read.hdus] == [hdu.name for hdu in expected]
        assert read["PRIMARY"].header["LONG"] == expected[0].header["LONG"]
        assert read["PRIMARY"].header["KEY899"] == 899
        images = ["UINT32", "UINT16", "INT8", "UINT64", "CUBE"]
        data = read.read([(read[name], rows) for name in images] + [(read["TABLE"], rows), (read["LINE"], None)])
        for name, part in zip(images, data, strict=False):
            image = read[name].image(part)
            assert image.dtype == expected[name].data.dtype.newbyteorder("=")
            assert image.tobytes() == expected[name].data[rows].astype(image.dtype).tobytes()
        np.testing.assert_array_equal(
            read["SCALED"].image(read.read([(read["SCALED"], rows)])[0]), expected["SCALED"].data[rows]
        )
        assert read["LINE"].image(data[-1]).tobytes() == expected["LINE"].data.astype("<f8").tobytes()
        table = read["TABLE"].table(data[-2])
        assert set(table) == set(expected["TABLE"].columns.names) - {"RAGGED", "BITS"}
        for name, values in table.items():
            wanted = expected["TABLE"].data[name][rows]
            if values.dtype.kind == "S":
                wanted = np.char.encode(np.asarray(wanted, str))
            np.testing.assert_array_equal(values, wanted)
            assert values.dtype.isnative
        assert table["COEFF"].shape == (4, 10)
        assert read["EMPTY"].image(b"").shape == (0, 5)


def test_a_column_that_cannot_be_read_is_named_when_it_is_asked_for():
    hdu = FitsFile(Memory(ODD))["TABLE"]
    with pytest.raises(MalformedFile, match="column RAGGED has a type"):
        hdu.table(b"", ["RAGGED"])
    with pytest.raises(MalformedFile, match="column DEC is missing; found TARGETID, RA"):
        hdu.table(b"", ["DEC"])
    with pytest.raises(IndexError, match=f"row {N} of {N}"):
        hdu.rows([N])


def test_a_tile_compressed_image_is_called_by_its_name():
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((4, 50), np.int32), name="B_MASK")]).writeto(out)
    with pytest.raises(MalformedFile, match=r"memory\.fits\[B_MASK\].*tile-compressed"):
        FitsFile(Memory(out.getvalue()))["B_MASK"].image(b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Sorry</body></html>" * 100, "an HTML page"),
        (b"\x1f\x8b" + b"x" * 3000, "gzip-compressed"),
        (b"\x00" * 6000, "nothing but zeros"),
        (ODD[:2000], "no END card"),
        (ODD[:-4000], "truncated"),
        (ODD.replace(b"NAXIS1  =                    6", b"NAXIS1  =                   -6"), "NAXIS1 is -6"),
        (ODD.replace(b"NAXIS2  =                    9", b"NAXIS2  =     9999999999999999"), "truncated"),
        (ODD.replace(b"NAXIS2  =                    9", b"NAXIS2  = 99999999999999999999"), "NAXIS2 is 9999"),
        (ODD.replace(b"BITPIX  =                   32", b"BITPIX  =                   33"), "BITPIX is 33"),
        (ODD.replace(b"BITPIX  =                   32", b"BITPIX  =                'a'  "), "BITPIX is 'a'"),
        (ODD.replace(b"GCOUNT  =                    1", b"GCOUNT  =                    2"), "GCOUNT is 2"),
    ],
)
def test_what_is_not_fits_or_lies_is_malformed(data, message):
    with pytest.raises(MalformedFile, match=message):
        FitsFile(Memory(data)).hdus  # noqa: B018 (walks to the end)


def test_columns_that_do_not_fill_the_row_are_malformed():
    lying = FitsFile(Memory(ODD.replace(b"TFORM2  = 'D       '", b"TFORM2  = '2D      '")))
    with pytest.raises(MalformedFile, match="NAXIS1 says"):
        lying["TABLE"].columns  # noqa: B018 (a property that checks)
    twice = FitsFile(Memory(ODD.replace(b"TTYPE2  = 'RA      '", b"TTYPE2  = 'OK      '")))
    with pytest.raises(MalformedFile, match="two columns are called OK"):
        twice["TABLE"].columns  # noqa: B018


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_headers_end_in_data_or_in_a_clear_error(data):
    """Whatever a few bytes of a file are changed to, nothing but `MalformedFile` comes out."""
    damaged = bytearray(ODD[: data.draw(st.integers(0, len(ODD)))])
    for _ in range(data.draw(st.integers(0, 6))):
        if damaged:
            place = data.draw(st.integers(0, len(damaged) - 1))
            new = data.draw(
                st.binary(min_size=1, max_size=12) | st.sampled_from([b"-1", b"9" * 18, b"END", b"'", b"&"])
            )
            damaged[place : place + len(new)] = new
    try:
        read = FitsFile(Memory(bytes(damaged)))
        for hdu in read.hdus:
            if hdu.is_table:
                hdu.table(read.read([(hdu, None)])[0])
            elif hdu.n_rows and len(hdu.shape) > 1:
                hdu.image(read.read([(hdu, None)])[0])
    except MalformedFile as error:
        assert "memory.fits" in str(error)


def test_a_file_on_disk_reads_the_same(tmp_path: Path):
    (tmp_path / "odd.fits").write_bytes(ODD)
    with Archive(str(tmp_path)).open("odd.fits") as source:
        read = FitsFile(source)
        assert read.read([(read["CUBE"], [2])])[0] == FitsFile(Memory(ODD)).read([(read["CUBE"], [2])])[0]
