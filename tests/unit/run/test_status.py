"""How a run stands: trees of files as runs leave them behind, at every stage and after every accident."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import status as program
from skyharvest.core import cli
from skyharvest.harvest import ledger, run_record
from skyharvest.harvest.journal import Journal, Line
from skyharvest.harvest.not_selected import NotSelected, write_not_selected
from skyharvest.harvest.run_record import Run
from skyharvest.run import jobs, snakemake_state
from skyharvest.run import status as looked
from skyharvest.run.status import STATES, Status
from skyharvest.run.status_table import show
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.plan import NO_TARGETID, TARGET_DTYPE

# pix64 → its coadds' programs; NSIDE=16 pixels 0 (1, 2, 3) and 1 (3, 17) are a batch each.
COADDS = {1: ("dark", "bright"), 2: ("dark",), 3: ("dark", "backup"), 17: ("bright",)}
SEARCHED = [(0, 1), (0, 2), (0, 3), (1, 3), (1, 17)]
ROWS = {1: (0, 1), 2: (2,), 3: (3, 4), 17: (4, 5)}  # 4 touches two pixels
FIRST, SECOND = "4-0", "4-1"
gather = partial(looked.gather, survey=DESI)
ASKED = Run({"desi": "dr1"}, simulated=False, copied=False)
COMMAND = "python scripts/desi/harvest_desi.py --archive 'https://a b' --batch 4-0"


class Tree:
    """A working directory; its results are in ``results/x``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.results = directory / "results/x"
        self.recorded: Run | None = None

    def look(self) -> Status:
        return gather(self.results, self.directory, ASKED, run_record.load(self.results / "logs"))

    def counts(self, rule: str) -> dict[str, int]:
        counted = self.look().jobs[rule][1]
        return {state: n for state, n in counted.items() if n}

    def file(self, name: str, text: str = "") -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def prepare(self) -> None:
        for name in ("targets.parquet", "pix64.txt"):
            self.file(f"results/x/targets/{name}")
        self.file(
            "results/x/targets/pix64_counts.csv", "pix64,count,pix64_group\n1,2,0\n2,1,0\n3,2,0\n17,1,0\n900,4,9\n"
        )
        self.file("results/x/targets/rejected.csv", 'row,reason,name\n10,"RA_DESI is\nempty",a\n11,no,"b,c"\n')

    def plan(self) -> None:
        self.prepare()
        self.file("resources/desi/dr1/tilepix.fits")
        pairs = [f"main,{program},{pix64},0,9\n" for pix64, programs in COADDS.items() for program in programs]
        self.file("results/x/desi/plan.csv", "survey,program,pix64,pix16,n_targets\n" + "".join(pairs))
        pairs = [f"{pix16},{pix64},9,d\n" for pix16, pix64 in SEARCHED]
        self.file("results/x/desi/plan_pixels.csv", "pix16,pix64,n_targets,digest\n" + "".join(pairs))
        table = [(pix64, row, 1.0, 2.0, NO_TARGETID) for pix64, rows in ROWS.items() for row in rows]
        np.save(self.results / "desi/plan_targets.npy", np.array(table, TARGET_DTYPE))
        write_not_selected(NotSelected({"sv1/other": [8], "special/dark": [8]}), self.results / "desi")

    def journal(self, *lines: Line) -> None:
        Journal(self.results / "logs/extract_desi.csv").add(lines)

    def extract(self, pix64: int, rows: tuple[int, ...] = (), status: str = "read", **about: object) -> None:
        """Finish a pixel; its targets match in every coadd, or all of its coadds are absent."""
        self.file(f"results/x/desi/extracted/{pix64 // 100}/{pix64}.hdf5")
        line = Line(time.time(), pix64, "main", "", status, 9, len(rows), 2.0, 3, 1_000_000, rows)
        self.journal(*(replace(line, program=program, **about) for program in COADDS[pix64]))

    def assemble(self, pix16: int) -> None:
        self.file(f"results/x/desi_crossmatches/healpix={pix16}/crossmatch_desi.hdf5")

    def finish(self, batch: str) -> None:
        self.file(f"results/x/desi/extracted/batches/{batch}.csv")

    def log(self, batch: str, *ending: str, rule: str = "harvest_desi", when: float | None = None) -> Path:
        lines = [f"2026-01-01 00:00:00,000 INFO command: {COMMAND}", "2026-01-01 00:00:01,000 INFO at work", *ending]
        path = self.file(f"results/x/logs/{rule}/{batch}.log", "\n".join(lines) + "\n")
        if when:
            os.utime(path, (when, when))
        return path

    def run(self, *, alive: bool | None = True, began: float | None = None, **about: object) -> None:
        """Record a run: of this process, of one that is dead, or of another host's."""
        logs = self.results / "logs"
        dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        identity = run_record.identity(dead.pid)
        dead.communicate()
        run = Run(**vars(ASKED)) if alive else replace(ASKED, pid=dead.pid, identity=identity)
        if alive:
            run = replace(run, pid=os.getpid(), identity=run_record.identity(os.getpid()))
        host = socket.gethostname() if alive is not None else "elsewhere"
        run = replace(run, host=host, command="snakemake --cores 2", directory=str(self.directory), started=time.time())
        self.file("results/x/logs/run.json", json.dumps(vars(replace(run, **about))))
        if began:
            os.utime(logs / "run.json", (began, began))

    def begin(self, *outputs: str, external: str | None = None, when: float | None = None) -> None:
        """Let Snakemake note that jobs have begun."""
        from snakemake.persistence.file import FilePersistence

        notes = FilePersistence(path=self.directory / ".snakemake")
        for output in outputs:
            notes._mark_incomplete(output, external)
            if when:
                os.utime(notes._record_path(notes._incomplete_path, output), (when, when))


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


