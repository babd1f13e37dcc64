"""What has become of tasks: a small CSV for each owner and kind of task, written as each task ends.

Light: it is imported whenever the workflow is parsed.
"""

import csv
import fcntl
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from skyharvest.core.csv_file import write_rows
from skyharvest.core.many_objects import without_collector
from skyharvest.reduction.desi.graph import Key, Task, digest_of

DONE, FAILED, BROKEN, WAITING, READY = "done", "failed", "broken off", "waiting", "ready"
"""States. Failed is for good, as long as nothing changes; broken off is tried again."""
GIVEN = "given"
"""Of records only: somebody has put the files there. As long as they are there, the task is done."""

NEW = "it has not been run"
"""Why most tasks are to be run."""


class Record(NamedTuple):
    """What has become of a task.

    Attributes
    ----------
    unit
        Of its key.
    state
        `DONE`, `FAILED`, `BROKEN` or `GIVEN`.
    made
        Digest of all that it was made from, or of the files that were given, 16 hex digits.
    seconds, megabytes
        That it took.
    reason
        Why it failed.
    lacked
        Tasks whose files would have been used, had they been there.
    """

    unit: str
    state: str
    made: str
    seconds: str = ""
    megabytes: str = ""
    reason: str = ""
    lacked: str = ""


class Records:
    """The records of a production."""

    def __init__(self, production: Path) -> None:
        self.root = production / "tasks"
        self._of: dict[tuple[str, str], dict[str, Record]] = {}

    def path(self, kind: str, owner: str) -> Path:
        """Return where the records of an owner's tasks of a kind are."""
        return self.root / owner / f"{kind}.csv"

    def get(self, key: Key) -> Record | None:
        """Return the record of a task; None if there is none."""
        if (key.kind, key.owner) not in self._of:
            self._of[key.kind, key.owner] = _read(f"{self.root}/{key.owner}/{key.kind}.csv")
        return self._of[key.kind, key.owner].get(key.unit)

    def units(self, kind: str, owner: str) -> list[str]:
        """Return the units of an owner that have a record of this kind."""
        self.get(Key(kind, owner, ""))
        return list(self._of[kind, owner])

    def put(self, key: Key, record: Record | None) -> None:
        """Set, or remove, the record of a task; the file appears whole, with what others have put there meanwhile."""
        path = self.path(key.kind, key.owner)
        if record is None and not path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            own = self._of[key.kind, key.owner] = _read(str(path))
            if record is None and key.unit not in own:
                return
            own.pop(key.unit, None)
            if record is not None:
                own[key.unit] = record
            write_rows(path, Record._fields, (own[unit] for unit in sorted(own)))


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other processes from changing an owner's records, where the file system has such locks."""
    number = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def recorded(records: Records) -> Iterator[Key]:
    """Yield all tasks that have a record, whether or not a table asks for them."""
    for path in sorted(records.root.rglob("*.csv")):
        kind, owner = path.stem, path.parent.relative_to(records.root).as_posix()
        yield from (Key(kind, owner, unit) for unit in records.units(kind, owner))


def _read(path: str) -> dict[str, Record]:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 (tens of thousands of them)
            text = stream.read().decode()
    except FileNotFoundError:
        return {}
    if '"' in text:
        lines = list(csv.reader(io.StringIO(text, newline="")))
    else:
        lines = [line.split(",") for line in text.splitlines()]
    if not lines or tuple(lines[0]) != Record._fields:
        return {}  # nothing is known: it is done again
    return {line[0]: Record._make(line) for line in lines[1:]}


class Judged(NamedTuple):
    """How a task stands.

    Attributes
    ----------
    state
        `DONE`, `FAILED`, `WAITING` (for something that is not going to be done), or `READY` (to be run).
    made
        Digest of what it is made from, or will be; None if it will not be done.
    reason
        Why it failed, waits, or is to be run.
    lacked
        Those of `Task.some_of` that will not be there.
    """

    state: str
    made: str | None
    reason: str = ""
    lacked: tuple[Key, ...] = ()


def judge(
    task: Task,
    upstream: Callable[[Key], Judged],
    records: Records,
    is_there: Callable[[Key], bool],
    *,
    again: bool,
) -> Judged:
    """Tell how a task stands.

    Parameters
    ----------
    upstream
        How another one stands.
    is_there
        Tells whether all files of a task are there.
    again
        Whether what has failed is tried again, though nothing has changed.
    """
    record = records.get(task.key)
    if record is not None and record.state == GIVEN and is_there(task.key):
        return Judged(DONE, record.made)
    needs = [upstream(key) for key in task.needs]
    some = [upstream(key).made for key in task.some_of]
    if why := _waits_for(task, needs, some):
        return Judged(WAITING, None, why)
    if task.about is None and record is not None and record.state == DONE and is_there(task.key):
        return Judged(DONE, record.made)
    made = _digest(task, [one.made for one in needs], [made for made in some if made])
    if record is not None and record.made == made:
        if record.state == FAILED and not again:
            return Judged(FAILED, None, record.reason)
        if record.state == DONE and is_there(task.key):
            return Judged(DONE, made)
    lacked = tuple(key for key, there in zip(task.some_of, some, strict=True) if there is None)
    return Judged(READY, made, _why(record, made), lacked)


def _waits_for(task: Task, needs: Sequence[Judged], some: Sequence[str | None]) -> str:
    """Return what a task waits for in vain; "" if for nothing."""
    for key, one in zip(task.needs, needs, strict=True):
        if one.made is None:
            return f"{show(key)}: {one.state}"
    if task.some_of and not any(some):
        return f"none of {', '.join(map(show, task.some_of))} has been done"
    if not (task.needs or task.some_of or task.about) and task.about is not None:
        return "the night has no exposure for it"
    return ""


def _why(record: Record | None, made: str) -> str:
    """Return why a task is to be run."""
    if record is None:
        return NEW
    if record.made != made and record.state != GIVEN:
        return "what it is made from has changed"
    return "its file is gone" if record.state in (DONE, GIVEN) else record.reason


def judge_all(
    tasks: Iterable[Task], records: Records, is_there: Callable[[Key], bool], *, again: bool
) -> dict[Key, Judged]:
    """Return how tasks of a production stand, those that are to be run taken for done for those that need them.

    What is not among them, as it is not asked for, is taken as it has ended.
    """
    made = _Made(as_recorded(records, is_there))
    with without_collector():
        for task in tasks:
            made[task.key] = judge(task, made.__getitem__, records, is_there, again=again)
    return made


class _Made(dict[Key, Judged]):
    """How tasks stand; of others, how they have ended."""

    def __init__(self, ended: Callable[[Key], Judged]) -> None:
        super().__init__()
        self._ended = ended

    def __missing__(self, key: Key) -> Judged:
        return self._ended(key)


def as_recorded(records: Records, is_there: Callable[[Key], bool]) -> Callable[[Key], Judged]:
    """Return a function that tells how a task has ended, for those that need it."""

    def of(key: Key) -> Judged:
        record = records.get(key)
        if record is None:
            return Judged(WAITING, None)
        is_done = record.state in (DONE, GIVEN) and is_there(key)
        return Judged(record.state, record.made if is_done else None, record.reason)

    return of


def _digest(task: Task, needs: Iterable[str | None], some: Iterable[str]) -> str:
    return digest_of(
        f"{task.key.kind} {task.key.owner} {task.key.unit} {task.about} {' '.join(map(str, needs))} {sorted(some)}"
    )


def show(key: Key) -> str:
    """Return a task in words: ``preproc b0 20250115/00000006``."""
    return " ".join(filter(None, (key.kind, key.unit, key.owner)))
