"""The kernels of HETDEX's reduction that are compiled, each against the same in numpy or astropy.

One amplifier of 112 fibers and 1032 × 1032 pixels, one thread, kernels compiled before; the results are compared, too.
"""

import os
import sys

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


import astropy.stats
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lib import measure, report
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.calibration.traps import find_traps
from skyharvest.reduction.hetdex.detector.extraction import Weights, extract, model_image
from skyharvest.reduction.hetdex.detector.profile import STEPS, Profile, first_guess

N, N_FIBER, N_FRAMES = 1032, 112, 15
TIMES = 3
GOAL = 2.0


def fibers() -> tuple[np.ndarray, Profile]:
    """Return traces, and a profile on a grid of 8 × 8."""
    rng = np.random.default_rng(1)
    spacing = np.where(np.isin(np.arange(N_FIBER), [0, 37, 75]), 17.5, 8.74)
    trace = 6.5 + np.cumsum(spacing)[:, None] + rng.normal(0, 0.1, (N_FIBER, 1)) + 4 * np.linspace(-1, 1, N) ** 2
    values = np.array([[first_guess(sigma).values[0, 0] for sigma in 2 + 0.05 * np.arange(8)] for _ in range(8)])
    return trace, Profile(values, np.linspace(64, 967, 8), np.linspace(6.5, 104.5, 8))


def weights_in_numpy(profile: Profile, trace: np.ndarray) -> np.ndarray:
    """Return the weights of all fibers."""
    n = 2 * profile.half + 1
    rows = np.floor(trace + 0.5).astype(int) - profile.half
    place = (rows[..., None] + np.arange(n) - trace[..., None]) * STEPS + (profile.values.shape[-1] - 1) / 2
    j = np.clip(place.astype(int), 0, profile.values.shape[-1] - 2)
    part = place - j
    y, x = np.arange(N_FIBER), np.arange(N)
    a = np.clip(np.searchsorted(profile.y, y, "right") - 1, 0, 6)
    b = np.clip(np.searchsorted(profile.x, x, "right") - 1, 0, 6)
    of_y = ((y - profile.y[a]) / (profile.y[a + 1] - profile.y[a]))[:, None, None]
    of_x = ((x - profile.x[b]) / (profile.x[b + 1] - profile.x[b]))[None, :, None]

    def at(up: int, right: int) -> np.ndarray:
        table = profile.values[(a + up)[:, None, None], (b + right)[None, :, None], j]
        after = profile.values[(a + up)[:, None, None], (b + right)[None, :, None], j + 1]
        return table * (1 - part) + after * part

    low = (1 - of_x) * at(0, 0) + of_x * at(0, 1)
    high = (1 - of_x) * at(1, 0) + of_x * at(1, 1)
    values = np.clip((1 - of_y) * low + of_y * high, 0, None)
    values /= values.sum(axis=-1, keepdims=True)
    return np.where((rows[..., None] + np.arange(n) >= 0) & (rows[..., None] + np.arange(n) < N), values, 0)


def extract_in_numpy(image: np.ndarray, variance: np.ndarray, good: np.ndarray, weights: Weights) -> tuple:
    """Return spectra and variances, all columns at once, fiber after fiber."""
    n_row = weights.values.shape[2]
    rows = np.clip(weights.rows[..., None] + np.arange(n_row), 0, N - 1)
    column = np.arange(N)[None, :, None]
    inverse = np.where(good, 1 / variance, 0)[rows, column]
    w = weights.values.astype(float)
    right, diagonal = (w * inverse * image[rows, column]).sum(-1), (w * w * inverse).sum(-1)
    off = np.zeros((N_FIBER - 1, N))
    step = weights.rows[1:] - weights.rows[:-1]
    for k in range(n_row):
        j = k + step  # the same row in the fiber below
        below = np.take_along_axis(w[:-1], np.minimum(j, n_row - 1)[..., None], -1)[..., 0]
        off += np.where(j < n_row, below * w[1:, :, k] * inverse[1:, :, k], 0)
    down, up = diagonal.copy(), diagonal.copy()
    for i in range(1, N_FIBER):
        factor = off[i - 1] / down[i - 1]
        down[i] -= factor * off[i - 1]
        right[i] -= factor * right[i - 1]
    for i in range(N_FIBER - 2, -1, -1):
        up[i] -= off[i] ** 2 / up[i + 1]
    spectrum = right / down
    for i in range(N_FIBER - 2, -1, -1):
        spectrum[i] -= off[i] / down[i] * spectrum[i + 1]
    left = image - model_in_numpy(spectrum, weights)
    chi2 = (left[rows, column] ** 2 * inverse)[..., 2:-2].sum(-1)
    return spectrum, 1 / (down + up - diagonal), chi2


