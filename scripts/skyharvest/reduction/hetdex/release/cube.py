"""The light of an IFU's fibers, spread onto the spaxels of a data cube.

A fiber sees a disc of the sky, π 0.75² arcsec², at each wavelength where refraction has moved the image there
(`refraction.shift`). A spaxel's surface brightness is the mean of the fibers about it, with Gaussian weights of their
distance. Fibers of three dithers are a lattice, in which each of them stands for as many spaxels as its cell has: so
light is conserved, the sky's at each place and a source's as a whole. Images are wider than the seeing by the fiber's
face and the kernel: a circle of 3.5″ has 1 % less of a star's light than of its Moffat profile at a seeing of 1.8″, and
2.5 % less at 2.5″. Where one exposure has another seeing than the others, its coarser lattice shows: a star's light is
then off by some 2 %, this way or that, depending on its place.

**Errors.** The noise of a fiber is in some seven spaxels, which are not independent. ERROR² of a spaxel is its share of
the variance of sums: over the spaxels of a fiber, it adds up to the variance of what the fiber adds to their sum, times
`IN_APERTURE`². So ``sqrt(sum(ERROR**2))``, as if spaxels were independent, is the error of the light in a circle of
3.5″; in one of 2″ it is 7 % too large, in one of 7″ 4 % too small. A spaxel alone scatters by a quarter of its ERROR.
"""

from dataclasses import dataclass

import numba
import numpy as np

from skyharvest.core.arrays import Array, Float32s, Floats, Ints
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.virus import FIBER_RADIUS, GRID

N_SPAXELS = 104
SPAXEL = 0.5
"""Arcsec: a spaxel's side."""
MIDDLE = (N_SPAXELS - 1) / 2
"""Of the cube, in spaxels from the first one's centre."""
NEAR = 1.25
"""Arcsec: a spaxel without a fiber so near has no value. In the lattice of three dithers none is farther than 0.9."""
REACH = 4.0
"""σ of the kernel: farther fibers have no weight."""
IN_APERTURE = 0.94
"""Measured: scatter of the light in circles of 3.5″, over what errors would be without it. Of a fiber on the rim of a
circle a part of the light is in it, and the square of this part of the variance."""

_SHARE = SPAXEL**2 / (np.pi * FIBER_RADIUS**2)  # of a fiber's light, in a spaxel that is as bright


@dataclass(frozen=True)
class Cube:
    """The images of a cube, (1036, 104, 104): wavelength, y, x.

    Attributes
    ----------
    data, error
        f4: 1e-17 erg/s/cm² per spaxel in 2 Å, at `virus.GRID`; NaN where no fiber was near.
    mask
        i2: bits of the fiber that is nearest; ``empty`` where there is no value.
    """

    data: Float32s
    error: Float32s
    mask: Array


def make_cube(
    x: Floats, y: Floats, flux: Float32s, error: Float32s, bits: Array, *, kernel_fwhm: float, empty: int
) -> Cube:
    """Return the cube of n fibers: those of all exposures of an IFU.

    Parameters
    ----------
    x, y
        (n,) f8, arcsec from the cube's middle, along the axes of the focal plane: images move along x with wavelength.
    flux, error
        (n, 1036) f4, 1e-17 erg/s/cm² in 2 Å of the light that came into a fiber; NaN where nothing is known. A fiber
        that is to have no part in the light has no values; it still has a place, and bits.
    bits
        (n, 1036) i2.
    kernel_fwhm
        Of the weights, arcsec.
    empty
        Bits of voxels without a value, beside those of the nearest fiber.

    Returns
    -------
    Cube
    """
    data, errors = (np.empty((GRID.size, N_SPAXELS, N_SPAXELS), np.float32) for _ in range(2))
    mask = np.empty(data.shape, np.int16)
    sigma = kernel_fwhm / np.sqrt(8 * np.log(2)) / SPAXEL
    _spread(
        x / SPAXEL + MIDDLE,
        y / SPAXEL + MIDDLE,
        refraction.shift(GRID) / SPAXEL,
        np.ascontiguousarray(flux.T),
        np.ascontiguousarray(error.T),
        np.ascontiguousarray(bits.T),
        sigma,
        NEAR / SPAXEL,
        max(REACH * sigma, NEAR / SPAXEL),
        empty,
        data,
        errors,
        mask,
    )
    return Cube(data, errors, mask)


@numba.njit(cache=True)
def _within(center: float, reach: float) -> tuple[int, int]:
    """Return the first spaxel that is within reach, and the one after the last."""
    return max(int(np.ceil(center - reach)), 0), min(int(np.floor(center + reach)) + 1, N_SPAXELS)


