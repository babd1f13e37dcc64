"""A few simulated bricks of the Legacy Surveys over the demo's positions, their tables, and the truth behind them.

Files, headers and compression are those of the coadds of DR9 and DR10: https://www.legacysurvey.org/dr10/files, and
legacypipe's ``get_compression_kwargs``. The bricks are smaller (0.03 instead of 0.25 degrees) and overlap less, so that
cutouts of a usual size need several. Nothing of the modules that read bricks is used.

Units: images and models nanomaggies (AB magnitude 22.5 - 2.5 log10), invvar nanomaggies⁻², PSF sizes arcsec (FWHM),
RA and Dec degrees (ICRS), x and y pixels from 0 (the middle of the first one). East is left, north is up.
"""

import gzip
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.formats import hdf5
from skyharvest.simulate.positions import read_positions
from skyharvest.simulate.sha256sum import write_sha256sum

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]  # ra1, ra2, dec1, dec2
Cards = list[dict[str, Any]]

BANDS = ("g", "r", "i", "z")
PIXEL = 0.262  # arcsec
BETA = 3.0  # of the Moffat profile
FWHM = {"g": 1.3, "r": 1.2, "i": 1.1, "z": 1.05}  # arcsec
EXPOSURES = {"g": 3, "r": 4, "i": 2, "z": 5}
SIGMA = {"g": 0.010, "r": 0.014, "i": 0.016, "z": 0.040}  # nanomaggies: of a pixel in one exposure
TILE = 100
RADIUS = 3.5  # arcsec: of the circle whose good share the truth tells

PRODUCTS: dict[str, dict[str, Any]] = {
    "image": {"compress": "RICE", "qmethod": "SUBTRACTIVE_DITHER_2", "qlevel": -1e-4},
    "model": {"compress": "RICE", "qmethod": "SUBTRACTIVE_DITHER_2", "qlevel": -1e-4},
    "invvar": {"compress": "RICE", "qmethod": "NO_DITHER", "qlevel": 16},
    "nexp": {"compress": "HCOMPRESS"},
    "psfsize": {"compress": "GZIP", "qmethod": "NO_DITHER", "qlevel": 0.0},
}
"""Images of a band, and how they are compressed (arguments of fitsio; a negative qlevel is the step itself)."""

MASKBITS = {
    "NPRIMARY": 0,
    "BRIGHT": 1,
    "SATUR_G": 2,
    "SATUR_R": 3,
    "SATUR_Z": 4,
    "ALLMASK_G": 5,
    "ALLMASK_R": 6,
    "ALLMASK_Z": 7,
    "WISEM1": 8,
    "WISEM2": 9,
    "BAILOUT": 10,
    "MEDIUM": 11,
    "GALAXY": 12,
    "CLUSTER": 13,
    "SATUR_I": 14,
    "ALLMASK_I": 15,
}
"""Bits of maskbits: https://www.legacysurvey.org/dr10/bitmasks."""

COLUMNS = np.dtype(
    [
        ("brickname", "S8"),
        ("ra", "f8"),
        ("dec", "f8"),
        *((f"nexp_{band}", "i2") for band in BANDS),
        *((f"nexphist_{band}", "i4", (11,)) for band in BANDS),
        ("nobjs", "i4"),
        *((f"psfsize_{band}", "f4") for band in BANDS),
        ("ra1", "f8"),
        ("ra2", "f8"),
        ("dec1", "f8"),
        ("dec2", "f8"),
        ("area", "f4"),
        ("survey_primary", "?"),
    ]
)
"""Columns of ``survey-bricks-demo-{region}.fits.gz``: those of the real tables that matter here."""

_UNITS = {"image": "nanomaggy", "model": "nanomaggy", "invvar": "1/nanomaggy^2", "psfsize": "arcsec"}
_PRODTYPES = {"invvar": "wtmap", "nexp": "expmap"}  # others have the product's own name
_SCATTER = 0.03  # of invvar, from pixel to pixel; none in z, whose tiles can then not be quantized
_FAINTEST = 1e-5  # nanomaggies in a pixel: where a star's light ends
_LEAST_TILE = 4  # pixels: HCOMPRESS takes no less

