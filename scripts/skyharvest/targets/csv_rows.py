"""The rows of a CSV of sky positions, or of another table, each with all that is wrong with it.

What is wrong with the file as a whole is an `InputError`; what is wrong with a row rejects that row.
"""

import csv
import difflib
import io
import itertools
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from skyharvest.core.errors import InputError
from skyharvest.targets.compression import DAMAGED, look_into, open_unpacked
from skyharvest.targets.csv_path import check_csv_exists
from skyharvest.targets.csv_text import BLANKS, is_undecodable, open_as_text, readable, shown, table_kind
from skyharvest.targets.settings import TARGETID_AS_TEXT, Targets

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

OWN_COLUMNS = ("row", "ra", "dec", "pix16", "pix64", "pix64_group")  # of the table of targets, beside the CSV's
BLOCK_ROWS = 20_000  # rows held as Python strings at once
PROGRESS_SECONDS = 10
BLANK_PIXEL, NO_PIXEL = -(2**62), -(2**62) - 1  # of a blank cell, and of one without a whole number
FIELD_LIMIT = 2**24  # characters in a cell; more than that is a quote that was never closed
MAX_NAMES = 100  # column names in a message

_SEXAGESIMAL = re.compile(r"\d\s*[:hd°\s]\s*\d")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(?:\.0*)?")


@dataclass(frozen=True)
class Names:
    """Which columns of the CSV hold what: the configuration's ``targets: ra, dec, healpix, targetid, text``."""

    ra: str = Targets.ra
    dec: str = Targets.dec
    healpix: str | None = None
    targetid: str | None = None
    text: tuple[str, ...] = ()


class Rejected(NamedTuple):
    """A row that cannot be used.

    Attributes
    ----------
    row
        0-based number of the data row.
    reason
        Everything that is wrong with it.
    cells
        As they were; undecodable bytes are surrogates (PEP 383).
    kind
        What is wrong first, without the value that was found: to count by.
    """

    row: int
    reason: str
    cells: list[str]
    kind: str


def count_kinds(rejected: Iterable[Rejected]) -> list[tuple[str, int]]:
    """Return what is wrong (first) with how many rows, most frequent first."""
    return Counter(bad.kind for bad in rejected).most_common()


class Row(NamedTuple):
    """A data row: RA in [0, 360) and Dec in degrees, NaN where they are no such; (kind, reason) of each problem."""

    cells: list[str]
    ra: float
    dec: float
    healpix: int
    problems: list[tuple[str, str]]


class OpenRows(NamedTuple):
    """A file of targets.

    Attributes
    ----------
    columns
        Their names.
    rows
        Its data rows.
    table
        Their values, if it is no CSV but a table with types.
    remarks
        What a person should know of it: which columns are left out, and why.
    """

    columns: list[str]
    rows: Iterator[Row]
    table: "pa.Table | None" = None
    remarks: tuple[str, ...] = ()


@contextmanager
def open_rows(path: Path, names: Names) -> Iterator[OpenRows]:
    """Open the CSV, or another table; its header is checked."""
    check_csv_exists(path)
    limit = csv.field_size_limit(FIELD_LIMIT)
    try:
        with open_unpacked(path) as stream:
            head = look_into(path, stream)
            kind = table_kind(head)
            if kind is not None:
                yield _open_table(path, stream, kind, names)
                return
            with open_as_text(path, stream, head) as text:
                lines = _TextLines(path, text)
                records = _records(path, lines)
                columns, _ = next(records, ([], ""))
                _check_header(path, columns, names)
                yield OpenRows(columns, _rows(records, columns, names, lines))
    finally:
        csv.field_size_limit(limit)


def _open_table(path: Path, stream: io.BufferedReader, kind: str, names: Names) -> OpenRows:
    """Read a table that is no CSV, and check its header."""
    from skyharvest.targets.table_file import read_table_file  # noqa: PLC0415 (pyarrow and astropy, for such alone)

    wanted = [name for name in (names.ra, names.dec, names.healpix, names.targetid, *names.text) if name is not None]
    read = read_table_file(path, stream, kind, wanted)
    for name in wanted:
        if name in read.left_out:
            raise InputError(f"{path}: column {name!r} cannot be used, for {read.left_out[name]}")
    columns = read.table.column_names
    _check_header(path, columns, names)
    for name in (names.ra, names.dec):
        if unit := read.not_degrees.get(name):
            raise InputError(
                f"{path}: the unit of column {name!r} is {unit}, expected degrees: convert it and write the table anew"
            )
    left_out = (f"column {name!r} is left out: {reason}" for name, reason in read.left_out.items())
    return OpenRows(columns, _rows(read.records(), columns, names), read.table, (*read.remarks, *left_out))


