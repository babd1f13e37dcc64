"""Flux limits: the noise of a line, against sums by hand and against the scatter of what is measured in noise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit

from hetdex_sources import AMPS, GRID, MIDDLE, Line, ifu_fibers, share
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.lines.flux_limits import (
    FILE,
    FluxLimits,
    limit_at_4600,
    measure_flux_limits,
    write_flux_limits,
)
from skyharvest.reduction.hetdex.lines.line_noise import fit_by_noise, line_in_bins, noise_at
from skyharvest.reduction.hetdex.source_settings import Detections

X, Y = MIDDLE
HOW = Detections(first_wave=4400.0, last_wave=4700.0)
RATIO = np.linspace(0.5, 1.4, 1036)


def light_of(ifu, x, y, wave, linewidth, aperture=3.5):
    """Return which fibers are near, and what they have of a line of flux 1, by sums over points of their faces."""
    near = np.flatnonzero(np.hypot(ifu.x - x, ifu.y - y) < aperture)
    line, made = Line(x - X, y - Y, wave, 1.0, linewidth), np.zeros((len(near), ifu.flux.shape[1]))
    for fwhm in np.unique(ifu.fwhm[near]):
        of = ifu.fwhm[near] == fwhm
        made[of] = share(ifu.x[near[of]] - X, ifu.y[near[of]] - Y, line, fwhm) * line.spectrum()
    return near, made


def by_hand(ifu, x, y, wave, linewidth):
    """Return the least noise of a line's flux."""
    near, light = light_of(ifu, x, y, wave, linewidth)
    error = np.where(np.isfinite(ifu.flux[near]), ifu.error[near], np.inf)
    return ((light / error) ** 2).sum() ** -0.5


@pytest.fixture(scope="module")
def ifu():
    ifu = ifu_fibers(rows=9, columns=8)
    flux = ifu.flux.copy()
    flux[np.hypot(ifu.x - X - 3, ifu.y - Y) < 1.5] = np.nan  # some fibers are dead
    flux[:, 560:570] = np.nan  # and 4590 to 4608 Å
    return replace(ifu, flux=flux)


@pytest.fixture(scope="module")
def limits(ifu, tmp_path_factory):
    path = tmp_path_factory.mktemp("limits") / FILE
    write_flux_limits(path, measure_flux_limits(ifu, HOW, RATIO))
    return FluxLimits.read(path)


@pytest.mark.parametrize(
    ("dx", "dy", "wave", "linewidth"),
    [(0, 0, 4500.0, 2.7), (0.7, -1.1, 4421.3, 2.0), (3, 0, 4500.0, 2.7), (8, 3, 4500.0, 6.0), (0, 0, 4592.0, 2.7)],
)
def test_the_noise_is_the_least_there_can_be(ifu, dx, dy, wave, linewidth):
    noise, _ = noise_at(ifu, 3.5, *(np.array([one]) for one in (X + dx, Y + dy, wave, linewidth)))
    assert noise[0] == pytest.approx(by_hand(ifu, X + dx, Y + dy, wave, linewidth), rel=3e-3)


def test_the_noise_is_the_scatter_of_what_is_measured(ifu):
    whole = ifu_fibers(rows=6, columns=6)
    near, light = light_of(whole, X, Y, 4500.0, 2.7, aperture=6.0)
    error = whole.error[near]
    weight = light / error**2 / ((light / error) ** 2).sum()
    rng = np.random.default_rng(3)
    found = [(weight * rng.normal(0, error)).sum() for _ in range(300)]
    noise, coverage = noise_at(whole, 6.0, *(np.array([one]) for one in (X, Y, 4500.0, 2.7)))
    assert noise[0] == pytest.approx(np.std(found), rel=0.13)  # 3 σ of 300
    assert coverage[0] == pytest.approx(1, abs=0.1)


