"""The coadd's data model, the combination of its cameras and the line-spread function, against desispec and astropy."""

import dataclasses

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.surveys.desi.coadd import (
    COMBINED_WAVE,
    Arm,
    Coadd,
    align,
    combine_cameras,
    lsf_sigma,
    primary,
    read_redshifts,
    stack_columns,
)
from small_release import ARMS, PIXELS, START, arms_of, edit, simulated, without_column, write

N, FEW = 6, 2
HALF = 5  # of 11 diagonals
OVERLAPS = [(2700, 2751), (4900, 5026)]


@pytest.fixture(scope="module")
def coadd():
    made = simulated(N)
    for arm in ARMS:
        made.ivar[arm][N - 1] *= 1e-9  # a hardly exposed target is combined like any other
    return made


@pytest.fixture(scope="module")
def few():
    return simulated(FEW)


@pytest.fixture(scope="module")
def combined_by_desispec(coadd):
    coaddition = pytest.importorskip("desispec.coaddition")
    spectra = pytest.importorskip("desispec.spectra")
    made = spectra.Spectra(
        bands=list(ARMS),
        wave=coadd.wavelength,
        flux=coadd.flux,
        ivar=coadd.ivar,
        mask=coadd.mask,
        resolution_data=coadd.resolution,
    )
    return coaddition.coadd_cameras(made)


def blank(arms, names, first, last, row):
    """Return the arms with ivar 0 from one pixel of the common grid to another, in some of them, for one row."""
    changed = {}
    for name, arm in arms.items():
        ivar = arm.ivar.copy()
        if name in names:
            ivar[row, first - START[name] : last - START[name]] = 0
        changed[name] = dataclasses.replace(arm, ivar=ivar)
    return changed


