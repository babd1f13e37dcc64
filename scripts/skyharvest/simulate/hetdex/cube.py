"""Write one simulated HETDEX cube: DATA, ERROR and MASK, each (1036, 104, 104) = (wavelength, y, x).

Nothing of the modules that read cubes is used.

Units: wavelengths Å in air, spectra 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, DATA and ERROR 10⁻¹⁷ erg s⁻¹ cm⁻² per bin of 2 Å, RA and
Dec degrees (ICRS), x and y spaxels from 0 (the middle of the first one).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.simulate.psf import profile_width

Change = Callable[[Array, Array, Array], None]

SHAPE = (1036, 104, 104)
BIN = 2.0  # Å
WAVE: Floats = 3470.0 + BIN * np.arange(SHAPE[0], dtype=np.float64)
SPAXEL = 0.5  # arcsec
CENTER = 51.0  # x and y of CRVAL: CRPIX is 52
RADIUS = 3.5  # arcsec, of the apertures in the truth
REACH = 45.0  # arcsec from a cube's center: nothing farther away touches it
BETA = 3.0  # of the Moffat profile

_TILE = (1, *SHAPE[1:])  # rows as tiles, the usual ones, would take 4 MB an image for their table alone
_FINER = 16  # steps of ERROR in one of DATA


@dataclass(frozen=True)
class PointSources:
    """n sources of light.

    Attributes
    ----------
    ra, dec : (n,) float64, degrees
    flux : (n, 1036) float64, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ on `WAVE`
        All of its light.
    """

    ra: Floats
    dec: Floats
    flux: Floats


def to_spaxels(ra: Array | float, dec: Array | float, at: tuple[float, float], pa: float) -> tuple[Floats, Floats]:
    """Return x and y of positions on a cube.

    The gnomonic projection (Calabretta & Greisen 2002, A&A 395, 1077, TAN) around ``at`` (RA, Dec in degrees), with
    the y axis at position angle ``pa`` (degrees, from north to east). Infinite for the other half of the sky.
    """
    lon, lat, lat0 = np.radians(np.asarray(ra, float) - at[0]), np.radians(dec), math.radians(at[1])
    depth = np.sin(lat) * math.sin(lat0) + np.cos(lat) * math.cos(lat0) * np.cos(lon)
    east = np.cos(lat) * np.sin(lon) / depth
    north = (np.sin(lat) * math.cos(lat0) - np.cos(lat) * math.sin(lat0) * np.cos(lon)) / depth
    u, v = -np.degrees(east) * 3600 / SPAXEL, np.degrees(north) * 3600 / SPAXEL
    c, s = math.cos(math.radians(pa)), math.sin(math.radians(pa))
    x, y = (np.where(depth > 0, CENTER + along, np.inf) for along in (c * u + s * v, -s * u + c * v))
    return x, y


def center_for(ra: float, dec: float, x: float, y: float, pa: float) -> tuple[float, float]:
    """Return where a cube's center must be for a position to be at x, y (to some 0.1 spaxels, not too near a pole)."""
    c, s = math.cos(math.radians(pa)), math.sin(math.radians(pa))
    u, v = c * (x - CENTER) - s * (y - CENTER), s * (x - CENTER) + c * (y - CENTER)
    center = dec - v * SPAXEL / 3600
    return (ra + u * SPAXEL / 3600 / math.cos(math.radians(center))) % 360, center


def write_cube(
    path: Path,
    *,
    shotid: int,
    ifuslot: str,
    ra: float,
    dec: float,
    pa: float,
    sources: PointSources,
    fwhm: float = 1.7,
    beta: float | None = BETA,
    error: Array | float = 0.08,
    rng: np.random.Generator | None = None,
    lit: Bools | None = None,
    change: Change | None = None,
    field: str = "dex-spring",
    compress: bool = True,
) -> None:
    """Write one cube.

    Parameters
    ----------
    path
        Of the file. It appears complete or not at all.
    shotid, ifuslot
        Date (YYYYMMDD) and number (three digits) of the exposure, as one number; three digits.
    ra, dec, pa
        Of the center (CRVAL), degrees; of the y axis from north to east, degrees.
    sources
        Those far away shine no light into the cube; any number, also none.
    fwhm, beta
        Of the point-spread function: arcsec; of a Moffat profile, or None for a Gaussian one.
    error : broadcast to (1036, 104, 104)
        Of a voxel. It is rounded to 1/16 of a power of two below its smallest positive value.
    rng
        Draws the noise; without it there is none.
    lit : (104, 104) bool, optional
        Where there are fibers (all by default): elsewhere DATA and ERROR are NaN.
    change
        Called last, with DATA, ERROR (float32) and MASK (int16, all 0), to be changed in place.
    compress
        Whether images are RICE-compressed in tiles of a plane, DATA in steps of the power of two above, with
        subtractive dither (which keeps 0); the noise that this adds is left out of what is drawn. Otherwise they are
        plain images, exact.
    """
    smallest = np.min(error, where=np.asarray(error) > 0, initial=np.inf)
    step = 2.0 ** math.floor(math.log2(smallest)) if np.isfinite(smallest) else 1.0
    errors = np.empty(SHAPE, dtype=np.float32)
    errors[:] = error
    errors *= _FINER / step
    np.rint(errors, out=errors)
    errors *= step / _FINER
    if rng is None:
        flux = np.zeros(SHAPE, dtype=np.float32)
    else:
        flux = np.square(errors)
        flux -= step**2 / 12 if compress else 0.0
        np.sqrt(np.maximum(flux, 0, out=flux), out=flux)
        flux *= rng.standard_normal(SHAPE, dtype=np.float32)
    x, y = to_spaxels(sources.ra, sources.dec, (ra, dec), pa)
    for i in range(len(x)):
        light = spread(float(x[i]), float(y[i]), fwhm, beta).astype(np.float32)
        flux += np.multiply.outer((BIN * sources.flux[i]).astype(np.float32), light)
    mask = np.zeros(SHAPE, dtype=np.int16)
    if lit is not None:
        flux[:, ~lit] = errors[:, ~lit] = np.nan
    if change is not None:
        change(flux, errors, mask)
    cards = _cards(shotid=shotid, ifuslot=ifuslot, ra=ra, dec=dec, pa=pa, fwhm=fwhm, field=field)
    _write_images(path, cards, {"DATA": flux, "ERROR": errors, "MASK": mask}, step if compress else None)


