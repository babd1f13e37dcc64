"""The user's catalogue of stars: identifiers, positions and ugriz magnitudes.

FITS (the first table), CSV, ECSV, or text in columns that are named in the row before the numbers, or in comments
``#col 3: RA`` as the field's own lists have them (``shout.ifustars``). Columns may have any of the names that surveys
give them (`NAMES`), in any case.
"""

import csv
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
from scipy.spatial import KDTree

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import InputError
from skyharvest.core.words import counted
from skyharvest.sky.matching import separation_deg

log = logging.getLogger(__name__)

BANDS = ("u", "g", "r", "i", "z")

NAMES = {
    "id": ("id", "star_id", "source_id", "objid", "obj_id", "designation", "name"),
    "ra": ("ra", "ra_cat", "raj2000", "ra_icrs", "ra_deg", "alpha"),
    "dec": ("dec", "dec_cat", "decj2000", "dej2000", "de_icrs", "dec_deg", "delta"),
} | {
    band: (band, f"{band}mag", f"{band}_mag", f"mag_{band}", f"psfmag_{band}", f"{band}psf", f"{band}_psf", f"{band}0")
    for band in BANDS
}
"""Names of columns, lower case; of two that are there, the first here is taken."""

MAGNITUDES = (-5.0, 40.0)
"""What is beyond stands for a magnitude that is missing (-9999, 99), as no star has it."""

SAME = 0.3
"""Arcsec: two rows that are nearer are one star."""

LONGEST_ID = 28
"""Letters, in shot files."""

_COMMENT_COLUMN = re.compile(r"#\s*col\s*\d+\s*:\s*(\S+)", re.IGNORECASE)


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
    suffixes = [suffix.lower() for suffix in path.suffixes]
    table: _Table
    if any(suffix in (".fits", ".fit") for suffix in suffixes):
        table = _FitsTable(path)
    elif suffixes and suffixes[-1] in (".csv", ".ecsv"):
        table = _TextTable(path, *_delimited(path))
    else:
        table = _TextTable(path, *_in_columns(path))
    columns = {key: table.find(key) for key in NAMES}
    ra, dec = (table.numbers(columns[key]) for key in ("ra", "dec"))
    for key, values, low, high in (("ra", ra, 0.0, 360.0), ("dec", dec, -90.0, 90.0)):
        wrong = np.flatnonzero(~((values >= low) & (values <= high)))
        if wrong.size:
            raise InputError(
                f"{path}, row {table.row(wrong[0])}, column {columns[key]}: found {values[wrong[0]]}; expected "
                f"degrees, {low:g} … {high:g}; {wrong.size} of {values.size} rows are wrong: correct or remove them"
            )
    magnitudes = np.stack([table.numbers(columns[band], may_lack=True) for band in BANDS], axis=1)
    with np.errstate(invalid="ignore"):
        magnitudes[~((magnitudes > MAGNITUDES[0]) & (magnitudes < MAGNITUDES[1]))] = np.nan
    ids = table.texts(columns["id"])
    _check_ids(path, table, columns["id"], ids)
    return StarCatalogue(path, ids, ra, dec, magnitudes)


def _check_ids(path: Path, table: "_Table", column: str, ids: Array) -> None:
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


