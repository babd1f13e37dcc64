"""Fibers of an IFU are read from a shot's files as they were written, and no others are."""

import h5py
import numpy as np
import pytest

from hetdex_shot_file import with_quality, write_shot
from hetdex_sources import AMPS, Star, ifu_fibers
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.sources.ifu_fibers import ShotFibers

IFU = "020_106_055_0123"


@pytest.fixture(scope="module")
def written():
    return with_quality(ifu_fibers([Star(1.0, 2.0, 3.0)], rows=9, columns=8, missing=[(2, "RU")]))


@pytest.fixture
def files(tmp_path, written):
    return write_shot(Layout(tmp_path), written)


def test_fibers_are_those_that_were_written(files, written):
    shot = ShotFibers(*files)
    assert (shot.name, shot.failed, shot.ifus, shot.files) == (written.shot, "", [IFU], tuple(files))
    found = shot.read(IFU, ["chi2"])
    for name in ("multiframe", "fiber_id", "amp", "expnum", "fibidx", "fibnum", "ra", "dec", "flux", "error"):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name), err_msg=name)
    for name in ("x", "y", "fwhm"):  # by another way, from the sky
        np.testing.assert_allclose(getattr(found, name), getattr(written, name), atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(found.more["chi2"], written.more["chi2"])
    assert found.failed_amps == {(2, "RU"): "planted"}
    assert found.exposures.keys() == {1, 2, 3}


def test_an_ifu_that_the_shot_has_not_is_an_error(files):
    shot = ShotFibers(*files)
    with pytest.raises(InputError, match=f"found no IFU 041_063_015_0302; it has {IFU}"):
        shot.read("041_063_015_0302")
    with pytest.raises(InputError, match=f"found the IFU {IFU}; expected 020_106_055_0124"):
        shot.read("020_106_055_0124")  # another controller


def test_an_ifu_all_of_whose_amplifiers_failed_has_no_fibers(tmp_path):
    every = [(expnum, amp) for expnum in (1, 2, 3) for amp in AMPS]
    shot = ShotFibers(*write_shot(Layout(tmp_path), with_quality(ifu_fibers(rows=6, columns=6, missing=every))))
    assert shot.ifus == [IFU]
    found = shot.read(IFU)
    assert (len(found), len(found.failed_amps)) == (0, 12)


def test_files_of_other_shots_and_fibers_without_a_place_are_errors(files):
    with h5py.File(files[1], "r+") as file:
        of_exposure = file["Solution/fibers/exp02"]
        rows = of_exposure[1:]
        del file["Solution/fibers/exp02"]
        file["Solution/fibers/exp02"] = rows
    with pytest.raises(MalformedFile, match="which has no place in the astrometry"):
        ShotFibers(*files).read(IFU)
    with h5py.File(files[2], "r+") as file:
        file.attrs["shot"] = "20190103v018"
    with pytest.raises(InputError, match="found shot 20190103v018; expected 20190103v017"):
        ShotFibers(*files)
