"""HETDEX's raw detections: the spectra of given detectids, from databases that are too large to copy.

Source of the format: Mentuch Cooper et al. 2026, HETDEX Public Data Release 1, Appendix A. Below ``detect/`` are HDF5
files that PyTables has written; a table is a one-dimensional dataset of a compound type:

``detect_index_hdr5.h5``
    ``/DetectIndex``: detectid, shotid, ra, dec, wave, sn, det_type (``line`` or ``cont``), survey (``hdr3``, …), ….
    32 million rows of 86 bytes in Public Data Release 1.
``detect_{survey}.h5``, ``cont_{survey}.h5``
    Of lines and of continuum sources: ``/Detections``, a row each, and ``/Spectra`` with ``spec1d``, ``spec1d_err``,
    (1036,) per bin of 2 Å. Not every detection has a spectrum: the rows of the two are not the same. 50 kB a row.
``wdcor.txt``
    1036 lines; the second column is what spectra have to be divided by, beside the 2 Å.

Layout of the file written here (n rows, a row per detection with a spectrum, in the order of the request):

=====================================  ====================================================================
``detectid``, ``shotid``, ``ra``, …    (n,) every column of the index
``spectrum_flux, spectrum_error``      (n, 1036) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, both corrections applied
``spectrum_lambda``                    (1036,) Å, air
``detections/…``                       (n,) the columns of ``/Detections``; empty where a database lacks one
``requested/detectid, status``         (m,) every detectid of the request; ``read``, ``unknown`` (not in the index),
                                       ``no_spectrum``, ``absent`` or ``unreadable`` (the database)
``requested/reason``                   (m,) why there is no spectrum
=====================================  ====================================================================
"""

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.archive.archive import Archive
from skyharvest.core import provenance
from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import Absent, InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.hdf5_spectra import spectra_dataset, write_rows
from skyharvest.surveys.hetdex import settings
from skyharvest.surveys.hetdex.cube import BIN_WIDTH, N_WAVE, WAVE_AIR
from skyharvest.surveys.hetdex.detection_tables import DetectionTable, open_hdf5
from skyharvest.surveys.hetdex.extract import FLUX_UNIT
from skyharvest.surveys.hetdex.release import Release

log = logging.getLogger(__name__)


FORMAT = "skyharvest HETDEX detections 1"

KINDS = {b"line": "detect", b"cont": "cont"}  # det_type → first part of a database's name
SURVEY = re.compile(rb"[a-z0-9.]+")  # it becomes part of a path
DETECTID = re.compile("[1-9][0-9]{9}(?:[0-9]{6})?")
"""Ten digits in public releases, sixteen in those that are reduced here."""
UNITS = {"ra": "deg", "dec": "deg", "wave": "Angstrom"}

READ, UNKNOWN, NO_SPECTRUM, ABSENT, UNREADABLE = "read", "unknown", "no_spectrum", "absent", "unreadable"

SCAN_LIMIT = 4 << 30  # bytes: a larger table is never read as a whole to find a detectid


@dataclass
class Outcome:
    """What became of a detectid: `READ`, `UNKNOWN`, `NO_SPECTRUM`, `ABSENT` or `UNREADABLE`, and why."""

    status: str
    reason: str = ""


def read_detectids(path: Path, column: str = settings.Detections.column) -> list[int]:
    """Return the detectids that a file lists, each once, in its order.

    Parameters
    ----------
    path
        A CSV with that column, or a text file with one of them a line, or an HDF5 file with a dataset of that name
        (such as ``catalogue.hdf5``). Cells that hold anything but ten or sixteen digits are left out, with a warning
        if they are not empty.

    Raises
    ------
    InputError
        If there is no such column, or no cell of it is a detectid. (The column may be empty.)
    """
    if h5py.is_hdf5(path):
        with hdf5.reading(path) as file:
            if not isinstance(file.get(column), h5py.Dataset):
                raise InputError(f"{path} has no dataset {column!r}; it has {', '.join(file)}")
            cells = [str(value) for value in file[column][:].tolist()]
    else:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as text:
            lines = [line for line in csv.reader(text) if line]
        header = [cell.strip() for cell in lines[0]] if lines else []
        at = header.index(column) if column in header else 0
        if at == 0 and column not in header and len(header) > 1:
            raise InputError(f"{path} has no column {column!r}; it has {', '.join(header)}")
        cells = [line[at].strip() if at < len(line) else "" for line in lines[int(column in header) :]]
    good = [cell for cell in cells if DETECTID.fullmatch(cell)]
    bad = [cell for cell in cells if cell and not DETECTID.fullmatch(cell)]
    if bad:
        log.warning(
            "%s: %d of %d are no detectid (ten or sixteen digits), such as %r: left out",
            path,
            len(bad),
            len(cells),
            bad[0],
        )
    if bad and not good:
        raise InputError(
            f"{path}: no detectid in it, expected numbers of ten or sixteen digits, found such as {bad[0]!r}"
        )
    return list(dict.fromkeys(int(cell) for cell in good))


