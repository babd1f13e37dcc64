"""Which stars of a catalogue are which of those that an exposure shows, and where it then points.

The start may be off by some arcsec and by an angle. For each trial angle, the offsets of all pairs of a detected and a
catalogued star are laid on one another: where many agree, they may be stars matched rightly. From there, offset and
angle are fitted to the nearest pairs. There is no reflection in this, so that a mirrored list finds nothing.

Any list matches any other to some extent. What a match is worth is therefore told as the number of such matches that
unrelated lists give: the Poisson probability of so many pairs within so small a radius, at the catalogue's density,
times the number of offsets and angles that were tried. Lists that have nothing to do with one another are refused by
it (tests: none of 400 is taken).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter
from scipy.spatial import KDTree
from scipy.stats import poisson

from skyharvest.core.arrays import Floats, Ints
from skyharvest.reduction.hetdex.stars.tangent import Pointing

BIN = 0.75
"""Arcsec: of the map of offsets, which is smoothed with 3 × 3 bins."""
N_PEAKS = 3
"""Peaks of the map that are followed up, of each angle."""
N_FOLLOWED = 24
"""Peaks in all."""
RADII = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Arcsec: at which pairs are counted, for what the match is worth."""
DENSITY_RADIUS = 60.0
"""Arcsec: the density of the catalogue about a detected star is that within it."""
SLACK = 1e-7
"""Radians, by which an angle may be beyond the range: rounding."""
CLIP, CLIP_LEAST = 4.5, 0.5
"""Pairs further apart than so many standard deviations of one axis, and than so many arcsec, are not fitted."""


@dataclass(frozen=True)
class Match:
    """Stars matched, and where the exposure points.

    Attributes
    ----------
    pointing
        As fitted.
    detected, catalogued
        (n,) indices of the pairs, into the two lists.
    dx, dy
        (n,) f8: detected minus catalogued, arcsec on the focal plane.
    rms_x, rms_y
        Arcsec, with the number of fitted parameters taken off; NaN if nothing is left.
    pa_error
        Degrees.
    chance
        How many matches as good as this one unrelated lists would give.
    """

    pointing: Pointing
    detected: Ints
    catalogued: Ints
    dx: Floats
    dy: Floats
    rms_x: float
    rms_y: float
    pa_error: float
    chance: float

    def __len__(self) -> int:
        return len(self.detected)


NOTHING = Match(
    pointing=Pointing(np.nan, np.nan, np.nan),
    detected=np.zeros(0, np.int64),
    catalogued=np.zeros(0, np.int64),
    dx=np.zeros(0),
    dy=np.zeros(0),
    rms_x=np.nan,
    rms_y=np.nan,
    pa_error=np.inf,
    chance=np.inf,
)


@dataclass(frozen=True)
class _Fit:
    offset: Floats
    turn: float
    detected: Ints
    catalogued: Ints
    residual: Floats


def match(
    detected: Floats,
    ra: Floats,
    dec: Floats,
    start: Pointing,
    *,
    search_radius: float,
    match_radius: float,
    turn_range: float,
) -> Match:
    """Match detected stars with a catalogue.

    Parameters
    ----------
    detected
        (n, 2) f8: x and y on the focal plane, arcsec.
    ra, dec
        (m,) f8, degrees: the catalogue's.
    start
        Where the exposure points, about.
    search_radius
        Arcsec, by which that may be off.
    match_radius
        Arcsec, within which stars of a pair are.
    turn_range
        Degrees, by which the angle may be off to either side.

    Returns
    -------
    Match
        The best one, whatever it is worth: `Match.chance` tells. `NOTHING` where there is none.
    """
    catalogued = np.stack(start.to_plane(ra, dec), axis=1)
    reach = np.hypot(*detected.T).max(initial=0.0) if len(detected) else 0.0
    near = np.flatnonzero(np.hypot(*catalogued.T) < reach + search_radius + DENSITY_RADIUS)
    if not len(detected) or not near.size:
        return NOTHING
    best = NOTHING
    for offset, turn in _trials(detected, catalogued[near], search_radius, turn_range):
        fit = _fitted(detected, catalogued[near], offset, turn, match_radius, turn_range)
        beyond = (
            np.hypot(*fit.offset) > search_radius + match_radius or abs(fit.turn) > np.radians(1.1 * turn_range) + SLACK
        )
        if beyond or not fit.detected.size:
            continue
        chance = _chance(fit, detected, catalogued[near], search_radius, turn_range)
        if (chance, -len(fit.detected)) < (best.chance, -len(best)):
            best = _match(fit, near, detected, start, chance)
    return best