@numba.njit(cache=True)
def _weigh(center: float, reach: float, sigma: float, weights: Floats, squares: Floats) -> tuple[int, int]:
    """Write weights and squared distances of spaxels along an axis; return which ones these are."""
    first, stop = _within(center, reach)
    for j in range(first, stop):
        squares[j - first] = (j - center) ** 2
        weights[j - first] = np.exp(-0.5 * squares[j - first] / (sigma * sigma))
    return first, stop


@numba.njit(cache=True)
def _spread(
    x: Floats,
    y: Floats,
    shift: Floats,
    flux: Float32s,
    error: Float32s,
    bits: Array,
    sigma: float,
    near: float,
    reach: float,
    empty: int,
    data: Float32s,
    errors: Float32s,
    mask: Array,
) -> None:
    """Fill the images; places and lengths are in spaxels, and arrays of fibers (1036, n)."""
    n, longest = x.size, int(2 * reach) + 2
    in_x, in_y = np.empty((n, longest)), np.empty((n, longest))
    apart_x, apart_y = np.empty((n, longest)), np.empty((n, longest))
    columns, rows = np.empty((n, 2), np.int64), np.empty((n, 2), np.int64)
    for i in range(n):
        rows[i] = _weigh(y[i], reach, sigma, in_y[i], apart_y[i])
    plane = (N_SPAXELS, N_SPAXELS)
    total, light, variance, nearest = np.empty(plane), np.empty(plane), np.empty(plane), np.empty(plane)
    least = np.exp(-0.5 * (near / sigma) ** 2)
    known = np.empty(n, np.bool_)
    for k in range(shift.size):
        total[:] = 0.0
        light[:] = 0.0
        variance[:] = 0.0
        nearest[:] = np.inf
        mask[k] = 0
        for i in range(n):
            known[i] = np.isfinite(flux[k, i]) and np.isfinite(error[k, i])
            columns[i] = _weigh(x[i] - shift[k], reach, sigma, in_x[i], apart_x[i])
            _place(i, columns, rows, in_x, in_y, apart_x, apart_y, known[i], bits[k, i], total, nearest, mask[k])
        for row in range(N_SPAXELS):
            for column in range(N_SPAXELS):
                there = total[row, column] >= least
                total[row, column] = 1.0 / total[row, column] if there else 0.0
        for i in range(n):
            if known[i]:
                in_spaxel, its_error = _SHARE * flux[k, i], _SHARE * error[k, i]
                _add(i, columns, rows, in_x, in_y, in_spaxel, its_error, total, light, variance)
        for row in range(N_SPAXELS):
            for column in range(N_SPAXELS):
                if total[row, column] > 0.0:
                    data[k, row, column] = light[row, column] * total[row, column]
                    errors[k, row, column] = IN_APERTURE * np.sqrt(variance[row, column] * total[row, column])
                else:
                    data[k, row, column] = errors[k, row, column] = np.nan
                    mask[k, row, column] |= empty


@numba.njit(cache=True)
def _place(
    i: int,
    columns: Ints,
    rows: Ints,
    in_x: Floats,
    in_y: Floats,
    apart_x: Floats,
    apart_y: Floats,
    known: bool,
    bits: int,
    total: Floats,
    nearest: Floats,
    mask: Array,
) -> None:
    """Add the weights of fiber i to the total, and give its bits to the spaxels that it is nearest to."""
    for row in range(rows[i, 0], rows[i, 1]):
        b = row - rows[i, 0]
        for column in range(columns[i, 0], columns[i, 1]):
            a = column - columns[i, 0]
            apart = apart_x[i, a] + apart_y[i, b]
            if apart < nearest[row, column]:
                nearest[row, column], mask[row, column] = apart, bits
            if known:
                total[row, column] += in_x[i, a] * in_y[i, b]


@numba.njit(cache=True)
def _add(
    i: int,
    columns: Ints,
    rows: Ints,
    in_x: Floats,
    in_y: Floats,
    flux: float,
    error: float,
    total: Floats,
    light: Floats,
    variance: Floats,
) -> None:
    """Add the light of fiber i, and its part of the variance; ``total`` is one over the spaxels' weights.

    Parameters
    ----------
    flux, error
        In a spaxel that is as bright as the fiber.
    """
    spaxels = 0.0
    for row in range(rows[i, 0], rows[i, 1]):
        weight = 0.0
        for column in range(columns[i, 0], columns[i, 1]):
            weight += in_x[i, column - columns[i, 0]] * total[row, column]
        spaxels += in_y[i, row - rows[i, 0]] * weight
    shared = spaxels * error * error
    for row in range(rows[i, 0], rows[i, 1]):
        weight = in_y[i, row - rows[i, 0]]
        for column in range(columns[i, 0], columns[i, 1]):
            both = weight * in_x[i, column - columns[i, 0]]
            light[row, column] += both * flux
            variance[row, column] += both * shared
