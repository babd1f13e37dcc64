"""How the jobs of HETDEX's reduction stand, from its files alone."""

import pytest

from skyharvest.harvest.run_record import Run
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import COLUMNS
from skyharvest.reduction.hetdex.steps import MERGED, SWITCHED, Chosen
from skyharvest.run.hetdex_jobs import count_hetdex_jobs
from skyharvest.run.jobs import Jobs
from skyharvest.run.status import gather
from skyharvest.run.status_table import show
from skyharvest.surveys import SURVEYS

IFU, OTHER, SHOT = "317_015_038_0211", "020_106_055_0123", "20190103v017"
FAILED_LOG = "2026-01-02 03:04:05,678 INFO command: python make_bias.py --out x\nerror: no frames\n"


@pytest.fixture
def results(tmp_path):
    """Return the results of a month of two pairings, with a bias done and one that failed."""
    rows = [f"{kind},201901,{ifu},,0,5,201901,00,ready," for kind in ("bias", "twilight") for ifu in (IFU, OTHER)]
    rows += [f"science,201901,{IFU},{SHOT},{n},4,201901,00,ready," for n in (1, 2)]
    layout = Layout(tmp_path / "reduction" / "hetdex")
    layout.plan.parent.mkdir(parents=True)
    layout.plan.write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    done = layout.calibration("bias", 201901, IFU)
    done.parent.mkdir(parents=True)
    done.touch()
    log = tmp_path / "logs" / "hetdex_bias" / "201901" / f"{OTHER}.log"
    log.parent.mkdir(parents=True)
    log.write_text(FAILED_LOG)
    return tmp_path


def test_jobs_are_counted_by_rule_and_state(results):
    tracked = Jobs(results, alive=False, since=0)
    counts = count_hetdex_jobs(results, tracked, Chosen())
    assert {rule: jobs.total() for rule, (_, jobs) in counts.items()} == {
        "hetdex_bias": 2,
        "hetdex_trace": 2,
        "hetdex_flat": 2,
        "hetdex_twilight": 2,
        "hetdex_amp_to_amp": 1,
        "hetdex_science": 2,
        "hetdex_full_sky": 2,
        **{
            f"hetdex_{step}": 1
            for step in (
                "astrometry",
                "stars",
                "seds",
                "throughput",
                "shot",
                "residuals",
                "shot_fibers",
                *SWITCHED,
                *MERGED,
            )
        },
        "finish_hetdex_reduction": 1,
    }
    assert dict(counts["hetdex_bias"][1]) == {"done": 1, "failed": 1}
    assert dict(counts["hetdex_trace"][1]) == {"waiting": 2}
    assert [(error.job, error.message) for error in tracked.errors] == [(f"hetdex_bias 201901 {OTHER}", "no frames")]


def test_a_run_of_a_reduction_alone_tells_of_no_harvest(results):
    asked = Run({}, simulated=False, copied=False)
    status = gather(results, results, asked, None, SURVEYS["desi"])
    said = show([status], now=0, n_errors=5)
    assert "hetdex_bias" in said
    assert "prepare_targets" not in said
    assert "spectra" not in said


def test_without_a_plan_there_is_nothing_to_count(tmp_path):
    assert count_hetdex_jobs(tmp_path, Jobs(tmp_path, alive=False, since=0), Chosen()) == {}


def test_jobs_that_are_not_asked_for_are_not_counted(results):
    counts = count_hetdex_jobs(results, Jobs(results, alive=False, since=0), Chosen(("continuum",), "mine"))
    asked = {f"hetdex_{step}" for step in ("continuum", "cont", "detect_index", "survey", "fiber_index")}
    assert asked == {f"hetdex_{step}" for step in (*SWITCHED, *MERGED)} & set(counts)
