"""Run the tasks of a job: each in a process of its own, forked from one that has imported what they need.

A task's files appear under their names when all of them are whole. Its record says what it was made from; a task of
which the record says that, and whose files are there, is not run again.
"""

import importlib
import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skyharvest.core.atomic import atomic_path
from skyharvest.core.cli import EXIT_TRY_AGAIN
from skyharvest.core.errors import ArchiveUnavailable
from skyharvest.core.words import counted
from skyharvest.reduction.desi.commands import Commands
from skyharvest.reduction.desi.graph import LINKED, Key, Task
from skyharvest.reduction.desi.production import Job, Production
from skyharvest.reduction.desi.records import (
    BROKEN,
    DONE,
    FAILED,
    READY,
    WAITING,
    Judged,
    Record,
    Records,
    as_recorded,
    judge,
    show,
)
from skyharvest.reduction.desi.steps import STEPS
from skyharvest.reduction.desi.task_process import reason_of, run_commands
from skyharvest.reduction.desi.under_way import BEAT_S, DEAD_S, AtWork, Notice, read_notices, sweep

log = logging.getLogger(__name__)

TRANSIENT = re.compile(
    r"No space left on device|Disk quota exceeded|MemoryError|Input/output error|Cannot allocate memory"
)
"""What a log says where another try may do better."""
TRIES = 2
TEMPORARY = ".task-"


class JobIncomplete(ArchiveUnavailable):
    """Tasks of a job were broken off: the job is to be run again."""


@dataclass
class _Running:
    task: Task
    judged: Judged
    used: list[Key]
    outputs: list[Path]
    directories: list[Path]
    log: Path
    begun: float
    tries: int


