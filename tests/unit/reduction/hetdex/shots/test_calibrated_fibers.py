"""Calibrated fibers: counts that are conserved, errors that add up, and the flux of a star that was put in."""

import numpy as np
import pytest

from skyharvest.reduction.hetdex.rebin import rebin
from skyharvest.reduction.hetdex.shots.calibrated_fibers import FullSky, Spectra, calibrate, sky_error_of
from skyharvest.reduction.hetdex.virus import GRID

N_ROW, N = 40, 1032
X = np.arange(N)
WAVE = 3480 + 1.96 * X + 1e-5 * (X - 500.0) ** 2 + np.linspace(0, 3, N_ROW)[:, None]


def widths(wave: np.ndarray) -> np.ndarray:
    """Å of each pixel: between the middles to its neighbours."""
    middle = 0.5 * (wave[:, 1:] + wave[:, :-1])
    first, last = 2 * wave[:, :1] - middle[:, :1], 2 * wave[:, -1:] - middle[:, -1:]
    return np.diff(np.concatenate([first, middle, last], axis=1), axis=1)


def on_grid(density: np.ndarray, variance: np.ndarray, wave: np.ndarray = WAVE, coverage: float = 0.75):
    (values,), (variances,) = rebin(wave, (density,), (variance,), GRID[0], 2.0, GRID.size, coverage)
    return values, variances


def test_no_count_is_lost():
    random = np.random.default_rng(2)
    counts = random.uniform(0, 100, WAVE.shape)
    values, _ = on_grid(counts / (widths(WAVE) / 2), np.ones(WAVE.shape), coverage=0.0)
    inner = (GRID > 3500) & (GRID < 5400)
    first, last = GRID[inner][0] - 1, GRID[inner][-1] + 1  # edges of bins
    for row in (0, 17):
        upper = np.concatenate([[WAVE[row, 0] - widths(WAVE)[row, 0] / 2], WAVE[row, 0] - widths(WAVE)[row, 0] / 2 +
                                np.cumsum(widths(WAVE)[row])])  # fmt: skip
        cumulated = np.interp([first, last], upper, np.concatenate([[0], np.cumsum(counts[row])]))
        assert values[row, inner].sum() == pytest.approx(np.diff(cumulated)[0], rel=1e-5)


def test_a_smooth_spectrum_stays_as_it_is():
    smooth = 50 + 0.01 * (WAVE - 4500) + 1e-5 * (WAVE - 4500) ** 2
    values, variances = on_grid(smooth, np.full(WAVE.shape, 4.0))
    known = np.isfinite(values)
    truth = 50 + 0.01 * (GRID - 4500) + 1e-5 * (GRID - 4500) ** 2
    np.testing.assert_allclose(values[known], np.broadcast_to(truth, values.shape)[known], rtol=5e-4)
    outside = (WAVE[0, 0] - 2 > GRID) | (WAVE[0, -1] + 2 < GRID)
    assert outside.any() and not known[0, outside].any() and known[0, ~outside].mean() > 0.99
    assert variances[known].mean() == pytest.approx(4 * 1.96 / 2, rel=0.01)  # a pixel's, in 1.96 Å, in 2 Å


def test_errors_are_those_of_sums():
    """The sum over a window scatters as the sum of variances says; a bin alone scatters less."""
    random = np.random.default_rng(4)
    wave = np.tile(WAVE, (10, 1))
    sigma = 3 + 2 * np.sin(wave / 300)
    values, variances = on_grid(random.normal(0, sigma), sigma**2, wave)
    window = slice(100, 130)
    pulls = values[:, window].sum(axis=1) / np.sqrt(variances[:, window].sum(axis=1))
    assert pulls.std() == pytest.approx(1, abs=0.1)
    many = values[:, 100:900] / np.sqrt(variances[:, 100:900])
    sums = many.reshape(len(many), 40, 20).sum(axis=2) / np.sqrt(20)
    assert sums.std() == pytest.approx(1, abs=0.03)
    assert many.std() == pytest.approx(0.82, abs=0.03)


def test_what_is_not_known_is_nan():
    density = np.full(WAVE.shape, 7.0)
    density[0, 400:403] = density[0, 700] = np.nan
    density[1] = np.nan
    wave = WAVE.copy()
    wave[2, 10] = np.nan
    wave[3, 500:] = wave[3, 500:][::-1].copy()
    values, _ = on_grid(density, np.ones(WAVE.shape), wave)
    hole = np.flatnonzero(np.isnan(values[0, 20:600])) + 20
    assert 2 <= hole.size <= 4 and np.abs(GRID[hole].mean() - WAVE[0, 401]) < 2
    assert np.isnan(values[1:4]).all() and np.nanstd(values) < 1e-6
    lost = [np.isnan(on_grid(density, np.ones(WAVE.shape), wave, part)[0][0, 600:1000]).sum() for part in (0.05, 0.9)]
    assert lost[0] <= 1 < lost[1] <= 3


