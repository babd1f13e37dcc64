"""The report's numbers about time and memory: what the jobs of each step took, from Snakemake's benchmark files.

A job's file is ``{results}/benchmarks/{rule}.tsv``, or one of ``{rule}/*.tsv`` where a rule has many jobs. It is
written when the job ends, with the seconds that it took (``s``) and the largest memory (``max_rss``, MB).
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ORDER = ("simulate", "prepare", "fetch", "plan", "globus", "harvest", "match", "account")
"""Beginnings of rules' names, in the order in which they run."""
OWN = "write_report"


@dataclass(frozen=True)
class RuleTimes:
    """The jobs of a rule: how many, their time added up, the longest, and from the first start to the last end (s).

    ``memory_mb`` is the largest of any job; 0 where Snakemake did not see it, as of very short jobs.
    """

    rule: str
    jobs: int
    seconds: float
    longest: float
    span: float
    memory_mb: float


def read_times(benchmarks: Path) -> list[RuleTimes]:
    """Return the times of each rule that has left benchmark files, in the order in which rules run."""
    rules = []
    for entry in sorted(benchmarks.iterdir()) if benchmarks.is_dir() else []:
        files = sorted(entry.glob("*.tsv")) if entry.is_dir() else [entry] if entry.suffix == ".tsv" else []
        jobs = [job for file in files for job in _read(file)]
        rule = entry.name.removesuffix(".tsv")
        if not jobs or rule == OWN:
            continue
        took = [seconds for _, seconds, _ in jobs]
        span = max(end for end, _, _ in jobs) - min(end - seconds for end, seconds, _ in jobs)
        rules.append(RuleTimes(rule, len(jobs), sum(took), max(took), span, max(memory for _, _, memory in jobs)))
    return sorted(rules, key=lambda times: (_place(times.rule), times.rule))


def _place(rule: str) -> int:
    return next((k for k, begin in enumerate(ORDER) if rule.startswith(begin)), len(ORDER))


def _read(file: Path) -> Iterator[tuple[float, float, float]]:
    """Yield when a job ended (s since 1970), and its seconds and memory; nothing if the file is no good."""
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            *_, last = csv.DictReader(stream, delimiter="\t")
        seconds = float(last["s"])
        if math.isfinite(seconds):
            yield file.stat().st_mtime, seconds, _megabytes(last.get("max_rss") or "")
    except (OSError, ValueError, KeyError, TypeError):
        return


def _megabytes(text: str) -> float:
    try:
        return float(text) if math.isfinite(float(text)) else 0.0
    except ValueError:  # "-" or "NA"
        return 0.0
