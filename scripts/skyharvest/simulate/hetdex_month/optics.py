"""The optics of an amplifier: where the light of each fiber and wavelength falls, how wide it is, and how much passes.

Arrays are (112, 1032): fiber index `fibidx`, from the bottom of the detector, and column.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import exp, floor
from typing import Any

import numba
import numpy as np

from skyharvest.core.arrays import Bools, Float32s, Floats

NX = NY = 1032
N_FIBER = 112
SPACING, GAP, FIRST = 8.74, 17.5, 24.0
"""Pixels from a fiber to the next, more where there is a gap, and to the first fiber."""
GAPS = (37, 75)
"""After so many fibers there is a gap."""
DEAD_LIGHT = 0.02
"""Of a dead fiber, as a part of a living one's."""
POWER = 2.35
"""Of the profile across a fiber, exp(-|d/σ|^2.35 / 2): flatter at its top than a Gaussian."""
HALF = 8
"""Rows above and below a trace that get light of its fiber."""
SCATTERED = 0.035
"""Light that is scattered over the detector, as a part of what is in the profiles of fibers."""
SMOOTH = 120.0
"""How far it is scattered: σ, pixels."""
FWHM = 2.3548200450309493
_STEP = 1.0 / 512


@dataclass(frozen=True)
class Fibers:
    """What is special of the fibers of an amplifier.

    Attributes
    ----------
    gaps
        After so many fibers there is a gap.
    dead
        ``fibidx`` of fibers with two per cent of the light.
    missing
        ``fibidx`` of fibers that are not there: no light, and no room, so that those above them are lower. No image
        tells which they are: ``bad_fibers.csv`` does.
    dark
        No light at all reaches this amplifier: it reads its noise.
    """

    gaps: tuple[int, ...] = GAPS
    dead: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    dark: bool = False


@dataclass(frozen=True)
class Optics:
    """The optics of an amplifier.

    Attributes
    ----------
    trace
        (112, 1032) f8: row of the middle of the profile, pixels; NaN where a fiber is missing.
    wavelength
        (112, 1032) f8: at the middle of pixels, Å in air.
    dispersion
        (112, 1032) f8: Å a pixel.
    sigma
        (112, 1032) f8: width of the profile across the fiber, pixels (`POWER`).
    lsf
        (112, 1032) f8: σ of the line spread function, with the pixel, Å.
    fiber_to_fiber
        (112, 1032) f8: throughput of fibers; the mean of those that live is 1 in each column.
    amp_to_amp
        (1032,) f8: throughput of the amplifier.
    alive
        (112,) bool: neither dead nor missing.
    """

    trace: Floats
    wavelength: Floats
    dispersion: Floats
    sigma: Floats
    lsf: Floats
    fiber_to_fiber: Floats
    amp_to_amp: Floats
    alive: Bools

    @property
    def response(self) -> Floats:
        """(112, 1032) f8: electrons of a pixel for one electron per Å in a mean fiber of the field."""
        return self.fiber_to_fiber * self.amp_to_amp * self.dispersion

    def paint(self, light: Floats, shift: float = 0.0) -> Float32s:
        """Return the image of fibers, without scattered light.

        Parameters
        ----------
        light
            (112, 1032): electrons of each fiber in each column.
        shift
            By how much the traces are moved, pixels.

        Returns
        -------
        (1032, 1032) f4 electrons.
        """
        image = np.zeros((NY, NX), np.float32)
        _paint(image, light, self.trace, self.sigma, shift, _cumulative(), _STEP)
        return image


def build(fibers: Fibers, detector: np.random.Generator, ifu: np.random.Generator) -> Optics:
    """Return the optics of an amplifier.

    Parameters
    ----------
    fibers
        What is special of its fibers.
    detector
        Tells what belongs to the spectrograph: traces, wavelengths, widths, throughput of the amplifier.
    ifu
        Tells what belongs to the fibers: their throughput.
    """
    there = np.ones(N_FIBER, bool)
    there[list(fibers.missing)] = False
    alive = there.copy()
    alive[list(fibers.dead)] = False
    if fibers.dark:
        alive[:] = False
    steps = np.where(np.isin(np.arange(1, N_FIBER), fibers.gaps), GAP, SPACING)
    steps = np.where(there[1:], steps, steps - SPACING)
    start = FIRST - (0.0 if there[0] else SPACING)
    base = start + np.concatenate([[0.0], np.cumsum(steps)]) + detector.normal(0, 0.12, N_FIBER)
    u = ((np.arange(NX) - 515.5) / 515.5)[None]
    v = ((base - 515.5) / 515.5)[:, None]

    tilt, curve, cubic = detector.normal(0, 0.4), detector.uniform(2.5, 5), detector.normal(0, 0.3)
    trace = base[:, None] + tilt * u + curve * (v + 0.25) * u**2 + cubic * u**3
    trace[~there] = np.nan
    d = detector.normal(0, 0.5, 3)
    wavelength = 4512 + d[0] + (1032 + d[1]) * u + (-14 + d[2]) * u**2 + 4 * u**3 + 9 * (v**2 - 0.3) + 1.2 * v * u
    dispersion = ((1032 + d[1]) + 2 * (-14 + d[2]) * u + 12 * u**2 + 1.2 * v) / 515.5
    sigma = 2.05 + 0.18 * u**2 + 0.12 * v**2 + 0.05 * v
    lsf = (5.4 + 0.5 * u**2 + 0.1 * v) / FWHM

    level, slope = np.clip(detector.normal(1, 0.06), 0.85, 1.15), detector.normal(0, 0.03)
    amp_to_amp = (level * (1 + slope * u))[0]
    k = ifu.normal(0, 0.03, (N_FIBER, 3))
    through = np.clip(ifu.normal(1, 0.06, N_FIBER), 0.75, 1.2)[:, None]
    fiber_to_fiber = through * (1 + k[:, :1] * u + k[:, 1:2] * u**2 + k[:, 2:] * np.sin(3 * u))
    if alive.any():
        fiber_to_fiber = fiber_to_fiber / fiber_to_fiber[alive].mean(0)
    fiber_to_fiber[list(fibers.dead)] *= DEAD_LIGHT
    fiber_to_fiber[~there] = 0.0
    if fibers.dark:
        fiber_to_fiber[:] = 0.0
    return Optics(trace, wavelength, dispersion, sigma, lsf, fiber_to_fiber, amp_to_amp, alive)


