"""The cameras of a spectrograph: where the light of each fiber and wavelength falls, and how wide it is."""

from dataclasses import dataclass
from math import erf, floor, sqrt
from typing import Any

import numba
import numpy as np
from numpy.polynomial.legendre import legfit, legval

from skyharvest.core.arrays import Floats

SPACING, GAP, MARGIN = 8.0, 8.0, 224.0
"""Pixels from a fiber to the next, more between bundles, and to the first fiber."""
LEAST_COLUMNS = 600
"""desispec looks for cosmics in 300 columns of an amplifier, however few fibers there are."""
PER_BUNDLE = 25
DEGREE = 6


@dataclass(frozen=True)
class Camera:
    """A camera.

    Attributes
    ----------
    name
        Arm and spectrograph: ``b0``.
    wave_min, wave_max
        Å in vacuum: what falls on its first and last row, about.
    first, last
        Å: what is extracted.
    sigma_x, sigma_y
        Widths of a spot, pixels: in the middle, and what they gain from there to the last wavelength.
    read_noise
        Electrons.
    n_fiber, n_y
        Fibers and rows.
    """

    name: str
    wave_min: float
    wave_max: float
    first: float
    last: float
    sigma_x: tuple[float, float]
    sigma_y: tuple[float, float]
    read_noise: float
    n_fiber: int = 25
    n_y: int = 4096

    @property
    def n_x(self) -> int:
        """Number of columns: even, for there are two amplifiers."""
        last = MARGIN + 30 + SPACING * (self.n_fiber - 1) + GAP * (self.n_fiber // PER_BUNDLE - 1)
        return max(LEAST_COLUMNS + 40, 2 * int(np.ceil(last / 2)))

    def scaled(self, wave: Floats) -> Floats:
        """Return wavelengths, Å, as -1 to 1 over the camera."""
        return 2 * (wave - self.wave_min) / (self.wave_max - self.wave_min) - 1

    def traces(self, dx: float = 0.0, dy: float = 0.0) -> tuple[Floats, Floats]:
        """Return Legendre coefficients of x and y, (n_fiber, 7) f8, moved by some pixels."""
        u = np.linspace(-1, 1, 200)
        x, y = np.empty((self.n_fiber, DEGREE + 1)), np.empty((self.n_fiber, DEGREE + 1))
        for fiber in range(self.n_fiber):
            side = (fiber - self.n_fiber / 2) / self.n_fiber
            start = MARGIN + SPACING * fiber + GAP * (fiber // PER_BUNDLE)
            x[fiber] = legfit(u, start + 1.5 * u**2 + 0.8 * side * u + dx, DEGREE)
            bent = 10 * (1 - u**2) + 6 * side**2 + 0.4 * np.sin(2 * u)
            y[fiber] = legfit(u, (u + 1) / 2 * (self.n_y - 1) + bent * self.n_y / 4096 + dy, DEGREE)
        return x, y

    def widths(self, wave: Floats) -> tuple[Floats, Floats]:
        """Return the widths of spots in x and y, pixels, at wavelengths."""
        u = self.scaled(wave)
        return self.sigma_x[0] + self.sigma_x[1] * u, self.sigma_y[0] + self.sigma_y[1] * u

    def image(self, wave: Floats, light: Floats, dx: float = 0.0, dy: float = 0.0) -> Floats:
        """Return the image without noise, (n_y, n_x) f8 electrons.

        Parameters
        ----------
        wave
            (n,) f8, Å.
        light
            (n_fiber, n) f8: electrons at each of them.
        dx, dy
            By how much the traces are moved, pixels.
        """
        made = np.zeros((self.n_y, self.n_x))
        inside = np.abs(self.scaled(wave)) < 1.03
        u = self.scaled(wave[inside])
        x, y = (legval(u, coefficients.T) for coefficients in self.traces(dx, dy))
        sigma_x, sigma_y = self.widths(wave[inside])
        for fiber in range(self.n_fiber):
            _project(made, x[fiber], y[fiber], np.ascontiguousarray(light[fiber][inside]), sigma_x, sigma_y)
        return made


def cameras(spectrograph: int = 0, n_fiber: int = 25, n_y: int = 4096) -> dict[str, Camera]:
    """Return the cameras of a spectrograph by their names, b, r, z; much as DESI's are."""
    of_arm = {
        "b": (3560.0, 5940.0, 3600.0, 5800.0, (1.10, 0.04), (1.30, -0.05), 3.0),
        "r": (5635.0, 7745.0, 5760.0, 7620.0, (1.05, 0.03), (1.25, 0.04), 2.8),
        "z": (7435.0, 9840.0, 7520.0, 9824.0, (1.05, -0.04), (1.25, 0.05), 2.5),
    }
    return {
        f"{arm}{spectrograph}": Camera(f"{arm}{spectrograph}", *numbers, n_fiber=n_fiber, n_y=n_y)
        for arm, numbers in of_arm.items()
    }


@numba.njit(cache=True)
def _project(image: Any, x: Any, y: Any, light: Any, sigma_x: Any, sigma_y: Any) -> None:
    """Add Gaussian spots, integrated over pixels, whose centres have whole numbers."""
    n_y, n_x = image.shape
    half = 8
    in_x, in_y = np.empty(2 * half + 2), np.empty(2 * half + 2)
    for k in range(x.size):
        if light[k] == 0.0:
            continue
        i0, j0 = floor(x[k] + 0.5) - half, floor(y[k] + 0.5) - half
        for m in range(2 * half + 2):
            in_x[m] = 0.5 * erf((i0 + m - 0.5 - x[k]) / (sigma_x[k] * sqrt(2.0)))
            in_y[m] = 0.5 * erf((j0 + m - 0.5 - y[k]) / (sigma_y[k] * sqrt(2.0)))
        for b in range(2 * half + 1):
            if 0 <= j0 + b < n_y:
                row = (in_y[b + 1] - in_y[b]) * light[k]
                for a in range(2 * half + 1):
                    if 0 <= i0 + a < n_x:
                        image[j0 + b, i0 + a] += row * (in_x[a + 1] - in_x[a])
