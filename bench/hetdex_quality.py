"""Quality of HETDEX's reduction: values and pages of a month of 78 pairings × 4 amplifiers and 200 shots.

The products say how good they are, and hold nothing else. Each program is run as the workflow runs it, one at a time;
pages are opened from disk in headless Chromium.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import headless
from lib import ROOT, measure, report
from lib.measure import MB
from lib.pages import GOAL_LOAD_S, load_times
from lib.report import Row
from skyharvest.reduction.hetdex.qa.collected import path_of_month, path_of_shot
from small_hetdex_quality import Small, pairings, shots

MONTH = 201901
PROGRAMS = ROOT / "scripts/reduction/hetdex"
MEASURED = 5
"""Shots that are collected by the program, each by itself; the others are by the library."""


def simulate(root: Path, n_pairings: int, n_shots: int) -> Small:
    """Write products with some faults, and what is collected of them."""
    some, of_month = pairings(n_pairings), shots(MONTH, n_shots)
    small = Small(root, of_month, some)
    small.planted = {("bias", "rms", f"{MONTH}/{some[0]}_LL"): 14.0, ("throughput", "response_4540", of_month[3]): 0.02}
    small.planted |= {
        ("science", "pull", f"{shot}/{exposure}/{some[1]}_RL"): 1.9 for shot in of_month for exposure in small.exposures
    }
    small.failed = {("bias", f"{MONTH}/{some[2]}_RU"): "2 bias frames can be read; 5 are needed"}
    small.products()
    small.collect()
    return small


def run(program: str, small: Small, *options: str) -> measure.Run:
    """Run a program of the reduction."""
    given = [sys.executable, PROGRAMS / f"{program}.py", "--reduction", small.layout.directory, *options]
    return measure.run(given, limit_s=3600)


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s (at most {max(values):.2f})"


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairings", type=int, default=78, help="of the field")
    options.add_argument("--shots", type=int, default=200, help="of the month")
    options.add_argument("--runs", type=int, default=5, help="times that a page is opened")
    given = options.parse_args()
    if reason := headless.missing():
        sys.exit(f"bench/hetdex_quality.py: {reason}")
    with tempfile.TemporaryDirectory(prefix="skyharvest-bench-") as folder:
        small = simulate(Path(folder), given.pairings, given.shots)
        directory, logs = small.layout.directory, ("--logs", str(small.logs))
        own = [
            run("collect_quality", small, "--shot", shot, "--out", str(path_of_shot(directory, shot)))
            for shot in small.shots[:MEASURED]
        ]
        month = ("--month", str(MONTH))
        ran = {
            "values of a shot": max(own, key=lambda one: one.cpu_s),
            "values of a month": run("collect_quality", small, *month, "--out", str(path_of_month(directory, MONTH))),
            "pages of a month and its shots": run("write_quality_pages", small, *logs, *month),
            "first page": run("write_quality_pages", small, *logs, "--months", str(MONTH)),
        }
        site = small.site
        pages = {
            "first page": site / "index.html",
            "page of a month": site / f"{MONTH}/index.html",
            "page of a shot": site / f"{MONTH}/{small.shots[3]}.html",
        }
        loaded = load_times(pages, given.runs)
        sizes = [path.stat().st_size for path in site.rglob("*") if path.is_file()]
        kinds = ", ".join(f"{kind} {page.stat().st_size / 1000:.0f} kB" for kind, page in pages.items())
    rows = [Row(what, f"{one.cpu_s:.1f} s of CPU, {one.peak_bytes / MB:.0f} MB") for what, one in ran.items()]
    for (kind, screen), values in loaded.items():
        reached = max(values) < GOAL_LOAD_S
        rows.append(Row(f"{kind}, {screen}: seconds to load", shown(values), goal_text="< 1 s", reached=reached))
    about = f"""
{given.pairings} pairings × 4 amplifiers, {given.shots} shots × 3 exposures, some faults. The site has {len(sizes):,}
files, {sum(sizes) / MB:,.0f} MB:
{kinds}.
"""
    report.write_section("hetdex_quality", "Quality of HETDEX", report.comparison(rows) + "\n" + about)


if __name__ == "__main__":
    main()
