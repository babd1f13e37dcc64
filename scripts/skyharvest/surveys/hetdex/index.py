"""The table of all cubes of a HETDEX release, ``ifu-index.fits``: read, checked, fetched.

Source of the format: HETDEX Public Data Release 1, the table of the IFU index's columns.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skyharvest.archive.archive import Archive
from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.clean_rows import keep_first, keep_usable
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.harvest.releases import fetch_list
from skyharvest.surveys.hetdex.release import Release

log = logging.getLogger(__name__)

Index = Array
"""Structured array of `CUBE_DTYPE`, a row per cube, sorted by shotid, then ifuslot, without duplicates."""

NEEDED = ("shotid", "ifuslot", "ra_cen", "dec_cen", "flag")
_FLAGS = ("flag", *(f"flag_{kind}" for kind in ("badamp", "badfib", "meteor", "satellite", "shot", "throughput")))
CONTENT = "content"
"""Of a release that is one's own: changes with what a cube holds, so that it is read again. It is in no result."""
_TEXTS = ("field", CONTENT)
_FLOATS = (*_FLAGS, "fwhm_virus", "response_4540", "fluxlimit_4600", "exptime")
CUBE_DTYPE = np.dtype(
    [
        *(("shotid", "i8"), ("ifuslot", "S3"), ("ra_cen", "f8"), ("dec_cen", "f8")),
        *((name, "f4") for name in _FLOATS),
        *(("mjd", "f8"), ("pa", "f8"), ("field", "S16"), (CONTENT, "S16")),
    ]
)
"""What is taken from the index. shotid: YYYYMMDDNNN; ifuslot: three digits; ra_cen, dec_cen: the cube's centre, ICRS
degrees (float32 in PDR1: up to 0.06″ off); flag, flag_*: the fraction that is unaffected, 1 is good; fwhm_virus: the
seeing, arcsec; exptime: s; mjd: days; pa: of the tracker, degrees. All but the `NEEDED` may be NaN or empty."""

SHOTIDS = (10_000_000_000, 99_999_999_999)  # 11 digits: it becomes part of paths
SLOT = re.compile(rb"[0-9]{1,3}")  # so does this, as three digits


def read_index(path: Path, origin: str = "") -> Index:
    """Read and check a release's table of cubes.

    Parameters
    ----------
    path
        ``ifu-index.fits``: a binary table with the columns `NEEDED`, in lower or upper case; ifuslot is text or a
        whole number.
    origin
        What messages call it: where it was fetched from.

    Returns
    -------
    (n,) structured array of `CUBE_DTYPE`
        Sorted by shotid, then ifuslot, each cube once. Rows without a valid shotid, ifuslot and position are left
        out, with a warning. Columns that the table lacks are NaN, or empty text.

    Raises
    ------
    MalformedFile
        If it is something else: an HTML page, another table, no usable row.
    """
    with LocalFile(path, origin) as source:
        fits = FitsFile(source)
        hdu = fits.table_with(NEEDED)
        stored = stored_columns(hdu)
        data = fits.read([(hdu, None)])[0]
    if lacking := lacking_columns(stored):
        log.warning("%s: no usable column %s: left empty in the results", hdu, ", ".join(lacking))
    return cubes_of(hdu, data, stored)


def stored_columns(hdu: HDU) -> dict[str, str]:
    """Return which columns a table of cubes has: name in `CUBE_DTYPE` → name in the table, in its own case.

    Raises
    ------
    MalformedFile
        If one of the `NEEDED` is missing, or not one value of its kind in a row.
    """
    own = {name.lower(): name for name in hdu.columns} | {name: name for name in hdu.columns}
    needed = {name: own.get(name, name) for name in NEEDED}
    slot = "S" if _holds(hdu, needed["ifuslot"], "S") else "iu"
    kinds = {"shotid": "iu", "ifuslot": slot, "ra_cen": "f", "dec_cen": "f", "flag": "f"}
    hdu.check_scalars({needed[name]: kind for name, kind in kinds.items()})
    others = {name: own.get(name, name) for name in CUBE_DTYPE.names or () if name not in NEEDED}
    usable = {name: its for name, its in others.items() if _holds(hdu, its, "S" if name in _TEXTS else "fiu")}
    return {name: (needed | usable)[name] for name in CUBE_DTYPE.names or () if name in needed or name in usable}


