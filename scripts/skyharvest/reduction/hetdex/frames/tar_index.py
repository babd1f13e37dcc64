"""Which frames a night's tar files hold, and where: each tar is walked once, and its members are later read by offset.

A night has a tar for each observation, ``NIGHT/virus/virus0000OBS.tar``, with members
``virus0000OBS/exp01/virus/20190103T054545.0_093LU_sci.fits``: exposure, IFU slot, amplifier and type are in the name,
the rest is in the FITS header. Of a member of 2.2 MB, its tar header and its FITS header are read.

Nothing is lost in silence: what cannot be used is a row that says why. A tar that was cut short keeps the members
before the cut; behind a damaged tar header the walk goes on at the next block that is one, by its magic and checksum
(POSIX 1003.1, pax: ustar interchange format).

Parsing of tar headers is left to `tarfile`. Its own walk (`tarfile.TarFile`) is not used: at a damaged header it ends,
without a word unless it is the first.

Light: without numpy.
"""

import logging
import os
import re
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from skyharvest.core.csv_file import read_rows, write_rows
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.fits_header import BLOCK, Value, find_end, parse_cards
from skyharvest.reduction.hetdex.layout import AMPS

log = logging.getLogger(__name__)

GOOD, BAD = "good", "bad"
TAR_BLOCK = 512
FIRST_READ = TAR_BLOCK + 5 * BLOCK
"""Bytes that are read of a member at once: few frames have a longer header."""
LONGEST_HEADER = 100 * BLOCK
SEARCHED = 1 << 22
"""Bytes that are read at once while a tar header is looked for."""

N_ROWS, N_COLUMNS, N_OVERSCAN = 1032, 1032, 32
"""Shape of a frame; overscan stands behind the other columns."""
TYPES = ("zro", "twi", "sci")
"""Types of frames that are used: bias, twilight, sky."""
OTHER_TYPES = ("flt", "cmp", "drk")
"""And those that are not: lamps and darks."""
PARALLEL_S, READOUT_S = 30.0, 8.0
WITHOUT_GAIN, WITHOUT_RDNOISE = 0.85, 3.0
"""Electrons per ADU, and electrons, of a header that has none above 0: the numbers of public pipelines (Panacea)."""

KEYWORDS = (
    *("OBJECT", "DATE-OBS", "UT", "MJD", "EXPTIME", "PEXPTIME", "DARKTIME", "GAIN", "RDNOISE", "AMPNAME"),
    *("PARANGLE", "TRAJCRA", "TRAJCDEC", "STRUCTAZ", "AMBTEMP", "HUMIDITY", "DEWPOINT", "BAROMPRE"),
)
"""What a list says of a frame by its header; TRAJCRA is in hours."""

