"""HEALPix: which pixels positions and circles fall into, and which pixel scheme a column of numbers follows.

Scheme: Górski et al. 2005, ApJ 622, 759. hpgeom works it out with numpy alone; tests compare with healpy, whose import
would cost every job 2 s.
"""

from typing import Any

import hpgeom
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NSIDES = tuple(2**k for k in range(10))  # 1 to 512
MARGIN = 1.01  # a pixel up to 1 % of the radius beyond the circle may count as touched; never may one be missed
POLYGON = 64  # corners: at MARGIN radii they lie outside the circle, and the polygon's sides, too (1.01 cos(π/64) > 1)
SMALL = 0.25  # of a pixel's size: circles up to here reach into neighbouring pixels only (pixels are 0.67 wide or more)
FINER = 16  # NSIDE of the grid on which larger circles are drawn, over that of the pixels
BLOCK = 16_384  # targets at once: about 200 MB


def ang2pix(nside: int, ra: Any, dec: Any, nested: bool = True) -> Ints:
    """Return the HEALPix pixel of each position.

    Parameters
    ----------
    nside
        A power of two.
    ra, dec : (n,) float64
        Degrees; RA of any range.
    nested
        NESTED ordering (DESI's), else RING.
    """
    return np.asarray(hpgeom.angle_to_pixel(nside, *_angles(ra, dec), nest=nested, lonlat=False), np.int64)


def _angles(ra: Any, dec: Any) -> tuple[Any, Any]:
    """Return co-latitude and longitude (radians) of positions (degrees), rounded as healpy does it: borders agree."""
    return np.pi / 2 - np.radians(dec), np.radians(ra) % (2 * np.pi)


def parent(pix: Ints, nside_from: int, nside_to: int) -> Ints:
    """Return the coarser NESTED pixel that holds each pixel: two bits fewer per halving of NSIDE."""
    if nside_to > nside_from:
        raise ValueError(f"NSIDE={nside_to} is finer than NSIDE={nside_from}")
    return np.asarray(pix, np.int64) >> 2 * (nside_from.bit_length() - nside_to.bit_length())


def touched_pixels(nside: int, ra: Any, dec: Any, radius_arcsec: float) -> tuple[Ints, Ints]:
    """Return every (target, NESTED pixel) pair such that the pixel touches the closed circle round the target.

    None is missed, at poles, edges and corners either. For circles of up to a quarter of the pixel's size, a pixel
    that is farther away than 1.01 radii is not returned; for larger ones, none that is a fifth of its size too far.

    Parameters
    ----------
    nside
        A power of two.
    ra, dec : (n,) float64
        Finite, degrees.
    radius_arcsec
        Of the circles, not negative.

    Returns
    -------
    index, pixel : (m,) int64
        Target number and pixel, ordered by target, then pixel, without duplicates.
    """
    if not radius_arcsec >= 0:
        raise ValueError(f"the radius is {radius_arcsec} arcsec; expected 0 or more")
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    radius = np.radians(radius_arcsec / 3600)
    touch = _touch_small if radius <= SMALL * hpgeom.nside_to_resolution(nside, units="radians") else _touch_large
    n_pixels = 12 * nside**2
    indices, pixels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(ra), BLOCK):
        index, pixel = touch(nside, ra[start : start + BLOCK], dec[start : start + BLOCK], radius)
        index, pixel = np.divmod(np.unique(index * n_pixels + pixel), n_pixels)
        indices.append(index + start)
        pixels.append(pixel)
    return np.concatenate(indices), np.concatenate(pixels)


def _touch_small(nside: int, ra: Floats, dec: Floats, radius: float) -> tuple[Ints, Ints]:
    """Return pairs, with duplicates, for circles (radius in radians) that are small against a pixel.

    A pixel's border is straight, or nearly so, across such a circle. So a pixel that touches the circle holds a corner
    of a polygon round the circle, unless the pixel's own corner lies in there.
    """
    own = ang2pix(nside, ra, dec)

    # Most targets are far from every border. Where another pixel touches the circle, it holds at least one of 16 points
    # at twice the radius, also if only its corner does: no corner is sharper than 52°.
    wide = _circle_pixels(nside, ra, dec, 2 * radius, 16)
    near = np.flatnonzero((wide != own[:, None]).any(axis=1))

    polygon = _circle_pixels(nside, ra[near], dec[near], MARGIN * radius, POLYGON)
    around = hpgeom.neighbors(nside, own[near]).reshape(-1, 8)  # -1: there are only 7
    index, neighbour = np.repeat(near, around.shape[1]), around.ravel()
    index, neighbour = index[neighbour >= 0], neighbour[neighbour >= 0]
    touching = (_corner_distance(nside, neighbour, ra[index], dec[index]) <= MARGIN * radius).any(axis=1)
    return (
        np.concatenate([np.arange(len(ra)), np.repeat(near, POLYGON), index[touching]]),
        np.concatenate([own, polygon.ravel(), neighbour[touching]]),
    )


