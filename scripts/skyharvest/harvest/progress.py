"""How far a run has come and how long it will take, from its plan and its journal.

Time is estimated per survey and program, since a dark pixel holds ten times the targets of a backup one: the seconds
that the files still to come will take, shared by as many jobs as have run at once.
"""

import contextlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from skyharvest.core.words import counted, duration, megabytes
from skyharvest.harvest.journal import Line, Read, read_journal
from skyharvest.harvest.plan import Kind, Plan, Unit
from skyharvest.harvest.run_record import RECORD
from skyharvest.harvest.survey import Survey

INTERVAL_S = 30.0
RECENT = 200  # units that tell how many jobs run at once
IDLE_S = 60.0  # without any job: the run was interrupted, or busy with a step that reads nothing


class Progress:
    """Prints a line every half minute, whichever of a run's jobs it is that comes by; the last one stays in a file.

    Parameters
    ----------
    survey, journal, plan
        Whose run it is, its journal and ``plan.csv``; without all of them nothing is said. The line lies beside the
        journal ``extract_desi.csv``, in ``progress_desi.txt``.
    """

    def __init__(self, survey: Survey | None = None, journal: Path | None = None, plan: Path | None = None) -> None:
        self._survey = survey
        self._journal = journal
        self._plan = plan
        self._began = time.time()

    def unit_done(self) -> None:
        """Print the line if it is time to. Whatever goes wrong with that is no failure of the job."""
        if self._survey is None or self._journal is None or self._plan is None:
            return
        with contextlib.suppress(OSError, ValueError, LookupError):
            self._say(self._survey, self._journal, self._plan)

    def _say(self, survey: Survey, journal: Path, plan: Path) -> None:
        shown = journal.with_name(f"progress_{journal.stem.removeprefix('extract_')}.txt")
        if not self._is_due(shown):
            return
        claim = shown.with_name(f".{shown.name}")  # the job that makes it is the one to speak
        try:
            handle = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            if abs(_age_s(claim)) > INTERVAL_S:
                claim.unlink(missing_ok=True)  # its job was killed: the next one speaks
            return
        try:
            if self._is_due(shown):
                line = f"[{datetime.now():%H:%M:%S}] {progress_line(journal, survey.read_plan(plan))}\n"
                os.write(handle, line.encode())
                claim.replace(shown)
                print(line, end="", flush=True)
        finally:
            os.close(handle)
            claim.unlink(missing_ok=True)

    def _is_due(self, shown: Path) -> bool:
        """Tell whether neither a line nor the run's start (without both: this job's) is recent."""
        ages = [_age_s(path) for path in (shown, shown.with_name(RECORD)) if path.exists()]
        return all(abs(age) >= INTERVAL_S for age in ages or [time.time() - self._began])


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def progress_line(journal: Path, plan: Plan) -> str:
    """Return what is said about a run while it goes on."""
    read = read_journal(journal)
    record = journal.with_name(RECORD)
    since = record.stat().st_mtime if record.exists() else 0.0
    failed = {unit for unit, line in read.failed.items() if unit in plan.files and line.time >= since}
    n_done, n_spectra, left = 0, 0, Counter[Kind]()
    for unit, kinds in plan.files.items():
        lines = [read.files.get((unit, *kind)) for kind in kinds]
        n_done += None not in lines
        n_spectra += sum(line.n_spectra for line in lines if line is not None)
        if unit not in failed:
            left.update(kind for kind, line in zip(kinds, lines, strict=True) if line is None)
    return (
        f"{n_done:,} of {len(plan.files):,} {plan.survey.unit}s, {n_spectra:,} {plan.survey.product}, "
        f"{megabytes(read.bytes)} moved, {counted(len(failed), 'error')}, {time_left(seconds_left(left, read, since))}"
    )


def seconds_left(left: Mapping[Kind, int], read: Read, since: float = 0.0) -> float | None:
    """Return how long it will take to read so many files of each survey and program.

    Parameters
    ----------
    since
        When the run began, seconds since 1970: the jobs at once are counted from there on, if it has read anything yet.

    Returns
    -------
    float or None
        Seconds; None while nothing has been read.
    """
    if not any(left.values()):
        return 0.0
    took: dict[Kind, list[float]] = defaultdict(list)
    for line in read.files.values():
        took[line.survey, line.program].append(line.seconds)
    if not took:
        return None
    every = [seconds for of_kind in took.values() for seconds in of_kind]
    work = sum(n * _mean(took.get(kind, every)) for kind, n in left.items())
    return work / (jobs_at_once(line for line in read.lines if line.time >= since) or jobs_at_once(read.lines) or 1.0)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def jobs_at_once(lines: Iterable[Line]) -> float:
    """Return the seconds that recent units took, per second that went by; what jobs cost besides lowers it.

    Long times without any job are left out.
    """
    took: dict[tuple[float, Unit], float] = defaultdict(float)
    for line in lines:
        took[line.time, line.unit] += line.seconds
    spans = sorted((end - seconds, end) for (end, _), seconds in list(took.items())[-RECENT:])
    if not spans:
        return 0.0
    busy = sum(end - begin for begin, end in spans)
    until, idle = spans[0][1], 0.0
    for begin, end in spans[1:]:
        if begin - until > IDLE_S:
            idle += begin - until
        until = max(until, end)
    went_by = until - spans[0][0] - idle
    return busy / went_by if went_by > 0 else 1.0


def time_left(seconds: float | None) -> str:
    """Return an estimate in words."""
    return "time left unknown" if seconds is None else f"about {duration(seconds)} left"
