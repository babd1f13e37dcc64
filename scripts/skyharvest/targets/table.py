"""The targets: a CSV of sky positions in, a validated table out.

What is wrong with the file as a whole is an `InputError`. What is wrong with a row rejects that row, with a reason, and
the rest goes on: every row of the CSV ends either in the table or among the rejected ones.
"""

import codecs
import csv
import difflib
import gzip
import io
import itertools
import logging
import math
import os
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.sky import healpix as pixels
from skyharvest.targets.csv_path import check_csv_exists

log = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

OWN_COLUMNS = ("row", "ra", "dec", "pix16", "pix64", "pix64_group")
REJECTED_COLUMNS = ("row", "reason")
ADDED_COLUMNS = ("pix64", "pix64_group")

NSIDE_FILES = 16  # of the assembled files, and of a `healpix` column of the CSV
NSIDE_COADDS = 64  # of DESI's healpix coadds
GROUP = 100  # pix64 // 100 names the coadds' directory
MIN_AGREEMENT = 0.999

BLOCK_ROWS = 20_000  # rows held as Python strings at once
PROGRESS_SECONDS = 10
FIELD_LIMIT = 2**24  # characters in a cell; more than that is a quote that was never closed
MAX_SHOWN = 60  # characters of a bad cell in a message
MAX_NAMES = 100  # column names in a message

_MAGIC = {
    b"\x1f\x8b": "gzip-compressed, but its name does not end in .gz: rename it, or unpack it",
    b"PK\x03\x04": "a zip archive or a spreadsheet: export it as CSV",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
    b"SIMPLE  =": "a FITS file: convert its table to CSV",
    b"PAR1": "a Parquet file: convert it to CSV",
    b"\x89HDF": "an HDF5 file: convert its table to CSV",
    b"<": "HTML or XML (an error page saved by a download?): fetch the CSV itself",
}
_SEXAGESIMAL = re.compile(r"\d\s*[:hd°\s]\s*\d")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(?:\.0*)?")


@dataclass(frozen=True)
class Names:
    """Which columns of the CSV hold what: the configuration's ``targets: ra, dec, healpix, targetid``."""

    ra: str = "RA_DESI"
    dec: str = "DEC_DESI"
    healpix: str | None = None
    targetid: str | None = None


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


@dataclass(frozen=True)
class Targets:
    """The rows of a CSV.

    Attributes
    ----------
    table : pyarrow.Table
        Of the accepted rows, in CSV order: ``row`` int64, ``ra`` [0, 360) and ``dec`` float64 (degrees), ``pix16``,
        ``pix64`` (NESTED), ``pix64_group`` int64, then the CSV's columns, each with its name in the CSV in the field's
        metadata as ``csv_column``.
    rejected
        The other rows.
    columns
        The CSV's header.
    n_rows
        Rows in all; blank lines are not rows.
    n_healpix_disagree
        Accepted rows whose ``healpix`` is not the NSIDE=16 NESTED pixel of RA and Dec; None where there is no such
        column to check.
    """

    table: pa.Table
    rejected: list[Rejected]
    columns: list[str]
    n_rows: int
    n_healpix_disagree: int | None


class _Row(NamedTuple):
    """A data row: RA in [0, 360) and Dec in degrees, NaN where they are no such; (kind, reason) of each problem."""

    cells: list[str]
    ra: float
    dec: float
    healpix: int
    problems: list[tuple[str, str]]


