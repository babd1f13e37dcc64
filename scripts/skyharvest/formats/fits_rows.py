"""FITS structure → byte ranges → rows, without reading the file.

A FITS file is a chain of header and data units (HDUs). Where the first axis counts rows (images whose slowest axis is
the row; binary tables), row ``i`` of an HDU is the ``row_bytes`` bytes at ``data_start + i * row_bytes``. This module
finds the HDUs of a `skyharvest.archive.archive.Source`, says which bytes hold which rows, and turns bytes into arrays.

Source of the format: FITS Standard 4.0 (2018), §3.3 (blocks of 2,880 bytes), §4.1-4.2 (cards), §4.2.1.2 (CONTINUE),
§5.3 (unsigned integers by BZERO/TZERO), §7.3 (binary tables).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Prefetched, Range, Source

Array = npt.NDArray[Any]
Value = str | int | float | bool | None

BLOCK = 2880
CARD = 80
FIRST_READ = 16 * BLOCK  # most files' first headers
NEXT_READ = 8 * BLOCK  # a table's header; a longer one is read on
MAX_GUESSES = 4  # a layout that was guessed wrong this often is walked
MAX_HEADER = 400 * BLOCK  # 14,400 cards: no real header comes near
MAX_HDUS = 1000
MAX_AXES = 999  # FITS Standard 4.4.1.1
MAX_TABLE = 1 << 30  # bytes: tables are read whole, and those of the largest coadds have some 20 MB
MAX_REPEAT = 1 << 26  # values in a column's field; NumPy's types end at 2**31 bytes

IMAGE_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
COLUMN_TYPES = {
    "L": "S1",
    "B": "u1",
    "I": ">i2",
    "J": ">i4",
    "K": ">i8",
    "E": ">f4",
    "D": ">f8",
    "C": ">c8",
    "M": ">c16",
}
UNSIGNED = {("i2", 2**15): "u2", ("i4", 2**31): "u4", ("i8", 2**63): "u8", ("u1", -128): "i1"}

_TFORM = re.compile(r"\s*([0-9]{0,12})([LXBIJKAEDCMPQ])(.*)")
_NOT_TEXT = {code: "?" for code in range(256) if not chr(code).isprintable()}


@dataclass(frozen=True)
class Column:
    """A column of a binary table.

    Attributes
    ----------
    name
        TTYPE, as written.
    dtype
        Big-endian dtype of the stored field, its shape included; None for bit and variable-length columns, which are
        not read.
    offset
        Bytes from the row's start.
    zero, scale, unit
        TZERO, TSCAL, TUNIT.
    is_logical
        Whether the stored bytes are ``T`` and ``F``.
    """

    name: str
    dtype: np.dtype[Any] | None
    offset: int
    zero: int | float = 0
    scale: int | float = 1
    unit: str = ""
    is_logical: bool = False


@dataclass(frozen=True)
class HDU:
    """One header and data unit: where its rows are and what they hold.

    Attributes
    ----------
    file
        Path or URL, for messages.
    name
        EXTNAME (``PRIMARY`` for the first HDU without one).
    header
        Keyword → value, the last of repeated ones; CONTINUE cards joined.
    start, data_start, stop
        Byte offsets of the header, of the data, and of the next HDU.
    n_rows, row_bytes
        Length of the first axis and bytes per element of it.
    """

    file: str
    name: str
    header: Mapping[str, Value]
    start: int
    data_start: int
    stop: int
    n_rows: int
    row_bytes: int

    def __str__(self) -> str:
        return f"{self.file}[{self.name}]"

    @property
    def is_table(self) -> bool:
        """Whether this is a binary table."""
        return self.header.get("XTENSION") == "BINTABLE"

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image in NumPy's order, the row axis first."""
        n_axes = _integer(self, "NAXIS")
        return tuple(_integer(self, f"NAXIS{k}") for k in range(n_axes, 0, -1))

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Columns of a binary table by TTYPE."""
        return _columns(self)

    def column(self, name: str) -> Column:
        """Return a column, or raise `MalformedFile` that names what is missing and what is there."""
        if not self.is_table:
            raise MalformedFile(f"{self}: expected a binary table with a column {name}, found an image")
        if name not in self.columns:
            raise MalformedFile(f"{self}: column {name} is missing; found {', '.join(self.columns) or 'none'}")
        return self.columns[name]

    def rows(self, rows: Sequence[int] | Array) -> list[Range]:
        """Return the byte range of each of these rows (indices along the first axis)."""
        ranges = []
        for row in rows:
            if not 0 <= row < self.n_rows:
                raise IndexError(f"{self}: row {row} of {self.n_rows}")
            start = self.data_start + int(row) * self.row_bytes
            ranges.append((start, start + self.row_bytes))
        return ranges

    def all_rows(self) -> Range:
        """Return the byte range that holds every row."""
        return self.data_start, self.data_start + self.n_rows * self.row_bytes

    def image(self, data: bytes) -> Array:
        """Return rows of an image as an array of shape (rows, …), in native byte order.

        Integers with the BZERO of an unsigned type become that type, bit for bit. Any other scaling gives float64.
        """
        if self.is_table:
            compressed = " (tile-compressed images are not read by rows)" if self.header.get("ZIMAGE") else ""
            raise MalformedFile(f"{self}: expected an image, found a binary table{compressed}")
        stored = np.frombuffer(data, IMAGE_TYPES[_integer(self, "BITPIX")])
        try:
            rows = stored.reshape(-1, *self.shape[1:])
        except ValueError as error:  # of no rows, each of an absurd size
            raise MalformedFile(f"{self}: its axes {self.shape} make no array: {error}") from error
        return _scaled(rows, _number(self, "BZERO", 0), _number(self, "BSCALE", 1))

    def check_scalars(self, kinds: Mapping[str, str]) -> None:
        """Check that columns hold one value a row, of the kind that is expected.

        Parameters
        ----------
        kinds
            Column name → NumPy's letters of the kinds that will do, such as ``iu`` for whole numbers.

        Raises
        ------
        MalformedFile
            If a column is missing or holds something else.
        """
        for name in kinds:
            self.column(name)
        for name, values in self.table(b"", kinds).items():
            if values.ndim != 1 or values.dtype.kind not in kinds[name]:
                expected = {"iu": "a whole number", "f": "a floating-point number", "S": "text"}[kinds[name]]
                raise MalformedFile(
                    f"{self}: column {name} holds {values.dtype}{values.shape[1:] or ''} in a row, expected {expected}"
                )

    def table(self, data: bytes, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Return columns of these rows of a binary table, in native byte order.

        Strings are bytes (``S``) without trailing blanks or NULs; logicals are bool. Bit and variable-length columns
        are left out unless they are asked for by name, which is an error.
        """
        columns = list(self.columns.values()) if names is None else [self.column(name) for name in names]
        n_rows = len(data) // self.row_bytes if self.row_bytes else 0
        decoded = {}
        for column in columns:
            if column.dtype is None:
                if names is not None:
                    raise MalformedFile(
                        f"{self}: column {column.name} has a type (bit or variable length) that is not read"
                    )
                continue
            inner = (column.dtype.base.itemsize,) if column.dtype.shape else ()
            shape = (n_rows, *column.dtype.shape)
            if n_rows:
                stored = np.ndarray(shape, column.dtype.base, data, column.offset, (self.row_bytes, *inner))
            else:
                stored = np.zeros(shape, column.dtype.base)
            decoded[column.name] = _field(stored, column)
        return decoded


