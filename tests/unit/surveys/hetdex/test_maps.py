"""Maps of HETDEX sources, against simulated cubes of known truth, the definition written out, astropy and photutils."""

import itertools
import math
import tracemalloc
import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from photutils.aperture import CircularAperture

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.tangent_plane import Sky
from skyharvest.simulate.hetdex.cube import PointSources, aperture_fraction, write_cube
from skyharvest.sky.spectral_lines import LINES, rest_wave
from skyharvest.surveys.hetdex.cube import SHAPE, WAVE_AIR, Cube, Masking, air_to_vacuum, read_cube
from skyharvest.surveys.hetdex.map_files import read_maps, write_fits, write_maps
from skyharvest.surveys.hetdex.maps import (
    IMAGES,
    MapRequest,
    concatenate,
    line_wave,
    make_maps,
    wcs_cards,
)

CENTER = SkyCoord(359.9985, -31.2, unit="deg")  # RA 0 is on the cube
PAS = (34.0, 211.7)
FWHM, BETA, SIGMA, RADIUS = 1.7, 3.0, 2.4, 3.5  # arcsec; Moffat; Å, of the lines; arcsec
OFFSETS = [(-3.3, 7.1), (10.2, -8.7), (-14.5, -11.2)]  # arcsec to the east and north: the star, and two with lines
CONTINUUM = [3.0, 1.0, 0.0]
LINE_WAVE, LINE_FLUX = [4600.0, 4321.3, 5101.7], [0.0, 1000.0, 400.0]
BADCAL = 2048


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def sky():
    east, north = np.array(OFFSETS).T * u.arcsec
    return CENTER.spherical_offsets_by(east, north)


@pytest.fixture(scope="module")
def cubes(sky, tmp_path_factory):
    """The same sky with noise at two position angles."""
    flux = np.multiply.outer(CONTINUUM, (WAVE_AIR / 4500) ** -1.5)
    for k, (wave, total) in enumerate(zip(LINE_WAVE, LINE_FLUX, strict=True)):
        shape = np.exp(-0.5 * ((WAVE_AIR - wave) / SIGMA) ** 2) / (SIGMA * math.sqrt(2 * math.pi))
        flux[k] += total * shape
    sources = PointSources(sky.ra.deg, sky.dec.deg, flux)
    made = {}
    for pa in PAS:
        path = tmp_path_factory.mktemp("cubes") / "dex_cube_20190102009_034.fits"
        write_cube(
            path,
            shotid=20190102009,
            ifuslot="034",
            ra=CENTER.ra.deg,
            dec=CENTER.dec.deg,
            pa=pa,
            sources=sources,
            fwhm=FWHM,
            beta=BETA,
            error=0.08,
            rng=np.random.default_rng(int(pa)),
            compress=False,
        )
        made[pa] = read_cube(path)
        path.unlink()
    return made


@pytest.fixture(scope="module")
def flawed(cubes):
    """The first cube with all that can be wrong with voxels."""
    rng = np.random.default_rng(3)
    cube = cubes[PAS[0]]
    flux, error, mask = cube.flux.copy(), cube.error.copy(), cube.mask.copy()
    error *= (1 + np.arange(SHAPE[0]) / 500).astype(np.float32)[:, None, None]
    for bit in (1, 8, 64, 512):
        mask[rng.integers(0, SHAPE[0], 8000), rng.integers(0, 104, 8000), rng.integers(0, 104, 8000)] |= bit
        mask[:, rng.integers(0, 104, 300), rng.integers(0, 104, 300)] |= bit
    mask[(WAVE_AIR > 5194) & (WAVE_AIR < 5205)] |= BADCAL
    mask[WAVE_AIR < 4321, 40:44, :] |= 1  # no continuum on one side, here and there on the other
    mask[WAVE_AIR > 4335, 42:46, :] |= 1
    error[:, :, 60:62] = 0  # dead fibers, with flux
    error[:, 10:12] = np.nan
    error[1::2, 37] = np.inf
    error[:, 20, ::2] = -0.08
    flux[:, :, 70:72] = 1e-9  # unfilled
    flux[::3, 30:33] = np.nan
    flux[5::7, 35] = np.inf
    return replace(cube, flux=flux, error=error, mask=mask)


