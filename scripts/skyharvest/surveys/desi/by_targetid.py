"""Rows of a table that belong to fibers of a coadd: found by TARGETID, where that tells them."""

from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Ints

NO_REDROCK = {"Z": np.nan, "ZERR": np.nan, "ZWARN": -1, "SPECTYPE": b"", "SUBTYPE": b"", "DELTACHI2": np.nan}


@dataclass
class ByTargetid:
    """A table beside FIBERMAP, such as SCORES or redrock's REDSHIFTS.

    Attributes
    ----------
    table
        Column name → array of its own length; TARGETID among them.
    targetid : (n,) int64
        Of the coadd's fibers, all of them.
    where
        Names the table in messages.
    by_place
        Whether a table with the TARGETIDs of FIBERMAP in the same order is row-aligned with it, also where one of them
        occurs twice.
    """

    table: dict[str, Array]
    targetid: Ints
    where: str
    by_place: bool = False

    def at(self, fiber: Ints) -> tuple[dict[str, Array], str]:
        """Return the rows of some fibers, and what is wrong with them.

        Parameters
        ----------
        fiber : (k,) int64
            Indices of ``targetid``.

        Returns
        -------
        rows
            Column name → (k, …). Where a fiber's TARGETID is missing, or occurs twice in the table or among the
            fibers, all but TARGETID is `blank`.
        problem
            Names one of these, and says how many they are; empty if there are none.
        """
        wanted, available = self.targetid[fiber], self.table["TARGETID"]
        if self.by_place and np.array_equal(available, self.targetid):
            return {name: values[fiber] for name, values in self.table.items()}, ""
        index, count = align(wanted, available)
        bad = (count != 1) | (align(wanted, self.targetid)[1] != 1)
        rows = {}
        for name, values in self.table.items():
            rows[name] = values[index] if len(values) else blank(name, len(fiber), values)
            rows[name][bad] = blank(name, int(bad.sum()), values)
        rows["TARGETID"] = wanted
        if not bad.any():
            return rows, ""
        first = int(np.flatnonzero(bad)[0])
        what = "is missing" if count[first] == 0 else "is there more than once"
        return rows, f"{self.where}, column TARGETID: {wanted[first]} {what} ({bad.sum()} of {len(fiber)} targets)"


def align(wanted: Ints, available: Ints) -> tuple[Ints, Ints]:
    """Return for each wanted TARGETID its first index in ``available``, and how often it is there.

    Where it is not there the index is of another one.
    """
    order = np.argsort(available, kind="stable")
    ordered = available[order]
    first = np.searchsorted(ordered, wanted, "left")
    count = np.searchsorted(ordered, wanted, "right") - first
    if not len(available):
        return np.zeros(len(wanted), np.int64), count
    return order[np.minimum(first, len(available) - 1)], count


def blank(name: str, n: int, model: Array | None = None) -> Array:
    """Return n unknown rows of a column: as `NO_REDROCK` says, else NaN, 0, False or empty, like ``model``."""
    if model is None:
        return np.full(n, NO_REDROCK[name])
    fill = NO_REDROCK.get(name, np.nan if model.dtype.kind == "f" else np.zeros(1, model.dtype)[0])
    return np.full((n, *model.shape[1:]), fill, model.dtype)
