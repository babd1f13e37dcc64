"""Scattered light, against the light that was put in: linear in y and curved in x, below fibers and stars."""

import numpy as np
import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.detector.background import class_of, level_of, scattered_light
from skyharvest.reduction.hetdex.settings import Background

N = 1032
SETTINGS = Background()


def fibers(gaps=(34, 73), missing=()):
    """Traces that bend, with gaps of two spacings after some fibers; without some fibers."""
    at = 22 + np.cumsum(np.r_[0, np.where(np.isin(np.arange(1, 112), gaps), 17.5, 8.74)])
    u = (np.arange(N) - 515.5) / 515.5
    trace = at[:, None] + 4 * (at[:, None] / N - 0.4) * u**2
    return np.delete(trace, missing, axis=0)


def frame(trace, fluxes, scattered, rng, n_electrons=3.0):
    """An image of fibers with Gaussian profiles and Poisson noise over scattered light."""
    y = np.arange(N)[:, None]
    image = scattered.copy()
    for row, flux in zip(trace, fluxes, strict=True):
        low = int(row.min()) - 12
        part = slice(max(low, 0), int(row.max()) + 13)
        image[part] += flux / 2.1 / np.sqrt(2 * np.pi) * np.exp(-0.5 * ((y[part] - row) / 2.1) ** 2)
    return (rng.poisson(image) + rng.normal(0, n_electrons, image.shape)).astype(np.float32)


def light(scale):
    """Scattered light: linear in y, of second degree in x."""
    y, x = np.mgrid[:N, :N] / N
    return scale * (0.6 + 0.5 * y + 0.8 * x * (1.2 - x))


@pytest.mark.parametrize(
    ("scale", "flux", "kind", "error"), [(0.6, 90.0, "sci", 0.2), (6.0, 900.0, "bri", 0.25), (30.0, 5000.0, "twi", 1.6)]
)
def test_the_light_that_was_put_in_comes_out_of_all_classes(scale, flux, kind, error):
    rng = np.random.default_rng(1)
    trace = fibers()
    fluxes = flux * rng.uniform(0.8, 1.2, len(trace))
    fluxes[[60, 61]] = flux * 1.5
    image = frame(trace, fluxes, light(scale), rng)
    good = rng.random(image.shape) > 0.02
    image[~good] = 1e5
    image[5, 20:40] = 8000  # a cosmic ray in the edge
    found = scattered_light(image, trace, good, SETTINGS)
    assert found.kind == kind
    assert found.image.dtype == np.float32
    assert len(found.knots) == 4
    assert np.abs(found.image - light(scale))[20:-20].max() < error
    assert found.median == pytest.approx(np.median(light(scale)), rel=0.05, abs=0.05)


def test_a_star_beside_a_gap_is_not_scattered_light():
    rng = np.random.default_rng(2)
    trace = fibers()
    fluxes = np.full(len(trace), 90.0)
    fluxes[33] = 12000.0
    image = frame(trace, fluxes, light(0.6), rng)
    found = scattered_light(image, trace, np.ones(image.shape, bool), SETTINGS)
    gap = int(trace[33:35, 515].mean())
    assert np.abs(found.image - light(0.6))[gap].max() < 0.35


def test_a_missing_fiber_makes_one_more_knot_and_a_narrow_gap_none():
    rng = np.random.default_rng(3)
    trace = fibers(gaps=(37,), missing=(80,))
    image = frame(trace, np.full(len(trace), 90.0), light(0.6), rng)
    found = scattered_light(image, trace, np.ones(image.shape, bool), SETTINGS)
    expected = [trace[36:38].mean(), trace[79:81].mean()]
    assert found.knots[1:-1] == pytest.approx(expected, abs=1.5)


def test_a_frame_without_free_pixels_is_an_error_that_says_so():
    trace = np.arange(2.0, N, 8.74)[:, None] + np.zeros(N)
    with pytest.raises(InputError, match=r"farther than 7\.0 pixels"):
        scattered_light(np.full((N, N), 30, np.float32), trace, np.ones((N, N), bool), SETTINGS)


def test_classes_of_levels():
    kinds = {level: class_of(level, SETTINGS) for level in (0.1, 0.2, 2.5, 3.0, 3.1, 15, 16, float("nan"))}
    assert list(kinds.values()) == ["low", "sci", "sci", "sci", "bri", "bri", "twi", "low"]
    image = np.full((N, N), 50, np.float32)
    image[:300] = 1e4  # other rows do not matter
    assert level_of(image, image < 1e5, SETTINGS) == 2
    assert np.isnan(level_of(image, image > 1e5, SETTINGS))
