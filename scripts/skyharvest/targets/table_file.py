"""Tables of targets that are no CSV: FITS, VOTable, ECSV and Parquet, by what the file holds, not by its name.

Columns become int64, float32, float64, bool or text. A masked value is a null, as a blank cell of a CSV is; in text it
is empty. Columns of several values in a row, complex numbers and objects are left out.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyharvest.core.errors import InputError
from skyharvest.targets.column_types import as_text, typed

BLOCK_ROWS = 20_000  # rows turned to text at once
LARGEST = np.iinfo(np.int64).max


class TableFile(NamedTuple):
    """A table in a file.

    Attributes
    ----------
    table
        Its columns; row numbers are those of the file.
    left_out
        Why a column is not among them, by its name.
    not_degrees
        The units of columns, by name, that are units of angles, or of time (as hours of RA), but not degrees.
    remarks
        What a person should know of the choice.
    """

    table: pa.Table
    left_out: dict[str, str]
    not_degrees: dict[str, str]
    remarks: list[str]

    def records(self) -> Iterator[tuple[list[str], str]]:
        """Yield the rows as the cells that a CSV would have."""
        for start in range(0, self.table.num_rows, BLOCK_ROWS):
            columns = [_cells(column) for column in self.table.slice(start, BLOCK_ROWS).columns]
            for cells in zip(*columns, strict=True):
                yield list(cells), ""


def _cells(column: pa.ChunkedArray) -> list[str]:
    exact = pc.cast(column, pa.float64()) if pa.types.is_float32(column.type) else column  # a position has no rounding
    cells: list[str] = as_text(exact).to_pylist()
    return cells


def read_table_file(path: Path, stream: io.BufferedReader, kind: str, wanted: Sequence[str]) -> TableFile:
    """Read a table.

    Parameters
    ----------
    stream
        The file, unpacked.
    kind
        As `skyharvest.targets.csv_text.table_kind` returns it.
    wanted
        Columns that are needed: of several tables in a file, the first that has them is read, else the first.

    Raises
    ------
    InputError
        If there is no table in it, or it cannot be read.
    """
    try:
        content = io.BytesIO(stream.read())
        if kind == "a Parquet file":
            return _of_parquet(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units and the like: values are taken as they are
            return _of_astropy(*_READERS[kind](content, wanted))
    except _NoTable:
        raise InputError(f"{path} is {kind} without a table of targets: is it complete?") from None
    except ModuleNotFoundError as error:
        raise InputError(f"{path} is {kind}: to read it needs {error.name}, which is not installed here") from error
    except Exception as error:  # whatever the readers of damaged files raise
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{path} is {kind}, but cannot be read ({said}): is it complete?") from error


class _NoTable(Exception):
    """There is no table in a file."""


def _read_fits(content: io.BytesIO, wanted: Sequence[str]) -> tuple[Any, list[str]]:
    from astropy.io import fits  # noqa: PLC0415 (only for a FITS table)
    from astropy.table import Table  # noqa: PLC0415

    with fits.open(content) as hdus:
        tables = {
            f"HDU {i} {hdu.name}".strip(): (i, hdu.columns.names)
            for i, hdu in enumerate(hdus)
            if isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and not isinstance(hdu, fits.CompImageHDU)
        }
        name, remarks = _choose({key: names for key, (_, names) in tables.items()}, wanted)
        return Table.read(hdus, format="fits", hdu=tables[name][0]), remarks


def _read_votable(content: io.BytesIO, wanted: Sequence[str]) -> tuple[Any, list[str]]:
    from astropy.io.votable import parse  # noqa: PLC0415 (only for a VOTable)

    document = parse(content, verify="ignore")
    tables = {f"table {i} {table.name or ''}".strip(): table for i, table in enumerate(document.iter_tables(), 1)}
    names = {key: [field.name for field in table.fields] for key, table in tables.items()}
    name, remarks = _choose(names, wanted)
    return tables[name].to_table(use_names_over_ids=True), remarks


def _read_ecsv(content: io.BytesIO, _wanted: Sequence[str]) -> tuple[Any, list[str]]:
    from astropy.table import Table  # noqa: PLC0415 (only for ECSV)
    from astropy.table.serialize import represent_mixins_as_columns  # noqa: PLC0415
    from astropy.utils.data_info import serialize_context_as  # noqa: PLC0415

    table = Table.read(content, format="ascii.ecsv")
    with serialize_context_as("ecsv"):  # positions and times as the columns that stand in the file
        return represent_mixins_as_columns(table), []


_READERS = {"a FITS file": _read_fits, "a VOTable": _read_votable, "an ECSV table": _read_ecsv}


def _choose(tables: dict[str, list[str]], wanted: Sequence[str]) -> tuple[str, list[str]]:
    if not tables:
        raise _NoTable
    chosen = next((name for name, columns in tables.items() if set(wanted) <= set(columns)), next(iter(tables)))
    return chosen, [f"of its tables, {', '.join(tables)}, {chosen} is read"] if len(tables) > 1 else []


def _of_astropy(table: Any, remarks: list[str]) -> TableFile:
    arrays: dict[str, pa.ChunkedArray] = {}
    left_out = {}
    for name in table.colnames:
        made = _of_column(table[name])
        if isinstance(made, str):
            left_out[name] = made
        else:
            arrays[name] = pa.chunked_array([made])
    return TableFile(
        pa.table(arrays), left_out, _not_degrees({name: getattr(table[name], "unit", None) for name in arrays}), remarks
    )


def _not_degrees(units: dict[str, Any]) -> dict[str, str]:
    from astropy.units import Unit, deg  # noqa: PLC0415 (only where columns have units)

    read = {name: Unit(unit, parse_strict="silent") for name, unit in units.items() if unit is not None}
    return {
        name: unit.to_string()
        for name, unit in read.items()
        if unit != deg and {"angle", "time"} & set(unit.physical_type or ())
    }


def _of_column(column: Any) -> pa.Array | str:
    """Return a column as an array, or why it is none."""
    values = np.asarray(column)
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else np.zeros(values.shape, bool)
    if values.ndim != 1:
        return f"it has {' × '.join(map(str, values.shape[1:]))} values in each row"
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "u" and size == 8 and (values[~mask] > LARGEST).any():
        values, kind = values.astype(str), "U"
    if kind in "biu":
        return pa.array(values if kind == "b" else np.where(mask, 0, values).astype(np.int64), mask=mask)
    if kind == "f":
        return pa.array(values.astype(np.float32 if size <= 4 else np.float64), mask=mask)
    if kind in "SUMO":
        texts = np.datetime_as_string(values).tolist() if kind == "M" else values.tolist()
        cells = ["" if none else text for text, none in zip(texts, mask, strict=True)]
        if all(isinstance(cell, str | bytes | None) for cell in cells):
            return pa.array(list(map(_decoded, cells)), pa.string())
    return f"it holds {'lists or objects' if kind == 'O' else values.dtype}"


def _decoded(text: str | bytes | None) -> str:
    """Return a text; in FITS a NUL ends it."""
    if isinstance(text, bytes):
        return text.partition(b"\0")[0].decode("utf-8", "backslashreplace").rstrip()
    return (text or "").partition("\0")[0]


def _of_parquet(stream: io.BytesIO) -> TableFile:
    with pq.ParquetFile(stream) as file:
        table = file.read()
    table.validate(full=True)  # text that is not UTF-8
    about = (table.schema.metadata or {}).get(b"table_meta_yaml")  # astropy wrote it
    units: dict[str, Any] = {}
    if about is not None:
        from astropy.table.meta import get_header_from_yaml  # noqa: PLC0415 (only where it is needed)

        units = {one["name"]: one.get("unit") for one in get_header_from_yaml(about.decode().splitlines())["datatype"]}
        table = _masked(table)
    names, arrays, left_out = [], [], {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        made = _of_parquets_column(column)
        if isinstance(made, str):
            left_out[name] = made
        else:
            names.append(name)
            arrays.append(made)
    return TableFile(pa.table(arrays, names), left_out, _not_degrees(units) if units else {}, [])


def _masked(table: pa.Table) -> pa.Table:
    """Return a table with nulls where astropy keeps a mask as a column of its own, ``z.mask`` of ``z``."""
    for name in table.column_names:
        mask = f"{name}.mask"
        if mask in table.column_names and pa.types.is_boolean(table[mask].type):
            values = pc.if_else(table[mask], pa.scalar(None, table[name].type), table[name])
            table = table.set_column(table.column_names.index(name), name, values).drop_columns([mask])
    return table


def _of_parquets_column(column: pa.ChunkedArray) -> pa.ChunkedArray | str:
    """Return a column in one of the types of targets, or why it is none."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    kind = column.type
    if pa.types.is_nested(kind):
        return f"it holds {kind}"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.chunked_array([[_decoded(value) for value in column.to_pylist()]], pa.string())
    if pa.types.is_integer(kind) and (not pa.types.is_uint64(kind) or (pc.max(column).as_py() or 0) <= LARGEST):
        return pc.cast(column, pa.int64())
    if pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        return pc.cast(column, pa.float32()) if pa.types.is_float16(kind) else column
    text = as_text(column)
    if pc.any(pc.match_substring(text, "\0")).as_py():
        return "it holds a NUL character"
    return typed(text) if pa.types.is_decimal(kind) else text
