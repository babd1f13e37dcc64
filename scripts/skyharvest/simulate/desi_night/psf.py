"""The PSF of a simulated camera, as the reduction describes it, and how far another one's traces are from it."""

from typing import Any

import numpy as np

from skyharvest.reduction.desi.psf.model import Psf
from skyharvest.simulate.desi_night.camera import Camera


def psf_of(camera: Camera, dx: float = 0.0, dy: float = 0.0, wider: float = 1.0, degree: int = 1) -> Psf:
    """Return the truth as a PSF, or one that is off."""
    x, y = camera.traces(dx, dy)
    n = camera.n_fiber
    shape = {
        "GHSIGX": np.zeros((n, degree + 1)),
        "GHSIGY": np.zeros((n, degree + 1)),
        "GH-0-0": np.zeros((n, degree + 1)),
    }
    shape["GH-0-0"][:, 0] = 1
    for name, width in (("GHSIGX", camera.sigma_x), ("GHSIGY", camera.sigma_y)):
        shape[name][:, :2] = wider * np.array(width)
    return Psf(
        x=x,
        y=y,
        wave_min=camera.wave_min,
        wave_max=camera.wave_max,
        shape=shape,
        degree_x=6,
        degree_y=6,
        half_x=6,
        half_y=6,
        n_x=camera.n_x,
        n_y=camera.n_y,
        first_fiber=0,
        error=0.01,
        status=np.zeros(n, np.int64),
        chi2=np.full(n, np.nan),
    )


def off(psf: Psf, camera: Camera, moved: tuple[float, float], fibers: Any = np.s_[:]) -> float:
    """Return how far traces are from the truth at most, pixels, where spectra are extracted.

    Parameters
    ----------
    moved
        By how much the truth is moved in x and y, pixels.
    fibers
        Those that count: all, unless given.
    """
    wave = np.linspace(camera.first, camera.last, 100)
    truth = (np.polynomial.legendre.legval(camera.scaled(wave), values.T) for values in camera.traces(*moved))
    pairs = zip(psf.traces(wave), truth, strict=True)
    return max(float(np.abs(seen - true)[fibers].max()) for seen, true in pairs)
