"""Matches of detected stars with a catalogue: a real shot, and lists that have nothing to do with one another."""

import fitsio
import numpy as np
import pytest

from running import ROOT
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.frames import fplane
from skyharvest.reduction.hetdex.settings import Astrometry
from skyharvest.reduction.hetdex.stars import star_catalogue
from skyharvest.reduction.hetdex.stars.astrometry_solution import Observed, solve
from skyharvest.reduction.hetdex.stars.find_stars import read_als
from skyharvest.reduction.hetdex.stars.star_match import match
from skyharvest.reduction.hetdex.stars.tangent import Pointing

REAL = ROOT.parent / "shared" / "real" / "hetdex_reduction" / "20180611v017"
HOW = {"search_radius": 17.0, "match_radius": 3.0, "turn_range": 2.0}
START = Pointing(207.67, 51.35, 291.15)


def observed(slots: list[str], x: np.ndarray, y: np.ndarray, start: Pointing, centres: np.ndarray) -> Observed:
    none = np.full(len(x), np.nan)
    plane = centres + np.column_stack([x, y])
    return Observed(1, start, "", np.array(slots), x, y, *plane.T, none, none, none, np.ones(len(x)))


def real_exposure(mirrored: bool = False) -> Observed:
    """Return what ALLSTAR found in a real exposure; its header's position angle is 1.45° off."""
    places = fplane.read(REAL / "fplane.txt")
    slots, x, y = [], [], []
    for path in sorted((REAL / "als").glob("*.als")):
        header = fitsio.read_header(str(REAL / "images" / f"{path.stem}.fits"))
        slot = path.stem[-3:]
        # One picture has no origin in its header: that of all others.
        origin = (header["CRPIX1"], header["CRPIX2"]) if header["CRPIX1"] < 0 else (-25.15, -25.24)
        at_x, at_y, _, _ = read_als(path, origin)
        slots += [slot] * len(at_x)
        x.append(at_x)
        y.append(at_y)
    centres = np.array([(places[slot].y, places[slot].x) for slot in slots])
    at_x, at_y = np.concatenate(x), np.concatenate(y)
    ra, dec, pa = np.loadtxt(REAL / "radec.orig")
    if mirrored:
        at_x, centres = -at_x, centres * (-1, 1)
    return observed(slots, at_x, at_y, Pointing(ra * 15, dec, pa), centres)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
def test_a_real_shot_is_solved_as_the_field_did():
    """By ALLSTAR's lists, against where the field has its matched stars, and its position angle.

    Its Dec of the centre cannot be had from these lists: its own stars are 0.5″ from them in y, in all IFUs.
    """
    exposure = real_exposure()
    catalogue = star_catalogue.read(REAL / "shout.ifustars")
    found = solve([exposure], catalogue, Astrometry()).matches[1]
    rows = [row.split() for row in (REAL / "xy_exp01.dat").read_text().splitlines()[1:]]
    theirs = np.array(rows, dtype=np.float64)
    ra, dec = found.pointing.to_sky(exposure.x, exposure.y)
    for star in theirs:
        off = np.hypot((ra - star[0]) * np.cos(np.radians(star[1])), dec - star[1]) * 3600
        assert off.min() < 0.3, "a star of the field's is elsewhere"
    assert len(found) >= 6
    assert found.chance < 1e-9
    centre = np.loadtxt(REAL / "radec2_exp01.dat")
    assert abs(found.pointing.pa - centre[2]) < 0.04  # 0.3″ at the edge of the field
    assert abs(found.pointing.ra - centre[0]) * np.cos(np.radians(centre[1])) * 3600 < 0.3
    assert abs(found.pointing.dec - centre[1]) * 3600 < 0.3 + 0.5
    # Their own stars are as far from the catalogue.
    assert np.hypot(found.rms_x, found.rms_y) < 0.8


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
def test_by_the_fields_own_places_in_ifus_its_centre_comes_out():
    rows = [row.split() for row in (REAL / "xy_exp01.dat").read_text().splitlines()[1:]]
    theirs = np.array(rows, dtype=np.float64)
    places = fplane.read(REAL / "fplane.txt")
    slots = [f"{int(slot):03d}" for slot in theirs[:, 2]]
    centres = np.array([(places[slot].y, places[slot].x) for slot in slots])
    ra, dec, pa = np.loadtxt(REAL / "radec.orig")
    exposure = observed(slots, *theirs[:, 3:5].T, Pointing(ra * 15, dec, pa), centres)
    found = solve([exposure], star_catalogue.read(REAL / "shout.ifustars"), Astrometry()).matches[1].pointing
    centre = np.loadtxt(REAL / "radec2_exp01.dat")
    assert abs(found.ra - centre[0]) * np.cos(np.radians(centre[1])) * 3600 < 0.3
    assert abs(found.dec - centre[1]) * 3600 < 0.3
    assert abs(found.pa - centre[2]) < 0.04


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
@pytest.mark.parametrize("wrong", ["mirrored", "another field", "angle out of reach"])
def test_a_real_shot_that_is_told_wrongly_is_refused(wrong):
    exposure = real_exposure(mirrored=wrong == "mirrored")
    catalogue = star_catalogue.read(REAL / "shout.ifustars")
    options = Astrometry(angle_range=0.5) if wrong == "angle out of reach" else Astrometry()
    if wrong == "another field":
        catalogue = star_catalogue.StarCatalogue(
            catalogue.path, catalogue.ids, catalogue.ra + 0.02, catalogue.dec, catalogue.magnitudes
        )
    with pytest.raises(InputError, match=r"exp01: found 95 stars on the pictures, \d+ brighter than g = 22.5"):
        solve([exposure], catalogue, options)


