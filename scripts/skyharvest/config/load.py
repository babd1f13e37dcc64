"""The configuration: defaults, types and checks, from ``config/schema/config.schema.yaml``.

Snakemake imports this module whenever it parses the workflow: it stays light.
"""

import contextlib
import copy
import difflib
import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

import yaml

from skyharvest.config.check import FROM_CATALOGUE, Problem, cross_problems, dotted, show
from skyharvest.core.errors import InputError
from skyharvest.core.paths import expand_user
from skyharvest.core.words import nearest
from skyharvest.harvest.releases import REGISTRY

SCHEMA = REGISTRY.parent / "schema" / "config.schema.yaml"

_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "false": False,
    "no": False,
    "off": False,
}  # YAML 1.1's booleans
_NULLS = ("", "null", "none", "~")
_KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list, like [main]",
    "object": "a group of keys",
    "null": "null",
}
_RULES = {
    "not": "that is the name of a survey's own group: choose another",
    "minLength": "it must not be empty",
    "minItems": "it must not be empty",
    "uniqueItems": "something is listed twice",
    "exclusiveMinimum": "expected more than {rule}",
    "minimum": "expected at least {rule}",
    "maximum": "expected at most {rule}",
}


def load_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the configuration; every key has a description, most a default."""
    schema: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return schema


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with every key filled in and every value of its type.

    Strings are turned into the numbers, booleans and nulls that the schema wants, because all that comes through
    Snakemake's ``--config key='{nested: value}'`` arrives as strings. A section that is empty in the YAML file is all
    defaults.

    Parameters
    ----------
    config
        As Snakemake or a YAML file gives it; it is not changed.

    Raises
    ------
    InputError
        Lists everything that is wrong, each with its key, what was found, and what is valid.
    """
    import jsonschema  # noqa: PLC0415 (0.15 s that importing this module should not cost)

    schema = load_schema()
    filled: dict[str, Any] = _fill(config, schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(filled)
    problems = [problem for error in errors for problem in _explain(error, schema)]
    problems += _text_problems("", filled)
    if isinstance(filled, dict):
        problems += cross_problems(filled, {key for key, _ in problems}, schema)
    if problems:
        lines = [f"  {key}: {text}" for key, text in sorted(set(problems))]
        raise InputError("\n".join([f"the configuration has {len(lines)} problem(s):", *lines]))
    filled["results"] = str(expand_user(filled["results"]))
    filled["targets"]["csv"] = str(expand_user(filled["targets"]["csv"]))
    if filled["hetdex"]["detections"]["detectids"] not in (None, FROM_CATALOGUE):
        filled["hetdex"]["detections"]["detectids"] = str(expand_user(filled["hetdex"]["detections"]["detectids"]))
    if filled["desi"]["globus"]["local"]:
        filled["desi"]["globus"]["local"] = str(expand_user(filled["desi"]["globus"]["local"]))
    return filled


def digest(config: dict[str, Any]) -> str:
    """Return 16 hex digits that change when the content of the results may.

    Parameters
    ----------
    config
        As `validate` returns it. Where the results are written, and how and from which copy the archive is read, do
        not count.
    """
    content = copy.deepcopy(config)
    content.pop("results", None)
    content.pop("connections", None)
    for section in content.values():
        section.pop("archive", None)
        section.pop("transfer", None)
        section.pop("read_again", None)
        section.pop("globus", None)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _fill(value: Any, schema: dict[str, Any]) -> Any:
    """Return a copy of the value with the schema's defaults and types; what cannot be converted stays as it is."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "object" in kinds:
        value = {} if value is None or value == "" else value  # a section whose keys are all commented out
        if not isinstance(value, dict):
            return value
        filled = {key: _fill(given, schema["properties"].get(key, {})) for key, given in value.items()}
        for key, inner in schema["properties"].items():
            if key not in filled and ("default" in inner or inner.get("type") == "object"):
                filled[key] = _fill(copy.deepcopy(inner["default"]) if "default" in inner else {}, inner)
        return {key: filled[key] for key in [*schema["properties"], *filled] if key in filled}
    if isinstance(value, list):
        return [_fill(item, schema.get("items", {})) for item in value]
    return _convert(value, kinds)


def _convert(value: Any, kinds: list[str]) -> Any:
    """Return a scalar as the type that is wanted, or as it is."""
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _NULLS and "null" in kinds:
        return None
    if "boolean" in kinds:
        return _WORDS.get(word, value) if word else value
    if isinstance(value, bool):
        return value
    if "string" in kinds:
        return str(value) if isinstance(value, int) else value  # YAML reads a column or directory 2024 as a number
    if isinstance(value, str | int | float) and ("number" in kinds or "integer" in kinds):
        convert = float if "number" in kinds else int
        with contextlib.suppress(ValueError, OverflowError):
            number = convert(value)
            return number if isinstance(value, str) or number == value else value
    return value


def _explain(error: Any, schema: dict[str, Any]) -> Iterator[Problem]:
    """Yield what a `jsonschema.ValidationError` says in a person's words, with the nearest valid key or value."""
    key = ".".join(map(str, error.absolute_path))
    rule = error.validator_value
    found = show(error.instance)
    if error.validator == "additionalProperties":
        valid = error.schema["properties"]
        for extra in error.instance.keys() - valid.keys():
            yield dotted(key, extra), _unknown_key(str(extra), list(valid), schema)
    elif error.validator == "required":
        for missing in set(rule) - error.instance.keys():
            what = error.schema["properties"][missing]["description"]
            yield dotted(key, missing), f"missing, and it has no default; expected: {what}"
    elif error.validator == "type":
        kinds = [rule] if isinstance(rule, str) else rule
        yield key or "the file", f"found {found}; expected {' or '.join(_KINDS[kind] for kind in kinds)}"
    elif error.validator == "enum":
        yield key, f"found {found}{nearest(str(error.instance), [value or 'null' for value in rule])}"
    elif error.validator == "pattern":
        yield key, f"found {found}; expected: {error.schema['description']}"
    else:
        yield key, f"found {found}; {_RULES[error.validator].format(rule=rule)}"


def _unknown_key(extra: str, valid: list[str], schema: dict[str, Any]) -> str:
    """Say what an unknown key may have been meant to be: one beside it, or one that belongs elsewhere."""
    if not difflib.get_close_matches(extra.lower(), valid, n=1):
        elsewhere = [path for path in _keys(schema) if path.rpartition(".")[2] == extra]
        if elsewhere:
            return f"unknown key here; did you mean {' or '.join(elsewhere)}?"
    return f"unknown key{nearest(extra, valid)}"


def _keys(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys."""
    for key, inner in schema.get("properties", {}).items():
        yield dotted(prefix, key)
        yield from _keys(inner, dotted(prefix, key))


def _text_problems(key: str, value: Any) -> Iterator[Problem]:
    """Yield what no schema says: numbers that are not finite, characters that no path or column name should have."""
    if isinstance(value, dict):
        for inner, given in value.items():
            yield from _text_problems(dotted(key, inner), given)
    elif isinstance(value, list):
        for number, given in enumerate(value):
            yield from _text_problems(dotted(key, number), given)
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, f"found {value}; expected a finite number"
    elif isinstance(value, str) and not value.isprintable():
        yield key, f"found {show(value)}; it holds a line break or another control character"
