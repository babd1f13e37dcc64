"""Pixel-integrated Gauss-Hermite functions, against numerical integration and differences."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import hermitenorm

from skyharvest.reduction.desi.psf.gauss_hermite import corner, derivatives, integrals, spots

DEGREE, FIRST, N = 6, 3, 9
CENTRE, SIGMA = 7.31, 1.23


def by_quadrature(centre: float, sigma: float) -> np.ndarray:
    """Return the integral of He_k times a Gaussian over each pixel, whose centre has a whole number."""

    def value(x: float, k: int) -> float:
        u = (x - centre) / sigma
        return hermitenorm(k)(u) * np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi) / sigma

    pixels = FIRST + np.arange(N)
    return np.array([[quad(value, x - 0.5, x + 0.5, args=(k,))[0] for x in pixels] for k in range(DEGREE + 1)])


def test_integrals_are_those_of_the_functions():
    made = np.empty((DEGREE + 1, N))
    integrals(CENTRE, SIGMA, FIRST, made)
    np.testing.assert_allclose(made, by_quadrature(CENTRE, SIGMA), atol=1e-12)


def test_derivatives_are_those_of_the_integrals():
    by_centre, by_sigma = np.empty((2, DEGREE + 1, N))
    derivatives(CENTRE, SIGMA, FIRST, by_centre, by_sigma)
    step = 1e-5
    for made, (dc, ds) in ((by_centre, (step, 0)), (by_sigma, (0, step))):
        low, high = np.empty((2, DEGREE + 1, N))
        integrals(CENTRE - dc, SIGMA - ds, FIRST, low)
        integrals(CENTRE + dc, SIGMA + ds, FIRST, high)
        np.testing.assert_allclose(made, (high - low) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("tail", [0.0, 0.02])
def test_a_spot_is_the_sum_of_its_terms_not_negative_and_of_sum_one(tail):
    rng = np.random.default_rng(1)
    gh = np.zeros((1, DEGREE + 1, DEGREE + 1))
    gh[0, 0, 0], gh[0, 1, 1], gh[0, 3, 0], gh[0, 2, 2] = 1, 0.1, -0.2, 0.15
    x, y = rng.uniform(20, 21, 2)
    tails = np.array([[tail, 1.1, 0.9, 1.2, 2.5]])
    out, corners = np.empty((1, 15, 13)), np.empty((1, 2), np.int64)
    spots(np.array([x]), np.array([y]), np.array([1.1]), np.array([1.3]), gh, tails, 6, 7, out, corners)
    assert corners.tolist() == [[corner(x, 6), corner(y, 7)]] == [[round(x) - 6, round(y) - 7]]
    in_x, in_y = np.empty((DEGREE + 1, 13)), np.empty((DEGREE + 1, 15))
    integrals(x, 1.1, corners[0, 0], in_x)
    integrals(y, 1.3, corners[0, 1], in_y)
    expected = np.einsum("ij,ia,jb->ba", gh[0], in_x, in_y)
    dx, dy = corners[0, 0] + np.arange(13) - x, corners[0, 1] + np.arange(15) - y
    r2 = (0.9 * dx[None, :]) ** 2 + (1.2 * dy[:, None]) ** 2
    expected = np.clip(expected + tail * r2 / (1.1**2 + r2) ** (1 + 2.5 / 2), 0, None)
    np.testing.assert_allclose(out[0], expected / expected.sum(), atol=1e-14)
