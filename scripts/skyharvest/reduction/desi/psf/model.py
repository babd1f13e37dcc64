"""The PSF of a camera: traces and shapes of its fibers, as Legendre polynomials of wavelength."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial.legendre import legval, legvander

from skyharvest.core.arrays import Floats, Ints
from skyharvest.reduction.desi.psf.gauss_hermite import spots

TAIL = ("TAILAMP", "TAILCORE", "TAILXSCA", "TAILYSCA", "TAILINDE")
PER_BUNDLE = 25
"""Fibers of a bundle: their traces stand close together, with a gap to the next bundle's."""


@dataclass(frozen=True)
class Spots:
    """Spots of fibers at wavelengths.

    Attributes
    ----------
    values
        (n_fiber, n_wave, n_y, n_x) f8; the sum of each is 1.
    corners
        (n_fiber, n_wave, 2) i8: x and y of the first pixel of each.
    """

    values: Floats
    corners: Ints


@dataclass(frozen=True)
class Psf:
    """The PSF of a camera (``GAUSS-HERMITE``, version 3).

    Attributes
    ----------
    x, y
        (n_fiber, degree + 1) f8: Legendre coefficients of the traces, pixels; a pixel's centre has a whole number.
    wave_min, wave_max
        Å in vacuum: the polynomials' domain.
    shape
        ``GHSIGX``, ``GHSIGY``, ``GH-i-j``, ``TAILAMP``, … → (n_fiber, degree + 1) f8, Legendre coefficients.
    degree_x, degree_y
        Of the Gauss-Hermite functions.
    half_x, half_y
        A spot has ``2 half + 1`` pixels.
    n_x, n_y
        Pixels of the camera's image.
    first_fiber
        Number of the first fiber, 0 to 499 in a camera.
    error
        Relative error of the model.
    status
        (n_fiber,) i8: 0 where the fiber's PSF was measured; else it is another's, and is not to be trusted.
    chi2
        (n_fiber,) f8: of the fit, per degree of freedom, in the fiber's bundle; NaN if there was none.
    """

    x: Floats
    y: Floats
    wave_min: float
    wave_max: float
    shape: Mapping[str, Floats]
    degree_x: int
    degree_y: int
    half_x: int
    half_y: int
    n_x: int
    n_y: int
    first_fiber: int
    error: float
    status: Ints
    chi2: Floats

    @property
    def n_fiber(self) -> int:
        """Number of fibers."""
        return len(self.x)

    @property
    def bundle(self) -> Ints:
        """(n_fiber,) i8: number of each fiber's bundle."""
        return (self.first_fiber + np.arange(self.n_fiber)) // PER_BUNDLE

    def scaled(self, wave: Floats) -> Floats:
        """Return wavelengths, Å, in the polynomials' domain: -1 to 1."""
        return 2 * (wave - self.wave_min) / (self.wave_max - self.wave_min) - 1

    def traces(self, wave: Floats) -> tuple[Floats, Floats]:
        """Return x and y of all fibers at wavelengths: (n_fiber, n_wave) f8, pixels."""
        u = self.scaled(wave)
        return np.asarray(legval(u, self.x.T), np.float64), np.asarray(legval(u, self.y.T), np.float64)

    def parameter(self, name: str, wave: Floats) -> Floats:
        """Return a parameter of the shape at wavelengths: (n_fiber, n_wave) f8; zeros if the PSF has none."""
        if name not in self.shape:
            return np.zeros((self.n_fiber, len(wave)))
        return np.asarray(legval(self.scaled(wave), self.shape[name].T), np.float64)

    def hermite(self, wave: Floats) -> Floats:
        """Return the coefficients of Gauss-Hermite functions: (n_fiber, n_wave, degree_x + 1, degree_y + 1) f8."""
        made = np.zeros((self.n_fiber, len(wave), self.degree_x + 1, self.degree_y + 1))
        for i in range(self.degree_x + 1):
            for j in range(self.degree_y + 1):
                if np.any(self.shape.get(f"GH-{i}-{j}", 0)):
                    made[..., i, j] = self.parameter(f"GH-{i}-{j}", wave)
        return made

    def spots(self, wave: Floats) -> Spots:
        """Return the spots of all fibers at wavelengths, Å."""
        x, y = self.traces(wave)
        widths = [self.parameter(name, wave) for name in ("GHSIGX", "GHSIGY")]
        hermite = self.hermite(wave)
        tails = np.stack([self.parameter(name, wave) for name in TAIL], axis=-1)
        values = np.empty((*x.shape, 2 * self.half_y + 1, 2 * self.half_x + 1))
        corners = np.empty((*x.shape, 2), np.int64)
        for k in range(self.n_fiber):
            spots(
                x[k],
                y[k],
                widths[0][k],
                widths[1][k],
                hermite[k],
                tails[k],
                self.half_x,
                self.half_y,
                values[k],
                corners[k],
            )
        return Spots(values, corners)

    def wavelengths(self, y: Floats) -> Floats:
        """Return the wavelengths at which the traces cross rows: (n_fiber, len(y)) f8, Å.

        Outside of the domain the traces are taken as straight lines.
        """
        grid = np.linspace(self.wave_min, self.wave_max, 1000)
        rows = self.traces(grid)[1]
        made = np.empty((self.n_fiber, len(y)))
        for k, row in enumerate(rows):
            made[k] = np.interp(y, row, grid)
            for outside, (i, j) in ((y < row[0], (0, 1)), (y > row[-1], (-1, -2))):
                slope = (grid[i] - grid[j]) / (row[i] - row[j])
                made[k][outside] = grid[i] + slope * (y[outside] - row[i])
        return made

    def by_bundle(self) -> "Iterator[Psf]":
        """Yield the PSF of each bundle's fibers."""
        for bundle in np.unique(self.bundle):
            of = np.flatnonzero(self.bundle == bundle)
            yield self.select(int(of[0]), int(of[-1]) + 1)

    def select(self, first: int, stop: int) -> "Psf":
        """Return the PSF of some fibers, by their place in this one."""
        some = slice(first, stop)
        return replace(
            self,
            x=self.x[some],
            y=self.y[some],
            shape={name: values[some] for name, values in self.shape.items()},
            first_fiber=self.first_fiber + first,
            status=self.status[some],
            chi2=self.chi2[some],
        )


def to_domain(coefficients: Floats, old: tuple[float, float], new: tuple[float, float]) -> Floats:
    """Return Legendre coefficients, (n, degree + 1), of the same polynomials in another domain, (from, to)."""
    degree = coefficients.shape[1] - 1
    u = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))  # as many points as coefficients: exact
    wave = new[0] + (u + 1) / 2 * (new[1] - new[0])
    values = legval(2 * (wave - old[0]) / (old[1] - old[0]) - 1, coefficients.T)
    return np.linalg.solve(legvander(u, degree), values.T).T
