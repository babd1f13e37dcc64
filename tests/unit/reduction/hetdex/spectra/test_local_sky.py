"""The sky of an amplifier, against the sky that was put in."""

import numpy as np
import pytest

from hetdex_amplifier import LSF, Amplifier, N, sky
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.settings import Sky
from skyharvest.reduction.hetdex.spectra.local_sky import fit_sky

SETTINGS = Sky()


def observed(amp, true, rng, readout=70.0):
    """Normalised counts with their errors, of light ``true``; NaN for dead fibers and 0.2 % of the pixels."""
    electrons = true * amp.norm
    noisy = electrons + rng.normal(0, 1, true.shape) * np.sqrt(electrons + readout)
    noisy[~amp.alive[:, None] | (rng.random(true.shape) < 0.002)] = np.nan
    error = np.sqrt(np.clip(noisy, 0, None) + readout) / amp.norm  # as an extraction has it: of the pixel's own light
    return noisy / amp.norm, error, np.sqrt(electrons + readout) / amp.norm


def wrong_wave(amp):
    """Wavelengths that are wrong as a calibration's are: smoothly, by 0.12 Å at most, most in the red."""
    u, v = np.linspace(-1, 1, N), np.linspace(-1, 1, len(amp.wave))[:, None]
    return amp.wave + 0.06 * v * (1 + u) + 0.03 * (v**2 - 0.3) * u


def test_pulls_are_1_everywhere_also_on_lines_with_wavelengths_and_widths_that_are_not_right():
    pulls, at_line = [], []
    for seed in range(6):
        amp, rng = Amplifier(seed=seed), np.random.default_rng(seed)
        true = sky(amp.wave)
        v = np.linspace(-1, 1, len(true))[:, None]
        wider = 1 + 0.06 * v  # of the LSF: a line of the same light is lower
        for centre, peak in ((5460.7, 400.0), (5199.0, 80.0), (4358.3, 170.0), (4046.6, 40.0)):
            off = (amp.wave - centre) / LSF
            true += 2 * peak * 0.4 / LSF * (np.exp(-0.5 * (off / wider) ** 2) / wider - np.exp(-0.5 * off**2))
        counts, error, truth = observed(amp, true, rng)
        found = fit_sky(counts, error, wrong_wave(amp), SETTINGS)
        assert found.source.sum() <= 2
        pull = (counts - found.sky) / truth
        pulls.append(pull[np.isfinite(pull)])
        line = np.isfinite(pull) & (np.abs(amp.wave - 5460.7) < 5)
        at_line.append(pull[line])
        assert np.nanmedian(np.abs(found.sky - true)) < 1.5
        assert abs(np.nanmean((counts - found.sky)[:, 100:-100])) < 0.15
        assert abs(np.nanmean(found.spline(amp.wave) - true)) < 0.3
    assert np.std(np.concatenate(pulls)) == pytest.approx(1, abs=0.02)
    assert np.std(np.concatenate(at_line)) == pytest.approx(1, abs=0.05)


def test_shifts_of_wavelength_are_found_where_there_are_lines():
    amp = Amplifier()
    counts, error, _ = observed(amp, 30 * sky(amp.wave), np.random.default_rng(1))
    given = wrong_wave(amp)
    found = fit_sky(counts, error, given, SETTINGS)
    line = np.abs(amp.wave - 5460.7) < 4
    left = (given + found.shift - amp.wave)[line & amp.alive[:, None]]
    before = (given - amp.wave)[line & amp.alive[:, None]]
    assert np.std(before) > 0.05
    assert np.std(left) < 0.015


def test_fibers_with_sources_tell_no_sky_and_lines_keep_their_light():
    amp, rng = Amplifier(), np.random.default_rng(2)
    light = np.zeros(amp.wave.shape)
    stars = [20, 21, 22, 50]
    light[stars] += np.array([[30.0], [900], [60], [25]]) * (1 + 0.2 * np.sin(amp.wave[stars] / 50))
    line = 600 * np.exp(-0.5 * ((amp.wave - 4700) / 2.5) ** 2)
    light[80:83] += line[80:83] * np.array([[0.4], [1], [0.4]])
    counts, error, _ = observed(amp, sky(amp.wave) + light, rng)
    found = fit_sky(counts, error, amp.wave, SETTINGS)
    assert set(stars) <= set(np.flatnonzero(found.source))
    assert found.source.sum() <= len(stars) + 2
    left = counts - found.sky
    near = np.abs(amp.wave[81] - 4700) < 8
    assert np.nansum(left[81, near]) == pytest.approx(line[81, near].sum(), rel=0.03)
    assert np.abs(found.sky - sky(amp.wave))[81, near].max() < 6
    for star in stars:
        assert np.nanmedian(left[star] - light[star]) == pytest.approx(0, abs=1.5)


def test_background_of_some_fibers_is_taken_off_and_amplifiers_may_have_any_level():
    amp, rng = Amplifier(), np.random.default_rng(3)
    extra = 2 * np.exp(-0.5 * ((np.arange(112) - 70) / 8.0) ** 2)[:, None] * np.linspace(0.5, 1.5, N)
    for scale in (0.6, 3.0):
        counts, error, _ = observed(amp, sky(amp.wave, scale) + extra, rng)
        found = fit_sky(counts, error, amp.wave, SETTINGS)
        assert found.source.sum() <= 2
        left = np.nanmedian((counts - found.sky)[amp.alive, 100:-100], axis=1)
        assert np.nanmax(np.abs(left)) < 4 * 1.25 * np.nanmedian(error) / np.sqrt(800)
        level = np.nanmedian(found.sky - sky(amp.wave, scale) - extra)
        assert abs(level) < 0.3


def test_a_few_living_fibers_are_enough_and_fewer_are_an_error_that_says_how_many():
    rng = np.random.default_rng(4)
    amp = Amplifier(dead=tuple(range(100)))
    counts, error, truth = observed(amp, sky(amp.wave), rng)
    found = fit_sky(counts, error, amp.wave, SETTINGS)
    pull = (counts - found.sky) / truth
    assert np.nanstd(pull) == pytest.approx(0.95, abs=0.08)  # 12 fibers know their mean less well than 112
    assert np.isfinite(found.sky[50, 20:-20]).all()
    counts[:107] = np.nan
    with pytest.raises(InputError, match="found 5 fibers without a source, of 5"):
        fit_sky(counts, error, amp.wave, SETTINGS)


def test_the_light_of_a_source_and_beside_it_is_not_taken_for_background():
    """Of stars whose images are wider than a fiber: what is left of their light, as a mean of many."""
    middles = np.array([15, 35, 55, 75, 95])
    part = np.array([0.02, 0.06, 0.3, 1.0, 0.3, 0.06, 0.02])[:, None]
    off = []
    for seed in range(5):
        amp, rng = Amplifier(seed=seed, dead=()), np.random.default_rng(seed)
        light = np.zeros(amp.wave.shape)
        for middle in middles:
            light[middle - 3 : middle + 4] += 60 * part
        counts, error, _ = observed(amp, sky(amp.wave) + light, rng)
        left = counts - fit_sky(counts, error, amp.wave, SETTINGS).sky - light
        off.append([np.nanmean(left[middles + step], axis=1) for step in (-1, 0, 1)])
    assert np.mean(off) == pytest.approx(0, abs=0.4)
