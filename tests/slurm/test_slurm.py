"""The SLURM profile on a real cluster: the same outputs, and nothing lost to what happens to jobs there."""

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from range_server import Served, serve
from running import Run, finish, snakemake, start

RESULTS = "results/demo"
PIXEL, PIX16 = 27246, "healpix=1702"
WHOLE = "all"  # the only batch
# What a test of seconds needs otherwise than a run of days: the profile's own values are for that.
QUICKLY = ["--jobs", "4", "--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "5"]
# So that a hanging run ends, however slow the machine: a run of 30 jobs took from 3 to 10 minutes.
TIMEOUT_S = 1500

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.timeout(3000)]


def run(directory: Path, *arguments: str) -> Run:
    return finish(start(directory, *QUICKLY, *arguments, profile="slurm"), TIMEOUT_S)


def contents(path: Path) -> dict[str, object]:
    """Return every dataset of an HDF5 file, and the attributes but for when and where it was made."""
    found: dict[str, object] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.dtype.str, item[()].tolist())

    with h5py.File(path) as file:
        file.visititems(keep)
        found["/"] = {key: value for key, value in file.attrs.items() if key not in ("created", "config_hash")}
    return found


def assert_as_local(directory: Path, local: Path, *surveys: str) -> None:
    """Compare all outputs of two runs."""
    for kind in (
        "targets/rejected.csv",
        *(f"{survey}/{name}.csv" for survey in surveys for name in ("plan", "ledger")),
    ):
        assert (directory / RESULTS / kind).read_text() == (local / RESULTS / kind).read_text()
    kinds = ("/extracted/*/*.hdf5", "_crossmatches/*/*.hdf5")
    for pattern in (f"{survey}{kind}" for survey in surveys for kind in kinds):
        expected = sorted((local / RESULTS).glob(pattern))
        assert [path.relative_to(local) for path in expected] == [
            path.relative_to(directory) for path in sorted((directory / RESULTS).glob(pattern))
        ]
        for path in expected:
            made = directory / path.relative_to(local)
            if "crossmatch" in path.name:
                np.testing.assert_equal(contents(made), contents(path))
            else:
                assert made.read_bytes() == path.read_bytes()


@pytest.fixture
def served(local, tmp_path):
    """The demo's archive over HTTP, so that jobs can be held up and refused; the plan is made."""
    with serve(local / "resources/demo") as server:
        yield server


def over(server: Served) -> list[str]:
    return [
        "--config",
        f"desi={{archive: '{server.url}'}}",
        "hetdex={enabled: false}",
        "legacysurvey={enabled: false}",
        f"results={RESULTS}",
    ]


def prepared(tmp_path: Path, *settings: str) -> Path:
    """Return a directory in which all is made up to the plan, on this machine: the cluster's jobs come right away."""
    directory = tmp_path / "run"
    directory.mkdir()
    done = snakemake(directory, *settings, "--", "plan")
    assert done.status == 0, done.output[-5000:]
    return directory


