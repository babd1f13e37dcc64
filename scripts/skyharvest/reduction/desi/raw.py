"""Rows of exposure tables out of the headers of raw exposures; pixels are not read.

What a row says is what desispec's `desi_create_exposure_tables` says of the same files
(`desispec.workflow.exptable.summarize_exposure`), with these differences:

- Every exposure has a row: of any OBSTYPE, and also where the raw file is missing or cannot be read, with the reason in
  HEADERERR and EXPFLAG.
- JSON files beside the raw file (request, manifest, ETC) are not asked: the headers say the same.
- SURVEY, FA_SURV, FAPRGRM and goals are looked for in the fiberassign file, then in the raw file, then in the fibermap.
- FAPRGRM is the program that products are named by (`faflavor2program`), where FAFLAVOR is known.
- EXPID and NIGHT are those of the directory, by which all files are found; where the header says otherwise, LASTSTEP is
  ``ignore``.

Raw data: https://desidatamodel.readthedocs.io (DESI_SPECTRO_DATA/NIGHT/EXPID).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fitsio
from desispec.io.meta import faflavor2program
from desispec.util import header2night
from desispec.workflow.exptable import airmass_to_aircorr, airmass_to_airfac, keyval_change_reporting

from skyharvest.core.errors import Absent, MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_header import Value
from skyharvest.reduction.desi.cameras import create_camword, decode_camword
from skyharvest.reduction.desi.exposure_table import BETWEEN, COLUMNS, FileFault
from skyharvest.reduction.desi.fibermap import FiberPixel, read_fibermap
from skyharvest.reduction.desi.layout import fibermap_path, raw_path

Header = Mapping[str, Any]
Row = dict[str, Any]

UNREADABLE = ("corrupted",)
"""EXPFLAG of an exposure whose raw file is missing, or has no header that says what it is."""
NO_FIBERMAP = ("metadata_missing", "bad")
"""EXPFLAG of a science exposure whose fibermap is missing or cannot be read."""
SHORT_S = 60.0
"""Science exposures that are shorter, in seconds, are taken as far as the sky."""
QUALITY = {"dark": (100.0, 1 / 5), "bright": (20.0, 1 / 12), "backup": (0.5, 0.0)}
"""GOALTYPE → effective time (s) and survey speed; main survey exposures below are taken as far as the sky."""
NEW_SPEED = 20210900
"""Nights from here on have a survey speed by another law of airmass."""
ACTTEFF_UNTIL = 20210614
"""Nights before may have ACTTEFF in place of ETCTEFF."""
PURPOSE_FROM = 20201201
"""Nights before have no PURPOSE."""

_CAMERA = re.compile(r"[brz]\d", re.IGNORECASE)
_LISTS = ("HEADERERR", "EXPFLAG", "COMMENTS")
_FROM_RAW = (
    *("OBSTYPE", "TILEID", "EXPTIME", "AIRMASS", "TARGTRA", "TARGTDEC"),
    *("SEQNUM", "SEQTOT", "PROGRAM", "PURPOSE", "MJD-OBS"),
)
_ASSIGNED = ("SURVEY", "FA_SURV", "FAPRGRM", "GOALTIME", "GOALTYPE", "EBVFAC")


@dataclass(frozen=True)
class RawExposure:
    """What is found of an exposure.

    Attributes
    ----------
    row
        Column of `exposure_table.COLUMNS` → value.
    pixels
        Which pixels the fibers of a science exposure lie in; None if that is not known.
    cut
        The fault of a raw file that cannot be read to its end, until `complete` has put it into the row; CAMWORD has
        the cameras that were seen.
    """

    row: Row
    pixels: tuple[FiberPixel, ...] | None = None
    cut: FileFault | None = None

    @property
    def cameras(self) -> frozenset[str]:
        """Those of CAMWORD."""
        return decode_camword(self.row["CAMWORD"])

    def complete(self, cameras: frozenset[str]) -> "RawExposure":
        """Return it with the cameras that a file which is cut short should have had: those seen, and these."""
        if self.cut is None:
            return self
        word = create_camword(self.cameras | cameras)
        entries = [*self.row["HEADERERR"], str(replace(self.cut, camword=word))]
        return RawExposure(self.row | {"CAMWORD": word, "HEADERERR": entries}, self.pixels)


def read_exposure(directory: Path, night: int, expid: int) -> RawExposure:
    """Read the headers of an exposure, and the positions of a science exposure's fibers.

    What is wrong with its files is in the row; only what another try may mend (permissions, a file system that is away)
    is raised.
    """
    row: Row = {name: [] if name in _LISTS else default for name, default in COLUMNS.items()}
    row |= {"EXPID": expid, "NIGHT": night, "CAMWORD": ""}
    path = raw_path(directory, expid)
    try:
        header, cameras, problem = _read_headers(path)
    except (Absent, MalformedFile) as error:
        _add_fault(row, path, error, UNREADABLE)
        return RawExposure(row)
    row["CAMWORD"] = create_camword(cameras)
    obstype = str(_converted(header.get("OBSTYPE"), "") or COLUMNS["OBSTYPE"])
    _fill(row, header, obstype)
    _check_numbers(row, header, night, expid)
    pixels = _fill_science(row, header, directory) if obstype == "science" else None
    cut = FileFault(path.name, path.stat().st_size, _problem(path, problem)) if problem else None
    return RawExposure(row, pixels, cut)


def _read_headers(path: Path) -> tuple[Header, list[str], str]:
    """Return the header that tells of the exposure, the cameras that have an HDU, and why the rest cannot be read."""
    with LocalFile(path, path.name) as source:
        file = FitsFile(source)
        problem = ""
        try:
            _ = file.hdus
        except MalformedFile as error:
            problem = str(error)
        last = file.known[-1]
        if last.data_stop > source.size():
            problem = f"cut short: the data of {last.name} end at byte {last.data_stop}"
    headers: dict[str, Mapping[str, Value]] = {}
    for hdu in file.known:
        headers.setdefault(hdu.name.upper(), hdu.header)
    # SPS: until February 2020; before, and in simulations of that time, it was the primary header.
    header = headers.get("SPEC") or headers.get("SPS") or file.known[0].header
    if problem and not header.get("OBSTYPE"):
        raise MalformedFile(f"{problem}: no header before that has OBSTYPE")
    return header, [hdu.name.lower() for hdu in file.known if _CAMERA.fullmatch(hdu.name)], problem


def _converted(value: Value, default: Any) -> Any:
    """Return a card's value with the type of its column's default, text in lower case; None if it is no such value."""
    if isinstance(default, str):
        return None if value is None else str(value).lower().strip()
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    if isinstance(default, int):
        return int(number) if number.is_integer() else None
    return number


def _fill(row: Row, header: Header, obstype: str) -> None:
    for name in _FROM_RAW:
        default = COLUMNS[name]
        value = _converted(header.get(name), default)
        if value is not None and not (name == "OBSTYPE" and value == ""):
            row[name] = value
        elif not _may_lack(name, obstype, row["NIGHT"]):
            _add_flags(row, "metadata_missing")
            _report(row, name, header.get(name, ""), default)


def _may_lack(name: str, obstype: str, night: int) -> bool:
    return (
        (name in ("SEQNUM", "SEQTOT") and obstype not in ("arc", "flat"))
        or (name in ("TILEID", "TARGTRA", "TARGTDEC") and obstype != "science")
        or (name == "PURPOSE" and night < PURPOSE_FROM)
    )


def _check_numbers(row: Row, header: Header, night: int, expid: int) -> None:
    """Compare EXPID and NIGHT of a header with those of the directory."""
    found = _converted(header.get("EXPID"), 0)
    if found is None:
        _add_flags(row, "metadata_missing")
    elif found != expid:
        _add_flags(row, "metadata_mismatch")
        row["LASTSTEP"] = "ignore"
        row["COMMENTS"].append("wrong EXPID keyword")
    if found != expid:
        _report(row, "EXPID", header.get("EXPID", ""), expid)
    found = _converted(header.get("NIGHT"), 0)
    said = found
    if found is None:
        _add_flags(row, "metadata_missing")
        try:
            said = header2night(header)
        except ValueError:
            said = night
    if said != night:
        row["LASTSTEP"] = "ignore"
        row["COMMENTS"].append("wrong NIGHT keyword")
    if found != night:
        _report(row, "NIGHT", header.get("NIGHT", ""), night)


def _fill_science(row: Row, header: Header, directory: Path) -> tuple[FiberPixel, ...] | None:
    assigned, is_dither = _read_fiberassign(row, directory)
    path = fibermap_path(directory, row["EXPID"])
    try:
        fibermap = read_fibermap(path)
    except (Absent, MalformedFile) as error:
        fibermap = None
        _add_fault(row, path, error, NO_FIBERMAP)
    places = (assigned, header, fibermap.header if fibermap else {})
    for name in _ASSIGNED:
        row[name] = _first(places, name, COLUMNS[name], COLUMNS[name])
    flavor = _first(places, "FAFLAVOR", "", None)
    if flavor and (program := faflavor2program(flavor)) != row["FAPRGRM"]:
        _report(row, "FAPRGRM", row["FAPRGRM"], program)
        row["FAPRGRM"] = program
    _fill_efftime(row, header)
    if row["LASTSTEP"] != "ignore":
        _judge(row, is_dither)
    return fibermap.pixels if fibermap else None


def _first(places: tuple[Header, ...], name: str, default: Any, otherwise: Any) -> Any:
    """Return what the first of some headers says that says anything."""
    values = (_converted(header.get(name), default) for header in places)
    return next((value for value in values if value is not None), otherwise)


def _read_fiberassign(row: Row, directory: Path) -> tuple[Header, bool]:
    """Return the keywords of the tile's fiberassign file, if there is one; and whether it is for a dither sequence."""
    for suffix in (".fits.gz", ".fits"):
        path = directory / f"fiberassign-{row['TILEID']:06d}{suffix}"
        if path.is_file():
            try:
                with fitsio.FITS(str(path)) as file:
                    header = file[0].read_header()
                    return {name: header.get(name) for name in (*_ASSIGNED, "FAFLAVOR")}, "EXTRA" in file
            except OSError as error:
                _add_fault(row, path, error, ("metadata_missing",))
    return {}, False


