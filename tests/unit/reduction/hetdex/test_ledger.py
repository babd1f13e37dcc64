"""The account of a reduction: what failed, what waits for it, what is left out; every frame once."""

import csv
import dataclasses
import json
from collections import Counter

import account_hetdex
import finish_hetdex
import fitsio
import h5py
import numpy as np

from skyharvest.core import cli
from skyharvest.reduction.hetdex.amp_file import AmpResult, write_amps
from skyharvest.reduction.hetdex.frames.fplane import Slot
from skyharvest.reduction.hetdex.frames.known import Known
from skyharvest.reduction.hetdex.frames.planning import make_plan, write_all
from skyharvest.reduction.hetdex.frames.tar_index import BAD, Row, write_list
from skyharvest.reduction.hetdex.layout import AMPS, Layout
from skyharvest.reduction.hetdex.places import Place
from skyharvest.reduction.hetdex.plan import Choice
from skyharvest.reduction.hetdex.steps import BY_IFU, INDEXED, MERGED, SWITCHED

ONE, TWO = "008_093_054_0123", "013_103_019_0456"
SHOT = "20190103v012"
PLANE = {slot: Slot(slot, 0.0, 0.0, *names, 0.0, 1.0) for slot, names in (("093", "abc"), ("103", "def"))}


def rows_of(expnums=(1, 2)):
    rows = [Row(20190103, 12, tar="12.tar", member="notes", size=3, state=BAD, reason="no frame by its name")]
    for kind, obs, numbers in (("zro", 1, (1, 2)), ("twi", 2, (1,)), ("sci", 12, expnums)):
        for expnum in numbers:
            for ifu in (ONE, TWO):
                for amp in AMPS:
                    specid, ifuslot, ifuid, contid = ifu.split("_")
                    name = f"T{obs}{expnum}_{ifuslot}{amp}_{kind}.fits"
                    where = {"tar": f"{obs}.tar", "member": name, "offset": 512, "size": 9, "digest": name}
                    rows.append(Row(20190103, obs, expnum, kind, ifuslot, amp, specid, ifuid, contid, **where))
    return rows


def write_products(layout, failed=()):
    """Write what jobs would: ``failed`` names (product, amplifier)."""
    said = {(name, amp): AmpResult(failed=f"{name}: too bad") for name, amp in failed}
    for ifu in (ONE, TWO):
        for step in ("bias", "trace", "wavelength", "flat"):
            path = layout.flat(201901, ifu) / "flat.fits" if step == "flat" else layout.calibration(step, 201901, ifu)
            write_amps(path, {}, {amp: said.get((f"{step} {ifu}", amp), AmpResult()) for amp in AMPS})
    for ifu in (ONE, TWO):
        layout.residuals(201901, ifu).mkdir(parents=True)
        lines = "\n".join(f"{amp},done," for amp in AMPS)
        (layout.residuals(201901, ifu) / "amps.csv").write_text(f"amp,state,reason\n{lines}\n")
    pairs = [(ifu, amp) for ifu in (ONE, TWO) for amp in AMPS]
    columns = [[ifu for ifu, _ in pairs], [amp for _, amp in pairs], ["done"] * 8, [""] * 8]
    layout.amp_to_amp(201901).parent.mkdir()
    names = ["ifu", "amp", "state", "reason"]
    fitsio.write(str(layout.amp_to_amp(201901)), [np.array(one, "S20") for one in columns], names=names, extname="AMPS")
    for exposure in ("exp01", "exp02"):
        for ifu in (ONE, TWO):
            directory = layout.science(SHOT, exposure, ifu)
            directory.mkdir(parents=True)
            states = [(amp, said.get((f"{exposure} {ifu}", amp), AmpResult()).failed) for amp in AMPS]
            lines = [f"{amp},{'failed' if why else 'done'},{why}" for amp, why in states]
            (directory / "amps.csv").write_text("\n".join(["amp,state,reason", *lines]) + "\n")
        layout.full_sky(SHOT, exposure).mkdir(parents=True)
        sky = layout.full_sky(SHOT, exposure) / "full_sky.fits"
        why = {"FAILED": "no sky at all"} if (f"full_sky {exposure}", "") in said else {}
        fitsio.write(str(sky), [np.zeros(2)], names=["counts"], extname="SKY", header=why)
    for step in ("astrometry", "stars", "seds", "throughput", "shots"):
        path = layout.of_shot(step, SHOT)
        path.parent.mkdir()
        with h5py.File(path, "w") as file:
            file.attrs["failed"] = f"{step}: too few stars" if (step, "") in said else ""
    write_sources(layout, said)


