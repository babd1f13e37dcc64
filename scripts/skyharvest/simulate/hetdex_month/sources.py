"""What is on the sky of a shot: stars with their spectra and magnitudes, emission lines, and the catalogue of stars."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.simulate.hetdex_month.spectra import FIRST, STEP, WAVE, sun

BANDS = ("u", "g", "r", "i", "z")
BROAD: Floats = np.arange(2900.0, 11500.0, 5.0)
"""Å: for magnitudes."""
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
class Source:
    """A star, or an emission line.

    Attributes
    ----------
    kind
        ``star`` or ``line``.
    ifuslot
        The slot of the IFU that sees it; "" if none does.
    ra, dec
        Degrees.
    g
        Magnitude of a star (AB).
    temperature
        Of a star, K.
    wave, flux, width
        Of a line: middle, Å; erg/s/cm²; σ, Å.
    """

    kind: str
    ifuslot: str
    ra: float
    dec: float
    g: float = np.nan
    temperature: float = np.nan
    wave: float = np.nan
    flux: float = np.nan
    width: float = np.nan

    def spectrum(self) -> Floats:
        """Return the flux at `WAVE`, erg/s/cm²/Å."""
        if self.kind == "star":
            fainter = self.g - magnitudes(self.temperature)[1]
            return np.asarray(star_flux(WAVE, self.temperature) * 10 ** (-0.4 * fainter))
        shape: Floats = np.exp(-0.5 * ((WAVE - self.wave) / self.width) ** 2) / (np.sqrt(2 * np.pi) * self.width)
        return self.flux * shape


def star_flux(wave: Floats, temperature: float) -> Floats:
    """Return the spectrum of a star, in no particular unit: a black body, with the Sun's lines, weaker in hot stars."""
    body = (wave / 5000) ** -5.0 / np.expm1(1.438777e8 / (wave * temperature))
    strength = float(np.clip((8500 - temperature) / (8500 - 5772), 0.0, 1.4))
    lines = np.interp(wave, FIRST + STEP * np.arange(sun().size), sun(), left=1.0, right=1.0)
    return np.asarray(body * lines**strength * 1e-15)


def magnitudes(temperature: float) -> Floats:
    """Return (5,) f8 AB magnitudes ugriz of `star_flux`, through the filters of SDSS."""
    return _magnitudes(round(float(temperature), 3))


@lru_cache(maxsize=4096)
def _magnitudes(temperature: float) -> Floats:
    flux = star_flux(BROAD, temperature)
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
        values = magnitudes(star.temperature) - magnitudes(star.temperature)[1] + star.g
        for band, value in zip(BANDS, values + random.normal(0, MAGNITUDE_ERROR, 5), strict=True):
            row[band] = round(float(value), 3)
    rows["id"] = 1237661959906850000 + np.arange(len(stars))
    return rows


def template_text(temperature: float) -> str:
    """Return a template of a star as a text of two columns: Å in air, and flux per Å."""
    flux: Any = star_flux(BROAD, temperature) / star_flux(np.array([5000.0]), temperature)
    return "".join(f"{wave:.1f} {value:.6e}\n" for wave, value in zip(BROAD, flux, strict=True))
