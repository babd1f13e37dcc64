"""Where the exposures of a shot point, from the stars that they show and a catalogue.

Right ascension, declination and angle are found for each exposure by itself (`star_match`). Then all exposures get one
angle, the mean by their errors, as the telescope holds it. An exposure that does not show enough by itself is tried
again near the others; nothing is taken from the nominal dithers, so that what is told as a dither was measured.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import InputError
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.biweight import location
from skyharvest.reduction.hetdex.layout import name_of_exposure
from skyharvest.reduction.hetdex.settings import Astrometry as Options
from skyharvest.reduction.hetdex.stars import star_match as matching
from skyharvest.reduction.hetdex.stars.star_catalogue import StarCatalogue
from skyharvest.reduction.hetdex.stars.star_match import Match
from skyharvest.reduction.hetdex.stars.tangent import Pointing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Observed:
    """What an exposure shows.

    Attributes
    ----------
    expnum
        Its number.
    start
        Where its header says that it points.
    timestamp
        When it began, ``20190103T054545.0``.
    ifuslot
        (n,) text; the IFU of each star.
    x_ifu, y_ifu
        (n,) f8: arcsec in the IFU, at `refraction.REFERENCE_WAVELENGTH`.
    x, y
        (n,) f8: arcsec on the focal plane.
    light, error, chi2, coverage
        (n,) f8: see `find_stars.FoundStars`.
    """

    expnum: int
    start: Pointing
    timestamp: str
    ifuslot: Array
    x_ifu: Floats
    y_ifu: Floats
    x: Floats
    y: Floats
    light: Floats
    error: Floats
    chi2: Floats
    coverage: Floats

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Solution:
    """Where a shot points.

    Attributes
    ----------
    matches
        By number of exposure; stars are those of `Observed` and of the catalogue.
    alone
        Position angle of each exposure by itself, degrees.
    norms
        Relative throughput of exposures, of mean 1; NaN if no star is in all of them.
    """

    matches: Mapping[int, Match]
    alone: Mapping[int, float]
    norms: Mapping[int, float]


def solve(observed: Sequence[Observed], catalogue: StarCatalogue, options: Options) -> Solution:
    """Find where the exposures of a shot point.

    Raises
    ------
    InputError
        If too few stars match, or no better than unrelated lists do: tells how many were found and are needed.
    """
    bright = np.flatnonzero(~(catalogue.magnitude("g") > options.faintest))
    stars = catalogue.take(bright)
    first = {}
    for exposure in observed:
        start = replace(exposure.start, pa=exposure.start.pa + options.angle_offset)
        first[exposure.expnum] = _match(exposure, stars, start, options.search_radius, options.angle_range, options)
    matches = {expnum: match for expnum, match in first.items() if _holds(match, options)}
    if not matches:
        nearest = min(observed, key=lambda exposure: first[exposure.expnum].chance)
        raise InputError(_why(nearest, stars, first[nearest.expnum], options))
    doubtful = [exposure for exposure in observed if exposure.expnum not in matches]
    matches |= _tried_again(doubtful, stars, matches, options)
    matches = _consistent(observed, stars, matches, options)
    alone = {expnum: found.pointing.pa for expnum, found in matches.items()}
    if len(matches) > 1:
        angle = _mean_angle(list(matches.values()))
        for exposure in observed:
            points = np.column_stack([exposure.x, exposure.y])[_usable(exposure, options)]
            found = matches[exposure.expnum]
            matches[exposure.expnum] = matching.refit(found, points, stars.ra, stars.dec, angle)
    made = {}
    for exposure in observed:
        found = matches[exposure.expnum]
        made[exposure.expnum] = matching.with_indices(
            found, _usable(exposure, options)[found.detected], bright[found.catalogued]
        )
    return Solution(made, alone, _norms(observed, made))


def best_of(matches: Mapping[int, Match]) -> Match:
    """Return the match that is worth most."""
    return min(matches.values(), key=lambda found: found.chance)


def _usable(exposure: Observed, options: Options) -> Array:
    """Return the indices of stars whose positions are good: not those of which the edge took much."""
    return np.flatnonzero(exposure.coverage >= options.least_coverage)


def _match(
    exposure: Observed, stars: StarCatalogue, start: Pointing, radius: float, turn: float, options: Options
) -> Match:
    usable = _usable(exposure, options)
    return matching.match(
        np.column_stack([exposure.x, exposure.y])[usable],
        stars.ra,
        stars.dec,
        start,
        search_radius=radius,
        match_radius=options.match_radius,
        turn_range=turn,
    )


def _holds(found: Match, options: Options) -> bool:
    return len(found) >= options.min_stars and found.chance <= options.most_chance


def _why(exposure: Observed, stars: StarCatalogue, best: Match, options: Options) -> str:
    """Return why an exposure has no solution, and what to do."""
    name = name_of_exposure(exposure.expnum)
    usable, seen = len(_usable(exposure, options)), len(stars)
    told = (
        f"{name}: found {counted(usable, 'star')} on the pictures, {seen} brighter than g = {options.faintest:g} in "
        f"the field of the catalogue {stars.path.name}, and {len(best)} that agree"
    )
    if len(best) < options.min_stars:
        return (
            f"{told}; expected {options.min_stars} or more: if TRAJCRA, TRAJCDEC and PARANGLE are right within "
            f"{options.search_radius:g}″ and {options.angle_range:g}°, use a deeper catalogue (astrometry.faintest); "
            "else widen astrometry.search_radius or angle_range"
        )
    return (
        f"{told}, which unrelated lists do {best.chance:.2g} times of one; expected at most {options.most_chance:g}: "
        "are the pointing in the headers, the fplane file and the catalogue those of this field?"
    )


def _tried_again(
    doubtful: Iterable[Observed], stars: StarCatalogue, matches: Mapping[int, Match], options: Options
) -> dict[int, Match]:
    """Match exposures near the others."""
    best = best_of(matches)
    made = {}
    for exposure in doubtful:
        turn = max(3 * best.pa_error, 0.02)
        found = _match(exposure, stars, best.pointing, options.exposure_radius, min(turn, options.angle_range), options)
        if not _holds(found, options):
            raise InputError(_why(exposure, stars, found, options))
        made[exposure.expnum] = found
    return made


def _consistent(
    observed: Sequence[Observed], stars: StarCatalogue, matches: Mapping[int, Match], options: Options
) -> dict[int, Match]:
    """Match those exposures again that point elsewhere than the best of them."""
    best = best_of(matches)
    made = dict(matches)
    for exposure in observed:
        x, y = best.pointing.to_plane(
            np.array([made[exposure.expnum].pointing.ra]), np.array([made[exposure.expnum].pointing.dec])
        )
        if np.hypot(x[0], y[0]) > options.exposure_radius:
            log.warning("%s points elsewhere than the others: it is matched again", name_of_exposure(exposure.expnum))
            made |= _tried_again([exposure], stars, {0: best}, options)
    return made


def _mean_angle(matches: Sequence[Match]) -> float:
    angles = np.array([found.pointing.pa for found in matches])
    errors = np.array([found.pa_error for found in matches])
    weights = np.where(np.isfinite(errors) & (errors > 0), 1 / np.clip(errors, 1e-4, None) ** 2, 0)
    if not weights.sum():
        weights = np.ones_like(weights)
    turns = (angles - angles[0] + 180) % 360 - 180
    return float((angles[0] + (weights * turns).sum() / weights.sum()) % 360)


def _norms(observed: Sequence[Observed], matches: Mapping[int, Match]) -> dict[int, float]:
    """Return the exposures' relative throughput, from stars that all of them have."""
    by_exposure = [
        dict(zip(matches[e.expnum].catalogued.tolist(), e.light[matches[e.expnum].detected], strict=True))
        for e in observed
    ]
    shared = sorted(set.intersection(*(set(light) for light in by_exposure)))
    if not shared:
        return {exposure.expnum: np.nan for exposure in observed}
    light = np.array([[values[star] for star in shared] for values in by_exposure])
    ratio = np.asarray(location(light / light.mean(axis=0), axis=1), dtype=np.float64)
    return {e.expnum: float(value) for e, value in zip(observed, ratio / ratio.mean(), strict=True)}
