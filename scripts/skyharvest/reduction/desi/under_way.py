"""What is being run, and what has been handed to a cluster to be run: a small file for each process and each script.

They stand in a production's ``tasks/under_way``, so that every machine that sees the production is told the same. Who
runs tasks touches its file every `BEAT_S`: one that nobody has touched for `DEAD_S` is left from a crash, and counts no
more. A script that waits in a queue need not beat, until it has begun.
"""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from skyharvest.harvest.run_record import identity
from skyharvest.reduction.desi.graph import Key

BEAT_S, DEAD_S = 5.0, 30.0
"""A network's file system may show times that are some seconds old."""
DIRECTORY = "tasks/under_way"
_SCRIPT = "script-"


@dataclass(frozen=True)
class Notice:
    """What a file says.

    Attributes
    ----------
    host, pid
        Of the process that runs tasks; 0 for a script.
    job
        What it is, for people.
    left
        Tasks that it has still to do.
    running
        Those of them that are under way now.
    queued
        Whether it is a script that has not begun.
    """

    path: Path
    host: str
    pid: int
    job: str
    began: float
    left: frozenset[Key]
    running: frozenset[Key]
    queued: bool

    @property
    def is_script(self) -> bool:
        """Whether it is a script's, of which processes tell the rest."""
        return self.path.name.startswith(_SCRIPT)

    @property
    def who(self) -> str:
        """Who runs it, in words."""
        return f"process {self.pid} on {self.host} ({self.job})"


def read_notices(production: Path) -> list[Notice]:
    """Return what is under way in a production now."""
    found = []
    for path in sorted((production / DIRECTORY).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # ended just now
            given = json.loads(path.read_text(encoding="utf-8"))
            if _lives(given, path.stat().st_mtime):
                found.append(_notice(path, given))
    return found


def _notice(path: Path, given: dict[str, Any]) -> Notice:
    left, running = (frozenset(Key(*words) for words in given[name]) for name in ("left", "running"))
    return Notice(path, given["host"], given["pid"], given["job"], given["began"], left, running, given["queued"])


def _lives(given: dict[str, Any], touched: float) -> bool:
    if given["queued"]:
        return True
    if given["pid"] and given["host"] == socket.gethostname():  # it can be seen, also one that has been stopped
        return bool(identity(given["pid"]) == given["identity"])
    return time.time() - touched <= DEAD_S


class AtWork:
    """This process's file, for as long as it runs tasks: ``with AtWork(…) as at_work: at_work.tell(…)``.

    It beats by SIGALRM, as a thread would be forked with every task; so it must be used in the main thread.

    Parameters
    ----------
    production
        Its directory.
    job
        What is run, for people.
    script
        Name of the script that runs it, if one does: see `hand_over`.
    """

    def __init__(self, production: Path, job: str, script: str | None = None) -> None:
        me = os.getpid()
        self.path = production / DIRECTORY / f"{socket.gethostname()}-{me}-{job.replace(' ', '-')}.json"
        self._said: dict[str, Any] = {"host": socket.gethostname(), "pid": me, "identity": identity(me), "job": job}
        self._said |= {"began": time.time(), "queued": False, "left": [], "running": []}
        self._script = None if script is None else notice_of(production, script)

    @property
    def began(self) -> float:
        """When it began, seconds since 1970."""
        return float(self._said["began"])

    def __enter__(self) -> "AtWork":
        self._handler = signal.signal(signal.SIGALRM, self._beat)
        self._timer, self._since = signal.setitimer(signal.ITIMER_REAL, BEAT_S, BEAT_S), time.monotonic()
        if self._script is not None:
            _begin(self._script)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._handler)
        if self._timer[0]:  # somebody else's alarm, such as that of a test
            left = max(self._timer[0] - (time.monotonic() - self._since), 0.01)
            signal.setitimer(signal.ITIMER_REAL, left, self._timer[1])
        self.path.unlink(missing_ok=True)

    def tell(self, left: Iterable[Key], running: Iterable[Key]) -> None:
        """Say which tasks are left to be done, and which of them are under way."""
        self._said |= {"left": list(left), "running": list(running)}
        _write(self.path, self._said)

    def _beat(self, _number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            for path in (self.path, self._script):
                if path is not None and path.exists():
                    os.utime(path)


def hand_over(production: Path, script: str, keys: Collection[Key]) -> None:
    """Say that a script with tasks waits in a queue; it takes the name to `AtWork` when it begins."""
    said = {"host": "", "pid": 0, "identity": "", "job": script, "began": time.time(), "queued": True}
    path = notice_of(production, script)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, said | {"left": list(keys), "running": []})


def take_back(production: Path, script: str) -> None:
    """Say that a script is in no queue any more."""
    notice_of(production, script).unlink(missing_ok=True)


def withdraw(production: Path, keys: Collection[Key]) -> None:
    """Say that tasks are in no queue any more: their scripts have been cancelled."""
    for notice in read_notices(production):
        if notice.queued and not notice.left.isdisjoint(keys):
            left = notice.left - set(keys)
            if left:
                hand_over(production, notice.job, sorted(left))
            else:
                take_back(production, notice.job)


def notice_of(production: Path, script: str) -> Path:
    """Return the file of a script."""
    return production / DIRECTORY / f"{_SCRIPT}{script}.json"


def _begin(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # it was not submitted, but is run by hand
        _write(path, json.loads(path.read_text(encoding="utf-8")) | {"queued": False})


def _write(path: Path, said: dict[str, Any]) -> None:
    """Write a file whole; without the wait for the disk that lasting ones are worth."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(said), encoding="utf-8")
    except FileNotFoundError:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(said), encoding="utf-8")
    temporary.replace(path)


def sweep(production: Path) -> None:
    """Remove what crashes have left."""
    living = {notice.path for notice in read_notices(production)}
    for path in (production / DIRECTORY).glob("*.json"):
        with contextlib.suppress(OSError):
            if path not in living and time.time() - path.stat().st_mtime > DEAD_S:
                path.unlink()
