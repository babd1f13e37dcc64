"""Pictures of lines: light, place and error, against the light that was put in, astropy and many draws of noise."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import hetdex_sources
from hetdex_sources import MIDDLE, Line, Star
from skyharvest.reduction.hetdex.sources.line_image import band_less_continuum, line_image, offsets
from skyharvest.reduction.hetdex.virus import GRID

WAVE, SIGMA, TOTAL = 4500.0, 2.5, 40.0


def ifu_fibers(x, y, wave=WAVE):
    """An IFU with a line, and a bright continuum, at (x, y) from its middle; and where that is: RA and Dec, degrees."""
    fibers = hetdex_sources.ifu_fibers(
        [Line(x, y, wave, TOTAL, SIGMA), Star(x, y, 1.5)], rows=17, columns=16, error=0.4, seed=None
    )
    return fibers, position(fibers, x, y)


def position(fibers, x, y):
    """RA and Dec, degrees, of a place from the middle of the IFU."""
    return [float(one[0]) for one in fibers.pointing.to_sky(*np.array([[x], [y]]) + np.array(MIDDLE)[:, None])]


@pytest.mark.parametrize("wave", [3600.0, 4500.0, 5480.0])
def test_a_line_is_where_it_is_with_its_light(wave):
    fibers, place = ifu_fibers(1.3, -2.1, wave)
    made = line_image(fibers, *place, wave, SIGMA)
    in_band = TOTAL * 0.9545  # of a Gaussian within 2 sigma
    assert made.image.sum() == pytest.approx(in_band, rel=0.03)
    east, north = offsets()
    light = np.where(np.hypot(east, north) < 5, made.image, 0)
    assert (light * east).sum() / light.sum() == pytest.approx(0, abs=0.05)
    assert (light * north).sum() / light.sum() == pytest.approx(0, abs=0.05)
    assert made.apcor == 1
    # What is in the aperture, by hand: pixels within 1.5″, but for what they share with its edge.
    assert made.flux == pytest.approx(made.image[np.hypot(east, north) < 1.5].sum(), rel=0.01)
    assert 0.45 < made.flux / in_band < 0.7


def test_east_and_north_are_those_of_the_header():
    fibers, place = ifu_fibers(1.3, -2.1)
    ra, dec = position(fibers, 4.3, -4.1)
    made = line_image(fibers, ra, dec, WAVE, SIGMA)
    header = fits.Header.fromstring(made.header)
    assert len(made.header) == 2880 and header["BUNIT"] == "1e-17 erg s-1 cm-2" and header["NAXIS1"] == 80
    assert (header["WAVEMIN"], header["WAVEMAX"]) == (4495.0, 4505.0)
    wcs = WCS(header)
    star = [float(pixel[0]) for pixel in wcs.world_to_pixel_values(*np.array(place)[:, None])]
    y, x = np.mgrid[:80, :80]
    light = np.where(np.hypot(x - star[0], y - star[1]) < 20, made.image, 0)
    assert [float((light * place).sum() / light.sum()) for place in (x, y)] == pytest.approx(star, abs=0.2)
    east, north = offsets()
    world = wcs.pixel_to_world_values(x, y)
    np.testing.assert_allclose((world[0] - ra) * 3600 * np.cos(np.radians(dec)), east, atol=2e-3)
    np.testing.assert_allclose((world[1] - dec) * 3600, north, atol=2e-3)


def test_errors_are_the_scatter_of_noise():
    random = np.random.default_rng(4)
    clean, place = ifu_fibers(1.3, -2.1)
    made = []
    for _ in range(60):
        flux = clean.flux.copy()
        flux[:, 470:560] += clean.error[:, 470:560] * random.normal(size=(len(clean), 90))  # the band, and its sides
        made.append(line_image(replace(clean, flux=flux), *place, WAVE, SIGMA))
    images = np.array([one.image for one in made])
    assert np.median(images.std(0) / made[0].error) == pytest.approx(1, abs=0.05)
    assert np.std([one.flux for one in made]) / made[0].flux_err == pytest.approx(1, abs=0.3)
    assert made[0].bkg_stddev > made[0].flux_err  # as it takes pixels to be one
    assert made[0].sn == made[0].flux / made[0].bkg_stddev


def test_beyond_the_fibers_there_is_nothing():
    fibers, _ = ifu_fibers(0.0, 0.0)
    ra, dec = position(fibers, 17.0, 18.8)
    made = line_image(fibers, ra, dec, WAVE, SIGMA)
    assert 0 < made.apcor < 1 and np.isfinite(made.flux)
    assert 0.3 < np.isnan(made.image).mean() < 0.9
    np.testing.assert_array_equal(np.isnan(made.image), np.isnan(made.error))
    far = line_image(fibers, ra, dec - 0.1, WAVE, SIGMA)
    assert np.isnan(far.image).all() and np.isnan([far.flux, far.flux_err, far.bkg_stddev, far.sn]).all()
    assert far.apcor == 0


def test_the_band_is_summed_less_the_mean_of_its_sides():
    flux = np.tile(5 + 0.1 * np.arange(1036), (3, 1)).astype("f4")
    error = np.full((3, 1036), 2.0, "f4")
    k = 500
    flux[:, k - 2 : k + 3] += 7.0
    flux[1, k - 1] = np.nan  # one bin of five is not known
    flux[2, k - 1 : k + 2] = np.nan
    light, variance = band_less_continuum(flux, error, GRID[k] - 5, GRID[k] + 5)
    np.testing.assert_allclose(light[:2], [35.0, 35.0 + 5 * 0.1 * 0.25], rtol=1e-4)
    np.testing.assert_allclose(variance[:2], [25 * (4 / 5 + 4 / 50), 25 * (4 / 4 + 4 / 50)], rtol=1e-3)
    assert np.isnan(light[2]) and np.isnan(variance[2])
    at_edge = band_less_continuum(flux, error, GRID[0], GRID[0] + 10)  # there is no blue side
    np.testing.assert_allclose(at_edge[0], 5 * -0.1 * 20, rtol=0.05)
