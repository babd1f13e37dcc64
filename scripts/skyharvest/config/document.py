"""The files that are made from the settings: the JSON schemas for editors, and the page of the documentation.

``python -m skyharvest.config.document``, in ``scripts/``, writes them anew; a test tells when that is needed.
"""

import json
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any

from skyharvest import surveys
from skyharvest.config.registry import NAME, entry_of
from skyharvest.config.settings import root
from skyharvest.core.paths import CHECKOUT
from skyharvest.core.settings import Setting, describe, leaves
from skyharvest.harvest import releases

SCHEMA = CHECKOUT / "config" / "schema" / "config.schema.json"
PAGE = CHECKOUT / "docs" / "configuration.md"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_INTRODUCTION = """\
# Configuration

A run is a YAML file, `snakemake --configfile my.yaml`. Every key but `targets.csv` may be left out. Misspelt keys,
values of the wrong kind, and settings that do not go together are errors before anything moves, all of them at once,
each with what is valid. Single values can be given on the command line in Snakemake's own way:
`--config desi='{release: edr, surveys: [sv3]}'`. `config/config.yaml` has every key with its default and a comment:
copy it. Editors that know [YAML's language server](https://github.com/redhat-developer/yaml-language-server) complete
and check keys by `config/schema/config.schema.json`, which the first line of that file names.
"""
_KINDS = {
    "string": "text",
    "number": "number",
    "integer": "whole number",
    "boolean": "true or false",
    "array": "list",
    "null": "null",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the configuration; every key has a description, most a default."""
    schema = _of_section(root())
    schema["properties"]["targets"]["properties"]["name"]["not"] = {"enum": list(surveys.NAMES)}
    return {"$schema": _DIALECT, "title": "Skyharvest configuration"} | schema


def releases_schema() -> dict[str, Any]:
    """Return the JSON schema of the registry of releases: what an entry has depends on its survey."""
    by_survey = []
    for name in surveys.NAMES:
        entry = _of_section(entry_of(name))
        said = {"survey"} & set(entry["required"])
        by_survey.append({"if": {"properties": {"survey": {"const": name}}, "required": [*said]}, "then": entry})
    return {
        "$schema": _DIALECT,
        "title": "Skyharvest data releases",
        "type": "object",
        "propertyNames": {"pattern": NAME},
        "additionalProperties": {"properties": {"survey": {"enum": list(surveys.NAMES)}}, "allOf": by_survey},
    }


def _of_section(kind: type) -> dict[str, Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 (jobs, which read this package too, need not import it)

    whole = TypeAdapter(kind).json_schema()
    schema: dict[str, Any] = _in_place(whole, whole.pop("$defs"))
    return schema


def _in_place(value: Any, definitions: dict[str, Any]) -> Any:
    """Return a part of a schema with what it refers to written out, and without pydantic's titles."""
    if isinstance(value, list):
        return [_in_place(one, definitions) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        value = definitions[value["$ref"].rpartition("/")[2]] | {key: of for key, of in value.items() if key != "$ref"}
    return {key: _in_place(of, definitions) for key, of in value.items() if key != "title" or not isinstance(of, str)}


def page() -> str:
    """Return the page of the documentation: a table for each section."""
    lines = [_INTRODUCTION]
    described = describe(root())
    for key, kind in described.items():
        if not isinstance(kind, Setting):
            lines += [f"## {key}", "", kind.__doc__ or "", "", *_table(leaves(kind, f"{key}.")), ""]
    others = ((key, said) for key, said in described.items() if isinstance(said, Setting))
    return "\n".join([*lines, "## Of all surveys", "", *_table(others), ""])


def _table(settings: Iterator[tuple[str, Setting]]) -> Iterator[str]:
    yield from ("| key | value | default | |", "|---|---|---|---|")
    for key, said in settings:
        default = "required" if said.default is MISSING else f"`{json.dumps(said.default)}`"
        yield f"| `{key}` | {_values(said)} | {default} | {said.meaning.replace('|', chr(92) + '|')} |"


def _values(said: Setting) -> str:
    """Return what a setting may be, in a few words."""
    words = [f"`{choice}`" for choice in said.choices]
    kinds = said.kinds[1:] if words else said.kinds
    words += [f"list of {_values(said.each)}" if kind == "array" and said.each else _KINDS[kind] for kind in kinds]
    return ", ".join(words[:-1]) + (" or " if words[:-1] else "") + words[-1]


def main() -> None:
    """Write all three files."""
    for path, schema in ((SCHEMA, json_schema()), (releases.SCHEMA, releases_schema())):
        path.write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
