"""The report's numbers about the archive's files: what became of each, and what moved.

From the plan and the journal; where the journal does not add up to the summary, from the extracted files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest.extracted import lines_of
from skyharvest.harvest.journal import Line, Read
from skyharvest.harvest.plan import Kind, Plan, Unit
from skyharvest.harvest.survey import Survey


@dataclass(frozen=True)
class Traffic:
    """What reading a survey's files took: over the network, in all attempts, and in time added up over jobs.

    ``whole_bytes``: what these files have as a whole, None where that is not known; an estimate from the rows that
    were searched, if ``estimated``.
    """

    title: str
    bytes: int
    requests: int
    seconds: float
    files: int
    whole_bytes: int | None
    estimated: bool


def read_files(survey: Survey, plan: Plan, journal: Read, summary: Mapping[str, Any], extracted: Path) -> list[Line]:
    """Return what is known of each file of the plan, in its order.

    Parameters
    ----------
    summary
        Its counts of files are trusted; the journal is if it says the same.
    extracted
        The survey's directory ``extracted``.
    """
    planned = [(unit, *kind) for unit, kinds in plan.files.items() for kind in kinds]
    lines = [journal.files[file] for file in planned if file in journal.files]
    states = [line.status for line in lines]
    if survey.files != f"{survey.file}s":  # of a brick's many files the summary counts each
        agree = len(lines) == len(planned)
    else:
        agree = all(states.count(s) == n for s, n in summary[survey.files].items())
    if agree:
        return lines
    return [
        line for unit, kinds in plan.files.items() for line in _of_extracted(survey, extracted, unit, kinds, journal)
    ]


def _of_extracted(survey: Survey, extracted: Path, unit: Unit, kinds: list[Kind], journal: Read) -> list[Line]:
    """Return what an extracted file says of its sources; without one, what the journal says."""
    try:
        with hdf5.reading(survey.path(extracted, unit)) as file:
            lines = lines_of(file, unit)
    except (OSError, KeyError, MalformedFile):
        lines = {kind: journal.files[unit, *kind] for kind in kinds if (unit, *kind) in journal.files}
    return [lines[kind] for kind in kinds if kind in lines]


def traffic_of(survey: Survey, files: list[Line], journal: Read) -> Traffic:
    """Return what reading took, and what whole files would have taken."""
    read = [line for line in files if line.status == "read"]
    shown = survey.report
    whole: int | None = None
    if shown.row_bytes:
        whole = sum(shown.header_bytes + shown.row_bytes * line.n_searched for line in read)
    elif shown.fetched_whole and journal.bytes:
        whole = journal.bytes
    return Traffic(
        survey.title,
        journal.bytes,
        journal.requests,
        sum(line.seconds for line in journal.lines),
        len(read),
        whole,
        bool(shown.row_bytes),
    )
