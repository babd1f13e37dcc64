"""Throughput of fibers against truth."""

import numpy as np
import pytest

from hetdex_twilights import twilight
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.calibration import fiber_to_fiber
from skyharvest.reduction.hetdex.settings import FiberToFiber
from skyharvest.reduction.hetdex.virus import GRID

OPTIONS = FiberToFiber()


def relative(light):
    """Return the true ratios: over their trimmed mean at each wavelength."""
    on_grid = np.stack([np.interp(GRID, light.wave[k], light.ratio[k]) for k in np.flatnonzero(light.alive)])
    norm = np.mean(np.sort(on_grid, axis=0)[8:-8], axis=0)
    return light.ratio / np.stack([np.interp(wave, GRID, norm) for wave in light.wave])


@pytest.mark.parametrize("changes", [{}, {"dead": (0, 50, 51, 111), "lsf": 6.0}, {"peak": 1000.0}])
def test_ratios_are_true(changes: dict[str, object]) -> None:
    light = twilight(11, **changes)
    light.spectrum[np.arange(112), np.random.default_rng(2).integers(20, 1000, 112)] += 20000  # cosmic rays
    light.spectrum[:, 640] = np.nan
    found = fiber_to_fiber.ratios(light.spectrum, light.variance, light.alive, light.wave, OPTIONS)
    assert np.isnan(found.ratio[~light.alive]).all()
    assert np.isfinite(found.ratio[light.alive]).all()
    off = (found.ratio / relative(light))[light.alive]
    off = off / np.median(off, axis=0)  # which mean is 1 is a matter of the mean
    limit = 0.005 if changes.get("peak") is None else 0.008
    assert np.std(off) < limit
    assert np.std(off[:, 100:-100]) < 0.6 * limit
    assert np.std(off.mean(axis=1)) < 0.5 * limit
    assert 0.3 * np.std(off) < found.error < 1.5 * np.std(off)
    # Their mean is 1 at each wavelength, and the mean twilight has what is left.
    on_grid = np.stack([np.interp(GRID, light.wave[k], found.ratio[k]) for k in np.flatnonzero(light.alive)])
    assert np.abs(np.mean(on_grid[:, 15:-25], axis=0) - 1).max() < 0.015
    middle = 60
    expected = np.interp(GRID, light.wave[middle], light.level[middle] / np.gradient(light.wave[middle]))
    expected *= 2 * changes.get("peak", 2500.0)
    inside = np.isfinite(found.mean) & (GRID > 3520) & (GRID < 5480)
    share = found.mean[inside] / expected[inside]
    assert np.std(share) < 0.012  # lines of another fiber are a little wider
    assert np.nanmean(light.ratio) == pytest.approx(np.median(share), abs=0.02)
    assert np.isnan(found.mean[light.wave[:, -1].max() < GRID]).all()


def test_a_fiber_that_is_too_faint_is_dead() -> None:
    light = twilight(12)
    light.spectrum[7] *= 0.05
    found = fiber_to_fiber.ratios(light.spectrum, light.variance, light.alive, light.wave, OPTIONS)
    assert np.isnan(found.ratio[7]).all()
    assert not found.alive[7]
    assert found.alive.sum() == 110


def test_too_few_fibers() -> None:
    light = twilight(13)
    with pytest.raises(InputError, match="found 30 fibers"):
        fiber_to_fiber.ratios(light.spectrum, light.variance, np.arange(112) < 30, light.wave, OPTIONS)
    with pytest.raises(InputError, match="found 0 fibers"):
        fiber_to_fiber.ratios(light.spectrum, light.variance, np.zeros(112, bool), light.wave, OPTIONS)
