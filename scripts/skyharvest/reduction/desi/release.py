"""A production as a release: what is read of DR1, a harvest reads of it in the same way.

``healpix/tilepix.fits`` is the list of what there is, in the form of desispec's `desi_assemble_tilepix`; each pixel's
directory has the SHA-256 sums of its files, in the form and by the name of the public archive.
"""

import csv
import hashlib
import io
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from skyharvest.archive.download import parse_checksums
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.desi.layout import Layout

log = logging.getLogger(__name__)

NSIDE = 64
TABLES = "exposure_tables/*/exposure_healpix_*.csv"
COLUMNS = ("TILEID", "SURVEY", "PROGRAM", "SPECTRO", "HEALPIX")
"""Of those tables, as far as they are read."""
NAME = re.compile(r"[a-z0-9]+")
TICK_NS = 1_000_000_000
"""A file that was written so shortly before its sum was is summed again: clocks of file systems are not finer."""

Pixel = tuple[str, str, int]
"""Survey, program, NSIDE=64 pixel (NESTED)."""


@dataclass(frozen=True)
class Written:
    """What a release has.

    Attributes
    ----------
    coadds, redshifts
        Numbers of pixels that have each.
    without
        Of pixels that exposures reach into, and that have no coadd.
    changed
        Files that were written: those that would have been the same are as they were.
    """

    coadds: int
    redshifts: int
    without: int
    changed: tuple[Path, ...]


def write_release(production: Path) -> Written:
    """Write the sums of all pixels with a coadd, then the list of them, ``tilepix.fits``, and its sum.

    Parameters
    ----------
    production
        Its directory, ``…/spectro/redux/{specprod}``.

    Raises
    ------
    InputError
        If it has no table of the pixels of exposures.
    MalformedFile
        If such a table is not what it should be; names the line and the column.
    """
    layout = Layout(production.absolute())
    rows = _rows(layout.production)
    pixels = sorted({(survey, program, pix64) for _, survey, program, _, pix64 in rows})
    there = [pixel for pixel in pixels if layout.healpix("coadd", *pixel).is_file()]
    if not there:
        log.warning(
            "%s has no coadd of the %d pixels that %s name, such as %s: there is no release yet",
            *(layout.production / "healpix", len(pixels), TABLES, layout.healpix("coadd", *pixels[0])),
        )
        return Written(0, 0, len(pixels), ())
    changed: list[Path] = []
    content = hashlib.sha256()
    for pixel in there:
        sums = _sums(layout.checksums(*pixel), changed)
        names = (layout.healpix(kind, *pixel).name for kind in ("coadd", "redrock"))
        content.update("".join(f"{sums[name]}  {name}\n" for name in names if name in sums).encode())
    have = set(there)
    listed = [row for row in rows if (row[1], row[2], row[4]) in have]
    tilepix = layout.tilepix()
    table = _tilepix(listed, content.hexdigest())
    # The list is last: whoever finds it finds all that it names.
    digest = f"{hashlib.sha256(table).hexdigest()}  {tilepix.name}\n"
    changed += _write_if_other(layout.tilepix_checksum(), digest.encode()) + _write_if_other(tilepix, table)
    redshifts = sum(layout.healpix("redrock", *pixel).is_file() for pixel in there)
    if redshifts < len(there):
        log.warning("%d of %d coadds have no redshifts", len(there) - redshifts, len(there))
    for path in _unlisted(layout, have):
        log.warning("%s is of no exposure in %s: it is left out", path, TABLES)
    log.info("%s: %d coadds, %d files written", tilepix, len(there), len(changed))
    return Written(len(there), redshifts, len(pixels) - len(there), tuple(changed))


def _rows(production: Path) -> list[tuple[int, str, str, int, int]]:
    """Return tile, survey, program, petal and pixel of all exposures, each once, in order."""
    paths = sorted(production.glob(TABLES))
    found = {row for path in paths for row in _read(path)}
    if not found:
        what = f"{len(paths)} files {TABLES}, without any row" if paths else f"no file {TABLES}"
        raise InputError(f"{production} has {what}: is it a production, and are its exposures mapped to pixels?")
    return sorted(found)


