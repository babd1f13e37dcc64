"""Coadd and redrock files, against astropy."""

import numpy as np
import pytest
from astropy.io import fits

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.surveys.desi.coadd import Coadd, arm_grid, read_redshifts
from skyharvest.surveys.desi.spectra import NODATA, combine_cameras, lsf_sigma
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


@pytest.mark.parametrize(
    ("algorithm", "tiles"), [("RICE_1", None), ("GZIP_1", (FEW, 2751)), ("GZIP_2", (2, 500)), ("RICE_1", (1, 100))]
)
def test_masks_that_are_compressed_are_read_bit_for_bit(few, tmp_path, algorithm, tiles):
    path = tmp_path / write(tmp_path, few)
    plain = opened(path)
    rows = [1, 0, 1]
    expected = plain.read_arms(rows, plain.small_tables()[2])
    bits = np.arange(45)

    def compress(hdus):
        for arm in "BRZ":
            mask = hdus[f"{arm}_MASK"].data
            mask[0, 5:50] = bits
            how = {"compression_type": algorithm, "tile_shape": tiles}
            hdus[f"{arm}_MASK"] = fits.CompImageHDU(mask, name=f"{arm}_MASK", **how)

    edit(path, compress)
    read = opened(path)
    assert read.lacks == {}
    arms = read.read_arms(rows, read.small_tables()[2])
    for arm in ARMS:
        mask = expected[arm].mask.copy()
        mask[1, 5:50] = bits
        assert np.array_equal(arms[arm].mask, mask)
        assert np.array_equal(arms[arm].flux, expected[arm].flux)
        assert arms[arm].mask.dtype == mask.dtype == read.dtype(arm, "mask")


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
    scores, rows = scores.at(np.arange(N))[0], [4, 0, 4, 5]
    assert read.lacks == {}
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
    scores, problem = scores.at(np.arange(FEW))
    assert problem == ""
    assert scores["TARGETID"].tolist() == fibermap["TARGETID"].tolist()
    assert scores["TSNR2_LRG"].tolist() == few.scores["TSNR2_LRG"].tolist()


def test_a_coadd_without_targets(tmp_path):
    read = opened(tmp_path / write(tmp_path, simulated(0)))
    fibermap, scores, wavelength = read.small_tables()
    assert read.n_rows == 0
    assert len(fibermap["TARGETID"]) == len(scores.at(np.arange(0))[0]["TARGETID"]) == 0
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
    "no arm at all": (
        drop(*IMAGES),
        None,
        r"HDUs B_WAVELENGTH, B_FLUX, B_IVAR, B_MASK missing; found PRIMARY, FIB.*Z_M",
    ),
    "no whole arm": (
        drop("B_FLUX", "R_MASK", "Z_WAVELENGTH"),
        None,
        r"HDU B_FLUX missing; .*HDU R_MASK missing; .*HDU Z_WAVELENGTH missing; found PRIMARY",
    ),
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
}


@pytest.mark.parametrize("name", ["B_MASK", "R_RESOLUTION", "Z_IVAR", "Z_MASK", "Z_RESOLUTION"])
@pytest.mark.parametrize("cut", [-1, 0, 5, 3000])
def test_a_file_that_breaks_off_lacks_no_arm_but_its_end(few, tmp_path, name, cut):
    """In the padding of an HDU, between two, in a header, in data."""
    path = tmp_path / write(tmp_path, few, redrock=False)
    at = {hdu.name: hdu.stop for hdu in opened(path).fits.hdus}[name] + cut
    path.write_bytes(path.read_bytes()[:at])
    if name == "Z_RESOLUTION":  # what is lost are SCORES
        read = opened(path)
        read.small_tables()
        assert (list(read.lacks), read.is_torn) == (["scores"], cut != 0)
    else:
        with pytest.raises(MalformedFile, match=r"it is truncated|END card|expected a FITS header"):
            opened(path)


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
    _, scores, wavelength = read.small_tables()
    assert list(scores.at(np.arange(N))[0]) == ["TARGETID"]
    assert list(read.lacks) == ["scores"]
    assert read.read_arms([1], wavelength)["r"].resolution is None


