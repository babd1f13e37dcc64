"""One simulated cube: its light against other means, its compression against a plain cube."""

import fitsio
import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from skyharvest.simulate.hetdex.cube import PointSources, aperture_fraction, write_cube

SHAPE = (1036, 104, 104)
WAVE = np.linspace(3470, 5540, 1036)
NOBODY = PointSources(np.zeros(0), np.zeros(0), np.zeros((0, 1036)))


def light(x, y, fwhm, beta, n=20):
    """Return (104 n, 104 n): light per sub-spaxel, each taken at its middle, and their distances; in spaxels."""
    at = (np.arange(104 * n) + 0.5) / n - 0.5
    r = np.hypot(at - x, at[:, None] - y)
    if beta is None:
        sigma = fwhm / 0.5 / 2.3548200450309493
        return np.exp(-0.5 * (r / sigma) ** 2) / (2 * np.pi * sigma**2) / n**2, r
    alpha = fwhm / 0.5 / (2 * np.sqrt(2 ** (1 / beta) - 1))
    return (beta - 1) / (np.pi * alpha**2) * (1 + (r / alpha) ** 2) ** -beta / n**2, r


def star(ra, dec, flux=3.0):
    return PointSources(np.array([ra]), np.array([dec]), np.array([flux * (WAVE / 4500) ** 2]))


@pytest.mark.parametrize(("pa", "beta"), [(0.0, None), (90.0, 3.0), (213.7, 2.5)])
def test_a_star_without_noise_has_the_profile_and_all_the_light(tmp_path, pa, beta):
    ra, dec = 0.001, 47.3
    place = SkyCoord(ra, dec, unit="deg").directional_offset_by(40 * units.deg, 6 * units.arcsec)
    source = star(place.ra.deg, place.dec.deg)
    path = tmp_path / "cube.fits"
    options = {"sources": source, "pa": pa, "fwhm": 1.4, "beta": beta, "compress": False}
    write_cube(path, shotid=20200101001, ifuslot="050", ra=ra, dec=dec, **options)
    with fits.open(path) as hdus:
        assert not any(isinstance(hdu, fits.CompImageHDU) for hdu in hdus)
        data, wcs = hdus["DATA"].data.astype(float), WCS(hdus["DATA"].header).celestial
        assert (hdus["MASK"].data == 0).all()
    path.unlink()
    profile, _ = light(*map(float, wcs.world_to_pixel(place)), 1.4, beta)
    profile = profile.reshape(104, 20, 104, 20).sum(axis=(1, 3))
    for i in (0, 700):
        np.testing.assert_allclose(data[i], 2 * source.flux[0, i] * profile, rtol=2e-3, atol=1e-8)
    rest = 0 if beta is None else 1 - profile.sum()  # of a Moffat profile some is off the cube
    assert rest < 3e-3
    np.testing.assert_allclose(data.sum(axis=(1, 2)) / 2, source.flux[0] * (1 - rest), rtol=1e-5)


@pytest.mark.parametrize("beta", [None, 3.0])
@pytest.mark.parametrize("at", [(50.3, 61.8), (3.2, 60.7), (101.0, 1.0), (-3.0, 40.0), (107.9, 107.9), (-9.0, 50.0)])
def test_share_of_the_light_in_a_circle(at, beta):
    whole, on_cube = aperture_fraction(*at, 2.0, beta)
    share, r = light(*at, 2.0, beta)
    assert on_cube == pytest.approx(share[r <= 7].sum(), abs=2e-4)
    middle, r = light(50, 50, 2.0, beta)
    assert whole == pytest.approx(middle[r <= 7].sum(), abs=2e-4)
    inside = all(7 <= axis + 0.5 <= 97 for axis in at)
    assert (whole == pytest.approx(on_cube, rel=1e-9)) == inside


def test_a_compressed_cube_is_the_plain_one_to_a_step(tmp_path):
    error = np.full(SHAPE, 0.3, dtype=np.float32)
    error[:, :, 60:] = 0.11
    error[:, 80] = 0
    lit = np.ones((104, 104), bool)
    lit[:, 3], lit[100] = False, False

    def change(flux, sigma, mask):
        mask[10:20, 30] = 4096
        flux[500, 40] = np.nan
        sigma[501, 41] = 7.0

    read = {}
    for compress in (False, True):
        path = tmp_path / f"cube-{compress}.fits"
        options = {"error": error, "lit": lit, "change": change, "compress": compress}
        write_cube(path, shotid=20200101001, ifuslot="050", ra=10, dec=0, pa=5, sources=star(10, 0), **options)
        read[compress] = {name: fitsio.read(path, name) for name in ("DATA", "ERROR", "MASK")}
        path.unlink()
    plain, packed = read[False], read[True]
    np.testing.assert_array_equal(packed["ERROR"], plain["ERROR"])
    np.testing.assert_array_equal(packed["MASK"], plain["MASK"])
    np.testing.assert_array_equal(np.isnan(packed["DATA"]), np.isnan(plain["DATA"]))
    np.testing.assert_allclose(packed["DATA"], plain["DATA"], rtol=1e-6, atol=0.0625 / 2 * 1.001)
    np.testing.assert_allclose(plain["ERROR"][0, 50, 50], 0.3, atol=0.0625 / 32)
    assert (plain["ERROR"][:, 80][:, lit[80]] == 0).all()
    assert (plain["MASK"] != 0).sum() == 10 * 104
    assert np.isnan(plain["DATA"]).sum() == SHAPE[0] * (~lit).sum() + lit[40].sum()


@pytest.mark.parametrize("sources", [NOBODY, star(190, 0)], ids=["none", "antipode"])
def test_nothing_in_a_cube_but_noise(tmp_path, sources):
    path = tmp_path / "cube.fits"
    rng = np.random.default_rng(5)
    write_cube(path, shotid=20200101001, ifuslot="050", ra=10, dec=0, pa=5, sources=sources, error=0.25, rng=rng)
    data = fitsio.read(path, "DATA")
    assert data.std() == pytest.approx(0.25, rel=1e-3)
    assert (np.abs(data) < 1e-8).sum() < 10  # they would count as missing
    assert np.abs(data).max() < 0.25 * 6.5
    path.unlink()
