import numpy as np
import pytest
from scipy.optimize import curve_fit

from skyharvest.reduction.hetdex.lines.gaussian_fit import FEWEST, fit

WAVE = 4000.0 + 2.0 * np.arange(51)


def model(wave, flux, middle, width, continuum, slope):
    line = flux * np.exp(-0.5 * ((wave - middle) / width) ** 2) / (np.sqrt(2 * np.pi) * width)
    return 2 * (line + continuum + slope * (wave - middle))


def spectrum(seed, error=0.4, **changed):
    truth = {"flux": 14.0, "middle": 4050.7, "width": 2.9, "continuum": 0.3, "slope": 0.004} | changed
    return model(WAVE, **truth) + np.random.default_rng(seed).normal(0, error, WAVE.size)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_least_squares_fit(seed):
    flux = spectrum(seed)
    error = np.linspace(0.3, 0.6, 51)
    known = np.arange(51) % 7 != 3
    found = fit(WAVE, np.where(known, flux, 0.0), np.where(known, error**-2, 0.0), 4052.0, 2.7)
    best, covariance = curve_fit(
        model, WAVE[known], flux[known], [10, 4052, 2.7, 0, 0], sigma=error[known], absolute_sigma=True
    )
    np.testing.assert_allclose(
        [found.flux, found.wave, found.width, found.continuum, found.slope], best, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), np.sqrt(np.diag(covariance)), rtol=0.01)
    chi2 = (((flux - model(WAVE, *best)) / error) ** 2)[known].sum()
    assert found.chi2 == pytest.approx(chi2, rel=1e-4)
    assert found.n_free == known.sum() - 5
    straight = np.polyfit(WAVE[known], flux[known], 1, w=1 / error[known])
    without = (((flux - np.polyval(straight, WAVE)) / error) ** 2)[known].sum()
    assert found.gain == pytest.approx(without - chi2, rel=1e-3)


def test_errors_are_those_of_noise():
    pulls = []
    for seed in range(400):
        found = fit(WAVE, spectrum(seed), np.full(51, 0.4**-2), 4052.0, 2.7)
        errors = np.sqrt(np.diag(found.covariance))
        pulls.append(
            (np.array([found.flux, found.wave, found.width, found.continuum]) - [14, 4050.7, 2.9, 0.3]) / errors[:4]
        )
    np.testing.assert_allclose(np.std(pulls, 0), 1, atol=0.12)
    np.testing.assert_allclose(np.mean(pulls, 0), 0, atol=0.2)


def test_what_is_held_stays():
    flux = spectrum(1)
    held = fit(WAVE, flux, np.full(51, 0.4**-2), 4052.0, 2.7, hold_width=True)
    assert held.width == 2.7
    assert held.covariance[2, 2] == 0
    alone = fit(WAVE, flux - 2 * 0.3, np.full(51, 0.4**-2), 4052.0, 2.7, hold_width=True, continuum=False)
    assert (alone.continuum, alone.slope) == (0, 0)
    # Of what is linear, χ² falls by the square of flux over noise.
    assert alone.gain == pytest.approx((alone.flux / alone.noise) ** 2, rel=1e-3)
    assert alone.noise < held.noise < np.sqrt(held.covariance[0, 0]) * 1.0001


def test_too_few_bins_are_not_fitted():
    inverse = np.zeros(51)
    inverse[: FEWEST - 1] = 1.0
    assert fit(WAVE, spectrum(1), inverse, 4052.0, 2.7) is None
    assert fit(WAVE, spectrum(1), np.zeros(51), 4052.0, 2.7) is None
