"""Astrometry and stars of a HETDEX shot: seconds of whole processes on one core, and how far off the truth.

The shot, 4 IFUs × 3 exposures with 7 stars in each IFU, is made by the tests' own model, which has nothing of the code
that is measured.
"""

import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from lib import ROOT, measure, report
from lib.report import Row

sys.path.insert(0, str(ROOT / "tests"))

import hetdex_stars
from hetdex_stars import Shot, some_stars
from skyharvest.reduction.hetdex.stars import moffat

MORE_IFUS = {"053": ("311", "020", -49.916, 149.978), "063": ("041", "015", 50.148, 150.143)}
STUDY_STARS_S = 0.7
"""What a study in numpy took for the stars of one IFU."""


def by_numpy(dx: np.ndarray, dy: np.ndarray, fwhm: np.ndarray) -> np.ndarray:
    """Take the sum of `moffat`, all points of all fibers at once."""
    k = 4 * (2 ** (1 / moffat.BETA) - 1) / fwhm**2
    distance2 = dx**2 + dy**2
    r = moffat.FIBER_RADIUS * moffat.RADII
    around = np.sqrt(distance2)[:, None, None] * 2 * r[:, None] * moffat.COSINES
    value = (1 + k[:, None, None] * (distance2[:, None, None] + r[:, None] ** 2 + around)) ** -moffat.BETA
    total = (value.mean(axis=2) * moffat.RADIUS_WEIGHTS).sum(axis=1)
    return np.asarray((moffat.BETA - 1) * k * moffat.FIBER_RADIUS**2 * total)


def kernel() -> Row:
    """Return the figure of the compiled kernel."""
    random = np.random.default_rng(1)
    dx, dy = random.uniform(-4, 4, (2, 100_000))
    fwhm = random.uniform(1.2, 2.5, 100_000)
    np.testing.assert_allclose(moffat.fractions(dx, dy, fwhm), by_numpy(dx, dy, fwhm), rtol=1e-4)
    ours, other = measure.cpu_s(lambda: moffat.fractions(dx, dy, fwhm)), measure.cpu_s(lambda: by_numpy(dx, dy, fwhm))
    what = "a star's light in 100,000 fibers; the sum with numpy"
    return Row(what, f"{ours * 1000:.0f} ms", f"{other * 1000:.0f} ms", other / ours)


def program(name: str, *arguments: object) -> measure.Run:
    """Run a program of the reduction twice, as the first compiles."""
    command = [sys.executable, ROOT / f"scripts/reduction/hetdex/{name}.py", *map(str, arguments)]
    measure.run(command)
    return measure.run(command)


def of_shot(folder: Path) -> list[Row]:
    """Return the figures of a shot."""
    hetdex_stars.IFUS.update(MORE_IFUS)
    shot = Shot(some_stars(7, 3))
    multifits = shot.write(folder / "science")
    catalogue, fplane = shot.write_lists(folder)
    astrometry, stars = folder / "astrometry.h5", folder / "stars.h5"
    lists = ("--star-catalogue", catalogue, "--fplane", fplane)
    solved = program("solve_astrometry", "--multifits", *multifits, *lists, "--out", astrometry)
    extracted = program("extract_stars", "--multifits", *multifits, "--astrometry", astrometry, "--out", stars)
    with h5py.File(astrometry) as file, h5py.File(stars) as measured:
        ra, dec = shot.positions()
        off = []
        for name in file["Solution/found"]:
            found = file["Solution/found"][name][()]
            apart = np.hypot((found["ra"][:, None] - ra) * np.cos(np.radians(dec)), found["dec"][:, None] - dec)
            off.append(apart.min(axis=1) * 3600)
        rms = float(np.sqrt(np.mean(np.concatenate(off) ** 2)))
        exposures = measured["exposures"][()]
        width = float(np.abs(exposures["fwhm"] - shot.fwhm).max())
        norm = float(np.abs(exposures["norm"] / shot.norm - 1).max())
    return [
        Row("a shot's astrometry: CPU s, whole process", f"{solved.cpu_s:.1f} s"),
        Row("… its peak memory", f"{solved.peak_bytes / measure.MB:.0f} MB"),
        Row("… stars from their true places, rms", f"{rms:.3f}″", goal_text="≤ 0.15″", reached=rms <= 0.15),
        Row("a shot's stars: CPU s, whole process", f"{extracted.cpu_s:.1f} s", f"{4 * STUDY_STARS_S:.1f} s"),
        Row("… its peak memory", f"{extracted.peak_bytes / measure.MB:.0f} MB"),
        Row("… FWHM off the truth, at most", f"{width:.3f}″", goal_text="≤ 0.05″", reached=width <= 0.05),
        Row("… norms off the truth, at most", f"{norm:.1%}", goal_text="≤ 1 %", reached=norm <= 0.01),
    ]


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="skyharvest-hetdex-stars-") as folder:
        rows = [kernel(), *of_shot(Path(folder))]
    about = (
        "4 IFUs × 3 exposures, 28 stars; imports included, compiled code from its cache. Other: a study's numpy, "
        "imports not included, of one IFU times 4."
    )
    report.write_section("hetdex_stars", "HETDEX: astrometry and stars", f"{report.comparison(rows)}\n\n{about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