def test_before_anything_has_run(tree):
    status = tree.look()
    assert (status.run, status.alive, status.targets, status.errors) == (None, False, {}, [])
    assert tree.counts("prepare_targets") == {"ready": 1}
    assert tree.counts("plan_desi") == {"waiting": 1}
    assert status.jobs["harvest_desi"] == ("coadd", None)
    text = show([status], time.time(), 5)
    assert "none has been recorded here" in text
    assert "? coadds" in text
    assert "simulate_release" not in text
    assert "globus_transfer" not in text


def test_rules_that_not_every_run_has(tree):
    tree.plan()
    asked = replace(ASKED, simulated=True, copied=True)
    status = gather(tree.results, tree.directory, asked, None)
    assert list(status.jobs) == [
        *("simulate_release", "prepare_targets", "fetch_tilepix", "plan_desi", "globus_transfer"),
        *("harvest_desi", "desi_crossmatches", "account_desi"),
    ]
    assert status.jobs["harvest_desi"][1]["waiting"] == 6  # for the copies
    assert list(gather(tree.results, tree.directory, replace(ASKED, releases={}), None).jobs) == ["prepare_targets"]


def test_when_only_the_targets_are_known(tree):
    tree.prepare()
    assert tree.look().targets == Counter({"rejected": 2, looked.TO_DO: 10}) | dict.fromkeys(
        (*DESI.statuses, looked.TO_DO), 0
    ) | {
        "rejected": 2,
        looked.TO_DO: 10,
    }


def test_with_a_plan_every_coadd_is_ready_and_what_comes_after_waits(tree):
    tree.plan()
    assert tree.counts("harvest_desi") == {"ready": 6}
    assert tree.counts("desi_crossmatches") == {"waiting": 2}
    assert tree.counts("account_desi") == {"waiting": 1}
    status = tree.look()
    assert {name: n for name, n in status.targets.items() if n} == {
        "not_selected": 1,
        "not_covered": 3,
        "rejected": 2,
        looked.TO_DO: 6,
    }
    assert status.files["main", "dark"] == {"left": 3}