def model_in_numpy(spectrum: np.ndarray, weights: Weights) -> np.ndarray:
    """Return the image of spectra."""
    rows = np.clip(weights.rows[..., None] + np.arange(weights.values.shape[2]), 0, N - 1)
    places = (rows * N + np.arange(N)[None, :, None]).ravel()
    return np.bincount(places, (spectrum[..., None] * weights.values).ravel(), N * N).reshape(N, N)


def traps_in_numpy(bias: np.ndarray, half: int = 9) -> list[int]:
    """Return the columns of traps."""
    near = np.delete(sliding_window_view(bias, 2 * half + 1, axis=1), half, axis=2)
    middle = np.median(near, axis=2)
    scatter = 1.4826 * np.median(np.abs(near - middle[..., None]), axis=2)
    bright = bias[:, half:-half] - middle > 10 * np.maximum(scatter, 0.8)
    return [int(x) + half for x in np.flatnonzero(bright.sum(axis=0) > 50)]


def main() -> int:
    """Measure and report."""
    rng = np.random.default_rng(2)
    frames = rng.normal(0, 3, (N_FRAMES, N, N)).astype("f4")
    trace, profile = fibers()
    weights = profile.weights(trace)
    spectrum = rng.uniform(500, 3000, trace.shape)
    light = model_image(spectrum, weights)
    image = rng.normal(light, np.sqrt(light + 9)).astype("f4")
    variance, good = light + 9, rng.random(light.shape) > 0.01
    alive = np.ones(N_FIBER, bool)
    bias = frames.mean(axis=0)
    bias[300:, 500] += 45

    np.testing.assert_allclose(
        biweight.location(frames[:, :50]), astropy.stats.biweight_location(frames[:, :50], axis=0), atol=1e-5
    )
    np.testing.assert_allclose(weights.values, weights_in_numpy(profile, trace), atol=1e-6)
    ours, theirs = extract(image, variance, good, weights, alive), extract_in_numpy(image, variance, good, weights)
    np.testing.assert_allclose(ours.spectrum, theirs[0], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(ours.variance, theirs[1], rtol=1e-4)
    np.testing.assert_allclose(light, model_in_numpy(spectrum, weights), rtol=1e-4, atol=1e-2)
    assert [trap.x for trap in find_traps(bias, 0.8)] == traps_in_numpy(bias) == [500]

    pairs = {
        f"biweight of {N_FRAMES} frames; astropy": (
            lambda: biweight.location(frames),
            lambda: astropy.stats.biweight_location(frames, axis=0),
        ),
        "weights of all fibers and columns; numpy": (
            lambda: profile.weights(trace),
            lambda: weights_in_numpy(profile, trace),
        ),
        "joint extraction, with χ²; numpy": (
            lambda: extract(image, variance, good, weights, alive),
            lambda: extract_in_numpy(image, variance, good, weights),
        ),
        "the image of spectra; numpy": (
            lambda: model_image(spectrum, weights),
            lambda: model_in_numpy(spectrum, weights),
        ),
        "charge traps; numpy's medians": (lambda: find_traps(bias, 0.8), lambda: traps_in_numpy(bias)),
    }
    rows = []
    for what, (compiled, plain) in pairs.items():
        own, other = measure.cpu_s(compiled, TIMES), measure.cpu_s(plain, 1)
        rows.append(report.Row(what, f"{own:.3f} s", f"{other:.2f} s", other / own, goal=GOAL))
    about = "CPU of one amplifier, 112 fibers on 1032 × 1032 pixels, one thread, without compiling."
    report.write_section(
        "hetdex_kernels", "Kernels of HETDEX's reduction", f"{report.comparison(rows)}\n\n{about}", part=""
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
