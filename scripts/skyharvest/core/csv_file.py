"""CSV files that this project writes: a header, a line per row, complete or not there at all."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write rows."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_columns(path: Path, header: Sequence[str], columns: Sequence[Any]) -> None:
    """Write columns: arrays of equal length."""
    write_rows(path, header, zip(*(column.tolist() for column in columns), strict=True))


def has_rows(path: str | Path) -> bool:
    """Tell whether a file is there and has a line below its header."""
    if not Path(path).exists():
        return False
    with Path(path).open(encoding="utf-8", errors="replace") as text:
        return sum(1 for _ in zip(text, range(2), strict=False)) == 2


def has_value(path: str | Path, column: str, value: str) -> bool:
    """Tell whether a file is there and a row of it has this value in a column."""
    if not Path(path).exists():
        return False
    with Path(path).open(newline="", encoding="utf-8", errors="replace") as text:
        return any(line.get(column) == value for line in csv.DictReader(text))
