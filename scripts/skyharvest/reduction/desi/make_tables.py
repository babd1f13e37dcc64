"""Exposure tables of a tree of raw data, and beside each the pixels that the fibers of its exposures lie in."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from skyharvest.core.atomic import write_changed
from skyharvest.core.errors import Absent, InputError, MalformedFile
from skyharvest.reduction.desi import exposure_healpix, exposure_table
from skyharvest.reduction.desi.cameras import decode_camword
from skyharvest.reduction.desi.exposure_healpix import ExposurePixel
from skyharvest.reduction.desi.exposure_table import Exposure, file_faults
from skyharvest.reduction.desi.fibermap import FiberPixel, read_fibermap
from skyharvest.reduction.desi.layout import fibermap_path
from skyharvest.reduction.desi.raw import RawExposure, read_exposure

log = logging.getLogger(__name__)

_NIGHT = re.compile(r"20\d{6}")
_EXPID = re.compile(r"\d{8}")
SHOWN = 5
"""Names in a message."""


def nights_of(raw: Path) -> dict[int, Path]:
    """Return the directories of the nights in a tree of raw data.

    Raises
    ------
    InputError
        If there is none.
    """
    expected = "directories NIGHT/EXPID, such as 20250115/00000001"
    nights = _numbered(raw, _NIGHT, expected)
    if not nights:
        raise InputError(f"{raw} is empty, expected {expected}")
    return nights


def exposures_of(night: Path) -> dict[int, Path]:
    """Return the directories of a night's exposures, by EXPID.

    Raises
    ------
    InputError
        If there are names in it, and none is an EXPID.
    """
    return _numbered(night, _EXPID, "directories with an EXPID of 8 digits as their name, such as 00000001")


def _numbered(directory: Path, pattern: re.Pattern[str], expected: str) -> dict[int, Path]:
    if not directory.is_dir():
        raise InputError(f"{directory} is no directory, expected one with {expected}")
    named = {True: list[Path](), False: list[Path]()}
    for entry in sorted(path for path in directory.iterdir() if not path.name.startswith(".")):
        named[pattern.fullmatch(entry.name) is not None and entry.is_dir()].append(entry)
    others = ", ".join(entry.name for entry in named[False][:SHOWN])
    if len(named[False]) > SHOWN:
        others += f" and {len(named[False]) - SHOWN} more"
    if others and not named[True]:
        raise InputError(f"{directory} has {others}, expected {expected}: is it the right directory?")
    if others:
        log.info("%s: left out %s, expected %s", directory, others, expected)
    return {int(entry.name): entry for entry in named[True]}


def make_tables(
    raw: Path, production: Path, nights: Sequence[int] | None = None, expids: Collection[int] | None = None
) -> list[Path]:
    """Write the exposure table and the pixels of each night, or add to them.

    Exposures that a table has are not read again, unless HEADERERR names a file that was missing or could not be read,
    and the file is of another size by now. A file that would say the same as before is not written, so its time stays.

    Parameters
    ----------
    raw
        Tree of raw data: ``NIGHT/EXPID/desi-EXPID.fits.fz``, ``fibermap-EXPID.fits``.
    production
        Where the tables go: see `exposure_table.path_of`, `exposure_healpix.path_of`.
    nights
        YYYYMMDD; None for all.
    expids
        Exposures that may be added; None for all.

    Returns
    -------
    list of Path
        The exposure table of each night, in the order of nights.

    Raises
    ------
    InputError
        If the tree has no nights, or lacks one of those that are asked for; if a table that is there cannot be
        understood.
    """
    there = nights_of(raw)
    wanted = sorted(there if nights is None else set(nights))
    if missing := [night for night in wanted if night not in there]:
        raise InputError(
            f"{raw} has no night {', '.join(map(str, missing))}; it has {len(there)}, {min(there)} to {max(there)}"
        )
    if expids is not None:
        found = {expid for night in wanted for expid in exposures_of(there[night])}
        if absent := sorted(set(expids) - found):
            raise InputError(f"{raw} has no exposure {', '.join(map(str, absent))} in the nights {wanted}")
    return [make_table(there[night], production, night, expids) for night in wanted]


def take_tables(given: Path, production: Path, nights: Sequence[int] | None = None) -> None:
    """Copy exposure tables that somebody has made to a production, for nights of which it has none.

    The pixels of exposures that stand beside them are copied too.

    Raises
    ------
    InputError
        If one of them cannot be understood.
    """
    for night, path in exposure_table.tables_in(given).items():
        own = exposure_table.path_of(production, night)
        if (nights is None or night in nights) and not own.exists():
            exposure_table.read_table(path)
            own.parent.mkdir(parents=True, exist_ok=True)
            pixels = exposure_healpix.path_of(production, night)
            for source, copy in ((path.with_name(pixels.name), pixels), (path, own)):
                if source.exists():
                    write_changed(copy, source.read_text(encoding="utf-8"))


def make_table(directory: Path, production: Path, night: int, expids: Collection[int] | None = None) -> Path:
    """Write the exposure table and the pixels of a night, or add to them: see `make_tables`."""
    path = exposure_table.path_of(production, night)
    directories = exposures_of(directory)
    known = {exposure.expid: exposure for exposure in exposure_table.read_table(path)} if path.exists() else {}
    if expids is not None:
        directories = {expid: one for expid, one in directories.items() if expid in known or expid in expids}
    again = {expid for expid in known.keys() & directories.keys() if _is_changed(known[expid], directories[expid])}
    read = {
        expid: read_exposure(directories[expid], night, expid)
        for expid in sorted(directories)
        if expid not in known or expid in again
    }
    cameras = frozenset[str]().union(
        *(exposure.cameras for exposure in read.values()),
        *(known[expid].cameras | known[expid].left_out for expid in known.keys() - again),
    )
    for expid in sorted(known.keys() & directories.keys() - again):
        if any(not cameras <= guess for guess in _guessed(known[expid])):  # other cameras came since
            again.add(expid)
            read[expid] = read_exposure(directories[expid], night, expid)
    found = {expid: exposure.complete(cameras) for expid, exposure in read.items()}
    for expid, exposure in found.items():
        for entry in exposure.row["HEADERERR"]:
            log.warning("night %d, exposure %d: %s", night, expid, entry)
    rows = exposure_table.merged(path, [exposure.row for exposure in found.values()], again)
    exposure_table.write_table(path, rows)
    exposures = exposure_table.read_table(path)
    _write_pixels(production, night, exposures, found, directories)
    _log_night(night, exposures, len(found))
    return path


def _is_changed(exposure: Exposure, directory: Path) -> bool:
    """Tell whether a file that was at fault when the exposure was read is of another size now."""
    return any(_size(directory / fault.name) != fault.size for fault in file_faults(exposure.headererr))


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _guessed(exposure: Exposure) -> list[frozenset[str]]:
    """Return the cameras that an exposure was given because its raw file is cut short; nothing for others."""
    words = [fault.camword for fault in file_faults(exposure.headererr)]
    return [decode_camword(word) for word in words if word is not None]


def _write_pixels(
    production: Path,
    night: int,
    exposures: Sequence[Exposure],
    found: Mapping[int, RawExposure],
    directories: Mapping[int, Path],
) -> None:
    """Write the pixels of the science exposures that have a tile; tile, survey and program are as the table has them.

    Those of exposures that were not read now are taken from the file that is there.
    """
    path = exposure_healpix.path_of(production, night)
    kept: dict[int, list[FiberPixel]] = {}
    for pixel in exposure_healpix.read_healpix(path) if path.exists() else []:
        kept.setdefault(pixel.expid, []).append((pixel.spectro, pixel.healpix, pixel.n_targets))
    lines = []
    for exposure in exposures:
        if exposure.obstype != "science":
            continue
        if exposure.tileid <= 0:
            log.warning("night %d, exposure %d: no pixels, as it has no tile", night, exposure.expid)
            continue
        pixels: Sequence[FiberPixel] | None = kept.get(exposure.expid)
        if exposure.expid in found:
            pixels = found[exposure.expid].pixels
        elif pixels is None and exposure.expid in directories:
            pixels = _read_pixels(directories[exposure.expid], exposure)
        lines += [
            ExposurePixel(night, exposure.expid, exposure.tileid, exposure.survey, exposure.program, *pixel)
            for pixel in pixels or ()
        ]
    exposure_healpix.write_healpix(path, lines)


def _read_pixels(directory: Path, exposure: Exposure) -> Sequence[FiberPixel]:
    """Read those of an exposure that the table has, and the file of pixels has not."""
    try:
        return read_fibermap(fibermap_path(directory, exposure.expid)).pixels
    except (Absent, MalformedFile) as error:
        log.warning("night %d, exposure %d: no pixels: %s", exposure.night, exposure.expid, error)
        return ()


def _log_night(night: int, exposures: Sequence[Exposure], n_read: int) -> None:
    counts = Counter(exposure.obstype for exposure in exposures)
    of_types = ", ".join(f"{count} {obstype}" for obstype, count in sorted(counts.items())) or "no exposures"
    at_fault = [str(exposure.expid) for exposure in exposures if exposure.headererr]
    errors = f"; HEADERERR of {', '.join(at_fault)}" if at_fault else ""
    log.info("night %d: %s (%d read now)%s", night, of_types, n_read, errors)