class Runner:
    """Runs the tasks of a job.

    Parameters
    ----------
    workers
        How many run at once.
    only
        Which of its tasks; None for all.
    script
        Name of the script that does it, if one does.
    """

    def __init__(
        self,
        production: Production,
        job: Job,
        workers: int,
        only: Collection[Key] | None = None,
        script: str | None = None,
    ) -> None:
        self.production, self.job, self.workers = production, job, workers
        self.only, self.script = only, script
        self.commands: Commands = production.commands
        self.records = Records(production.directory)
        self.again = production.settings["again"]
        if job.step == "psf" and not self.commands.builtin:
            from skyharvest.reduction.desi.psf.steps import broken_fibers  # noqa: PLC0415 (only here, and heavy)

            self.commands.broken_fibers = broken_fibers
        self.counts = dict.fromkeys((DONE, FAILED, BROKEN, WAITING, "kept"), 0)
        self._running: dict[int, _Running] = {}
        self._imported = False
        self._ended = 0

    def run(self) -> dict[str, int]:
        """Run them; return how many tasks ended in which state, and how many were kept as they were.

        Raises
        ------
        JobIncomplete
            If one was broken off, though it was tried again.
        """
        for number in (signal.SIGTERM, signal.SIGINT):  # also where who has started this ignores one of them
            signal.signal(number, self._end)
        upstream = as_recorded(self.records, self.commands.is_there)
        tasks = self.production.tasks_of(self.job)
        own = {task.key for task in tasks}
        left = [task for task in tasks if not self._is_nothing_to_do(task, own, upstream)]
        sweep(self.production.directory)
        with AtWork(self.production.directory, f"{self.job.step} {self.job.name}", self.script) as self._at_work:
            self._at_work.tell((task.key for task in left), ())
            self._wait_for_others({task.key for task in left})
            self._run(left, upstream)
        if self.counts[BROKEN]:
            raise JobIncomplete(f"{self.counts[BROKEN]} tasks were broken off: see above; run again")
        return self.counts

    def _is_nothing_to_do(self, task: Task, own: Set[Key], upstream: Callable[[Key], Judged]) -> bool:
        """Tell whether a task is not chosen, or is done and stays so whatever this job does."""
        if self.only is not None and task.key not in self.only:
            return True
        if not own.isdisjoint((*task.needs, *task.some_of)):
            return False
        if judge(task, upstream, self.records, self.commands.is_there, again=self.again).state != DONE:
            return False
        self.counts["kept"] += 1
        return True

    def _wait_for_others(self, own: Set[Key]) -> None:
        """Wait until nobody else runs these tasks: one that was killed elsewhere seems to live on for a while.

        Raises
        ------
        JobIncomplete
            If somebody does, and lives.
        """
        until = time.monotonic() + DEAD_S + BEAT_S
        while others := [one for one in read_notices(self.production.directory) if self._is_before(one, own)]:
            if time.monotonic() > until:
                shared = counted(len(others[0].left & own), "task")
                raise JobIncomplete(f"of this job, {others[0].who} runs {shared}: wait for it, or stop it")
            time.sleep(1)

    def _is_before(self, other: Notice, own: Set[Key]) -> bool:
        mine = (self._at_work.began, self._at_work.path)
        return not (other.is_script or own.isdisjoint(other.left)) and (other.began, other.path) < mine

    def _run(self, left: list[Task], upstream: Callable[[Key], Judged]) -> None:
        self.commands.processes = max(1, self.workers // max(1, len(left)))
        unfinished = {task.key for task in left}
        for path in (path for task in left for path in self.commands.outputs(task.key)):
            _sweep(path)
        try:
            while left or self._running:
                for task in list(left):
                    if len(self._running) == self.workers:
                        break
                    if unfinished.isdisjoint((*task.needs, *task.some_of)):
                        left.remove(task)
                        judged = judge(task, upstream, self.records, self.commands.is_there, again=self.again)
                        if not self._begin(task, judged, [key for key in task.some_of if upstream(key).made]):
                            unfinished.discard(task.key)
                self._at_work.tell(unfinished, (one.task.key for one in self._running.values()))
                if self._ended:
                    raise SystemExit(128 + self._ended)
                if self._running:
                    unfinished -= self._end_one()
        except BaseException:
            self._stop()
            raise

    def _end(self, number: int, _frame: object) -> None:
        self._ended = number  # during a fork, what is raised is lost
        raise SystemExit(128 + number)

    def _begin(self, task: Task, judged: Judged, used: list[Key], tries: int = 1) -> bool:
        """Begin a task that is to be run; return whether there was one."""
        if judged.state != READY:
            self.counts["kept" if judged.state == DONE else judged.state] += 1
            if judged.state == WAITING:
                if self.records.get(task.key) is not None:
                    self._remove(task.key)  # what is there was made from something else
                log.warning("%s waits: %s", show(task.key), judged.reason)
            elif judged.state == FAILED:
                log.warning("%s has failed before: %s", show(task.key), judged.reason)
            return False
        if tries == 1:
            if task.about != LINKED:
                self._import()
            self._remove(task.key)
        outputs = self.commands.outputs(task.key)
        temporary, directories = [], []
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            directories.append(Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}.", dir=path.parent)))
            temporary.append(directories[-1] / path.name)
        words = self.commands.words(task, temporary, used)
        text = directories[0] / "log"
        pid = os.fork()
        if pid == 0:
            run_commands(words, temporary, text)
        self._running[pid] = _Running(task, judged, used, outputs, directories, text, time.monotonic(), tries)
        return True

    def _end_one(self) -> set[Key]:
        """Wait for a task to end; return its key, if it is not tried again."""
        pid, status, usage = os.wait4(-1, 0)
        if pid not in self._running:
            return set()
        one = self._running.pop(pid)
        seconds, code = time.monotonic() - one.begun, os.waitstatus_to_exitcode(status)
        said = one.log.read_text(encoding="utf-8", errors="replace") if one.log.exists() else ""
        command = self.commands.shown(one.task, one.used)
        sys.stderr.write(f"\n=== {show(one.task.key)}\n{command}\n{said.rstrip()}\n")
        breaks_off = code < 0 or code == EXIT_TRY_AGAIN or TRANSIENT.search(said)
        state = DONE if code == 0 else BROKEN if breaks_off else FAILED
        if state == DONE:
            for path, directory in zip(one.outputs, one.directories, strict=True):
                (directory / path.name).replace(path)
        for directory in one.directories:
            shutil.rmtree(directory, ignore_errors=True)
        reason = "" if state == DONE else reason_of(code, said)
        log.info("%s: %s in %.1f s %s", show(one.task.key), state, seconds, reason)
        if state == BROKEN and one.tries < TRIES:
            log.info("%s is tried again", show(one.task.key))
            self._begin(one.task, one.judged, one.used, one.tries + 1)
            return set()
        lacked = " ".join(f"{key.unit}@{key.owner}" for key in one.judged.lacked)
        made = one.judged.made or ""
        self.records.put(
            one.task.key,
            Record(one.task.key.unit, state, made, f"{seconds:.1f}", f"{usage.ru_maxrss / 1024:.0f}", reason, lacked),
        )
        self.counts[state] += 1
        return {one.task.key}

    def _remove(self, key: Key) -> None:
        unknown = self.records.get(key) is None
        self.records.put(key, None)
        for path in self.commands.outputs(key):
            if unknown and path.exists():
                log.warning(
                    "%s was there, and no record says what it was made from: it is made anew. To use a file that "
                    "somebody has put there, run `production.py sync` first",
                    path,
                )
            path.unlink(missing_ok=True)

    def _import(self) -> None:
        if not self._imported:
            self._imported = True
            for name in STEPS[self.job.step].imports:
                with suppress(ImportError):  # its command will say so
                    importlib.import_module(name)

    def _stop(self) -> None:
        for pid, one in self._running.items():
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            for directory in one.directories:
                shutil.rmtree(directory, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what a killed run of the same task has left."""
    for left in path.parent.glob(f"{TEMPORARY}{path.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


def run_job(production: Production, job: Job, workers: int, done: Path) -> None:
    """Run a job, and say in a file how its tasks have ended.

    Raises
    ------
    JobIncomplete
        If a task was broken off.
    """
    counts = Runner(production, job, workers).run()
    with atomic_path(done) as temporary:
        temporary.write_text(json.dumps(counts) + "\n", encoding="utf-8")
    log.info("%s %s: %s", job.step, job.name, ", ".join(f"{n} {state}" for state, n in counts.items() if n))
