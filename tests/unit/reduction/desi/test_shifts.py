"""Moves of traces, from a lamp's continuum and from the sky's lines."""

import numpy as np
import pytest

from reduction_camera import camera, noisy, psf_of
from skyharvest.reduction.desi.psf.shifts import ShiftOptions, shift_traces

MADE = camera(n_y=900)
FINE = np.arange(MADE.wave_min - 5, MADE.wave_max + 5, 0.1)
WAVE = np.linspace(MADE.first, MADE.last, 30)
SKY = np.zeros_like(FINE)
SKY[np.random.default_rng(8).integers(200, len(FINE) - 200, 40)] = np.geomspace(1, 60, 40)


def moved(dx: float, dy: float, light: np.ndarray, seed: int = 1):
    return noisy(MADE.image(FINE, light, dx, dy), 2.5, seed)


def off(psf, dx: float, dy: float) -> tuple[float, float]:
    """Return how far traces are from the truth at most, in x and y."""
    return tuple(np.abs(a - b).max() for a, b in zip(psf.traces(WAVE), psf_of(MADE, dx, dy).traces(WAVE), strict=True))


def test_a_lamp_without_lines_moves_traces_in_x_alone():
    image, ivar = moved(0.62, -0.15, np.full((25, len(FINE)), 40.0))
    psf, in_x, in_y = shift_traces(image, ivar, psf_of(MADE))
    assert off(psf, 0.62, 0)[0] < 0.02
    np.testing.assert_array_equal(psf.y, psf_of(MADE).y)
    assert in_x.mean == pytest.approx(0.62, abs=0.01)
    assert in_y.mean == 0


@pytest.mark.parametrize("dy", [0.18, -1.1])
def test_the_sky_moves_them_in_both(dy):
    """Stars and galaxies in half of the fibers, with breaks and lines of their own."""
    rng = np.random.default_rng(2)
    light = 2 + SKY * 60 + np.zeros((25, 1))
    for fiber in range(0, 25, 2):
        light[fiber] += rng.uniform(1, 30) * (1 + 0.4 * np.sin(FINE / rng.uniform(3, 40)))
    image, ivar = moved(-0.10, dy, light)
    ivar[300:303, 240:260] = 0
    psf, _, in_y = shift_traces(image, ivar, psf_of(MADE), sky=(FINE, SKY))
    assert off(psf, -0.10, dy) < (0.03, 0.03)
    assert in_y.mean == pytest.approx(dy, abs=0.02)
    assert in_y.n > 50


def test_a_tilt_across_the_detector_is_found():
    light = np.full((25, len(FINE)), 60.0)
    truth = psf_of(MADE)
    side = np.linspace(-0.2, 0.2, 25)
    image = np.zeros((MADE.n_y, MADE.n_x))
    for fiber in range(25):
        alone = np.zeros_like(light)
        alone[fiber] = light[fiber]
        image += MADE.image(FINE, alone, side[fiber], 0)
    psf, in_x, _ = shift_traces(*noisy(image, 2.5), truth)
    found = (psf.traces(WAVE)[0] - truth.traces(WAVE)[0]).mean(axis=1)
    np.testing.assert_allclose(found, side, atol=0.01)
    assert in_x.degrees[0] >= 1


def test_where_little_light_tells_little_degrees_are_lowered():
    light = np.zeros((25, len(FINE)))
    light[3:6] = 4.0
    psf, in_x, _ = shift_traces(*moved(0.3, 0, light), psf_of(MADE), ShiftOptions(degrees_x=(2, 1)))
    assert in_x.degrees < (2, 1)
    assert off(psf, 0.3, 0)[0] < 0.06


def test_an_image_without_light_is_refused():
    with pytest.raises(ValueError, match="no fiber has light enough"):
        shift_traces(*noisy(np.zeros((MADE.n_y, MADE.n_x)), 2.5), psf_of(MADE))
