"""SQLite: a file for each schema, which a new one replaces; to be read, files are attached by their names."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.database.files import NAME, RESERVED, SUFFIX
from skyharvest.database.loading import Loading, insert_unless_there
from skyharvest.database.schema import FILES, Definition, metadata_of

CACHE_KB = 256 * 1024
MAX_ATTACHED = 10
"""SQLite's own limit."""

_DIALECT = sqlite.dialect()


class SqliteLoading(Loading):
    """Of a new file."""

    def __init__(self, connection: sqlite3.Connection, definitions: Iterable[Definition]) -> None:
        super().__init__(definitions)
        self._connection = connection

    def _write(self, definition: Definition, rows: pa.RecordBatch, *, unless_there: bool) -> int:
        values = f"VALUES ({', '.join('?' * rows.num_columns)})"
        if unless_there:
            statement = insert_unless_there(definition, definition.name, values)
        else:
            statement = f"INSERT INTO {definition.name} {values}"
        return self._connection.executemany(statement, zip(*map(_listed, rows.columns), strict=True)).rowcount


def _listed(column: pa.Array) -> list[Any]:
    """Return a column's values as Python's own; NumPy does it faster where it can."""
    if column.null_count or pa.types.is_string(column.type):
        return list(column.to_pylist())
    return list(column.to_numpy(zero_copy_only=False).tolist())


@contextmanager
def replacing(path: Path, definitions: Sequence[Definition]) -> Iterator[Loading]:
    """Give new tables; they replace the file if the block succeeds.

    Raises
    ------
    InputError
        If another program has made the file.
    MalformedFile
        If rows contradict one another: a key that is there twice, a reference to a row that is not there.
    """
    _check_ours(path)
    metadata = metadata_of(definitions)
    try:
        with atomic_path(path) as temporary, closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            # Nobody sees the file before it is whole: it needs no journal.
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KB}"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")
            for table in metadata.sorted_tables:
                connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
            yield SqliteLoading(connection, definitions)
            for table in metadata.sorted_tables:
                for index in sorted(table.indexes, key=lambda one: str(one.name)):
                    connection.execute(str(CreateIndex(index).compile(dialect=_DIALECT)))
            if broken := connection.execute("PRAGMA foreign_key_check").fetchone():
                raise MalformedFile(
                    f"{path}: row {broken[1]} of table {broken[0]} refers to a row of table {broken[2]} that is not "
                    "there: load the file that has it as well"
                )
            connection.execute("ANALYZE")
            connection.execute("COMMIT")
    except sqlite3.IntegrityError as error:
        raise MalformedFile(f"{path}: the rows contradict one another ({error}): nothing was loaded") from error
    except sqlite3.OperationalError as error:  # a full disk
        raise OSError(f"{path}: {error}: nothing was loaded") from error


def _check_ours(path: Path) -> None:
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            ours = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (FILES,)).fetchone()
    except sqlite3.DatabaseError:
        ours = None
    if not ours:
        raise InputError(f"{path} is not a file that was loaded by Skyharvest: move it, or set database.path")


@contextmanager
def reading(directory: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that can only read, with each file of a directory as a schema.

    Raises
    ------
    InputError
        If there are none, or too many.
    """
    found = (path for path in directory.glob(f"*{SUFFIX}") if NAME.fullmatch(path.stem) and path.stem not in RESERVED)
    files = sorted(found)
    if not files or len(files) > MAX_ATTACHED:
        raise InputError(f"{directory} has {len(files)} files *{SUFFIX}, expected 1 to {MAX_ATTACHED}: load something")
    with closing(sqlite3.connect(":memory:", uri=True)) as connection:
        for path in files:
            try:
                connection.execute(f'ATTACH ? AS "{path.stem}"', (f"{path.absolute().as_uri()}?mode=ro",))
            except sqlite3.DatabaseError as error:
                raise InputError(f"{path} is no SQLite file ({error}): move it to another directory") from error
        connection.execute("PRAGMA query_only = ON")
        yield connection
