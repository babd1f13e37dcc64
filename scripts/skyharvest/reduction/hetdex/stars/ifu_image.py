"""The picture of the sky that an IFU saw in an exposure: 51 × 51 pixels of 1″, as the field makes it.

The value of a pixel is the mean of the fibers about it, with Gaussian weights of their distance. Fibers of an exposure
cover a third of the face, 2.5″ apart, so that such a picture finds stars but does not measure them (`point_source`).
"""

import numpy as np

from skyharvest.core.arrays import Float32s, Floats

SIZE = 51
SCALE = 1.0
"""Arcsec."""
ORIGIN = -25.0
"""Arcsec in the IFU, both axes, of the first pixel's centre."""
SIGMA = 1.2
"""Arcsec, of the weights: about half of the fibers' distance."""
REACH = 2.0
"""Arcsec: a pixel without a fiber so near has no value."""


def reconstruct(x: Floats, y: Floats, light: Floats) -> Float32s:
    """Return the picture.

    Parameters
    ----------
    x, y
        (n,) f8, arcsec: where the fibers are in the IFU.
    light
        (n,) f8; NaN for a fiber of which nothing is known.

    Returns
    -------
    (51, 51) f4, [y, x]; NaN where there is no fiber.
    """
    grid = ORIGIN + SCALE * np.arange(SIZE)
    known = np.isfinite(light)
    # The weights are a product of those in x and in y.
    in_x = np.exp(-0.5 * ((grid[:, None] - x[known]) / SIGMA) ** 2)
    in_y = np.exp(-0.5 * ((grid[:, None] - y[known]) / SIGMA) ** 2)
    total = np.einsum("yf,xf,f->yx", in_y, in_x, light[known], optimize=True)
    weight = np.einsum("yf,xf->yx", in_y, in_x, optimize=True)
    lit = weight > np.exp(-0.5 * (REACH / SIGMA) ** 2)
    return np.where(lit, total / np.where(lit, weight, 1), np.nan).astype(np.float32)


def position(column: Floats, row: Floats) -> tuple[Floats, Floats]:
    """Return x and y in the IFU, arcsec, of pixels; the first pixel's centre is 0, 0."""
    return ORIGIN + SCALE * np.asarray(column), ORIGIN + SCALE * np.asarray(row)
