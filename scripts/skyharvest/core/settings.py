"""A setting is written once, as a field of a dataclass: its type, default, limits and meaning.

A `section` of the configuration is a dataclass of fields by `setting`. pydantic checks values against it
(`skyharvest.config.load`); the schema for editors and the documentation are written from it
(`skyharvest.config.document`); programs take options from it (`add_options`). This module does without pydantic, which
jobs need not import: it only has the methods that pydantic asks for.
"""

import argparse
import dataclasses
import functools
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

T = TypeVar("T")
_KINDS = {str: "string", float: "number", int: "integer", bool: "boolean", types.NoneType: "null", list: "array"}
_TYPES: dict[str, Callable[[str], Any]] = {"number": float, "integer": int}


class Limited:
    """Limits of a value inside a list: what pydantic's core schema calls them, and the value's meaning."""

    def __init__(self, meaning: str = "", **limits: Any) -> None:
        self.meaning, self.limits = meaning, limits

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Tell pydantic the limits."""
        return {**handler(source), **self.limits}

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], Any]) -> Any:
        """Tell editors the meaning."""
        return {**handler(core), **({"description": self.meaning} if self.meaning else {})}


class Distinct(Limited):
    """A list in which nothing is listed twice."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Tell pydantic what to call."""
        limited = super().__get_pydantic_core_schema__(source, handler)
        return {"type": "function-after", "function": {"type": "no-info", "function": _distinct}, "schema": limited}

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], Any]) -> Any:
        """Tell editors."""
        return {**super().__get_pydantic_json_schema__(core, handler), "uniqueItems": True}


def _distinct(values: list[Any]) -> list[Any]:
    if len({str(value) for value in values}) < len(values):
        raise ValueError("something is listed twice")
    return values


Number = Annotated[float, Limited(strict=True)]
Whole = Annotated[int, Limited(strict=True)]
Switch = Annotated[bool, Limited(strict=True)]


def setting(default: Any, meaning: str, *, path: bool = False, outcome: bool = True, **limits: Any) -> Any:
    """Return a field of a `section`.

    Parameters
    ----------
    default
        Its value where nothing is said; `dataclasses.MISSING` if something has to be said.
    meaning
        What it is: sentences, for a person.
    path
        Whether it is a path of this machine.
    outcome
        Whether the content of the results depends on it (`skyharvest.config.load.digest`).
    limits
        As pydantic calls them: ``gt``, ``ge``, ``le``, ``min_length``, ``pattern``.
    """
    metadata = {"description": meaning, "path": path, "outcome": outcome, **limits}
    if isinstance(default, list):
        metadata["json_schema_extra"] = {"default": default}  # pydantic calls no factory to tell it
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def subsection(kind: type, *, required: bool = False, optional: bool = False, outcome: bool = True) -> Any:
    """Return a field that is a section itself, with the docstring of that as its meaning; None where it is optional."""
    metadata = {"description": kind.__doc__, "outcome": outcome}
    if required:
        return dataclasses.field(metadata=metadata)
    if optional:
        return dataclasses.field(default=None, metadata=metadata)
    return dataclasses.field(default_factory=kind, metadata=metadata)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting, subsection))
def section(kind: type[T]) -> type[T]:
    """Make a class a section of the configuration, in which unknown keys are errors."""
    kind.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return dataclass(kw_only=True, frozen=True)(kind)


@dataclass(frozen=True)
class Setting:
    """What the field of a section says.

    Attributes
    ----------
    meaning, default, path, outcome
        See `setting`.
    kinds
        What it may be: JSON schema's names of types.
    choices
        All that it may be, if that can be listed.
    each
        What a value of a list may be.
    """

    meaning: str
    default: Any
    path: bool
    outcome: bool
    kinds: tuple[str, ...]
    choices: tuple[str, ...]
    each: "Setting | None"


@functools.cache
def describe(kind: type) -> dict[str, "Setting | type"]:
    """Return what a section has, by key: settings, and sections in it."""
    hints = get_type_hints(kind, include_extras=True)
    described: dict[str, Setting | type] = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            described[field.name] = hint  # type: ignore[assignment]
            continue
        default = field.default if field.default_factory is MISSING else field.default_factory()
        about = field.metadata
        described[field.name] = _setting_of(hint, about["description"], default, about["path"], about["outcome"])
    return described


def leaves(kind: type, prefix: str = "") -> Iterator[tuple[str, Setting]]:
    """Yield the dotted key of each setting of a section and of the sections in it, and what it says."""
    for key, inner in describe(kind).items():
        if isinstance(inner, Setting):
            yield f"{prefix}{key}", inner
        else:
            yield from leaves(inner, f"{prefix}{key}.")


def _setting_of(hint: Any, meaning: str, default: Any = MISSING, path: bool = False, outcome: bool = True) -> Setting:
    kinds: list[str] = []
    choices: list[str] = []
    each = None
    for part in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        bare, *notes = get_args(part) if get_origin(part) is Annotated else (part,)
        if get_origin(bare) is list:
            kinds.append("array")
            each = _setting_of(get_args(bare)[0], "")
        elif get_origin(bare) is Literal:
            kinds.append(_KINDS[type(get_args(bare)[0])])
            choices.extend(map(str, get_args(bare)))
        else:
            kinds.append(_KINDS[bare])
        meaning = meaning or next((note.meaning for note in notes if note.meaning), "")
    return Setting(meaning, default, path, outcome, tuple(kinds), tuple(choices), each)


def add_options(parser: argparse._ActionsContainer, kind: type, *keys: str, **options: str) -> None:
    """Give a program options that are settings: with their default, type, choices and meaning.

    Parameters
    ----------
    parser
        The program's, or a group of it.
    kind
        A section.
    keys
        Settings whose options have their names.
    options
        Setting by option, for the others: ``radius="radius_arcsec"``. What is true by default has an option
        ``--no-…``.
    """
    described = describe(kind)
    for option, key in ({key: key for key in keys} | options).items():
        said = described[key]
        assert isinstance(said, Setting)
        name, meaning = option.replace("_", "-"), said.meaning.replace("%", "%%")
        if said.kinds == ("boolean",):
            no = "no-" if said.default else ""
            about = f"leave out: {meaning}" if no else meaning
            parser.add_argument(f"--{no}{name}", action="store_true", help=about)
            continue
        value = said.each or said
        several: dict[str, Any] = {}
        default = said.default
        if said.each:
            several["nargs"] = "+" if default not in (None, "any", []) else "*"
            default = [default] if isinstance(default, str) else default
        parser.add_argument(
            f"--{name}",
            type=_TYPES.get(value.kinds[0], str),
            choices=value.choices or None,
            default=default,
            help=meaning,
            **several,
        )