# The demo's bricks.
_SIDE = 0.03  # degrees
_NO_I = ("g", "r", "z")  # as all of BASS and MzLS, in the north
_OVERLAP = 40  # pixels, in total; 165 in real bricks
_SIZE = round(_SIDE * 3600 / PIXEL) + _OVERLAP
_CORNER_DEC = 0.633  # and RA 0: where four bricks meet
_PER_BRICK = 10  # stars that are not of the CSV
_APART = 10.0  # arcsec, of stars, at least
_MEDIUM = 17.5  # stars brighter in r have a mask around them
_GAP = np.s_[190:350, 250:410]  # y, x; holds a whole tile
_AWAY = [("south", 51.4, -12.1), ("south", 320.7, 4.3), ("north", 240.2, 45.9)]
_NORTH_DEC = 32.375  # north of it, in the north galactic cap, the northern images count (desitarget)
_POLE = (192.85948, 27.12825)  # of the Galaxy, ICRS


@dataclass(frozen=True)
class Stars:
    """n stars.

    Attributes
    ----------
    ra, dec : (n,) float64, degrees
    flux
        Band → (n,) float64, nanomaggies: all of a star's light.
    """

    ra: Floats
    dec: Floats
    flux: Mapping[str, Floats]


def to_pixels(ra: Array | float, dec: Array | float, at: tuple[float, float], size: int) -> tuple[Floats, Floats]:
    """Return x and y of positions on a brick of size × size pixels whose center is ``at`` (RA, Dec).

    The gnomonic projection (Calabretta & Greisen 2002, A&A 395, 1077, TAN). Infinite for the other half of the sky.
    """
    lon, lat, lat0 = np.radians(np.asarray(ra, float) - at[0]), np.radians(dec), math.radians(at[1])
    depth = np.sin(lat) * math.sin(lat0) + np.cos(lat) * math.cos(lat0) * np.cos(lon)
    east = np.cos(lat) * np.sin(lon) / depth
    north = (np.sin(lat - lat0) + 2 * math.sin(lat0) * np.cos(lat) * np.sin(lon / 2) ** 2) / depth
    x, y = (np.where(depth > 0, (size - 1) / 2 + np.degrees(along) * 3600 / PIXEL, np.inf) for along in (-east, north))
    return x, y


def enclosed(radius: float, fwhm: float) -> float:
    """Return the share of a star's light within a circle around it; both in arcsec."""
    return float(1 - (1 + (radius / _alpha(fwhm)) ** 2) ** (1 - BETA))


def _alpha(fwhm: float) -> float:
    """Return the width of the Moffat profile (Moffat 1969, A&A 3, 455), in the unit of ``fwhm``."""
    return fwhm / (2 * math.sqrt(2 ** (1 / BETA) - 1))


def _starlight(x: Floats, y: Floats, flux: Floats, fwhm: float, size: int) -> Array:
    """Return (size, size) float32: the light of stars, integrated over pixels (Gauss-Legendre, 4 × 4 points)."""
    image = np.zeros((size, size), dtype=np.float32)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    alpha = _alpha(fwhm / PIXEL)
    peak = flux * (BETA - 1) / (np.pi * alpha**2)
    reach = np.ceil(alpha * np.sqrt(np.maximum(peak / _FAINTEST, 1) ** (1 / BETA) - 1))
    near = (np.abs(x - (size - 1) / 2) < size / 2 + reach) & (np.abs(y - (size - 1) / 2) < size / 2 + reach)
    for i in np.flatnonzero(near & (reach > 0)):
        first, last = (np.round((y[i], x[i])) + sign * reach[i] for sign in (-1, 1))
        rows, columns = (
            np.arange(max(low, 0), min(high, size - 1) + 1, dtype=int) for low, high in zip(first, last, strict=True)
        )
        square = [(axis[:, None] + nodes / 2 - at) ** 2 / alpha**2 for axis, at in ((rows, y[i]), (columns, x[i]))]
        profile = (1 + square[0][:, :, None, None] + square[1]) ** -BETA
        light = np.einsum("iajb,a,b->ij", profile, weights / 2, weights / 2, optimize=True)
        image[rows[:, None], columns] += (peak[i] * light).astype(np.float32)
    return image