def read_correction(archive: Archive, path: str) -> Floats:
    """Return the factor that raw spectra are divided by, beside the 2 Å of a bin: (1036,) float64.

    Factors that are not finite and positive become NaN, with a warning.

    Raises
    ------
    MalformedFile
        If the file has not 1036 lines with a number in the second column.
    """
    with archive.open(path) as source:
        lines = source.head(1 << 20).decode("utf-8", "replace").splitlines()
    table = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    try:
        factor = np.array([float(cells[1]) for cells in table])
    except (IndexError, ValueError) as error:
        raise MalformedFile(f"{archive.location(path)}: expected numbers in two columns ({error})") from error
    if len(factor) != N_WAVE:
        raise MalformedFile(f"{archive.location(path)}: {len(factor)} lines, expected {N_WAVE}")
    good = np.isfinite(factor) & (factor > 0)
    if not good.all():
        log.warning("%s: %d values are no factors: NaN in the spectra", archive.location(path), (~good).sum())
    return np.where(good, factor, np.nan)


def fetch_detections(
    archive: Archive,
    release: Release,
    detectids: Sequence[int],
    out: Path,
    *,
    scan_limit: int = SCAN_LIMIT,
    attributes: Mapping[str, Any] | None = None,
) -> dict[int, Outcome]:
    """Read the spectra of detections, and little more, and write them into one file.

    Parameters
    ----------
    detectids
        In the order of the rows to write. Repeats count once.
    scan_limit
        Bytes: a larger table is never read as a whole to find a detectid.
    attributes
        Of the root, beside the format and the provenance.

    Returns
    -------
    dict
        What became of each detectid.

    Raises
    ------
    Absent, MalformedFile
        If the index or the correction cannot be used. (An unusable database is recorded.)
    ArchiveUnavailable, ArchiveRefused
        Nothing is written: the next run tries again.
    """
    correction = read_correction(archive, release.paths["detect_correction"])
    outcome: dict[int, Outcome] = {}
    with open_hdf5(archive, release.paths["detect_index"]) as file:
        where = archive.location(release.paths["detect_index"])
        index = DetectionTable(file, "DetectIndex", where, {"det_type": (), "survey": ()})
        listed = index.read(index.rows(list(dict.fromkeys(detectids)), scan_limit), index.dtype.names or ())
        why = "not in the index" if index.can_scan(scan_limit) else "not found in the index, which is too large to scan"
    of_database: dict[str, list[int]] = {}
    for detectid in dict.fromkeys(detectids):
        outcome[detectid] = Outcome(UNKNOWN, why)
        if detectid in listed:
            kind, survey = bytes(listed[detectid]["det_type"]), bytes(listed[detectid]["survey"])
            if kind not in KINDS or not SURVEY.fullmatch(survey):
                outcome[detectid] = Outcome(UNREADABLE, f"the index says det_type {kind!r}, survey {survey!r}")
                continue
            path = release.detections(KINDS[kind], survey.decode())
            of_database.setdefault(path, []).append(detectid)
    spectra: dict[int, Array] = {}
    details: dict[int, Array] = {}
    for path, wanted in of_database.items():
        try:
            read = _read_database(archive, path, wanted, scan_limit)
        except (Absent, MalformedFile) as error:
            log.warning("%s", error)
            status = ABSENT if isinstance(error, Absent) else UNREADABLE
            outcome.update(dict.fromkeys(wanted, Outcome(status, str(error))))
            continue
        spectra.update(read[0])
        details.update(read[1])
        for detectid in wanted:
            outcome[detectid] = (
                Outcome(READ) if detectid in read[0] else Outcome(NO_SPECTRUM, f"not found in /Spectra of {path}")
            )
        log.info("%s: %d spectra of %d detections", archive.location(path), len(read[0]), len(wanted))
    with hdf5.create(out) as output:
        output.attrs["format"] = FORMAT
        output.attrs.update(attributes or {})
        output.attrs.update(provenance.attributes())
        _write(output, outcome, correction, listed=listed, index_dtype=index.dtype, spectra=spectra, details=details)
    return outcome