def test_in_the_middle_of_a_run(tree):
    """The first batch is at its second pixel. The second one has failed at 3, which the first one comes to as well."""
    tree.plan()
    tree.run()
    tree.extract(1, (0,))
    tree.begin("results/x/desi/extracted/batches/4-0.csv")
    tree.log(FIRST)
    tree.extract(17, status="absent")
    tree.journal(Line(time.time(), 3, "", "", "failed", message="HTTP 503"))
    tree.log(SECOND, "error: 1 of 2 pixels failed")
    assert tree.counts("harvest_desi") == {"done": 2, "running": 1, "ready": 2, "absent": 1}
    assert tree.counts("desi_crossmatches") == {"waiting": 2}
    status = tree.look()
    assert status.alive
    assert status.files["main", "bright"] == {"read": 1, "absent": 1}
    assert status.seconds_each["main", "bright"] == 2.0
    targets = {name: n for name, n in status.targets.items() if n}
    # 1 was not found, 4 and 5 are in an absent coadd, but 4 is near another one that has not been searched yet.
    done = {"matched": 1, "no_fiber": 1, "coadd_absent": 1}
    assert targets == done | {"not_selected": 1, "not_covered": 3, "rejected": 2, looked.TO_DO: 3}
    assert (status.bytes, status.requests, status.n_spectra) == (3_000_000, 9, 2)
    text = show([status], time.time(), 5)
    assert "running for" in text
    assert "3.0 MB" in text
    assert re.search(r"^reading .* left$", text, re.M)
    tree.extract(2)
    tree.extract(3)
    assert tree.counts("desi_crossmatches") == {"running": 1, "failed": 1}
    tree.assemble(0)
    assert tree.counts("desi_crossmatches") == {"done": 1, "failed": 1}
    assert tree.counts("account_desi") == {"waiting": 1}


def test_a_crash_leaves_nothing_running(tree):
    """As after `kill -9` of everything, or a power failure; and the lock is seen."""
    tree.plan()
    tree.extract(1, (0,))
    tree.begin("results/x/desi/extracted/batches/4-0.csv")
    tree.log(FIRST)
    tree.run(alive=False)
    from snakemake.persistence.file import FilePersistence

    FilePersistence(path=tree.directory / ".snakemake")._write_locks("output", ["results/x/desi/plan.csv"])
    assert tree.counts("harvest_desi") == {"done": 2, "interrupted": 1, "ready": 3}
    status = tree.look()
    assert (status.alive, status.locked, status.errors) == (False, True, [])
    text = show([status], time.time(), 5)
    assert "interrupted: process" in text
    assert "snakemake --cores 2 --unlock" in text
    other = gather(tree.directory / "results/y", tree.directory, ASKED, None)
    assert not other.locked


def test_the_next_run_after_a_crash_has_its_own_jobs(tree):
    """Notes and errors that are older than it say nothing about what it does."""
    tree.plan()
    hour = time.time() - 3600
    tree.begin("results/x/desi/extracted/batches/4-0.csv", when=hour)
    tree.log(FIRST, "error: HTTP 503", when=hour)
    tree.journal(Line(hour, 2, "", "", "failed", message="HTTP 503"))
    tree.run(began=time.time() - 60)
    tree.begin("results/x/desi/extracted/batches/4-1.csv")
    tree.log(SECOND)
    assert tree.counts("harvest_desi") == {"ready": 4, "running": 2}
    assert tree.look().errors == []


def test_a_number_that_another_process_has_now_is_not_the_run(tree):
    tree.run(identity="an older boot 1234")
    assert tree.look().alive is False
    tree.run(identity="")
    assert tree.look().alive is False


