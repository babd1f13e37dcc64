from dataclasses import replace

import numpy as np
import pytest

from hetdex_sources import GRID, MIDDLE, Line, Star, ifu_fibers
from skyharvest.reduction.hetdex.lines.find_lines import lines_of
from skyharvest.reduction.hetdex.lines.line_fit import fit_lines
from skyharvest.reduction.hetdex.lines.line_search import search
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.point_spectrum import extract

HOW = Detections()
SMALL = {"rows": 9, "columns": 9}


def noise_of(fibers, line):
    """The error of a line's flux, of known shape and place, as errors of fibers say."""
    spectrum = extract(fibers, line.x + MIDDLE[0], line.y + MIDDLE[1], aperture=3.5)
    shape = 2 / np.sqrt(2 * np.pi) / line.width * np.exp(-0.5 * ((GRID - line.wave) / line.width) ** 2)
    return ((shape / spectrum.error) ** 2).sum() ** -0.5


def kept(fibers, how=HOW):
    return fit_lines(fibers, search(fibers, how), how)


@pytest.fixture(scope="module")
def measured():
    """Lines of S/N 8 to 14, what was found of them, and how many more were found."""
    random = np.random.default_rng(3)
    pairs, n_false = [], 0
    for seed in range(6):
        lines = []
        for x in (-5.5, 0.0, 5.5):
            for y in (-4.5, 0.0, 4.5):
                place = x + random.uniform(-1, 1), y + random.uniform(-0.8, 0.8)
                lines.append(Line(*place, random.uniform(3700, 5400), 1.0, random.uniform(2.2, 3.4)))
        empty = ifu_fibers(**SMALL, correlated=True, seed=seed)
        lines = [replace(line, flux=random.uniform(8, 14) * noise_of(empty, line)) for line in lines]
        found, _ = kept(ifu_fibers(lines, **SMALL, correlated=True, seed=seed))
        n_false += len(found)
        for line in lines:
            for one in found:
                dx, dy = one.place.x - MIDDLE[0] - line.x, one.place.y - MIDDLE[1] - line.y
                if np.hypot(dx, dy) < 2 and abs(one.fit.wave - line.wave) < 5:
                    pairs.append((line, one, dx, dy))
                    n_false -= 1
    return pairs, n_false


def test_bright_lines_are_found_and_nothing_else(measured):
    pairs, n_false = measured
    assert len(pairs) >= 52
    assert n_false <= 1


def test_what_is_measured_is_true_within_its_errors(measured):
    pairs, _ = measured
    flux = np.array([one.fit.flux / line.flux for line, one, _, _ in pairs])
    assert np.mean(flux) == pytest.approx(1.01, abs=0.03)
    values = {
        "flux": [(one.fit.flux - line.flux) / one.errors[0] for line, one, _, _ in pairs],
        "wave": [(one.fit.wave - line.wave) / one.errors[1] for line, one, _, _ in pairs],
        "width": [(one.fit.width - line.width) / one.errors[2] for line, one, _, _ in pairs],
        "continuum": [one.fit.continuum / one.errors[3] for _, one, _, _ in pairs],
        "x": [dx / one.place.x_err for _, one, dx, _ in pairs],
        "y": [dy / one.place.y_err for _, one, _, dy in pairs],
    }
    for name, pulls in values.items():
        assert np.std(pulls) == pytest.approx(1, abs=0.25), name
        assert np.mean(pulls) == pytest.approx(0, abs=0.35), name
    assert np.sqrt(np.mean([dx**2 + dy**2 for _, _, dx, dy in pairs])) < 0.3
    assert np.std([one.fit.wave - line.wave for line, one, _, _ in pairs]) < 0.5
    chi2 = [one.chi2 for _, one, _, _ in pairs]
    assert np.mean(chi2) == pytest.approx(1, abs=0.06)
    assert np.mean([one.chi2_fibers for _, one, _, _ in pairs]) == pytest.approx(1, abs=0.15)


def test_signal_to_noise_is_that_of_noise(measured):
    pairs, _ = measured
    empty = ifu_fibers(**SMALL, seed=1)
    off = [one.sn - line.flux / noise_of(empty, line) / one.noise_ratio for line, one, _, _ in pairs]
    assert np.mean(off) == pytest.approx(0.1, abs=0.35)
    assert np.std(off) == pytest.approx(1, abs=0.2)


