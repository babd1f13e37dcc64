"""Spectra of HETDEX cubes, against astropy and photutils: of 1, 9 and 100 sources of one cube, and 1,000 on 200 cubes.

Of one cube: whole processes, as a job of the workflow does it. Of 200: one run of the workflow, as a user starts it.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lib import measure, report
from lib.measure import MB, Run, median, shown_seconds
from lib.report import Row
from lib.workflow import prepare, run_stage, working
from skyharvest.surveys.hetdex.cube import N_WAVE

PYTHON = sys.executable
HERE = Path(__file__).parent
READERS = HERE / "lib" / "cube_readers.py"
GOALS = {1: None, 9: 10, 100: 50}  # sources: how many times faster
LIMIT_S = 3600.0
N_CUBES, PER_CUBE, GOAL_MANY = 200, 5, 10
OF_LOOP = "import astropy.coordinates, astropy.io.fits, astropy.wcs, photutils.aperture"
LOOPED_SHARE = 20  # one in so many cubes is tried by the loop


def extracted(way: str, data: Path, n: int, runs: int) -> list[Run]:
    """Extract the spectra of n sources ``runs`` times; they are left in ``data``."""
    out = data / f"{way}-{n}.npy"
    command = [PYTHON, READERS, way, data / "cube.fits", data / "positions.npy", str(n), out]
    finished = [measure.run(command, limit_s=LIMIT_S) for _ in range(runs)]
    print(f"  {way}, {n} sources: {shown_seconds(finished)}", file=sys.stderr, flush=True)
    return finished


def one_cube(runs: int) -> None:
    """Measure one cube, and report."""
    with tempfile.TemporaryDirectory(prefix="skyharvest-bench-") as folder:
        data = Path(folder)
        cube = data / "cube.fits"
        make = [PYTHON, "-m", "lib.big_cube", cube, data / "positions.npy", str(max(GOALS))]
        subprocess.run(make, cwd=HERE, check=True)
        size = cube.stat().st_size
        rows, seconds = [], {}
        for n, goal in GOALS.items():
            ours, theirs = (extracted(way, data, n, runs) for way in ("ours", "astropy_sections"))
            measure.run([PYTHON, READERS, "agree", data / f"ours-{n}.npy", data / f"astropy_sections-{n}.npy"])
            seconds[n] = median(ours)
            ratio = median(theirs) / seconds[n]
            what = f"seconds, {n} source{'s' * (n > 1)}"
            rows.append(Row(what, shown_seconds(ours), shown_seconds(theirs), ratio, goal))
        peaks = [median(of, lambda run: run.peak_bytes) / MB for of in (ours, theirs)]
    rows.append(Row(f"peak memory, {n} sources", *(f"{peak:,.0f} MB" for peak in peaks)))
    imports = {
        modules: median([measure.run([PYTHON, "-c", f"import {modules}"]) for _ in range(runs)])
        for modules in (
            "numpy",
            *(f"numpy, {name}" for name in ("fitsio", "astropy.wcs", "photutils.geometry", "numba")),
        )
    }
    import_s = {modules.rpartition(" ")[2]: taken - imports["numpy"] for modules, taken in imports.items()}
    per_source = (seconds[100] - seconds[9]) / 91
    notes = f"""
One cube of (1036, 104, 104), {size / MB:.1f} MB: RICE tiles of one row, the file in the page cache. Whole processes,
imports included. "Other" is a loop over the sources with astropy's `.section` of a box of DATA, ERROR and MASK, and
photutils' exact weights. Both give the same spectra to 1e-5.

