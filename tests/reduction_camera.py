"""A piece of a camera, as wide as the real one and with fewer rows, and exposures of it."""

from dataclasses import replace

import numpy as np

from skyharvest.simulate.desi_night.camera import Camera, cameras
from skyharvest.simulate.desi_night.psf import psf_of

__all__ = ["LINES", "camera", "noisy", "psf_of"]

LINES = np.array([7437.8, 7488.9, 7505.9, 7516.7, 7535.8, 7587.4, 7603.6, 7637.2, 7687.4, 7696.7, 7726.3, 7790.2])


def camera(n_y: int = 700, arm: str = "z", n_fiber: int = 25) -> Camera:
    """Return a camera of some rows, with its Å per row."""
    whole = cameras(n_fiber=n_fiber)[f"{arm}0"]
    wave_max = whole.wave_min + (whole.wave_max - whole.wave_min) * n_y / whole.n_y
    first = np.ceil(whole.wave_min) + 12
    last = first + 0.8 * np.floor((wave_max - 12 - first) / 0.8)
    return replace(whole, wave_max=wave_max, n_y=n_y, first=first, last=last)


def noisy(image: np.ndarray, read_noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with noise, and the inverse variances of the true light."""
    rng = np.random.default_rng(seed)
    made = rng.poisson(image) + rng.normal(0, read_noise, image.shape)
    return made, 1 / (image + read_noise**2)
