"""The user's catalogue of stars: identifiers, positions and ugriz magnitudes, see `catalogue_table`."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import InputError
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.stars.catalogue_table import (
    PLACE_NAMES,
    CatalogueTable,
    magnitude_names,
    open_table,
    read_positions,
)
from skyharvest.sky.matching import separation_deg

log = logging.getLogger(__name__)

BANDS = ("u", "g", "r", "i", "z")

NAMES = PLACE_NAMES | {band: (band, *magnitude_names(band)) for band in BANDS}

MAGNITUDES = (-5.0, 40.0)
"""What is beyond stands for a magnitude that is missing (-9999, 99), as no star has it."""

SAME = 0.3
"""Arcsec: two rows that are nearer are one star."""

LONGEST_ID = 28
"""Letters, in shot files."""


@dataclass(frozen=True)
class StarCatalogue:
    """Stars.

    Attributes
    ----------
    path
        Where they are from.
    ids
        (n,) text.
    ra, dec
        (n,) f8, degrees, ICRS.
    magnitudes
        (n, 5) f8: u, g, r, i, z; NaN where there is none.
    """

    path: Path
    ids: Array
    ra: Floats
    dec: Floats
    magnitudes: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def magnitude(self, band: str) -> Floats:
        """Return the magnitudes of a band, (n,) f8."""
        return self.magnitudes[:, BANDS.index(band)]

    def take(self, chosen: Array) -> "StarCatalogue":
        """Return some of the stars, by index or mask."""
        return StarCatalogue(self.path, self.ids[chosen], self.ra[chosen], self.dec[chosen], self.magnitudes[chosen])

    def near(self, ra: float, dec: float, radius_deg: float) -> "StarCatalogue":
        """Return those within a radius of a position, in the catalogue's order."""
        band = np.flatnonzero(np.abs(self.dec - dec) <= radius_deg)  # cheap, and leaves few
        return self.take(band[separation_deg(self.ra[band], self.dec[band], ra, dec) <= radius_deg])

    def each_once(self) -> "StarCatalogue":
        """Return the stars without those that an earlier row has, within `SAME`: catalogues put together have them."""
        ra, dec = np.radians(self.ra), np.radians(self.dec)
        place = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        again = np.zeros(len(self), bool)
        for first, second in sorted(KDTree(place).query_pairs(np.radians(SAME / 3600))):
            again[second] |= not again[first]
        if again.any():
            log.warning("%s: %s in the field more than once: taken once", self.path, counted(int(again.sum()), "star"))
        return self.take(~again)


def read(path: Path) -> StarCatalogue:
    """Read a catalogue.

    Raises
    ------
    InputError
        If it cannot be read, lacks a column, or a row has no position or identifier, or one that another row has.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; expected the catalogue of stars (star_catalogue)")
    table = open_table(path, NAMES)
    columns = {key: table.find(key) for key in NAMES}
    ra, dec = read_positions(table)
    magnitudes = np.stack([table.numbers(columns[band], may_lack=True) for band in BANDS], axis=1)
    magnitudes = known_magnitudes(magnitudes)
    ids = table.texts(columns["id"])
    _check_ids(path, table, columns["id"], ids)
    return StarCatalogue(path, ids, ra, dec, magnitudes)


def known_magnitudes(magnitudes: Floats) -> Floats:
    """Return magnitudes with NaN where they are not within `MAGNITUDES`."""
    with np.errstate(invalid="ignore"):
        return np.where((magnitudes > MAGNITUDES[0]) & (magnitudes < MAGNITUDES[1]), magnitudes, np.nan)


def _check_ids(path: Path, table: CatalogueTable, column: str, ids: Array) -> None:
    empty = np.flatnonzero(ids == "")
    if empty.size:
        raise InputError(f"{path}, row {table.row(empty[0])}, column {column}: found nothing; expected an identifier")
    long = np.flatnonzero(np.char.str_len(ids) > LONGEST_ID) if ids.size else np.zeros(0, np.int64)
    if long.size:
        raise InputError(
            f"{path}, row {table.row(long[0])}, column {column}: found {ids[long[0]]}; expected at most {LONGEST_ID} "
            "letters"
        )
    order = np.argsort(ids, kind="stable")
    same = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if same.size:
        first, second = order[same[0]], order[same[0] + 1]
        raise InputError(
            f"{path}, column {column}: rows {table.row(first)} and {table.row(second)} both have {ids[first]}; "
            "expected another identifier for each star: remove what is there twice"
        )
