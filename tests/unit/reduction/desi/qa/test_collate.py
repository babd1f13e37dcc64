"""Frames' files become the JSON of a night, and nights that of a production: with faults, trends, and other limits."""

import json
from dataclasses import replace

import numpy as np
import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.qa.collate import collate_night, night_path, write_night
from skyharvest.reduction.desi.qa.collate_production import collate_production
from skyharvest.reduction.desi.qa.faults import Fault, grouped
from skyharvest.reduction.desi.qa.limits import frame_of, read_limits
from skyharvest.reduction.desi.qa.measured import Curve, Metric, path_of, read_frame, write_frame
from skyharvest.reduction.desi.qa.series import series
from skyharvest.reduction.desi.records import FAILED, Record, Records, judge_all
from skyharvest.reduction.limits import BAD, OK, WARN
from small_production import NIGHT, ROWS, done, production, row

LIMITS = read_limits()
SCIENCE = tuple(
    row(10 + k, "science", **{"MJD-OBS": 60690.0 + k / 24, "EXPTIME": 900.0 + k, "SURVEY": "main", "FAPRGRM": program})
    for k, program in enumerate(("dark", "dark", "bright", "dark", "backup"))
)
CURVES = {"SKYSUB-PULLS": Curve("steps", (0.0, 1.0), (1.0,), "σ", "pixels")}


def measured(made, values):
    """Write the frames of a production: (expid, camera) → values of metrics; each has a read noise of 3 as well."""
    for exposures in made.nights.values():
        for exposure in exposures:
            for camera in exposure.cameras if not exposure.reason else ():
                own = {"PREPROC-READNOISE_A": 3.0} | values.get((exposure.expid, camera), {})
                metrics = {name: Metric(value) for name, value in own.items()}
                path = path_of(made.directory, exposure.night, exposure.expid, camera)
                write_frame(frame_of(exposure, camera, LIMITS, metrics, CURVES), path)


def collated(made, limits=LIMITS, night=NIGHT):
    """Return the night's JSON as it is written."""
    write_night(made, night, limits, night_path(made.directory, night))
    return json.loads(night_path(made.directory, night).read_text())


def zero_points(clouded, fainter):
    """Return zero points of five exposures of all cameras, with one clouded."""
    of = {"b": 24.0, "r": 25.0, "z": 24.5}
    return {
        (10 + k, f"{arm}0"): {
            "FLUXCALIB-ZP": zp + 0.01 * k - (fainter if 10 + k == clouded else 0),
            "FLUXCALIB-CALIB": 9.0,
        }
        for k in range(5)
        for arm, zp in of.items()
    }


def test_a_cloud_is_seen_against_the_nights_clear_exposures(tmp_path):
    made = production(tmp_path, SCIENCE, ())
    measured(made, zero_points(12, 1.2))
    night = collated(made)
    found = {one["expid"]: one["cameras"]["r0"]["metrics"]["FLUXCALIB-ZP_NIGHT"] for one in night["exposures"]}
    assert {expid: state for expid, (_, state) in found.items()} == {10: OK, 11: OK, 12: BAD, 13: OK, 14: OK}
    assert found[12][0] == pytest.approx(25.02 - 1.2 - 25.03)  # the second brightest of five is the quartile
    assert night["worst"][0]["what"] == "FLUXCALIB-ZP_NIGHT"
    assert (night["worst"][0]["expids"], night["worst"][0]["cameras"]) == ([12], ["b0", "r0", "z0"])
    assert night["worst"][0]["limit"] == "≥ -0.7"
    assert [one["state"] for one in night["exposures"]] == [OK, OK, BAD, OK, OK]
    assert (night["counts"]["frames"], night["counts"]["BAD"]) == (15, 3)
    assert night["metrics"]["NIGHT-ZP_Z"][0] == pytest.approx(24.53)
    # A frame's file says it as well, and its curves are there.
    frame = read_frame(path_of(made.directory, NIGHT, 12, "r0"))
    assert frame.metrics["FLUXCALIB-ZP_NIGHT"].state == BAD
    assert frame.curves == CURVES


def test_how_zero_points_change_through_the_night(tmp_path):
    made = production(tmp_path, SCIENCE, ())
    measured(made, zero_points(None, 0))
    assert collated(made)["metrics"]["NIGHT-ZP_TREND_B"][0] == pytest.approx(0.01, abs=1e-4)  # an exposure an hour
    made = production(tmp_path / "few", SCIENCE[:2], ())
    measured(made, zero_points(None, 0))
    assert not [name for name in collated(made)["metrics"] if "TREND" in name]


