"""Snakemake's private state, which only this module uses: tests/unit/run/test_snakemake_state.py fails if it changes.

================================  ===================================================================================
``workflow.dag.forcefiles``       Run a job again though its files are there. The public way, ``--forcerun``, must be
                                  said before the plan is read. A newer input or another parameter would be recorded,
                                  and the next run would do the job once more.
``workflow.dag_settings``         Whether a person forces jobs, and which.
``workflow.dag.jobs``             Which jobs a run has asked for, directly or not.
``workflow.dag.needrun_jobs()``   Which jobs a run is going to do, before it does them. Snakemake's log has only their
                                  number by rule.
``workflow.scheduler``            Its limit of jobs that start in a second, 100: no option turns it off. With it, each
                                  job that ends makes Snakemake look for work once a second from then on, which takes
                                  a core when hundreds of short jobs have ended.
``.snakemake/incomplete``         Which jobs have begun and not ended, also after a crash. A logger plugin would be told
                                  as well, but it has to be installed and named (``--logger``) before the Snakefile is
                                  read, runs in the main process, and knows nothing of a run that was killed.
``.snakemake/locks``              Whether a run that is gone has left a lock; asked without starting Snakemake.
================================  ===================================================================================

In ``.snakemake/incomplete`` there is a file for each output of such a job, named after it in base 64 (in pieces if it
is long: snakemake/persistence/file.py), with its number in a cluster. ``.snakemake/locks/N.output.lock`` lists files.
"""

import contextlib
import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_LIMIT = (100, 1)
"""Snakemake's own: jobs, seconds."""


def force(workflow: Any, files: Iterable[str]) -> None:
    """Make the workflow's main process run the jobs of these outputs again, as `--forcerun` does; leaves no trace."""
    if workflow.is_main_process:
        workflow.dag.forcefiles.update(files)


def lift_start_limit(workflow: Any) -> None:
    """Let jobs start whenever there is room for them; to be called `onstart`. A limit of a person's own stays."""
    limit = workflow.scheduler.job_rate_limiter
    if limit is not None and (limit.max_jobs, limit.timespan) == START_LIMIT:
        workflow.scheduler.job_rate_limiter = None


def is_forced(workflow: Any, rule: str) -> bool:
    """Tell whether a person forces a rule's jobs: `--forceall`, or `--forcerun` with its name."""
    return bool(workflow.dag_settings.forceall or rule in workflow.dag_settings.forcerun)


def is_to_run(workflow: Any, output: str) -> bool:
    """Tell whether the run that begins will do the job of an output."""
    return any(output in job.output for job in workflow.dag.needrun_jobs())


def is_only(workflow: Any, rule: Any) -> bool:
    """Tell whether nothing but one rule is in what has been asked for."""
    return {job.rule for job in workflow.dag.jobs} == {rule}


@dataclass(frozen=True)
class Begun:
    """Snakemake's note that a job has begun: when, and whether it was handed to a cluster, to begin later."""

    time: float
    submitted: bool


def read_begun(directory: Path) -> dict[Path, Begun]:
    """Return the outputs (real paths) of jobs that have begun and not ended in a working directory."""
    root = directory / ".snakemake" / "incomplete"
    begun = {}
    for folder, _, names in os.walk(root):
        pieces = Path(folder).relative_to(root).parts
        for name in names:
            note = Path(folder, name)
            with contextlib.suppress(OSError, ValueError):  # ended just now; or not one of them
                output = urlsafe_b64decode("".join(piece.removeprefix("@") for piece in (*pieces, name))).decode()
                text = note.read_text(encoding="utf-8")
                submitted = bool(json.loads(text).get("external_jobid")) if text else False
                begun[real_path(directory, output)] = Begun(note.stat().st_mtime, submitted)
    return begun


def begun_here() -> dict[Path, float]:
    """Return the outputs of such jobs in this working directory, and when they began."""
    return {path: note.time for path, note in read_begun(Path.cwd()).items()}


def is_locked(directory: Path, below: Path) -> bool:
    """Tell whether a run has left a lock on files below a directory (a real path): the next one will not start."""
    for lock in (directory / ".snakemake" / "locks").glob("*.output.lock"):
        with contextlib.suppress(OSError, ValueError):
            paths = lock.read_text(encoding="utf-8").splitlines()
            if any(real_path(directory, path).is_relative_to(below) for path in paths):
                return True
    return False


def real_path(directory: Path, path: str | Path) -> Path:
    """Return the real path of one that is relative to a directory, or absolute."""
    return (directory / path).resolve()
