"""Stars of a shot: widths, norms, spectra, and what is wrong with some of them."""

import h5py
import numpy as np
import pytest

from hetdex_stars import Shot, share, some_stars
from skyharvest.reduction.hetdex.settings import Astrometry, Stars
from skyharvest.reduction.hetdex.stars.astrometry import solve_shot
from skyharvest.reduction.hetdex.stars.measure_stars import extract_shot
from skyharvest.reduction.hetdex.stars.star_extraction import (
    BLENDED,
    EDGE,
    FAINT,
    MISSING,
    OFF,
    SATURATED,
    NearFibers,
    extract,
)

FIRST_ID = 1237661959906850000


def extracted(shot: Shot, folder, options: Stars | None = None, **written):
    """Write a shot, measure its stars, and return the path of their file."""
    multifits = shot.write(folder / "science", **written)
    catalogue, fplane = shot.write_lists(folder)
    solve_shot(multifits, catalogue, fplane, folder / "astrometry.h5", Astrometry())
    extract_shot(multifits, folder / "astrometry.h5", folder / "stars.h5", options or Stars())
    return folder / "stars.h5"


def numbers(file: h5py.File) -> dict[int, int]:
    """Return the row of each star, by its number in the shot's list."""
    return {int(star) - FIRST_ID: row for row, star in enumerate(file["stars"]["star_ID"])}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return a shot and its stars' file; beside good stars there are bad ones."""
    stars = some_stars(7, 3)
    stars += [
        ("015", -24.9, 9.0, 3000.0),  # the edge, half of it beyond the fibers
        ("015", 23.0, -12.0, 1500.0),  # beside the next
        ("015", 22.0, -15.0, 1500.0),
        ("106", 6.0, -20.0, 9e5),  # too bright
        ("106", 0.0, -2.0, 110.0),  # too faint
    ]
    shot = Shot(stars)
    return shot, extracted(shot, tmp_path_factory.mktemp("stars"))


def test_each_exposure_has_its_own_width_and_norm(measured):
    shot, path = measured
    with h5py.File(path) as file:
        exposures = file["exposures"][()]
        np.testing.assert_allclose(exposures["fwhm"], shot.fwhm, atol=0.02)
        np.testing.assert_allclose(exposures["norm"], shot.norm, rtol=0.006)
        assert (np.abs(exposures["fwhm"] - shot.fwhm) < 4 * exposures["fwhm_error"]).all()
        assert (np.abs(exposures["norm"] - shot.norm) < 4 * exposures["norm_error"]).all()
        assert (exposures["n_norm"] >= 12).all()
        assert file.attrs["fwhm"] == pytest.approx(np.mean(shot.fwhm), abs=0.02)


def test_spectra_are_the_stars(measured):
    """Within 1 % in bands of 400 Å for bright stars, and within their errors for all."""
    shot, path = measured
    with h5py.File(path) as file:
        wave, counts, variance = (file[name][()] for name in ("wavelength", "counts", "variance"))
        rows = numbers(file)
        for number in range(14):
            row = rows[number]
            light = shot.stars[number][3]
            for exposure, norm in enumerate(shot.norm):
                truth = shot.spectrum(light, wave) * norm
                for first in range(3500, 5500, 400):
                    band = (wave >= first) & (wave < first + 400)
                    ratio = counts[row, exposure, band].sum() / truth[band].sum()
                    error = np.sqrt(variance[row, exposure, band].sum()) / truth[band].sum()
                    assert abs(ratio - 1) < 0.015 + 5 * error, (number, exposure, first)
                pull = (counts[row, exposure] - truth) / np.sqrt(variance[row, exposure])
                # A bin of the grid is a mean over parts of two pixels: its own scatter is 0.8 of the error.
                assert 0.7 < np.std(pull) < 1.1
            assert np.hypot(file["stars"]["dx"][row], file["stars"]["dy"][row]) < 0.1
        # shares of light: of hexagons of fibers, about a third
        assert 0.2 < np.median(file["fraction"][[rows[n] for n in range(14)]]) < 0.4


def test_bad_stars_are_there_with_their_flags(measured):
    shot, path = measured
    with h5py.File(path) as file:
        rows = numbers(file)
        stars = file["stars"][()]
        flags = {number: int(stars["flags"][rows[number]]) for number in (*range(14), 14, 15, 16, 17, 18)}
        assert flags[14] & EDGE
        assert flags[15] & BLENDED and flags[16] & BLENDED
        assert flags[17] & SATURATED
        assert flags[18] & FAINT
        assert not any(flags[number] & (EDGE | BLENDED | SATURATED | OFF | MISSING) for number in range(14))
        assert not stars["used_norm"][[rows[14], rows[17], rows[18]]].any()
        assert not file["used_fwhm"][()][[rows[n] for n in (14, 15, 16, 17)]].any()
        assert stars["ifuslot"][rows[14]] == b"015"
        # Blended stars are taken apart: they are 3.2″ from one another. Their light is that of the middle of the band.
        band = np.median(shot.spectrum(1500.0, np.arange(4425.0, 5400, 50)))
        blended = file["light"][()][[rows[15], rows[16]]] / file["exposures"]["norm"]
        np.testing.assert_allclose(blended, band, rtol=0.05)