def _field(stored: Array, column: Column) -> Array:
    if column.is_logical:
        return np.asarray(stored == b"T")
    if stored.dtype.kind == "S":
        return np.char.rstrip(stored, b" \x00")
    return _scaled(stored, column.zero, column.scale)


def _scaled(stored: Array, zero: int | float, scale: int | float) -> Array:
    native = stored.dtype.newbyteorder("=")
    if zero == 0 and scale == 1:
        return stored.astype(native)
    unsigned = UNSIGNED.get((stored.dtype.str[1:], int(zero))) if scale == 1 and zero == int(zero) else None
    if unsigned is not None:  # adding half the range flips the top bit
        size = stored.dtype.itemsize
        bits = stored.astype(native).view(f"u{size}")
        return np.asarray((bits ^ np.array(1 << (8 * size - 1), bits.dtype)).view(unsigned))
    return np.asarray(stored.astype(np.float64) * scale + zero)


Guess = Callable[[Sequence["HDU"], int], list[Range]]
"""From the HDUs found so far and the position of the next: what to read with its header, before it is asked for."""


class FitsFile:
    """The HDUs of one FITS file, found by walking from header to header, as far as is needed.

    Every header is parsed where the one before says that it starts, whatever was guessed: a wrong guess costs bytes and
    a round trip, never correctness.

    Parameters
    ----------
    source
        Where to read from. Not closed.
    guess
        Says what to read ahead where the layout is predictable.
    first_read
        Bytes to read at first.

    Raises
    ------
    MalformedFile
        If the bytes are not FITS, or the headers claim more than the file holds.
    """

    def __init__(self, source: Source, guess: Guess | None = None, *, first_read: int = FIRST_READ) -> None:
        self.source = Prefetched(source)
        self.name = source.name
        self._guess = guess
        self._guesses = 0
        self._found: list[HDU] = []
        self._position: int | None = 0  # of the next header; None at the file's end
        self.source.head(first_read)
        if not self._next():
            raise MalformedFile(f"{self.name}: the file is empty, expected FITS")

    @property
    def hdus(self) -> list[HDU]:
        """Every HDU of the file."""
        while self._next():
            pass
        return self._found

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __getitem__(self, name: str) -> HDU:
        hdu = self._find(name)
        if hdu is None:
            raise MalformedFile(f"{self.name}: HDU {name} is missing; found {', '.join(h.name for h in self._found)}")
        return hdu

    def _find(self, name: str) -> HDU | None:
        for hdu in self._found:
            if hdu.name == name:
                return hdu
        while self._next():
            if self._found[-1].name == name:
                return self._found[-1]
        return None

    def _next(self) -> bool:
        """Find one more HDU; False at the file's end."""
        size = self.source.size()
        if self._position is None or self._position >= size:
            return False
        if len(self._found) >= MAX_HDUS:
            raise MalformedFile(f"{self.name}: more than {MAX_HDUS} HDUs")
        text = self._header_at(self._position, size)
        if text is None:
            self._position = None
            return False
        hdu = parse_hdu(self.name, text, self._position, first=not self._found)
        end = hdu.data_start + hdu.n_rows * hdu.row_bytes
        if end > size:
            raise MalformedFile(
                f"{hdu}: its header claims {hdu.n_rows:,} rows of {hdu.row_bytes:,} bytes up to byte {end:,}, "
                f"the file has {size:,}: it is truncated"
            )
        if hdu.is_table and end - hdu.data_start > MAX_TABLE:
            raise MalformedFile(
                f"{hdu}: its header claims {hdu.n_rows:,} rows of {hdu.row_bytes:,} bytes: no such table"
            )
        self._found.append(hdu)
        self._position = hdu.stop
        return True

    def _header_at(self, position: int, size: int) -> bytes | None:
        """Return the header that starts at ``position``, up to and with its END card; None for trailing padding."""
        begins = b"SIMPLE  =" if position == 0 else b"XTENSION="
        text = self.source.kept_from(position, MAX_HEADER)
        while True:
            if len(text) >= len(begins) or position + len(text) == size:
                if not text.startswith(begins):
                    if position > 0 and not text.strip(b"\x00 "):
                        return None  # FITS 3.5 allows special records after the last HDU; padding is seen in the wild
                    raise MalformedFile(
                        f"{self.name}: {_what_it_is(text)} at byte {position:,}, expected a FITS header"
                    )
                end = find_end(text)
                if end is not None:
                    return text[:end]
                if position + len(text) == size or len(text) >= MAX_HEADER:
                    raise MalformedFile(
                        f"{self.name}: the header at byte {position:,} has no END card: the file is truncated"
                    )
            text = self._read_on(position, len(text))

    def _read_on(self, position: int, known: int) -> bytes:
        """Return more of the header at ``position`` than ``known`` bytes, and keep what is guessed to come next."""
        ahead = []
        if self._guess is not None and known == 0 and self._guesses < MAX_GUESSES:
            self._guesses += 1
            ahead = self._guess(self._found, position)
        self.source.fetch([(position, position + max(NEXT_READ, 2 * known)), *ahead])
        return self.source.kept_from(position, MAX_HEADER)

    def read(self, wanted: Sequence[tuple[HDU, Sequence[int] | Array | None]]) -> list[bytes]:
        """Read rows of several HDUs in one go.

        Parameters
        ----------
        wanted
            Pairs of an HDU and its row indices; None means every row.

        Returns
        -------
        list of bytes
            For each pair its rows one after the other, in the order asked for.
        """
        ranges: list[Range] = []
        counts = []
        for hdu, rows in wanted:
            of_hdu = [hdu.all_rows()] if rows is None else hdu.rows(rows)
            ranges.extend(of_hdu)
            counts.append(len(of_hdu))
        parts = iter(self.source.read(ranges))
        return [b"".join(next(parts) for _ in range(count)) for count in counts]


