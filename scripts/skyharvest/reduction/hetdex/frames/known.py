"""What people know of frames, as CSV files: bad frames, bad amplifiers, IFUs connected otherwise than headers say.

Each file has a header line. A cell may be ``*``, for any; ``first`` and ``last`` are nights, both included, and may be
empty. A line that concerns nothing is told, as it may be a slip.

Light: without numpy.
"""

import csv
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skyharvest.core.errors import InputError
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.layout import AMPS

log = logging.getLogger(__name__)

ANY = "*"
FRAME_COLUMNS = ("night", "obs", "expnum", "ifuslot", "amp", "reason")
AMP_COLUMNS = ("specid", "ifuslot", "amp", "first", "last", "reason")
SWAP_COLUMNS = ("ifuslot", "specid", "ifuid", "contid", "first", "last")
_MAY_BE_ANY: dict[Sequence[str], Sequence[str]] = {FRAME_COLUMNS: FRAME_COLUMNS[:5], AMP_COLUMNS: AMP_COLUMNS[:3]}
_MAY_BE_EMPTY: dict[Sequence[str], Sequence[str]] = {
    FRAME_COLUMNS: ("ifuslot", "amp"),
    AMP_COLUMNS: ("first", "last"),
    SWAP_COLUMNS: ("contid", "first", "last"),
}
_DIGITS = {"specid": 3, "ifuslot": 3, "ifuid": 3, "night": 8, "first": 8, "last": 8, "obs": 0, "expnum": 0}
"""How many digits a number has; 0: any."""


@dataclass
class Line:
    """A line of such a file.

    Attributes
    ----------
    number
        In the file, from 1.
    cells
        Column → text, numbers without leading zeros unless they are names of three digits.
    used
        Whether it has concerned something.
    """

    number: int
    cells: dict[str, str]
    used: bool = False

    @property
    def first(self) -> int:
        """First night."""
        text = self.cells.get("first", self.cells.get("night", ""))
        return int(text) if text.isdecimal() else 0

    @property
    def last(self) -> int:
        """Last night."""
        text = self.cells.get("last", self.cells.get("night", ""))
        return int(text) if text.isdecimal() else 99999999

    def holds(self, night: int) -> bool:
        """Tell whether a night is within first and last."""
        return self.first <= night <= self.last


@dataclass
class BadFrames:
    """Frames that are not used."""

    path: Path | None = None
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Sort the lines by night."""
        self._by_night: dict[str, list[Line]] = {}
        for line in self.lines:
            self._by_night.setdefault(line.cells["night"], []).append(line)

    def reason(self, night: int, obs: int, expnum: int, ifuslot: str, amp: str) -> str:
        """Return why a frame is bad; empty if no line says so.

        What has no name in a tar has exposure 0, and no slot and amplifier.
        """
        own = {"obs": str(obs), "expnum": str(expnum), "ifuslot": ifuslot, "amp": amp}
        for line in (*self._by_night.get(str(night), ()), *self._by_night.get(ANY, ())):
            if all(line.cells[name] in (ANY, value) for name, value in own.items()):
                line.used = True
                return line.cells["reason"] or f"{self.path}, line {line.number}"
        return ""


@dataclass
class BadAmps:
    """Amplifiers that are not used."""

    path: Path | None = None
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Sort the lines by spectrograph."""
        self._by_specid: dict[str, list[Line]] = {}
        for line in self.lines:
            self._by_specid.setdefault(line.cells["specid"], []).append(line)

    def reason(self, night: int, specid: str, ifuslot: str, amp: str) -> str:
        """Return why an amplifier is bad in a night; empty if no line says so."""
        own = {"ifuslot": ifuslot, "amp": amp}
        for line in (*self._by_specid.get(specid, ()), *self._by_specid.get(ANY, ())):
            if line.holds(night) and all(line.cells[name] in (ANY, value) for name, value in own.items()):
                line.used = True
                return line.cells["reason"] or f"{self.path}, line {line.number}"
        return ""


