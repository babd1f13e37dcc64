"""Which tasks a production has, and which of them an edited table, a new raw file or a failure has run again."""

from dataclasses import replace
from pathlib import Path

import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.ledger import lines_of
from skyharvest.reduction.desi.production import Production, check_frozen
from skyharvest.reduction.desi.records import BROKEN, DONE, FAILED, READY, WAITING, Record, Records, judge_all
from small_production import NIGHT, PIXELS, ROWS, done, production, row


def judged(made, again=False):
    return judge_all(made.tasks(), Records(made.directory), made.commands.is_there, again=again)


def in_state(made, state, again=False):
    return {key for key, one in judged(made, again).items() if one.state == state}


def downstream(made, *first):
    """Return what depends on some tasks, and these: an independent walk along the arrows."""
    reached = set(first)
    while True:
        more = {task.key for task in made.tasks() if not reached.isdisjoint((*task.needs, *task.some_of))}
        if more <= reached:
            return reached
        reached |= more


def edited(tmp_path, expid, **cells):
    """Return the production after a person has edited a line of its table."""
    return production(tmp_path, tuple(one | cells if one["EXPID"] == expid else one for one in ROWS))


def key(kind, expid, camera):
    return Key(kind, f"{NIGHT}/{expid:08d}", camera)


def test_each_task_is_there_once_and_after_those_that_it_needs(tmp_path):
    made = production(tmp_path)
    seen = set()
    for task in made.tasks():
        assert task.key not in seen
        assert seen >= {*task.needs, *task.some_of}
        seen.add(task.key)
    counts = {kind: sum(one.kind == kind for one in seen) for kind in {one.kind for one in seen}}
    assert counts == {
        "preproc": 18,
        "psf": 6,
        "psfnight": 3,
        "traceshift": 12,
        "extract": 12,
        "fiberflat": 6,
        "fiberflatnight": 3,
        "sky": 6,
        "starfit": 2,
        "calibstars": 2,
        "fluxcalib": 6,
        "cframe": 6,
        "qa": 18,
        "spectra": 2,
        "redshift": 2,
    }


def test_every_job_has_the_tasks_of_its_owners_and_each_task_is_in_one_job(tmp_path):
    made = production(tmp_path)
    for seconds in (1.0, 200.0, 1e6):
        jobs = [
            job for step in ("preproc", "psfnight", "sky", "fluxcalib", "spectra") for job in made.jobs(step, seconds)
        ]
        in_jobs = [task.key for job in jobs for task in made.tasks_of(job)]
        wanted = {"preproc", "psfnight", "sky", "calibstars", "fluxcalib", "spectra"}
        assert sorted(in_jobs) == sorted(task.key for task in made.tasks() if task.key.kind in wanted)
        assert all(made.job(job.step, job.name) == job for job in jobs)
    assert [job.name for job in made.jobs("sky", 1e6)] == ["20250115-00000005-00000006"]
    with pytest.raises(InputError, match="nothing for job 20250116 of step psfnight"):
        made.job("psfnight", "20250116")


def test_nothing_is_to_be_done_when_all_is_done(tmp_path):
    made = production(tmp_path)
    done(made)
    assert {one.state for one in judged(made).values()} == {DONE}


def test_a_bad_amplifier_has_exactly_its_dependants_run_again(tmp_path):
    done(production(tmp_path))
    made = edited(tmp_path, 1, BADAMPS="b0D")
    assert in_state(made, READY) == downstream(made, key("preproc", 1, "b0"))
    kinds = {one.kind for one in in_state(made, READY) if one.unit == "r0"}
    assert kinds == {"fluxcalib", "cframe", "qa"}, "other cameras are touched by the standard stars alone"
    made = edited(tmp_path, 6, BADAMPS="b0D")
    assert in_state(made, READY) == downstream(made, key("preproc", 6, "b0"))
    assert not any(one.owner.endswith("/00000005") for one in in_state(made, READY))


