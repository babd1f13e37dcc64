"""Charge traps that were planted."""

import numpy as np

from skyharvest.reduction.hetdex.calibration.traps import Trap, find_traps


def bias(noise: float = 0.8, n_rows: int = 400, n_column: int = 300) -> np.ndarray:
    rng = np.random.default_rng(4)
    return (rng.normal(0, noise, (n_rows, n_column)) + rng.normal(0, 0.3, n_column)).astype("f4")


def test_traps_are_found_at_their_first_row_and_nothing_else_is():
    image = bias()
    image[120:, 150] += 45
    image[10:12, 150] += 45  # not of it
    image[:80, 4] += 30  # beside the edge, and read out downwards
    image[200:290, 220] += 25
    image[240:243, 220] -= 25  # for some rows it looks as the others
    image[10:50, 60] += 60  # too short
    image[:, 100] += 3  # a bright column
    image[300, :] += 500  # a bright row
    assert find_traps(image, 0.8) == [Trap(4, 0, 80), Trap(150, 120, 280), Trap(220, 200, 90)]


def test_thresholds_are_those_that_are_asked_for():
    image = bias()
    image[120:200, 150] += 6
    assert find_traps(image, 0.8) == []
    assert find_traps(image, 0.8, sigma=4)[0].x == 150
    image[120:200, 150] += 60
    assert find_traps(image, 0.8, rows=81) == []
    assert find_traps(image, 0.8, rows=79) == [Trap(150, 120, 80)]


def test_a_quiet_row_makes_no_trap_of_noise():
    image = np.zeros((200, 60), "f4")
    image[50:, 30] = 1.0
    assert find_traps(image, 0.8) == []
    assert find_traps(image, 0.05) == [Trap(30, 50, 150)]