def write_brick(
    directory: Path,
    brickname: str,
    *,
    ra: float,
    dec: float,
    size: int,
    stars: Stars,
    bands: Sequence[str] = BANDS,
    products: Iterable[str] = tuple(PRODUCTS),
    nexp: Mapping[str, Array | int] = EXPOSURES,
    gaps: Mapping[str, Bools] | None = None,
    maskbits: Array | int = 0,
    box: Box | None = None,
    rng: np.random.Generator | None = None,
    tile: int = TILE,
) -> dict[str, Array]:
    """Write the images of one brick.

    Parameters
    ----------
    directory
        Of the brick. Gets ``legacysurvey-{brickname}-{product}-{band}.fits.fz`` and ``…-maskbits.fits.fz``; each
        appears complete or not at all.
    brickname
        Such as ``1234p567``.
    ra, dec
        Of the center (CRVAL), degrees.
    size
        Pixels in a row, and rows; real bricks have 3600.
    stars
        Those far away shine no light into the brick; any number, also none. PSF: a Moffat profile with `BETA` and
        `FWHM`.
    bands, products
        Of `BANDS` and `PRODUCTS`. A brick without a band has no files of it.
    nexp : broadcast to (size, size), by band
        Number of exposures. invvar is proportional to it (`SIGMA`).
    gaps : (size, size), by band
        Where nothing was observed: 0 in all products, and ALLMASK in maskbits.
    maskbits : broadcast to (size, size)
        Other bits (`MASKBITS`).
    box
        RA and Dec of the brick's edges (ra1, ra2, dec1, dec2): outside of it, NPRIMARY is set.
    rng
        Draws the noise; without it there is none, and invvar has no scatter from pixel to pixel.
    tile
        Side of a compressed tile; enlarged, as the survey does, where the last tile would have less than 4 pixels.

    Returns
    -------
    dict
        Band → (size, size) int16: nexp as written, which is 0 where invvar is.
    """
    products = tuple(products)
    while 0 < size % tile < _LEAST_TILE:
        tile += 1
    x, y = to_pixels(stars.ra, stars.dec, (ra, dec), size)
    cards = _cards(brickname, (ra, dec), size=size, bands=bands, box=box)
    bits = np.zeros((size, size), dtype=np.int32)
    bits |= np.asarray(maskbits, dtype=np.int32)
    if box is not None:
        bits[~_inside(ra, dec, size, box)] |= 1 << MASKBITS["NPRIMARY"]
    written: dict[str, Array] = {}
    for band in bands:
        layers: dict[str, Array] = {}
        layers["nexp"] = written[band] = np.empty((size, size), dtype=np.int16)
        layers["nexp"][:] = nexp[band]
        if gaps is not None and band in gaps:
            layers["nexp"][gaps[band]] = 0
            bits[gaps[band]] |= 1 << MASKBITS[f"ALLMASK_{band.upper()}"]
        layers["invvar"] = layers["nexp"] * np.float32(SIGMA[band] ** -2)
        if rng is not None and band != "z":
            layers["invvar"] *= 1 + np.float32(_SCATTER) * rng.standard_normal((size, size), dtype=np.float32)
        seen = layers["nexp"] > 0
        layers["psfsize"] = np.float32(FWHM[band]) * seen
        layers["model"] = _starlight(x, y, stars.flux[band], FWHM[band], size) * seen
        layers["image"] = layers["model"].copy()
        if rng is not None:
            noise = rng.standard_normal((size, size), dtype=np.float32)
            layers["image"][seen] += noise[seen] / np.sqrt(layers["invvar"][seen])
        for product in products:
            path = directory / f"legacysurvey-{brickname}-{product}-{band}.fits.fz"
            _write_image(path, layers[product], [*cards, *_cards_of(product, band)], tile, **PRODUCTS[product])
    _write_maskbits(directory / f"legacysurvey-{brickname}-maskbits.fits.fz", bits, cards, tile)
    return written


