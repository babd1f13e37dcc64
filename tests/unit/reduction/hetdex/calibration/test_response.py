"""The response of pixels, against the one that was planted, with defects as large as fibers."""

import numpy as np
import pytest

from skyharvest.reduction.hetdex.calibration.response import measure_response, predicted_spectra
from skyharvest.reduction.hetdex.detector.extraction import extract, model_image
from skyharvest.reduction.hetdex.detector.profile import first_guess
from skyharvest.reduction.hetdex.settings import Flat

N_FIBER, N_COLUMN, N_ROWS = 40, 600, 400
SCATTER = 0.008


def twilight(n_frames: float, seed: int = 3):
    """Return the image of fibers with lines at places that change from fiber to fiber, and what is true of it."""
    rng = np.random.default_rng(seed)
    trace = 24 + 8.74 * np.arange(N_FIBER)[:, None] + 2 * np.linspace(-1, 1, N_COLUMN) ** 2
    wave = np.arange(N_COLUMN) + 0.15 * np.arange(N_FIBER)[:, None] + 0.002 * np.arange(N_FIBER)[:, None] ** 2
    lines = sum(
        depth * np.exp(-0.5 * ((wave - at) / 1.3) ** 2)
        for at, depth in zip(rng.uniform(0, 610, 150), rng.exponential(0.15, 150), strict=True)
    )
    ratio = rng.normal(1, 0.06, N_FIBER)[:, None] * (1 + 0.05 * np.sin(wave / 200 + rng.uniform(0, 6, (N_FIBER, 1))))
    light = 3000 * np.clip(1 - lines, 0.2, None) * ratio
    light[17] *= 0.02
    weights = first_guess(2.1).weights(trace, N_ROWS)
    scattered = np.float32(12)
    true = model_image(light, weights, N_ROWS) + scattered
    flat = rng.normal(1, SCATTER, true.shape)
    flat[150:164, 250:259] = 0.45
    flat[200, 100] = 0.0
    image = true * flat + rng.normal(0, 1, true.shape) * np.sqrt((true + 9) / n_frames)
    alive = np.arange(N_FIBER) != 17
    return image.astype("f4"), ((true + 9) / n_frames).astype("f4"), weights, scattered, flat, alive


def measured(image, variance, weights, scattered, alive):
    good = np.isfinite(image)
    found = extract(image - scattered, variance, good, weights, np.ones(N_FIBER, bool))
    light = model_image(predicted_spectra(found, alive, Flat()), weights, N_ROWS)
    return measure_response(image, variance, light + scattered, light, Flat())


def test_many_twilights_tell_each_pixel_and_few_do_no_harm():
    for n_frames, most in ((60, 0.0066), (3, SCATTER)):
        image, variance, weights, scattered, flat, alive = twilight(n_frames)
        image[:, 333] = np.nan
        found = measured(image, variance, weights, scattered, alive)
        told = (found.flat != 1) & ~found.defects & np.isfinite(found.flat)
        told[145:170, 245:265] = told[200, 100] = False
        assert told.mean() > 0.7
        assert np.std((found.flat - flat)[told]) < most
        assert np.isnan(found.flat[:, 333]).all()
        assert np.isfinite(np.delete(found.flat, 333, axis=1)).all()
    assert found.scatter == pytest.approx(SCATTER, rel=0.6)


def test_a_defect_as_large_as_a_fiber_and_a_dead_pixel_are_seen_and_lines_are_not():
    image, variance, weights, scattered, flat, alive = twilight(3)
    found = measured(image, variance, weights, scattered, alive)
    lit = found.model > 40
    planted = flat < 0.9
    assert found.defects[planted & lit].mean() > 0.98
    assert (found.defects & ~planted).sum() < 15  # beside it
    assert np.median(found.flat[152:162, 252:257]) == pytest.approx(0.45, abs=0.04)


def test_a_fiber_that_neighbours_tell_is_as_the_light_that_was_put_in():
    image, variance, weights, scattered, _, alive = twilight(200)
    true = extract(model_image(np.ones((N_FIBER, N_COLUMN)), weights, N_ROWS), variance, image > 0, weights, alive)
    assert np.isfinite(true.spectrum[alive]).all()
    found = extract(image - scattered, variance, np.isfinite(image), weights, np.ones(N_FIBER, bool))
    told = predicted_spectra(found, alive, Flat())
    off = (told / found.spectrum - 1)[:, 20:-20]
    inside = np.r_[5:17, 18:35]
    clear = np.ones(off.shape, bool)
    clear[10:20, 220:250] = False
    assert np.std(off[inside][clear[inside]]) < 0.02
    assert np.isfinite(told[17]).all()
