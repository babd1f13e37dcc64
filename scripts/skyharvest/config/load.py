"""The configuration: defaults, types and checks, from the settings of `skyharvest.config.settings`.

Snakemake imports this module whenever it parses the workflow: it stays light.
"""

import contextlib
import copy
import functools
import hashlib
import json
import math
from collections.abc import Collection, Iterator
from dataclasses import MISSING
from importlib import import_module
from pathlib import Path
from typing import Any

from skyharvest import surveys
from skyharvest.config import database
from skyharvest.config.explain import type_problems
from skyharvest.config.registry import load_registry
from skyharvest.config.settings import module, root
from skyharvest.core.errors import InputError
from skyharvest.core.paths import expand_user
from skyharvest.core.settings import Setting, describe, leaves
from skyharvest.core.words import show
from skyharvest.harvest.settings import Given, Problem, release_problems
from skyharvest.reduction.desi import settings as desi_reduction
from skyharvest.reduction.hetdex import settings as hetdex_reduction
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.targets.settings import TARGETID_AS_TEXT

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}  # YAML 1.1's booleans
SNAKEMAKES = "{}<>"
"""Characters that have a meaning in the paths of rules, and no way to be meant as they are."""

_NULLS = ("", "null", "none", "~")


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with every key filled in and every value of its type.

    Strings are turned into the numbers, booleans and nulls that the settings want, because all that comes through
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
    filled: dict[str, Any] = _fill(config, root())
    unfit = dict(_text_problems("", filled))  # whatever else is wrong with them
    problems = [(key, text) for key, text in type_problems(root(), filled) if key not in unfit] + [*unfit.items()]
    if isinstance(filled, dict):
        problems += _cross_problems(filled, {key for key, _ in problems})
    if problems:
        lines = [f"  {key or 'the file'}: {text}" for key, text in sorted(set(problems))]
        raise InputError("\n".join([f"the configuration has {len(lines)} problem(s):", *lines]))
    for key, said in leaves(root()):
        if said.path:
            *sections, last = key.split(".")
            within = functools.reduce(dict.__getitem__, sections, filled)
            within[last] = within[last] and str(expand_user(within[last]))
    return filled


