"""Data of series, as scripts: a page that is opened from disk may load scripts, and nothing else.

``quality.js`` draws them. *Rows* are what a series goes over, such as exposures; each has values in some *columns*,
such as cameras.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import write_changed

Limit = tuple[str, str, float]
"""Of which group of columns ("" for all), ``warn`` or ``bad``, and the number."""


def rows_script(name: str, about: Mapping[str, Any], of: Mapping[str, Sequence[Any]]) -> str:
    """Return the script with what is known of rows.

    Parameters
    ----------
    name
        Of these rows, as series name them.
    about
        ``root`` leads from the page to the site's directory; ``noun`` of a value; ``columns`` and the ``groups`` of
        each, by which they are coloured; ``axes``: name → label; ``link`` to a value's page, with names in braces,
        ``column`` among them; "" for none.
    of
        Name → a value for each row: of axes and links; ``name``, ``about`` and ``filter`` say what a row is.
    """
    return f"quality.rows({to_json(name)}, {to_json({**about, 'of': of})});\n"


def series_script(name: str, rows: str, about: Mapping[str, Any], bad: Iterable[int], values: Sequence[Any]) -> str:
    """Return the script with a series.

    Parameters
    ----------
    name
        Of the series.
    rows
        Name of its rows.
    about
        ``unit``, ``says`` what it is, ``limits``.
    bad
        Which values are bad: row × number of columns + column.
    values
        For each row the values of all columns, or None.
    """
    return (
        f"quality.series({to_json(name)}, {to_json({'rows': rows, **about, 'bad': sorted(bad), 'values': values})});\n"
    )


def write_scripts(directory: Path, scripts: Iterable[tuple[str, str]]) -> None:
    """Write scripts, each with its name; others are removed, and those that are as they were are left."""
    names = set()
    for name, script in scripts:
        names.add(name)
        write_changed(directory / f"{name}.js", script)
    for stale in directory.glob("*.js"):
        if stale.stem not in names:
            stale.unlink()


def to_json(value: object) -> str:
    """Return JSON in few characters."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