def write_sources(layout, said):
    """Write what jobs that need the shot's file would, and what their products are merged into."""
    one = layout.detections(SHOT, ONE) / "detections.h5"
    for ifu in (ONE, TWO):
        layout.detections(SHOT, ifu).mkdir(parents=True)
    for step, path in (
        ("detections", one),
        ("", layout.detections(SHOT, TWO) / "detections.h5"),
        ("continuum", layout.of_shot("continuum", SHOT)),
        ("cutouts", layout.cutouts(SHOT)),
        (INDEXED, layout.of_shot("fiber_index", SHOT)),
    ):
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            file.attrs["failed"] = f"{step}: too bad" if (step, "") in said else ""
    layout.cubes(SHOT).mkdir(parents=True)
    states = ["failed,cubes: too bad" if ("cubes", "") in said else "done,", "done,"]
    (layout.cubes(SHOT) / "cubes.csv").write_text(f"ifu,state,reason\n{ONE},{states[0]}\n{TWO},{states[1]}\n")
    layout.reports(SHOT).parent.mkdir()
    state = "failed,no picture" if ("reports", "") in said else "done,"
    layout.reports(SHOT).write_text(f"detectid,state,reason\n7,{state}\n8,done,\n")
    for step in MERGED:
        place = Place("201901" if step == "detections_of_month" else "")
        product = place.product(step, layout, "mine")
        product.parent.mkdir(parents=True, exist_ok=True)
        product.touch()


def account(tmp_path, rows, known=None, failed=(), without=(), also=(), options=("--release", "mine")):
    layout = Layout(tmp_path / "results/reduction/hetdex")
    write_list(layout.night_list(20190103), rows)
    planned = make_plan([rows], Choice(), known or Known(), lambda _night: PLANE)
    write_all(planned, layout, layout.plan, layout.left_out)
    write_products(layout, failed)
    for path in without:
        (layout.directory / path).unlink()
    ledger, summary = layout.directory / "ledger.csv", layout.directory / "summary.json"
    options = [*options, "--reduction", str(layout.directory), "--ledger", str(ledger), "--summary", str(summary)]
    assert cli.run(account_hetdex.main, account_hetdex.build_parser(), options) == 0
    with ledger.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    frames = [line["frame"] for line in lines if line["step"] == "frames"]
    assert len(set(frames)) == len(frames) == len(rows) + len(also)
    units = [tuple(line.values())[:8] for line in lines if line["step"] != "frames"]
    assert len(set(units)) == len(units)
    counts = json.loads(summary.read_text())["steps"]
    assert {step: sum(of.values()) for step, of in counts.items()} == Counter(line["step"] for line in lines)
    return lines


def finish(tmp_path):
    directory = tmp_path / "results/reduction/hetdex"
    options = ["--ledger", str(directory / "ledger.csv"), "--summary", str(directory / "summary.json")]
    options += ["--out", str(directory / "complete.json")]
    return cli.run(finish_hetdex.main, finish_hetdex.build_parser(), options), directory / "complete.json"


def unwell(lines):
    """Return what is not well: of what, and its state and reason."""
    names = ("step", "exposure", "ifu", "amp", "frame")
    return {
        " ".join(filter(None, (line[name] for name in names))): (line["state"], line["reason"])
        for line in lines
        if line["state"] != "done"
    }


def test_all_is_well(tmp_path):
    lines = account(tmp_path, rows_of())
    assert unwell(lines) == {"frames 12.tar: notes": ("left_out", "no frame by its name")}
    counts = Counter(line["step"] for line in lines)
    assert counts == {
        "frames": 41,
        **dict.fromkeys(("bias", "trace", "flat", "wavelength", "amp_to_amp", "residuals"), 8),
        "science": 16,
        "full_sky": 2,
        **dict.fromkeys(("astrometry", "stars", "seds", "throughput", "shots", INDEXED, *SWITCHED, *MERGED), 1),
        **dict.fromkeys(BY_IFU, 2),
    }
    status, complete = finish(tmp_path)
    assert status == 0
    assert complete.is_file()


