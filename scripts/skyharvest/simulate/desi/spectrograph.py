"""The DESI spectrograph: its arms, their line-spread functions, and the noise of the sky."""

import numpy as np
import numpy.typing as npt

from skyharvest.core.arrays import Floats

ARMS = ("b", "r", "z")
ARM_FIRST = {"b": 3600.0, "r": 5760.0, "z": 7520.0}
ARM_START = {"b": 0, "r": 2700, "z": 4900}  # first pixel of the arm on the common grid
ARM_PIXELS = {"b": 2751, "r": 2326, "z": 2881}
N_COMBINED = 7781
STEP = 0.8  # Å per pixel
N_DIAGONALS = 11
REACH = N_DIAGONALS // 2  # pixels to either side from which a pixel receives light
PADDED_WAVE: Floats = 3600.0 + STEP * np.arange(-REACH, N_COMBINED + REACH, dtype=np.float64)
"""(7791,) float64 Å: the common grid and what the line-spread function reaches beyond its ends."""

REFERENCE_SECONDS = 14000.0  # for which `clear_ivar` is given


def wavelength(arm: str) -> Floats:
    """Return an arm's grid, (npix,) float64 Å, with the rounding of DESI's files (that of ``np.arange``)."""
    first = ARM_FIRST[arm]
    return np.asarray(np.arange(first, first + STEP * (ARM_PIXELS[arm] - 0.5), STEP))


def lsf_sigma(arm: str, fiber: Floats) -> Floats:
    """Return the sigma of the Gaussian line-spread function on an arm's pixels and `REACH` beyond its ends.

    Parameters
    ----------
    fiber : (n,) float64
        A number for each fiber, -1 to 1: the line-spread function depends on it.

    Returns
    -------
    (n, npix + 10) float64, pixels of 0.8 Å
    """
    x = np.linspace(-1, 1, ARM_PIXELS[arm] + 2 * REACH)
    curve = {
        "b": 0.92 - 0.08 * x + 0.03 * x**2,
        "r": 0.82 - 0.05 * x + 0.04 * x**2,
        "z": 0.92 + 0.07 * x + 0.05 * x**2,
    }[arm]
    return np.asarray(curve * (1 + fiber[:, None] * (0.02 + 0.01 * x)))


def clear_ivar(arm: str) -> Floats:
    """Return the sky's inverse variance in `REFERENCE_SECONDS`: throughput, dichroic ends and sky lines; (npix,)."""
    wave = wavelength(arm)
    x = (wave - wave[0]) / (wave[-1] - wave[0])

    def rise(middle: float, scale: float) -> Floats:
        return np.asarray(0.5 + 0.5 * np.tanh((wave - middle) / (2 * scale)))

    ivar = {
        "b": (2 + 90 * x**1.3) * (0.02 + rise(5797, -4)),
        "r": (90 + 230 * x) * (0.003 + rise(5775, 4)) * (0.05 + rise(7575, -20)),
        "z": (150 + 650 * x) * (0.05 + rise(7545, 15)) * (0.2 + rise(9750, -40)),
    }[arm]
    bands = np.concatenate([np.arange(7716, 8025, 34.0), np.arange(8280, 8470, 17.0), np.arange(8760, 9060, 24.0)])
    sky = np.zeros_like(wave)
    for line in [5578.9, 5891.6, 6302.0, 6365.5, 6865.7, 7278.0, 7342.9, *bands, *np.arange(9310, 9800, 38.0)]:
        sky += 12 * np.exp(-0.5 * ((wave - line) / 1.4) ** 2)
    return np.asarray(ivar / (1 + sky))


def blur(model: Floats, arm: str, sigma: Floats) -> tuple[Floats, npt.NDArray[np.float32]]:
    """Blur spectra as an arm does.

    Parameters
    ----------
    model : (n, 7791) float64, on `PADDED_WAVE`
    sigma : (n, npix + 10) float64, pixels
        As `lsf_sigma` returns it.

    Returns
    -------
    seen : (n, npix) float64
        The flux that the arm sees without noise.
    resolution : (n, 11, npix) float32
        ``resolution[i, d, j]``: response of pixel j + d - 5 to light at pixel j.
    """
    npix = ARM_PIXELS[arm]
    # Weight of the light k pixels away in row i: q^(k²), normalised over the 11 pixels. Rows beyond the arm's ends
    # are computed, too: in DESI's files the columns at the ends are complete although the rows are not.
    q = np.exp(-0.5 / sigma**2).astype(np.float32)
    q4 = (q * q) ** 2
    q9, q16 = q4 * q4 * q, q4**2 * q4**2
    weights = np.stack([np.ones_like(q), q, q4, q9, q16, q9 * q16])
    weights /= weights[0] + 2 * weights[1:].sum(axis=0)
    resolution = np.empty((len(model), N_DIAGONALS, npix), dtype=np.float32)
    for d in range(N_DIAGONALS):
        resolution[:, d] = weights[abs(d - REACH), :, d : d + npix]

    light = model[:, ARM_START[arm] :]
    rows = weights[:, :, REACH : REACH + npix]
    seen = rows[0] * light[:, REACH : REACH + npix]
    for k in range(1, REACH + 1):
        seen += rows[k] * (light[:, REACH - k :][:, :npix] + light[:, REACH + k :][:, :npix])
    return seen, resolution
