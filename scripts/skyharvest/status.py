"""How a run stands, from its files alone: during it, after a crash, or at its end.

See `skyharvest.jobs` for the states of jobs. An extract job counts by its coadds, of which those of one pixel are read
at a time; ``absent`` are coadds that the archive does not have. Results are counted by the journal and, where that says
nothing (`skyharvest.journal`), by the extracted file itself.
"""

import contextlib
import csv
import json
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest import runs
from skyharvest.errors import MalformedFile
from skyharvest.jobs import ENDED, FAILED, INTERRUPTED, READY, RUNNING, WAITING, Error, Jobs, is_locked, read_log
from skyharvest.journal import Line, read_journal
from skyharvest.planned import Planned, extracted_path, read_plan
from skyharvest.progress import Kind, counted, duration, megabytes, seconds_left, time_left
from skyharvest.runs import Run

ABSENT = "absent"
STATES = (WAITING, READY, RUNNING, ENDED, FAILED, ABSENT, INTERRUPTED)
LEFT = "left"
COADD_STATES = ("read", ABSENT, "unreadable", FAILED, LEFT)
TO_DO = "not searched"
TARGET_STATES = ("matched", "no_fiber", "coadd_unreadable", "coadd_absent", "not_covered", "rejected", TO_DO)

TRUSTED_S = 60.0  # a journal's line is written right after the file that it is about


@dataclass
class Status:
    """What is known about a run.

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
    jobs
        rule → what a job of it makes, and the number of them by `STATES`, None where that is not known yet.
    coadds
        (survey, program) → number of coadds by `COADD_STATES`.
    seconds_each
        (survey, program) → mean time that a coadd took, as far as known.
    targets
        CSV rows by status; empty while there is no table of them.
    final
        Whether ``targets`` are those of ``summary.json``.
    """

    results: Path
    directory: Path
    run: Run | None
    alive: bool | None
    seen: float = 0.0
    locked: bool = False
    jobs: dict[str, tuple[str, Counter[str] | None]] = field(default_factory=dict)
    coadds: dict[Kind, Counter[str]] = field(default_factory=dict)
    seconds_each: dict[Kind, float] = field(default_factory=dict)
    targets: dict[str, int] = field(default_factory=dict)
    final: bool = False
    n_spectra: int = 0
    requests: int = 0
    bytes: int = 0
    seconds_left: float | None = None
    errors: list[Error] = field(default_factory=list)


def gather(results: Path, directory: Path, asked: Run, recorded: Run | None) -> Status:
    """Look at a run's files.

    Parameters
    ----------
    results, directory
        Its results, and the working directory.
    asked
        What its configuration asks for: ``release``, ``simulated``, ``enabled`` and ``copied`` of it are used.
    recorded
        The record of the last run.
    """
    return _Look(results.resolve(), directory.resolve(), asked, recorded).status