def test_one_exposure_has_nothing_to_be_compared_with(tmp_path):
    made = production(tmp_path, SCIENCE[:1], ())
    measured(made, zero_points(10, 5))
    (exposure,) = collated(made)["exposures"]
    assert "FLUXCALIB-ZP_NIGHT" not in exposure["cameras"]["b0"]["metrics"]


def test_throughput_between_spectrographs(tmp_path):
    made = production(tmp_path, (row(10, "science", CAMWORD="a012"),), ())
    measured(made, {(10, f"r{k}"): {"FLUXCALIB-CALIB": value} for k, value in enumerate((80.0, 100.0, 20.0))})
    cameras = collated(made)["exposures"][0]["cameras"]
    fractions = [cameras[f"r{k}"]["metrics"]["FLUXCALIB-THRUFRAC"] for k in range(3)]
    assert [value for value, _ in fractions] == pytest.approx([1.2, 1.5, 0.3])
    assert [state for _, state in fractions] == [OK, WARN, BAD]
    assert "FLUXCALIB-THRUFRAC" not in cameras["b0"]["metrics"]


def test_other_limits_judge_again_without_a_measurement(tmp_path):
    made = production(tmp_path)
    measured(made, {(6, "b0"): {"SKYSUB-CHI2": 1.4}})
    assert collated(made)["counts"]["WARN"] == 1
    path = path_of(made.directory, NIGHT, 6, "b0")
    other = path_of(made.directory, NIGHT, 6, "r0").stat().st_mtime_ns
    own = tmp_path / "own.yaml"
    own.write_text("SKYSUB-CHI2: {warn: [null, 1.1], bad: [null, 1.2]}\n")
    night = collated(made, read_limits(own))
    assert (night["counts"]["WARN"], night["counts"]["BAD"]) == (0, 1)
    assert night["limits"]["SKYSUB-CHI2"] == {"": {"warn": [None, 1.1], "bad": [None, 1.2]}}
    metric = read_frame(path).metrics["SKYSUB-CHI2"]
    assert (metric.value, metric.state, metric.limits) == (1.4, BAD, {"warn": (None, 1.1), "bad": (None, 1.2)})
    assert read_frame(path).curves == CURVES
    assert path_of(made.directory, NIGHT, 6, "r0").stat().st_mtime_ns == other, "nothing of it has changed"


def test_a_step_that_failed_is_told_with_its_reason_and_command(tmp_path):
    made = production(tmp_path)
    done(made, *(task.key for task in made.tasks() if task.key.unit == "b0" and task.key.owner.endswith("/00000006")))
    measured(made, {})
    records, torn = Records(made.directory), Key("preproc", f"{NIGHT}/00000006", "b0")
    digest = judge_all(made.tasks(), records, made.commands.is_there, again=False)[torn].made
    records.put(torn, Record("b0", FAILED, digest, reason="OSError: cut short"))
    jobs = made.directory / "tasks/jobs/preproc"
    jobs.mkdir(parents=True)
    (jobs / "20250115-00000004-00000007.json").touch()
    (jobs / "20250115-00000001.json").touch()
    path_of(made.directory, NIGHT, 6, "b0").unlink()
    night = collated(made)
    (failed,) = night["failed"]
    assert (failed["step"], failed["expid"], failed["camera"]) == ("preproc", 6, "b0")
    assert failed["reason"] == "OSError: cut short"
    assert "preprocess.py -i " in failed["command"]
    assert failed["log"] == "logs/desi_preproc/20250115-00000004-00000007.log"
    assert failed["waiting"] == 5
    exposure = next(one for one in night["exposures"] if one["expid"] == 6)
    metrics = exposure["cameras"]["b0"]["metrics"]
    assert (exposure["state"], exposure["cameras"]["r0"]["state"]) == (BAD, OK)
    assert metrics["PREPROC-MISSING"] == [None, BAD, "preproc failed: OSError: cut short"]
    assert metrics["S2N-MISSING"][2].startswith("cframe waits: ")
    assert [(one["what"], one["reason"]) for one in night["worst"]] == [("preproc", "OSError: cut short")]


def test_what_was_not_run_has_not_failed(tmp_path):
    made = production(tmp_path)
    night = collated(made)
    assert (night["state"], night["failed"], night["worst"]) == (OK, [], [])
    assert night["counts"] == {"exposures": 6, "frames": 0, "OK": 0, "WARN": 0, "BAD": 0}


