"""Spectra of galaxies, QSOs and stars before the spectrograph."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.simulate.desi.spectrograph import PADDED_WAVE

_GALAXY_LINES = [  # rest vacuum wavelength, relative strength: OII, Hb, OIII, NII, Ha, SII
    (3727.09, 0.7),
    (3729.88, 0.9),
    (4862.68, 0.6),
    (4960.30, 0.5),
    (5008.24, 1.5),
    (6549.85, 0.15),
    (6564.61, 2.0),
    (6585.27, 0.45),
    (6718.29, 0.3),
    (6732.67, 0.25),
]
_GALAXY_ABSORPTION = [(3934.78, 0.35), (3969.59, 0.35), (5176.6, 0.15), (5895.6, 0.12)]  # Ca K and H, Mg b, Na D
_QSO_LINES = [(1215.67, 3.0), (1549.48, 1.3), (1908.73, 0.7), (2798.75, 0.8), (4862.68, 0.9), (6564.61, 2.5)]
_BALMER = [(6564.61, 0.55), (4862.68, 0.65), (4341.68, 0.6), (4102.89, 0.5)]
_STARS = [("A", 9000.0), ("F", 6700.0), ("G", 5700.0), ("K", 4500.0), ("M", 3400.0)]


@dataclass(frozen=True)
class Sources:
    """n objects in the sky, row-aligned.

    Attributes
    ----------
    targetid : (n,) int64
    ra, dec : (n,) float64, degrees
    z : (n,) float64
    spectype, subtype : (n,) bytes, as redrock writes them
    model : (n, 7791) float64, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ on `PADDED_WAVE`, before the spectrograph blurs it
    """

    targetid: Ints
    ra: Floats
    dec: Floats
    z: Floats
    spectype: Array
    subtype: Array
    model: Floats

    def take(self, rows: Sequence[int] | Ints) -> "Sources":
        """Return some of the objects, in the order of ``rows``."""
        chosen = np.asarray(rows, dtype=np.int64)
        return Sources(*(getattr(self, field.name)[chosen] for field in fields(self)))


def draw_sources(ra: Floats, dec: Floats, rng: np.random.Generator) -> Sources:
    """Draw galaxies (60 %), QSOs (20 %) and stars (20 %) for given positions.

    Parameters
    ----------
    ra, dec : (n,) float64, degrees

    Returns
    -------
    Sources
        With unique 64-bit TARGETIDs: most of Legacy Surveys DR9 (RELEASE 9010, bit layout of desitarget's
        ``encode_targetid``), one in eight of a secondary program (2305843…).
    """
    n = len(ra)
    brick, objid = rng.integers(300000, 660000, n), np.arange(n) + rng.integers(1, 20000)
    targetid = (np.int64(9010) << 42) | (brick << 22) | objid
    secondary = rng.random(n) < 1 / 8
    targetid[secondary] = (1 << 61) + (rng.integers(1 << 8, 1 << 29, n) << 12 | np.arange(n) % (1 << 12))[secondary]
    kind = np.searchsorted([0.6, 0.8], rng.permutation((np.arange(n) + 0.5) / max(n, 1)))
    spectype = np.array([b"GALAXY", b"QSO", b"STAR"], dtype="S6")[kind]
    subtype = np.zeros(n, dtype="S20")
    z, model = np.zeros(n), np.zeros((n, len(PADDED_WAVE)))
    brightness = rng.lognormal(np.log(5.0), 0.5, n)[:, None]

    galaxies = np.flatnonzero(kind == 0)
    z[galaxies] = rng.uniform(0.02, 1.4, len(galaxies))
    model[galaxies] = brightness[galaxies] * _galaxies(z[galaxies], rng)

    qsos = np.flatnonzero(kind == 1)
    z[qsos] = rng.uniform(0.5, 3.5, len(qsos))
    subtype[qsos] = np.where(z[qsos] < 1.6, b"LOZ", b"HIZ")
    model[qsos] = brightness[qsos] * _qsos(z[qsos], rng)

    stars = np.flatnonzero(kind == 2)
    z[stars] = rng.uniform(-9e-4, 9e-4, len(stars))
    types = rng.integers(len(_STARS), size=len(stars))
    subtype[stars] = np.array([name for name, _ in _STARS], dtype="S20")[types]
    model[stars] = brightness[stars] * _stars(z[stars], np.array([kelvin for _, kelvin in _STARS])[types])
    return Sources(targetid, np.asarray(ra, float), np.asarray(dec, float), z, spectype, subtype, model)


def _galaxies(z: Floats, rng: np.random.Generator) -> Floats:
    n = len(z)
    rest = PADDED_WAVE / (1 + z[:, None])
    depth = rng.uniform(0.1, 0.5, (n, 1))
    flux: Floats = (PADDED_WAVE / 6000) ** rng.uniform(-0.6, 1.0, (n, 1))
    flux *= 1 - depth * (1 - np.tanh((rest - 4000) / 30)) / 2
    width = rng.uniform(60, 160, n)
    for wavelength, strength in _GALAXY_ABSORPTION:
        flux *= 1 - strength * depth * _line(wavelength, z, width + 150)
    emission = rng.lognormal(0, 0.5, (n, 1))
    for wavelength, strength in _GALAXY_LINES:
        flux += strength * emission * _line(wavelength, z, width)
    return flux


def _qsos(z: Floats, rng: np.random.Generator) -> Floats:
    flux: Floats = (PADDED_WAVE / 6000) ** rng.uniform(-1.8, -0.8, (len(z), 1))
    width = rng.uniform(1800, 3500, len(z))
    flux *= 1 + sum(strength * _line(wavelength, z, width) for wavelength, strength in _QSO_LINES)
    rest = PADDED_WAVE / (1 + z[:, None])
    flux *= np.where(rest < 1215.67, 0.7, 1.0)  # the Lyman-alpha forest, on average
    return flux


def _stars(z: Floats, kelvin: Floats) -> Floats:
    def planck(angstrom: Floats | float) -> Floats:
        return np.asarray(angstrom, float) ** -5 / np.expm1(1.43878e8 / (angstrom * kelvin[:, None]))

    flux: Floats = planck(PADDED_WAVE) / planck(6000.0)
    hot = np.clip((kelvin[:, None] - 4000) / 5000, 0.05, 1)
    for wavelength, depth in _BALMER:
        flux *= 1 - depth * hot * _line(wavelength, z, np.full(len(z), 500.0))
    for wavelength, depth in _GALAXY_ABSORPTION:
        flux *= 1 - depth * (1 - hot) * _line(wavelength, z, np.full(len(z), 120.0))
    return flux


def _line(wavelength: float, z: Floats, width: Floats) -> Floats:
    """Return a Gaussian of height 1 at ``wavelength`` (rest, Å) with sigma ``width`` (km/s); (n, 7791)."""
    center = wavelength * (1 + z[:, None])
    return np.asarray(np.exp(-0.5 * ((PADDED_WAVE - center) / (center * width[:, None] / 299792.458)) ** 2))
