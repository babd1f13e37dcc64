"""Match 102,403 positions with 1,000,000 fibers on the sky, within 1 arcsec: the same pairs, in other times."""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.coordinates import SkyCoord, search_around_sky

from lib import report
from lib.report import Row
from skyharvest.sky.matching import within_radius

Floats = npt.NDArray[np.float64]
Pairs = npt.NDArray[np.int64]

N_POSITIONS, N_FIBERS = 102_403, 1_000_000
RADIUS_ARCSEC = 1.0
SEED = 20240613
SHARE = 100  # all pairs are tried for one position in so many
BLOCK_ROWS = 64  # positions times all fibers held at once: 0.5 GB
SHARE_WITH_FIBER = 0.6  # of the positions; the others are anywhere


def sky(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return RA and Dec of ``n`` places anywhere on the sphere, degrees."""
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def ours(ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats) -> Pairs:
    """Match with Skyharvest."""
    i, j, _ = within_radius(ra1, dec1, ra2, dec2, RADIUS_ARCSEC)
    return np.stack([i, j])


def by_astropy(one: SkyCoord, other: SkyCoord) -> Pairs:
    """Match with astropy's k-d tree."""
    i, j, *_ = search_around_sky(one, other, RADIUS_ARCSEC * u.arcsec)
    return np.stack([i, j])


def all_pairs_angles(ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats) -> Pairs:
    """Match by the haversine of every pair, a block of positions at a time: what one writes first."""
    lon1, lat1, lon2, lat2 = map(np.radians, (ra1, dec1, ra2, dec2))
    found = []
    for start in range(0, len(ra1), BLOCK_ROWS):
        lon, lat = lon1[start : start + BLOCK_ROWS, None], lat1[start : start + BLOCK_ROWS, None]
        half = np.sin((lat2 - lat) / 2) ** 2 + np.cos(lat) * np.cos(lat2) * np.sin((lon2 - lon) / 2) ** 2
        i, j = np.nonzero(np.degrees(2 * np.arcsin(np.sqrt(half))) * 3600 <= RADIUS_ARCSEC)
        found.append(np.stack([i + start, j]))
    return np.concatenate(found, axis=1)


def all_pairs_chords(ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats) -> Pairs:
    """Match by the product of every pair of unit vectors, with the matrix product: as fast as all pairs can be.

    The product cannot tell 1 arcsec from 1.000 01 arcsec; no pair here is as near to the radius as that.
    """
    one, other = unit_vectors(ra1, dec1), unit_vectors(ra2, dec2)
    limit = np.cos(np.radians(RADIUS_ARCSEC / 3600))
    found = []
    for start in range(0, len(ra1), BLOCK_ROWS):
        i, j = np.nonzero(one[start : start + BLOCK_ROWS] @ other.T >= limit)
        found.append(np.stack([i + start, j]))
    return np.concatenate(found, axis=1)


def unit_vectors(ra: Floats, dec: Floats) -> Floats:
    """Return (n, 3)."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def timed(runs: int, prepare: Callable[[], tuple[Any, ...]], match: Callable[..., Pairs]) -> tuple[float, Pairs]:
    """Return the median of the seconds of ``match`` alone, and its pairs in order."""
    seconds = []
    for _ in range(runs):
        prepared = prepare()
        start = time.perf_counter()
        pairs = match(*prepared)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), pairs[:, np.lexsort((pairs[1], pairs[0]))]


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3, help="runs of each")
    runs = options.parse_args().runs
    rng = np.random.default_rng(SEED)
    ra2, dec2 = sky(N_FIBERS, rng)
    ra1, dec1 = sky(N_POSITIONS, rng)
    near = rng.random(N_POSITIONS) < SHARE_WITH_FIBER
    fiber = rng.integers(0, N_FIBERS, near.sum())
    # Offsets such as X-ray positions have: most within the radius, some beyond it.
    dec1[near] = np.clip(dec2[fiber] + rng.normal(0, 0.4, near.sum()) / 3600, -90, 90)
    ra1[near] = ra2[fiber] + rng.normal(0, 0.4, near.sum()) / 3600 / np.cos(np.radians(dec2[fiber]))
    part = slice(0, N_POSITIONS // SHARE)

    # A SkyCoord keeps its tree: a new pair for every run, made outside of the measurement.
    mine_s, mine = timed(runs, lambda: (ra1, dec1, ra2, dec2), ours)
    astropy_s, theirs = timed(
        runs, lambda: (SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg")), by_astropy
    )
    assert np.array_equal(mine, theirs)
    some = lambda: (ra1[part], dec1[part], ra2, dec2)  # noqa: E731
    of_part = mine[:, mine[0] < part.stop]
    extrapolated = []
    for match in (all_pairs_angles, all_pairs_chords):
        seconds, pairs = timed(runs, some, match)
        assert np.array_equal(pairs, of_part)
        extrapolated.append(seconds * N_POSITIONS / part.stop)
    angles_s, chords_s = extrapolated

    rows = [
        Row("astropy `search_around_sky`", f"{mine_s:.3f} s", f"{astropy_s:.2f} s", astropy_s / mine_s, 4),
        Row("all pairs, haversine", f"{mine_s:.3f} s", f"{angles_s:,.0f} s", angles_s / mine_s, 1000),
        Row("all pairs, unit vectors", f"{mine_s:.3f} s", f"{chords_s:,.0f} s", chords_s / mine_s, 1000),
    ]
    notes = f"""
{N_POSITIONS:,} positions, {SHARE_WITH_FIBER:.0%} of them about 0.4″ from one of {N_FIBERS:,} fibers anywhere on the
sky; radius {RADIUS_ARCSEC:.0f}″; {mine.shape[1]:,} pairs, the same for all. Imports and the making of astropy's
coordinates are not counted; its tree is. All pairs were tried for one position in {SHARE}, in blocks, and multiplied.
"""
    report.write_section("matching", "Matching positions", report.comparison(rows) + "\n" + notes)


if __name__ == "__main__":
    main()
