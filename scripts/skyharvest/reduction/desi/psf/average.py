"""The PSF of a night: the mean of those of its arcs, without what stands out."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.desi.psf.model import Psf, to_domain

log = logging.getLogger(__name__)

WORSE = 3.0
"""A bundle whose χ² is so many times the best of the night's is left out."""
FAR = 0.15
"""Pixels: of three arcs or more, one whose traces are so far from the others' median is left out."""


def average(psfs: Sequence[Psf], names: Sequence[str]) -> Psf:
    """Return the mean of PSFs of one camera, bundle by bundle and fiber by fiber.

    Parameters
    ----------
    names
        Of each: messages name them.

    Raises
    ------
    ValueError
        If they are not of the same fibers, pixels and polynomials; names the one that differs.
    """
    first = psfs[0]
    for psf, name in zip(psfs, names, strict=True):
        for what in ("n_fiber", "first_fiber", "n_x", "n_y", "degree_x", "degree_y"):
            if getattr(psf, what) != getattr(first, what):
                found, expected = getattr(psf, what), getattr(first, what)
                raise ValueError(f"{name}: {what} is {found}, and {expected} in {names[0]}: one camera was expected")
        if psf.x.shape != first.x.shape or psf.shape.keys() != first.shape.keys():
            raise ValueError(f"{name} has other polynomials than {names[0]}: fit both with the same options")
    domain = (first.wave_min, first.wave_max)
    same = [_in_domain(psf, domain) for psf in psfs]
    use = _used(same, names)
    # Where no arc has measured a fiber, all of them have moved it as its neighbours.
    weight = np.where(use.any(axis=0), use, True).astype(np.float64)
    weight /= weight.sum(axis=0)

    def mean(arrays: Sequence[Floats]) -> Floats:
        return np.asarray(np.einsum("kf,kfc->fc", weight, np.stack(arrays)), np.float64)

    chi2 = np.where(use, np.stack([psf.chi2 for psf in same]), np.nan)
    n = np.isfinite(chi2).sum(axis=0)
    return replace(
        same[0],
        x=mean([psf.x for psf in same]),
        y=mean([psf.y for psf in same]),
        shape={name: mean([psf.shape[name] for psf in same]) for name in first.shape},
        status=np.where(use.any(axis=0), 0, first.status.max(initial=1)).astype(np.int64),
        chi2=np.divide(np.nansum(chi2, axis=0), n, where=n > 0, out=np.full(first.n_fiber, np.nan)),
    )


def _in_domain(psf: Psf, domain: tuple[float, float]) -> Psf:
    own = (psf.wave_min, psf.wave_max)
    if own == domain:
        return psf
    return replace(
        psf,
        x=to_domain(psf.x, own, domain),
        y=to_domain(psf.y, own, domain),
        shape={name: to_domain(values, own, domain) for name, values in psf.shape.items()},
        wave_min=domain[0],
        wave_max=domain[1],
    )


def _used(psfs: Sequence[Psf], names: Sequence[str]) -> np.ndarray:
    """Tell which fibers of which PSF are taken, (n_psf, n_fiber) bool."""
    use = np.stack([psf.status == 0 for psf in psfs])
    chi2 = np.stack([psf.chi2 for psf in psfs])
    known = np.where(use & np.isfinite(chi2), chi2, np.inf).min(axis=0)
    with np.errstate(invalid="ignore"):
        use &= ~(chi2 > WORSE * known)
    if len(psfs) > 2:
        wave = np.linspace(psfs[0].wave_min, psfs[0].wave_max, 9)[1:-1]
        places = np.stack([np.stack(psf.traces(wave)) for psf in psfs])  # psf, axis, fiber, wave
        off = np.abs(places - np.median(places, axis=0)).max(axis=(1, 3))
        use &= (off < FAR) | ~use.any(axis=0)
    for k, name in enumerate(names):
        left_out = np.count_nonzero((psfs[k].status == 0) & ~use[k])
        if left_out:
            log.warning(
                "%s: %d fibers are not taken into the night's PSF: they differ from the other arcs'", name, left_out
            )
    return use