def test_a_failure_is_told_where_it_is_and_what_depends_on_it_waits(tmp_path, capsys):
    logs = tmp_path / "results/logs/hetdex_trace/201901"
    logs.mkdir(parents=True)
    (logs / f"{ONE}.log").write_text("2019 INFO command: python trace_fibers.py --frames 'a b'\nmore\n")
    lines = account(tmp_path, rows_of(), failed=[(f"trace {ONE}", "LU"), (f"exp02 {TWO}", "RL")])
    told = unwell(lines)
    assert told.pop("frames 12.tar: notes")[0] == "left_out"
    why = f"trace {ONE}: too bad"
    assert told.pop(f"trace {ONE} LU") == ("failed", why)
    assert told.pop(f"science exp02 {TWO} RL") == ("failed", f"exp02 {TWO}: too bad")
    steps = ("flat", "wavelength", "amp_to_amp", "science exp01", "science exp02", "residuals")
    waiting = [f"{step} {ONE} LU" for step in steps]
    assert told == dict.fromkeys(waiting, ("waiting", f"trace: {why}"))
    status, complete = finish(tmp_path)
    assert status == 1
    assert not complete.exists()
    message = capsys.readouterr().err
    assert "2 lines of the ledger failed, and 6 wait for them" in message
    assert f"trace 201901 {ONE} LU: {why}\n    python trace_fibers.py --frames 'a b'\n" in message


def test_sources_that_failed_are_told_and_files_that_others_are_merged_into_are_made_without_them(tmp_path):
    said = [(step, "") for step in ("detections", "cubes", "cutouts", "reports")]
    told = unwell(account(tmp_path, rows_of(), failed=said, without=["release/survey/survey_mine.h5"]))
    told.pop("frames 12.tar: notes")
    lacking = tmp_path / "results/reduction/hetdex/release/survey/survey_mine.h5"
    assert told == {
        f"detections {ONE}": ("failed", "detections: too bad"),
        f"cubes {ONE}": ("failed", "cubes: too bad"),
        "cutouts": ("failed", "cutouts: too bad"),
        "reports": ("failed", "1 of 2 reports failed, the first of them 7: no picture"),
        "survey": ("failed", f"{lacking} is not there: its job has failed, or has not been run"),
        # nothing else is merged into these
        "all_cutouts": ("waiting", "cutouts: cutouts: too bad"),
        "report_pages": ("waiting", "reports: 1 of 2 reports failed, the first of them 7: no picture"),
    }


def test_what_needs_a_shot_or_an_ifu_that_failed_waits(tmp_path):
    lost = [(f"{exposure} {TWO}", amp) for exposure in ("exp01", "exp02") for amp in AMPS]
    told = unwell(account(tmp_path, rows_of(), failed=lost))
    why = f"science: exp01 {TWO}: too bad"
    assert told[f"detections {TWO}"] == told[f"cubes {TWO}"] == ("waiting", why)
    assert not any(name in told for name in (f"detections {ONE}", "continuum", "detect", "fiber_index"))


def test_a_shot_without_a_file_leaves_nothing_to_merge(tmp_path):
    told = unwell(account(tmp_path, rows_of(), failed=[("throughput", "")]))
    why = ("waiting", "throughput: throughput: too few stars")
    assert [told[f"{step} {ifu}"] for step in BY_IFU for ifu in (ONE, TWO)] == [why] * 4
    of_shot = ("shots", INDEXED, "continuum", "cutouts", "reports")
    assert [told[step] for step in (*of_shot, *MERGED)] == [why] * (len(of_shot) + len(MERGED))


def test_steps_that_are_switched_off_have_no_lines(tmp_path):
    lines = account(tmp_path, rows_of(), options=("--release", "mine", "--switched", "continuum"))
    assert {line["state"] for line in lines} == {"done", "left_out"}
    steps = {line["step"] for line in lines} & {INDEXED, *SWITCHED, *MERGED}
    assert steps == {INDEXED, "continuum", "cont", "detect_index", "survey", "fiber_index"}


def test_an_index_of_what_is_switched_on_alone_waits_for_it(tmp_path):
    options = ("--release", "mine", "--switched", "continuum")
    told = unwell(account(tmp_path, rows_of(), failed=[("continuum", "")], options=options))
    why = "continuum: too bad"
    assert told["continuum"] == ("failed", why)
    assert told["cont"] == told["detect_index"] == ("waiting", f"continuum: {why}")