class _Table:
    """Columns of a file."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, list(names)

    def find(self, key: str) -> str:
        by_lower = {name.lower(): name for name in reversed(self.names)}
        for name in NAMES[key]:
            if name in by_lower:
                return by_lower[name]
        raise InputError(
            f"{self.path}: found no column {key}; its columns are {', '.join(self.names) or 'none'}; expected one of "
            f"{', '.join(NAMES[key])}, in any case"
        )

    def row(self, index: int) -> int:
        """Return the number by which a person finds a row."""
        raise NotImplementedError

    def numbers(self, name: str, may_lack: bool = False) -> Floats:
        raise NotImplementedError

    def texts(self, name: str) -> Array:
        raise NotImplementedError


class _FitsTable(_Table):
    def __init__(self, path: Path) -> None:
        try:
            with fitsio.FITS(str(path)) as file:
                hdu = next((hdu for hdu in file if hdu.get_exttype() != "IMAGE_HDU"), None)
                if hdu is None:
                    raise InputError(f"{path}: has no table; expected the catalogue of stars as a FITS table")
                super().__init__(path, hdu.get_colnames())
                wanted = [name for name in self.names if any(name.lower() in names for names in NAMES.values())]
                # the file's order, as a catalogue of a survey has hundreds of columns
                self._data = hdu.read(columns=wanted) if wanted else None
        except OSError as error:
            raise InputError(f"{path}: cannot be read as FITS: {error}") from error

    def row(self, index: int) -> int:
        return int(index) + 1

    def _values(self, name: str) -> Array:
        assert self._data is not None
        return np.asarray(self._data[name])

    def numbers(self, name: str, may_lack: bool = False) -> Floats:
        values = self._values(name)
        if values.dtype.kind not in "fiu" or values.ndim != 1:
            raise InputError(f"{self.path}, column {name}: found {values.dtype}{values.shape[1:]}; expected numbers")
        return values.astype(np.float64)

    def texts(self, name: str) -> Array:
        values = self._values(name)
        if values.dtype.kind == "S":
            return np.char.strip(values.astype("U"))
        if values.dtype.kind not in "iuU":
            raise InputError(f"{self.path}, column {name}: found {values.dtype}; expected text or whole numbers")
        return values.astype("U")


class _TextTable(_Table):
    def __init__(self, path: Path, names: Sequence[str], rows: list[list[str]], lines: list[int]) -> None:
        super().__init__(path, names)
        self._rows, self._lines = rows, lines

    def row(self, index: int) -> int:
        return self._lines[int(index)]

    def _values(self, name: str) -> list[str]:
        place = self.names.index(name)
        return [row[place].strip() for row in self._rows]

    def numbers(self, name: str, may_lack: bool = False) -> Floats:
        made = np.empty(len(self._rows))
        for index, text in enumerate(self._values(name)):
            if may_lack and text.lower() in ("", "null", "none", "--", "nan"):
                made[index] = np.nan
                continue
            try:
                made[index] = float(text)
            except ValueError:
                raise InputError(
                    f"{self.path}, row {self.row(index)}, column {name}: found {text or 'nothing'}; expected a number"
                ) from None
        return made

    def texts(self, name: str) -> Array:
        return np.array(self._values(name), dtype="U") if self._rows else np.zeros(0, "U1")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text: {error}; expected FITS (.fits), CSV, ECSV or text") from error


def _delimited(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the names, rows and line numbers of a CSV or ECSV file."""
    kept = [(number, line) for number, line in _lines(path) if line.strip() and not line.startswith("#")]
    if not kept:
        raise InputError(f"{path}: is empty; expected a row of names and a row for each star")
    delimiter = "," if "," in kept[0][1] else " "  # an ECSV file has either
    found = list(csv.reader([line for _, line in kept], delimiter=delimiter, skipinitialspace=True))
    return _same_length(path, [name.strip() for name in found[0]], found[1:], [number for number, _ in kept[1:]])


def _in_columns(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the names, rows and line numbers of a text in columns."""
    names: list[str] = []
    rows, lines = [], []
    for number, line in _lines(path):
        if line.startswith("#"):
            names += _COMMENT_COLUMN.findall(line)
        elif line.strip():
            rows.append(line.split())
            lines.append(number)
    if not names and rows:
        names, rows, lines = rows[0], rows[1:], lines[1:]
    if not names:
        raise InputError(f"{path}: is empty; expected names of columns and a row for each star")
    return _same_length(path, names, rows, lines)


def _same_length(
    path: Path, names: list[str], rows: list[list[str]], lines: list[int]
) -> tuple[list[str], list[list[str]], list[int]]:
    for row, number in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise InputError(
                f"{path}, row {number}: found {len(row)} values; expected {len(names)}: {', '.join(names)}"
            )
    return names, rows, lines
