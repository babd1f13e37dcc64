"""Tables of the database, written down once for both engines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

KINDS: dict[str, tuple[TypeEngine[Any], pa.DataType]] = {
    "smallint": (SmallInteger(), pa.int16()),
    "integer": (Integer(), pa.int32()),
    "bigint": (BigInteger(), pa.int64()),
    "real": (REAL(), pa.float32()),
    "double": (Double(), pa.float64()),
    "boolean": (Boolean(), pa.bool_()),
    "time": (DateTime(timezone=True), pa.string()),
    "text": (String(), pa.string()),
    # SQLite's numbers end at 64 bits, and what is longer would become a float.
    "id": (Numeric(39).with_variant(Text(), "sqlite"), pa.string()),
}
"""Kind of a column → its type in a database, and in a batch of rows. ``text(7)`` is text of at most 7 characters."""

FILES = "loaded_file"
"""The table, in each schema, that says which files the others are from; what has it was written here."""


@dataclass(frozen=True)
class Definition:
    """A table.

    Attributes
    ----------
    columns
        Name → kind, one of `KINDS`.
    key
        Columns of the primary key.
    indexes
        Columns with an index each.
    unique
        Columns that together are unique, beside the key.
    refers
        Column → ``table.column`` in the same schema that has its value.
    nullable
        Whether columns that are not of the key may be NULL.
    """

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    indexes: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    refers: Mapping[str, str] = field(default_factory=dict)
    nullable: bool = False

    @property
    def arrow(self) -> pa.Schema:
        """The types of a batch of its rows."""
        return pa.schema([(name, arrow_of(kind)) for name, kind in self.columns.items()])


LOADED_FILE = Definition(FILES, {"file": "text", "bytes": "bigint", "n_rows": "bigint"}, key=("file",))


def columns_of(text: str) -> dict[str, str]:
    """Return columns by name from lines ``kind: name name …``."""
    lines = (line.split(":") for line in text.strip().splitlines())
    return {name: kind.strip() for kind, names in lines for name in names.split()}


def text_length(kind: str) -> int | None:
    """Return the length of ``text(7)``; None of other kinds."""
    return int(kind[5:-1]) if kind.startswith("text(") else None


def arrow_of(kind: str) -> pa.DataType:
    """Return the type of a kind in a batch of rows."""
    return KINDS[kind.partition("(")[0]][1]


def metadata_of(definitions: Iterable[Definition], schema: str | None = None) -> MetaData:
    """Return tables for SQLAlchemy, with `LOADED_FILE`, in a schema.

    Names of indexes are those of desispec's tables: ``ix_zpix_healpix``, ``ix_zpix_unique``.
    """
    metadata = MetaData(schema=schema)
    for definition in (*definitions, LOADED_FILE):
        name = definition.name
        constraints: list[PrimaryKeyConstraint | ForeignKeyConstraint | Index] = [PrimaryKeyConstraint(*definition.key)]
        for column, other in definition.refers.items():
            target = f"{schema}.{other}" if schema else other
            constraints.append(ForeignKeyConstraint([column], [target], name=f"fk_{name}_{column}"))
        constraints += [Index(f"ix_{name}_{column}", column) for column in definition.indexes]
        if definition.unique:
            constraints.append(Index(f"ix_{name}_unique", *definition.unique, unique=True))
        columns = [
            Column(
                column,
                String(text_length(kind)) if text_length(kind) else KINDS[kind][0],
                nullable=definition.nullable and column not in definition.key,
                autoincrement=False,
            )
            for column, kind in definition.columns.items()
        ]
        Table(name, metadata, *columns, *constraints)
    return metadata
