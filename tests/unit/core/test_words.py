"""Numbers and names as messages say them."""

import pytest

from skyharvest.core.words import counted, duration, megabytes, nearest


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (99, "99 s"), (100, "2 min"), (3570, "1 h 0 min"), (11520, "3 h 12 min"), (200_000, "2 d 8 h")],
)
def test_durations_are_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_things_are_counted_in_the_singular_and_in_the_plural():
    said = [counted(number, "error") for number in (0, 1, 2, 1234)]
    assert said == ["0 errors", "1 error", "2 errors", "1,234 errors"]
    assert megabytes(1_234_567_890) == "1,234.6 MB"


def test_the_nearest_word_is_named_or_else_all():
    assert nearest("Radus", ["radius", "report_radius"]) == "; did you mean 'radius'?"
    assert nearest("xyz", {"radius": 1, "batch": 2}) == "; expected one of: radius, batch"