def test_a_very_bright_line_is_one_line():
    fibers = ifu_fibers([Line(0.4, 0.3, 4700, 1500.0, 2.9)], **SMALL, correlated=True, seed=1)
    found, _ = kept(fibers)
    assert len(found) == 1
    assert found[0].fit.flux == pytest.approx(1500, rel=0.01)
    assert found[0].sn > 300


def test_two_lines_beside_each_other_do_not_spoil_each_other():
    lines = [Line(-2.0, 0.0, 4700, 120.0), Line(2.0, 0.0, 4703, 60.0)]
    found, _ = kept(ifu_fibers(lines, **SMALL, correlated=True, seed=2))
    assert [one.fit.flux for one in found] == pytest.approx([120, 60], rel=0.12)
    assert [one.fit.wave for one in found] == pytest.approx([4700, 4703], abs=0.7)


def test_a_line_on_a_galaxy_has_its_continuum():
    sources = [Line(0.5, 0.5, 4600, 80.0), Star(0.5, 0.5, 3.0, depth=0.3)]
    (line,), _ = kept(ifu_fibers(sources, **SMALL, correlated=True, seed=3))
    assert line.fit.flux == pytest.approx(80, rel=0.15)
    assert line.fit.continuum == pytest.approx(3.0 * 4500 / 4600, rel=0.1)


def test_light_in_a_fiber_alone_is_a_cosmic_ray():
    fibers = ifu_fibers(**SMALL, correlated=True, seed=4)
    here = np.flatnonzero(fibers.expnum == 2)
    hit = here[np.argmin(np.hypot(fibers.x[here] - MIDDLE[0], fibers.y[here] - MIDDLE[1]))]
    fibers.flux[hit] += Line(0, 0, 4500, 30.0, 2.5).spectrum().astype("f4")
    (line,), _ = kept(fibers, replace(HOW, most_difference=1e9))
    assert line.spectrum.used[0] == hit
    assert min(line.one_exposure, line.one_fiber) > HOW.most_difference
    found, lost = kept(fibers)
    assert (found, lost["in one exposure"]) == ([], 1)


def test_a_galaxy_is_no_cosmic_ray():
    parts = [Line(x, y, 4500, 40.0) for x in (-1.5, 0, 1.5) for y in (-1.5, 0, 1.5)]
    found, _ = kept(ifu_fibers(parts, **SMALL, correlated=True, seed=5))
    assert found[0].sn > 30
    assert found[0].chi2_fibers > 3
    assert np.hypot(found[0].place.x - MIDDLE[0], found[0].place.y - MIDDLE[1]) < 0.7


@pytest.mark.parametrize("exposures", [(1,), (2, 3), (1, 2, 3, 4, 5, 6)])
def test_shots_have_any_number_of_exposures(exposures):
    line = Line(0.5, 0.0, 4500.0, 150.0)
    fibers = ifu_fibers([line], **SMALL, exposures=exposures, fwhm=(1.7, 1.9, 1.8) * 2, correlated=True, seed=6)
    fibers.flux[::9] = np.nan
    (found,), _ = kept(fibers)
    assert found.fit.flux == pytest.approx(150, rel=0.15)
    assert np.isnan(found.one_exposure) == (len(exposures) == 1)


def test_a_line_at_the_edge_of_what_is_missing_is_found():
    line = Line(0.5, -4.0, 4500.0, 150.0)
    missing = [(e, "LL") for e in (1, 2, 3)]
    (found,), _ = kept(ifu_fibers([line], **SMALL, missing=missing, correlated=True, seed=7))
    assert found.fit.flux == pytest.approx(150, rel=0.25)


def test_errors_of_noise_that_is_added_are_those_of_the_model():
    fibers = ifu_fibers([Line(0.5, 0.3, 4600, 70.0)], **SMALL, seed=8)
    (model,) = lines_of(fibers, HOW).lines
    how = replace(HOW, monte_carlo=40)
    (first,), (again,) = lines_of(fibers, how).lines, lines_of(fibers, how).lines
    np.testing.assert_allclose(first.errors[:4], model.errors[:4], rtol=0.35)
    np.testing.assert_allclose(
        [first.place.x_err, first.place.y_err], [model.place.x_err, model.place.y_err], rtol=0.35
    )
    assert first.sn_err == pytest.approx(1, abs=0.4)
    assert np.array_equal(first.errors, again.errors)
    assert (first.fit.flux, first.sn) == (model.fit.flux, model.sn)
