"""The report's numbers about time: how long the jobs of each step took, from the beginnings and ends of their logs.

A job's log begins with the command and ends with ``done`` (`skyharvest.core.cli.run`), each line with its time: what
Python and Snakemake need before and after is not in it.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from skyharvest.core.cli import DONE

TAIL = 2048  # bytes at the end of a log, in which its last line begins
STAMP = "%Y-%m-%d %H:%M:%S,%f"  # of logging: its default format
STAMP_LENGTH = 23
ORDER = ("simulate", "prepare", "fetch", "plan", "globus", "extract", "match", "assemble", "contact", "account")
"""Beginnings of rules' names, in the order in which they run."""
OWN = "write_report"


@dataclass(frozen=True)
class RuleTimes:
    """The jobs of a rule: how many, their time added up, the longest, and from the first start to the last end.

    All in seconds.
    """

    rule: str
    jobs: int
    seconds: float
    longest: float
    span: float


def read_steps(logs: Path) -> list[RuleTimes]:
    """Return a step for each rule that has left logs of finished jobs; ``{rule}.log`` or ``{rule}/*.log``."""
    steps = []
    for entry in sorted(logs.iterdir()) if logs.is_dir() else []:
        if entry.is_dir():
            times = [_times(log) for log in sorted(entry.glob("*.log"))]
        elif entry.suffix == ".log":
            times = [_times(entry)]
        else:
            continue
        known = [time for time in times if time is not None]
        rule = entry.stem if entry.is_file() else entry.name
        if known and rule != OWN:
            took = [end - begin for begin, end in known]
            span = max(end for _, end in known) - min(begin for begin, _ in known)
            steps.append(RuleTimes(rule, len(known), sum(took), max(took), span))
    return sorted(steps, key=lambda step: (_place(step.rule), step.rule))


def _place(rule: str) -> int:
    return next((k for k, begin in enumerate(ORDER) if rule.startswith(begin)), len(ORDER))


def _times(log: Path) -> tuple[float, float] | None:
    """Return when a log begins and ends, seconds since 1970; None if its job has not come to its end."""
    try:
        with log.open("rb") as stream:
            first = stream.readline()
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
            last = stream.read().rstrip().rpartition(b"\n")[2]
        if not last.endswith(f" INFO {DONE}".encode()):
            return None
        begin, end = (
            datetime.strptime(line[:STAMP_LENGTH].decode(), STAMP).timestamp()  # local time
            for line in (first, last)
        )
    except (OSError, ValueError):
        return None
    return begin, max(begin, end)
