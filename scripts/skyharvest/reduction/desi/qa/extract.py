"""EXTRACT and FIBERFLAT: χ² and light of fibers of a frame, and the fiberflat of a flat."""

from typing import Any

import numpy as np
from desispec.maskbits import specmask

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.reduction.desi.qa.part import DEAD, LOW, Part, binned, fiber, fibers_of, light_of

SEEN = 3.0
"""Light of fibers that is so many times its error tells whether one is dead."""


def dead_fibers(flux: Floats, ivar: Floats, among: Bools) -> tuple[Floats, Bools]:
    """Return each fiber's light over what it has at least, (n_fiber,) f8, and which are dead, (n_fiber,) bool.

    Parameters
    ----------
    among
        (n_fiber,) bool: fibers whose median light is what each has at least: all of a flat, those on the sky of a
        science exposure. Where that is too faint to be seen, no fiber is told to be dead.
    """
    light = light_of(flux, ivar)
    usual = float(np.median(light[among])) if among.any() else 0.0
    lit = np.flatnonzero(among & (light > 0))
    errors = [1.25 / np.sqrt(np.sum(ivar[k] > 0) * np.median(ivar[k][ivar[k] > 0])) for k in lit]
    if not errors or usual <= SEEN * float(np.median(errors)):
        return np.ones(len(light)), np.zeros(len(light), bool)
    return light / usual, light < DEAD * usual


def measure_frame(
    wave: Floats,
    flux: Floats,
    ivar: Floats,
    mask: Array,
    chi2: Floats | None,
    fibers: Any,
    bad: Bools,
    sky: Bools | None,
) -> Part:
    """Measure a frame.

    Parameters
    ----------
    wave, flux, ivar, mask, chi2
        (n_wave,) and (n_fiber, n_wave): as in the frame's file; electron/Å.
    fibers
        (n_fiber,): their numbers.
    bad
        (n_fiber,) bool: those that are known as bad.
    sky
        (n_fiber,) bool: fibers on the sky; None of a flat, of which fibers with little light are told as well.
    """
    part = Part()
    share, dead = dead_fibers(flux, ivar, np.ones(len(flux), bool) if sky is None else sky)
    unknown = dead & ~bad
    part.add("EXTRACT-NDEAD", unknown.sum(), fibers_of(fibers, unknown))
    if sky is None:
        low = (share < LOW) & ~dead & ~bad
        part.add("EXTRACT-NLOW", low.sum(), fibers_of(fibers, low))
    part.line("EXTRACT-LIGHT", fibers, light_of(flux, ivar), "fiber", "electron/Å", "Median flux of fibers.", "points")
    good = ~dead & ~bad
    fine = (ivar > 0) & (mask == 0) & good[:, None]
    if chi2 is not None:
        seen = np.where(fine, chi2, np.nan)
        part.add("EXTRACT-CHI2", np.median(chi2[fine]) if fine.any() else np.nan)
        part.line("EXTRACT-CHI2", *binned(wave, seen), "Å", "χ²", "χ² of the pixels of a flux, median of fibers.")
    rows = mask[good]
    part.add("EXTRACT-NBADFIT", ((rows & int(specmask.BAD2DFIT)) != 0).mean() if rows.size else np.nan)
    masked = (ivar[good] == 0) | ((rows & int(specmask.ALLBADPIX)) != 0)
    part.add("EXTRACT-MASKED", masked.mean() if masked.size else np.nan)
    return part


def measure_fiberflat(
    wave: Floats, flat: Floats, ivar: Floats, mask: Array, mean: Floats, fibers: Any, bad: Bools
) -> Part:
    """Measure the fiberflat of a flat.

    Parameters
    ----------
    wave, flat, ivar, mask
        (n_wave,) and (n_fiber, n_wave): as in the fiberflat's file.
    mean
        (n_wave,): MEANSPEC, electron/Å.
    bad
        (n_fiber,) bool: fibers that are known as bad, or dead.
    """
    part = Part()
    good = (mask == 0) & (ivar > 0)
    seen = np.where(good, flat, np.nan)
    usable = good.any(axis=1) & ~bad
    rows = np.flatnonzero(usable)
    means = np.nanmean(seen[usable], axis=1)
    rms = np.nanstd(seen[usable], axis=1) / means
    worst, off = int(np.argmax(rms)), int(np.argmax(np.abs(means - 1)))
    part.add("FIBERFLAT-MAX_RMS", rms[worst], fiber(fibers, int(rows[worst])))
    part.add("FIBERFLAT-MAX_MEAN_OFF", abs(means[off] - 1), fiber(fibers, int(rows[off])))
    part.add("FIBERFLAT-MEANSPEC", np.median(mean))
    part.add("FIBERFLAT-MASKED", (~good[~bad]).mean())
    part.line("FIBERFLAT-MEAN", np.asarray(fibers)[usable], means, "fiber", "", "Mean of each fiber's flat.", "points")
    part.line("FIBERFLAT-RMS", np.asarray(fibers)[usable], rms, "fiber", "", "Scatter of each fiber's flat.", "points")
    part.line("FIBERFLAT-MEANSPEC", *binned(wave, mean), "Å", "electron/Å", "Mean spectrum of the lamp.")
    return part