def place(cube, x, y):
    """Return RA and Dec of 0-based spaxels."""
    at = cube.wcs.pixel_to_world(np.atleast_1d(x), np.atleast_1d(y))
    return at.ra.deg, at.dec.deg


def by_definition(cube, x, y, size, bands, wave, bad=-1):
    """Return the images of one source, spaxel by spaxel."""
    made = {name: np.full((size, size), np.nan) for name in IMAGES}
    edges = np.append(WAVE_AIR - 1, WAVE_AIR[-1] + 1)

    def of_band(spectrum, low, high):
        flux, error, good = spectrum
        part = np.diff(np.clip(edges, low, high))[good]
        if part.sum() == 0:
            return np.nan, np.nan, 0.0
        density = (part * flux[good] / 2).sum() / part.sum()
        return density, math.sqrt((part**2 * (error[good] / 2) ** 2).sum()) / part.sum(), part.sum() / (high - low)

    for j, i in itertools.product(range(size), repeat=2):
        row, column = round(y) - size // 2 + j, round(x) - size // 2 + i
        if not (0 <= row < 104 and 0 <= column < 104):
            continue
        flux, error = (array[:, row, column].astype(float) for array in (cube.flux, cube.error))
        good = (cube.mask[:, row, column] & bad) == 0
        good &= np.isfinite(flux) & np.isfinite(error) & (error > 0) & (np.abs(flux) >= 1e-8)
        spectrum = flux, error, good
        first, last = bands.broad
        density, sigma, share = of_band(spectrum, first, last)
        made["broad"][j, i], made["broad_error"][j, i] = density * (last - first), sigma * (last - first)
        made["coverage"][j, i] = share
        if not 3469 <= wave <= 5541:
            continue
        width, near = 2 * bands.half_width, bands.half_width + bands.gap
        density, sigma, share = of_band(spectrum, wave - bands.half_width, wave + bands.half_width)
        made["narrow"][j, i], made["narrow_error"][j, i] = density * width, sigma * width
        made["narrow_coverage"][j, i] = share
        sides = [
            of_band(spectrum, wave - near - bands.continuum_width, wave - near),
            of_band(spectrum, wave + near, wave + near + bands.continuum_width),
        ]
        sides = [side for side in sides if side[2] > 0]
        if sides:
            continuum = sum(side[0] for side in sides) / len(sides)
            variance = sum(side[1] ** 2 for side in sides) / len(sides) ** 2
            made["line"][j, i] = (density - continuum) * width
            made["line_error"][j, i] = math.sqrt(sigma**2 + variance) * width
    return made


def even(density, error=0.1, mask=None):
    """Return a cube with the same spectrum (per Å) everywhere, which takes no memory."""
    axes = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 52.0, "CRPIX2": 52.0, "CRVAL1": 150.0, "CRVAL2": 2.0}
    sky = Sky(axes | {"CDELT1": -0.5 / 3600, "CDELT2": 0.5 / 3600})
    mask = np.zeros(SHAPE[0], np.int16) if mask is None else mask
    spectra = (2 * np.asarray(density, np.float32) * np.ones(SHAPE[0], np.float32), np.float32(error), mask)
    flux, error, mask = (np.broadcast_to(np.reshape(spectrum, (-1, 1, 1)), SHAPE) for spectrum in spectra)
    return Cube("even", None, None, flux, error, mask, sky)


def centroid(image, x, y, sigma=2.0):
    """Return the centroid of a source near x, y, in a Gaussian window that follows it (as SExtractor's XWIN_IMAGE)."""
    rows, columns = np.indices(image.shape)
    for _ in range(100):
        light = image * np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / sigma**2)
        x, y = (at + 2 * (light * (axis - at)).sum() / light.sum() for axis, at in ((columns, x), (rows, y)))
    return x, y


