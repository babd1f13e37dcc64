"""The fit of a PSF to an arc, against the traces and widths that were simulated."""

import logging

import numpy as np
import pytest

from reduction_camera import LINES, camera, noisy, psf_of
from skyharvest.reduction.desi.psf.fit import NOT_MEASURED, FitOptions, fit_psf, offset

MADE = camera(n_y=700)
WAVE = np.linspace(7480, 7800, 40)  # where there are lines
LEFT_OUT = 7  # a line that the lamp lacks
TRUTH = (0.0, 0.0)


def arc(*, dead: int | None = None, wrong: float | None = None, seed: int = 1):
    """Return an image of an arc, its ivar and read noise: lines of very different light, one line missing."""
    rng = np.random.default_rng(seed)
    fine = np.arange(MADE.wave_min - 5, MADE.wave_max + 5, 0.1)
    light = np.zeros((25, len(fine)))
    throughput = rng.uniform(0.8, 1.2, 25)
    if dead is not None:
        throughput[dead] = 0
    for k, line in enumerate(LINES):
        amount = np.geomspace(3000, 60000, len(LINES))[(5 * k) % len(LINES)]
        place = (line - fine[0]) / 0.1
        if k != LEFT_OUT:
            light[:, int(place)] += throughput * amount * (1 - place % 1)
            light[:, int(place) + 1] += throughput * amount * (place % 1)
    if wrong is not None:  # a line that no list has, beside one that lists have
        light[:, round((wrong - fine[0]) / 0.1)] += throughput * 20000
    image, ivar = noisy(MADE.image(fine, light) + 0.3, 2.5, seed)
    return image, ivar, np.full(image.shape, 2.5)


def check(fitted, fibers=slice(None), far: float = 0.02, wide: float = 0.02) -> None:
    truth = psf_of(MADE)
    for found, expected in zip(fitted.traces(WAVE), truth.traces(WAVE), strict=True):
        assert np.abs(found - expected)[fibers].max() < far
    for name in ("GHSIGX", "GHSIGY"):
        ratio = fitted.parameter(name, WAVE)[fibers] / truth.parameter(name, WAVE)[fibers]
        assert np.abs(ratio - 1).max() < wide


@pytest.mark.parametrize("off", [(0.25, -0.35), (-2.6, 7.3)])
def test_traces_and_widths_are_found_from_far_away(off):
    fitted = fit_psf(*arc(), psf_of(MADE, *off, wider=1.08), LINES)
    check(fitted)
    assert (fitted.status == 0).all()
    assert fitted.chi2 == pytest.approx(1, abs=0.1)


def test_saturated_lines_cosmics_and_a_line_of_another_lamp_do_no_harm():
    image, ivar, noise = arc(wrong=7606.5)
    x, y = psf_of(MADE).traces(LINES)
    for fiber in range(0, 25, 3):  # the core of a bright line
        row, column = round(y[fiber, 1]), round(x[fiber, 1])
        ivar[row - 1 : row + 2, column - 1 : column + 2] = 0
        image[row - 1 : row + 2, column - 1 : column + 2] = 60000
    rng = np.random.default_rng(4)
    for _ in range(30):  # cosmics that nothing has seen
        row, column = rng.integers(10, 690), rng.integers(220, 430)
        image[row : row + 3, column] += 3000
    fitted = fit_psf(image, ivar, noise, psf_of(MADE, 0.3, 0.4), LINES)
    check(fitted, far=0.03)


def test_a_dead_fiber_is_said_and_moved_as_its_neighbours_are():
    fitted = fit_psf(*arc(dead=11), psf_of(MADE, 0.4, -0.6), LINES)
    assert fitted.status[11] == NOT_MEASURED
    assert (np.delete(fitted.status, 11) == 0).all()
    check(fitted, np.delete(np.arange(25), 11))
    check(fitted, [11], far=0.05)


def test_the_shape_of_a_spot_that_is_no_gaussian_is_found():
    """Two Gaussians beside each other: the fit's model of the image is right, which one Gaussian's is not."""
    image, ivar, noise = arc()
    side = np.roll(image - 0.3, (1, 1), axis=(0, 1)) * 0.15
    image, ivar = image + side, 1 / (1 / ivar + np.clip(side, 0, None))
    start = psf_of(MADE, 0.2, 0.2)
    plain = fit_psf(image, ivar, noise, start, LINES, FitOptions(degree_hermite=0))
    rich = fit_psf(image, ivar, noise, start, LINES, FitOptions(degree_hermite=6))
    assert rich.chi2[0] < 0.7 * plain.chi2[0]


def test_the_offset_is_that_of_all_spots_together():
    image, ivar, _ = arc()
    dx, dy = offset(image, ivar, psf_of(MADE, 1.4, -5.2), LINES, 12)
    assert (dx, dy) == pytest.approx((-1.4, 5.2), abs=0.2)


def test_an_image_without_light_is_refused():
    image = np.random.default_rng(1).normal(0, 2.5, (MADE.n_y, MADE.n_x))
    with pytest.raises(ValueError, match="there is no light where the arc lines are expected"):
        fit_psf(image, np.full(image.shape, 0.16), np.full(image.shape, 2.5), psf_of(MADE), LINES)


def test_a_bundle_without_light_does_not_stop_the_others(caplog):
    made = camera(n_y=700, n_fiber=50)
    fine = np.arange(made.wave_min - 5, made.wave_max + 5, 0.1)
    light = np.zeros((50, len(fine)))
    for line in LINES:
        light[:25, round((line - fine[0]) / 0.1)] = 5000
    image, ivar = noisy(made.image(fine, light), 2.5)
    caplog.set_level(logging.INFO)
    fitted = fit_psf(image, ivar, np.full(image.shape, 2.5), psf_of(made, 0.1, 0.1), LINES)
    assert (fitted.status[:25] == 0).all()
    assert (fitted.status[25:] == NOT_MEASURED).all()
    assert "bundle 1: chi2 / dof nan, 25 fibers not measured" in caplog.text