def blocks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows in blocks; log progress where it takes long."""
    done, last_log = 0, time.monotonic()
    while block := list(itertools.islice(rows, BLOCK_ROWS)):
        yield block
        done += len(block)
        if time.monotonic() - last_log > PROGRESS_SECONDS:
            last_log = time.monotonic()
            log.info("%s rows read", f"{done:,}")


class _TextLines:
    """The lines of a text file for `csv.reader`, and what only the lines tell."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self.path = path
        self.stream = stream
        self.suspicious = False  # a line since this was last set to False is not plain text
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self.stream)
        except StopIteration:
            self.ended = True
            raise
        except DAMAGED as error:
            raise InputError(f"cannot read {self.path}: {error} (is it complete?)") from error
        if not line.isascii() or "\0" in line:
            self.suspicious = True
        return line


def _records(path: Path, lines: _TextLines) -> Iterator[tuple[list[str], str]]:
    """Yield the cells of each record that is not blank, and its lines if it has more than one."""
    reader = csv.reader(lines)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{path}, line {first}: {error}: is a quote opened there and not closed?") from error
        if cells is None:
            return
        if lines.ended:
            raise InputError(
                f"{path}, line {first}: a quote is opened there and not closed before the end of the file; correct it, "
                "or all rows after it are lost"
            )
        if cells and (len(cells) > 1 or cells[0] == "" or cells[0].strip(" \t")):
            yield cells, f"lines {first} to {reader.line_num}" if reader.line_num > first else ""


def _check_header(path: Path, columns: Sequence[str], names: Names) -> None:
    if not columns:
        raise InputError(f"{path} is empty; expected a line of column names, and a row per target")
    if names.ra == names.dec:
        raise InputError(f"RA and Dec are both to be read from column {names.ra!r}: name two columns")
    if names.targetid in names.text:
        raise InputError(TARGETID_AS_TEXT.format(names.targetid))
    _check_present(path, columns, names)
    for number, name in enumerate(columns, 1):
        where = f"{path}: column {number} of {len(columns)}"
        if is_undecodable(name) or "\0" in name:
            raise InputError(f"{where} has a name that is not UTF-8 text, {shown(name)}: save the file as UTF-8")
        if not name.strip():
            hint = " (an index that pandas wrote? to_csv(index=False) leaves it out)" if number == 1 else ""
            raise InputError(f"{where} has no name{hint}: name or remove it")
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise InputError(f"{path}: more than one column is called {', '.join(map(repr, twice))}: rename or remove one")


def _check_present(path: Path, columns: Sequence[str], names: Names) -> None:
    of_quantity = {"RA": names.ra, "Dec": names.dec, "healpix": names.healpix, "TARGETID": names.targetid}
    wanted = [*of_quantity.items(), *(("the setting text", name) for name in names.text)]
    missing = [(quantity, name) for quantity, name in wanted if name is not None and name not in columns]
    if not missing:
        return
    taken = {name for _, name in wanted}
    free = {readable(column).lower(): column for column in columns if column not in taken}
    messages = []
    for quantity, name in missing:
        near = difflib.get_close_matches(name.lower(), free, n=1, cutoff=0.4)
        messages.append(
            f"no column {name!r} for {quantity}" + (f" (nearest name: {shown(free[near[0]])})" if near else "")
        )
    more = f" and {len(columns) - MAX_NAMES} more" if len(columns) > MAX_NAMES else ""
    listed = ", ".join(readable(column) for column in columns[:MAX_NAMES]) + more
    raise InputError(f"{path}: {'; '.join(messages)}. Its {len(columns)} columns are: {listed}{_header_hint(columns)}")


def _header_hint(columns: Sequence[str]) -> str:
    """Say what the first line may be, if it does not look like a line of names separated by commas."""
    if columns[0].startswith("#"):
        return ". Its first line is a comment: expected the column names there"
    if all(_number(name) is not None for name in columns):
        return ". Its first line holds numbers: expected the column names there"
    if len(columns) == 1:
        for mark, separators in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (" ", "spaces")):
            if mark in columns[0].strip():
                return f". They seem to be separated by {separators}: expected commas"
    return ""


