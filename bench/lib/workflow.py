"""Runs of the whole workflow, as a user would start them, in a directory of their own; and what each took. Linux."""

import contextlib
import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from lib import ROOT
from lib.progress import say

# Every Python process of a run says at its end what it was, when, and what it took. VmHWM and not ru_maxrss, which a
# process inherits from the one that started it.
PROBE = """
import atexit, os, sys, time
_start = time.time()
def _record():
    with open("/proc/self/status") as status:
        peak = next((line.split()[1] for line in status if line.startswith("VmHWM")), "0")
    line = f"{os.path.basename(sys.argv[0])},{_start},{time.time()},{time.process_time()},{peak}\\n"
    out = os.open(os.environ["SKYHARVEST_PROBE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(out, line.encode())
    os.close(out)
atexit.register(_record)
"""


@dataclass(frozen=True)
class Process:
    """What one Python process of a run said at its end: seconds since the epoch, CPU seconds, MB."""

    program: str
    start: float
    end: float
    cpu: float
    peak: float


@dataclass
class Stage:
    """One `snakemake` command. Seconds; MB; ``dag``: from its start until it knows its jobs, the imports included."""

    name: str
    wall: float
    own_cpu: float
    jobs_cpu: float
    others_cpu: float
    io_wait: float
    dag: float
    jobs: list[Process]
    peak: float


def prepare(
    folder: Path, csv: Path, surveys: Mapping[str, Any], *, results: Path | None = None, healpix: str | None = "healpix"
) -> None:
    """Make a directory to run in, with a ``config.yaml``; the results stand in ``results/`` beside it by default."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "targets": {"csv": str(csv), "healpix": healpix},
        **surveys,
        "results": str(results or folder / "results"),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "run").mkdir()
    (folder / "probe").mkdir()
    (folder / "probe" / "sitecustomize.py").write_text(PROBE)


def desi(archive: str | Path, **spectra: bool) -> dict[str, Any]:
    """Return the settings of a run on an archive of DESI's, with those of its spectra."""
    return {"desi": {"release": "dr1", "archive": str(archive), "spectra": spectra}}


def start(
    folder: Path, cores: int, *arguments: str, record: Path | None = None, out: int | IO[str] = subprocess.PIPE
) -> "subprocess.Popen[str]":
    """Start Snakemake as a user would, in a process group of its own; its jobs say in ``record`` what they took."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # users have compiled modules
    environment.setdefault("SLURM_CONF", "/dev/null")  # Snakemake asks for a cluster, and waits for one that is down
    if record:
        python_path = [str(folder / "probe"), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {"PYTHONPATH": os.pathsep.join(python_path), "SKYHARVEST_PROBE": str(record)}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles" / "default"), "--configfile", str(folder / "config.yaml")]
    command += ["--cores", str(cores), *arguments]
    return subprocess.Popen(
        command,
        cwd=folder / "run",
        env=environment,
        stdout=out,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_stage(folder: Path, name: str, cores: int, *arguments: str) -> Stage:
    """Run Snakemake to its end, which must be a good one."""
    say(f"{name}: snakemake {' '.join(arguments)}")
    record = folder / f"processes-{len(list(folder.glob('processes-*.log')))}.csv"
    log = record.with_suffix(".log")
    before, began, dag = machine_cpu(), time.monotonic(), 0.0
    process = start(folder, cores, *arguments, record=record)
    try:
        assert process.stdout is not None
        said = began
        with log.open("w") as out:
            for line in process.stdout:
                now = time.monotonic()
                if line.startswith(("Job stats:", "Nothing to be done")):
                    dag = dag or now - began
                if " steps (" in line and now - said > 20:
                    said = now
                    say(f"  {now - began:5.0f} s: {line.strip()}")
                out.write(line)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # Of a process that has ended and is not yet waited for, /proc tells the final figures.
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        own_user, own_system, jobs_user, jobs_system = (
            int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:15]
        )
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    wall = time.monotonic() - began
    busy, waited = (now - then for now, then in zip(machine_cpu(), before, strict=True))
    if process.wait():
        raise SystemExit(f"{name} failed with status {process.returncode}:\n{tail(log)}")
    with record.open() as stream:
        said_at_end = [Process(name, *map(float, rest)) for name, *rest in csv.reader(stream)]
    programs = {path.name for folder in ("", "*/", "reduction/*/") for path in (ROOT / "scripts").glob(f"{folder}*.py")}
    jobs = [one for one in said_at_end if one.program in programs]
    peak = max((one.peak for one in said_at_end if one not in jobs), default=0) / 1000
    own, others = own_user + own_system, jobs_user + jobs_system
    return Stage(name, wall, own, others, busy - own - others, waited, dag, jobs, peak)


def tail(log: Path) -> str:
    """Return the end of a log."""
    return "".join(log.read_text().splitlines(keepends=True)[-40:])


def machine_cpu() -> tuple[float, float]:
    """Return the seconds that all processors together were busy, and idle with a disk access pending, since boot."""
    user, nice, system, _, wait, *interrupts = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + sum(interrupts)) / tick, wait / tick


def disk_gb(*folders: Path) -> float:
    """Return what the files take on disk, holes not counted."""
    return sum(path.lstat().st_blocks * 512 for folder in folders for path in folder.rglob("*")) / 1e9


@contextlib.contextmanager
def working(parent: Path | None, name: str, *, keep: bool = False) -> Iterator[Path]:
    """Give an empty directory, and remove it at the end, also that of a SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if parent:
        parent.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=f"skyharvest-{name}-", dir=parent)).resolve()
    try:
        yield path
    finally:
        if keep:
            say(f"kept: {path}")
        else:
            shutil.rmtree(path)
