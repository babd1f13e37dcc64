"""A piece of a camera, as wide as the real one and with fewer rows, and exposures of it."""

from dataclasses import replace

import numpy as np

from skyharvest.reduction.desi.psf.model import Psf
from skyharvest.simulate.desi_night.camera import Camera, cameras

LINES = np.array([7437.8, 7488.9, 7505.9, 7516.7, 7535.8, 7587.4, 7603.6, 7637.2, 7687.4, 7696.7, 7726.3, 7790.2])


def camera(n_y: int = 700, arm: str = "z", n_fiber: int = 25) -> Camera:
    """Return a camera of some rows, with its Å per row."""
    whole = cameras(n_fiber=n_fiber)[f"{arm}0"]
    wave_max = whole.wave_min + (whole.wave_max - whole.wave_min) * n_y / whole.n_y
    first = np.ceil(whole.wave_min) + 12
    last = first + 0.8 * np.floor((wave_max - 12 - first) / 0.8)
    return replace(whole, wave_max=wave_max, n_y=n_y, first=first, last=last)


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


def noisy(image: np.ndarray, read_noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with noise, and the inverse variances of the true light."""
    rng = np.random.default_rng(seed)
    made = rng.poisson(image) + rng.normal(0, read_noise, image.shape)
    return made, 1 / (image + read_noise**2)
