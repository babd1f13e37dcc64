"""What another production gives: files that stand in for steps, fetched from an archive, and the pixels of its tiles.

Layout of a public release: https://desidatamodel.readthedocs.io (DESI_SPECTRO_REDUX/SPECPROD). Each directory there has
the SHA-256 sums of its files, in ``redux_SPECPROD_{directories}.sha256sum``.
"""

import logging
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import fitsio

from skyharvest.archive.archive import Archive, is_url
from skyharvest.archive.download import download
from skyharvest.core.errors import Absent, InputError
from skyharvest.core.paths import expand_user
from skyharvest.reduction.desi import exposure_healpix, exposure_table
from skyharvest.reduction.desi.cameras import FIBERS_OF_CAMERA
from skyharvest.reduction.desi.exposure_healpix import ExposurePixel
from skyharvest.reduction.desi.layout import Layout

log = logging.getLogger(__name__)


def archive_of(production: str) -> Archive:
    """Return the archive whose root is a production: a directory, or an address."""
    return Archive(production if is_url(production) else str(expand_user(production)))


def fetch_product(archive: Archive, path: str, out: Path) -> None:
    """Copy a file of a production, checked against its SHA-256 sum where the archive has one; it appears whole.

    Parameters
    ----------
    archive
        Whose root is the production.
    path
        Below it: ``calibnight/20210505/psfnight-b0-20210505.fits``.

    Raises
    ------
    Absent
        If the archive has no such file.
    MalformedFile
        If the copy was damaged each of two times.
    ArchiveUnavailable, ArchiveRefused
        If it cannot be fetched now, or at all.
    """
    directory = path.rpartition("/")[0]
    sums = f"{directory}/redux_{archive.root.rpartition('/')[2]}_{directory.replace('/', '_')}.sha256sum"
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        damaged = download(archive, [path], Path(scratch), sums)
        if path in damaged:
            raise damaged[path]
        if not (Path(scratch) / path).exists():
            raise Absent(f"{archive.location(path)} does not exist: is it a file of this release?")
        (Path(scratch) / path).replace(out)


def take_pixels(archive: Archive, production: Path, nights: Sequence[int] | None = None) -> list[Path]:
    """Write the pixels of nights that have none, as another production lists those of tiles: no raw data are needed.

    Parameters
    ----------
    archive
        Whose root is that production: its ``healpix/tilepix.fits`` is read.
    production
        Has exposure tables.
    nights
        YYYYMMDD; None for all that have a table.

    Returns
    -------
    list of Path
        The exposure table of each night, in the order of nights.

    Raises
    ------
    Absent
        If pixels are needed, and that production has no list of them.
    InputError
        If there is no exposure table of these nights.
    """
    found = exposure_table.tables_in(production / "exposure_tables")
    tables = {night: path for night, path in found.items() if nights is None or night in nights}
    if not tables:
        raise InputError(
            f"{production / 'exposure_tables'} has no table of the nights that are asked for, and without raw data "
            "none can be made: desi_reduction.exposure_tables names those of the production that is started from"
        )
    lacking = [night for night in tables if not exposure_healpix.path_of(production, night).exists()]
    pixels = _pixels_of_tiles(archive) if lacking else {}
    for night in lacking:
        science = [one for one in exposure_table.read_table(tables[night]) if one.obstype == "science"]
        for one in science:
            if not one.reason and not any((one.tileid, petal) in pixels for petal in range(10)):
                log.warning("night %d, exposure %d: no pixels of its tile, %d", night, one.expid, one.tileid)
        lines = [
            # How many fibers lie in each is not told: it only tells how much time and memory jobs take.
            ExposurePixel(night, one.expid, one.tileid, one.survey, one.program, petal, pix64, FIBERS_OF_CAMERA // n)
            for one in science
            for petal in range(10)
            for n in (len(pixels.get((one.tileid, petal), ())),)
            for pix64 in pixels.get((one.tileid, petal), ())
        ]
        exposure_healpix.write_healpix(exposure_healpix.path_of(production, night), lines)
    return list(tables.values())


def _pixels_of_tiles(archive: Archive) -> dict[tuple[int, int], list[int]]:
    """Return tile and petal → NSIDE=64 pixels, NESTED."""
    layout = Layout(Path())
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "tilepix.fits"
        fetch_product(archive, str(layout.tilepix()), path)
        rows = fitsio.read(str(path), columns=["TILEID", "PETAL_LOC", "HEALPIX"])
    made = defaultdict[tuple[int, int], list[int]](list)
    for tile, petal, pix64 in rows:
        made[int(tile), int(petal)].append(int(pix64))
    return made
