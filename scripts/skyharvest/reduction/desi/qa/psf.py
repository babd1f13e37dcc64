"""PSF and TRACESHIFT: widths of spots of an arc, and how far traces have moved."""

import numpy as np

from skyharvest.core.arrays import Bools, Floats
from skyharvest.reduction.desi.psf.model import Psf
from skyharvest.reduction.desi.qa.part import Part, fiber, fibers_of

N_WAVE = 20


def measure_psf(psf: Psf, calibration: Psf | None, bad: Bools | None = None) -> Part:
    """Measure the PSF of an arc.

    Parameters
    ----------
    calibration
        The calibration's, where its fit began; None if there is none.
    bad
        (n_fiber,) bool: fibers that are known as bad.
    """
    part, wave = Part(), _wavelengths(psf)
    good = psf.status == 0
    for axis in "XY":
        values = psf.parameter(f"GHSIG{axis}", wave)[good]
        name = f"PSF-{axis}SIGMA"
        part.add(name, np.median(values))
        along = "across" if axis == "X" else "along"
        part.line(name, wave, np.median(values, axis=0), "Å", "pixel", f"Width of spots {along} the traces, median.")
        if calibration is not None:
            before = calibration.parameter(f"GHSIG{axis}", wave)[good]
            part.add(f"{name}_CHANGE", np.median(values / before) - 1)
    if calibration is not None:
        _moves(part, "PSF", psf, calibration, good)
    if np.isfinite(psf.chi2).any():
        worst = int(np.nanargmax(psf.chi2))
        part.add("PSF-CHI2", psf.chi2[worst], f"bundle {psf.bundle[worst]}")
    unknown = ~good if bad is None else ~good & ~bad
    part.add("PSF-NBAD", unknown.sum(), fibers_of(psf.first_fiber + np.arange(psf.n_fiber), unknown))
    return part


def measure_traces(psf: Psf, night: Psf) -> Part:
    """Measure how far the traces of an exposure have moved from the night's."""
    part = Part()
    good = (psf.status == 0) & (night.status == 0)
    by_axis = _moves(part, "TRACESHIFT", psf, night, good)
    bends = {axis: np.abs(moved - np.median(moved)) for axis, moved in by_axis.items()}
    axis = max(bends, key=lambda axis: float(bends[axis].max()))
    k = int(np.argmax(bends[axis].max(axis=1)))
    place = psf.first_fiber + np.flatnonzero(good)
    part.add("TRACESHIFT-BEND", bends[axis].max(), f"{fiber(place, k)}, in {axis.lower()}")
    return part


def _moves(part: Part, kind: str, psf: Psf, before: Psf, good: Bools) -> dict[str, Floats]:
    """Add medians of moves; return the moves by axis, (n_good, n_wave) f8, pixels."""
    wave = _wavelengths(psf)
    moves = {}
    for axis, here, there in zip("XY", psf.traces(wave), before.traces(wave), strict=True):
        moved = moves[axis] = (here - there)[good]
        part.add(f"{kind}-D{axis}", np.median(moved))
        along = "across" if axis == "X" else "along"
        says = f"Move of the traces {along}, median of fibers."
        part.line(f"{kind}-D{axis}", wave, np.median(moved, axis=0), "Å", "pixel", says)
    return moves


def _wavelengths(psf: Psf) -> Floats:
    margin = 0.02 * (psf.wave_max - psf.wave_min)
    return np.linspace(psf.wave_min + margin, psf.wave_max - margin, N_WAVE)
