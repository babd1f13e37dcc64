"""Where fibers are on the sky: the focal plane, the fibers of an IFU, the dithers; and files that tell the first two.

The rule of the field: in the focal plane, x + fp.y and y + fp.x; turned by 360 - (PA + 90) degrees on the tangent
plane. So the first axis points along the position angle.
"""

from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Floats

DITHERS = ((0.0, 0.0), (1.215, -0.70), (1.215, 0.70))
"""″, of the exposures of a shot."""
AMPS = {"LU": 0, "LL": 112, "RL": 224, "RU": 336}
"""Amplifier → index of its first fiber in the IFU; they come in reverse on the detector."""
RIGHT_REVERSED = ("003", "004", "005", "008")
"""IFUs of whose right half the fibers come in the other order."""
EXCHANGED = {"007": (37, 38), "025": (208, 213), "030": (445, 446), "038": (302, 303), "041": (251, 252)}
"""IFUs two of whose fibers are exchanged: their indices."""
TURNED = ("004",)
"""IFUs that are turned by 180°, ``IFUcen_HETDEX_reverse_R.txt``."""


@dataclass(frozen=True)
class Ifu:
    """An IFU in the focal plane, with what it is connected to.

    Attributes
    ----------
    specid, ifuslot, ifuid, contid
        As in headers, but of CONTID the letters and digits only: ``0123`` of ``S/N 0123``.
    x, y
        X_FP and Y_FP of its slot, ″.
    """

    specid: str
    ifuslot: str
    ifuid: str
    contid: str
    x: float
    y: float

    @property
    def name(self) -> str:
        """The pairing: ``008_093_054_0123``."""
        return f"{self.specid}_{self.ifuslot}_{self.ifuid}_{self.contid}"


def fibers_of_table(*, reverse: bool) -> Floats:
    """Return what a file of fiber positions holds: (448, 2) f8, ″, from two decimals. 23 rows of 19 and 20."""
    rows = [
        (round((column - (count - 1) / 2) * 2.5422, 2), round((row - 11) * 2.2036, 2))
        for row in range(23)
        for count in ((19, 20)[row % 2],)
        for column in range(count)
    ]
    return np.array(rows) * (-1 if reverse else 1)


def fibers(ifuid: str) -> Floats:
    """Return positions of the fibers of an IFU, (448, 2) f8, ″: what is known of special ones is heeded."""
    places = fibers_of_table(reverse=ifuid in TURNED)
    if ifuid in RIGHT_REVERSED:
        places[224:] = places[:223:-1].copy()
    if ifuid in EXCHANGED:
        one, other = EXCHANGED[ifuid]
        places[[one, other]] = places[[other, one]]
    return places


def fibers_of_amp(ifuid: str, amp: str) -> Floats:
    """Return positions of the fibers of an amplifier, (112, 2) f8, ″, from the bottom of its detector."""
    first = AMPS[amp]
    return np.ascontiguousarray(fibers(ifuid)[first : first + 112][::-1])


def ifucen_text(*, reverse: bool) -> str:
    """Return a file of fiber positions, with thirty lines before the table, as theirs are."""
    head = ["# $Revision: 3 $", "# $Author: simulation $", "# $Date: 2019-01-01 $", "# HETDEX IFU description file"]
    head += [
        "# rev. 0.5",
        "#",
        "# IFU 00001",
        "#",
        "# Test date: YYYYMMDD",
        "# Total number of dead fibers (T < X %): ",
    ]
    head += [
        "#",
        "# ",
        "# history",
        "# date     author   change",
        "# -------------------------",
        "# 20190101 sim      created",
    ]
    head += ["# ", "#", "# FIBERD [um]   FIBERSEP [um]", "1.50      2.20", "# NFIBX NFIBY", "20 23", "#"]
    head += ["# col 1: fiber ID, starts with 1, IDs 1-224 belong to left unit, 225-448 belong to right unit"]
    head += ['# col 2: fiber x position ["]', '# col 3: fiber y position ["]']
    head += ["# col 4: target unit spectrograph L=left, R=right"]
    head += ["# col 5: target fiber within the spectrograph, fiber numbers start with 1 within each spectrograph"]
    head += ["# col 6: relative throughput at fiducial wavelength", "#"]
    assert len(head) == 30
    for k, (x, y) in enumerate(fibers_of_table(reverse=reverse)):
        side, number = ("L", k + 1) if k < 224 else ("R", (448 - k if reverse else k - 223))
        head.append(f"{k + 1:04d} {x:11.2f} {y:11.2f} {side} {number:04d}    1.000")
    return "\n".join(head) + "\n"


def fplane_text(ifus: tuple[Ifu, ...]) -> str:
    """Return a file of the focal plane."""
    lines = ["# $Id$", "# $Revision$", "# IFUSLOT X_FP   Y_FP   SPECID SPECSLOT IFUID IFUROT  PLATESC"]
    lines.append("000     0.000     0.000  900  900  900    0.000    1.000")
    for k, ifu in enumerate(sorted(ifus, key=lambda ifu: ifu.ifuslot)):
        lines.append(
            f"{ifu.ifuslot}  {ifu.x:8.3f}  {ifu.y:8.3f}  {ifu.specid}  {211 + k}  {ifu.ifuid}    0.000    1.000"
        )
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Pointing:
    """Where the telescope points: right ascension and declination of the middle, position angle, degrees."""

    ra: float
    dec: float
    pa: float

    def to_sky(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return right ascension and declination, degrees, of places in the turned focal plane, ″."""
        turn = np.deg2rad(360 - (self.pa + 90))
        xi = np.deg2rad((-np.cos(turn) * x - np.sin(turn) * y) / 3600)
        eta = np.deg2rad((-np.sin(turn) * x + np.cos(turn) * y) / 3600)
        ra, dec = np.deg2rad(self.ra), np.deg2rad(self.dec)
        below = np.cos(dec) - eta * np.sin(dec)
        found_ra = np.rad2deg(ra + np.arctan2(xi, below)) % 360
        return found_ra, np.rad2deg(np.arctan2(np.sin(dec) + eta * np.cos(dec), np.hypot(xi, below)))

    def to_plane(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        """Return places in the turned focal plane, ″, of right ascensions and declinations, degrees."""
        turn = np.deg2rad(360 - (self.pa + 90))
        away, high, middle = np.deg2rad(ra - self.ra), np.deg2rad(dec), np.deg2rad(self.dec)
        below = np.sin(middle) * np.sin(high) + np.cos(middle) * np.cos(high) * np.cos(away)
        xi = np.rad2deg(np.cos(high) * np.sin(away) / below) * 3600
        eta = np.rad2deg(
            (np.cos(middle) * np.sin(high) - np.sin(middle) * np.cos(high) * np.cos(away)) / below
        ) * 3600  # fmt: skip
        return -np.cos(turn) * xi - np.sin(turn) * eta, -np.sin(turn) * xi + np.cos(turn) * eta
