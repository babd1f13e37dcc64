"""Limits are what a person edits: what is wrong in them is said, and what they say judges."""

import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.qa.definitions import DEFINITIONS, definition_of
from skyharvest.reduction.desi.qa.limits import DEFAULT, Limits, read_limits
from skyharvest.reduction.desi.qa.measured import Metric
from skyharvest.reduction.limits import BAD, OK, WARN, state_of


@pytest.mark.parametrize(
    ("value", "state"), [(2.0, OK), (1.0, OK), (3.0, OK), (3.001, WARN), (0.999, WARN), (0.499, BAD), (9.0, BAD)]
)
def test_a_value_on_a_limit_is_within_it(value, state):
    assert state_of(value, {"warn": (1.0, 3.0), "bad": (0.5, 5.0)}) == state


def test_no_limit_judges_nothing_and_what_is_no_number_is_beyond_each():
    assert state_of(1e9, {}) == OK
    assert state_of(-1e9, {"bad": (None, 1.0)}) == OK
    assert state_of(float("nan"), {"bad": (None, 1.0)}) == BAD


def test_a_metric_without_a_value_is_bad_though_it_has_no_limits():
    judged = Limits({}).judge("SKYSUB-MISSING", Metric(None, at="there is no sky"), "b", "science")
    assert (judged.state, judged.limits, judged.at) == (BAD, {}, "there is no sky")


def own(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return read_limits(path)


def test_an_own_file_stands_over_the_default_level_by_level(tmp_path):
    limits = own(tmp_path, "SKYSUB-CHI2: {bad: [null, 3]}\nEXTRACT-NDEAD: {}\n")
    default = read_limits().find("SKYSUB-CHI2", "b", "science")
    assert limits.find("SKYSUB-CHI2", "b", "science") == default | {"bad": (None, 3)}
    limits = own(tmp_path, "EXTRACT-CHI2: {obstypes: {flat: {bad: [null, 5]}}}")
    assert limits.find("EXTRACT-CHI2", "b", "science") == read_limits().find("EXTRACT-CHI2", "b", "science") != {}
    assert limits.find("EXTRACT-CHI2", "b", "flat")["bad"] == (None, 5)
    limits = own(tmp_path, "EXTRACT-NDEAD: {}")
    assert limits.find("EXTRACT-NDEAD") == {}
    assert limits.find("SKYSUB-MED_RESID") == read_limits().find("SKYSUB-MED_RESID") != {}


def test_arms_types_and_amplifiers_have_limits_of_their_own(tmp_path):
    limits = own(
        tmp_path,
        """
        EXTRACT-CHI2:
          warn: [null, 1.5]
          bad: [null, 2]
          arms: {z: {bad: [null, 4]}}
          obstypes: {flat: {bad: [null, 9]}}
        PREPROC-READNOISE: {bad: [null, 10]}
        PREPROC-READNOISE_C: {bad: [null, 20]}
        """,
    )
    assert limits.find("EXTRACT-CHI2", "b", "science") == {"warn": (None, 1.5), "bad": (None, 2)}
    assert limits.find("EXTRACT-CHI2", "z", "science") == {"warn": (None, 1.5), "bad": (None, 4)}
    assert limits.find("EXTRACT-CHI2", "z", "flat")["bad"] == (None, 9)
    assert limits.find("PREPROC-READNOISE_A")["bad"] == (None, 10)
    assert limits.find("PREPROC-READNOISE_C")["bad"] == (None, 20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SKYSUB-CHI3: {bad: [null, 3]}", "there is no metric SKYSUB-CHI3: expected one of SKYSUB-MISSING"),
        ("SKYSUB-CHI2_A: {}", "there is no metric SKYSUB-CHI2_A"),
        ("SKYSUB-CHI2: {worse: [null, 3]}", "SKYSUB-CHI2: there is no key worse: expected bad, warn, arms, obstypes"),
        ("SKYSUB-CHI2: {bad: 3}", "SKYSUB-CHI2, bad: found 3, expected [low, high]"),
        ("SKYSUB-CHI2: {bad: [3, 1]}", "SKYSUB-CHI2, bad: found [3, 1], expected [low, high]"),
        ("SKYSUB-CHI2: {bad: [null, true]}", "SKYSUB-CHI2, bad: found [None, True]"),
        ("SKYSUB-CHI2: {arms: {x: {bad: [1, 2]}}}", "SKYSUB-CHI2, arms: there is no key x: expected b, r, z"),
        ("SKYSUB-CHI2: {arms: {b: {arms: {}}}}", "SKYSUB-CHI2, arms, b: there is no key arms: expected bad, warn"),
        ("SKYSUB-CHI2: 3", "SKYSUB-CHI2: found 3, expected some of bad, warn, arms, obstypes"),
        ("- a", "expected keys and values, found list"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, said):
    with pytest.raises(InputError) as caught:
        own(tmp_path, text)
    assert said in str(caught.value)
    assert "own.yaml" in str(caught.value)


def test_the_default_has_limits_of_each_qatype_and_warns_before_it_is_bad():
    limits = read_limits(default=DEFAULT)
    kinds = {name.partition("-")[0] for name in DEFINITIONS}
    assert {name.partition("-")[0] for name in limits.of} >= kinds - {"NIGHT"}
    for name in limits.of:
        definition_of(name)
        found = limits.find(name)
        (low, high), (bad_low, bad_high) = found.get("warn", (None, None)), found.get("bad", (None, None))
        assert low is None or bad_low is None or bad_low <= low, name
        assert high is None or bad_high is None or high <= bad_high, name