@pytest.mark.parametrize("names", [["Z_FLUX"], IMAGES[:5], IMAGES[5:15]], ids=["an image", "an arm", "two arms"])
@pytest.mark.parametrize("resolution", [True, False])
def test_an_arm_that_is_not_there_is_blank_and_the_others_are_whole(coadd, tmp_path, names, resolution):
    path = tmp_path / write(tmp_path, coadd, mask_dtype=np.int32, **drop(*names))
    read = opened(path, resolution=resolution)
    missing = sorted({name[0].lower() for name in names})
    assert list(read.lacks) == [f"arm {arm}" for arm in missing]
    _, _, wavelength = read.small_tables()
    assert list(wavelength) == read.arms == [arm for arm in ARMS if arm not in missing]
    arms = read.read_arms([4, 0], {arm: wavelength.get(arm, arm_grid(arm)) for arm in ARMS})
    for arm in ARMS:
        np.testing.assert_array_equal(arms[arm].wavelength, coadd.wavelength[arm])
        for kind in ("flux", "ivar", "mask", *(["resolution"] if resolution else [])):
            values, whole = getattr(arms[arm], kind), getattr(coadd, kind)[arm][[4, 0]]
            if kind == "resolution" and arm in missing:
                assert values is None
                continue
            assert values.shape == whole.shape
            blank = {"flux": np.nan, "ivar": 0, "mask": 256}.get(kind)  # specmask.NODATA
            np.testing.assert_array_equal(values, blank if arm in missing else whole)
            assert values.dtype == (np.int32 if kind == "mask" else np.float32)


def test_the_bit_for_no_data_is_desispecs():
    maskbits = pytest.importorskip("desispec.maskbits")
    assert maskbits.specmask.NODATA == NODATA


def test_redshifts_come_in_the_order_of_the_targets(coadd, tmp_path):
    path = (tmp_path / write(tmp_path, coadd)).with_name("redrock-main-dark-27247.fits")
    targetid = coadd.fibermap["TARGETID"]
    source = Archive(str(tmp_path)).open(str(path))
    wanted = targetid[[3, 0, 5, 3]]
    table, problem = read_redshifts(source, targetid)
    found, misfit = table.at(np.array([3, 0, 5, 3]))
    assert (problem, misfit) == ("", "")
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
        (without_column("REDSHIFTS", "TARGETID"), r"\[REDSHIFTS\]: column TARGETID is missing; found CHI2,"),
        (lambda hdus: hdus.pop("REDSHIFTS"), r"redrock.*HDU REDSHIFTS is missing; found PRIMARY"),
        (as_image("REDSHIFTS"), r"\[REDSHIFTS\]: expected a binary table"),
    ],
)
def test_redshifts_that_are_none_are_named(coadd, tmp_path, spoil, message):
    path = (tmp_path / write(tmp_path, coadd)).with_name("redrock-main-dark-27247.fits")
    edit(path, spoil)
    with pytest.raises(MalformedFile, match=message):
        read_redshifts(Archive(str(tmp_path)).open(str(path)), coadd.fibermap["TARGETID"])


def test_columns_that_redrock_lacks_are_not_known(coadd, tmp_path):
    path = (tmp_path / write(tmp_path, coadd)).with_name("redrock-main-dark-27247.fits")
    for column in ("ZWARN", "SUBTYPE", "ZERR"):
        edit(path, without_column("REDSHIFTS", column))
    table, problem = read_redshifts(Archive(str(tmp_path)).open(str(path)), coadd.fibermap["TARGETID"])
    assert "[REDSHIFTS]: columns ZERR, ZWARN, SUBTYPE missing; found TARGETID, " in problem
    found, _ = table.at(np.arange(N))
    assert found["ZWARN"].tolist() == [-1] * N
    assert found["SUBTYPE"].tolist() == [b""] * N
    assert np.isnan(found["ZERR"]).all()
    np.testing.assert_allclose(found["Z"], coadd.sources.z, atol=1e-4)
