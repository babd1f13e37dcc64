"""A simulated month of HETDEX's raw frames in which much goes wrong, reduced: against truth, killed and gone on with.

Two nights, three shots, two IFUs, one of which is connected to another spectrograph on the second night.
"""

import csv
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from running import Run, finish, snakemake, start
from skyharvest.reduction.hetdex.layout import AMPS, Layout
from skyharvest.simulate.hetdex_month.compare import check_month
from skyharvest.simulate.hetdex_month.month import simulate
from skyharvest.simulate.hetdex_month.plan import trouble

pytestmark = pytest.mark.timeout(1200)  # on a busy machine; alone two minutes
SHOT, OTHER, EMPTY = "20190103v017", "20190104v012", "20190104v018"


class Month:
    """A reduction of the month, and the directory that it is made in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.simulated = root / "simulated"
        self.layout = Layout(root / "results" / "reduction" / "hetdex")

    def run(self, *options: str, **own: Any) -> Run:
        """Run the workflow, with settings of one's own."""
        return snakemake(self.root, *options, "--configfile", str(self.configure(**own)), timeout=900)

    def configure(self, **own: Any) -> Path:
        """Write the configuration."""
        settings = {key: str(self.simulated / key) for key in ("raw", "fplane", "ifucen")}
        settings["star_catalogue"] = str(self.simulated / "star_catalogue.fits")
        settings["bad"] = {"fibers": str(self.simulated / "bad_fibers.csv")}
        path = self.root / "config.yaml"
        given = {"hetdex_reduction": {"enabled": True} | settings | own, "desi": {"enabled": False}}
        path.write_text(yaml.safe_dump(given))
        return path

    def ledger(self) -> list[dict[str, str]]:
        """Return the lines of the ledger."""
        with (self.layout.directory / "ledger.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    made = Month(tmp_path_factory.mktemp("month"))
    simulate(made.simulated, trouble())
    return made


@pytest.fixture(scope="module")
def killed(month):
    """The first run, all of whose processes are killed while exposures are being extracted."""
    process = start(month.root, "--cores", "2", "reduce_hetdex", "--configfile", str(month.configure()))
    deadline = time.monotonic() + 600
    finished = "science/*/*/[0-9]*/amps.csv"
    while not list(month.layout.directory.glob(finished)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return {path: path.stat().st_mtime_ns for path in month.layout.directory.glob(finished)}


@pytest.fixture(scope="module")
def first(month, killed):
    """The run that goes on, to its end."""
    assert snakemake(month.root, "--unlock", "--configfile", str(month.configure())).status == 0
    return month.run("reduce_hetdex", "reduce_hetdex_report")


def test_what_failed_is_named_and_all_else_is_done(month, first):
    assert first.status != 0
    lines = month.ledger()
    frames = [line for line in lines if line["step"] == "frames"]
    with (month.layout.directory / "plan" / "left_out.csv").open(newline="") as stream:
        left_out = list(csv.DictReader(stream))
    assert len({line["frame"] for line in frames}) == len(frames)
    assert sum(line["state"] != "done" for line in frames) == len(left_out)
    failed = [line for line in lines if line["state"] == "failed"]
    assert all(line["reason"] for line in failed)
    assert all(line["command"] for line in failed if line["step"] != "frames")
    dark = [line for line in failed if (line["ifu"], line["amp"]) == ("020_106_055_0123", "LU")]
    assert {line["step"] for line in dark} == {"trace"}, "what depends on it waits"
    assert {(line["shot"], line["step"]) for line in failed if line["shot"] and not line["amp"]} == {
        (EMPTY, "astrometry")
    }
    assert not (month.layout.directory / "complete.json").exists()


def test_it_agrees_with_the_truth(month, first):
    checks = list(check_month(month.simulated, month.layout.directory))
    assert len(checks) > 12
    assert [f"{check.what}: {check.seen} ({check.goal})" for check in checks if not check.well] == []


def test_what_was_done_before_the_kill_is_not_done_again(month, killed, first):
    assert killed
    again = [path for path, time_ns in killed.items() if path.stat().st_mtime_ns != time_ns]
    assert len(again) <= 2, "at most those of jobs that Snakemake had not seen end"
    left = [path for path in month.layout.directory.rglob("*") if path.name.endswith(".tmp")]
    assert left == []


def test_nothing_is_done_twice(month, first):
    again = month.run("reduce_hetdex_shots", "reduce_hetdex_report")
    assert again.status == 0, again.output
    assert "Nothing to be done" in again.output


def test_another_threshold_makes_what_depends_on_it_anew(month, first):
    dry = month.run("reduce_hetdex_shots", "--dry-run", throughput={"max_rms": 0.03})
    assert jobs_of(dry) == {"hetdex_throughput": 3, "hetdex_shot": 3}
    dry = month.run("reduce_hetdex_shots", "--dry-run", cosmics={"cosmic_sigma": 7.0})
    assert jobs_of(dry)["hetdex_science"] == 18
    assert "hetdex_trace" not in jobs_of(dry)


def jobs_of(run: Run) -> dict[str, int]:
    """Return how many jobs of each rule a dry run shows."""
    found = re.findall(r"^(?:local)?(?:rule|checkpoint) (hetdex_\w+):", run.output, re.MULTILINE)
    return {name: found.count(name) for name in found}


def test_the_files_of_shots_hold_every_fiber_once(month, first):
    for shot, n_exposures in ((SHOT, 3), (OTHER, 3)):
        with h5py.File(month.layout.of_shot("shots", shot)) as file:
            fibers = file["Data/Fibers"]
            ids = fibers["fiber_id"]
            assert len(set(ids)) == len(ids)
            science = [line for line in month.ledger() if line["step"] == "science" and line["shot"] == shot]
            done = [line for line in science if line["state"] == "done"]
            assert len(science) == n_exposures * 2 * len(AMPS)
            assert len(ids) == 112 * len(done)
            calibrated = fibers["calfib"]
            assert np.isfinite(calibrated).mean() > 0.9
            assert not np.any(calibrated[fibers["calfibe"] == 0] == 0), "zero is a value"


def test_a_cluster_gets_the_same_jobs(month, first):
    options = ("--dry-run", "--forcerun", "hetdex_science", "--configfile", str(month.configure()))
    dry = finish(start(month.root, "reduce_hetdex_shots", *options, profile="slurm"), 300)
    assert dry.status == 0, dry.output
    assert jobs_of(dry)["hetdex_science"] == 18
    assert re.search(r"resources: .*mem_mb=1500.*runtime=20", dry.output)
