"""What the programs that harvest a batch share: their options, and what they do with them."""

import argparse
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from skyharvest.archive.archive import Archive, Cost, is_url
from skyharvest.core import cli
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.harvest.batch import Batch
from skyharvest.harvest.batches import pixels_of
from skyharvest.harvest.done import done_for
from skyharvest.harvest.extracted import write_list
from skyharvest.harvest.journal import Journal, Line
from skyharvest.harvest.manifest import MEANING
from skyharvest.harvest.options import add_shared, open_archive
from skyharvest.harvest.plan import Plan, Unit
from skyharvest.harvest.progress import Progress
from skyharvest.harvest.recorded import csv_of
from skyharvest.harvest.survey import Survey

U = TypeVar("U", int, str)

CheckedArchive = tuple[Archive, Callable[..., None] | None]
AT_ONCE = 3  # units; more take memory, and there are not many more connections to a job


def add_options(parser: argparse.ArgumentParser, survey: Survey) -> None:
    """Add the options that the programs of all surveys have."""
    add_shared(parser, "--archive", "--connections", "--server-notes", "--release", "--targets")
    add_shared(parser, "--plan", required=True, help="from the plan; its other files are beside it")
    add_shared(parser, "--batch", "--digest", "--list", "--journal")
    add_shared(parser, "--again", "--known", "--forbidden-is-absent", "--config-hash")
    add_shared(
        parser, "--extracted", nargs=None, metavar="DIR", help=f"where to write {{group}}/{{{survey.unit}}}.hdf5"
    )
    where = f"where to write healpix={{pix16}}/crossmatch_{survey.name}.hdf5"
    parser.add_argument("--assembled", type=Path, required=True, metavar="DIR", help=where)


@dataclass(frozen=True)
class Job:
    """A program's part of the plan.

    Attributes
    ----------
    searched
        NSIDE=16 pixels of the batch → units to search for their targets.
    units
        All of these, each once.
    meaning
        Of the assembled files: `skyharvest.harvest.manifest.MEANING`.
    """

    survey: Survey
    options: argparse.Namespace
    plan: Plan
    searched: Mapping[int, Sequence[Any]]
    units: Sequence[Any]
    meaning: Mapping[str, str]

    @classmethod
    def of(cls, survey: Survey, options: argparse.Namespace) -> "Job":
        """Read the plan.

        Raises
        ------
        InputError
            If it has nothing in this batch.
        """
        plan = survey.read_plan(options.plan)
        pixels = pixels_of(options.batch, plan.searched)
        if not pixels:
            raise InputError(f"{options.plan} has no NSIDE=16 pixel in batch {options.batch}")
        searched = {pix16: plan.searched[pix16] for pix16 in pixels}
        meaning = dict(zip(MEANING, (csv_of(options.targets), options.config_hash), strict=True))
        return cls(survey, options, plan, searched, plan.units(pixels), meaning)

    def beside_plan(self, name: str) -> Path:
        """Return the path of another file of the plan."""
        path: Path = self.options.plan.with_name(name)
        return path

    @property
    def scratch(self) -> Path:
        """A directory of this job's own, to download to: others may need the same unit, and remove what they read."""
        given: Path = getattr(self.options, "download", None) or self.options.extracted
        return given / str(self.options.batch)

    @property
    def at_once(self) -> int:
        """How many units to read by rows at once: over the network, where one waits while another is computed."""
        options = self.options
        return min(AT_ONCE, options.connections) if is_url(options.archive) and not options.download else 1

    @contextmanager
    def checked_archive(self) -> Iterator[CheckedArchive]:
        """Open the archive; the second value is to be called before a file of it is recorded as absent."""
        with self.checked_archives(1) as [checked]:
            yield checked

    @contextmanager
    def checked_archives(self, n: int) -> Iterator[list[CheckedArchive]]:
        """Open the archive n times, for n threads, with a share of the connections each; else as `checked_archive`."""
        options = self.options
        if options.forbidden_is_absent and not options.known:
            raise InputError(
                "--forbidden-is-absent needs --known, a file that tells absence from a refusal of everything"
            )
        with ExitStack() as opened:
            shares = [(options.connections + k) // n for k in range(n)]
            archives = [opened.enter_context(open_archive(options, share)) for share in shares]
            yield [(each, each.absence_check(options.known) if options.known else None) for each in archives]

    def run(
        self,
        requests: Mapping[U, str],
        extract: Callable[[U, Cost], list[Line]],
        assemble: Callable[[int, list[Path], Path, str], int],
        *,
        at_once: int = 1,
        beside: Collection[str] = (),
    ) -> None:
        """Extract and assemble the batch, and write its list; see `skyharvest.harvest.batch.Batch`."""
        options, survey = self.options, self.survey
        done = options.list and done_for(options.list)

        def assembled(pix16: int, extracted: list[Path], out: Path, origin: str) -> None:
            n = assemble(pix16, extracted, out, origin)
            cli.log.info("%s: %d %s", out, n, survey.product)

        batch: Batch[U] = Batch(
            survey=survey,
            extracted=options.extracted,
            assembled=options.assembled,
            searched=self.searched,
            requests=requests,
            extract=extract,
            assemble=assembled,
            at_once=at_once,
            beside=beside,
            meaning=self.meaning,
            targets=options.targets,
            again=options.again,
            was_done=bool(done and done.exists() and done.read_text() == options.digest),
            journal=Journal(options.journal),
            progress=Progress(survey, options.journal, options.plan),
        )
        lines = batch.run()
        shutil.rmtree(self.scratch, ignore_errors=True)
        if options.list:
            write_list(options.list, lines)
            with atomic_path(done) as temporary:
                temporary.write_text(options.digest)
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
