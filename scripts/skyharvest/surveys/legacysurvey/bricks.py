"""The table of a region's bricks of a Legacy Surveys release, ``survey-bricks-…``: read, checked, fetched, searched.

Source of the format: legacysurvey.org/dr9/files and /dr10/files. The bricks: rows of 0.25° in Dec, each divided into an
even number of equal bricks, at most 0.25° wide, from RA 0 to 360.
"""

import gzip
import logging
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skyharvest.archive.archive import Archive
from skyharvest.core.arrays import Array, Bools, Floats, Ints
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import CHUNK, LocalFile, Source
from skyharvest.formats.clean_rows import keep_first, keep_usable
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.npy_rows import write_array
from skyharvest.harvest.releases import fetch_list
from skyharvest.surveys.legacysurvey.release import Release

log = logging.getLogger(__name__)


Bricks = Array
"""Structured array of `BRICK_DTYPE`; of one region sorted by brickname, each once."""

BRICK_DTYPE = np.dtype(
    [
        ("region", "S5"),
        ("brickname", "S8"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("ra1", "f8"),
        ("ra2", "f8"),
        ("dec1", "f8"),
        ("dec2", "f8"),
        ("bands", "S8"),
    ]
)
"""region: north or south; brickname: such as ``1234p567``; ra, dec: the centre, where the image's WCS touches the sky,
ICRS degrees; ra1 … dec2: the box that is this brick's own (float32 in DR9: up to 0.06″ off), within the image; bands:
the letters of those with an exposure."""

NEEDED = ("brickname", "ra", "dec", "ra1", "ra2", "dec1", "dec2")
SPLIT_DEC = 32.375  # degrees: the edge of a row of bricks
POLE_RA, POLE_DEC = 192.8594812, 27.1282512  # degrees, J2000: the north galactic pole (ESA SP-1200, vol. 1, §1.5.3)

GZIP = b"\x1f\x8b"
ROWS_AT_ONCE = 50_000  # a row of DR10 has some 600 bytes, and there are 300,000
LARGEST = 1.0  # degrees: sides of boxes; 0.25 in all releases
ROUNDING = 1e-4  # degrees: of boxes in float32, generously


def read_brick_table(path: Path, region: str, bands: Sequence[str], origin: str = "") -> Bricks:
    """Read and check the table of a region's bricks.

    Parameters
    ----------
    path
        ``survey-bricks-dr10-south.fits.gz``, compressed or not: a binary table with the columns `NEEDED`, in lower or
        upper case.
    bands
        Letters of the release's bands.
    origin
        What messages call it: where it was fetched from.

    Returns
    -------
    (n,) structured array of `BRICK_DTYPE`
        Sorted by brickname, each once. A brick has a band if any pixel of its box was exposed (``nexphist_{band}``, or
        where the table lacks that, ``nexp_{band}``, the median of pixels); all bands if the table has neither column of
        any. Rows without a valid brickname and box are left out, with a warning.

    Raises
    ------
    MalformedFile
        If it is something else: an HTML page, another table, no usable row.
    """
    with _opened(path, origin or str(path)) as source:
        fits = FitsFile(source)
        hdu = fits.table_with(NEEDED)
        names = table_columns(hdu)
        pieces = []
        for start in range(0, hdu.n_rows, ROWS_AT_ONCE):
            first = hdu.data_start + start * hdu.row_bytes
            n_bytes = min(ROWS_AT_ONCE, hdu.n_rows - start) * hdu.row_bytes
            pieces.append(_rows(hdu, names, source.read([(first, first + n_bytes)])[0], bands))
    return _checked(hdu, region, pieces)


def listed_bricks(hdu: HDU, data: bytes, region: str, bands: Sequence[str]) -> Bricks:
    """Return the bricks that rows of a table list, as `read_brick_table` does; ``data`` are whole rows, all or some."""
    return _checked(hdu, region, [_rows(hdu, table_columns(hdu), data, bands)])


def table_columns(hdu: HDU) -> dict[str, str]:
    """Return name in lower case → name of the columns of a table of bricks.

    Raises
    ------
    MalformedFile
        If one of the `NEEDED` is missing, or not one value of its kind in a row.
    """
    names = {name.lower(): name for name in hdu.columns}
    hdu.check_scalars({names.get(name, name): "S" if name == "brickname" else "f" for name in NEEDED})
    return names


def _rows(hdu: HDU, names: dict[str, str], data: bytes, bands: Sequence[str]) -> tuple[Bricks, Array]:
    """Return the bricks of rows, and their names as the table has them."""
    table = hdu.table(data, [names[name] for name in NEEDED])
    bricks = np.zeros(len(data) // hdu.row_bytes, BRICK_DTYPE)
    for name in NEEDED:
        bricks[name] = table[names[name]]
    bricks["bands"] = _bands(hdu, names, data, bands)
    return bricks, table[names["brickname"]]


def _checked(hdu: HDU, region: str, pieces: Sequence[tuple[Bricks, Array]]) -> Bricks:
    bricks = np.concatenate([np.zeros(0, BRICK_DTYPE), *(of_piece for of_piece, _ in pieces)])
    bricks["region"] = region.encode()
    texts = np.concatenate([np.zeros(0, "S8"), *(texts for _, texts in pieces)])
    return keep_first(hdu, _usable(hdu, bricks, texts), ("brickname",), "brick")


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Source]:
    """Open a file, or its content if it is compressed."""
    with LocalFile(path, name) as source:
        compressed = source.head(len(GZIP)) == GZIP
    if not compressed:
        with LocalFile(path, name) as source:
            yield source
        return
    with tempfile.NamedTemporaryFile(suffix=".fits") as plain:
        try:
            with gzip.open(path) as stream:
                while block := stream.read(CHUNK):
                    plain.write(block)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise MalformedFile(f"{name}: its gzip compression is damaged or cut short: {error}") from error
        plain.flush()
        with LocalFile(Path(plain.name), name) as source:
            yield source


def band_columns(names: Mapping[str, str], bands: Sequence[str]) -> dict[str, str]:
    """Return band → the column, of those of `table_columns`, that tells where it was exposed.

    The histogram wins: a median of 0 may leave out nearly half a brick.
    """
    kinds = ("nexp", "nexphist")
    return {band: names[f"{kind}_{band}"] for kind in kinds for band in bands if f"{kind}_{band}" in names}


def _bands(hdu: HDU, names: dict[str, str], data: bytes, bands: Sequence[str]) -> npt.NDArray[np.bytes_]:
    """Return the letters of each row's bands."""
    columns = band_columns(names, bands)
    letters = np.zeros(len(data) // hdu.row_bytes, "S8")
    for band in bands:
        has = np.full(len(letters), not columns)
        if band in columns:
            exposed = hdu.table(data, [columns[band]])[columns[band]]
            if exposed.dtype.kind not in "iuf" or exposed.ndim > 2:
                raise MalformedFile(f"{hdu}: column {columns[band]} holds {exposed.dtype}, expected whole numbers")
            has = np.asarray((exposed[:, 1:] > 0).any(axis=1) if exposed.ndim == 2 else exposed > 0)  # bin 0: of none
        letters = np.where(has, np.char.add(letters, band.encode()), letters)
    return letters


def _usable(hdu: HDU, bricks: Bricks, texts: npt.NDArray[np.bytes_]) -> Bricks:
    """Return the rows that name a brick and its box; warn of the others."""
    good = _are_names(texts)
    good &= (bricks["ra1"] >= 0) & (bricks["ra1"] < bricks["ra2"]) & (bricks["ra2"] <= 360)
    # The rows at the poles reach 0.125° beyond them.
    good &= (bricks["dec1"] > -91) & (bricks["dec1"] < bricks["dec2"]) & (bricks["dec2"] < 91)
    good &= np.abs(bricks["dec"]) <= 90
    for name in ("ra", "dec"):
        good &= bricks[f"{name}1"] - ROUNDING <= bricks[name]
        good &= bricks[name] <= bricks[f"{name}2"] + ROUNDING
    width = (bricks["ra2"] - bricks["ra1"]) * np.cos(np.radians(np.clip(bricks["dec"], -90, 90)))
    good &= (bricks["dec2"] - bricks["dec1"] <= LARGEST) & (width <= LARGEST)

    def describe(number: int) -> str:
        row = bricks[number]
        return (
            f"brickname {texts[number].item()!r}, centre {row['ra']}, {row['dec']}, RA {row['ra1']} to {row['ra2']}, "
            f"Dec {row['dec1']} to {row['dec2']}: expected a name like 1234p567, and a box round the centre, "
            f"in degrees, at most {LARGEST:g} wide and not across RA 0"
        )

    return keep_usable(hdu, bricks, good, describe)


def _are_names(texts: npt.NDArray[np.bytes_]) -> Bools:
    """Tell which texts are four digits, p or m, three digits: they become part of paths."""
    good: Bools = np.asarray(np.char.str_len(texts) == 8)
    characters = texts.astype("S8").view("u1").reshape(-1, 8)
    digits = np.delete(characters, 4, axis=1)
    good &= ((digits >= ord("0")) & (digits <= ord("9"))).all(axis=1)
    return good & np.asarray(np.isin(characters[:, 4], [ord("p"), ord("m")]))


def fetch_bricks(archive: Archive, release: Release, cache: Path) -> Bricks:
    """Fetch the tables of all regions, and keep the needed columns.

    Parameters
    ----------
    cache
        The file to write, `BRICK_DTYPE` in NumPy's format: it keeps its old content unless valid tables arrive.

    Returns
    -------
    The bricks of one region after the other, in the order of the release's regions.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    of_regions = []
    with tempfile.TemporaryDirectory(dir=cache.parent) as directory:
        for region in release.regions:
            path = release.bricks(region)
            table = Path(directory, path.rpartition("/")[2])
            length = fetch_list(archive, release, path, table)
            of_regions.append(read_brick_table(table, region, release.bands, archive.location(path)))
            log.info("%s: %d bytes, %d bricks", archive.location(path), length, len(of_regions[-1]))
    bricks = np.concatenate(of_regions)
    write_array(cache, bricks)
    return bricks


def cached_bricks(archive: Archive, release: Release, cache: Path) -> Bricks:
    """Read the bricks that `fetch_bricks` wrote; if the file is not valid, say so and fetch again."""
    try:
        bricks = np.load(cache, allow_pickle=False)
        if bricks.dtype == BRICK_DTYPE:
            return np.asarray(bricks)
        reason = f"its columns are {bricks.dtype}"
    except (ValueError, EOFError) as error:  # NumPy's, of another file or a torn one
        reason = str(error)
    log.warning("the list of bricks, %s, is no good: %s; fetching it again", cache, reason)
    return fetch_bricks(archive, release, cache)


def galactic_latitude(ra: Floats, dec: Floats) -> Floats:
    """Return the galactic latitude of positions, all in degrees."""
    ra, dec, pole = np.radians(ra - POLE_RA), np.radians(dec), np.radians(POLE_DEC)
    sine = np.sin(dec) * np.sin(pole) + np.cos(dec) * np.cos(pole) * np.cos(ra)
    return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1, 1))))


def is_north(ra: Floats, dec: Floats) -> Bools:
    """Tell which positions (degrees) the survey takes from its north: the north galactic cap at Dec 32.375° and above.

    Source: ``resolve`` of desihub/desitarget, with which DESI chose its targets. The tables' ``survey_primary`` says
    the same of bricks, as that Dec is an edge of bricks, and no brick of the north is near the galactic plane.
    """
    return np.asarray((dec >= SPLIT_DEC) & (galactic_latitude(ra, dec) > 0))


def bricks_of(bricks: Bricks, ra: Floats, dec: Floats) -> Ints:
    """Return which brick's box holds each position.

    Parameters
    ----------
    bricks
        Of one region.
    ra, dec : (n,) float64, degrees
        RA may be of another turn.

    Returns
    -------
    (n,) int64
        Number of the brick; -1 if no box holds the position. A box is half-open, ``ra1 <= ra < ra2`` and
        ``dec1 <= dec < dec2``, but holds the north pole if ``dec2`` is 90. (A row's boxes must not overlap in RA.)
    """
    ra = np.asarray(ra, np.float64) % 360
    ra = np.where(ra == 360, 0.0, ra)  # so is -1e-20 % 360
    dec = np.asarray(dec, np.float64)
    numbers = np.full(ra.shape, -1)
    if len(bricks) == 0:
        return numbers
    rows, row = np.unique(bricks["dec1"], return_inverse=True)
    edges, edge = np.unique(bricks["ra1"], return_inverse=True)
    key = row * len(edges) + edge  # whole numbers, so that edges are exact
    order = np.argsort(key, kind="stable")
    key = key[order]
    last_row = np.searchsorted(rows, dec, "right") - 1
    last_edge = np.searchsorted(edges, ra, "right") - 1
    dec2 = np.where(bricks["dec2"] >= 90, np.inf, bricks["dec2"])
    tallest = float((bricks["dec2"] - bricks["dec1"]).max())
    left = np.flatnonzero((last_row >= 0) & (last_edge >= 0))
    while len(left):
        position = np.searchsorted(key, last_row[left] * len(edges) + last_edge[left], "right") - 1
        k = order[np.maximum(position, 0)]
        box = bricks[k]
        inside = (position >= 0) & (box["ra1"] <= ra[left]) & (ra[left] < box["ra2"])
        inside &= (box["dec1"] <= dec[left]) & (dec[left] < dec2[k])
        numbers[left[inside]] = k[inside]
        # Where rows overlap (in tables merged from several), a row further south may hold it.
        left = left[~inside]
        last_row[left] -= 1
        left = left[(last_row[left] >= 0)]
        left = left[rows[last_row[left]] + tallest >= dec[left]]
    return numbers


def home_bricks(bricks: Bricks, ra: Floats, dec: Floats) -> Ints:
    """Return the home brick of each position.

    Parameters
    ----------
    bricks
        Of all regions of a release.
    ra, dec : (n,) float64, degrees

    Returns
    -------
    (n,) int64
        Number of the brick whose box holds the position; of two, that of the region that `is_north` says; -1 for none.
    """
    numbers = {}
    for region in (b"north", b"south"):
        of_region = np.flatnonzero(bricks["region"] == region)
        within = bricks_of(bricks[of_region], ra, dec)
        numbers[region] = np.append(of_region, -1)[within]
    north, south = numbers[b"north"], numbers[b"south"]
    first, second = (np.where(is_north(ra, dec), *pair) for pair in ((north, south), (south, north)))
    return np.where(first >= 0, first, second)
