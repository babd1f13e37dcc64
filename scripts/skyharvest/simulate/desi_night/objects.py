"""What the fibers of a simulated tile look at, and the light that reaches the detectors."""

from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.simulate.desi_night.spectra import galaxy, quasar, redshifted, star
from skyharvest.simulate.desi_night.templates import standard_wave

FIRST_TARGETID = 39627000000000000
SKY_BIT = 1 << 59
"""That TARGETIDs of the sky have (`desitarget.targets.encode_targetid`)."""
PLANCK, LIGHT = 6.626e-27, 2.998e18  # erg s, Å/s
AREA_CM2 = 8.7e4
"""Of the mirror."""
THROUGHPUT = (
    (3500, 3800, 4500, 5500, 6500, 7600, 8500, 9300, 9850),
    (0.03, 0.12, 0.25, 0.30, 0.36, 0.40, 0.42, 0.36, 0.25),
)
"""Å, and the share of photons that become electrons."""


@dataclass(frozen=True)
class Objects:
    """A spectrum for each fiber.

    Attributes
    ----------
    wave
        (n_wave,) f8, Å in vacuum.
    flux
        (n_fiber, n_wave) f8: 1e-17 erg/s/cm²/Å.
    kind
        (n_fiber,) text: ``SKY``, ``STD``, ``GALAXY``, ``QSO`` or ``STAR``.
    z
        (n_fiber,) f8: redshift; NaN of the sky.
    """

    wave: Floats
    flux: Floats
    kind: list[str]
    z: Floats

    @property
    def n_fiber(self) -> int:
        """Number of fibers."""
        return len(self.flux)


def draw(wave: Floats, n_fiber: int, seed: int = 7) -> Objects:
    """Draw objects for the fibers: every fifth is on the sky, every sixth on a standard star."""
    rng = np.random.default_rng(seed)
    flux, kinds, redshifts = np.zeros((n_fiber, wave.size)), [], np.full(n_fiber, np.nan)
    rest = np.arange(700.0, 11200.0, 0.25)
    bright = (wave > 5800) & (wave < 7500)
    for fiber in range(n_fiber):
        if fiber % 5 == 2:
            kinds.append("SKY")
            continue
        if fiber % 6 == 0:
            kinds.append("STD")
            z = rng.normal(0, 2e-4)
            own = standard_wave()
            spectrum = redshifted(own, star(own, rng.uniform(6100, 7300), rng.uniform(-1.4, -0.1)), z, wave)
            level = rng.uniform(25, 60)
        else:
            kinds.append(("GALAXY", "QSO", "GALAXY", "STAR")[fiber % 4])
            z, spectrum, level = _drawn(kinds[-1], rest, wave, rng)
        flux[fiber] = level * spectrum / np.median(spectrum[bright])
        redshifts[fiber] = z
    return Objects(wave, flux, kinds, redshifts)


def _drawn(kind: str, rest: Floats, wave: Floats, rng: np.random.Generator) -> tuple[float, Floats, float]:
    if kind == "GALAXY":
        z = rng.uniform(0.05, 1.0)
        amounts = {"old": 1.0, "young": rng.uniform(0.05, 0.6)}
        strength = rng.uniform(0.3, 3.0)
        amounts |= {name: strength * rng.uniform(0.5, 1.5) for name in ("oii", "balmer", "oiii", "nii")}
        return z, redshifted(rest, galaxy(rest, amounts), z, wave), rng.uniform(4, 8)
    if kind == "QSO":
        z = rng.uniform(0.8, 1.4)
        amounts = {"blue": 1.0, "red": rng.uniform(0.2, 0.8), "iron": rng.uniform(0.05, 0.2)}
        amounts |= {name: rng.uniform(0.4, 1.2) for name in ("lya", "civ", "ciii", "mgii", "balmer", "oiii")}
        return z, redshifted(rest, quasar(rest, amounts), z, wave), rng.uniform(20, 40)
    z = rng.normal(0, 1.5e-4)
    return z, redshifted(rest, star(rest, rng.uniform(3300, 4900)), z, wave), rng.uniform(6, 12)


def electrons(wave: Floats, exptime: float) -> Floats:
    """Return the electrons per Å that a flux of 1e-17 erg/s/cm²/Å makes in an exposure, (n_wave,) f8."""
    photons = 1e-17 * AREA_CM2 / (PLANCK * LIGHT / wave)
    return np.asarray(photons * np.interp(wave, *THROUGHPUT) * exptime)
