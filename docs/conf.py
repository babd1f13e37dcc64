"""Sphinx: the documentation as a site. `make docs` builds it into site/, with warnings as errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

project = "Skyharvest"
author = "the Skyharvest developers"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Skyharvest"
exclude_patterns = ["conf.py"]

SCHEMA = Path(__file__).parents[1] / "config/schema/config.schema.yaml"
MARK = "<!-- the keys, from config/schema/config.schema.yaml -->"


def setup(app: Any) -> None:
    """Put tables of the configuration's keys where a page asks for them."""
    app.connect("source-read", insert_keys)


def insert_keys(_app: Any, _page: str, source: list[str]) -> None:
    """Replace `MARK` in a page."""
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, "\n".join(tables()))


def tables() -> Iterator[str]:
    """Yield the lines of a table per section of the schema that configurations are checked against."""
    properties = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["properties"]
    sections = {name: about for name, about in properties.items() if "properties" in about}
    for name, about in sections.items():
        yield from (f"## {name}", "", about["description"], "", *_rows(about, f"{name}."), "")
    others = {name: about for name, about in properties.items() if name not in sections}
    yield from ("## Of all surveys", "", *_rows({"properties": others}, ""))


def _rows(about: dict[str, Any], prefix: str) -> Iterator[str]:
    yield from ("| key | default | |", "|---|---|---|")
    for key, inner in _leaves(about, prefix):
        default = "required" if "default" not in inner else f"`{_shown(inner['default'])}`"
        choices = ", ".join(f"`{_shown(value)}`" for value in inner.get("enum", []))
        text = " ".join(inner["description"].split()).replace("|", "\\|")
        yield f"| `{key}` | {default} | {text}{f' One of {choices}.' if choices else ''} |"


def _leaves(about: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in about["properties"].items():
        if "properties" in inner:
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def _shown(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