def _rows(
    records: Iterator[tuple[list[str], str]], columns: Sequence[str], names: Names, lines: _TextLines | None = None
) -> Iterator[Row]:
    """Yield the data rows with what is wrong with each; ``lines`` are those that a CSV's records are made of."""
    n = len(columns)
    i_ra, i_dec = columns.index(names.ra), columns.index(names.dec)
    i_healpix = None if names.healpix is None else columns.index(names.healpix)
    i_targetid = None if names.targetid is None else columns.index(names.targetid)
    if lines is not None:
        lines.suspicious = False
    for cells, where in records:
        if len(cells) != n:
            yield Row(cells, math.nan, math.nan, NO_PIXEL, [_ragged(cells, n, where)])
            continue
        problems: list[tuple[str, str]] = []
        if lines is not None and lines.suspicious:
            problems += _text_problems(columns, cells)
            lines.suspicious = False
        ra = _angle(names.ra, cells[i_ra], -180, 360, problems) % 360
        if ra >= 360:  # a tiny negative angle, rounded up
            ra = 0.0
        dec = _angle(names.dec, cells[i_dec], -90, 90, problems)
        if i_targetid is not None:
            problems += _targetid_problems(str(names.targetid), cells[i_targetid])
        healpix = NO_PIXEL if i_healpix is None else _whole(cells[i_healpix])
        yield Row(cells, ra, dec, healpix, problems)


def _ragged(cells: Sequence[str], n: int, where: str) -> tuple[str, str]:
    kind = "too few fields" if len(cells) < n else "too many fields"
    reason = f"{kind}: {len(cells)}, but the header has {n}"
    if len(cells) > n:
        reason += f"; beyond them: {', '.join(shown(cell) for cell in cells[n:])}"
    if where:
        reason += f"; it takes up {where}: is a quote not closed?"
    return kind, reason


def _text_problems(columns: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, cell in zip(columns, cells, strict=True):
        if is_undecodable(cell):
            yield f"{name} is not UTF-8", f"{name} is not UTF-8: found {shown(cell)}"
        elif "\0" in cell:
            yield f"{name} holds NUL", f"{name} holds NUL: found {shown(cell)}"


def _angle(name: str, cell: str, low: int, high: int, problems: list[tuple[str, str]]) -> float:
    """Return the cell's number, after adding what is wrong with it to ``problems``."""
    value = _number(cell)
    if value is not None and low <= value <= high:
        return value
    evidence = f": found {shown(cell)}"
    if not cell.strip():
        kind, evidence = f"{name} is empty", ""
    elif value is None:
        kind = f"{name} is not a number"
        if _SEXAGESIMAL.search(cell):
            evidence += ", which looks sexagesimal; decimal degrees are expected"
    elif not math.isfinite(value):
        kind = f"{name} is not finite"
    else:
        kind = f"{name} is outside [{low}, {high}]"
    problems.append((kind, kind + evidence))
    return math.nan


def _number(cell: str) -> float | None:
    """Return the cell's number; unlike for Python's float, 1_000 is none, and digits are ASCII."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if cell.isascii() and "_" not in cell else None


def _whole(cell: str) -> int:
    """Return the cell's integer, written as 1702 or 1702.0; else `BLANK_PIXEL` or `NO_PIXEL`."""
    text = cell.strip()
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else BLANK_PIXEL if text.lower() in BLANKS else NO_PIXEL


def _targetid_problems(name: str, cell: str) -> Iterator[tuple[str, str]]:
    text = cell.strip()
    evidence = f": found {shown(cell)}"
    if text.lower() in BLANKS:
        yield f"{name} is empty", f"{name} is empty"
    elif not _INTEGER.fullmatch(text):
        hint = "; a float does not hold all digits of a TARGETID" if _number(text) is not None else ""
        yield f"{name} is not an integer", f"{name} is not an integer{evidence}{hint}"
    elif not 0 <= int(text) < 2**63:
        kind = f"{name} is not a TARGETID"
        yield kind, f"{kind}{evidence}; expected 0 to 2**63 - 1"