def test_a_process_that_is_dead_but_not_buried_is_dead():
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    alive = run_record.identity(child.pid)
    assert alive != run_record.identity(os.getpid())
    child.stdout.read()
    deadline = time.monotonic() + 10
    while run_record.identity(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive
    assert run_record.identity(child.pid) == ""
    child.wait()
    assert run_record.identity(child.pid) == ""


def test_another_hosts_run_cannot_be_judged(tree):
    tree.plan()
    tree.run(alive=None)
    tree.begin("results/x/desi/extracted/batches/4-0.csv")
    tree.log(FIRST)
    status = tree.look()
    assert status.alive is None
    assert tree.counts("harvest_desi")["running"] == 2
    assert "cannot be seen from this host; last sign of life" in show([status], time.time(), 5)


def test_a_job_in_a_clusters_queue_does_not_run_yet(tree):
    tree.plan()
    tree.run(began=time.time() - 60)
    tree.begin("results/x/desi/extracted/batches/4-1.csv", external="4711")
    assert tree.counts("harvest_desi") == {"ready": 6}
    tree.log(SECOND)
    assert tree.counts("harvest_desi") == {"ready": 4, "running": 2}


def test_a_job_that_outlives_its_run_is_running(tree):
    """The workflow was killed alone: its jobs go on to their ends."""
    tree.plan()
    tree.begin("results/x/desi/extracted/batches/4-1.csv")
    tree.run(alive=False)
    with tree.log(SECOND).open("a") as log:
        job = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=log)
        assert tree.counts("harvest_desi") == {"ready": 4, "running": 2}
        job.communicate(b"\n")
    assert tree.counts("harvest_desi") == {"ready": 4, "interrupted": 2}


def test_results_behind_a_link_are_the_same(tree):
    """On a cluster, `results` is often a link to a faster disk."""
    tree.plan()
    tree.run(began=time.time() - 60)
    (tree.directory / "results").rename(tree.directory / "scratch")
    (tree.directory / "results").symlink_to("scratch")
    tree.begin("results/x/desi/extracted/batches/4-1.csv")
    tree.log(SECOND)
    for results in ("results/x", "scratch/x"):
        status = gather(tree.directory / results, tree.directory, ASKED, run_record.load(tree.results / "logs"))
        assert status.jobs["harvest_desi"][1]["running"] == 2
        with tree.log(FIRST).open("a") as log:
            job = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=log)
            status = gather(tree.directory / results, tree.directory, ASKED, None)
            assert status.jobs["harvest_desi"][1]["running"] == 2
            job.communicate(b"\n")


def test_failures_say_why_where_and_how_to_repeat_them(tree, monkeypatch):
    tree.plan()
    tree.run(alive=False, ended=time.time(), outcome="failed")
    tree.extract(1, (0,))
    tree.journal(Line(time.time(), 2, "", "", "failed", message="HTTP 403"))
    log = tree.log(FIRST, "error: 1 of 3 pixels failed, the other 2 are kept for the next run: 2: HTTP 403")
    tree.log(SECOND, "Traceback (most recent call last):", '  File "x.py"', "ZeroDivisionError: a bug")
    tree.log("healpix=1", "error: two\nlines", when=time.time() - 50)  # asked for alone, before
    assert tree.counts("harvest_desi") == {"done": 2, "failed": 4}
    status = tree.look()
    assert {error.job for error in status.errors} == {f"harvest_desi {name}" for name in (FIRST, SECOND)}
    first = next(error for error in status.errors if error.job == "harvest_desi 4-0")
    assert (first.command, first.log) == (COMMAND, log)
    assert first.message.endswith("2: HTTP 403")
    assert "ZeroDivisionError: a bug" in {error.message for error in status.errors}
    monkeypatch.chdir(tree.directory)
    text = show([status], time.time(), 1)
    assert "ended before all was done" in text
    assert "errors    2, the last 1:" in text
    text = show([status], time.time(), 2)
    assert f"repeat  {COMMAND}" in text
    assert "log     results/x/logs/harvest_desi/" in text
    monkeypatch.chdir("/")
    assert f"repeat  cd {tree.directory} && {COMMAND}" in show([tree.look()], time.time(), 2)


def test_a_pixel_that_failed_shows_while_its_batch_goes_on(tree):
    tree.plan()
    tree.run(began=time.time() - 60)
    tree.begin("results/x/desi/extracted/batches/4-0.csv")
    tree.log(FIRST)
    tree.journal(Line(time.time(), 1, "", "", "failed", message="HTTP 403"))
    assert tree.counts("harvest_desi") == {"failed": 2, "running": 1, "ready": 3}
    (error,) = tree.look().errors
    assert (error.job, error.message, error.command) == ("harvest_desi 4-0", "pixel 1: HTTP 403", COMMAND)
    tree.extract(1)
    assert tree.counts("harvest_desi") == {"done": 2, "running": 1, "ready": 3}


