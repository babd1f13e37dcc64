"""Which tables of the toy survey to read for which targets: a target is looked for in the table of its own pixel."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.csv_file import write_columns
from skyharvest.formats.npy_rows import rows_where, write_array

TARGET_DTYPE = np.dtype([("pix16", "i8"), ("row", "i8"), ("ra", "f8"), ("dec", "f8")])
"""A row per target that a table covers, sorted by pixel, then CSV row; ``ra``, ``dec`` in degrees."""


def write_plan(targets: Mapping[str, npt.NDArray[Any]], listed: npt.NDArray[np.int64], directory: Path) -> int:
    """Write ``plan.csv``, ``plan_pixels.csv`` and ``plan_targets.npy``; return the number of covered targets.

    Parameters
    ----------
    targets
        Columns ``row``, ``ra``, ``dec``, ``pix16``.
    listed : (n,) int64
        The pixels that the release has tables of.
    directory
        Where to.
    """
    covered = np.isin(targets["pix16"], listed)
    rows = np.empty(np.count_nonzero(covered), TARGET_DTYPE)
    for name in TARGET_DTYPE.names or ():
        rows[name] = targets[name][covered]
    rows.sort(order=["pix16", "row"])
    pix16, first, n_targets = np.unique(rows["pix16"], return_index=True, return_counts=True)
    of_tables = [rows[k : k + n] for k, n in zip(first, n_targets, strict=True)]
    digests = [hashlib.blake2b(part.tobytes(), digest_size=8).hexdigest() for part in of_tables]
    write_columns(directory / "plan.csv", ("pix16", "n_targets"), (pix16, n_targets))
    write_columns(directory / "plan_pixels.csv", ("pix16", "digest"), (pix16, np.array(digests, str)))
    write_array(directory / "plan_targets.npy", rows)
    return len(rows)


def targets_of_table(path: Path, pix16: int) -> npt.NDArray[Any]:
    """Return the rows of ``plan_targets.npy`` for one table."""
    return rows_where(path, TARGET_DTYPE, ("pix16",), (pix16,))
