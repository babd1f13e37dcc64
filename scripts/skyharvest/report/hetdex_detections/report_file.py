"""The SQLite file with a shot's reports: ``elixer_reports_{detectid // 100000}.db``, as HETDEX's own are named.

``report(detectid, image)`` has the pictures, ``made(detectid, digest)`` of what each one was made. Both are written in
one transaction for each picture: whoever is killed loses one at most. A file that is damaged is removed: pictures can
be made again.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.sqlite_file import open_database

log = logging.getLogger(__name__)

REPORTS = "report(detectid BIGINT PRIMARY KEY, image BLOB NOT NULL)"
MADE = "made(detectid BIGINT PRIMARY KEY, digest TEXT NOT NULL)"
BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite writes beside a file."""


class ReportFile:
    """An open file of reports."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def digests(self) -> dict[int, str]:
        """Return of what each picture was made, by detectid; pictures of which this is not known are not there."""
        rows = self._database.execute("SELECT made.detectid, digest FROM made JOIN report USING (detectid)")
        return {int(detectid): str(digest) for detectid, digest in rows}

    def detectids(self) -> set[int]:
        """Return which pictures there are."""
        return {int(row[0]) for row in self._database.execute("SELECT detectid FROM report")}

    def put(self, detectid: int, image: bytes, digest: str) -> None:
        """Write a picture, in the place of one that is there."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO report VALUES (?, ?)", (detectid, image))
            self._database.execute("INSERT OR REPLACE INTO made VALUES (?, ?)", (detectid, digest))

    def remove(self, detectids: Iterable[int]) -> None:
        """Remove pictures."""
        numbers = [(detectid,) for detectid in detectids]
        with self._database:
            self._database.executemany("DELETE FROM report WHERE detectid = ?", numbers)
            self._database.executemany("DELETE FROM made WHERE detectid = ?", numbers)


@contextmanager
def open_reports(path: Path) -> Iterator[ReportFile]:
    """Open a file of reports; it is made if it is not there, and made anew if it is damaged.

    Raises
    ------
    OSError
        If the disk is full, the file locked, or access denied.
    MalformedFile
        If it breaks while it is written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        check(path)
    except MalformedFile as error:
        log.warning("%s; it is made anew", error)
        for beside in ("", *BESIDE):
            path.with_name(path.name + beside).unlink(missing_ok=True)
    with open_database(path, REPORTS, "run again: it is made anew", MADE) as database:
        yield ReportFile(database)


def check(path: Path) -> None:
    """Look through a file of reports, if it is there.

    Raises
    ------
    MalformedFile
        If it is damaged, or its tables are others.
    """
    if not path.exists():
        return
    with open_database(path, REPORTS, "remove it and run again", MADE) as database:
        told = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        columns = {table: _columns(database, table) for table in ("report", "made")}
    if told != "ok":
        raise MalformedFile(f"{path}: found it damaged ({told}); remove it and run again")
    if columns != {"report": ["detectid", "image"], "made": ["detectid", "digest"]}:
        raise MalformedFile(f"{path}: found the columns {columns}; remove it and run again")


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")]
