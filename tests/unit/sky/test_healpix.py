"""Pixels: against healpy's, and against its borders, at poles, RA 0/360, edges and corners."""

import subprocess
import sys

import healpy as hp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skyharvest.sky import healpix
from skyharvest.sky.healpix import agreement, ang2pix, guess_scheme, outlines, parent, touched_pixels

STEP = 1000  # points along each side of a pixel


def distance_to_pixels(nside, centre, pix):
    """Return the distance (radians) from a unit vector to the nearest border point of each pixel."""
    border = hp.boundaries(nside, pix, step=STEP, nest=True).reshape(len(pix), 3, -1)
    chord = np.linalg.norm(border - centre[:, None], axis=1).min(axis=1)
    return 2 * np.arcsin(np.minimum(chord / 2, 1))


def check(nside, ra, dec, radius):
    """Compare with the borders of every pixel around: none missed, none that is 2 % of the radius too far."""
    index, found = touched_pixels(nside, [ra], [dec], np.degrees(radius) * 3600)
    centre = hp.ang2vec(ra, dec, lonlat=True)
    around = hp.query_disc(nside, centre, min(2 * radius + hp.max_pixrad(nside), np.pi), nest=True)
    away = distance_to_pixels(nside, centre, around)
    away[around == hp.ang2pix(nside, ra, dec, nest=True, lonlat=True)] = 0
    assert (index == 0).all()
    assert (np.diff(found) > 0).all(), "sorted, no duplicates"
    assert set(around[away <= radius * 0.9999]) <= set(found.tolist())
    assert set(found.tolist()) <= set(around[away <= radius * 1.02])


every_ra = st.one_of(st.floats(-720, 720), st.integers(-720 * 16, 720 * 16).map(lambda n: n / 16))
every_dec = st.one_of(st.floats(-90, 90), st.integers(-90 * 16, 90 * 16).map(lambda n: n / 16))


@settings(max_examples=1000, deadline=None)
@given(nside=st.sampled_from([2**k for k in range(14)]), nested=st.booleans(), ra=every_ra, dec=every_dec)
@example(nside=64, nested=True, ra=101.25, dec=30.0)  # on a border: how degrees become radians decides
@example(nside=64, nested=True, ra=-1e-300, dec=0.0)  # modulo 360 it is 360
@example(nside=64, nested=True, ra=360.0, dec=90.0)
def test_a_position_has_the_pixel_that_healpy_gives_it(nside, nested, ra, dec):
    assert ang2pix(nside, ra, dec, nested) == hp.ang2pix(nside, ra, dec, nest=nested, lonlat=True)


@pytest.mark.parametrize("nside", [1, 16, 64, 8192])
@pytest.mark.parametrize("nested", [True, False])
def test_many_positions_have_the_pixels_that_healpy_gives_them(nside, nested):
    random = np.random.default_rng(nside)
    grid = np.meshgrid(np.arange(-180, 360.1, 1.25), np.arange(-90, 90.1, 1.25))  # on borders of pixels, too
    anywhere = random.uniform(-180, 360, 100_000), np.degrees(np.arcsin(random.uniform(-1, 1, 100_000)))
    ra, dec = (np.concatenate([some, values.ravel()]) for some, values in zip(anywhere, grid, strict=True))
    found = ang2pix(nside, ra, dec, nested)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, hp.ang2pix(nside, ra, dec, nest=nested, lonlat=True))


def test_outlines_are_those_of_healpy():
    pixels = np.arange(0, 3072, 7)
    ra, dec = outlines(16, pixels, 5)
    assert ra.shape == dec.shape == (len(pixels), 20)
    assert ((ra >= 0) & (ra < 360)).all()
    expected = hp.boundaries(16, pixels, step=5, nest=True).transpose(0, 2, 1).reshape(-1, 3)
    np.testing.assert_allclose(hp.ang2vec(ra.ravel(), dec.ravel(), lonlat=True), expected, rtol=0, atol=1e-15)


def test_pixels_cost_a_job_neither_healpy_nor_what_it_imports():
    code = "import sys, skyharvest.sky.healpix; print({'healpy', 'astropy', 'matplotlib', 'pandas'} & set(sys.modules))"
    path = {"PYTHONPATH": healpix.__file__.split("/skyharvest/")[0]}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


