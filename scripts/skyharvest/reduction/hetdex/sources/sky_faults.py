"""What people know to be wrong on the sky, as CSV files: meteors and satellites, large galaxies, bad shots.

Files have a header line; columns may come in any order, and lines that begin with ``#`` are left out. All distances are
true ones on the sphere: nothing depends on the declination, or on where RA is 0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.frames.known import ANY, numbered_rows
from skyharvest.reduction.hetdex.layout import SHOT
from skyharvest.reduction.hetdex.source_settings import Flags
from skyharvest.sky.matching import separation_deg

KINDS = ("meteor", "satellite")
EVERY_EXPOSURE = 0
"""In the place of a track's exposure."""
TRACKS = np.dtype(
    [
        ("shot", "U12"),
        ("expnum", "i4"),
        ("kind", "U9"),
        *((name, "f8") for name in ("ra1", "dec1", "ra2", "dec2", "width_arcsec")),
    ]
)
GALAXIES = np.dtype([(name, "f8") for name in ("ra", "dec", "major_arcsec", "minor_arcsec", "pa")])
SHOTS = ("shot", "reason")
ARCSEC = 1 / 3600
"""Degrees."""
_LIMITS = {"ra": (0.0, 360.0), "dec": (-90.0, 90.0), "pa": (-360.0, 360.0)}
"""By the beginning of a column's name."""


def _no_tracks() -> Array:
    return np.zeros(0, TRACKS)


def _no_galaxies() -> Array:
    return np.zeros(0, GALAXIES)


@dataclass(frozen=True)
class SkyFaults:
    """What is known.

    Attributes
    ----------
    tracks
        Rows of type `TRACKS`: great-circle lines between two points, with their full width. ``expnum`` is
        `EVERY_EXPOSURE` if it is in all.
    galaxies
        Rows of type `GALAXIES`: ellipses, by their semi-axes and the position angle of the major one, degrees, north
        through east.
    bad_shots
        Name of a shot → why it is bad.
    """

    tracks: Array = field(default_factory=_no_tracks)
    galaxies: Array = field(default_factory=_no_galaxies)
    bad_shots: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, settings: Flags) -> "SkyFaults":
        """Read the files that the settings name.

        Raises
        ------
        InputError
            If one is wrong: names it, the line and the column, what was found, and what was expected.
        """
        given = {name: Path(path) for name in ("tracks", "galaxies", "bad_shots") if (path := getattr(settings, name))}
        return cls(
            read_tracks(given["tracks"]) if "tracks" in given else _no_tracks(),
            read_galaxies(given["galaxies"]) if "galaxies" in given else _no_galaxies(),
            read_bad_shots(given["bad_shots"]) if "bad_shots" in given else {},
        )

    def on_track(
        self, kind: str, shot: str, expnum: int | Array, ra: Floats, dec: Floats, margin: float = 0.0
    ) -> Bools:
        """Tell which positions are on a meteor's or satellite's track.

        Parameters
        ----------
        kind
            One of `KINDS`.
        shot
            Name of the shot.
        expnum
            Exposures of the positions, one for all, or (n,); with `EVERY_EXPOSURE`, tracks in any exposure count.
        ra, dec
            (n,) f8, degrees; what is NaN is on none.
        margin
            Arcsec by which tracks are wider to each side: a fiber's radius, if it is to be clear of them.

        Returns
        -------
        (n,) bool
        """
        hit = np.zeros(len(ra), bool)
        exposures = np.broadcast_to(expnum, hit.shape)
        for track in self.tracks[(self.tracks["shot"] == shot) & (self.tracks["kind"] == kind)]:
            concerned = (exposures == track["expnum"]) | (exposures == EVERY_EXPOSURE)
            concerned |= track["expnum"] == EVERY_EXPOSURE
            ends = (float(track[name]) for name in ("ra1", "dec1", "ra2", "dec2"))
            distance = distance_from_line(ra[concerned], dec[concerned], *ends)
            hit[concerned] |= distance <= track["width_arcsec"] / 2 + margin
        return hit

    def in_galaxy(self, ra: Floats, dec: Floats) -> Bools:
        """Tell which positions are in a large galaxy.

        Parameters
        ----------
        ra, dec
            (n,) f8, degrees; what is NaN is in none.

        Returns
        -------
        (n,) bool
        """
        inside = np.zeros(len(ra), bool)
        for galaxy in self.galaxies:
            centre, major = (float(galaxy["ra"]), float(galaxy["dec"])), float(galaxy["major_arcsec"])
            rows = np.flatnonzero(np.abs(dec - centre[1]) <= 1.001 * major * ARCSEC)
            if not len(rows):
                continue
            along, across = offsets(*centre, ra[rows], dec[rows], float(galaxy["pa"]))
            inside[rows] |= np.hypot(along / major, across / float(galaxy["minor_arcsec"])) <= 1
        return inside