def _inside(ra: float, dec: float, size: int, box: Box) -> Bools:
    """Return (size, size) bool: which pixels' middles lie in a brick's box."""
    ra1, ra2, dec1, dec2 = box
    step = np.radians(PIXEL / 3600) * (np.arange(size) - (size - 1) / 2)
    east, north = -step, step[:, None]
    toward = math.cos(math.radians(dec)) - north * math.sin(math.radians(dec))
    lon = np.degrees(np.arctan2(east, toward))
    up = math.sin(math.radians(dec)) + north * math.cos(math.radians(dec))
    lat = np.degrees(np.arctan2(up, np.hypot(east, toward)))
    middle = (ra1 + ra2) / 2
    off = (ra + lon - middle + 180) % 360 - 180
    return np.asarray((off >= ra1 - middle) & (off < ra2 - middle) & (lat >= dec1) & (lat < dec2))


def _card(name: str, value: object, comment: str) -> dict[str, Any]:
    return {"name": name, "value": value, "comment": comment}


def _cards(brickname: str, at: tuple[float, float], *, size: int, bands: Sequence[str], box: Box | None) -> Cards:
    """Return what the headers of all images of a brick have.

    As in the survey no RADESYS says that positions are ICRS, and with EQUINOX alone astropy takes them for FK5.
    """
    made = [
        _card("SURVEY", "demo", "Simulated Legacy Surveys"),
        _card("OBSTYPE", "object", "Observation type"),
        _card("PROCTYPE", "tile", "Processing type"),
        _card("BRICK", brickname, "LegacySurveys brick RRRr[pm]DDd"),
    ]
    if box is not None:
        for name, value, what in zip(
            ("RAMIN", "RAMAX", "DECMIN", "DECMAX"), box, ("RA min", "RA max", "Dec min", "Dec max"), strict=True
        ):
            made.append(_card(name, value, f"Brick {what} (deg)"))
    return [
        *made,
        _card("BANDS", ",".join(bands), "Bands touching this brick"),
        _card("CTYPE1", "RA---TAN", "TANgent plane"),
        _card("CTYPE2", "DEC--TAN", "TANgent plane"),
        _card("CRVAL1", at[0], "Reference RA"),
        _card("CRVAL2", at[1], "Reference Dec"),
        _card("CRPIX1", size / 2 + 0.5, "Reference x"),
        _card("CRPIX2", size / 2 + 0.5, "Reference y"),
        _card("CD1_1", -PIXEL / 3600, "CD matrix"),
        _card("CD1_2", 0.0, "CD matrix"),
        _card("CD2_1", 0.0, "CD matrix"),
        _card("CD2_2", PIXEL / 3600, "CD matrix"),
        _card("EQUINOX", 2000.0, "WCS epoch"),
    ]


def _cards_of(product: str, band: str) -> Cards:
    """Return what the header of a product of a band has besides."""
    made = [
        _card("FILTERX", band, "Filter short name"),
        _card("IMTYPE", product, "LegacySurveys image type"),
        _card("PRODTYPE", _PRODTYPES.get(product, product), "NOIRLab image type"),
    ]
    if _UNITS.get(product) == "nanomaggy":
        made.append(_card("MAGZERO", 22.5, "Magnitude zeropoint"))
    if product in _UNITS:
        made.append(_card("BUNIT", _UNITS[product], "AB mag = 22.5 - 2.5*log10(nanomaggy)"))
    return made


def _write_image(path: Path, data: Array, cards: Cards, tile: int, **how: Any) -> None:
    """Write a primary HDU without data, and a compressed image."""
    import fitsio  # noqa: PLC0415 (what only wants positions need not wait for it)

    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as out:
        out.write(data, header=cards, tile_dims=(tile, tile), dither_seed="checksum", **how)