def test_products_that_are_not_there_or_torn(tmp_path):
    gone = [f"trace/201901/{ONE}.fits", f"science/{SHOT}/exp01/{TWO}/amps.csv", f"stars/{SHOT}.h5"]
    lines = account(tmp_path, rows_of(), without=gone)
    told = unwell(lines)
    assert {name for name, (state, _) in told.items() if state == "failed"} == {
        *(f"trace {ONE} {amp}" for amp in AMPS),
        *(f"science exp01 {TWO} {amp}" for amp in AMPS),
        "stars",
    }
    assert "is not there: its job has failed, or has not been run" in told["stars"][1]
    assert [told[step][0] for step in ("seds", "throughput", "shots")] == ["waiting"] * 3
    assert told["full_sky exp01"][0] == "waiting"  # none of its amplifiers is there
    assert "full_sky exp02" not in told


def test_frames_that_are_damaged_named_or_lacking(tmp_path):
    rows = rows_of()
    damaged = next(k for k, row in enumerate(rows) if (row.type, row.expnum, row.amp) == ("sci", 2, "LL"))
    rows[damaged] = dataclasses.replace(rows[damaged], state=BAD, reason="cut short", specid="")
    bias = next(k for k, row in enumerate(rows) if (row.type, row.amp) == ("zro", "RU"))
    rows[bias] = dataclasses.replace(rows[bias], state=BAD, reason="torn", specid="")
    nameless = Row(20190103, 1, tar="1.tar", offset=77, size=9, state=BAD, reason="damaged tar header")
    amps = tmp_path / "amps.csv"
    amps.write_text("specid,ifuslot,amp,first,last,reason\n013,*,RL,,,dead since ever\n")
    lines = account(tmp_path, [*rows, nameless], Known.read(amps=amps), failed=[(f"bias {TWO}", "RL")])
    told = unwell(lines)
    assert told[f"frames exp02 {ONE} LL 12.tar: T122_093LL_sci.fits"] == (
        "failed",
        "cut short",
    )
    assert told[f"science exp02 {ONE} LL"] == ("waiting", "frames: cut short")
    assert told[f"frames exp01 {ONE} RU 1.tar: T11_093RU_zro.fits"] == ("left_out", "torn")
    assert told["frames 1.tar: byte 77"] == ("left_out", "damaged tar header")  # of a tar of biases
    for step in ("bias", "trace", "flat", "wavelength", "amp_to_amp", "science exp01", "science exp02", "residuals"):
        assert told[f"{step} {TWO} RL"] == ("left_out", "dead since ever")
    assert [name for name, (state, _) in told.items() if state == "failed"] == [
        f"frames exp02 {ONE} LL 12.tar: T122_093LL_sci.fits"
    ]


def test_units_that_lack_calibration_and_shots_that_failed(tmp_path):
    rows = [row for row in rows_of() if (row.type, row.ifuslot) != ("twi", "103")]
    lines = account(tmp_path, rows, failed=[("astrometry", ""), ("full_sky exp02", "")])
    told = unwell(lines)
    assert told[f"trace {TWO} LL"][0] == "failed"
    assert "found no twilight of 013_103_019_0456 in 201901" in told[f"trace {TWO} LL"][1]
    assert told[f"science exp02 {TWO} LL"] == ("waiting", f"trace: {told[f'trace {TWO} LL'][1]}")
    assert told["astrometry"] == ("failed", "astrometry: too few stars")
    assert told["shots"] == ("waiting", "astrometry: astrometry: too few stars")
    assert "full_sky exp01" not in told
    assert told["full_sky exp02"] == ("failed", "no sky at all")


def test_nights_that_are_not_asked_for_any_more_are_left_out(tmp_path):
    rows = rows_of()
    layout = Layout(tmp_path / "results/reduction/hetdex")
    other = [dataclasses.replace(rows[1], night=20190201, tar="other")]
    write_list(layout.night_list(20190201), other)
    told = unwell(account(tmp_path, rows, also=other))
    assert told[f"frames exp01 {ONE} LL other: {rows[1].member}"] == ("left_out", "its night is not asked for")
