"""One simulated brick: its light, noise and tiles."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from skyharvest.simulate.legacysurvey.brick import EXPOSURES, FWHM, SIGMA, Stars, to_pixels, write_brick
from small_bricks import moffat

BANDS = "griz"
ALLMASK = {"g": 32, "r": 64, "z": 128, "i": 32768}
NOBODY = Stars(np.zeros(0), np.zeros(0), dict.fromkeys(BANDS, np.zeros(0)))


def star(ra, dec, flux=3.0):
    return Stars(np.array([ra]), np.array([dec]), dict.fromkeys(BANDS, np.array([flux])))


def one_band(path, product="image"):
    return fits.getdata(path / f"legacysurvey-0000p000-{product}-g.fits.fz", 1).astype(float)


@pytest.mark.parametrize("center", [(0.001, 0.0), (359.9995, 83.2), (148.5, -60.0)])
def test_a_star_without_noise_has_the_profile_and_all_the_light(tmp_path, center):
    n = 131
    place = SkyCoord(*center, unit="deg").directional_offset_by(40 * u.deg, 5 * u.arcsec)
    options = {"ra": center[0], "dec": center[1], "size": n, "bands": "g"}
    write_brick(tmp_path, "0000p000", stars=star(place.ra.deg, place.dec.deg), **options)
    image = one_band(tmp_path)
    header = fits.getheader(tmp_path / "legacysurvey-0000p000-image-g.fits.fz", 1)
    header["RADESYS"] = "ICRS"
    x, y = (float(axis) for axis in WCS(header).world_to_pixel(place))
    profile = moffat(x, y, FWHM["g"], (n, n), 12)
    np.testing.assert_allclose(image, 3 * profile, rtol=2e-3, atol=6.1e-5)  # half a step, and what is cut off
    assert image.sum() == pytest.approx(3 * profile.sum(), rel=5e-3)
    far = np.hypot(np.arange(n) - x, np.arange(n)[:, None] - y) > 50
    assert (image[far] == 0).all()  # no dither there
    np.testing.assert_array_equal(one_band(tmp_path, "model"), image)
    np.testing.assert_allclose(one_band(tmp_path, "invvar"), EXPOSURES["g"] / SIGMA["g"] ** 2, rtol=1e-6)
    assert (one_band(tmp_path, "nexp") == EXPOSURES["g"]).all()


def test_light_of_stars_beyond_the_edge_falls_on_the_brick(tmp_path):
    """A small brick is a crop of a large one with the same center."""
    rng = np.random.default_rng(2)
    n = 400
    flux = 10 ** rng.uniform(-1, 2.5, n)
    stars = Stars(10 + rng.uniform(-0.02, 0.02, n), rng.uniform(-0.02, 0.02, n), dict.fromkeys(BANDS, flux))
    images = {}
    for size in (120, 420):
        write_brick(tmp_path / str(size), "0000p000", ra=10, dec=0, size=size, stars=stars, bands="g")
        images[size] = one_band(tmp_path / str(size))
    np.testing.assert_allclose(images[120], images[420][150:270, 150:270], rtol=1e-6, atol=1.001e-4)
    x, y = to_pixels(stars.ra, stars.dec, (10, 0), 120)
    outside = (np.maximum(np.abs(x - 59.5), np.abs(y - 59.5)) > 60) & (np.hypot(x - 59.5, y - 59.5) < 75)
    assert (flux[outside] > 3).any()


@pytest.mark.parametrize("stars", [NOBODY, star(190, 0)], ids=["none", "antipode"])
@pytest.mark.parametrize(("size", "tile", "shape"), [(202, 100, 101), (204, 100, 100), (90, 100, 100), (203, 50, 51)])
def test_nothing_but_noise_and_tiles_of_many_sizes(tmp_path, stars, size, tile, shape):
    options = {"rng": np.random.default_rng(5), "size": size, "tile": tile, "bands": ("g",), "products": ("image",)}
    gap = np.zeros((size, size), bool)
    gap[:, 40] = True
    nexp = write_brick(tmp_path, "0000p000", ra=10, dec=0, stars=stars, gaps={"g": gap}, maskbits=4096, **options)
    assert {path.name for path in tmp_path.iterdir()} == {
        "legacysurvey-0000p000-image-g.fits.fz",
        "legacysurvey-0000p000-maskbits.fits.fz",
    }
    with fits.open(next(tmp_path.glob("*-image-g*")), disable_image_compression=True) as hdus:
        assert (hdus[1].header["ZTILE1"], hdus[1].header["ZTILE2"]) == (shape, shape)
    image = one_band(tmp_path)
    assert image.shape == (size, size)
    np.testing.assert_array_equal(nexp["g"], np.where(gap, 0, EXPOSURES["g"]))
    assert (image[gap] == 0).all()
    assert image[~gap].std() == pytest.approx(SIGMA["g"] / np.sqrt(EXPOSURES["g"]), rel=0.03)
    bits = fits.getdata(tmp_path / "legacysurvey-0000p000-maskbits.fits.fz", 1)
    np.testing.assert_array_equal(bits, np.where(gap, 4096 | ALLMASK["g"], 4096))