def test_half_a_bin_tells_half_as_much():
    wave = np.arange(3470.5, 5530.0, 1.0)[None]  # two pixels a bin: 3470.5 is in the first, from 3469 to 3471
    density, variance = np.full(wave.shape, 5.0), np.full(wave.shape, 8.0)
    whole, variances = on_grid(density, variance, wave, coverage=0.4)
    density[0, 101] = np.nan
    variance[0, 101] = np.nan
    half, more = on_grid(density, variance, wave, coverage=0.4)
    k = int(np.flatnonzero(np.abs(GRID - wave[0, 101]) < 1)[0])
    np.testing.assert_allclose(half[0, : k + 5], whole[0, : k + 5], rtol=1e-6)
    assert variances[0, k] == pytest.approx(4) and more[0, k] == pytest.approx(8)


THROUGHPUT = np.interp(GRID, [3470, 4500, 5540], [0.02, 0.13, 0.12])


def spectra(star: float = 0.0, **changes: np.ndarray) -> Spectra:
    """Spectra of a sky of 150 counts, with some of a star of so many 1e-17 erg/s/cm²/Å in each fiber."""
    throughput = np.interp(WAVE, GRID, THROUGHPUT)
    counts = star * 1e-17 * 2 * 360 * 5e5 * throughput * WAVE / (6.62607015e-27 * 2.99792458e18)
    values = {"sky_subtracted": counts, "sky_spectrum": np.full(WAVE.shape, 150.0), "error": np.full(WAVE.shape, 14.0)}
    return Spectra(WAVE, **(values | changes))


def test_flux_of_a_star():
    made = calibrate(spectra(3.0), THROUGHPUT, norm=1.0)
    inner = (GRID > 3500) & (GRID < 5400)
    np.testing.assert_allclose(made.calfib[:, inner], 2 * 3.0, rtol=2e-3)  # of 2 Å
    brighter = calibrate(spectra(3.0), THROUGHPUT, norm=1.1)
    np.testing.assert_allclose(brighter.calfib * 1.1, made.calfib, rtol=1e-5)
    np.testing.assert_array_equal(brighter.calfib_counts, made.calfib_counts)
    relative = made.calfibe[:, inner] / made.calfib[:, inner]
    np.testing.assert_allclose(relative, made.calfibe_counts[:, inner] / made.calfib_counts[:, inner], rtol=1e-5)
    assert np.isnan(made.calfib_ffsky).all()
    assert all(values.dtype == np.float32 for values in vars(made).values())


def test_error_of_the_sky():
    none, some = (calibrate(spectra(), THROUGHPUT, sky_error=value).calfibe_counts for value in (0.0, 0.03))
    known = np.isfinite(none)
    np.testing.assert_allclose(np.sqrt(some[known] ** 2 - none[known] ** 2), 0.03 * 150, rtol=1e-3)
    residual = np.zeros(WAVE.shape)
    residual[0] = 0.2
    left = np.full(WAVE.shape, 30.0)
    made = calibrate(spectra(sky_subtracted=left), THROUGHPUT, residual=residual)
    np.testing.assert_allclose(made.calfib_counts[0][known[0]], 0, atol=1e-4)
    np.testing.assert_allclose(made.calfib_counts[1][known[1]], 30, rtol=1e-5)
    assert np.nanmean(made.calfibe_counts[0]) > np.nanmean(made.calfibe_counts[1])
    at = [float(sky_error_of(np.array(value), 0.03, 0.06)) for value in (0.0, -0.02, 0.065, -0.1, 3.0, np.nan)]
    np.testing.assert_allclose(at, [0.03, 0.03, 0.045, 0.06, 0.06, 0.03])


def test_the_sky_of_the_whole_field():
    """An amplifier with wavelengths 0.8 Å too small at 4500 Å and more in the red, which sees 0.97 of the sky."""
    wave = np.arange(3400.0, 5600.0, 0.5)
    field = FullSky(wave, 100 + 40 * np.sin(wave / 15), 0.97, 0.8, -1e-3)
    true_wave = WAVE + 0.8 + 1e-3 * (WAVE - 4500)
    sky = 0.97 * (100 + 40 * np.sin(true_wave / 15))
    given = spectra(
        2.0, sky_spectrum=sky - 5, sky_subtracted=spectra(2.0).sky_subtracted + 5
    )  # a local sky that is off
    made = calibrate(given, THROUGHPUT, full_sky=field)
    inner = (GRID > 3510) & (GRID < 5400)
    np.testing.assert_allclose(made.calfib_ffsky[:, inner], 4.0, rtol=0.01)
    assert np.nanmedian(made.calfib) > 4.05
    short = FullSky(wave[wave < 5000], field.counts[wave < 5000])
    made = calibrate(given, THROUGHPUT, full_sky=short)
    assert np.isnan(made.calfib_ffsky[:, GRID > 5002]).all() and np.isfinite(made.calfib[:, 900]).all()


def test_a_pixel_without_an_error_has_no_value():
    error = np.full(WAVE.shape, 14.0)
    error[5, 300:310] = np.nan
    made = calibrate(spectra(1.0, error=error), THROUGHPUT)
    unknown = np.isnan(made.calfib[5])
    inside = (WAVE[5, 301] < GRID) & (WAVE[5, 308] > GRID)
    assert unknown[inside].all()
    for values in (made.calfibe, made.calfib_counts, made.calfibe_counts):
        np.testing.assert_array_equal(np.isnan(values[5]), unknown)
    assert not (made.calfib == 0).any() and not (made.calfibe == 0).any()
