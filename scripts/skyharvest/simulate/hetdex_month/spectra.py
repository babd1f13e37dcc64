"""Spectra of what is not a source: the Sun, twilight, the night sky; the throughput; and how pixels see a spectrum."""

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from skyharvest.core.arrays import Array, Floats
from skyharvest.reduction.hetdex.calibration.solar_spectrum import SHIPPED
from skyharvest.simulate.hetdex_month.optics import FWHM, gaussian, sample

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
"""Å, and electrons per Å at the peak of 0.4 Å wide lines, in a mean fiber and 360 s."""
SUN_SIGMA = 1.0 / FWHM
"""Of the Sun's spectrum that is shipped, Å: a fact that the reduction and this share."""


class Seen:
    """A spectrum as pixels see it.

    Parameters
    ----------
    spectrum
        (N,) f8 at `WAVE`.
    own
        σ of the line spread function that the spectrum has already, Å.
    """

    def __init__(self, spectrum: Floats, own: float = 0.0) -> None:
        first, between, n = WIDTHS
        widths = [first + k * between for k in range(n)]
        self._stack = np.array([gaussian(spectrum, np.sqrt(width**2 - own**2) / STEP) for width in widths])

    def at(self, wavelength: Floats, lsf: Floats) -> Floats:
        """Return it at pixels with (n, 1032) wavelengths and σ of line spread functions, Å."""
        found: Floats = sample(self._stack, FIRST, STEP, WIDTHS[0], WIDTHS[1], wavelength, lsf)
        return found


@lru_cache(maxsize=1)
def sun() -> Floats:
    """Return the Sun's light, (N,) f8 at `WAVE`: photons per Å, with a mean of 1 and a resolution of `SUN_SIGMA`."""
    wave, flux = np.loadtxt(SHIPPED, unpack=True)
    photons = CubicSpline(wave, flux * wave)(np.clip(WAVE, wave[0], wave[-1]))
    return np.asarray(photons / photons.mean())


def throughput(wave: Floats) -> Floats:
    """Return the throughput of a mean fiber with all before it, 0.018 in the blue and 0.145 at most."""
    knots = (3300.0, 3470.0, 3700.0, 4000.0, 4500.0, 5000.0, 5300.0, 5540.0, 5700.0)
    values = (0.008, 0.018, 0.045, 0.085, 0.130, 0.145, 0.140, 0.120, 0.100)
    curve: Array = np.exp(PchipInterpolator(knots, np.log(values))(wave))
    return curve


def electrons(wave: Floats, flux: Floats) -> Floats:
    """Return electrons per Å in 360 s, of all light of a source whose flux is given in erg/s/cm²/Å."""
    return flux * wave / HC * throughput(wave) * AREA * TIME


@lru_cache(maxsize=1)
def night_sky() -> Floats:
    """Return the dark sky, (N,) f8 electrons per Å in 360 s in a mean fiber: some of it sunlight, and lines."""
    shape = np.interp(WAVE, (3400, 4000, 5600), (1.1, 1.0, 1.05))
    sky = 75.0 * throughput(WAVE) / 0.13 * (0.7 + 0.3 * sun()) * shape
    for wave, peak in SKY_LINES:
        sky += peak * np.exp(-0.5 * ((WAVE - wave) / 0.4) ** 2)
    return sky


@lru_cache(maxsize=1)
def twilight() -> Floats:
    """Return the twilight, (N,) f8 electrons per Å in a mean fiber: sunlight, bluer than the Sun."""
    return np.asarray(1200 * throughput(WAVE) / 0.13 * sun() * (WAVE / 4500) ** -1.5)
