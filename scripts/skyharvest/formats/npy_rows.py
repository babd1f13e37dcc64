"""Structured NumPy arrays on disk, of which a job reads a few rows."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as out:
        np.save(out, array)


def rows_where(path: Path, dtype: np.dtype[Any], names: Sequence[str], values: tuple[Any, ...]) -> npt.NDArray[Any]:
    """Return the rows with these values in these columns, by bisection: little else is read.

    The file holds a structured array, sorted by these columns. Another dtype than this is a `MalformedFile`.
    """
    rows = np.load(path, mmap_mode="r", allow_pickle=False)
    if rows.dtype != dtype:
        raise MalformedFile(f"{path}: its columns are {rows.dtype}, expected {dtype}: run `snakemake plan` again")
    first, last = (
        bisect(rows, values, key=lambda row: tuple(row[name].item() for name in names))
        for bisect in (bisect_left, bisect_right)
    )
    return np.array(rows[first:last])
