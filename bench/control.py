"""Control of a production: how long it takes to tell how 100,000 tasks stand, and a month's.

Productions of files alone: exposure tables, records, empty files, of which a third is still to be done.
"""

import argparse
import shutil
import sys
import tempfile
from itertools import islice
from pathlib import Path

from lib import ROOT, measure, report
from reduction import NIGHTS, begin_month, finish
from skyharvest.reduction.desi.production import Production

GOAL_S, HALF = 5, 15
COMMANDS = {
    "top": ("top", "--once"),
    "top, by night": ("top", "--once", "--by-night"),
    "the list of what has failed": ("tasks", "--states", "failed"),
    "the list of all, as CSV": ("tasks", "--csv"),
    "scripts of all that is to be done": ("script", "--slurm", "--workers", "30"),
}


def write(root: Path, nights: int) -> tuple[Path, Production]:
    """Write a production of some nights; return its configuration's file, and it."""
    config, made = begin_month(root, nights)
    finish(made)
    for directory in islice(sorted(made.directory.glob("exposures/*/*")), 0, None, 3):
        for path in directory.glob("cframe-*"):
            path.unlink()
    return config, made


def control(config: Path, *words: str) -> measure.Run:
    """Run a command of control."""
    return measure.run(
        [sys.executable, ROOT / "scripts" / "production.py", words[0], "--configfile", config, *words[1:]]
    )


def start_of_a_job(config: Path, made: Production) -> measure.Run:
    """Run a job of which all has been done: it reads what it must know, and ends."""
    said = made.settings
    words = [
        "psfnight",
        "--job",
        "20250101",
        "--production",
        made.directory,
        "--raw",
        said["raw"],
        "--cores-per-job",
        "30",
    ]
    done = config.with_name("done.json")
    return measure.run([sys.executable, ROOT / "scripts/reduction/desi/run_step.py", *words, "--done", done])


def main() -> int:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, help="where the directories are made (default: the system's)")
    given = options.parse_args()
    rows = []
    for nights in (HALF, NIGHTS):
        root = Path(tempfile.mkdtemp(prefix="skyharvest-control-", dir=given.work))
        try:
            config, made = write(root, nights)
            of_all = f"{len(made.tasks()):,} tasks"
            for name, words in COMMANDS.items():
                run = control(config, *words)
                limit = {"goal_text": f"≤ {GOAL_S} s", "reached": run.seconds <= GOAL_S} if nights == HALF else {}
                cells = limit if name == "top" else {}
                rows.append(report.Row(f"{of_all}: {name}", f"{run.seconds:.1f} s, {run.cpu_s:.1f} s of CPU", **cells))
            run = start_of_a_job(config, made)
            rows.append(report.Row(f"{of_all}: a job of one night starts, and ends", f"{run.seconds:.1f} s"))
        finally:
            shutil.rmtree(root)
    about = f"{HALF} and {NIGHTS} nights × 40 exposures × 30 cameras."
    about += " Each figure is of a process of its own, its start included."
    report.write_section("control", "Control of a production", f"{report.comparison(rows)}\n\n{about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
