"""The spectra of the toy survey that lie near a plan's targets.

An extracted file has, beside what all have (`skyharvest.harvest.extracted`), n spectra by CSV row: ``ra``, ``dec``
(degrees), ``separation_arcsec``, ``number`` (row of the survey's table), ``spectrum_flux`` and ``spectrum_ivar``
(n, 41).
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import Absent, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest.extracted import Files, write_files
from skyharvest.sky.matching import within_radius
from skyharvest.surveys.toy.about import SURVEY
from skyharvest.surveys.toy.table import WAVELENGTH, Spectra, read_spectra

NOTHING = Spectra(np.zeros(0), np.zeros(0), *(np.zeros((0, len(WAVELENGTH)), np.float32) for _ in range(2)))


def request_of(targets: npt.NDArray[Any], radius: float, report_radius: float) -> str:
    """Return 32 hex digits of what a table's file has to be made for."""
    digest = hashlib.blake2b(f"toy 1 {radius} {report_radius}".encode(), digest_size=16)
    digest.update(targets.tobytes())
    return digest.hexdigest()


def extract_table(
    archive: Archive,
    path: str,
    targets: npt.NDArray[Any],
    out: Path,
    *,
    radius: float,
    report_radius: float,
    check_absence: Callable[[], None] | None = None,
) -> tuple[str, list[int]]:
    """Write the spectra of a table that are near its targets, and return its status and their CSV rows.

    Parameters
    ----------
    archive, path
        Where the table is.
    targets
        Its rows of ``plan_targets.npy``.
    out
        The HDF5 file to write; its layout is the module's.
    radius, report_radius
        Within which spectra match, and are counted, arcsec.
    check_absence
        Called before the table is recorded as absent; raises if that is not to be believed.
    """
    table, status, reason = NOTHING, "read", ""
    try:
        table = read_spectra(archive, path)
    except Absent:
        if check_absence:
            check_absence()
        status, reason = "absent", "not in the archive"
    except MalformedFile as error:
        status, reason = "unreadable", str(error)
    target, number, separation = within_radius(targets["ra"], targets["dec"], table.ra, table.dec, report_radius)
    nearest = np.full(len(targets), np.nan)
    np.fmin.at(nearest, target, separation)
    counts = np.bincount(target, minlength=len(targets))
    near = separation <= radius
    target, number, separation = target[near], number[near], separation[near]
    row = targets["row"][target]
    with hdf5.create(out, sealed=True) as file:
        file.attrs["request"] = request_of(targets, radius, report_radius)
        write_files(file, Files([path], [SURVEY.kind], [status], [reason], beside=[""], n_searched=[len(table.ra)]))
        of_target = {
            "row": targets["row"],
            "n_spectra": np.bincount(target, minlength=len(targets)),
            "nearest_arcsec": nearest,
            SURVEY.near: counts,
        }
        hdf5.write_table(file.create_group("targets"), of_target)
        columns = {
            "row": row,
            "file": np.zeros(len(row), np.int32),
            "ra": table.ra[number],
            "dec": table.dec[number],
            "separation_arcsec": separation,
            "number": number,
            "spectrum_flux": table.flux[number],
            "spectrum_ivar": table.ivar[number],
        }
        hdf5.write_table(file, columns)
    return status, row.tolist()
