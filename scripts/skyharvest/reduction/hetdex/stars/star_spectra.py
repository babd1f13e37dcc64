"""The stars of a shot as they were measured, ``stars/{shot}.h5``, as the steps after that read it.

`stars` says what is in the file. Of that are read: attributes shot, failed, fwhm, fwhm_error and n_fwhm; of the table
``stars`` star_ID, the magnitudes u g r i z of the catalogue and flags; of ``exposures`` expnum and norm; ``counts`` and
``variance`` (n_star, n_exp, 1036).
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS
from skyharvest.reduction.hetdex.stars.star_extraction import BLENDED, EDGE, OFF, SATURATED
from skyharvest.reduction.hetdex.virus import N_GRID

REFUSED = EDGE | BLENDED | SATURATED | OFF
"""Flags of stars that tell no throughput. Those that are too faint for the width of images may."""


@dataclass(frozen=True)
class StarSpectra:
    """Stars.

    Attributes
    ----------
    shot
        Name of the shot.
    failed
        Why there are none; empty if there are.
    ids
        (n,) text: of the catalogue.
    magnitudes
        (n, 5) f8: ugriz of the catalogue, NaN where there is none.
    wrong
        (n,) text: what is wrong with each, so that its light is not all its own; empty if nothing is.
    expnums
        (n_exp,) int: the shot's exposures.
    counts, variance
        (n, n_exp, 1036): light of the whole star in 2 Å, electrons of a mean fiber, at 3470 + 2 i Å, and its variance;
        NaN where nothing is known.
    norm
        (n_exp,) f8: how much light each exposure has, relative to their mean.
    fwhm, fwhm_error, n_fwhm
        Of the shot's images, ″, and from how many stars.
    """

    shot: str
    failed: str
    ids: Array
    magnitudes: Floats
    wrong: Array
    expnums: Array
    counts: Array
    variance: Array
    norm: Floats
    fwhm: float
    fwhm_error: float
    n_fwhm: int


def no_stars(shot: str, failed: str) -> StarSpectra:
    """Return the stars of a shot of which none could be measured."""
    spectra = np.zeros((0, 0, N_GRID), np.float32)
    ids, whole = np.zeros(0, "U1"), np.zeros(0, np.int64)
    return StarSpectra(
        shot, failed, ids, np.zeros((0, 5)), ids, whole, spectra, spectra, np.zeros(0), np.nan, np.nan, 0
    )


def read_stars(path: Path) -> StarSpectra:
    """Read the file.

    Raises
    ------
    MalformedFile
        If it is no such file, or its arrays do not belong together.
    """
    try:
        with h5py.File(path, "r") as file:
            shot, failed = str(file.attrs["shot"]), str(file.attrs.get("failed", ""))
            if failed:
                return no_stars(shot, failed)
            stars, exposures = file["stars"][:], file["exposures"][:]
            counts, variance = file["counts"][:], file["variance"][:]
            fwhm, fwhm_error, n_fwhm = (float(file.attrs[name]) for name in ("fwhm", "fwhm_error", "n_fwhm"))
            magnitudes = np.stack([np.asarray(stars[band], np.float64) for band in BANDS], axis=1)
            wrong = _wrong(stars["flags"], str(file["stars"].attrs["flags"]))
            ids, expnums, norm = stars["star_ID"], exposures["expnum"], np.asarray(exposures["norm"], np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise MalformedFile(f"{path}: found no stars of a shot ({error}); remove it and run again") from None
    expected = (len(stars), len(exposures), N_GRID)
    for name, values in (("counts", counts), ("variance", variance)):
        if values.shape != expected:
            raise MalformedFile(
                f"{path}: found {name} of shape {values.shape}; expected {expected}: remove it, run again"
            )
    ids = np.char.decode(ids, "utf-8")
    return StarSpectra(shot, "", ids, magnitudes, wrong, expnums, counts, variance, norm, fwhm, fwhm_error, int(n_fwhm))


def _wrong(flags: Array, meanings: str) -> Array:
    """Return what is wrong with stars; ``meanings`` is ``1: on an edge; 2: …``."""
    meaning = {int(bit): text for bit, _, text in (part.partition(": ") for part in meanings.split("; "))}
    bits = [bit for bit in meaning if bit & REFUSED]
    return np.array([", ".join(meaning[bit] for bit in bits if flag & bit) for flag in flags.tolist()], "U")
