"""What happens to a run on its own machine: killed, no room, no permission, torn files, company, and wrong clocks."""

import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from comparison import Comparison, compare
from reliability import Outcome, seen

from running import ROOT, SNAKEMAKE, environment, finish, snakemake, start
from workflow import prepared, settings

LOCAL = "local"
ROWS = 216  # 116 of the CSV, 100 spectra


def is_sound(found: Comparison) -> bool:
    """Tell whether everything is there, and as it should be."""
    rows, lost, wrong = found.figures()
    return rows == ROWS and lost == wrong == 0 and found.files == 14


def leftovers(directory: Path) -> list[Path]:
    return [path for path in directory.rglob(".*.tmp") if ".snakemake" not in path.parts]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
    """Wait until something is so; False if the process ends before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.01)
    return False


def progress(results: Path) -> int:
    """Return how many files a run has made, of 33."""
    patterns = ("targets/*", "desi/plan*", "desi/extracted/*/*", "desi_crossmatches/*/*")
    return sum(1 for pattern in patterns for _ in results.glob(pattern))


# --- kill -9 ---------------------------------------------------------------------------------------------------------


def test_a_killed_workflow_goes_on_where_it_was(directory, demo_release, sound, outcomes):
    """At random points of its way; alone, so that its jobs go on behind its successor's back, or with all its jobs."""
    chance = random.Random(4)
    options = settings(demo_release)
    results = directory / "results"
    points = sorted(chance.sample(range(2, 30), 4))
    said = ""
    for number, point in enumerate(points):
        process = start(directory, "--cores", "2", *options)
        assert wait_for(lambda at=point: progress(results) >= at, process)
        time.sleep(chance.uniform(0, 0.3))
        if number % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        if not said:
            refused = snakemake(directory, *options)
            assert refused.status != 0
            said = seen(refused.output, r"Error: Directory cannot be locked\.")
        assert snakemake(directory, *options, "--unlock").status == 0
    done = snakemake(directory, *options)
    assert done.status == 0, done.output
    found = compare(results, sound)
    assert is_sound(found), found
    assert leftovers(directory) == []
    assert "Nothing to be done" in snakemake(directory, *options).output
    becomes = "`snakemake --unlock`, then a rerun does what is missing"
    outcomes.append(Outcome(LOCAL, "`kill -9` of the workflow", said, becomes, len(points), *found.figures()))


def jobs_of(group: int) -> dict[int, str]:
    """Return the programs of scripts/ that run in a process group, by their process id."""
    found, parents = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                _, parent, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(its_group) == group and len(words) > 1 and words[1].endswith(b".py") and b"/scripts/" in words[1]:
                found[int(entry.name)], parents[int(entry.name)] = Path(words[1].decode()).name, int(parent)
    # A child that is about to become another program has the command of its parent still.
    return {pid: name for pid, name in found.items() if parents[pid] not in found}


def made(results: Path) -> dict[str, int]:
    """Return the files of pixels that there are, extracted and assembled, and when they were written."""
    patterns = ("desi/extracted/*/*.hdf5", "desi_crossmatches/*/*.hdf5")
    paths = [path for pattern in patterns for path in results.glob(pattern)]
    return {str(path.relative_to(results)): path.stat().st_mtime_ns for path in paths}


def test_a_killed_job_loses_only_what_it_was_at_and_a_rerun_keeps_the_rest(directory, demo_release, sound, outcomes):
    """As the kernel does when there is no memory left; all pixels are one job's."""
    options = settings(demo_release)
    results = directory / "results"
    points = (1, 6, 11)
    kept: dict[str, int] = {}
    for point in points:
        process = start(directory, "--cores", "2", *options)
        assert wait_for(lambda at=point: len(list(results.glob("desi/extracted/*/*.hdf5"))) >= at, process)
        (job,) = jobs_of(process.pid)
        os.kill(job, signal.SIGKILL)
        failed = finish(process, 200)
        assert failed.status != 0
        now = made(results)
        assert {name: now.get(name) for name in kept} == kept
        assert len(now) > len(kept)
        kept = now
    said = seen(failed.output, "Killed")
    assert "of 14 pixels are missing" in failed.output
    assert not (results / "desi/ledger.csv").exists()
    partly = compare(results, sound)
    assert not sum(partly.wrong.values())
    done = snakemake(directory, *options)
    assert done.status == 0, done.output
    now = made(results)
    assert {name: now[name] for name in kept} == kept
    found = compare(results, sound)
    assert is_sound(found), found
    assert leftovers(directory) == []
    becomes = "what it has made is kept; a rerun does the rest"
    outcomes.append(Outcome(LOCAL, "`kill -9` of a job", said, becomes, len(points), *found.figures()))


