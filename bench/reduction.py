"""The reduction of DESI's raw data: a night from raw to redshifts, and how long a month takes to plan.

``--only night`` reduces the demo's night. ``--only month`` plans 30 nights × 40 exposures × 30 cameras of which nothing
has been done, and of which all has: their exposure tables, records and (empty) files are written first.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from lib import ROOT, measure, report
from skyharvest.config.load import validate
from skyharvest.reduction.desi.exposure_healpix import ExposurePixel, write_healpix
from skyharvest.reduction.desi.exposure_healpix import path_of as healpix_of
from skyharvest.reduction.desi.exposure_table import path_of, write_table
from skyharvest.reduction.desi.production import Production, directory_of, freeze
from skyharvest.reduction.desi.qa.collate import night_path
from skyharvest.reduction.desi.records import DONE, Record, Records, judge_all
from skyharvest.reduction.desi.settings import frozen
from skyharvest.reduction.desi.steps import STEPS

GOAL_NIGHT_S, GOAL_MONTH_S = 8 * 60, 60
NIGHTS, ARCS, FLATS, SCIENCE, PIXELS_PER_TILE = 30, 5, 12, 23, 12
BATCH_SECONDS = 300


def snakemake(directory: Path, config: Path, *options: str, limit_s: float = 3600) -> measure.Run:
    """Run the workflow in a directory."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", config]
    profile = ["--workflow-profile", ROOT / "profiles" / "default", "--directory", directory]
    return measure.run([*command, *profile, "--cores", "2", *options], limit_s=limit_s)


def night(directory: Path) -> None:
    """Reduce the demo's night, the simulation apart."""
    config = ROOT / "config" / "demo-reduction.yaml"
    simulated = snakemake(directory, config, "resources/demo/desi_night/exposures.csv")
    # All but the last job, which fails: an arc is cut short on purpose.
    run = snakemake(directory, config, "release_desi_reduction", "--quiet", "rules", "host")
    production = directory / "results/demo-reduction/reduction/desi/spectro/redux/demonight"
    summary = json.loads((production / "summary.json").read_text())
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/demo/check_desi_night.py", "--root", directory / "resources/demo/desi_night",
         "--production", production],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [
        report.Row(
            "seconds, raw to redshifts, 2 cores",
            f"{run.seconds:.0f} s",
            goal_text=f"≤ {GOAL_NIGHT_S} s",
            reached=run.seconds <= GOAL_NIGHT_S,
        ),
        report.Row("CPU", f"{run.cpu_s:.0f} s"),
        report.Row("the simulation of the night before", f"{simulated.seconds:.0f} s"),
    ]
    tasks = sum(summary["seconds"].values())
    about = f"""
25 fibers, cameras b0, r0, z0; 3 arcs (one cut short), 2 flats, 2 science exposures. What the demo prints:

```
{checked.stdout.rstrip()}
```

{report.BOUND}CPU: {tasks:.0f} s of desispec's, redrock's and our own programs, without their imports.
"""
    report.write_section("reduction", "A night of raw data", report.comparison(rows) + "\n" + about, part="night")


def settings_of_month(root: Path) -> dict:
    """Return the configuration of the month."""
    paths = {name: str(root / name) for name in ("raw", "calibration", "star_templates", "redshift_templates")}
    for path in paths.values():  # that they are there is checked, and no more
        Path(path).mkdir(parents=True, exist_ok=True)
    return {
        "desi_reduction": {"enabled": True, "specprod": "month", "cores_per_job": 30, **paths},
        "desi": {"enabled": False},
        "batch_seconds": BATCH_SECONDS,
        "results": str(root / "results"),
    }


def write_month(production: Path, nights: int = NIGHTS) -> None:
    """Write the exposure tables of a month, or of some nights."""
    expid = 1
    for number in range(nights):
        of_night = 20250101 + number
        rows, pixels = [], []
        for k in range(ARCS + FLATS + SCIENCE):
            obstype = "arc" if k < ARCS else "flat" if k < ARCS + FLATS else "science"
            rows.append({"EXPID": expid, "OBSTYPE": obstype, "NIGHT": of_night, "TILEID": expid, "EXPTIME": 900.0})
            if obstype == "science":
                spread = [(petal, (petal + m) % PIXELS_PER_TILE) for petal in range(10) for m in range(3)]
                first = 20 * expid
                pixels += [
                    ExposurePixel(of_night, expid, expid, "main", "dark", petal, first + m, 167) for petal, m in spread
                ]
            expid += 1
        write_table(path_of(production, of_night), rows)
        write_healpix(healpix_of(production, of_night), pixels)
    (production / "exposure_tables" / "tables.csv").write_text("TABLE,EXPOSURES\n")