def test_what_the_catalogue_has_elsewhere_is_told_and_put_right(tmp_path, monkeypatch):
    """A star moved by 0.4″, one that is 3″ away, and one that is not there."""
    shot = Shot(some_stars(7, 8), fwhm=(1.8, 1.8), norm=(1.0, 1.0), dithers=((0, 0), (1.215, -0.7)))
    true = list(shot.stars)
    write_lists = shot.write_lists

    def moved(folder):
        slot, x, y, light = true[2]
        other = true[3]
        shot.stars[2] = (slot, x + 0.4, y, light)
        shot.stars[3] = (other[0], other[1], other[2] + 3.0, other[3])
        shot.stars.append(("106", 21.0, 21.0, 3000.0))
        try:
            return write_lists(folder)
        finally:
            shot.stars[:] = true

    monkeypatch.setattr(shot, "write_lists", moved)
    with h5py.File(extracted(shot, tmp_path)) as file:
        rows, stars = numbers(file), file["stars"][()]
        # The pointing was fitted to this star, too.
        assert stars["dx"][rows[2]] == pytest.approx(-0.4, abs=0.1)
        assert stars["dy"][rows[2]] == pytest.approx(0, abs=0.05)
        assert stars["flags"][rows[2]] & OFF == 0
        assert stars["flags"][rows[3]] & OFF
        assert stars["flags"][rows[14]] & (OFF | FAINT)
        np.testing.assert_allclose(file["exposures"]["norm"], 1, rtol=0.006)
        np.testing.assert_allclose(file["exposures"]["fwhm"], 1.8, atol=0.03)


def test_missing_pixels_are_not_zero():
    """Pixels that are NaN are left out; where all of a star's are, it has no value."""
    x, y = (values.ravel() for values in np.meshgrid(np.arange(-5, 5.1, 2.5), np.arange(-5, 5.1, 2.5)))
    counts = 1000 * share(x, y, 1.8)[:, None] * np.ones(1036)
    counts[12, 500:600] = np.nan  # the fiber on the star
    counts[:, 700] = np.nan
    one = np.ones_like(counts, np.float32)
    fibers = NearFibers(x, y, counts[:, 0], one[:, 0], counts[:, 0], counts.astype(np.float32), one)
    # without refraction and change of width, at one wavelength
    found = extract(fibers, np.zeros(1), np.zeros(1), 1.8, np.full(1036, 4500.0), Stars())
    assert np.isnan(found.counts[0, 700]) and np.isnan(found.variance[0, 700]) and found.fraction[0, 700] == 0
    rest = np.delete(found.counts[0], 700)
    np.testing.assert_allclose(rest, 1000, rtol=2e-3)
    assert found.variance[0, 550] > 2 * found.variance[0, 450]
    assert found.fraction[0, 550] < 0.6 * found.fraction[0, 450]


def test_stars_that_cannot_be_told_apart_have_no_spectra():
    """Two rows of a catalogue that are the same star; a third, 4″ away, has its own light."""
    x, y = (values.ravel() for values in np.meshgrid(np.arange(-10, 10.1, 2), np.arange(-10, 10.1, 2)))
    at = np.array([[0.0, 0.0], [0.01, 0.0], [4.0, 0.5]])
    counts = (1000 * share(x, y, 1.8) + 300 * share(x - 4, y - 0.5, 1.8))[:, None] * np.ones(1036)
    one = np.ones_like(counts, np.float32)
    fibers = NearFibers(x, y, counts[:, 0], one[:, 0], counts[:, 0], counts.astype(np.float32), one)
    found = extract(fibers, *at.T, 1.8, np.full(1036, 4500.0), Stars())
    assert np.isnan(found.counts[:2]).all() and np.isnan(found.variance[:2]).all()
    np.testing.assert_allclose(found.counts[2], 300, rtol=5e-3)
    alone = extract(fibers, *at[[0, 2]].T, 1.8, np.full(1036, 4500.0), Stars())
    np.testing.assert_allclose(alone.counts[:, 0], [1000, 300], rtol=5e-3)


def test_failures_are_passed_on_and_told(tmp_path):
    shot = Shot(some_stars(1, 6), fwhm=(1.8,), norm=(1.0,))
    with h5py.File(extracted(shot, tmp_path)) as file:
        assert "expected 3 or more" in file.attrs["failed"]  # the astrometry's
        assert not list(file)
    (tmp_path / "more").mkdir()
    shot = Shot(some_stars(4, 6), fwhm=(1.8,), norm=(1.0,))
    with h5py.File(extracted(shot, tmp_path / "more", Stars(least_snr=1e6))) as file:
        assert "exp01: found 0 stars that tell the width of images, of 8" in file.attrs["failed"]
        assert not list(file)
    multifits = sorted((tmp_path / "more" / "science").glob("*/*/*"))
    extract_shot(multifits, tmp_path / "more" / "astrometry.h5", tmp_path / "one.h5", Stars())
    with h5py.File(tmp_path / "one.h5") as file:
        assert file["exposures"]["norm"].tolist() == [1.0]