def moments(resolution):
    """Return the standard deviation along the diagonals, (n, ndiag, npix) → (n, npix)."""
    resolution = np.asarray(resolution, np.float64)
    x = (np.arange(resolution.shape[1]) - resolution.shape[1] // 2)[:, None]
    norm = resolution.sum(axis=1)
    mean = (x * resolution).sum(axis=1) / norm
    return np.sqrt(((x - mean[:, None]) ** 2 * resolution).sum(axis=1) / norm)


# --- Combination -----------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_the_combination_is_desispecs_to_the_last_bit(coadd, combined_by_desispec):
    n_masked_in_overlaps = sum((combined_by_desispec.ivar["brz"][:, a:b] == 0).sum() for a, b in OVERLAPS)
    assert n_masked_in_overlaps > 0  # or the test would show little
    wave, flux, ivar, mask = combine_cameras(arms_of(coadd))
    for ours, theirs in (
        (wave, combined_by_desispec.wave),
        (flux, combined_by_desispec.flux),
        (ivar, combined_by_desispec.ivar),
        (mask, combined_by_desispec.mask),
    ):
        assert ours.dtype == theirs["brz"].dtype
        assert ours.tobytes() == theirs["brz"].tobytes()


def test_the_combination_by_its_definition(coadd):
    wave, flux, ivar, mask = combine_cameras(arms_of(coadd))
    assert wave.shape == (7781,)
    np.testing.assert_allclose(wave, COMBINED_WAVE, atol=1e-6)
    seen = set()
    for row in range(N):
        for pixel in {*range(2690, 2760), *range(4890, 5036), 0, 7780, *np.flatnonzero(ivar[row] == 0).tolist()}:
            there = [(a, pixel - START[a]) for a in ARMS if 0 <= pixel - START[a] < PIXELS[a]]
            f, w, m = ([float(getattr(coadd, kind)[a][row, k]) for a, k in there] for kind in ("flux", "ivar", "mask"))
            total = sum(w)
            if len(there) == 1:
                expected = f[0]  # as it is, masked or not
            else:
                expected = sum(x * y for x, y in zip(f, w, strict=True)) / total if total else 0.0
            assert flux[row, pixel] == pytest.approx(expected, rel=1e-13)
            assert ivar[row, pixel] == pytest.approx(total, rel=1e-13)
            assert mask[row, pixel] == (0 if total else int(m[0]) | int(m[-1]))
            seen.add((len(there), sum(x > 0 for x in w)))
    assert seen == {(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)}


def test_a_row_is_combined_alike_alone_and_among_others(coadd):
    together = combine_cameras(arms_of(coadd))[1:]
    for row in range(N):
        one = {
            name: Arm(arm.wavelength, *(getattr(arm, kind)[row : row + 1] for kind in ("flux", "ivar", "mask")))
            for name, arm in arms_of(coadd).items()
        }
        for alone, among in zip(combine_cameras(one)[1:], together, strict=True):
            assert alone[0].tobytes() == among[row].tobytes()


def test_arms_that_are_not_on_one_grid_are_not_combined(coadd):
    arms = arms_of(coadd)
    arms["r"] = dataclasses.replace(arms["r"], wavelength=arms["r"].wavelength + 0.3)
    with pytest.raises(ValueError, match="not aligned"):
        combine_cameras(arms)


# --- Line-spread function --------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_the_lsf_is_the_second_moment_of_desispecs_combined_resolution(coadd, combined_by_desispec):
    expected = moments(combined_by_desispec.resolution_data["brz"])
    found = lsf_sigma(arms_of(coadd))
    compared = np.ones(found.shape, bool)
    for first, last in OVERLAPS:
        # desispec's np.roll takes the weights near an arm's end from its other end.
        compared[:, first : first + HALF] = compared[:, last - HALF : last] = False
        # Where no arm has a weight for an element, desispec leaves 0 there.
        for row, pixel in np.argwhere(combined_by_desispec.ivar["brz"][:, first:last] == 0):
            compared[row, first + pixel - HALF : first + pixel + HALF + 1] = False
    assert compared[:, 2700:2751].sum() > 150
    np.testing.assert_allclose(found[compared], expected[compared], rtol=2e-5)


def test_the_lsf_is_the_simulated_one_within_a_tenth_of_a_pixel(coadd):
    found = lsf_sigma(arms_of(coadd))
    assert found.shape == (N, 7781)
    assert found.dtype == np.float32
    weight, truth = np.zeros(found.shape), np.zeros(found.shape)
    for arm in ARMS:
        place = slice(START[arm], START[arm] + PIXELS[arm])
        ivar = np.maximum(coadd.ivar[arm], 1e-12)
        weight[:, place] += ivar
        truth[:, place] += ivar * coadd.sigma[arm]
    truth /= weight
    assert np.abs(found - truth).max() < 0.1
    assert np.median(np.abs(found - truth)) < 0.005
    assert (found.std(axis=0) > 0.001).all()  # per spectrum: not one fit for all


def test_where_one_arm_has_no_weight_the_lsf_is_the_other_arms(coadd):
    arms = arms_of(coadd)
    sigma = {name: moments(arm.resolution) for name, arm in arms.items()}
    inner = slice(4900 + HALF, 5026 - HALF)  # the columns whose pixels all lie in the overlap
    for blanked, other in (("r", "z"), ("z", "r")):
        found = lsf_sigma(blank(arms, [blanked], 4900, 5026, row=2))
        own = sigma[other][2, inner.start - START[other] : inner.stop - START[other]]
        weighted = np.ones(len(own), bool)  # near the other arm's own masked pixels it is the plain mean
        for pixel in np.flatnonzero(arms[other].ivar[2] == 0) + START[other] - inner.start:
            weighted[max(pixel - HALF, 0) : max(pixel + HALF + 1, 0)] = False
        assert weighted.sum() > 60
        np.testing.assert_allclose(found[2, inner][weighted], own[weighted], rtol=1e-5)
    # Where no arm has any: the plain mean of the two matrices, not NaN and not 0.
    found = lsf_sigma(blank(arms, ["r", "z"], 4900, 5026, row=2))
    places = [slice(inner.start - START[name], inner.stop - START[name]) for name in "rz"]
    mean = sum(arms[name].resolution[:, :, place] for name, place in zip("rz", places, strict=True)) / 2
    np.testing.assert_allclose(found[2, inner], moments(mean)[2], rtol=1e-4)
    assert np.isfinite(found).all()
    assert np.array_equal(np.delete(found, 2, 0), np.delete(lsf_sigma(arms), 2, 0))


def test_other_numbers_of_diagonals_are_the_same_matrix(coadd):
    arms = arms_of(coadd)
    narrow = arms["r"].resolution.copy()
    narrow[:, [0, -1]] = 0
    padded = arms | {"r": dataclasses.replace(arms["r"], resolution=narrow)}
    cut = arms | {"r": dataclasses.replace(arms["r"], resolution=narrow[:, 1:-1])}
    np.testing.assert_allclose(lsf_sigma(cut), lsf_sigma(padded), rtol=1e-5)


def test_no_moment_is_nan_and_no_matrix_an_error(coadd):
    arms = arms_of(coadd)
    empty = arms["b"].resolution.copy()
    empty[1, :, 100] = 0
    found = lsf_sigma(arms | {"b": dataclasses.replace(arms["b"], resolution=empty)})
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 100]]
    with pytest.raises(ValueError, match="without their resolution"):
        lsf_sigma(arms | {"z": dataclasses.replace(arms["z"], resolution=None)})


