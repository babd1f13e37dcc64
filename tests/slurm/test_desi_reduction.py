"""A night of raw data through the SLURM profile, on a real cluster."""

import csv
from collections import Counter

import pytest

from running import finish, start
from simulated_night import write_config
from skyharvest.simulate.desi_night.night import Plan, simulate

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.timeout(3000)]
QUICKLY = ["--jobs", "4", "--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "5"]


def test_a_night_is_reduced_on_the_cluster(tmp_path):
    simulated = tmp_path / "simulated"
    simulate(simulated, Plan(arcs=1, flats=1, science=1, many_cosmics=None, missing=None, truncated=False))
    config = tmp_path / "config.yaml"
    write_config(config, simulated, "night", {"redshift": {"enabled": False}}, cores_per_job=2)
    run = finish(start(tmp_path, *QUICKLY, "--configfile", str(config), profile="slurm"), 2500)
    assert run.status == 0, run.output
    production = tmp_path / "results/reduction/desi/spectro/redux/night"
    assert (production / "complete.json").exists()
    with (production / "ledger.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert Counter(line["STATE"] for line in lines) == {"done": len(lines) - 1, "skipped": 1}
    assert [line["STEP"] for line in lines if line["STATE"] == "skipped"] == ["redshift"]
    assert len(list(production.glob("exposures/*/*/cframe-*.fits.gz"))) == 3
    assert len(list(production.glob("healpix/main/dark/*/*/coadd-*.fits"))) == 1
