"""What cleanup takes back, and what it leaves."""

from skyharvest.reduction.desi.control.clean import cleanup
from skyharvest.reduction.desi.control.standing import stand
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.records import FAILED, GIVEN, Record, Records, judge_all
from skyharvest.reduction.desi.under_way import AtWork
from small_production import NIGHT, done, production


def test_of_a_task_that_failed_nothing_was_made(tmp_path):
    made = production(tmp_path)
    failed = Key("psf", f"{NIGHT}/00000002", "b0")
    records = Records(made.directory)
    digest = judge_all(made.tasks(), records, made.commands.is_there, again=False)[failed].made
    records.put(failed, Record("b0", FAILED, digest, reason="no lines"))
    made = production(tmp_path)
    done(made)
    before = {path for path in made.directory.rglob("*") if path.is_file()}
    standings = stand(production(tmp_path))
    changes = list(cleanup(standings, [task for task in standings.tasks if task.key == failed]))
    assert [str(one) for one in changes] == [f"psf b0 {NIGHT}/00000002: removed its record: failed"]
    assert {path for path in made.directory.rglob("*") if path.is_file()} == before


def test_what_a_process_is_going_to_do_stays(tmp_path):
    made = production(tmp_path)
    done(made)
    keys = [task.key for task in made.tasks() if task.key.kind == "redshift"]
    for key in keys:
        Records(made.directory).put(key, None)
    (made.directory / "tasks/under_way").mkdir(parents=True, exist_ok=True)
    with AtWork(made.directory, "by hand") as at_work:
        at_work.tell(left=keys, running=[])
        standings = stand(production(tmp_path))
        changes = [str(one) for one in cleanup(standings, [task for task in standings.tasks if task.key in keys])]
        assert len(changes) == len(keys)
        assert all("is of process" in one and one.endswith("and stays") for one in changes)
    assert all(made.commands.is_there(key) for key in keys)


def test_what_a_running_task_reads_stays(tmp_path):
    made = production(tmp_path)
    extract = Key("extract", f"{NIGHT}/00000005", "r0")
    done(made, extract)
    (made.directory / "tasks/under_way").mkdir(parents=True, exist_ok=True)
    with AtWork(made.directory, "by hand") as at_work:
        at_work.tell(left=[extract], running=[extract])
        standings = stand(production(tmp_path))
        of_r0 = [task for task in standings.tasks if task.key.unit == "r0"]
        chosen = [task for task in of_r0 if task.key.kind in ("preproc", "psfnight")]
        changes = list(cleanup(standings, chosen, dry=True))
    stays = {(one.key.kind, one.key.owner) for one in changes if "is needed by a task of process" in one.what}
    # The night's PSF is made of all arcs; of flats it needs nothing.
    exposures = {("preproc", f"{NIGHT}/{expid:08d}") for expid in (1, 2, 5)}
    assert stays == {*exposures, ("psfnight", str(NIGHT))}


def test_what_was_put_there_by_hand_stays_unless_its_step_is_named(tmp_path):
    made = production(tmp_path)
    done(made)
    given = Key("psfnight", str(NIGHT), "b0")
    Records(made.directory).put(given, Record("b0", GIVEN, "0"))
    standings = stand(production(tmp_path))
    of_night = [task for task in standings.tasks if task.key.owner == str(NIGHT)]
    said = [str(one) for one in cleanup(standings, of_night)]
    assert f"{given.kind} b0 {NIGHT}: was put there by hand, and stays: --steps psfnight removes it" in said
    assert made.commands.is_there(given)
    list(cleanup(stand(production(tmp_path)), [task for task in standings.tasks if task.key == given], ["psfnight"]))
    assert not made.commands.is_there(given)