def test_batches_that_there_are_no_more_say_nothing_once_others_have_done_their_pixels(tree):
    """After a change of `batch_seconds`."""
    tree.plan()
    tree.run(alive=False)
    tree.log(FIRST, "error: HTTP 403", when=time.time() - 50)
    tree.log("3-7", "error: HTTP 403")  # has none of the plan's pixels
    assert [error.job for error in tree.look().errors] == ["harvest_desi 4-0"]
    for pix64 in COADDS:
        tree.extract(pix64)
    tree.log("all", "2026-01-01 00:00:00,000 INFO done")
    tree.finish("all")
    assert tree.counts("harvest_desi") == {"done": 6}
    assert tree.look().errors == []


@pytest.mark.parametrize(
    ("ending", "dead", "alive"),
    [
        ((), "interrupted", "failed"),  # of a run that goes on, it was killed for memory or time
        (("KeyboardInterrupt",), "interrupted", "failed"),
        (("Traceback (most recent call last):", "KeyboardInterrupt"), "interrupted", "failed"),
        (("error: no",), "failed", "failed"),
        (("harvest_desi.py: error: unrecognized arguments",), "failed", "failed"),
        (("2026-01-01 00:00:00,000 INFO done",), "ready", "ready"),  # and its list was removed
    ],
)
def test_what_a_logs_end_means(tree, ending, dead, alive):
    tree.plan()
    tree.log(SECOND, *ending)
    tree.run(alive=False)
    # Both of its pixels have failed; but only the first of them can have been interrupted.
    counts = {"interrupted": {"ready": 4, "interrupted": 2}, "failed": {"ready": 3, "failed": 3}, "ready": {"ready": 6}}
    assert tree.counts("harvest_desi") == counts[dead]
    tree.run(began=time.time() - 60)
    assert tree.counts("harvest_desi") == counts[alive]


PROGRAM = """
import sys
sys.path.insert(0, {scripts!r})
from skyharvest.core import cli, errors

def main(options):
    if options.how == "fail":
        raise errors.MalformedFile("two\\nlines")
    if options.how == "break":
        raise ZeroDivisionError("a bug")

made = cli.parser("A program")
made.add_argument("how")
made.add_argument("--archive")
sys.exit(cli.run(main, made, job={job}))
"""


@pytest.mark.parametrize(
    ("how", "ending"), [("work", jobs.DONE), ("fail", "two\nlines"), ("break", "ZeroDivisionError: a bug")]
)
def test_programs_write_what_the_status_reads(tmp_path, how, ending):
    """The log of a program, as a rule's shell line redirects it."""
    scripts = str(Path(program.__file__).parent)
    (tmp_path / "it's.py").write_text(PROGRAM.format(scripts=scripts, job=True))
    words = [sys.executable, str(tmp_path / "it's.py"), how, "--archive", "https://a b"]
    with (tmp_path / "log").open("w") as log:
        subprocess.run(words, stderr=log, check=False)
    command, found = jobs.read_log(tmp_path / "log")
    assert (shlex.split(command), found) == (words, ending)
    (tmp_path / "no job.py").write_text(PROGRAM.format(scripts=scripts, job=False))
    done = subprocess.run([sys.executable, str(tmp_path / "no job.py"), "work"], capture_output=True, check=True)
    assert done.stderr == b""


def test_long_names_of_outputs_are_found(tmp_path):
    tree = Tree(tmp_path)
    deep = "/".join(["d" * 60] * 8)
    tree.begin(f"results/{deep}/plan.csv", "/elsewhere/x.csv")
    outputs = {tmp_path / "results" / deep / "plan.csv", Path("/elsewhere/x.csv")}
    assert set(snakemake_state.read_begun(tmp_path)) == outputs


