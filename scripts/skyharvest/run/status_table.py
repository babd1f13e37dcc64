"""How a run stands, as tables of text."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from skyharvest.core.words import counted, duration, megabytes
from skyharvest.harvest import run_record
from skyharvest.harvest.progress import time_left
from skyharvest.run.status import FILE_STATES, LEFT, STATES, Status


def show(surveys: Sequence[Status], now: float, n_errors: int) -> str:
    """Return a run's status as tables of text.

    Parameters
    ----------
    now
        Seconds since 1970.
    """
    seen = max(surveys, key=lambda status: status.seen)
    blocks = [_show_run(seen, now), _show_jobs(surveys)]
    for status in (one for one in surveys if one.harvests):
        blocks += [_show_files(status), _show_targets(status), _show_reading(status)]
    blocks.append(_show_errors(surveys, n_errors))
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
            if run.outcome == run_record.FINISHED
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


def _show_jobs(surveys: Sequence[Status]) -> list[str]:
    lines = [f"{'rule':<26}{'of':>14}" + "".join(f"{state:>{max(len(state) + 2, 9)}}" for state in STATES)]
    for rule, (unit, counts) in (job for status in surveys for job in status.jobs.items()):
        of = counted(counts.total(), unit) if counts is not None else f"? {unit}s"
        cells = [f"{counts[state]:,}" if counts is not None else "?" for state in STATES]
        lines.append(
            f"{rule:<26}{of:>14}"
            + "".join(f"{cell:>{max(len(state) + 2, 9)}}" for state, cell in zip(STATES, cells, strict=True))
        )
    return lines


def _show_files(status: Status) -> list[str]:
    if not status.files:
        return []
    lines = [
        f"{status.survey.file + 's':<17}{'planned':>9}"
        + "".join(f"{name:>12}" for name in FILE_STATES)
        + f"{'s each':>9}"
    ]
    for kind, counts in sorted(status.files.items()):
        each = f"{status.seconds_each[kind]:.2f}" if kind in status.seconds_each else "?"
        cells = "".join(f"{counts[name]:>12,}" for name in FILE_STATES)
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
    lines = [f"{status.survey.product:<10}{status.n_spectra:,}", f"{'moved':<10}{moved}"]
    if any(counts[LEFT] for counts in status.files.values()):
        when = ", when it runs again" if status.alive is False else ""
        lines.append(f"{'reading':<10}{time_left(status.seconds_left)}{when}")
    return lines


def _show_errors(surveys: Sequence[Status], n_errors: int) -> list[str]:
    errors = sorted(
        (error for status in surveys for error in status.errors), key=lambda error: error.time, reverse=True
    )
    if not errors:
        return ["errors    none"]
    shown = errors[:n_errors]
    lines = [f"errors    {len(errors):,}" + (f", the last {len(shown)}:" if len(shown) < len(errors) else "")]
    directory = surveys[0].directory
    here = f"cd {shlex.quote(str(directory))} && " if directory != Path.cwd() else ""
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
