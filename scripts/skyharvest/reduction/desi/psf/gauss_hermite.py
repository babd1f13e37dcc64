"""Pixel-integrated Gauss-Hermite functions, and the spots that they add up to.

A spot is ``sum_ij c_ij P_i((x - xc) / sx) P_j((y - yc) / sy)``, where ``P_k`` is the integral over a pixel of
``He_k(u) exp(-u**2 / 2) / sqrt(2 pi)`` and He_k the probabilists' Hermite polynomial. As the integral of
``He_k exp(-u**2 / 2)`` is ``-He_(k-1) exp(-u**2 / 2)``, only ``P_0`` needs an error function. This is the PSF of
specter and specex (``GAUSS-HERMITE``): Guy et al. 2023, AJ 165, 144, §4.4.
"""

from math import erf, exp, floor, pi, sqrt
from typing import Any

import numba
import numpy as np

_NORM = 1 / sqrt(2 * pi)


@numba.njit(cache=True)
def corner(centre: float, half: int) -> int:
    """Return the first pixel of a spot of ``2 half + 1`` pixels; a pixel's centre has a whole number as coordinate."""
    return floor(centre - half + 0.5)


@numba.njit(cache=True)
def integrals(centre: float, sigma: float, first: int, out: Any) -> None:
    """Integrate over pixels.

    Parameters
    ----------
    centre, sigma
        In pixels.
    first
        The first pixel.
    out
        To be filled, (degree + 1, n_pixels) f8: ``P_k`` of each pixel.
    """
    degree, n = out.shape[0] - 1, out.shape[1]
    before = np.empty(degree + 1)  # antiderivatives at the pixel's left edge
    after = np.empty(degree + 1)
    for edge in range(n + 1):
        u = (first + edge - 0.5 - centre) / sigma
        after[0] = 0.5 * erf(u / sqrt(2.0))
        if degree > 0:
            gauss = _NORM * exp(-0.5 * u * u)
            h_last, h = 0.0, 1.0  # He_(k-2), He_(k-1)
            for k in range(1, degree + 1):
                after[k] = -h * gauss
                h_last, h = h, u * h - (k - 1) * h_last
        if edge > 0:
            for k in range(degree + 1):
                out[k, edge - 1] = after[k] - before[k]
        for k in range(degree + 1):
            before[k] = after[k]


@numba.njit(cache=True)
def derivatives(centre: float, sigma: float, first: int, by_centre: Any, by_sigma: Any) -> None:
    """Return the derivatives of `integrals`, by ``centre`` and by ``sigma``; arguments and shapes as there."""
    degree, n = by_centre.shape[0] - 1, by_centre.shape[1]
    before = np.empty(degree + 1)  # He_k times the Gaussian
    before_u = 0.0
    after = np.empty(degree + 1)
    for edge in range(n + 1):
        u = (first + edge - 0.5 - centre) / sigma
        gauss = _NORM * exp(-0.5 * u * u)
        h_last, h = 0.0, 1.0
        for k in range(degree + 1):
            after[k] = h * gauss
            h_last, h = h, u * h - k * h_last
        if edge > 0:
            for k in range(degree + 1):
                by_centre[k, edge - 1] = (before[k] - after[k]) / sigma
                by_sigma[k, edge - 1] = (before_u * before[k] - u * after[k]) / sigma
        for k in range(degree + 1):
            before[k] = after[k]
        before_u = u


@numba.njit(cache=True)
def _add_tail(spot: Any, x: float, y: float, first_x: int, first_y: int, tail: Any) -> None:
    amplitude, core, scale_x, scale_y, index = tail
    for j in range(spot.shape[0]):
        for i in range(spot.shape[1]):
            r2 = ((first_x + i - x) * scale_x) ** 2 + ((first_y + j - y) * scale_y) ** 2
            spot[j, i] += amplitude * r2 / (core**2 + r2) ** (1 + index / 2)


@numba.njit(cache=True)
def spots(
    x: Any, y: Any, sigma_x: Any, sigma_y: Any, gh: Any, tails: Any, half_x: int, half_y: int, out: Any, corners: Any
) -> None:
    """Evaluate the spots of some wavelengths of a fiber: not negative, with a sum of 1, as specter has them.

    Parameters
    ----------
    x, y, sigma_x, sigma_y
        (n,) f8: centres and widths, pixels.
    gh
        (n, degree_x + 1, degree_y + 1) f8: the coefficients ``c_ij``.
    tails
        (n, 5) f8: amplitude, core, scales in x and y, index of the wings; none where the amplitude is 0.
    half_x, half_y
        A spot has ``2 half + 1`` pixels.
    out
        To be filled, (n, 2 half_y + 1, 2 half_x + 1) f8.
    corners
        To be filled, (n, 2) i8: x and y of the first pixel.
    """
    n_x, n_y = gh.shape[1], gh.shape[2]
    in_x, in_y = np.empty((n_x, 2 * half_x + 1)), np.empty((n_y, 2 * half_y + 1))
    is_plain = np.empty(x.size, np.bool_)
    for k in range(x.size):
        is_plain[k] = np.count_nonzero(gh[k]) == 1 and gh[k, 0, 0] != 0
    for k in range(x.size):
        first_x, first_y = corner(x[k], half_x), corner(y[k], half_y)
        corners[k, 0], corners[k, 1] = first_x, first_y
        if is_plain[k]:
            integrals(x[k], sigma_x[k], first_x, in_x[:1])
            integrals(y[k], sigma_y[k], first_y, in_y[:1])
            for j in range(in_y.shape[1]):
                for i in range(in_x.shape[1]):
                    out[k, j, i] = gh[k, 0, 0] * in_y[0, j] * in_x[0, i]
        else:
            integrals(x[k], sigma_x[k], first_x, in_x)
            integrals(y[k], sigma_y[k], first_y, in_y)
            out[k] = in_y.T @ (gh[k].T.copy() @ in_x)
        if tails[k, 0] != 0:
            _add_tail(out[k], x[k], y[k], first_x, first_y, tails[k])
        total = 0.0
        for j in range(in_y.shape[1]):
            for i in range(in_x.shape[1]):
                out[k, j, i] = max(out[k, j, i], 0.0)
                total += out[k, j, i]
        out[k] /= total