def _read_database(
    archive: Archive, path: str, wanted: Sequence[int], scan_limit: int
) -> tuple[dict[int, Array], dict[int, Array]]:
    """Return detectid → row of ``/Spectra`` and of ``/Detections``, for those that are there."""
    with open_hdf5(archive, path) as file:
        where = archive.location(path)
        spectra = DetectionTable(file, "Spectra", where, {"spec1d": (N_WAVE,), "spec1d_err": (N_WAVE,)})
        details = DetectionTable(file, "Detections", where, {})
        with_spectrum = spectra.read(spectra.rows(wanted, scan_limit), ("spec1d", "spec1d_err"))
        rows = details.rows(sorted(with_spectrum), scan_limit)
        return with_spectrum, details.read(rows, details.dtype.names or ())


def _write(
    file: h5py.File,
    outcome: Mapping[int, Outcome],
    correction: Floats,
    *,
    listed: Mapping[int, Array],
    index_dtype: np.dtype[Any],
    spectra: Mapping[int, Array],
    details: Mapping[int, Array],
) -> None:
    read = [detectid for detectid, result in outcome.items() if result.status == READ]
    requested = file.create_group("requested")
    hdf5.write_column(requested, "detectid", np.array(list(outcome), np.int64))
    for name in ("status", "reason"):
        hdf5.write_column(requested, name, np.array([getattr(result, name) for result in outcome.values()], object))
    hdf5.write_column(file, "spectrum_lambda", WAVE_AIR, unit="Angstrom", medium="air")
    for name, column in (("spectrum_flux", "spec1d"), ("spectrum_error", "spec1d_err")):
        raw = np.array([spectra[detectid][column] for detectid in read], np.float64).reshape(len(read), N_WAVE)
        dataset = spectra_dataset(file, name, len(read), (N_WAVE,), np.float32, compressed=True, unit=FLUX_UNIT)
        write_rows(dataset, slice(None), (raw / correction / BIN_WIDTH).astype(np.float32))
    hdf5.write_table(file, _columns([listed[detectid] for detectid in read], index_dtype), UNITS)
    columns = _columns([details.get(detectid) for detectid in read], np.dtype([("detectid", np.int64)]))
    hdf5.write_table(file.create_group("detections"), columns, UNITS)


def _columns(rows: Sequence[Array | None], dtype: np.dtype[Any]) -> dict[str, Array]:
    """Return the columns of rows of several tables. Missing values are NaN, empty, or `hdf5.NULL_INTEGER`.

    Columns with more than one value in a row are left out.

    Parameters
    ----------
    dtype
        The columns that are always there, even without rows.
    """
    dtypes: dict[str, np.dtype[Any]] = {}
    for row_dtype in [dtype, *(row.dtype for row in rows if row is not None)]:
        for name in row_dtype.names or ():
            if not row_dtype[name].shape:
                dtypes[name] = np.promote_types(dtypes.get(name, row_dtype[name]), row_dtype[name])
    columns = {}
    for name, kind in dtypes.items():
        null: Any = np.nan if kind.kind == "f" else b"" if kind.kind == "S" else hdf5.NULL_INTEGER
        values = [row[name] if row is not None and name in (row.dtype.names or ()) else null for row in rows]
        is_null = kind.kind in "iu" and any(value is null for value in values)
        columns[name] = np.array(values, np.int64 if is_null else kind)
    return columns