def begin_month(root: Path, nights: int = NIGHTS) -> tuple[Path, Production]:
    """Begin a month, or some nights, of which nothing has been done; return its configuration's file, and it."""
    given = settings_of_month(root)
    config = root / "config.yaml"
    config.write_text(yaml.safe_dump(given))
    said = validate(given)["desi_reduction"]
    production = directory_of(root / "results", "month")
    freeze(production, frozen(said))
    write_month(production, nights)
    return config, Production(production, said)


def month(root: Path) -> None:
    """Plan a month."""
    config, made = begin_month(root)
    to_do = snakemake(root, config, "-n", "--quiet", "all")
    began = time.monotonic()
    tasks = made.tasks()
    judge_all(tasks, Records(made.directory), made.commands.listed(), again=False)
    judged = time.monotonic() - began
    n_jobs = sum(len(made.jobs(step, BATCH_SECONDS)) for step in STEPS)
    finish(made)
    nothing = snakemake(root, config, "-n", "--quiet", "all")
    rows = [
        _seconds("seconds, dry run with all to do", to_do),
        _seconds("seconds, dry run with nothing to do", nothing),
    ]
    rows += [
        report.Row("peak memory", f"{max(to_do.peak_bytes, nothing.peak_bytes) / measure.MB:.0f} MB"),
        report.Row("tasks; jobs", f"{len(tasks):,}; {n_jobs:,}"),
        report.Row("seconds, the graph of tasks and the state of each, nothing done", f"{judged:.1f} s"),
    ]
    about = f"{NIGHTS} nights × {ARCS + FLATS + SCIENCE} exposures × 30 cameras, jobs of 30 cores and some 300 s."
    bound = f"{report.BOUND}Snakemake's own list of {n_jobs:,} jobs."
    report.write_section(
        "reduction", "A month of raw data", f"{report.comparison(rows)}\n\n{about}\n\n{bound}", part="month"
    )


def _seconds(what: str, run: measure.Run) -> report.Row:
    return report.Row(
        what, f"{run.seconds:.1f} s", goal_text=f"≤ {GOAL_MONTH_S} s", reached=run.seconds <= GOAL_MONTH_S
    )


def finish(made: Production) -> None:
    """Write what a run leaves: records, files (empty ones), and what says that jobs have ended."""
    records = Records(made.directory)
    judged = judge_all(made.tasks(), records, made.commands.listed(), again=False)
    by_file: dict[Path, list[str]] = {}
    for key, one in judged.items():
        by_file.setdefault(records.path(key.kind, key.owner), []).append(f"{key.unit},{DONE},{one.made},,,,\n")
        for path in made.commands.outputs(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    header = ",".join(Record._fields) + "\n"
    for path, lines in by_file.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header + "".join(lines))
    for path in _done_files(made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    for path in (night_path(made.directory, of_night) for of_night in made.nights):
        path.write_text("\n")
    for name in ("QA/qa-production.json", "ledger.csv", "summary.json", "complete.json"):
        (made.directory / name).write_text("\n")


def _done_files(made: Production) -> Iterator[Path]:
    for step in STEPS:
        for job in made.jobs(step, 300):
            yield made.directory / "tasks" / "jobs" / step / f"{job.name}.json"


def main() -> int:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", choices=("night", "month"))
    options.add_argument("--work", type=Path, help="where the directories are made (default: the system's)")
    given = options.parse_args()
    for name, measured in (("night", night), ("month", month)):
        if given.only in (None, name):
            directory = Path(tempfile.mkdtemp(prefix=f"skyharvest-{name}-", dir=given.work))
            try:
                measured(directory)
            finally:
                shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
