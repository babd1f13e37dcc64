"""HDF5 tables as PyTables reads them: chunked, and with room to grow."""

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array

Columns = Sequence[tuple[Any, ...]]
"""Name, type and, where it has one, shape of each column: as numpy's."""


def rows(columns: Columns, values: Mapping[str, Any]) -> Array:
    """Return a structured array.

    Parameters
    ----------
    columns
        Its type.
    values
        Of every column: an array of n, or one value for all rows.
    """
    n = max((len(value) for value in values.values() if np.ndim(value)), default=1)
    made = np.zeros(n, dtype=list(columns))
    assert set(values) == set(made.dtype.names or ()), f"{sorted(values)} are not {made.dtype.names}"
    for name, value in values.items():
        if made.dtype[name].kind == "S" and np.asarray(value).dtype.kind == "U":
            value = np.char.encode(np.asarray(value), "utf-8")  # noqa: PLW2901
        made[name] = value
    return made


def write(group: h5py.Group, name: str, table: Array) -> h5py.Dataset:
    """Write a table into a group."""
    return group.create_dataset(name, data=table, maxshape=(None,), chunks=(max(1, min(len(table), 4096)),))
