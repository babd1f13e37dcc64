"""Limits of values: those that are there, a user's own over them, and what is wrong in a file."""

import math

import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.calibration.drift_table import NUMBERS
from skyharvest.reduction.hetdex.qa.definitions import DEFINITIONS
from skyharvest.reduction.hetdex.qa.limits import read_limits
from skyharvest.reduction.hetdex.settings import Sky
from skyharvest.reduction.limits import BAD, OK, WARN, beyond


def test_a_value_on_a_limit_is_within_and_no_number_is_bad():
    limits = read_limits()
    assert [limits.judge("bias.rms", value) for value in (5.0, 5.01, 10.0, 10.01, 0.5, 0.49)] == [
        OK, WARN, WARN, BAD, WARN, BAD,
    ]  # fmt: skip
    assert limits.judge("bias.rms", math.nan) == BAD
    assert limits.judge("bias.level", math.nan) == OK, "it has no limits"
    assert beyond(14.0, limits.find("bias.rms"), BAD) == ("≤ 10", 0.8)


def test_factors_of_the_sky_can_be_beyond_their_limits():
    """One that is farther from 1 than sky.most_factor is told as 1."""
    limits, most = read_limits(), Sky().most_factor
    assert limits.judge("full_sky.factor", 1 + 0.99 * most) == WARN == limits.judge("full_sky.factor", 1 - 0.99 * most)


def test_an_own_file_is_laid_over_the_default(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("bias.rms: {bad: [null, 4]}\nstars.fwhm: {}\n")
    limits = read_limits(own)
    assert limits.judge("bias.rms", 4.5) == BAD
    assert limits.judge("bias.rms", 1.0) == WARN, "of the default"
    assert limits.judge("stars.fwhm", 9.0) == OK
    assert limits.judge("trace.n_alive", 50) == BAD


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bias.rmse: {}", "there is no value bias.rmse; did you mean 'bias.rms'"),
        ("bias.rms: {worse: [1, 2]}", "there is no key worse"),
        ("bias.rms: {bad: [2, 1]}", r"bad: found \[2, 1\]"),
        ("bias.rms: 3", "found 3, expected some of bad, warn"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path, text, said):
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(InputError, match=said):
        read_limits(own)


def test_all_that_drifts_is_defined():
    assert [name.removeprefix("drift.") for name in DEFINITIONS if name.startswith("drift.")] == list(NUMBERS)
