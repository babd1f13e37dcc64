"""The Sun's spectrum, which twilights are compared with.

``solar_spectrum.txt`` beside this module has rows of the TSIS-1 Hybrid Solar Reference Spectrum, version 2, at 0.1 nm
(Coddington et al. 2021, Geophys. Res. Lett. 48, e2020GL091709; 2023, Earth and Space Science 10, e2022EA002637), made
by the Laboratory for Atmospheric and Space Physics for NASA's mission TSIS-1. NASA's data use policy
(https://www.earthdata.nasa.gov/learn/use-data/data-use-policy) puts data of its missions that bear no other mark under
CC0; the file bears none. Its wavelengths are those in vacuum; here they are those in air, by Birch & Downs 1994 as in
Morton 2000 (ApJS 130, 403, equation 8), as HETDEX gives wavelengths in air. No row was changed otherwise. Lines of Fe,
Ca and Mg stand within 0.08 Å of their laboratory wavelengths, as far as blends at 1 Å allow to say.

The Earth's atmosphere is not in it: between 3400 and 5600 Å ozone and water change the twilight's shape, not its lines.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from skyharvest.core.arrays import Floats
from skyharvest.core.errors import InputError

SHIPPED = Path(__file__).with_suffix(".txt")
FWHM = 1.0
"""Å: the resolution of the spectrum that is shipped, a Gaussian's."""
STEP = 0.25
"""Å: how spectra are sampled here."""
RANGE = (3400.0, 5620.0)
"""Å: what a spectrum has to cover."""
SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))
"""σ of a Gaussian over its full width at half maximum."""


@dataclass(frozen=True)
class SolarSpectrum:
    """The Sun's spectrum on an even grid.

    Attributes
    ----------
    wavelength
        In air, Å, (n,) float64, each `STEP`.
    flux
        Energy per wavelength in any unit, (n,) float64.
    fwhm
        Its resolution, Å.
    """

    wavelength: Floats
    flux: Floats
    fwhm: float

    def convolved(self, fwhm: float) -> Floats:
        """Return the flux at a coarser resolution, (n,) float64.

        Parameters
        ----------
        fwhm
            Full width at half maximum that the lines are to have, those of the spectrum included, Å.

        Raises
        ------
        ValueError
            If the spectrum itself is coarser.
        """
        if fwhm < self.fwhm:
            raise ValueError(f"a resolution of {fwhm:g} Å was asked for; the spectrum has {self.fwhm:g} Å")
        sigma = SIGMA * np.sqrt(fwhm**2 - self.fwhm**2) / STEP
        return np.asarray(gaussian_filter1d(self.flux, sigma, mode="nearest"), np.float64) if sigma else self.flux

    def photons(self) -> "SolarSpectrum":
        """Return the spectrum in photons per wavelength, scaled to a mean of 1: what a detector counts."""
        counted = self.flux * self.wavelength
        return SolarSpectrum(self.wavelength, counted / counted.mean(), self.fwhm)


def read(path: Path | None = None, fwhm: float = FWHM) -> SolarSpectrum:
    """Read a solar spectrum.

    Parameters
    ----------
    path
        A text file with two columns, wavelength in air (Å, rising) and flux (energy per wavelength); lines that begin
        with # are comments. None: the one that is shipped.
    fwhm
        The resolution of that file, Å.

    Raises
    ------
    InputError
        If the file is missing, is no such table, does not cover `RANGE`, or has steps above ``fwhm``.
    """
    path = path or SHIPPED
    try:
        table = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: found no table of wavelength and flux ({error}); expected two columns") from error
    if table.shape[1] != 2 or not np.isfinite(table).all():
        raise InputError(f"{path}: found {table.shape[1]} columns; expected finite numbers: wavelength (Å), flux")
    wavelength, flux = table.T
    steps = np.diff(wavelength)
    if not (steps > 0).all():
        row = int(np.argmin(steps > 0)) + 2
        raise InputError(f"{path}, row {row}: found {wavelength[row - 1]:g} Å; expected wavelengths that rise")
    first, last = RANGE
    if wavelength[0] > first or wavelength[-1] < last:
        raise InputError(
            f"{path}: found {wavelength[0]:g} to {wavelength[-1]:g} Å; expected {first:g} to {last:g} Å or more"
        )
    inside = (wavelength[1:] > first) & (wavelength[:-1] < last)
    if steps[inside].max() > fwhm:
        raise InputError(
            f"{path}: found steps of {steps[inside].max():g} Å; expected {fwhm:g} Å, its resolution, or less"
        )
    grid = np.arange(np.ceil(wavelength[0] / STEP), np.floor(wavelength[-1] / STEP) + 1) * STEP
    if np.median(steps) < STEP / 2:  # finer: averaged over steps, so that no line is missed
        total = np.concatenate([[0], np.cumsum(np.diff(wavelength) * (flux[1:] + flux[:-1]) / 2)])
        edges = np.clip(np.append(grid, grid[-1] + STEP) - STEP / 2, wavelength[0], wavelength[-1])
        return SolarSpectrum(grid, np.diff(np.interp(edges, wavelength, total)) / np.diff(edges), fwhm)
    return SolarSpectrum(grid, np.interp(grid, wavelength, flux), fwhm)
