"""A job's tasks: each in a process of its own, whole or not there, and not run again for nothing."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import run_step

from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.production import check_there
from skyharvest.reduction.desi.records import BROKEN, DONE, FAILED, Records
from skyharvest.reduction.desi.run_tasks import JobIncomplete, Runner, run_job
from small_commands import WRITE, Made
from small_production import NIGHT, ROWS, done, production, row, settings

OWNER = f"{NIGHT}/00000005"


def run(tmp_path, workers=2, again=False, **instead):
    """Run the job of one science exposure's preproc; return its counts, and the records."""
    made = production(tmp_path, (row(5, "science"),), again=again)
    made.__dict__["commands"] = Made(tmp_path, made, **instead)
    job = made.job("preproc", f"{NIGHT}-00000005")
    done = tmp_path / "done.json"
    try:
        run_job(made, job, workers, done)
    except JobIncomplete:
        assert not done.exists()
    return made, {camera: Records(made.directory).get(Key("preproc", OWNER, camera)) for camera in ("b0", "r0", "z0")}


def files_of(made):
    return sorted(path for path in (made.directory / "preproc").rglob("*") if path.is_file())


FAILS = {
    "raises": ("raise ValueError('no light in it')", "ValueError: no light in it"),
    "says": ("import sys; print('reading'); sys.exit('error: there is no bias')", "there is no bias"),
    "logs": (
        "import sys; print('ERROR:a.py:2:f: no r0 in it\\nERROR:a.py:3:main: 1/1 failed'); sys.exit(1)",
        "no r0 in it; 1/1 failed",
    ),
    "status": ("import sys; print('last words'); sys.exit(3)", "last words"),
    "nothing": ("pass", "the command ended well, and preproc-r0-00000005.fits.txt is not there"),
    "empty": (
        "import sys; open(sys.argv[1], 'w')",
        "the command ended well, and preproc-r0-00000005.fits.txt is empty",
    ),
    "half": ("import sys; open(sys.argv[1], 'w').write('half'); raise OSError('torn')", "OSError: torn"),
}


@pytest.mark.parametrize("how", FAILS)
def test_a_task_that_fails_leaves_nothing_and_its_neighbours_alone(tmp_path, how):
    program, reason = FAILS[how]
    made, records = run(tmp_path, r0=program)
    assert [one.state for one in records.values()] == [DONE, FAILED, DONE]
    assert records["r0"].reason == reason
    assert [path.name for path in files_of(made)] == [f"preproc-{camera}-00000005.fits.txt" for camera in ("b0", "z0")]
    assert all(path.read_text() == "as it should be" for path in files_of(made))


def test_what_is_done_is_not_run_again_and_what_failed_only_if_wanted(tmp_path):
    made, _ = run(tmp_path, r0="raise ValueError")
    before = {path: path.stat().st_mtime_ns for path in files_of(made)}
    made, records = run(tmp_path)
    assert records["r0"].state == FAILED
    made, records = run(tmp_path, again=True)
    assert records["r0"].state == DONE
    files_of(made)[0].unlink()
    made, _ = run(tmp_path, b0=WRITE.replace("should be", "is now"))
    after = {path: path.stat().st_mtime_ns for path in files_of(made)}
    assert {path.name for path in after if after[path] != before.get(path)} == {
        "preproc-b0-00000005.fits.txt",
        "preproc-r0-00000005.fits.txt",
    }


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL (out of memory?)"),
        ("import errno; raise OSError(errno.ENOSPC, 'No space left on device')", "No space left on device"),
    ],
)
def test_what_was_broken_off_is_tried_twice_and_by_the_next_run(tmp_path, program, reason):
    program = f"open({str(tmp_path / 'tries')!r}, 'a').write('x')\n{program}"
    _, records = run(tmp_path, r0=program)
    assert [one.state for one in records.values()] == [DONE, BROKEN, DONE]
    assert reason in records["r0"].reason
    assert (tmp_path / "tries").read_text() == "xx"
    _, records = run(tmp_path)
    assert records["r0"].state == DONE


def test_a_task_that_waits_loses_what_was_made_from_something_else(tmp_path):
    made, _ = run(tmp_path)
    raw = tmp_path / f"raw/{NIGHT}/00000005/desi-00000005.fits.fz"
    raw.write_bytes(b"another one")
    made, records = run(tmp_path, r0="raise ValueError('torn')")
    assert records["r0"].state == FAILED
    assert [path.name[8:10] for path in files_of(made)] == ["b0", "z0"]


