"""`make status` and the progress line, with real runs: under way, killed, failed, finished."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from range_server import serve

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
ARCHIVE = "resources/demo"
ALONE = ["hetdex={enabled: false}", "legacysurvey={enabled: false}"]
HELD = "27258"  # the pixel that the server keeps to itself until it is told to; the one after it is read ahead
STATES = ["waiting", "ready", "running", "done", "failed", "absent", "interrupted"]


def status(directory: Path, results: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/status.py"), "--results", results],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def jobs(text: str) -> dict[str, dict[str, int]]:
    """Return rule → number of jobs by state, of a printed status."""
    header, *lines = text.split("\n\n")[1].splitlines()
    assert header.split() == ["rule", "of", *STATES]
    cells = [line.replace(",", "").split() for line in lines]
    return {
        rule: {state: int(n) for state, n in zip(STATES, counts, strict=True) if n not in "0?"}
        for rule, _, _, *counts in cells
    }


def targets(text: str) -> dict[str, int]:
    block = next(block for block in text.split("\n\n") if block.startswith("targets"))
    return {name: int(n) for name, n in re.findall(r"^(.+?) +(\d+) +[\d.]+%$", block, re.M)}


@contextmanager
def started(directory: Path, *arguments: str):
    """Start the workflow in a process group of its own, with its screen in two files; killed at the end if need be."""
    command = [*SNAKEMAKE, "--workflow-profile", str(ROOT / "profiles/default"), "--cores", "2", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}
    with (directory / "stdout.txt").open("w") as out, (directory / "stderr.txt").open("w") as err:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=out, stderr=err, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition, what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture
def held(demo):
    """A server that keeps back the coadds of one pixel, and an event that lets them go."""
    go = threading.Event()
    with serve(demo / ARCHIVE) as server:
        server.misbehave = lambda handler, _: f"{HELD}.fits" in handler.path and not go.wait(240)
        yield server, go
        go.set()


def test_a_run_under_way_killed_resumed_and_finished(demo, run, held):
    server, go = held
    results = "results/watched"
    settings = ["--config", f"desi={{archive: '{server.url}'}}", *ALONE, f"results={results}"]
    others = {path.stem for path in (demo / "results/demo/desi/extracted").glob("*/*.hdf5")} - {HELD}
    folder = demo / results / "desi/extracted"

    def made() -> dict[str, int]:
        return {path.stem: path.stat().st_mtime_ns for path in folder.glob("*/*.hdf5")}

    with started(demo, *settings) as process:
        wait_for(lambda: set(made()) == others, "the other pixels")
        wait_for(lambda: any(HELD in path for path, _ in server.requests), "the one that is held")
        text = status(demo, results)
        assert "running for" in text and f"process {process.pid} on" in text
        assert jobs(text)["harvest_desi"] == {"running": 2, "done": 19, "absent": 3}
        assert jobs(text)["desi_crossmatches"] == {"waiting": 2, "running": 1, "done": 5}
        assert jobs(text)["account_desi"] == {"waiting": 1}
        assert jobs(text)["plan_desi"] == {"done": 1}
        assert targets(text)["not searched"] > 0
        assert sum(targets(text).values()) == 116
        assert re.search(r"^reading +about \d+ ", text, re.M)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = made()

    text = status(demo, results)
    assert re.search(rf"^run +interrupted: process {process.pid} on .* is gone without a word", text, re.M)
    assert "--unlock" in text
    assert jobs(text)["harvest_desi"] == {"interrupted": 2, "done": 19, "absent": 3}
    assert all("running" not in counts for counts in jobs(text).values())

    assert run(demo, *settings, "--unlock").status == 0
    with started(demo, *settings) as process:
        asked = len(server.requests)
        wait_for(lambda: any(HELD in path for path, _ in server.requests[asked:]), "it again")
        assert jobs(status(demo, results))["harvest_desi"]["running"] == 2
        record = demo / results / "logs/run.json"
        os.utime(record, (time.time() - 31,) * 2)  # as if the run had begun half a minute ago
        go.set()
        assert process.wait(120) == 0
    assert made().items() >= before.items()  # what was there was kept
    assert {path.split("/")[-2] for path, _ in server.requests[asked:] if "coadd-" in path} == {HELD}
    said = [line for line in (demo / "stdout.txt").read_text().splitlines() if "pixels," in line]
    assert len(said) == 1
    assert re.search(r"\] 14 of 14 pixels, 100 spectra, [\d.]+ MB moved, 0 errors, about \d+ s left$", said[0])
    assert (demo / results / "logs/progress_desi.txt").read_text() == f"{said[0]}\n"
    assert "pixels," not in (demo / "stderr.txt").read_text()

    text = status(demo, results)
    assert re.search(r"^run +finished: began", text, re.M)
    assert all(set(counts) <= {"done", "absent"} for counts in jobs(text).values())
    summary = json.loads((demo / results / "desi/summary.json").read_text())
    assert targets(text) == {**summary["status"], "not searched": 0}
    assert re.search(r"^errors +none$", text, re.M)
    (demo / results / "desi/summary.json").unlink()
    assert targets(status(demo, results)) == targets(text)  # counted from the journal


def test_the_command_of_a_failed_job_repeats_it(demo, run):
    results = "results/denied"
    with serve(demo / ARCHIVE) as server:
        server.misbehave = lambda handler, _: "27246" in handler.path and handler.answer(403, b"") is None
        assert run(demo, "--config", f"desi={{archive: '{server.url}'}}", *ALONE, f"results={results}").status != 0
        text = status(demo, results)
        assert "ended before all was done" in text
        assert jobs(text)["harvest_desi"] == {"done": 20, "failed": 2, "absent": 2}
        assert jobs(text)["desi_crossmatches"] == {"waiting": 1, "done": 7}
        (error,) = re.findall(r"^  \S+ \S+  (harvest_desi all\n.*?)\Z", text, re.M | re.S)
        assert "HTTP 403" in error
        (log,) = re.findall(r"^    log +(.*)$", error, re.M)
        assert "HTTP 403" in (demo / log).read_text()
        (command,) = re.findall(r"^    repeat +(.*)$", error, re.M)
        server.misbehave = None
        assert subprocess.run(command, cwd=demo, shell=True, check=False).returncode == 0
        assert jobs(status(demo, results))["harvest_desi"] == {"done": 21, "absent": 3}


def test_the_run_of_the_demo_is_shown_without_being_asked_for(demo):
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/status.py")], cwd=demo, capture_output=True, text=True, check=True
    )
    assert re.search(r"^results +results/demo\nrun +finished: ", done.stdout)
    made = (demo / "results/demo/logs/extract_desi.csv").read_text().splitlines()
    assert len({tuple(line.split(",")[1:4]) for line in made[1:]}) == 24  # a coadd that is read again has two


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [([], "scripts/status.py"), (["CONFIG=my.yaml"], "scripts/status.py --configfile my.yaml")],
)
def test_make_status_shows_the_run_that_is_asked_for(arguments, shown):
    recipe = subprocess.run(
        ["make", "--no-print-directory", "-n", "status", "ARGS=", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert recipe.rstrip().endswith(f"python {shown}")
