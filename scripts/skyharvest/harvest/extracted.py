"""What an extract job leaves for the next run: whether a file of it is as it should be, and a list (CSV) of its files.

The list appears when all files of the job are there, and tells without opening them what became of the archive's files:

``unit, n_spectra, n_read, n_absent, n_unreadable, n_redrock_absent``
    A line per unit: matched rows; files by what became of them; coadds that were read without their redshifts.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import h5py

from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest.plan import Unit

COLUMNS = ("unit", "n_spectra", "n_read", "n_absent", "n_unreadable", "n_redrock_absent")

Listed = tuple[Unit, int, int, int, int, int]
"""`COLUMNS`."""


def is_made(path: Path, request: str, again: Collection[str]) -> bool:
    """Tell whether an extracted file is there, as it was written.

    Parameters
    ----------
    path
        The file.
    request
        Digest of what it has to be made for.
    again
        With a file of this status (``absent``, ``unreadable``) in it, it is not good enough.
    """
    try:
        with hdf5.reading(path, check=True) as file:
            found = {*_states(file, "status"), *_states(file, "redrock")}
            return file.attrs.get("request") == request and found.isdisjoint(again)
    except (FileNotFoundError, MalformedFile, KeyError):
        return False


def listed(unit: Unit, path: Path) -> Listed:
    """Return the line of the list for an extracted file."""
    with hdf5.reading(path) as file:
        status, redrock = _states(file, "status"), _states(file, "redrock")
        n_spectra = len(file["row"] if "row" in file else file["coadd"])
    read, absent, unreadable = (status.count(what) for what in ("read", "absent", "unreadable"))
    return unit, n_spectra, read, absent, unreadable, redrock.count("absent")


def _states(file: h5py.File, what: str) -> list[str]:
    files = next(file[name] for name in ("coadds", "cubes", "bricks") if name in file)
    return hdf5.text(files[what][:]) if what in files else []


def write_list(path: Path, lines: Sequence[Listed]) -> None:
    """Write the list of a job."""
    write_rows(path, COLUMNS, lines)
