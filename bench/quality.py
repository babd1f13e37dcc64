"""Quality of a production: collation and pages of 10 and of 30 nights × 40 exposures × 30 cameras, of metrics alone.

The frames' files are simulated, with a fault of each kind in two nights. Each program is run as the workflow runs it,
one at a time; pages are opened from disk in headless Chromium.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import headless
from lib import ROOT, measure, report
from lib.measure import MB
from lib.pages import GOAL_LOAD_S, load_times
from lib.report import Row
from skyharvest.reduction.desi.production import Production
from skyharvest.simulate.desi_metrics import Size, faults, simulate

GOAL_LINEAR = 1.1
"""A night of 30 may take so many times what a night of 10 takes."""
PROGRAMS = ROOT / "scripts/reduction/desi"
CHOOSE = """
    const done = arguments[0], begun = performance.now();
    const figure = document.querySelector("figure[data-series='']");
    figure.scrollIntoView({behavior: "instant"});
    const select = document.querySelector(".choose [name=series]");
    select.value = "PREPROC-READNOISE_B";
    select.dispatchEvent(new Event("change", {bubbles: true}));
    const look = () => {
        const label = figure.querySelector("svg .label");
        if (!label || !label.textContent.startsWith(select.value)) requestAnimationFrame(look);
        else requestAnimationFrame(() => requestAnimationFrame(() => done((performance.now() - begun) / 1000)));
    };
    look();
"""


class Runs:
    """What was run for a production: seconds and memory, by program."""

    def __init__(self, production: Production) -> None:
        self.production = production
        self.of: dict[str, list[measure.Run]] = {}

    def run(self, program: str, *options: str) -> None:
        """Run a program."""
        command = [sys.executable, PROGRAMS / f"{program}.py", "--production", self.production.directory, *options]
        self.of.setdefault(program, []).append(measure.run(command, limit_s=3600))

    def all(self) -> None:
        """Collate the production, and write its pages."""
        directory = self.production.directory
        raw = ("--raw", str(directory / "raw"))
        for night in self.production.nights:
            own = (*raw, "--night", str(night))
            self.run("collate_night", *own, "--out", str(directory / f"QA/{night}/qa-night-{night}.json"))
            self.run("write_qa_night_pages", *own, "--logs", str(directory / "logs"))
        self.run("collate_production", *raw, "--out", str(directory / "QA/qa-production.json"))
        self.run("write_qa_pages")

    def seconds(self, program: str) -> float:
        """Return the CPU seconds of all runs of a program, per night."""
        return sum(one.cpu_s for one in self.of[program]) / len(self.production.nights)

    def peak(self, program: str) -> float:
        """Return the largest memory of a program's runs, MB."""
        return max(one.peak_bytes for one in self.of[program]) / MB


def size_of(directory: Path, pattern: str) -> tuple[int, float]:
    """Return how many files there are, and how large they are, MB."""
    sizes = [path.stat().st_size for path in directory.rglob(pattern) if path.is_file()]
    return len(sizes), sum(sizes) / MB


def chosen_times(site: Path, n: int) -> list[float]:
    """Return the seconds until a chosen series is drawn."""
    chosen = []
    with tempfile.TemporaryDirectory() as profile, headless.chromium(Path(profile) / "chromium") as driver:
        driver.set_script_timeout(60)
        for _ in range(n):
            driver.get("about:blank")
            driver.get((site / "index.html").as_uri())
            time.sleep(0.5)
            chosen.append(driver.execute_async_script(CHOOSE))
    return chosen


def shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} s (at most {max(values):.2f})"


def rows_of(few: Runs, many: Runs, loaded: Mapping[Any, list[float]], chosen: list[float]) -> list[Row]:
    """Return the table's rows."""
    n, m = len(few.production.nights), len(many.production.nights)
    rows = []
    for what, program in (
        ("collation of a night", "collate_night"),
        ("pages of a night", "write_qa_night_pages"),
        ("collation of the production, for each night", "collate_production"),
        ("first page and series, for each night", "write_qa_pages"),
    ):
        more = many.seconds(program) / few.seconds(program)
        rows += [
            Row(
                f"{what}: CPU seconds, of {m} nights",
                f"{many.seconds(program):.2f} s",
                f"{few.seconds(program):.2f} s",
                goal_text=f"≤ {GOAL_LINEAR} × that of {n}",
                reached=more <= GOAL_LINEAR,
            ),
            Row(f"{what}: peak memory", f"{many.peak(program):.0f} MB", f"{few.peak(program):.0f} MB"),
        ]
    for (kind, screen), values in loaded.items():
        reached = max(values) < GOAL_LOAD_S
        rows.append(Row(f"{kind}, {screen}: seconds to load", shown(values), goal_text="< 1 s", reached=reached))
    what = "a metric of all frames, chosen and drawn"
    return [*rows, Row(what, shown(chosen), goal_text="< 1 s", reached=max(chosen) < GOAL_LOAD_S)]


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nights", type=int, nargs=2, default=(10, 30), help="of the two productions")
    options.add_argument("--exposures", type=int, default=40, help="of a night")
    options.add_argument("--petals", type=int, default=10, help="of an exposure")
    options.add_argument("--runs", type=int, default=5, help="times that a page is opened")
    given = options.parse_args()
    if reason := headless.missing():
        sys.exit(f"bench/quality.py: {reason}")
    with tempfile.TemporaryDirectory(prefix="skyharvest-bench-") as folder:
        made = []
        for n in given.nights:
            size = Size(n, given.exposures, tuple(range(given.petals)))
            planted = (*faults(n - 1), *faults(n // 2))
            made.append(Runs(simulate(Path(folder) / f"nights{n}", size, planted, workers=2)))
            made[-1].all()
        few, many = made
        site = many.production.directory / "QA/pages"
        night = max(many.production.nights)
        exposure = many.production.nights[night][-1].expid
        pages = {
            "first page": site / "index.html",
            "page of a night": site / f"{night}/index.html",
            "page of an exposure": site / f"{night}/{exposure:08d}/index.html",
            "page of a camera": site / f"{night}/{exposure:08d}/z0.html",
        }
        loaded, chosen = load_times(pages, given.runs), chosen_times(site, given.runs)
        rows = rows_of(few, many, loaded, chosen)
        n_pages, on_disk = size_of(site, "*")
        n_frames, frames = size_of(many.production.directory / "QA", "*.yaml")
        kinds = ", ".join(f"{kind} {page.stat().st_size / 1000:.0f} kB" for kind, page in pages.items())
    all_seconds = sum(one.seconds for runs in many.of.values() for one in runs)
    about = f"""
{given.nights[1]} nights × {given.exposures} exposures × {3 * given.petals} cameras; two nights have faults. "Other" is
the same of {given.nights[0]} nights. There are {n_frames:,} files of frames, {frames:,.0f} MB; the site has
{n_pages:,} files, {on_disk:,.0f} MB:
{kinds}.
All programs one after the other took {all_seconds / 60:.1f} min; those of nights can run at once.
"""
    report.write_section("quality", "Quality of a production", report.comparison(rows) + "\n" + about)


if __name__ == "__main__":
    main()
