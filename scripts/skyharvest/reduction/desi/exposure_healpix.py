"""Which pixels the fibers of a night's science exposures lie in: a CSV beside the night's exposure table.

Light: it is imported whenever the workflow is parsed. Columns are those of desispec's `pixgroup.get_exp2healpix_map`,
and the number of fibers. Cameras are not asked: a spectrograph is there if the fibermap has fibers of it.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from skyharvest.core.atomic import write_changed
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.layout import Layout

NSIDE = 64
"""Of the pixels, in NESTED order."""


@dataclass(frozen=True, order=True)
class ExposurePixel:
    """A line: the fibers of one spectrograph, in one exposure, that lie in one pixel.

    Attributes
    ----------
    spectro
        Spectrograph, 0 to 9: the fibermap's PETAL_LOC.
    n_targets
        Fibers with a position, of any OBJTYPE.
    """

    night: int
    expid: int
    tileid: int
    survey: str
    program: str
    spectro: int
    healpix: int
    n_targets: int


COLUMNS = ("NIGHT", "EXPID", "TILEID", "SURVEY", "PROGRAM", "SPECTRO", "HEALPIX", "N_TARGETS")
"""In the order of the attributes."""

_values = attrgetter(*(name.lower() for name in COLUMNS))


def path_of(production: Path, night: int) -> Path:
    """Return where the pixels of a night stand in a production."""
    return Layout(production).of_night("exposure_healpix", night)


def read_healpix(path: Path) -> list[ExposurePixel]:
    """Read the pixels of a night, in the file's order.

    Raises
    ------
    MalformedFile
        If the file is not as `write_healpix` writes it; names the line, what was found and what is expected.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        lines = csv.reader(stream)
        if (header := tuple(next(lines, ()))) != COLUMNS:
            raise MalformedFile(
                f"{path} has the columns {', '.join(header) or 'of no name'}, expected {', '.join(COLUMNS)}: "
                "remove it, and make it again"
            )
        return [_pixel(path, lines.line_num, cells) for cells in lines]


def _pixel(path: Path, number: int, cells: list[str]) -> ExposurePixel:
    try:
        night, expid, tileid, survey, program, spectro, healpix, n_targets = cells
        return ExposurePixel(
            int(night), int(expid), int(tileid), survey, program, int(spectro), int(healpix), int(n_targets)
        )
    except ValueError as error:
        raise MalformedFile(
            f"{path}, line {number}: {','.join(cells)!r}, expected {', '.join(COLUMNS)}, whole numbers but for "
            "SURVEY and PROGRAM: remove the file, and make it again"
        ) from error


def write_healpix(path: Path, pixels: Iterable[ExposurePixel]) -> bool:
    """Write the pixels of a night, sorted; the file appears whole. If it says the same already, it is left alone.

    Returns
    -------
    bool
        Whether it was written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(sorted(map(_values, pixels)))
    return write_changed(path, stream.getvalue())
