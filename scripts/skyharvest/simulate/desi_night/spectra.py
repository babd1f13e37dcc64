"""Spectra of stars, galaxies and quasars: simple, smooth, with the lines by which they are known.

They are made by a program, so that a night can be simulated and reduced where no templates can be had. They look like
the real ones; nothing may be learnt about the sky from them. Wavelengths: Å in vacuum.
"""

from collections.abc import Mapping

import numpy as np

from skyharvest.core.arrays import Floats

SPEED_OF_LIGHT = 299792.458  # km/s
BALMER = (3890.2, 3971.2, 4102.9, 4341.7, 4862.7, 6564.6)
METALS: Mapping[float, float] = {
    3934.8: 1.0,
    3969.6: 0.9,
    4227.9: 0.4,
    4305.6: 0.6,
    4384.8: 0.3,
    5168.7: 0.45,
    5174.1: 0.5,
    5185.0: 0.55,
    5270.9: 0.3,
    5329.6: 0.25,
    5891.6: 0.5,
    5897.6: 0.45,
    6496.9: 0.2,
    8500.4: 0.4,
    8544.4: 0.6,
    8664.5: 0.55,
}
"""Line → how deep it is in a cool star, relative to the others."""
MOLECULES = ((4954.0, 5200.0), (5448.0, 5600.0), (5847.0, 6058.0), (6158.0, 6390.0), (7053.0, 7270.0), (7590.0, 7870.0))
"""Bands of TiO: where each begins, and where it has faded."""
NEBULAR: Mapping[str, Mapping[float, float]] = {
    "oii": {3727.1: 1.0, 3729.9: 1.3},
    "balmer": {4102.9: 0.09, 4341.7: 0.16, 4862.7: 0.35, 6564.6: 1.0},
    "oiii": {4364.4: 0.03, 4960.3: 0.34, 5008.2: 1.0},
    "nii": {6549.9: 0.33, 6585.3: 1.0, 6718.3: 0.55, 6732.7: 0.42, 9071.1: 0.25, 9533.2: 0.6},
}
"""Group → line → its light, relative to the group's brightest."""
BROAD: Mapping[str, Mapping[float, float]] = {
    "lya": {1215.7: 1.0, 1240.8: 0.3},
    "civ": {1399.8: 0.25, 1549.1: 1.0},
    "ciii": {1857.0: 0.2, 1908.7: 1.0},
    "mgii": {2799.1: 1.0},
    "balmer": {4341.7: 0.4, 4862.7: 1.0, 6564.6: 2.8},
    "oiii": {4960.3: 0.33, 5008.2: 1.0},
}


def gaussian(wave: Floats, centre: float, sigma: float) -> Floats:
    """Return a line of peak 1."""
    return np.asarray(np.exp(-0.5 * ((wave - centre) / sigma) ** 2))


def black_body(wave: Floats, kelvin: float) -> Floats:
    """Return the light of a black body per Å, 1 at 6000 Å."""

    def planck(at: Floats | float) -> Floats:
        return np.asarray(1 / at**5 / np.expm1(1.4388e8 / at / kelvin))

    return planck(wave) / planck(6000.0)