def offsets(ra0: float, dec0: float, ra: Floats, dec: Floats, pa: float) -> tuple[Floats, Floats]:
    """Return offsets from a point, along a position angle and along one that is 90° larger.

    The length is the true distance, and the direction that of the great circle at the point.

    Parameters
    ----------
    ra0, dec0
        The point, degrees.
    ra, dec
        (n,) f8, degrees.
    pa
        Position angle, degrees, north through east.

    Returns
    -------
    along, across : (n,) f8, arcsec
    """
    east, here, there = np.radians(ra - ra0), np.radians(dec0), np.radians(dec)
    angle = np.arctan2(
        np.cos(there) * np.sin(east),
        np.cos(here) * np.sin(there) - np.sin(here) * np.cos(there) * np.cos(east),
    ) - np.radians(pa)
    distance = separation_deg(ra0, dec0, ra, dec) / ARCSEC
    return distance * np.cos(angle), distance * np.sin(angle)


def distance_from_line(ra: Floats, dec: Floats, ra1: float, dec1: float, ra2: float, dec2: float) -> Floats:
    """Return how far positions are from the line between two points, the shorter part of their great circle.

    Parameters
    ----------
    ra, dec
        (n,) f8, degrees.
    ra1, dec1, ra2, dec2
        The ends, degrees; neither the same nor opposite.

    Returns
    -------
    (n,) f8, arcsec; NaN where the position is.
    """
    first, second = _unit(ra1, dec1), _unit(ra2, dec2)
    pole = np.cross(first, second)
    pole /= np.linalg.norm(pole)
    place = _unit(ra, dec)
    beside = (place @ np.cross(pole, first) >= 0) & (place @ np.cross(pole, second) <= 0)
    from_circle = np.degrees(np.arcsin(np.clip(np.abs(place @ pole), 0, 1)))
    from_ends = np.minimum(separation_deg(ra, dec, ra1, dec1), separation_deg(ra, dec, ra2, dec2))
    return np.asarray(np.where(beside, from_circle, from_ends) / ARCSEC)


def _unit(ra: float | Floats, dec: float | Floats) -> Floats:
    """Return unit vectors, (…, 3)."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def read_tracks(path: Path) -> Array:
    """Read meteors and satellites: rows of type `TRACKS`.

    Raises
    ------
    InputError
        See `SkyFaults.read`.
    """
    rows = []
    for number, cells in numbered_rows(path, TRACKS.names or ()):
        row = _Row(path, number, cells)
        values = {name: row.number(name) for name in ("ra1", "dec1", "ra2", "dec2")}
        length = float(separation_deg(*values.values()))
        if not ARCSEC <= length < 179:
            raise InputError(
                f"{path}: line {number}, columns ra1, dec1, ra2, dec2: found two points {length:g} degrees apart; "
                "expected the two ends of a track, at least 1 arcsec and less than 179 degrees apart"
            )
        rows.append((row.shot(), row.exposure(), row.one_of("kind", KINDS), *values.values(), row.size("width_arcsec")))
    return np.array(rows, TRACKS)


def read_galaxies(path: Path) -> Array:
    """Read large galaxies: rows of type `GALAXIES`.

    Raises
    ------
    InputError
        See `SkyFaults.read`.
    """
    rows = []
    for number, cells in numbered_rows(path, GALAXIES.names or ()):
        row = _Row(path, number, cells)
        major, minor = row.size("major_arcsec"), row.size("minor_arcsec")
        if minor > major:
            raise InputError(
                f"{path}: line {number}, column minor_arcsec: found {minor:g}; expected no more than major_arcsec, "
                f"{major:g}"
            )
        rows.append((row.number("ra"), row.number("dec"), major, minor, row.number("pa")))
    return np.array(rows, GALAXIES)


def read_bad_shots(path: Path) -> dict[str, str]:
    """Read shots that are bad, with the reason.

    Raises
    ------
    InputError
        See `SkyFaults.read`.
    """
    rows = numbered_rows(path, SHOTS)
    return {_Row(path, number, cells).shot(): cells["reason"] or f"{path}, line {number}" for number, cells in rows}


@dataclass(frozen=True)
class _Row:
    """A line of a file, whose cells are read."""

    path: Path
    line: int
    cells: Mapping[str, str]

    def _wrong(self, name: str, expected: str) -> InputError:
        found = self.cells[name] or "nothing"
        return InputError(f"{self.path}: line {self.line}, column {name}: found {found!r}; expected {expected}")

    def shot(self) -> str:
        if not re.fullmatch(SHOT, self.cells["shot"]):
            raise self._wrong("shot", "the name of a shot, such as 20190103v012")
        return self.cells["shot"]

    def exposure(self) -> int:
        text = self.cells["expnum"]
        if text == ANY:
            return EVERY_EXPOSURE
        if not (text.isdecimal() and int(text) > 0):
            raise self._wrong("expnum", f"the number of an exposure, or {ANY}")
        return int(text)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        if self.cells[name] not in allowed:
            raise self._wrong(name, " or ".join(allowed))
        return self.cells[name]

    def number(self, name: str) -> float:
        low, high = _LIMITS[name.rstrip("12")]
        try:
            value = float(self.cells[name])
        except ValueError:
            value = np.nan
        if not low <= value <= high:
            raise self._wrong(name, f"a number from {low:g} to {high:g}, degrees")
        return value

    def size(self, name: str) -> float:
        try:
            value = float(self.cells[name])
        except ValueError:
            value = np.nan
        if not 0 < value < np.inf:
            raise self._wrong(name, "a number above 0, arcsec")
        return value
