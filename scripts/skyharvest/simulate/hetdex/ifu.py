"""The fibers of a simulated HETDEX IFU: where there is light, how much noise, and the flaws of one cube."""

import math
from collections.abc import Sequence

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.simulate.hetdex.cube import CENTER, SHAPE, SPAXEL, WAVE, Change

BADCAL = [(3534.0, 3556.0), (5194.0, 5197.0), (5200.0, 5205.0), (5456.0, 5466.0)]  # Å, of poor calibration

# An IFU: 448 fibers in 23 rows of 20 and 19, a third of the field; two more dithers fill it.
_FIBER_STEP, _ROW_STEP = 2.54, 2.2  # arcsec
_FIBER_RADIUS = 0.75
_DITHERS = [(0.0, 0.0), (1.27, 0.733), (1.27, -0.733)]
_LIT_RADIUS = 1.0  # arcsec from a fiber's center; the cubes are interpolated


def _fibers() -> Floats:
    """Return (448, 2) x, y of the fibers in the first dither."""
    fibers = []
    for row in range(23):
        n = 20 - row % 2
        fibers += [((i - (n - 1) / 2) * _FIBER_STEP, (row - 11) * _ROW_STEP) for i in range(n)]
    return np.asarray(CENTER + (np.array(fibers[:448]) - np.mean(_DITHERS, axis=0)) / SPAXEL)


def _near(places: Floats, arcsec: float) -> Bools:
    """Return (104, 104) bool: which spaxels are near one of some places, (n, 2) x, y."""
    x, y = places[:, :1], places[:, 1:]
    box = np.arange(-math.ceil(arcsec / SPAXEL) - 1, math.ceil(arcsec / SPAXEL) + 2)
    rows, columns = (np.round(at[:, None]) + offsets for at, offsets in ((y, box[:, None]), (x, box)))
    near = np.hypot(columns - x[..., None], rows - y[..., None]) <= arcsec / SPAXEL
    near &= (rows >= 0) & (rows < SHAPE[1]) & (columns >= 0) & (columns < SHAPE[2])
    spaxels = np.zeros(SHAPE[1:], dtype=bool)
    spaxels[tuple(np.broadcast_to(at, near.shape)[near].astype(int) for at in (rows, columns))] = True
    return spaxels


def lit_spaxels(amps: Sequence[int] = (0, 1, 2, 3)) -> Bools:
    """Return (104, 104) bool: where an IFU's three dithers have light. The rim has gaps.

    ``amps``: which of the four amplifiers, 112 fibers each from low to high y, have been read.
    """
    fibers = _fibers().reshape(4, 112, 2)[list(amps)].reshape(-1, 1, 2) + np.array(_DITHERS) / SPAXEL
    return _near(fibers.reshape(-1, 2), _LIT_RADIUS)


def noise_level() -> Floats:
    """Return (1036, 104, 1) float64: ERROR of the release's cubes: more in the blue, another in every amplifier."""
    blue = 0.07 + 0.05 * ((WAVE[-1] - WAVE) / np.ptp(WAVE)) ** 2
    amplifier = np.repeat([1.0, 1.15, 1.05, 1.25], SHAPE[1] // 4)
    return np.asarray(np.multiply.outer(blue, amplifier)[..., None])


def flaws() -> dict[str, Bools]:
    """Return where the flawed cube is flawed, (104, 104) bool by name of the bit; DEAD has no bit, but ERROR 0."""
    rows, columns = np.indices(SHAPE[1:])
    angle = math.radians(20)
    off_streak = (columns - CENTER) * math.sin(angle) - (rows - 59) * math.cos(angle)
    bad, odd, dead = (_fibers()[i] + np.array(_DITHERS) / SPAXEL for i in (300, 350, 204))
    return {
        "METEOR": np.abs(off_streak) <= _FIBER_RADIUS / SPAXEL,
        "BADAMP": rows < 26,
        "BADFIB": _near(bad, _FIBER_RADIUS),
        "CHI2FIB": _near(odd, _FIBER_RADIUS),
        "DEAD": _near(dead, _FIBER_RADIUS),
    }


def spoil(rng: np.random.Generator) -> Change:
    """Return a change that adds the flaws; most add light, which shows where a mask is ignored."""

    def change(flux: Array, error: Array, mask: Array) -> None:
        flawed = flaws()
        lit = np.isfinite(error[0])
        dead = flawed.pop("DEAD") & lit
        for name, where in flawed.items():
            mask[:, where & lit] |= MASK_BITS[name]
        mask[:, (flawed["BADAMP"] | flawed["BADFIB"]) & lit] |= MASK_BITS["MAIN"]
        flux[:, flawed["METEOR"] & lit] += np.float32(2.0)
        for first, last in BADCAL:
            at = np.flatnonzero((first <= WAVE) & (last >= WAVE))
            mask[at] |= np.where(lit, MASK_BITS["BADCAL"], 0).astype(np.int16)
        spots = tuple(rng.integers(length, size=3000) for length in SHAPE)
        spots = tuple(axis[lit[spots[1:]]] for axis in spots)
        mask[spots] |= MASK_BITS["BADPIX"]
        flux[spots] += np.float32(50.0)
        flux[:, dead] = error[:, dead] = 0

    return change
