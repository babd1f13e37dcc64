"""Flux of emission lines at given places of a spectrum: least squares, with the place and width of the line fixed."""

from typing import NamedTuple

import numpy as np

from skyharvest.core.arrays import Floats

HALF_WIDTH = 40.0
"""Å to each side of a line in which it is fitted, together with a straight continuum."""
LEAST_KNOWN = 0.6
"""Share of the bins there that have to be known, and of those within 2 σ of the line."""


class LineFluxes(NamedTuple):
    """Fluxes of lines, n of them; NaN where too little is known.

    Attributes
    ----------
    flux, error
        (n,) f8, in units of flux.
    continuum
        (n,) f8, per Å, at the line.
    chi2
        (n,) f8: of the fit, by degrees of freedom.
    """

    flux: Floats
    error: Floats
    continuum: Floats
    chi2: Floats

    @property
    def sn(self) -> Floats:
        """Signal to noise, (n,) f8, by what the fit leaves where that is more than the error: 0 if not known."""
        return np.nan_to_num(self.flux / self.whole_error)

    @property
    def whole_error(self) -> Floats:
        """Errors, (n,) f8, by what the fit leaves where that is more: continua are not straight."""
        return np.asarray(self.error * np.sqrt(np.maximum(self.chi2, 1.0)))


def gaussian(wave: Floats, centre: Floats, sigma: Floats) -> Floats:
    """Return Gaussians of area 1, 1/Å."""
    return np.asarray(np.exp(-0.5 * ((wave - centre) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma))


def measure_lines(wave: Floats, flux: Floats, error: Floats, centres: Floats, sigmas: Floats) -> LineFluxes:
    """Return the fluxes of lines.

    Parameters
    ----------
    wave
        (w,) f8 Å, evenly spaced.
    flux, error
        (w,) f8, of the spectrum in units of flux per Å; NaN where nothing is known.
    centres, sigmas
        (n,) f8 Å.
    """
    step = wave[1] - wave[0]
    half = round(HALF_WIDTH / step)
    middle = np.rint((np.nan_to_num(centres, nan=-1e9) - wave[0]) / step).astype(np.int64)
    index = middle[:, None] + np.arange(-half, half + 1)
    inside = (index >= 0) & (index < len(wave))
    index = np.clip(index, 0, len(wave) - 1)
    offset = wave[index] - centres[:, None]
    known = inside & np.isfinite(flux[index]) & (error[index] > 0)
    weight = np.where(known, 1 / np.where(known, error[index], 1) ** 2, 0)
    terms = np.stack([gaussian(offset, np.zeros(1), sigmas[:, None]), np.ones_like(offset), offset / HALF_WIDTH], 1)
    normal = np.einsum("niw,nw,njw->nij", terms, weight, terms)
    values = np.where(known, flux[index], 0)
    right = np.einsum("niw,nw,nw->ni", terms, weight, values)
    near = np.abs(offset) <= 2 * sigmas[:, None]
    enough = (known.mean(1) >= LEAST_KNOWN) & ((known & near).sum(1) >= LEAST_KNOWN * np.maximum(near.sum(1), 1))
    made = np.full((4, len(centres)), np.nan)
    if enough.any():
        inverse = np.linalg.inv(normal[enough])
        solved = np.einsum("nij,nj->ni", inverse, right[enough])
        chi2 = (weight * values**2).sum(1)[enough] - np.einsum("ni,ni->n", solved, right[enough])
        chi2 /= np.maximum(known.sum(1)[enough] - terms.shape[1], 1)
        made[:, enough] = solved[:, 0], np.sqrt(inverse[:, 0, 0]), solved[:, 1], chi2
    return LineFluxes(*made)
