"""Take back what has been done, and make records agree with the files that there are."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skyharvest.reduction.desi.commands import Commands
from skyharvest.reduction.desi.control.standing import RUNNING, SUBMITTED, Standings
from skyharvest.reduction.desi.graph import Key, Task, digest_of
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.records import (
    DONE,
    GIVEN,
    Judged,
    Record,
    Records,
    as_recorded,
    judge,
    recorded,
    show,
)
from skyharvest.reduction.desi.steps import STEP_OF
from skyharvest.reduction.desi.under_way import withdraw


@dataclass(frozen=True)
class Change:
    """What was done, or would be, about a task."""

    key: Key
    what: str

    def __str__(self) -> str:
        return f"{show(self.key)}: {self.what}"


def cleanup(
    standings: Standings, tasks: Iterable[Task], steps: Collection[str] = (), *, dry: bool = False
) -> Iterator[Change]:
    """Remove files and records of tasks, and of what was made of them; yield each.

    What somebody has put there by hand stays, unless its step, or kind, is among ``steps``: nothing makes it again.

    What is running stays, and what a process or a job of the workflow is going to do. Of a script that waits in a queue
    nobody says so any more: it must have been cancelled before.
    """
    chosen = {task.key for task in tasks}
    removed = set[Key]()
    submitted = []
    in_queue = {key for notice in standings.notices if notice.queued for key in notice.left}
    taken = {key: notice.who for notice in standings.notices if not notice.queued for key in notice.left}
    needed = _needed(standings.tasks, taken)
    for task in standings.tasks:
        key, state = task.key, standings.of[task.key].state
        source = next((one for one in (*task.needs, *task.some_of) if one in removed), None)
        # What somebody has put there was not made of anything.
        is_made_of = source is not None and _state(standings, key) != GIVEN
        if not is_made_of and key not in chosen:
            continue
        if state == RUNNING:
            yield Change(key, "is running, and stays")
            continue
        if _state(standings, key) == GIVEN and not {key.kind, STEP_OF[key.kind].name} & {*steps}:
            yield Change(key, f"was put there by hand, and stays: --steps {key.kind} removes it")
            continue
        if key in needed:
            yield Change(key, f"is needed by a task of {needed[key]}, and stays")
            continue
        if state == SUBMITTED and key not in in_queue:
            yield Change(key, f"is of {taken.get(key, 'a job of the workflow that waits in a queue')}, and stays")
            continue
        if state == SUBMITTED and key in chosen:
            submitted.append(key)
            yield Change(key, "is submitted no more")
        files = [path for path in standings.production.commands.outputs(key) if path.is_symlink() or path.exists()]
        what = _remove(standings, key, files, dry=dry)
        if files:  # of a task that failed nothing was made
            removed.add(key)
        if what:
            yield Change(key, what if key in chosen or source is None else f"{what}, made of {show(source)}")
    if submitted and not dry:
        withdraw(standings.production.directory, submitted)


def _needed(tasks: Sequence[Task], taken: Mapping[Key, str]) -> dict[Key, str]:
    """Return what tasks that somebody is doing need, and what that needs: task → by whom."""
    found: dict[Key, str] = {}
    for task in reversed(tasks):
        who = taken.get(task.key) or found.get(task.key)
        if who:
            found.update(dict.fromkeys((*task.needs, *task.some_of), who))
    return {key: who for key, who in found.items() if key not in taken}


def _state(standings: Standings, key: Key) -> str:
    record = standings.records.get(key)
    return record.state if record is not None else ""


def _remove(standings: Standings, key: Key, files: Iterable[Path], *, dry: bool) -> str:
    """Remove files and record of a task; return what was removed, "" if there was nothing."""
    state = _state(standings, key)
    if not dry:
        for path in files:
            path.unlink(missing_ok=True)
        standings.records.put(key, None)
    names = ", ".join(path.name for path in files)
    return f"removed {names}" if files else f"removed its record: {state}" if state else ""


def sync(production: Production, *, dry: bool = False) -> Iterator[Change]:
    """Make records of files alone, and yield what is changed.

    - Files without a record have been done, of what there is now.
    - If what they are made of has not been done, somebody has put them there: they are `GIVEN`, and are used until they
      are removed. So is a psfnight of another production, beside arcs that have not been run.
    - A record of files that are gone is removed.
    """
    records, nothing = Records(production.directory), _NoRecords(production.directory)
    commands = production.commands
    is_there = commands.listed()
    upstream = as_recorded(records, is_there)
    found: dict[Key, Record] = {}

    def of(key: Key) -> Judged:
        return Judged(DONE, found[key].made) if key in found else upstream(key)

    known = set()
    for task in production.whole().tasks():
        key = task.key
        known.add(key)
        record, there = records.get(key), is_there(key)
        if record is not None and record.state in (DONE, GIVEN) and not there:
            yield _put(records, key, None, "its files are gone", dry=dry)
        elif record is not None and record.state == GIVEN and record.made != (made := _content(commands.outputs(key))):
            found[key] = record._replace(made=made)
            yield _put(records, key, found[key], "given, other files than before", dry=dry)
        elif there and (record is None or record.state not in (DONE, GIVEN)):
            found[key] = _adopted(task, judge(task, of, nothing, is_there, again=True), commands)
            yield _put(records, key, found[key], f"its files are there: {found[key].state}", dry=dry)
    for key in list(recorded(records)):
        if key not in known and not is_there(key):
            yield _put(records, key, None, "no table asks for it, and its files are gone", dry=dry)


def _adopted(task: Task, judged: Judged, commands: Commands) -> Record:
    """Return the record of a task of which the files are there."""
    if judged.made is None or task.about is None:
        return Record(task.key.unit, GIVEN, _content(commands.outputs(task.key)))
    return Record(task.key.unit, DONE, judged.made, lacked=" ".join(f"{one.unit}@{one.owner}" for one in judged.lacked))


class _NoRecords(Records):
    """Without a record, a task is judged by what it is made of."""

    def get(self, key: Key) -> None:
        return None


def _put(records: Records, key: Key, record: Record | None, what: str, *, dry: bool) -> Change:
    if not dry:
        records.put(key, record)
    return Change(key, what)


def _content(files: Iterable[Path]) -> str:
    """Return a digest that changes with files: of their sizes and times."""
    stats = [path.stat() for path in files]
    return digest_of(" ".join(f"{one.st_size} {one.st_mtime_ns}" for one in stats))
