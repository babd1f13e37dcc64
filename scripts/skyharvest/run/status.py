"""How a survey's run stands, from its files alone: during it, after a crash, or at its end.

See `skyharvest.run.jobs` for the states of jobs. A job that harvests counts by its files (coadds, cubes), of which
those of one unit are read at a time; ``absent`` are files that the archive does not have. Results are counted by the
journal and, where that says nothing (`skyharvest.harvest.journal`), by the extracted file itself.
"""

import contextlib
import csv
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skyharvest.core.arrays import Array, Bools
from skyharvest.core.errors import MalformedFile
from skyharvest.harvest import not_selected, run_record
from skyharvest.harvest.batches import PATTERN, name_of, pixels_of
from skyharvest.harvest.demo import DEMO_CSV
from skyharvest.harvest.journal import Line, read_journal
from skyharvest.harvest.not_selected import read_not_selected
from skyharvest.harvest.plan import Kind, Plan, Unit
from skyharvest.harvest.progress import seconds_left
from skyharvest.harvest.run_record import Run
from skyharvest.harvest.survey import Survey
from skyharvest.reduction.hetdex.steps import Chosen
from skyharvest.run.hetdex_jobs import count_hetdex_jobs
from skyharvest.run.jobs import ENDED, FAILED, INTERRUPTED, READY, RUNNING, WAITING, Error, Jobs, read_log
from skyharvest.run.snakemake_state import is_locked

ABSENT = "absent"
STATES = (WAITING, READY, RUNNING, ENDED, FAILED, ABSENT, INTERRUPTED)
LEFT = "left"
FILE_STATES = ("read", ABSENT, "unreadable", FAILED, LEFT)
TO_DO = "not searched"

TRUSTED_S = 60.0  # a journal's line is written right after the file that it is about


@dataclass
class Status:
    """What is known about a survey's run.

    Attributes
    ----------
    results, directory
        Its results, and the working directory that its paths are relative to.
    run, alive
        Its record, None if it left none, and whether it goes on (None: that cannot be seen from this host).
    seen
        When a file that it keeps was last written, seconds since 1970.
    locked
        Whether a dead run has left a lock.
    harvests
        Whether it is asked for; a run may be of a reduction alone.
    jobs
        rule → what a job of it makes, and the number of them by `STATES`, None where that is not known yet.
    files
        Kind of coadd or cube → number of them by `FILE_STATES`.
    seconds_each
        Kind → mean time that one took, as far as known.
    targets
        CSV rows by status; empty while there is no table of them.
    final
        Whether ``targets`` are those of ``summary.json``.
    """

    survey: Survey
    results: Path
    directory: Path
    run: Run | None
    alive: bool | None
    seen: float = 0.0
    locked: bool = False
    harvests: bool = True
    jobs: dict[str, tuple[str, Counter[str] | None]] = field(default_factory=dict)
    files: dict[Kind, Counter[str]] = field(default_factory=dict)
    seconds_each: dict[Kind, float] = field(default_factory=dict)
    targets: dict[str, int] = field(default_factory=dict)
    final: bool = False
    n_spectra: int = 0
    requests: int = 0
    bytes: int = 0
    seconds_left: float | None = None
    errors: list[Error] = field(default_factory=list)


def gather(
    results: Path, directory: Path, asked: Run, recorded: Run | None, survey: Survey, *, first: bool = True
) -> Status:
    """Look at a run's files.

    Parameters
    ----------
    asked
        What its configuration asks for: ``releases``, ``simulated`` and ``copied`` of it are used.
    first
        Whether to count the jobs that the surveys share.
    """
    return _Look(results.resolve(), directory.resolve(), asked, recorded, survey, first=first).status


@dataclass(frozen=True)
class _Job:
    """A job that harvests: its name, state, log, and when that was last written to."""

    name: str
    state: str
    log: Path
    time: float

    def rank(self) -> tuple[bool, float]:
        """Tell which of several that have dealt with the same is the one: that at work, else the last."""
        return self.state == RUNNING, self.time


