"""How the amplifiers of a pairing's exposure stand: ``amps.csv`` beside their multifits."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skyharvest.core.csv_file import write_changed_rows
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.amp_file import DONE, FAILED, AmpResult, Value
from skyharvest.reduction.hetdex.layout import AMPS

NAME = "amps.csv"
FIRST = ("amp", "state", "reason")


@dataclass(frozen=True)
class AmpState:
    """A row.

    Attributes
    ----------
    done
        Whether it has a multifits.
    reason
        Why not; empty if it has.
    values
        Numbers that say how it went, by name; NaN if unknown.
    words
        What is said of it in words.
    """

    done: bool
    reason: str
    values: dict[str, float] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)


def write(directory: Path, results: Mapping[str, AmpResult]) -> None:
    """Write how amplifiers stand; their arrays are not looked at."""
    names = list(dict.fromkeys(name for result in results.values() for name in result.values))
    there = {amp: results[amp] for amp in AMPS if amp in results}
    rows = (
        [amp, FAILED if one.failed else DONE, one.failed, *(_cell(one.values.get(name)) for name in names)]
        for amp, one in there.items()
    )
    write_changed_rows(directory / NAME, [*FIRST, *names], rows)


def read(directory: Path) -> dict[str, AmpState]:
    """Return how the amplifiers of a directory stand, in the order of `AMPS`.

    Raises
    ------
    MalformedFile
        If the file is no such table.
    """
    path = directory / NAME
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        rows = list(reader)
    if tuple(header[:3]) != FIRST or any(len(row) != len(header) or row[0] not in AMPS for row in rows):
        raise MalformedFile(f"{path}: found no table of amplifiers; remove its directory and run again")
    states = {}
    for amp, state, reason, *cells in rows:
        values, words = {}, {}
        for name, cell in zip(header[3:], cells, strict=True):
            try:
                values[name] = float(cell or math.nan)
            except ValueError:
                words[name] = cell
        states[amp] = AmpState(state == DONE, reason, values, words)
    return states


def _cell(value: Value | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