def read_targets(
    csv: str | os.PathLike[str],
    ra: str = "RA_DESI",
    dec: str = "DEC_DESI",
    healpix: str | None = None,
    targetid: str | None = None,
) -> Targets:
    """Read and check a CSV of sky positions.

    Columns become int64 if every cell that is not empty is an integer of that range without leading zeros, else
    float64 if every one is a number, else bool if every one is true or false in any case; anything else stays text,
    cell by cell as it was. In numbers and booleans an empty cell is a null. Integers of 64 bits do not fit into a
    float: a column of them with empty cells stays int64, and one with other numbers or larger integers stays text.

    Parameters
    ----------
    csv
        RFC 4180 text in UTF-8 with a header line, as ``.gz`` too.
    ra, dec
        Columns of the position, ICRS degrees; RA within [-180, 360] is taken modulo 360.
    healpix
        Column that should hold NSIDE=16 NESTED pixels.
    targetid
        Column of DESI TARGETIDs; rows without one are rejected.

    Raises
    ------
    InputError
        If the file is absent, unreadable, or not a CSV; if a column is absent, two have one name, or one has none; if
        no row is usable; if less than 99.9 % of ``healpix`` agree with RA and Dec.
    """
    path, names = Path(csv), Names(ra, dec, healpix, targetid)
    seen = _Seen()
    with _open_rows(path, names) as (columns, rows):
        chunks: list[list[Any]] = [[] for _ in columns]
        for block in _blocks(rows):
            accepted = [row.cells for row in seen.accept(block)]
            for chunk, cells in zip(chunks, zip(*accepted, strict=True), strict=False):  # no columns of no rows
                chunk.append(pa.array(cells, pa.string()))
    seen.require_some(path)
    own = seen.own_columns()
    everywhere = np.concatenate([own["row"], np.array([bad.row for bad in seen.rejected], np.int64)])
    assert np.array_equal(np.sort(everywhere), np.arange(seen.n_rows)), "a row was lost or is there twice"
    disagree = _check_healpix(path, names, np.array(seen.healpix, np.int64), own)
    metadata = {
        "csv": os.fsencode(path.name).decode("utf-8", "backslashreplace"),
        "n_rows": str(seen.n_rows),
        "n_rejected": str(len(seen.rejected)),
        "ra_column": ra,
        "dec_column": dec,
    }
    table = _table(own, columns, [pa.chunked_array(chunk, pa.string()) for chunk in chunks], names, metadata)
    return Targets(table, seen.rejected, columns, seen.n_rows, disagree)


def write_targets(targets: Targets, directory: str | os.PathLike[str]) -> None:
    """Write ``targets.parquet``, ``rejected.csv``, ``pix64.txt`` and ``pix64_counts.csv``.

    ``rejected.csv`` is ``row,reason`` and the CSV's columns (one that is itself called so gets ``csv_`` before its
    name), rows of other lengths padded or cut (what was cut is in the reason), undecodable bytes and NULs as ``\\xNN``.
    The two lists of pixels are ordered by falling count, then pixel.
    """
    directory = Path(directory)
    with atomic_path(directory / "targets.parquet") as temporary:
        pq.write_table(targets.table, temporary)
    n = len(targets.columns)
    header = [*REJECTED_COLUMNS, *_distinct_names(targets.columns, REJECTED_COLUMNS)]
    refused = ([str(bad.row), bad.reason, *(bad.cells + [""] * n)[:n]] for bad in targets.rejected)
    with atomic_path(directory / "rejected.csv") as temporary, _open_to_write(temporary) as out:
        _write_rows(out, ([_readable(cell) for cell in row] for row in (header, *refused)))
    pixel, count = np.unique(targets.table.column("pix64").to_numpy(), return_counts=True)
    order = np.lexsort((pixel, -count))
    pixel, count = pixel[order].tolist(), count[order].tolist()
    with atomic_path(directory / "pix64.txt") as temporary:
        temporary.write_text("".join(f"{pix}\n" for pix in pixel), encoding="utf-8")
    with atomic_path(directory / "pix64_counts.csv") as temporary:
        lines = (f"{pix},{n},{pix // GROUP}\n" for pix, n in zip(pixel, count, strict=True))
        temporary.write_text("".join(["pix64,count,pix64_group\n", *lines]), encoding="utf-8")


def summary(targets: Targets, directory: str | os.PathLike[str]) -> str:
    """Return the table that ``prepare_targets.py`` shows; ``directory`` is where `write_targets` wrote."""
    lines = [
        f"{'rows read':<34}{targets.n_rows:>9,}",
        f"{'  accepted':<34}{targets.table.num_rows:>9,}",
        f"{'  rejected':<34}{len(targets.rejected):>9,}",
    ]
    lines += [f"    {kind:<30}{count:>9,}" for kind, count in count_kinds(targets.rejected)]
    n_pixels = pc.count_distinct(targets.table.column("pix64")).as_py()
    lines.append(f"{f'NSIDE={NSIDE_COADDS} pixels':<34}{n_pixels:>9,}")
    if targets.n_healpix_disagree is not None:
        lines.append(f"{'healpix column: rows that disagree':<34}{targets.n_healpix_disagree:>9,}")
    if targets.rejected:
        lines.append(f"the rejected rows and why: {Path(directory) / 'rejected.csv'}")
    return "\n".join(lines)