def test_a_limit_is_that_many_times_the_noise(ifu, limits):
    # between points of the grid, too
    rng = np.random.default_rng(5)
    for dx, dy, wave in zip(*rng.uniform(-6, 6, (2, 12)), rng.uniform(4420, 4560, 12), strict=True):
        ra, dec = ifu.pointing.to_sky(np.array([X + dx]), np.array([Y + dy]))
        wanted = np.interp(wave, GRID, RATIO) * by_hand(ifu, X + dx, Y + dy, wave, 2.7)
        near_dead = np.hypot(dx - 3, dy) < 5
        found = limits.limit(ra[0], dec[0], wave)
        assert found.shape == ()
        assert found == pytest.approx(5 * wanted, rel=0.2 if near_dead else 0.08)
        assert limits.limit(ra[0], dec[0], wave, sn=6.5) == pytest.approx(found * 1.3)


@pytest.mark.parametrize("linewidth", [2.0, 4.0, 8.0])
def test_the_limit_of_other_widths_goes_with_the_root_of_the_width(ifu, limits, linewidth):
    scale = by_hand(ifu, X, Y, 4480.0, linewidth) / by_hand(ifu, X, Y, 4480.0, 2.7)
    found = limits.limit_on_plane(X, Y, 4480.0, linewidth=linewidth) / limits.limit_on_plane(X, Y, 4480.0)
    assert found == pytest.approx(scale, rel=0.02)


def test_there_is_no_limit_where_nothing_is_seen(limits):
    assert np.isnan(limits.limit_on_plane(np.array([X + 14, X - 40, X]), Y, np.array([4500.0, 4500.0, 4350.0]))).all()
    assert np.isnan(limits.limit(np.array([10.0, np.nan]), np.array([-80.0, 3.0]), 4500.0)).all()
    y, x = np.meshgrid(limits.y, limits.x, indexing="ij")
    values = limits.limit_on_plane(x, y, 4500.0)
    assert (np.isfinite(values) == (limits.coverage >= HOW.least_coverage)).all()
    assert np.nanmax(values[limits.coverage < 0.5]) > 1.5 * np.nanmedian(values)  # edges


def test_the_index_has_the_limit_of_a_typical_place(tmp_path):
    ifu = ifu_fibers(rows=9, columns=8)
    write_flux_limits(tmp_path / FILE, measure_flux_limits(ifu, HOW, np.ones(1036)))
    wanted = 5e-17 * by_hand(ifu, X, Y, 4600.0, 2.7)
    assert limit_at_4600(tmp_path / FILE) == pytest.approx(wanted, rel=0.15)


def test_an_ifu_without_fibers_has_no_limits(tmp_path):
    ifu = ifu_fibers(missing=[(e, a) for e in (1, 2, 3) for a in AMPS])
    write_flux_limits(tmp_path / FILE, measure_flux_limits(ifu, HOW, np.ones(1036)))
    limits = FluxLimits.read(tmp_path / FILE)
    assert limits.failed == "no amplifier has fibers"
    assert np.isnan(limits.limit(210.0, 52.0, 4500.0))
    assert np.isnan(limit_at_4600(tmp_path / FILE))


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / FILE).write_bytes(b"no")
    with pytest.raises(MalformedFile, match=f"{FILE}: found no flux limits"):
        FluxLimits.read(tmp_path / FILE)


def test_light_of_a_line_beyond_the_grid_is_lost():
    assert line_in_bins(4500.0, 3.0).sum() == pytest.approx(1)
    assert line_in_bins(3469.0, 3.0).sum() == pytest.approx(0.5, abs=1e-3)


def test_a_fit_of_all_knows_the_flux_less_well():
    # Against the scatter of fits that scipy makes in noise.
    rng = np.random.default_rng(4)
    wave = np.arange(-50.0, 51.0, 2.0)

    def line(wave, flux, middle, width, level, slope):
        return (
            2 * flux * np.exp(-0.5 * ((wave - middle) / width) ** 2) / (np.sqrt(2 * np.pi) * width)
            + level
            + slope * wave
        )

    true = (60.0, 0.0, 2.7, 0.0, 0.0)
    known = ((line(wave, *true) / true[0]) ** 2).sum() ** -0.5
    fits = [curve_fit(line, wave, line(wave, *true) + rng.normal(0, 1, wave.size), true)[0][0] for _ in range(400)]
    assert fit_by_noise(np.array([2.7]), 50.0)[0] == pytest.approx(np.std(fits) / known, rel=0.12)  # 3 σ of 400
