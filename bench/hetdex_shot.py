"""The file of a shot of HETDEX: 4 IFUs, and as many as there are, 78; and the maps of a pairing's pixels over a month.

Whole processes, imports included, one thread, on multifits of random numbers (pairings after the first are links to
it, so that the disk's cache holds what is read).
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from lib import ROOT, measure, report

GOAL_MB, GOAL_S = 1500, 10
PROGRAMS = ROOT / "scripts" / "reduction" / "hetdex"
N_FRAMES = 60


def make(root: Path, n_ifu: int, n_exposures: int, images: bool) -> None:
    """Write the inputs: in a process of its own, as a process that measures another is seen as a part of that."""
    sys.path.insert(0, str(ROOT / "tests"))
    from hetdex_shot import Shot

    ifus = tuple(f"{k + 1:03d}_{k + 11:03d}_{k + 21:03d}_{k + 100:04d}" for k in range(n_ifu))
    expnums = tuple(range(1, n_exposures + 1))
    if images:  # exposures, too, are links
        shot = Shot(root, ifus, (1,), with_images=True, norm=dict.fromkeys(expnums, 1.0)).write()
        for expnum in expnums[1:]:
            shot.science(expnum, "").mkdir(parents=True)
            shot.science(expnum, ifus[0]).symlink_to(shot.science(1, ifus[0]))
    else:
        Shot(root, ifus, expnums, links=True).write()


def run_make(root: Path, n_ifu: int, n_exposures: int, *, images: bool = False) -> None:
    """Run `make`."""
    given = ["--make", root, str(n_ifu), str(n_exposures), *(["--images"] if images else [])]
    measure.run([sys.executable, Path(__file__).resolve(), *given])


def shot_rows(root: Path, n_ifu: int) -> list[report.Row]:
    """Measure the file of a shot with three exposures."""
    run_make(root, n_ifu, 3)
    name, out = "20190103v012", root / "out.h5"
    science = sorted((root / "science" / name).glob("exp*/*"))
    given = ["--shot", name, "--out", out, "--multifits", *science]
    given += ["--full-sky", *sorted((root / "full_sky" / name).iterdir())]
    for step in ("astrometry", "stars", "throughput"):
        given += [f"--{step}", root / step / f"{name}.h5"]
    done = measure.run([sys.executable, PROGRAMS / "write_shot.py", *given], limit_s=1800)
    size = out.stat().st_size
    out.unlink()
    fibers = n_ifu * 3 * 448
    what = f"shot of {n_ifu} IFUs × 3, {fibers:,} fibers"
    megabytes = done.peak_bytes / measure.MB
    seconds = {"goal_text": f"≤ {GOAL_S} s", "reached": done.seconds <= GOAL_S} if n_ifu == 4 else {}
    return [
        report.Row(f"{what}: seconds", f"{done.seconds:.1f} s", **seconds),
        report.Row(
            f"{what}: peak memory", f"{megabytes:.0f} MB", goal_text=f"≤ {GOAL_MB} MB", reached=megabytes <= GOAL_MB
        ),
        report.Row(f"{what}: its file", f"{size / 1e9:.2f} GB"),
    ]


def map_rows(root: Path) -> list[report.Row]:
    """Measure the maps of a pairing."""
    run_make(root, 1, N_FRAMES, images=True)
    science = sorted((root / "science/20190103v012").glob("exp*/*"))
    program = [sys.executable, PROGRAMS / "map_residuals.py", "--out", root / "maps", "--multifits", *science]
    done = measure.run(program, limit_s=1800)
    megabytes = done.peak_bytes / measure.MB
    what = f"maps of four amplifiers, {N_FRAMES} exposures"
    return [
        report.Row(f"{what}: seconds", f"{done.seconds:.1f} s"),
        report.Row(
            f"{what}: peak memory", f"{megabytes:.0f} MB", goal_text=f"≤ {GOAL_MB} MB", reached=megabytes <= GOAL_MB
        ),
    ]


def main() -> int:
    """Measure, and write the section."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--make", nargs=3, metavar=("DIR", "IFUS", "EXPOSURES"), help=argparse.SUPPRESS)
    options.add_argument("--images", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--ifus", type=int, nargs="+", default=[4, 78], help="numbers of IFUs")
    given = options.parse_args()
    if given.make:
        make(Path(given.make[0]), int(given.make[1]), int(given.make[2]), given.images)
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="skyharvest-hetdex-shot-") as folder:
        rows = [row for n in given.ifus for row in shot_rows(Path(folder) / str(n), n)]
        rows += map_rows(Path(folder) / "maps")
    report.write_section("hetdex_shot", "HETDEX: a shot's file", report.comparison(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
