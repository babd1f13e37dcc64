"""Planes of cubes, against astropy's reading of the whole file."""

import numpy as np
import pytest
from astropy.io import fits

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.planes import read_planes

SHAPE = (40, 62, 78)
RNG = np.random.default_rng(12)


class Counted(LocalFile):
    """Counts the bytes that are read."""

    n_bytes = 0

    def _read(self, ranges):
        self.n_bytes += sum(stop - start for start, stop in ranges)
        return super()._read(ranges)


def write(path, tiles, **how):
    flux, mask = RNG.normal(0, 1, SHAPE).astype("f4"), RNG.integers(0, 1 << 16, SHAPE).astype("u2")
    flux[:, :5] = np.nan
    hdus = [fits.PrimaryHDU()]
    for name, data in (("DATA", flux), ("MASK", mask)):
        made = fits.ImageHDU(data, name=name)
        if tiles:
            made = fits.CompImageHDU(data, name=name, tile_shape=tiles, **how)
        hdus.append(made)
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize(
    ("tiles", "how"),
    [
        (None, {}),
        ((1, 62, 78), {"quantize_method": 2, "dither_seed": 7}),
        ((1, 1, 78), {"compression_type": "GZIP_2"}),
        ((3, 8, 9), {"quantize_method": 1, "dither_seed": 9}),
    ],
)
def test_planes_are_those_of_the_whole_file_and_few_bytes_are_read(tmp_path, tiles, how):
    path = write(tmp_path / "cube.fits", tiles, **how)
    wanted = {"DATA": [0, 17, 39], "MASK": [5]}
    with Counted(path) as source:
        read = read_planes(FitsFile(source, first_read=2880), wanted)
        assert source.n_bytes < 0.5 * source.size()
    with fits.open(path) as hdus:
        for name, planes in wanted.items():
            theirs = hdus[name].data
            np.testing.assert_array_equal(read[name], theirs[planes])
            assert read[name].dtype == theirs.dtype.newbyteorder("=")


def test_what_cannot_be_decoded_is_named(tmp_path):
    path = write(tmp_path / "cube.fits", (1, 62, 78))
    with LocalFile(path) as source, pytest.raises(MalformedFile, match=r"\[MASK\]: has 40 planes, asked for 40"):
        read_planes(FitsFile(source), {"MASK": [40]})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"ZCMPTYPE")
    data[at : at + 80] = b"ZCMPTYPE= 'PLIO_1  '".ljust(80)
    path.write_bytes(data)
    with LocalFile(path) as source, pytest.raises(MalformedFile, match=r"\[MASK\]: ZCMPTYPE is 'PLIO_1', expected one"):
        read_planes(FitsFile(source), {"MASK": [0]})
