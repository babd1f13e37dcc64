"""The journal of a survey's run: a line per file that has been dealt with, so that nobody need open results to count.

Many jobs append to one CSV file (`COLUMNS`), each by a single write. It is an index and never the truth: a line that is
torn or missing costs a reader a look into the extracted file.

==============================  ==============================================================================
``time``                        when the unit was finished or failed, UTC
``unit, survey, program``       the file: of a pixel a coadd, of a cube ``hetdex, cube``; empty where the unit failed
``status``                      ``read``, ``absent``, ``unreadable``, or ``failed``
``n_searched, n_spectra``       what was searched, as the coadd's fibers; spectra found (pairs with a CSV row)
``seconds, requests, bytes``    what reading it took; requests and bytes over the network, 0 for local files
``rows``                        CSV rows with a spectrum in this file, separated by spaces
``rows_empty``                  CSV rows with a find without data (`Survey.empty`), ditto
``message``                     why the unit failed
==============================  ==============================================================================
"""

import csv
import io
import logging
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from skyharvest.harvest.plan import Unit

log = logging.getLogger(__name__)

DONE = ("read", "absent", "unreadable")
FAILED = "failed"
MESSAGE_LENGTH = 300

File = tuple[Unit, str, str]
"""Unit, survey, program."""


@dataclass(frozen=True)
class Line:
    """A line of the journal; ``time`` in seconds since 1970."""

    time: float
    unit: Unit
    survey: str
    program: str
    status: str
    n_searched: int = 0
    n_spectra: int = 0
    seconds: float = 0.0
    requests: int = 0
    bytes: int = 0
    rows: tuple[int, ...] = ()
    rows_empty: tuple[int, ...] = ()
    message: str = ""

    @property
    def file(self) -> File:
        """The file's key."""
        return self.unit, self.survey, self.program


COLUMNS = tuple(column.name for column in fields(Line))


class Journal:
    """Where jobs note what they have done.

    Parameters
    ----------
    path
        The CSV file; None notes nothing. One that cannot be written is a warning: the job's own files matter more.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def add(self, lines: Iterable[Line]) -> None:
        """Append lines, in one piece."""
        if self._path is None:
            return
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(_cells(line) for line in lines)
        try:
            _append(self._path, out.getvalue().encode())
        except OSError as error:
            log.warning("%s is not kept: %s", self._path, error)


def _cells(line: Line) -> tuple[object, ...]:
    when = datetime.fromtimestamp(line.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = " ".join(line.message.replace("\0", "").split())
    if len(message) > MESSAGE_LENGTH:
        message = message[: MESSAGE_LENGTH - 1] + "…"
    return (
        when,
        *line.file,
        line.status,
        line.n_searched,
        line.n_spectra,
        f"{line.seconds:.3f}",
        line.requests,
        line.bytes,
        " ".join(map(str, line.rows)),
        " ".join(map(str, line.rows_empty)),
        message,
    )


def _append(path: Path, data: bytes) -> None:
    if not path.exists():
        _begin(path)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # by a full disk or a lost machine
        os.write(handle, b"\n" + data if torn else data)
    finally:
        os.close(handle)


def _begin(path: Path) -> None:
    """Write the header, once, in whole: a link is made or is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.write_text(f"{','.join(COLUMNS)}\n", encoding="utf-8")
    try:
        path.hardlink_to(temporary)
    except OSError as error:  # another job was first; or there are no links: the header is for people, do without
        log.debug("%s: %s", path, error)
    finally:
        temporary.unlink()


@dataclass
class Read:
    """What a journal says; of lines about the same file the last one counts.

    Attributes
    ----------
    files
        Those that were read, or are absent or unreadable.
    failed
        Unit → the failure of each one that has not been finished since.
    lines
        Every good line, in the file's order, also those that later ones replace: their seconds and bytes were spent.
    """

    files: dict[File, Line] = field(default_factory=dict)
    failed: dict[Unit, Line] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Requests over the network, over all lines."""
        return sum(line.requests for line in self.lines)

    @property
    def bytes(self) -> int:
        """Bytes over the network, over all lines."""
        return sum(line.bytes for line in self.lines)


def read_journal(path: Path) -> Read:
    """Read a journal; one that is not there is empty, and lines that are torn or otherwise no good are left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    journal = Read()
    for text in lines:
        line = _parse(text)
        if line is None:
            continue
        journal.lines.append(line)
        if line.status == FAILED:
            journal.failed[line.unit] = line
        else:
            journal.files[line.file] = line
            journal.failed.pop(line.unit, None)
    return journal


def _parse(text: str) -> Line | None:
    try:
        cells = next(csv.reader([text]), [])
        when, unit, survey, program, status, n_searched, n_spectra, seconds, requests, n_bytes, rows, *more = cells
        rows_empty, message = more
        if status not in (*DONE, FAILED):
            return None
        return Line(
            datetime.fromisoformat(when).timestamp(),
            int(unit) if unit.isdecimal() else unit,
            survey,
            program,
            status,
            int(n_searched),
            int(n_spectra),
            float(seconds),
            int(requests),
            int(n_bytes),
            tuple(map(int, rows.split())),
            tuple(map(int, rows_empty.split())),
            message,
        )
    except (ValueError, csv.Error):
        return None
