"""The configuration: defaults, types and checks, from ``config/schema/config.schema.yaml``.

Snakemake imports this module whenever it parses the workflow: it stays light.
"""

import contextlib
import copy
import difflib
import functools
import hashlib
import json
import math
import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from skyharvest.errors import InputError
from skyharvest.globuspath import path_problem
from skyharvest.hetdexbits import mask_bits
from skyharvest.releases import (
    GLOBUS,
    REGISTRY,
    TRANSPORTS,
    Archived,
    HetdexRelease,
    Release,
    expand_user,
    load_registry,
    nearest,
    survey_of,
    wrong_survey,
)

SCHEMA = REGISTRY.parent / "schema" / "config.schema.yaml"
NOT_BUILT = ("legacysurvey",)

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

Problem = tuple[str, str]
"""Dotted key, and what is wrong with it."""


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
        problems += _cross_problems(filled, {key for key, _ in problems})
    if problems:
        lines = [f"  {key}: {text}" for key, text in sorted(set(problems))]
        raise InputError("\n".join([f"the configuration has {len(lines)} problem(s):", *lines]))
    filled["results"] = str(expand_user(filled["results"]))
    filled["targets"]["csv"] = str(expand_user(filled["targets"]["csv"]))
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
                filled[key] = inner["default"] if "default" in inner else _fill({}, inner)
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
    found = _show(error.instance)
    if error.validator == "additionalProperties":
        valid = error.schema["properties"]
        for extra in error.instance.keys() - valid.keys():
            yield _dotted(key, extra), _unknown_key(str(extra), list(valid), schema)
    elif error.validator == "required":
        for missing in set(rule) - error.instance.keys():
            what = error.schema["properties"][missing]["description"]
            yield _dotted(key, missing), f"missing, and it has no default; expected: {what}"
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
        yield _dotted(prefix, key)
        yield from _keys(inner, _dotted(prefix, key))


def _text_problems(key: str, value: Any) -> Iterator[Problem]:
    """Yield what no schema says: numbers that are not finite, characters that no path or column name should have."""
    if isinstance(value, dict):
        for inner, given in value.items():
            yield from _text_problems(_dotted(key, inner), given)
    elif isinstance(value, list):
        for number, given in enumerate(value):
            yield from _text_problems(_dotted(key, number), given)
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, f"found {value}; expected a finite number"
    elif isinstance(value, str) and not value.isprintable():
        yield key, f"found {_show(value)}; it holds a line break or another control character"


def _cross_problems(config: dict[str, Any], bad: set[str]) -> Iterator[Problem]:
    """Yield what is wrong between keys, or beyond the schema's reach, leaving out keys that are bad in themselves."""

    def get(key: str) -> Any:
        parts = key.split(".")
        if any(".".join(parts[:n]) in bad for n in range(1, len(parts) + 1)):
            return None
        return functools.reduce(operator.getitem, parts, config)

    radius, report = get("match.radius_arcsec"), get("match.report_radius_arcsec")
    if radius and report and report < radius:
        yield "match.report_radius_arcsec", f"found {report:g}; expected at least match.radius_arcsec, {radius:g}"
    if get("targets.ra") and get("targets.ra") == get("targets.dec"):
        yield "targets.dec", f"found {get('targets.dec')!r}, the same column as targets.ra"
    for key in ("targets.csv", "results", "desi.globus.local"):
        if "://" in (get(key) or ""):
            yield key, f"found {_show(get(key))}; expected a path on this machine"
    for survey in NOT_BUILT:
        if get(f"{survey}.enabled"):
            yield f"{survey}.enabled", "found true, but this survey is not built yet: set it to false"
    registry = load_registry()
    for kind in (Release, HetdexRelease):
        yield from _release_problems(kind, get(f"{kind.survey}.release"), get(f"{kind.survey}.archive"), registry)
    if get("desi.archive") == GLOBUS and get("desi.globus"):
        given = {key: value for key, value in config["desi"]["globus"].items() if f"desi.globus.{key}" not in bad}
        release = get("desi.release")
        yield from _globus_problems(given, public=release not in registry or "globus" in registry[release])
    for key in ("hetdex.exclude_bits", "hetdex.keep_bits", "hetdex.include_only_bits"):
        bits = get(key) or []
        for number, name in enumerate([bits] if isinstance(bits, str) else bits):
            if f"{key}.{number}" not in bad and (problem := _bit_problem(name)):
                yield key, problem


