"""HETDEX's raw detections: the spectra of given detectids, out of databases that are too large to copy.

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

Layout of the file that is made (n rows, a row per detection with a spectrum, in the order that was asked for):

=====================================  ====================================================================
``detectid``, ``shotid``, ``ra``, …    (n,) every column of the index
``spectrum_flux, spectrum_error``      (n, 1036) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, both corrections applied
``spectrum_lambda``                    (1036,) Å, air
``detections/…``                       (n,) the columns of ``/Detections``; empty where a database lacks one
``requested/detectid, status``         (m,) all that was asked for; ``read``, ``unknown`` (not in the index),
                                       ``no_spectrum``, ``absent`` or ``unreadable`` (the database)
``requested/reason``                   (m,) why there is no spectrum
=====================================  ====================================================================
"""

import csv
import io
import logging
import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.archive.archive import Archive
from skyharvest.core import provenance
from skyharvest.core.errors import Absent, InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.byte_source import Range, Source
from skyharvest.surveys.hetdex.cube import BIN_WIDTH, N_WAVE, WAVE_AIR
from skyharvest.surveys.hetdex.extract import FLUX_UNIT
from skyharvest.surveys.hetdex.release import Release

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

FORMAT = "skyharvest HETDEX detections 1"

KINDS = {b"line": "detect", b"cont": "cont"}  # det_type → first part of a database's name
SURVEY = re.compile(rb"[a-z0-9.]+")  # it becomes part of a path
DETECTID = re.compile("[1-9][0-9]{9}")
UNITS = {"ra": "deg", "dec": "deg", "wave": "Angstrom"}

READ, UNKNOWN, NO_SPECTRUM, ABSENT, UNREADABLE = "read", "unknown", "no_spectrum", "absent", "unreadable"

SCAN_LIMIT = 4 << 30  # bytes of a table that is read as a whole for what is not found in it otherwise
SCAN_PIECE = 1 << 25
PROBE = 1 << 12  # bytes of rows that are looked at at once
MOST_STEPS = 128  # halvings, every other one of them, of any table
TOGETHER = 16  # rows read at once, where they are neighbours
BLOCK = 1 << 14  # bytes: for fewer a whole block is read, as what lies beside them is often wanted next
KEPT = 1 << 25  # bytes of a file that are kept


@dataclass
class Outcome:
    """What became of a detectid: `READ`, `UNKNOWN`, `NO_SPECTRUM`, `ABSENT` or `UNREADABLE`, and why."""

    status: str
    reason: str = ""


# --- HDF5 over ranges ------------------------------------------------------------------------------------------------