def digest(config: dict[str, Any], survey: str) -> str:
    """Return 16 hex digits that change when the content of a survey's results may.

    Where the results are written, and how and from which copy the archive is read, do not count, nor what is set for
    other surveys. The CSV has a digest of its own: `skyharvest.targets.csv_path.content_digest`.

    Parameters
    ----------
    config
        As `validate` returns it.
    """
    kept = _outcome(config, root())
    keys = ("targets", survey, *(["match"] if surveys.SURVEYS[survey].by_radius else []))
    canonical = json.dumps({key: kept[key] for key in keys}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _outcome(section: dict[str, Any], kind: type) -> dict[str, Any]:
    """Return the settings of a section that the results depend on."""
    kept = {}
    for key, field in kind.__dataclass_fields__.items():  # type: ignore[attr-defined]
        if field.metadata["outcome"]:
            inner = describe(kind)[key]
            kept[key] = section[key] if isinstance(inner, Setting) else _outcome(section[key], inner)
    return kept


def _fill(value: Any, kind: type) -> Any:
    """Return a copy of a section with defaults and types; what cannot be converted stays as it is."""
    value = {} if value is None or value == "" else value  # a section whose keys are all commented out
    if not isinstance(value, dict):
        return value
    filled: dict[Any, Any] = {}
    for key, inner in describe(kind).items():
        if not isinstance(inner, Setting):
            filled[key] = _fill(value.get(key), inner)
        elif key in value or inner.default is not MISSING:
            filled[key] = _convert(copy.deepcopy(value.get(key, inner.default)), inner)
    return filled | {key: given for key, given in value.items() if key not in filled}


def _convert(value: Any, said: Setting) -> Any:
    """Return a value as the type that is wanted, or as it is."""
    kinds = said.kinds
    if isinstance(value, list):
        return [_convert(one, said.each) for one in value] if said.each else value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _NULLS and "null" in kinds:
        return None
    if "boolean" in kinds:
        return _WORDS.get(word or "", value)
    if "string" in kinds and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # YAML reads a column or directory 2024 as a number
    if isinstance(value, str | int | float) and not isinstance(value, bool) and {"number", "integer"} & {*kinds}:
        convert = float if "number" in kinds else int
        with contextlib.suppress(ValueError, OverflowError):
            number = convert(value)
            return number if isinstance(value, str) or number == value else value
    return value


def _text_problems(key: str, value: Any) -> Iterator[Problem]:
    """Yield what no type says: numbers that are not finite, characters that no path or column name should have."""
    if isinstance(value, dict | list):
        for inner, given in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _text_problems(f"{key}.{inner}" if key else str(inner), given)
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, f"found {value}; expected a finite number"
    elif isinstance(value, str) and not value.isprintable():
        yield key, f"found {show(value)}; it holds a line break or another control character"


def _cross_problems(config: dict[str, Any], bad: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong between keys, or beyond the reach of types; ``bad`` keys, already wrong, are left out."""
    given = Given(config, bad)
    radius, report = given("match.radius_arcsec"), given("match.report_radius_arcsec")
    if radius and report and report < radius:
        yield "match.report_radius_arcsec", f"found {report:g}; expected at least match.radius_arcsec, {radius:g}"
    if given("targets.ra") and given("targets.ra") == given("targets.dec"):
        yield "targets.dec", f"found {given('targets.dec')!r}, the same column as targets.ra"
    if given("targets.name") in surveys.NAMES:
        group = show(given("targets.name"))
        yield "targets.name", f"found {group}; that is the name of a survey's own group: choose another"
    if given("targets.targetid") and given("targets.targetid") in (given("targets.text") or ()):
        yield "targets.text", TARGETID_AS_TEXT.format(given("targets.targetid"))
    for key, said in leaves(root()):
        path = (given(key) or "") if said.path else ""
        if "://" in path:
            yield key, f"found {show(path)}; expected a path on this machine"
        elif taken := [character for character in SNAKEMAKES if character in path]:
            words = " and ".join(taken)
            yield key, f"found {show(path)}; it holds {words}, which Snakemake takes for names to fill in: rename it"
        elif path.startswith("-"):
            yield key, f"found {show(path)}, which programs take for an option: write ./{path}"
    harvested = [survey for survey in surveys.NAMES if given(f"{survey}.enabled")]
    if given("targets.csv") is None and "targets.csv" not in bad and harvested:
        yield "targets.csv", f"missing; expected the path of a CSV, as {harvested[0]}.enabled is true"
    sections = {"desi_reduction": desi_reduction, "hetdex_reduction": hetdex_reduction, "database": database}
    for name, section in ((name, given(name)) for name in sections if isinstance(given(name), dict)):
        yield from ((f"{name}.{key}", text) for key, text in sections[name].problems(section))
    registry = load_registry()
    made = {"hetdex": _own_release(given)}
    for survey in surveys.NAMES:
        own, of_survey = module(survey), given.of(survey)
        problems = [own.problems(of_survey, registry)] if hasattr(own, "problems") else []
        if "release" in describe(own.Settings):
            kind = import_module(f"{surveys.__name__}.{survey}.release").Release
            problems.append(release_problems(kind, of_survey, registry, made.get(survey)))
        yield from ((f"{survey}.{key}", text) for some in problems for key, text in some)


def _own_release(given: Given) -> Path | None:
    """Return the directory of the release that HETDEX's reduction makes in the same run, if it does."""
    makes_it = given("hetdex_reduction.enabled") and given("hetdex_reduction.cubes.enabled")
    return Layout.below(given("results")).release if makes_it and given("results") else None
