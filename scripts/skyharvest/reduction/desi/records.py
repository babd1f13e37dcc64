"""What has become of tasks: a small CSV for each owner and kind of task, written as each task ends.

Light: it is imported whenever the workflow is parsed.
"""

import csv
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from skyharvest.core.csv_file import write_rows
from skyharvest.core.many_objects import without_collector
from skyharvest.reduction.desi.graph import Key, Task

DONE, FAILED, BROKEN, WAITING, READY = "done", "failed", "broken off", "waiting", "ready"
"""States. Failed is for good, as long as nothing changes; broken off is tried again."""

NEW = "it has not been run"
"""Why most tasks are to be run."""


class Record(NamedTuple):
    """What has become of a task.

    Attributes
    ----------
    unit
        Of its key.
    state
        `DONE`, `FAILED` or `BROKEN`.
    made
        Digest of all that it was made from, 16 hex digits.
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
        """Set, or remove, the record of a task; the file appears whole."""
        self.get(key)
        own = self._of[key.kind, key.owner]
        if record is None and key.unit not in own:
            return
        own.pop(key.unit, None)
        if record is not None:
            own[key.unit] = record
        write_rows(self.path(key.kind, key.owner), Record._fields, (own[unit] for unit in sorted(own)))


def _read(path: str) -> dict[str, Record]:
    try:
        with open(path, newline="", encoding="utf-8") as stream:  # noqa: PTH123 (tens of thousands of them)
            lines = csv.reader(stream)
            if tuple(next(lines, ())) != Record._fields:
                return {}  # nothing is known: it is done again
            return {line[0]: Record(*line) for line in lines}
    except FileNotFoundError:
        return {}


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
    of_needs = {key: upstream(key) for key in task.needs}
    of_some = {key: upstream(key).made for key in task.some_of}
    if why := _waits_for(task, of_needs, of_some):
        return Judged(WAITING, None, why)
    record = records.get(task.key)
    if task.about is None and record is not None and record.state == DONE and is_there(task.key):
        return Judged(DONE, record.made)
    made = _digest(task, [one.made for one in of_needs.values()], [made for made in of_some.values() if made])
    if record is not None and record.made == made:
        if record.state == FAILED and not again:
            return Judged(FAILED, None, record.reason)
        if record.state == DONE and is_there(task.key):
            return Judged(DONE, made)
    return Judged(READY, made, _why(record, made), tuple(key for key, one in of_some.items() if one is None))


def _waits_for(task: Task, of_needs: Mapping[Key, Judged], of_some: Mapping[Key, str | None]) -> str:
    """Return what a task waits for in vain; "" if for nothing."""
    for key, one in of_needs.items():
        if one.made is None:
            return f"{show(key)}: {one.state}"
    if task.some_of and not any(of_some.values()):
        return f"none of {', '.join(map(show, task.some_of))} has been done"
    if not (task.needs or task.some_of or task.about) and task.about is not None:
        return "the night has no exposure for it"
    return ""


def _why(record: Record | None, made: str) -> str:
    """Return why a task is to be run."""
    if record is None:
        return NEW
    if record.made != made:
        return "what it is made from has changed"
    return "its file is gone" if record.state == DONE else record.reason


def judge_all(
    tasks: Iterable[Task], records: Records, is_there: Callable[[Key], bool], *, again: bool
) -> dict[Key, Judged]:
    """Return how all tasks of a production stand, those that are to be run taken for done for those that need them."""
    made: dict[Key, Judged] = {}
    upstream = functools.partial(_of, made)
    with without_collector():
        for task in tasks:
            made[task.key] = judge(task, upstream, records, is_there, again=again)
    return made


def _of(judged: Mapping[Key, Judged], key: Key) -> Judged:
    return judged.get(key) or Judged("left out", None)


def as_recorded(records: Records, is_there: Callable[[Key], bool]) -> Callable[[Key], Judged]:
    """Return a function that tells how a task has ended, for those that need it."""

    def of(key: Key) -> Judged:
        record = records.get(key)
        if record is None:
            return Judged(WAITING, None)
        is_done = record.state == DONE and is_there(key)
        return Judged(record.state, record.made if is_done else None, record.reason)

    return of


def _digest(task: Task, needs: Iterable[str | None], some: Iterable[str]) -> str:
    text = f"{task.key.kind} {task.key.owner} {task.key.unit} {task.about} {' '.join(map(str, needs))} {sorted(some)}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def show(key: Key) -> str:
    """Return a task in words: ``preproc b0 20250115/00000006``."""
    return " ".join(filter(None, (key.kind, key.unit, key.owner)))
