"""Pairs of positions within a radius on the sphere."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ARCSEC = 1 / 3600  # degrees
SLACK_DEG = 1e-9  # so that rounding excludes no pair within the radius
BLOCK_PAIRS = 4_000_000  # candidate pairs held at once: about 200 MB


def separation_deg(ra1: Any, dec1: Any, ra2: Any, dec2: Any) -> Floats:
    """Return the great-circle distance in degrees between positions in degrees (broadcast).

    Vincenty's formula (1975), which `astropy.coordinates.angular_separation` uses too: exact at small and at large
    distances, at the poles and across RA 0/360.
    """
    lon1, lat1, lon2, lat2 = (np.radians(np.asarray(angle, np.float64)) for angle in (ra1, dec1, ra2, dec2))
    sin_dlon, cos_dlon = np.sin(lon2 - lon1), np.cos(lon2 - lon1)
    sin1, cos1, sin2, cos2 = np.sin(lat1), np.cos(lat1), np.sin(lat2), np.cos(lat2)
    across = cos2 * sin_dlon
    along = cos1 * sin2 - sin1 * cos2 * cos_dlon
    toward = sin1 * sin2 + cos1 * cos2 * cos_dlon
    return np.asarray(np.degrees(np.arctan2(np.hypot(across, along), toward)))


def within_radius(
    ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats, radius_arcsec: float
) -> tuple[Ints, Ints, Floats]:
    """Find every pair (i, j) with position i of the first list within the radius of position j of the second.

    With both lists sorted by declination, the candidates of a position are few and contiguous in memory.

    Parameters
    ----------
    ra1, dec1 : (n,) float64, degrees
    ra2, dec2 : (m,) float64, degrees. Positions that are not finite match nothing.
    radius_arcsec
        Pairs at exactly this distance count.

    Returns
    -------
    i, j : (k,) int64
        Indices into the first and the second list, ordered by i, then by distance, then by j.
    separation_arcsec : (k,) float64
    """
    radius_deg = radius_arcsec * ARCSEC
    asked = np.flatnonzero(np.isfinite(ra1) & np.isfinite(dec1))
    asked = asked[np.argsort(dec1[asked])]
    order = np.flatnonzero(np.isfinite(ra2) & np.isfinite(dec2))
    order = order[np.argsort(dec2[order])]
    ra_asked, dec_asked, ra_sorted, dec_sorted = ra1[asked], dec1[asked], ra2[order], dec2[order]
    reach = _reach_in_ra(dec_asked, radius_deg)
    first = np.searchsorted(dec_sorted, dec_asked - radius_deg - SLACK_DEG, "left")
    last = np.searchsorted(dec_sorted, dec_asked + radius_deg + SLACK_DEG, "right")
    counts = last - first
    ends = np.cumsum(counts)

    pairs: list[tuple[Ints, Ints, Floats]] = []
    begin = 0
    while begin < len(counts):
        before = ends[begin - 1] if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, before + BLOCK_PAIRS, "right")))
        n = counts[begin:stop]
        i = np.repeat(np.arange(begin, stop), n)
        j = np.arange(len(i)) + np.repeat(first[begin:stop] - (np.cumsum(n) - n), n)
        # The difference in RA excludes most candidates and is cheaper than the exact distance.
        distance, limit = np.abs(ra_sorted[j] - ra_asked[i]), reach[i]
        near = (distance <= limit) | (distance >= 360 - limit)
        i, j = asked[i[near]], order[j[near]]
        separation = separation_deg(ra1[i], dec1[i], ra2[j], dec2[j]) / ARCSEC
        inside = separation <= radius_arcsec
        pairs.append((i[inside], j[inside], separation[inside]))
        begin = stop
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    i, j, separation = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    order = np.lexsort((j, separation, i))
    return i[order].astype(np.int64), j[order].astype(np.int64), separation[order]


def equal_ids(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Return every pair (i, j) with ``first[i] == second[j]``, ordered by i, then j."""
    order = np.argsort(second, kind="stable")
    ordered = second[order]
    start = np.searchsorted(ordered, first, "left")
    counts = np.searchsorted(ordered, first, "right") - start
    i = np.repeat(np.arange(len(first)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return i, order[np.repeat(start, counts) + within]


def _reach_in_ra(dec: Floats, radius_deg: float) -> Floats:
    """Return the largest difference in RA that a position within the radius can have, degrees."""
    # Within the radius, sin(dRA) <= sin(radius) / cos(dec); a circle around a pole has every RA.
    sine = np.sin(np.radians(radius_deg)) / np.maximum(np.cos(np.radians(np.abs(dec))), 1e-300)
    everywhere = (np.abs(dec) + radius_deg >= 90) | (sine >= 1)
    return np.where(everywhere, 180.0, np.degrees(np.arcsin(np.clip(sine, 0, 1)))) + SLACK_DEG
