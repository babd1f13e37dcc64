"""What a newcomer waits for: `make demo` after the install, and with `--tests` the CPU that `make test` takes."""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib import ROOT, report

GOAL_DEMO_S, GOAL_TESTS_MIN = 20, 26.5  # the latter is half of what it once was
RESULTS = ("results/demo", "resources/demo", "resources/desi/demo")


def run(directory: Path, target: str) -> tuple[float, float, str]:
    """Run `make TARGET` in a directory; return seconds, its processes' seconds of CPU, and what it said."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    environment.setdefault("SLURM_CONF", "/dev/null")  # Snakemake asks for a cluster, and waits for one that is down
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        ["make", target],
        cwd=directory,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"make {target} failed:\n{done.stdout[-4000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def demo(directory: Path) -> None:
    """Measure `make demo` from nothing, with and without what an earlier run of Python has compiled."""
    seconds, cpu, _ = run(directory, "demo")
    for name in RESULTS:
        shutil.rmtree(directory / name)
    again, again_cpu, said = run(directory, "demo")
    jobs = max(map(int, re.findall(r"^total +(\d+)", said, re.MULTILINE)), default=0)
    reached, cores = again <= GOAL_DEMO_S, os.cpu_count() or 1
    rows = [
        report.Row("seconds, `make demo`", f"{again:.1f} s", goal_text=f"≤ {GOAL_DEMO_S} s", reached=reached),
        report.Row("seconds, the first time, when Python compiles all modules", f"{seconds:.1f} s"),
        report.Row("CPU", f"{again_cpu:.1f} s; the first time {cpu:.1f} s"),
    ]
    about = f"""
From nothing, with the environment installed{f": {jobs} jobs" if jobs else ""}.

{report.BOUND}CPU, {again_cpu:.0f} s of it: on {cores} cores {again_cpu / cores:.0f} s at least.
"""
    report.write_section("demo", "The demo", report.comparison(rows) + "\n" + about)


def tests(directory: Path) -> None:
    """Measure `make test`."""
    seconds, cpu, said = run(directory, "test")
    minutes = cpu / 60
    summary = re.findall(r"^=* ?(\d+ passed.*?) ?=*$", said, re.MULTILINE)
    reached = minutes <= GOAL_TESTS_MIN
    rows = [
        report.Row("CPU-minutes, `make test`", f"{minutes:.1f}", goal_text=f"≤ {GOAL_TESTS_MIN}", reached=reached),
        report.Row("minutes", f"{seconds / 60:.1f}"),
    ]
    about = f"Lint, types and all tests, {summary[-1] if summary else ''}, on {os.cpu_count()} cores."
    bound = f"{report.BOUND}the whole runs of the workflow that tests of faults and of changes need, each of its own."
    report.write_section("demo", "The tests", report.comparison(rows) + f"\n\n{about}\n\n{bound}", part="tests")


def main() -> int:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tests", action="store_true", help="measure `make test` instead, which takes its time")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="skyharvest-demo-") as folder:
        directory = Path(folder) / "skyharvest"
        subprocess.run(["git", "clone", "--quiet", ROOT, directory], check=True)
        (directory / ".venv").symlink_to(ROOT / ".venv")
        for lock in directory.glob("requirements*.lock"):
            os.utime(lock, (0, 0))  # older than the environment, which is as it should be: nothing is installed
        if chosen.tests:
            tests(directory)
        else:
            demo(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
