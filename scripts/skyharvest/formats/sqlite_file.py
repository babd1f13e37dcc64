"""SQLite files with a table or a few."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from skyharvest.core.errors import MalformedFile

BUSY_S = 60.0  # to wait for another process that writes the file


@contextmanager
def open_database(path: Path, table: str, remedy: str, *more: str) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file, and create it if it does not exist.

    Parameters
    ----------
    table
        Name and columns of its table, in SQL; created if missing.
    remedy
        Advice about a damaged file, for the message.
    more
        Other tables, likewise.

    Raises
    ------
    OSError
        If the disk is full, the file locked, or access denied.
    MalformedFile
        If it is not an SQLite file.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as database:
            for one in (table, *more):
                database.execute(f"CREATE TABLE IF NOT EXISTS {one}")
            yield database
    except sqlite3.OperationalError as error:
        raise OSError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise MalformedFile(f"{path}: {error}: {remedy}") from error
