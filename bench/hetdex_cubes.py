"""Data cubes of HETDEX: what a cube takes, and what it has of the light of stars that are known.

The program that makes a shot's cubes, for a whole IFU in three exposures, as a process of one thread: imports and the
reading of the shot's file included. Stars are seen without noise; their light in circles of 3.5″ is compared with what
their profiles have there.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from lib import ROOT, measure, report

GOAL_S, GOAL_MB, GOAL_LIGHT = 5.0, 1500, 0.03
N_RUNS = 5
PROGRAM = ROOT / "scripts" / "reduction" / "hetdex" / "make_cubes.py"
SHOT = "20190103v017"
SEEING = ((1.8, 1.8, 1.8), (1.7, 1.9, 1.8), (2.4, 2.6, 2.5))


def make(root: Path) -> None:
    """Write a shot of one IFU: in a process of its own, see `hetdex_shot.make`."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]
    from hetdex_shot_file import with_quality, write_shot
    from hetdex_sources import ifu_fibers
    from skyharvest.reduction.hetdex.layout import Layout

    write_shot(Layout(root), with_quality(ifu_fibers()))


def compare_light(fwhm: tuple[float, ...]) -> None:
    """Print, of stars in a cube, their light over that of their profile (JSON); in a process of its own, as `make`."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]
    import numpy as np
    from photutils.aperture import CircularAperture

    from hetdex_sources import BETA, GRID, MIDDLE, Star, ifu_fibers
    from skyharvest.reduction.hetdex.release import cube
    from skyharvest.reduction.hetdex.release.cube_fibers import middle_of
    from skyharvest.reduction.hetdex.settings import Cubes

    random = np.random.default_rng(1)
    grid = np.stack([one.ravel() for one in np.mgrid[-16.5:17:11, -16.5:17:11]], axis=1)
    stars = [Star(x, y, 30.0) for x, y in grid + random.uniform(-1, 1, grid.shape)]
    fibers = ifu_fibers(stars, fwhm=fwhm, seed=None)
    middle = middle_of(fibers)
    x, y = middle.to_plane(fibers.ra, fibers.dec)
    bits = np.zeros(fibers.flux.shape, np.int16)
    made = cube.make_cube(x, y, fibers.flux, fibers.error, bits, kernel_fwhm=Cubes.kernel_fwhm, empty=1)
    widths = np.array(fwhm)[:, None] * (GRID / 4500) ** -0.2
    share = (1 - (1 + 4 * (2 ** (1 / BETA) - 1) * (3.5 / widths) ** 2) ** (1 - BETA)).mean(axis=0)
    ratios = []
    for star in stars:
        place = middle.to_plane(*fibers.pointing.to_sky(np.array([star.x + MIDDLE[0]]), np.array([star.y + MIDDLE[1]])))
        at = np.ravel(place) / cube.SPAXEL + cube.MIDDLE
        circle = CircularAperture(at, 3.5 / cube.SPAXEL).to_mask(method="exact")
        box, _ = circle.get_overlap_slices(made.data.shape[1:])
        light = np.einsum("kyx,yx->k", made.data[:, *box], circle.data)
        ratios.append(float(np.median(light / (star.spectrum() * share))))
    print(json.dumps(ratios))


def time_rows(root: Path) -> list[report.Row]:
    """Measure the program."""
    measure.run([sys.executable, Path(__file__).resolve(), "--make", root])
    files = {"--shot": "shots", "--astrometry": "astrometry", "--stars": "stars"}
    given = [word for option, step in files.items() for word in (option, root / step / f"{SHOT}.h5")]
    command = [sys.executable, PROGRAM, *given, "--out", root / "cubes"]
    measure.run(command)  # compiles what is not kept yet
    done = [measure.run(command) for _ in range(N_RUNS)]
    seconds, cpu_s = (statistics.median(getattr(one, name) for one in done) for name in ("seconds", "cpu_s"))
    megabytes = max(one.peak_bytes for one in done) / measure.MB
    size = next((root / "cubes").glob("dex_cube*.fits")).stat().st_size
    what = "cube of an IFU, three exposures"
    return [
        report.Row(f"{what}: seconds", f"{seconds:.1f} s", goal_text=f"≤ {GOAL_S:g} s", reached=seconds <= GOAL_S),
        report.Row(f"{what}: CPU seconds", f"{cpu_s:.1f} s"),
        report.Row(
            f"{what}: peak memory", f"{megabytes:.0f} MB", goal_text=f"≤ {GOAL_MB} MB", reached=megabytes <= GOAL_MB
        ),
        report.Row(f"{what}: its file", f"{size / 1e6:.0f} MB"),
    ]


def light_row(fwhm: tuple[float, ...]) -> report.Row:
    """Measure the light of stars in exposures of some seeing."""
    given = ["--light", *map(str, fwhm)]
    ratios = json.loads(measure.run([sys.executable, Path(__file__).resolve(), *given]).output)
    mean, scatter = statistics.fmean(ratios), statistics.pstdev(ratios)
    seeing = ", ".join(f"{one:g}" for one in fwhm)
    return report.Row(
        f"light of {len(ratios)} stars in 3.5″ over that of their profile, seeing {seeing}″",
        f"{mean:.3f} ± {scatter:.3f}, {min(ratios):.3f} to {max(ratios):.3f}",
        goal_text=f"mean 1 ± {GOAL_LIGHT:g}",
        reached=abs(mean - 1) <= GOAL_LIGHT,
    )


def main() -> int:
    """Measure, and write the section."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--make", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    options.add_argument("--light", type=float, nargs=3, metavar="FWHM", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.make:
        make(given.make)
        return 0
    if given.light:
        compare_light(tuple(given.light))
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="skyharvest-hetdex-cubes-") as folder:
        rows = time_rows(Path(folder))
    rows += [light_row(fwhm) for fwhm in SEEING]
    report.write_section("hetdex_cubes", "HETDEX: data cubes", report.comparison(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
