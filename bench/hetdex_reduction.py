"""The reduction of HETDEX's raw frames: a shot of four IFUs with calibrations at hand, and the planning of a month.

``--only shot`` simulates four IFUs, with 15 biases and 3 twilights, reduces the calibration, then times the rest.
``--only month`` plans 20 nights of 78 IFUs, of which there are tar files without pixels.
"""

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from hetdex_lists import EXPOSURES, IFUS, NIGHTS, SHOTS, write_month
from lib import ROOT, report, workflow
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import SCIENCE, read_plan

GOAL_SHOT_S, GOAL_MB = 40, 1500
STUDY_S = {
    "make_bias.py": 5 * 4,
    "trace_fibers.py": 5 * 4,
    "calibrate_twilight.py": 7 * 4,
    "extract_exposure.py": 1.7 * 4,
}
"""What a study's numpy took for four amplifiers, CPU s: 15 biases, trace and profile, wavelength and fiber to fiber; an
exposure."""


def settings(root: Path) -> dict[str, object]:
    """Return the settings of a reduction of what stands below a directory."""
    paths = {name: str(root / name) for name in ("raw", "fplane", "ifucen")}
    catalogue = str(root / "star_catalogue.fits")
    return {
        "targets": {},
        "hetdex_reduction": {"enabled": True, "star_catalogue": catalogue, **paths},
        "desi": {"enabled": False},
    }


def shot(folder: Path) -> None:
    """Reduce a shot, after its calibration."""
    program = ROOT / "scripts" / "demo" / "simulate_hetdex_month.py"
    subprocess.run([sys.executable, program, "--root", folder / "month", "--plan", "bench"], check=True)
    workflow.prepare(folder, folder / "none.csv", settings(folder / "month"))
    calibration = workflow.run_stage(folder, "calibration", 2, "reduce_hetdex_calibration")
    stage = workflow.run_stage(folder, "shot", 2, "reduce_hetdex_shots")
    rows = [
        report.Row(
            "seconds, a shot of 4 IFUs × 3 exposures, calibrations at hand, 2 cores",
            f"{stage.wall:.1f} s",
            goal_text=f"≤ {GOAL_SHOT_S} s",
            reached=stage.wall <= GOAL_SHOT_S,
        ),
        report.Row("the calibration before: 4 IFUs, 15 biases, 3 twilights", f"{calibration.wall:.1f} s"),
    ]
    jobs = [*calibration.jobs, *stage.jobs]
    most = max(jobs, key=lambda job: job.peak)
    rows.append(
        report.Row(
            f"memory of a job at most ({most.program})",
            f"{most.peak / 1000:.0f} MB",
            goal_text=f"≤ {GOAL_MB} MB",
            reached=most.peak / 1000 <= GOAL_MB,
        )
    )
    by_program = defaultdict(list)
    for job in jobs:
        by_program[job.program].append(job.cpu)
    for name, seconds in by_program.items():
        mean, study = sum(seconds) / len(seconds), STUDY_S.get(name)
        peer = f"{study:.1f} s" if study else ""
        what = f"CPU of {name}, start-up included ({len(seconds)} jobs)"
        rows.append(report.Row(what, f"{mean:.2f} s", peer, study / mean if study else None, 2 if study else None))
    about = "The other is a study's numpy, without its start-up. A job of a pairing does its four amplifiers.\n"
    report.write_section(
        "hetdex_reduction", "A shot of HETDEX's raw frames", report.comparison(rows) + "\n\n" + about, part="shot"
    )


def month(folder: Path) -> None:
    """Plan a month."""
    root = folder / "month"
    write_month(root / "raw")
    for name in ("ifucen", "fplane"):
        (root / name).mkdir()
    slots = (f"{10 + n:03d} {50 * n} 0 {200 + n} {200 + n} {301 + n} 0 1" for n in range(IFUS))
    (root / "fplane" / "fplane20190101").write_text("\n".join(slots) + "\n")
    for name in ("star_catalogue.fits", "ifucen/IFUcen_HETDEX.txt"):  # that they are there is checked, and no more
        (root / name).touch()
    layout = Layout(folder / "results" / "reduction" / "hetdex")
    workflow.prepare(folder, folder / "none.csv", settings(root))
    plan = workflow.run_stage(folder, "plan", 2, str(layout.plan))
    began = time.monotonic()
    dry = workflow.run_stage(folder, "dry run", 2, "reduce_hetdex", "--dry-run", "--quiet", "all")
    seconds = time.monotonic() - began
    units = read_plan(layout.plan).of(SCIENCE)
    n_science = NIGHTS * SHOTS * len(EXPOSURES) * IFUS
    assert len(units) == n_science, f"found {len(units)} units; expected {n_science}"
    rows = [
        report.Row(
            f"seconds, dry run of {NIGHTS} nights of {IFUS} IFUs ({n_science:,} exposures of IFUs)",
            f"{seconds:.1f} s",
        ),
        report.Row("before: the nights' tars are indexed, and the plan is made", f"{plan.wall:.1f} s"),
        report.Row("memory of Snakemake", f"{dry.peak:.0f} MB"),
    ]
    about = "Nearly all of it is Snakemake's own: half is what it prints, although it is told not to.\n"
    report.write_section(
        "hetdex_reduction",
        "A month of HETDEX's raw frames, planned",
        report.comparison(rows) + "\n\n" + about,
        part="month",
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("shot", "month"))
    parser.add_argument("--work", type=Path, help="a directory for gigabytes; by default that of temporary files")
    only = parser.parse_args()
    for name, measure in (("shot", shot), ("month", month)):
        if only.only in (None, name):
            with workflow.working(only.work, f"hetdex-{name}") as folder:
                measure(folder)


if __name__ == "__main__":
    main()
