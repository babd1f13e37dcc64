"""Spectra of what is not a source: the Sun, twilight, the night sky; the throughput; and how pixels see a spectrum."""

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from skyharvest.core.arrays import Array, Floats
from skyharvest.simulate.hetdex_month.optics import gaussian, sample

FIRST, STEP, N = 3380.0, 0.25, 9041
WAVE: Floats = FIRST + STEP * np.arange(N, dtype=np.float64)
"""Å in air."""
WIDTHS = (2.2, 0.15, 4)
"""σ of the line spread functions that spectra are smoothed by, Å: the first, from one to the next, how many."""
AREA, TIME = 5.0e5, 360.0
"""cm² and s: what throughputs are meant for."""
HC = 1.98644586e-8
"""Planck's constant times the speed of light, erg Å."""
SKY_LINES = ((3650.2, 20.0), (4046.6, 40.0), (4358.3, 170.0), (5198.8, 80.0), (5460.7, 400.0))
"""Å, and electrons per Å at the peak of 0.4 Å wide lines, in a mean fibre and 360 s."""
LINE_5461 = 5460.7


class Seen:
    """A spectrum as pixels see it.

    Parameters
    ----------
    spectrum
        (N,) f8 at `WAVE`.
    """

    def __init__(self, spectrum: Floats) -> None:
        first, between, n = WIDTHS
        self._stack = np.array([gaussian(spectrum, (first + k * between) / STEP) for k in range(n)])

    def at(self, wavelength: Floats, lsf: Floats) -> Floats:
        """Return it at pixels with (n, 1032) wavelengths and σ of line spread functions, Å."""
        found: Floats = sample(self._stack, FIRST, STEP, WIDTHS[0], WIDTHS[1], wavelength, lsf)
        return found


@lru_cache(maxsize=1)
def sun() -> Floats:
    """Return the Sun's spectrum over its continuum, (N,) f8 at `WAVE`: strong lines, and a forest of weak ones."""
    random = np.random.default_rng(7)
    strong = (
        *((3581.2, 0.45, 2.0), (3734.9, 0.40, 3.0), (3820.4, 0.45, 3.0), (3933.7, 0.80, 6.0), (3968.5, 0.78, 6.0)),
        *((4045.8, 0.30, 1.5), (4101.7, 0.40, 3.0), (4226.7, 0.35, 1.5), (4305.0, 0.40, 6.0), (4340.5, 0.35, 3.0)),
        *((4383.5, 0.30, 1.5), (4861.3, 0.35, 3.0), (5167.3, 0.25, 2.0), (5172.7, 0.30, 1.5), (5183.6, 0.33, 1.5)),
        *((5269.5, 0.20, 2.0), (5328.0, 0.15, 2.0)),
    )
    flux = np.ones(N)
    for wave, depth, width in strong:
        flux *= 1 - depth * np.exp(-0.5 * ((WAVE - wave) / width) ** 2)
    for wave, drawn in zip(random.uniform(3420, 5600, 1600), random.exponential(0.10, 1600), strict=True):
        depth = min(0.85, drawn * float(np.clip(1.8 - (wave - 3400) / 1500, 0.35, 2)))
        near = slice(*np.searchsorted(WAVE, (wave - 3, wave + 3)))
        flux[near] *= 1 - depth * np.exp(-0.5 * ((WAVE[near] - wave) / 0.35) ** 2)
    return flux


def throughput(wave: Floats) -> Floats:
    """Return the throughput of a mean fibre with all before it, 0.018 in the blue and 0.145 at most."""
    knots = (3300.0, 3470.0, 3700.0, 4000.0, 4500.0, 5000.0, 5300.0, 5540.0, 5700.0)
    values = (0.008, 0.018, 0.045, 0.085, 0.130, 0.145, 0.140, 0.120, 0.100)
    curve: Array = np.exp(PchipInterpolator(knots, np.log(values))(wave))
    return curve


def electrons(wave: Floats, flux: Floats) -> Floats:
    """Return electrons per Å in 360 s, of all light of a source whose flux is given in erg/s/cm²/Å."""
    return flux * wave / HC * throughput(wave) * AREA * TIME


@lru_cache(maxsize=1)
def night_sky() -> Floats:
    """Return the dark sky, (N,) f8 electrons per Å in 360 s in a mean fibre: some of it sunlight, and lines."""
    shape = np.interp(WAVE, (3400, 4000, 5600), (1.1, 1.0, 1.05))
    sky = 75.0 * throughput(WAVE) / 0.13 * (0.75 + 0.25 * sun()) * shape
    for wave, peak in SKY_LINES:
        sky += peak * np.exp(-0.5 * ((WAVE - wave) / 0.4) ** 2)
    return sky


@lru_cache(maxsize=1)
def twilight() -> Floats:
    """Return the twilight, (N,) f8 electrons per Å in a mean fibre: sunlight, bluer than the Sun."""
    spectrum: Any = 1500 * throughput(WAVE) / 0.13 * sun() * (WAVE / 4500) ** -1.5
    return np.asarray(spectrum, float)
