"""Sources of a simulated shot as its fibers see them: the signal to noise that a line has, how much of a star is seen.

Places, widths of images and of lines are the truth's; of the reduction's there is the noise of calibrated fibers alone.
"""

from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.simulate.hetdex_month.checks import fiber_places, rows_of_amp
from skyharvest.simulate.hetdex_month.field import Pointing
from skyharvest.simulate.hetdex_month.seeing import KNOTS, fractions
from skyharvest.simulate.hetdex_month.truth import GRID, Truth

NEAR = 6.0
"""″: fibers farther from a source get too little of it."""
WIDE = 5.0
"""σ: of a line what is farther from its middle is too little."""
STEP = 2.0
"""Å: between wavelengths of the grid."""
FIT_HALF = 50.0
"""Å: on each side of a line, to which it is fitted with its continuum."""


@dataclass(frozen=True)
class Seen:
    """How fibers near a source see it, n of them.

    Attributes
    ----------
    fractions
        (n, 23) f8 at `seeing.KNOTS`: parts of its light that they get.
    error
        (n, 1036) f8, 1e-17 erg/s/cm² in 2 Å; NaN where nothing is known.
    lsf
        (n, 1036) f8: σ of lines that have no width, Å.
    """

    fractions: Floats
    error: Floats
    lsf: Floats

    @property
    def covered(self) -> float:
        """The part of its light at 4500 Å that they get, summed over exposures."""
        return float(self.fractions[:, np.searchsorted(KNOTS, 4500)].sum())

    def signal_to_noise(self, wave: float, total: float, width: float) -> float:
        """Return a line's flux over the error that the best fit of it has, to all fibers and wavelengths.

        Parameters
        ----------
        wave, width
            Its middle and its σ, Å.
        total
            Its flux, 1e-17 erg/s/cm².
        """
        if not len(self.fractions):
            return 0.0
        part = np.array([np.interp(wave, KNOTS, one) for one in self.fractions])
        sigma = np.hypot(width, np.array([np.interp(wave, GRID, one) for one in self.lsf]))[:, None]
        off = (GRID - wave) / sigma
        shape = np.where(np.abs(off) < WIDE, np.exp(-0.5 * off**2) / (np.sqrt(2 * np.pi) * sigma), 0) * STEP
        signal = total * part[:, None] * shape
        known = float(np.sqrt(np.nansum((signal / self.error) ** 2)))
        return known / fit_loss(float(sigma.mean()))


def fit_loss(sigma: float) -> float:
    """Return by what the error of a line's flux is larger in a fit than if all else of the line were known.

    A fit does not know its wavelength and width, the continuum and its slope: the error is that of the inverse of the
    Fisher matrix, of noise that is the same at all wavelengths.

    Parameters
    ----------
    sigma
        Width of the line, Å.
    """
    off = np.arange(-FIT_HALF, FIT_HALF + STEP, STEP)
    line = np.exp(-0.5 * (off / sigma) ** 2)
    slopes = np.stack([line, line * off, line * (off**2 - sigma**2), np.ones_like(off), off])
    return float(np.sqrt(np.linalg.inv(slopes @ slopes.T)[0, 0] * (line @ line)))


class TrueFibers:
    """Where fibers of a shot truly are, and how wide images and lines are in them.

    Parameters
    ----------
    truth
        Of the month.
    shot
        Name of the shot.
    columns
        expnum, fibidx, multiframe and calfibe of ``/Data/Fibers``.
    """

    def __init__(self, truth: Truth, shot: str, columns: dict[str, Array]) -> None:
        self._pointing = Pointing(*(float(truth.shot_value(shot, key)) for key in ("ra", "dec", "pa")))
        self._fwhm = {n: float(truth.exposure_value(shot, n, "fwhm")) for n in truth.exposures(shot)}
        pieces: dict[str, list[dict[str, Floats]]] = {}
        lost: dict[str, list[Floats]] = {}
        for expnum in self._fwhm:
            for name in truth.frames(shot, expnum):
                slot, x, y = fiber_places(truth, expnum, name)
                rows = rows_of_amp(columns, expnum, name)
                k = columns["fibidx"][rows]
                waves, lsf = truth.amp(name, "wavelength")[k], truth.amp(name, "lsf")[k]
                piece = {
                    "x": x[k],
                    "y": y[k],
                    "expnum": np.full(len(k), expnum),
                    "error": np.where(columns["calfibe"][rows] > 0, columns["calfibe"][rows], np.nan).astype(float),
                    "lsf": np.reshape([np.interp(GRID, *one) for one in zip(waves, lsf, strict=True)], (-1, GRID.size)),
                }
                pieces.setdefault(slot, []).append(piece)
                blind = np.setdiff1d(np.arange(x.size), k[np.isfinite(piece["error"]).any(1)])
                lost.setdefault(slot, []).append(np.stack([x[blind], y[blind]]))
        self._ifus = {
            slot: {key: np.concatenate([one[key] for one in some]) for key in some[0]} for slot, some in pieces.items()
        }

        self._lost = {slot: np.concatenate(some, axis=1) for slot, some in lost.items()}

    def is_whole(self, source: Array) -> bool:
        """Tell whether all fibers near a source that an IFU has, in all exposures, have calibrated spectra."""
        x, y = self._pointing.to_plane(np.array(source["ra"]), np.array(source["dec"]))
        lost_x, lost_y = self._lost[bytes(source["ifuslot"]).decode()]
        return not (np.hypot(lost_x - x, lost_y - y) < NEAR).any()

    def seen(self, source: Array) -> Seen:
        """Return how fibers see a source, a row of a shot's table of stars or lines that an IFU has."""
        of = self._ifus[bytes(source["ifuslot"]).decode()]
        x, y = self._pointing.to_plane(np.array(source["ra"]), np.array(source["dec"]))
        near = np.hypot(of["x"] - x, of["y"] - y) < NEAR
        parts, order = [np.zeros((0, KNOTS.size))], [np.zeros(0, int)]
        for expnum, fwhm in self._fwhm.items():
            here = np.flatnonzero(near & (of["expnum"] == expnum))
            parts.append(fractions(of["x"][here] - x, of["y"][here] - y, fwhm))
            order.append(here)
        rows = np.concatenate(order)
        return Seen(np.concatenate(parts), of["error"][rows], of["lsf"][rows])