# --- Disks -----------------------------------------------------------------------------------------------------------

SMALL_DISK = """
set -u
run() {{ {snakemake} "$@"; echo "status $?"; }}
mount -t tmpfs -o size=200m tmpfs results
run -- plan > plan.txt 2>&1
mount -o remount,ro results
run > readonly.txt 2>&1
mount -o remount,rw,size=6m results
run > full.txt 2>&1
cat /dev/zero > results/filler 2> /dev/null
run > brimful.txt 2>&1
rm results/filler
find results -name '.*.tmp' > leftovers.txt
mount -o remount,size=200m results
run > again.txt 2>&1
cp -a results copied
"""


def test_a_disk_that_is_read_only_or_full_fails_and_loses_nothing(directory, demo_release, sound, outcomes):
    """In a mount namespace of its own, which vanishes with its last process."""
    enter = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*enter, "mount", "-t", "tmpfs", "tmpfs", directory], check=False).returncode
    ):
        pytest.skip("mounting a small file system is not permitted here")
    (directory / "results").mkdir()
    command = shlex.join(
        [*SNAKEMAKE, "--workflow-profile", str(ROOT / "profiles/default"), "--cores", "2", *settings(demo_release)]
    )
    script = SMALL_DISK.format(snakemake=command)
    subprocess.run([*enter, "sh", "-c", script], cwd=directory, env=environment(), check=True)
    names = ("plan", "readonly", "full", "brimful", "again")
    said = {name: (directory / f"{name}.txt").read_text() for name in names}
    assert {name: text.splitlines()[-1] == "status 0" for name, text in said.items()} == {
        "plan": True,
        "readonly": False,
        "full": False,
        "brimful": False,
        "again": True,
    }, said
    assert "Segmentation" not in said["full"]
    assert "of 14 pixels are missing" in said["full"]
    assert "make room on the disk of results/desi, and run again" in said["brimful"]
    assert "OSError in file" not in said["brimful"]
    assert (directory / "leftovers.txt").read_text() == ""
    found = compare(directory / "copied", sound)
    assert is_sound(found), found
    becomes = "the run fails; a rerun does what is missing"
    outcomes += [
        Outcome(
            LOCAL,
            "read-only results",
            seen(said["readonly"], "OSError: .*Read-only file system.*"),
            becomes,
            1,
            *found.figures(),
        ),
        Outcome(
            LOCAL,
            "disk full",
            seen(said["full"], r"\[Errno 28\] No space left on device"),
            becomes,
            1,
            *found.figures(),
        ),
    ]


# --- Torn files ------------------------------------------------------------------------------------------------------


