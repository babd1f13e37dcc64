"""Which jobs Snakemake has in a cluster's queue, from notes that Snakemake itself writes."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from skyharvest.harvest.run_record import RECORD, Run
from skyharvest.reduction.desi.control.standing import SUBMITTED, stand
from skyharvest.run.in_queue import jobs_in_queue
from small_production import NIGHT, production

JOB = f"{NIGHT}-00000005-00000006"
BEGAN = 1_000_000.0


def note(directory: Path, output: Path, number: str | None) -> None:
    """Write what Snakemake notes of a job that it has begun, or handed to a cluster under a number."""
    from snakemake.persistence.file import FilePersistence

    persistence = FilePersistence(path=directory / ".snakemake")
    persistence._mark_incomplete(str(output), number)
    for path in (directory / ".snakemake/incomplete").rglob("*"):
        if path.is_file():
            os.utime(path, (BEGAN + 100,) * 2)


@pytest.fixture
def made(tmp_path):
    (tmp_path / "logs").mkdir()
    tell(tmp_path, None)
    return production(tmp_path)


def tell(root: Path, ended: float | None) -> None:
    run = Run({}, simulated=False, copied=False, directory=str(root), started=BEGAN, ended=ended)
    (root / "logs" / RECORD).write_text(json.dumps(asdict(run)))


def queued(made, tmp_path) -> set:
    standings = stand(made, jobs_in_queue(tmp_path, made))
    return {key for key, one in standings.of.items() if one.state == SUBMITTED}


def test_a_submitted_job_is_in_the_queue_until_it_writes_its_log(made, tmp_path):
    note(tmp_path, made.directory / f"tasks/jobs/preproc/{JOB}.json", "17")
    assert {(key.kind, key.owner[-1]) for key in queued(made, tmp_path)} == {("preproc", "5"), ("preproc", "6")}
    log = tmp_path / f"logs/desi_preproc/{JOB}.log"
    log.parent.mkdir()
    log.write_text("")
    os.utime(log, (BEGAN + 50,) * 2)
    assert queued(made, tmp_path), "it is tried again, and has not begun again"
    os.utime(log, (BEGAN + 150,) * 2)
    assert not queued(made, tmp_path)


def test_a_job_on_this_machine_and_one_of_a_run_that_has_ended_are_in_no_queue(made, tmp_path):
    note(tmp_path, made.directory / f"tasks/jobs/preproc/{JOB}.json", None)
    assert not queued(made, tmp_path)
    note(tmp_path, made.directory / f"tasks/jobs/preproc/{JOB}.json", "17")
    tell(tmp_path, BEGAN + 200)
    assert not queued(made, tmp_path)
