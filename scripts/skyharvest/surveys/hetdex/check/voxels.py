"""What is asked of the values of one HETDEX cube before a run, at a few wavelengths."""

from collections.abc import Iterator

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.formats.planes import read_planes
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, Asking, Finding
from skyharvest.surveys.hetdex.check.index import REPORT, UNREADABLE
from skyharvest.surveys.hetdex.cube import IMAGES, N_WAVE, UNFILLED, Masking
from skyharvest.surveys.hetdex.mask_bits import KNOWN, mask_bits

PLANES = (150, 500, 850)
MASK_PLANES = tuple(range(5, N_WAVE, 15))
SIZES = (1e-4, 1e3)  # of an error, 1e-17 erg/s/cm2 a voxel: some 0.1
FILL_SHARE, FILL_TIMES = 0.005, 20  # one value in so many voxels, and so many times as large as the others
LEAST_GOOD, GOOD_FLAG = 0.01, 0.5


def voxels(asking: Asking, fits: FitsFile, flag: float) -> Iterator[Finding]:
    """Read some planes of the three images; ``flag`` is the share of good data that the index says."""
    wanted = {"DATA": PLANES, "ERROR": PLANES, "MASK": sorted({*MASK_PLANES, *PLANES})}
    question, assumed = "values of a cube", "floats, floats, bits in whole numbers"
    try:
        read = read_planes(fits, wanted)
    except MalformedFile as broken:
        yield asking.found(
            FAILS, question, fits.name, assumed=assumed, seen=str(broken), means=UNREADABLE, change=REPORT
        )
        return
    kinds = [read[name].dtype.kind in kinds for name, kinds in IMAGES.items()]
    seen = ", ".join(f"{name} {read[name].dtype}" for name in IMAGES)
    if not all(kinds):
        yield asking.found(FAILS, question, fits.name, assumed=assumed, seen=seen, means=UNREADABLE, change=REPORT)
        return
    yield asking.found(AS_ASSUMED, question, fits.name, assumed=assumed, seen=seen)
    at = [wanted["MASK"].index(plane) for plane in PLANES]
    flux, error, mask = read["DATA"], read["ERROR"], read["MASK"][at]
    measured = np.isfinite(flux) & np.isfinite(error) & (error != 0) & (np.abs(np.nan_to_num(flux)) >= UNFILLED)
    yield _size(asking, fits, error)
    yield _fill(asking, fits, flux, measured)
    yield _outside(asking, fits, measured, mask)
    yield _bits(asking, fits, read["MASK"])
    yield _good(asking, fits, mask[measured], flag)


def _size(asking: Asking, fits: FitsFile, error: Array) -> Finding:
    """Return whether errors are of the size that the unit makes them."""
    there = error[np.isfinite(error) & (error != 0)]
    typical = float(np.median(np.abs(there))) if there.size else np.nan
    is_usual = bool(((SIZES[0] < there) & (there < SIZES[1])).mean() > 0.5) if there.size else False
    means = "" if is_usual else "the values are in another unit, or of another byte order: spectra would be wrong"
    if typical < SIZES[0]:
        means += f"; fluxes below {UNFILLED:g} count as not measured"
    return asking.found(
        AS_ASSUMED if is_usual else FAILS,
        "size of the values",
        str(fits["ERROR"]),
        assumed="errors of 0.0001 to 1000",
        seen=f"median error {typical:.3g}",
        means=means,
        change="" if is_usual else REPORT,
    )


