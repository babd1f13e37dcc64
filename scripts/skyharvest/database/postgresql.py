"""PostgreSQL: a schema for each load, whose tables are replaced in one transaction; rows are sent by COPY.

Passwords are found by libpq itself, in ``~/.pgpass`` (PostgreSQL's documentation, 34.16); no option or setting has one.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable
from sqlalchemy.sql.ddl import ExecutableDDLElement

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.database.loading import Loading, insert_unless_there
from skyharvest.database.schema import FILES, Definition, metadata_of

CONNECT_TIMEOUT_S = 30
LOCK_S, LOCK_TRIES = 5, 12
"""How long new tables wait for those who read the old ones, and how often they let others go before."""
NEW = "{}__loading"
"""The schema in which tables are made, in a transaction that nobody sees into."""

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_CSV = pyarrow.csv.WriteOptions(include_header=False)


class PostgresqlLoading(Loading):
    """Of tables in a transaction."""

    def __init__(self, cursor: psycopg.Cursor[Any], schema: str, definitions: Iterable[Definition]) -> None:
        super().__init__(definitions)
        self._cursor, self._schema = cursor, schema
        self._staged: set[str] = set()

    def _write(self, definition: Definition, rows: pa.RecordBatch, *, unless_there: bool) -> int:
        name = definition.name
        table = f'"{self._schema}"."{name}"'
        if not unless_there:
            # The table is of this transaction: its rows need no VACUUM later.
            return self._copy(table, rows, "FORMAT csv, FREEZE")
        stage = f'pg_temp."{name}"'
        if name not in self._staged:
            self._cursor.execute(f"CREATE TEMP TABLE {stage} (LIKE {table}) ON COMMIT DROP".encode())
            self._staged.add(name)
        self._copy(stage, rows, "FORMAT csv")
        written = self._cursor.execute(insert_unless_there(definition, table, f"TABLE {stage}").encode()).rowcount
        self._cursor.execute(f"TRUNCATE {stage}".encode())
        return written

    def _copy(self, table: str, rows: pa.RecordBatch, how: str) -> int:
        # An empty cell is NULL, an empty text is "".
        text = io.BytesIO()
        pyarrow.csv.write_csv(rows, text, _CSV)
        with self._cursor.copy(f"COPY {table} FROM STDIN ({how})".encode()) as copy:
            copy.write(text.getbuffer())
        return int(rows.num_rows)


@contextmanager
def connected(server: Mapping[str, Any], *, read_only: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection; its transaction is committed if the block succeeds.

    Parameters
    ----------
    server
        ``host``, ``port``, ``dbname``, ``user``; what is None is libpq's default.

    Raises
    ------
    InputError
        If there is no such server or database, or no password for it.
    """
    known = {key: value for key, value in server.items() if value is not None}
    options = "-c timezone=UTC" + (" -c default_transaction_read_only=on" if read_only else "")
    try:
        connection = psycopg.connect(
            **known, connect_timeout=CONNECT_TIMEOUT_S, application_name="skyharvest", options=options
        )
    except psycopg.OperationalError as error:
        shown = ", ".join(f"{key} {value}" for key, value in known.items()) or "libpq's defaults"
        raise InputError(
            f"cannot connect to PostgreSQL ({shown}): {_one_line(error)}. Is it running, and is there a line "
            "host:port:dbname:user:password for it in ~/.pgpass (mode 0600)?"
        ) from None
    with connection:
        yield connection


