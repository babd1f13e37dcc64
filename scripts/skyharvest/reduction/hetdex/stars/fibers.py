"""Fibers of an IFU in an exposure, from its multifits: where they are, their spectra, and their light in a band."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.reduction.hetdex.layout import AMPS
from skyharvest.reduction.hetdex.spectra import multifits

BLOCK = 50.0
"""Å: the light in a band is the median of the means of such blocks, so that what is left of a cosmic ray is nothing."""
LEAST_BLOCKS = 0.5
"""A fiber with a smaller share of the band's blocks has no light in it."""


@dataclass(frozen=True)
class Fibers:
    """Fibers of an IFU in an exposure.

    Attributes
    ----------
    specid, ifuslot, ifuid
        Three digits each.
    amp
        (n,) text, the amplifier, in the order of `AMPS`.
    fibidx
        (n,) i4, the fiber's row there, from 0.
    x, y
        (n,) f8, arcsec in the IFU.
    wavelength
        (n, 1032) f4, Å.
    counts, error
        (n, 1032) f4: sky-subtracted, electrons in 2 Å of a mean fiber; NaN where nothing is known.
    header
        Cards of the frame of the first amplifier.
    """

    specid: str
    ifuslot: str
    ifuid: str
    amp: Array
    fibidx: Array
    x: Floats
    y: Floats
    wavelength: Array
    counts: Float32s
    error: Float32s
    header: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.x)

    def without_spectra(self) -> "Fibers":
        """Return the fibers with no spectra, which take memory."""
        nothing = np.zeros((len(self), 0), np.float32)
        return replace(self, wavelength=nothing, counts=nothing, error=nothing)


def read(directory: Path) -> Fibers | None:
    """Read the multifits of an IFU's exposure; None if all of its amplifiers failed.

    Raises
    ------
    MalformedFile
        If a file is not as the public layout has it.
    """
    found = {
        match["amp"]: (path, match) for path in directory.iterdir() if (match := multifits.NAME.fullmatch(path.name))
    }
    if not found:
        return None
    amps = [amp for amp in AMPS if amp in found]
    pieces = [multifits.read(found[amp][0], "ifupos", "wavelength", "sky_subtracted", "error1d") for amp in amps]
    places, wavelength, counts, error = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    n = len(places) // len(amps)
    x, y = places.T.astype(np.float64)
    match = found[amps[0]][1]
    return Fibers(
        match[1],
        match[2],
        match[3],
        np.repeat(amps, n),
        np.tile(np.arange(n, dtype=np.int32), len(amps)),
        x,
        y,
        wavelength,
        counts,
        error,
        multifits.read_header(found[amps[0]][0]),
    )


def good(counts: Array, error: Array) -> Bools:
    """Return where something is known: the value is finite, and its error too and above 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(counts) & np.isfinite(error) & (error > 0))


def light(wavelength: Array, counts: Array, error: Array, first: float, last: float) -> tuple[Floats, Floats]:
    """Return the light of fibers in a band, and its error.

    Parameters
    ----------
    wavelength, counts, error
        (n, m): of each fiber and pixel; NaN where nothing is known.
    first, last
        Å.

    Returns
    -------
    (n,) f8 each
        In the unit of ``counts``: the median over blocks of their means. NaN for a fiber with too few of them.
    """
    n_blocks = max(int((last - first) / BLOCK), 1)
    block = np.floor((np.asarray(wavelength) - first) / ((last - first) / n_blocks))
    used = good(counts, error) & (block >= 0) & (block < n_blocks)
    fiber, pixel = np.nonzero(used)
    place = fiber * n_blocks + block[fiber, pixel].astype(np.int64)
    size = len(counts) * n_blocks
    number = np.bincount(place, minlength=size)
    total = np.bincount(place, counts[fiber, pixel].astype(np.float64), size)
    squares = np.bincount(place, error[fiber, pixel].astype(np.float64) ** 2, size)
    enough = number >= 0.3 * BLOCK / 2  # of its pixels of 2 Å
    count = np.where(enough, number, 1)
    mean = np.where(enough, total / count, np.nan).reshape(-1, n_blocks)
    variance = np.where(enough, squares / count**2, np.nan).reshape(-1, n_blocks)
    n_used = enough.reshape(-1, n_blocks).sum(axis=1)
    value, sigma = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    known = n_used >= max(LEAST_BLOCKS * n_blocks, 1)
    value[known] = np.nanmedian(mean[known], axis=1)
    # The median of n values has an error √(π / 2) times that of their mean.
    widening = np.where(n_used[known] > 2, np.sqrt(np.pi / 2), 1.0)
    sigma[known] = widening * np.sqrt(np.nanmean(variance[known], axis=1) / n_used[known])
    return value, sigma
