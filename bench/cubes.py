"""Spectra of 1, 9 and 100 sources of one HETDEX cube: whole processes, against astropy and photutils."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from lib import measure, report
from lib.measure import MB, Run, median, shown_seconds
from lib.report import Row

PYTHON = sys.executable
READERS = Path(__file__).with_name("lib") / "cube_readers.py"
GOALS = {1: None, 9: 10, 100: 50}  # sources: how many times faster
LIMIT_S = 3600.0


def extracted(way: str, data: Path, n: int, runs: int) -> list[Run]:
    """Extract the spectra of n sources ``runs`` times; they are left in ``data``."""
    out = data / f"{way}-{n}.npy"
    command = [PYTHON, READERS, way, data / "cube.fits", data / "positions.npy", str(n), out]
    finished = [measure.run(command, limit_s=LIMIT_S) for _ in range(runs)]
    print(f"  {way}, {n} sources: {shown_seconds(finished)}", file=sys.stderr, flush=True)
    return finished


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3, help="runs of each")
    runs = options.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="skyharvest-bench-") as folder:
        data = Path(folder)
        cube = data / "cube.fits"
        make = [PYTHON, "-m", "lib.big_cube", cube, data / "positions.npy", str(max(GOALS))]
        subprocess.run(make, cwd=READERS.parents[1], check=True)
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


if __name__ == "__main__":
    main()
