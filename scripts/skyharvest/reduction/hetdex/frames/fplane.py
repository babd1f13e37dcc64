"""Where the IFUs stand in the focal plane, and which spectrograph each is connected to: files ``fplaneYYYYMMDD``.

A row is ``IFUSLOT X_FP Y_FP SPECID SPECSLOT IFUID IFUROT PLATESC``; X and Y are in arcsec, IFUROT is in degrees,
PLATESC a factor. Lines that begin with ``#`` are comments. Slot 000 is none: the middle of the field. A slot may be
there only once; a spectrograph that is there twice is told, as real files have that: the headers of frames know better.

A file holds from the night in its name on, until a later one does.

Light: without numpy.
"""

import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.core.words import counted

log = logging.getLogger(__name__)

NO_SLOT = "000"
_NAME = re.compile(r"fplane[._-]?(\d{8})(?:\.txt)?")
_COLUMNS = ("IFUSLOT", "X_FP", "Y_FP", "SPECID", "SPECSLOT", "IFUID", "IFUROT", "PLATESC")
_NUMBERS = ("X_FP", "Y_FP", "IFUROT", "PLATESC")


@dataclass(frozen=True)
class Slot:
    """An IFU in the focal plane.

    Attributes
    ----------
    ifuslot, specid, specslot, ifuid
        Three digits each.
    x, y
        Arcsec.
    ifurot
        Degrees.
    platesc
        A factor.
    """

    ifuslot: str
    x: float
    y: float
    specid: str
    specslot: str
    ifuid: str
    ifurot: float
    platesc: float


def find(directory: Path, night: int) -> Path:
    """Return the file that holds for a night: that of the last night which is not after it.

    Raises
    ------
    InputError
        If there is none; or two of the same night.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: found no such directory; expected files fplaneYYYYMMDD; see fplane")
    dated: dict[int, Path] = {}
    for path in sorted(directory.iterdir()):
        if found := _NAME.fullmatch(path.name):
            other = dated.setdefault(int(found[1]), path)
            if other != path:
                raise InputError(f"{directory}: found {other.name} and {path.name}; expected one of them")
    usable = [since for since in dated if since <= night]
    if not usable:
        has = f"the first of {counted(len(dated), 'file')} is {dated[min(dated)].name}" if dated else "it has none"
        raise InputError(
            f"{directory}: found no fplane{night}, nor one of an earlier night: {has}; add the focal plane's file that "
            f"holds for {night}"
        )
    return dated[max(usable)]


def read(path: Path) -> dict[str, Slot]:
    """Return the IFUs of a focal plane by IFUSLOT, in the order of the file.

    Raises
    ------
    MalformedFile
        If a line is no row, or names a slot that an earlier line has: says which.
    """
    slots: dict[str, Slot] = {}
    lines: dict[tuple[str, str], int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        cells = line.partition("#")[0].split()
        if not cells:
            continue
        slot = _slot(path, number, cells)
        if slot.ifuslot == NO_SLOT:
            continue
        for name, value in (("IFUSLOT", slot.ifuslot), ("SPECID", slot.specid), ("IFUID", slot.ifuid)):
            first = lines.setdefault((name, value), number)
            if first == number or value == NO_SLOT:  # or a slot whose IFU is not connected
                continue
            text = f"{path}: line {number}: found {name} {value}, which line {first} has, too"
            if name == "IFUSLOT":
                raise MalformedFile(f"{text}; remove one")
            log.warning(text)
        slots[slot.ifuslot] = slot
    if not slots:
        raise MalformedFile(f"{path}: found no IFU; expected rows {' '.join(_COLUMNS)}")
    return slots


def _slot(path: Path, number: int, cells: list[str]) -> Slot:
    if len(cells) != len(_COLUMNS):
        found = counted(len(cells), "value")
        raise MalformedFile(f"{path}: line {number}: found {found}; expected {len(_COLUMNS)}: {' '.join(_COLUMNS)}")
    values: list[str | float] = []
    for name, cell in zip(_COLUMNS, cells, strict=True):
        try:
            value = float(cell) if name in _NUMBERS else f"{int(cell):03d}"
        except ValueError:
            value = math.nan
        if isinstance(value, float) and not math.isfinite(value):
            raise MalformedFile(f"{path}: line {number}: found {name} {cell!r}; expected a number")
        values.append(value)
    return Slot(*values)  # type: ignore[arg-type]
