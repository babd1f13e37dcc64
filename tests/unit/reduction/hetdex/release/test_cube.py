"""The light of fibers on spaxels: by brute force; stars by their truth, through astropy; the scatter of noise."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from photutils.aperture import CircularAperture
from scipy.spatial import cKDTree

from hetdex_shot_file import pointed, shot_row, with_quality
from hetdex_sources import BETA, DITHERS, GRID, MIDDLE, MOVED, Star, ifu_fibers
from skyharvest.reduction.hetdex.release.cube import IN_APERTURE, NEAR, make_cube
from skyharvest.reduction.hetdex.release.cube_fibers import fibers_of_cube, middle_of
from skyharvest.reduction.hetdex.release.cube_file import shot_cards, wcs_cards, write_cube
from skyharvest.reduction.hetdex.source_settings import Flags
from skyharvest.reduction.hetdex.sources.sky_faults import SkyFaults
from skyharvest.reduction.hetdex.stars.tangent import Pointing

KERNEL, EMPTY = 1.2, 1
CENTRES = (np.arange(104) - 51.5) * 0.5  # arcsec
SEEING = (1.7, 1.9, 1.8)


def cube_of(x, y, flux, error, bits=None):
    bits = np.zeros(flux.shape, np.int16) if bits is None else bits
    return make_cube(x, y, flux, error, bits, kernel_fwhm=KERNEL, empty=EMPTY)


def lattice(rows=23, columns=20):
    """Return x and y of all fibers of three dithers, about their middle."""
    fibers = ifu_fibers(rows=rows, columns=columns, seed=None)
    dithers = np.array(list(DITHERS.values())).mean(axis=0)
    return fibers.x - MIDDLE[0] - dithers[0], fibers.y - MIDDLE[1] - dithers[1]


def in_circle(images, at, radius, power=1):
    """Return the sum in a circle about a spaxel, (1036,): its radius in arcsec; a power of spaxels' parts in it."""
    circle = CircularAperture(at, radius / 0.5).to_mask(method="exact")
    box, _ = circle.get_overlap_slices((104, 104))
    return np.einsum("kyx,yx->k", images[:, *box], circle.data**power)


def test_voxels_are_weighted_means_of_fibers_and_their_bits_those_of_the_nearest():
    random = np.random.default_rng(1)
    x, y = lattice(6, 6)
    flux = random.normal(10, 1, (len(x), 1036)).astype(np.float32)
    error = random.uniform(0.5, 2, flux.shape).astype(np.float32)
    flux[random.random(flux.shape) < 0.1] = np.nan
    error[random.random(flux.shape) < 0.02] = np.nan
    flux[30:33] = np.nan  # side by side: a hole
    bits = random.integers(2, 2**13, flux.shape).astype(np.int16)
    cube = cube_of(x, y, flux, error, bits)
    spaxels = np.stack([one.ravel() for one in np.meshgrid(CENTRES, CENTRES)], axis=1)
    sigma = KERNEL / np.sqrt(8 * np.log(2))
    for k in (0, 400, 1035):
        places = np.stack([x - MOVED(GRID[k]), y], axis=1)
        known = np.isfinite(flux[:, k]) & np.isfinite(error[:, k])
        apart = np.hypot(*(spaxels[:, None] - places[known]).transpose(2, 0, 1))
        weights = np.exp(-0.5 * (apart / sigma) ** 2)
        lit = weights.sum(axis=1) >= np.exp(-0.5 * (NEAR / sigma) ** 2)
        part = np.where(lit[:, None], weights / np.where(lit, weights.sum(axis=1), 1)[:, None], 0)
        share = 0.25 / (np.pi * 0.75**2)
        expected = np.where(lit, share * part @ flux[known, k].astype(float), np.nan)
        # Of the variance of the sum of all spaxels, each has its share.
        of_sum = (share * part.sum(axis=0) * error[known, k]) ** 2
        variance = part @ (of_sum / part.sum(axis=0))
        assert variance.sum() == pytest.approx(of_sum.sum())
        rtol = 2e-3  # fibers farther than four σ
        np.testing.assert_allclose(cube.data[k].ravel(), expected, rtol=rtol)
        np.testing.assert_allclose(cube.error[k].ravel()[lit], IN_APERTURE * np.sqrt(variance[lit]), rtol=2 * rtol)
        assert np.isnan(cube.error[k].ravel()[~lit]).all()
        distance, nearest = cKDTree(places).query(spaxels)
        near = distance < 1.9
        of_nearest = np.where(near, bits[nearest, k], 0) | np.where(lit, 0, EMPTY)
        assert (cube.mask[k].ravel() == of_nearest)[near | (distance > 3)].all()


