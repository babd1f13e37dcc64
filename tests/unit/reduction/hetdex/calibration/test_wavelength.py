"""Wavelengths against truth: good twilights, bad ones, and what is no twilight."""

import numpy as np
import pytest

from hetdex_twilights import twilight
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.calibration import solar_spectrum, wavelength
from skyharvest.reduction.hetdex.settings import Wavelength

SUN = solar_spectrum.read()
OPTIONS = Wavelength()


def solved(light, options=OPTIONS):
    return wavelength.solve(light.spectrum, light.variance, light.alive, light.y, SUN, options)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shift": 20.0},
        {"shift": -20.0, "lsf": 6.05},
        {"lsf": 4.95, "dead": (0, 1, 55, 56, 111)},
        {"faint": range(56), "peak": 4000.0},
        {"veil": 0.1, "peak": 800.0},
    ],
    ids=["plain", "20 Å off", "-20 Å off, broad", "narrow, dead ends", "half faint", "faint and veiled"],
)
def test_wavelengths_are_true(changes: dict[str, object]) -> None:
    light = twilight(3, **changes)
    # A cosmic ray in each fiber, a column that is masked, another that is bright.
    light.spectrum[np.arange(112), np.random.default_rng(2).integers(20, 1000, 112)] += 20000
    light.spectrum[:, 640] = np.nan
    light.spectrum[:, 700] *= 3
    found = solved(light)
    off = found.wavelength - light.wave
    assert np.sqrt(np.mean(off[light.alive] ** 2)) < 0.06
    assert np.abs(off).max() < 0.35  # at the edges, and of dead fibers too
    assert np.abs(np.diff(found.fwhm.mean(axis=0))).max() < 0.05
    middle = found.fwhm[:, 516].mean()
    assert middle == pytest.approx(changes.get("lsf", 5.5), abs=0.15)
    assert found.n_matched > 0.92 * found.n_segments > 100


def test_fibers_beside_the_polynomial_are_found() -> None:
    light = twilight(4, jitter=0.3)
    found = solved(light)
    off = (found.wavelength - light.wave)[light.alive]
    assert found.offset_rms == pytest.approx(0.3, rel=0.25)
    assert np.sqrt(np.mean(off**2)) < 0.06
    smooth = solved(twilight(4))
    assert smooth.offset_rms < 0.02


def upside_down(light):
    light.spectrum, light.variance = light.spectrum[:, ::-1], light.variance[:, ::-1]


def half_upside_down(light):
    light.spectrum[:56], light.variance[:56] = light.spectrum[:56, ::-1].copy(), light.variance[:56, ::-1].copy()


def lamp(light):
    light.spectrum = np.where(np.isfinite(light.spectrum), light.level.max(axis=1, keepdims=True) * 2000, np.nan)
    light.spectrum = (light.spectrum + np.random.default_rng(1).normal(0, 30, light.spectrum.shape)).astype("f4")


def too_faint(light):
    light.spectrum /= 3000


def few_fibers(light):
    light.alive[:80] = False


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (upside_down, "looks? like the Sun"),
        (half_upside_down, r"found \d+ segments with enough light, of which \d+ look like the Sun"),
        (lamp, "looks? like the Sun"),
        (too_faint, "in a pixel; expected 5"),
        (few_fibers, "found 32 fibers"),
    ],
)
def test_what_is_no_twilight_fails_with_a_reason(spoil, says) -> None:
    light = twilight(5)
    spoil(light)
    with pytest.raises(InputError, match=says):
        solved(light)


def test_a_start_beyond_the_tolerance_fails() -> None:
    with pytest.raises(InputError, match=r"looks? like the Sun"):
        solved(twilight(6, shift=140.0))