class _Stream(io.RawIOBase):
    """A source as a Python file, for h5py. What was read lately is kept.

    It must not keep an error of its own: HDF5 holds the stream, an error holds h5py's frames, and those hold what HDF5
    frees, by calling Python, when Python has ended.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._size = source.size()
        self._position = 0
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._n_kept = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._size)
        wanted = max(0, stop - self._position)
        if wanted:
            view[:wanted] = self._read(self._position, stop)
        self._position += wanted
        return wanted

    def _read(self, start: int, stop: int) -> bytes:
        if stop - start > BLOCK:
            return self._parts([(start, stop)])[0]
        first, last = start // BLOCK, (stop - 1) // BLOCK
        blocks = self._parts([(k * BLOCK, min((k + 1) * BLOCK, self._size)) for k in range(first, last + 1)])
        return b"".join(blocks)[start - first * BLOCK : stop - first * BLOCK]

    def _parts(self, ranges: Sequence[Range]) -> list[bytes]:
        new = [span for span in ranges if span not in self._kept]
        for span, data in zip(new, self._source.read(new), strict=True):
            self._kept[span] = data
            self._n_kept += len(data)
        parts = [self._kept[span] for span in ranges]
        for span in ranges:
            self._kept.move_to_end(span)
        while self._n_kept > KEPT:
            self._n_kept -= len(self._kept.popitem(last=False)[1])
        return parts


@contextmanager
def _opened(archive: Archive, path: str) -> Iterator[h5py.File]:
    """Open an HDF5 file of an archive, to read parts of it.

    Raises
    ------
    MalformedFile
        If it is none, or breaks while it is read.
    """
    with archive.open(path) as source:
        stream = _Stream(source)
        try:
            # Without a cache of chunks HDF5 reads of an uncompressed one the rows that are wanted.
            with h5py.File(stream, "r", rdcc_nbytes=0) as file:
                yield file
        except (OSError, RuntimeError) as error:  # what h5py says of broken files; the archive's errors are others
            raise MalformedFile(f"{source.name}: not a readable HDF5 file ({error})") from error


class _Table:
    """A table of one of the databases, whose rows are found by their detectids.

    Parameters
    ----------
    file
        The database.
    name
        Of the table.
    where
        The database's path or URL, for messages.
    columns
        What it needs beside ``detectid``: column → shape in a row.

    Raises
    ------
    MalformedFile
        If it has no such table, or that not those columns.
    """

    def __init__(self, file: h5py.File, name: str, where: str, columns: Mapping[str, tuple[int, ...]]) -> None:
        self.name = f"{where}[/{name}]"
        found = file.get(name)
        names = (found.dtype.names or ()) if isinstance(found, h5py.Dataset) else ()
        if not names or found.ndim != 1:
            raise MalformedFile(f"{self.name}: no such table; found {', '.join(file) or 'nothing'}")
        for column, shape in {"detectid": (), **columns}.items():
            if column not in names:
                raise MalformedFile(f"{self.name}: column {column} is missing; found {', '.join(names)}")
            if found.dtype[column].shape != shape:
                raise MalformedFile(
                    f"{self.name}: column {column} is of shape {found.dtype[column].shape}, not {shape}"
                )
        if found.dtype["detectid"].kind not in "iu":
            raise MalformedFile(f"{self.name}: detectid is {found.dtype['detectid']}, expected a whole number")
        self._dataset = found
        self._n_rows: int = len(found)
        self._n_bytes: int = found.dtype.itemsize  # of a row
        self.dtype: np.dtype[Any] = found.dtype

    def _ids(self, first: int, stop: int) -> Array:
        return np.asarray(self._dataset.fields("detectid")[first:stop], np.int64)

    def rows(self, wanted: Sequence[int], scan_limit: int) -> dict[int, int]:
        """Return detectid → row, for those that are found.

        Where the rows are in order, each is found by looking at few others. What is not found so is looked for in every
        row, unless the table is larger than ``scan_limit`` bytes.
        """
        found: dict[int, int] = {}
        if not self._n_rows:
            return found
        rows = sorted({0, self._n_rows - 1})
        ids = [int(self._ids(row, row + 1)[0]) for row in rows]
        for detectid in sorted(wanted):
            row = self._search(detectid, rows, ids)
            if row is not None:
                found[detectid] = row
        left = np.array(sorted(set(wanted) - set(found)), np.int64)
        if len(left) and self.can_scan(scan_limit):
            log.info("%s: looking for %d detectids in all of its %d rows", self.name, len(left), self._n_rows)
            found.update(self._scan(left))
        return found

    def can_scan(self, scan_limit: int) -> bool:
        """Tell whether the table is small enough to be read as a whole."""
        return self._n_rows * self._n_bytes <= scan_limit

    def _search(self, detectid: int, rows: list[int], ids: list[int]) -> int | None:
        """Return the row of a detectid, or None if the rows around its place have others.

        ``rows``, ``ids`` is what is known of the table; what is seen is added. Without order in the table nothing wrong
        is found, but not all that is there.
        """
        for step in range(MOST_STEPS):
            k = bisect_left(ids, detectid)
            if k < len(ids) and ids[k] == detectid:
                return rows[k]
            if k in (0, len(ids)):
                return None
            # Whole numbers that increase: no more rows than numbers lie between two of them.
            low = max(rows[k - 1] + 1, rows[k] - (ids[k] - detectid))
            high = min(rows[k] - 1, rows[k - 1] + (detectid - ids[k - 1]))
            if low > high:
                return None
            # Most detectids are numbers in a row, so that the limit itself is the best guess; halving ends it surely.
            guess = high if step % 2 == 0 else (low + high) // 2
            n_rows = max(1, PROBE // self._n_bytes)
            first = max(low, guess - n_rows // 2)
            stop = min(high + 1, first + n_rows)
            seen = self._ids(first, stop)
            new = {first: int(seen[0]), stop - 1: int(seen[-1])}
            new |= dict.fromkeys((first + np.flatnonzero(seen == detectid)).tolist(), detectid)
            rows[k:k], ids[k:k] = sorted(new), [new[row] for row in sorted(new)]
        return None

    def _scan(self, wanted: Array) -> dict[int, int]:
        """Look for detectids in every row; the first one counts."""
        found: dict[int, int] = {}
        n_rows = max(1, SCAN_PIECE // self._n_bytes)
        for first in range(0, self._n_rows, n_rows):
            ids = self._ids(first, min(first + n_rows, self._n_rows))
            for k in np.flatnonzero(np.isin(ids, wanted)).tolist():
                found.setdefault(int(ids[k]), first + k)
            if len(found) == len(wanted):
                break
        return found

    def read(self, rows: Mapping[int, int], columns: Sequence[str]) -> dict[int, Array]:
        """Return detectid → its row, one element of a structured array with ``columns``."""
        found: dict[int, Array] = {}
        wanted = sorted((row, detectid) for detectid, row in rows.items())
        names = list(dict.fromkeys(["detectid", *columns]))
        fields = self._dataset.fields(names)
        position = 0
        while position < len(wanted):
            first = wanted[position][0]
            together = [pair for k, pair in enumerate(wanted[position : position + TOGETHER]) if pair[0] == first + k]
            values = fields[first : first + len(together)]
            for value, (row, detectid) in zip(values, together, strict=True):
                assert value["detectid"] == detectid, f"{self.name}: row {row}"
                found[detectid] = value
            position += len(together)
        return found


# --- What is asked for -----------------------------------------------------------------------------------------------


def read_detectids(path: Path, column: str = "detectid") -> list[int]:
    """Return the detectids that a file lists, each once, in its order.

    Parameters
    ----------
    path
        A CSV with that column, or a text file with one of them a line, or an HDF5 file with a dataset of that name
        (such as ``catalogue.hdf5``). Cells that hold anything but ten digits are left out, with a warning if they are
        not empty.

    Raises
    ------
    InputError
        If there is no such column, or none of its cells is one. (It may be empty.)
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
            "%s: %d of %d are no detectid (ten digits), such as %r: left out", path, len(bad), len(cells), bad[0]
        )
    if bad and not good:
        raise InputError(f"{path}: no detectid in it, expected numbers of ten digits, found such as {bad[0]!r}")
    return list(dict.fromkeys(int(cell) for cell in good))