TAR = re.compile(r"virus(\d{7})\.tar")
_NAME = re.compile(r"(?:.*/)?exp(\d{2})/virus/[^/]+_(\d{3})(LL|LU|RL|RU)_([a-z]{3})\.fits")
_LOOSE = re.compile(rb"exp(\d{2})/virus/[^/\x00]+_(\d{3})(LL|LU|RL|RU)_([a-z]{3})\.fits")
_MAGIC = b"ustar"
_MAGIC_AT = 257
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a night's list: a member of a tar, or a part of one that is no member.

    Attributes
    ----------
    night, obs
        Of the directory and the tar's name.
    expnum, type, ifuslot, amp
        Of the member's name; 0 and empty where that does not say.
    specid, ifuid, contid
        Of the header: three digits, and the letters and digits of the controller's name without ``S/N``; empty where
        the header does not say.
    tar, member
        Path of the tar, and name in it.
    offset, size
        Where the member's bytes begin in the tar, and how many there are.
    digest
        Of the member's place, time and header: another one is another frame.
    exptime
        Seconds, by `exposure_time`; empty where the header does not say.
    state
        `GOOD` or `BAD`.
    reason
        Why it is bad; of a good one, what is odd about it.
    header
        Of `KEYWORDS`, those that the header has, as text.
    """

    night: int
    obs: int
    expnum: int = 0
    type: str = ""
    ifuslot: str = ""
    amp: str = ""
    specid: str = ""
    ifuid: str = ""
    contid: str = ""
    tar: str = ""
    member: str = ""
    offset: int = 0
    size: int = 0
    digest: str = ""
    exptime: str = ""
    state: str = GOOD
    reason: str = ""
    header: Mapping[str, str] = field(default_factory=dict)


FIELDS = tuple(one.name for one in fields(Row) if one.name != "header")
COLUMNS = (*FIELDS, *KEYWORDS)
_WHOLE = ("night", "obs", "expnum", "offset", "size")


def tars_of(raw: Path, night: int | str) -> list[Path]:
    """Return the tar files of a night, in the order of observations.

    Raises
    ------
    InputError
        If the night has no directory, or no tar file in it.
    """
    directory = raw / str(night) / "virus"
    found = sorted(path for path in directory.glob("*.tar") if TAR.fullmatch(path.name))
    if not found:
        what = "no file virus0000OBS.tar" if directory.is_dir() else "no such directory"
        raise InputError(
            f"{directory}: found {what}; expected the raw frames of the night {night}; see raw, and nights"
        )
    return found


def exposure_time(header: Mapping[str, Value]) -> float | None:
    """Return the exposure time of a frame, seconds; None if its header has none.

    In parallel mode, where another instrument's exposure rules, EXPTIME is wrong, and PEXPTIME is too long by the 8 s
    of a readout. It is known by EXPTIME and PEXPTIME differing by more than 30 s (as public code of HETDEX has it,
    elixer); a header without PEXPTIME is not of that mode.
    """
    exptime, pexptime = (_number(header.get(name)) for name in ("EXPTIME", "PEXPTIME"))
    if pexptime is not None and pexptime > READOUT_S and (exptime is None or abs(exptime - pexptime) > PARALLEL_S):
        return pexptime - READOUT_S
    return exptime


def index_night(raw: Path, night: int) -> list[Row]:
    """Return what the tar files of a night hold, in the order of observations and members.

    Raises
    ------
    InputError
        If the night has no tar files.
    """
    return [row for tar in tars_of(raw, night) for row in index_tar(tar, night)]


def index_tar(tar: Path, night: int) -> list[Row]:
    """Return what a tar holds: a row for each frame, and for each part that is damaged or no frame; in their order."""
    named = TAR.fullmatch(tar.name)
    if named is None:
        raise InputError(f"{tar}: found this name; expected virus0000OBS.tar")
    blank = Row(night, int(named[1]), tar=str(tar))
    handle = os.open(tar, os.O_RDONLY)
    try:
        return list(_Walk(handle, os.fstat(handle).st_size, blank).rows())
    finally:
        os.close(handle)


class _Walk:
    """A walk through the members of a tar."""

    def __init__(self, handle: int, size: int, blank: Row) -> None:
        self._handle, self._size, self._blank = handle, size, blank

    def rows(self) -> Iterator[Row]:
        position, named = 0, ""
        while position < self._size:
            start = os.pread(self._handle, FIRST_READ, position)
            if len(start) < TAR_BLOCK:
                yield self._bad(position, f"cut short: found {len(start)} bytes of a tar header")
                return
            try:
                info = tarfile.TarInfo.frombuf(start[:TAR_BLOCK], "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                behind = self._find_header(position + TAR_BLOCK)
                ended = behind == self._size
                if not ended or any(start[:TAR_BLOCK]):  # zeros to the end are the end mark
                    yield self._unknown(start, position, behind, f"damaged tar header ({error})")
                if ended:
                    return
                position, named = behind, ""
                continue
            offset = position + TAR_BLOCK
            following = offset + -(-info.size // TAR_BLOCK) * TAR_BLOCK
            if info.type in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
                # A longer header of the next member: of what it may say, only the name matters to small files.
                extra = os.pread(self._handle, min(info.size, LONGEST_HEADER), offset)
                named = _long_name(info.type, extra) or named
            elif info.type in _REGULAR:
                name, named = named or info.name, ""
                yield self._member(name, info, offset, start[TAR_BLOCK:])
                if offset + info.size > self._size:
                    return
            position = following
        yield self._bad(self._size, "found no end mark: the tar may have been cut short between two members")

    def _bad(self, offset: int, reason: str, size: int = 0) -> Row:
        return replace(self._blank, offset=offset, size=size, state=BAD, reason=reason)

    def _find_header(self, position: int) -> int:
        """Return where the next tar header stands from a position on, or the size of the file."""
        while position < self._size:
            chunk = os.pread(self._handle, SEARCHED + TAR_BLOCK, position)
            at = chunk.find(_MAGIC)
            while at >= 0:
                block = at - _MAGIC_AT
                if block >= 0 and block % TAR_BLOCK == 0 and _is_header(chunk[block : block + TAR_BLOCK]):
                    return position + block
                at = chunk.find(_MAGIC, at + 1)
            position += SEARCHED
        return self._size

    def _unknown(self, start: bytes, position: int, behind: int, reason: str) -> Row:
        """Return the row of what stands behind a damaged tar header, as far as its name can be read in that."""
        offset = position + TAR_BLOCK
        row = self._bad(
            offset, f"{reason} at byte {position}; the next member begins at byte {behind}", behind - offset
        )
        if found := _LOOSE.search(start[:TAR_BLOCK]):
            expnum, ifuslot, amp, kind = (part.decode() for part in found.groups())
            row = replace(row, expnum=int(expnum), ifuslot=ifuslot, amp=amp, type=kind, member=found[0].decode())
        return row

    def _member(self, name: str, info: tarfile.TarInfo, offset: int, start: bytes) -> Row:
        row = replace(self._blank, member=_printable(name), offset=offset, size=info.size)
        found = _NAME.fullmatch(name)
        if found is None:
            expected = "exp01/virus/TIME_093LU_sci.fits"
            return replace(row, state=BAD, reason=f"no frame by its name; expected one such as {expected}")
        row = replace(row, expnum=int(found[1]), ifuslot=found[2], amp=found[3], type=found[4])
        if offset + info.size > self._size:
            reason = f"cut short: it ends at byte {offset + info.size} of the tar, which has {self._size}"
            return replace(row, state=BAD, reason=reason)
        try:
            header, length, text = self._header(start[: info.size], offset, info.size)
            return _described(row, header, length, f"{offset} {info.size} {info.mtime:.0f} ", text)
        except MalformedFile as error:
            return replace(row, state=BAD, reason=str(error))

    def _header(self, start: bytes, offset: int, size: int) -> tuple[dict[str, Value], int, bytes]:
        """Return the FITS header of a member, its length in bytes, and its bytes."""
        if not start.startswith(b"SIMPLE  ="):
            raise MalformedFile(f"found {_printable(start[:10].decode('latin-1'))!r}; expected a FITS header")
        end = find_end(start)
        if end is None and size > len(start):
            start = os.pread(self._handle, min(size, LONGEST_HEADER), offset)
            end = find_end(start)
        if end is None:
            raise MalformedFile(f"found no END in the first {len(start)} bytes; expected a FITS header")
        return parse_cards(start[:end]), -(-end // BLOCK) * BLOCK, start[:end]


def _described(row: Row, header: Mapping[str, Value], length: int, place: str, text: bytes) -> Row:
    """Return the row of a frame with what its header says, which is checked against its name and its size."""
    check_shape(header, row.size - length)
    said = {name: _printable(str(header[name]).strip()) for name in KEYWORDS if header.get(name) is not None}
    if _three_digits(header.get("IFUSLOT")) not in ("", row.ifuslot):
        raise MalformedFile(f"IFUSLOT is {header['IFUSLOT']}, the name says {row.ifuslot}")
    kind = str(header.get("IMAGETYP") or "").strip().lower()
    if kind != row.type and kind in (*TYPES, *OTHER_TYPES):
        raise MalformedFile(f"IMAGETYP is {kind}, the name says {row.type}")
    amp = amp_of(header)
    if amp != row.amp:
        raise MalformedFile(f"CCDPOS and CCDHALF say {amp}, the name says {row.amp}")
    seconds = exposure_time(header)
    odd = [] if row.type != "sci" or seconds is not None else ["no EXPTIME"]
    for name, otherwise in (("GAIN", WITHOUT_GAIN), ("RDNOISE", WITHOUT_RDNOISE)):
        if (_number(header.get(name)) or 0) <= 0:
            odd.append(f"{name} is {header.get(name, 'not there')}: {otherwise} is taken")
    if row.type == "sci" and seconds is not None and seconds != _number(header.get("EXPTIME")):
        odd.append(f"parallel mode: EXPTIME is {header.get('EXPTIME')}")
    return replace(
        row,
        specid=_three_digits(header.get("SPECID")),
        ifuid=_three_digits(header.get("IFUID")),
        contid=contid_of(header),
        digest=f"{zlib.crc32(place.encode() + text):08x}",
        exptime="" if seconds is None else f"{seconds:g}",
        reason="; ".join(odd),
        header=said,
    )


def check_shape(header: Mapping[str, Value], n_bytes: int) -> None:
    """Check that a header is that of a raw frame, and that its data are there.

    Parameters
    ----------
    header
        Cards.
    n_bytes
        Bytes behind the header.

    Raises
    ------
    MalformedFile
        Says what was found, and what was expected.
    """
    shape = tuple(header.get(name) for name in ("NAXIS", "NAXIS1", "NAXIS2"))
    expected = (2, N_COLUMNS + N_OVERSCAN, N_ROWS)
    if shape != expected:
        raise MalformedFile(f"NAXIS, NAXIS1, NAXIS2 are {shape}; expected {expected}")
    bitpix = header.get("BITPIX")
    if bitpix not in (16, 32, -32):
        raise MalformedFile(f"BITPIX is {bitpix}; expected 16, 32 or -32")
    assert isinstance(bitpix, int)
    needed = abs(bitpix) // 8 * expected[1] * expected[2]
    if n_bytes < needed:
        raise MalformedFile(f"cut short: found {n_bytes} bytes of pixels; expected {needed}")


def amp_of(header: Mapping[str, Value]) -> str:
    """Return the amplifier of a frame, by CCDPOS and CCDHALF.

    Raises
    ------
    MalformedFile
        If they name none.
    """
    amp = "".join(str(header.get(name, "")).strip() for name in ("CCDPOS", "CCDHALF"))
    if amp not in AMPS:
        raise MalformedFile(f"CCDPOS and CCDHALF say {_printable(amp)!r}; expected one of {', '.join(AMPS)}")
    return amp


def contid_of(header: Mapping[str, Value]) -> str:
    """Return the name of a frame's controller, letters and digits: ``S/N 0123`` is 0123; empty if there is none."""
    return re.sub(r"[^A-Za-z0-9]", "", str(header.get("CONTID") or "").replace("S/N", ""))


