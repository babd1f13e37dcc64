"""FLUXCALIB: zero points, and how well calibrated standard stars agree with their models."""

import numpy as np
from desispec.interpolation import resample_flux

from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.reduction.desi.qa.part import Part, binned

AT = {"b": 4800.0, "r": 6500.0, "z": 8250.0}
"""Å: where DESI's former QA told the zero point of an arm (ZP_WAVE)."""
AROUND = 250.0
"""Å to each side, of which a star's amount is told."""
STARRMS = (6000.0, 7500.0, 100)
"""First and last wavelength and number of points of desispec's STARRMS (`desispec.exposure_qa`), of arm r."""
C = 2.99792458e18
"""Speed of light, Å/s."""
FEWEST = 2


def zero_point(wave: Floats, calib: Floats, exptime: float) -> Floats:
    """Return AB magnitudes that give one electron per second and Å: (n_wave,) f8; NaN where nothing is calibrated.

    Parameters
    ----------
    calib
        electron/Å per 10⁻¹⁷ erg/s/cm²/Å, as in FLUXCALIB.

    Notes
    -----
    As ZP_from_calib of DESI's former QA: ``-2.5 log10(f_ν) - 48.6`` with ``f_ν = f_λ λ² / c``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        f_nu = 1e-17 / (calib / exptime) * wave**2 / C
        return np.asarray(np.where(calib > 0, -2.5 * np.log10(f_nu) - 48.6, np.nan))


def scales(wave: Floats, flux: Floats, ivar: Floats, model_wave: Floats, models: Floats, grid: Floats) -> Floats:
    """Return the amount of each model in its star's calibrated flux: (n_star,) f8, as desispec's exposure QA does.

    Parameters
    ----------
    flux, ivar
        (n_star, n_wave).
    models
        (n_star, n_model_wave).
    grid
        Å: where they are compared.
    """
    made = np.full(len(flux), np.nan)
    for k, row in enumerate(models):
        model = resample_flux(grid, model_wave, row)
        data, weight = resample_flux(grid, wave, flux[k], ivar[k])
        norm = np.sum(weight * model**2)
        if norm > 0:
            made[k] = np.sum(weight * data * model) / norm
    return made


def measure_calibration(
    arm: str, wave: Floats, calib: Floats, ivar: Floats, mask: Array, stars: Ints, exptime: float
) -> Part:
    """Measure the zero point.

    Parameters
    ----------
    wave, calib, ivar, mask
        (n_wave,) and (n_fiber, n_wave): as in the file of the flux calibration.
    stars
        Rows of the standard stars that are used; the zero point is theirs, or of all fibers if there are none.
    """
    part = Part()
    rows = stars if len(stars) else np.arange(len(calib))
    seen = np.where((ivar > 0) & (mask == 0) & (calib > 0), calib, np.nan)[rows]
    middles, medians = binned(wave, seen, n=max(1, wave.size // 20))
    points = zero_point(middles, medians, exptime)
    near = int(np.argmin(np.abs(middles - AT[arm])))
    part.add("FLUXCALIB-ZP", points[near], f"{AT[arm]:g} Å")
    part.line("FLUXCALIB-ZP", *binned(middles, points), "Å", "mag", "Zero point, median of standard stars' fibers.")
    part.add("FLUXCALIB-CALIB", _throughput(calib))
    part.add("FLUXCALIB-NSTDSTAR", len(stars))
    return part


def _throughput(calib: Floats) -> float:
    """Return the mean calibration of the middle half of the wavelengths, median of fibers, as desispec's THRUFRAC."""
    n = calib.shape[1]
    return float(np.median(np.mean(calib[:, n // 4 : n - n // 4], axis=1)))


def measure_stars(arm: str, wave: Floats, flux: Floats, ivar: Floats, model_wave: Floats, models: Floats) -> Part:
    """Measure how calibrated standard stars agree with their models: (n_star, …) f8 each."""
    part = Part()
    if len(flux) < FEWEST:
        return part
    at = AT[arm]
    grid = np.arange(at - AROUND, at + AROUND, 10.0)
    inside = (grid > wave[1]) & (grid < wave[-2])
    amounts = scales(wave, flux, ivar, model_wave, models, grid[inside])
    # A star that comes out brighter than its model asks for a fainter zero point.
    with np.errstate(divide="ignore", invalid="ignore"):
        off = 2.5 * np.log10(amounts)
    off = off[np.isfinite(off)]
    if off.size >= FEWEST:
        part.add("FLUXCALIB-RMS_ZP", np.std(off, ddof=1))
        part.add("FLUXCALIB-MAX_ZP_OFF", np.max(np.abs(off - off.mean())))
    if arm == "r":
        amounts = scales(wave, flux, ivar, model_wave, models, np.linspace(*STARRMS))
        n = len(amounts)
        part.add("FLUXCALIB-STARRMS", np.sqrt(np.mean((amounts - 1) ** 2)) * np.sqrt(n / (n - 1)))
    return part
