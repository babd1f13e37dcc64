"""HETDEX cubes for tests, written with astropy or never in a file."""

import math

import fitsio
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from skyharvest.surveys.hetdex.cube import N_WAVE, SHAPE, WAVE_AIR, Cube

RA, DEC = 215.688, 52.115
SPAXEL = 0.5  # arcsec
RADIUS = 3.5
FWHM = 1.8
NAME = "dex_cube_20190405020_034.fits"
PLANES, ROWS = (1, 104, 104), (1, 1, 104)  # tiles
SPECTRUM = 3 + np.cos(WAVE_AIR / 150) + 40 * np.exp(-0.5 * ((WAVE_AIR - 4500) / 4) ** 2)  # per bin


def header_of(pa=68.8, ra=RA, dec=DEC, **cards):
    """Return a header as the release has it: rotated, and with a spectral axis in metres."""
    cos, sin = math.cos(math.radians(pa)), math.sin(math.radians(pa))
    made = fits.Header()
    made.update(
        {"CRPIX1": 52.5, "CRPIX2": 52.5, "CRPIX3": 1.0, "PC1_1": cos, "PC1_2": -sin, "PC2_1": sin, "PC2_2": cos}
        | {"CDELT1": -SPAXEL / 3600, "CDELT2": SPAXEL / 3600, "CDELT3": 2.0, "CUNIT1": "deg", "CUNIT2": "deg"}
        | {"CUNIT3": "m", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "WAVE", "CRVAL1": ra, "CRVAL2": dec}
        | {"CRVAL3": 3470.0, "LONPOLE": 180.0, "LATPOLE": dec, "RADESYS": "ICRS", "SHOTID": 20190405020}
        | {"BUNIT": "1e-17 erg s^-1 cm^-2", "SPECBW": 2.0}
    )
    for key, value in cards.items():
        if value is None:
            del made[key]
        else:
            made[key] = value
    return made


def sky_of(x, y, pa=68.8, ra=RA, dec=DEC):
    """Return the position of 0-based spaxels by the gnomonic projection, written out."""
    cos, sin = math.cos(math.radians(pa)), math.sin(math.radians(pa))
    dx, dy = np.asarray(x) - 51.5, np.asarray(y) - 51.5
    xi = np.radians(-SPAXEL / 3600 * (cos * dx - sin * dy))
    eta = np.radians(SPAXEL / 3600 * (sin * dx + cos * dy))
    dec0 = math.radians(dec)
    toward, up = math.cos(dec0) - eta * math.sin(dec0), math.sin(dec0) + eta * math.cos(dec0)
    return (ra + np.degrees(np.arctan2(xi, toward))) % 360, np.degrees(np.arctan2(up, np.hypot(xi, toward)))


def write(path, flux, error, mask, header=None, tiles=None):
    """Write a cube with astropy, in tiles or uncompressed."""
    hdus = [fits.PrimaryHDU()]
    for name, data in (("DATA", flux), ("ERROR", error), ("MASK", mask)):
        cards = (header or header_of()).copy()
        if tiles is None:
            hdus.append(fits.ImageHDU(data, cards, name=name))
        else:
            hdus.append(fits.CompImageHDU(data, cards, name=name, tile_shape=tiles, quantize_level=16, dither_seed=1))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write_quickly(path, flux, error, mask, tiles):
    """Write a compressed cube with cfitsio, DATA in such tiles: astropy takes long to write many."""
    with fitsio.FITS(str(path), "rw", clobber=True) as file:
        file.write(None)
        for name, image, dims in (("DATA", flux, tiles), ("ERROR", error, PLANES), ("MASK", mask, PLANES)):
            file.write(image, extname=name, header=dict(header_of()), compress="rice", tile_dims=dims)
    return path


def cube_of(flux, error=None, mask=None, header=None):
    """Return a cube that was never in a file."""
    error = np.ones(SHAPE, np.float32) if error is None else error
    mask = np.zeros(SHAPE, np.int16) if mask is None else mask
    return Cube("made", None, None, flux, error, mask, WCS(header or header_of()).celestial)


def plane(image, spectrum=None):
    """Return a cube that is the same image at all wavelengths, times a spectrum."""
    spectrum = np.ones(N_WAVE) if spectrum is None else spectrum
    return (np.asarray(spectrum)[:, None, None] * np.asarray(image)[None]).astype(np.float32)


def gaussian(x, y, fwhm=FWHM, size=104, first=0):
    """Return a Gaussian star of total 1, integrated over spaxels by the error function."""
    sigma = fwhm / SPAXEL / (2 * math.sqrt(2 * math.log(2)))

    def along(centre):
        edges = np.arange(first, first + size + 1) - 0.5
        return np.diff([0.5 * math.erf((edge - centre) / sigma / math.sqrt(2)) for edge in edges])

    return along(y)[:, None] * along(x)[None, :]


def by_astropy(path):
    """Return DATA's header and the three images."""
    with fits.open(path) as hdus:
        return hdus["DATA"].header, *(hdus[name].data for name in ("DATA", "ERROR", "MASK"))