def in_circle(image, errors, x, y):
    """Return the sum over a circle of 3.5 arcsec, and its error; there may be NaN outside."""
    weights = CircularAperture((x, y), RADIUS / 0.5).to_mask(method="exact").to_image(image.shape)
    inside = weights > 0
    return (weights * image)[inside].sum(), math.sqrt(((weights * errors)[inside] ** 2).sum())


# --- Truth -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pa", PAS)
def test_a_line_image_has_the_lines_flux_and_no_continuum(cubes, sky, pa):
    found = make_maps(cubes[pa], sky.ra.deg, sky.dec.deg, LINE_WAVE)
    assert found.on_cube.all()
    xs, ys = cubes[pa].spaxels(sky.ra.deg, sky.dec.deg)
    for k, total in enumerate(LINE_FLUX):
        x, y = xs[k] - found.x0[k], ys[k] - found.y0[k]
        assert max(abs(x - 20), abs(y - 20)) <= 0.5
        fraction, _ = aperture_fraction(xs[k], ys[k], FWHM, BETA)
        in_band = math.erf(10 / SIGMA / math.sqrt(2))
        flux, error = in_circle(found.line[k], found.line_error[k], x, y)
        assert abs(flux - fraction * in_band * total) < 3 * error, k
        assert error < 6
        flux, error = in_circle(found.narrow[k], found.narrow_error[k], x, y)
        continuum = 20 * CONTINUUM[k] * (LINE_WAVE[k] / 4500) ** -1.5
        assert abs(flux - fraction * (in_band * total + continuum)) < 3 * error, k
        flux, error = in_circle(found.broad[k], found.broad_error[k], x, y)
        continuum = CONTINUUM[k] * 2 * 4500 * (math.sqrt(4500 / 3800) - math.sqrt(4500 / 5200))
        assert abs(flux - fraction * (total + continuum)) < 3 * error, k


@pytest.mark.parametrize("pa", PAS)
def test_noise_is_what_the_errors_say(cubes, sky, pa):
    cube = cubes[pa]
    found = make_maps(cube, *place(cube, 51, 51), 4450.6, MapRequest(size_arcsec=51.5))
    rows, columns = np.indices((103, 103))
    empty = np.ones((103, 103), bool)
    for x, y in zip(*cube.spaxels(sky.ra.deg, sky.dec.deg), strict=True):
        empty &= np.hypot(columns - x, rows - y) > 24
    assert empty.sum() > 3000
    for name in ("broad", "narrow", "line"):
        pull = (getattr(found, name)[0] / getattr(found, f"{name}_error")[0])[empty]
        assert abs(pull.mean()) < 4 / math.sqrt(len(pull)), name
        assert pull.std() == pytest.approx(1, abs=4 / math.sqrt(2 * len(pull))), name


@pytest.mark.parametrize("pa", PAS)
def test_a_star_is_where_the_wcs_says(cubes, sky, pa, tmp_path):
    """In HDF5 and in FITS; whole, and cut by the edge of the cube."""
    cube = cubes[pa]
    x, y = (float(at[0]) for at in cube.spaxels(sky.ra.deg, sky.dec.deg))
    ra, dec = place(cube, [x, x + 9, x - 30], [y, y - 6, y + 20])
    wanted = MapRequest(size_arcsec=60)
    found = make_maps(cube, ra, dec, 4600.0, wanted)
    xs, ys = cube.spaxels(ra, dec)
    with h5py.File(tmp_path / "maps.hdf5", "w") as file:
        write_maps(file.create_group("maps"), found)
    with h5py.File(tmp_path / "maps.hdf5") as file:
        group = file["maps"]
        for k in range(3):
            cards = {**group["wcs"].attrs, **{card: values[k] for card, values in group["wcs"].items()}}
            write_fits(tmp_path / "map.fits", found, k, {})
            with fits.open(tmp_path / "map.fits") as hdus:
                header = hdus["BROAD"].header.copy()
            image = np.nan_to_num(group["broad"][k])
            at = centroid(image, *np.unravel_index(image.argmax(), image.shape)[::-1])
            for wcs in (WCS(fits.Header(cards)), WCS(header)):
                assert wcs.naxis == 2
                assert wcs.pixel_to_world(*at).separation(sky[0]).to_value("arcsec") < 0.05, (k, wcs)
                near = wcs.world_to_pixel(SkyCoord(ra[k], dec[k], unit="deg"))
                np.testing.assert_allclose(near, [60, 60], atol=0.5 + 1e-6)  # in the middle spaxel
                np.testing.assert_allclose(near, [xs[k] - found.x0[k], ys[k] - found.y0[k]], atol=1e-6)


