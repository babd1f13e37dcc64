"""The files of a release that Globus copies, and the record of their statuses."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.surveys.desi.globus.collection import Collection
from skyharvest.surveys.desi.release import Release

TRANSFERRED, ABSENT = "transferred", "absent"
RECORD = ("survey", "program", "pix64", "file", "status")
NAME = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class WantedFile:
    """A file of a release; ``path`` is relative to the directory that contains ``spectro/``."""

    survey: str
    program: str
    pix64: int
    path: str


def wanted_files(release: Release, coadds: Iterable[tuple[str, str, int]]) -> list[WantedFile]:
    """Return coadd, redrock file and checksum file of each (survey, program, NSIDE=64 pixel), by directory.

    Raises
    ------
    MalformedFile
        If a survey or program has other characters than lower-case letters and digits: they become paths.
    """
    files = []
    for survey, program, pix64 in dict.fromkeys(coadds):
        if not (NAME.fullmatch(survey) and NAME.fullmatch(program)):
            raise MalformedFile(
                f"the list of coadds has survey {survey!r}, program {program!r}; expected lower-case letters and digits"
            )
        coadd = (survey, program, pix64)
        for path in (release.coadd(*coadd), release.redrock(*coadd), release.checksums(*coadd)):
            files.append(WantedFile(*coadd, path))
    return files


def read_pixels(path: Path) -> set[int]:
    """Return the NSIDE=64 pixels of a file: a number per line (``pix64.txt``), or a CSV with a column ``pix64``.

    Raises
    ------
    InputError
        If a line is anything else.
    """
    pixels = set()
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.reader(stream))
    column, first = 0, 0
    if lines and "pix64" in lines[0]:
        column, first = lines[0].index("pix64"), 1
    for number, line in enumerate(lines[first:], first + 1):
        cell = line[column].strip() if column < len(line) else ""
        if cell.isdecimal():
            pixels.add(int(cell))
        elif any(line):
            raise InputError(f"{path}, line {number}: found {','.join(line)[:80]!r}; expected the number of a pixel")
    return pixels


def read_plan(path: Path) -> list[tuple[str, str, int]]:
    """Return the (survey, program, pixel) of each line of ``plan.csv``.

    Raises
    ------
    InputError
        If it is not a plan.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        try:
            return [(line["survey"], line["program"], int(line["pix64"])) for line in csv.DictReader(stream)]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is not a plan ({error!r}): expected survey,program,pix64,… as plan_desi.py writes"
            ) from error


def check_local(files: Mapping[str, str], local: Path, destination: Collection) -> None:
    """Check that transferred files (of file → status) exist in ``local``, the destination as this machine sees it.

    Raises
    ------
    InputError
        If a file is missing: read from a wrong path, every coadd would seem absent.
    """
    missing = [name for name, status in files.items() if status == TRANSFERRED and not (local / name).is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} transferred files are not in {local.absolute()}, such as {missing[0]}: it is not what "
            f"{destination} is; correct the path, or where it is seen (desi.globus.path and desi.globus.local)"
        )


def write_record(path: Path, files: Iterable[WantedFile], statuses: Mapping[str, str]) -> None:
    """Write the status of every file: a CSV with the columns `RECORD`."""
    rows = ((file.survey, file.program, file.pix64, file.path, statuses[file.path]) for file in files)
    write_rows(path, RECORD, rows)