Ours reads the rows of spaxels that its sources need; from 9 sources to 100, a source more takes
{1000 * per_source:.1f} ms, reading included. Beside numpy it imports fitsio ({import_s["fitsio"]:.2f} s). What it does
without: astropy.wcs ({import_s["astropy.wcs"]:.2f} s; the projection is written out), photutils
({import_s["photutils.geometry"]:.2f} s; so is the area of circle and spaxel), and numba ({import_s["numba"]:.2f} s: if
it took no time at all to compile and to run, it would be ahead from {import_s["numba"] / per_source:,.0f} sources on
one cube).
"""
    report.write_section("cubes", "Spectra from a cube", report.comparison(rows) + "\n" + notes)


def many_cubes(work: Path, n: int, looped: int, cores: int) -> str:
    """Measure one run on n cubes, and a loop over so many of them; return the report."""
    archive, csv = work / "archive", work / "targets.csv"
    subprocess.run([PYTHON, "-m", "lib.many_cubes", archive, csv, str(n), str(PER_CUBE)], cwd=HERE, check=True)
    hetdex = {"enabled": True, "release": "pdr1", "archive": str(archive)}
    prepare(work, csv, {"desi": {"enabled": False}, "hetdex": hetdex}, healpix=None)
    stage = run_stage(work, "run", cores)
    cubes = sorted(archive.glob("datacubes/*/*.fits"))
    positions = np.loadtxt(csv, delimiter=",", skiprows=1)
    chosen = np.linspace(0, n - 1, looped).astype(int)
    rows = (chosen[:, None] * PER_CUBE + np.arange(PER_CUBE)).ravel()
    (work / "cubes.txt").write_text("".join(f"{cubes[k]}\n" for k in chosen))
    np.save(work / "positions.npy", positions[rows])
    out = work / "loop.npy"
    loop = measure.run([PYTHON, READERS, "loop", work / "cubes.txt", work / "positions.npy", out], limit_s=LIMIT_S)
    mine = assembled(work / "results", rows.tolist(), [cubes[k].stem for k in chosen])
    np.save(work / "ours.npy", mine)
    measure.run([PYTHON, READERS, "agree", work / "ours.npy", out])
    n_spectra = np.isfinite(mine).any(axis=(0, 2)).sum()
    imports = measure.run([PYTHON, "-c", OF_LOOP]).seconds
    theirs = imports + (loop.seconds - imports) * n / looped
    what = f"seconds, {n * PER_CUBE:,} sources on {n:,} cubes, one run of the workflow"
    shown = f"{theirs:,.0f} s"
    reading = sum(job.cpu for job in stage.jobs if job.program == "harvest_hetdex.py")
    table = report.comparison([Row(what, f"{stage.wall:.1f} s", shown, theirs / stage.wall, GOAL_MANY)])
    return f"""{table}

{PER_CUBE} sources on and around each of {n:,} cubes of (1036, 104, 104), in the page cache where there is room. "Other"
is a loop with astropy's `.section` and photutils' exact weights, in one process; it was tried on {looped} of the cubes,
and multiplied. Both give the same {n_spectra:,} spectra of these to 1e-5. Ours is all of `snakemake`, from the CSV to
assembled files and ledger, on {cores} cores.

{report.BOUND}CPU. Its {len(stage.jobs)} jobs take {stage.jobs_cpu:.0f} s, of which those that read cubes take
{reading:.0f} s, and Snakemake {stage.own_cpu:.0f} s.
"""


def assembled(results: Path, rows: Sequence[int], cubes: Sequence[str]) -> Any:
    """Return flux, error and coverage (3, n, 1036) of CSV rows, each on its cube; NaN where there is no spectrum."""
    at = {(row, cubes[k // PER_CUBE].removeprefix("dex_cube_")): k for k, row in enumerate(rows)}
    spectra = np.full((3, len(rows), N_WAVE), np.nan, np.float32)
    for path in sorted(results.glob("hetdex_crossmatches/*/*.hdf5")):
        with h5py.File(path) as file:
            hetdex = file["hetdex"]
            columns = (file["chandra/row"], hetdex["shotid"], hetdex["ifuslot"])
            for n, (row, shotid, slot) in enumerate(zip(*(column[:].tolist() for column in columns), strict=True)):
                k = at.get((row, f"{shotid}_{slot.decode()}"))
                if k is not None:
                    spectra[:, k] = [hetdex[f"spectrum_{kind}"][n] for kind in ("flux", "error", "coverage")]
    return spectra


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=3, help="runs of each, of one cube (default: %(default)s)")
    options.add_argument("--only", choices=("one", "many"), help="one section instead of both")
    options.add_argument("--cubes", type=int, default=N_CUBES, help="fewer, for a quick look, which is not kept")
    options.add_argument("--cores", type=int, default=2, help="for Snakemake (default: %(default)s)")
    options.add_argument("--work", type=Path, metavar="DIR", help="where to work; the cubes take 4 GB")
    chosen = options.parse_args()
    if chosen.only != "many":
        one_cube(chosen.runs)
    if chosen.only != "one":
        with working(chosen.work, "cubes") as work:
            body = many_cubes(work, chosen.cubes, max(chosen.cubes // LOOPED_SHARE, 1), chosen.cores)
        if chosen.cubes == N_CUBES:
            report.write_section("cubes", "Spectra from many cubes", body, part="many")
        else:
            print(body)


if __name__ == "__main__":
    main()