# --- The definition --------------------------------------------------------------------------------------------------

PLACES = [(20.3, 30.8), (41.2, 42.9), (60.6, 70.4), (0.0, 50.2), (103.4, 11.0), (-0.4, -0.4), (103.2, 103.4)]
PLACES += [(-5.4, 44.0), (71.0, 108.3), (42.0, 38.0), (25.0, 35.0), (30.1, 20.2), (90.2, 36.0), (33.0, 90.0)]
WAVES = [4321.3, 4321.3, 4500.0, 4501.0, 3500.7, 5199.5, 5530.3, 3470.0, 3469.0, 4330.0, 5541.0, 3468.9, 5541.1, np.nan]


@pytest.mark.parametrize(
    ("masking", "bad"),
    [(None, -1), (Masking(exclude_bits=["MAIN", "METEOR"]), 1 | 64), (Masking(keep_bits="BADCAL"), ~BADCAL)],
)
def test_maps_are_those_of_the_definition(flawed, masking, bad):
    """On edges and corners, and with voxels that are masked, missing, unfilled, without error."""
    wanted = MapRequest(size_arcsec=5.2, broad=(3801.3, 5200.0), half_width=8.5, gap=7.0, continuum_width=31.0)
    assert wanted.size == 11
    found = make_maps(flawed, *place(flawed, *np.transpose(PLACES)), WAVES, wanted, masking=masking)
    assert found.on_cube.all()
    n_compared = dict.fromkeys(IMAGES, 0)
    if bad == ~BADCAL:  # who has it is good, whatever else is wrong
        flawed = replace(flawed, mask=np.where(flawed.mask & BADCAL, 0, flawed.mask))
    for k, ((x, y), wave) in enumerate(zip(PLACES, WAVES, strict=True)):
        expected = by_definition(flawed, x, y, 11, wanted, wave, bad)
        for name in IMAGES:
            ours, theirs = getattr(found, name)[k], expected[name]
            assert ours.dtype == np.float32
            scale = max(1.0, np.nanmax(np.abs(theirs), initial=0.0))  # a line is a small difference
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * scale, err_msg=f"{k} {name}")
            n_compared[name] += np.isfinite(theirs).sum()
    assert min(n_compared.values()) > 500
    line = found.line
    assert np.isnan(line[[11, 12, 13]]).all()  # off the range, NaN
    assert np.isfinite(line[[4, 6, 7, 8, 10]]).any(axis=(1, 2)).all()  # at its ends: one side alone
    assert (np.isnan(line) & np.isfinite(found.narrow)).any()  # no continuum at all
    assert ((found.coverage == 0) & np.isnan(found.broad)).any()  # nothing measured


@pytest.mark.parametrize("at", [(51, 51), (-12, 20), (100, 100)])
def test_a_map_larger_than_the_cube_is_padded(flawed, at):
    wanted = MapRequest(size_arcsec=104)
    found = make_maps(flawed, *place(flawed, *at), 4321.3, wanted)
    inside = np.zeros((209, 209), bool)
    x0, y0 = at[0] - 104, at[1] - 104
    assert (found.x0[0], found.y0[0]) == (x0, y0)
    inside[-y0 : 104 - y0, -x0 : 104 - x0] = True
    n_rows, n_columns = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert (n_rows, n_columns) == (104, 104 if at[0] > 0 else 93)
    assert (np.isfinite(found.coverage[0]) == inside).all()
    whole = make_maps(flawed, *place(flawed, 52, 52), 4321.3, MapRequest(size_arcsec=52.5))
    for name in IMAGES:
        image = getattr(found, name)[0]
        assert np.isnan(image[~inside]).all(), name
        expected = getattr(whole, name)[0]
        assert expected.shape == (105, 105)
        np.testing.assert_allclose(
            image[inside].reshape(n_rows, n_columns), expected[:n_rows, :n_columns], rtol=1e-5, atol=1e-4
        )