def random_case(random: np.random.Generator, n: int, n_ifus: int, n_catalogued: int):
    """Return stars at random in some IFUs, and a catalogue at random."""
    seats = np.array([(y, x) for x in range(-350, 351, 100) for y in range(-350, 351, 100)], dtype=np.float64)
    chosen = random.choice(len(seats), n_ifus, replace=False)
    detected = seats[random.choice(chosen, n)] + random.uniform(-25, 25, (n, 2))
    ra, dec = START.to_sky(*random.uniform(-500, 500, (2, n_catalogued)))
    return detected, ra, dec


@pytest.mark.parametrize(("n", "n_ifus", "n_catalogued"), [(95, 40, 33), (95, 40, 400), (12, 4, 60), (8, 1, 400)])
def test_unrelated_lists_are_refused(n, n_ifus, n_catalogued):
    random = np.random.default_rng(n_catalogued)
    chances = [match(*random_case(random, n, n_ifus, n_catalogued), START, **HOW).chance for _ in range(100)]
    assert min(chances) > Astrometry().most_chance
    assert np.mean(np.array(chances) < 0.1) < 0.2  # a chance of a tenth is one, about


@pytest.mark.parametrize(("n_ifus", "n", "junk"), [(40, 30, 120), (4, 12, 20), (1, 6, 6)])
def test_a_start_that_is_wrong_is_put_right(n_ifus, n, junk):
    """Half of what was detected and most of the catalogue is something else; positions are 0.1″ off."""
    random = np.random.default_rng(n)
    detected, _, _ = random_case(random, n + junk, n_ifus, 1)
    true = START.moved(11.0, -12.0, 1.4)
    ra, dec = true.to_sky(*detected[:n].T)
    others = true.to_sky(*random.uniform(-500, 500, (2, 200)))
    seen = detected + random.normal(0, 0.1, detected.shape)
    found = match(seen, np.append(ra, others[0]), np.append(dec, others[1]), START, **HOW)
    assert found.chance < 1e-6
    same = found.detected == found.catalogued
    assert same.mean() > 0.9
    assert same.sum() >= 0.9 * n
    got = found.pointing.to_sky(*detected[:n].T)
    off = np.hypot((got[0] - ra) * np.cos(np.radians(dec)), got[1] - dec) * 3600
    assert off.max() < 0.3
    assert np.hypot(found.rms_x, found.rms_y) == pytest.approx(0.14, abs=0.08)
    if n_ifus > 1:
        assert found.pointing.pa == pytest.approx(true.pa, abs=max(4 * found.pa_error, 1e-3))


def test_an_angle_that_is_known_is_kept():
    detected, _, _ = random_case(np.random.default_rng(1), 8, 4, 1)
    true = START.moved(5.0, -6.0, 0.0)
    found = match(detected, *true.to_sky(*detected.T), START, **HOW | {"turn_range": 0.0})
    assert len(found) == 8
    assert found.pointing.pa == pytest.approx(true.pa, abs=1e-6)


def test_nothing_matches_nothing():
    assert len(match(np.zeros((0, 2)), np.zeros(3), np.zeros(3), START, **HOW)) == 0
    assert match(np.zeros((1, 2)), np.zeros(0), np.zeros(0), START, **HOW).chance == np.inf
