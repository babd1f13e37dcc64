"""Exposure tables: the list of what is run, a CSV for each night, which people edit by hand.

Light: it is imported whenever the workflow is parsed. Columns, types and words are those of desispec
(`desispec.workflow.exptable`), so that its tables can be taken as they are, and ours by its tools.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.cameras import decode_camword, parse_badamps

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
LAST_STEPS = ("ignore", "skysub", "stdstarfit", "fluxcal", "all")
"""Of science exposures: the step after which nothing more is done."""
NOT_RUN = frozenset({"bad", "junk", "corrupted", "test", "aborted", "misconfig_cal", "misconfig_petal", "off_target"})
"""Flags of exposures that are left out."""
FLAGS = NOT_RUN | frozenset(
    {
        "good",
        "extra_cal",
        "low_flux",
        "short_exposure",
        "low_sn",
        "low_speed",
        "metadata_missing",
        "metadata_mismatch",
        "no_stdstars",
    }
)
BETWEEN = "|"
"""Between the words of a cell."""


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

    def amps_of(self, camera: str) -> str:
        """Return the bad amplifiers of a camera, such as ``AD``; "" if all are good."""
        return dict(self.badamps).get(camera, "")

    @property
    def spectrographs(self) -> list[str]:
        """Those of which a camera is run."""
        return sorted({camera[1] for camera in self.cameras})


def path_of(production: Path, night: int) -> Path:
    """Return where the table of a night stands in a production."""
    return production / "exposure_tables" / str(night)[:6] / f"exposure_table_{night}.csv"


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
    with path.open(newline="", encoding="utf-8") as stream:
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
    return Exposure(
        night=cell("NIGHT", int, "a night as YYYYMMDD") if "NIGHT" in cells else int(night),
        expid=cell("EXPID", int, "a whole number"),
        obstype=cell("OBSTYPE", str.lower, ""),
        tileid=cell("TILEID", int, "a whole number"),
        survey=cell("FA_SURV", str.lower, ""),
        program=cell("FAPRGRM", str.lower, ""),
        laststep=laststep,
        exptime=cell("EXPTIME", float, "seconds"),
        cameras=cameras - bad,
        left_out=cameras & bad,
        badamps=tuple(sorted(amps.items())),
        reason=", ".join(reasons),
    )


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table; columns that a row lacks have their default. The file appears whole."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([_text(row.get(name, default)) for name, default in COLUMNS.items()])


def _text(value: Any) -> str:
    words = BETWEEN.join(map(str, value)) + BETWEEN if isinstance(value, list | tuple) and value else value
    return "" if words in ([], ()) else str(words).replace(",", ";")


def merged(path: Path, found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a table with those of new exposures: what a person has edited stays as it is.

    Parameters
    ----------
    path
        The table, if there is one.
    found
        Rows of the exposures that are in the raw data.
    """
    there = {int(cells["EXPID"]): dict(cells) for _, cells in _lines(path)} if path.exists() else {}
    new = {int(row["EXPID"]): dict(row) for row in found}
    return [there.get(expid) or new[expid] for expid in sorted({*there, *new})]
