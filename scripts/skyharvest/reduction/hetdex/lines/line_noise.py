"""The noise of the flux of a line, from that of the fibers: of a point source, with the best weights.

With the share P of the source's light in each fiber, the part g of the line's light in each bin of 2 Å, and errors σ of
fibers, the best estimate of a line's flux has the variance ``1 / Σ P² g² / σ²``, over fibers and bins (Horne 1986, PASP
98, 609). What is missing counts nothing: at the edge of an IFU, or beside dead fibers, there is more noise.
"""

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.sources.point_spectrum import Extractor, whole_share
from skyharvest.reduction.hetdex.virus import GRID, GRID_STEP


def line_in_bins(wave: Floats | float, linewidth: Floats | float) -> Floats:
    """Return the part of a Gaussian line's light in each bin of calibrated spectra.

    Parameters
    ----------
    wave, linewidth
        Å: the middle, and σ; numbers, or (n,).

    Returns
    -------
    (1036,) or (n, 1036) f8, of sum 1 if all of the line is on the grid: its height at the middle of bins, as lines are
    fitted.
    """
    from_middle = (GRID - np.asarray(wave)[..., None]) / np.asarray(linewidth)[..., None]
    height = GRID_STEP / (np.sqrt(2 * np.pi) * np.asarray(linewidth)[..., None])
    return np.asarray(height * np.exp(-0.5 * from_middle**2))


def fit_by_noise(linewidth: Floats, half_width: float) -> Floats:
    """Return the error of a fitted flux by the noise of a line whose place, width and continuum are known.

    That of the Fisher matrix of a Gaussian line on a straight continuum, in even noise: where its width, wavelength and
    continuum are fitted, too, the flux is less certain.

    Parameters
    ----------
    linewidth
        (n,) f8: σ, Å.
    half_width
        Å to each side of the line that are fitted.

    Returns
    -------
    (n,) f8, about 1.3.
    """
    offset = np.arange(-half_width, half_width + GRID_STEP / 2, GRID_STEP)
    made = np.empty(len(linewidth))
    for k, width in enumerate(linewidth):
        u = offset / width
        line = np.exp(-0.5 * u**2) / width
        slopes = np.stack([line, line * u, line * (u**2 - 1), np.ones_like(u), u])  # flux, wavelength, width, continuum
        fisher = slopes @ slopes.T
        made[k] = np.sqrt(np.linalg.inv(fisher)[0, 0] * fisher[0, 0])
    return made


def noise_on_grid(
    fibers: IfuFibers, aperture: float, x: Floats, y: Floats, wave: Floats, linewidth: float
) -> tuple[Floats, Floats]:
    """Return the 1 σ noise of lines of one width, at each of some places and each of some wavelengths.

    Parameters
    ----------
    fibers
        Of an IFU.
    aperture
        Arcsec: fibers so near to a source are used.
    x, y
        (n,) f8, arcsec on the fibers' plane.
    wave
        (m,) f8, Å.
    linewidth
        σ, Å.

    Returns
    -------
    noise
        (n, m) f8, 1e-17 erg/s/cm²; NaN where there is no light.
    coverage
        (n,) f8: share of a source's light that fibers have, by that far from an edge; mean of wavelengths from the
        first to the last.
    """
    power, covered = np.zeros((len(x), len(wave))), np.zeros(len(x))
    squared = line_in_bins(wave, np.full(len(wave), linewidth)).T ** 2
    within = (wave.min() <= GRID) & (wave.max() >= GRID)
    done = 0
    for piece in Extractor(fibers, aperture).pieces(x, y):
        here = slice(done, done := done + len(piece.power))
        power[here] = piece.power @ squared
        covered[here] = piece.apcor[:, within].mean(1) / whole_share(fibers)
    return _noise(power), covered


def noise_at(
    fibers: IfuFibers, aperture: float, x: Floats, y: Floats, wave: Floats, linewidth: Floats
) -> tuple[Floats, Floats]:
    """Return the 1 σ noise of lines, each at a place and wavelength of its own, and with its own width.

    Parameters
    ----------
    fibers, aperture
        As above.
    x, y, wave, linewidth
        (n,) f8.

    Returns
    -------
    noise, coverage
        (n,) f8, as above; coverage is that at the line.
    """
    sums = Extractor(fibers, aperture).sums(x, y)
    power = (sums.power * line_in_bins(wave, linewidth) ** 2).sum(1)
    bins = np.clip(np.rint((wave - GRID[0]) / GRID_STEP).astype(int), 0, len(GRID) - 1)
    return _noise(power), sums.apcor[np.arange(len(x)), bins] / whole_share(fibers)


def _noise(power: Floats) -> Floats:
    return np.where(power > 0, 1 / np.sqrt(np.where(power > 0, power, 1)), np.nan)
