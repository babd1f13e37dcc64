"""The picture of an exposure's whole focal plane, made of those of its IFUs, and what it looks like on a screen."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skyharvest.core.arrays import Float32s, Floats
from skyharvest.reduction.hetdex.stars import ifu_image

Bytes = npt.NDArray[np.uint8]

DARK, WHITE = 20.0, 250.0
"""Levels of grey, of 255, of the sky and of what is brightest; there is nothing where it is 0."""
RING = 5.0
"""Pixels: radius of marks."""
RED, GREEN = (255, 60, 40), (60, 230, 80)


def mosaic(
    centres: Sequence[tuple[float, float]], ifus: Sequence[tuple[Floats, Floats, Floats]]
) -> tuple[Float32s, tuple[float, float]]:
    """Lay the pictures of IFUs where they are on the focal plane.

    Parameters
    ----------
    centres
        x and y, arcsec, of each IFU.
    ifus
        x, y and light of the fibers of each: see `ifu_image.reconstruct`.

    Returns
    -------
    picture : (n, m) f4, [y, x]
        Pixels of 1″, to which IFUs are moved by up to half of one; NaN where there is no IFU.
    corner : x and y, arcsec, of the first pixel's centre.
    """
    at = np.rint(np.array(centres) + ifu_image.ORIGIN).astype(np.int64)
    corner = at.min(axis=0)
    width, height = at.max(axis=0) - corner + ifu_image.SIZE
    picture = np.full((height, width), np.nan, np.float32)
    for (x, y), fibers in zip(at - corner, ifus, strict=True):
        own = ifu_image.reconstruct(*fibers)
        there = picture[y : y + ifu_image.SIZE, x : x + ifu_image.SIZE]
        there[:] = np.where(np.isfinite(own), own, there)
    return picture, (float(corner[0]), float(corner[1]))


def grey(picture: Float32s) -> Bytes:
    """Return a picture for a screen: (n, m, 3) u1, the first row at the top, which is the largest y."""
    known = np.isfinite(picture)
    level = np.zeros(picture.shape)
    if known.any():
        low, high = np.percentile(picture[known], [10, 99.7])
        scaled = np.arcsinh(np.clip((picture[known] - low) / max(high - low, 1e-30), 0, 1) * 10) / np.arcsinh(10)
        level[known] = DARK + (WHITE - DARK) * scaled
    return np.repeat(level.astype(np.uint8)[::-1, :, None], 3, axis=2)


def marked(picture: Float32s, corner: tuple[float, float], matched: Floats, catalogued: Floats) -> Bytes:
    """Return a picture with rings: green about stars that were matched, red about all of the catalogue.

    Parameters
    ----------
    corner
        As `mosaic` returns it.
    matched, catalogued
        (n, 2) f8: x and y on the focal plane, arcsec.
    """
    made = grey(picture)[::-1].copy()
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    for points, radius, colour in ((catalogued, RING + 2, RED), (matched, RING, GREEN)):
        around = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x, y = np.rint(points[:, None] + around - np.array(corner)).astype(np.int64).reshape(-1, 2).T
        inside = (x >= 0) & (x < made.shape[1]) & (y >= 0) & (y < made.shape[0])
        made[y[inside], x[inside]] = colour
    return made[::-1].copy()
