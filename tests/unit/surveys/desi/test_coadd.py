"""Coadd and redrock files, against astropy."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.surveys.desi.coadd import Coadd, align, read_redshifts
from skyharvest.surveys.desi.spectra import combine_cameras, lsf_sigma
from small_release import ARMS, edit, simulated, without_column, write

N, FEW = 6, 2


@pytest.fixture(scope="module")
def coadd():
    coadd = simulated(N)
    for arm in ARMS:
        coadd.ivar[arm][N - 1] *= 1e-9  # a hardly exposed target is combined like any other
    return coadd


@pytest.fixture(scope="module")
def few():
    return simulated(FEW)


# --- Rows ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True), st.randoms(use_true_random=False))
def test_rows_are_aligned_whatever_their_order(ids, random):
    wanted = random.sample(ids, random.randint(0, len(ids)))
    available = random.sample(ids, len(ids))
    index = align(np.array(wanted, np.int64), np.array(available, np.int64), "x")
    assert [available[k] for k in index] == wanted


def test_rows_that_cannot_be_aligned_are_named():
    big = 2305843037763980289
    with pytest.raises(MalformedFile, match=rf"a\[SCORES\], column TARGETID: {big} is missing \(2 of 3 targets\)"):
        align(np.array([1, big, big + 1]), np.array([1, big - 1]), "a[SCORES]")
    with pytest.raises(MalformedFile, match=r"column TARGETID: 7 is there more than once \(1 of 2 targets\)"):
        align(np.array([7, 8]), np.array([7, 8, 7]), "x")
    assert align(np.array([8]), np.array([7, 8, 7]), "x").tolist() == [1]  # nobody asks for 7


# --- Files -----------------------------------------------------------------------------------------------------------


def opened(path, **how):
    return Coadd(Archive(str(path.parent)).open(path.name), **how)


IMAGES = [f"{arm}_{kind}" for arm in "BRZ" for kind in ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION")]
OTHER_ORDER = ["SCORES", *IMAGES[::-1], "FIBERMAP"]


@pytest.mark.parametrize("how", [{}, {"mask_dtype": np.int32}, {"hdus": OTHER_ORDER}, {"exp_fibermap": False}])
def test_rows_are_those_that_astropy_reads_bit_for_bit(coadd, tmp_path, how):
    extra = {"WHAT": np.arange(2 * N, dtype=np.float32).reshape(N, 2)}
    path = tmp_path / write(tmp_path, coadd, extra_columns=extra, **how)
    read = opened(path)
    fibermap, scores, wavelength = read.small_tables()
    rows = [4, 0, 4, 5]
    arms = read.read_arms(rows, wavelength)
    with fits.open(path) as expected:
        assert read.n_rows == N
        for name, table in (("FIBERMAP", fibermap), ("SCORES", scores)):
            theirs = expected[name].data
            assert list(table) == theirs.names
            for column, values in table.items():
                same = np.char.encode(theirs[column]) if values.dtype.kind == "S" else theirs[column]
                assert values.dtype.isnative
                assert np.array_equal(values, same), column
        for arm in ARMS:
            assert wavelength[arm].tobytes() == expected[f"{arm}_WAVELENGTH"].data.astype("<f8").tobytes()
            for kind in ("flux", "ivar", "mask", "resolution"):
                theirs = expected[f"{arm}_{kind}"].data[rows]
                values = getattr(arms[arm], kind)
                assert values.dtype == theirs.dtype.newbyteorder("=") == read.dtype(arm, kind)
                assert values.tobytes() == theirs.astype(values.dtype).tobytes()
    assert arms["b"].mask.dtype == how.get("mask_dtype", np.uint32)


def test_scores_in_another_order_are_aligned(few, tmp_path):
    path = tmp_path / write(tmp_path, few)
    edit(path, set_image("SCORES", lambda x: x[[1, 0]]))
    fibermap, scores, _ = opened(path).small_tables()
    assert scores["TARGETID"].tolist() == fibermap["TARGETID"].tolist()
    assert scores["TSNR2_LRG"].tolist() == few.scores["TSNR2_LRG"].tolist()


def test_a_coadd_without_targets(tmp_path):
    read = opened(tmp_path / write(tmp_path, simulated(0)))
    fibermap, scores, wavelength = read.small_tables()
    assert read.n_rows == 0
    assert len(fibermap["TARGETID"]) == len(scores["TARGETID"]) == 0
    arms = read.read_arms([], wavelength)
    assert arms["z"].resolution.shape == (0, 11, 2881)
    assert combine_cameras(arms)[1].shape == lsf_sigma(arms).shape == (0, 7781)


def drop(*names):
    return {"hdus": [name for name in ["FIBERMAP", *IMAGES, "SCORES"] if name not in names]}


def set_image(name, change):
    def spoil(hdus):
        hdus[name].data = change(hdus[name].data)

    return spoil


def as_table(name):
    def spoil(hdus):
        hdus[name] = fits.BinTableHDU.from_columns([fits.Column("X", "E", array=np.zeros(FEW))], name=name)

    return spoil


def as_image(name):
    def spoil(hdus):
        hdus[name] = fits.ImageHDU(np.zeros((FEW, 3)), name=name)

    return spoil


def repeat_targetid(name):
    def spoil(hdus):
        hdus[name].data["TARGETID"][1] = hdus[name].data["TARGETID"][0]

    return spoil


def nan_at_9(wave):
    wave = wave.copy()
    wave[9] = np.nan
    return wave


BROKEN = {
    "an arm is missing": (drop(*IMAGES[5:10]), None, r"HDU R_WAVELENGTH is missing; found PRIMARY, FIBERMAP, B_WAV"),
    "an image is missing": (drop("Z_IVAR"), None, r"HDU Z_IVAR is missing; found PRIMARY"),
    "resolution is missing": (drop("R_RESOLUTION"), None, r"HDU R_RESOLUTION is missing"),
    "no FIBERMAP": (drop("FIBERMAP"), None, r"HDU FIBERMAP is missing"),
    "no RA": (
        {},
        without_column("FIBERMAP", "TARGET_RA"),
        r"\[FIBERMAP\]: column TARGET_RA is missing; found TARGETID,",
    ),
    "no Dec": ({}, without_column("FIBERMAP", "TARGET_DEC"), r"\[FIBERMAP\]: column TARGET_DEC is missing"),
    "no TARGETID": ({}, without_column("FIBERMAP", "TARGETID"), r"\[FIBERMAP\]: column TARGETID is missing"),
    "FIBERMAP an image": ({}, as_image("FIBERMAP"), r"\[FIBERMAP\]: expected a binary table with a column TARGETID"),
    "rows": ({}, set_image("Z_IVAR", lambda x: x[:-1]), rf"\[Z_IVAR\]: has {FEW - 1} rows, FIBERMAP has {FEW}"),
    "more rows": (
        {},
        set_image("B_MASK", lambda x: x.repeat(2, 0)),
        rf"\[B_MASK\]: has {2 * FEW} rows, FIBERMAP has {FEW}",
    ),
    "pixels": ({}, set_image("R_FLUX", lambda x: x[:, 1:]), r"\[R_FLUX\]: has 2325 pixels, R_WAVELENGTH has 2326"),
    "resolution's pixels": ({}, set_image("R_RESOLUTION", lambda x: x[:, :, 1:]), r"\[R_RESOLUTION\]: has 2325 pixels"),
    "axes": ({}, set_image("B_FLUX", lambda x: x[:, None]), r"\[B_FLUX\]: has 3 axes, expected 2"),
    "resolution's axes": (
        {},
        set_image("B_RESOLUTION", lambda x: x[:, 0]),
        r"\[B_RESOLUTION\]: has 2 axes, expected 3",
    ),
    "wavelength's axes": (
        {},
        set_image("B_WAVELENGTH", lambda x: x[:, None]),
        r"\[B_WAVELENGTH\]: has 2 axes, expected 1",
    ),
    "flux a table": ({}, as_table("B_FLUX"), r"\[B_FLUX\]: expected an image, found a binary table"),
    "wavelength a table": ({}, as_table("B_WAVELENGTH"), r"\[B_WAVELENGTH\]: expected an image, found a binary table"),
    "off the grid": ({}, set_image("R_WAVELENGTH", lambda x: x + 0.4), r"\[R_WAVELENGTH\]: the wavelengths are not on"),
    "beyond the grid": (
        {},
        set_image("Z_WAVELENGTH", lambda x: x + 800),
        r"\[Z_WAVELENGTH\]: the wavelengths are not on",
    ),
    "another step": ({}, set_image("B_WAVELENGTH", lambda x: 3600 + (x - 3600) / 0.8), r"\[B_WAVELENGTH\]: the wave"),
    "a NaN": ({}, set_image("B_WAVELENGTH", nan_at_9), r"\[B_WAVELENGTH\]: the wavelengths are not on"),
    "no SCORES row": ({}, set_image("SCORES", lambda x: x[:-1]), r"\[SCORES\], column TARGETID: \d+ is missing"),
    "SCORES twice": (
        {},
        set_image("SCORES", lambda x: x[[0, *range(FEW)]]),
        r"\[SCORES\], column TARGETID: \d+ is there more than once",
    ),
    "no SCORES TARGETID": ({}, without_column("SCORES", "TARGETID"), r"\[SCORES\]: column TARGETID is missing"),
    "FIBERMAP twice": (
        drop("SCORES"),
        repeat_targetid("FIBERMAP"),
        r"\[FIBERMAP\], column TARGETID: \d+ is there more",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_coadd_that_is_not_one_is_named_with_its_hdu_and_column(few, tmp_path, case):
    how, spoil, message = BROKEN[case]
    path = tmp_path / write(tmp_path, few, checksum=False, redrock=False, **how)
    if spoil:
        edit(path, spoil)
    with pytest.raises(MalformedFile, match=message) as raised:
        opened(path).small_tables()
    assert str(path) in str(raised.value)


def test_what_is_not_asked_for_need_not_be_there(coadd, tmp_path):
    path = tmp_path / write(tmp_path, coadd, **drop("B_RESOLUTION", "R_RESOLUTION", "Z_RESOLUTION", "SCORES"))
    read = opened(path, resolution=False)
    fibermap, scores, wavelength = read.small_tables()
    assert list(scores) == ["TARGETID"]
    assert np.array_equal(scores["TARGETID"], fibermap["TARGETID"])
    assert read.read_arms([1], wavelength)["r"].resolution is None


def test_redshifts_come_in_the_order_of_the_targets(coadd, tmp_path):
    path = (tmp_path / write(tmp_path, coadd)).with_name("redrock-main-dark-27247.fits")
    targetid = coadd.fibermap["TARGETID"]
    source = Archive(str(tmp_path)).open(str(path))
    wanted = targetid[[3, 0, 5, 3]]
    found = read_redshifts(source, wanted)
    with fits.open(path) as expected:
        table = expected["REDSHIFTS"].data
        assert table["TARGETID"].tolist() != targetid.tolist()
        assert list(found) == table.names
        at = [table["TARGETID"].tolist().index(k) for k in wanted.tolist()]
        assert np.array_equal(found["COEFF"], table["COEFF"][at])
        assert found["SPECTYPE"].tolist() == [name.encode() for name in table["SPECTYPE"][at]]
    np.testing.assert_allclose(found["Z"], coadd.sources.z[[3, 0, 5, 3]], atol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_image("REDSHIFTS", lambda x: x[1:]), r"\[REDSHIFTS\], column TARGETID: \d+ is missing \(1 of 6"),
        (repeat_targetid("REDSHIFTS"), r"\[REDSHIFTS\], column TARGETID: \d+ is (missing|there more than once)"),
        (without_column("REDSHIFTS", "ZWARN"), r"\[REDSHIFTS\]: column ZWARN is missing; found TARGETID"),
        (lambda hdus: hdus.pop("REDSHIFTS"), r"redrock.*HDU REDSHIFTS is missing; found PRIMARY"),
    ],
)
def test_redshifts_that_cannot_be_aligned_are_named(coadd, tmp_path, spoil, message):
    path = (tmp_path / write(tmp_path, coadd)).with_name("redrock-main-dark-27247.fits")
    edit(path, spoil)
    with pytest.raises(MalformedFile, match=message):
        read_redshifts(Archive(str(tmp_path)).open(str(path)), coadd.fibermap["TARGETID"])
