"""What cannot be measured is said, and stops nothing; a command names what there is, and what there is not."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from skyharvest.reduction.desi.exposure_table import read_table
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.ledger import check_complete, write_ledger
from skyharvest.reduction.desi.qa.limits import read_limits
from skyharvest.reduction.desi.qa.measure import Exposed, measure
from skyharvest.reduction.desi.qa.measured import path_of, read_frame
from skyharvest.reduction.desi.records import FAILED, Records
from skyharvest.reduction.limits import BAD
from small_production import NIGHT, done, production


@pytest.fixture
def made(tmp_path):
    return production(tmp_path)


def task_of(made, expid, camera="b0"):
    key = Key("qa", f"{NIGHT}/{expid:08d}", camera)
    return next(task for task in made.tasks() if task.key == key)


def options_of(made, task, used):
    (words,) = made.commands.words(task, made.commands.outputs(task.key), used)
    return words


def test_the_command_names_what_there_is_and_what_there_is_not(made):
    task = task_of(made, 5)
    words = options_of(made, task, task.some_of)
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert Path(given["--psfnight"]).name == "psfnight-b0-20250115.fits"
    assert Path(given["--fiberflatnight"]).name == "fiberflatnight-b0-20250115.fits"
    assert Path(given["--stdstars"]).name == "stdstars-0-00000005.fits.gz"
    assert Path(given["--out"]) == path_of(made.directory, NIGHT, 5, "b0")
    assert set(given) == {
        *("--table", "--expid", "--camera", "--preproc", "--psf", "--psfnight", "--frame", "--sky", "--skycorr"),
        *("--fiberflatnight", "--stdstars", "--fluxcalib", "--cframe", "--out"),
    }
    words = options_of(made, task, [key for key in task.some_of if key.kind in ("preproc", "traceshift")])
    missing = words[words.index("--missing") + 1 : words.index("--out")]
    assert missing == ["extract", "sky", "starfit", "fluxcalib", "cframe"]
    assert "--fiberflatnight" not in words
    arc = options_of(made, task_of(made, 1), task_of(made, 1).some_of)
    assert "--fit-psf" in arc
    assert "--psf" not in arc


def test_what_is_not_there_or_cannot_be_read_is_bad_and_says_why(made, tmp_path):
    exposure = next(one for one in read_table(made.tables[NIGHT]) if one.expid == 5)
    torn = tmp_path / "frame-b0-00000005.fits.gz"
    torn.write_bytes(b"torn")
    files = {"preproc": tmp_path / "preproc-b0-00000005.fits.gz", "frame": torn, "sky": tmp_path / "sky.fits"}
    frame = measure(Exposed(exposure, "b0", files, missing=("cframe", "starfit")), read_limits())
    assert frame.state == BAD
    assert {name: metric.value for name, metric in frame.metrics.items()} == {
        "PREPROC-MISSING": None,
        "EXTRACT-MISSING": None,
        "SKYSUB-MISSING": None,
        "FLUXCALIB-MISSING": None,
        "S2N-MISSING": None,
    }
    at = {name: metric.at for name, metric in frame.metrics.items()}
    assert "preproc-b0-00000005.fits.gz" in at["PREPROC-MISSING"]
    assert "frame-b0-00000005" in at["EXTRACT-MISSING"]
    assert "there is no fiberflatnight" in at["SKYSUB-MISSING"]
    assert at["FLUXCALIB-MISSING"] == "starfit has not been done"
    assert at["S2N-MISSING"] == "cframe has not been done"
    # Of an exposure whose last step is another, nothing more is expected.
    alone = measure(Exposed(replace(exposure, laststep="skysub"), "b0", {"preproc": torn}), read_limits())
    assert list(alone.metrics) == ["PREPROC-MISSING"]


def test_the_program_ends_well_with_nothing_to_measure(made, tmp_path):
    task = task_of(made, 1)
    words = options_of(made, task, task.some_of)
    run = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    frame = read_frame(path_of(made.directory, NIGHT, 1, "b0"))
    assert list(frame.metrics) == ["PREPROC-MISSING", "PSF-MISSING"]
    assert (frame.obstype, frame.expid, frame.camera) == ("arc", 1, "b0")


def test_a_production_is_complete_though_it_could_not_be_measured(made, tmp_path):
    done(made)
    records, key = Records(made.directory), Key("qa", f"{NIGHT}/00000005", "b0")
    records.put(key, records.get(key)._replace(state=FAILED, reason="a bug"))
    ledger = tmp_path / "ledger.csv"
    write_ledger(made, ledger, tmp_path / "summary.json")
    with ledger.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    check_complete(ledger, lines)
    assert [(line["STEP"], line["REASON"]) for line in lines if line["STATE"] == FAILED] == [("qa", "a bug")]
