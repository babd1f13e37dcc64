"""Exposure tables: the list of what is run, a CSV for each night, which people edit by hand.

Light: it is imported whenever the workflow is parsed. Columns, types and words are those of desispec
(`desispec.workflow.exptable`), so that its tables can be taken as they are, and ours by its tools.
"""

import csv
import difflib
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import write_changed
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.cameras import decode_camword, parse_badamps
from skyharvest.reduction.desi.layout import Layout

COLUMNS: dict[str, Any] = {
    "EXPID": -99,
    "OBSTYPE": "unknown",
    "TILEID": -99,
    "LASTSTEP": "all",
    "CAMWORD": "a0123456789",
    "BADCAMWORD": "",
    "BADAMPS": "",
    "EXPTIME": 0.0,
    "EFFTIME_ETC": -99.0,
    "SURVEY": "unknown",
    "FA_SURV": "unknown",
    "FAPRGRM": "unknown",
    "GOALTIME": -99.0,
    "GOALTYPE": "unknown",
    "EBVFAC": 1.0,
    "AIRMASS": 1.0,
    "SPEED": -99.0,
    "TARGTRA": 89.99,
    "TARGTDEC": -89.99,
    "SEQNUM": 1,
    "SEQTOT": 1,
    "PROGRAM": "unknown",
    "PURPOSE": "unknown",
    "MJD-OBS": 50000.0,
    "NIGHT": 20000101,
    "HEADERERR": "",
    "EXPFLAG": "",
    "COMMENTS": "",
}
"""Name → what a cell holds where nothing is known."""
NEEDED = ("EXPID", "OBSTYPE", "CAMWORD")
CALIBRATIONS = ("arc", "flat")
TYPES = (*CALIBRATIONS, "science", "zero", "dark", "sky", "twilight", "unknown", "other")
"""Types of exposures; headers have some more."""
LAST_STEPS = ("ignore", "skysub", "stdstarfit", "fluxcal", "all")
"""Of science exposures: the step after which nothing more is done."""
NOT_RUN = frozenset(
    {"bad", "junk", "corrupted", "test", "aborted", "extra_cal", "misconfig_cal", "misconfig_petal", "off_target"}
)
"""Flags of exposures that are left out."""
FLAGS = NOT_RUN | frozenset(
    {
        "good",
        "low_flux",
        "short_exposure",
        "low_sn",
        "low_speed",
        "metadata_missing",
        "metadata_mismatch",
        "no_stdstars",
    }
)
STAR_ARMS = ("b", "r")
"""Arms without which a spectrograph's standard stars cannot be fitted and chosen, nor its flux calibrated."""
BETWEEN = "|"
"""Between the words of a cell."""

_NAME = re.compile(r"exposure_table_(\d{8})\.csv")
_NAME_OF_PRODUCT = re.compile("[a-z0-9]+")
_FILE_FAULT = re.compile(
    r"FILE:(?P<name>\S+) (?:is missing|of (?P<size>\d+) bytes: (?P<problem>.*))"
    r"->(?:CAMWORD ?(?P<camword>(?:[abrz]\d+)*)|EXPFLAG (?P<flags>[\w ]+))"
)


@dataclass(frozen=True)
class FileFault:
    """What was wrong with a file when its exposure was read: an entry of HEADERERR, in the form of desispec's.

    Attributes
    ----------
    size
        Bytes; None if the file was not there.
    problem
        What was found; "" if the file was not there.
    camword
        What CAMWORD has because of it; None if it has nothing to do with that.
    flags
        What it added to EXPFLAG.
    """

    name: str
    size: int | None
    problem: str
    camword: str | None = None
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        then = f"EXPFLAG {' '.join(self.flags)}" if self.camword is None else f"CAMWORD {self.camword}"
        return f"FILE:{self.found}->{then}"

    @property
    def found(self) -> str:
        """What was found, with the file's name."""
        return f"{self.name} is missing" if self.size is None else f"{self.name} of {self.size} bytes: {self.problem}"


def file_faults(headererr: str) -> list[FileFault]:
    """Return the faults of files among the entries of a cell."""
    made = []
    for entry in headererr.split(BETWEEN):
        if match := _FILE_FAULT.fullmatch(entry.strip()):
            size = None if match["size"] is None else int(match["size"])
            flags = tuple((match["flags"] or "").split())
            made.append(FileFault(match["name"], size, match["problem"] or "", match["camword"], flags))
    return made


