"""The table of all cubes of a release, ``ifu-index.fits``, with the columns of HETDEX's Public Data Release 1.

It has the cubes that are there, sorted by shotid, then ifuslot. ``fluxlimit_4600`` is that of the cube's IFU
(`flux_limits.limit_at_4600`), NaN where lines were not looked for.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import fitsio
import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.lines.flux_limits import FILE as LIMITS_FILE
from skyharvest.reduction.hetdex.lines.flux_limits import limit_at_4600
from skyharvest.reduction.hetdex.release import cubes_csv
from skyharvest.reduction.hetdex.release.cubes_csv import FLUX_LIMIT, INDEX

log = logging.getLogger(__name__)

EXTENSION = "IFU-INDEX"
_UNITS = {
    **dict.fromkeys(("ra_cen", "dec_cen", "ra_shot", "dec_shot", "pa", "structaz"), "deg"),
    **dict.fromkeys(("trajcdec", "trajcpa", "trajcra"), "deg"),
    **dict.fromkeys(("fwhm_virus", "fwhm_virus_err"), "arcsec"),
    **{"exptime": "s", "mjd": "d", "ambtemp": "Celsius", FLUX_LIMIT: "erg/(s cm2)"},
}


def write_index(layout: Layout, shots: Iterable[str], out: Path, *, limits: bool = True) -> None:
    """Write the table of the cubes of some shots.

    Parameters
    ----------
    layout
        Where products are.
    shots
        Names.
    out
        The file to write.
    limits
        Whether flux limits that are there are of what is asked for; else they are of an earlier run.

    Raises
    ------
    MalformedFile
        If a shot's table is none, or a cube that it names is not there.
    """
    found = [row for shot in shots for row in _cubes_of(layout, shot, limits)]
    rows = np.array(found, INDEX) if found else np.zeros(0, INDEX)
    rows = rows[np.argsort(rows, order=("shotid", "ifuslot"))]
    with atomic_path(out) as temporary:
        temporary.unlink()  # fitsio makes its files itself
        with fitsio.FITS(str(temporary), "rw", clobber=True) as file:
            file.write(None)
            file.write(rows, extname=EXTENSION, units=[_UNITS.get(name, "") for name in INDEX.names or ()])
    log.info("%s: %d cubes", out, len(rows))


def _cubes_of(layout: Layout, shot: str, has_limits: bool) -> Iterator[Array]:
    directory = layout.cubes(shot)
    for row in cubes_csv.read(directory):
        if row.values is None:
            log.warning("%s %s: no cube: %s", shot, row.ifu, row.reason)
            continue
        if not (directory / row.path).is_file():
            raise MalformedFile(f"{directory / row.path}: it is not there; remove the directory and run again")
        if has_limits:
            row.values[FLUX_LIMIT] = limit_at_4600(layout.detections(shot, row.ifu) / LIMITS_FILE)
        yield row.values
