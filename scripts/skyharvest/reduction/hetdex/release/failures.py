"""Units that have no rows in a table of the release, and why: ``/Failed`` of each of its files."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import h5py
import numpy as np

from skyharvest.formats.pytables import write_table
from skyharvest.reduction.hetdex.shots.shot_tables import columns_of

TABLE = "Failed"
FAILED = columns_of("shot S12, ifu S24, reason S400")


class Failure(NamedTuple):
    """A unit that failed; its pairing is empty if the whole shot did."""

    shot: str
    ifu: str
    reason: str


def write_failures(file: h5py.File, failures: Collection[Failure]) -> None:
    """Write them, sorted, each once."""
    rows = [tuple(word.encode("ascii", "replace") for word in one) for one in sorted(set(failures))]
    write_table(file, TABLE, np.array(rows, FAILED), "What is not there, and why")


def read_failures(file: h5py.File) -> Iterable[Failure]:
    """Read those of a file; none if it has no such table."""
    if TABLE in file:
        for row in file[TABLE][:]:
            yield Failure(*(row[name].decode() for name in FAILED.names or ()))