@contextmanager
def replacing(
    server: Mapping[str, Any], schema: str, definitions: Sequence[Definition], reader: str | None
) -> Iterator[Loading]:
    """Give new tables; they replace those of the schema if the block succeeds, in one transaction.

    Parameters
    ----------
    reader
        A role that is granted to read them.

    Raises
    ------
    InputError
        If another program has made the schema's tables, something depends on them, or there is no such role.
    MalformedFile
        If rows contradict one another: a key that is there twice, a reference to a row that is not there.
    """
    new = NEW.format(schema)
    metadata = metadata_of(definitions, new)
    try:
        with connected(server) as connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL maintenance_work_mem = '256MB'")
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (new,))
            _check_ours(cursor, schema)
            _check_reader(cursor, reader)
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(new)))
            for table in metadata.sorted_tables:
                only = CreateTable(table, include_foreign_key_constraints=[])
                _define(cursor, only)
            yield PostgresqlLoading(cursor, new, definitions)
            # Indexes and references of all rows at once take a fraction of those of one row after another.
            for table in metadata.sorted_tables:
                for index in sorted(table.indexes, key=lambda one: str(one.name)):
                    _define(cursor, CreateIndex(index))
            for table in metadata.sorted_tables:
                for reference in sorted(table.foreign_key_constraints, key=lambda one: str(one.name)):
                    _define(cursor, AddConstraint(reference))
            names = [table.name for table in metadata.sorted_tables]
            for name in names:
                cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(new, name)))
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            if reader:
                grant, to = sql.SQL("GRANT {} TO {}"), sql.Identifier(reader)
                for what, where in (("USAGE ON", schema), ("SELECT ON ALL TABLES IN", new)):
                    on = sql.SQL(f"{what} SCHEMA {{}}").format(sql.Identifier(where))
                    cursor.execute(grant.format(on, to))
            _swap(cursor, schema, names)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise InputError(
            f"schema {schema}: {error.diag.message_primary} ({error.diag.message_detail}): drop that first, load, and "
            "make it again; nothing was loaded"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise InputError(f"schema {schema}: {error.diag.message_primary}: nothing was loaded") from error
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        told = ": ".join(filter(None, (error.diag.message_primary, error.diag.message_detail)))
        raise MalformedFile(f"schema {schema}: the rows contradict one another ({told}): nothing was loaded") from error
    except psycopg.OperationalError as error:  # the server went away, its disk is full
        raise OSError(f"schema {schema}: PostgreSQL: {_one_line(error)}: nothing was loaded") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _define(cursor: psycopg.Cursor[Any], element: ExecutableDDLElement) -> None:
    cursor.execute(str(element.compile(dialect=_DIALECT)).encode())


def _tables(cursor: psycopg.Cursor[Any], schema: str) -> list[str]:
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", (schema,))
    return [name for (name,) in cursor.fetchall()]


def _check_ours(cursor: psycopg.Cursor[Any], schema: str) -> None:
    there = _tables(cursor, schema)
    if there and FILES not in there:
        raise InputError(
            f"schema {schema} has tables that were not loaded by Skyharvest ({', '.join(there[:5])}): another name or "
            "database is needed"
        )


def _check_reader(cursor: psycopg.Cursor[Any], reader: str | None) -> None:
    if reader and not cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (reader,)).fetchone():
        raise InputError(f"there is no role {reader} to read with (database.reader): CREATE ROLE {reader} LOGIN")


def _swap(cursor: psycopg.Cursor[Any], schema: str, names: Sequence[str]) -> None:
    """Put new tables into the place of a schema's own. Only now does anybody wait who reads these."""
    if old := _tables(cursor, schema):
        listed = sql.SQL(", ").join(sql.Identifier(schema, name) for name in old)
        _lock(cursor, schema, sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(listed))
        cursor.execute(sql.SQL("DROP TABLE {}").format(listed))
    new = NEW.format(schema)
    for name in names:
        cursor.execute(
            sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(sql.Identifier(new, name), sql.Identifier(schema))
        )
    cursor.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(new)))


def _lock(cursor: psycopg.Cursor[Any], schema: str, statement: sql.Composed) -> None:
    """Lock tables; whoever waits for such a lock keeps new readers waiting, so it is given up and asked for again.

    Raises
    ------
    InputError
        If somebody reads them all the time; names who.
    """
    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'".encode())
    for left in reversed(range(LOCK_TRIES)):
        try:
            with cursor.connection.transaction():
                cursor.execute(statement)
            return
        except psycopg.errors.LockNotAvailable:
            if left == 0:
                break
    readers = cursor.execute(
        "SELECT DISTINCT format('%%s (%%s, pid %%s, %%s)', a.usename, a.application_name, a.pid, a.state) "
        "FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_stat_activity a ON a.pid = l.pid WHERE n.nspname = %s AND a.pid != pg_backend_pid()",
        (schema,),
    ).fetchall()
    raise InputError(
        f"schema {schema} has been read for {LOCK_S * LOCK_TRIES} s without a pause by "
        f"{', '.join(one for (one,) in readers) or 'somebody'}: nothing was loaded. Let them end their transactions "
        "(a notebook that has asked something may hold one), and load again"
    )