def test_many_positions_are_mapped_as_each_alone(flawed):
    off = [(130.0, 20.0), (20.0, 124.6), (-20.6, 20.0), (90.0, -20.6)]  # by all of the map's 41 spaxels
    ra, dec = place(flawed, *np.transpose([*PLACES, *off]))
    ra[3] = dec[3] = np.nan
    ra[4], dec[4] = (ra[4] + 180) % 360, -dec[4]  # the other side of the sky
    waves = [*WAVES, *[4500.0] * 4]
    together = make_maps(flawed, ra, dec, waves)
    assert np.flatnonzero(~together.on_cube).tolist() == [3, 4, *range(len(PLACES), len(ra))]
    for name in IMAGES:
        assert np.isnan(getattr(together, name)[~together.on_cube]).all()
    for k in range(len(ra)):
        alone = make_maps(flawed, ra[k : k + 1], dec[k : k + 1], waves[k])
        for name in IMAGES:
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(together, name)[k], rtol=1e-5, atol=1e-4)
    nobody = make_maps(flawed, [], [], [])
    assert nobody.line.shape == nobody.coverage.shape == (0, 41, 41)
    assert len(nobody.cards["CRPIX1"]) == 0


def test_masked_bins_are_made_up_for():
    """Of an even spectrum nothing is missing, and errors are those of the bins that are left."""
    mask = np.zeros(SHAPE[0], np.int16)
    wave = 4501.0  # the bands begin and end with bins
    ranges = {"narrow": (4491, 4511), "blue": (4441, 4481), "red": (4521, 4561), "broad": (3800, 5200)}
    bins = {name: np.flatnonzero((first < WAVE_AIR) & (last > WAVE_AIR)) for name, (first, last) in ranges.items()}
    assert [len(at) for at in bins.values()] == [10, 20, 20, 699]

    def run():
        found = make_maps(even(3.0, 0.1, mask), [150.0], [2.0], wave, MapRequest(size_arcsec=0.5))
        return {name: float(getattr(found, name)[0, 0, 0]) for name in IMAGES}

    # A bin is 2 Å: in the sums, per Å, its error is 0.05.
    found = run()
    assert found["narrow"] == pytest.approx(60, rel=1e-6)
    assert found["narrow_error"] == pytest.approx(0.1 * math.sqrt(10), rel=1e-6)
    assert found["line"] == pytest.approx(0, abs=1e-5)
    assert found["line_error"] == pytest.approx(math.sqrt(0.1 + 20**2 * 0.05**2 / 40), rel=1e-6)
    assert found["broad"] == pytest.approx(3 * 1400, rel=1e-6)
    assert found["broad_error"] == pytest.approx(0.1 * math.sqrt(699 + 2 * 0.5**2), rel=1e-6)  # halves of 2 bins
    assert found["coverage"] == found["narrow_coverage"] == 1

    mask[bins["narrow"][:6]] = mask[bins["blue"][1:]] = 8
    found = run()
    assert (found["narrow"], found["narrow_coverage"]) == pytest.approx((60, 0.4), rel=1e-6)
    assert found["narrow_error"] == pytest.approx(10 / 4 * 0.1 * math.sqrt(4), rel=1e-6)
    assert found["line"] == pytest.approx(0, abs=1e-5)
    expected = math.sqrt((20 * 0.05 / 2) ** 2 + 20**2 * (0.05**2 + 0.05**2 / 20) / 4)
    assert found["line_error"] == pytest.approx(expected, rel=1e-6)
    assert (found["broad"], found["coverage"]) == pytest.approx((4200, 1 - 25 / 700), rel=1e-6)

    mask[bins["blue"]] = 8
    found = run()
    assert found["line_error"] == pytest.approx(math.sqrt((20 * 0.05 / 2) ** 2 + 20**2 * 0.05**2 / 20), rel=1e-6)

    mask[bins["red"]] = 8
    found = run()
    assert found["narrow"] == pytest.approx(60, rel=1e-6)
    assert math.isnan(found["line"]) and math.isnan(found["line_error"])

    mask[:] = 8
    found = run()
    assert (found.pop("coverage"), found.pop("narrow_coverage")) == (0, 0)
    assert np.isnan(list(found.values())).all()