class _Look:
    """One look at all files; everything ends up in ``status``."""

    def __init__(self, results: Path, directory: Path, asked: Run, recorded: Run | None) -> None:
        alive = runs.is_alive(recorded) if recorded else False
        self.status = Status(results, directory, recorded, alive)
        self.results, self.logs, self.desi = results, results / "logs", results / "desi"
        self.since = _time_of(self.logs / runs.RECORD) if alive is not False else 0.0
        self.tracked = Jobs(directory, alive, self.since)
        self.journal = read_journal(self.logs / "extract_desi.csv")
        self.planned: Planned | None = None
        self.done: dict[int, list[Line]] = {}

        demo, release = ((directory / "resources" / name).resolve() for name in ("demo", f"desi/{asked.release}"))
        if asked.simulated:
            tilepix = demo / "spectro/redux/demo/healpix/tilepix.fits"
            self._one("simulate_release", [demo / "targets.csv", demo / "truth.hdf5", tilepix], [])
        names = ("targets.parquet", "rejected.csv", "pix64.txt", "pix64_counts.csv")
        self.tables = [results / "targets" / name for name in names]
        self._one("prepare_targets", self.tables, [demo / "targets.csv"] if asked.simulated else [])
        if asked.enabled:
            self._one("fetch_tilepix", [release / "tilepix.fits"], [tilepix] if asked.simulated else [])
            plans = [self.desi / name for name in ("plan.csv", "plan_pixels.csv", "plan_targets.npy")]
            self._one("plan_desi", plans, [self.tables[0], release / "tilepix.fits"])
            self._after_plan(plans, [self.desi / "globus_transfer.csv"] if asked.copied else [])
        self._targets()
        self._totals()

    def _one(self, rule: str, outputs: Sequence[Path], inputs: Sequence[Path]) -> str:
        ready = all(path.exists() for path in inputs)
        state = self.tracked.state(rule, outputs, self.logs / f"{rule}.log", ready=ready)
        self.status.jobs[rule] = ("job", Counter({state: 1}))
        return state

    def _after_plan(self, plans: Sequence[Path], copied: Sequence[Path]) -> None:
        if copied:
            self._one("globus_transfer", copied, plans[:1])
        planned = read_plan(str(plans[0])) if all(path.exists() for path in plans) else None
        self.planned = planned
        self.status.jobs["extract_desi"] = ("coadd", self._extract(planned, copied) if planned else None)
        self.status.jobs["assemble_desi"] = ("file", self._assemble(planned) if planned else None)
        crossmatches = [self._crossmatch(pix16) for pix16 in planned.searched] if planned else plans
        finished = [self.desi / "ledger.csv", self.desi / "summary.json"]
        self._one("account_desi", finished, crossmatches)

    def _crossmatch(self, pix16: int) -> Path:
        return self.results / "desi_crossmatches" / f"healpix={pix16}" / "crossmatch_desi.hdf5"

    def _list(self, batch: str) -> Path:
        return self.desi / "extracted" / "batches" / f"{batch}.csv"

    def _assemble(self, planned: Planned) -> Counter[str]:
        made: Counter[str] = Counter()
        there = {batch for batch in planned.batches if self._list(batch).exists()}
        for pix16, pixels in planned.searched.items():
            ready = all(planned.batch[pix64] in there for pix64 in pixels)
            log = self.logs / "assemble_desi" / f"{pix16}.log"
            made[self.tracked.state(f"assemble_desi {pix16}", [self._crossmatch(pix16)], log, ready=ready)] += 1
        return made

    def _extract(self, planned: Planned, inputs: Sequence[Path]) -> Counter[str]:
        made: Counter[str] = Counter()
        ready = all(path.exists() for path in inputs)
        for batch, pixels in planned.batches.items():
            log = self.logs / "extract_desi" / f"{batch}.log"
            job = self.tracked.state(f"extract_desi {batch}", [self._list(batch)], log, ready=ready)
            for pix64 in pixels:
                kinds = planned.coadds[pix64]
                state, lines = self._pixel(pix64, kinds, job)
                if state == ENDED:
                    self.done[pix64] = lines
                    states = [line.status for line in lines]
                    made.update(ABSENT if status == ABSENT else ENDED for status in states)
                else:
                    made[state] += len(kinds)
                    states = [FAILED if state == FAILED else LEFT] * len(kinds)
                if state == FAILED:
                    self._keep_failure(batch, pix64, log)
                elif state == job and job in (RUNNING, INTERRUPTED):
                    job = READY  # pixels are read one after the other: those behind have not begun
                for kind, status in zip(kinds, states, strict=True):
                    self.status.coadds.setdefault(kind, Counter())[status] += 1
        return made

    def _pixel(self, pix64: int, kinds: Sequence[Kind], job: str) -> tuple[str, list[Line]]:
        """Return the state of a pixel, given that of its batch's job, and what is known of its coadds if it is done."""
        path = extracted_path(self.desi / "extracted", pix64)
        alone = self.logs / "extract_desi" / f"{pix64 // 100}-{pix64}.log"
        state = self.tracked.state(f"extract_desi_pixel {pix64}", [path], alone, ready=True)
        if state == ENDED and (lines := self._lines(path, pix64, kinds)):
            return ENDED, lines
        if state not in (ENDED, READY):
            return state, []
        failure = self.journal.failed.get(pix64)
        if failure is not None and failure.time >= self.since and job != READY:
            return FAILED, []
        return READY if job == ENDED else job, []

    def _lines(self, path: Path, pix64: int, kinds: Sequence[Kind]) -> list[Line]:
        """Return what is known of an extracted file's coadds, in the plan's order; nothing if it cannot be read."""
        written = _time_of(path)
        lines = [self.journal.coadds.get((pix64, *kind)) for kind in kinds]
        good = [line for line in lines if line is not None and abs(line.time - written) <= TRUSTED_S]
        if len(good) == len(kinds) and pix64 not in self.journal.failed:
            return good
        found = _read_extracted(path, pix64)
        return [found[kind] for kind in kinds] if set(kinds) <= found.keys() else []

    def _keep_failure(self, batch: str, pix64: int, log: Path) -> None:
        """Keep the error of a pixel whose batch goes on with the others: its log does not end with one yet."""
        failure = self.journal.failed.get(pix64)
        if failure is not None and all(error.log != log for error in self.tracked.errors):
            message = f"pixel {pix64}: {failure.message}"
            self.tracked.errors.append(Error(failure.time, f"extract_desi {batch}", message, log, read_log(log)[0]))

    def _targets(self) -> None:
        """Count the CSV's rows by status: from the summary at the end, before by the rules of the ledger."""
        if self._is_final():
            with contextlib.suppress(OSError, ValueError, LookupError):
                summary = json.loads((self.desi / "summary.json").read_text(encoding="utf-8"))
                self.status.targets = {**summary["status"], TO_DO: 0}
                self.status.n_spectra = summary["spectra"]
                self.status.final = True
                return
        self.status.n_spectra = sum(line.n_spectra for lines in self.done.values() for line in lines)
        if not all(path.exists() for path in self.tables):
            return
        accepted = _sum_of_counts(self.tables[3])
        found: Counter[str] = Counter(rejected=_n_rows(self.tables[1]))
        if self.planned:
            status = _status_of_rows(np.load(self.desi / "plan_targets.npy", mmap_mode="r"), self.done)
            found.update(status.tolist())
            found["not_covered"] = accepted - len(status)
        else:
            found[TO_DO] = accepted
        self.status.targets = {status: found[status] for status in TARGET_STATES}

    def _is_final(self) -> bool:
        account = self.status.jobs.get("account_desi", ("", None))[1]
        written, planned = (_time_of(self.desi / name) for name in ("summary.json", "plan.csv"))
        return account is not None and account[ENDED] == 1 and written >= planned

    def _totals(self) -> None:
        status, journal = self.status, self.journal
        status.requests, status.bytes = journal.requests, journal.bytes
        took: dict[Kind, list[float]] = defaultdict(list)
        for line in journal.coadds.values():
            took[line.survey, line.program].append(line.seconds)
        status.seconds_each = {kind: sum(seconds) / len(seconds) for kind, seconds in took.items()}
        left = {kind: counts[LEFT] for kind, counts in status.coadds.items()}
        status.seconds_left = seconds_left(left, journal, self.since)
        status.errors = sorted(self.tracked.errors, key=lambda error: error.time, reverse=True)
        kept = [self.logs / name for name in (runs.RECORD, "extract_desi.csv", "progress.txt")]
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


