"""The text of a CSV: files opened, cells written and shown as they are, also those that are not UTF-8."""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from skyharvest.core.errors import InputError

MAX_SHOWN = 60  # characters of a bad cell in a message
BLANKS = ("", "-", "--", "---", "...", r"\n", "null", "none", "na", "n/a", "#n/a", "<na>", "masked")
"""Cells without a value in a column of numbers, or of true and false; in capitals as well (``NULL``, ``\\N``)."""

_MAGIC = {
    b"PK\x03\x04": "a zip archive or a spreadsheet: export it as CSV",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
    b"\x89HDF": "an HDF5 file: convert its table to CSV, FITS or Parquet",
    b"<": "HTML or XML (an error page saved by a download?): fetch the CSV itself",
}
_VOTABLE = re.compile(rb"<(\w+:)?VOTABLE\b")


def table_kind(head: bytes) -> str | None:
    """Return what table a file is that begins like this, such as ``a FITS file``; None for what should be a CSV."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith(b"SIMPLE  ="):
        return "a FITS file"
    if start.startswith(b"PAR1"):
        return "a Parquet file"
    if start.startswith(b"# %ECSV"):
        return "an ECSV table"
    return "a VOTable" if start.startswith(b"<") and _VOTABLE.search(start) else None


@contextmanager
def open_as_text(path: Path, stream: io.BufferedReader, head: bytes) -> Iterator[TextIO]:
    """Read an open file as text; ``head`` is what it begins with. Bytes that are not UTF-8 become surrogates."""
    for magic, kind in _MAGIC.items():
        if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(magic):
            raise InputError(f"{path} is not CSV text but {kind}")
    if b"\0" in head.partition(b"\n")[0]:
        raise InputError(f"{path} is not CSV text: its first line holds NUL bytes")
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        yield text


@contextmanager
def open_to_write(path: Path, *, compress: bool = False) -> Iterator[TextIO]:
    """Open a text file that keeps undecodable bytes as they were."""
    opener: Any = gzip.open if compress else open
    with opener(path, "wt", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        yield stream


def write_rows(stream: TextIO, rows: Iterable[list[str]]) -> None:
    """Write CSV rows; Python before 3.13 does not quote a lone carriage return, which ends a line for readers."""
    plain = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in cell for cell in row) else plain).writerow(row)


def is_undecodable(cell: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in cell)


def readable(cell: str) -> str:
    """Return the cell with undecodable bytes and NULs spelt out as ``\\xNN``."""
    text = cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\0", "\\x00")


def shown(cell: str) -> str:
    """Return a cell for a message: quoted, on one line, not too long; as bytes if it is not UTF-8."""
    cut = cell if len(cell) <= MAX_SHOWN else f"{cell[:MAX_SHOWN]}…"
    return repr(cut.encode("utf-8", "surrogateescape")) if is_undecodable(cut) else repr(cut)
