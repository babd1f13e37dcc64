"""Cosmic rays, against those that were put in: they are found, and nothing else is taken for one."""

import numpy as np
import pytest

from hetdex_amplifier import READNOISE, SIGMA, Amplifier, N, add_rays, observed, sky
from skyharvest.reduction.hetdex.detector.extraction import extract
from skyharvest.reduction.hetdex.detector.profile import first_guess
from skyharvest.reduction.hetdex.settings import Cosmics
from skyharvest.reduction.hetdex.spectra.cosmics import extract_without_cosmics, variance_of

SETTINGS = Cosmics()
SCATTERED = np.full((N, N), 0.5, np.float32)
ONE = np.ones((N, N), np.float32)
STAR, LINE, LINE_COLUMN = 30, 80, 420


@pytest.fixture(scope="module")
def field():
    """Sky with a star of 20,000 electrons a column and, in another fiber, a line of 40,000 electrons, narrow."""
    amp = Amplifier()
    light = sky(amp.wave) * amp.norm
    for fiber, part in ((STAR - 1, 0.1), (STAR, 1.0), (STAR + 1, 0.1)):
        light[fiber] += part * 20_000 * (1 + 0.3 * np.sin(np.arange(N) / 9))
    light[LINE] += 40_000 * np.exp(-0.5 * ((np.arange(N) - LINE_COLUMN) / 0.9) ** 2)
    weights = first_guess(SIGMA).weights(amp.trace)
    return amp, light, weights


def clean(amp, image, weights, good=None, flat=ONE):
    good = np.ones(image.shape, bool) if good is None else good
    return extract_without_cosmics(image - SCATTERED, good, weights, amp.alive, SCATTERED, flat, READNOISE, SETTINGS)


def test_rays_are_found_and_nothing_else(field):
    amp, light, weights = field
    rng = np.random.default_rng(5)
    found = false = rays = 0
    for _ in range(3):
        image = observed(amp.paint(light), rng)
        hit = add_rays(image, rng, 220)
        cosmic = clean(amp, image, weights).cosmic
        found, rays = found + (cosmic & hit).sum(), rays + hit.sum()
        false += (cosmic & ~hit).sum()
    assert found / rays >= 0.98
    assert false <= 3 * 3


def test_a_ray_all_along_a_column_is_found_in_the_fibers_too(field):
    amp, light, weights = field
    rng = np.random.default_rng(6)
    image = observed(amp.paint(light), rng)
    image[200:260, 700] += 150 + rng.exponential(600, 60).astype(np.float32)
    assert clean(amp, image, weights).cosmic[200:260, 700].mean() >= 0.97


def test_stars_and_lines_keep_their_light(field):
    """What comes out under rays is what comes out of the same noise without them, where no ray was."""
    amp, light, weights = field
    image = observed(amp.paint(light), np.random.default_rng(7))
    quiet = clean(amp, image, weights)
    assert quiet.cosmic.sum() <= 3
    variance = variance_of((amp.paint(light) + 0.5).astype(np.float32), READNOISE, ONE)
    oracle = extract(image - SCATTERED, variance, np.ones(image.shape, bool), weights, amp.alive)
    difference = np.abs(quiet.extracted.spectrum - oracle.spectrum) / np.sqrt(oracle.variance)
    bright = [STAR - 1, STAR, STAR + 1, LINE]
    assert np.nanmax(difference[bright]) < 1
    assert np.nanmax(difference[:, np.abs(amp.wave[50] - 5460.7) < 6]) < 1
    pull = (quiet.extracted.spectrum - light) / np.sqrt(quiet.extracted.variance)
    assert np.nanstd(pull[bright]) == pytest.approx(1, abs=0.06)
    moved = observed(amp.paint(light, offset=0.2), np.random.default_rng(7))  # the profile is wrong by 8 % of a star
    assert clean(amp, moved, weights).cosmic.sum() <= 3


def test_bad_pixels_are_no_rays_and_a_flat_changes_the_noise(field):
    amp, light, weights = field
    rng = np.random.default_rng(8)
    flat = rng.normal(1, 0.05, (N, N)).astype(np.float32)
    flat[300:320, 400:410] = 0.3
    counts = rng.poisson((amp.paint(light) + 0.5) * flat) + rng.normal(0, READNOISE, flat.shape)
    image = (counts / flat).astype(np.float32)
    good = rng.random(image.shape) > 0.003
    image[~good] = rng.choice([np.nan, 1e5], (~good).sum())
    cleaned = clean(amp, image, weights, good, flat)
    assert cleaned.cosmic.sum() <= 3
    pull = (cleaned.extracted.spectrum - light) / np.sqrt(cleaned.extracted.variance)
    assert np.nanstd(pull) == pytest.approx(1, abs=0.03)
    defect = (slice(31, 33), slice(400, 410))
    assert np.nanmedian(cleaned.extracted.variance[defect]) > 2 * np.nanmedian(cleaned.extracted.variance[33, 300:390])
