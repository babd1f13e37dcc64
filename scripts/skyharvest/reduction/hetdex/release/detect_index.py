"""The table of all emission lines and continuum sources, ``detect/detect_index_hdr5.h5``, as public releases have it.

``/DetectIndex`` has a row for each, sorted by detectid, with indices for PyTables. ``det_type`` and ``survey`` tell in
which file its other columns and its spectrum are: ``detect_{survey}.h5`` of lines, ``cont_{survey}.h5`` of continuum
sources. `skyharvest.surveys.hetdex.detections` reads it. ``healpix`` is of NSIDE 2¹⁵ in the RING scheme; -1 without a
place.

Beside it stands ``wdcor.txt``, which spectra of a release are divided by: ones, as there is nothing to correct here.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.core.atomic import atomic_path
from skyharvest.formats.pytables import open_new
from skyharvest.formats.pytables_index import IndexedTable
from skyharvest.reduction.hetdex.release.detection_parts import look_at, runs
from skyharvest.reduction.hetdex.release.merging import Source, open_source
from skyharvest.reduction.hetdex.shots.shot_tables import columns_of
from skyharvest.reduction.hetdex.virus import GRID
from skyharvest.sky.healpix import ang2pix

NSIDE = 2**15
COLUMNS = "detectid i8, shotid i8, ra f4, dec f4, wave f4, sn f4, healpix i8, det_type S4, survey S{}, fiber_id S38"
INDEXED = ("detectid", "healpix", "ra", "shotid")
"""Columns with an index: those of HETDEX's own file."""
AT_ONCE = 10_000
"""Rows that are read at once."""
CORRECTION = "wdcor.txt"


def healpix_of(ra: Floats, dec: Floats) -> Ints:
    """Return the pixel of each position, (n,); -1 for what has none."""
    placed = np.isfinite(ra) & np.isfinite(dec)
    made = np.full(len(ra), -1, np.int64)
    made[placed] = ang2pix(NSIDE, ra[placed].astype(np.float64), dec[placed].astype(np.float64), nested=False)
    return made


def write_detect_index(lines: Sequence[Path], continuum: Sequence[Path], release: str, out: Path) -> None:
    """Write the table, and the correction beside it.

    Parameters
    ----------
    lines, continuum
        ``detect_{release}.h5`` and ``cont_{release}.h5``, as far as there are such.
    release
        Name of the release.
    out
        The table.

    Raises
    ------
    InputError
        If a detectid is in two files.
    MalformedFile
        If a file is not what it should be.
    """
    dtype = columns_of(COLUMNS.format(max(4, len(release))))
    kinds = {path: kind for kind, paths in ((b"line", lines), (b"cont", continuum)) for path in paths}
    parts = [part for path in kinds if (part := look_at(Source(path))[0]) is not None]
    with (
        ExitStack() as stack,
        atomic_path(out) as temporary,
        open_new(temporary, f"{release} Detect Index file") as file,
        IndexedTable(file, "DetectIndex", dtype, sum(part.n for part in parts), columns=INDEXED) as table,
    ):
        tables = {path: stack.enter_context(open_source(path))["Detections"] for path in kinds}
        for part, start, stop in runs(parts):
            path = part.source.path
            for first in range(start, stop, AT_ONCE):
                rows = tables[path][first : min(first + AT_ONCE, stop)]
                table.append(_indexed(rows, kinds[path], release.encode(), dtype))
    with atomic_path(out.parent / CORRECTION) as temporary:
        temporary.write_text("".join(f"{wave:.1f} 1.0\n" for wave in GRID.tolist()))


def _indexed(rows: Array, kind: bytes, release: bytes, dtype: np.dtype[Any]) -> Array:
    """Return rows of the table for rows of ``/Detections``."""
    made = np.zeros(len(rows), dtype)
    for name in ("detectid", "shotid", "ra", "dec", "wave", "sn", "fiber_id"):
        made[name] = rows[name]
    made["healpix"] = healpix_of(rows["ra"], rows["dec"])
    made["det_type"], made["survey"] = kind, release
    return made
