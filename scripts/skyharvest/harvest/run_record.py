"""Who runs a workflow: a small file beside its logs, and whether the process that it names is still alive.

`.snakemake/` names the jobs that had begun, also those that were cut off by a power failure, but no process. So the
workflow notes when it starts, and when it ends; if its process is gone without a word, it was interrupted.
"""

import contextlib
import json
import logging
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path

log = logging.getLogger(__name__)

RECORD = "run.json"
RUNNING, FINISHED, FAILED = "running", "finished", "failed"


@dataclass(frozen=True)
class Run:
    """A run of the workflow, as its record says.

    Attributes
    ----------
    host, pid, identity
        Where it runs, and a text that no other process has, ever: a number alone is given again after a reboot.
    started, ended
        Seconds since 1970; ``ended`` is None while it runs.
    outcome
        ``running``, ``finished`` or ``failed``.
    command, directory, log
        Its command line, working directory, and Snakemake's own log.
    releases, simulated, copied
        Of its configuration: the release of each survey that is asked for, whether they are simulated first, and
        whether DESI's coadds are copied by Globus before they are read.
    hetdex
        Of its configuration: what of a reduction of HETDEX's frames is asked for, by name (`Chosen` of its steps).
    """

    releases: dict[str, str]
    simulated: bool
    copied: bool
    hetdex: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    directory: str = ""
    log: str = ""
    host: str = ""
    pid: int = 0
    identity: str = ""
    started: float = 0.0
    ended: float | None = None
    outcome: str = RUNNING


def begin(
    logs: Path,
    snakemake_log: str,
    *,
    releases: dict[str, str],
    simulated: bool,
    copied: bool,
    hetdex: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of this process's run, unless another one is under way. Failing to is only a warning."""
    before = load(logs)
    if before is not None and is_alive(before):
        return
    pid = os.getpid()
    run = Run(
        releases=releases,
        simulated=simulated,
        copied=copied,
        hetdex=hetdex or {},
        command=shlex.join(["snakemake", *sys.argv[1:]]),
        directory=str(Path.cwd()),
        log=snakemake_log,
        host=socket.gethostname(),
        pid=pid,
        identity=identity(pid),
        started=time.time(),
    )
    _write(logs, run)


def end(logs: Path, outcome: str) -> None:
    """Add how this process's run ended."""
    run = load(logs)
    if run is not None and run.pid == os.getpid():
        _write(logs, replace(run, ended=time.time(), outcome=outcome))


def _write(logs: Path, run: Run) -> None:
    try:
        with atomic_path(logs / RECORD) as temporary:
            temporary.write_text(json.dumps(asdict(run), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        log.warning("%s is not kept: %s", logs / RECORD, error)


def load(logs: Path) -> Run | None:
    """Return the last run that wrote its record, or None."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Run(**json.loads((logs / RECORD).read_text(encoding="utf-8")))
    return None


def is_alive(run: Run) -> bool | None:
    """Tell whether a run goes on; None if it is another host's, which cannot be seen from here."""
    if run.ended is not None:
        return False
    if identity(run.pid) == run.identity != "":
        return True
    return False if run.host == socket.gethostname() else None


def identity(pid: int) -> str:
    """Return what tells a process from all others that have had or will have its number; "" if it is not alive."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        if fields[0] in "ZX":  # dead, and not yet asked how by its parent
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {fields[19]}"  # ticks between boot and its start: proc(5), field 22
    ask = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    with contextlib.suppress(OSError):
        answer = subprocess.run(ask, capture_output=True, text=True, check=False)
        state, _, started = answer.stdout.strip().partition(" ")
        return "" if state.startswith("Z") else started.strip()
    return ""