def _read(path: Path) -> Iterator[tuple[int, str, str, int, int]]:
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise MalformedFile(
                f"{path} has no column {', '.join(missing)}; it has {', '.join(reader.fieldnames or ())}"
            )
        for cells in reader:
            numbers = {}
            for name, limit in (("TILEID", 2**31), ("SPECTRO", 10), ("HEALPIX", 12 * NSIDE**2)):
                text = cells[name] or ""
                if not text.isdecimal() or int(text) >= limit:
                    raise MalformedFile(
                        f"{path}, line {reader.line_num}, column {name}: {text!r}, expected 0 to {limit - 1}"
                    )
                numbers[name] = int(text)
            for name in ("SURVEY", "PROGRAM"):
                # They become parts of paths.
                if not NAME.fullmatch(cells[name] or ""):
                    raise MalformedFile(
                        f"{path}, line {reader.line_num}, column {name}: {cells[name]!r}, expected lower-case letters "
                        "and digits"
                    )
            yield numbers["TILEID"], cells["SURVEY"], cells["PROGRAM"], numbers["SPECTRO"], numbers["HEALPIX"]


def _tilepix(rows: Iterable[tuple[int, str, str, int, int]], content: str) -> bytes:
    """Return the file ``tilepix.fits``: a row per tile, petal and pixel; ``content`` is a card of its own.

    The card changes with each coadd and each redshift: a harvest learns from it that there is something new.
    """
    tile, survey, program, petal, pixel = zip(*rows, strict=True)
    columns = {
        "TILEID": np.array(tile, np.int32),
        "SURVEY": np.array(survey, np.bytes_),
        "PROGRAM": np.array(program, np.bytes_),
        "PETAL_LOC": np.array(petal, np.int16),
        "HEALPIX": np.array(pixel, np.int32),
    }
    hdu = fits.BinTableHDU(Table(columns), name="TILEPIX")
    hdu.header["HPXNSIDE"], hdu.header["HPXNEST"] = NSIDE, True
    hdu.header["CONTENT"] = content
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    return file.getvalue()


def _write_if_other(path: Path, content: bytes) -> list[Path]:
    """Write a file unless it has this content already; return it if it was written. It appears whole."""
    if path.exists() and path.read_bytes() == content:
        return []
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return [path]


def _sums(path: Path, changed: list[Path]) -> dict[str, str]:
    """Write the sums of a directory's files, sorted by name, and return them; add the file to those that have changed.

    Only files are read whose status has changed since the last time (ctime: a file that is copied over another may
    keep the other's mtime), and those without a sum.
    """
    begun = time.time_ns()
    known: dict[str, str] = {}
    since = 0
    if path.exists():
        known, since = parse_checksums(path.read_text("utf-8", "replace")), path.stat().st_mtime_ns
    sums, read = {}, False
    for file in sorted(path.parent.iterdir()):
        if file == path or file.name.startswith(".") or not file.is_file():
            continue
        if file.name in known and file.stat().st_ctime_ns < since:
            sums[file.name] = known[file.name]
            continue
        read = True
        with file.open("rb") as stream:
            sums[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    written = _write_if_other(path, "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode())
    if written or read:
        os.utime(path, ns=(begun - TICK_NS, begun - TICK_NS))
    changed += written
    return sums


def _unlisted(layout: Layout, listed: set[Pixel]) -> Iterator[Path]:
    """Yield coadds that no table of exposures explains."""
    for path in sorted(layout.production.glob("healpix/*/*/*/*/coadd-*.fits")):
        survey, program, _, pix64 = path.parts[-5:-1]
        pixel = (survey, program, int(pix64) if pix64.isdecimal() else -1)
        if path == layout.healpix("coadd", *pixel) and pixel not in listed:
            yield path
