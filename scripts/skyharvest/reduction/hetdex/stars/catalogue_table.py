"""Tables of objects that users name: in which formats they are, and what their columns are called.

FITS (the first table), CSV, ECSV, or text in columns that are named in the row before the numbers, or in comments
``#col 3: RA`` as the field's own lists have them (``shout.ifustars``). Columns may have any of the names that surveys
give them, in any case.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import fitsio
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import InputError

Names = Mapping[str, tuple[str, ...]]

PLACE_NAMES = {
    "id": ("id", "star_id", "source_id", "objid", "obj_id", "designation", "name"),
    "ra": ("ra", "ra_cat", "raj2000", "ra_icrs", "ra_deg", "alpha"),
    "dec": ("dec", "dec_cat", "decj2000", "dej2000", "de_icrs", "dec_deg", "delta"),
}
"""Names of columns of identifiers and positions, lower case; of two that are there, the first here is taken."""

_COMMENT_COLUMN = re.compile(r"#\s*col\s*\d+\s*:\s*(\S+)", re.IGNORECASE)


def magnitude_names(band: str) -> tuple[str, ...]:
    """Return names that columns of magnitudes of a band may have, beside the band's own, lower case."""
    return f"{band}mag", f"{band}_mag", f"mag_{band}", f"psfmag_{band}", f"{band}psf", f"{band}_psf", f"{band}0"


def open_table(path: Path, known: Names) -> "CatalogueTable":
    """Open a table.

    Parameters
    ----------
    known
        Key → the names that its column may have; others are not read.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if any(suffix in (".fits", ".fit") for suffix in suffixes):
        return _FitsTable(path, known)
    if suffixes and suffixes[-1] in (".csv", ".ecsv"):
        return _TextTable(path, *_delimited(path), known)
    return _TextTable(path, *_in_columns(path), known)


def read_positions(table: "CatalogueTable") -> tuple[Floats, Floats]:
    """Return RA and Dec of all rows, (n,) f8 degrees.

    Raises
    ------
    InputError
        If a row has none.
    """
    found = []
    for key, low, high in (("ra", 0.0, 360.0), ("dec", -90.0, 90.0)):
        column = table.find(key)
        values = table.numbers(column)
        wrong = np.flatnonzero(~((values >= low) & (values <= high)))
        if wrong.size:
            raise InputError(
                f"{table.path}, row {table.row(wrong[0])}, column {column}: found {values[wrong[0]]}; expected "
                f"degrees, {low:g} … {high:g}; {wrong.size} of {values.size} rows are wrong: correct or remove them"
            )
        found.append(values)
    return found[0], found[1]


class CatalogueTable:
    """Columns of a file.

    Attributes
    ----------
    path
        Of the file.
    names
        Of its columns.
    known
        Key → the names that its column may have, lower case; of two that are there, the first is taken.
    """

    def __init__(self, path: Path, names: Sequence[str], known: Names) -> None:
        self.path, self.names, self.known = path, list(names), known

    def find_any(self, key: str) -> str:
        """Return the name of a column, or no text if there is none."""
        by_lower = {name.lower(): name for name in reversed(self.names)}
        return next((by_lower[name] for name in self.known[key] if name in by_lower), "")

    def find(self, key: str) -> str:
        """Return the name of a column.

        Raises
        ------
        InputError
            If there is none.
        """
        if name := self.find_any(key):
            return name
        raise InputError(
            f"{self.path}: found no column {key}; its columns are {', '.join(self.names) or 'none'}; expected one of "
            f"{', '.join(self.known[key])}, in any case"
        )

    def row(self, index: int) -> int:
        """Return the number by which a person finds a row."""
        raise NotImplementedError

    def numbers(self, name: str, may_lack: bool = False) -> Floats:
        """Return a column of numbers, (n,) f8; cells may be empty (NaN) if ``may_lack``."""
        raise NotImplementedError

    def texts(self, name: str) -> Array:
        """Return a column of text, or of whole numbers as text, (n,)."""
        raise NotImplementedError


class _FitsTable(CatalogueTable):
    def __init__(self, path: Path, known: Names) -> None:
        try:
            with fitsio.FITS(str(path)) as file:
                hdu = next((hdu for hdu in file if hdu.get_exttype() != "IMAGE_HDU"), None)
                if hdu is None:
                    raise InputError(f"{path}: has no table; expected the catalogue as a FITS table")
                super().__init__(path, hdu.get_colnames(), known)
                wanted = [name for name in self.names if any(name.lower() in names for names in known.values())]
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


class _TextTable(CatalogueTable):
    def __init__(self, path: Path, names: Sequence[str], rows: list[list[str]], lines: list[int], known: Names) -> None:
        super().__init__(path, names, known)
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
        raise InputError(f"{path}: is empty; expected a row of names and a row for each object")
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
        raise InputError(f"{path}: is empty; expected names of columns and a row for each object")
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
