"""A raw frame: read out of its tar, without overscan, trimmed, oriented, in electrons.

- Overscan is the 32 columns behind the others; the first two, into which light of the last columns may leak, are left
  out. Its level follows the rows: biweight locations of 24 blocks of 43 rows, and lines between them. A level of each
  row by itself would be uncertain by 0.19 of the read noise, which all pixels of the row would share; that of a block
  is by 0.03.
- Amplifiers LU and RL are read from the other corner: both axes are flipped. Frames of before 2018 have AMPNAME LR or
  UL: then the columns are flipped, too (as Panacea and Remedy do).
- An overscan without any noise is none: its level is not the frame's, and of read noise 0 errors would be too small.
- Pixels at the end of the digital range, 65535, are saturated: NaN.
- Where the header has DATASUM, the pixels have to agree with it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array, Float32s, Floats
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.fits_checksum import ones_complement_sum
from skyharvest.formats.fits_header import BLOCK, Value, find_end, parse_cards
from skyharvest.reduction.hetdex.biweight import location, location_scale
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.frames.tar_index import (
    N_COLUMNS,
    N_OVERSCAN,
    N_ROWS,
    WITHOUT_GAIN,
    WITHOUT_RDNOISE,
    amp_of,
    check_shape,
)

__all__ = ["Frame", "Member", "orient", "overscan_level", "read_frame"]

SATURATED = 65535
LEFT_OUT = 2
"""Columns of the overscan beside the image, which are not used."""
N_BLOCKS = 24
_TYPES = {16: ">i2", 32: ">i4", -32: ">f4"}


@dataclass(frozen=True)
class Frame:
    """A frame.

    Attributes
    ----------
    image
        Electrons, float32 (1032, 1032) as [y, x]: wavelength grows with x, the number of the fiber's row with y. NaN
        where it is saturated.
    header
        Cards of the raw frame.
    gain
        Electrons per ADU.
    readnoise
        Electrons, as the header says.
    level
        Mean of the overscan, ADU.
    overscan_rms
        Scatter of the overscan about its level, electrons: the read noise as it is.
    """

    image: Float32s
    header: Mapping[str, Value]
    gain: float
    readnoise: float
    level: float
    overscan_rms: float


def read_frame(member: Member) -> Frame:
    """Read a frame.

    Raises
    ------
    MalformedFile
        If the member is not there as a whole, or is no raw frame of its amplifier: names the tar, the member and its
        offset, what was found, and what was expected.
    """
    try:
        header, raw = _read(member)
    except MalformedFile as error:
        raise MalformedFile(f"{member.tar}: member {member.member} at byte {member.offset}: {error}") from None
    gain, readnoise = _above_0(header, "GAIN", WITHOUT_GAIN), _above_0(header, "RDNOISE", WITHOUT_RDNOISE)
    level, rms = overscan_level(raw[:, N_COLUMNS + LEFT_OUT :])
    if not rms > 0:
        raise MalformedFile(
            f"{member.tar}: member {member.member} at byte {member.offset}: found an overscan of one value, "
            f"{level.mean():g}; expected one with the read noise"
        )
    image = raw[:, :N_COLUMNS] - level.astype(np.float32)[:, None]
    image *= np.float32(gain)
    ampname = str(header.get("AMPNAME") or "").strip()
    return Frame(
        image=orient(image, member.amp, ampname),
        header=header,
        gain=gain,
        readnoise=readnoise,
        level=float(level.mean()),
        overscan_rms=rms * gain,
    )


def overscan_level(overscan: Array) -> tuple[Floats, float]:
    """Return the level of the overscan in each row, and the scatter of its pixels about that.

    Parameters
    ----------
    overscan
        (rows, columns), rows a multiple of `N_BLOCKS`; NaN where unknown.

    Returns
    -------
    tuple
        Float64 (rows,), and a number, both in the unit of the overscan.

    Raises
    ------
    MalformedFile
        If a block of rows has no pixel that is known.
    """
    n_rows = overscan.shape[0]
    rows = np.arange(n_rows)
    blocks = overscan.reshape(N_BLOCKS, -1).astype(np.float64)
    if not np.isfinite(blocks).any(axis=1).all():
        raise MalformedFile("found an overscan of which whole rows are saturated or NaN; expected a frame")
    centres = rows.reshape(N_BLOCKS, -1).mean(axis=1)
    values = location(blocks, 1)
    level = np.interp(rows, centres, values)
    first, last = rows < centres[0], rows > centres[-1]
    level[first] = values[0] + (rows[first] - centres[0]) * (values[1] - values[0]) / (centres[1] - centres[0])
    level[last] = values[-1] + (rows[last] - centres[-1]) * (values[-1] - values[-2]) / (centres[-1] - centres[-2])
    _, scale = location_scale(overscan - level[:, None], None)
    return level, float(scale)


def orient(image: Float32s, amp: str, ampname: str) -> Float32s:
    """Return a trimmed frame with wavelength growing with x, and the fiber's row with y.

    Parameters
    ----------
    image
        As it was read out, (rows, columns).
    amp
        Amplifier by CCDPOS and CCDHALF.
    ampname
        AMPNAME of the header; empty if it has none.
    """
    if amp in ("LU", "RL"):
        image = image[::-1, ::-1]
    if ampname in ("LR", "UL"):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _read(member: Member) -> tuple[dict[str, Value], Float32s]:
    """Return the header and all pixels of a member, ADU; NaN where it is saturated."""
    data = _bytes_of(Path(member.tar), member.offset, member.size)
    if not data.startswith(b"SIMPLE  ="):
        raise MalformedFile(f"found {data[:10]!r}; expected a FITS header; has the tar changed? Index the night again")
    end = find_end(data)
    if end is None:
        raise MalformedFile("found no END; expected a FITS header")
    header = parse_cards(data[:end])
    start = -(-end // BLOCK) * BLOCK
    check_shape(header, len(data) - start)
    amp = amp_of(header)
    if amp != member.amp:
        raise MalformedFile(f"found amplifier {amp}; expected {member.amp}; has the tar changed? Index the night again")
    shape = (N_ROWS, N_COLUMNS + N_OVERSCAN)
    bitpix = header["BITPIX"]
    assert isinstance(bitpix, int)
    if said := str(header.get("DATASUM") or "").strip():
        summed = ones_complement_sum(data[start : start + -(-shape[0] * shape[1] * abs(bitpix) // 8 // BLOCK) * BLOCK])
        if said != str(summed):
            raise MalformedFile(f"DATASUM is {said}, the pixels give {summed}: they are damaged")
    pixels = np.frombuffer(data, _TYPES[bitpix], shape[0] * shape[1], start).astype(np.float32).reshape(shape)
    scale, zero = (float(header.get(name) or otherwise) for name, otherwise in (("BSCALE", 1), ("BZERO", 0)))
    if scale != 1:
        pixels *= np.float32(scale)
    if zero:
        pixels += np.float32(zero)
    pixels[pixels >= SATURATED] = np.nan
    return header, pixels


def _bytes_of(tar: Path, offset: int, size: int) -> bytes:
    handle = os.open(tar, os.O_RDONLY)
    try:
        data = os.pread(handle, size, offset)
        while len(data) < size and (more := os.pread(handle, size - len(data), offset + len(data))):
            data += more
    finally:
        os.close(handle)
    if len(data) < size:
        raise MalformedFile(f"found {len(data)} bytes; expected {size}; the tar is cut short")
    return data


def _above_0(header: Mapping[str, Value], name: str, otherwise: float) -> float:
    try:
        value = float(header.get(name) or 0)
    except ValueError:
        value = 0.0
    return value if value > 0 else otherwise