def _write_maskbits(path: Path, bits: Array, cards: Cards, tile: int) -> None:
    """Write maskbits, followed as in the survey by the masks of two WISE bands, which are empty."""
    import fitsio  # noqa: PLC0415

    meanings = [_card(f"MBIT_{bit}", name, f"maskbits bit {bit} (0x{1 << bit:x})") for name, bit in MASKBITS.items()]
    how: dict[str, Any] = {"compress": "HCOMPRESS", "tile_dims": (tile, tile)}
    header = [*cards, *meanings, _card("IMTYPE", "maskbits", "LegacySurveys image type")]
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as out:
        out.write(bits, extname="MASKBITS", header=header, **how)
        for name in ("WISEM1", "WISEM2"):
            out.write(np.zeros(bits.shape, dtype=np.uint8), extname=name, **how)


@dataclass(frozen=True)
class _Brick:
    """A brick of the release; ``trail``: on one that has flaws, a place (RA, Dec) that a trail crosses."""

    region: str
    name: str
    box: Box
    bands: tuple[str, ...] = BANDS
    on_disk: bool = True
    trail: tuple[float, float] | None = None

    @property
    def center(self) -> tuple[float, float]:
        """RA and Dec."""
        ra1, ra2, dec1, dec2 = self.box
        return (ra1 + ra2) / 2, (dec1 + dec2) / 2

    @property
    def directory(self) -> str:
        """Below the release's root."""
        return f"{self.region}/coadd/{self.name[:3]}/{self.name}"

    @property
    def checksums(self) -> str:
        """File name in its directory."""
        return f"legacysurvey_demo_{self.region}_coadd_{self.name[:3]}_{self.name}.sha256sum"

    def holds(self, ra: Floats, dec: Floats) -> Bools:
        """Return which positions (RA 0 to 360) are in its box."""
        ra1, ra2, dec1, dec2 = self.box
        return np.asarray((ra >= ra1) & (ra < ra2) & (dec >= dec1) & (dec < dec2))


def simulate(csv_path: Path, out: Path, seed: int = 1) -> None:
    """Write the release and its truth under a directory; same CSV and seed, same bytes.

    The tables are written last: if that of the south is there, all is. What an earlier run left under the same names
    is replaced.

    Parameters
    ----------
    csv_path
        The CSV of positions that `release.simulate` wrote: some of its rows, known by their name, get a brick.
    out
        Gets ``{south,north}/survey-bricks-demo-{region}.fits.gz``, ``{region}/coadd/`` and ``truth.hdf5``. Attributes
        of its root: ``bands``, ``fwhm_arcsec`` (per band), ``moffat_beta``, ``pixel_arcsec``, ``size`` (pixels).
        Groups:

        - ``stars``: ``ra``, ``dec``, ``flux`` (nanomaggies) and ``magnitude`` (AB), both (n, band), of all light: one
          on every accepted CSV row that is in a brick, and others, 10 arcsec or more away from them and each other;
        - ``rows``, the CSV rows in a brick: ``row`` (from 0), ``star`` (two rows at one place have one), ``brick``;
        - ``bricks``: ``region``, ``brickname``, ``ra``, ``dec`` (of the center), ``ra1``, ``ra2``, ``dec1``,
          ``dec2``, ``bands`` (the letters), ``on_disk``, ``flawed``;
        - ``pairs``, every star on a brick's image: ``star``, ``brick``, ``x``, ``y``, ``home`` (the star is in the
          brick's box) and ``good`` (n, band): the share of the pixels within 3.5 arcsec that have data; 0 where the
          brick has no file of the band.

    Raises
    ------
    InputError
        If the CSV is not the demo's.
    """
    names, positions = read_positions(csv_path)
    bricks = _lay_out(csv_path, names, positions)
    stars, rows = _draw(bricks, positions, np.random.default_rng([seed, 5]))
    tables = {region: out / region / f"survey-bricks-demo-{region}.fits.gz" for region in ("north", "south")}
    for table in tables.values():
        table.unlink(missing_ok=True)
    listed: dict[str, list[Array]] = {region: [] for region in tables}
    pairs: list[dict[str, Array]] = []
    for i, brick in enumerate(bricks):
        for old in (out / brick.directory).glob("legacysurvey[-_]*"):
            old.unlink()
        rng = np.random.default_rng([seed, 6, i])
        nexp = {band: _exposures(EXPOSURES[band], rng) for band in brick.bands}
        if brick.on_disk:
            nexp = _write(out / brick.directory, brick, stars, nexp, rng)
        pairs.append(_on_brick(i, brick, stars, nexp))
        listed[brick.region].append(_table_row(brick, nexp, int(pairs[-1]["home"].sum())))
    for brick in _away(positions):
        listed[brick.region].append(_table_row(brick, dict.fromkeys(BANDS, np.full((_SIZE, _SIZE), 2)), 0))
    _write_truth(out / "truth.hdf5", bricks, stars, rows, pairs)
    for region, table in tables.items():
        _write_table(table, np.sort(np.concatenate(listed[region]), order="brickname"))
    log.info("%s: %d bricks, %d stars", out, sum(brick.on_disk for brick in bricks), len(stars.ra))