def test_a_sloping_continuum_is_taken_away():
    cube = even(5 + (WAVE_AIR - 4500) / 500)
    for wave in (4100.0, 4500.37, 4999.2):
        found = make_maps(cube, [150.0], [2.0], wave, MapRequest(size_arcsec=1.5))
        np.testing.assert_allclose(found.narrow, 20 * (5 + (wave - 4500) / 500), rtol=2e-5)
        np.testing.assert_allclose(found.line, 0, atol=2e-3)


def test_memory_stays_flat(flawed):
    ra, dec = place(flawed, *np.random.default_rng(1).uniform(0, 103, (2, 30)))
    make_maps(flawed, ra[:1], dec[:1], 4500.0)  # imports
    tracemalloc.start()
    make_maps(flawed, ra, dec, np.linspace(3500, 5500, 30))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < flawed.flux.nbytes / 2


# --- Lines and options -----------------------------------------------------------------------------------------------


def test_lines_are_observed_where_air_bends_them():
    z = np.array([1.9, 2.5, 3.5, np.nan, -999.0, -1.0, np.inf, float(np.iinfo(np.int64).min), 0.0])
    found = line_wave(z, "LyA")
    vacuum = 1215.67 * (1 + z[:3])
    s2 = (1e4 / vacuum) ** 2
    refraction = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2)  # Morton 2000, eq. 8
    np.testing.assert_allclose(found[:3], vacuum / refraction, rtol=1e-12)
    np.testing.assert_allclose(air_to_vacuum(found[:3]), vacuum, rtol=1e-12)
    assert np.isnan(found[3:8]).all()
    assert found[8] == 1215.67
    assert line_wave(0.0, "[OIII]") == pytest.approx(5006.843, abs=0.01)  # as in the literature, in air
    assert line_wave(np.array([0.0], np.float32), 4862.68) == pytest.approx(4861.33, abs=0.01)
    assert line_wave(np.zeros((0,)), "OII").shape == (0,)
    assert line_wave(np.array([0, 1]), "3728.48")[1] == line_wave(1.0, "OII")


def test_lines_by_name():
    for name, wave in LINES.items():
        assert rest_wave(name) == rest_wave(name.upper()) == rest_wave(f"[{name}] ") == wave
    for wrong, says in (("LyB", "'LyA'"), ("O2", "OII"), ("nothing", "expected one of LyA"), (-3, "positive")):
        with pytest.raises(InputError, match=says):
            rest_wave(wrong)
    for wrong in ("nan", "inf", 0):
        with pytest.raises(InputError, match="positive number of Å"):
            line_wave([1.0], wrong)


def test_sizes_are_odd_and_what_makes_no_map_is_refused():
    sizes = {0.3: 1, 0.5: 1, 0.6: 3, 1.5: 3, 20: 41, 20.5: 41, 20.6: 43, 104: 209}
    assert {arcsec: MapRequest(size_arcsec=arcsec).size for arcsec in sizes} == sizes
    for wrong, says in (
        ({"size_arcsec": 0}, "size is 0"),
        ({"size_arcsec": 105.0}, "up to 104"),
        ({"size_arcsec": math.nan}, "size is nan"),
        ({"broad": (5200, 3800)}, "broad band"),
        ({"broad": (3000, 5200)}, "3469 to 5541"),
        ({"broad": (3800, math.nan)}, "broad band"),
        ({"half_width": 0}, "half_width is 0"),
        ({"half_width": math.inf}, "half_width"),
        ({"gap": 1.9}, "at least 2 Å"),
        ({"continuum_width": -40}, "continuum_width is -40"),
    ):
        with pytest.raises(InputError, match=says):
            MapRequest(**wrong)


# --- Files -----------------------------------------------------------------------------------------------------------


