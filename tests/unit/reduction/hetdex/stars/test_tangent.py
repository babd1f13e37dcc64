"""The focal plane and the sky: the field's own star list, and vectors."""

import numpy as np
import pytest

from hetdex_stars import sky_of
from running import ROOT
from skyharvest.reduction.hetdex.frames import fplane
from skyharvest.reduction.hetdex.stars.tangent import Pointing

REAL = ROOT.parent / "shared" / "real" / "hetdex_reduction" / "20180611v017"


def real_stars() -> np.ndarray:
    """Return the field's matched stars: RA, Dec, IFUSLOT, x and y in the IFU of detected and of catalogued ones."""
    rows = (REAL / "xy_exp01.dat").read_text().splitlines()[1:]
    return np.array([row.split() for row in rows], dtype=np.float64)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
def test_stars_of_a_real_shot_are_where_the_field_has_them():
    pointing = Pointing(*np.loadtxt(REAL / "radec2_exp01.dat"))
    slots = fplane.read(REAL / "fplane.txt")
    stars = real_stars()
    for first in (0, 6):
        x, y = pointing.to_plane(stars[:, first], stars[:, first + 1])
        own = [slots[f"{int(slot):03d}"] for slot in stars[:, first + 2]]
        np.testing.assert_allclose(x - [slot.y for slot in own], stars[:, first + 3], atol=2e-3)
        np.testing.assert_allclose(y - [slot.x for slot in own], stars[:, first + 4], atol=2e-3)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
def test_x_points_away_from_the_zenith():
    """The telescope's altitude is 55°: the zenith's position angle follows from the declination, east or west."""
    _ra, dec, pa = np.loadtxt(REAL / "radec.orig")
    latitude, altitude = np.radians([30.6814, 55.0])
    dec = np.radians(dec)
    cosine = (np.sin(latitude) - np.sin(altitude) * np.sin(dec)) / (np.cos(altitude) * np.cos(dec))
    angle = np.degrees(np.arccos(cosine))
    off = min(abs((pa - 180 - side * angle + 180) % 360 - 180) for side in (1, -1))
    assert off < 2  # the altitude changes by some degrees over a track


@pytest.mark.parametrize(("ra", "dec", "pa"), [(207.6, 51.3, 292.6), (0.01, -1.0, 60.0), (359.99, 64.0, 250.0)])
def test_positions_are_those_of_vectors(ra, dec, pa):
    pointing = Pointing(ra, dec, pa)
    x, y = np.random.default_rng(1).uniform(-600, 600, (2, 40))
    expected = sky_of(x, y, ra, dec, pa)
    for got, want in zip(pointing.to_sky(x, y), expected, strict=True):
        np.testing.assert_allclose((got - want + 180) % 360 - 180, 0, atol=1e-9)
    np.testing.assert_allclose(pointing.to_plane(*expected), [x, y], atol=1e-5)


def test_a_pointing_that_is_moved_sees_turned_points():
    pointing = Pointing(207.6, 51.3, 291.0)
    moved = pointing.moved(14.0, -9.0, 1.3)
    x, y = np.random.default_rng(1).uniform(-600, 600, (2, 40))
    turn = np.radians(1.3)
    there = pointing.to_sky(x * np.cos(turn) - y * np.sin(turn) + 14, x * np.sin(turn) + y * np.cos(turn) - 9)
    np.testing.assert_allclose(moved.to_sky(x, y), there, atol=1e-6)
