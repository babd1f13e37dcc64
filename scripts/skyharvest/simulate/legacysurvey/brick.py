"""Write the images of one simulated brick of the Legacy Surveys.

Files, headers and compression are those of the coadds of DR9 and DR10: https://www.legacysurvey.org/dr10/files, and
legacypipe's ``get_compression_kwargs``. Nothing of the modules that read bricks is used.

Units: images and models nanomaggies (AB magnitude 22.5 - 2.5 log10), invvar nanomaggies⁻², PSF sizes arcsec (FWHM),
RA and Dec degrees (ICRS), x and y pixels from 0 (the middle of the first one). East is left, north is up.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.simulate.psf import profile_width

Box = tuple[float, float, float, float]  # ra1, ra2, dec1, dec2
Cards = list[dict[str, Any]]

BANDS = ("g", "r", "i", "z")
PIXEL = 0.262  # arcsec
BETA = 3.0  # of the Moffat profile
FWHM = {"g": 1.3, "r": 1.2, "i": 1.1, "z": 1.05}  # arcsec
EXPOSURES = {"g": 3, "r": 4, "i": 2, "z": 5}
SIGMA = {"g": 0.010, "r": 0.014, "i": 0.016, "z": 0.040}  # nanomaggies: of a pixel in one exposure
TILE = 100

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

_UNITS = {"image": "nanomaggy", "model": "nanomaggy", "invvar": "1/nanomaggy^2", "psfsize": "arcsec"}
_PRODTYPES = {"invvar": "wtmap", "nexp": "expmap"}  # others have the product's own name
_SCATTER = 0.03  # of invvar, from pixel to pixel; none in z, whose tiles can then not be quantized
_FAINTEST = 1e-5  # nanomaggies in a pixel: where a star's light ends
_LEAST_TILE = 4  # pixels: HCOMPRESS takes no less


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
    return float(1 - (1 + (radius / profile_width(fwhm, BETA)) ** 2) ** (1 - BETA))


def _starlight(x: Floats, y: Floats, flux: Floats, fwhm: float, size: int) -> Array:
    """Return (size, size) float32: the light of stars, integrated over pixels (Gauss-Legendre, 4 × 4 points)."""
    image = np.zeros((size, size), dtype=np.float32)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    alpha = profile_width(fwhm / PIXEL, BETA)
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
        bits[~inside_box(ra, dec, size, box)] |= 1 << MASKBITS["NPRIMARY"]
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


def inside_box(ra: float, dec: float, size: int, box: Box) -> Bools:
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
    """Return the cards that all images of a brick share.

    Positions are ICRS, but as in the survey there is no RADESYS, and with EQUINOX alone astropy takes them for FK5.
    """
    cards = [
        _card("SURVEY", "demo", "Simulated Legacy Surveys"),
        _card("OBSTYPE", "object", "Observation type"),
        _card("PROCTYPE", "tile", "Processing type"),
        _card("BRICK", brickname, "LegacySurveys brick RRRr[pm]DDd"),
    ]
    if box is not None:
        for name, value, limit in zip(
            ("RAMIN", "RAMAX", "DECMIN", "DECMAX"), box, ("RA min", "RA max", "Dec min", "Dec max"), strict=True
        ):
            cards.append(_card(name, value, f"Brick {limit} (deg)"))
    return [
        *cards,
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
    """Return the cards of one product in one band."""
    cards = [
        _card("FILTERX", band, "Filter short name"),
        _card("IMTYPE", product, "LegacySurveys image type"),
        _card("PRODTYPE", _PRODTYPES.get(product, product), "NOIRLab image type"),
    ]
    if _UNITS.get(product) == "nanomaggy":
        cards.append(_card("MAGZERO", 22.5, "Magnitude zeropoint"))
    if product in _UNITS:
        cards.append(_card("BUNIT", _UNITS[product], "AB mag = 22.5 - 2.5*log10(nanomaggy)"))
    return cards


def _write_image(path: Path, data: Array, cards: Cards, tile: int, **compression: Any) -> None:
    """Write a primary HDU without data, and a compressed image."""
    import fitsio  # noqa: PLC0415 (the projection alone does not need it)

    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as out:
        out.write(data, header=cards, tile_dims=(tile, tile), dither_seed="checksum", **compression)


def _write_maskbits(path: Path, bits: Array, cards: Cards, tile: int) -> None:
    """Write maskbits, followed as in the survey by the masks of two WISE bands, which are empty."""
    import fitsio  # noqa: PLC0415

    meanings = [_card(f"MBIT_{bit}", name, f"maskbits bit {bit} (0x{1 << bit:x})") for name, bit in MASKBITS.items()]
    compression: dict[str, Any] = {"compress": "HCOMPRESS", "tile_dims": (tile, tile)}
    header = [*cards, *meanings, _card("IMTYPE", "maskbits", "LegacySurveys image type")]
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as out:
        out.write(bits, extname="MASKBITS", header=header, **compression)
        for name in ("WISEM1", "WISEM2"):
            out.write(np.zeros(bits.shape, dtype=np.uint8), extname=name, **compression)
