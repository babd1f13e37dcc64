"""A month of HETDEX's raw frames in which much goes wrong, reduced: against truth, killed and gone on with."""

import csv
import re

import h5py
import numpy as np
import pytest

from hetdex_trouble_month import EMPTY, OTHER, SHOT, jobs_of
from running import finish, start
from skyharvest.reduction.hetdex.layout import AMPS
from skyharvest.simulate.hetdex_month.compare import check_month

pytestmark = pytest.mark.timeout(1800)  # on a busy machine; alone three minutes


def test_what_failed_is_named_and_all_else_is_done(trouble_month, reduced_month):
    assert reduced_month.status != 0
    lines = trouble_month.ledger()
    frames = [line for line in lines if line["step"] == "frames"]
    with (trouble_month.layout.directory / "plan" / "left_out.csv").open(newline="") as stream:
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
    assert not (trouble_month.layout.directory / "complete.json").exists()


def test_it_agrees_with_the_truth(trouble_month, reduced_month):
    checks = list(check_month(trouble_month.simulated, trouble_month.layout.directory))
    assert len(checks) > 12
    assert [f"{check.what}: {check.seen} ({check.goal})" for check in checks if not check.well] == []


def test_what_was_done_before_the_kill_is_not_done_again(trouble_month, killed_exposures, reduced_month):
    assert killed_exposures
    again = [path for path, time_ns in killed_exposures.items() if path.stat().st_mtime_ns != time_ns]
    assert len(again) <= 2, "at most those of jobs that Snakemake had not seen end"
    left = [path for path in trouble_month.layout.directory.rglob("*") if path.name.endswith(".tmp")]
    assert left == []


def test_nothing_is_done_twice(trouble_month, reduced_month):
    again = trouble_month.run("reduce_hetdex_shots", "reduce_hetdex_report")
    assert again.status == 0, again.output
    assert "Nothing to be done" in again.output


def test_another_threshold_makes_what_depends_on_it_anew(trouble_month, reduced_month):
    dry = trouble_month.run("reduce_hetdex_shots", "--dry-run", throughput={"max_rms": 0.03})
    assert jobs_of(dry) == {"hetdex_throughput": 3, "hetdex_shot": 3}
    dry = trouble_month.run("reduce_hetdex_shots", "--dry-run", cosmics={"cosmic_sigma": 7.0})
    assert jobs_of(dry)["hetdex_science"] == 18
    assert "hetdex_trace" not in jobs_of(dry)


def test_the_files_of_shots_hold_every_fiber_once(trouble_month, reduced_month):
    for shot, n_exposures in ((SHOT, 3), (OTHER, 3)):
        with h5py.File(trouble_month.layout.of_shot("shots", shot)) as file:
            fibers = file["Data/Fibers"]
            ids = fibers["fiber_id"]
            assert len(set(ids)) == len(ids)
            science = [line for line in trouble_month.ledger() if line["step"] == "science" and line["shot"] == shot]
            done = [line for line in science if line["state"] == "done"]
            assert len(science) == n_exposures * 2 * len(AMPS)
            assert len(ids) == 112 * len(done)
            calibrated = fibers["calfib"]
            assert np.isfinite(calibrated).mean() > 0.9
            assert not np.any(calibrated[fibers["calfibe"] == 0] == 0), "zero is a value"


def test_a_cluster_gets_the_same_jobs(trouble_month, reduced_month):
    options = ("--dry-run", "--forcerun", "hetdex_science", "--configfile", str(trouble_month.configure()))
    dry = finish(start(trouble_month.root, "reduce_hetdex_shots", *options, profile="slurm"), 300)
    assert dry.status == 0, dry.output
    assert jobs_of(dry)["hetdex_science"] == 18
    assert re.search(r"resources: .*mem_mb=1500.*runtime=20", dry.output)