def _lay_out(path: Path, names: Mapping[str, int], positions: Mapping[int, tuple[float, float]]) -> list[_Brick]:
    """Return the bricks: four that meet amid CSV rows at RA 0, one beneath a HETDEX cube, one absent, one in the north.

    Real names are of tenths of a degree, in which several of these small bricks fit: the next name is taken.
    """
    made: list[_Brick] = []

    def add(region: str, box: Box, **how: Any) -> None:
        ra, dec = (box[0] + box[1]) / 2, (box[2] + box[3]) / 2
        tenths, taken = int(abs(dec) * 10), {brick.name for brick in made}
        while (name := f"{int(ra * 10):04d}{'p' if dec >= 0 else 'm'}{tenths:03d}") in taken:
            tenths += 1
        made.append(_Brick(region, name, box, **how))

    def around(name: str, x: float, y: float) -> Box:
        """Return a box in which a row's position is at these shares of the way from ra1 to ra2, and dec1 to dec2."""
        ra, dec = positions[names[name]]
        dec1 = dec - y * _SIDE
        width = _SIDE / math.cos(math.radians(dec1 + _SIDE / 2))
        return ra - x * width, ra + (1 - x) * width, dec1, dec1 + _SIDE

    for name in ("ra-0", "ra-negative-same-side", "duplicate-row-0", "separation-0.99", "match-12258-0"):
        if names.get(name) not in positions:
            raise InputError(f"{path} has no row named {name!r}: it must be the CSV that simulate_release.py writes")
    below, above = (_CORNER_DEC - _SIDE, _CORNER_DEC), (_CORNER_DEC, _CORNER_DEC + _SIDE)
    west, east = (360 - _SIDE, 360.0), (0.0, _SIDE)
    add("south", (*west, *below), trail=positions[names["ra-negative-same-side"]])
    add("south", (*east, *below), bands=_NO_I)
    add("south", (*west, *above))
    add("south", (*east, *above))
    add("south", around("duplicate-row-0", 0.55, 0.45))
    add("south", around("separation-0.99", 0.5, 0.5), on_disk=False)
    # Near the western edge, beyond which nothing was observed.
    add("north", around("match-12258-0", 0.085, 0.6), bands=_NO_I)
    return made


def _away(positions: Mapping[int, tuple[float, float]]) -> list[_Brick]:
    """Return bricks of the tables that no CSV row is near."""
    made = []
    for region, ra, dec in _AWAY:
        if min(_separation(at, (ra, dec)) for at in positions.values()) > 3600:
            half = _SIDE / 2
            name = f"{int(ra * 10):04d}{'p' if dec >= 0 else 'm'}{int(abs(dec) * 10):03d}"
            bands = _NO_I if region == "north" else BANDS
            wide = half / math.cos(math.radians(dec))
            made.append(_Brick(region, name, (ra - wide, ra + wide, dec - half, dec + half), bands, on_disk=False))
    return made


def _separation(a: Any, b: Any) -> Any:
    """Return the distance in arcsec of two places (RA, Dec), or arrays of them (haversine formula)."""
    lon, lat, lat0 = np.radians(a[0] - b[0]), np.radians(a[1]), np.radians(b[1])
    half = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * np.cos(lat0) * np.sin(lon / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half))) * 3600