def lacking_columns(stored: Mapping[str, str]) -> list[str]:
    """Return the columns of public releases that a table does not have, given those that it has."""
    return [name for name in CUBE_DTYPE.names or () if name not in stored and name != CONTENT]


def cubes_of(hdu: HDU, data: bytes, stored: Mapping[str, str]) -> Index:
    """Return the cubes that rows of a table list, as `read_index` does.

    Parameters
    ----------
    data
        Whole rows, all or some.
    stored
        From `stored_columns`.
    """
    table = hdu.table(data, stored.values())
    cubes = np.empty(len(table[stored["shotid"]]), CUBE_DTYPE)
    slots = table[stored["ifuslot"]]
    for name in CUBE_DTYPE.names or ():
        null = b"" if name in _TEXTS else np.nan
        cubes[name] = null if name not in stored else _slots(slots) if name == "ifuslot" else table[stored[name]]
    return keep_first(hdu, _usable(hdu, cubes, slots), ("shotid", "ifuslot"), "cube")


def _holds(hdu: HDU, name: str, kinds: str) -> bool:
    """Tell whether a table has a column of one value a row, of one of these kinds."""
    column = hdu.columns.get(name)
    if column is None or column.dtype is None or column.dtype.shape:
        return False
    return column.dtype.kind in kinds and not column.is_logical


def _slots(values: Array) -> npt.NDArray[np.bytes_]:
    """Return each ifuslot as three digits, or empty where it is not a number of up to three digits."""
    distinct, number = np.unique(values, return_inverse=True)
    texts = [value.strip() if isinstance(value, bytes) else b"%d" % value for value in distinct.tolist()]
    return np.array([text.zfill(3) if SLOT.fullmatch(text) else b"" for text in texts], "S3")[number]


def _usable(hdu: HDU, cubes: Index, ifuslot: Array) -> Index:
    """Return the rows that name a cube and a place on the sky; warn of the others."""
    first, last = SHOTIDS
    usable = (cubes["shotid"] >= first) & (cubes["shotid"] <= last) & (cubes["ifuslot"] != b"")
    usable &= (cubes["ra_cen"] >= 0) & (cubes["ra_cen"] <= 360) & (np.abs(cubes["dec_cen"]) <= 90)

    def describe(number: int) -> str:
        row = cubes[number]
        return (
            f"shotid {row['shotid']}, ifuslot {ifuslot[number].item()!r}, at {row['ra_cen']}, {row['dec_cen']}: "
            "expected 11 and up to 3 digits, and a position in degrees"
        )

    return keep_usable(hdu, cubes, usable, describe)


def fetch_index(archive: Archive, release: Release, cache: Path) -> Index:
    """Fetch ``ifu-index.fits`` into ``cache``, which keeps its old content unless a valid table arrives."""
    path = release.index()
    with atomic_path(cache) as temporary:
        length = fetch_list(archive, release, path, temporary)
        cubes = read_index(temporary, archive.location(path))
    log.info("%s: %d bytes, %d cubes", archive.location(path), length, len(cubes))
    return cubes


def cached_index(archive: Archive, release: Release, cache: Path) -> Index:
    """Read the cached ``ifu-index.fits``; if it is not valid, say so and fetch it again."""
    try:
        return read_index(cache)
    except MalformedFile as error:
        log.warning("the cached table of cubes is no good: %s; fetching it again", error)
        return fetch_index(archive, release, cache)
