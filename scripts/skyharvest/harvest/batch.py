"""Extract many units in one job, which costs more than a unit. The unit stays what fails, is kept and resumed."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

from skyharvest.archive.archive import Cost
from skyharvest.core.errors import ArchiveUnavailable, HarvestError
from skyharvest.harvest.extracted import Listed, is_made, listed
from skyharvest.harvest.journal import FAILED, Journal, Line
from skyharvest.harvest.progress import Progress
from skyharvest.harvest.survey import Survey

log = logging.getLogger(__name__)

U = TypeVar("U", int, str)


def extract_units(
    survey: Survey,
    extracted: Path,
    requests: Mapping[U, str],
    extract: Callable[[U, Cost], list[Line]],
    *,
    again: Collection[str] = ("unreadable",),
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> list[Listed]:
    """Extract units into a file each. What an earlier, unfinished job has made is kept.

    Parameters
    ----------
    requests
        Unit → digest of what its file has to be made for, as `skyharvest.harvest.extracted.is_made` compares it.
    extract
        Makes it, adds what it takes to the cost, also if it fails, and returns the journal's lines.
    again
        A unit with a file of this status (``absent``, ``unreadable``) is not kept: it may do better now.
    journal, progress
        Are told of every unit that is finished or failed.

    Returns
    -------
    list of Listed
        A line of the batch's list for each unit.

    Raises
    ------
    ArchiveUnavailable, HarvestError
        When all units have been tried, and some failed: the former if trying again may help. The message names them.
    """
    kept = {unit for unit, request in requests.items() if is_made(survey.path(extracted, unit), request, again)}
    if len(kept) == len(requests):
        kept = set()  # nothing is missing, and yet the job was started: it was asked for anew
    if kept:
        log.info("%d of %d %ss are there already", len(kept), len(requests), survey.unit)
    journal, progress = journal or Journal(), progress or Progress()
    failures: dict[U, Exception] = {}
    for unit in requests:
        if unit in kept:
            continue
        cost = Cost()
        try:
            lines = extract(unit, cost)
        except Exception as error:
            if isinstance(error, HarvestError | OSError):
                log.error("%s %s: %s", survey.unit, unit, error)
            else:
                log.exception("%s %s", survey.unit, unit)
            failures[unit] = error
            spent = (cost.seconds, cost.requests, cost.bytes)
            journal.add([Line(time.time(), unit, "", "", FAILED, 0, 0, *spent, message=str(error) or repr(error))])
        else:
            journal.add(lines)
        progress.unit_done()
    if failures:
        n_kept = len(requests) - len(failures)
        kind_of_error = (
            ArchiveUnavailable if any(isinstance(e, ArchiveUnavailable) for e in failures.values()) else HarvestError
        )
        raise kind_of_error(
            f"{len(failures)} of {len(requests)} {survey.unit}s failed, the other {n_kept} are kept for the next run: "
            + "; ".join(f"{unit}: {error}" for unit, error in failures.items())
        )
    return [listed(unit, survey.path(extracted, unit)) for unit in requests]