def jobs(*states: str) -> list[str]:
    """Return the ids of SLURM jobs in some states."""
    command = ["squeue", "--noheader", "--format=%i", f"--states={','.join(states)}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def held_up(server: Served, pixel: int = PIXEL) -> Callable[[], bool]:
    """Let the first request for a pixel's coadd take long; return what tells that it is under way."""
    seen = []

    def slow(handler: object, _number: int) -> bool:
        path = handler.path  # type: ignore[attr-defined]
        if f"/{pixel}/" in path and not seen:
            seen.append(path)
            time.sleep(60)
        return False

    server.misbehave = slow
    return lambda: bool(seen)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, finish(process, 1).output
        if time.monotonic() > end:
            finish(process, 1)  # is interrupted, and says how far it came
        time.sleep(0.2)


def submitted(output: str) -> Sequence[str]:
    return re.findall(r"submitted with SLURM jobid (\d+)", output)


def test_the_outputs_are_those_of_a_local_run(tmp_path, local):
    directory = prepared(tmp_path)
    done = run(directory)
    assert done.status == 0, done.output[-5000:]
    assert_as_local(directory, local, "desi", "hetdex")
    assert len(re.findall(r"^rule harvest_desi:", done.output, re.M)) == 1
    assert not list((directory / "logs/slurm").rglob("*.log"))  # kept where a job failed
    assert (directory / RESULTS / f"logs/harvest_desi/{WHOLE}.log").exists()
    assert "Nothing to be done" in run(directory, "-n").output


def test_the_connections_are_counted_over_the_whole_cluster(tmp_path, local, served):
    settings = [*over(served), "connections=2"]
    directory = prepared(tmp_path, *settings)
    served.most_open = 0
    done = run(directory, *settings)
    assert done.status == 0, done.output[-5000:]
    assert 1 <= served.most_open <= 2
    assert_as_local(directory, local, "desi")


def test_a_job_that_is_killed_for_memory_is_given_more(tmp_path, local, monkeypatch):
    """The job takes 700 MB more than it says: too much for the first attempt, not for the second."""
    directory = prepared(tmp_path)
    (tmp_path / "hog").mkdir()
    hog = "import sys, time\nif sys.argv[0:1] and 'harvest_desi' in ' '.join(sys.orig_argv[1:2]):\n"
    (tmp_path / "hog/sitecustomize.py").write_text(hog + "    held = bytearray(700 << 20)\n    time.sleep(8)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hog"))
    target = f"{RESULTS}/desi/extracted/batches/{WHOLE}.csv"
    done = run(directory, target)
    assert done.status == 0, done.output[-5000:]
    assert "Trying to restart job" in done.output
    assert (directory / target).read_bytes() == (local / target).read_bytes()
    assert list((directory / "logs/slurm").rglob("*.log"))  # of the job that failed


def test_a_job_that_is_cancelled_from_outside_is_started_again(tmp_path, local, served):
    directory = prepared(tmp_path, *over(served))
    under_way = held_up(served)
    target = f"{RESULTS}/desi/extracted/batches/{WHOLE}.csv"
    process = start(directory, *QUICKLY, *over(served), "--", target, profile="slurm")
    wait_for(under_way, process)
    subprocess.run(["scancel", *jobs("RUNNING")], check=True)
    done = finish(process, TIMEOUT_S)
    assert done.status == 0, done.output[-5000:]
    assert len(submitted(done.output)) == 2
    assert (directory / target).exists()
    extracted = f"{RESULTS}/desi/extracted/272/{PIXEL}.hdf5"
    assert (directory / extracted).read_bytes() == (local / extracted).read_bytes()


def test_a_node_that_goes_down_costs_nothing_but_time(tmp_path, local, served):
    directory = prepared(tmp_path, *over(served))
    under_way = held_up(served)
    process = start(directory, *QUICKLY, *over(served), profile="slurm")
    wait_for(under_way, process)
    set_node("state=down", "reason=test")
    try:
        done = finish(process, TIMEOUT_S)
    finally:
        set_node("state=resume")
    assert done.status == 0, done.output[-5000:]
    assert_as_local(directory, local, "desi")


def set_node(*what: str) -> None:
    subprocess.run(["scontrol", "update", "nodename=n1", *what], check=True)


def test_a_failing_pixel_fails_only_its_own_healpix(tmp_path, local, served):
    directory = prepared(tmp_path, *over(served))
    served.misbehave = lambda handler, _: f"/{PIXEL}/" in handler.path and handler.answer(403, b"") is None
    done = run(directory, *over(served), "--retries", "0")
    assert done.status != 0
    assert "HTTP 403" in done.output
    made = {path.name for path in (directory / RESULTS / "desi_crossmatches").iterdir()}
    every = {path.name for path in (local / RESULTS / "desi_crossmatches").iterdir()}
    assert made == every - {PIX16}
    assert not (directory / RESULTS / "desi/ledger.csv").exists()
    served.misbehave = None
    assert run(directory, *over(served)).status == 0
    assert_as_local(directory, local, "desi")
