"""How often a server is asked for a coadd: few times where the layout is DESI's, and never in vain for the values."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.surveys.desi.coadd import Coadd
from skyharvest.surveys.desi.extract import extract
from skyharvest.surveys.desi.wanted import Positions, Wanted
from small_release import coadd_files, edit, path_of, simulated, write

N = 300  # FIBERMAP is longer than the first read
COADD = simulated(N)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("release")
    write(directory, COADD)
    return directory


def wanted(k) -> Wanted:
    table = COADD.fibermap[k]
    return Wanted(Positions(np.arange(len(k)), table["TARGET_RA"].astype(float), table["TARGET_DEC"].astype(float)))


def test_a_coadd_takes_three_requests_for_headers_and_tables_and_one_for_all_rows(root, tmp_path):
    rows = np.arange(0, N, 20)  # 12 images each: 180 ranges, which Apache takes too
    with serve(root) as server, Archive(server.url) as archive:
        [chosen] = extract(archive, coadd_files([path_of(COADD)]), tmp_path / "out.hdf5", wanted(rows))
        assert len(chosen.fiber) == len(rows)
        asked = [path for path, _ in server.requests]
        assert sum("coadd-" in path for path in asked) <= 4
        assert sum("redrock-" in path for path in asked) == 1
        fibermap = COADD.fibermap.dtype.itemsize * N
        of_rows = sum(COADD.flux[arm].shape[1] * 4 * (3 + 11) for arm in "brz") * len(rows)
        assert archive.client.traffic.bytes < 1.1 * (of_rows + fibermap) + 400_000


def long_headers(hdus: fits.HDUList) -> None:
    for name in ("B_FLUX", "Z_MASK"):
        for k in range(80):
            hdus[name].header[f"COMM{k}"] = "more than one block of header"
    hdus["R_IVAR"].header["LONG"] = "x" * 200  # CONTINUE cards


def no_exposures(hdus: fits.HDUList) -> None:
    del hdus["EXP_FIBERMAP"]


def backwards(hdus: fits.HDUList) -> None:
    extensions = [hdus.pop(1) for _ in range(len(hdus) - 1)]
    hdus.extend(extensions[::-1])


def strangers(hdus: fits.HDUList) -> None:
    hdus.insert(3, fits.ImageHDU(np.zeros((5, 5)), name="B_EXTRA"))
    hdus.insert(12, fits.ImageHDU(np.zeros((N, 7)), name="R_MODEL"))


def scores_second(hdus: fits.HDUList) -> None:
    hdus.insert(2, hdus.pop("SCORES"))


@pytest.mark.parametrize("change", [long_headers, no_exposures, backwards, strangers, scores_second])
def test_another_layout_is_found_out_and_read_all_the_same(root, tmp_path, change):
    spoilt = tmp_path / "x.fits"
    spoilt.write_bytes((root / path_of(COADD)).read_bytes())
    edit(spoilt, change)
    rows = [N - 1, 0, 4]
    with serve(tmp_path) as server, Archive(server.url) as archive:
        coadd = Coadd(archive.open("x.fits"))
        _, _, wavelength = coadd.small_tables()
        arms = coadd.read_arms(rows, wavelength)
        for arm in "brz":
            np.testing.assert_array_equal(arms[arm].flux, COADD.flux[arm][rows])
            np.testing.assert_array_equal(arms[arm].mask, COADD.mask[arm][rows])
            np.testing.assert_array_equal(arms[arm].resolution, COADD.resolution[arm][rows])
        assert len(server.requests) <= 20  # HDUs are read once each, at worst
        assert archive.client.traffic.bytes < 3_000_000
