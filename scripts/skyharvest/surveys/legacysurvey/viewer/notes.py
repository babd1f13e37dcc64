"""What the viewer was asked for, and what came: ``viewer.db``, and ``viewer.csv`` made of it."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from skyharvest.core.csv_file import write_rows
from skyharvest.formats.sqlite_file import open_database
from skyharvest.surveys.legacysurvey.viewer.queue import QueuedCutout

TABLE, DATABASE = "viewer.csv", "viewer.db"
COLUMNS = ("row", "layer", "path", "status", "reason")
THERE, ABSENT, WRONG, ERROR, WAITING = "there", "absent", "wrong", "error", "waiting"
FINAL = (THERE, ABSENT, WRONG)


def open_notes(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    """Open the notes, new or not."""
    table = "asked (path TEXT PRIMARY KEY, query TEXT, status TEXT, reason TEXT)"
    return open_database(path, table, "remove it; files that are there will not be fetched again")


def known_files(database: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    """Return path → (query, status, reason)."""
    lines = database.execute("SELECT path, query, status, reason FROM asked")
    return {path: (query, status, reason) for path, query, status, reason in lines}


def write_table(path: Path, queue: Iterable[QueuedCutout], database: Path) -> Counter[str]:
    """Write ``viewer.csv``, by row, and return the number of files of each status."""
    with open_notes(database) as opened:
        known = known_files(opened)
    count: Counter[str] = Counter()

    def lines() -> Iterator[tuple[object, ...]]:
        for cutout in sorted(queue, key=lambda cutout: cutout.row):
            query, status, reason = known.get(cutout.path, ("", WAITING, ""))
            if query != cutout.query:
                status, reason = WAITING, ""
            count[status] += 1
            yield cutout.row, cutout.layer, cutout.path, status, reason

    write_rows(path, COLUMNS, lines())
    return count
