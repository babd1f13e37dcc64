"""From raw VIRUS frames to a release of one's own, on two cores, compared with the truth.

``--only lines``: a night of four IFUs, with four shots. The first has many emission lines, the others none: what is
found in them is false. ``--only focal_plane``: a shot of all 78 IFUs, at its real size: half an hour and 50 GB.
Goals are those of a simulated month's comparison (`skyharvest.simulate.hetdex_month.compare_sources`).
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from hetdex_reduction import settings
from lib import ROOT, report, workflow

sys.path.insert(0, str(ROOT / "scripts"))

from skyharvest.simulate.hetdex_month.compare_sources import check_sources

GOAL_SEARCH_S, GOAL_CUBE_S, GOAL_MB = 10, 5, 1500
STUDY_S = 45
PARTS = {
    "lines": ("sources", 4, 4, "a release of one's own from raw frames"),
    "focal_plane": ("focal_plane", 1, 78, "a shot of the whole focal plane"),
}
"""Name of a part → plan of the simulated month, its shots and IFUs, and the section's title."""


def measure_all(folder: Path, part: str) -> None:
    """Reduce, and write the figures and the comparisons with the truth."""
    plan, n_shots, n_ifus, title = PARTS[part]
    root = folder / "month"
    program = ROOT / "scripts" / "demo" / "simulate_hetdex_month.py"
    subprocess.run([sys.executable, program, "--root", root, "--plan", plan], check=True)
    workflow.prepare(folder, folder / "none.csv", settings(root))
    calibration = workflow.run_stage(folder, "calibration", 2, "reduce_hetdex_calibration")
    shots = workflow.run_stage(folder, "shots", 2, "reduce_hetdex_shots")
    made = workflow.run_stage(folder, "release", 2, "reduce_hetdex")
    by_program = defaultdict(list)
    for job in (*calibration.jobs, *shots.jobs, *made.jobs):
        by_program[job.program].append(job)
    each = {name: sum(job.cpu for job in jobs) / len(jobs) for name, jobs in by_program.items()}
    most = {name: max(job.peak for job in jobs) / 1000 for name, jobs in by_program.items()}
    hungry = max(most, key=lambda name: most[name])
    lines, cube = each["find_lines.py"], each["make_cubes.py"] / n_ifus
    rows = [
        report.Row(f"seconds, calibration: {n_ifus} IFUs", f"{calibration.wall:.0f} s"),
        report.Row(f"seconds, to calibrated fibers: {n_shots} × {n_ifus} IFUs × 3", f"{shots.wall:.0f} s"),
        report.Row("seconds, to the release, its cutouts, reports and pages", f"{made.wall:.0f} s"),
        report.Row(
            "CPU of search and refinement of an IFU, start-up included",
            f"{lines:.1f} s",
            f"{STUDY_S} s",
            STUDY_S / lines,
            goal_text=f"≤ {GOAL_SEARCH_S} s",
            reached=lines <= GOAL_SEARCH_S,
        ),
        report.Row("CPU of a cube", f"{cube:.1f} s", goal_text=f"≤ {GOAL_CUBE_S} s", reached=cube <= GOAL_CUBE_S),
        report.Row(
            f"memory of a job at most ({hungry})",
            f"{most[hungry]:.0f} MB",
            goal_text=f"≤ {GOAL_MB} MB",
            reached=most[hungry] <= GOAL_MB,
        ),
    ]
    for name in sorted(each, key=lambda name: -each[name]):
        what = f"CPU and memory of {name} ({len(by_program[name])} jobs)"
        rows.append(report.Row(what, f"{each[name]:.1f} s, {most[name]:.0f} MB"))
    about = "The other is a study's numpy, 13 s of search and 32 s of refinement, without its start-up."
    table = ["| compared with the truth | seen | goal | |", "|---|---|---|---|"]
    for one in check_sources(root, folder / "results" / "reduction" / "hetdex"):
        table.append(f"| {one.what} | {one.seen} | {one.goal} | {'✓' if one.well else '✗'} |")
    section = "\n\n".join([report.comparison(rows), about, "\n".join(table)]) + "\n"
    report.write_section("hetdex_release", f"HETDEX: {title}", section, part=part)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--work", type=Path, help="a directory for gigabytes; by default that of temporary files")
    options = parser.parse_args()
    for part in [options.only] if options.only else PARTS:
        with workflow.working(options.work, f"hetdex-{part}") as folder:
            measure_all(folder, part)


if __name__ == "__main__":
    main()
