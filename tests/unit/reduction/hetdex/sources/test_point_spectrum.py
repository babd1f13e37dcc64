import numpy as np
import pytest

from hetdex_sources import MIDDLE, PER_COUNT, Line, Star, ifu_fibers, share
from skyharvest.reduction.hetdex.sources.point_spectrum import Extractor, extract

STAR = Star(0.4, -0.7, 5.0)


@pytest.fixture(scope="module")
def clean():
    return ifu_fibers([STAR], rows=7, columns=7, seed=None)


def at(source):
    return MIDDLE[0] + source.x, MIDDLE[1] + source.y


def test_the_light_of_a_source_is_found_at_all_wavelengths(clean):
    found = extract(clean, *at(STAR), aperture=3.5)
    np.testing.assert_allclose(found.flux, STAR.spectrum(), rtol=4e-3)
    near = np.hypot(clean.x - found.x, clean.y - found.y) <= 3.5
    shares = sum(
        share(clean.x[here] - MIDDLE[0], clean.y[here] - MIDDLE[1], STAR, exposure.fwhm).sum(0)
        for exposure in clean.exposures.values()
        for here in [near & (clean.expnum == exposure.expnum)]
    )
    np.testing.assert_allclose(found.apcor, shares, rtol=4e-3)
    assert 0.85 < found.coverage.mean() < 1.05
    assert sorted(found.used) == list(np.flatnonzero(near))
    assert np.all(np.diff(found.distance) >= 0)
    assert found.weight.sum() == pytest.approx(1)


def test_the_error_is_that_of_the_best_sum():
    pulls = []
    for seed in range(40):
        fibers = ifu_fibers([STAR], rows=5, columns=5, seed=seed)
        found = extract(fibers, *at(STAR), aperture=3.5)
        pulls.append((found.flux - STAR.spectrum()) / found.error)
    assert np.std(pulls) == pytest.approx(1, abs=0.02)


def test_other_columns_are_summed_by_the_same_weights(clean):
    found = extract(clean, *at(STAR), aperture=3.5)
    counts = found.total(clean.more["calfib_counts"])
    np.testing.assert_allclose(counts, found.flux / PER_COUNT, rtol=1e-4)
    np.testing.assert_allclose(found.total(clean.flux), found.flux, rtol=1e-6)
    np.testing.assert_allclose(found.total_error(clean.error), found.error, rtol=1e-5)
    np.testing.assert_allclose(found.summed(clean.flux), clean.flux[found.used].sum(0), rtol=1e-6)
    np.testing.assert_allclose(
        found.summed_error(clean.error), np.sqrt((clean.error[found.used] ** 2).sum(0)), rtol=1e-5
    )


def test_what_is_not_known_is_nan_and_biases_nothing(clean):
    clean.flux[::3, 100:200] = np.nan
    clean.flux[:, 300] = np.nan
    clean.error[5] = np.nan
    found = extract(clean, *at(STAR), aperture=3.5)
    assert np.flatnonzero(np.isnan(found.flux)).tolist() == [300]
    assert np.isnan(found.error[300])
    assert found.apcor[300] == 0
    known = np.arange(1036) != 300
    np.testing.assert_allclose(found.flux[known], STAR.spectrum()[known], rtol=6e-3)
    assert found.apcor[150] < 0.8 * found.apcor[99]
    assert 5 not in found.used


def test_many_positions_have_the_spectra_of_each():
    fibers = ifu_fibers([STAR, Line(-3.0, 2.0, 4321.0, 50.0)], rows=6, columns=6, missing=[(2, "LL")], seed=3)
    fibers.flux[7, 500:600] = np.nan
    random = np.random.default_rng(1)
    x, y = (middle + random.uniform(-9, 9, 700) for middle in MIDDLE)
    sums = Extractor(fibers, 3.5).sums(x, y)
    for k in range(0, 700, 70):
        one = extract(fibers, x[k], y[k], aperture=3.5)
        np.testing.assert_allclose(sums.flux[k], one.flux, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(sums.power[k], np.nan_to_num(one.error**-2), rtol=1e-4)
        np.testing.assert_allclose(sums.apcor[k], one.apcor, atol=1e-5)


def test_there_is_nothing_where_no_fibers_are():
    fibers = ifu_fibers(rows=4, columns=4)
    far = extract(fibers, 500.0, 500.0, aperture=3.5)
    assert len(far.used) == len(far.weight) == 0
    assert np.isnan(far.flux).all()
    assert not far.apcor.any()
    sums = Extractor(fibers, 3.5).sums(np.array([500.0]), np.array([500.0]))
    assert not sums.power.any()
    assert np.isnan(sums.flux).all()
    none = ifu_fibers(rows=4, columns=4, missing=[(e, a) for e in (1, 2, 3) for a in ("LL", "LU", "RL", "RU")])
    assert len(none) == 0
    assert len(extract(none, 0.0, 0.0, aperture=3.5).used) == 0
    assert Extractor(none, 3.5).sums(np.zeros(2), np.zeros(2)).flux.shape == (2, 1036)
