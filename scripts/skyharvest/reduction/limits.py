"""States of what is measured, and limits that tell them: what the quality of all reductions shares.

Light: it is imported whenever the workflow is parsed.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from skyharvest.core.errors import InputError

OK, WARN, BAD = "OK", "WARN", "BAD"
STATES = (OK, WARN, BAD)
"""States, from good to bad. What has no limits is `OK`."""
NONE = (None, None)
LEVELS = ("bad", "warn")
MOST_SEVERE = 1e6

Bounds = tuple[float | None, float | None]


def worst(states: Iterable[str]) -> str:
    """Return the worst of some states; `OK` of none."""
    return max(states, key=STATES.index, default=OK)


def state_of(value: float, limits: Mapping[str, Bounds]) -> str:
    """Return the state of a value: one on a limit is within it; one that is no number is BAD if there is a limit."""
    for level, state in (("bad", BAD), ("warn", WARN)):
        low, high = limits.get(level, NONE)
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            return state
    return OK


def beyond(value: float, limits: Mapping[str, Bounds], state: str) -> tuple[str, float]:
    """Return the limit that a value in a state is beyond, in words, and how far.

    Returns
    -------
    words
        What is within it: ``≤ 5``.
    severity
        In units of the distance between the limits of WARN and BAD, or else of the limit.
    """
    low, high = limits.get("bad" if state == BAD else "warn", NONE)
    other = limits.get("warn", NONE)
    side = 0 if low is not None and not value >= low else 1
    edge, inner = (low, high)[side], other[side]
    if edge is None:
        return "", 0.0
    scale = abs(edge - inner) if inner is not None and inner != edge else abs(edge) or 1.0
    far = MOST_SEVERE if math.isnan(value) else min(abs(value - edge) / scale, MOST_SEVERE)
    return f"{'≥' if side == 0 else '≤'} {edge:g}", far


def check_keys(place: str, said: Any, known: tuple[str, ...]) -> None:
    """Raise `InputError` unless what a file says at a place has keys, and these are known."""
    if not isinstance(said, dict):
        raise InputError(f"{place}: found {said!r}, expected some of {', '.join(known)}")
    if unknown := [str(key) for key in said if key not in known]:
        raise InputError(f"{place}: there is no key {unknown[0]}: expected {', '.join(known)}")


def check_levels(place: str, said: Mapping[str, Any]) -> dict[str, Bounds]:
    """Return the limits that a file has at a place: level → (low, high).

    Raises
    ------
    InputError
        If a pair is none, or its first number is above its second.
    """
    made: dict[str, Bounds] = {}
    for level, pair in said.items():
        numbers = isinstance(pair, list) and len(pair) == 2 and all(_is_bound(one) for one in pair)
        if not numbers or (None not in pair and pair[0] > pair[1]):
            raise InputError(f"{place}, {level}: found {pair!r}, expected [low, high]; null is no limit")
        made[level] = (pair[0], pair[1])
    return made


def _is_bound(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def bounds_in_words(bounds: Bounds) -> str:
    """Return limits as the tables of the documentation have them; "" if there are none."""
    low, high = bounds
    if low is not None and high is not None:
        return f"±{high:g}" if low == -high else f"{low:g} to {high:g}"
    if low is not None:
        return f"≥ {low:g}"
    return "" if high is None else f"≤ {high:g}"


def with_table(text: str, begin: str, table: str, end: str) -> str:
    """Return a page of the documentation with a table between two of its lines."""
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{table}\n\n{end}{rest.partition(end)[2]}"
