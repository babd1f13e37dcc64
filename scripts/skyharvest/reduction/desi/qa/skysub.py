"""SKYSUB: what is left of the sky in fibers that look at nothing else."""

from typing import Any

import numpy as np
from desispec.cosmics import reject_cosmic_rays_1d
from desispec.fiberflat import apply_fiberflat
from desispec.sky import subtract_sky
from scipy.stats import kstest

from skyharvest.core.arrays import Bools, Floats
from skyharvest.reduction.desi.qa.part import Part, binned, fiber, width

FAR = 5.0
"""Pulls beyond are drawn at the histogram's ends."""
TAIL = 3.0
"""Widths: a Gaussian has 0.0027 beyond."""
FEWEST = 2
"""Fibers: one alone is its own sky."""


def subtract(frame: Any, fiberflat: Any, sky: Any, cosmics_nsig: float) -> Any:
    """Divide a frame by the flat, and take the sky away, in place, as `desi_process_exposure` does; return it."""
    apply_fiberflat(frame, fiberflat)
    subtract_sky(frame, sky)
    reject_cosmic_rays_1d(frame, cosmics_nsig)
    return frame


def measure_sky(subtracted: Any, sky: Any, on_sky: Bools) -> Part:
    """Measure what is left of the sky.

    Parameters
    ----------
    subtracted
        A `desispec.frame.Frame` without its sky: see `subtract`.
    sky
        The `desispec.sky.SkyModel`.
    on_sky
        (n_fiber,) bool: the fibers on the sky that are not bad, of which the model is made.

    Notes
    -----
    The model is the mean of these very n fibers: it takes 1/n of their variance, and desispec adds as much to their
    errors. So pulls of right errors have a width of √((n - 1) / (n + 1)), which PULL_WIDTH is relative to.
    """
    part, wave = Part(), subtracted.wave
    level = float(np.median(sky.flux[on_sky])) if on_sky.any() else np.nan
    part.add("SKYSUB-NSKY", on_sky.sum())
    if on_sky.sum() < FEWEST:
        return part
    part.add("SKYSUB-SKY", level)
    fine = (subtracted.ivar > 0) & (subtracted.mask == 0) & on_sky[:, None]
    left = np.where(fine, subtracted.flux, np.nan)
    by_fiber = [(int(k), subtracted.flux[k][fine[k]]) for k in np.flatnonzero(on_sky) if fine[k].any()]
    if not by_fiber:
        part.add("SKYSUB-MED_RESID", np.nan, "all pixels are masked")
        return part
    residual = float(np.median(np.concatenate([values for _, values in by_fiber])))
    part.add("SKYSUB-MED_RESID", residual)
    part.add("SKYSUB-REL_RESID", residual / level if level > 0 else np.nan)
    pulls = np.where(fine, subtracted.flux * np.sqrt(subtracted.ivar), 0.0)
    n_free = int(fine.sum()) - wave.size  # as desispec.exposure_qa counts them
    if n_free > 0:
        part.add("SKYSUB-CHI2", float(np.sum(pulls**2)) / n_free)
    chi2 = {k: float(np.mean(pulls[k][fine[k]] ** 2)) for k, _ in by_fiber}
    worst = max(chi2, key=chi2.__getitem__)
    part.add("SKYSUB-MAX_CHI2", chi2[worst], fiber(subtracted.fibers, worst))
    n = len(by_fiber)
    _pulls(part, pulls[fine] / np.sqrt((n - 1) / (n + 1)))
    correction = sky.throughput_corrections
    if correction is not None:  # as desispec.exposure_qa does
        part.add("SKYSUB-THRPUT_RMS", 1.48 * np.median(np.abs(correction - 1)))
    middles, medians = binned(wave, left)
    part.line("SKYSUB-RESID", middles, medians, "Å", "electron/Å", "What is left in fibers on the sky, median.")
    part.line("SKYSUB-SKY", *binned(wave, sky.flux[on_sky]), "Å", "electron/Å", "The sky, median of fibers.")
    return part


def _pulls(part: Part, pulls: Floats) -> None:
    sigma = width(pulls)
    part.add("SKYSUB-PULL_WIDTH", sigma)
    if sigma > 0:
        scaled = (pulls - np.median(pulls)) / sigma
        part.add("SKYSUB-GAUSS", kstest(scaled, "norm").statistic)
        part.add("SKYSUB-TAILS", np.mean(np.abs(scaled) > TAIL))
    edges = np.linspace(-FAR, FAR, 51)
    counts, _ = np.histogram(np.clip(pulls, -FAR, FAR), edges)
    says = "What is left over its error, of pixels of fibers on the sky."
    part.line("SKYSUB-PULLS", edges, counts, "σ", "pixels", says, "steps")


def measure_skycorr(dwave: Floats, dlsf: Floats, good: Bools, fibers: Any) -> Part:
    """Measure the adjustments of wavelengths and line widths to the sky's lines: (n_fiber, n_wave), Å."""
    part = Part()
    for name, values in (("DWAVE", dwave), ("DLSF", dlsf)):
        medians = np.where(good, np.median(values, axis=1), 0.0)
        worst = int(np.argmax(np.abs(medians)))
        part.add(f"SKYSUB-{name}", medians[worst], fiber(fibers, worst))
    return part
