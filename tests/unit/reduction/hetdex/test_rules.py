"""What is said of a configuration before any job: files that are not there, and which files a job depends on."""

import re
import time
from pathlib import Path

import pytest

from skyharvest.config.load import validate
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.plan import BIAS, Unit, write_plan
from skyharvest.reduction.hetdex.rules import Reduction
from skyharvest.reduction.hetdex.steps import MERGED, Chosen


@pytest.fixture
def given(tmp_path):
    """Return settings of which all paths are there."""
    for name in ("raw", "fplane", "ifucen"):
        (tmp_path / name).mkdir()
    (tmp_path / "stars.csv").touch()
    (tmp_path / "ifucen" / "IFUcen_HETDEX.txt").touch()
    paths = {name: str(tmp_path / name) for name in ("raw", "fplane", "ifucen")}
    return {"enabled": True, **paths, "star_catalogue": str(tmp_path / "stars.csv")}


def reduction(given, force=lambda files: None, begun=dict):
    config = validate({"hetdex_reduction": given, "desi": {"enabled": False}})
    return Reduction(config, lambda: None, force, begun)


def test_what_is_there_is_taken(given):
    assert reduction(given).enabled


@pytest.mark.parametrize(
    ("section", "key"), [("throughput", "reference"), ("quality", "limits"), ("bad", "pixels"), (None, "fplane")]
)
def test_a_path_that_is_not_there_is_named_before_anything_is_done(given, section, key):
    own = {key: "/nowhere/file"}
    name = f"hetdex_reduction.{section}.{key}" if section else f"hetdex_reduction.{key}"
    with pytest.raises(InputError, match=re.escape(f"{name}: /nowhere/file is not there")):
        reduction(given | ({section: own} if section else own))


def test_a_directory_without_fibers_is_named_before_anything_is_done(given, tmp_path):
    with pytest.raises(InputError, match=r"ifucen: .*raw has no file IFUcen_HETDEX\.txt"):
        reduction(given | {"ifucen": str(tmp_path / "raw")})


def test_exposures_depend_on_the_files_of_fibers_that_are_there(given, tmp_path):
    directory = tmp_path / "ifucen"
    assert reduction(given).ifucen("317_015_038_0211") == [str(directory / "IFUcen_HETDEX.txt")]
    (directory / "IFUcen_HETDEX_038.txt").touch()
    (directory / "IFUcen_HETDEX_055.txt").touch()
    own = [str(directory / name) for name in ("IFUcen_HETDEX_038.txt", "IFUcen_HETDEX.txt")]
    assert reduction(given).ifucen("317_015_038_0211") == own


def test_what_needs_lines_is_not_made_where_they_are_left_out(given):
    made = reduction(given | {"detections": {"enabled": False}, "release": "mine"})
    assert made.chosen == Chosen(("continuum", "cubes"), "mine")
    assert [step for step in MERGED if made.on(step)] == ["cont", "detect_index", "survey", "fiber_index", "cube_index"]
    assert made.chosen_options == "--switched continuum cubes --release mine"
    assert reduction(given).chosen == Chosen()
    made = reduction(given | {name: {"enabled": False} for name in ("detections", "continuum", "cubes")})
    assert [step for step in MERGED if made.on(step)] == ["survey", "fiber_index"]


def test_stars_depend_on_spectra_that_are_given(given, tmp_path):
    assert reduction(given).given_seds == []
    (tmp_path / "seds").mkdir()
    (tmp_path / "seds" / "1237.txt").touch()
    assert reduction(given | {"seds": str(tmp_path / "seds")}).given_seds == [str(tmp_path / "seds" / "1237.txt")]


def test_a_list_of_frames_that_has_gone_is_named_with_what_makes_it_again(given, tmp_path, monkeypatch):
    """Snakemake knows no rule that makes it, and says no more than that it is missing."""
    monkeypatch.chdir(tmp_path)
    made, ifu = reduction(given), "317_015_038_0211"
    write_plan(made.layout.plan, [Unit(BIAS, 201901, ifu, "", 0, 7, 201901, "digest")])
    with pytest.raises(InputError, match=rf"{ifu}\.csv: it is not there; remove .*plan\.csv, with which it is made"):
        made.frames("201901", ifu)
    path = made.layout.frames(201901, ifu)
    path.parent.mkdir(parents=True)
    path.touch()
    assert made.frames("201901", ifu) == str(path)


def test_what_was_interrupted_is_done_again(given, tmp_path, monkeypatch):
    """Not what another directory's run has begun, nor what this run has."""
    monkeypatch.chdir(tmp_path)
    forced, now = [], time.time()
    ours, other = (f"results/reduction/{name}/science/20190103v017/exp01/317" for name in ("hetdex", "desi"))
    begun = {ours: now - 100, other: now - 100, f"{ours}_of_this_run": now + 100}
    made = reduction(given, forced.extend, lambda: {(tmp_path / name).resolve(): at for name, at in begun.items()})
    write_plan(made.layout.plan, [])
    assert made.plan.units == ()
    assert forced == [ours]


def test_what_had_failed_and_is_removed_is_made_again(given, tmp_path, monkeypatch):
    """Also if a file of its directory alone is: the one that the ledger names."""
    monkeypatch.chdir(tmp_path)
    forced, shot, ifu = [], "20190103v017", "317_015_038_0211"
    made = reduction(given | {"release": "mine"}, forced.extend)
    write_plan(made.layout.plan, [])
    lines = [
        *(f"{step},201901,{shot},,{ifu},failed" for step in ("detections", "cubes")),
        *(
            f"science,201901,{shot},{exposure},{ifu},{state}"
            for exposure, state in (("exp01", "failed"), ("exp02", "done"))
        ),
        f"continuum,201901,{shot},,,failed",
        "survey,,,,,failed",
        "frames,201901,,,,failed",
    ]
    Path(made.path("ledger.csv")).write_text("\n".join(["step,month,shot,exposure,ifu,state", *lines]) + "\n")
    made.layout.cubes(shot).mkdir(parents=True)
    (made.layout.cubes(shot) / "cubes.csv").touch()
    made.layout.detections(shot, ifu).mkdir(parents=True)
    assert made.plan.units == ()
    gone = [made.layout.detections(shot, ifu), made.layout.science(shot, "exp01", ifu)]
    gone += [made.layout.of_shot("continuum", shot), made.layout.survey("mine")]
    assert sorted(forced) == sorted(map(str, gone))


def test_pictures_that_failed_are_made_once_more(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forced = []
    made = reduction(given, forced.extend)
    shots = [f"20190103v01{k}" for k in range(3)]
    monkeypatch.setattr(made, "all_shots", lambda pattern: [pattern.format(shot=shot) for shot in shots])
    pattern = made.path("reports/{shot}.csv")
    for shot, state in zip(shots[:2], ("done", "failed"), strict=True):
        path = made.layout.reports(shot)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"detectid,state,reason\n1,done,\n2,{state},as planted\n")
    assert made.reports(pattern) == [pattern.format(shot=shot) for shot in shots]
    assert forced == [pattern.format(shot=shots[1])]