def test_fits_and_hdf5_hold_the_same(flawed, tmp_path):
    ra, dec = place(flawed, *np.transpose(PLACES[:4]))
    found = make_maps(flawed, ra, dec, [4321.3, np.nan, 4500.0, 4501.0], MapRequest(size_arcsec=8))
    about = {"ROW": np.int64(7), "SHOTID": 20190102009, "IFUSLOT": b"034", "NAME": "Sérsic\n1", "Z": np.nan}
    with hdf5.create(tmp_path / "maps.hdf5") as file:
        write_maps(file.create_group("maps"), found)
    with h5py.File(tmp_path / "maps.hdf5") as file:
        group = file["maps"]
        for k in range(4):
            path = tmp_path / "fits" / f"{k}.fits"
            write_fits(path, found, k, about)
            with fits.open(path) as hdus:
                hdus.verify("exception")
                assert [hdu.name for hdu in hdus] == ["PRIMARY", *(name.upper() for name in IMAGES)]
                header = hdus[0].header
                assert (header["ROW"], header["SHOTID"], header["IFUSLOT"]) == (7, 20190102009, "034")
                assert header["NAME"] == "S?rsic?1"
                assert header["Z"] is None
                assert (header["NARROW"], header["BROAD1"], header["BROAD2"]) == (10, 3800, 5200)
                wave = group["wave"][k]
                assert header["WAVE"] == wave if np.isfinite(wave) else header["WAVE"] is None
                for name in IMAGES:
                    hdu = hdus[name.upper()]
                    assert hdu.data.shape == (17, 17)
                    np.testing.assert_array_equal(hdu.data, group[name][k])
                    np.testing.assert_array_equal(hdu.data, getattr(found, name)[k])
                    for card, values in group["wcs"].items():
                        assert hdu.header[card] == pytest.approx(values[k], rel=1e-12, abs=1e-12), card
                    for card, text in group["wcs"].attrs.items():
                        assert hdu.header[card] == text, card
                    if "coverage" not in name:
                        assert u.Unit(hdu.header["BUNIT"]) == u.Unit(group[name].attrs["unit"])
                        assert u.Unit(hdu.header["BUNIT"]) == 1e-17 * u.erg / u.s / u.cm**2
        assert group.attrs["broad"].tolist() == [3800, 5200]
        assert group["on_cube"][:].all()
        with h5py.File(tmp_path / "none.hdf5", "w") as empty:
            write_maps(empty, make_maps(flawed, [], [], [], MapRequest(size_arcsec=8)))
            shapes = {name: dataset.shape[1:] for name, dataset in group.items() if name != "wcs"}
            assert {name: dataset.shape[1:] for name, dataset in empty.items() if name != "wcs"} == shapes
            assert list(empty["wcs"]) == list(group["wcs"])
    assert not list(tmp_path.glob("fits/.*"))
    before = path.read_bytes()
    write_fits(path, found, 3, about)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="Illegal value"):
        write_fits(path, found, 2, {"BAD": object()})
    assert path.read_bytes() == before


MATRICES = [
    {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8, "CDELT1": -0.5 / 3600, "CDELT2": 0.5 / 3600},
    {"PC1_1": 0.0, "PC1_2": -1.0, "PC2_1": 1.0, "PC2_2": 0.0, "CDELT1": -0.5 / 3600, "CDELT2": 0.5 / 3600},
    {"CDELT1": -0.5 / 3600, "CDELT2": 0.5 / 3600},
    {"CD1_1": 1e-4, "CD1_2": -1e-4, "CD2_1": 8e-5, "CD2_2": 1.1e-4},
    {"CROTA2": 30.0, "CDELT1": -0.5 / 3600, "CDELT2": 0.5 / 3600},
]


