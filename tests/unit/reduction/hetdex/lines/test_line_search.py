import numpy as np
import pytest

from hetdex_sources import GRID, MIDDLE, Line, Star, ifu_fibers
from skyharvest.reduction.hetdex.lines.fiber_continuum import without_continuum
from skyharvest.reduction.hetdex.lines.line_fit import fit_lines
from skyharvest.reduction.hetdex.lines.line_search import EDGES, Candidate, grid, search
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.point_spectrum import extract

HOW = Detections()
SMALL = {"rows": 9, "columns": 9}


@pytest.fixture(scope="module")
def noise():
    return ifu_fibers(rows=13, columns=12, correlated=True, seed=5)


def at(candidate: Candidate, line: Line) -> bool:
    near = np.hypot(candidate.x - MIDDLE[0] - line.x, candidate.y - MIDDLE[1] - line.y) < 1.5
    return bool(near and abs(candidate.wave - line.wave) < 5)


def test_noise_scatters_by_one_and_is_as_often_negative(noise):
    found = search(noise, HOW)
    assert found.scatter == pytest.approx(1, abs=0.03)
    inside = (GRID > 3550) & (GRID < 5450)
    # The scatter of a Gaussian's sum over this noise, whose bins are correlated by 0.37 and 0.01.
    weights = np.exp(-0.5 * (np.arange(-5, 6) * 2 / 2.7) ** 2)
    part = (4 - np.sqrt(8)) / 12
    smooth = np.convolve(weights, [part, 1 - 2 * part, part])
    expected = np.sqrt((smooth**2).sum() / (weights**2).sum())
    assert np.median(found.ratio[inside]) == pytest.approx(expected, abs=0.03)
    assert np.median(found.bin_ratio[inside]) == pytest.approx(np.sqrt(2 / 3), abs=0.02)
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    total = found.histogram.sum()
    searched = np.count_nonzero((HOW.first_wave <= GRID) & (HOW.last_wave >= GRID))
    assert 0.7 < total / found.n_positions / searched < 1  # the rest are off the edge
    assert np.sqrt((found.histogram * middle**2).sum() / total) == pytest.approx(1, abs=0.03)
    assert (found.histogram * middle).sum() / total == pytest.approx(0, abs=0.02)
    assert len(found.candidates) <= 8
    assert found.n_negative <= 8


def test_signal_to_noise_is_that_of_a_filter_by_hand():
    line = Line(0.3, 0.2, 4700.0, 25.0)
    fibers = ifu_fibers([line], **SMALL, seed=2)
    found = search(fibers, HOW)
    best = found.candidates[0]
    assert at(best, line)
    x, y = grid(fibers, HOW)
    assert np.hypot(x - best.x, y - best.y).min() == 0
    spectrum = extract(fibers, best.x, best.y, aperture=HOW.aperture)
    shape = 2 / np.sqrt(2 * np.pi) / 2.7 * np.exp(-0.5 * ((GRID - best.wave) / 2.7) ** 2)
    by_hand = (shape * spectrum.flux / spectrum.error**2).sum() / np.sqrt((shape**2 / spectrum.error**2).sum())
    ratio = float(np.interp(best.wave, GRID, found.ratio))
    assert best.sn == pytest.approx(by_hand / ratio, rel=0.05)
    assert ratio == pytest.approx(1, abs=0.06)


def test_lines_that_are_near_each_other_are_one_group_or_two():
    lines = [Line(-4, 0, 4700, 60), Line(-4, 0, 4740, 50), Line(5, 0, 4701, 40)]
    found = search(ifu_fibers(lines, **SMALL, seed=3), HOW).candidates
    assert len([one for one in found if one.sn > 7]) == 3
    assert [next(k for k, line in enumerate(lines) if at(one, line)) for one in found[:3]] == [0, 1, 2]
    assert [one.sn for one in found] == sorted((one.sn for one in found), reverse=True)


def test_a_star_with_absorption_lines_is_no_line():
    stars = [Star(-5, -4, 60.0, depth=0.5), Star(5, 4, 6.0, depth=0.6)]
    fibers = ifu_fibers(stars, **SMALL, correlated=True, seed=4)
    lines, _ = fit_lines(fibers, search(fibers, HOW), HOW)
    assert lines == []
    line = Line(-1.0, 1.0, 4600.0, 30.0)
    fibers = ifu_fibers([*stars, line], **SMALL, correlated=True, seed=4)
    lines, _ = fit_lines(fibers, search(fibers, HOW), HOW)
    assert [at(one.candidate, line) for one in lines] == [True]


def test_the_continuum_of_a_source_is_followed_and_noise_is_not():
    fibers = ifu_fibers([Star(0, 0, 30.0)], rows=5, columns=5, seed=None)
    assert np.abs(without_continuum(fibers.flux, fibers.error)[:, 50:-50]).max() < 0.04 * fibers.flux.max()
    noise = ifu_fibers(rows=5, columns=5, seed=1)
    left = without_continuum(noise.flux, noise.error)
    assert np.std((left - noise.flux) / noise.error) < 0.15
    noise.flux[3] = np.nan
    noise.flux[4, 200:600] = np.nan
    left = without_continuum(noise.flux, noise.error)
    assert np.array_equal(np.isnan(left), np.isnan(noise.flux))


@pytest.mark.parametrize("exposures", [(2,), (1, 3)])
def test_a_shot_with_fewer_exposures_is_searched(exposures):
    line = Line(0.5, 0.0, 4500.0, 60.0)
    fibers = ifu_fibers([line], **SMALL, exposures=exposures, seed=6)
    fibers.flux[::7] = np.nan
    assert at(search(fibers, HOW).candidates[0], line)


def test_nothing_is_found_where_nothing_is_known():
    fibers = ifu_fibers(rows=3, columns=3, exposures=(1,), seed=1)
    fibers.flux[:] = np.nan
    found = search(fibers, HOW)
    assert (found.candidates, found.n_negative, found.histogram.sum()) == ([], 0, 0)
    assert np.isfinite(found.ratio).all()
