"""A tiny workflow shows whether this Snakemake keeps its private state where, and as, the module takes it to be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from running import ROOT, environment
from skyharvest.run.snakemake_state import is_locked, read_begun, real_path

LONG = "long/" * 60
"""Of an output whose name Snakemake keeps in pieces."""
SNAKEFILE = f"""
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, {str(ROOT / "scripts")!r})
from skyharvest.run.snakemake_state import force, is_forced, is_to_run, lift_start_limit

def again(wildcards):
    force(workflow, (config["force"] or "").split())
    return ["one.txt", "two.txt"]

onstart:
    lift_start_limit(workflow)
    outputs = [name for name in ("one.txt", "two.txt", "all.txt") if is_to_run(workflow, name)]
    Path("to_run.txt").write_text(" ".join(outputs))
    Path("forced.txt").write_text(" ".join(rule for rule in ("all", "number") if is_forced(workflow, rule)))

onsuccess:
    limit = workflow.scheduler.job_rate_limiter
    Path("limit.txt").write_text(f"{{limit and limit.max_jobs}}")

rule all:
    input: again
    output: "all.txt"
    shell: "touch {{output}}"

rule number:
    output: "{{number,one|two}}.txt"
    shell: "echo {{wildcards.number}} >> journal; touch {{output}}"

rule slow:
    output: "slow.txt", "{LONG}slow.txt"
    shell: "echo begun > begun; sleep 60; touch {{output}}"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path.resolve()


def start(directory: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *words]
    return subprocess.Popen(
        command,
        cwd=directory,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(directory: Path, *words: str, forced: str = "") -> tuple[str, str]:
    """Run it; return the jobs of which `is_to_run` says that they will be done, and those that were done, sorted.

    Of jobs that do not need one another, Snakemake may begin with any.
    """
    (directory / "journal").write_text("")
    process = start(directory, "--config", f"force={forced}", *words)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    (to_run := directory / "to_run.txt").touch()
    said = to_run.read_text()
    to_run.unlink()
    return said, "".join(sorted((directory / "journal").read_text().splitlines(keepends=True)))


def test_a_job_can_be_forced_and_a_run_knows_what_it_will_do(directory):
    assert run(directory) == ("one.txt two.txt all.txt", "one\ntwo\n")
    assert run(directory, forced="two.txt") == ("two.txt all.txt", "two\n")
    assert run(directory) == ("", "")  # to force a job leaves nothing to be done


@pytest.mark.parametrize(("words", "expected"), [((), ""), (("-R", "number"), "number"), (("-F",), "all number")])
def test_what_a_person_forces_is_known(directory, words, expected):
    run(directory, *words)
    assert (directory / "forced.txt").read_text() == expected


@pytest.mark.parametrize(("words", "expected"), [((), "None"), (("--max-jobs-per-timespan", "7/1s"), "7")])
def test_starts_are_limited_only_if_a_person_says_so(directory, words, expected):
    run(directory, *words)
    assert (directory / "limit.txt").read_text() == expected


def test_notes_of_jobs_and_locks_are_read_while_they_run_and_after_they_were_killed(directory):
    outputs = {real_path(directory, "slow.txt"), real_path(directory, f"{LONG}slow.txt")}
    assert read_begun(directory) == {}
    assert not is_locked(directory, directory)
    before = time.time()
    process = start(directory, "slow.txt", "--config", "force=")
    try:
        while not (directory / "begun").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        assert_begun(directory, outputs, before)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert_begun(directory, outputs, before)


def assert_begun(directory: Path, outputs: set[Path], before: float) -> None:
    begun = read_begun(directory)
    assert begun.keys() == outputs
    assert all(before - 1 <= note.time <= time.time() + 1 and not note.submitted for note in begun.values())
    assert is_locked(directory, directory)
    assert not is_locked(directory, directory / "elsewhere")
