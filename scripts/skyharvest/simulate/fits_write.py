"""Write FITS files: HDUs with checksums, without a time in them."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from astropy.io.fits import Header

from skyharvest.core.arrays import Array

_BLOCK = 2880
_TFORM = {"i8": "K", "i4": "J", "i2": "I", "u1": "B", "f8": "D", "f4": "E"}
_CHECKSUM_COMMENT = "HDU checksum updated 2022-10-27T12:00:00"  # a fixed time: same seed, same bytes
_DATASUM_COMMENT = "data unit checksum updated 2022-10-27T12:00:00"

UNITS: dict[str, str] = {}
"""Column name → unit, for columns that have one."""


def columns(text: str) -> np.dtype[Any]:
    """Parse ``NAME:type[:unit]`` into a packed dtype; units (blanks written as ~) go to `UNITS`."""
    fields: list[tuple[Any, ...]] = []
    for word in text.split():
        name, kind, *unit = word.split(":")
        fields.append((name, *((kind[2:], (int(kind[:2]),)) if kind[:2].isdigit() else (kind,))))
        if unit:
            UNITS[name] = unit[0].replace("~", " ")
    return np.dtype(fields)


def _sum32(data: bytes | memoryview) -> int:
    """Return the ones' complement sum of big-endian 32-bit words (FITS standard 4.0, appendix J)."""
    whole = len(data) // 4 * 4
    total = int(np.frombuffer(data[:whole], ">u4").sum(dtype=np.uint64))
    total += int.from_bytes(bytes(data[whole:]).ljust(4, b"\0"), "big")
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encode_checksum(value: int) -> str:
    """Return the 16 letters and digits that stand for a 32-bit checksum (FITS standard 4.0, appendix J)."""
    excluded = {*range(0x3A, 0x41), *range(0x5B, 0x61)}
    letters = [0] * 16
    for i, byte in enumerate(value.to_bytes(4, "big")):
        four = [byte // 4 + byte % 4 + 0x30, *[byte // 4 + 0x30] * 3]
        while excluded.intersection(four):
            for j in (0, 2):
                if excluded.intersection(four[j : j + 2]):
                    four[j] += 1
                    four[j + 1] -= 1
        letters[i::4] = four
    text = bytes(letters).decode("ascii")
    return text[-1] + text[:-1]


def write_hdu(stream: BinaryIO, header: Header, data: Array | None = None, *, checksum: bool = True) -> None:
    """Append an HDU: ``header``, which must describe ``data`` (big-endian, C order), and the data, both padded.

    Not by astropy's own HDU classes: they stamp the time into the checksums, and take 20 ms for a wide table.
    """
    raw = memoryview(b"") if data is None or data.size == 0 else data.reshape(-1).view(np.uint8).data
    if checksum:
        datasum = _sum32(raw)
        header["CHECKSUM"] = ("0" * 16, _CHECKSUM_COMMENT)
        header["DATASUM"] = (str(datasum), _DATASUM_COMMENT)
        total = _sum32(header.tostring().encode("ascii") + datasum.to_bytes(4, "big"))
        header["CHECKSUM"] = (_encode_checksum(total ^ 0xFFFFFFFF), _CHECKSUM_COMMENT)
    stream.write(header.tostring().encode("ascii"))
    stream.write(raw)
    stream.write(b"\0" * (-len(raw) % _BLOCK))


def write_primary(
    stream: BinaryIO, cards: Iterable[tuple[Any, ...]] = (), *, bitpix: int = 8, checksum: bool = False
) -> None:
    """Append a primary HDU without data: an empty one, with some cards of its own."""
    structure = [("SIMPLE", True), ("BITPIX", bitpix), ("NAXIS", 0), ("EXTEND", True)]
    write_hdu(stream, Header([*structure, *cards]), checksum=checksum)


def write_image(stream: BinaryIO, name: str, data: Array, unit: str = "", *, checksum: bool = True) -> None:
    """Append an image of float32, float64, int32 or uint32."""
    stored, scale = data, []
    if data.dtype == np.uint32:
        # FITS has no unsigned integers: stored minus 2³¹, which flips the top bit.
        stored, scale = data ^ np.uint32(1 << 31), [("BSCALE", 1), ("BZERO", 1 << 31)]
    header = Header(
        [
            ("XTENSION", "IMAGE", "Image extension"),
            ("BITPIX", {"f4": -32, "f8": -64, "i4": 32, "u4": 32}[data.dtype.str[1:]], "array data type"),
            ("NAXIS", data.ndim, "number of array dimensions"),
            *((f"NAXIS{i}", length) for i, length in enumerate(reversed(data.shape), 1)),
            ("PCOUNT", 0, "number of parameters"),
            ("GCOUNT", 1, "number of groups"),
            *scale,
        ]
    )
    header["EXTNAME"] = (name, "extension name")
    if unit:
        header["BUNIT"] = unit
    write_hdu(stream, header, stored.astype(stored.dtype.newbyteorder(">")), checksum=checksum)


@lru_cache(maxsize=32)
def _table_header(columns: np.dtype[Any]) -> Header:
    """Return the structural cards of a binary table with these columns and no rows."""
    header = Header(
        [
            ("XTENSION", "BINTABLE", "binary table extension"),
            ("BITPIX", 8, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", columns.itemsize, "length of dimension 1"),
            ("NAXIS2", 0, "length of dimension 2"),
            ("PCOUNT", 0, "number of group parameters"),
            ("GCOUNT", 1, "number of groups"),
            ("TFIELDS", len(columns.names or ()), "number of table fields"),
        ]
    )
    for i, name in enumerate(columns.names or (), 1):
        column = columns[name]
        if column.kind == "S":
            form = f"{column.itemsize}A"
        else:
            form = f"{column.shape[0] if column.shape else ''}{_TFORM[column.base.str[1:]]}"
        header.extend([(f"TTYPE{i}", name), (f"TFORM{i}", form)])
        if name in UNITS:
            header[f"TUNIT{i}"] = (UNITS[name], f"{name} units")
    return header


def write_table(
    stream: BinaryIO,
    name: str,
    rows: Array,
    cards: Iterable[tuple[str, Any]] = (),
    *,
    checksum: bool = True,
) -> None:
    """Append a binary table, with some cards of its own after those that tell its structure."""
    header = _table_header(rows.dtype).copy()
    header["NAXIS2"] = len(rows)
    header.extend(list(cards))
    header["EXTNAME"] = name
    write_hdu(stream, header, rows.astype(rows.dtype.newbyteorder(">")), checksum=checksum)