@pytest.mark.parametrize("matrix", MATRICES)
def test_cards_are_a_wcs_as_attributes_and_as_a_header(tmp_path, matrix):
    axes = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRPIX1": 52, "CRPIX2": 51.5}
    header = axes | {"CRVAL1": 359.999, "CRVAL2": 0.0} | matrix
    cube = replace(even(1.0), sky=Sky(header))
    cards = wcs_cards(cube, -7, 63)
    assert {type(value) for value in cards.values()} == {str, float}
    assert cards["RADESYS"] == "ICRS"
    assert ({"PC1_1", "PC1_2", "PC2_1", "PC2_2"} <= set(cards)) == (not set(cards) & {"CD1_1", "CROTA2"})
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file.attrs.update(cards)
        wcs = WCS(fits.Header(dict(file.attrs)))
    x, y = np.array([0.0, 50.3, 110.0]), np.array([0.0, -3.0, 40.9])
    ours, theirs = wcs.pixel_to_world(x, y), WCS(fits.Header(header)).pixel_to_world(x - 7, y + 63)
    assert isinstance(ours, SkyCoord) and ours.frame.name == "icrs"
    assert ours.separation(theirs).to_value("arcsec").max() < 1e-6


def test_what_is_read_near_positions_is_enough_for_their_maps(cubes, tmp_path):
    """Which rows of spaxels a map needs, at any place within its spaxel."""
    cube, wanted = cubes[PAS[0]], MapRequest()
    whole = make_maps(cube, *place(cube, *np.transpose(PLACES)), 4500.0, wanted)
    plain = fits.Header(cube.sky.cards)
    plain.update({"CTYPE3": "WAVE", "CRVAL3": 3470.0, "CDELT3": 2.0, "CRPIX3": 1.0})
    images = {"DATA": cube.flux, "ERROR": cube.error, "MASK": cube.mask}
    hdus = [fits.ImageHDU(image, plain, name=name) for name, image in images.items()]
    path = tmp_path / "cube.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    for k, (x, y) in enumerate(PLACES):
        position = place(cube, x, y)
        near = read_cube(path, near=position, reach_arcsec=wanted.reach_arcsec)
        if k == 0:
            assert not near.rows.all()
        found = make_maps(near, *position, 4500.0, wanted)
        for name in IMAGES:
            np.testing.assert_allclose(getattr(found, name)[0], getattr(whole, name)[k], rtol=1e-5, atol=1e-4)
    with pytest.raises(AssertionError, match="without the rows"):
        make_maps(near, *place(cube, 51, 10), 4500.0, wanted)


def test_maps_of_several_cubes_are_put_together_and_taken_apart(flawed, tmp_path):
    ra, dec = place(flawed, *np.transpose(PLACES[:5]))
    waves = np.array([4321.3, np.nan, 4500.0, 4501.0, 4600.0])
    wanted = MapRequest(size_arcsec=8, half_width=6)
    whole = make_maps(flawed, ra, dec, waves, wanted)
    for name, piece in (("a", whole.take(np.arange(2))), ("b", whole.take(np.arange(5) >= 2))):
        with hdf5.create(tmp_path / name) as file:
            write_maps(file.create_group("maps"), piece, compressed=name == "b")
    pieces = []
    for name in "ab":
        with h5py.File(tmp_path / name) as file:
            pieces.append(read_maps(file["maps"]))
    together = concatenate(pieces)
    assert together.request == wanted
    for name in (*IMAGES, "wave", "on_cube", "x0", "y0"):
        np.testing.assert_array_equal(getattr(together, name), getattr(whole, name), err_msg=name)
    assert [together.cards_of(k) for k in range(5)] == [whole.cards_of(k) for k in range(5)]
    backwards = together.take(np.arange(5)[::-1])
    np.testing.assert_array_equal(backwards.line, whole.line[::-1])
    assert backwards.cards_of(0) == whole.cards_of(4)
    other = replace(pieces[1], cards={**pieces[1].cards, "PV2_1": np.zeros(3)})
    joined = concatenate([pieces[0], other])
    assert "PV2_1" not in joined.cards_of(1)
    assert joined.cards_of(2)["PV2_1"] == 0
    for wrong in (
        replace(other, request=MapRequest(size_arcsec=8)),
        replace(other, cards={**other.cards, "RADESYS": "FK5"}),
    ):
        with pytest.raises(MalformedFile, match="do not belong together"):
            concatenate([pieces[0], wrong])