def test_a_bad_camera_leaves_the_table_and_what_used_it_is_made_without_it(tmp_path):
    done(production(tmp_path))
    made = edited(tmp_path, 5, BADCAMWORD="z0")
    gone = {task.key for task in production(tmp_path).tasks()} - {
        task.key for task in edited(tmp_path, 5, BADCAMWORD="z0").tasks()
    }
    assert gone == {
        key(kind, 5, "z0") for kind in ("preproc", "traceshift", "extract", "sky", "fluxcalib", "cframe", "qa")
    }
    assert in_state(made, READY) == downstream(made, key("starfit", 5, "0"))
    # An arc's camera changes the night's PSF of that camera, and all that follows.
    made = edited(tmp_path, 2, BADCAMWORD="b0")
    assert in_state(made, READY) == downstream(made, Key("psfnight", str(NIGHT), "b0"))
    assert key("qa", 2, "b0") not in in_state(made, READY)


@pytest.mark.parametrize(
    ("laststep", "last"), [("skysub", "sky"), ("stdstarfit", "starfit"), ("fluxcal", "cframe"), ("ignore", None)]
)
def test_laststep(tmp_path, laststep, last):
    order = ["preproc", "traceshift", "extract", "sky", "starfit", "calibstars", "fluxcalib", "cframe"]
    made = edited(tmp_path, 5, LASTSTEP=laststep)
    kinds = {task.key.kind for task in made.tasks() if task.key.owner.endswith("/00000005")}
    assert kinds == {*order[: order.index(last) + 1], "qa"} if last else kinds == set()
    in_jobs = {owner for job in made.jobs("qa", 1e6) for owner in job.owners}
    assert (f"{NIGHT}/00000005" in in_jobs) == (last is not None)
    in_pixels = {one.owner for task in made.tasks() if task.key.kind == "spectra" for one in task.some_of}
    assert in_pixels == {f"{NIGHT}/00000006"}


def test_a_new_raw_file_and_a_file_that_is_gone(tmp_path):
    made = production(tmp_path)
    done(made)
    raw = tmp_path / f"raw/{NIGHT}/00000003/desi-00000003.fits.fz"
    raw.write_bytes(b"longer than it was")
    assert in_state(production(tmp_path), READY) == downstream(made, *(key("preproc", 3, f"{arm}0") for arm in "brz"))
    raw.unlink()  # archived after its reduction: nothing is to be done
    assert in_state(production(tmp_path), READY) == set()
    made.commands.outputs(key("sky", 5, "r0"))[1].unlink()
    # What follows is made from the same: a file that was lost does not change it.
    assert in_state(production(tmp_path), READY) == {key("sky", 5, "r0")}


def test_a_failure_holds_up_only_what_needs_it_and_is_not_tried_again(tmp_path):
    made = production(tmp_path)
    failed = key("preproc", 5, "z0")
    done(made, *downstream(made, failed))
    records = Records(made.directory)
    records.put(failed, Record("z0", FAILED, judged(made)[failed].made, reason="torn"))
    made = production(tmp_path)
    assert in_state(made, FAILED) == {failed}
    assert in_state(made, WAITING) == {
        key(kind, 5, "z0") for kind in ("traceshift", "extract", "sky", "fluxcalib", "cframe")
    }
    starfit = judged(made)[key("starfit", 5, "0")]
    assert starfit.state == READY
    assert starfit.lacked == (key("sky", 5, "z0"),)
    quality = judged(made)[key("qa", 5, "z0")]
    assert quality.state == READY, "what there is of a camera is measured"
    assert {one.kind for one in quality.lacked} == {"preproc", "traceshift", "extract", "sky", "fluxcalib", "cframe"}
    assert in_state(made, READY, again=True) == downstream(made, failed)
    records.put(failed, Record("z0", BROKEN, judged(made, again=True)[failed].made, reason="killed"))
    assert in_state(production(tmp_path), READY) == downstream(made, failed)


