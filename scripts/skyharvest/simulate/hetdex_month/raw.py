"""Raw frames in tar files: their headers, names and bytes, and what can be wrong with them."""

import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.simulate.hetdex_month.detector import OLD_NAMES, OVERSCAN
from skyharvest.simulate.hetdex_month.field import Ifu
from skyharvest.simulate.hetdex_month.optics import NX, NY
from skyharvest.simulate.hetdex_month.plan import Damage, Shot

BLOCK, TAR_BLOCK = 2880, 512
PARALLEL_EXPTIME, PARALLEL_MORE = 12.5, 8.0
"""s: what EXPTIME says in parallel mode, and how much longer PEXPTIME is than the exposure."""
EXPTIMES = {"zro": 0.0, "twi": 5.0, "sci": 360.0}
"""s."""


@dataclass(frozen=True)
class Exposure:
    """An exposure: what names and headers of its frames say.

    Attributes
    ----------
    kind
        ``zro``, ``twi`` or ``sci``.
    expnum
        In the tar file.
    hours
        When it began, hours of the night's date (UT).
    shot
        Of a science exposure.
    old
        Whether it is one before 2018.
    """

    date: int
    obs: int
    expnum: int
    kind: str
    hours: float
    shot: Shot | None = None
    old: bool = False

    @property
    def timestamp(self) -> str:
        """As in names: ``20190103T054545.6``."""
        tenths = round(self.hours * 36000)
        return f"{self.date}T{tenths // 36000:02d}{tenths // 600 % 60:02d}{tenths // 10 % 60:02d}.{tenths % 10}"

    def member(self, ifu: Ifu, amp: str) -> str:
        """Return the name of a frame in the tar file."""
        where = f"virus{self.obs:07d}/exp{self.expnum:02d}/virus"
        return f"{where}/{self.timestamp}_{ifu.ifuslot}{amp}_{self.kind}.fits"

    def ampname(self, amp: str) -> str:
        """Return what AMPNAME says."""
        return OLD_NAMES[amp] if self.old else amp

    @property
    def mjd(self) -> float:
        """When it began."""
        day = np.datetime64(f"{str(self.date)[:4]}-{str(self.date)[4:6]}-{str(self.date)[6:]}")
        return float((day - np.datetime64("1858-11-17")) / np.timedelta64(1, "D")) + self.hours / 24


def header(exposure: Exposure, ifu: Ifu, amp: str, gain: float, read_noise: float) -> fits.Header:
    """Return the header of a frame."""
    shot = exposure.shot
    stamp = exposure.timestamp
    day = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"
    cards: dict[str, Any] = {
        "SIMPLE": True,
        "BITPIX": 16,
        "NAXIS": 2,
        "NAXIS1": NX + OVERSCAN,
        "NAXIS2": NY,
        "BSCALE": 1.0,
        "BZERO": 32768.0,
        "TELESCOP": "HET",
        "INSTRUME": "VIRUS",
        "IMAGETYP": exposure.kind,
        "OBJECT": shot.object if shot else exposure.kind,
        "DATE": f"{day}T{stamp[9:11]}:{stamp[11:13]}:{stamp[13:]}",
        "DATE-OBS": day,
        "UT": f"{stamp[9:11]}:{stamp[11:13]}:{stamp[13:]}",
        "MJD": round(exposure.mjd, 7),
        "SPECID": ifu.specid,
        "IFUSLOT": ifu.ifuslot,
        "IFUID": ifu.ifuid,
        "CONTID": f"S/N {ifu.contid}",
        "CCDPOS": amp[0],
        "CCDHALF": amp[1],
        "AMPNAME": exposure.ampname(amp),
        "GAIN": gain,
        "RDNOISE": read_noise,
        "BIASSEC": f"[{NX + 1}:{NX + OVERSCAN},1:{NY}]",
        "TRIMSEC": f"[1:{NX},1:{NY}]",
        "EXPTIME": EXPTIMES[exposure.kind],
        "DARKTIME": EXPTIMES[exposure.kind] + 2.0,
        "AMBTEMP": 9.3,
        "HUMIDITY": 41.0,
        "DEWPOINT": -3.1,
        "BAROMPRE": 23.63,
        "STRUCTAZ": 0.0,
    }
    if shot:
        ra = shot.ra - shot.off[0] / 3600 / np.cos(np.deg2rad(shot.dec))
        pa = shot.pa - shot.off[2]
        cards |= {
            "STRUCTAZ": round(shot.pa - 180, 4),
            "PARANGLE": round(pa, 6),
            "TRAJCRA": round(ra / 15, 7),
            "TRAJCDEC": round(shot.dec - shot.off[1] / 3600, 6),
            "TRAJCPA": round(pa, 6),
        }
        if shot.parallel:
            cards |= {"EXPTIME": PARALLEL_EXPTIME, "PEXPTIME": EXPTIMES["sci"] + PARALLEL_MORE}
    made = fits.Header()
    for name, value in cards.items():
        made[name] = value
    return made


def frame_bytes(head: fits.Header, counts: Array) -> bytes:
    """Return a frame as a FITS file: unsigned counts of 16 bits as signed ones over 32768."""
    data = (counts ^ np.uint16(0x8000)).astype(">u2").tobytes()
    return bytes(head.tostring().encode("ascii")) + data + bytes(-len(data) % BLOCK)


@dataclass
class Member:
    """A member of a tar file that is to be written."""

    expnum: int
    name: str
    data: bytes


def write_tar(path: Path, members: Iterable[Member], damages: Iterable[Damage], random: np.random.Generator) -> None:
    """Write a tar file, and do its damages.

    Parameters
    ----------
    path
        The file.
    members
        In this order.
    damages
        Of this file. Each of its members must be there.
    random
        Tells the noise that stands where something is damaged.
    """
    left = list(damages)
    end = 0
    with atomic_path(path) as temporary:
        with (
            temporary.open("wb") as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for member in members:
                wrong = [one for one in left if one.expnum == member.expnum and one.member in member.name]
                left = [one for one in left if one not in wrong]
                kinds = {one.kind for one in wrong}
                data = member.data
                if "header" in kinds:
                    data = random.bytes(BLOCK) + data[BLOCK:]
                if "short" in kinds:
                    data = data[: len(data) // 2]
                info = tarfile.TarInfo(member.name)
                info.size, info.mtime, info.mode = len(data), 1546500000, 0o644
                start = tar.offset
                tar.addfile(info, io.BytesIO(data))
                if "tar" in kinds:
                    stream.flush()
                    _overwrite(temporary, start, random.bytes(TAR_BLOCK))
                if "cut" in kinds:
                    end = start + TAR_BLOCK + len(data) // 2
        if end:
            os.truncate(temporary, end)
    if left:
        raise ValueError(f"{path}: there is no member for {left}")


def _overwrite(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(data)
