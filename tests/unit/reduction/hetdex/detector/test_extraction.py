"""The joint extraction, against least squares with dense matrices, and against light that was put in."""

import numpy as np

from skyharvest.reduction.hetdex.detector.extraction import Weights, extract, model_image
from skyharvest.reduction.hetdex.detector.profile import first_guess

NOISE = 3.0


def traces(n_fiber: int, n_column: int, spacing: float = 8.74, first: float = 9.3) -> np.ndarray:
    u = np.linspace(-1, 1, n_column)
    return first + spacing * np.arange(n_fiber)[:, None] + 0.8 * u + 1.5 * u**2


def dense(weights: Weights, column: int, n_rows: int) -> np.ndarray:
    """Return what each fiber gives to the pixels of a column, (n_rows, n_fiber)."""
    n_fiber, _, n_row = weights.values.shape
    matrix = np.zeros((n_rows + 40, n_fiber))
    for i in range(n_fiber):
        first = weights.rows[i, column] + 20
        matrix[first : first + n_row, i] = weights.values[i, column]
    return matrix[20:-20]


def test_each_column_is_the_least_squares_solution_with_the_variances_of_the_inverse() -> None:
    rng = np.random.default_rng(5)
    n_rows, n_column = 100, 40
    trace = traces(10, n_column, first=2.0)  # the lowest is on the edge
    weights = first_guess(2.4).weights(trace, n_rows)
    image = rng.uniform(0, 500, (n_rows, n_column)).astype("f4")
    variance = rng.uniform(5, 50, image.shape).astype("f4")
    good = rng.random(image.shape) > 0.2
    image[~good] = rng.choice([np.nan, 1e9, -5], np.count_nonzero(~good))
    alive = np.arange(10) != 6
    found = extract(image, variance, good, weights, alive)
    for x in range(n_column):
        matrix = dense(weights, x, n_rows)
        here, ivar = matrix[good[:, x]][:, alive], 1 / variance[good[:, x], x]
        precision = (here.T * ivar) @ here
        expected = np.linalg.solve(precision, here.T @ (ivar * image[good[:, x], x]))
        np.testing.assert_allclose(found.spectrum[alive, x], expected, rtol=2e-4, atol=1e-3)
        np.testing.assert_allclose(found.variance[alive, x], np.diag(np.linalg.inv(precision)), rtol=1e-4)
        np.testing.assert_allclose(found.lost[:, x], 1 - matrix[good[:, x]].sum(axis=0), atol=1e-5)
        left = (image[good[:, x], x] - here @ expected) ** 2 * ivar
        rows = np.flatnonzero(good[:, x])
        for i, fiber in enumerate(np.flatnonzero(alive)):
            own = np.abs(rows - np.round(trace[fiber, x])) <= 4
            chi2 = left[own].sum() / (own.sum() - 1)
            np.testing.assert_allclose(found.chi2[fiber, x], chi2, rtol=1e-3, err_msg=str(i))
    assert np.isnan(found.spectrum[6]).all()
    assert np.isnan(found.variance[6]).all()
    assert np.isnan(found.chi2[6]).all()


def test_errors_are_right_also_beside_a_star_and_beside_masked_pixels() -> None:
    """Pulls of light that was put in, with the profile's far wings wider than the rows that second neighbours leave."""
    rng = np.random.default_rng(6)
    n_fiber, n_column, n_rows = 12, 3000, 130
    trace = traces(n_fiber, n_column, first=15)
    weights = first_guess(2.6, half=9).weights(trace, n_rows)
    light = np.full((n_fiber, n_column), 60.0)
    light[5] = 20000
    true = model_image(light, weights, n_rows)
    variance = (true + NOISE**2).astype("f4")
    image = (rng.poisson(true) + rng.normal(0, NOISE, true.shape)).astype("f4")
    good = np.ones(image.shape, bool)
    good[rng.random(image.shape) < 0.05] = False
    image[~good] = 1e5
    found = extract(image, variance, good, weights, np.ones(n_fiber, bool))
    pull = (found.spectrum - light) / np.sqrt(found.variance)
    clear = found.lost < 0.8
    for i in range(n_fiber):
        assert 0.95 < np.std(pull[i][clear[i]]) < 1.05, i
        assert abs(np.mean(pull[i][clear[i]])) < 0.08, i
    assert 0.95 < np.nanmean(found.chi2) < 1.05


def test_where_little_of_a_fiber_is_seen_nothing_is_known_but_its_neighbours_are_right() -> None:
    trace = traces(5, 20)
    weights = first_guess(2.1).weights(trace, 60)
    light = np.full((5, 20), 100.0)
    light[2] = 30000
    image = model_image(light, weights, 60)
    good = np.ones(image.shape, bool)
    for x in range(20):
        middle = round(trace[2, x])
        good[middle - 5 : middle + 6, x] = False
    found = extract(image, np.full_like(image, 9), good, weights, np.ones(5, bool))
    assert np.isnan(found.spectrum[2]).all()
    assert (found.lost[2] > 0.95).all()
    np.testing.assert_allclose(found.spectrum[[0, 1, 3, 4]], 100, rtol=1e-3)
    nothing = extract(image, np.full_like(image, 9), np.zeros_like(good), weights, np.ones(5, bool))
    assert np.isnan(nothing.spectrum).all()
    assert (nothing.lost == 1).all()
