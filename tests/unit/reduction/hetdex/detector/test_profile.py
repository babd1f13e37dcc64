"""Profiles, against those that the light was painted with."""

import numpy as np
import pytest

from skyharvest.reduction.hetdex.detector.extraction import Weights, extract, model_image
from skyharvest.reduction.hetdex.detector.profile import Profile, first_guess, fit_profile

N_FIBER, N_COLUMN, N_ROWS, N_ROW = 30, 400, 290, 17


def true_trace() -> np.ndarray:
    u = np.linspace(-1, 1, N_COLUMN)
    spacing = np.where(np.arange(N_FIBER) == 12, 17.5, 8.74)
    return (6 + np.cumsum(spacing))[:, None] + 1.3 * u + 3 * u**2


def true_values(trace: np.ndarray, rows: np.ndarray, n_row: int, more: float = 0.0) -> np.ndarray:
    """Return a profile that is not a Gaussian, is wider where columns are many, and ``more`` so on its upper side."""
    pixel = (np.arange(9) - 4) / 9
    distance = rows[..., None, None] + np.arange(n_row)[:, None] + pixel - trace[..., None, None]
    sigma = 2.0 + 0.4 * np.linspace(0, 1, trace.shape[1])[:, None, None] ** 2 + np.where(distance > 0, more, 0)
    return np.exp(-0.5 * np.abs(distance / sigma) ** 2.35).mean(axis=-1)


def true_weights(trace: np.ndarray, more: float = 0.0) -> Weights:
    rows = np.floor(trace).astype(np.int32) - N_ROW // 2
    values = true_values(trace, rows, N_ROW, more)
    return Weights(rows, (values / values.sum(axis=-1, keepdims=True)).astype("f4"))


@pytest.mark.parametrize("more", [0.0, 0.15])
def test_profiles_are_those_of_the_light_also_where_neighbours_overlap(more: float) -> None:
    rng = np.random.default_rng(2)
    trace = true_trace()
    light = rng.uniform(0.6, 1.3, N_FIBER)[:, None] * np.geomspace(1500, 12000, N_COLUMN)
    light[20] = 0
    alive = light[:, 0] > 0
    true = model_image(light, true_weights(trace, more), N_ROWS)
    variance = (true + 9).astype("f4")
    image = (rng.poisson(true) + rng.normal(0, 3, true.shape)).astype("f4")
    image[100:114, 50:59] *= 0.45  # a defect as large as a fiber
    image[rng.random(image.shape) < 0.002] += 3000  # cosmic rays
    good = np.ones(image.shape, bool)
    profile = first_guess(2.3)
    for _ in range(4):
        found = extract(image, variance, good, profile.weights(trace, N_ROWS), alive)
        profile = fit_profile(image, variance, good, trace, alive, found.spectrum, profile, (2, 6))

    def off(weights: Weights) -> np.ndarray:
        total = true_values(trace, true_weights(trace).rows, N_ROW, more).sum(axis=-1, keepdims=True)
        return (weights.values - true_values(trace, weights.rows, 13, more) / total)[alive]

    # Where the middle of a profile is that is not the same on both sides is a matter of definition.
    weights = min(
        (profile.weights(trace - offset, N_ROWS) for offset in ([0] if not more else np.arange(-0.2, 0.2, 0.005))),
        key=lambda shifted: np.std(off(shifted)),
    )
    assert np.std(off(weights)) < 0.0015
    assert np.abs(off(weights).mean(axis=(0, 1))).max() < 0.0008
    np.testing.assert_allclose(weights.values.sum(axis=-1), 1, atol=1e-5)
    assert abs(np.nanmedian(found.spectrum[alive] / light[alive]) - 1) < 0.003


def test_weights_are_of_unit_sum_and_their_slopes_are_differences() -> None:
    trace = np.linspace(-3, 60, 50 * 40).reshape(50, 40)
    profile = first_guess(2.1)
    weights, slopes = profile.weights_and_slopes(trace, 58)
    inside = (weights.rows >= 0) & (weights.rows + 13 <= 58)
    np.testing.assert_allclose(weights.values.sum(axis=-1)[inside], 1, atol=1e-6)
    assert (weights.values.sum(axis=-1)[~inside] < 1).all()
    rows = weights.rows[..., None] + np.arange(13)
    assert (weights.values[(rows < 0) | (rows >= 58)] == 0).all()
    moved = profile.weights(trace + 1e-3, 58)
    same = inside & (moved.rows == weights.rows)
    assert same.mean() > 0.5
    np.testing.assert_allclose((moved.values - weights.values)[same] / 1e-3, slopes[same], atol=5e-3)


def test_between_and_beyond_its_places_a_profile_is_linear() -> None:
    narrow, broad = first_guess(1.8).values[0, 0], first_guess(2.4).values[0, 0]
    profile = Profile(np.array([[narrow, broad]]), np.array([10.0, 30.0]), np.array([0.0]))
    weights = profile.weights(np.full((3, 41), 100.0), 200)
    middle = first_guess(1.8).weights(np.full((1, 1), 100.0), 200).values[0, 0]
    edge = first_guess(2.4).weights(np.full((1, 1), 100.0), 200).values[0, 0]
    np.testing.assert_allclose(weights.values[2, 10], middle, atol=1e-5)
    np.testing.assert_allclose(weights.values[1, 20], (middle + edge) / 2, atol=1e-5)
    beyond = np.clip(1.5 * middle - 0.5 * edge, 0, None)
    np.testing.assert_allclose(weights.values[0, 0], beyond / beyond.sum(), atol=1e-4)


def test_without_light_there_is_no_profile() -> None:
    trace = true_trace()
    dark = np.zeros((N_ROWS, N_COLUMN), "f4")
    with pytest.raises(ValueError, match="found at most 0 usable pixels"):
        fit_profile(dark, dark + 9, dark == 0, trace, np.ones(N_FIBER, bool), np.zeros(trace.shape), first_guess(2.2))
