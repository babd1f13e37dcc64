"""Matches on the sphere, compared with all pairs and with astropy."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, angular_separation, search_around_sky
from hypothesis import given, settings
from hypothesis import strategies as st

from skyharvest.sky import matching
from skyharvest.sky.matching import equal_ids, separation_deg, within_radius

ra = st.floats(0, 360) | st.sampled_from([0.0, 360.0, 1e-9, 359.9999999, 180.0])
dec = st.floats(-90, 90) | st.sampled_from([-90.0, 90.0, 89.9999, -89.9999, 0.0])


def around(seed_ra, seed_dec, rng, n, reach_arcsec):
    """Return n positions within about ``reach_arcsec`` of a place, poles and RA 0/360 included."""
    centre = SkyCoord(seed_ra % 360, seed_dec, unit="deg")
    angle, distance = rng.uniform(0, 360, n), rng.uniform(0, reach_arcsec, n)
    moved = centre.directional_offset_by(angle * u.deg, distance * u.arcsec)
    return moved.ra.deg, moved.dec.deg


@settings(deadline=None, max_examples=60)
@given(ra, dec, st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 3.0, 30.0, 7200.0]))
def test_pairs_are_those_of_all_pairs_anywhere_on_the_sky(seed_ra, seed_dec, seed, radius):
    rng = np.random.default_rng(seed)
    ra1, dec1 = around(seed_ra, seed_dec, rng, 30, 3 * radius)
    ra2, dec2 = around(seed_ra, seed_dec, rng, 40, 3 * radius)
    i, j, found = within_radius(ra1, dec1, ra2, dec2, radius)
    every = np.degrees(
        angular_separation(*(np.radians(x) for x in (ra1[:, None], dec1[:, None], ra2[None], dec2[None])))
    )
    expected = {(a, b) for a, b in zip(*np.nonzero(every * 3600 <= radius), strict=True)}
    doubtful = {(a, b) for a, b in zip(*np.nonzero(np.abs(every * 3600 - radius) < 1e-9 * radius), strict=True)}
    assert set(zip(i, j, strict=True)) ^ expected <= doubtful
    np.testing.assert_allclose(found, every[i, j] * 3600, rtol=1e-9, atol=1e-9)
    assert len(set(zip(i, j, strict=True))) == len(i)
    assert list(zip(i, found, j, strict=True)) == sorted(zip(i, found, j, strict=True))


@given(ra, dec, ra, dec)
def test_separations_are_astropys(ra1, dec1, ra2, dec2):
    expected = np.degrees(angular_separation(*np.radians([ra1, dec1, ra2, dec2])))
    assert separation_deg(ra1, dec1, ra2, dec2) == pytest.approx(expected, rel=1e-12, abs=1e-13)


def test_many_positions_give_astropys_pairs_whatever_the_block_size(monkeypatch):
    rng = np.random.default_rng(3)
    ra2, dec2 = rng.uniform(0, 360, 60_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 60_000)))
    chosen = rng.integers(0, len(ra2), 8_000)
    ra1 = ra2[chosen] + rng.normal(0, 1 / 3600, len(chosen))
    dec1 = np.clip(dec2[chosen] + rng.normal(0, 1 / 3600, len(chosen)), -90, 90)
    expected = search_around_sky(SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg"), 2 * u.arcsec)[:2]
    for pairs in (4_000_000, 1_000):
        monkeypatch.setattr(matching, "BLOCK_PAIRS", pairs)
        i, j, _ = within_radius(ra1, dec1, ra2, dec2, 2.0)
        assert set(zip(i.tolist(), j.tolist(), strict=True)) == set(zip(*(x.tolist() for x in expected), strict=True))


def test_the_circle_is_closed_and_what_is_not_finite_matches_nothing():
    nan = np.nan
    i, j, found = within_radius(
        np.array([10.0, nan, 10.0]),
        np.array([0.0, 0.0, nan]),
        np.array([10.0, nan, 10.0]),
        np.array([0.0, 0, nan]),
        0.0,
    )
    assert (i.tolist(), j.tolist(), found.tolist()) == ([0], [0], [0.0])
    empty = np.zeros(0)
    assert [len(x) for x in within_radius(empty, empty, empty, empty, 1.0)] == [0, 0, 0]
    assert [len(x) for x in within_radius(np.ones(1), np.ones(1), empty, empty, 1.0)] == [0, 0, 0]


def test_right_ascensions_beyond_the_circle_are_the_same_places():
    zero = np.zeros(3)
    i, j, found = within_radius(np.array([-10.0, 370.0, 0.0]), zero, np.array([350.0, 730.0, -360.0]), zero, 1.0)
    assert (i.tolist(), j.tolist()) == ([0, 1, 2], [0, 1, 2])
    np.testing.assert_allclose(found, 0, atol=1e-9)


@given(st.lists(st.integers(0, 8)), st.lists(st.integers(0, 8)))
def test_equal_ids_are_all_equal_pairs(first, second):
    i, j = equal_ids(np.array(first, np.int64), np.array(second, np.int64))
    expected = [(a, b) for a, x in enumerate(first) for b, y in enumerate(second) if x == y]
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected
