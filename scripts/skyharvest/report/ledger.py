"""The report's numbers that come from a ledger and its summary: steps, separations, pixels.

Works for every survey whose ledger has the columns of `skyharvest.harvest.survey.Survey.columns`, whatever its files
are called: statuses are told apart by the ends of their names.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.arrays import Bools, Floats, Ints
from skyharvest.core.errors import MalformedFile

NOT_COVERED = ("rejected", "not_covered")
NOT_SEARCHED = (*NOT_COVERED, "not_selected")  # statuses of rows that the plan does not have
NSIDE = 16  # of the assembled files; pixels of the ledger are of NSIDE 64


@dataclass(frozen=True)
class Rows:
    """A ledger's columns, a row per CSV row.

    Attributes
    ----------
    status : (n,) str
    n_results : (n,) int64
    nearest_arcsec : (n,) float64
        NaN where there is none.
    pix16 : (n,) int64
        NSIDE=16 NESTED; -1 for rejected rows.
    """

    status: npt.NDArray[np.str_]
    n_results: Ints
    nearest_arcsec: Floats
    pix16: Ints

    @property
    def covered(self) -> Bools:
        """Whether the release has a file for the row's position, there or not, (n,)."""
        return ~np.isin(self.status, NOT_COVERED)

    @property
    def accepted(self) -> Bools:
        """Whether the row has a usable position, (n,)."""
        return self.pix16 >= 0


@dataclass(frozen=True)
class Step:
    """A step of the way from the CSV to results: how many rows reached it, and how many did not, by status."""

    name: str
    reached: int
    lost: dict[str, int]


@dataclass(frozen=True)
class Pixel:
    """An NSIDE=16 pixel: its CSV rows, those that are covered, those with a result, and the number of results."""

    pix16: int
    targets: int
    covered: int
    matched: int
    results: int


def read_ledger(path: Path, count: str = "n_spectra") -> Rows:
    """Read ``ledger.csv``.

    Parameters
    ----------
    count
        The column that counts what was harvested of each row.

    Raises
    ------
    MalformedFile
        If it lacks a column, or a cell is no number.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        lines = csv.reader(stream)
        header = next(lines, [])
        columns = dict(zip(header, zip(*lines, strict=True), strict=False))
    if header and not columns:
        columns = dict.fromkeys(header, ())
    try:
        pix64 = np.array([int(cell) if cell else -1 for cell in columns["pix64"]], np.int64)
        return Rows(
            status=np.array(columns["status"], str),
            n_results=np.array(columns[count], np.int64),
            nearest_arcsec=np.array([cell or "nan" for cell in columns["nearest_arcsec"]], np.float64),
            pix16=np.where(pix64 >= 0, pix64 >> 4, -1),
        )
    except (KeyError, ValueError) as error:
        raise MalformedFile(f"{path} is not a ledger ({error}): remove it, the next run makes it anew") from error


def read_summary(path: Path) -> dict[str, Any]:
    """Read ``summary.json``.

    Raises
    ------
    MalformedFile
        If it is not what `skyharvest.harvest.ledger.summarise` writes.
    """
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if sum(summary["status"].values()) != summary["rows"]:
            raise ValueError("its statuses do not add up to its rows")
        return summary
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MalformedFile(f"{path} is not a summary ({error}): remove it, the next run makes it anew") from error


def steps(summary: Mapping[str, Any], result: str) -> list[Step]:
    """Return the steps from the CSV's rows to those with a result, with what each has lost of the one before.

    Parameters
    ----------
    summary
        From `read_summary`.
    result
        What has been harvested: ``a spectrum``.
    """
    count: dict[str, int] = dict(summary["status"])
    missing = {name: n for name, n in count.items() if name.endswith(("_absent", "_unreadable"))}
    nothing = {name: n for name, n in count.items() if name not in (*missing, "matched", *NOT_SEARCHED)}
    left = int(summary["rows"])
    way = [Step("rows of the CSV", left, {})]
    left_out = {name: n for name, n in count.items() if name == "not_selected" and n}
    for name, lost in (
        ("with a usable position", {"rejected": count["rejected"]}),
        ("where the release has data", {"not_covered": count["not_covered"]}),
        *([("where it has data that are selected", left_out)] if left_out else ()),
        ("that could be searched", missing),
        (f"with {result}", nothing),
    ):
        left -= sum(lost.values())
        way.append(Step(name, left, lost))
    return way


def per_pixel(rows: Rows) -> list[Pixel]:
    """Return the NSIDE=16 pixels with a CSV row in them, those with most results first."""
    at = rows.accepted
    pix16, index = np.unique(rows.pix16[at], return_inverse=True)
    n = len(pix16)
    covered, matched = rows.covered[at], rows.status[at] == "matched"
    counts = np.stack(
        [
            np.bincount(index, minlength=n),
            np.bincount(index[covered], minlength=n),
            np.bincount(index[matched], minlength=n),
            np.bincount(index, weights=rows.n_results[at], minlength=n).astype(np.int64),
        ]
    )
    order = np.lexsort((pix16, -counts[0], -counts[3]))
    return [Pixel(int(pix16[k]), *counts[:, k].tolist()) for k in order]


def sky_density(rows: Rows, covered: bool) -> tuple[Ints, Ints]:
    """Return the NSIDE=16 pixels of the rows that are covered, or are not, and the number of rows in each, (m,)."""
    pixels, counts = np.unique(rows.pix16[rows.accepted & (rows.covered == covered)], return_counts=True)
    return pixels, counts