nsides = st.sampled_from([1, 2, 16, 64, 8192])
fractions = st.floats(0.01, 0.249)  # of a pixel's size


@settings(max_examples=1000, deadline=None)
@given(
    nside=nsides,
    fraction=fractions,
    pixel=st.floats(0, 0.999999),
    along=st.integers(0, 4 * 50 - 1),
    across=st.floats(0, 1.5),
    direction=st.floats(0, 2 * np.pi),
)
@example(nside=64, fraction=0.1, pixel=0.0, along=0, across=0.0, direction=0.0)  # on a corner
@example(nside=64, fraction=0.1, pixel=4095 / 49152, along=0, across=1.0, direction=2.0)  # near the pole
def test_circles_near_edges_and_corners(nside, fraction, pixel, along, across, direction):
    radius = fraction * hp.nside2resol(nside)
    border = hp.boundaries(nside, int(pixel * hp.nside2npix(nside)), step=50, nest=True)[:, along]
    east = np.cross([0.3, 0.5, 0.8], border)
    east /= np.linalg.norm(east)
    north = np.cross(border, east)
    vector = border + across * radius * (np.cos(direction) * north + np.sin(direction) * east)
    ra, dec = (angle.item() for angle in hp.vec2ang(vector, lonlat=True))
    check(nside, ra, dec, radius)


@settings(max_examples=150, deadline=None)
@given(
    nside=nsides,
    fraction=fractions,
    ra=st.one_of(st.sampled_from([-180.0, 0.0, 45.0, 90.0, 360.0]), st.floats(-180, 360)),
    from_pole=st.floats(0, 2),
    north=st.booleans(),
)
def test_circles_at_the_poles(nside, fraction, ra, from_pole, north):
    radius = fraction * hp.nside2resol(nside)
    dec = 90 - np.degrees(from_pole * radius)
    check(nside, ra, dec if north else -dec, radius)


@settings(max_examples=100, deadline=None)
@given(nside=nsides, fraction=fractions, offset=st.floats(-2, 2), dec=st.floats(-85, 85))
def test_circles_across_ra_zero(nside, fraction, offset, dec):
    radius = fraction * hp.nside2resol(nside)
    ra = np.degrees(offset * radius)
    for same in (ra, ra + 360, ra % 360):
        check(nside, same, dec, radius)


def test_an_arcsecond_at_the_edges_of_desi_pixels():
    random = np.random.default_rng(5)
    radius = np.radians(1 / 3600)
    border = hp.boundaries(64, random.integers(0, 49152, 100), step=3, nest=True).transpose(0, 2, 1).reshape(-1, 3)
    centres = border + random.uniform(-1, 1, border.shape) * radius
    ra, dec = hp.vec2ang(centres, lonlat=True)
    centres = hp.ang2vec(ra, dec, lonlat=True)
    index, pixel = touched_pixels(64, ra, dec, 1.0)
    pairs = set(zip(index.tolist(), pixel.tolist(), strict=True))
    points = centres[:, None] + random.uniform(-1, 1, (len(centres), 1500, 3)) * radius
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    which, point = np.nonzero(np.linalg.norm(points - centres[:, None], axis=2) <= radius)
    held = hp.vec2pix(64, *points[which, point].T, nest=True)
    seen = set(zip(which.tolist(), held.tolist(), strict=True))
    assert seen <= pairs
    assert len(pairs - seen) < 0.03 * len(pairs), "only slivers that no point fell into"
    assert len(pairs) > 2 * len(ra)


GRID = 128
GRID_VECTORS = np.array(hp.pix2vec(GRID, np.arange(hp.nside2npix(GRID)), nest=True))


@settings(max_examples=60, deadline=None)
@given(
    nside=st.sampled_from([1, 4, 8]),
    fraction=st.floats(0.251, 4),
    ra=st.floats(0, 360),
    dec=st.floats(-90, 90),
)
@example(nside=4, fraction=9.9 / 14.658, ra=45.0, dec=-84.0)  # healpy issue 968
@example(nside=1, fraction=3.0, ra=0.0, dec=0.0)
def test_large_circles(nside, fraction, ra, dec):
    radius = min(fraction * hp.nside2resol(nside), np.pi)
    distance = 2 * np.arcsin(np.linalg.norm(GRID_VECTORS - hp.ang2vec(ra, dec, lonlat=True)[:, None], axis=0) / 2)
    found = set(touched_pixels(nside, [ra], [dec], np.degrees(radius) * 3600)[1].tolist())

    def holding(reach):
        return set(hp.vec2pix(nside, *GRID_VECTORS[:, distance <= reach], nest=True).tolist())

    assert holding(radius) <= found <= holding(radius + 0.2 * hp.nside2resol(nside))