def test_a_spectrograph_without_its_red_or_blue_camera_costs_the_others_nothing(tmp_path):
    rows = [one | {"CAMWORD": "a01"} for one in ROWS]
    made = production(tmp_path, tuple(rows))
    failed = key("preproc", 5, "r1")
    done(made, *downstream(made, failed))
    Records(made.directory).put(failed, Record("r1", FAILED, judged(made)[failed].made, reason="torn"))
    made = production(tmp_path, tuple(rows))
    waiting = {
        task for task in in_state(made, WAITING) if task.kind in ("starfit", "calibstars", "fluxcalib", "cframe")
    }
    assert {one.unit[-1] for one in waiting} == {"1"}
    chosen = next(task for task in made.tasks() if task.key == key("calibstars", 5, ""))
    used = [one for one in chosen.some_of if judged(made)[one].made]
    assert "r1" not in made.commands.shown(chosen, used)
    # By the table it has none: its stars are not fitted, and nothing waits for them.
    rows = [one | {"BADCAMWORD": "b1" if one["EXPID"] == 5 else ""} for one in rows]
    made = production(tmp_path / "other", tuple(rows))
    of_stars = {task.key for task in made.tasks() if task.key.kind in ("starfit", "fluxcalib", "cframe")}
    assert {one.unit[-1] for one in of_stars if one.owner.endswith("5")} == {"0"}
    done(made)
    assert in_state(made, WAITING) == set()
    assert {line.state for line in lines_of(made)} <= {DONE, "skipped"}


def test_a_choice_leaves_what_others_have_made_in_the_coadds(tmp_path):
    made = production(tmp_path)
    done(made)
    few = production(tmp_path, expids=[6], cameras=["b0", "r0"])
    assert in_state(few, READY) == set()
    # Of what was not chosen, and is not there, nothing waits.
    other = production(tmp_path / "new", expids=[6])
    assert {task.key.owner for task in other.tasks() if task.key.kind == "cframe"} == {f"{NIGHT}/00000006"}
    done(other)
    both = production(tmp_path / "new")
    again = {task for task in in_state(both, READY) if task.kind == "spectra"}
    assert len(again) == len({one.healpix for one in both.pixels})
    assert in_state(production(tmp_path / "new", expids=[6]), READY) == set()


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"expids": [99]}, r"expids: none of \[99\] .* there are of science exposures 5, 6"),
        ({"expids": [3]}, "expids: none of"),
        ({"tiles": [2]}, "tiles: none of"),
        ({"nights": [20250116]}, "nights: none of .* 20250115"),
        ({"cameras": ["b5"]}, "cameras: none of .* b0, r0, z0"),
    ],
)
def test_a_choice_of_nothing_is_an_error_that_says_what_there_is(tmp_path, choice, said):
    with pytest.raises(InputError, match=said):
        production(tmp_path, **choice).check_choices()


def test_an_average_is_made_of_what_there_is_and_again_when_there_is_more(tmp_path):
    made = production(tmp_path)
    failed = key("psf", 2, "b0")
    records = Records(made.directory)
    records.put(failed, Record("b0", FAILED, judged(made)[failed].made))
    done(production(tmp_path))
    made = production(tmp_path)
    assert in_state(made, READY) == set()
    of_b0 = Key("psfnight", str(NIGHT), "b0")
    assert Records(made.directory).get(of_b0).state == DONE
    records = Records(made.directory)
    records.put(failed, records.get(failed)._replace(state=DONE))
    made.commands.outputs(failed)[0].touch()
    assert in_state(production(tmp_path), READY) == downstream(made, of_b0) | {key("qa", 2, "b0")}


def test_what_another_production_gives_is_linked_and_only_the_rest_is_run(tmp_path):
    def kinds(*products):
        start = {"production": str(tmp_path / "other"), "products": list(products)}
        made = production(tmp_path / "-".join(products), start_from=start)
        return made, {task.key.kind for task in made.tasks() if task.about != "linked"}

    made, run = kinds("psfnight", "fiberflatnight")
    assert not run & {"psf", "psfnight", "fiberflat", "fiberflatnight"}
    assert {task.key.owner for task in made.tasks() if task.key.kind == "preproc"} == {
        f"{NIGHT}/00000005",
        f"{NIGHT}/00000006",
    }
    made, run = kinds("cframe")
    assert run == {"spectra", "redshift", "qa"}
    assert {task.key.owner for task in made.tasks() if task.key.kind == "qa"} == {
        f"{NIGHT}/00000005",
        f"{NIGHT}/00000006",
    }
    assert len(made.jobs("qa", 1e6)) == 1
    assert [job.step for step in ("preproc", "psfnight", "sky") for job in made.jobs(step, 20)] == []


