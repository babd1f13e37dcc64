"""Which jobs of a production Snakemake has handed to a cluster, and have not begun: told from its notes alone.

Whether the process that submitted them is alive does not matter, and cannot be seen from every machine: SLURM keeps
what it was given. A run that has ended has cancelled what was left.
"""

from collections.abc import Iterator
from pathlib import Path

from skyharvest.core.errors import InputError
from skyharvest.harvest import run_record
from skyharvest.reduction.desi.production import Job, Production
from skyharvest.reduction.desi.steps import STEPS
from skyharvest.run.jobs import SAME_S, changed
from skyharvest.run.snakemake_state import Begun, read_begun


def jobs_in_queue(results: Path, production: Production) -> Iterator[Job]:
    """Yield them."""
    logs = results / "logs"
    run = run_record.load(logs)
    here = Path(run.directory) if run is not None and Path(run.directory).is_dir() else Path.cwd()
    jobs = (production.directory / "tasks" / "jobs").resolve()
    for path, note in read_begun(here).items():
        if not note.submitted or not path.is_relative_to(jobs) or path.parent.name not in STEPS:
            continue
        if run is not None and run.ended is not None and note.time < run.ended:
            continue
        step, name = path.parent.name, path.stem
        if not has_begun(note, logs / f"desi_{step}" / f"{name}.log"):
            try:
                yield production.job(step, name)
            except InputError:
                continue  # the tables have changed since


def has_begun(note: Begun, log: Path) -> bool:
    """Tell whether a job that was submitted has begun to write its log."""
    return changed(log) >= note.time - SAME_S
