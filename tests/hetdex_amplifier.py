"""An amplifier of VIRUS with known light: its own fibers, profiles, wavelengths and sky, for tests of single steps."""

from dataclasses import dataclass, field

import numpy as np

N, N_FIBER = 1032, 112
SIGMA, SHARPNESS, LSF = 2.05, 2.35, 2.3  # pixels; and Å
READNOISE = 3.0
U = (np.arange(N) - 515.5) / 515.5
LINES = ((4046.6, 40.0), (4358.3, 170.0), (5199.0, 80.0), (5460.7, 400.0))  # Å, electrons/Å at their peak if 0.4 Å wide


def sky(wave, scale=1.0):
    """Electrons of the sky in 2 Å of a mean fiber: a continuum with absorption, and lines as wide as the LSF."""
    light = 150 * np.interp(wave, [3470, 3700, 4000, 4500, 5000, 5540], [0.15, 0.35, 0.65, 1, 1.1, 0.9])
    for centre, depth, width in ((3933.7, 0.25, 6.0), (3968.5, 0.25, 6.0), (4305.0, 0.15, 7.0), (5172.0, 0.1, 5.0)):
        light = light * (1 - depth * np.exp(-0.5 * ((wave - centre) / width) ** 2))
    for centre, peak in LINES:
        light = light + 2 * peak * 0.4 / LSF * np.exp(-0.5 * ((wave - centre) / LSF) ** 2)
    return light * scale


@dataclass
class Amplifier:
    """What is true of an amplifier.

    Attributes
    ----------
    trace, wave, fiber_to_fiber
        (112, 1032): rows, Å, and relative throughput.
    alive
        (112,): which fibers have light.
    """

    seed: int = 1
    gaps: tuple[int, ...] = (37, 75)
    dead: tuple[int, ...] = (60,)
    trace: np.ndarray = field(init=False)
    wave: np.ndarray = field(init=False)
    fiber_to_fiber: np.ndarray = field(init=False)
    alive: np.ndarray = field(init=False)

    def __post_init__(self):
        """Make the fibers."""
        rng = np.random.default_rng(self.seed)
        at = 24 + np.cumsum(np.r_[0, np.where(np.isin(np.arange(1, N_FIBER), self.gaps), 17.5, 8.74)])
        v = (at - 515.5) / 515.5
        self.trace = at[:, None] + rng.normal(0, 0.1, (N_FIBER, 1)) + 4 * (v[:, None] + 0.25) * U**2
        self.wave = 4505 + 1012 * U - 14 * U**2 + 4 * U**3 + (9 * (v**2 - 0.3))[:, None] + 1.2 * v[:, None] * U
        slopes = rng.normal(0, 0.03, (N_FIBER, 2))
        self.fiber_to_fiber = np.clip(rng.normal(1, 0.06, (N_FIBER, 1)), 0.8, 1.2) * (
            1 + slopes[:, :1] * U + slopes[:, 1:] * U**2
        )
        self.alive = np.ones(N_FIBER, bool)
        self.alive[list(self.dead)] = False

    @property
    def dispersion(self):
        """Å a pixel, (112, 1032)."""
        return np.gradient(self.wave, axis=1)

    @property
    def norm(self):
        """Electrons of a pixel for each electron that a mean fiber has in 2 Å."""
        return self.fiber_to_fiber * self.dispersion / 2

    def paint(self, electrons, offset=0.0):
        """Return the image of electrons of each fiber and column, whose traces are ``offset`` pixels higher."""
        image = np.zeros((N, N))
        lit = np.where(self.alive[:, None], electrons, 0)
        rows, sub = np.arange(-8, 9)[:, None], (np.arange(5) - 2) / 5
        for trace, light in zip(self.trace + offset, lit, strict=True):
            place = np.round(trace).astype(int) + rows
            profile = np.exp(-0.5 * (np.abs((place - trace)[..., None] + sub) / SIGMA) ** SHARPNESS).mean(-1)
            on = (place >= 0) & (place < N)
            image[place[on], np.broadcast_to(np.arange(N), place.shape)[on]] += (profile / profile.sum(0) * light)[on]
        return image


def observed(image, rng, scattered=0.5, readnoise=READNOISE):
    """Return an image with scattered light and noise, f4."""
    return (rng.poisson(image + scattered) + rng.normal(0, readnoise, image.shape)).astype(np.float32)


def add_rays(image, rng, n, longest=14, least=150.0, mean=700.0):
    """Add tracks of cosmic rays in place; return their pixels."""
    hit = np.zeros(image.shape, bool)
    for _ in range(n):
        y, x = rng.integers(5, N - 25, 2)
        angle = rng.uniform(0, np.pi)
        for t in np.arange(0, rng.integers(1, longest), 0.7):
            a, b = int(y + t * np.sin(angle)), int(x + t * np.cos(angle))
            if b >= 0 and not hit[a, b]:
                image[a, b] += rng.exponential(mean) + least
                hit[a, b] = True
    return hit
