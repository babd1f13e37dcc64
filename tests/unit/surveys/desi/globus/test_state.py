"""Transfers that are interrupted, and files that are looked for on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import globus_transfer
from skyharvest.core import cli
from small_transfer import (
    DEST,
    EVERYTHING,
    FILES,
    MISSING,
    SCRIPTS,
    arguments,
    arrived,
    files_of,
    record,
    run,
    state,
)

# --- interrupted


def test_after_a_timeout_the_next_run_waits_for_the_same_tasks(service, tmp_path, capsys):
    service.polls = 1000
    assert run("--timeout", "0.1", "--batch-size", "4") == 75
    assert "4 tasks are still under way after 0.1 s" in capsys.readouterr().err
    assert not Path("record.csv").exists()
    service.polls = 0
    for task_id in service.tasks:
        service.left[task_id] = 3
    assert run("--batch-size", "4") == 0
    assert len(service.submitted) == 4
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


def test_killed_and_started_again_it_goes_on(service, tmp_path):
    """kill -9 when one of four tasks is accounted for and three are under way."""
    service.polls = 10**9
    command = [sys.executable, SCRIPTS / "globus_transfer.py", *arguments("--batch-size", "4")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(service.tasks) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    service.left[next(iter(service.tasks))] = 0
    while len(state()["done"]) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert set(state()["done"]) == set(FILES[:4])
    assert len(state()["tasks"]) == 3
    for task_id in service.tasks:
        service.left[task_id] = 0
    assert run() == 0
    assert len(service.submitted) == 4
    assert arrived(tmp_path) == sorted(FILES)
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


def test_killed_before_it_hears_of_its_tasks_id_it_does_not_submit_it_twice(service, tmp_path):
    def kill(handler, number):
        if handler.path == "/v0.10/transfer":
            service.submit(json.loads(handler.body))
            os.kill(process.pid, signal.SIGKILL)
            handler.drop()
            return True
        return False

    service.misbehave = kill
    process = subprocess.Popen([sys.executable, SCRIPTS / "globus_transfer.py", *arguments()])
    assert process.wait(60) == -signal.SIGKILL
    service.misbehave = None
    assert run() == 0
    assert len(service.submitted) == 1
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


def test_a_damaged_state_file_says_what_to_do(service, capsys):
    Path("record.csv.state.json").write_text('{"source": ')
    assert run() == 1
    assert "record.csv.state.json is damaged" in capsys.readouterr().err


def test_the_state_of_another_transfer_is_not_taken_for_this_one(service, tmp_path, caplog):
    service.polls = 1000
    assert run("--timeout", "0") == 75
    service.polls = 0
    assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [DEST, "/other", *arguments()[2:]]) == 0
    assert "is about another transfer, which is left to itself: " + next(iter(service.tasks)) in caplog.text
    assert (tmp_path / "here/other" / FILES[0]).is_file()


# --- as seen from this machine


def test_files_that_cannot_be_seen_where_they_should_be_are_an_error(service, tmp_path, capsys):
    """Else every coadd would be recorded as absent by the jobs that read them there."""
    assert run("--local", str(tmp_path / "here/mirror")) == 2
    assert f"12 transferred files are not in {tmp_path}/here/mirror, such as {FILES[0]}" in capsys.readouterr().err
    assert not Path("record.csv").exists()
    assert run("--local", str(tmp_path / "here/data/mirror")) == 0


def test_a_later_run_transfers_only_what_is_new_or_gone(service, tmp_path):
    local = ["--local", str(tmp_path / "here/data/mirror")]
    lines = Path("plan.csv").read_text().splitlines()
    Path("plan.csv").write_text("\n".join(lines[:4]) + "\n")
    assert run(*local) == 0
    assert run(*local) == 0
    assert [len(document["DATA"]) for document in service.submitted] == [9]
    Path("plan.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "here/data/mirror" / FILES[1]).unlink()
    assert run(*local) == 0
    asked = [item["source_path"].removeprefix("/public/") for item in service.submitted[-1]["DATA"]]
    assert asked == [FILES[1], *FILES[9:], *files_of(MISSING)]
    assert run(*local) == 0  # what was absent may have come
    assert [item["source_path"][8:] for item in service.submitted[-1]["DATA"]] == files_of(MISSING)
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING
