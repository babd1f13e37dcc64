"""The list of a pairing's frames in a month, ``frames/{month}/{ifu}.csv``: what its jobs read.

A frame that should be there and cannot be used is a row, too, with the reason: who asks for it hears why.

Light: without numpy.
"""

import csv
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from skyharvest.core.csv_file import write_changed_rows
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.layout import name_of_exposure, name_of_shot

GOOD = "good"
_SHOT = re.compile(r"(\d{8})v(\d{3})")


@dataclass(frozen=True)
class Member:
    """A frame in a tar.

    Attributes
    ----------
    type
        ``zro``, ``twi`` or ``sci``.
    night, obs, expnum
        When it was taken: YYYYMMDD, observation of the night, exposure of that.
    specid, ifuslot, ifuid, contid, amp
        Where: the pairing, and the amplifier.
    tar, member
        Path of the tar, and name in it.
    offset, size
        Where its bytes begin in the tar, and how many there are.
    object
        OBJECT of its header.
    exptime
        Seconds, right in parallel mode, too; NaN if unknown.
    digest
        Another one is another frame.
    state, reason
        ``good``; or why it cannot be used.
    """

    type: str
    night: int
    obs: int
    expnum: int
    specid: str
    ifuslot: str
    ifuid: str
    contid: str
    amp: str
    tar: str
    member: str
    offset: int
    size: int
    object: str = ""
    exptime: float = float("nan")
    digest: str = ""
    state: str = GOOD
    reason: str = ""

    @property
    def shot(self) -> str:
        """The field's name of its shot: ``20190103v012``."""
        return name_of_shot(self.night, self.obs)

    @property
    def exposure(self) -> str:
        """The field's name of its exposure: ``exp01``."""
        return name_of_exposure(self.expnum)

    @property
    def ifu(self) -> str:
        """The pairing, SPECID_IFUSLOT_IFUID_CONTID."""
        return f"{self.specid}_{self.ifuslot}_{self.ifuid}_{self.contid}"

    @property
    def month(self) -> int:
        """The month, YYYYMM."""
        return self.night // 100

    def __str__(self) -> str:
        """Return what a message calls it."""
        return f"{self.tar}: {self.member}"


COLUMNS = tuple(field.name for field in fields(Member))
_KINDS = {field.name: field.type for field in fields(Member)}


def write(path: Path, members: Iterable[Member]) -> bool:
    """Write the frames of a pairing, unless the file has them already: then its time stays.

    Returns
    -------
    bool
        Whether it was written.
    """
    return write_changed_rows(path, COLUMNS, ([getattr(one, name) for name in COLUMNS] for one in members))


def read(
    path: Path,
    type: str | None = None,
    shot: str | None = None,
    expnum: int | None = None,
    amp: str | None = None,
) -> list[Member]:
    """Return the good frames of a pairing, of a type, shot, exposure or amplifier, in the order of time.

    Raises
    ------
    MalformedFile
        If the file is no such list.
    """
    wanted = _wanted(type, shot, expnum, amp)
    return [one for one in read_all(path) if one.state == GOOD and _fits(one, wanted)]


def read_one(path: Path, type: str, shot: str, expnum: int, amp: str) -> Member:
    """Return a frame.

    Raises
    ------
    MalformedFile
        If it cannot be used, with the reason; or if there is none.
    """
    wanted = _wanted(type, shot, expnum, amp)
    found = [one for one in read_all(path) if _fits(one, wanted)]
    good = [one for one in found if one.state == GOOD]
    if len(good) == 1:
        return good[0]
    if found and not good:
        raise MalformedFile(f"{found[-1]}: {found[-1].reason}")
    what = f"{type} {shot} {name_of_exposure(expnum)} {amp}"
    raise MalformedFile(f"{path}: found {len(good)} frames {what}; expected one")


def read_all(path: Path) -> list[Member]:
    """Return all frames of a pairing, also those that cannot be used.

    Raises
    ------
    MalformedFile
        If the file is no such list.
    """
    stat = path.stat()
    return list(_parsed(path, stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=4)  # a job asks for one amplifier after the other
def _parsed(path: Path, _mtime: int, _size: int) -> tuple[Member, ...]:
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        header = tuple(next(reader, ()))
        if header != COLUMNS:
            raise MalformedFile(f"{path}: found the columns {','.join(header)[:200]}; remove the file and run again")
        try:
            return tuple(_member(cells) for cells in reader)
        except (ValueError, TypeError) as error:
            raise MalformedFile(f"{path}: line {reader.line_num}: {error}; remove the file and run again") from None


def _member(cells: list[str]) -> Member:
    kinds = {int: int, float: float, str: str}
    values = [kinds[_KINDS[name]](cell) for name, cell in zip(COLUMNS, cells, strict=True)]  # type: ignore[index]
    return Member(*values)


def _wanted(kind: str | None, shot: str | None, expnum: int | None, amp: str | None) -> dict[str, object]:
    wanted = {"type": kind, "expnum": expnum, "amp": amp}
    if shot is not None:
        found = _SHOT.fullmatch(shot)
        assert found, f"found the shot {shot}; expected one such as 20190103v012"
        wanted |= {"night": int(found[1]), "obs": int(found[2])}
    return {name: value for name, value in wanted.items() if value is not None}


def _fits(one: Member, wanted: dict[str, object]) -> bool:
    return all(getattr(one, name) == value for name, value in wanted.items())
