"""Numbers of fibers: none shifted by one, and no guess where it cannot be told."""

import numpy as np
import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.calibration.fiber_numbers import number_fibers


def seen(gaps=(37, 75), dark=(), missing=(), faint=(), seed=1):
    """Return rows and numbers of the fibers that are seen, and which are faint."""
    steps = np.where(np.isin(np.arange(1, 112), gaps), 17.5, 8.74)
    there = ~np.isin(np.arange(112), missing)
    steps = np.where(there[1:], steps, steps - 8.74)
    rows = 24 + np.concatenate([[0], np.cumsum(steps)]) + np.random.default_rng(seed).normal(0, 0.15, 112)
    rows *= 1 + 4e-6 * rows  # distortion
    numbers = np.flatnonzero(there & ~np.isin(np.arange(112), dark))
    return rows[numbers], numbers, np.isin(numbers, faint)


@pytest.mark.parametrize(
    ("case", "named"),
    [
        ({}, ()),
        ({"gaps": (34, 74)}, ()),
        ({"gaps": (20, 101)}, ()),
        ({"dark": (50,)}, ()),
        ({"dark": (50, 51, 90)}, ()),
        ({"dark": (36,)}, ()),  # beside the gap
        ({"dark": (37,)}, (37,)),
        ({"gaps": (34, 75), "dark": (37,)}, (37,)),
        ({"faint": (0, 56, 111)}, ()),
        ({"gaps": (34, 74), "missing": (20,)}, (20,)),
        ({"gaps": (34, 74), "missing": (20,), "dark": (60,)}, (20, 60)),
        ({"missing": (33,), "faint": (57,)}, (33, 57)),
        ({"missing": (33,), "faint": (57,)}, (33,)),
        ({"dark": (0,)}, (0,)),
        ({"dark": (0, 111)}, (0, 111)),
        ({"missing": (3, 80)}, (3, 80)),
        ({"missing": (34,), "gaps": (34, 74)}, (34,)),
    ],
)
def test_each_trace_has_its_number(case, named):
    rows, numbers, faint = seen(**case)
    found = number_fibers(rows, faint, named)
    np.testing.assert_array_equal(found.seen, numbers)
    assert set(found.dark) | set(found.missing) == set(range(112)) - set(numbers.tolist())


def test_a_dark_fiber_has_its_place_between_others():
    rows, _, faint = seen(dark=(50, 51))
    found = number_fibers(rows, faint)
    assert found.dark == {50: (49, 1), 51: (49, 2)}
    assert found.gaps == (37, 75)


@pytest.mark.parametrize(
    ("case", "named", "message"),
    [
        ({"gaps": (34, 74), "missing": (20,)}, (), "found 111 fibers.* 33, 40, 38; 1 of 112 lacking"),
        ({"missing": (20,)}, (), "36, 38, 37; 1 of 112 lacking.*bad.fibers"),
        ({"dark": (0,)}, (), "1 of 112 lacking"),
        ({"gaps": (34, 75), "dark": (37,)}, (), r"after fibers 34 and 75 with fibnum 38 dark|after fibers 38 and 75"),
        ({"gaps": (34, 74), "missing": (20,)}, (20, 25), "that may be"),
        ({"missing": (3, 50, 80)}, range(112), "too many to try"),
        ({"gaps": (75,)}, (), "expected two wider gaps"),
        ({"dark": tuple(range(60, 75))}, (), "expected two wider gaps"),
        ({"dark": tuple(range(0, 60))}, (), "is the amplifier dead"),
    ],
)
def test_what_cannot_be_told_is_an_error_that_says_what_was_found(case, named, message):
    rows, _, faint = seen(**case)
    with pytest.raises(InputError, match=message):
        number_fibers(rows, faint, named)


def test_a_ghost_is_no_fiber():
    rows, _, faint = seen()
    with pytest.raises(InputError, match="at most 112"):
        number_fibers(np.append(rows, rows[-1] + 8.74), np.append(faint, True))
    with pytest.raises(InputError, match=r"expected them 8\.7"):
        number_fibers(np.insert(rows, 51, rows[50] + 4), np.insert(faint, 51, False))