def _fill_efftime(row: Row, header: Header) -> None:
    """Take the effective time of the exposure-time calculator, seconds."""
    name = next((name for name in ("ETCTEFF", "ACTTEFF") if name in header), "")
    if name == "" or (name == "ACTTEFF" and row["NIGHT"] >= ACTTEFF_UNTIL):
        return
    value = _converted(header[name], 0.0)
    if value is None:
        _report(row, name, header[name], row["EFFTIME_ETC"])
    else:
        row["EFFTIME_ETC"] = value


def _judge(row: Row, is_dither: bool) -> None:
    """Say how far a science exposure is worth being taken: LASTSTEP, EXPFLAG, COMMENTS, SPEED; as desispec does."""
    is_main = row["SURVEY"] == "main"
    efftime = speed = math.inf
    if is_main and row["EFFTIME_ETC"] > 0 and row["EXPTIME"] > 0:
        efftime = row["EFFTIME_ETC"]
        through = (
            airmass_to_airfac(row["AIRMASS"]) ** 2 if row["NIGHT"] < NEW_SPEED else airmass_to_aircorr(row["AIRMASS"])
        )
        row["SPEED"] = speed = float(efftime / row["EXPTIME"] * row["EBVFAC"] ** 2 * through)
    least_efftime, least_speed = QUALITY.get(row["GOALTYPE"], (0.0, 0.0)) if is_main else (0.0, 0.0)
    if "system test" in row["PROGRAM"]:
        row["LASTSTEP"] = "ignore"
        _add_flags(row, "test")
    elif "undither" in row["PROGRAM"]:
        _end_at_sky(row, "undithered dither")
    elif "dither" in row["PROGRAM"] or is_dither:
        _end_at_sky(row, "dither seq")
    elif row["EXPTIME"] < SHORT_S:
        _end_at_sky(row, f"EXPTIME={row['EXPTIME']:.1f}s lt {SHORT_S:.1f}", "short_exposure")
    elif efftime < least_efftime:
        _end_at_sky(row, f"efftime={efftime:.1f}s lt {least_efftime:.1f}", "low_sn")
    elif speed < least_speed:
        _end_at_sky(row, f"speed={speed:.3f} lt {least_speed:.3f}", "low_speed")


