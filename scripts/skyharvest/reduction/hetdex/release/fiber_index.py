"""The table of all fibers, ``survey/fiber_index_{release}.h5``, with HEALPix pixels and flags; and that of a shot.

``/FiberIndex`` has a row for each fiber of each exposure, in the order of shots and of rows of their files; columns,
and those with an index for PyTables, are HETDEX's. ``healpix`` is of NSIDE 2¹⁵ in the RING scheme; -1 without a place.
Flags are 1 where all is well, see `skyharvest.reduction.hetdex.sources.flags`. Shots that have no fibers are in
``/Failed``, with the reason.
"""

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.pytables import TableWriter, open_new, write_table
from skyharvest.formats.pytables_index import IndexedTable
from skyharvest.reduction.hetdex.layout import shotid_of
from skyharvest.reduction.hetdex.release.detect_index import healpix_of
from skyharvest.reduction.hetdex.release.failures import Failure, write_failures
from skyharvest.reduction.hetdex.release.merging import Source, Unreadable, check_unit, merge_files, open_source
from skyharvest.reduction.hetdex.release.survey_file import look_at_shot
from skyharvest.reduction.hetdex.shots.shot_tables import FIBER_INDEX as FIBERS_OF_SHOT
from skyharvest.reduction.hetdex.shots.shot_tables import columns_of
from skyharvest.reduction.hetdex.source_settings import Flags
from skyharvest.reduction.hetdex.sources.flags import FLAGS, QUALITY_COLUMNS, FiberQuality, flag_fibers
from skyharvest.reduction.hetdex.sources.sky_faults import SkyFaults

log = logging.getLogger(__name__)

PLACES = columns_of(
    """multiframe S20, ra f4, dec f4, fiber_id S38, healpix i8, amp S2, date i8, datevobs S12, expnum i4, fibidx i4,
    fibnum i4, fpx f4, fpy f4, ifuslot S3, ifuid S3, ifux f4, ifuy f4, shotid i8, specid S3"""
)
FIBER_INDEX = np.dtype([*PLACES.descr, *FLAGS.descr])
FLAGS_OF_FIBER = np.dtype([("fiber_id", "S38"), *FLAGS.descr])
INDEXED = ("healpix", "ra", "shotid")
"""Columns with an index: those of HETDEX's own file."""
TITLE = "Fibers with flags"
MASK = "fiber_mask.h5"
"""Beside the table: ``/Flags`` has its flags alone, in which hetdex_api looks for them."""
AT_ONCE = 448
"""Fibers whose spectra are read at once: those of an IFU's exposure, 6 MB."""


def write_fibers_of_shot(name: str, path: Path, out: Path, settings: Flags) -> None:
    """Write the table of a shot's fibers.

    Parameters
    ----------
    name, path
        The shot, and ``shots/SHOT.h5``. If that failed, or cannot be read, the table says so in its attribute
        ``failed`` and has no rows.
    out
        The file to write.
    settings
        What makes a fiber bad.

    Raises
    ------
    InputError
        If a file of what is known of the sky is wrong.
    """
    faults = SkyFaults.read(settings)
    try:
        part, failures = look_at_shot(Source(path, name))
        rows = _fibers_of_shot(name, path, part.row[0], settings, faults) if part else np.zeros(0, FIBER_INDEX)
        failed = failures[0].reason if failures else ""
    except (OSError, MalformedFile) as error:
        rows, failed = np.zeros(0, FIBER_INDEX), str(error)
    with atomic_path(out) as temporary, open_new(temporary, f"Fibers of {name}") as file:
        file.attrs.update(shot=name, failed=failed, missing="NaN")
        write_table(file, "FiberIndex", rows, TITLE)
    log.info("%s: %d fibers, %d of them bad%s", out, len(rows), (rows["flag"] == 0).sum(), failed and f"; {failed}")