def _fill(asking: Asking, fits: FitsFile, flux: Array, measured: Array) -> Finding:
    """Return whether some value stands where nothing was measured, as -999 does in some catalogues."""
    question, about = "voxels without data", f"{fits['DATA']}, {fits['ERROR']}"
    assumed = "DATA NaN or 0, or ERROR 0 or NaN"
    values, counts = np.unique(flux[measured], return_counts=True)
    if len(values):
        value, count = float(values[np.argmax(counts)]), int(counts.max())
        others = np.abs(values[values != values[np.argmax(counts)]])
        usual = float(np.median(others)) if len(others) else 0.0
        if count > FILL_SHARE * flux.size and abs(value) > FILL_TIMES * usual:
            return asking.found(
                FAILS,
                question,
                about,
                assumed=assumed,
                seen=f"DATA is {value:g} in {count / flux.size:.0%} of the voxels",
                means="this would be taken for light",
                change=REPORT,
            )
    seen = f"so in {1 - measured.mean():.0%} of the voxels"
    return asking.found(AS_ASSUMED, question, about, assumed=assumed, seen=seen)


def _outside(asking: Asking, fits: FitsFile, measured: Array, mask: Array) -> Finding:
    """Return what the mask says where there was no fiber: nothing depends on it."""
    outside = ~measured.any(axis=0)
    question, about = "MASK outside the fibers", str(fits["MASK"])
    if not outside.any():
        return asking.found(AS_ASSUMED, question, about, assumed="not used", seen="no spaxel without data")
    bits = int(np.bitwise_or.reduce(mask[:, outside], axis=None))
    seen = f"{_names(bits)} in {outside.sum():,} spaxels without data"
    return asking.found(AS_ASSUMED, question, about, assumed="not used", seen=seen)


def _names(bits: int) -> str:
    """Return the names of bits; those that have none by their numbers."""
    if not bits:
        return "none"
    unnamed = [str(1 << k) for k in range(bits.bit_length()) if (1 << k) & bits & ~KNOWN]
    return ", ".join([name for name, bit in MASK_BITS.items() if bits & bit] + unnamed)


def _bits(asking: Asking, fits: FitsFile, mask: Array) -> Finding:
    """Return which bits are in use."""
    section = asking.section
    bits = int(np.bitwise_or.reduce(mask, axis=None)) & (1 << 8 * mask.dtype.itemsize) - 1
    unknown = bits & ~KNOWN
    seen, verdict, means, change = f"in use: {_names(bits)}", AS_ASSUMED, "", ""
    if unknown:
        new = [1 << k for k in range(unknown.bit_length()) if unknown >> k & 1]
        seen = f"{_names(unknown)} has no name; {seen}"
        if section["include_only_bits"] or not mask_bits(section["exclude_bits"]) & new[0]:
            verdict, means = NOTE, "voxels with this bit count as good"
            change = f"hetdex.exclude_bits: add {', '.join(map(str, new))}, if that is to be bad"
        else:
            verdict, means = ADAPTED, "exclude_bits is any: voxels with this bit count as bad"
            change = f"hetdex.keep_bits: [{', '.join(map(str, new))}], if that is good"
    assumed = f"of the {len(MASK_BITS)} from {next(iter(MASK_BITS))} to {list(MASK_BITS)[-1]}"
    question = "bits of the mask"
    return asking.found(verdict, question, str(fits["MASK"]), assumed=assumed, seen=seen, means=means, change=change)


def _good(asking: Asking, fits: FitsFile, mask: Array, flag: float) -> Finding:
    """Return how much of what was measured is good by the settings."""
    section = asking.section
    masking = Masking(section["exclude_bits"], section["keep_bits"], section["include_only_bits"])
    good = float(masking.good(mask).mean()) if mask.size else 0.0
    question, about, assumed = "good data in a cube", str(fits["MASK"]), "some: no bit of it is excluded"
    seen = f"{good:.0%} of what was measured; the index says {flag:.0%}"
    if good >= LEAST_GOOD:
        return asking.found(AS_ASSUMED, question, about, assumed=assumed, seen=seen)
    if flag < GOOD_FLAG:
        return asking.found(NOTE, question, about, assumed=assumed, seen=seen, means="this cube is a bad one")
    means, change = "spectra would be empty", f"hetdex.exclude_bits, or {REPORT}"
    return asking.found(FAILS, question, about, assumed=assumed, seen=seen, means=means, change=change)
