"""What is wrong with the values of a section: pydantic's errors in a person's words."""

import difflib
import functools
from collections.abc import Iterator
from typing import Any

from skyharvest.core.settings import Setting, describe, leaves
from skyharvest.core.words import nearest, show
from skyharvest.harvest.settings import Problem

_KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list, like [main]",
    "null": "null",
}
_PYTHON: dict[str, type] = {"string": str, "array": list, "null": type(None)}
_MESSAGES = {
    "string_too_short": "it must not be empty",
    "too_short": "it must not be empty",
    "greater_than": "expected more than {gt:g}",
    "greater_than_equal": "expected at least {ge:g}",
    "less_than_equal": "expected at most {le:g}",
    "value_error": "{error}",
}


def type_problems(kind: type, value: Any) -> Iterator[Problem]:
    """Yield what pydantic finds wrong with a section, in a person's words, with the nearest valid key or value.

    The key of the section itself is empty.
    """
    from pydantic import ValidationError  # noqa: PLC0415 (0.2 s that jobs need not pay)

    try:
        _adapter(kind).validate_python(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            yield from _explain(kind, detail)


@functools.cache
def _adapter(kind: type) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415 (see above)

    return TypeAdapter(kind)


def _explain(section: type, detail: Any) -> Iterator[Problem]:
    """Yield what one of pydantic's errors says."""
    kind, at, value = detail["type"], section, detail["input"]
    said: Setting | None = None
    path: list[Any] = []
    for part in detail["loc"]:
        if said is None:
            path.append(part)
            inner = describe(at).get(part)
            if isinstance(inner, type):
                at = inner
            else:
                said = inner
        elif isinstance(part, int):  # and not the name of a type, where there are several
            path.append(part)
            said = said.each
    key = ".".join(map(str, path))
    if kind == "dataclass_type":
        yield key, f"found {show(value)}; expected a group of keys"
    elif kind == "missing":
        wanted = [(key, said)] if said else leaves(at, f"{key}.")
        yield from ((leaf, f"missing, and it has no default; expected: {about.meaning}") for leaf, about in wanted)
    elif said is None:
        yield key, _unknown_key(str(path[-1]), at, section)
    elif kind == "literal_error":
        valid = [*said.choices, *(["null"] if "null" in said.kinds else [])]
        yield key, f"found {show(value)}{nearest(str(value), valid)}"
    elif kind == "string_pattern_mismatch":
        yield key, f"found {show(value)}; expected: {said.meaning}"
    elif kind in _MESSAGES:
        yield key, f"found {show(value)}; {_MESSAGES[kind].format(**detail.get('ctx', {}))}"
    elif not any(isinstance(value, _PYTHON.get(one, bytes)) for one in said.kinds):  # of another type than all of these
        yield key, f"found {show(value)}; expected {' or '.join(_KINDS[one] for one in said.kinds)}"


def _unknown_key(extra: str, at: type, section: type) -> str:
    """Say what an unknown key may have been meant to be: one beside it, or one that belongs elsewhere."""
    valid = list(describe(at))
    if not difflib.get_close_matches(extra.lower(), valid, n=1):
        elsewhere = [key for key in _keys(section) if key.rpartition(".")[2] == extra]
        if elsewhere:
            return f"unknown key here; did you mean {' or '.join(elsewhere)}?"
    return f"unknown key{nearest(extra, valid)}"


def _keys(kind: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys."""
    for key, inner in describe(kind).items():
        yield f"{prefix}{key}"
        if not isinstance(inner, Setting):
            yield from _keys(inner, f"{prefix}{key}.")