def test_a_file_that_cannot_be_read_is_bad_and_stops_nothing(tmp_path):
    made = production(tmp_path)
    measured(made, {})
    path_of(made.directory, NIGHT, 6, "b0").write_text("night: [")
    night = collated(made)
    assert night["counts"]["BAD"] == 1
    assert night["worst"][0]["what"] == "PREPROC-MISSING"
    assert "qa-b0-00000006.yaml" in night["worst"][0]["at"]


def test_what_the_table_leaves_out_is_there_with_its_reason(tmp_path):
    rows = tuple(one | ({"EXPFLAG": "bad"} if one["EXPID"] == 6 else {}) for one in ROWS)
    made = production(tmp_path, rows)
    measured(made, {})
    left = next(one for one in collated(made)["exposures"] if one["expid"] == 6)
    assert (left["left_out"], left["cameras"], left["state"]) == ("bad", {}, OK)


def test_all_that_was_measured_is_there_whatever_is_asked_for_now(tmp_path):
    measured(production(tmp_path), {})
    night = collated(production(tmp_path, expids=[5], cameras=["b0"]))
    assert night["counts"]["frames"] == 18


def test_desispecs_columns_of_a_petal(tmp_path):
    made = production(tmp_path)
    values = {"PREPROC-READNOISE_D": 4.0, "FLUXCALIB-NSTDSTAR": 5, "FLUXCALIB-STARRMS": 0.02, "SKYSUB-CHI2": 1.1}
    measured(made, {(6, "r0"): values | {"S2N-MEDIAN": 3.0}, (6, "z0"): {"SKYSUB-THRPUT_RMS": 0.01}})
    exposure = next(one for one in collated(made)["exposures"] if one["expid"] == 6)
    assert exposure["petals"]["0"] == {
        "NCFRAME": 1,
        "WORSTREADNOISE": 4.0,
        "NSTDSTAR": 5.0,
        "STARRMS": 0.02,
        "RSKYCHI2PDF": 1.1,
        "ZSKYTHRURMS": 0.01,
    }
    assert exposure["metrics"]["EXPOSURE-READNOISE"] == [4.0, OK, "r0"]


def fault(expid, camera, what="SKYSUB-CHI2", severity=1.0, state=BAD):
    return Fault(what, state, NIGHT, (expid,), (camera,), severity=severity)


def test_what_is_one_fault_is_told_once():
    amplifier = [fault(expid, "b3", "PREPROC-NOISE_C", 4) for expid in range(10, 50)]
    clouds = [fault(22, f"{arm}{k}", "FLUXCALIB-ZP_NIGHT", 2) for arm in "brz" for k in range(10)]
    alone = [fault(17, "z9", severity=9), fault(18, "z9", "S2N-RESID", 99, WARN)]
    found = grouped([*clouds, *alone, *amplifier])
    assert [(one.what, one.n) for one in found] == [
        ("SKYSUB-CHI2", 1),
        ("PREPROC-NOISE_C", 40),
        ("FLUXCALIB-ZP_NIGHT", 30),
        ("S2N-RESID", 1),
    ]
    assert (found[1].cameras, found[2].expids, len(found[1].expids)) == (("b3",), (22,), 40)
    # A camera that is bad all night, and an exposure that is bad in all cameras.
    both = grouped([*(fault(expid, "b3") for expid in range(20)), *(fault(7, f"r{k}") for k in range(10))])
    assert sorted(one.n for one in both) == [10, 20]


@pytest.fixture
def two_nights(tmp_path):
    other = tuple(one | {"NIGHT": 20250116, "EXPID": one["EXPID"] + 100} for one in SCIENCE)
    made = production(tmp_path, SCIENCE + other, ())
    rng = np.random.default_rng(1)
    values = {
        (exposure.expid, camera): {
            "SKYSUB-CHI2": 1 + 0.1 * rng.random(),
            "FLUXCALIB-ZP": 24 + 0.1 * "brz".index(camera[0]),
            "S2N-ELG": exposure.exptime / 900,
            "EXTRACT-NDEAD": float((exposure.expid, camera) == (112, "z0")),
        }
        for exposure in made.exposures
        for camera in exposure.cameras
    }
    measured(made, values)
    for night in (NIGHT, 20250116):
        collated(made, night=night)
    return made, values


