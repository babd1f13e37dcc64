"""Take back what has been done, and make records agree with the files that there are."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from skyharvest.reduction.desi.control.standing import RUNNING, SUBMITTED, Standings
from skyharvest.reduction.desi.graph import Key, Task
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.records import (
    DONE,
    GIVEN,
    Judged,
    Record,
    Records,
    as_recorded,
    digest_of,
    judge,
    recorded,
    show,
)
from skyharvest.reduction.desi.under_way import withdraw


@dataclass(frozen=True)
class Change:
    """What was done, or would be, about a task."""

    key: Key
    what: str

    def __str__(self) -> str:
        return f"{show(self.key)}: {self.what}"


def cleanup(standings: Standings, tasks: Iterable[Task], *, dry: bool = False) -> Iterator[Change]:
    """Remove files and records of tasks, and yield each; what was made of them is to be made again, too.

    What is running stays. Of what is submitted, nobody says so any more: it must have been cancelled before.
    """
    commands, records = standings.production.commands, standings.records
    submitted, removed = [], set()
    for key in (task.key for task in tasks):
        state, record = standings.of[key].state, records.get(key)
        if state == RUNNING:
            yield Change(key, "is running, and stays")
            continue
        if state == SUBMITTED:
            submitted.append(key)
        files = [path for path in commands.outputs(key) if path.is_symlink() or path.exists()]
        if not dry:
            for path in files:
                path.unlink(missing_ok=True)
            records.put(key, None)
        if files:
            removed.add(key)
            yield Change(key, f"removed {', '.join(path.name for path in files)}")
        elif record is not None:
            yield Change(key, f"removed its record: {record.state}")
    yield from _made_again(standings, removed, dry=dry)
    if submitted and not dry:
        withdraw(standings.production.directory, submitted)
    yield from (Change(key, "is submitted no more") for key in submitted)


def _made_again(standings: Standings, removed: Set[Key], *, dry: bool) -> Iterator[Change]:
    """Remove the records of what was made of some tasks: of the same, it would be taken to be the same."""
    changed = set(removed)
    for task in standings.tasks:
        record = standings.records.get(task.key)
        made_of = [key for key in (*task.needs, *task.some_of) if key in changed]
        if made_of and record is not None and record.state == DONE and task.key not in removed:
            changed.add(task.key)
            if not dry:
                standings.records.put(task.key, None)
            yield Change(task.key, f"is to be made again, of {show(made_of[0])}")


def sync(production: Production, *, dry: bool = False) -> Iterator[Change]:
    """Make records of files alone, and yield what is changed.

    - Files without a record have been done, of what there is now.
    - If what they are made of has not been done, somebody has put them there: they are `GIVEN`, and are used until they
      are removed. So is a psfnight of another production, beside arcs that have not been run.
    - A record of files that are gone is removed.
    """
    records = Records(production.directory)
    commands = production.commands
    is_there = commands.listed()
    upstream = as_recorded(records, is_there)
    found: dict[Key, Record | None] = {}

    def of(key: Key) -> Judged:
        record = found.get(key)
        return Judged(DONE, record.made) if record is not None else upstream(key)

    known = set()
    for task in production.whole().tasks():
        key = task.key
        known.add(key)
        record, there = records.get(key), is_there(key)
        if record is not None and record.state in (DONE, GIVEN) and not there:
            found[key] = None
            yield _put(records, key, None, "its files are gone", dry=dry)
        elif record is not None and record.state == GIVEN and record.made != (made := _content(commands.outputs(key))):
            found[key] = record._replace(made=made)
            yield _put(records, key, found[key], "given, other files than before", dry=dry)
        elif there and (record is None or record.state not in (DONE, GIVEN)):
            judged = judge(task, of, _NONE, is_there, again=True)
            if judged.made is not None and task.about is not None:
                lacked = " ".join(f"{one.unit}@{one.owner}" for one in judged.lacked)
                found[key] = Record(key.unit, DONE, judged.made, lacked=lacked)
            else:
                found[key] = Record(key.unit, GIVEN, _content(commands.outputs(key)))
            said = "done" if judged.made is not None and task.about is not None else "given"
            yield _put(records, key, found[key], f"its files are there: {said}", dry=dry)
    for key in list(recorded(records)):
        if key not in known and not is_there(key):
            yield _put(records, key, None, "no table asks for it, and its files are gone", dry=dry)


_NONE = Records(Path("/dev/null"))
"""Without a record, a task is judged by what it is made of."""


def _put(records: Records, key: Key, record: Record | None, what: str, *, dry: bool) -> Change:
    if not dry:
        records.put(key, record)
    return Change(key, what)


def _content(files: Iterable[Path]) -> str:
    """Return a digest that changes with files: of their sizes and times."""
    stats = [path.stat() for path in files]
    return digest_of(" ".join(f"{one.st_size} {one.st_mtime_ns}" for one in stats))