@dataclass(frozen=True, order=True)
class Exposure:
    """A line of a table.

    Attributes
    ----------
    cameras
        Those that are there, and not bad.
    left_out
        Those that the table names as bad.
    badamps
        Bad amplifiers of each camera: ``{"b7": "D"}`` as pairs.
    reason
        Why the exposure is left out as a whole; "" if it is run.
    headererr
        What was wrong with headers and files, as the table says it.
    mjd
        Of its begin, days.
    """

    night: int
    expid: int
    obstype: str
    tileid: int
    survey: str
    program: str
    laststep: str
    exptime: float
    cameras: frozenset[str]
    left_out: frozenset[str]
    badamps: tuple[tuple[str, str], ...]
    reason: str
    headererr: str = ""
    mjd: float = COLUMNS["MJD-OBS"]
    airmass: float = COLUMNS["AIRMASS"]

    def amps_of(self, camera: str) -> str:
        """Return the bad amplifiers of a camera, such as ``AD``; "" if all are good."""
        return dict(self.badamps).get(camera, "")

    @property
    def spectrographs(self) -> list[str]:
        """Those of which a camera is run."""
        return sorted({camera[1] for camera in self.cameras})

    @property
    def with_stars(self) -> list[str]:
        """Those of which standard stars can be fitted."""
        return [one for one in self.spectrographs if all(arm + one in self.cameras for arm in STAR_ARMS)]


def path_of(production: Path, night: int) -> Path:
    """Return where the table of a night stands in a production."""
    return Layout(production).of_night("exposure_table", night)


def tables_in(directory: Path) -> dict[int, Path]:
    """Return the tables in a production's ``exposure_tables``, or a directory laid out like it, by night, in order.

    Copies of them, under other names or in other directories, are nobody's tables.
    """
    found = ((_NAME.fullmatch(path.name), path) for path in directory.glob("*/exposure_table_*.csv"))
    return dict(sorted((int(name[1]), path) for name, path in found if name and name[1][:6] == path.parent.name))


def read_table(path: Path) -> list[Exposure]:
    """Read a table, in its order.

    Raises
    ------
    InputError
        If it cannot be understood; names the line, the column, what was found and what is expected.
    """
    night = path.stem.rpartition("_")[2]
    made: dict[int, Exposure] = {}
    for number, cells in _lines(path):
        exposure = _exposure(path, number, cells, night)
        if exposure.expid in made:
            raise InputError(f"{path}, line {number}: EXPID {exposure.expid} is there twice: remove one of the lines")
        made[exposure.expid] = exposure
    return list(made.values())


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # Excel begins a file with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text ({error}): save it as CSV, UTF-8") from error
    with io.StringIO(text) as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path} has no column {', '.join(missing)}; it has {', '.join(reader.fieldnames or ())}")
        for cells in reader:
            if None in cells or None in cells.values():
                expected = len(reader.fieldnames or ())
                raise InputError(f"{path}, line {reader.line_num}: expected {expected} cells, as its first line has")
            yield reader.line_num, {name: value.strip() for name, value in cells.items()}


