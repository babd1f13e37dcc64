"""S2N: signal to noise of targets against their magnitude, by class."""

import warnings
from typing import Any

import numpy as np
from desitarget.targets import main_cmx_or_sv
from scipy.optimize import curve_fit

from skyharvest.core.arrays import Bools, Floats
from skyharvest.reduction.desi.qa.definitions import FIDUCIALS
from skyharvest.reduction.desi.qa.part import Part

BAND = {"b": "FLUX_G", "r": "FLUX_R", "z": "FLUX_Z"}
FEWEST = 4
"""Targets of a class to which a curve is fitted: it has two unknowns."""
TSNR2 = ("ELG", "LRG", "QSO", "LYA", "BGS")


def classes_of(fibermap: Any) -> dict[str, Bools]:
    """Return which targets are of each class, by the bits of desitarget: class → (n_fiber,) bool.

    A target can be of several. Tiles of another phase of the survey than the main one have masks of their own.
    """
    table = np.asarray(fibermap)
    try:
        (column, *_), (mask, *_), _ = main_cmx_or_sv(table)
    except (ValueError, KeyError, OSError):  # it has no such columns
        return {}
    if column not in (table.dtype.names or ()):
        return {}
    bits = table[column].astype(np.int64)
    known = set(mask.names())
    made = {kind: (bits & int(mask[kind])) != 0 for kind in ("ELG", "LRG", "QSO") if kind in known}
    for kind in ("BGS", "MWS"):
        if f"{kind}_ANY" in known:
            made[kind] = (bits & int(mask[f"{kind}_ANY"])) != 0
    stars = sum(int(mask[name]) for name in ("STD_FAINT", "STD_BRIGHT", "STD_WD") if name in known)
    made["STAR"] = (bits & stars) != 0
    return made


def curve(flux: Any, a: float, b: float) -> Any:
    """Return the signal to noise per √s of a flux, nanomaggy: that of DESI's former QA (``s2n_flux_astro``).

    ``a`` is the light that a flux gives, ``b`` the variance of the sky and of the readout.
    """
    return a * flux / np.sqrt(np.abs(a * flux + b))


def fit(flux: Floats, signal: Floats, exptime: float) -> Floats | None:
    """Return a and b of `curve` that fit best, (2,) f8; None if nothing fits."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, _ = curve_fit(curve, flux, signal / np.sqrt(exptime), p0=(0.02, 1.0), bounds=(0, np.inf))
    except (RuntimeError, ValueError):
        return None
    return np.asarray(found)


def measure_s2n(
    arm: str, flux: Floats, ivar: Floats, fibermap: Any, good: Bools, exptime: float, scores: Any = None
) -> Part:
    """Measure the signal to noise of targets.

    Parameters
    ----------
    flux, ivar
        (n_fiber, n_wave): calibrated.
    good
        (n_fiber,) bool: fibers that are not known as bad, and not dead.
    scores
        The frame's SCORES, for TSNR2 where it has that.
    """
    part = Part()
    signal = np.median(flux * np.sqrt(ivar), axis=1)
    photometry = np.asarray(fibermap[BAND[arm]], float)
    target = (np.asarray(fibermap["OBJTYPE"]).astype(str) == "TGT") & good
    part.add("S2N-MEDIAN", np.median(signal[target]) if target.any() else np.nan)
    off = []
    for kind, of_class in classes_of(fibermap).items():
        some = of_class & target & (photometry > 0) & (ivar > 0).any(axis=1)
        if some.sum() < FEWEST:
            continue
        magnitudes = 22.5 - 2.5 * np.log10(photometry[some])
        says = f"Signal to noise of a pixel of targets ({kind}), median."
        part.line(f"S2N-{kind}", magnitudes, signal[some], f"{BAND[arm][-1].lower()} magnitude", "S/N", says, "points")
        found = fit(photometry[some], signal[some], exptime)
        if found is None:
            continue
        expected = curve(photometry[some], *found) * np.sqrt(exptime)
        off.extend(np.abs(signal[some] / expected - 1)[expected > 0])
        fiducial = 10 ** (-0.4 * (FIDUCIALS[kind] - 22.5))
        part.add(f"S2N-{kind}", curve(fiducial, *found) * np.sqrt(exptime))
    if off:
        part.add("S2N-RESID", np.median(off))
    for kind in TSNR2:
        column = f"TSNR2_{kind}_{arm.upper()}"
        if scores is not None and column in scores.dtype.names and target.any():
            part.add(f"S2N-TSNR2_{kind}", np.median(scores[column][target]))
    return part