def test_engine_desispec_is_told_of_broken_fibers_and_does_not_average_one_arc(tmp_path):
    made = production(tmp_path, engine="desispec")
    made.commands.broken_fibers = lambda _: (3, 9)
    tasks = {task.key: task for task in made.tasks()}
    fit = made.commands.words(tasks[key("psf", 1, "b0")], [Path("fit-psf-b0-00000001.fits")])[-1]
    assert fit[fit.index("--broken-fibers") + 1] == "3,9"
    night = tasks[Key("psfnight", str(NIGHT), "b0")]
    arcs = [str(made.commands.outputs(one)[0]) for one in night.some_of]
    assert made.commands.words(night, [Path("out.fits")], night.some_of) == [
        ["desi_average_psf", "-i", *arcs, "-o", "out.fits"]
    ]
    assert made.commands.words(night, [Path("out.fits")], night.some_of[:1]) == [["cp", arcs[0], "out.fits"]]


def test_without_quality_nothing_is_measured(tmp_path):
    made = production(tmp_path, qa={"enabled": False, "limits": None})
    assert not [task for task in made.tasks() if task.key.kind == "qa"]
    assert made.jobs("qa", 20) == []
    assert [task for task in made.whole().tasks() if task.key.kind == "qa"], "what was measured stays where it is"


def test_selection(tmp_path):
    def owners(**chosen):
        return {task.key.owner for task in production(tmp_path, **chosen).tasks() if "/0" in task.key.owner}

    calibrations = {f"{NIGHT}/0000000{k}" for k in (1, 2, 3, 4)}
    assert owners(expids=[6]) == calibrations | {f"{NIGHT}/00000006"}
    assert owners(tiles=[99]) == set()
    assert owners(nights=[20250116]) == set()
    cameras = {task.key.unit for task in production(tmp_path, cameras=["b0"]).tasks() if task.key.kind == "preproc"}
    assert cameras == {"b0"}


def test_frozen_options(tmp_path):
    made = production(tmp_path)
    check_frozen(made.directory, made.settings)
    options = made.settings["options"]
    other = options | {"sky": options["sky"] | {"adjust_lsf": False}}
    with pytest.raises(InputError, match=r"options\.sky\.adjust_lsf: True there, False now") as raised:
        check_frozen(made.directory, made.settings | {"options": other})
    assert "specprod" in str(raised.value)
    # How much of it is run, and where the raw data are, may change.
    check_frozen(made.directory, made.settings | {"nights": [NIGHT], "raw": "elsewhere", "again": True})


def test_two_nights_do_not_mix(tmp_path):
    other = tuple(one | {"NIGHT": 20250116, "EXPID": one["EXPID"] + 100} for one in ROWS)
    pixels = tuple(replace(one, night=20250116, expid=one.expid + 100) for one in PIXELS)
    made = production(tmp_path, ROWS + other, PIXELS + pixels)
    by_key = {task.key: task for task in made.tasks()}
    assert {one.owner for one in by_key[Key("psfnight", "20250116", "b0")].some_of} == {
        "20250116/00000101",
        "20250116/00000102",
    }
    in_pixel = by_key[Key("spectra", "healpix/main/dark/97/9712", "")].some_of
    assert len(in_pixel) == 4 * 3
    assert isinstance(made, Production)


def test_a_night_without_arcs_says_so(tmp_path):
    made = production(tmp_path, (row(3, "flat"), row(5, "science")))
    one = judged(made)[Key("psfnight", str(NIGHT), "b0")]
    assert (one.state, one.reason) == (WAITING, "the night has no exposure for it")
    assert {one.state for key, one in judged(made).items() if key.kind in ("traceshift", "cframe", "spectra")} == {
        WAITING
    }