def refit(found: Match, detected: Floats, ra: Floats, dec: Floats, pa: float) -> Match:
    """Return a match with another position angle, degrees, and the offset that goes with it."""
    turned = Pointing(found.pointing.ra, found.pointing.dec, pa)
    residual = _residual(turned, detected[found.detected], ra[found.catalogued], dec[found.catalogued])
    dx, dy = -residual.mean(axis=0)
    moved = turned.moved(float(dx), float(dy), 0.0)
    moved = Pointing(moved.ra, moved.dec, pa)  # meridians converge: one that was moved has another angle
    residual = _residual(moved, detected[found.detected], ra[found.catalogued], dec[found.catalogued])
    rms_x, rms_y = _rms(residual, 2)
    return replace(found, pointing=moved, dx=residual[:, 0], dy=residual[:, 1], rms_x=rms_x, rms_y=rms_y)


def with_indices(found: Match, detected: Ints, catalogued: Ints) -> Match:
    """Return a match whose pairs have other indices, as lists were cut before they were matched."""
    return replace(found, detected=detected, catalogued=catalogued)


def _residual(pointing: Pointing, detected: Floats, ra: Floats, dec: Floats) -> Floats:
    return detected - np.stack(pointing.to_plane(ra, dec), axis=1)


def _rotated(points: Floats, turn: float) -> Floats:
    cosine, sine = np.cos(turn), np.sin(turn)
    made: Floats = points @ np.array([[cosine, sine], [-sine, cosine]])
    return made


def _trials(
    detected: Floats, catalogued: Floats, search_radius: float, turn_range: float
) -> list[tuple[Floats, float]]:
    """Return offsets, arcsec, and angles, radians, at which many pairs agree; the best first."""
    reach = np.hypot(*detected.T).max()
    most = np.radians(turn_range)
    pairs = KDTree(detected).query_ball_tree(KDTree(catalogued), search_radius + 2 * reach * np.sin(most / 2))
    i = np.repeat(np.arange(len(detected)), [len(pair) for pair in pairs])
    j = np.array([index for pair in pairs for index in pair], dtype=np.int64)
    step = 2 * BIN / max(reach, 1.0)
    n_angles = 2 * int(np.ceil(most / step)) + 1
    n_bins = 2 * int(np.ceil(search_radius / BIN)) + 1
    edge = n_bins * BIN / 2
    found: list[tuple[float, float, float, float]] = []
    for turn in np.linspace(-most, most, n_angles) if n_angles > 1 else (0.0,):
        offset = catalogued[j] - _rotated(detected, float(turn))[i]
        offset = offset[np.hypot(*offset.T) <= search_radius]
        if not len(offset):
            continue
        counts = np.histogram2d(offset[:, 0], offset[:, 1], bins=n_bins, range=[(-edge, edge)] * 2)[0]
        smooth = uniform_filter(counts, 3, mode="constant") * 9
        peaks = np.flatnonzero((smooth == maximum_filter(smooth, 5)) & (smooth > 0.5))
        for peak in peaks[np.argsort(-smooth.ravel()[peaks], kind="stable")][:N_PEAKS]:
            y, x = np.unravel_index(peak, smooth.shape)
            centre = (np.array([y, x]) - (n_bins - 1) / 2) * BIN
            agreeing = offset[np.abs(offset - centre).max(axis=1) <= 1.5 * BIN]
            dx, dy = agreeing.mean(axis=0)
            found.append((-float(smooth.ravel()[peak]), float(turn), float(dx), float(dy)))
    found.sort(key=lambda trial: (trial[0], abs(trial[1])))
    return [(np.array([x, y]), turn) for _, turn, x, y in found[:N_FOLLOWED]]


