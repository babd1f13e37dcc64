"""Shares of a star's light in fibers, and where refraction puts it."""

import numpy as np
import pytest

from hetdex_stars import share
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.stars.moffat import fractions


@pytest.mark.parametrize("fwhm", [0.9, 1.3, 1.8, 3.0])
def test_fractions_are_those_of_a_fine_sum(fwhm):
    dx, dy = np.array([[0, 0], [0.4, 0.1], [0.75, 0], [-1.0, 0.8], [2.5, -1], [5, 5]], dtype=np.float64).T
    np.testing.assert_allclose(fractions(dx, dy, fwhm), share(dx, dy, fwhm, 401), atol=1e-4)


def test_fractions_broadcast_and_sum_to_one():
    step = 1.5
    x, y = np.meshgrid(np.arange(-24, 24.1, step), np.arange(-24, 24.1, step))
    total = fractions(x[..., None] - 0.3, y[..., None] + 0.2, np.array([1.5, 2.0]))
    assert total.shape == (*x.shape, 2)
    # Squares of 1.5″ are π / 4 covered by fibers; what is beyond 24″ is nothing.
    np.testing.assert_allclose(total.sum(axis=(0, 1)), np.pi / 4, rtol=0.02)


def test_blue_light_is_lifted_and_wider():
    shift = refraction.shift(np.array([3500.0, 4000.0, 4500.0, 5000.0, 5500.0]))
    np.testing.assert_allclose(shift, [-0.74, -0.40, 0, 0.08, 0.20], atol=1e-12)
    assert (np.diff(refraction.shift(np.arange(3470.0, 5542.0, 2))) > 0).all()
    assert refraction.fwhm_at(np.array([4500.0 / 2**5]), 1.5)[0] == pytest.approx(3.0)
