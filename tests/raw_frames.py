"""Raw VIRUS frames as FITS files, and tars of them, written by astropy and by Python's tarfile."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

HEADER = {
    "SPECID": "008",
    "IFUID": "054",
    "IFUSLOT": "093",
    "CONTID": "S/N 0123",
    "GAIN": 0.85,
    "RDNOISE": 3.0,
    "EXPTIME": 360.0,
    "OBJECT": "DEX0001",
    "PARANGLE": 12.5,
    "TRAJCRA": 13.0,
    "TRAJCDEC": 51.0,
    "DATE-OBS": "2019-01-03",
}
FLAT = np.full((1032, 1064), 1000, "u2")


def frame(amp: str = "LL", image: Any = FLAT, **cards: Any) -> bytes:
    """Return a raw frame as a FITS file; a card that is None is left out."""
    header = fits.Header()
    for name, value in (HEADER | {"CCDPOS": amp[0], "CCDHALF": amp[1], "AMPNAME": amp} | cards).items():
        if value is not None:
            header[name.replace("_", "-")] = value
    out = io.BytesIO()
    fits.PrimaryHDU(image, header).writeto(out)
    return out.getvalue()


def name_of(obs: int, expnum: int, amp: str, kind: str, ifuslot: str = "093") -> str:
    """Return a member's name."""
    return f"virus{obs:07d}/exp{expnum:02d}/virus/20190103T0545{expnum:02d}.0_{ifuslot}{amp}_{kind}.fits"


def write_tar(path: Path, members: Mapping[str, bytes], mtime: float = 1546494300, **options: Any) -> dict[str, int]:
    """Write a tar, and return where each member's bytes begin, as tarfile has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime  # type: ignore[assignment]
            out.addfile(info, io.BytesIO(data))
    with tarfile.open(path) as back:
        return {one.name: one.offset_data for one in back.getmembers()}