def _fitted(
    detected: Floats, catalogued: Floats, offset: Floats, turn: float, radius: float, turn_range: float
) -> _Fit:
    """Fit offset and angle to the nearest pairs, again and again."""
    tree = KDTree(catalogued)
    before: tuple[bytes, bytes] | None = None
    for _ in range(20):
        points = _rotated(detected, turn) + offset
        i, j = _pairs(points, tree, radius)
        residual = points[i] - catalogued[j]
        # The median distance is √(2 ln 2) times the standard deviation of one axis.
        spread = np.median(np.hypot(*(residual - np.median(residual, axis=0)).T)) / 1.18 if i.size > 3 else radius
        kept = np.hypot(*residual.T) <= max(CLIP * spread, CLIP_LEAST)
        i, j, residual = i[kept], j[kept], residual[kept]
        now = (i.tobytes(), j.tobytes())
        if now == before or not i.size:
            break
        before = now
        moved, turned = _step(points[i] - offset, residual, turn, np.radians(turn_range) / 2)
        offset, turn = offset + moved, turn + turned
    points = _rotated(detected, turn) + offset
    return _Fit(offset, turn, i, j, points[i] - catalogued[j])


def _step(points: Floats, residual: Floats, turn: float, turn_sigma: float) -> tuple[Floats, float]:
    """Return by how much offset and angle are to change, for the least squares.

    The angle is held near that of the start as far as stars, good to half an arcsec, leave it open.
    """
    n = len(points)
    normal = np.zeros((3, 3))
    normal[0, 0] = normal[1, 1] = n
    normal[0, 2] = normal[2, 0] = -points[:, 1].sum()
    normal[1, 2] = normal[2, 1] = points[:, 0].sum()
    prior = (0.5 / max(turn_sigma, 1e-9)) ** 2
    normal[2, 2] = (points**2).sum() + prior
    right = np.array(
        [
            -residual[:, 0].sum(),
            -residual[:, 1].sum(),
            (points[:, 1] * residual[:, 0] - points[:, 0] * residual[:, 1]).sum() - prior * turn,
        ]
    )
    dx, dy, turned = np.linalg.solve(normal, right)
    return np.array([dx, dy]), float(turned)


def _pairs(points: Floats, tree: KDTree, radius: float) -> tuple[Ints, Ints]:
    """Return pairs of which each is the other's nearest, within a radius."""
    distance, nearest = tree.query(points, distance_upper_bound=radius)
    i = np.flatnonzero(np.isfinite(distance))
    j = nearest[i]
    order = np.lexsort((distance[i], j))
    first = np.r_[True, np.diff(j[order]) > 0] if i.size else np.zeros(0, bool)
    chosen = np.sort(order[first])
    return i[chosen], j[chosen]


def _chance(fit: _Fit, detected: Floats, catalogued: Floats, search_radius: float, turn_range: float) -> float:
    """Return how many matches as good as this one unrelated lists would give."""
    points = _rotated(detected, fit.turn) + fit.offset
    counts = KDTree(catalogued).query_ball_point(points, DENSITY_RADIUS, return_length=True)
    density = float(np.sum(counts)) / (np.pi * DENSITY_RADIUS**2)  # summed over detected stars
    distance = np.hypot(*fit.residual.T)
    reach = np.sqrt((detected**2).sum(axis=1).mean())
    least = np.inf
    for radius in RADII:
        n_pairs = np.count_nonzero(distance <= radius)
        trials = (search_radius / radius) ** 2 * (1 + 2 * np.radians(turn_range) * reach / radius)
        unlikely = poisson.sf(n_pairs - 1, density * np.pi * radius**2)
        least = min(least, float(trials * unlikely))
    return least * len(RADII)


def _match(fit: _Fit, near: Ints, detected: Floats, start: Pointing, chance: float) -> Match:
    pointing = start.moved(float(fit.offset[0]), float(fit.offset[1]), float(np.degrees(fit.turn)))
    points = detected[fit.detected]
    lever = ((points - points.mean(axis=0)) ** 2).sum()
    rms = _rms(fit.residual, 3)
    error = np.hypot(*rms) / np.sqrt(lever) / np.sqrt(2) if lever > 0 else np.inf
    dx, dy = _rotated(fit.residual, -fit.turn).T  # along the axes of the focal plane as it is
    return Match(pointing, fit.detected, near[fit.catalogued], dx, dy, *rms, float(np.degrees(error)), chance)


def _rms(residual: Floats, n_fitted: int) -> tuple[float, float]:
    left = len(residual) - n_fitted / 2
    if left <= 0:
        return np.nan, np.nan
    x, y = np.sqrt((residual**2).sum(axis=0) / left)
    return float(x), float(y)
