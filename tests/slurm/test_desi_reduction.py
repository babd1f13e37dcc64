"""A night of raw data through the SLURM profile, on a real cluster."""

import csv
from collections import Counter

import pytest
import yaml

from running import finish, start
from skyharvest.simulate.desi_night.night import Plan, simulate

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.timeout(3000)]
QUICKLY = ["--jobs", "4", "--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "5"]


def test_a_night_is_reduced_on_the_cluster(tmp_path):
    simulated = tmp_path / "simulated"
    simulate(simulated, Plan(arcs=1, flats=1, science=1, many_cosmics=None, missing=None, truncated=False))
    reduction = {
        "enabled": True,
        "raw": str(simulated / "data"),
        "calibration": str(simulated / "calibration"),
        "desimodel": str(simulated / "desimodel"),
        "star_templates": str(simulated / "templates/standard_stars.fits"),
        "specprod": "night",
        "cores_per_job": 2,
        "options": {
            "redshift": {"enabled": False},
            "starfit": {"delta_color": 0.3},
            "fluxcalib": {"delta_color_cut": 0.3},
        },
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"desi_reduction": reduction, "desi": {"enabled": False}}))
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
