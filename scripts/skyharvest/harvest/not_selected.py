"""Rows that have files in the release, but none that the configuration selects: ``plan_not_selected.json``.

``where``
    Kind of file that is left out (``sv1/other``) → CSV rows, for which nothing else is to be read.
``change``
    Key of the configuration → what it lacks for them: values of a list, or another value.

Light: status asks it, too.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from skyharvest.core.atomic import atomic_path

NAME = "plan_not_selected.json"
SHOWN = 12  # kinds in a sentence


@dataclass(frozen=True)
class NotSelected:
    """What `plan_not_selected.json` holds."""

    where: Mapping[str, list[int]] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[int, str]], change: Mapping[str, Any]) -> Self:
        """Return it from pairs of a CSV row and a kind; those that most rows have come first."""
        where: dict[str, set[int]] = {}
        for row, kind in pairs:
            where.setdefault(kind, set()).add(row)
        kinds = sorted(where, key=lambda kind: (-len(where[kind]), kind))
        return cls({kind: sorted(where[kind]) for kind in kinds}, change if kinds else {})

    @property
    def rows(self) -> set[int]:
        """The CSV rows."""
        return set().union(*self.where.values())

    def totals(self) -> dict[str, Any]:
        """Return what the summary says of it: rows by kind, and the change."""
        return {"where": {kind: len(rows) for kind, rows in self.where.items()}, "change": dict(self.change)}


def write_not_selected(left_out: NotSelected, directory: Path) -> None:
    """Write it beside the plan."""
    with atomic_path(directory / NAME) as temporary:
        text = json.dumps({"where": dict(left_out.where), "change": dict(left_out.change)})
        temporary.write_text(f"{text}\n", encoding="utf-8")


def read_not_selected(path: Path) -> NotSelected:
    """Read what `write_not_selected` wrote."""
    return NotSelected(**json.loads(path.read_text(encoding="utf-8")))


def sentence(n_rows: int, totals: Mapping[str, Any]) -> str:
    """Return what a person is told of so many rows; empty if there are none.

    Such as "12 more rows are in sv1/other (8), sv3/dark (4): add sv1, sv3 to desi.surveys and add other to
    desi.programs".
    """
    if not n_rows:
        return ""
    where, change = totals["where"], totals["change"]
    kinds = [f"{kind} ({n:,})" if len(where) > 1 else kind for kind, n in where.items()]
    if len(kinds) > SHOWN:
        kinds[SHOWN:] = [f"{len(kinds) - SHOWN} other kinds"]
    ways = [
        f"add {', '.join(value)} to {key}"
        if isinstance(value, list)
        else f"set {key} to {'null' if value is None else value}"
        for key, value in change.items()
    ]
    rows = "1 more row is" if n_rows == 1 else f"{n_rows:,} more rows are"
    return f"{rows} in {', '.join(kinds)}: {' and '.join(ways)}"