def find_end(text: bytes) -> int | None:
    """Return the offset behind the END card of a header, or None if it is not in ``text``."""
    position = text.find(b"END" + b" " * 77)
    while position >= 0 and position % CARD:
        position = text.find(b"END" + b" " * 77, position + 1)
    return position + CARD if position >= 0 else None


def _what_it_is(text: bytes) -> str:
    head = text[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")) or b"<html" in head:
        return "found an HTML page (an error message saved as a file?)"
    if text.startswith(b"\x1f\x8b"):
        return "found gzip-compressed data"
    if not text.strip(b"\x00"):
        return "found nothing but zeros" if text else "found nothing"
    return f"found {text[:16]!r}"


def parse_cards(text: bytes) -> dict[str, Value]:
    """Return keyword → value of a header's cards; CONTINUE strings joined; the last of repeated keywords wins.

    Control characters, which no header may hold, become ``?``: names and units end up in messages and in HDF5.
    """
    cards: dict[str, Value] = {}
    last = ""
    for start in range(0, len(text) - CARD + 1, CARD):
        card = text[start : start + CARD].decode("latin-1").translate(_NOT_TEXT)
        keyword = card[:8].rstrip()
        if keyword == "CONTINUE":
            joined = cards.get(last)
            more = _value(card[8:])
            if isinstance(joined, str) and joined.endswith("&") and isinstance(more, str):
                cards[last] = joined[:-1] + more
        elif card[8:10] == "= ":
            cards[keyword] = _value(card[10:])
            last = keyword
    return cards


def _value(text: str) -> Value:
    text = text.strip()
    if text.startswith("'"):
        quoted = re.match(r"'((?:[^']|'')*)'", text)
        return quoted.group(1).replace("''", "'").rstrip() if quoted else text[1:]
    text = text.partition("/")[0].strip()
    if text in ("T", "F"):
        return text == "T"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text.replace("D", "E").replace("d", "e"))
    except ValueError:
        return text or None