def _touch_large(nside: int, ra: Floats, dec: Floats, radius: float) -> tuple[Ints, Ints]:
    """Return pairs for circles of any size (radius in radians).

    Those that hold a much finer pixel which may touch the circle. `query_circle` itself would miss some: with
    ``inclusive=True`` (healpy issue 968), and in NESTED ordering if the circle is larger than a hemisphere.
    """
    fine = nside * FINER
    reach = min(radius + 1.001 * hpgeom.max_pixel_radius(fine, degrees=False), np.pi)
    theta, phi = _angles(ra, dec)
    discs = [
        hpgeom.ring_to_nest(fine, hpgeom.query_circle(fine, *place, reach, nest=False, lonlat=False))
        for place in zip(theta, phi, strict=True)
    ]
    pixels = [np.unique(parent(disc, fine, nside)) for disc in discs]
    index = np.repeat(np.arange(len(ra)), [len(touched) for touched in pixels])
    return index, np.concatenate(pixels)


def _circle_pixels(nside: int, ra: Floats, dec: Floats, radius: float, n: int) -> Ints:
    """Return the pixels, (len(ra), n), of n evenly spaced points on the circle (radians) round each position."""
    angle = 2 * np.pi * np.arange(n) / n
    centre, east, north = _frame(ra, dec)
    toward = np.cos(angle) * north[:, :, None] + np.sin(angle) * east[:, :, None]
    x, y, z = np.cos(radius) * centre[:, :, None] + np.sin(radius) * toward
    return np.asarray(hpgeom.vector_to_pixel(nside, x, y, z), np.int64)


def _corner_distance(nside: int, pixel: Ints, ra: Floats, dec: Floats) -> Floats:
    """Return the distance (radians) from each position to the four corners of its pixel, (len(pixel), 4)."""
    unique, inverse = np.unique(pixel, return_inverse=True)
    corners = _frame(*hpgeom.boundaries(nside, unique, step=1))[0].reshape(3, -1, 4)[:, inverse]
    chord = np.linalg.norm(corners - _frame(ra, dec)[0][:, :, None], axis=0)
    return np.asarray(2 * np.arcsin(np.minimum(chord / 2, 1)))


def _frame(ra: Floats, dec: Floats) -> tuple[Floats, Floats, Floats]:
    """Return unit vectors (3, n) to each position (degrees), and to its east and north; a right frame at poles too."""
    sin_ra, cos_ra = np.sin(np.radians(ra)), np.cos(np.radians(ra))
    sin_dec, cos_dec = np.sin(np.radians(dec)), np.cos(np.radians(dec))
    centre = np.stack([cos_dec * cos_ra, cos_dec * sin_ra, sin_dec])
    east = np.stack([-sin_ra, cos_ra, np.zeros_like(ra)])
    north = np.stack([-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec])
    return centre, east, north


def agreement(values: Ints, ra: Any, dec: Any, nside: int, nested: bool) -> float:
    """Return the fraction of ``values`` that are the pixels of the positions (degrees) in this scheme."""
    return float(np.mean(values == ang2pix(nside, ra, dec, nested))) if len(values) else 0.0


def guess_scheme(values: Ints, ra: Any, dec: Any) -> list[tuple[int, str, float]]:
    """Return (NSIDE, ordering, fraction that agrees) for NSIDE 1 to 512, NESTED and RING, best first.

    At NSIDE=1 the two orderings are the same; it is listed as NESTED.
    """
    schemes = [(nside, kind) for nside in NSIDES for kind in ("NESTED", "RING") if (nside, kind) != (1, "RING")]
    agreements = [(nside, kind, agreement(values, ra, dec, nside, kind == "NESTED")) for nside, kind in schemes]
    return sorted(agreements, key=lambda scheme: -scheme[2])


def outlines(nside: int, pixels: Ints, steps: int) -> tuple[Floats, Floats]:
    """Return RA and Dec (degrees) of points along the borders of NESTED pixels, (n, 4 · steps) each.

    Parameters
    ----------
    nside
        A power of two.
    pixels : (n,) int64
    steps
        Points for each of a pixel's four sides, of which the first is a corner.
    """
    ra, dec = hpgeom.boundaries(nside, pixels, step=steps)
    return ra.reshape(-1, 4 * steps) % 360, dec.reshape(-1, 4 * steps)