def read_correction(archive: Archive, path: str) -> Floats:
    """Return what the raw spectra are to be divided by, (1036,) float64, beside the 2 Å of a bin.

    Values that nothing can be divided by are NaN, with a warning.

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


# --- From detectids to spectra ---------------------------------------------------------------------------------------


def fetch_detections(
    archive: Archive,
    release: Release,
    detectids: Sequence[int],
    out: Path,
    *,
    scan_limit: int = SCAN_LIMIT,
    attributes: Mapping[str, Any] | None = None,
) -> dict[int, Outcome]:
    """Read the spectra of detections, and little more than those, and write them into one file.

    Parameters
    ----------
    archive
        Where the databases are.
    release
        Says where on it.
    detectids
        In the order of the rows to write; one that is given twice counts once.
    out
        The HDF5 file to write; its layout is the module's.
    scan_limit
        Bytes of a table that may be read as a whole, to look for what is not found otherwise.
    attributes
        Of the root, beside the format and the provenance.

    Returns
    -------
    dict
        What became of each detectid.

    Raises
    ------
    Absent, MalformedFile
        If the index or the correction cannot be used. (A database that cannot be is recorded.)
    ArchiveUnavailable, ArchiveRefused
        Nothing is written: the next run tries again.
    """
    correction = read_correction(archive, release.paths["detect_correction"])
    outcome: dict[int, Outcome] = {}
    with _opened(archive, release.paths["detect_index"]) as file:
        where = archive.location(release.paths["detect_index"])
        index = _Table(file, "DetectIndex", where, {"det_type": (), "survey": ()})
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
    with hdf5.create(out) as made:
        made.attrs["format"] = FORMAT
        made.attrs.update(attributes or {})
        made.attrs.update(provenance.attributes())
        _write(made, outcome, correction, listed=listed, index_dtype=index.dtype, spectra=spectra, details=details)
    return outcome


def _read_database(
    archive: Archive, path: str, wanted: Sequence[int], scan_limit: int
) -> tuple[dict[int, Array], dict[int, Array]]:
    """Return detectid → row of ``/Spectra`` and of ``/Detections``, for those that are there."""
    with _opened(archive, path) as file:
        where = archive.location(path)
        spectra = _Table(file, "Spectra", where, {"spec1d": (N_WAVE,), "spec1d_err": (N_WAVE,)})
        details = _Table(file, "Detections", where, {})
        found = spectra.read(spectra.rows(wanted, scan_limit), ("spec1d", "spec1d_err"))
        return found, details.read(details.rows(sorted(found), scan_limit), details.dtype.names or ())


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
    found = [detectid for detectid, what in outcome.items() if what.status == READ]
    requested = file.create_group("requested")
    hdf5.write_column(requested, "detectid", np.array(list(outcome), np.int64))
    for name in ("status", "reason"):
        hdf5.write_column(requested, name, np.array([getattr(what, name) for what in outcome.values()], object))
    hdf5.write_column(file, "spectrum_lambda", WAVE_AIR, unit="Angstrom", medium="air")
    for name, column in (("spectrum_flux", "spec1d"), ("spectrum_error", "spec1d_err")):
        raw = np.array([spectra[detectid][column] for detectid in found], np.float64).reshape(len(found), N_WAVE)
        dataset = hdf5.spectra_dataset(file, name, len(found), (N_WAVE,), np.float32, compressed=True, unit=FLUX_UNIT)
        dataset[:] = (raw / correction / BIN_WIDTH).astype(np.float32)
    hdf5.write_table(file, _columns([listed[detectid] for detectid in found], index_dtype), UNITS)
    columns = _columns([details.get(detectid) for detectid in found], np.dtype([("detectid", np.int64)]))
    hdf5.write_table(file.create_group("detections"), columns, UNITS)


def _columns(rows: Sequence[Array | None], dtype: np.dtype[Any]) -> dict[str, Array]:
    """Return the columns of rows of tables, which may be of several kinds; what one lacks is NaN or empty.

    Whole numbers that are lacking are `store.NULL_INTEGER`. Columns with more than one value in a row are left out.

    Parameters
    ----------
    dtype
        With the columns that are there even without any row.
    """
    dtypes: dict[str, np.dtype[Any]] = {}
    for of_row in [dtype, *(row.dtype for row in rows if row is not None)]:
        for name in of_row.names or ():
            if not of_row[name].shape:
                dtypes[name] = np.promote_types(dtypes.get(name, of_row[name]), of_row[name])
    columns = {}
    for name, kind in dtypes.items():
        lacks: Any = np.nan if kind.kind == "f" else b"" if kind.kind == "S" else hdf5.NULL_INTEGER
        values = [row[name] if row is not None and name in (row.dtype.names or ()) else lacks for row in rows]
        whole = kind.kind in "iu" and any(value is lacks for value in values)
        columns[name] = np.array(values, np.int64 if whole else kind)
    return columns
