"""What the programs that extract a plan's units share: their options, and what they do with them."""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from skyharvest.archive.absence import absence_check
from skyharvest.archive.archive import Archive, Cost
from skyharvest.core import cli
from skyharvest.harvest.batch import extract_units
from skyharvest.harvest.extracted import write_list
from skyharvest.harvest.journal import Journal, Line
from skyharvest.harvest.plan import Unit
from skyharvest.harvest.progress import Progress
from skyharvest.harvest.survey import Survey

U = TypeVar("U", int, str)


def add_archive_options(parser: argparse.ArgumentParser) -> None:
    """Add how to use the archive."""
    parser.add_argument("--connections", type=int, default=1, help="open connections to the archive, at most")
    parser.add_argument("--server-notes", type=Path, help="a file to remember in what the archive's server can do")


def add_options(parser: argparse.ArgumentParser, survey: Survey) -> None:
    """Add the options that all surveys have; those that name the units are the survey's own."""
    parser.add_argument("--archive", required=True, metavar="ROOT", help="directory or URL of the release's files")
    parser.add_argument("--release", required=True, help="a key of config/releases.yaml")
    parser.add_argument("--targets", type=Path, required=True, metavar="PLAN_TARGETS.npy", help="from the plan")
    parser.add_argument(
        "--extracted", type=Path, required=True, metavar="DIR", help=f"where to write {{group}}/{{{survey.unit}}}.hdf5"
    )
    parser.add_argument("--list", type=Path, metavar="CSV", help="written when all of them are there")
    parser.add_argument("--journal", type=Path, metavar="CSV", help=f"append a line to it for every {survey.file}")
    parser.add_argument(
        "--plan", type=Path, metavar="PLAN.csv", help="say every half minute how far the journal has come with it"
    )
    parser.add_argument(
        "--again",
        nargs="*",
        choices=["unreadable", "absent"],
        default=["unreadable"],
        help=f"read a {survey.unit} again although it is there, if a file of it was recorded as this",
    )
    parser.add_argument(
        "--known",
        metavar="PATH",
        help="a file that the archive has for certain: where that is absent, too, nothing is recorded as absent",
    )
    add_archive_options(parser)


def open_archive(options: argparse.Namespace) -> Archive:
    """Return the archive; it is to be closed."""
    return Archive(options.archive, connections=max(1, options.connections), notes=options.server_notes)


@contextmanager
def checked_archive(options: argparse.Namespace) -> Iterator[tuple[Archive, Callable[[], None] | None]]:
    """Open the archive; the second value is to be called before a file of it is recorded as absent."""
    with open_archive(options) as archive:
        yield archive, absence_check(archive, options.known) if options.known else None


def extract_all(
    options: argparse.Namespace, survey: Survey, requests: Mapping[U, str], extract: Callable[[U, Cost], list[Line]]
) -> None:
    """Extract units, and write the list.

    Parameters
    ----------
    options
        Those of `add_options`.
    survey
        Whose units they are.
    requests, extract
        As `skyharvest.harvest.batch.extract_units` takes them.
    """
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
        write_list(options.list, lines)
    n_found = sum(line[1] for line in lines)
    cli.log.info("%d %s of %d %ss", n_found, survey.product, len(lines), survey.unit)


def line_of_unit(survey: Survey, unit: Unit, cost: Cost, *, status: str, n_targets: int, rows: Sequence[int]) -> Line:
    """Return the journal's line of a unit with one kind of file.

    Parameters
    ----------
    survey, unit
        Whose unit it is.
    cost
        What it took.
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