def _fibers_of_shot(name: str, path: Path, shot: Array, settings: Flags, faults: SkyFaults) -> Array:
    with open_source(path) as file:
        places = file["Data/FiberIndex"][:]
        if places.dtype != FIBERS_OF_SHOT or len(places) != len(file["Data/Fibers"]):
            raise MalformedFile(f"{path}[/Data/FiberIndex]: found no rows for {len(file['Data/Fibers'])} fibers")
        quality = _quality(file["Data/Fibers"])
    made = np.zeros(len(places), FIBER_INDEX)
    for column in places.dtype.names or ():
        made[column] = places[column]
    words = np.char.split(places["multiframe"].astype("U20"), "_").tolist()
    for column, k in (("specid", 1), ("ifuslot", 2), ("ifuid", 3), ("amp", 4)):
        made[column] = [parts[k].encode() for parts in words]
    made["healpix"] = healpix_of(places["ra"], places["dec"])
    made["shotid"], made["datevobs"], made["date"] = shotid_of(name), name.encode(), shot["date"]
    ra, dec = (places[column].astype(np.float64) for column in ("ra", "dec"))
    flags = flag_fibers(shot, places["expnum"], places["multiframe"], ra, dec, quality, faults, settings)
    for column in FLAGS.names or ():
        made[column] = flags[column]
    return made


def _quality(fibers: h5py.Dataset) -> FiberQuality:
    columns = fibers.fields(list(QUALITY_COLUMNS))
    pieces = [FiberQuality.of(columns[first : first + AT_ONCE]) for first in range(0, len(fibers), AT_ONCE)]
    return FiberQuality.joined(pieces)


def merge_fibers(sources: Sequence[Source], out: Path) -> None:
    """Merge the tables of shots; memory is that of one.

    Parameters
    ----------
    sources
        What `write_fibers_of_shot` has written, in any order. A shot whose file cannot be read fails.
    out
        The file to write; `MASK` is written beside it.
    """
    merge_files(sources, out, _look_at, functools.partial(_write, out.with_name(MASK)))


@dataclass(frozen=True)
class Part:
    """The fibers of a shot.

    Attributes
    ----------
    source
        Their file.
    n
        How many there are.
    """

    source: Source
    n: int


def _look_at(source: Source) -> tuple[Part | None, list[Failure]]:
    with open_source(source.path) as file:
        check_unit(file, source)
        if reason := str(file.attrs.get("failed", "")):
            return None, [Failure(source.shot, "", reason)]
        if "FiberIndex" not in file or file["FiberIndex"].dtype != FIBER_INDEX:
            raise MalformedFile(f"{source.path}[/FiberIndex]: found no table of the columns expected; remove it")
        return Part(source, len(file["FiberIndex"])), []


def _write(mask_path: Path, path: Path, parts: Sequence[Part], failures: Sequence[Failure]) -> None:
    n = sum(part.n for part in parts)
    with (
        open_new(path, "HETDEX Fiber Index file") as file,
        atomic_path(mask_path) as temporary,
        open_new(temporary, "HETDEX Fiber Mask file") as mask_file,
    ):
        file.attrs["missing"] = "NaN"
        with (
            IndexedTable(file, "FiberIndex", FIBER_INDEX, n, columns=INDEXED, title=TITLE) as table,
            TableWriter(mask_file, "Flags", FLAGS_OF_FIBER, n, "Flags of fibers, as /FiberIndex has them") as mask,
        ):
            for part in sorted(parts, key=lambda part: part.source.shot):
                rows = _read(part.source)
                table.append(rows)
                mask.append(_columns_of(rows, FLAGS_OF_FIBER))
        write_failures(file, failures)


def _columns_of(rows: Array, dtype: np.dtype[Any]) -> Array:
    """Return some columns of rows, packed."""
    made = np.zeros(len(rows), dtype)
    for name in dtype.names or ():
        made[name] = rows[name]
    return made


def _read(source: Source) -> Array:
    try:
        with open_source(source.path) as file:
            return np.asarray(file["FiberIndex"][:])
    except OSError as error:
        raise Unreadable(source, error) from None