def _draw(
    bricks: Sequence[_Brick], positions: Mapping[int, tuple[float, float]], rng: np.random.Generator
) -> tuple[Stars, dict[str, Array]]:
    """Return stars on the CSV rows in bricks, and between them; and which row has which."""
    places = np.array(list(positions.values()))
    held = np.array([brick.holds(places[:, 0], places[:, 1]) for brick in bricks])
    brick, at = np.nonzero(held)
    found, star = np.unique(places[at], axis=0, return_inverse=True)
    order = np.argsort(np.array(list(positions))[at])
    rows = {"row": np.array(list(positions))[at][order], "star": star.reshape(-1)[order], "brick": brick[order]}
    sky = [tuple(place) for place in found]
    for made in bricks:
        ra1, ra2, dec1, dec2 = made.box
        for _ in range(_PER_BRICK):
            while True:
                place = (rng.uniform(ra1, ra2), rng.uniform(dec1, dec2))
                if _separation(np.array(sky).T, place).min() > _APART:
                    break
            sky.append(place)
    n, n_rows = len(sky), len(found)
    red = np.concatenate([rng.uniform(18, 21, n_rows), rng.uniform(16.5, 21.5, n - n_rows)])
    color = rng.uniform(0.2, 1.3, n)
    shift = {"g": color, "r": 0 * color, "i": -0.4 * color, "z": -0.6 * color}
    flux = {band: 10 ** ((22.5 - red - shift[band]) / 2.5) for band in BANDS}
    ra, dec = np.array(sky).T
    return Stars(ra, dec, flux), rows


def _exposures(typical: int, rng: np.random.Generator) -> Array:
    """Return (size, size) int16: exposures that end somewhere on the brick."""
    nexp = np.full((_SIZE, _SIZE), typical, dtype=np.int16)
    nexp[rng.integers(50, _SIZE - 50) :] += 1
    nexp[:, : rng.integers(50, _SIZE - 50)] -= 1
    return nexp


def _write(
    directory: Path, brick: _Brick, stars: Stars, nexp: Mapping[str, Array], rng: np.random.Generator
) -> dict[str, Array]:
    """Write a brick of the demo and its checksums; return its nexp, as `write_brick`."""
    x, y = to_pixels(stars.ra, stars.dec, brick.center, _SIZE)
    bits = np.zeros((_SIZE, _SIZE), dtype=np.int32)
    for i in np.flatnonzero(22.5 - 2.5 * np.log10(stars.flux["r"]) < _MEDIUM):
        bits[_distance(x[i], y[i]) < 6 / PIXEL] |= 1 << MASKBITS["MEDIUM"]
    gaps = {}
    if brick.trail is not None:
        gaps = {band: rng.random((_SIZE, _SIZE)) < 3e-4 for band in brick.bands}
        gaps["z"][_GAP] = True
        x0, y0 = (int(np.rint(axis)) for axis in to_pixels(*brick.trail, brick.center, _SIZE))
        gaps["r"][y0 - 1 : y0 + 2, : x0 + 150] = True
    ra, dec = brick.center
    written = write_brick(
        directory,
        brick.name,
        ra=ra,
        dec=dec,
        size=_SIZE,
        stars=stars,
        bands=brick.bands,
        nexp=nexp,
        gaps=gaps,
        maskbits=bits,
        box=brick.box,
        rng=rng,
    )
    write_sha256sum(directory / brick.checksums, sorted(directory.glob("*.fits.fz")))
    return written