def test_the_whole_sphere():
    assert touched_pixels(4, [10.0], [20.0], 180 * 3600)[1].tolist() == list(range(192))


def test_many_targets_are_as_one_by_one(monkeypatch):
    monkeypatch.setattr(healpix, "BLOCK", 100)
    random = np.random.default_rng(1)
    ra, dec = random.uniform(-180, 360, 450), np.degrees(np.arcsin(random.uniform(-1, 1, 450)))
    corners = hp.boundaries(64, np.arange(50), step=1, nest=True)[:, :, 0]
    ra[:50], dec[:50] = hp.vec2ang(corners, lonlat=True)
    index, pixel = touched_pixels(64, ra, dec, 1.0)
    assert index.dtype == pixel.dtype == np.int64
    alone = [touched_pixels(64, [a], [d], 1.0)[1] for a, d in zip(ra, dec, strict=True)]
    np.testing.assert_array_equal(pixel, np.concatenate(alone))
    np.testing.assert_array_equal(index, np.repeat(np.arange(450), [len(one) for one in alone]))
    assert min(len(one) for one in alone[:50]) >= 3, "a corner belongs to three or four pixels"
    assert max(len(one) for one in alone[50:]) <= 2


def test_an_edge_through_the_target():
    # From the pole down to z = 2/3 the border between base pixels 0 and 1 is RA 90.
    edge, inside = (touched_pixels(1, [ra], [60.0], 1.0)[1].tolist() for ra in (90.0, 45.0))
    assert edge == [0, 1]
    assert inside == [0]


def test_a_corner_that_just_reaches_into_the_circle():
    # Base pixels 0, 4, 5, 8 meet at RA 45, Dec 0; the western one, 4, has its eastern corner there.
    near, far = (touched_pixels(1, [45 + arcsec / 3600], [0.0], 1.0)[1].tolist() for arcsec in (0.999, 1.02))
    assert near == [0, 4, 5, 8]
    assert far == [0, 5, 8]


def test_no_targets_no_radius():
    assert [len(part) for part in touched_pixels(64, [], [], 1.0)] == [0, 0]
    assert touched_pixels(64, [149.4654876], [1.79364675], 0.0)[1].tolist() == [27247]
    for radius in (-1.0, np.nan):
        with pytest.raises(ValueError, match="radius"):
            touched_pixels(64, [0.0], [0.0], radius)


def test_a_real_coadd_holds_its_target():
    # The target of coadd-special-dark-27247.fits.
    assert ang2pix(64, 149.46540425, 1.79364675) == 27247
    assert ang2pix(16, [149.46540425], [1.79364675]).tolist() == [1702]


def test_parent_holds_the_pixel():
    ra, dec = hp.pix2ang(64, np.arange(49152), nest=True, lonlat=True)
    for nside in (1, 16, 64):
        np.testing.assert_array_equal(parent(np.arange(49152), 64, nside), ang2pix(nside, ra, dec))
    with pytest.raises(ValueError, match="finer"):
        parent(np.array([1]), 16, 64)


@pytest.mark.parametrize("nside", [2**k for k in range(10)])
@pytest.mark.parametrize("nested", [True, False])
def test_guess_scheme(nside, nested):
    random = np.random.default_rng(nside)
    ra, dec = random.uniform(0, 360, 2000), np.degrees(np.arcsin(random.uniform(-1, 1, 2000)))
    values = hp.ang2pix(nside, ra, dec, nest=nested, lonlat=True)
    values[:20] = -1
    guesses = guess_scheme(values, ra, dec)
    assert guesses[0] == (nside, "NESTED" if nested or nside == 1 else "RING", 0.99)
    assert len(guesses) == len({guess[:2] for guess in guesses}) == 19
    assert [guess[2] for guess in guesses] == sorted((guess[2] for guess in guesses), reverse=True)
    assert agreement(values, ra, dec, nside, nested) == 0.99