def zero_a_page(path: Path) -> None:
    """Lose what a page of the middle held; the length stays."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(bytes(data))


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_torn_files_are_made_anew(tmp_path, demo_release, sound, outcomes):
    """Left by something else: our own appear complete or not at all."""
    directory = Path(shutil.copytree(sound.parent, tmp_path / "run"))
    options = settings(demo_release)
    results = directory / "results"
    torn, holed = results / "desi/extracted/272/27246.hdf5", results / "desi/extracted/194/19456.hdf5"
    for spoil, file in ((tear, torn), (zero_a_page, holed)):
        times = file.stat()
        spoil(file)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # a disk's fault leaves no time
    tear(directory / "resources/desi/demo/tilepix.fits")
    (results / "desi_crossmatches/healpix=1702/crossmatch_desi.hdf5").unlink()
    assembled = results / "desi_crossmatches/healpix=766/crossmatch_desi.hdf5"
    tear(assembled)
    done = snakemake(directory, *options)
    assert done.status == 0, done.output
    found = compare(results, sound)
    assert is_sound(found), found
    log = (results / "logs/plan_desi.log").read_text()
    fetched = seen(log, "the cached list of coadds is no good: .*", str(directory))
    assert "fetching" in fetched

    # Where nothing has to be harvested, it is the ledger that comes upon a file.
    times = assembled.stat()
    tear(assembled)
    os.utime(assembled, ns=(times.st_atime_ns, times.st_mtime_ns))
    (results / "desi/ledger.csv").unlink()
    failed = snakemake(directory, *options)
    assert failed.status != 0
    said = seen(failed.output, "error: .*healpix=766/.* is not a readable HDF5 file .*: remove it, the next .*")
    said = re.sub(r"\((Unable|truncated).*?\)+:", "(…):", said)
    assembled.unlink()
    done = snakemake(directory, *options)
    assert done.status == 0, done.output
    found = compare(results, sound)
    assert is_sound(found), found
    by_job, by_hand = (
        "made anew by the job that comes upon it",
        "the ledger fails; removed, it is made anew by the rerun",
    )
    for name, why, becomes in (
        ("torn list of coadds", fetched, "fetched again by the job"),
        ("torn extracted file", "", by_job),
        ("extracted file with a page of zeros", "", by_job),
        ("torn assembled file", said, f"{by_job}; without one, {by_hand}"),
    ):
        outcomes.append(Outcome(LOCAL, name, why, becomes, 1, *found.figures()))


# --- Company ---------------------------------------------------------------------------------------------------------


def test_two_runs_at_once(tmp_path, demo_release, sound, outcomes):
    """In one directory, or from two directories into the same results: the second is refused, and the first goes on."""
    first, second = (prepared(tmp_path / name, demo_release) for name in ("first", "second"))
    results = tmp_path / "shared"
    options = settings(demo_release, results=results)
    process = start(first, "--cores", "2", *options)
    assert wait_for((results / "logs/run.json").exists, process)
    os.killpg(process.pid, signal.SIGSTOP)  # for as long as the others try: it would be done before the second
    refused = [snakemake(directory, *options) for directory in (first, second)]
    os.killpg(process.pid, signal.SIGCONT)
    assert all(run.status for run in refused)
    done = finish(process, 200)
    assert done.status == 0, done.output
    found = compare(results, sound)
    assert is_sound(found), found
    assert leftovers(tmp_path) == []
    assert not (second / "resources").exists()
    locked = seen(refused[0].output, r"Error: Directory cannot be locked\.")
    shared = re.sub("[0-9]+", "…", seen(refused[1].output, "shared is being written by another run: process [0-9]+"))
    assert snakemake(second, *options).status == 0
    found = compare(results, sound)
    assert is_sound(found), found
    becomes = "the second ends at once, the first goes on; afterwards there is nothing left to do, or to spoil"
    outcomes += [
        Outcome(LOCAL, "two runs in one directory", locked, becomes, 1, *found.figures()),
        Outcome(LOCAL, "two directories, the same results", shared, becomes, 1, *found.figures()),
    ]


TOUCH = "find results resources -newermt now -exec touch {} +"

# --- Clocks ----------------------------------------------------------------------------------------------------------


def test_a_clock_in_the_past(directory, demo_release, sound, outcomes):
    """A CSV that seems older than what was made of another one is noticed; files of the future stop a run."""
    options = settings(demo_release)
    csv = directory / "data/targets.csv"
    text = csv.read_text().splitlines(keepends=True)
    csv.write_text("".join(text[:60]))
    assert snakemake(directory, *options, "--", "targets").status == 0
    csv.write_text("".join(text))
    long_ago = 1e9
    os.utime(csv, (long_ago, long_ago))
    again = snakemake(directory, *options, "--", "plan")
    assert again.status == 0
    noticed = seen(again.output, "Params have changed since last execution")
    tomorrow = time.time() + 86_400
    os.utime(directory / "results/targets/targets.parquet", (tomorrow, tomorrow))
    failed = snakemake(directory, *options)
    assert failed.status != 0
    stopped = seen(
        failed.output, "This could indicate a clock skew problem .* should therefore be fixed on system level"
    )
    assert not (directory / "results/desi/ledger.csv").exists()
    subprocess.run(["sh", "-c", TOUCH], cwd=directory, check=True)
    done = snakemake(directory, *options)
    assert done.status == 0, done.output
    found = compare(directory / "results", sound)
    assert is_sound(found), found
    figures = found.figures()
    outcomes += [
        Outcome(LOCAL, "a CSV older than what was made of another one", noticed, "the run makes all anew", 1, *figures),
        Outcome(LOCAL, "files of the future", stopped, f"the jobs fail; `{TOUCH}`, and a rerun does them", 1, *figures),
    ]