def test_the_sky_is_as_bright_everywhere_and_nothing_is_beyond_the_fibers():
    x, y = lattice(13, 11)
    cube = cube_of(x, y, np.full((len(x), 1036), 7.0, np.float32), np.ones((len(x), 1036), np.float32))
    lit = np.isfinite(cube.data)
    np.testing.assert_allclose(cube.data[lit], 7.0 * 0.25 / (np.pi * 0.75**2), rtol=1e-5)
    assert lit[:, 28:76, 28:76].all()
    assert not lit[:, np.abs(CENTRES) > np.abs(y).max() + NEAR].any()
    assert (cube.mask == np.where(lit, 0, EMPTY)).all()


def test_errors_are_those_of_the_light_in_circles():
    x, y = lattice()
    random = np.random.default_rng(3)
    error = np.array([0.8, 1.2, 1.0], np.float32).repeat(len(x) // 3)[:, None] * np.ones(1036, np.float32)
    cube = cube_of(x, y, (error * random.standard_normal(error.shape)).astype(np.float32), error)
    scatter = {2.0: [], 3.5: [], 7.0: []}
    for radius, found in scatter.items():
        for at in random.uniform(25, 78, (12, 2)):
            light, error_of_light = (
                in_circle(cube.data, at, radius),
                in_circle(cube.error**2, at, radius, power=2) ** 0.5,
            )
            found.append(np.std(light / error_of_light))
    # A hundredth or two is by chance.
    assert np.mean(scatter[3.5]) == pytest.approx(1, abs=0.03)
    assert np.mean(scatter[2.0]) == pytest.approx(0.93, abs=0.04)
    assert np.mean(scatter[7.0]) == pytest.approx(1.04, abs=0.04)


STARS = (Star(-5.3, 2.2, 40.0), Star(6.1, -4.3, 25.0, depth=0.3), Star(6.6, 6.9, 30.0), Star(-6.2, -7.7, 30.0))


@pytest.fixture(scope="module")
def fibers():
    return with_quality(ifu_fibers(STARS, rows=13, columns=11, fwhm=SEEING, seed=None))


def within(radius, fwhm):
    """Return the share of a star's light in a circle, by wavelength: Moffat's profile."""
    width = fwhm * (GRID / 4500) ** -0.2
    return 1 - (1 + 4 * (2 ** (1 / BETA) - 1) * (radius / width) ** 2) ** (1 - BETA)


@pytest.mark.parametrize(
    ("ra", "dec", "pa"),
    [(209.0, 51.3, 292.6), (0.01, -1.2, 71.3), (359.95, 65.0, 110.0), (30.0, -88.0, 251.0)],
)
def test_stars_have_their_light_and_their_place(fibers, tmp_path, ra, dec, pa):
    turned = pointed(fibers, Pointing(ra, dec, pa))
    middle, row = middle_of(turned), shot_row(turned)[0]
    of_cube = fibers_of_cube(turned, middle, row, SkyFaults(), Flags())
    cube = cube_of(of_cube.x, of_cube.y, of_cube.flux, of_cube.error, of_cube.bits)
    path = tmp_path / "dex_cube.fits"
    write_cube(path, cube, [*wcs_cards(middle), *shot_cards(row, turned.ifu)])
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA", "ERROR", "MASK"]
        header, data = hdus["DATA"].header, hdus["DATA"].data.astype(float)
        assert all(hdu.header["WCSAXES"] == 3 and hdu.data.shape == (1036, 104, 104) for hdu in hdus[1:])
    sky = WCS(header)
    wave = sky.spectral.pixel_to_world_values(np.arange(1036))
    np.testing.assert_allclose(wave * 1e10, GRID, rtol=1e-9)
    assert (header["SHOTID"], header["IFUSLOT"], header["FIELD"]) == (20190103017, "106", "dex-spring")
    assert (header["FWHM"], header["EXPTIME2"], header["BUNIT"]) == (np.float32(1.8), 366.0, "10**-17 erg/(s cm2)")
    x, y = (np.array([getattr(star, axis) for star in STARS]) for axis in "xy")
    true = turned.pointing.to_sky(x + MIDDLE[0], y + MIDDLE[1])
    places = np.stack(sky.celestial.world_to_pixel_values(*true), axis=1)
    off = np.array([centroid(np.nansum(data[200:900], axis=0), *place) for place in places]) - places
    assert np.abs(0.5 * off.mean(axis=0)).max() < 0.05  # arcsec; half a spaxel would be 0.25
    assert np.hypot(*(0.5 * off.T)).max() < 0.15
    share = np.mean([within(3.5, fwhm) for fwhm in SEEING], axis=0)
    for star, place in zip(STARS, places, strict=True):
        ratio = in_circle(data, place, 3.5) / (star.spectrum() * share)
        assert np.abs(np.median(ratio) - 1) < 0.03
        assert np.abs(ratio - 1).max() < 0.06


def centroid(image, x, y):
    """Return the middle of the light near a place, by Gaussian weights that follow it."""
    rows, columns = np.indices(image.shape)
    for _ in range(30):
        weights = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) * np.nan_to_num(image)
        x += 2 * ((weights * columns).sum() / weights.sum() - x)
        y += 2 * ((weights * rows).sum() / weights.sum() - y)
    return x, y
