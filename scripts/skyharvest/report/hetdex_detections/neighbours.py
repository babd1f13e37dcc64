"""Objects of catalogues near detections: the stars that the reduction uses, and a table that a user names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.stars.catalogue_table import (
    PLACE_NAMES,
    CatalogueTable,
    magnitude_names,
    open_table,
    read_positions,
)
from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS, NAMES, known_magnitudes
from skyharvest.sky.matching import separation_deg, within_radius

REDSHIFT_NAMES = ("z", "redshift", "z_hetdex", "z_best", "zbest", "z_spec", "zspec", "z_phot", "zphot", "photo_z")
OBJECT_NAMES = PLACE_NAMES | {
    **{band: (*((band,) if band != "z" else ()), *magnitude_names(band)) for band in BANDS},
    "redshift": REDSHIFT_NAMES,
}
"""Of a table of objects, in which ``z`` is a redshift; a catalogue of stars has a magnitude under that name."""

REDSHIFTS = (-0.02, 20.0)
"""What is beyond stands for a redshift that is missing (-999, -1, 99); exactly 0 does as well."""


@dataclass(frozen=True)
class Objects:
    """Objects of a catalogue, n of them.

    Attributes
    ----------
    source
        Name of the catalogue: its file's.
    ids
        (n,) text.
    ra, dec
        (n,) f8, degrees, ICRS.
    magnitudes
        (n, 5) f8: u, g, r, i, z; NaN where there is none.
    redshift
        (n,) f8; NaN where there is none.
    are_stars
        Whether it is the catalogue of stars.
    """

    source: str
    ids: Array
    ra: Floats
    dec: Floats
    magnitudes: Floats
    redshift: Floats
    are_stars: bool

    def take(self, chosen: Array) -> "Objects":
        """Return some of them, by index or mask."""
        return Objects(
            self.source,
            self.ids[chosen],
            self.ra[chosen],
            self.dec[chosen],
            self.magnitudes[chosen],
            self.redshift[chosen],
            self.are_stars,
        )

    def near(self, ra: float, dec: float, radius_deg: float) -> "Objects":
        """Return those within a radius of a position."""
        return self.take(separation_deg(self.ra, self.dec, ra, dec) <= radius_deg)


@dataclass(frozen=True)
class Neighbour:
    """An object near a detection.

    Attributes
    ----------
    source, id
        Its catalogue and name there.
    is_star
        Whether that is the catalogue of stars.
    ra, dec
        Degrees.
    separation
        Arcsec from the detection.
    east, north
        Arcsec from the detection, along these directions.
    magnitudes
        (5,) f8: u, g, r, i, z; NaN where there is none.
    redshift
        NaN where there is none.
    """

    source: str
    id: str
    is_star: bool
    ra: float
    dec: float
    separation: float
    east: float
    north: float
    magnitudes: Floats
    redshift: float


def read_objects(path: Path, *, stars: bool) -> Objects:
    """Read a catalogue; columns of magnitudes and redshifts that it lacks are NaN.

    Parameters
    ----------
    stars
        Whether it is the catalogue of stars, which has no redshifts: there ``z`` is a magnitude.

    Raises
    ------
    InputError
        If it cannot be read, or has no identifiers or positions.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; expected a table of objects (reports.neighbours)")
    table = open_table(path, NAMES if stars else OBJECT_NAMES)
    ra, dec = read_positions(table)
    ids = table.texts(table.find("id"))
    magnitudes = known_magnitudes(np.stack([_numbers(table, band, len(ra)) for band in BANDS], axis=1))
    redshift = np.full(len(ra), np.nan) if stars else _numbers(table, "redshift", len(ra))
    with np.errstate(invalid="ignore"):
        redshift = np.where((redshift > REDSHIFTS[0]) & (redshift < REDSHIFTS[1]) & (redshift != 0), redshift, np.nan)
    return Objects(path.name, ids, ra, dec, magnitudes, redshift, stars)


def _numbers(table: CatalogueTable, key: str, n: int) -> Floats:
    name = table.find_any(key)
    return table.numbers(name, may_lack=True) if name else np.full(n, np.nan)


def find_neighbours(ra: Floats, dec: Floats, catalogues: Sequence[Objects], radius: float) -> list[list[Neighbour]]:
    """Return the neighbours of each position, nearest first.

    Parameters
    ----------
    ra, dec
        (n,) f8, degrees.
    radius
        Arcsec.
    """
    found: list[list[Neighbour]] = [[] for _ in ra]
    for objects in catalogues:
        of, which, separation = within_radius(ra, dec, objects.ra, objects.dec, radius)
        east, north = offsets(ra[of], dec[of], objects.ra[which], objects.dec[which])
        for row, k, distance, x, y in zip(of, which, separation, east, north, strict=True):
            found[row].append(
                Neighbour(
                    objects.source,
                    str(objects.ids[k]),
                    objects.are_stars,
                    float(objects.ra[k]),
                    float(objects.dec[k]),
                    float(distance),
                    float(x),
                    float(y),
                    objects.magnitudes[k],
                    float(objects.redshift[k]),
                )
            )
    return [sorted(one, key=lambda neighbour: neighbour.separation) for one in found]


def offsets(ra: Floats, dec: Floats, to_ra: Floats, to_dec: Floats) -> tuple[Floats, Floats]:
    """Return how far east and north positions are of others, arcsec on the tangent plane; all in degrees."""
    east, here, there = (np.radians(values) for values in (to_ra - ra, dec, to_dec))
    toward = np.sin(here) * np.sin(there) + np.cos(here) * np.cos(there) * np.cos(east)
    x = np.cos(there) * np.sin(east) / toward
    y = (np.cos(here) * np.sin(there) - np.sin(here) * np.cos(there) * np.cos(east)) / toward
    return np.degrees(x) * 3600, np.degrees(y) * 3600
