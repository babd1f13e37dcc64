"""Fibermaps of raw exposures: what their headers say, and which pixels their fibers lie in.

Format: https://desidatamodel.readthedocs.io (DESI_SPECTRO_DATA/NIGHT/EXPID/fibermap-EXPID).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_header import Value
from skyharvest.reduction.desi.exposure_healpix import NSIDE
from skyharvest.sky.healpix import ang2pix

N_PETALS = 10

FiberPixel = tuple[int, int, int]
"""Spectrograph (PETAL_LOC), NSIDE=64 NESTED pixel, number of fibers."""


@dataclass(frozen=True)
class Fibermap:
    """What is wanted of a fibermap.

    Attributes
    ----------
    header
        Keyword → value of the primary header and of that of the table, which counts more.
    pixels
        Sorted.
    """

    header: Mapping[str, Value]
    pixels: tuple[FiberPixel, ...]


def read_fibermap(path: Path) -> Fibermap:
    """Read a fibermap.

    Raises
    ------
    Absent
        If it does not exist.
    MalformedFile
        If it is cut short, or has no table FIBERMAP with PETAL_LOC, TARGET_RA, TARGET_DEC.
    """
    with LocalFile(path, path.name) as source:
        file = FitsFile(source)
        hdu = file["FIBERMAP"]
        hdu.check_scalars({"PETAL_LOC": "iu", "TARGET_RA": "f", "TARGET_DEC": "f"})
        columns = hdu.table(file.read([(hdu, None)])[0], ["PETAL_LOC", "TARGET_RA", "TARGET_DEC"])
        header = {**file.known[0].header, **hdu.header}
    try:
        pixels = fiber_pixels(columns["PETAL_LOC"], columns["TARGET_RA"], columns["TARGET_DEC"])
    except ValueError as error:
        raise MalformedFile(f"{path.name}[FIBERMAP]: {error}") from error
    return Fibermap(header, pixels)


def fiber_pixels(petal: Array, ra: Array, dec: Array) -> tuple[FiberPixel, ...]:
    """Return how many fibers of each petal lie in each pixel, sorted.

    Which fibers count is as in desispec (`pixgroup.fibermap2tilepix`, `scripts.group_spectra`): all that have a
    position, be they for targets, for sky, or broken.

    Parameters
    ----------
    petal : (n,) int
        PETAL_LOC; those outside 0 to 9 are left out.
    ra, dec : (n,) float
        TARGET_RA, TARGET_DEC, degrees; NaN where a fiber has no position.

    Raises
    ------
    ValueError
        If a declination is beyond a pole.
    """
    kept = np.isfinite(ra) & np.isfinite(dec) & (petal >= 0) & (petal < N_PETALS)
    petal, ra, dec = petal[kept].astype(np.int64), ra[kept].astype(np.float64), dec[kept].astype(np.float64)
    if (beyond := np.abs(dec) > 90).any():
        raise ValueError(f"TARGET_DEC is {dec[beyond][0]}, expected -90 to 90 degrees")
    n_pixels = 12 * NSIDE**2
    both, counts = np.unique(petal * n_pixels + ang2pix(NSIDE, ra, dec), return_counts=True)
    return tuple((int(k) // n_pixels, int(k) % n_pixels, int(n)) for k, n in zip(both, counts, strict=True))
