"""The ledger: every exposure × camera × step, and every pixel × step, exactly once."""

import csv
import json
from dataclasses import astuple

import pytest

from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.ledger import Incomplete, check_complete, lines_of, write_ledger
from skyharvest.reduction.desi.records import FAILED, Record, Records, judge_all
from skyharvest.reduction.desi.steps import STEPS
from small_production import NIGHT, ROWS, done, production, row

EDITS = {
    2: {"EXPFLAG": "bad"},
    4: {"BADCAMWORD": "r0"},
    5: {"CAMWORD": "b0r0"},
    6: {"LASTSTEP": "skysub"},
}


@pytest.fixture
def made(tmp_path):
    rows = tuple(one | EDITS.get(one["EXPID"], {}) for one in ROWS)
    return production(tmp_path, rows)


def test_each_line_is_there_once(made):
    lines = list(lines_of(made))
    keys = [(one.night, one.expid, one.camera, one.healpix, one.step) for one in lines]
    assert len(set(keys)) == len(keys)
    of_type = {"arc": 3, "flat": 5, "science": 8}  # steps by exposure
    by_exposure = {1: "arc", 2: "arc", 3: "flat", 4: "flat", 5: "science", 6: "science"}
    expected = sum(3 * of_type[kind] for kind in by_exposure.values()) + 2 * 3 + 2 * 2
    assert len(lines) == expected
    assert {one.step for one in lines} == set(STEPS)


def test_what_the_table_leaves_out_has_its_reason(made):
    why = {(one.expid, one.camera, one.step): (one.state, one.reason) for one in lines_of(made)}
    assert why["2", "b0", "psf"] == ("skipped", "bad")
    assert why["4", "r0", "fiberflat"] == ("skipped", "BADCAMWORD")
    assert why["5", "z0", "sky"] == ("skipped", "CAMWORD has no z0")
    assert why["6", "b0", "starfit"] == ("skipped", "LASTSTEP skysub")
    assert why["6", "b0", "sky"][0] == "waiting"
    assert why["6", "b0", "qa"][0] == "waiting", "it follows each step, whatever is the last"


def test_a_production_of_which_something_failed_is_not_complete(made, tmp_path):
    done(made)
    ledger, summary = tmp_path / "ledger.csv", tmp_path / "summary.json"

    def check():
        write_ledger(made, ledger, summary)
        with ledger.open(newline="") as stream:
            check_complete(ledger, csv.DictReader(stream))

    check()
    steps = json.loads(summary.read_text())["steps"]
    assert steps["cframe"] == {"done": 2, "failed": 0, "waiting": 0, "skipped": 4}
    records, torn = Records(made.directory), Key("preproc", f"{NIGHT}/00000005", "b0")
    digest = judge_all(made.tasks(), records, made.commands.is_there, again=False)[torn].made
    records.put(torn, Record("b0", FAILED, digest, reason="OSError: the file is cut short"))
    with pytest.raises(Incomplete) as raised:
        check()
    said = str(raised.value)
    assert "preproc b0 20250115 00000005: OSError: the file is cut short" in said
    assert "1 steps of cameras or pixels failed" in said
    assert "EXPFLAG" in said


def test_where_nothing_failed_what_is_not_there_is_named(tmp_path):
    without_arcs = [one for one in ROWS if one["OBSTYPE"] != "arc"]
    unread = row(
        8, "unknown", EXPFLAG="corrupted", HEADERERR="FILE:desi-00000008.fits.fz is missing->EXPFLAG corrupted"
    )
    made = production(tmp_path, (*without_arcs, unread))
    done(made)
    lines = [dict(zip(map(str.upper, one.__dataclass_fields__), astuple(one), strict=True)) for one in lines_of(made)]
    assert [line["REASON"] for line in lines if line["EXPID"] == "8"] == ["corrupted, desi-00000008.fits.fz is missing"]
    with pytest.raises(Incomplete) as raised:
        check_complete(tmp_path / "ledger.csv", lines)
    said = str(raised.value)
    assert "psfnight b0 20250115: the night has no exposure for it" in said
    assert "Add the exposures that are lacking" in said