def _on_brick(number: int, brick: _Brick, stars: Stars, nexp: Mapping[str, Array]) -> dict[str, Array]:
    """Return a brick's share of the pairs."""
    x, y = to_pixels(stars.ra, stars.dec, brick.center, _SIZE)
    on = np.flatnonzero((np.abs(x - (_SIZE - 1) / 2) < _SIZE / 2) & (np.abs(y - (_SIZE - 1) / 2) < _SIZE / 2))
    good = np.zeros((len(on), len(BANDS)))
    beyond = math.ceil(RADIUS / PIXEL)
    for j, band in enumerate(BANDS):
        if brick.on_disk and band in brick.bands:
            has_data = np.pad(nexp[band] > 0, beyond)
            for k, i in enumerate(on):
                good[k, j] = has_data[_distance(x[i], y[i], beyond) <= RADIUS / PIXEL].mean()
    home = brick.holds(stars.ra[on], stars.dec[on])
    return {"star": on, "brick": np.full(len(on), number), "x": x[on], "y": y[on], "home": home, "good": good}


def _distance(x: float, y: float, beyond: int = 0) -> Floats:
    """Return (rows, rows): of the middles of a brick's pixels, and of some beyond it, from a place; in pixels."""
    along = np.arange(-beyond, _SIZE + beyond)
    return np.asarray(np.hypot(along - x, along[:, None] - y))


def _write_truth(
    path: Path,
    bricks: Sequence[_Brick],
    stars: Stars,
    rows: Mapping[str, Array],
    pairs: Sequence[Mapping[str, Array]],
) -> None:
    flux = np.stack([stars.flux[band] for band in BANDS], axis=-1)
    boxes = np.array([brick.box for brick in bricks])
    centers = np.array([brick.center for brick in bricks])
    groups: dict[str, Mapping[str, Array]] = {
        "stars": {"ra": stars.ra, "dec": stars.dec, "flux": flux, "magnitude": 22.5 - 2.5 * np.log10(flux)},
        "rows": rows,
        "bricks": {
            "region": np.array([brick.region.encode() for brick in bricks]),
            "brickname": np.array([brick.name.encode() for brick in bricks]),
            "ra": centers[:, 0],
            "dec": centers[:, 1],
            **{name: boxes[:, i] for i, name in enumerate(("ra1", "ra2", "dec1", "dec2"))},
            "bands": np.array(["".join(brick.bands).encode() for brick in bricks]),
            "on_disk": np.array([brick.on_disk for brick in bricks]),
            "flawed": np.array([brick.trail is not None for brick in bricks]),
        },
        "pairs": {name: np.concatenate([part[name] for part in pairs]) for name in pairs[0]},
    }
    with hdf5.create(path) as file:
        file.attrs["bands"] = np.array([band.encode() for band in BANDS])
        file.attrs["fwhm_arcsec"] = [FWHM[band] for band in BANDS]
        file.attrs.update(moffat_beta=BETA, pixel_arcsec=PIXEL, size=_SIZE, good_radius_arcsec=RADIUS)
        for name, group in groups.items():
            hdf5.write_table(file.create_group(name), group)


def _table_row(brick: _Brick, nexp: Mapping[str, Array], n_objects: int) -> Array:
    """Return a brick's row of its region's table."""
    row = np.zeros(1, COLUMNS)
    ra, dec = brick.center
    row["brickname"], row["ra"], row["dec"], row["nobjs"] = brick.name, ra, dec, n_objects
    for name, edge in zip(("ra1", "ra2", "dec1", "dec2"), brick.box, strict=True):
        row[name] = edge
    row["area"] = (row["ra2"] - row["ra1"]) * _SIDE * math.cos(math.radians(dec))
    inside = _inside(ra, dec, _SIZE, brick.box)
    for band in brick.bands:
        row[f"nexp_{band}"] = np.median(nexp[band][inside])
        row[f"nexphist_{band}"] = np.bincount(np.minimum(nexp[band][inside], 10), minlength=11)
        row[f"psfsize_{band}"] = FWHM[band]
    pole_ra, pole_dec = _POLE
    north = dec > _NORTH_DEC and _separation((ra, dec), (pole_ra, pole_dec)) < 90 * 3600
    row["survey_primary"] = north == (brick.region == "north")
    return row


def _write_table(path: Path, rows: Array) -> None:
    """Write ``survey-bricks-demo-{region}.fits.gz``."""
    import fitsio  # noqa: PLC0415

    with fitsio.FITS("mem://", "rw") as file:
        file.write(rows)
        raw = file.read_raw()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(raw, mtime=0))