def test_at_the_end_the_summary_counts(tree):
    tree.plan()
    for pix64 in COADDS:
        tree.extract(pix64)
    for pix16, batch in enumerate((FIRST, SECOND)):
        tree.assemble(pix16)
        tree.finish(batch)
    assert tree.counts("account_desi") == {"ready": 1}
    summary = {"status": dict.fromkeys(DESI.statuses, 2), "spectra": 77}
    tree.file("results/x/desi/ledger.csv")
    path = tree.file("results/x/desi/summary.json", json.dumps(summary))
    tree.run(alive=False, ended=time.time(), outcome="finished")
    status = tree.look()
    assert all(set(counted) <= {"done"} for _, counted in status.jobs.values())
    assert (status.n_spectra, status.targets["matched"], status.targets[looked.TO_DO]) == (77, 2, 0)
    assert "finished: began" in show([status], time.time(), 5)
    os.utime(path, (1, 1))  # of an older plan
    assert tree.look().n_spectra == 0


def test_rows_of_every_state_add_up_to_the_plan(tree):
    tree.plan()
    for step in (
        lambda: None,
        lambda: tree.extract(1, (0, 1)),
        tree.run,
        lambda: (tree.begin("results/x/desi/extracted/batches/4-0.csv"), tree.log(FIRST)),
        lambda: tree.extract(2, status="unreadable"),
        lambda: tree.log(SECOND, "error: no"),
        lambda: tree.run(alive=False),
    ):
        step()
        status = tree.look()
        assert set(status.jobs["harvest_desi"][1]) <= set(STATES)
        assert status.jobs["harvest_desi"][1].total() == 6
        assert sum(counts.total() for counts in status.files.values()) == 6
        assert sum(status.targets.values()) == 12
        assert show([status], time.time(), 5)


# The journal is an index: without it, the extracted files say the same.


@pytest.fixture(scope="module")
def harvested(tmp_path_factory) -> Path:
    """Real results of a small release; two targets lie where two pixels meet, one coadd is missing, one is torn."""
    from small_release import ARMS, harvest, inside, near, path_of, simulated, write, write_list

    root = tmp_path_factory.mktemp("harvested")
    release, results = root / "archive", root / "results"
    pixels = (27247, 27246, 19456)
    made = []
    for k, pix64 in enumerate(pixels):
        at = np.array([inside(pix64, number) for number in (5, 20, 40)]).T
        for kind in ("dark", "bright"):
            coadd = simulated(3, kind, pix64, seed=k, at=at)
            for arm in ARMS:
                coadd.ivar[arm][1] *= kind == "bright"  # no data in the others
            made.append(coadd)
            if (pix64, kind) != (27246, "bright"):
                write(release, coadd)
    write_list(release, [("sv3", "dark", 100), *(("main", coadd.program, coadd.pix64) for coadd in made)])
    (release / path_of(made[-1])).write_bytes(b"torn")
    (release / path_of(made[2])).unlink()
    rows = [near(coadd, fiber, arcsec) for coadd in made[::2] for fiber, arcsec in ((0, 0.4), (1, 0.5), (2, 2.5))]
    rows += [inside(27247, 60), inside(100, 3), inside(101, 3), ("x", 3)]
    (root / "t.csv").write_text("RA_DESI,DEC_DESI\n" + "".join(f"{ra},{dec}\n" for ra, dec in rows))
    harvest(release, root / "t.csv", results)
    return results


def test_without_a_journal_the_targets_are_those_of_the_ledger(harvested):
    status = gather(harvested, harvested.parent, ASKED, None)
    made = ledger.account(
        targets=harvested / "targets/targets.parquet",
        rejected=harvested / "targets/rejected.csv",
        plan_targets=harvested / "desi/plan_targets.npy",
        not_selected=harvested / "desi/plan_not_selected.json",
        extracted=harvested / "desi/extracted",
        crossmatches=harvested / "desi_crossmatches",
        name="chandra",
        survey=DESI,
        config_hash="abc",
    )
    expected = Counter(made.status.tolist())
    assert len(expected) >= 6
    assert {name: n for name, n in status.targets.items() if n} == expected
    assert status.n_spectra == made.n_spectra.sum()
    read = Counter(state for counts in status.files.values() for state, n in counts.items() for _ in range(n))
    assert read == made.files
    assert tuple(status.targets) == (*DESI.statuses, looked.TO_DO)


