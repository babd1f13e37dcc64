"""Every row of the table of desi_pipe's commands, as the documentation has it, does what it says."""

import csv
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from running import ROOT
from skyharvest.reduction.desi.records import DONE, FAILED, GIVEN
from small_commands import FAILS
from small_control import NIGHT, Small
from small_production import done

PAGE = (ROOT / "docs" / "desi-control.md").read_text()
ROWS = {
    cells[0].strip(" `"): (re.findall(r"`([^`]+)`", cells[1]), cells[2])
    for cells in re.findall(r"^\| (`[a-z]+`) \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
}
DESI_PIPE = (
    *("create", "go", "update", "top", "status", "chain", "cleanup", "tasks"),
    *("check", "dryrun", "script", "run", "getready", "sync", "env"),
)


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def row(name: str) -> list[str]:
    """Return the commands of a row."""
    return [said for said in ROWS[name][0] if said.split()[0] in ("production.py", "make")]


def test_the_table_has_each_of_its_commands_and_each_has_a_test():
    assert sorted(ROWS) == sorted(DESI_PIPE)
    assert all(row(name) or name == "env" for name in ROWS)
    assert {name for name in globals() if name.startswith("test_row_")} == {f"test_row_{name}" for name in ROWS}


def test_row_create(small):
    (create,) = row("create")
    said = small(create)
    assert re.search(r"small, .*: 51 tasks", said)
    assert yaml.safe_load((small.directory / "options.yaml").read_text())["options"]["redshift"]["enabled"] is False
    table = small.directory / f"exposure_tables/202501/exposure_table_{NIGHT}.csv"
    assert [line["EXPID"] for line in csv.DictReader(table.open())] == ["1", "2", "3", "5"]
    small.config.write_text(small.config.read_text().replace("redshift:", "sky: {adjust_lsf: false}\n    redshift:"))
    assert "options.sky.adjust_lsf: True there, False now" in small(create, status=2)


def test_row_go(small):
    (go,) = row("go")
    small.expose(9, "arc", night=NIGHT + 1)
    shown = small(f"{go} ARGS=-n")
    assert "desi_exposure_tables" in shown
    assert not small.directory.exists()
    said = small(f"{go} ARGS=\"--config desi_reduction='{{nights: [{NIGHT}]}}'\"", status=1, fails="psf-z0")
    assert "psf z0 20250115 00000001: ValueError: no light in it" in said
    states = small.states()
    assert (states["psf b0 00000001"], states["psf z0 00000001"], states["psfnight z0"]) == (DONE, FAILED, "waiting")
    assert states["cframe b0 00000005"] == DONE
    assert [path.name for path in (small.directory / "exposures").iterdir()] == [str(NIGHT)]


def test_row_update(small):
    update, alone = row("update")
    small.begun()
    small.expose(7, "science")
    small.expose(8, "science")
    small(alone)
    assert {name.split()[-1] for name in small.states("--steps", "cframe")} == {"00000005", "00000008"}
    small(update)
    assert {name.split()[-1] for name in small.states("--steps", "cframe")} == {"00000005", "00000007", "00000008"}


def test_row_getready(small):
    (getready,) = row("getready")
    small.begun()
    assert small(getready).count("preproc ") == small(getready).count("ready") == 12
    small("production.py run --steps preproc --expids 1")
    assert {name for name in small.states("--states", "ready") if "00000001" in name} == {
        f"psf {camera} 00000001" for camera in ("b0", "r0", "z0")
    }


def test_row_top(small):
    made, once, by_night = row("top")
    small.all_done()
    for path in small.directory.glob("exposures/*/*/cframe-b0-*"):
        path.unlink()
    for command in (made, once):
        lines = {line.split()[0]: line.split()[1:] for line in small(command).splitlines() if line}
        assert lines["step"] == ["waiting", "ready", "running", "submitted", "done", "failed"]
        assert lines["cframe"] == ["–", "1", "–", "–", "2", "–"]
        assert lines["preproc"] == ["–", "–", "–", "–", "12", "–"]
    lines = {line.split()[0]: line.split()[1:] for line in small(by_night).splitlines() if line}
    assert lines[str(NIGHT)] == ["–", "1", "–", "–", "49", "–"]
    assert lines["healpix"] == ["–", "–", "–", "–", "1", "–"]


def test_top_looks_again_and_again_until_it_is_interrupted(small):
    small.begun()
    words = [
        sys.executable,
        str(ROOT / "scripts/production.py"),
        "top",
        "--configfile",
        str(small.config),
        "--every",
        "0.5",
    ]
    looking = subprocess.Popen(words, cwd=small.root, env=small.environment, stdout=subprocess.PIPE, text=True)
    seen = []
    for line in looking.stdout:
        seen += [line.split()] if line.startswith("preproc") else []
        if len(seen) == 1:
            done(small.production)
        if seen and seen[-1][5] == "12":
            break
    looking.send_signal(2)
    looking.communicate()
    assert looking.returncode == 130
    assert seen[0] == ["preproc", "–", "12", "–", "–", "–", "–"]
    assert seen[-1] == ["preproc", "–", "–", "–", "–", "12", "–"]


def test_row_status(small):
    of_night, harvests = row("status")
    small.all_done()
    assert re.search(r"^all +– +– +– +– +51 +–$", small(of_night), re.MULTILINE)
    assert "no task has nights 20250116" in small(of_night.replace(str(NIGHT), "20250116"), status=2)
    assert harvests == "make status"
    assert str(small.root / "results") in small(harvests)


def test_row_tasks(small):
    (tasks,) = row("tasks")
    small.all_done()
    lines = list(csv.DictReader(io.StringIO(small(tasks))))
    assert [(one["task"], one["expid"], one["camera"], one["state"]) for one in lines] == [
        ("psf", "00000001", "b0", DONE),
        ("psf", "00000002", "b0", DONE),
        ("psfnight", "", "b0", DONE),
    ]
    assert {line.split()[0] for line in small("production.py tasks --expids 3").splitlines()[1:]} == {
        *("preproc", "traceshift", "extract", "fiberflat", "fiberflatnight")
    }
    assert "there is no 'psfnite'; did you mean 'psfnight'" in small("production.py tasks --steps psfnite", status=2)


def test_row_check(small):
    (check,) = row("check")
    small.begun()
    small(check)
    small("production.py run --steps preproc", status=1, fails="preproc-z0")
    said = small(check, status=1)
    assert "error: 4 tasks failed" in said
    assert "preproc z0 20250115/00000001: ValueError: no light in it" in said
    small(f"{check} --cameras b0 r0")


def test_row_dryrun(small):
    commands, sync = row("dryrun")
    small.begun()
    said = small(commands)
    assert small.states("--steps", "preproc", "--expids", "1") == dict.fromkeys(
        (f"preproc {camera} 00000001" for camera in ("b0", "r0", "z0")), "ready"
    )
    subprocess.run(["bash", "-e"], input=said, text=True, cwd=small.root, env=small.environment, check=True)
    small(sync)
    assert set(small.states("--steps", "preproc", "--expids", "1").values()) == {DONE}
    pasted = small.record("preproc", "b0", 1)
    small("production.py cleanup --steps preproc --expids 1")
    small("production.py run --steps preproc --expids 1")
    assert small.record("preproc", "b0", 1).made == pasted.made


def test_row_script(small):
    shell, slurm = row("script")
    small.begun()
    paths = [line.split()[0] for line in small(shell).splitlines()]
    assert [Path(path).stem for path in paths] == ["001-preproc", "002-psf"]
    for path in paths:
        subprocess.run(["bash", path], env=small.environment, cwd="/", check=True)
    assert set(small.states("--steps", "preproc", "psf").values()) == {DONE}
    lines = small(slurm.replace("--minutes 30", "--minutes 1") + " --sbatch '--account=m1 --qos=debug'").splitlines()
    names = [Path(line.split()[0]).stem[4:] for line in lines]
    assert names == [
        "psfnight",
        *["traceshift"] * 2,
        *["extract"] * 2,
        "fiberflat",
        "fiberflatnight",
        "sky",
        *(("starfit", "fluxcalib", "cframe", "spectra")),
    ]
    text = Path(lines[1].split()[0]).read_text()
    assert {"#SBATCH --nodes=1", "#SBATCH --time=1", "#SBATCH --account=m1", "#SBATCH --qos=debug"} <= {
        *text.splitlines()
    }
    whole = [Path(line.split()[0]).read_text() for line in small(f"{slurm} --steps traceshift").splitlines()]
    assert len(whole) == 1
    assert "#SBATCH --nodes=2" in whole[0]
    assert "srun" in whole[0]


SBATCH = """#!/bin/bash
# Begins a script at once, as a cluster with free nodes does.
echo "$@" >> "$SMALL/sbatch"
for script; do :; done
(cd / && bash "$script" > /dev/null 2> "$SMALL/log.$(wc -l < "$SMALL/sbatch")") || true
wc -l < "$SMALL/sbatch"
"""
SRUN = """#!/bin/bash
# Starts a command on two nodes.
for n in 0 1; do SLURM_PROCID=$n SLURM_NTASKS=2 "$@" & done
wait
"""
REFUSES = """#!/bin/bash
echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
exit 1
"""


def cluster(small, **programs: str) -> None:
    directory = small.root / "bin"
    directory.mkdir()
    for name, text in programs.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    small.environment |= {"SMALL": str(small.root), "PATH": f"{directory}:{os.environ['PATH']}"}


def test_row_chain(small):
    (chain,) = row("chain")
    small.begun()
    cluster(small, sbatch=SBATCH, srun=SRUN)
    said = small(f"{chain} --nodes 2")
    assert re.search(r"001-preproc-to-psfnight\.sh  21 tasks, \d+ minutes, job 1$", said, re.MULTILINE)
    states = small.states()
    assert {name.split()[0] for name, state in states.items() if state == DONE} == {"preproc", "psf", "psfnight"}
    small("production.py script --submit --nodes 2")
    asked = (small.root / "sbatch").read_text().splitlines()
    assert [re.findall(r"--dependency=(\S+)", line) for line in asked[1:4]] == [[], ["afterany:2"], ["afterany:3"]]
    assert set(small.states().values()) == {DONE}
    assert list((small.directory / "tasks/under_way").iterdir()) == []


def test_row_run(small):
    (run,) = row("run")
    small.begun()
    small(run, status=1, fails="preproc-b0")
    states = small.states("--steps", "preproc")
    assert {name.split()[1]: state for name, state in states.items()} == {"b0": FAILED, "r0": DONE, "z0": DONE}
    small(run)
    assert small.record("preproc", "b0", 1).state == FAILED, "nothing has changed"
    small(f"{run} --states failed")
    assert small.record("preproc", "b0", 1).state == DONE
    small("production.py run")
    assert set(small.states().values()) == {DONE}
    shown = small("make run CONFIG=my.yaml ARGS=-n")
    assert "account_desi_reduction" in shown
    assert "rule desi_" not in shown.replace("rule desi_exposure_tables", "")


def test_row_cleanup(small):
    failed, one = row("cleanup")
    small.begun()
    small("production.py run --steps preproc", status=1, fails="preproc-b0")
    small(failed)
    assert set(small.states("--steps", "preproc", "--cameras", "b0").values()) == {"ready"}
    done(small.production)
    before = small.states()
    said = small(one)
    assert small.states() == before
    assert "would be: psf b0 20250115/00000001: removed fit-psf-b0-00000001.fits" in said
    small(one.removesuffix(" --dry-run"))
    states = small.states()
    assert states["psf b0 00000001"] == "ready"
    assert not list(small.directory.rglob("fit-psf-b0-00000001.fits"))
    again = {name for name, state in states.items() if state == "waiting"}
    assert len(list(small.directory.glob("exposures/*/*/frame-b0-*"))) == 0
    assert len(list(small.directory.glob("exposures/*/*/frame-r0-*"))) == 2
    own = ("traceshift", "extract", "fiberflat", "sky", "fluxcalib", "cframe")
    assert {name for name in again if name.split()[0] in own and name.split()[1] != "b0"} == {
        *(f"{kind} {camera} 00000005" for kind in ("fluxcalib", "cframe") for camera in ("r0", "z0"))
    }
    assert {"psfnight b0", "traceshift b0 00000003", "starfit 0 00000005"} <= again
    assert "choose some" in small("production.py cleanup", status=2)


def test_row_sync(small):
    (sync,) = row("sync")
    small.all_done()
    before = small.states()
    assert small(sync).strip() == "0 changes"
    for path in (small.directory / "tasks").rglob("*.csv"):
        path.unlink()
    assert DONE not in small.states().values()
    small(sync)
    assert small.states() == before
    for path in small.directory.glob("calibnight/*/psfnight-b0-*"):
        path.unlink()
    assert "psfnight b0 20250115: its files are gone" in small(sync)
    assert small.states()["psfnight b0"] == "ready"


def test_row_env(small):
    small.begun()
    said = small("production.py env")
    ran = subprocess.run(
        ["bash", "-c", f"{said}\necho $DESI_SPECTRO_CALIB $OMP_NUM_THREADS; command -v python"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.split() == [str(small.root / "calibration"), "1", str(Path(sys.executable))]


def test_a_psf_that_somebody_has_put_there_is_used_whatever_becomes_of_the_arcs(small):
    small.begun()
    given = small.directory / f"calibnight/{NIGHT}/psfnight-b0-{NIGHT}.fits"
    given.parent.mkdir(parents=True)
    given.write_text("of another night")
    assert "psfnight b0 20250115: its files are there: given" in small("production.py sync")
    assert small.record("psfnight", "b0").state == GIVEN
    small("production.py run --steps preproc psf psfnight traceshift", status=1, fails="psf-b0")
    states = small.states()
    assert (states["psfnight b0"], states["traceshift b0 00000005"]) == (DONE, DONE)
    assert given.read_text() == "of another night"
    given.write_text("of yet another night")
    small("production.py sync")
    assert small.states()["traceshift b0 00000005"] == "ready"


def test_what_is_queued_or_running_is_told_until_it_is_not(small):
    """From a script in the queue, its processes, and after a crash of them: by files, as another machine would."""
    small.begun()
    cluster(small, sbatch="#!/bin/bash\necho 17\n")
    (script,) = small("production.py script --steps preproc --submit --workers 1").splitlines()
    assert set(small.states("--steps", "preproc").values()) == {"submitted"}
    assert small("production.py script --steps preproc") == "", "what is submitted is not submitted again"
    environment = small.environment | {FAILS: "slow:preproc-r0"}
    running = subprocess.Popen(["bash", script.split()[0]], env=environment, start_new_session=True)
    until = time.monotonic() + 60
    while small.states("--steps", "preproc").get("preproc r0 00000001") != "running":
        assert time.monotonic() < until
    states = small.states("--steps", "preproc")
    assert (states["preproc b0 00000001"], states["preproc z0 00000001"]) == (DONE, "submitted")
    elsewhere = [path for path in (small.directory / "tasks/under_way").iterdir() if "script" not in path.name]
    assert len(elsewhere) == 1
    os.killpg(running.pid, 9)
    running.wait()
    for path in (small.directory / "tasks/under_way").iterdir():
        os.utime(path, (time.time() - 60,) * 2)
    states = small.states("--steps", "preproc")
    assert set(states.values()) == {DONE, "ready"}
    assert states["preproc r0 00000001"] == "ready"
    small("production.py run --steps preproc")
    assert set(small.states("--steps", "preproc").values()) == {DONE}


def test_a_submission_that_is_refused_leaves_its_tasks_ready_and_says_so(small):
    small.begun()
    cluster(small, sbatch=REFUSES)
    said = small("production.py script --steps preproc --submit", status=1)
    assert "001-preproc.sh was not submitted, and 0 after it: sbatch: error: QOSMaxSubmitJobPerUserLimit" in said
    assert set(small.states("--steps", "preproc").values()) == {"ready"}
    submitted = small.states("--states", "submitted")
    assert submitted == {}
