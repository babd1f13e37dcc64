"""Twilight spectra of an amplifier with a known truth: its own forward model, made without the code that is tested."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from skyharvest.reduction.hetdex.calibration import solar_spectrum

N_FIBER, N_COLUMN = 112, 1032
TEN_A = 40  # samples of the Sun's spectrum


@dataclass
class Twilight:
    """Spectra and their truth, (112, 1032)."""

    spectrum: np.ndarray
    variance: np.ndarray
    alive: np.ndarray
    y: np.ndarray
    wave: np.ndarray
    ratio: np.ndarray
    level: np.ndarray


def twilight(
    seed=1, *, dead=(40,), peak=2500.0, lsf=5.5, shift=0.0, jitter=0.0, faint=(), veil=0.03, response=1.0, frames=3
):
    """Return a twilight: electrons a pixel, mean of some frames.

    Parameters
    ----------
    dead, faint
        Fibers without light, and those with a thirtieth.
    peak
        Electrons of a mean fiber where it is brightest.
    lsf, shift, jitter
        Width of lines (Å) in the middle; Å by which all wavelengths are larger; scatter of fibers beside the others.
    veil
        Part of the light that has no lines.
    response
        By which the amplifier is brighter than another.
    """
    rng = np.random.default_rng(seed)
    u = np.linspace(-1, 1, N_COLUMN)
    gaps = np.where(np.isin(np.arange(1, N_FIBER), [34, 71]), 17.5, 8.74)
    y = 24 + np.concatenate([[0], np.cumsum(gaps)])
    v = 2 * y / (N_COLUMN - 1) - 1
    wave = (4508.0 + shift + 1010 * u - 13 * u**2 + 4 * u**3)[None] + (8 * (v**2 - 0.3) + 0.5 * v**3)[:, None]
    wave = wave + 1.3 * v[:, None] * u + rng.normal(0, jitter, N_FIBER)[:, None]
    sun = solar_spectrum.read()
    lines = sun.flux * sun.wavelength
    broad = gaussian_filter1d(lines, 60 * TEN_A / 10)
    table = np.stack([sun.convolved(width) * sun.wavelength for width in (lsf - 0.4, lsf, lsf + 0.4)])
    table = (1 - veil) * table / broad.max() + veil * broad / broad.max()
    shape = np.interp(wave, [3400, 3470, 3700, 4000, 4500, 5000, 5300, 5620], [0.1, 0.14, 0.33, 0.6, 0.9, 1, 0.96, 0.8])
    width = np.clip(0.5 * u[None] ** 2 + 0.2 * v[:, None], -1, 1)  # of 0.4 Å
    sampled = [np.interp(wave, sun.wavelength, each) for each in table]
    light = sampled[1] + np.where(width > 0, width * (sampled[2] - sampled[1]), width * (sampled[1] - sampled[0]))
    bend = rng.normal(0, 0.03, (N_FIBER, 3))
    ratio = np.clip(rng.normal(1, 0.07, N_FIBER), 0.75, 1.25)[:, None]
    ratio = ratio * (1 + bend[:, :1] * u + bend[:, 1:2] * u**2 + bend[:, 2:] * np.sin(3 * u))
    ratio[list(faint)] /= 30
    alive = np.ones(N_FIBER, bool)
    alive[list(dead)] = False
    ratio[~alive] = 0.01
    level = light * shape * np.gradient(wave, axis=1) / 2
    true = peak * response * level * ratio
    variance = (true + 16.0) / frames
    spectrum = true + rng.normal(0, 1, true.shape) * np.sqrt(variance)
    spectrum[~alive] = np.nan
    return Twilight(
        spectrum.astype("f4"), variance.astype("f4"), alive, y, wave, np.where(alive[:, None], ratio, np.nan), level
    )