def scatter(image: Float32s) -> Float32s:
    """Return the light of an image that is scattered: smoothed over `SMOOTH` pixels, on a grid of 8 × 8 pixels."""
    coarse = image.reshape(NY // 8, 8, NX // 8, 8).mean((1, 3), dtype=np.float64)
    kernel, spread = _scattering()
    light: Float32s = (SCATTERED * (spread @ (kernel @ coarse @ kernel.T) @ spread.T)).astype(np.float32)
    return light


@lru_cache(maxsize=1)
def _scattering() -> tuple[Floats, Floats]:
    """Return the matrices that smooth a coarse image, which mirrors at its edges, and that make it fine again."""
    n = NY // 8
    distance = np.arange(n)[:, None] - np.arange(-3 * n, 4 * n)
    weights = np.exp(-0.5 * (distance * 8 / SMOOTH) ** 2)
    where = np.arange(-3 * n, 4 * n) % (2 * n)
    where = np.where(where < n, where, 2 * n - 1 - where)
    kernel = np.zeros((n, n))
    np.add.at(kernel.T, where, weights.T)
    kernel /= kernel.sum(1, keepdims=True)
    centres = np.arange(n) * 8 + 3.5
    spread = np.array([np.interp(np.arange(NY), centres, row) for row in np.eye(n)]).T
    return kernel, spread


@lru_cache(maxsize=1)
def _cumulative() -> Floats:
    """Return the integral of the profile, from -∞ to -8, -8 + `_STEP`, … 8 of its σ; it grows from 0 to 1."""
    x = np.arange(-8, 8 + _STEP / 2, _STEP / 8)
    density = np.exp(-0.5 * np.abs(x) ** POWER)
    total = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.ascontiguousarray((total / total[-1])[::8])


@numba.njit(cache=True)
def _integral(table: Any, step: float, t: float) -> float:
    place = (t + 8.0) / step
    if place <= 0.0:
        return 0.0
    k = floor(place)
    if k >= table.size - 1:
        return 1.0
    return float(table[k] + (place - k) * (table[k + 1] - table[k]))


@numba.njit(cache=True)
def _paint(image: Any, light: Any, trace: Any, sigma: Any, shift: float, table: Any, step: float) -> None:
    """Add profiles, integrated over pixels whose middles have whole numbers."""
    n_y, n_x = image.shape
    for fiber in range(trace.shape[0]):
        for x in range(n_x):
            amount = light[fiber, x]
            if amount == 0.0 or np.isnan(trace[fiber, x]):
                continue
            middle, width = trace[fiber, x] + shift, sigma[fiber, x]
            first = floor(middle + 0.5) - HALF
            below = _integral(table, step, (first - 0.5 - middle) / width)
            for y in range(first, first + 2 * HALF + 1):
                above = _integral(table, step, (y + 0.5 - middle) / width)
                if 0 <= y < n_y:
                    image[y, x] += np.float32(amount * (above - below))
                below = above


@numba.njit(cache=True)
def sample(stack: Any, first: float, step: float, narrowest: float, between: float, wavelength: Any, lsf: Any) -> Any:
    """Return a spectrum at pixels, as their line spread functions see it.

    Parameters
    ----------
    stack
        (n, m) f8: the spectrum smoothed by σ of `narrowest`, then `between` more from row to row, Å.
    first, step
        Å: wavelengths of its m values.
    wavelength, lsf
        (112, 1032) f8: of the pixels, Å.

    Returns
    -------
    (112, 1032) f8, linear between values of the stack.
    """
    found = np.empty(wavelength.shape)
    for i in range(wavelength.shape[0]):
        for j in range(wavelength.shape[1]):
            place = (wavelength[i, j] - first) / step
            k = min(max(floor(place), 0), stack.shape[1] - 2)
            part = place - k
            wide = (lsf[i, j] - narrowest) / between
            row = min(max(floor(wide), 0), stack.shape[0] - 2)
            more = wide - row
            low = stack[row, k] + part * (stack[row, k + 1] - stack[row, k])
            high = stack[row + 1, k] + part * (stack[row + 1, k + 1] - stack[row + 1, k])
            found[i, j] = low + more * (high - low)
    return found


@numba.njit(cache=True)
def gaussian(spectrum: Any, sigma: float) -> Any:
    """Return a spectrum smoothed by a Gaussian of some steps, as (m,) f8; beyond its ends it stays as it is there."""
    half = int(5 * sigma) + 1
    kernel = np.empty(2 * half + 1)
    for k in range(2 * half + 1):
        kernel[k] = exp(-0.5 * ((k - half) / sigma) ** 2)
    kernel /= kernel.sum()
    smooth = np.zeros(spectrum.size)
    for i in range(spectrum.size):
        total = 0.0
        for k in range(2 * half + 1):
            total += kernel[k] * spectrum[min(max(i + k - half, 0), spectrum.size - 1)]
        smooth[i] = total
    return smooth