class _Look:
    """One look at all files of a survey; everything ends up in ``status``."""

    def __init__(
        self, results: Path, directory: Path, asked: Run, recorded: Run | None, survey: Survey, *, first: bool
    ) -> None:
        alive = run_record.is_alive(recorded) if recorded else False
        self.survey = survey
        self.status = Status(survey, results, directory, recorded, alive)
        self.results, self.logs, self.root = results, results / "logs", results / survey.name
        self.extracted = self.root / "extracted"
        self.since = _time_of(self.logs / run_record.RECORD) if alive is not False else 0.0
        self.tracked = Jobs(directory, alive, self.since)
        self.journal = read_journal(self.logs / f"extract_{survey.name}.csv")
        self.planned: Plan | None = None
        self.done: dict[Unit, list[Line]] = {}

        names = ("targets.parquet", "rejected.csv", "pix64.txt", "pix64_counts.csv")
        self.tables = [results / "targets" / name for name in names]
        demo_csv, source = [(directory / DEMO_CSV).resolve()] if asked.simulated else [], list[Path]()
        if asked.simulated and survey.simulated:
            rule, paths = survey.simulated
            source = [(directory / path).resolve() for path in paths]
            self._one(rule, source, [path for path in demo_csv if path not in source])
        reduction = count_hetdex_jobs(results, self.tracked, Chosen(**asked.hetdex)) if first else {}
        self.status.harvests = survey.name in asked.releases or not reduction
        if first and self.status.harvests:
            self._one("prepare_targets", self.tables, demo_csv)
        self.status.jobs |= reduction
        if survey.name in asked.releases:
            resources = (directory / "resources" / survey.name / asked.releases[survey.name]).resolve()
            index = [resources / survey.index] if survey.index else []
            if index:
                self._one(survey.index_rule, index, source[-1:])
            plans = [self.root / name for name in survey.plan_files]
            self._one(f"plan_{survey.name}", plans, [self.tables[0], *index])
            self._after_plan(plans, survey.copy if asked.copied else ())
        self._targets()
        self._totals()

    def _one(self, rule: str, outputs: Sequence[Path], inputs: Sequence[Path]) -> str:
        ready = all(path.exists() for path in inputs)
        state = self.tracked.state(rule, outputs, self.logs / f"{rule}.log", ready=ready)
        self.status.jobs[rule] = ("job", Counter({state: 1}))
        return state

    def _after_plan(self, plans: Sequence[Path], copy: tuple[str, str] | tuple[()]) -> None:
        copied = [self.root / name for name in copy[1:]]
        for rule in copy[:1]:
            self._one(rule, copied, plans[:1])
        planned = self.survey.read_plan(str(plans[0])) if all(path.exists() for path in plans) else None
        self.planned = planned
        name = self.survey.name
        work = self._work(planned, ready=all(path.exists() for path in copied)) if planned else {}
        extracted = self._extract(planned, work) if planned else None
        self.status.jobs[f"harvest_{name}"] = (self.survey.file, extracted)
        self.status.jobs[f"{name}_crossmatches"] = ("file", self._assembled(planned, work) if planned else None)
        crossmatches = [self._crossmatch(pix16) for pix16 in planned.searched] if planned else plans
        finished = [self.root / "ledger.csv", self.root / "summary.json"]
        self._one(f"account_{name}", finished, crossmatches)

    def _crossmatch(self, pix16: int) -> Path:
        return self.survey.crossmatch(self.results / f"{self.survey.name}_crossmatches", pix16)

    def _work(self, planned: Plan, *, ready: bool) -> dict[int, "_Job"]:
        """Return the job that deals with each NSIDE=16 pixel, or has; without a trace of any it is to come."""
        rule = f"harvest_{self.survey.name}"
        logs = {path.stem: path for path in (self.logs / rule).glob("*.log")}
        logs |= {
            path.stem: self.logs / rule / f"{path.stem}.log" for path in (self.extracted / "batches").glob("*.csv")
        }
        work = {pix16: _Job("", READY if ready else WAITING, Path(), 0.0) for pix16 in planned.searched}
        for stem, log in logs.items():
            alone = re.fullmatch(r"healpix=(\d+)", stem)
            if not alone and not re.fullmatch(PATTERN, stem):
                continue
            outputs = [self._crossmatch(int(alone[1])) if alone else self.survey.listed(self.extracted, stem)]
            pixels = pixels_of(name_of(alone[1]) if alone else stem, planned.searched)
            if not pixels:
                continue  # of an earlier plan
            state = self.tracked.state(f"{rule} {stem}", outputs, log, ready=ready)
            job = _Job(f"{rule} {stem}", state, log, _time_of(log))
            work |= {pix16: max(work[pix16], job, key=_Job.rank) for pix16 in pixels}
        # Of batches of an earlier division, the logs say nothing once others have dealt with their pixels.
        last = {job.log for job in work.values()}
        self.tracked.errors = [
            error for error in self.tracked.errors if error.log in last or error.log not in logs.values()
        ]
        return work

    def _assembled(self, planned: Plan, work: Mapping[int, "_Job"]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for pix16, units in planned.searched.items():
            if self._crossmatch(pix16).exists():
                counts[ENDED] += 1
            elif any(unit not in self.done for unit in units):
                counts[WAITING] += 1
            else:
                counts[work[pix16].state if work[pix16].state in (RUNNING, FAILED, INTERRUPTED) else READY] += 1
        return counts

    def _extract(self, planned: Plan, work: Mapping[int, "_Job"]) -> Counter[str]:
        counts: Counter[str] = Counter()
        of_unit: dict[Unit, _Job] = {}
        for pix16, units in planned.searched.items():
            for unit in units:
                of_unit[unit] = max(of_unit.get(unit, work[pix16]), work[pix16], key=_Job.rank)
        busy: set[str] = set()
        for unit in planned.units(planned.searched):
            kinds, job = planned.files[unit], of_unit[unit]
            # Units are read one after the other: those behind the first that is not there have not begun.
            state, lines = self._unit(unit, kinds, READY if job.name in busy else job.state)
            if state == ENDED:
                self.done[unit] = lines
                states = [line.status for line in lines]
                counts.update(ABSENT if status == ABSENT else ENDED for status in states)
            else:
                counts[state] += len(kinds)
                states = [FAILED if state == FAILED else LEFT] * len(kinds)
            if state == FAILED:
                self._keep_failure(job.name, unit, job.log)
            elif state == job.state and state in (RUNNING, INTERRUPTED):
                busy.add(job.name)
            for kind, status in zip(kinds, states, strict=True):
                self.status.files.setdefault(kind, Counter())[status] += 1
        return counts

    def _unit(self, unit: Unit, kinds: Sequence[Kind], job: str) -> tuple[str, list[Line]]:
        """Return the state of a unit, given that of its job, and what is known of its files if it is done."""
        path = self.survey.path(self.extracted, unit)
        failure = self.journal.failed.get(unit)
        if path.exists() and failure is None and (lines := self._lines(path, unit, kinds)):
            return ENDED, lines
        if failure is not None and failure.time >= self.since and job != READY:
            return FAILED, []
        return READY if job == ENDED else job, []

    def _lines(self, path: Path, unit: Unit, kinds: Sequence[Kind]) -> list[Line]:
        """Return what is known of an extracted file's sources, in the plan's order; nothing if it cannot be read."""
        written = _time_of(path)
        lines = [self.journal.files.get((unit, *kind)) for kind in kinds]
        good = [line for line in lines if line is not None and abs(line.time - written) <= TRUSTED_S]
        if len(good) == len(kinds) and unit not in self.journal.failed:
            return good
        by_kind = _read_extracted(path, unit)
        return [by_kind[kind] for kind in kinds] if set(kinds) <= by_kind.keys() else []

    def _keep_failure(self, job: str, unit: Unit, log: Path) -> None:
        """Keep the error of a unit whose job goes on with others: its log does not end with one yet."""
        failure = self.journal.failed.get(unit)
        if failure is not None and all(error.log != log for error in self.tracked.errors):
            message = f"{self.survey.unit} {unit}: {failure.message}"
            self.tracked.errors.append(Error(failure.time, job, message, log, read_log(log)[0]))

    def _targets(self) -> None:
        """Count the CSV's rows by status: from the summary at the end, before by the rules of the ledger."""
        if self._is_final():
            with contextlib.suppress(OSError, ValueError, LookupError):
                summary = json.loads((self.root / "summary.json").read_text(encoding="utf-8"))
                self.status.targets = {**summary["status"], TO_DO: 0}
                self.status.n_spectra = summary[self.survey.product]
                self.status.final = True
                return
        self.status.n_spectra = sum(line.n_spectra for lines in self.done.values() for line in lines)
        if not all(path.exists() for path in self.tables):
            return
        accepted = _sum_of_counts(self.tables[3])
        counts: Counter[str] = Counter(rejected=_n_rows(self.tables[1]))
        if self.planned:
            plan = np.load(self.root / "plan_targets.npy", mmap_mode="r")
            status = _status_of_rows(plan, self.done, self.survey)
            counts.update(status.tolist())
            if self.survey.choices:
                counts["not_selected"] = len(read_not_selected(self.root / not_selected.NAME).rows)
            counts["not_covered"] = accepted - len(status) - counts["not_selected"]
        else:
            counts[TO_DO] = accepted
        self.status.targets = {status: counts[status] for status in (*self.survey.statuses, TO_DO)}

    def _is_final(self) -> bool:
        account = self.status.jobs.get(f"account_{self.survey.name}", ("", None))[1]
        written, planned = (_time_of(self.root / name) for name in ("summary.json", "plan.csv"))
        return account is not None and account[ENDED] == 1 and written >= planned

    def _totals(self) -> None:
        status, journal = self.status, self.journal
        status.requests, status.bytes = journal.requests, journal.bytes
        took: dict[Kind, list[float]] = defaultdict(list)
        for line in journal.files.values():
            took[line.survey, line.program].append(line.seconds)
        status.seconds_each = {kind: sum(seconds) / len(seconds) for kind, seconds in took.items()}
        left = {kind: counts[LEFT] for kind, counts in status.files.items()}
        status.seconds_left = seconds_left(left, journal, self.since)
        status.errors = sorted(self.tracked.errors, key=lambda error: error.time, reverse=True)
        name = self.survey.name
        kept = [self.logs / path for path in (run_record.RECORD, f"extract_{name}.csv", f"progress_{name}.txt")]
        if status.run is not None and status.run.log:
            kept.append(Path(status.run.log))
        status.seen = max(_time_of(path) for path in kept)
        status.locked = status.alive is False and is_locked(status.directory, self.results)


def _time_of(path: Path) -> float:
    """Return when a file was last written, seconds since 1970; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read_extracted(path: Path, unit: Unit) -> dict[Kind, Line]:
    """Return what an extracted file says of its sources; nothing if it cannot be read."""
    from skyharvest.formats import hdf5  # noqa: PLC0415 (h5py: 0.3 s, where the journal does not do)
    from skyharvest.harvest.extracted import lines_of  # noqa: PLC0415 (ditto)

    with contextlib.suppress(OSError, MalformedFile, LookupError), hdf5.reading(path) as file:
        return lines_of(file, unit)
    return {}


def _sum_of_counts(path: Path) -> int:
    """Return the number of accepted rows, from ``pix64_counts.csv``."""
    with path.open(newline="", encoding="utf-8") as stream:
        return sum(int(line["count"]) for line in csv.DictReader(stream))


def _n_rows(path: Path) -> int:
    """Return the number of rows of a CSV, whose cells may be huge or have line breaks."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return sum(1 for _ in csv.reader(stream)) - 1
    finally:
        csv.field_size_limit(limit)


def _status_of_rows(plan: Array, done: Mapping[Unit, Sequence[Line]], survey: Survey) -> npt.NDArray[np.str_]:
    """Return the status of every CSV row of the plan."""
    rows, row_at = np.unique(plan["row"], return_inverse=True)
    units, unit_at = np.unique(survey.units(plan), return_inverse=True)

    def any_unit(flags: Iterable[bool]) -> Bools:
        """Return, for each row, whether a flag holds for any of its units."""
        found = np.zeros(len(rows), bool)
        found[row_at[np.fromiter(flags, bool, len(units))[unit_at]]] = True
        return found

    def with_file(status: str) -> Bools:
        return any_unit(any(line.status == status for line in done.get(unit, ())) for unit in units.tolist())

    lines = [line for of_unit in done.values() for line in of_unit]
    matched = [row for line in lines for row in line.rows]
    empty = [row for line in lines for row in line.rows_empty]
    status = np.full(len(rows), f"{survey.file}_absent", f"U{max(map(len, (*survey.statuses, TO_DO)))}")
    status[with_file("read")] = survey.unmatched
    status[with_file("unreadable")] = f"{survey.file}_unreadable"
    if survey.empty:
        status[np.isin(rows, np.array(empty, np.int64))] = survey.empty
    status[any_unit(unit not in done for unit in units.tolist())] = TO_DO
    status[np.isin(rows, np.array(matched, np.int64))] = "matched"
    return status