def test_a_journal_of_other_files_is_not_believed(harvested, tmp_path):
    """The results were copied, or extracted again without it: its times are not theirs."""
    import shutil

    results = shutil.copytree(harvested, tmp_path / "results")
    before = gather(results, tmp_path, ASKED, None)
    wrong = Line(time.time(), 27247, "main", "", "absent")
    Journal(results / "logs/extract_desi.csv").add([replace(wrong, program=name) for name in ("dark", "bright")])
    os.utime(DESI.path(results / "desi/extracted", 27247), (1e9, 1e9))
    assert gather(results, tmp_path, ASKED, None).targets == before.targets
    DESI.path(results / "desi/extracted", 27247).write_bytes(b"torn")
    os.utime(DESI.path(results / "desi/extracted", 27247), (1e9, 1e9))
    assert gather(results, tmp_path, ASKED, None).jobs["harvest_desi"][1]["ready"] == 2


def test_a_torn_journal_costs_only_time(tree):
    tree.plan()
    for pix64 in COADDS:
        tree.extract(pix64, ROWS[pix64])
    path = tree.results / "logs/extract_desi.csv"
    path.write_bytes(path.read_bytes()[:-20])
    status = tree.look()
    assert status.jobs["harvest_desi"][1] == {"done": 5, "ready": 1}  # its file is empty here: that says nothing
    assert status.targets["matched"] == 5


# The program.


def show_status(capsys, *words: str) -> str:
    assert cli.run(program.main, program.build_parser(), list(words), job=False) == 0
    return capsys.readouterr().out


def test_the_program_finds_the_run_that_was_last(tree, capsys, monkeypatch):
    monkeypatch.chdir(tree.directory)
    monkeypatch.setattr(program, "CONFIGS", [tree.directory / "demo.yaml", tree.directory / "config.yaml"])
    csv = "targets: {csv: resources/demo/targets.csv}\n"
    tree.file("demo.yaml", f"{csv}desi: {{release: demo, archive: local}}\nresults: results/demo\n")
    tree.file("config.yaml", f"{csv}results: results/x\n")
    assert "results/demo\n" in show_status(capsys)
    tree.run()
    assert "results/x\n" in show_status(capsys)
    assert "results/demo\n" in show_status(capsys, "--configfile", "demo.yaml")
    assert "results/x\n" in show_status(capsys, "--results", "results/x")


def test_an_archive_that_is_gone_does_not_matter_to_a_run_that_was(tree, capsys, monkeypatch):
    monkeypatch.chdir(tree.directory)
    tree.file("my.yaml", "targets: {csv: a.csv}\ndesi: {archive: /not/mounted}\nresults: results/x\n")
    tree.plan()
    tree.run(alive=False)
    assert "6 coadds" in show_status(capsys, "--configfile", "my.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--configfile", "none.yaml"], "none.yaml"),
        (["--configfile", "list.yaml"], "expected keys and values, found list"),
        (["--results", "results/none"], "give the run's --configfile instead"),
    ],
)
def test_what_cannot_be_shown_is_said(tree, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tree.directory)
    tree.file("list.yaml", "- a\n")
    assert cli.run(program.main, program.build_parser(), words) == cli.EXIT_USAGE
    assert message in capsys.readouterr().err


def test_a_run_that_cannot_be_recorded_goes_on(tmp_path, caplog):
    (tmp_path / "logs").touch()
    run_record.begin(tmp_path / "logs", "", releases={"desi": "dr1"}, simulated=False, copied=False)
    run_record.end(tmp_path / "logs", run_record.FINISHED)
    assert "run.json is not kept" in caplog.text


def test_a_run_beside_one_that_is_alive_leaves_its_record(tree):
    about = {"releases": {"desi": "dr1"}, "simulated": False, "copied": False}
    logs = tree.results / "logs"
    run_record.begin(logs, "a.log", **about)
    first = run_record.load(logs)
    run_record.begin(logs, "b.log", **about)
    assert run_record.load(logs) == first
    run_record.end(logs, run_record.FINISHED)
    assert run_record.load(logs).outcome == run_record.FINISHED
    run_record.begin(logs, "b.log", **about)
    assert (run_record.load(logs).log, run_record.load(logs).ended) == ("b.log", None)