# --- Rows ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True), st.randoms(use_true_random=False))
def test_rows_are_aligned_whatever_their_order(ids, random):
    wanted = random.sample(ids, random.randint(0, len(ids)))
    available = random.sample(ids, len(ids))
    found = align(np.array(wanted, np.int64), np.array(available, np.int64), "x")
    assert [available[k] for k in found] == wanted


def test_rows_that_cannot_be_aligned_are_named():
    big = 2305843037763980289
    with pytest.raises(MalformedFile, match=rf"a\[SCORES\], column TARGETID: {big} is missing \(2 of 3 targets\)"):
        align(np.array([1, big, big + 1]), np.array([1, big - 1]), "a[SCORES]")
    with pytest.raises(MalformedFile, match=r"column TARGETID: 7 is there more than once \(1 of 2 targets\)"):
        align(np.array([7, 8]), np.array([7, 8, 7]), "x")
    assert align(np.array([8]), np.array([7, 8, 7]), "x").tolist() == [1]  # nobody asks for 7


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_the_primary_spectrum_is_desispecs():
    zcatalog = pytest.importorskip("desispec.zcatalog")
    rng = np.random.default_rng(4)
    n = 500
    table = np.zeros(n, [("TARGETID", "i8"), ("ZWARN", "i8"), ("TSNR2_LRG", "f4")])
    table["TARGETID"] = rng.integers(0, 120, n)
    table["ZWARN"] = rng.choice([0, 0, 4, 1024], n)
    table["TSNR2_LRG"] = rng.permutation(n)  # no ties: desispec's sort is not stable
    _, expected = zcatalog.find_primary_spectra(table)
    assert np.array_equal(primary(table["TARGETID"], table["ZWARN"], table["TSNR2_LRG"]), expected)


def test_the_primary_spectrum_by_hand():
    groups = np.array([5, 5, 5, 2, 2, 9, 3, 3, 3])
    zwarn = np.array([4, 0, 0, 4, 1, 4, -1, 4, -1])
    depth = np.array([900.0, 10, 20, 50, np.nan, np.nan, 5, 5, 6])
    assert np.flatnonzero(primary(groups, zwarn, depth)).tolist() == [2, 3, 5, 8]
    assert np.flatnonzero(primary(groups, zwarn, None)).tolist() == [1, 3, 5, 6]
    assert np.flatnonzero(primary(groups, None, depth)).tolist() == [0, 3, 5, 8]
    assert np.flatnonzero(primary(groups, None, None)).tolist() == [0, 3, 5, 6]
    assert primary(np.zeros(0, int), np.zeros(0, int), np.zeros(0)).shape == (0,)


def test_tables_with_differing_columns_are_stacked():
    one = {"ID": np.array([1, 2]), "F": np.array([1, 2], "f4"), "S": np.array([b"a", b"bc"]), "V": np.ones((2, 3))}
    two = {"ID": np.array([3]), "G": np.array([7], "u1"), "S": np.array([b"long"]), "B": np.array([True]), "F": [5.5]}
    two["F"] = np.array([5.5], "f8")
    made = stack_columns([one, two], [2, 1])
    assert list(made) == ["ID", "F", "S", "V", "G", "B"]
    assert made["ID"].tolist() == [1, 2, 3]
    assert (made["F"].dtype, made["F"].tolist()) == (np.float64, [1, 2, 5.5])
    assert made["S"].tolist() == [b"a", b"bc", b"long"]
    np.testing.assert_array_equal(made["V"], [[1] * 3, [1] * 3, [np.nan] * 3])
    assert (made["G"].dtype, made["G"].tolist()) == (np.uint8, [0, 0, 7])
    assert (made["B"].dtype, made["B"].tolist()) == (np.bool_, [False, False, True])
    assert stack_columns([], []) == {}
    with pytest.raises(
        MalformedFile, match=r"column V differs between the coadds of a pixel: float64\(2,\), float64\(3,\)"
    ):
        stack_columns([one, {"V": np.ones((1, 2))}], [2, 1])


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