def _read_extracted(path: Path, pix64: int) -> dict[Kind, Line]:
    """Return what an extracted file says of its coadds; nothing if it cannot be read."""
    from skyharvest import store  # noqa: PLC0415 (h5py: 0.3 s, where the journal does not do)

    with contextlib.suppress(OSError, MalformedFile, LookupError), store.reading(path) as file:
        survey, program, status = (store.text(file["coadds"][name][:]) for name in ("survey", "program", "status"))
        coadd, row = file["coadd"][:], file["row"][:]
        return {
            (survey[k], program[k]): Line(
                0.0,
                pix64,
                survey[k],
                program[k],
                status[k],
                n_spectra=int((coadd == k).sum()),
                rows=tuple(np.unique(row[coadd == k]).tolist()),
            )
            for k in range(len(status))
        }
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


def _status_of_rows(plan: npt.NDArray[Any], done: Mapping[int, Sequence[Line]]) -> npt.NDArray[np.str_]:
    """Return the status of every CSV row of the plan.

    Parameters
    ----------
    plan
        ``plan_targets.npy``.
    done
        Finished pixels → their coadds.
    """
    rows, row_at = np.unique(plan["row"], return_inverse=True)
    pixels, pixel_at = np.unique(plan["pix64"], return_inverse=True)

    def any_pixel(flags: Iterable[bool]) -> npt.NDArray[np.bool_]:
        """Return, for each row, whether a flag holds for any of its pixels."""
        found = np.zeros(len(rows), bool)
        found[row_at[np.fromiter(flags, bool, len(pixels))[pixel_at]]] = True
        return found

    def with_coadd(status: str) -> npt.NDArray[np.bool_]:
        return any_pixel(any(line.status == status for line in done.get(pix64, ())) for pix64 in pixels.tolist())

    matched = [row for lines in done.values() for line in lines for row in line.rows]
    status = np.full(len(rows), "coadd_absent", "U16")
    status[with_coadd("unreadable")] = "coadd_unreadable"
    status[with_coadd("read")] = "no_fiber"
    status[any_pixel(pix64 not in done for pix64 in pixels.tolist())] = TO_DO
    status[np.isin(rows, np.array(matched, np.int64))] = "matched"
    return status


