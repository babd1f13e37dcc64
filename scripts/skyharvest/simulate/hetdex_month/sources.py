"""What is on the sky of a shot: stars with their spectra and magnitudes, emission lines, and the catalogue of stars."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import fitsio
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.reduction.hetdex import stars

BANDS = ("u", "g", "r", "i", "z")
BROAD: Floats = np.arange(2980.0, 11200.0, 5.0)
"""Å: for magnitudes."""
LIBRARY = Path(stars.__file__).with_name("assets") / "stellar_templates.fits.gz"
"""Spectra of stars by type (Pickles 1998), which the reduction has, too: a fact that both share."""
DWARFS = ("A7V", "K4V")
"""The first and the last type of stars here."""
UNLIKE = 0.02
"""By how much stars differ from those of the library, 2500 Å from the middle."""
LIGHT = 2.99792458e18
"""Å/s."""
MAGNITUDES = (15.8, 16.7, 17.5, 18.2, 19.0, 19.9, 21.2)
"""g of the stars of an IFU, about."""
APART = 6.0
"""″ between sources of an IFU, at least."""
REACH = 22.0
"""″ from the middle of an IFU, along x and y."""
MAGNITUDE_ERROR, POSITION_ERROR = 0.01, 0.03
"""Of the catalogue: magnitudes, ″."""


@dataclass(frozen=True)
class Star:
    """What the light of a star is like.

    Attributes
    ----------
    step
        Between which spectra of the library's dwarfs (`DWARFS`), and how far: 3.25 is between the
        fourth and the fifth.
    tilt, bend
        By how much it differs from those, smoothly: no star is one of a library.
    g
        AB magnitude.
    """

    step: float
    tilt: float
    bend: float
    g: float

    def flux(self, wave: Floats) -> Floats:
        """Return the flux, erg/s/cm²/Å."""
        bright: Floats = self._shape(wave) * 10 ** (-0.4 * (self.g - magnitudes_of(self._shape(BROAD))[1]))
        return bright

    def magnitudes(self) -> Floats:
        """Return (5,) f8 AB magnitudes ugriz."""
        return magnitudes_of(self.flux(BROAD))

    def _shape(self, wave: Floats) -> Floats:
        known, spectra = _dwarfs()
        k = min(int(self.step), len(spectra) - 2)
        part = self.step - k
        x = (wave - 5500) / 2500
        log_flux = np.interp(wave, known, (1 - part) * spectra[k] + part * spectra[k + 1])
        return np.asarray(1e-16 * np.exp(log_flux + self.tilt * x + self.bend * x**2))


@dataclass(frozen=True)
class Line:
    """An emission line: its middle, Å; its flux, erg/s/cm²; its σ, Å."""

    wave: float
    total: float
    width: float

    def flux(self, wave: Floats) -> Floats:
        """Return the flux, erg/s/cm²/Å."""
        shape: Floats = np.exp(-0.5 * ((wave - self.wave) / self.width) ** 2) / (np.sqrt(2 * np.pi) * self.width)
        return self.total * shape


@dataclass(frozen=True)
class Source:
    """A source and its place.

    Attributes
    ----------
    light
        What it is.
    ifuslot
        The slot of the IFU that sees it; "" if none does.
    ra, dec
        Degrees.
    """

    light: Star | Line
    ifuslot: str
    ra: float
    dec: float

    @property
    def kind(self) -> str:
        """``star`` or ``line``."""
        return "star" if isinstance(self.light, Star) else "line"


def random_star(g: float, random: np.random.Generator) -> Star:
    """Return a star of a magnitude."""
    step = float(random.uniform(0, len(_dwarfs()[1]) - 1))
    tilt, bend = (float(one) for one in random.normal(0, UNLIKE, 2))
    return Star(step, tilt, bend, g)


def random_line(log_total: tuple[float, float], random: np.random.Generator) -> Line:
    """Return an emission line; the logarithm of its flux, erg/s/cm², is between two."""
    faintest, brightest = log_total
    wave, log_of, width = (float(one) for one in random.uniform((3650, faintest, 0.6), (5400, brightest, 1.6)))
    return Line(wave, 10**log_of, width)


@lru_cache(maxsize=1)
def _dwarfs() -> tuple[Floats, Floats]:
    """Return wavelengths, Å, and log fluxes (n, m) of the dwarfs of the library from early to late types."""
    with fitsio.FITS(str(LIBRARY)) as file:
        flux, head = file[0].read().astype(float), file[0].read_header()
        names = [str(name).strip() for name in file[1]["SPTYPE"][:]]
    first, last = (names.index(name) for name in DWARFS)
    wave = head["CRVAL1"] + head["CDELT1"] * np.arange(flux.shape[1])
    return wave, np.log(flux[first : last + 1])


def magnitudes_of(flux: Floats) -> Floats:
    """Return (5,) f8 AB magnitudes ugriz, through the filters of SDSS, of a flux at `BROAD`, erg/s/cm²/Å."""
    counts = np.array([np.sum(flux * curve * BROAD) / np.sum(curve / BROAD) for curve in _filters()])
    return np.asarray(-2.5 * np.log10(counts / LIGHT) - 48.6)


@lru_cache(maxsize=1)
def _filters() -> tuple[Floats, ...]:
    """Return the curves of ugriz at `BROAD`, of speclite: those of Doi et al. 2010, with the atmosphere."""
    from speclite.filters import load_filter  # noqa: PLC0415 (it takes a second)

    return tuple(np.asarray(load_filter(f"sdss2010-{band}")(BROAD), float) for band in BANDS)


def place(random: np.random.Generator, taken: list[tuple[float, float]], reach: float = REACH) -> tuple[float, float]:
    """Return a place in an IFU, ″, away from those that are taken; it is then taken, too."""
    for _ in range(10_000):
        x, y = random.uniform(-reach, reach, 2)
        if all(np.hypot(x - a, y - b) > APART for a, b in taken):
            taken.append((float(x), float(y)))
            return taken[-1]
    raise ValueError(f"{len(taken)} sources are in an IFU; there is no room for one more, {APART}″ from all")


def catalogue(stars: list[Source], random: np.random.Generator) -> Array:
    """Return the catalogue of stars: id, ra, dec, and magnitudes, all with their small errors."""
    rows = np.zeros(len(stars), [("id", "<i8"), ("ra", "<f8"), ("dec", "<f8"), *((band, "<f8") for band in BANDS)])
    for row, star in zip(rows, stars, strict=True):
        error = random.normal(0, POSITION_ERROR / 3600, 2)
        row["ra"] = star.ra + error[0] / np.cos(np.deg2rad(star.dec))
        row["dec"] = star.dec + error[1]
        assert isinstance(star.light, Star)
        values = star.light.magnitudes() + random.normal(0, MAGNITUDE_ERROR, 5)
        for band, value in zip(BANDS, values, strict=True):
            row[band] = round(float(value), 3)
    rows["id"] = 1237661959906850000 + np.arange(len(stars))
    return rows
