"""Combined arms, line-spread functions and primary spectra, against desispec and by definition."""

import dataclasses

import numpy as np
import pytest

from skyharvest.core.errors import MalformedFile
from skyharvest.surveys.desi.spectra import (
    COMBINED_WAVE,
    Arm,
    combine_cameras,
    lsf_sigma,
    primary,
    stack_columns,
    stack_what_fits,
)
from small_release import ARMS, PIXELS, START, arms_of, simulated

N = 6
HALF = 5  # of 11 diagonals
OVERLAPS = [(2700, 2751), (4900, 5026)]


@pytest.fixture(scope="module")
def coadd():
    coadd = simulated(N)
    for arm in ARMS:
        coadd.ivar[arm][N - 1] *= 1e-9  # a hardly exposed target is combined like any other
    return coadd


@pytest.fixture(scope="module")
def combined_by_desispec(coadd):
    coaddition = pytest.importorskip("desispec.coaddition")
    spectra = pytest.importorskip("desispec.spectra")
    arms = spectra.Spectra(
        bands=list(ARMS),
        wave=coadd.wavelength,
        flux=coadd.flux,
        ivar=coadd.ivar,
        mask=coadd.mask,
        resolution_data=coadd.resolution,
    )
    return coaddition.coadd_cameras(arms)


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


# --- Primary spectra and tables --------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("there", ["br", "bz", "rz", "b", "r", "z"])
def test_without_an_arm_the_others_are_combined_as_desispec_does(coadd, there):
    coaddition = pytest.importorskip("desispec.coaddition")
    spectra = pytest.importorskip("desispec.spectra")
    parts = {
        name: {arm: getattr(coadd, attribute)[arm] for arm in there}
        for name, attribute in {"wave": "wavelength", **{key: key for key in ("flux", "ivar", "mask")}}.items()
    }
    resolution = {arm: coadd.resolution[arm] for arm in there}
    peer = coaddition.coadd_cameras(spectra.Spectra(bands=list(there), resolution_data=resolution, **parts))
    arms = arms_of(coadd)
    for arm in set(ARMS) - set(there):  # what a file without it gives
        flux, mask = np.full_like(coadd.flux[arm], np.nan), np.full_like(coadd.mask[arm], 256)
        arms[arm] = Arm(
            coadd.wavelength[arm], flux, np.zeros_like(flux), mask, np.full_like(coadd.resolution[arm], np.nan)
        )
    wave, flux, ivar, mask = combine_cameras(arms, list(there))
    (band,) = peer.bands
    seen = np.isin(np.round(wave, 3), np.round(peer.wave[band], 3))
    assert seen.sum() == len(peer.wave[band])
    for ours, theirs in ((flux, peer.flux), (ivar, peer.ivar), (mask, peer.mask)):
        assert np.array_equal(ours[:, seen], theirs[band])
    assert np.isnan(flux[:, ~seen]).all()
    assert not ivar[:, ~seen].any()
    assert (mask[:, ~seen] == 256).all()
    sigma = lsf_sigma(arms, list(there))
    assert np.isnan(sigma[:, ~seen]).all()
    np.testing.assert_array_equal(sigma[:, seen], lsf_sigma({arm: arms[arm] for arm in there}))


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
    stacked = stack_columns([one, two], [2, 1])
    assert list(stacked) == ["ID", "F", "S", "V", "G", "B"]
    assert stacked["ID"].tolist() == [1, 2, 3]
    assert (stacked["F"].dtype, stacked["F"].tolist()) == (np.float64, [1, 2, 5.5])
    assert stacked["S"].tolist() == [b"a", b"bc", b"long"]
    np.testing.assert_array_equal(stacked["V"], [[1] * 3, [1] * 3, [np.nan] * 3])
    assert (stacked["G"].dtype, stacked["G"].tolist()) == (np.uint8, [0, 0, 7])
    assert (stacked["B"].dtype, stacked["B"].tolist()) == (np.bool_, [False, False, True])
    assert stack_columns([], []) == {}
    with pytest.raises(
        MalformedFile, match=r"column V differs between the coadds of a pixel: float64\(2,\), float64\(3,\)"
    ):
        stack_columns([one, {"V": np.ones((1, 2))}], [2, 1])


@pytest.mark.parametrize(
    ("one", "other"),
    [(np.int64, np.uint64), (np.int64, "S3"), (np.float64, "U2")],
)
def test_columns_without_a_common_type_are_not_stacked(one, other):
    tables = [{"A": np.ones(2, one), "B": np.arange(2)}, {"A": np.ones(3, np.int8).astype(other), "B": np.arange(3)}]
    with pytest.raises(MalformedFile, match="column A differs"):
        stack_columns(tables, [2, 3])
    stacked, misfits = stack_what_fits(tables, [2, 3])
    assert misfits == [(1, "A")]
    assert stacked["A"].dtype == one
    assert stacked["B"].tolist() == [0, 1, 0, 1, 2]


def test_columns_with_a_common_type_are_widened():
    tables = [{"A": np.ones(1, "i2")}, {"A": np.ones(1, "u2")}, {"A": np.ones(1, "i4")}]
    assert stack_columns(tables, [1, 1, 1])["A"].dtype == np.int32
