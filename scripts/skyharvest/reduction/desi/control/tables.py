"""How a production stands, as text: steps × states, nights × states, and lists of tasks."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from skyharvest.core.words import counted
from skyharvest.reduction.desi.control.standing import STATES, Standings
from skyharvest.reduction.desi.graph import Key, Task, pixel_of
from skyharvest.reduction.desi.records import DONE, FAILED
from skyharvest.reduction.desi.steps import STEP_OF, STEPS

PIXELS = "healpix"
COLUMNS = ("step", "task", "night", "expid", "camera", "survey", "program", "healpix", "state", "seconds", "reason")


def top(standings: Standings, tasks: Iterable[Task], now: float, *, by_night: bool = False) -> str:
    """Return how many tasks of each step, or night, are in which state, and who is at work."""
    counts: dict[str, Counter[str]] = {} if by_night else {name: Counter() for name in STEPS}
    for task in tasks:
        row = _night(task.key) or PIXELS if by_night else STEP_OF[task.key.kind].name
        counts.setdefault(row, Counter())[standings.of[task.key].state] += 1
    if by_night:
        counts = dict(sorted(counts.items()))
    lines = [_row("night" if by_night else "step", STATES)]
    lines += [_row(name, [_cell(of[state]) for state in STATES]) for name, of in counts.items()]
    totals = sum(counts.values(), Counter[str]())
    lines.append(_row("all", [_cell(totals[state]) for state in STATES]))
    return "\n".join([_heading(standings, totals.total(), now), *lines])


def _heading(standings: Standings, n_tasks: int, now: float) -> str:
    jobs = [one for one in standings.notices if not one.is_script]
    hosts = sorted({one.host for one in jobs})
    at_work = f"{counted(len(jobs), 'job')} at work on {', '.join(hosts)}" if jobs else "nobody is at work"
    clock = f"{datetime.fromtimestamp(now):%Y-%m-%d %H:%M:%S}"
    return f"{standings.production.directory.name}, {clock}: {counted(n_tasks, 'task')}, {at_work}\n"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<16}" + "".join(f"{cell:>11}" for cell in cells)


def _cell(number: int) -> str:
    return f"{number:,}" if number else "–"


def _night(key: Key) -> str:
    return "" if STEP_OF[key.kind].per == "pixel" else key.owner.partition("/")[0]


def lines_of(standings: Standings, tasks: Iterable[Task]) -> list[dict[str, str]]:
    """Return a line for each task: its `COLUMNS`."""
    return [_line(standings, task.key) for task in tasks]


def _line(standings: Standings, key: Key) -> dict[str, str]:
    standing, record = standings.of[key], standings.records.get(key)
    kept = record if record is not None and standing.state in (DONE, FAILED) else None
    survey, program, pix64 = pixel_of(key.owner) if STEP_OF[key.kind].per == "pixel" else ("", "", "")
    return {
        "step": STEP_OF[key.kind].name,
        "task": key.kind,
        "night": _night(key),
        "expid": key.owner.partition("/")[2] if STEP_OF[key.kind].per == "exposure" else "",
        "camera": key.unit,
        "survey": survey,
        "program": program,
        "healpix": str(pix64),
        "state": standing.state,
        "seconds": kept.seconds if kept else "",
        "reason": standing.reason,
    }


def as_csv(lines: Iterable[dict[str, str]]) -> str:
    """Return lines as CSV, with a header."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue().rstrip("\n")


def as_text(lines: Sequence[dict[str, str]]) -> str:
    """Return lines as columns of text; a column that is empty is left out."""
    shown = [name for name in COLUMNS if any(line[name] for line in lines)]
    shown = [name for name in shown if name != "step" or any(line["step"] != line["task"] for line in lines)]
    width = {name: max(len(name), *(len(line[name]) for line in lines)) for name in shown}
    rows = [{name: name for name in shown}, *lines]
    return "\n".join("  ".join(f"{row[name]:<{width[name]}}" for name in shown).rstrip() for row in rows)
