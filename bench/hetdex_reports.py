"""Reports of a shot's detections: seconds, size and memory, of 100 and of 1,000.

Whole processes, one thread. Fibers are those of a whole IFU, of three exposures, and known without a file; two of its
amplifiers have images in one exposure. What a process does beside pictures is measured by one that has none to make.
"""

import argparse
import os
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from lib import ROOT, measure, report

GOAL_S, GOAL_KB, GOAL_MB = 0.5, 200, 1000
PROGRAM = ROOT / "tests" / "hetdex_reports.py"


def rows_of(root: Path, n: int) -> list[report.Row]:
    """Measure the reports of n detections."""
    command = [sys.executable, PROGRAM, root, str(n), "0", "whole"]
    measure.run(command, limit_s=3600)  # writes the shot's files, too
    shutil.rmtree(root / "reports")
    done = measure.run(command, limit_s=3600)
    nothing = measure.run(command)
    (database,) = (root / "reports").glob("*.db")
    with sqlite3.connect(database) as file:
        n_made, mean, most = file.execute(
            "SELECT count(*), avg(length(image)), max(length(image)) FROM report"
        ).fetchone()
    each = (done.cpu_s - nothing.cpu_s) / n_made
    megabytes = done.peak_bytes / measure.MB
    what = f"{n_made:,} reports"
    return [
        report.Row(f"{what}: CPU seconds each", f"{each:.2f} s", goal_text=f"≤ {GOAL_S} s", reached=each <= GOAL_S),
        report.Row(f"{what}: CPU seconds", f"{done.cpu_s:.1f} s"),
        report.Row(f"{what}: again, nothing to do", f"{nothing.cpu_s:.1f} s"),
        report.Row(
            f"{what}: size of one, mean and most",
            f"{mean / 1e3:.0f} kB, {most / 1e3:.0f} kB",
            goal_text=f"≤ {GOAL_KB} kB",
            reached=most / 1e3 <= GOAL_KB,
        ),
        report.Row(
            f"{what}: peak memory", f"{megabytes:.0f} MB", goal_text=f"≤ {GOAL_MB} MB", reached=megabytes <= GOAL_MB
        ),
    ]


def main() -> int:
    """Measure, and write the section."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--detections", type=int, nargs="+", default=[100, 1000], help="numbers of detections")
    given = options.parse_args()
    paths = f"{ROOT / 'scripts'}:{ROOT / 'tests'}"
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": paths}
    with tempfile.TemporaryDirectory(prefix="skyharvest-hetdex-reports-") as folder:
        rows = [row for n in given.detections for row in rows_of(Path(folder) / str(n), n)]
    report.write_section("hetdex_reports", "HETDEX: reports of detections", report.comparison(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