def star(wave: Floats, kelvin: float, metals: float = 0.0) -> Floats:
    """Return a star, 1 at 6000 Å or so.

    Parameters
    ----------
    kelvin
        2500 to 20000.
    metals
        [Fe/H].
    """
    hot = np.exp(-0.5 * (np.log(kelvin / 9500) / 0.28) ** 2)
    absorbed = np.ones_like(wave)
    for line in BALMER:
        absorbed *= 1 - 0.65 * hot * gaussian(wave, line, 11.0) - 0.12 * hot * gaussian(wave, line, 45.0)
    cool = 1 / (1 + np.exp((kelvin - 6300) / 500)) * 10 ** (0.35 * metals)
    for line, depth in METALS.items():
        absorbed *= 1 - np.clip(0.75 * cool * depth, 0, 0.95) * gaussian(wave, line, 4.0)
    # Many weak lines in the blue, as a comb: they tell the redshift of a star of few strong ones.
    comb = np.sin(wave / 3.7) * np.sin(wave / 11.3 + 1)
    absorbed *= 1 - 0.10 * cool * np.clip((5600 - wave) / 2000, 0, 1) * (1 + comb)
    absorbed *= 1 - 0.45 * cool * 0.5 * (1 - np.tanh((wave - 3990) / 25)) * (wave < 4100)
    bands = np.clip((4200 - kelvin) / 900, 0, 1)
    for start, stop in MOLECULES:
        absorbed *= 1 - 0.6 * bands * np.clip((stop - wave) / (stop - start), 0, 1) * (wave >= start)
    jump = 0.35 * hot * 0.5 * (1 - np.tanh((wave - 3720) / 30))
    return np.asarray(black_body(wave, kelvin) * absorbed * (1 - jump), np.float64)


def _ripple(wave: Floats, number: int) -> Floats:
    """Return a faint light that goes with a group of lines.

    Redrock solves for the amounts of all parts, which has no solution where one has no light within sight.
    """
    return np.asarray(0.01 * (1 + np.sin(wave / (150.0 + 60.0 * number))))


def galaxy_parts(wave: Floats) -> dict[str, Floats]:
    """Return what galaxies are sums of, at rest: old and young stars, and groups of emission lines."""
    broadened = 3.0  # Å: the lines of many stars that move
    old = star(wave, 4700.0) * (1 - 0.35 * 0.5 * (1 - np.tanh((wave - 4000) / 40)))
    young = star(wave, 9000.0)
    parts = {"old": _smoothed(wave, old, broadened), "young": _smoothed(wave, young, broadened)}
    for number, (name, lines) in enumerate(NEBULAR.items()):
        parts[name] = sum((light * gaussian(wave, line, 2.2) for line, light in lines.items()), _ripple(wave, number))
    return parts


def galaxy(wave: Floats, amounts: Mapping[str, float]) -> Floats:
    """Return a galaxy at rest: a sum of `galaxy_parts`."""
    parts = galaxy_parts(wave)
    return sum((amount * parts[name] for name, amount in amounts.items()), np.zeros_like(wave))


def quasar_parts(wave: Floats) -> dict[str, Floats]:
    """Return what quasars are sums of, at rest: two continua and groups of broad lines."""
    parts = {"blue": (wave / 3000) ** -1.7, "red": (wave / 3000) ** -0.6}
    for number, (name, lines) in enumerate(BROAD.items()):
        narrow = 0.004 if name == "oiii" else 0.012
        broad = (light * gaussian(wave, at, narrow * at) for at, light in lines.items())
        parts[name] = sum(broad, _ripple(wave, number))
    iron = 0.5 + 0.5 * np.sin(wave / 37.0)
    parts["iron"] = iron * (
        gaussian(wave, 2500, 180) + 0.7 * gaussian(wave, 4600, 110) + 0.6 * gaussian(wave, 5250, 110)
    )
    forest = wave < 1215.7
    return {name: np.where(forest, values * 0.6, values) for name, values in parts.items()}


def quasar(wave: Floats, amounts: Mapping[str, float]) -> Floats:
    """Return a quasar at rest: a sum of `quasar_parts`."""
    parts = quasar_parts(wave)
    return sum((amount * parts[name] for name, amount in amounts.items()), np.zeros_like(wave))


def redshifted(rest: Floats, values: Floats, z: float, wave: Floats) -> Floats:
    """Return a spectrum, (n,) at wavelengths ``rest``, as it is seen at ``wave``."""
    return np.interp(wave, rest * (1 + z), values)


def _smoothed(wave: Floats, values: Floats, sigma: float) -> Floats:
    step = wave[1] - wave[0]
    half = int(5 * sigma / step) + 1
    kernel = gaussian(np.arange(-half, half + 1) * step, 0.0, sigma)
    padded = np.pad(values, half, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
