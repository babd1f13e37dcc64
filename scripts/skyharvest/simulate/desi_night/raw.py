"""Raw exposures: what the cameras' amplifiers read, with bias, overscan, noise and cosmic rays, and their headers.

Format: https://desidatamodel.readthedocs.io (DESI_SPECTRO_DATA/NIGHT/EXPID/desi-EXPID).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitsio
import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.simulate.desi_night.camera import Camera

PRESCAN, OVERSCAN = 4, 50
"""Columns without light, before and after those of an amplifier."""
SATURATION = 60000.0
"""Of an amplifier, counts."""
BAD_NOISE = 80.0
"""Read noise of an amplifier that is bad, electrons."""
AMPS = {"A": (0, 0), "B": (0, 1), "C": (1, 0), "D": (1, 1)}
"""Amplifier → its half of the rows and of the columns."""


@dataclass(frozen=True)
class Exposure:
    """An exposure: what its headers say.

    Attributes
    ----------
    obstype
        ``arc``, ``flat`` or ``science``.
    dx, dy
        By how much the traces are moved, pixels.
    n_cosmics
        In each camera.
    cameras
        Those that have written an image.
    bad_amp
        An amplifier that reads noise: camera and letter, ``r0D``; "" for none.
    """

    night: int
    expid: int
    obstype: str
    exptime: float
    program: str
    cameras: tuple[str, ...]
    dx: float = 0.0
    dy: float = 0.0
    n_cosmics: int = 0
    bad_amp: str = ""
    tileid: int = -1
    ra: float = 180.0
    dec: float = 30.0

    @property
    def mjd(self) -> float:
        """When it began."""
        return 60690.0 + self.expid * 600 / 86400 + (0.3 if self.obstype == "science" else 0.0)

    def header(self) -> dict[str, Any]:
        """Return the cards that all HDUs have."""
        seconds = round((self.mjd - int(self.mjd)) * 86400)
        day = f"{str(self.night)[:4]}-{str(self.night)[4:6]}-{str(self.night)[6:]}"
        return {
            "EXPID": self.expid,
            "NIGHT": self.night,
            "OBSTYPE": self.obstype.upper(),
            "FLAVOR": self.obstype,
            "EXPTIME": self.exptime,
            "PROGRAM": self.program,
            "DATE-OBS": f"{day}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.000",
            "MJD-OBS": self.mjd,
            "TILEID": self.tileid,
            "SEQUENCE": "DESI",
            "SEQNUM": 1,
            "SEQTOT": 1,
            "PURPOSE": "simulation",
            "AIRMASS": 1.1,
            "SEEING": 1.1,
            "TARGTRA": self.ra,
            "TARGTDEC": self.dec,
            "SKYRA": self.ra,
            "SKYDEC": self.dec,
            "REQTIME": self.exptime,
            "LEAD": "simulation",
            "DOSVER": "SIM",
            "FEEVER": "SIM",
            "DETECTOR": "SIM",
            "INSTRUME": "DESI",
            "MODULE": "CCD",
        }


def expose(
    camera: Camera, light: Floats, n_cosmics: int, rng: np.random.Generator, bad_amp: str = ""
) -> tuple[Any, dict[str, Any]]:
    """Read a camera out.

    Parameters
    ----------
    light
        (n_y, n_x) f8: electrons, without noise.
    bad_amp
        Letter of an amplifier with `BAD_NOISE`.

    Returns
    -------
    tuple
        (n_y, n) u2, counts of all amplifiers beside and above one another; the cards that tell where each is.
    """
    electrons = rng.poisson(np.clip(light, 0, None)).astype(np.float64)
    _add_cosmics(electrons, n_cosmics, rng)
    half_y, half_x = camera.n_y // 2, camera.n_x // 2
    width = PRESCAN + half_x + OVERSCAN
    raw = np.zeros((camera.n_y, 2 * width))
    cards: dict[str, Any] = {}
    for amp, (j, i) in AMPS.items():
        level = 1000.0 + 10 * (2 * j + i)
        block = rng.normal(level, BAD_NOISE if amp == bad_amp else camera.read_noise, (half_y, width))
        # The right-hand amplifiers read from the right: their overscan is in the middle of the image.
        first = PRESCAN if i == 0 else OVERSCAN
        block[:, first : first + half_x] += electrons[j * half_y : (j + 1) * half_y, i * half_x : (i + 1) * half_x]
        rows, left = (j * half_y, (j + 1) * half_y), i * width
        raw[rows[0] : rows[1], left : left + width] = block
        before = (0, PRESCAN) if i == 0 else (OVERSCAN + half_x, width)
        after = (PRESCAN + half_x, width) if i == 0 else (0, OVERSCAN)
        sections = {"PRESEC": before, "DATASEC": (first, first + half_x), "BIASSEC": after}
        for name, (start, stop) in sections.items():
            cards[name + amp] = _section(*rows, left + start, left + stop)
        cards["CCDSEC" + amp] = _section(*rows, i * half_x, (i + 1) * half_x)
        cards["GAIN" + amp], cards["RDNOISE" + amp], cards["SATURLEV" + amp] = 1.0, camera.read_noise, SATURATION
    return np.clip(np.rint(raw), 0, 65535).astype(np.uint16), cards


def _section(y0: int, y1: int, x0: int, x1: int) -> str:
    return f"[{x0 + 1}:{x1},{y0 + 1}:{y1}]"


def _add_cosmics(electrons: Floats, n: int, rng: np.random.Generator) -> None:
    n_y, n_x = electrons.shape
    for _ in range(n):
        y, x = rng.integers(5, n_y - 20), rng.integers(3, n_x - 8)
        slope = rng.uniform(-0.5, 0.5)
        for k in range(rng.integers(2, 12)):
            if 0 <= (column := int(x + slope * k)) < n_x:
                electrons[y + k, column] += rng.uniform(300, 3000)


def write_exposure(path: Path, exposure: Exposure, images: Mapping[str, tuple[Any, dict[str, Any]]]) -> None:
    """Write ``desi-{expid}.fits.fz``; the file appears whole.

    Parameters
    ----------
    images
        Camera → what `expose` returns.
    """
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
        file.write(None)  # the keywords are in the first extension
        more = {"TILERA": exposure.ra, "TILEDEC": exposure.dec, "SURVEY": "main", "FAPRGRM": "dark"}
        file.write(np.zeros((1, 1), np.int16), extname="SPEC", header=_cards(exposure.header() | more))
        for camera, (raw, cards) in images.items():
            own = {
                "CAMERA": camera.upper(),
                "SPECID": int(camera[1]),
                "SPECGRPH": int(camera[1]),
                "CCDCFG": "sim.cfg",
                "CCDTMING": "sim.txt",
                "CCDSIZE": f"{raw.shape[0]},{raw.shape[1] - 2 * (PRESCAN + OVERSCAN)}",
            }
            header = _cards(exposure.header() | own | cards)
            file.write(raw, extname=camera.upper(), header=header, compress="rice")


def _cards(header: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in header.items()]
