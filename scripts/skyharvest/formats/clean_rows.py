"""Unusable and repeated rows of a table, left out with a warning."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.fits_hdu import HDU

log = logging.getLogger(__name__)

Rows = npt.NDArray[Any]


def keep_usable(hdu: HDU, rows: Rows, usable: npt.NDArray[np.bool_], describe: Callable[[int], str]) -> Rows:
    """Return the usable rows, of (n,) structured and (n,) bool; warn of the others.

    ``describe`` returns the values of a row, by its number, and the expected ones, for messages. Where there are rows
    and none is usable, that is a `MalformedFile`.
    """
    if usable.all():
        return rows
    n_bad, example = int((~usable).sum()), int(np.argmin(usable))
    reason = f"such as row {example}: {describe(example)}"
    if n_bad == len(rows):
        raise MalformedFile(f"{hdu}: none of its {n_bad} rows can be used, {reason}")
    log.warning("%s: %d of %d rows are left out, %s", hdu, n_bad, len(rows), reason)
    return np.asarray(rows[usable])


def keep_first(hdu: HDU, rows: Rows, columns: Sequence[str], kind: str) -> Rows:
    """Return the rows sorted by columns, the first of equal ones; warn of the others.

    ``kind`` is the word for a row in the message.
    """
    rows = rows[np.lexsort([rows[name] for name in reversed(columns)])]
    repeated = np.all([rows[name][1:] == rows[name][:-1] for name in columns], axis=0)
    if not repeated.any():
        return rows
    cells = [rows[name][1:][repeated][0] for name in columns]
    example = "_".join(cell.decode() if isinstance(cell, bytes) else str(cell) for cell in cells)
    log.warning("%s: %d rows are left out, as they list a %s once more, such as %s", hdu, repeated.sum(), kind, example)
    return np.asarray(rows[np.concatenate([[True], ~repeated])])
