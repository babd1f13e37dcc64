"""What all surveys' extracted files share, and the list (CSV) of its files that a job leaves for the next run.

An extracted file is of one unit. Beside what is the survey's own it has (n spectra or images, m targets, f files):

=====================================  ====================================================================
``row``                                (n,) CSV row
``kept``                               (n,) whether it is taken into the assembled file; without it, all are
``file``                               (n,) index into ``files``: which one it is from, or the first of several
``files/path``                         (f,) below the archive's root: every file that was asked for, there or not
``files/survey, program``              (f,) its kind, as the plan names it; others are of other units
``files/status, reason``               (f,) ``read``, ``absent`` or ``unreadable``, and why; or why without a part
``files/without``                      (f,) parts that a file was read without, separated by ``; ``: ``arm z; scores``
``files/beside``                       (f,) ``read``, ``incomplete``, ``absent``, ``unreadable`` or ``not read``: what
                                       is beside it, as redrock's file beside a coadd; empty if there is no such file
``files/n_searched``                   (f,) what was searched in it: fibers, or targets
``targets/row``                        (m,) every target of the unit
``targets/n_spectra``                  (m,) its spectra or images
``targets/nearest_arcsec``             (m,) distance to what is nearest; NaN if nothing is near
``targets/n_empty``                    (m,) what was found for it, but without data: only with `Survey.empty`
attribute ``request``                  digest of the targets and options that it was made for
attribute ``whole``                    only without its spectra or images (`keep_extracted: false`): digest of the whole
=====================================  ====================================================================

The list appears when all files of the job are there, and tells without opening them what became of the archive's files:

``unit, n_spectra, n_read, n_absent, n_unreadable, n_beside_absent, n_beside_unreadable``
    A line per unit: spectra or images; files by what became of them; files that were read without what is beside them.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Bools
from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest.journal import Line
from skyharvest.harvest.plan import Kind, Unit

COUNTS = ("n_spectra", "n_read", "n_absent", "n_unreadable", "n_beside_absent", "n_beside_unreadable")
COLUMNS = ("unit", *COUNTS, "request")

WHOLE = "whole"
"""Attribute of an extracted file without its spectra or images: the digest of the file that it was."""

KEPT = ("row", "kept", "file", "files", "targets")
"""What such a file still has."""

Listed = tuple[Unit, int, int, int, int, int, int, str]
"""`COLUMNS`."""


@dataclass(frozen=True)
class Files:
    """The group ``files`` of an extracted file."""

    path: list[str]
    kind: list[Kind]
    status: list[str]
    reason: list[str]
    beside: list[str]
    n_searched: list[int]
    without: list[str] = field(default_factory=list)


def write_files(file: h5py.File, files: Files, own: Mapping[str, Array] | None = None) -> None:
    """Write the group ``files``, with columns of the survey's own."""
    texts = {
        "path": files.path,
        "survey": [survey for survey, _ in files.kind],
        "program": [program for _, program in files.kind],
        "status": files.status,
        "reason": files.reason,
        "beside": files.beside,
        "without": files.without or [""] * len(files.path),
    }
    columns = {name: np.array(values, object) for name, values in texts.items()}
    columns["n_searched"] = np.array(files.n_searched, np.int64)
    hdf5.write_table(file.create_group("files"), {**columns, **(own or {})})


def read_files(file: h5py.File) -> Files:
    """Return the group ``files`` of an extracted file.

    Raises
    ------
    MalformedFile
        If it has none: it was written by an earlier version.
    """
    columns = hdf5.read_group(file, "files") if "files" in file else {}
    if "without" not in columns:
        raise MalformedFile(f"{file.filename} is of an earlier version: remove it, the next run makes it anew")
    path, survey, program, status, reason, beside, without = (
        hdf5.text(columns[name]) for name in ("path", "survey", "program", "status", "reason", "beside", "without")
    )
    kind = list(zip(survey, program, strict=True))
    return Files(path, kind, status, reason, beside, columns["n_searched"].tolist(), without)


def kept_rows(file: h5py.File) -> Bools:
    """Tell which rows of an extracted file are taken into the assembled file, (n,).

    Raises
    ------
    MalformedFile
        If it was written by an earlier version.
    """
    read_files(file)
    return np.asarray(file["kept"][:]) if "kept" in file else np.ones(len(file["row"]), bool)


def best(statuses: Collection[str]) -> str:
    """Return the status of files that count as one: the best of theirs."""
    return next((status for status in ("read", "unreadable") if status in statuses), "absent")


def lines_of(file: h5py.File, unit: Unit) -> dict[Kind, Line]:
    """Return what an extracted file says of each kind of file, as the journal does, but not what reading it took."""
    files = read_files(file)
    row, of_file = file["row"][:], file["file"][:]
    kept = kept_rows(file)
    lines = {}
    for kind in dict.fromkeys(files.kind):
        numbers = [k for k, of in enumerate(files.kind) if of == kind]
        own = np.isin(of_file, numbers)
        rows = row[own & kept]
        lines[kind] = Line(
            0.0,
            unit,
            *kind,
            best([files.status[k] for k in numbers]),
            n_searched=max(files.n_searched[k] for k in numbers),
            n_spectra=len(rows),
            rows=tuple(np.unique(rows).tolist()),
            rows_empty=tuple(np.unique(row[own & ~kept]).tolist()),
            message=next((files.reason[k] for k in numbers if files.reason[k]), ""),
        )
    return lines


def is_made(path: Path, request: str, again: Collection[str]) -> bool:
    """Tell whether an extracted file is there, as it was written.

    Parameters
    ----------
    again
        With a file of this status (``absent``, ``unreadable``) in it, it is not good enough.
    """
    try:
        with hdf5.reading(path, check=True) as file:
            files = read_files(file)
            return file.attrs.get("request") == request and {*files.status, *files.beside}.isdisjoint(again)
    except (FileNotFoundError, MalformedFile, KeyError):
        return False


def content_of(path: Path) -> str:
    """Return hex digits that equal content of extracted files has in common, also after `remove_data`."""
    with hdf5.reading(path) as file:
        return str(file.attrs.get(WHOLE) or hdf5.seal_of(path))


def has_data(path: Path) -> bool:
    """Tell whether an extracted file has its spectra or images: not after `remove_data`."""
    with hdf5.reading(path) as file:
        return WHOLE not in file.attrs


def remove_data(path: Path) -> None:
    """Make an extracted file anew with what the ledger and lists need: the tables of files, targets and rows.

    It keeps its time: nobody has to look into it again because it is newer than what was made of it.
    """
    times = path.stat()
    with hdf5.reading(path) as file:
        if WHOLE in file.attrs:
            return
        with hdf5.create(path, sealed=True) as smaller:
            smaller.attrs.update(file.attrs)
            smaller.attrs[WHOLE] = hdf5.seal_of(path)
            for name in KEPT:
                if name in file:
                    file.copy(name, smaller)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def listed(unit: Unit, path: Path) -> Listed:
    """Return the line of the list for an extracted file."""
    with hdf5.reading(path) as file:
        files = read_files(file)
        n_spectra, request = int(file["targets/n_spectra"][:].sum()), str(file.attrs["request"])
    read, absent, unreadable = (files.status.count(status) for status in ("read", "absent", "unreadable"))
    beside_absent, beside_unreadable = (files.beside.count(status) for status in ("absent", "unreadable"))
    return unit, n_spectra, read, absent, unreadable, beside_absent, beside_unreadable, request


def write_list(path: Path, lines: Sequence[Listed]) -> None:
    """Write the list of a batch."""
    write_rows(path, COLUMNS, lines)
