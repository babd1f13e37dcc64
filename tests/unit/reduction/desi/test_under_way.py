"""What is under way is told while it is, and no longer; and two do not run the same task."""

import os
import signal
import time

import pytest

from skyharvest.reduction.desi import run_tasks, under_way
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.records import DONE, Records
from skyharvest.reduction.desi.run_tasks import JobIncomplete, Runner
from skyharvest.reduction.desi.under_way import DEAD_S, AtWork, hand_over, read_notices, withdraw
from small_commands import Made
from small_production import NIGHT, production, row

OWNER = f"{NIGHT}/00000005"
B0, R0 = Key("preproc", OWNER, "b0"), Key("preproc", OWNER, "r0")


def aged(directory, seconds):
    """Make all files as old as this."""
    for path in (directory / under_way.DIRECTORY).iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_process_beats_while_it_works_and_its_file_goes_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(under_way, "BEAT_S", 0.05)
    before = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0
    with AtWork(tmp_path, "preproc 5") as at_work:
        at_work.tell([B0, R0], [B0])
        (notice,) = read_notices(tmp_path)
        assert (notice.left, notice.running, notice.queued) == ({B0, R0}, {B0}, False)
        aged(tmp_path, DEAD_S + 60)
        time.sleep(0.2)
        assert read_notices(tmp_path)
    assert read_notices(tmp_path) == []
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0) == before


def test_one_of_another_machine_is_gone_when_nobody_has_touched_it(tmp_path):
    at_work = AtWork(tmp_path, "preproc 5")
    at_work._said["host"] = "elsewhere"
    at_work.tell([B0], [])
    assert read_notices(tmp_path)
    aged(tmp_path, DEAD_S + 5)
    assert read_notices(tmp_path) == []


def test_one_of_this_machine_is_gone_with_its_process(tmp_path):
    at_work = AtWork(tmp_path, "preproc 5")
    at_work.tell([B0], [])
    assert read_notices(tmp_path)
    at_work._said["identity"] = "of a process before the last boot"
    at_work.tell([B0], [])
    assert read_notices(tmp_path) == []


def test_a_script_waits_in_the_queue_for_days_and_lives_when_it_has_begun(tmp_path):
    hand_over(tmp_path, "one", [B0, R0])
    aged(tmp_path, 3 * 86400)
    (notice,) = read_notices(tmp_path)
    assert notice.queued
    withdraw(tmp_path, [B0])
    assert [one.left for one in read_notices(tmp_path)] == [{R0}]
    with AtWork(tmp_path, "preproc 5", "one") as at_work:
        at_work.tell([R0], [])
        assert {one.is_script for one in read_notices(tmp_path)} == {True, False}
        assert not any(one.queued for one in read_notices(tmp_path))
    aged(tmp_path, DEAD_S + 5)
    assert read_notices(tmp_path) == []


@pytest.mark.parametrize("lives", [True, False])
def test_a_task_that_another_runs_is_left_to_it_as_long_as_it_lives(tmp_path, monkeypatch, lives):
    monkeypatch.setattr(run_tasks, "DEAD_S", 1.0)
    monkeypatch.setattr(run_tasks, "BEAT_S", 0.0)
    made = production(tmp_path, (row(5, "science"),))
    made.__dict__["commands"] = Made(tmp_path, made)
    other = AtWork(made.directory, "preproc elsewhere")
    other._said |= {"host": "elsewhere", "pid": 17}
    other.tell([B0], [B0])
    if not lives:
        aged(made.directory, DEAD_S - 0.5)
    runner = Runner(made, made.job("preproc", f"{NIGHT}-00000005"), 2)
    if lives:
        with pytest.raises(JobIncomplete, match=r"process 17 on elsewhere \(preproc elsewhere\) runs 1 task: wait"):
            runner.run()
        assert Records(made.directory).get(B0) is None
    else:
        assert runner.run()[DONE] == 3