def _end_at_sky(row: Row, comment: str, *flags: str) -> None:
    row["LASTSTEP"] = "skysub"
    row["COMMENTS"].append(comment)
    _add_flags(row, *flags)


def _add_flags(row: Row, *flags: str) -> None:
    row["EXPFLAG"] += [flag for flag in flags if flag not in row["EXPFLAG"]]


def _report(row: Row, name: str, found: Any, given: Any) -> None:
    row["HEADERERR"].append(_entry(keyval_change_reporting(name, found, given)))


def _add_fault(row: Row, path: Path, error: Exception, flags: tuple[str, ...]) -> None:
    size = None if isinstance(error, Absent) else path.stat().st_size
    row["HEADERERR"].append(str(FileFault(path.name, size, _problem(path, str(error)), flags=flags)))
    _add_flags(row, *flags)


def _problem(path: Path, text: str) -> str:
    """Return what is wrong with a file without the file's name, and without the arrow that an entry has once."""
    return _entry(text.removeprefix(path.name).removeprefix(":").strip().replace("->", "-"))


def _entry(text: str) -> str:
    """Return a text as a cell can hold it among others: without what parts entries, and commas of large numbers."""
    return re.sub(r"(?<=\d),(?=\d{3})", "", text).replace(BETWEEN, "/")
