"""Steps of HETDEX's calibration: seconds of an amplifier on one core, how far off the truth, compiled against numpy.

Twilights are made by the tests' own model, which has nothing of the code that is measured.
"""

import argparse
import sys
from typing import Any

import numpy as np

from lib import ROOT, measure, report
from lib.report import Row

sys.path.insert(0, str(ROOT / "tests"))

from hetdex_twilights import Twilight, twilight
from skyharvest.reduction.hetdex.calibration import fiber_to_fiber, solar_spectrum, wavelength
from skyharvest.reduction.hetdex.settings import FiberToFiber, Wavelength

STUDY_WAVELENGTH_S, STUDY_RATIOS_S = 6.5, 1.0
"""What a study in numpy took for the same; half of it is the goal."""


def best_by_numpy(lines: Any, weight: Any, u: Any, template: Any, first: float, step: float, *grids: Any) -> Any:
    """Do what `wavelength._best` does."""
    grid = first + step * np.arange(template.size)
    use = weight > 0
    u, x, w = u[use], lines[use], weight[use]
    centres, slopes, bends = grids
    best = (-2.0, 0.0, 0.0, 0.0)
    for slope in slopes:
        for bend in bends:
            places = slope * u + bend * (2 * u * u - 1)
            t = np.interp(places[None] + centres[:, None], grid, template)
            s = w.sum()
            sx, sy = (w * x).sum(), (w * t).sum(axis=1)
            vx, vy = (w * x * x).sum() - sx**2 / s, (w * t * t).sum(axis=1) - sy**2 / s
            score = ((w * t * x).sum(axis=1) - sx * sy / s) / np.sqrt(vx * vy)
            k = int(np.argmax(score))
            if score[k] > best[0]:
                best = (float(score[k]), float(centres[k]), float(slope), float(bend))
    return best


def sample_by_numpy(
    table: Any, slope: Any, first: float, step: float, wave: Any, fwhm: Any, narrowest: float, between: float
) -> Any:
    """Do what `wavelength._sample` does."""
    at = np.clip((wave - first) / step, 0, table.shape[1] - 1.001)
    wide = np.clip((fwhm - narrowest) / between, 0, table.shape[0] - 1.001)
    a, b = at.astype(int), wide.astype(int)
    t, s = at - a, wide - b

    def between_rows(of: Any) -> Any:
        return [(1 - t) * of[b + k, a] + t * of[b + k, a + 1] for k in (0, 1)]

    low, high = between_rows(table)
    steep, steeper = between_rows(slope)
    return low + s * (high - low), steep + s * (steeper - steep), (high - low) / between


def kernels(light: Twilight) -> list[Row]:
    """Return figures of compiled kernels."""
    rng = np.random.default_rng(1)
    photons = solar_spectrum.read().photons()
    template = photons.convolved(6.0) - 1
    of_sun = (float(photons.wavelength[0]), solar_spectrum.STEP)
    u = np.linspace(-1, 1, 1032)
    lines = rng.normal(0, 0.1, 1032)
    grids = (4515 + np.arange(-30, 30.1, 2.0), 1008 * (1 + np.linspace(-0.03, 0.03, 25)), np.arange(-16.0, 16.1, 4.0))
    search = (lines, np.ones(1032), u, template, *of_sun, *grids)
    widths = wavelength.FWHM_GRID
    table = np.stack([photons.convolved(width) for width in widths])
    slope = np.gradient(table, solar_spectrum.STEP, axis=1)
    fwhm = np.full(light.wave.shape, 5.5)
    sample = (table, slope, *of_sun, light.wave, fwhm, widths[0], widths[1] - widths[0])
    rows = []
    for what, ours, other, arguments in (
        ("first guess: 6,975 spectra compared", wavelength._best, best_by_numpy, search),
        ("the Sun's spectrum at 112 × 1032 pixels, with derivatives", wavelength._sample, sample_by_numpy, sample),
    ):
        np.testing.assert_allclose(ours(*arguments)[0], other(*arguments)[0], rtol=1e-9, atol=1e-12)
        mine, theirs = (
            measure.cpu_s(lambda ours=ours, on=arguments: ours(*on)),
            measure.cpu_s(lambda o=other, on=arguments: o(*on)),
        )
        rows.append(Row(f"{what}; numpy", f"{mine * 1000:.1f} ms", f"{theirs * 1000:.0f} ms", theirs / mine))
    return rows


def twilights(light: Twilight) -> list[Row]:
    """Return figures of the twilight calibration."""
    sun = solar_spectrum.read()
    spectra = (light.spectrum, light.variance, light.alive)
    seconds = measure.cpu_s(lambda: wavelength.solve(*spectra, light.y, sun, Wavelength()))
    off = wavelength.solve(*spectra, light.y, sun, Wavelength()).wavelength - light.wave
    rms, worst = float(np.sqrt(np.mean(off[light.alive] ** 2))), float(np.abs(off[light.alive]).max())
    rows = [
        _time("wavelengths", seconds, STUDY_WAVELENGTH_S),
        Row("… off the truth, rms", f"{rms:.3f} Å", goal_text="≤ 0.1 Å", reached=rms <= 0.1),
        Row("… and at most", f"{worst:.2f} Å", goal_text="≤ 0.4 Å", reached=worst <= 0.4),
    ]
    seconds = measure.cpu_s(lambda: fiber_to_fiber.ratios(*spectra, light.wave, FiberToFiber()))
    ratio = fiber_to_fiber.ratios(*spectra, light.wave, FiberToFiber()).ratio
    share = (ratio / light.ratio)[light.alive]
    rms = float(np.std(share / np.median(share, axis=0)))
    return [
        *rows,
        _time("fiber to fiber", seconds, STUDY_RATIOS_S),
        Row("… off the truth, rms", f"{rms:.2%}", goal_text="≤ 0.5 %", reached=rms <= 0.005),
    ]


def _time(what: str, seconds: float, study: float) -> Row:
    reached = seconds <= study / 2
    return Row(f"{what}: CPU s", f"{seconds:.2f} s", f"{study:g} s", study / seconds, goal=2.0, reached=reached)


def main() -> int:
    """Measure and report."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    light = twilight(1)
    figures = twilights(light) + kernels(light)
    about = "An amplifier of 112 fibers, on one core. Beside ours: a study in numpy; for kernels the same in numpy."
    report.write_section("hetdex_calibration", "HETDEX: calibration", f"{report.comparison(figures)}\n\n{about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
