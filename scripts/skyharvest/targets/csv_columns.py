"""The CSV's own columns in the assembled files of every survey: the group that ``targets: name`` names."""

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import arrow, hdf5
from skyharvest.targets.column_types import as_numbers, first_no_number
from skyharvest.targets.csv_rows import OWN_COLUMNS


def write_csv_columns(group: h5py.Group, table: pa.Table, index: npt.NDArray[np.int64]) -> None:
    """Write the CSV's own columns, with their types, to a group: the rows ``index``, (n,), of ``targets.parquet``."""
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    group.attrs.update({key: metadata[key] for key in ("csv", "ra_column", "dec_column") if key in metadata})
    taken = arrow.take(table, index)
    hdf5.write_column(group, "row", arrow.to_numpy(taken.column("row"))[0])
    for original, name in _names(table).items():
        link = hdf5.safe_name(original if original != "row" else "csv_row", group)
        values, null = arrow.to_numpy(taken.column(name))
        hdf5.write_column(group, link, values, column=original if link != original else None, null_value=null)


def number_column(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column of the CSV, by its name there, as numbers, (n,) float64; NaN where a cell is blank.

    A column that stayed text because numbers do not give its cells back exactly is read as well.

    Raises
    ------
    InputError
        If the CSV has no such column, or one of its cells is neither a number nor blank. Says which.
    """
    columns = _names(table)
    if name not in columns:
        raise InputError(f"the CSV has no column {name!r}; it has {', '.join(columns)}")
    column = table.column(columns[name])
    if pa.types.is_string(column.type):
        bad = first_no_number(column)
        if bad is not None:
            raise InputError(
                f"column {name!r} of the CSV holds {column[bad].as_py()!r} in row {table.column('row')[bad]}, expected "
                "numbers, or blank cells"
            )
        column = as_numbers(column)
    values, null = arrow.to_numpy(column)
    if values.dtype.kind not in "fiu":
        raise InputError(f"column {name!r} of the CSV holds true and false, expected numbers, or blank cells")
    numbers = values.astype(np.float64)
    return numbers if null is None else np.where(values == null, np.nan, numbers)


def csv_group(file: h5py.File, name: str) -> h5py.Group:
    """Return the group of the CSV's columns of an assembled file.

    Raises
    ------
    MalformedFile
        If the file has none of this name; says what it has.
    """
    if name not in file:
        raise MalformedFile(f"{file.filename} has no group {name!r} of the CSV's columns; it has {', '.join(file)}")
    return file[name]


def _names(table: pa.Table) -> dict[str, str]:
    """Return the name in the table of each of the CSV's columns, by its name in the CSV."""
    return {
        (field.metadata or {}).get(b"csv_column", field.name.encode()).decode(): field.name
        for field in table.schema
        if field.name not in OWN_COLUMNS
    }