def _exposure(path: Path, number: int, cells: Mapping[str, str], night: str) -> Exposure:
    def cell(name: str, convert: Callable[[str], Any], expected: str) -> Any:
        text = cells.get(name, "")
        if text == "" and name not in NEEDED:
            return COLUMNS[name]
        try:
            return convert(text)
        except (ValueError, InputError) as error:
            found = str(error) if isinstance(error, InputError) else f"{text!r}, expected {expected}"
            raise InputError(f"{path}, line {number}, column {name}: {found}") from error

    def one_of(*words: str) -> Callable[[str], str]:
        def convert(text: str) -> str:
            if text.lower() not in words:
                raise ValueError
            return text.lower()

        return convert

    if cells.get("NIGHT", night) not in (night, ""):
        raise InputError(f"{path}, line {number}, column NIGHT: {cells['NIGHT']!r}, expected {night}")
    obstype = cell("OBSTYPE", str.lower, "")
    if obstype not in TYPES and (meant := difflib.get_close_matches(obstype, TYPES, 1)):
        raise InputError(f"{path}, line {number}, column OBSTYPE: {obstype!r}: is {meant[0]} meant?")
    cameras = cell("CAMWORD", decode_camword, "")
    bad = decode_camword("") if not cells.get("BADCAMWORD") else cell("BADCAMWORD", decode_camword, "")
    amps = {} if not cells.get("BADAMPS") else cell("BADAMPS", parse_badamps, "")
    laststep = cell("LASTSTEP", one_of(*LAST_STEPS), f"one of {', '.join(LAST_STEPS)}")
    flags = {flag.strip().lower() for flag in cells.get("EXPFLAG", "").split(BETWEEN) if flag.strip()}
    if unknown := sorted(flags - FLAGS):
        raise InputError(
            f"{path}, line {number}, column EXPFLAG: {', '.join(unknown)}, expected some of {', '.join(sorted(FLAGS))}"
        )
    reasons = sorted(flags & NOT_RUN) + (["LASTSTEP ignore"] if laststep == "ignore" else [])
    headererr = cells.get("HEADERERR", "").strip(BETWEEN)  # desispec writes no entries as "|"
    if obstype in CALIBRATIONS and "cte" in cell("PROGRAM", str.lower, "").split():
        reasons.append("PROGRAM: it is to measure the transfer of charge")
    reasons += [fault.found for fault in file_faults(headererr) if flags & NOT_RUN & {*fault.flags}]
    survey = cell("SURVEY", str.lower, "")
    survey = survey if survey != COLUMNS["SURVEY"] else cell("FA_SURV", str.lower, "")
    program = cell("FAPRGRM", str.lower, "")
    for name, word in (("SURVEY", survey), ("FAPRGRM", program)):
        if obstype == "science" and not reasons and not _NAME_OF_PRODUCT.fullmatch(word):
            raise InputError(
                f"{path}, line {number}, column {name}: {word!r}, expected letters and digits: it names a directory"
            )
    return Exposure(
        night=int(night),
        expid=cell("EXPID", int, "a whole number"),
        obstype=obstype,
        tileid=cell("TILEID", int, "a whole number"),
        survey=survey,
        program=program,
        laststep=laststep,
        exptime=cell("EXPTIME", float, "seconds"),
        cameras=cameras - bad,
        left_out=cameras & bad,
        badamps=tuple(sorted(amps.items())),
        reason=", ".join(reasons),
        headererr=headererr,
        mjd=cell("MJD-OBS", float, "days"),
        airmass=cell("AIRMASS", float, "a number"),
    )


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> bool:
    """Write a table; columns that a row lacks have their default.

    The file appears whole. If it says the same already, it is left alone, and its time stays.

    Returns
    -------
    bool
        Whether it was written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_text(row.get(name, default)) for name, default in COLUMNS.items()])
    return write_changed(path, stream.getvalue())


def _text(value: Any) -> str:
    words = BETWEEN.join(map(str, value)) + BETWEEN if isinstance(value, list | tuple) and value else value
    return "" if words in ([], ()) else str(words).replace(",", ";")


def merged(path: Path, found: Iterable[Mapping[str, Any]], again: Collection[int] = ()) -> list[dict[str, Any]]:
    """Return the rows of a table with those of new exposures: what a person has edited stays as it is.

    Parameters
    ----------
    path
        The table, if there is one.
    found
        Rows of exposures that were read.
    again
        EXPIDs of those in the table that were read once more, as their files have changed. Their cells stay, and where
        a file had been missing only those that differ from the column's default. CAMWORD, HEADERERR, and the flags
        that the fault had led to, are new.
    """
    there = {int(cells["EXPID"]): dict(cells) for _, cells in _lines(path)} if path.exists() else {}
    new = {int(row["EXPID"]): dict(row) for row in found}
    renewed = {expid: _renewed(there[expid], new[expid]) for expid in again}
    return [renewed.get(expid) or there.get(expid) or new[expid] for expid in sorted({*there, *new})]


def _renewed(old: Mapping[str, str], new: Mapping[str, Any]) -> dict[str, Any]:
    faults = file_faults(old.get("HEADERERR", ""))
    was_read = all(fault.camword is not None for fault in faults)  # of a file that was cut short the headers were
    unknown = {name: ("", BETWEEN, _text(COLUMNS.get(name, ""))) for name in old}
    made = dict(new) | {name: cell for name, cell in old.items() if was_read or cell not in unknown[name]}
    of_faults = {flag for fault in faults for flag in fault.flags}
    flags = [flag for flag in old.get("EXPFLAG", "").split(BETWEEN) if flag.strip() and flag.strip() not in of_faults]
    made["EXPFLAG"] = [*flags, *(flag for flag in new["EXPFLAG"] if flag not in flags)]
    return made | {name: new[name] for name in ("CAMWORD", "HEADERERR")}