def write_list(path: Path, rows: Iterable[Row]) -> None:
    """Write a night's list."""
    cells = (
        [*(getattr(row, name) for name in FIELDS), *(row.header.get(name, "") for name in KEYWORDS)] for row in rows
    )
    write_rows(path, COLUMNS, cells)


def read_list(path: Path) -> list[Row]:
    """Read a night's list.

    Raises
    ------
    MalformedFile
        If it is none.
    """
    whole = [name in _WHOLE for name in FIELDS]
    n = len(FIELDS)
    rows = []
    headers: dict[tuple[str, ...], Mapping[str, str]] = {}  # frames of an exposure have the same
    for cells in read_rows(path, COLUMNS):
        own = [int(cell) if is_whole else sys.intern(cell) for cell, is_whole in zip(cells, whole, strict=False)]
        said = tuple(cells[n:])
        if said not in headers:
            headers[said] = {name: cell for name, cell in zip(KEYWORDS, said, strict=True) if cell}
        rows.append(Row(*own, headers[said]))  # type: ignore[arg-type,call-arg]
    return rows


def told(rows: Iterable[Row]) -> str:
    """Return how many frames of which type there are, and how many bad ones, for a log."""
    counts = Counter(row.type if row.state == GOOD else "bad" for row in rows)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "nothing"


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _long_name(kind: bytes, data: bytes) -> str:
    """Return the name that an extended header gives to the next member; empty if it gives none."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return data.rstrip(b"\x00").decode("utf-8", "surrogateescape")
    found = re.search(rb"\d+ path=([^\n]*)\n", data)
    return found[1].decode("utf-8", "surrogateescape") if found else ""


def _number(value: Value) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _three_digits(value: Value) -> str:
    text = "" if value is None else str(value).strip()
    return f"{int(text):03d}" if text.isdecimal() else ""


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() and not "\ud800" <= letter <= "\udfff" else "?" for letter in text)
