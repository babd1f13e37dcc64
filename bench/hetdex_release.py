"""From raw VIRUS frames to a release of one's own: a night of four IFUs, with four shots, compared with the truth.

The first shot has many emission lines, the others none: what is found in them is false. Goals are those of a simulated
month's comparison (`skyharvest.simulate.hetdex_month.compare_sources`); here they are of all lines of the shot.
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
N_IFUS = 4


def measure_all(folder: Path) -> tuple[list[report.Row], str]:
    """Reduce, and return the figures and the comparisons with the truth."""
    root = folder / "month"
    program = ROOT / "scripts" / "demo" / "simulate_hetdex_month.py"
    subprocess.run([sys.executable, program, "--root", root, "--plan", "sources"], check=True)
    workflow.prepare(folder, folder / "none.csv", settings(root))
    shots = workflow.run_stage(folder, "shots", 2, "reduce_hetdex_shots")
    made = workflow.run_stage(folder, "release", 2, "reduce_hetdex")
    by_program = defaultdict(list)
    for job in made.jobs:
        by_program[job.program].append(job)
    each = {name: sum(job.cpu for job in jobs) / len(jobs) for name, jobs in by_program.items()}
    peak = max(made.jobs, key=lambda job: job.peak)
    cube = each["make_cubes.py"] / N_IFUS
    rows = [
        report.Row(
            f"seconds, raw frames to calibrated fibers: 4 shots of {N_IFUS} IFUs, 2 cores", f"{shots.wall:.0f} s"
        ),
        report.Row("from there to the release, its cutouts, reports and pages", f"{made.wall:.0f} s"),
        report.Row(
            "CPU of find_lines.py, an IFU: search and refinement, start-up included",
            f"{each['find_lines.py']:.1f} s",
            "45 s",
            45 / each["find_lines.py"],
            goal_text=f"≤ {GOAL_SEARCH_S} s",
            reached=each["find_lines.py"] <= GOAL_SEARCH_S,
        ),
        report.Row("CPU of a cube", f"{cube:.1f} s", goal_text=f"≤ {GOAL_CUBE_S} s", reached=cube <= GOAL_CUBE_S),
        report.Row(
            f"memory of a job at most ({peak.program})",
            f"{peak.peak / 1000:.0f} MB",
            goal_text=f"≤ {GOAL_MB} MB",
            reached=peak.peak / 1000 <= GOAL_MB,
        ),
    ]
    others = sorted(set(each) - {"find_lines.py", "make_cubes.py"}, key=lambda name: -each[name])
    rows += [report.Row(f"CPU of {name} ({len(by_program[name])} jobs)", f"{each[name]:.2f} s") for name in others]
    checks = list(check_sources(root, folder / "results" / "reduction" / "hetdex"))
    lines = ["| compared with the truth | seen | goal | |", "|---|---|---|---|"]
    lines += [f"| {one.what} | {one.seen} | {one.goal} | {'✓' if one.well else '✗'} |" for one in checks]
    return rows, "\n".join(lines)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="a directory for gigabytes; by default that of temporary files")
    with workflow.working(parser.parse_args().work, "hetdex-release") as folder:
        rows, checks = measure_all(folder)
    about = "The other is a study's numpy, 13 s of search and 32 s of refinement, without its start-up."
    section = f"{report.comparison(rows)}\n\n{about}\n\n{checks}\n"
    report.write_section("hetdex_release", "HETDEX: a release of one's own from raw frames", section)


if __name__ == "__main__":
    main()
