"""Spectra of positions on a cube: against the definition, the truth of stars, and one another."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.modeling.functional_models import Moffat2D
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from photutils.aperture import CircularAperture

from skyharvest.core.errors import InputError
from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.surveys.hetdex.cube import (
    N_WAVE,
    SHAPE,
    Masking,
    read_cube,
)
from skyharvest.surveys.hetdex.spectra import Psf, extract_spectra, reach
from small_cubes import (
    DEC,
    FWHM,
    NAME,
    PLANES,
    RA,
    RADIUS,
    SPAXEL,
    SPECTRUM,
    cube_of,
    gaussian,
    header_of,
    plane,
    sky_of,
    write,
    write_quickly,
)

pytestmark = pytest.mark.usefixtures("no_warnings")


def by_definition(images, ra, dec, radius=RADIUS, exclude=None, keep=0, only=0, min_coverage=0.2):
    """Return x, y, flux, error and coverage of one position: the definition, with astropy's WCS and photutils' weights.

    ``exclude`` None means any bit. None for spectra off the cube.
    """
    header, flux, error, mask = images
    celestial = WCS(header).celestial
    x, y = (float(at) for at in celestial.world_to_pixel(SkyCoord(ra * u.deg, dec * u.deg)))
    r = radius / (proj_plane_pixel_scales(celestial)[0] * 3600)
    weights = CircularAperture((x, y), r).to_mask(method="exact").to_image((104, 104))
    if weights is None or weights.sum() == 0:
        return x, y, None, None, None
    rows, columns = np.nonzero(weights)
    box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    w, f, e, m = weights[box], flux[:, *box].astype(float), error[:, *box].astype(float), mask[:, *box]
    good = ((m == 0) if exclude is None else ((m & exclude) == 0)) | ((m & keep) > 0)
    if only:
        good = (m & only) > 0
    good &= np.isfinite(f) & np.isfinite(e)
    has = good & (e != 0) & (np.abs(f) >= 1e-8)
    coverage = (w * has).sum(axis=(1, 2)) / w.sum()
    coverage[(coverage < min_coverage) | (coverage == 0)] = np.nan
    total = np.where(good, w * f, 0).sum(axis=(1, 2))
    variance = np.where(good, w**2 * e**2, 0).sum(axis=(1, 2))
    return x, y, total / coverage / header["SPECBW"], np.sqrt(variance) / coverage / header["SPECBW"], coverage


PLACES = [(20.3, 30.8), (70.1, 71.9), (51.5, 51.5), (3.2, 50.0), (101.0, 100.0), (-4.0, 40.0), (60.2, 108.9)]
PLACES += [(-7.6, 20.0), (-5.8, -5.8), (300.0, 20.0)]  # not on the cube
N_ON_CUBE = 7


@pytest.mark.parametrize(
    ("masking", "bits"),
    [
        (Masking(), {}),
        (Masking(keep_bits=["BADCAL", 64]), {"keep": 2048 | 64}),
        (Masking(exclude_bits=["main", "FTF", 4, "BADPIX", "BADAMP"]), {"exclude": 31}),
        (Masking(exclude_bits=31 | 64, keep_bits="MAIN"), {"exclude": 31 | 64, "keep": 1}),
        (Masking(include_only_bits=["METEOR", "SAT"]), {"only": 64 | 1024}),
    ],
)
def test_spectra_are_those_of_the_definition(compressed, images, masking, bits):
    min_coverage = 1e-6 if "only" in bits else 0.2
    cube = read_cube(compressed)
    ra, dec = sky_of(*np.transpose(PLACES))
    found = extract_spectra(cube, ra, dec, masking=masking, min_coverage=min_coverage)
    assert found.on_cube.tolist() == [True] * N_ON_CUBE + [False] * (len(PLACES) - N_ON_CUBE)
    n_compared = 0
    for k in range(len(PLACES)):
        x, y, *expected = by_definition(images, ra[k], dec[k], **bits, min_coverage=min_coverage)
        assert (found.x[k], found.y[k]) == pytest.approx((x, y), abs=1e-6)
        assert (found.x[k], found.y[k]) == pytest.approx(PLACES[k], abs=1e-5)
        for ours, theirs in zip((found.flux, found.error, found.coverage), expected, strict=True):
            assert ours.dtype == np.float32
            if k < N_ON_CUBE:
                np.testing.assert_allclose(ours[k], theirs, rtol=1e-5, atol=1e-6 * np.nanmax(np.abs(theirs)))
                n_compared += np.isfinite(theirs).sum()
            else:
                assert theirs is None
                assert np.isnan(ours[k]).all()
    assert n_compared > (300 if "only" in bits else 3 * 5 * N_WAVE)
    assert found.optimal_flux is found.optimal_error is None


def test_many_positions_are_extracted_as_each_alone(compressed):
    cube = read_cube(compressed)
    ra, dec = sky_of(*np.transpose(PLACES))
    psf = Psf("moffat", FWHM)
    together = extract_spectra(cube, ra, dec, psf=psf)
    for k in range(len(PLACES)):
        alone = extract_spectra(cube, ra[k : k + 1], dec[k : k + 1], psf=psf)
        for name in ("flux", "error", "coverage", "optimal_flux", "optimal_error"):
            assert np.array_equal(getattr(alone, name)[0], getattr(together, name)[k], equal_nan=True), name
    nobody = extract_spectra(cube, [], [], psf=psf)
    assert nobody.flux.shape == nobody.optimal_error.shape == (0, N_WAVE)


@pytest.mark.parametrize("radius", [0.2, 1.0, 3.5, 11.3])
def test_an_even_sky_gives_the_area_of_the_circle(radius):
    ra, dec = sky_of(40.37, 60.81)
    found = extract_spectra(cube_of(plane(np.ones((104, 104)), SPECTRUM)), [ra], [dec], radius_arcsec=radius)
    np.testing.assert_allclose(found.flux[0], SPECTRUM * math.pi * (radius / SPAXEL) ** 2 / 2, rtol=1e-5)
    assert (found.coverage == 1).all()


def test_a_star_gives_the_part_of_its_light_in_the_circle():
    x, y = 40.37, 60.81
    ra, dec = sky_of(x, y)
    for fwhm in (1.8, 3.6):
        found = extract_spectra(cube_of(plane(gaussian(x, y, fwhm), SPECTRUM)), [ra], [dec])
        weights = CircularAperture((x, y), RADIUS / SPAXEL).to_mask(method="exact").to_image((104, 104))
        total = (weights * gaussian(x, y, fwhm)).sum()
        np.testing.assert_allclose(found.flux[0], SPECTRUM * total / 2, rtol=1e-5)
        # Spaxels move light by up to a side: a variance of 1/12 for where it was in one, and of 1/12 for where it is.
        variance = (fwhm / SPAXEL) ** 2 / (8 * math.log(2)) + 1 / 6
        np.testing.assert_allclose(
            found.flux[0], SPECTRUM / 2 * -math.expm1(-((RADIUS / SPAXEL) ** 2) / 2 / variance), rtol=3e-4
        )


STARS = [(51.5, 51.5), (24.13, 77.77), (80.5, 30.0), (1.2, 48.4), (99.7, 102.9), (60.0, -0.4)]  # the last ones on edges


@pytest.fixture(scope="module")
def starry(tmp_path_factory):
    """An uncompressed cube with stars in noise."""
    rng = np.random.default_rng(7)
    sigma = np.sqrt(0.02 + 0.01 * np.indices((104, 104))[1] / 104)
    error = plane(sigma)
    flux = error * rng.standard_normal(SHAPE, np.float32)
    for x, y in STARS:
        flux += plane(gaussian(x, y), 20 * SPECTRUM)
    path = tmp_path_factory.mktemp("stars") / NAME
    return write(path, flux, error, np.zeros(SHAPE, np.int16))


@pytest.mark.parametrize("pa", [0, 45, 90, 137.2, 180, 223.9, 270, 315.5, 360])
def test_stars_are_recovered_within_their_errors_at_any_position_angle(starry, pa):
    with fits.open(starry, "update") as hdus:
        for name in ("DATA", "ERROR", "MASK"):
            hdus[name].header.update({key: value for key, value in header_of(pa).items() if key.startswith("PC")})
    cube = read_cube(starry)
    ra, dec = sky_of(*np.transpose(STARS), pa)
    found = extract_spectra(cube, ra, dec, psf=Psf("gaussian", FWHM))
    assert found.on_cube.all()
    for k, (x, y) in enumerate(STARS):
        weights = CircularAperture((x, y), RADIUS / SPAXEL).to_mask(method="exact").to_image((104, 104))
        in_aperture = 20 * SPECTRUM * (weights * gaussian(x, y)).sum()
        in_all = 20 * SPECTRUM
        for flux, error, truth in (
            (found.flux[k], found.error[k], in_aperture),
            (found.optimal_flux[k], found.optimal_error[k], in_all),
        ):
            pull = (2 * flux - truth) / (2 * error)
            assert abs(pull.mean()) < 4 / math.sqrt(N_WAVE), (k, pull.mean())
            assert pull.std() == pytest.approx(1, abs=0.1)
        assert (found.optimal_error[k] < found.error[k]).all() or k >= 3  # that is what it is for


def test_the_optimal_extraction_by_its_definition(compressed):
    cube = read_cube(compressed)
    x, y = 20.3, 30.8
    ra, dec = sky_of(x, y)
    found = extract_spectra(cube, [ra], [dec], psf=Psf("gaussian", FWHM), min_coverage=0.9)
    star = gaussian(x, y)
    rows, columns = np.indices((104, 104))
    inside = np.hypot(columns - x, rows - y) <= 3 * FWHM / SPAXEL
    assert 0.05 < np.isnan(found.optimal_flux[0]).mean() < 0.95  # some wavelengths are masked
    for i in range(0, N_WAVE, 7):
        use = inside & (cube.mask[i] == 0) & (cube.error[i] > 0) & (np.abs(cube.flux[i]) >= 1e-8)
        p, f, e = star[use], cube.flux[i][use].astype(float), cube.error[i][use].astype(float)
        if p.sum() < 0.9:
            assert np.isnan(found.optimal_flux[0, i])
            assert np.isnan(found.optimal_error[0, i])
            continue
        norm = (p**2 / e**2).sum()
        assert found.optimal_flux[0, i] == pytest.approx((p * f / e**2).sum() / norm / 2, rel=1e-5)
        assert found.optimal_error[0, i] == pytest.approx(norm**-0.5 / 2, rel=1e-5)


def test_the_psf_is_the_part_of_the_light_on_each_spaxel():
    grid = np.arange(104) - 51.37, np.arange(104) - 50.81
    for fwhm in (0.9, 1.8, 3.0):
        found = Psf("gaussian", fwhm).fractions(*grid, SPAXEL)
        np.testing.assert_allclose(found, gaussian(51.37, 50.81, fwhm), atol=1e-7)
    gamma = FWHM / SPAXEL / 2 / math.sqrt(2 ** (1 / 3.5) - 1)
    model = Moffat2D(3.5 - 1, 51.37, 50.81, gamma, 3.5)
    fine = (np.arange(104 * 20) + 0.5) / 20 - 0.5
    sampled = model(fine[None, :], fine[:, None]) / (math.pi * gamma**2)
    expected = sampled.reshape(104, 20, 104, 20).mean(axis=(1, 3))
    found = Psf("moffat", FWHM).fractions(*grid, SPAXEL)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.sum() == pytest.approx(1, abs=2e-3)  # the wings go on


@pytest.mark.parametrize(
    "how",
    [{"kind": "airy", "fwhm_arcsec": 1.8}, {"kind": "moffat", "fwhm_arcsec": 1.8, "beta": 1.0}]
    + [{"kind": "gaussian", "fwhm_arcsec": fwhm} for fwhm in (0.0, -999.0, math.nan, math.inf)],
)
def test_a_psf_that_is_none_is_refused(how):
    with pytest.raises(InputError, match="expected"):
        Psf(**how)


# --- Masks and coverage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MASK_BITS)
@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int32])
def test_each_bit_masks_and_is_kept_by_name_and_by_number(name, kind):
    bit = MASK_BITS[name]
    assert bit == 1 << list(MASK_BITS).index(name)
    mask = np.array([0, bit, bit | 1 | 8192, ~bit & 0x3FFF, 0x3FFF], kind)
    others = [other for other in MASK_BITS if other != name]
    assert Masking().good(mask).tolist() == [True, False, False, False, False]
    for spelled in (name, name.lower(), bit, [name], (bit,)):
        has = [False, True, True, False, True]
        assert Masking(exclude_bits=spelled).good(mask).tolist() == [not found for found in has]
        assert Masking(keep_bits=spelled).good(mask).tolist() == [True, *has[1:]]
        assert Masking(include_only_bits=spelled).good(mask).tolist() == has
        assert Masking(exclude_bits=others, include_only_bits=spelled).good(mask).tolist() == has
    assert Masking(exclude_bits=others).good(mask).tolist() == [True, True, False, False, False]
    assert Masking(exclude_bits=[]).good(mask).all()
    assert Masking(keep_bits="all").good(mask).all()
    assert Masking(include_only_bits="any").good(mask).tolist() == [False, True, True, True, True]


def test_a_bit_that_is_none_is_refused_before_anything_is_read():
    for how in ({"exclude_bits": "METEORS"}, {"keep_bits": [1, "BADCALL"]}, {"include_only_bits": (1 << 20) + 1}):
        with pytest.raises(InputError):
            Masking(**how)


def test_coverage_decides_to_the_edge():
    """Coverage takes many values around 0.2; below, and only below, there is no spectrum."""
    x, y = 50.2, 49.9
    ra, dec = sky_of(x, y)
    weights = CircularAperture((x, y), RADIUS / SPAXEL).to_mask(method="exact").to_image((104, 104))
    rng = np.random.default_rng(3)
    open_share = np.concatenate([rng.uniform(0.15, 0.25, 836), np.linspace(0, 1, 200)])
    mask = (rng.random(SHAPE) >= open_share[:, None, None]).astype(np.int16) * 2048
    mask[:3] = 2048
    mask[3:6] = 0
    expected = ((mask == 0) * weights).sum(axis=(1, 2)) / weights.sum()
    cube = cube_of(plane(np.ones((104, 104)), SPECTRUM), mask=mask)
    found = extract_spectra(cube, [ra], [dec])
    area = math.pi * (RADIUS / SPAXEL) ** 2
    assert 200 < (expected < 0.2).sum() < 836
    assert np.array_equal(np.isnan(found.flux[0]), expected < 0.2)
    assert np.array_equal(np.isnan(found.error[0]), expected < 0.2)
    assert np.array_equal(np.isnan(found.coverage[0]), expected < 0.2)
    kept = expected >= 0.2
    np.testing.assert_allclose(found.coverage[0, kept], expected[kept], rtol=1e-6)
    np.testing.assert_allclose(found.flux[0, kept], (SPECTRUM * area / 2)[kept], rtol=1e-5)  # corrected for the rest
    for i in (100, 500, 900, 1000):
        for asked, there in ((expected[i] * (1 - 1e-9), True), (expected[i] * (1 + 1e-9), False)):
            again = extract_spectra(cube, [ra], [dec], min_coverage=asked)
            assert np.isfinite(again.flux[0, i]) == there
    whole = extract_spectra(cube, [ra], [dec], min_coverage=1.0)
    assert np.array_equal(np.isfinite(whole.flux[0]), expected > 1 - 1e-9)  # all of it is enough
    assert np.isfinite(whole.flux[0, 3:6]).all()
    anywhere = sky_of(*np.random.default_rng(4).uniform(-3, 107, (2, 60)))
    whole = extract_spectra(cube_of(cube.flux), *anywhere, min_coverage=1.0)
    assert np.isfinite(whole.flux).all()
    assert np.isnan(extract_spectra(cube, [ra], [dec], min_coverage=0.0).flux[0, :3]).all()  # nothing is never enough


def test_what_was_not_measured_counts_as_the_definition_says():
    """Left half of the circle, or all: NaN, infinite, unfilled, or of no error; in a cube of ones with errors of 1."""
    x, y = 50.0, 50.0
    ra, dec = sky_of(x, y)
    flux, error = np.ones(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    left = np.s_[:, :50]
    flux[0][left] = np.nan
    flux[1][left] = -9e-9  # not measured
    flux[2][left] = -1e-8  # measured
    error[3][left] = 0  # its flux counts, but not as coverage
    flux[4][left], error[4][left] = np.nan, np.nan
    flux[5][left], error[5][left] = np.inf, np.inf
    flux[6], error[6] = np.nan, 0
    for i, bad in enumerate((np.nan, np.inf, -np.inf)):  # a voxel is good if both are numbers
        error[7 + i][left] = flux[10 + i][left] = bad
        error[13 + i] = flux[16 + i] = bad
    found = extract_spectra(cube_of(flux, error), [ra], [dec], min_coverage=0.2, psf=Psf("gaussian", FWHM))
    weights = CircularAperture((x, y), RADIUS / SPAXEL).to_mask(method="exact").to_image((104, 104))
    area, right = weights.sum(), weights[:, 50:].sum()
    share = right / area
    root, root_right = math.sqrt((weights**2).sum()), math.sqrt((weights[:, 50:] ** 2).sum())
    expected = [
        (right / share, root_right / share, share),
        (right / share, root / share, share),
        (right, root, 1),
        (area / share, root_right / share, share),
        (right / share, root_right / share, share),
        (right / share, root_right / share, share),
        (math.nan,) * 3,
        *[(right / share, root_right / share, share)] * 6,
        *[(math.nan,) * 3] * 6,
        (area, root, 1),
    ]
    for i, (total, sigma, coverage) in enumerate(expected):
        row = found.flux[0, i], found.error[0, i], found.coverage[0, i]
        assert row == pytest.approx((total / 2, sigma / 2, coverage), rel=1e-6, nan_ok=True), i
        optimal = found.optimal_flux[0, i], found.optimal_error[0, i]
        assert np.isnan(optimal).all() if math.isnan(sigma) else (np.array(optimal) > 0).all(), i


def test_a_cube_of_which_all_is_masked_gives_no_flux_but_says_where():
    flux = np.ones(SHAPE, np.float32)
    ra, dec = sky_of([50.0, 3.0, -100.0], [50.0, 3.0, 50.0])
    for cube in (
        cube_of(flux, mask=np.full(SHAPE, 16, np.int16)),
        cube_of(np.full(SHAPE, np.nan, np.float32)),
        cube_of(flux, np.full(SHAPE, np.nan, np.float32)),
        cube_of(flux, np.full(SHAPE, np.inf, np.float32)),
        cube_of(flux, np.zeros(SHAPE, np.float32)),
        cube_of(np.zeros(SHAPE, np.float32)),
    ):
        found = extract_spectra(cube, ra, dec, psf=Psf("gaussian", FWHM), min_coverage=0.0)
        assert found.on_cube.tolist() == [True, True, False]
        for values in (found.flux, found.error, found.coverage, found.optimal_flux, found.optimal_error):
            assert np.isnan(values).all()


# --- Positions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ra0", "dec0"), [(0.0, 0.0), (359.999, -0.001), (270.0, 66.0), (12.0, 89.999), (80.0, -89.99)]
)
def test_positions_across_ra_0_and_at_the_poles(ra0, dec0):
    x, y = np.array([10.0, 51.5, 90.2]), np.array([80.3, 51.5, 5.0])
    cube = cube_of(np.ones(SHAPE, np.float32), header=header_of(200.0, ra0, dec0))
    found = extract_spectra(cube, *sky_of(x, y, 200.0, ra0, dec0))
    np.testing.assert_allclose(found.x, x, atol=1e-6)
    np.testing.assert_allclose(found.y, y, atol=1e-6)
    assert found.on_cube.all()


def test_positions_that_are_nowhere_on_the_cube():
    cube = cube_of(np.ones(SHAPE, np.float32))
    ra, dec = [RA + 180, RA, math.nan, RA, RA + 90, RA], [-DEC, DEC, DEC, math.nan, 0.0, DEC - 90]
    found = extract_spectra(cube, ra, dec)
    assert found.on_cube.tolist() == [False, True, False, False, False, False]
    assert np.isfinite(found.flux).any(axis=1).tolist() == found.on_cube.tolist()
    edge = RADIUS / SPAXEL + 0.5  # of the circle when its rim is the cube's
    x = np.array([-edge + 1e-3, -edge - 1e-3, 103 + edge - 1e-3, 103 + edge + 1e-3])
    found = extract_spectra(cube, *sky_of(x, np.full(4, 51.5)), min_coverage=0.9)
    assert found.on_cube.tolist() == [True, False, True, False]
    assert (found.coverage[[0, 2]] == 1).all()  # of what is on the cube
    for radius in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="radius"):
            extract_spectra(cube, [RA], [DEC], radius_arcsec=radius)


@pytest.mark.parametrize("radius", [0.3, RADIUS, 11.3])
def test_the_share_of_the_aperture_on_the_cube_is_its_area(radius):
    """Off the cube there is neither light nor loss: full coverage, and a flux that lacks what is not there."""
    places = [(51.5, 51.5), (-0.5, 50.0), (103.5, 103.5), (1.2, 48.4), (60.0, 104.9), (-0.3, 103.1), (50.0, -60.0)]
    found = extract_spectra(cube_of(np.ones(SHAPE, np.float32)), *sky_of(*np.transpose(places)), radius_arcsec=radius)
    for k, place in enumerate(places):
        aperture = CircularAperture(place, radius / SPAXEL)
        mask = aperture.to_mask(method="exact").to_image((104, 104))
        expected = 0.0 if mask is None else mask.sum() / aperture.area
        assert found.aperture_on_cube[k] == pytest.approx(expected, abs=1e-6), place
        assert found.on_cube[k] == (expected > 0)
        assert (found.coverage[k] == 1).all() == (expected > 0)
        if expected:
            assert found.flux[k] == pytest.approx(expected * aperture.area / 2, rel=1e-5)
    assert found.aperture_on_cube[0] == 1
    assert found.aperture_on_cube[1:3] == pytest.approx([0.5, 0.25], abs=1e-6)  # on an edge, on a corner


@pytest.mark.parametrize("tiles", [PLANES, (40, 20, 52), None])
def test_rows_near_some_positions_give_the_same_spectra(voxels, compressed, tmp_path, tiles):
    path, (flux, error, mask) = compressed, voxels
    if tiles is None:
        path = write(tmp_path / NAME, flux, error, mask)
    elif tiles != PLANES:
        path = write_quickly(tmp_path / NAME, flux, np.ones(SHAPE, np.float32), mask, tiles)
    whole = read_cube(path)
    psf = Psf("moffat", FWHM)
    for places in (PLACES, PLACES[2:4], PLACES[-1:], [(50.0, -5.0), (50.0, 108.0)]):
        near = sky_of(*np.transpose(places))
        cube = read_cube(path, near=near, reach_arcsec=reach(RADIUS, psf))
        assert cube.flux.shape == cube.error.shape == cube.mask.shape == SHAPE
        assert len(places) > 2 or cube.rows.sum() < 80
        for name in ("flux", "error", "mask"):
            ours, theirs = getattr(cube, name), getattr(whole, name)
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours[:, cube.rows], theirs[:, cube.rows], equal_nan=name != "mask")
        ours, theirs = extract_spectra(cube, *near, psf=psf), extract_spectra(whole, *near, psf=psf)
        for name in ("on_cube", "flux", "error", "coverage", "optimal_flux", "optimal_error"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name), equal_nan=name != "on_cube")
    with pytest.raises(AssertionError, match="without the rows"):
        extract_spectra(cube, *sky_of([50.0], [50.0]))


def test_a_job_imports_no_more_than_it_needs(compressed):
    """astropy, photutils and numba take longer to import than one source takes to extract."""
    ra, dec = sky_of(50.0, 50.0)
    program = f"""
import sys
from pathlib import Path
from skyharvest.surveys.hetdex.cube import read_cube
from skyharvest.surveys.hetdex.spectra import Psf, extract_spectra, reach
psf = Psf("moffat", {FWHM})
cube = read_cube(Path({str(compressed)!r}), near=([{ra}], [{dec}]), reach_arcsec=reach({RADIUS}, psf))
assert extract_spectra(cube, [{ra}], [{dec}], psf=psf).on_cube.all()
print([name for name in ("astropy", "photutils", "scipy", "numba", "h5py", "urllib3") if name in sys.modules])
"""
    scripts = Path(__file__).resolve().parents[4] / "scripts"
    done = subprocess.run([sys.executable, "-c", program], cwd=scripts, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
