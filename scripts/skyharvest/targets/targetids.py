"""TARGETIDs that a program has rounded: to float64, which holds 53 of their bits, or to 15 digits, as spreadsheets do.

Without pyarrow: jobs of extraction ask it, too.
"""

import numpy as np

from skyharvest.core.arrays import Floats, Ints
from skyharvest.sky.matching import separation_deg

NONE = -1
ENOUGH = 6  # so many do not all look rounded by chance: less than 1 in 10,000
DIGITS = 19  # of a whole number of 64 bits, at most
CURE = "read that column as text or int64 where the table is made, and write it anew"


def steps(targetid: Ints) -> Ints:
    """Return the step that each TARGETID seems to have been rounded to, (n,) int64: 1 if it does not look rounded.

    It is the distance of float64 numbers there, or a power of ten, of which the TARGETID is a multiple. One TARGETID in
    five is so by chance.
    """
    step = np.ones(len(targetid), np.int64)
    large = targetid > 2**53
    of_float = np.maximum(np.spacing(targetid.astype(np.float64)), 1).astype(np.int64)
    for each in (of_float, *(np.full_like(step, 10**k) for k in range(1, DIGITS))):
        step = np.where(large & (targetid % each == 0), np.maximum(step, each), step)
    return step


def warning(targetid: Ints) -> str:
    """Return what to say of a whole column of TARGETIDs, (n,) int64: empty if it is good, as far as can be seen."""
    large = np.unique(targetid[targetid > 2**53])
    step = steps(large)
    if len(large) < ENOUGH or (step == 1).any():
        return ""
    return (
        f"all {len(large):,} TARGETIDs above 2**53 look rounded, such as {large[0]}, a multiple of {step[0]}: a "
        f"program may have taken them for float64, or a spreadsheet for 15 digits; {CURE}"
    )


def likely(targetid: Ints, ra: Floats, dec: Floats, fibers: tuple[Ints, Floats, Floats], radius_arcsec: float) -> Ints:
    """Return the TARGETIDs of fibers that those of targets have probably been rounded from.

    Parameters
    ----------
    targetid, ra, dec : (n,) int64, float64, float64
        Of targets; degrees.
    fibers
        Ditto, (m,) each; NaN where positions are not known.
    radius_arcsec
        A fiber that is farther away is another object's.

    Returns
    -------
    (n,) int64
        The nearest fiber's of those whose TARGETID is less than a step from the target's; `NONE` where there is no such
        fiber, or one with just this TARGETID.
    """
    found = np.full(len(targetid), NONE, np.int64)
    step = steps(targetid)
    order = np.argsort(fibers[0])
    ids, fiber_ra, fiber_dec = (values[order] for values in fibers)
    for target in np.flatnonzero((step > 1) & ~np.isin(targetid, ids)).tolist():
        own = int(targetid[target])
        first, last = np.searchsorted(ids, own - step[target], "right"), np.searchsorted(ids, own + step[target])
        separation = 3600 * separation_deg(ra[target], dec[target], fiber_ra[first:last], fiber_dec[first:last])
        separation = np.where(np.isnan(separation), radius_arcsec, separation)
        if len(separation) and separation.min() <= radius_arcsec:
            found[target] = ids[first + separation.argmin()]
    return found