def count_kinds(rejected: Iterable[Rejected]) -> list[tuple[str, int]]:
    """Return what is wrong (first) with how many rows, most frequent first."""
    return Counter(bad.kind for bad in rejected).most_common()


def add_pix64(path: str | os.PathLike[str], out: str | os.PathLike[str], names: Names) -> tuple[int, list[Rejected]]:
    """Copy a CSV, with ``pix64`` (NSIDE=64, NESTED) and ``pix64_group`` (pix64 // 100) added as last columns.

    All rows are kept, in their order, and all cells as they were. Rejected rows have the two cells empty; where a row
    has more fields than the header, its surplus comes after the two.

    Parameters
    ----------
    path
        As for `read_targets`.
    out
        The file to write; compressed if its name ends in ``.gz``.
    names
        The columns to use.

    Returns
    -------
    n_rows : int
    rejected : list of Rejected

    Raises
    ------
    InputError
        As `read_targets` does, and if the CSV has one of the two columns already, or is the file to write.
    """
    path, out = Path(path), Path(out)
    if out.exists() and path.exists() and out.samefile(path):
        raise InputError(f"{out} is the CSV itself: give another file to write")
    seen = _Seen()
    with _open_rows(path, names) as (columns, rows), atomic_path(out) as temporary:
        for name in ADDED_COLUMNS:
            if name in columns:
                raise InputError(f"{path} has a column {name!r} already: rename or remove it first")
        n = len(columns)
        with _open_to_write(temporary, compress=out.suffix == ".gz") as stream:
            _write_rows(stream, [[*columns, *ADDED_COLUMNS]])
            for block in _blocks(rows):
                accepted = seen.accept(block)
                pixel = pixels.ang2pix(NSIDE_COADDS, [row.ra for row in accepted], [row.dec for row in accepted])
                given = iter([[str(pix), str(pix // GROUP)] for pix in pixel.tolist()])
                added = [["", ""] if row.problems else next(given) for row in block]
                padded = [row.cells + [""] * (n - len(row.cells)) for row in block]
                _write_rows(stream, (cells[:n] + two + cells[n:] for cells, two in zip(padded, added, strict=True)))
        seen.require_some(path)
        _check_healpix(path, names, np.array(seen.healpix, np.int64), seen.own_columns())
    return seen.n_rows, seen.rejected


class _Seen:
    """What has been read so far: the accepted rows' numbers and positions, and the rejected rows."""

    def __init__(self) -> None:
        self.n_rows = 0
        self.rejected: list[Rejected] = []
        self.row: list[int] = []
        self.ra: list[float] = []
        self.dec: list[float] = []
        self.healpix: list[int] = []

    def accept(self, block: Sequence[_Row]) -> list[_Row]:
        """Count and number the rows, and return those without problems."""
        accepted = []
        for number, row in enumerate(block, self.n_rows):
            if row.problems:
                reason = "; ".join(reason for _, reason in row.problems)
                self.rejected.append(Rejected(number, reason, row.cells, row.problems[0][0]))
            else:
                accepted.append(row)
                self.row.append(number)
        self.ra += [row.ra for row in accepted]
        self.dec += [row.dec for row in accepted]
        self.healpix += [row.healpix for row in accepted]
        self.n_rows += len(block)
        return accepted

    def require_some(self, path: Path) -> None:
        """Raise if no row is usable."""
        if self.n_rows == 0:
            raise InputError(f"{path} has a header but no rows")
        if not self.row:
            first = "; ".join(f"row {bad.row}: {bad.reason}" for bad in self.rejected[:3])
            raise InputError(f"{path}: none of its {self.n_rows:,} rows is usable. The first ones: {first}")

    def own_columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of `OWN_COLUMNS` for the accepted rows."""
        ra, dec = np.array(self.ra, np.float64), np.array(self.dec, np.float64)
        pix64 = pixels.ang2pix(NSIDE_COADDS, ra, dec)
        values = (np.array(self.row, np.int64), ra, dec, pixels.ang2pix(NSIDE_FILES, ra, dec), pix64, pix64 // GROUP)
        return dict(zip(OWN_COLUMNS, values, strict=True))


class _Lines:
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
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot read {self.path}: {error} (is it complete?)") from error
        if not line.isascii() or "\0" in line:
            self.suspicious = True
        return line


@contextmanager
def _open_rows(path: Path, names: Names) -> Iterator[tuple[list[str], Iterator[_Row]]]:
    """Open the CSV; give its header, checked, and its data rows."""
    check_csv_exists(path)
    limit = csv.field_size_limit(FIELD_LIMIT)
    try:
        with _open_to_read(path) as stream:
            lines = _Lines(path, stream)
            records = _records(path, lines)
            columns, _ = next(records, ([], ""))
            _check_header(path, columns, names)
            yield columns, _rows(records, lines, columns, names)
    finally:
        csv.field_size_limit(limit)


@contextmanager
def _open_to_read(path: Path) -> Iterator[TextIO]:
    """Open the file as text, once (it may be a pipe); bytes that are not UTF-8 become surrogates."""
    try:
        raw: Any = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    with raw:
        if path.suffix.lower() == ".gz":
            if raw.peek(2)[:2] not in (b"\x1f\x8b", b""):
                raise InputError(f"{path} is named .gz, but is not gzip-compressed: rename it, or download it again")
            raw = io.BufferedReader(gzip.GzipFile(fileobj=raw))
        try:
            head = raw.peek(4096)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot read {path}: {error} (is it complete?)") from error
        for magic, what in _MAGIC.items():
            if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(magic):
                raise InputError(f"{path} is not CSV text but {what}")
        if b"\0" in head.partition(b"\n")[0]:
            raise InputError(f"{path} is not CSV text: its first line holds NUL bytes")
        with io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            yield stream


def _records(path: Path, lines: _Lines) -> Iterator[tuple[list[str], str]]:
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
    _check_present(path, columns, names)
    for number, name in enumerate(columns, 1):
        where = f"{path}: column {number} of {len(columns)}"
        if _undecodable(name) or "\0" in name:
            raise InputError(f"{where} has a name that is not UTF-8 text, {_show(name)}: save the file as UTF-8")
        if not name.strip():
            hint = " (an index that pandas wrote? to_csv(index=False) leaves it out)" if number == 1 else ""
            raise InputError(f"{where} has no name{hint}: name or remove it")
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise InputError(f"{path}: more than one column is called {', '.join(map(repr, twice))}: rename or remove one")


def _check_present(path: Path, columns: Sequence[str], names: Names) -> None:
    wanted = {"RA": names.ra, "Dec": names.dec, "healpix": names.healpix, "TARGETID": names.targetid}
    missing = {what: name for what, name in wanted.items() if name is not None and name not in columns}
    if not missing:
        return
    free = {_readable(column).lower(): column for column in columns if column not in wanted.values()}
    said = []
    for what, name in missing.items():
        near = difflib.get_close_matches(name.lower(), free, n=1, cutoff=0.4)
        said.append(f"no column {name!r} for {what}" + (f" (nearest name: {_show(free[near[0]])})" if near else ""))
    more = f" and {len(columns) - MAX_NAMES} more" if len(columns) > MAX_NAMES else ""
    there = ", ".join(_readable(column) for column in columns[:MAX_NAMES]) + more
    raise InputError(f"{path}: {'; '.join(said)}. Its {len(columns)} columns are: {there}{_header_hint(columns)}")


def _header_hint(columns: Sequence[str]) -> str:
    """Say what the first line may be, if it does not look like a line of names separated by commas."""
    if columns[0].startswith("#"):
        return ". Its first line is a comment: expected the column names there"
    if all(_number(name) is not None for name in columns):
        return ". Its first line holds numbers: expected the column names there"
    if len(columns) == 1:
        for mark, what in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (" ", "spaces")):
            if mark in columns[0].strip():
                return f". They seem to be separated by {what}: expected commas"
    return ""


def _blocks(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    """Yield the rows in blocks; log progress where it takes long."""
    done, said = 0, time.monotonic()
    while block := list(itertools.islice(rows, BLOCK_ROWS)):
        yield block
        done += len(block)
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            log.info("%s rows read", f"{done:,}")


def _rows(
    records: Iterator[tuple[list[str], str]], lines: _Lines, columns: Sequence[str], names: Names
) -> Iterator[_Row]:
    """Yield the data rows with what is wrong with each."""
    n = len(columns)
    i_ra, i_dec = columns.index(names.ra), columns.index(names.dec)
    i_healpix = None if names.healpix is None else columns.index(names.healpix)
    i_targetid = None if names.targetid is None else columns.index(names.targetid)
    lines.suspicious = False
    for cells, where in records:
        if len(cells) != n:
            yield _Row(cells, math.nan, math.nan, -1, [_ragged(cells, n, where)])
            continue
        problems: list[tuple[str, str]] = []
        if lines.suspicious:
            problems += _text_problems(columns, cells)
            lines.suspicious = False
        ra = _angle(names.ra, cells[i_ra], -180, 360, problems) % 360
        if ra >= 360:  # a tiny negative angle, rounded up
            ra = 0.0
        dec = _angle(names.dec, cells[i_dec], -90, 90, problems)
        if i_targetid is not None:
            problems += _targetid_problems(str(names.targetid), cells[i_targetid])
        healpix = -1 if i_healpix is None else _whole(cells[i_healpix])
        yield _Row(cells, ra, dec, healpix, problems)


def _ragged(cells: Sequence[str], n: int, where: str) -> tuple[str, str]:
    kind = "too few fields" if len(cells) < n else "too many fields"
    reason = f"{kind}: {len(cells)}, but the header has {n}"
    if len(cells) > n:
        reason += f"; beyond them: {', '.join(_show(cell) for cell in cells[n:])}"
    if where:
        reason += f"; it takes up {where}: is a quote not closed?"
    return kind, reason


def _text_problems(columns: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, cell in zip(columns, cells, strict=True):
        if _undecodable(cell):
            yield f"{name} is not UTF-8", f"{name} is not UTF-8: found {_show(cell)}"
        elif "\0" in cell:
            yield f"{name} holds NUL", f"{name} holds NUL: found {_show(cell)}"


def _angle(name: str, cell: str, low: int, high: int, problems: list[tuple[str, str]]) -> float:
    """Return the cell's number, after adding what is wrong with it to ``problems``."""
    value = _number(cell)
    if value is not None and low <= value <= high:
        return value
    found = f": found {_show(cell)}"
    if not cell.strip():
        kind, found = f"{name} is empty", ""
    elif value is None:
        kind = f"{name} is not a number"
        if _SEXAGESIMAL.search(cell):
            found += ", which looks sexagesimal; decimal degrees are expected"
    elif not math.isfinite(value):
        kind = f"{name} is not finite"
    else:
        kind = f"{name} is outside [{low}, {high}]"
    problems.append((kind, kind + found))
    return math.nan


def _number(cell: str) -> float | None:
    """Return the cell's number; unlike for Python's float, 1_000 is none, and digits are ASCII."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if cell.isascii() and "_" not in cell else None


def _whole(cell: str) -> int:
    """Return the cell's integer, written as 1702 or 1702.0, or -1."""
    found = _WHOLE.fullmatch(cell.strip())
    return int(found[1]) if found else -1


def _targetid_problems(name: str, cell: str) -> Iterator[tuple[str, str]]:
    text = cell.strip()
    found = f": found {_show(cell)}"
    if not text:
        yield f"{name} is empty", f"{name} is empty"
    elif not _INTEGER.fullmatch(text):
        hint = "; a float does not hold all digits of a TARGETID" if _number(text) is not None else ""
        yield f"{name} is not an integer", f"{name} is not an integer{found}{hint}"
    elif not 0 <= int(text) < 2**63:
        kind = f"{name} is not a TARGETID"
        yield kind, f"{kind}{found}; expected 0 to 2**63 - 1"


def _check_healpix(path: Path, names: Names, claimed: Ints, own: dict[str, npt.NDArray[Any]]) -> int | None:
    """Compare the CSV's pixels with those of RA and Dec; return how many rows disagree, None without such a column."""
    if names.healpix is None:
        return None
    ra, dec = own["ra"], own["dec"]
    wrong = np.flatnonzero(claimed != own["pix16"])
    share = 1 - len(wrong) / len(claimed)
    if share >= MIN_AGREEMENT:
        if len(wrong):
            log.warning(
                "%s: %s is not the NSIDE=%d NESTED pixel of %s, %s in %d of %d rows; RA and Dec decide",
                *(path, names.healpix, NSIDE_FILES, names.ra, names.dec, len(wrong), len(claimed)),
            )
        return len(wrong)
    schemes = pixels.guess_scheme(claimed, ra, dec)
    good = [scheme for scheme in schemes if scheme[2] >= MIN_AGREEMENT]
    if good:
        verdict = f"It agrees with {_scheme(good[0])}: convert it"
    else:
        first = wrong[0]
        verdict = (
            f"No NSIDE from 1 to 512 agrees in either ordering; the best are {', '.join(map(_scheme, schemes[:3]))}. "
            f"The first row that disagrees is row {own['row'][first]}, with {claimed[first]} instead of "
            f"{own['pix16'][first]}: see whether {names.ra} and {names.dec} are the columns it was made from"
        )
    raise InputError(
        f"{path}: column {names.healpix!r} should hold the NSIDE={NSIDE_FILES} NESTED pixels of {names.ra}, "
        f"{names.dec}, but {_percent(share)} of the {len(claimed):,} rows agree. {verdict}, or do without the check "
        "(targets.healpix: null, or no --healpix): RA and Dec decide in any case"
    )


def _scheme(scheme: tuple[int, str, float]) -> str:
    nside, ordering, share = scheme
    return f"NSIDE={nside} {ordering} ({_percent(share)})"


def _percent(share: float) -> str:
    """Return a percentage that is 100 or 0 only where it is exactly that."""
    return f"{share:.0%}" if share in (0, 1) else f"{min(max(100 * share, 0.01), 99.99):.2f}%"


def _table(
    own: dict[str, npt.NDArray[Any]],
    columns: Sequence[str],
    text: Sequence[Any],
    names: Names,
    metadata: dict[str, str],
) -> Any:
    """Return the table of the accepted rows, with the CSV's columns in their types."""
    fields = [pa.field(name, pa.from_numpy_dtype(values.dtype)) for name, values in own.items()]
    arrays: list[Any] = [pa.array(values) for values in own.values()]
    for name, stored, cells in zip(columns, _distinct_names(columns, OWN_COLUMNS), text, strict=True):
        typed = _typed(cells, identifier=name == names.targetid)
        fields.append(pa.field(stored, typed.type, metadata={"csv_column": name}))
        arrays.append(typed)
    return pa.table(arrays, schema=pa.schema(fields, metadata=metadata))


def _typed(text: Any, *, identifier: bool) -> Any:
    """Return a column of text as int64, float64 or bool where every cell is one or empty, else as it is.

    ``identifier``: every cell is known to be an integer; leading zeros are not kept.
    """
    trimmed = pc.ascii_trim_whitespace(text)
    cells = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if cells.null_count == len(cells):
        return text
    if pc.any(pc.starts_with(cells, "+")).as_py():
        cells = pc.replace_substring_regex(cells, r"^\+([0-9])", r"\1")  # Arrow's integers have no plus sign
    try:
        numbers = pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        lower = pc.ascii_lower(cells)
        true = pc.equal(lower, "true")
        return true if pc.all(pc.or_(true, pc.equal(lower, "false"))).as_py() else text
    if not identifier and pc.any(pc.match_substring_regex(cells, r"^-?0[0-9]+$")).as_py():
        return text  # an identifier: 034 is not 34
    try:
        return pc.cast(cells, pa.int64())
    except pa.ArrowInvalid:
        # Not all are integers of 64 bits; those of more than 15 digits would not survive as floats.
        return text if pc.any(pc.match_substring_regex(cells, r"^-?[0-9]{16,}$")).as_py() else numbers


def _distinct_names(columns: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return the columns' names, with ``csv_`` before those that are taken."""
    made = []
    for column in columns:
        name = column
        while name in taken or (name != column and name in columns):
            name = f"csv_{name}"
        made.append(name)
    return made


@contextmanager
def _open_to_write(path: Path, *, compress: bool = False) -> Iterator[TextIO]:
    """Open a text file that keeps undecodable bytes as they were."""
    opener: Any = gzip.open if compress else open
    with opener(path, "wt", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        yield stream


def _write_rows(stream: TextIO, rows: Iterable[list[str]]) -> None:
    """Write CSV rows; Python before 3.13 does not quote a lone carriage return, which ends a line for readers."""
    plain = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in cell for cell in row) else plain).writerow(row)


def _undecodable(cell: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in cell)


def _readable(cell: str) -> str:
    """Return the cell with undecodable bytes and NULs spelt out as ``\\xNN``."""
    text = cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\0", "\\x00")


def _show(cell: str) -> str:
    """Return a cell for a message: quoted, on one line, not too long; as bytes if it is not UTF-8."""
    cut = cell if len(cell) <= MAX_SHOWN else f"{cell[:MAX_SHOWN]}…"
    return repr(cut.encode("utf-8", "surrogateescape")) if _undecodable(cut) else repr(cut)
