"""Files of detections, merged: of the IFUs of a month, of all months, of the continuum sources of all shots.

Layout, as HETDEX's own: ``/Detections``, ``/Spectra`` and ``/Fibers``, sorted by detectid, with indices for PyTables;
and ``/Failed``, the units that have no rows, with the reason. The file is the same, byte by byte, in whatever order
files are named.

Rows are copied in batches, so that memory does not grow with their number. Spectra, which are nearly all of a file, are
not unpacked where each is a chunk of its own (`detection_tables.CHUNKS`).
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from skyharvest.core.errors import InputError
from skyharvest.formats.pytables import open_new
from skyharvest.formats.pytables_index import IndexedTable
from skyharvest.reduction.hetdex.layout import DETECTIONS_FILE, Layout
from skyharvest.reduction.hetdex.plan import Plan
from skyharvest.reduction.hetdex.release.detection_parts import (
    Batch,
    Part,
    batches,
    look_at,
    runs,
)
from skyharvest.reduction.hetdex.release.failures import Failure, write_failures
from skyharvest.reduction.hetdex.release.merging import Source, merge_files
from skyharvest.reduction.hetdex.sources.detection_tables import CHUNKS, TABLES, UNITS

INDEXED = {"Detections": ("detectid", "shotid"), "Spectra": ("detectid",), "Fibers": ("detectid",)}
"""Columns with an index: those of HETDEX's own files."""
TITLES = {
    "Detections": "HETDEX detections",
    "Spectra": "1D spectra of detections",
    "Fibers": "Fibers of each detection's spectrum",
}


def sources_of_shots(layout: Layout, plan: Plan, shots: Iterable[str]) -> list[Source]:
    """Return the files of the emission lines of all IFUs of shots.

    Raises
    ------
    InputError
        If the plan has no such shot.
    """
    shots = list(shots)
    if lacking := sorted({*shots} - {*plan.shots}):
        raise InputError(f"{layout.plan}: found no shot {lacking[0]}; expected one of {', '.join(plan.shots)}")
    return [
        Source(layout.detections(shot, ifu) / DETECTIONS_FILE, shot, ifu)
        for shot in shots
        for ifu in plan.ifus_of_shot(shot)
    ]


def merge_detections(sources: Sequence[Source], out: Path) -> None:
    """Merge files.

    A file of a unit that failed, or cannot be read, is told in ``/Failed``, and the others are merged.

    Parameters
    ----------
    sources
        Files, in any order.
    out
        The file to write.

    Raises
    ------
    InputError
        If a detectid is in two files: names both.
    MalformedFile
        If a file of several shots is not what it should be.
    """
    merge_files(sources, out, look_at, _write)


def _write(path: Path, parts: Sequence[Part], failures: Sequence[Failure]) -> None:
    n_rows = {name: sum(part.n_rows[name] for part in parts) for name in TABLES}
    with open_new(path, "HETDEX detections") as file:
        file.attrs.update(missing="NaN", units=UNITS)
        with ExitStack() as stack:
            tables = {
                name: stack.enter_context(
                    IndexedTable(
                        file,
                        name,
                        dtype,
                        n_rows[name],
                        columns=INDEXED[name],
                        title=TITLES[name],
                        chunk=CHUNKS[name],
                    )
                )
                for name, dtype in TABLES.items()
            }
            n_fibers = dict.fromkeys((part.source.path for part in parts), 0)
            for part, start, stop in runs(parts):
                path = part.source.path
                for batch in batches(part, start, stop, n_fibers[path], tables["Spectra"].takes_chunks_of):
                    _append(tables, batch)
                    n_fibers[path] += len(batch.fibers)
        write_failures(file, failures)


def _append(tables: Mapping[str, IndexedTable], batch: Batch) -> None:
    tables["Detections"].append(batch.detections)
    if isinstance(batch.spectra, list):
        tables["Spectra"].append_chunks(batch.spectra, {"detectid": batch.detections["detectid"]})
    else:
        tables["Spectra"].append(batch.spectra)
    tables["Fibers"].append(batch.fibers)
