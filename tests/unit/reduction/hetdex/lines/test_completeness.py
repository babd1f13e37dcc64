"""Lines that are put into fibers: their light, their places, and what is told of those that are found."""

from dataclasses import replace

import numpy as np
import pytest

from hetdex_sources import AMPS, MIDDLE, Line, ifu_fibers, share
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.lines.completeness import measure_completeness, pair, write_completeness
from skyharvest.reduction.hetdex.lines.completeness_file import (
    FOUND,
    INJECTED,
    MEASURED_INJECTED,
    fit_fleming,
    fleming,
    read_files,
    statistics,
)
from skyharvest.reduction.hetdex.lines.injected_lines import APART, WAVES_APART, draw, rounds_of
from skyharvest.reduction.hetdex.settings import problems
from skyharvest.reduction.hetdex.source_settings import Completeness, Detections

X, Y = MIDDLE
SEARCH = Detections()
ONES = np.ones(1036)


@pytest.fixture(scope="module")
def ifu():
    return ifu_fibers(rows=12, columns=10)


def test_a_line_brings_all_of_its_light_and_no_more(ifu):
    # Against shares and a line that other code has made.
    line = Line(1.3, -2.1, 4321.0, 25.0, 3.1)
    rows = np.zeros(1, INJECTED)
    rows["x"], rows["y"], rows["wave"], rows["flux"], rows["linewidth"] = X + 1.3, Y - 2.1, 4321.0, 25.0, 3.1
    ((chosen, lit),) = rounds_of(ifu, rows)
    assert chosen.all()
    put = lit.flux.astype(float) - ifu.flux
    for fwhm in np.unique(ifu.fwhm):
        of = ifu.fwhm == fwhm
        wanted = share(ifu.x[of] - X, ifu.y[of] - Y, line, fwhm) * line.spectrum()
        # hetdex_sources sums over 60 points of a fiber, between wavelengths 30 Å apart: good to 1 % of the brightest
        assert np.abs(put[of] - wanted).max() < 1e-2 * wanted.max()
        assert put[of].sum() == pytest.approx(wanted.sum(), rel=1e-2)


def test_lines_are_drawn_evenly_where_something_is_seen_and_apart_in_each_round(ifu):
    dead = replace(ifu, flux=np.where((ifu.x < X)[:, None], np.nan, ifu.flux).astype(np.float32))
    how = Completeness(lines=300, seed=5)
    rows = draw(dead, 1.2 * ONES, how, SEARCH)
    assert len(rows) == 300
    assert (rows["x"] > X - 1.5).all()
    assert (rows["coverage"] >= SEARCH.least_coverage).all()
    assert rows["sn"].min() >= how.faintest_sn
    assert rows["sn"].max() <= how.brightest_sn
    assert np.ptp(rows["y"]) > 20
    np.testing.assert_allclose(rows["flux"], rows["sn"] * rows["noise"], rtol=1e-5)
    ra, dec = dead.pointing.to_sky(rows["x"], rows["y"])
    assert np.hypot((rows["ra"] - ra) * np.cos(np.radians(dec)), rows["dec"] - dec).max() * 3600 < 1e-3
    for number in np.unique(rows["round"]):
        of = rows[rows["round"] == number]
        near = np.hypot(of["x"][:, None] - of["x"], of["y"][:, None] - of["y"]) < APART
        near &= np.abs(of["wave"][:, None] - of["wave"]) < WAVES_APART
        assert (near == np.eye(len(of), dtype=bool)).all()
    np.testing.assert_array_equal(rows, draw(dead, 1.2 * ONES, how, SEARCH))
    other = draw(replace(dead, shot="20190103v018"), 1.2 * ONES, how, SEARCH)
    assert (other["wave"] != rows["wave"]).any()


def found(*lines):
    rows = np.zeros(len(lines), FOUND)
    for row, (x, y, wave, sn) in zip(rows, lines, strict=True):
        row["sign"], row["x"], row["y"], row["wave"], row["sn"] = 1, x, y, wave, sn
    return rows


def test_a_line_is_found_if_something_is_near_enough():
    rows = np.zeros(3, MEASURED_INJECTED)
    rows["wave"] = 4500.0
    rows["y"] = [0, 50, 0]
    how = Completeness(match_radius=2.0, match_wave=5.0)
    pair(
        rows,
        np.array([True, True, False]),
        found((1.9, 0, 4504, 5), (1, 0, 4501, 7), (0, 52.1, 4500, 9), (0, 50, 4506, 9)),
        how,
    )
    assert rows["found"].tolist() == [1, 0, 0]
    assert rows["found_sn"][0] == 7