@dataclass
class Swaps:
    """What is connected to a slot, where headers are wrong."""

    path: Path | None = None
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check that no two lines hold for the same slot and night."""
        self._by_slot: dict[str, list[Line]] = {}
        for line in self.lines:
            for other in self._by_slot.setdefault(line.cells["ifuslot"], []):
                if line.first <= other.last and other.first <= line.last:
                    raise InputError(
                        f"{self.path}: line {line.number}: found slot {line.cells['ifuslot']} in nights that line "
                        f"{other.number} has, too; expected one line for a slot and a night"
                    )
            self._by_slot[line.cells["ifuslot"]].append(line)

    def of(self, ifuslot: str, night: int) -> tuple[str, str, str] | None:
        """Return SPECID, IFUID and CONTID (which may be empty: as the header says) of a slot; None: as headers say."""
        for line in self._by_slot.get(ifuslot, ()):
            if line.holds(night):
                line.used = True
                return line.cells["specid"], line.cells["ifuid"], line.cells["contid"]
        return None


@dataclass(frozen=True)
class Known:
    """All that is known."""

    frames: BadFrames = field(default_factory=BadFrames)
    amps: BadAmps = field(default_factory=BadAmps)
    swaps: Swaps = field(default_factory=Swaps)

    @classmethod
    def read(cls, frames: Path | None = None, amps: Path | None = None, swaps: Path | None = None) -> "Known":
        """Read the files that there are.

        Raises
        ------
        InputError
            If one is wrong: names it, the line and the column, what was found, and what was expected.
        """
        return cls(
            BadFrames(frames, read_lines(frames, FRAME_COLUMNS)),
            BadAmps(amps, read_lines(amps, AMP_COLUMNS)),
            Swaps(swaps, read_lines(swaps, SWAP_COLUMNS)),
        )

    def tell_unused(self, nights: Collection[int]) -> None:
        """Tell of lines that have concerned nothing, of those that hold for one of some nights."""
        for table in (self.frames, self.amps, self.swaps):
            unused = [line for line in table.lines if not line.used and any(map(line.holds, nights))]
            for line in unused[:10]:
                log.warning("%s: line %d concerns no frame", table.path, line.number)
            if len(unused) > 10:
                log.warning("%s: %s more", table.path, counted(len(unused) - 10, "such line"))


def read_lines(path: Path | None, columns: tuple[str, ...]) -> list[Line]:
    """Read a file with such columns, in any order; no file has no lines.

    Raises
    ------
    InputError
        As `Known.read`.
    """
    if path is None:
        return []
    return [Line(number, _checked(path, number, cells, columns)) for number, cells in numbered_rows(path, columns)]


def numbered_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Return the cells of a file with such columns, in any order, by column; with the number of their line, from 1.

    Lines that are empty, or begin with ``#``, are left out.

    Raises
    ------
    InputError
        If it has other columns, or none, or a line has more or fewer cells: names it and the line.
    """
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return list(_rows(path, csv.reader(stream), columns))


def _rows(path: Path, reader: Iterable[list[str]], columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    header: list[str] = []
    for number, cells in enumerate(reader, 1):
        stripped = [cell.strip() for cell in cells]
        if not any(stripped) or stripped[0].startswith("#"):
            continue
        if not header:
            header = stripped
            if sorted(header) != sorted(columns):
                raise InputError(
                    f"{path}: line {number}: found the columns {','.join(header)}; expected {','.join(columns)}"
                )
            continue
        if len(stripped) != len(header):
            found = counted(len(stripped), "cell")
            raise InputError(f"{path}: line {number}: found {found}; expected {len(header)}: {','.join(header)}")
        yield number, dict(zip(header, stripped, strict=True))
    if not header:
        raise InputError(f"{path}: found nothing; expected the columns {','.join(columns)}")


def _checked(path: Path, number: int, cells: dict[str, str], columns: tuple[str, ...]) -> dict[str, str]:
    """Return the cells with numbers as frames have them."""
    any_of = _MAY_BE_ANY.get(columns, ())
    checked = {}
    for name, cell in cells.items():
        checked[name] = cell
        if name == "reason" or (cell == ANY and name in any_of) or (not cell and name in _MAY_BE_EMPTY[columns]):
            continue
        if name == "contid" and cell.isalnum():
            continue
        if name == "amp" and cell in AMPS:
            continue
        n_digits = _DIGITS.get(name)
        if n_digits is not None and cell.isdecimal() and (n_digits < 8 or len(cell) == n_digits):
            checked[name] = f"{int(cell):03d}" if n_digits == 3 else str(int(cell))
            continue
        expected = {3: "a number of three digits", 8: "a night, YYYYMMDD", 0: "a number"}.get(n_digits or 0)
        expected = {"amp": ", ".join(AMPS), "contid": "letters and digits"}.get(name) or expected
        more = " or *" if name in any_of else ""
        raise InputError(f"{path}: line {number}, column {name}: found {cell!r}; expected {expected}{more}")
    return checked
