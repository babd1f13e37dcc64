"""Harvest a batch of NSIDE=16 pixels: extract their units, assemble them. Each is kept, fails and is resumed alone."""

import logging
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from skyharvest.archive.archive import Cost
from skyharvest.core.atomic import check_room, is_full
from skyharvest.core.errors import ArchiveUnavailable, HarvestError
from skyharvest.harvest.ahead import Ahead
from skyharvest.harvest.assembled import is_made_from, made_from
from skyharvest.harvest.extracted import Listed, has_data, is_made, listed
from skyharvest.harvest.journal import FAILED, Journal, Line
from skyharvest.harvest.progress import Progress
from skyharvest.harvest.renewal import renew
from skyharvest.harvest.survey import Survey

log = logging.getLogger(__name__)

U = TypeVar("U", int, str)

AHEAD = 100
"""Units that are read ahead of their turn: so many that reading goes on while a pixel is assembled, or waits some ten
seconds for an answer that the server has let stand."""


@dataclass(kw_only=True)
class Batch(Generic[U]):
    """What one job is to do, and what has become of it.

    Attributes
    ----------
    extracted, assembled
        Directories of the extracted files, and of the assembled ones.
    searched
        NSIDE=16 pixel → units to search for its targets.
    requests
        Unit → digest of what its file has to be made for, as `skyharvest.harvest.extracted.is_made` compares it.
    extract
        Makes the file of a unit, adds what it takes to the cost, also if it fails, and returns the journal's lines.
    assemble
        Makes the file of an NSIDE=16 pixel: given the pixel, the extracted files of its units, the path to write, and
        the root attribute ``made_from``.
    at_once
        So many units are extracted at once, in threads.
    beside
        Names of what `assemble` makes beside that file.
    meaning
        Of the assembled files: `skyharvest.harvest.manifest.MEANING`.
    targets
        ``targets.parquet``: with it, files that only have the columns of another CSV are renewed, not assembled.
    again
        A unit with a file of this status (``absent``, ``unreadable``) is not kept: it may do better now.
    was_done
        Whether an earlier job has done it all. If nothing is missing, it was asked for anew, and nothing is kept.
    journal, progress
        Are told of every unit that is finished or failed.
    """

    survey: Survey
    extracted: Path
    assembled: Path
    searched: Mapping[int, Sequence[U]]
    requests: Mapping[U, str]
    extract: Callable[[U, Cost], list[Line]]
    assemble: Callable[[int, list[Path], Path, str], None]
    at_once: int = 1
    beside: Collection[str] = ()
    meaning: Mapping[str, str] = field(default_factory=dict)
    targets: Path | None = None
    again: Collection[str] = ("unreadable",)
    was_done: bool = False
    journal: Journal = field(default_factory=Journal)
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self._done: set[U] = set()  # by this job
        self._failed: dict[U, Exception] = {}
        self._unassembled: dict[int, Exception | None] = {}  # None: a unit of it failed
        self._good: list[int] = []  # that had not to be assembled
        self._anew = False
        self._take: Callable[[U], Exception | None] = self._attempt

    def run(self) -> list[Listed]:
        """Extract and assemble what is not there yet.

        Returns
        -------
        list of Listed
            A line of the batch's list for each unit.

        Raises
        ------
        ArchiveUnavailable, HarvestError
            When all has been tried, and some failed: the former if trying again may help. The message names them.
        OSError
            At once, if the disk is full: nothing is read that cannot be kept.
        """
        check_room(self.extracted)
        kept = {unit for unit in self.requests if self._is_made(unit)}
        if self.was_done and len(kept) == len(self.requests) and all(map(self._is_current, self.searched)):
            kept, self._anew = set(), True
        if kept:
            log.info("%d of %d %ss are there already", len(kept), len(self.requests), self.survey.unit)
        order = [unit for unit in self.requests if unit not in kept]
        with Ahead(self._attempt, order, self.at_once, AHEAD) as ahead:
            self._take = ahead.take
            for pix16 in self.searched:
                self._harvest(pix16, kept)
            # What was read again for a later pixel may be other than what an earlier one was made from.
            for pix16 in [pix16 for pix16 in self._good if not self._done.isdisjoint(self.searched[pix16])]:
                self._harvest(pix16, kept)
        if self._failed or any(self._unassembled.values()):
            raise self._error()
        return [listed(unit, self._path(unit)) for unit in self.requests]

    def _path(self, unit: U) -> Path:
        return self.survey.path(self.extracted, unit)

    def _paths(self, pix16: int) -> list[Path]:
        return [self._path(unit) for unit in self.searched[pix16]]

    def _assembled(self, pix16: int) -> tuple[Path, list[Path]]:
        """Return the paths of a pixel's file and of what is beside it."""
        path = self.survey.crossmatch(self.assembled, pix16)
        return path, [path.with_name(name) for name in self.beside]

    def _is_current(self, pix16: int) -> bool:
        path, beside = self._assembled(pix16)
        there = path.exists() and all(map(Path.exists, beside))  # first: the other asks all extracted files
        return there and is_made_from(path, made_from(self._paths(pix16), self.meaning))

    def _is_renewed(self, pix16: int) -> bool:
        path, beside = self._assembled(pix16)
        if self.targets is None or not all(map(Path.exists, beside)):
            return False
        try:
            return renew(path, pix16, self._paths(pix16), self.meaning, self.targets)
        except OSError as error:  # such as a full disk
            self._log(f"NSIDE=16 pixel {pix16} is assembled anew", error)
            return False

    def _is_made(self, unit: U) -> bool:
        return is_made(self._path(unit), self.requests[unit], self.again)

    def _harvest(self, pix16: int, kept: Collection[U]) -> None:
        units: Sequence[U] = self.searched[pix16]
        self._extract(unit for unit in units if unit not in kept)
        if not self._failed.keys() & {*units}:
            if not self._anew and (self._is_current(pix16) or self._is_renewed(pix16)):
                self._good.append(pix16)
                return
            # Of some that are kept, only the tables may be there.
            self._extract(unit for unit in units if unit not in self._done and not has_data(self._path(unit)))
        if self._failed.keys() & {*units}:
            self._unassembled[pix16] = None
            return
        out, beside = self._assembled(pix16)
        try:
            if beside:  # a job that is cut off must not leave a good file with what was made for another
                out.unlink(missing_ok=True)
            for path in beside:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            self.assemble(pix16, self._paths(pix16), out, made_from(self._paths(pix16), self.meaning))
        except Exception as error:
            self._log(f"NSIDE=16 pixel {pix16}", error)
            if is_full(error):
                raise
            self._unassembled[pix16] = error

    def _extract(self, units: Iterable[U]) -> None:
        for unit in units:
            if unit in self._done or unit in self._failed:
                continue
            error = self._take(unit)
            self.progress.unit_done()
            if error is None:
                self._done.add(unit)
                continue
            self._log(f"{self.survey.unit} {unit}", error)
            self._failed[unit] = error
            if is_full(error):
                raise error

    def _attempt(self, unit: U) -> Exception | None:
        """Extract a unit, perhaps in a thread, and note it; return what went wrong."""
        # Another job may have been quicker with a unit on an edge.
        if not self._anew and self._is_made(unit) and has_data(self._path(unit)):
            return None
        cost = Cost()
        try:
            self.journal.add(self.extract(unit, cost))
        except Exception as error:
            spent = (cost.seconds, cost.requests, cost.bytes)
            self.journal.add([Line(time.time(), unit, "", "", FAILED, 0, 0, *spent, message=str(error) or repr(error))])
            return error
        return None

    def _log(self, what: str, error: Exception) -> None:
        if isinstance(error, HarvestError | OSError):
            log.error("%s: %s", what, error)
        else:
            log.error("%s", what, exc_info=error)

    def _error(self) -> HarvestError:
        unassembled = {pix16: error for pix16, error in self._unassembled.items() if error is not None}
        said = []
        if self._failed:
            n_kept = len(self.requests) - len(self._failed)
            said.append(
                f"{len(self._failed)} of {len(self.requests)} {self.survey.unit}s failed, the other {n_kept} are kept "
                "for the next run: " + "; ".join(f"{unit}: {error}" for unit, error in self._failed.items())
            )
        if unassembled:
            said.append(
                f"{len(unassembled)} of {len(self.searched)} NSIDE=16 pixels could not be assembled: "
                + "; ".join(f"{pix16}: {error}" for pix16, error in unassembled.items())
            )
        may_help = any(isinstance(error, ArchiveUnavailable) for error in self._failed.values())
        return (ArchiveUnavailable if may_help else HarvestError)("\n".join(said))
