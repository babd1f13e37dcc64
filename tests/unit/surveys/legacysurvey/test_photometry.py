"""Aperture fluxes, against photutils on whole images, analytic stars, and the scatter of noise."""

import math
import warnings

import numpy as np
import pytest
from photutils.aperture import CircularAperture, aperture_photometry

from skyharvest.core.errors import InputError
from skyharvest.surveys.legacysurvey.photometry import aperture_fluxes, magnitudes

SIZE = 41
RADII = [0.4, 1.9, 2.862595, 7.0, 13.36]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def grid_of(n: int, bands: int, *, seed: int):
    """Return noise of known inverse variance, which differs from pixel to pixel."""
    rng = np.random.default_rng(seed)
    invvar = rng.uniform(100, 10_000, (n, bands, SIZE, SIZE)).astype(np.float32)
    return (3 + rng.normal(size=invvar.shape) / np.sqrt(invvar)).astype(np.float32), invvar


def test_fluxes_are_photutils():
    """In the middle, on edges and corners; with pixels that are masked, or no numbers."""
    at = [(20.3, 19.6), (20, 20), (-0.5, 20.1), (40.5, 40.5), (0.0, 39.9), (3.3, 2.7), (-9.2, 15.0), (20.5, 47.9)]
    x, y = np.transpose(at)
    image, invvar = grid_of(len(at), 3, seed=1)
    rng = np.random.default_rng(2)
    invvar[rng.random(invvar.shape) < 0.1] = 0
    image[rng.random(invvar.shape) < 0.05] = np.nan
    image[0, 0, 20, 20] = np.inf
    invvar[0, 1, 19, 20] = np.nan
    invvar[0, 1, 20, 21] = -1
    flux, error, good = aperture_fluxes(image, invvar, x, y, RADII)
    assert flux.shape == error.shape == good.shape == (len(at), 3, len(RADII))
    n_seen = 0
    for k, band in np.ndindex(len(at), 3):
        bad = ~(np.isfinite(image[k, band]) & np.isfinite(invvar[k, band]) & (invvar[k, band] > 0))
        sigma = 1 / np.sqrt(np.where(bad, 1, invvar[k, band]))
        for i, radius in enumerate(RADII):
            circle = CircularAperture((x[k], y[k]), radius)
            seen = aperture_photometry((~bad).astype(float), circle)["aperture_sum"][0]
            seen = np.nan_to_num(seen)
            assert good[k, band, i] == pytest.approx(seen / circle.area, rel=1e-9, abs=1e-12)
            if seen == 0:
                assert np.isnan([flux[k, band, i], error[k, band, i]]).all()
                continue
            table = aperture_photometry(np.where(bad, 0, image[k, band]).astype(float), circle, error=sigma, mask=bad)
            assert flux[k, band, i] == pytest.approx(table["aperture_sum"][0], rel=1e-6)
            assert error[k, band, i] == pytest.approx(table["aperture_sum_err"][0], rel=1e-6)
            n_seen += 1
    assert n_seen > 80
    assert 0.4 < good[2, 0, -1] < 0.6  # half of it lies off the cutout
    assert np.isfinite(flux[7, :, 4]).all()
    assert np.isnan(flux[7, :, :4]).all()  # out of reach


def test_a_star_has_its_magnitude():
    """Through circles that hold a known part of its light, wherever on its pixel it is."""
    rng = np.random.default_rng(3)
    n, sigma, brightness = 60, 2.1, np.array([[17.3], [20.1]])
    x, y = 20 + rng.uniform(-0.5, 0.5, (2, n))
    edges = np.arange(SIZE + 1) - 0.5
    erf = np.vectorize(math.erf)
    column, row = (
        np.diff(erf((edges - at[:, None]) / (sigma * math.sqrt(2))) / 2, axis=1) for at in (x, y)
    )  # (n, SIZE), integrated over pixels
    total = 10 ** (0.4 * (22.5 - brightness))
    image = total[None, :, :, None] * (row[:, :, None] * column[:, None, :])[:, None]
    noise = np.array([0.02, 0.05])[:, None, None]
    image += rng.normal(size=image.shape) * noise
    radii = np.array([3.0, 5.0, 12.0])
    flux, error, good = aperture_fluxes(image, np.broadcast_to(noise**-2.0, image.shape), x, y, radii)
    np.testing.assert_allclose(good, 1, rtol=1e-9)
    inside = 1 - np.exp(-(radii**2) / (2 * (sigma**2 + 1 / 6)))  # pixels spread it, and the even light on them
    pull = (flux - total * inside) / error
    assert abs(pull[:, 1].mean()) < 0.3  # the faint one: noise is all that differs
    assert pull[:, 1].std() == pytest.approx(1, abs=0.15)
    magnitude, magnitude_error = magnitudes(flux, error)
    expected = np.broadcast_to(brightness - 2.5 * np.log10(inside), magnitude.shape)
    assert (np.abs(magnitude - expected) < 4 * magnitude_error + 0.004).all()
    assert magnitude_error[:, 0].max() < 0.004 < magnitude_error[:, 1, 0].min()


def test_magnitudes_are_ab():
    flux = np.array([1, 100, 3631e9, 0, -2, np.nan, 5])  # 3631 Jy is magnitude 0
    error = np.array([0.01, 1, 1, 1, 1, np.nan, np.nan])
    magnitude, magnitude_error = magnitudes(flux, error)
    np.testing.assert_allclose(magnitude[:2], [22.5, 17.5])
    assert magnitudes(1e9, 1.0)[0] == pytest.approx(0)
    assert np.isnan(magnitude[3:6]).all()
    assert np.isnan(magnitude_error[3:]).all()
    assert np.isfinite(magnitude[6])  # an unknown error takes no magnitude away
    fainter, brighter = magnitudes(flux[:2] - error[:2], error[:2])[0], magnitudes(flux[:2] + error[:2], error[:2])[0]
    np.testing.assert_allclose(magnitude_error[:2], (fainter - brighter) / 2, rtol=1e-3)


def test_positions_that_are_nowhere_have_no_flux():
    image, invvar = grid_of(4, 2, seed=4)
    invvar[3] = 0
    flux, error, good = aperture_fluxes(image, invvar, [np.nan, 1e7, np.inf, 20], [20, 20, 20, 20], [3.0])
    assert np.isnan(flux).all()
    assert np.isnan(error).all()
    assert (good == 0).all()
    empty = aperture_fluxes(image[:0], invvar[:0], [], [], [3.0, 4.0])
    assert [values.shape for values in empty] == [(0, 2, 2)] * 3


@pytest.mark.parametrize("radii", [[0.0], [3.0, -1.0], [np.nan], [np.inf], 3.0])
def test_absurd_radii_are_refused(radii):
    image, invvar = grid_of(1, 1, seed=5)
    with pytest.raises(InputError, match="radii"):
        aperture_fluxes(image, invvar, [20], [20], radii)


def test_arrays_that_do_not_belong_together_are_refused():
    image, invvar = grid_of(2, 1, seed=6)
    with pytest.raises(ValueError, match="not of one"):
        aperture_fluxes(image, invvar, [20], [20], [3.0])
    with pytest.raises(ValueError, match="not of one"):
        aperture_fluxes(image, invvar[:, :, 1:], [20, 20], [20, 20], [3.0])
