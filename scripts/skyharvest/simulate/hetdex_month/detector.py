"""The detector of an amplifier: bias, charge traps, pixels' response, cosmic rays, noise, and how it is read out."""

from dataclasses import dataclass
from math import cos, sin
from typing import Any

import numba
import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s
from skyharvest.simulate.hetdex_month.optics import NX, NY, scatter

OVERSCAN = 32
"""Columns without light, on the right."""
LEVEL = 1000.0
"""Of the overscan, counts."""
DRIFT = 1.0
"""By how much the level of a frame changes while its rows are read, σ, counts."""
TRAP_CHARGE = 45.0
"""What a charge trap adds to its column from its row on, electrons."""
DEFECT = (14, 9, 0.45)
"""Rows, columns and response of a box of bad pixels."""
LEAST_COSMIC = 150.0
"""Electrons that a cosmic ray leaves in each pixel of its track, at least."""
FLIPPED = ("LU", "RL")
"""Amplifiers that are read from the other corner: both axes are turned."""
OLD_NAMES = {"LL": "LL", "LU": "UL", "RL": "LR", "RU": "UR"}
"""``AMPNAME`` before 2018: of those with LR and UL the columns are turned once more."""


@dataclass(frozen=True)
class Detector:
    """The detector of an amplifier.

    Attributes
    ----------
    gain
        Electrons a count.
    read_noise
        Electrons.
    bias
        (1032, 1032) f4: electrons over the level of the overscan, with the traps.
    flat
        (1032, 1032) f4: response of pixels.
    traps
        Column and first row of each charge trap; it goes on to the last row.
    defect
        First row and column of the box of bad pixels (`DEFECT`).
    """

    gain: float
    read_noise: float
    bias: Float32s
    flat: Float32s
    traps: tuple[tuple[int, int], ...]
    defect: tuple[int, int]

    def expose(self, light: Float32s) -> Float32s:
        """Return the electrons that are expected of fibers' light: with scattered light and pixels' response, f4."""
        expected: Float32s = np.maximum((light + scatter(light)) * self.flat, 0)
        return expected

    def read(
        self, expected: Float32s | None, cosmics: Float32s | None, random: np.random.Generator, amp: str, ampname: str
    ) -> Array:
        """Return a raw frame.

        Parameters
        ----------
        expected
            (1032, 1032) electrons; None for a bias frame.
        cosmics
            (1032, 1032) electrons of cosmic rays, or None.
        random
            Tells the noise.
        amp
            CCDPOS and CCDHALF: ``LL``, ``LU``, ``RL`` or ``RU``.
        ampname
            Header's AMPNAME.

        Returns
        -------
        (1032, 1064) u2 counts, as it is written: turned, and with the overscan.
        """
        frame = random.standard_normal((NY, NX + OVERSCAN), np.float32)
        frame *= np.float32(self.read_noise)
        image = frame[:, :NX]
        image += self.bias
        if expected is not None:
            image += random.poisson(expected)
        if cosmics is not None:
            image += cosmics
        frame /= np.float32(self.gain)
        frame[:, :NX] = turned(frame[:, :NX], amp, ampname).copy()
        level = LEVEL + random.normal(0, 5) + random.normal(0, DRIFT) * np.linspace(0, 1, NY) ** 2
        frame += level.astype(np.float32)[:, None]
        np.rint(frame, out=frame)
        np.clip(frame, 0, 65535, out=frame)
        return frame.astype(np.uint16)


def turned(image: Array, amp: str, ampname: str) -> Array:
    """Return an image as the amplifier reads it, from one with wavelength to the right and fiber 0 at the bottom.

    Turning it again gives it back.
    """
    if amp in FLIPPED:
        image = image[::-1, ::-1]
    if ampname in ("LR", "UL"):
        image = image[:, ::-1]
    return image


def build(random: np.random.Generator, *, dark: bool = False) -> Detector:
    """Return a detector; of an amplifier that gets no light, one with much noise."""
    flat = 1 + random.normal(0, 0.008, (NY, NX))
    y, x = int(random.integers(200, 800)), int(random.integers(200, 800))
    rows, columns, response = DEFECT
    flat[y : y + rows, x : x + columns] = response
    column, row = int(random.integers(100, 900)), int(random.integers(150, 600))
    waves_x = 1.2 * np.sin(np.arange(NX) / 140 + random.uniform(0, 6)) + random.normal(0, 0.3, NX)
    waves_y = 0.8 * np.cos(np.arange(NY) / 200 + random.uniform(0, 6)) + random.normal(0, 0.5)
    bias = waves_x[None] + waves_y[:, None]
    bias[row:, column] += TRAP_CHARGE
    gain, noise = round(float(random.uniform(0.80, 0.92)), 3), round(float(random.uniform(2.7, 3.3)), 2)
    return Detector(
        gain,
        4 * noise if dark else noise,
        bias.astype(np.float32),
        flat.astype(np.float32),
        ((column, row),),
        (y, x),
    )


def cosmic_rays(n: int, random: np.random.Generator) -> tuple[Float32s, Bools]:
    """Return the electrons of cosmic rays, (1032, 1032) f4, and the pixels that they hit, bool.

    They are straight tracks of 1 to 14 pixels.
    """
    charge = np.zeros((NY, NX), np.float32)
    starts = random.integers(5, NX - 25, (n, 2))
    lengths, angles = random.integers(1, 14, n), random.uniform(0, np.pi, n)
    amounts = (random.exponential(700, (n, 20)) + LEAST_COSMIC).astype(np.float32)
    _tracks(charge, starts, lengths, angles, amounts)
    return charge, charge > 0


@numba.njit(cache=True)
def _tracks(charge: Any, starts: Any, lengths: Any, angles: Any, amounts: Any) -> None:
    for k in range(lengths.size):
        steps = int(lengths[k] / 0.7) + 1
        for m in range(steps):
            y = int(starts[k, 0] + 0.7 * m * sin(angles[k]))
            x = int(starts[k, 1] + 0.7 * m * cos(angles[k]))
            if 0 <= y < charge.shape[0] and 0 <= x < charge.shape[1] and charge[y, x] == 0.0:
                charge[y, x] = amounts[k, m]