def _cards(
    *, shotid: int, ifuslot: str, ra: float, dec: float, pa: float, fwhm: float, field: str
) -> list[tuple[str, object]]:
    """Return the cards of an image, with the oddities of the real ones: CUNIT3 says m where CRVAL3 is in Å."""
    c, s = math.cos(math.radians(pa)), math.sin(math.radians(pa))
    return [
        ("WCSAXES", 3),
        ("CRPIX1", CENTER + 1),
        ("CRPIX2", CENTER + 1),
        ("CRPIX3", 1.0),
        ("PC1_1", c),
        ("PC1_2", -s),
        ("PC2_1", s),
        ("PC2_2", c),
        ("CDELT1", -SPAXEL / 3600),
        ("CDELT2", SPAXEL / 3600),
        ("CDELT3", BIN),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("CUNIT3", "m"),
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CTYPE3", "WAVE"),
        ("CRVAL1", ra),
        ("CRVAL2", dec),
        ("CRVAL3", float(WAVE[0])),
        ("LONPOLE", 180.0),
        ("RADESYS", "ICRS"),
        ("SHOTID", shotid),
        ("IFUSLOT", ifuslot),
        ("DATEVOBS", f"{shotid // 1000}v{shotid % 1000:03d}"),
        ("FIELD", field),
        ("FWHM", fwhm),
    ]


def _write_images(
    path: Path, cards: Sequence[tuple[str, object]], images: Mapping[str, Array], step: float | None
) -> None:
    """Write a primary HDU without data, and images; compressed where ``step`` is given."""
    import fitsio  # noqa: PLC0415 (the projection alone does not need it)

    header = [{"name": name, "value": value} for name, value in cards]
    # ERROR's values are multiples of its step, a power of two: quantization keeps them, and 0, exactly.
    compression: dict[str, dict[str, Any]] = {"DATA": {}, "ERROR": {}, "MASK": {}}
    if step is not None:
        compression["DATA"] = {"qlevel": -step, "qmethod": "SUBTRACTIVE_DITHER_2", "dither_seed": 1}
        compression["ERROR"] = {"qlevel": -step / _FINER, "qmethod": "NO_DITHER"}
        for arguments in compression.values():
            arguments.update(compress="RICE", tile_dims=_TILE)
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as out:
        out.write(None)
        for name, data in images.items():
            out.write(data, extname=name, header=header, **compression[name])


def spread(x: float, y: float, fwhm: float, beta: float | None) -> Floats:
    """Return (104, 104) float64: the share of a source's light that falls on every spaxel (1 over the whole plane).

    Integrated over spaxels by Gauss-Legendre quadrature, 4 × 4 points. ``fwhm`` in arcsec; ``beta`` of a Moffat
    profile (Moffat 1969, A&A 3, 455), None for a Gaussian.
    """
    nodes, weights = np.polynomial.legendre.leggauss(4)
    n = len(nodes)
    square = [
        ((np.arange(length)[:, None] + nodes / 2).ravel() - at) ** 2
        for length, at in zip(SHAPE[1:], (y, x), strict=True)
    ]
    r2 = np.add.outer(*square)
    width = profile_width(fwhm / SPAXEL, beta)
    if beta is None:
        profile = np.exp(-r2 / (2 * width**2)) / (2 * np.pi * width**2)
    else:
        profile = (beta - 1) / (np.pi * width**2) * (1 + r2 / width**2) ** -beta
    return np.asarray(
        np.einsum("iajb,a,b->ij", profile.reshape(SHAPE[1], n, SHAPE[2], n), weights / 2, weights / 2, optimize=True)
    )


def aperture_fraction(
    x: float, y: float, fwhm: float, beta: float | None, radius: float = RADIUS
) -> tuple[float, float]:
    """Return the share of a source's light within a circle around it, and within its part that is on the grid.

    The first is analytic, the second the mean over directions of it at the distance where the grid ends. ``fwhm`` and
    ``radius`` in arcsec.
    """
    width, reach = profile_width(fwhm / SPAXEL, beta), radius / SPAXEL

    def within(r: Array | float) -> Floats:
        ratio = (np.asarray(r) / width) ** 2
        return np.asarray(1 - np.exp(-ratio / 2) if beta is None else 1 - (1 + ratio) ** (1 - beta))

    angle = (np.arange(36000) + 0.5) * (2 * np.pi / 36000)
    enter, leave = np.zeros_like(angle), np.full_like(angle, np.inf)
    for at, along, length in ((x, np.cos(angle), SHAPE[2]), (y, np.sin(angle), SHAPE[1])):
        ends = np.sort([(-0.5 - at) / along, (length - 0.5 - at) / along], axis=0)
        enter, leave = np.maximum(enter, ends[0]), np.minimum(leave, ends[1])
    on_grid = within(np.minimum(leave, reach)) - within(np.minimum(enter, reach))
    return float(within(reach)), float(np.where(leave > enter, on_grid, 0).mean())