def show(status: Status, now: float, n_errors: int) -> str:
    """Return a run's status as tables of text.

    Parameters
    ----------
    status
        From `gather`.
    now
        Seconds since 1970.
    n_errors
        How many of the last errors to show.
    """
    blocks = [
        _show_run(status, now),
        _show_jobs(status),
        _show_coadds(status),
        _show_targets(status),
        _show_reading(status),
        _show_errors(status, n_errors),
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _show_run(status: Status, now: float) -> list[str]:
    lines = [f"{'results':<10}{_shown(status.results)}"]
    run = status.run
    if run is None:
        return [*lines, f"{'run':<10}none has been recorded here"]
    process = f"process {run.pid} on {run.host}"
    began = f"began {_clock(run.started)}"
    took = duration((run.ended or now) - run.started)
    quiet = f"{duration(now - status.seen)} ago" if status.seen <= now else _clock(status.seen)
    if run.ended is not None:
        how = (
            "finished"
            if run.outcome == runs.FINISHED
            else "ended before all was done; the next run tries what is missing"
        )
        said = f"{how}: {began}, ended {_clock(run.ended)}, after {took}"
    elif status.alive:
        said = f"running for {took}: {process}, {began}"
    elif status.alive is None:
        said = f"{process}, {began}: whether it goes on cannot be seen from this host; last sign of life {quiet}"
    else:
        said = f"interrupted: {process}, {began}, is gone without a word; last sign of life {quiet}"
    lines += [f"{'run':<10}{said}", f"{'command':<10}{run.command}", f"{'log':<10}{_shown(Path(run.log))}"]
    if status.locked:
        lines.append(f"{'locked':<10}it has left a lock: before the next run, say {run.command} --unlock")
    return lines


def _show_jobs(status: Status) -> list[str]:
    lines = [f"{'rule':<17}{'of':>14}" + "".join(f"{state:>{max(len(state) + 2, 9)}}" for state in STATES)]
    for rule, (unit, counts) in status.jobs.items():
        of = counted(counts.total(), unit) if counts is not None else f"? {unit}s"
        cells = [f"{counts[state]:,}" if counts is not None else "?" for state in STATES]
        lines.append(
            f"{rule:<17}{of:>14}"
            + "".join(f"{cell:>{max(len(state) + 2, 9)}}" for state, cell in zip(STATES, cells, strict=True))
        )
    return lines


def _show_coadds(status: Status) -> list[str]:
    if not status.coadds:
        return []
    lines = [f"{'coadds':<17}{'planned':>9}" + "".join(f"{name:>12}" for name in COADD_STATES) + f"{'s each':>9}"]
    for kind, counts in sorted(status.coadds.items()):
        each = f"{status.seconds_each[kind]:.2f}" if kind in status.seconds_each else "?"
        cells = "".join(f"{counts[name]:>12,}" for name in COADD_STATES)
        lines.append(f"{'/'.join(kind):<17}{counts.total():>9,}{cells}{each:>9}")
    return lines


def _show_targets(status: Status) -> list[str]:
    if not status.targets:
        return []
    total = sum(status.targets.values())
    lines = [f"{'targets' if status.final else 'targets so far':<17}{'rows':>9}{'share':>9}"]
    lines += [f"{name:<17}{n:>9,}{n / total if total else 0:>9.1%}" for name, n in status.targets.items()]
    return [*lines, f"{'all CSV rows':<17}{total:>9,}"]


def _show_reading(status: Status) -> list[str]:
    moved = f"{megabytes(status.bytes)} over the network, in {counted(status.requests, 'request')}"
    lines = [f"{'spectra':<10}{status.n_spectra:,}", f"{'moved':<10}{moved}"]
    if any(counts[LEFT] for counts in status.coadds.values()):
        when = ", when it runs again" if status.alive is False else ""
        lines.append(f"{'reading':<10}{time_left(status.seconds_left)}{when}")
    return lines


def _show_errors(status: Status, n_errors: int) -> list[str]:
    if not status.errors:
        return ["errors    none"]
    shown = status.errors[:n_errors]
    lines = [
        f"errors    {len(status.errors):,}" + (f", the last {len(shown)}:" if len(shown) < len(status.errors) else "")
    ]
    here = f"cd {shlex.quote(str(status.directory))} && " if status.directory != Path.cwd() else ""
    for error in shown:
        message = error.message.replace("\n", "\n    ")
        lines += [f"  {_clock(error.time)}  {error.job}", f"    {message}", f"    log     {_shown(error.log)}"]
        if error.command:
            lines.append(f"    repeat  {here}{error.command}")
    return lines


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment):%Y-%m-%d %H:%M:%S}"


def _shown(path: Path) -> str:
    """Return a path as short as it can be from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
