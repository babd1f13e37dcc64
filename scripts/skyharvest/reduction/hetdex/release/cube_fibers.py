"""The fibers of a cube: where they are about its middle, what they saw, and the bits that they give to the mask.

==============================  =====================================================================================
BADAMP                          the amplifier failed, or is bad
BADFIB, CHI2FIB, FTF            the fiber is dead or odd; for its χ²; for its little light in twilights
METEOR, SAT, LARGEGAL           it is on the track of a meteor, or of a satellite, or in a large galaxy
BADSHOT, THROUGHPUT             the shot is named as bad; its throughput is low
MAIN, PIXMASK                   a value is not known; for pixels of the detector: the fiber has values elsewhere
==============================  =====================================================================================

BADPIX, BADCAL and BADDET are of lists that HETDEX keeps by hand: they are not set. A bad fiber (BADFIB) has no part in
the light, so that it does not spoil what its neighbours saw.
"""

from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Float32s, Floats
from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.reduction.hetdex.source_settings import Flags
from skyharvest.reduction.hetdex.sources.flags import FLAGS, PARTS, FiberQuality, flag_fibers
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.sources.sky_faults import SkyFaults
from skyharvest.reduction.hetdex.stars.tangent import Pointing
from skyharvest.reduction.hetdex.virus import DITHERS, N_FIBERS, N_GRID

COLUMNS = ("chi2", "fiber_to_fiber")
"""Of ``/Data/Fibers``, beside those that `IfuFibers` always has."""
_BITS = {
    "flag_badamp": MASK_BITS["BADAMP"],
    "flag_badfib": MASK_BITS["BADFIB"],
    "flag_meteor": MASK_BITS["METEOR"],
    "flag_satellite": MASK_BITS["SAT"],
    "flag_largegal": MASK_BITS["LARGEGAL"],
    "flag_shot": MASK_BITS["BADSHOT"],
    "flag_throughput": MASK_BITS["THROUGHPUT"],
}


@dataclass(frozen=True)
class CubeFibers:
    """Fibers of an IFU in all exposures whose place is known, n of them; those of amplifiers that failed are the last.

    Attributes
    ----------
    x, y
        (n,) f8, arcsec from the cube's middle, along the axes of the focal plane.
    flux, error
        (n, 1036) f4: see `IfuFibers`; NaN also for what is left out.
    bits
        (n, 1036) i2, of the mask.
    good
        Name of a flag of fibers → share of all fibers that are good.
    """

    x: Floats
    y: Floats
    flux: Float32s
    error: Float32s
    bits: Array
    good: dict[str, float]


def middle_of(fibers: IfuFibers) -> Pointing:
    """Return where an IFU is, mean of its exposures, and the position angle of the focal plane's x axis there."""
    middles = []
    for expnum in np.unique(fibers.expnum):
        of = fibers.expnum == expnum
        middles.append([np.nanmedian((plane - ifu)[of]) for plane, ifu in _axes(fibers)])
    dx, dy = np.mean(middles, axis=0).tolist()
    return fibers.pointing.moved(dx, dy, 0.0)


def fibers_of_cube(fibers: IfuFibers, middle: Pointing, shot: Array, faults: SkyFaults, settings: Flags) -> CubeFibers:
    """Return the fibers of a cube.

    Parameters
    ----------
    fibers
        Read with `COLUMNS`.
    middle
        See `middle_of`.
    shot
        The row of ``/Shot``.
    """
    x, y = middle.to_plane(fibers.ra, fibers.dec)
    quality = FiberQuality.of({"calfib": fibers.flux, **fibers.more})
    flags = flag_fibers(shot, fibers.expnum, fibers.multiframe, fibers.ra, fibers.dec, quality, faults, settings)
    bits = np.zeros(len(fibers), np.int16)
    for name in PARTS:
        bits |= np.where(flags[name], 0, _BITS[name]).astype(np.int16)
    bits |= np.where(quality.chi2 > settings.most_chi2, MASK_BITS["CHI2FIB"], 0).astype(np.int16)
    bits |= np.where(quality.fiber_to_fiber < settings.least_fiber_to_fiber, MASK_BITS["FTF"], 0).astype(np.int16)
    lost = ~(np.isfinite(fibers.flux) & np.isfinite(fibers.error))
    of_pixels = np.where(lost.all(axis=1), 0, MASK_BITS["PIXMASK"])[:, None] | MASK_BITS["MAIN"]
    left_out = lost | (flags["flag_badfib"] == 0)[:, None]
    placed = np.isfinite(x) & np.isfinite(y)
    more_x, more_y = _places_of_failed(fibers, x, y)
    unknown = np.full((len(more_x), N_GRID), np.nan, np.float32)
    failed = np.full(unknown.shape, MASK_BITS["BADAMP"] | MASK_BITS["MAIN"], np.int16)
    n_failed = N_FIBERS * len(fibers.failed_amps)
    flux, error = (np.where(left_out, np.float32(np.nan), values)[placed] for values in (fibers.flux, fibers.error))
    bits_at = np.where(lost, of_pixels, 0).astype(np.int16) | bits[:, None]
    return CubeFibers(
        x=np.append(x[placed], more_x),
        y=np.append(y[placed], more_y),
        flux=np.concatenate([flux, unknown]),
        error=np.concatenate([error, unknown]),
        bits=np.concatenate([bits_at[placed], failed]),
        good={name: _share_of_good(name, flags[name], n_failed) for name in FLAGS.names or ()},
    )


def _axes(fibers: IfuFibers) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    return (fibers.x, fibers.ifux), (fibers.y, fibers.ifuy)


def _share_of_good(name: str, flags: Array, n_failed: int) -> float:
    n_good = int(flags.sum()) + (0 if name in ("flag", "flag_badamp") else n_failed)
    return n_good / (len(flags) + n_failed)


def _places_of_failed(fibers: IfuFibers, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return where fibers of amplifiers that failed in an exposure are, by another exposure and the nominal dithers."""
    found_x, found_y = [np.zeros(0)], [np.zeros(0)]
    for expnum, amp in fibers.failed_amps:
        of_amp = (fibers.amp == amp) & np.isfinite(x) & np.isfinite(y)
        others = fibers.expnum[of_amp]
        if not len(others) or max(expnum, others.min()) > len(DITHERS):
            continue
        other = int(others.min())
        of_other = of_amp & (fibers.expnum == other)
        (to_x, to_y), (from_x, from_y) = DITHERS[expnum - 1], DITHERS[other - 1]
        found_x.append(x[of_other] + to_x - from_x)
        found_y.append(y[of_other] + to_y - from_y)
    return np.concatenate(found_x), np.concatenate(found_y)
