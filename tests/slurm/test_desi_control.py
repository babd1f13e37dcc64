"""Scripts of a production, and the workflow's jobs, in a real queue: submitted, running, done, told from files."""

import time
from collections import Counter

import pytest

from running import start
from small_commands import FAILS
from small_control import Small

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.timeout(900)]
QUICKLY = ["--jobs", "20", "--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "5"]


def until(wanted, what, seconds=300):
    """Wait until something is so; return all that was seen."""
    seen = []
    end = time.monotonic() + seconds
    while not seen or not wanted(seen[-1]):
        assert time.monotonic() < end, f"{what}: {seen[-1:]}"
        seen.append(Counter(what().values()))
        time.sleep(1)
    return seen


def test_scripts_run_one_step_after_the_other(tmp_path):
    small = Small(tmp_path).begun()
    said = small("production.py script --submit --steps preproc psf psfnight --workers 1 --minutes 6")
    assert len(said.splitlines()) >= 3
    seen = until(lambda states: states == {"done": 21}, lambda: small.states("--steps", "preproc", "psf", "psfnight"))
    assert seen[0]["submitted"]
    assert not any(states["failed"] for states in seen)
    assert list((small.directory / "tasks/under_way").iterdir()) == []


def test_jobs_of_the_workflow_are_seen_in_the_queue(tmp_path, monkeypatch):
    small = Small(tmp_path).begun()
    for name in ("PYTHONPATH", "PATH"):
        monkeypatch.setenv(name, small.environment[name])
    monkeypatch.setenv(FAILS, "slow:preproc-b0,slow:preproc-r0")
    asked = ["--configfile", str(small.config), "--config", "batch_seconds=1"]
    process = start(tmp_path, *QUICKLY, *asked, profile="slurm")
    try:
        seen = until(
            lambda states: states["submitted"] and states["running"], lambda: small.states("--steps", "preproc"), 200
        )
        assert seen[0] == {"ready": 12}
    finally:
        process.terminate()
        process.kill()
        process.communicate()
    states = Counter(small.states("--steps", "preproc").values())
    assert states["running"], "they run on, whatever becomes of who has submitted them"