def test_statistics_are_those_of_numbers_that_are_known():
    rng = np.random.default_rng(1)
    n = 20000
    rows = np.zeros(n, MEASURED_INJECTED)
    rows["sn_fit"] = rng.uniform(3, 12, n)
    rows["sn"] = 1.3 * rows["sn_fit"]
    rows["flux"] = rows["sn_fit"] * 2
    rows["found"] = rng.uniform(size=n) < np.where(rows["sn_fit"] > 6, 0.97, 0.6)
    rows["found_flux_err"] = 2.0
    rows["found_flux"] = rows["flux"] * 1.03 + rng.normal(0, 2 * 1.2, n)
    rows["found_wave"] = rng.normal(0, 0.3, n)
    rows["found_x"], rows["found_y"] = rng.normal(0, 0.2, (2, n))
    rows["linewidth"], rows["found_linewidth"] = 2.5, 3.0
    made = statistics(rows)
    assert made["n_faint"] == ((rows["sn_fit"] >= 5) & (rows["sn_fit"] < 6)).sum()
    assert made["n_faint_known"] == ((rows["sn"] >= 5) & (rows["sn"] < 6)).sum()
    assert made["completeness_faint"] == pytest.approx(0.6, abs=0.05)
    assert made["completeness_bright"] == pytest.approx(0.97, abs=0.01)
    assert made["flux_ratio"] == pytest.approx(1.03, abs=0.01)
    assert made["flux_pull"] == pytest.approx(1.2, rel=0.05)
    assert made["wave_rms"] == pytest.approx(0.3, rel=0.03)
    assert made["position_rms"] == pytest.approx(0.2 * np.sqrt(2), rel=0.03)
    assert made["linewidth_ratio"] == pytest.approx(1.2)
    assert all(np.isnan(value) or value == 0 for value in statistics(rows[:0]).values())


def test_the_fit_finds_where_half_are_found():
    rng = np.random.default_rng(2)
    sn = rng.uniform(2, 12, 5000)
    is_found = rng.uniform(size=5000) < fleming(sn, 4.7, 4.0)
    half, slope = fit_fleming(sn, is_found)
    assert half == pytest.approx(4.7, rel=0.03)
    assert slope == pytest.approx(4.0, rel=0.15)
    assert np.isnan(fit_fleming(sn, np.ones(5000))).all()


@pytest.fixture(scope="module")
def small():
    return ifu_fibers(rows=8, columns=7)


@pytest.fixture(scope="module")
def measured(small):
    return measure_completeness(small, Completeness(lines=30, faintest_sn=2.0, brightest_sn=14.0, seed=2), SEARCH)


def test_bright_lines_are_found_and_faint_ones_are_not(measured):
    rows = measured[0]["Injected"]
    assert rows["found"][rows["sn"] > 8].mean() > 0.9
    assert rows["found"][rows["sn"] < 3].mean() < 0.3
    assert rows["isolated"].mean() > 0.9
    good = rows[(rows["found"] > 0) & (rows["sn"] > 8)]
    assert np.median(good["found_flux"] / good["flux"]) == pytest.approx(1, abs=0.06)
    assert np.abs(good["found_wave"] - good["wave"]).max() < 2
    # the product of flux limits has the noise that lines have
    assert np.median(rows["limit"] / rows["noise"]) == pytest.approx(1, abs=0.05)


def test_a_file_is_read_as_it_was_written(small, measured, tmp_path):
    class Shot:
        name, failed = "20190103v017", ""

        def read(self, name):
            if name == "020_106_055_0123":
                return small
            return ifu_fibers(missing=[(e, a) for e in (1, 2, 3) for a in AMPS])

    how = Completeness(lines=3, seed=2)
    paths = [tmp_path / "a.h5", tmp_path / "b.h5", tmp_path / "c.h5"]
    shot = Shot()
    write_completeness(paths[0], shot, "020_106_055_0123", how, SEARCH)
    write_completeness(paths[1], shot, "020_107_055_0123", how, SEARCH)
    shot.failed = "no star was found"
    write_completeness(paths[2], shot, "020_108_055_0123", how, SEARCH)
    pooled = read_files(paths)
    assert [unit["failed"] for unit in pooled.units] == ["", "no amplifier has fibers", "no star was found"]
    assert len(pooled.injected) == 3 and not pooled.of_limits.any()
    assert pooled.histogram["n"].sum() == measured[0]["Histogram"]["n"].sum() > 0
    assert pooled.units[0]["fluxlimit_4600"] == pytest.approx(measured[1]["fluxlimit_4600"])
    np.testing.assert_array_equal(read_files(paths[:1] * 2).histogram["n"], 2 * pooled.histogram["n"])
    (tmp_path / "d.h5").write_bytes(b"")
    with pytest.raises(MalformedFile, match=r"d\.h5: found no completeness"):
        read_files([tmp_path / "d.h5"])


def test_ranges_that_are_turned_are_named():
    given = {
        "enabled": True,
        "completeness": {"faintest_sn": 9.0, "brightest_sn": 5.0, "narrowest": 2.0, "widest": 3.0},
    }
    said = dict(problems(given))
    assert said["completeness.brightest_sn"] == "found 5; expected more than faintest_sn, which is 9"
    assert "completeness.widest" not in said
