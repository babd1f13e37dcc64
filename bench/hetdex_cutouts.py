"""Cutouts of a shot's lines, their merge, and the page that its reports are browsed with: seconds, size and memory.

Whole processes, one thread. Fibers are those of whole IFUs, of three exposures, and known without a file; all
amplifiers have the same images. Reports are of random bytes, as large as ours are.
"""

import argparse
import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from lib import ROOT, measure, report

PROGRAMS = ROOT / "scripts" / "reduction" / "hetdex"
GOAL_S, GOAL_KB, GOAL_MB = 30, 100, 500
REPORT_BYTES = 110_000


def make(root: Path, n: int) -> None:
    """Write n lines of a shot, their images and their reports: in a process of its own."""
    import numpy as np

    import hetdex_reports
    from skyharvest.core.csv_file import write_rows

    shot = hetdex_reports.small_shot(root, hetdex_reports.many(n), whole=True)
    (image,) = shot.multifits[0].glob("multi_*_LL.fits")
    for exposure in ("exp01", "exp02", "exp03"):
        for ifu in (hetdex_reports.IFU, hetdex_reports.OTHER_IFU):
            directory = root / f"science/{exposure}/{ifu}"
            directory.mkdir(parents=True, exist_ok=True)
            for amp in ("LL", "LU", "RL", "RU"):
                path = directory / f"multi_{ifu[:11]}_{amp}.fits"
                if not path.exists():
                    path.symlink_to(image)
    ids = [int(row["detectid"]) for path in shot.lines for row in detections(path / "detections.h5")]
    random = np.random.default_rng(1)
    (root / "reports").mkdir()
    with closing(sqlite3.connect(root / f"reports/elixer_reports_{hetdex_reports.SHOTID}.db")) as database:
        database.execute("CREATE TABLE report(detectid BIGINT PRIMARY KEY, image BLOB NOT NULL)")
        database.executemany("INSERT INTO report VALUES (?, ?)", ((k, random.bytes(REPORT_BYTES)) for k in ids))
        database.commit()
    rows = ((detectid, "done", "") for detectid in sorted(ids))
    write_rows(root / f"reports/{hetdex_reports.SHOT}.csv", ("detectid", "state", "reason"), rows)


def detections(path: Path):
    """Return the rows of a file of detections."""
    import h5py

    with h5py.File(path) as file:
        return file["Detections"][:]


def cut(root: Path) -> None:
    """Write the cutouts of the shot, its fibers known: in a process of its own."""
    import hetdex_reports
    from skyharvest.reduction.hetdex.settings import Cutouts
    from skyharvest.reduction.hetdex.sources.cutouts_file import write_cutouts

    images, lines = sorted(root.glob("science/*/*")), hetdex_reports.inputs_of(root).lines
    out = root / f"im2D/im2D_{hetdex_reports.SHOTID}.h5"
    write_cutouts(hetdex_reports.known_shot(root, whole=True), images, lines, out, Cutouts())


def rows_of(root: Path, n: int) -> list[report.Row]:
    """Measure n lines."""
    own = [sys.executable, Path(__file__)]
    measure.run([*own, "--make", root, str(n)], limit_s=3600)
    measure.run([*own, "--cut", root], limit_s=3600)
    done = measure.run([*own, "--cut", root], limit_s=3600)
    (shots_own,) = (root / "im2D").glob("*.h5")
    each, megabytes = shots_own.stat().st_size / n / 1e3, done.peak_bytes / measure.MB
    shot = next((root / "reports").glob("*.csv")).stem
    merged = root / "release/im2D_own.h5"
    reduction = ["--reduction", root]
    merge = measure.run(
        [sys.executable, PROGRAMS / "merge_cutouts.py", *reduction, "--shots", shot, "--out", merged], limit_s=3600
    )
    page = root / f"reports/pages/{shot}.html"
    given = [*reduction, "--shot", shot, "--detections", *sorted((root / "detections").iterdir()), "--out", page]
    browse = measure.run([sys.executable, PROGRAMS / "write_report_pages.py", *given], limit_s=3600)
    size = sum(path.stat().st_size for path in page.with_suffix("").iterdir())
    what = f"{n:,} lines"
    return [
        report.Row(
            f"{what}: cutouts, CPU seconds",
            f"{done.cpu_s:.1f} s",
            goal_text=f"≤ {GOAL_S * n / 1000:.0f} s",
            reached=done.cpu_s <= GOAL_S * n / 1000,
        ),
        report.Row(f"{what}: size of one", f"{each:.0f} kB", goal_text=f"≤ {GOAL_KB} kB", reached=each <= GOAL_KB),
        report.Row(
            f"{what}: peak memory", f"{megabytes:.0f} MB", goal_text=f"≤ {GOAL_MB} MB", reached=megabytes <= GOAL_MB
        ),
        report.Row(
            f"{what}: merge", f"{merge.seconds:.1f} s; {merged.stat().st_size / measure.MB / merge.seconds:.0f} MB/s"
        ),
        report.Row(
            f"{what}: page of their reports",
            f"{browse.cpu_s:.1f} s of CPU; {size / 1e6:.0f} MB; {browse.peak_bytes / measure.MB:.0f} MB of memory",
        ),
    ]


def main() -> int:
    """Measure, and write the section."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--detections", type=int, nargs="+", default=[100, 1000], help="numbers of lines")
    options.add_argument("--make", nargs=2, metavar=("ROOT", "N"), help=argparse.SUPPRESS)
    options.add_argument("--cut", type=Path, metavar="ROOT", help=argparse.SUPPRESS)
    given = options.parse_args()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]
    if given.make:
        make(Path(given.make[0]), int(given.make[1]))
        return 0
    if given.cut:
        cut(given.cut)
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="skyharvest-hetdex-cutouts-") as folder:
        rows = [row for n in given.detections for row in rows_of(Path(folder) / str(n), n)]
    report.write_section("hetdex_cutouts", "HETDEX: cutouts of lines, and pages of reports", report.comparison(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
