"""CSV files that this project writes: a header, a line per row, complete or not there at all."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path, write_changed
from skyharvest.core.errors import MalformedFile


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write rows."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_columns(path: Path, header: Sequence[str], columns: Sequence[Any]) -> None:
    """Write columns: arrays of equal length."""
    write_rows(path, header, zip(*(column.tolist() for column in columns), strict=True))


def write_changed_rows(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> bool:
    """Write rows, unless the file has them already: then its time stays. Return whether it was written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return write_changed(path, text.getvalue())


def read_rows(path: Path, header: Sequence[str]) -> Iterator[list[str]]:
    """Give the rows of a file of ours, cell by cell.

    Raises
    ------
    MalformedFile
        If its columns are others: it is of another version, or was changed by hand; or if it is cut short.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        found = next(reader, [])
        if found != list(header):
            raise MalformedFile(f"{path}: found the columns {','.join(found)[:200]}; remove the file and run again")
        for cells in reader:
            if len(cells) != len(header):
                found_n = f"found {len(cells)} cells; expected {len(header)}"
                raise MalformedFile(f"{path}: line {reader.line_num}: {found_n}; remove the file and run again")
            yield cells
        if not _ends_with_a_line(path):
            raise MalformedFile(f"{path}: line {reader.line_num}: it has no end; remove the file and run again")


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, io.SEEK_END)
        return stream.read() == b"\n"


def has_rows(path: str | Path) -> bool:
    """Tell whether a file is there and has a line below its header."""
    if not Path(path).exists():
        return False
    with Path(path).open(encoding="utf-8", errors="replace") as text:
        return sum(1 for _ in zip(text, range(2), strict=False)) == 2


def has_value(path: str | Path, column: str, value: str) -> bool:
    """Tell whether a file is there and a row of it has this value in a column."""
    return next(rows_with(path, column, value), None) is not None


def rows_with(path: str | Path, column: str, value: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a file that have this value in a column; none if it is not there."""
    if Path(path).exists():
        with Path(path).open(newline="", encoding="utf-8", errors="replace") as text:
            yield from (line for line in csv.DictReader(text) if line.get(column) == value)
