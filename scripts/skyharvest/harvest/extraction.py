"""What the programs that extract a plan's units share: their options, and what they do with them."""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from skyharvest.archive.archive import Archive, Cost
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.harvest.batch import extract_units
from skyharvest.harvest.extracted import write_list
from skyharvest.harvest.journal import Journal, Line
from skyharvest.harvest.options import add_shared, open_archive
from skyharvest.harvest.plan import Unit
from skyharvest.harvest.progress import Progress
from skyharvest.harvest.survey import Survey

U = TypeVar("U", int, str)


def add_options(parser: argparse.ArgumentParser, survey: Survey) -> None:
    """Add the options that all surveys have; those that name the units are the survey's own."""
    add_shared(parser, "--archive", "--connections", "--server-notes", "--release")
    add_shared(parser, "--list", "--digest", "--journal", "--plan", "--again", "--known", "--forbidden-is-absent")
    add_shared(parser, "--targets", metavar="PLAN_TARGETS.npy", help="from the plan")
    where = f"where to write {{group}}/{{{survey.unit}}}.hdf5"
    add_shared(parser, "--extracted", nargs=None, metavar="DIR", help=where)


@contextmanager
def checked_archive(options: argparse.Namespace) -> Iterator[tuple[Archive, Callable[..., None] | None]]:
    """Open the archive; the second value is to be called before a file of it is recorded as absent."""
    if options.forbidden_is_absent and not options.known:
        raise InputError("--forbidden-is-absent needs --known, a file that tells absence from a refusal of everything")
    with open_archive(options) as archive:
        yield archive, archive.absence_check(options.known) if options.known else None


def extract_all(
    options: argparse.Namespace, survey: Survey, requests: Mapping[U, str], extract: Callable[[U, Cost], list[Line]]
) -> None:
    """Extract units, and write the list."""
    lines = extract_units(
        survey,
        options.extracted,
        requests,
        extract,
        again=options.again,
        journal=Journal(options.journal),
        progress=Progress(survey, options.journal, options.plan),
    )
    if options.list:
        write_list(options.list, lines, options.digest)
    n_found = sum(line[1] for line in lines)
    cli.log.info("%d %s of %d %ss", n_found, survey.product, len(lines), survey.unit)


def line_of_unit(survey: Survey, unit: Unit, cost: Cost, *, status: str, n_targets: int, rows: Sequence[int]) -> Line:
    """Return the journal's line of a unit with one kind of file.

    Parameters
    ----------
    status
        ``read``, ``absent`` or ``unreadable``.
    n_targets, rows
        How many targets were looked for, and the CSV rows of those with a spectrum or image.
    """
    return Line(
        time.time(),
        unit,
        *survey.kind,
        status,
        n_searched=n_targets,
        n_spectra=len(rows),
        seconds=cost.seconds,
        requests=cost.requests,
        bytes=cost.bytes,
        rows=tuple(rows),
    )