def _release_problems(
    kind: type[Archived], release: str | None, archive: str | None, registry: dict[str, Any]
) -> Iterator[Problem]:
    """Yield what is wrong with a survey's release and archive, which are None where they are bad in themselves."""
    survey = kind.survey
    names = [name for name, entry in registry.items() if survey_of(entry) == survey]
    if release and release not in registry:
        of_specprod = [name for name in names if registry[name].get("specprod") == release]
        near = f"; did you mean {of_specprod[0]!r}?" if of_specprod else _suggest(release, names)
        yield f"{survey}.release", f"found {_show(release)}{near}; config/{REGISTRY.name} has: {', '.join(names)}"
    elif release and release not in names:
        yield f"{survey}.release", f"found {_show(release)}, {wrong_survey(release, registry, survey)}"
    elif release and archive in TRANSPORTS and archive in kind.ways and archive not in registry[release]["roots"]:
        roots = ", ".join(registry[release]["roots"]) or "none"
        yield (
            f"{survey}.archive",
            f"found {archive!r}, which release {release!r} does not have (in config/{REGISTRY.name}: {roots}); "
            f"give the path or URL of a mirror, the directory that holds {kind.holds}",
        )
    if archive and (problem := _archive_problem(archive, kind.ways)):
        yield f"{survey}.archive", problem


def _bit_problem(name: str) -> str | None:
    try:
        mask_bits(name)
    except InputError as error:
        return str(error)
    return None


def _globus_problems(given: dict[str, Any], *, public: bool) -> Iterator[Problem]:
    """Yield what a copy by Globus lacks.

    Parameters
    ----------
    given
        The keys of desi.globus that are good in themselves.
    public
        Whether the release has a collection of its own, so that the source need not be named.
    """
    described = load_schema()["properties"]["desi"]["properties"]["globus"]["properties"]
    source = ("source_endpoint", "source_path")
    asked_for = ["endpoint", "path", "local"]
    if not public or any(given.get(key) for key in source):
        asked_for += source
    for key, value in given.items():
        if value is None and key in asked_for:
            yield f"desi.globus.{key}", f"missing; archive: globus needs it. Expected: {described[key]['description']}"
        elif value is not None and key in ("path", "source_path") and (problem := path_problem(value)):
            yield f"desi.globus.{key}", problem


def _archive_problem(archive: str, ways: Sequence[str]) -> str | None:
    """Return what is wrong with where a release is to be read from, whichever release it is.

    Parameters
    ----------
    archive
        The setting.
    ways
        What it may say besides a path or URL.
    """
    if "://" in archive:
        return _url_problem(archive, ways)
    if archive in ways or expand_user(archive).is_dir():
        return None
    if "/" in archive:
        return f"found {archive!r}, but there is no such directory (the working directory is {Path.cwd()})"
    return (
        f"found {archive!r}{_suggest(archive, list(ways))}; expected {_either(ways)}, or the path or URL of a mirror "
        "(and there is no directory of that name here)"
    )


def _url_problem(url: str, ways: Sequence[str]) -> str | None:
    """Return what is wrong with a mirror's address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises where it is not a number
    except ValueError as error:
        return f"found {_show(url)}, which is not a valid URL: {error}"
    if "@" in parts.netloc:
        return f"found {_show(url)}: no user names or passwords in a configuration, which ends up in logs and results"
    if parts.scheme not in ("http", "https") or not host:
        return (
            f"found {_show(url)}; expected {_either(ways)}, a path, or an address that begins with https:// or http://"
        )
    if parts.query or parts.fragment:
        return f"found {_show(url)}; expected an address without ? and #, to which paths can be added"
    return None


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _suggest(word: str, valid: list[str]) -> str:
    found = difflib.get_close_matches(word.lower(), valid, n=1, cutoff=0.7)  # dr2 is no misspelt edr
    return f"; did you mean {found[0]!r}?" if found else ""


def _show(value: Any) -> str:
    """Return a value for a message, without the user name and password of a URL."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    scheme, colon, rest = text.partition("://")
    if colon and "@" in rest:
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return text


def _dotted(prefix: str, key: object) -> str:
    return f"{prefix}.{key}" if prefix else str(key)
