"""Which database: SQLite files in a directory, or a PostgreSQL server."""

import argparse
import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyharvest.core.errors import InputError
from skyharvest.database import sqlite
from skyharvest.database.files import NAME, RESERVED, SUFFIX
from skyharvest.database.loading import Loading
from skyharvest.database.schema import Definition

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True)
class Database:
    """Where a database is.

    Attributes
    ----------
    path
        Directory of SQLite files; None if it is a PostgreSQL server.
    host, port, dbname, user
        Of the server; None is libpq's default.
    reader
        A role of the server that is granted to read.
    """

    path: Path | None = None
    host: str | None = None
    port: int | None = None
    dbname: str | None = None
    user: str | None = None
    reader: str | None = None

    @property
    def server(self) -> dict[str, Any]:
        """What libpq is told."""
        return {"host": self.host, "port": self.port, "dbname": self.dbname, "user": self.user}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a program the options that `database_of` reads."""
    group = parser.add_argument_group("database")
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument("--sqlite", type=Path, metavar="DIRECTORY", help="of SQLite files, one for each schema")
    one.add_argument("--postgresql", action="store_true", help="a server; its password is in ~/.pgpass")
    group.add_argument("--host", help="of the server, or the directory of its socket; default: libpq's")
    group.add_argument("--port", type=int)
    group.add_argument("--dbname")
    group.add_argument("--user")
    group.add_argument("--reader", help="role of the server that is granted to read")


def database_of(options: argparse.Namespace) -> Database:
    """Return the database that a program's options name."""
    server = {key: getattr(options, key) for key in ("host", "port", "dbname", "user", "reader")}
    return Database(options.sqlite, **server)


@contextmanager
def replacing(database: Database, schema: str, definitions: Sequence[Definition]) -> Iterator[Loading]:
    """Give new tables, which replace those of a schema if the block succeeds, all or nothing.

    Raises
    ------
    InputError
        If the schema cannot be called so, or its tables are not ours; if there is no such server.
    MalformedFile
        If rows contradict one another.
    """
    if not NAME.fullmatch(schema) or schema in RESERVED or schema.startswith(("pg_", "sqlite_")):
        raise InputError(f"a schema cannot be called {schema!r}: expected small letters, digits and _, at most 51")
    if database.path is not None:
        with sqlite.replacing(database.path / f"{schema}{SUFFIX}", definitions) as loading:
            yield loading
        return
    # Only who has a server needs psycopg.
    from skyharvest.database import postgresql  # noqa: PLC0415

    with postgresql.replacing(database.server, schema, definitions, database.reader) as loading:
        yield loading


QUESTIONS = ("SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "SHOW")
"""How a question begins."""


def sql_errors() -> tuple[type[Exception], ...]:
    """Return what a question that the database does not understand raises."""
    found: list[type[Exception]] = [sqlite3.Error]
    if psycopg := sys.modules.get("psycopg"):
        found.append(psycopg.Error)
    return tuple(found)


def ask(connection: Any, question: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the names and the rows of the answer to one question in SQL.

    Parameters
    ----------
    connection
        As `reading` gives it.

    Raises
    ------
    InputError
        If it is no question: another statement may do something outside of a transaction that can only read.
    """
    words = re.sub(r"--[^\n]*|/\*.*?\*/", " ", question, flags=re.DOTALL).split(maxsplit=1)
    if not words or not words[0].upper().startswith(QUESTIONS):
        raise InputError(f"expected a question ({', '.join(QUESTIONS)}); found {question.strip()[:60]!r}")
    # A server takes several statements in one text, of which one may end the transaction; prepared, it takes one.
    how = {} if isinstance(connection, sqlite3.Connection) else {"prepare": True}
    cursor = connection.cursor()
    cursor.execute(question, **how)
    return [column[0] for column in cursor.description or ()], cursor.fetchall()


@contextmanager
def reading(database: Database) -> "Iterator[psycopg.Connection[Any] | Any]":
    """Give a DB-API connection that can only read, in which the tables have the names of their schemas.

    Raises
    ------
    InputError
        If there is no such database.
    """
    if database.path is not None:
        with sqlite.reading(database.path) as connection:
            yield connection
        return
    from skyharvest.database import postgresql  # noqa: PLC0415

    with postgresql.connected(database.server, read_only=True) as server:
        yield server
