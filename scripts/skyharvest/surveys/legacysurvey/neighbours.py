"""Which other bricks' images a cutout runs into: images are squares on tangent planes, larger than their bricks."""

import numpy as np

from skyharvest.core.arrays import Floats, Ints
from skyharvest.sky.matching import equal_ids, within_radius
from skyharvest.surveys.legacysurvey.bricks import Bricks
from skyharvest.surveys.legacysurvey.images import PIXEL_ARCSEC

LEAST_LARGER, MOST_LARGER = 0.048, 165.0
"""An image's side beyond that of its box, as a share of it and in pixels: both are of 3600 and 0.25° / 0.262″ = 3435.1.
Of smaller bricks, such as simulated ones, an image may have any side between these."""
SLACK = 1.0  # pixels: of roundings


def image_sides(bricks: Bricks) -> tuple[float, float]:
    """Return the side, in pixels, that a release's images have at least, and at most, from its tallest box."""
    box = float((bricks["dec2"] - bricks["dec1"]).max()) * 3600 / PIXEL_ARCSEC
    return box * (1 + LEAST_LARGER), box + MOST_LARGER


def neighbours(bricks: Bricks, home: Ints, ra: Floats, dec: Floats, size: int) -> tuple[Ints, Ints]:
    """Find the bricks whose image may hold a pixel of a cutout that the home brick's image does not hold.

    Images are taken to be squares around the bricks' centres, North up and East left, on the tangent plane there; the
    home brick's of the smaller, others of the larger of `image_sides`. Their headers may show later that fewer do.

    Parameters
    ----------
    bricks
        Of all regions; only those of the home brick's count.
    home : (n,) int64
        Number of each position's brick.
    ra, dec : (n,) float64, degrees
    size
        Side of the cutout, in pixels.

    Returns
    -------
    position, brick : (k,) int64
        Pairs, without the home bricks.
    """
    if len(home) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    least, most = image_sides(bricks)
    x, y = _on_plane(bricks[home], _unit(ra, dec))
    # The cutout's outer pixels, relative to the image's centre. It begins size // 2 before the nearest pixel.
    before, behind = size // 2 + SLACK, size - 1 - size // 2 + SLACK
    x1, x2, y1, y2 = x - before, x + behind, y - before, y + behind
    inside = least / 2 - 0.5  # where the last pixel of the home brick has its centre
    off = np.flatnonzero((x1 < -inside) | (x2 > inside) | (y1 < -inside) | (y2 > inside))
    at, other = _nearby(bricks, home[off], (most + size) / 2)
    at = off[at]
    x1, x2, y1, y2 = x1[at], x2[at], y1[at], y2[at]
    touched = np.zeros(len(at), bool)
    for box in (
        (x1, np.minimum(x2, -inside), y1, y2),
        (np.maximum(x1, inside), x2, y1, y2),
        (x1, x2, y1, np.minimum(y2, -inside)),
        (x1, x2, np.maximum(y1, inside), y2),
    ):
        some = np.flatnonzero((box[0] < box[1]) & (box[2] < box[3]))
        left, right, low, high = (edge[some] for edge in box)
        corners = [(left, low), (left, high), (right, low), (right, high)]
        on_sky = [_on_sky(bricks[home[at[some]]], *corner) for corner in corners]
        # Straight lines stay straight from one tangent plane to another.
        seen = np.array([_on_plane(bricks[other[some]], place) for place in on_sky])
        reach = most / 2 + SLACK
        touched[some] |= ((seen.min(axis=0) <= reach) & (seen.max(axis=0) >= -reach)).all(axis=0)
    return at[touched], other[touched]


def _nearby(bricks: Bricks, home: Ints, reach: float) -> tuple[Ints, Ints]:
    """Return pairs of a position's number and another brick of its region so near that the cutout may reach it.

    Parameters
    ----------
    reach
        Pixels along an axis from the middle of the cutout to that of the other image.
    """
    homes, number = np.unique(home, return_inverse=True)
    box = (bricks["dec2"] - bricks["dec1"]).max() * 3600 / PIXEL_ARCSEC
    radius = np.sqrt(2) * (box / 2 + reach + 2 * SLACK) * PIXEL_ARCSEC * 1.01  # the plane is no sphere
    k, brick, _ = within_radius(bricks["ra"][homes], bricks["dec"][homes], bricks["ra"], bricks["dec"], radius)
    fit = (brick != homes[k]) & (bricks["region"][brick] == bricks["region"][homes[k]])
    at, pair = equal_ids(number.astype(np.int64), k[fit])
    return at, brick[fit][pair]


def _unit(ra: Floats, dec: Floats) -> Floats:
    """Return unit vectors (3, n) of positions in degrees."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _axes(bricks: Bricks) -> tuple[Floats, Floats, Floats]:
    """Return unit vectors (3, n) to the bricks' centres, and to the West and North there."""
    ra, dec = np.radians(bricks["ra"]), np.radians(bricks["dec"])
    west = np.array([np.sin(ra), -np.cos(ra), np.zeros(len(ra))])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    return _unit(bricks["ra"], bricks["dec"]), west, north


def _on_plane(bricks: Bricks, direction: Floats) -> Floats:
    """Return x, y (2, n), in pixels from the centre, of directions (3, n) on the tangent planes of bricks."""
    centre, west, north = _axes(bricks)
    toward = (direction * centre).sum(axis=0)
    plane = np.array([(direction * west).sum(axis=0), (direction * north).sum(axis=0)]) / toward
    return np.asarray(np.degrees(plane) * 3600 / PIXEL_ARCSEC)


def _on_sky(bricks: Bricks, x: Floats, y: Floats) -> Floats:
    """Return directions (3, n), of any length: the inverse of `_on_plane`."""
    centre, west, north = _axes(bricks)
    return np.asarray(centre + np.radians(PIXEL_ARCSEC / 3600) * (x * west + y * north))