def test_a_production(two_nights):
    made, values = two_nights
    whole = json.loads(json.dumps(collate_production(made.directory, LIMITS), allow_nan=False))
    assert whole["counts"] == {"nights": 2, "exposures": 10, "frames": 30, "OK": 29, "WARN": 0, "BAD": 1, "failed": 0}
    assert [(one["night"], one["state"], one["BAD"]) for one in whole["nights"]] == [(NIGHT, OK, 0), (20250116, BAD, 1)]
    assert [(one["what"], one["expids"], one["cameras"]) for one in whole["worst"]] == [
        ("EXTRACT-NDEAD", [112], ["z0"])
    ]
    assert (whole["state"], whole["n_worst"], whole["n_bad"]) == (BAD, 1, 1)
    chi2 = whole["metrics"]["SKYSUB-CHI2"]
    assert (chi2["OK"], len(chi2["edges"])) == (30, 41)
    for arm in "brz":
        own = [one["SKYSUB-CHI2"] for (_, camera), one in values.items() if camera[0] == arm]
        assert sum(chi2["by_arm"][arm]["counts"]) == len(own) == 10
        assert chi2["by_arm"][arm]["median"] == pytest.approx(np.median(own))
    points = whole["zero_points"]["z"]
    assert [(one["expid"], one["n"]) for one in points][:2] == [(10, 1), (11, 1)]
    assert points[0]["median"] == pytest.approx(24.2)
    elg = next(one for one in whole["s2n"] if one["class"] == "ELG")
    assert (elg["arm"], elg["magnitude"]) == ("r", 23.0)
    assert [one["mean"] for one in elg["points"]] == pytest.approx([one["exptime"] / 900 for one in elg["points"]])


def test_a_night_that_is_cloudy_from_dusk_to_dawn(tmp_path):
    nights = (20250115, 20250116, 20250117)
    rows = tuple(
        one | {"NIGHT": night, "EXPID": one["EXPID"] + 100 * k} for k, night in enumerate(nights) for one in SCIENCE
    )
    made = production(tmp_path, rows, ())
    zero_point = {exposure.expid: 25 - 1.5 * (exposure.night == nights[1]) for exposure in made.exposures}
    measured(made, {(expid, "r0"): {"FLUXCALIB-ZP": value} for expid, value in zero_point.items()})
    for night in nights[:2]:
        assert collated(made, night=night)["state"] == OK
    two = collate_production(made.directory, LIMITS)
    assert (two["state"], two["worst"]) == (OK, []), "of two nights nobody knows which is usual"
    collated(made, night=nights[2])
    whole = collate_production(made.directory, LIMITS)
    assert [one["metrics"]["NIGHT-ZP_OFF_R"] for one in whole["nights"]] == [[0.0, OK], [-1.5, BAD], [0.0, OK]]
    assert [(one["what"], one["night"], one["state"]) for one in whole["worst"]] == [("NIGHT-ZP_OFF_R", nights[1], BAD)]
    assert (whole["state"], whole["nights"][1]["state"]) == (BAD, BAD)


def test_series(two_nights):
    made, values = two_nights
    points = series(made.directory, "SKYSUB-CHI2")
    assert len(points) == 30
    assert [one.x for one in points] == sorted(one.x for one in points)
    assert {(one.expid, one.camera): one.value for one in points} == {
        place: one["SKYSUB-CHI2"] for place, one in values.items()
    }
    assert [one.x for one in series(made.directory, "S2N-ELG", "texp")] == sorted([900.0 + k for k in range(5)] * 6)
    assert {one.x for one in series(made.directory, "S2N-ELG", "expid", "bright")} == {12, 14, 112, 114}
    assert len(series(made.directory, "S2N-ELG", conditions="dark")) == 18
    assert {one.night for one in series(made.directory, "S2N-ELG", "expid", night=NIGHT)} == {NIGHT}
    assert {one.value for one in series(made.directory, "PREPROC-READNOISE")} == {3.0}
    assert series(made.directory, "PREPROC-OVERSCAN") == []
    with pytest.raises(InputError, match="there is no metric SKYSUB-CHI: expected one of SKYSUB-MISSING"):
        series(made.directory, "SKYSUB-CHI")


def test_a_night_is_what_its_json_is_made_from(tmp_path):
    made = production(tmp_path)
    measured(made, {})
    night = collate_night(made, NIGHT, LIMITS)
    assert night == collate_night(made, NIGHT, LIMITS), "it is the same again"
    frame = read_frame(path_of(made.directory, NIGHT, 6, "b0"))
    assert frame == replace(frame, curves=CURVES)
