"""The toy survey's files: bytes to arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.fits_file import FitsFile

WAVELENGTH = np.linspace(4000.0, 8000.0, 41)
"""Of every spectrum, Å in vacuum."""


@dataclass(frozen=True)
class Spectra:
    """A table of n spectra: ``ra``, ``dec`` (n,) float64 degrees; ``flux``, ``ivar`` (n, 41) float32."""

    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    flux: npt.NDArray[np.float32]
    ivar: npt.NDArray[np.float32]


def read_list(archive: Archive, path: str) -> npt.NDArray[np.int64]:
    """Return the NSIDE=16 pixels (NESTED) that a release has tables of, (n,) int64."""
    with archive.open(path) as source:
        fits = FitsFile(source)
        table = fits["TABLES"]
        table.check_scalars({"PIX16": "iu"})
        pixels = table.table(fits.read([(table, None)])[0], ["PIX16"])["PIX16"]
    return np.unique(pixels.astype(np.int64))


def read_spectra(archive: Archive, path: str) -> Spectra:
    """Read a table of spectra.

    Raises
    ------
    Absent, MalformedFile
        If it is not there; if it is not what it should be.
    """
    with archive.open(path) as source:
        fits = FitsFile(source)
        table = fits["SPECTRA"]
        table.check_scalars({"RA": "f", "DEC": "f"})
        columns = table.table(fits.read([(table, None)])[0], ["RA", "DEC", "FLUX", "IVAR"])
    for name in ("FLUX", "IVAR"):
        if columns[name].shape[1:] != WAVELENGTH.shape:
            raise MalformedFile(f"{table}: {name} is {columns[name].shape}, expected (n, {len(WAVELENGTH)})")
    flux, ivar = (columns[name].astype(np.float32) for name in ("FLUX", "IVAR"))
    return Spectra(columns["RA"].astype(np.float64), columns["DEC"].astype(np.float64), flux, ivar)
