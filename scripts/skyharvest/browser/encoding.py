"""Numbers, text and columns as the pages' scripts hold them: JSON.

A browser cannot read HDF5. Numbers of spectra are as they are in the file: little-endian float32, the bytes of equal
significance together, zlib, base64 (`encode`). That is 70 kB for flux and inverse variance of a real spectrum, of
62 kB; without zlib it would be 83 kB.
"""

import base64
import math
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array

_LEVEL = 6  # of zlib: higher ones gain nothing


def encode(*arrays: Array) -> str:
    """Return arrays of one type, one after the other: bytes of equal significance together, zlib, base64.

    What undoes it is ``decode`` in ``assets/data.js``.
    """
    joined = np.concatenate([np.ravel(array) for array in arrays])
    joined = joined.astype(joined.dtype.newbyteorder("<"), copy=False)
    planes = joined.view(np.uint8).reshape(len(joined), joined.dtype.itemsize).T.tobytes()
    return base64.b64encode(zlib.compress(planes, _LEVEL)).decode("ascii")


def runs(mask: Array) -> list[list[int]]:
    """Return where a mask is not 0, as ``[start, stop, value]``, half-open, of equal values.

    Parameters
    ----------
    mask
        (n,) integers.
    """
    edges = np.flatnonzero(np.diff(mask)) + 1
    starts, stops = np.append(0, edges), np.append(edges, len(mask))
    return [[int(a), int(b), int(mask[a])] for a, b in zip(starts, stops, strict=True) if a < b and mask[a]]


def _items(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the columns of a group; a survey's wavelengths are none, even where there are as many rows."""
    of_csv = "row" in group
    n = len(group["row" if of_csv else "targetid"])
    return {
        name: item
        for name, item in group.items()
        if isinstance(item, h5py.Dataset) and item.shape == (n,) and (of_csv or not name.endswith("_lambda"))
    }


def columns(group: h5py.Group) -> list[list[str]]:
    """Return name and unit of the columns of a group; a CSV's own ``row`` is beside ``CSV row``."""
    items = _items(group)
    names = [str(item.attrs.get("column", link)) for link, item in items.items()]
    labels = [
        "CSV row" if link == "row" and names.count("row") > 1 else name for link, name in zip(items, names, strict=True)
    ]
    return [[label, str(item.attrs.get("unit", ""))] for label, item in zip(labels, items.values(), strict=True)]


def rows_as_text(group: h5py.Group, rows: slice | list[int]) -> list[list[str]]:
    """Return the columns of a group as text, row by row; what is null or no number is empty."""
    columns = []
    for item in _items(group).values():
        values, null = item[rows], item.attrs.get("null_value")
        if values.dtype.kind in "SO":
            columns.append([value.strip() for value in text(values)])
        else:
            empty = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
            if null is not None:
                empty |= values == null
            columns.append(["" if none else str(value) for value, none in zip(values, empty, strict=True)])
    return [list(row) for row in zip(*columns, strict=True)]


def rows_as_text_of(rows: Array) -> Iterator[list[str]]:
    """Yield the columns of a structured array as text, row by row; what is no number is empty."""
    for row in rows:
        yield [_word(row[name]) for name in rows.dtype.names or ()]


def _word(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if isinstance(value, np.floating) and np.isnan(value) else str(value)


def text(values: Array) -> list[str]:
    """Return strings as `skyharvest.formats.hdf5.text` does, but what is no UTF-8 is shown all the same."""
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values.tolist()]


def json_values(values: Array) -> list[Any]:
    """Return a column as JSON values."""
    if values.dtype.kind in "SO":
        return [value.strip() for value in text(values)]
    if values.dtype.kind == "f":
        return [value if math.isfinite(value) else None for value in values.tolist()]
    listed: list[Any] = values.tolist()
    return listed


def plain(value: Any) -> Any:
    """Return an attribute as a JSON value."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value if isinstance(value, str) else str(value)
