"""A FITS header and data unit: which bytes hold which rows, and bytes as arrays.

Where the first axis counts rows (binary tables; images whose slowest axis is the row), row ``i`` of an HDU is the
``row_bytes`` bytes at ``data_start + i * row_bytes``.

Source: FITS Standard 4.0 (2018), §4.4.1 (mandatory keywords), §5.3 (unsigned integers by BZERO and TZERO), §7.3 (binary
tables).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Range
from skyharvest.formats.fits_header import BLOCK, Value, parse_cards

Array = npt.NDArray[Any]

MAX_AXES = 999  # FITS Standard 4.4.1.1
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


@dataclass(frozen=True)
class Column:
    """A column of a binary table.

    Attributes
    ----------
    name
        TTYPE, as written.
    dtype
        Big-endian dtype of the stored field with its shape; None for bit and variable-length columns, which are not
        read.
    offset
        Bytes from the row's start.
    form, zero, scale, unit
        TFORM, TZERO, TSCAL, TUNIT.
    is_logical
        Whether the stored bytes are ``T`` and ``F``.
    """

    name: str
    dtype: np.dtype[Any] | None
    offset: int
    form: str
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
        """Return a column; if it is missing, raise `MalformedFile` with the names of those in the table."""
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

    @property
    def data_stop(self) -> int:
        """Byte offset behind the data: behind a table's rows come the values of variable length (compressed images)."""
        return self.all_rows()[1] + _integer(self, "PCOUNT", 0)

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
        except ValueError as error:  # no rows, of an absurd size each
            raise MalformedFile(f"{self}: its axes {self.shape} make no array: {error}") from error
        return _scaled(rows, _number(self, "BZERO", 0), _number(self, "BSCALE", 1))

    def check_scalars(self, kinds: Mapping[str, str]) -> None:
        """Check that columns hold one value per row, of the expected kind; else raise `MalformedFile`.

        ``kinds`` is column name → letters of the accepted NumPy kinds, such as ``iu`` for whole numbers.
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
        are left out; to ask for one by name is an error.
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


def parse_hdu(file: str, text: bytes, start: int, *, first: bool) -> HDU:
    """Return the `HDU` of a header's text, END card included, after a check of every number that sets positions.

    Raises
    ------
    MalformedFile
        If BITPIX, NAXISn, PCOUNT or GCOUNT are missing, negative or not numbers.
    """
    header = parse_cards(text)
    name = header.get("EXTNAME")
    hdu_name = str(name).strip() if name else ("PRIMARY" if first else "")
    data_start = start + -(-len(text) // BLOCK) * BLOCK
    empty = HDU(file, hdu_name, header, start, data_start, data_start, 0, 0)
    bitpix = _integer(empty, "BITPIX")
    if bitpix not in IMAGE_TYPES:
        raise MalformedFile(f"{empty}: BITPIX is {bitpix}, expected one of {sorted(IMAGE_TYPES)}")
    if _integer(empty, "NAXIS") > MAX_AXES:
        raise MalformedFile(f"{empty}: NAXIS is {header['NAXIS']}, expected at most {MAX_AXES}")
    axes = empty.shape
    if not axes:
        return empty
    if header.get("XTENSION") == "BINTABLE" and (len(axes) != 2 or bitpix != 8):
        raise MalformedFile(f"{empty}: a binary table has NAXIS 2 and BITPIX 8, found {len(axes)} and {bitpix}")
    groups = _integer(empty, "GCOUNT", 1)
    if groups != 1:
        raise MalformedFile(f"{empty}: GCOUNT is {groups}, expected 1")
    row_bytes = abs(bitpix) // 8
    for axis in axes[1:]:
        row_bytes *= axis
    data_bytes = axes[0] * row_bytes + _integer(empty, "PCOUNT", 0)
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
            name,
            dtype,
            offset,
            str(form),
            _number(hdu, f"TZERO{k}", 0),
            _number(hdu, f"TSCAL{k}", 1),
            unit,
            code == "L",
        )
        offset += width
    if offset != hdu.row_bytes:
        raise MalformedFile(f"{hdu}: its columns take {offset} bytes a row, NAXIS1 says {hdu.row_bytes}")
    return columns
