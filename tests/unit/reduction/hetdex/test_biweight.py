"""The biweight, against astropy's."""

import astropy.stats
import numpy as np
import pytest

from skyharvest.reduction.hetdex import biweight


@pytest.mark.parametrize("n", [1, 2, 3, 4, 15, 16, 33, 200, 1500])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_locations_and_scales_are_astropy_s(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(1000, 5, (n, 71)).astype(dtype)
    values[rng.random(values.shape) < 0.05] += 400
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 3] = np.nan
    values[:, 4] = 7.25  # nothing deviates
    given = values.copy()
    found, scale = biweight.location_scale(values)
    with np.errstate(all="ignore"):
        expected = astropy.stats.biweight_location(values.astype("f8"), axis=0, ignore_nan=True)
        width = astropy.stats.biweight_scale(values.astype("f8"), axis=0, ignore_nan=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if n > 4:  # of fewer than five astropy's own scale may be of no use
        np.testing.assert_allclose(scale, width, rtol=2e-4 if dtype == "f4" else 1e-9)
    assert found.dtype == scale.dtype == dtype
    assert np.isnan(found[3])
    assert found[4] == 7.25
    assert scale[4] == 0
    np.testing.assert_array_equal(values, given)


def test_any_axis_and_all_axes() -> None:
    values = np.random.default_rng(1).normal(10, 2, (7, 9, 40)).astype("f4")
    for axis in (0, 1, 2, -1):
        expected = astropy.stats.biweight_location(values, axis=axis)
        np.testing.assert_allclose(biweight.location(values, axis), expected, rtol=1e-6)
    given = values.copy()
    np.testing.assert_allclose(biweight.location(values, None), astropy.stats.biweight_location(values), rtol=1e-6)
    np.testing.assert_array_equal(values, given)


def test_what_is_not_finite_is_left_out() -> None:
    values = np.array([[1.0], [2.0], [4.0], [np.inf], [-np.inf], [np.nan]])
    assert biweight.location(values)[0] == pytest.approx(astropy.stats.biweight_location(values[:3, 0]))