def test_tasks_have_one_thread_each_whatever_the_job_has(tmp_path, monkeypatch):
    """Libraries read it as they are imported, which the job does for all its tasks."""
    made, seen = production(tmp_path, (row(5, "science"),)), {}
    monkeypatch.setattr(os, "environ", {**os.environ, "OMP_NUM_THREADS": "32"})
    monkeypatch.setattr(run_step, "run_job", lambda *_: seen.update(os.environ))
    arguments = ["preproc", "--job", f"{NIGHT}-00000005", "--production", str(made.directory), "--raw", "raw"]
    run_step.main(run_step.build_parser().parse_args([*arguments, "--done", str(tmp_path / "done.json")]))
    assert (seen["OMP_NUM_THREADS"], seen["OPENBLAS_NUM_THREADS"]) == ("1", "1")


def test_each_log_has_a_command_that_repeats_the_task(tmp_path, capfd, caplog):
    caplog.set_level(logging.INFO)
    made, _ = run(tmp_path, r0="print('so it went')\nraise ValueError")
    said = capfd.readouterr().err
    block = said.partition("=== preproc r0")[2].partition("===")[0]
    assert "so it went" in block
    command = block.splitlines()[1]
    assert str(made.commands.outputs(Key("preproc", OWNER, "r0"))[0]) in command
    assert "preproc r0 20250115/00000005: failed" in caplog.text


KILLED = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
import test_run_tasks
test_run_tasks.run(Path({root!r}), b0="import sys, time; open(sys.argv[1], 'w').write('half'); time.sleep(60)")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_killed_leaves_no_half_file(tmp_path, number):
    here = [str(Path(__file__).parent), *(str(Path(path).resolve()) for path in sys.path if path)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(path=here, root=str(tmp_path))], start_new_session=True
    )
    wanted = tmp_path / "small/preproc"
    until = time.monotonic() + 60
    while time.monotonic() < until and not list(wanted.rglob(".task-preproc-b0*/preproc*")):
        time.sleep(0.05)
    os.killpg(process.pid, number)
    process.wait(30)
    assert process.returncode != 0
    assert not list(wanted.rglob("preproc-b0-00000005.fits.txt")) or number == signal.SIGKILL
    made, records = run(tmp_path)
    assert {one.state for one in records.values()} == {DONE}
    assert all(path.read_text() == "as it should be" for path in files_of(made))
    assert not list(wanted.rglob(".task*"))


def test_tasks_of_a_job_that_need_one_another_run_in_order(tmp_path):
    """The stars that calibrate are chosen before the cameras are calibrated, whoever is free."""
    made = production(tmp_path, ROWS[:5])
    order = tmp_path / "order"
    slow = f"import sys, time; time.sleep(0.2 * ('calibstars' in sys.argv[0])); open({str(order)!r}, 'a')"
    note = f"{slow}.write(sys.argv[0].split('/')[-1] + ' ')\n{WRITE}"
    made.__dict__["commands"] = Made(tmp_path, made, **dict.fromkeys(("", "b0", "r0", "z0"), note))
    done(made, *(task.key for task in made.tasks() if task.key.kind in ("calibstars", "fluxcalib")))
    (job,) = made.jobs("fluxcalib", 1e6)
    assert Runner(made, job, 3).run()[DONE] == 4
    kinds = [name.partition("_")[0] for name in order.read_text().split()]
    assert kinds == ["calibstars"] + ["fluxcalib"] * 3


def test_commands_find_nothing_in_what_the_user_works_on_otherwise(tmp_path):
    made = production(tmp_path, calibration=str(tmp_path))
    environ = {"DESI_SPECTRO_REDUX": "/theirs", "SPECPROD": "iron", "DESI_SPECTRO_DARK": "/darks", "HOME": "/home"}
    made.commands.set_environment(environ)
    assert Path(environ["DESI_SPECTRO_REDUX"], environ["SPECPROD"]) == made.directory
    assert "DESI_SPECTRO_DARK" not in environ
    assert environ["HOME"] == "/home"


def test_a_path_that_is_not_there_is_said_before_the_run(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(InputError, match=r"desi_reduction\.calibration: there is no /nowhere"):
        check_there(settings(tmp_path, calibration="/nowhere"))
    check_there(settings(tmp_path, calibration=str(tmp_path)))
