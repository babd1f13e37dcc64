"""Replacing the tables of a schema by new ones, all or nothing, whatever the engine is."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from skyharvest.database.schema import LOADED_FILE, Definition


class Loading(ABC):
    """New tables that nobody sees until all of them are there: what `skyharvest.database.connection.replacing` gives.

    Attributes
    ----------
    n_rows
        Rows that were added to each table.
    """

    def __init__(self, definitions: Iterable[Definition]) -> None:
        self.definitions = {one.name: one for one in (*definitions, LOADED_FILE)}
        self.n_rows: Counter[str] = Counter()

    def add(self, name: str, rows: pa.RecordBatch, *, unless_there: bool = False) -> None:
        """Add rows to a table.

        Parameters
        ----------
        rows
            Of the table's types, `Definition.arrow`.
        unless_there
            Leave out rows whose key the table has.
        """
        definition = self.definitions[name]
        assert rows.schema.equals(definition.arrow), f"{name}: {rows.schema}"
        if rows.num_rows:
            self.n_rows[name] += self._write(definition, rows, unless_there=unless_there)

    def note_file(self, file: Path, n_rows: int) -> None:
        """Note that rows are from a file."""
        row = {"file": [str(file)], "bytes": [file.stat().st_size], "n_rows": [n_rows]}
        self.add(LOADED_FILE.name, pa.RecordBatch.from_pydict(row, LOADED_FILE.arrow))

    @abstractmethod
    def _write(self, definition: Definition, rows: pa.RecordBatch, *, unless_there: bool) -> int:
        """Write rows, and return how many were written."""


def insert_unless_there(definition: Definition, table: str, values: str) -> str:
    """Return the statement, in the words of both engines."""
    columns = ", ".join(f'"{name}"' for name in definition.columns)
    key = ", ".join(f'"{name}"' for name in definition.key)
    return f"INSERT INTO {table} ({columns}) {values} ON CONFLICT ({key}) DO NOTHING"