def parse_hdu(file: str, text: bytes, start: int, *, first: bool) -> HDU:
    """Make an `HDU` of a header's text (its END card included), checking every number that positions depend on.

    Raises
    ------
    MalformedFile
        If BITPIX, NAXISn, PCOUNT or GCOUNT are missing, negative or not numbers.
    """
    header = parse_cards(text)
    name = header.get("EXTNAME")
    hdu_name = str(name).strip() if name else ("PRIMARY" if first else "")
    data_start = start + -(-len(text) // BLOCK) * BLOCK
    probe = HDU(file, hdu_name, header, start, data_start, data_start, 0, 0)
    bitpix = _integer(probe, "BITPIX")
    if bitpix not in IMAGE_TYPES:
        raise MalformedFile(f"{probe}: BITPIX is {bitpix}, expected one of {sorted(IMAGE_TYPES)}")
    if _integer(probe, "NAXIS") > MAX_AXES:
        raise MalformedFile(f"{probe}: NAXIS is {header['NAXIS']}, expected at most {MAX_AXES}")
    axes = probe.shape
    if not axes:
        return probe
    if header.get("XTENSION") == "BINTABLE" and (len(axes) != 2 or bitpix != 8):
        raise MalformedFile(f"{probe}: a binary table has NAXIS 2 and BITPIX 8, found {len(axes)} and {bitpix}")
    groups = _integer(probe, "GCOUNT", 1)
    if groups != 1:
        raise MalformedFile(f"{probe}: GCOUNT is {groups}, expected 1")
    row_bytes = abs(bitpix) // 8
    for axis in axes[1:]:
        row_bytes *= axis
    data_bytes = axes[0] * row_bytes + _integer(probe, "PCOUNT", 0)
    stop = data_start + -(-data_bytes // BLOCK) * BLOCK
    return HDU(file, hdu_name, header, start, data_start, stop, axes[0], row_bytes)


def _integer(hdu: HDU, keyword: str, default: int | None = None) -> int:
    value = hdu.header.get(keyword, default)
    smallest = -64 if keyword == "BITPIX" else 0
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest or value > 2**62:
        raise MalformedFile(f"{hdu}: {keyword} is {value!r}, expected an integer of {smallest} or more")
    return value


def _number(hdu: HDU, keyword: str, default: int) -> int | float:
    value = hdu.header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MalformedFile(f"{hdu}: {keyword} is {value!r}, expected a number")
    return int(value) if float(value).is_integer() else value


def _columns(hdu: HDU) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    offset = 0
    for k in range(1, _integer(hdu, "TFIELDS") + 1):
        form = hdu.header.get(f"TFORM{k}")
        match = _TFORM.match(str(form)) if form is not None else None
        count = int(match[1] or 1) if match is not None else 0
        if match is None or count > MAX_REPEAT:
            raise MalformedFile(f"{hdu}: TFORM{k} is {form!r}, expected a binary table format such as '1D'")
        code = match[2]
        dtype: np.dtype[Any] | None
        if code == "X":
            width, dtype = -(-count // 8), None
        elif code in "PQ":
            width, dtype = count * (8 if code == "P" else 16), None
        elif code == "A":
            width, dtype = count, np.dtype(f"S{count}") if count else None
        else:
            base = np.dtype(COLUMN_TYPES[code])
            width = count * base.itemsize
            dtype = base if count == 1 else np.dtype((base, (count,)))
        name = str(hdu.header.get(f"TTYPE{k}") or f"col{k}").strip()
        unit = str(hdu.header.get(f"TUNIT{k}") or "")
        if name in columns:
            raise MalformedFile(f"{hdu}: two columns are called {name}")
        columns[name] = Column(
            name, dtype, offset, _number(hdu, f"TZERO{k}", 0), _number(hdu, f"TSCAL{k}", 1), unit, code == "L"
        )
        offset += width
    if offset != hdu.row_bytes:
        raise MalformedFile(f"{hdu}: its columns take {offset} bytes a row, NAXIS1 says {hdu.row_bytes}")
    return columns
