"""Cutouts and PSFs from the viewer of the Legacy Surveys, which serves one request at a time: a polite queue.

Below the directory of the queue are::

    {layer}/{pix16}/{row}.jpg, .fits   cutouts
    {layer}-psf/{pix16}/{row}.fits     PSFs of the coadds, an image of each band
    urls.txt                           a line 'address' path for each of them
    viewer.csv                         row,layer,path,status,reason for each of them
    viewer.db                          what was asked for and what came; the next run goes on from it

==========  ===========================================================================================================
``there``   the file is complete, from this run or an earlier one
``absent``  the viewer answered 404 twice, or twice with a FITS file without an image: not asked for again
``wrong``   it answered twice with something else than a picture of that format: not asked for again
``error``   it failed: with HTTP 500, as it does where a layer does not cover the position, or again and again in some
            other way; asked for once more at the end of the queue, in every run
``waiting`` not asked for yet
==========  ===========================================================================================================

A file belongs to the address that it was fetched from: after a change of the position or of the request it is fetched
anew. Files that others have fetched from urls.txt count as well, if they are complete. In the queue's directory::

    xargs -n 2 sh -c '[ -s "$2" ] || { curl -fsS --create-dirs -o "$2" "$1"; sleep 6; }' sh < urls.txt

Source: https://www.legacysurvey.org/viewer/urls; the code of the viewer, as in
`skyharvest.surveys.legacysurvey.viewer.layers`.
"""

import fcntl
import logging
import sqlite3
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from skyharvest.archive.http.client import HttpClient
from skyharvest.archive.http.patience import Patience
from skyharvest.archive.http.response import NotThere, TryAgain
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import ArchiveUnavailable, HarvestError
from skyharvest.core.words import counted, duration
from skyharvest.surveys.legacysurvey.viewer.answers import NoPicture, picture_defect, read_body
from skyharvest.surveys.legacysurvey.viewer.notes import (
    ABSENT,
    DATABASE,
    ERROR,
    FINAL,
    TABLE,
    THERE,
    WAITING,
    WRONG,
    known_files,
    open_notes,
    write_table,
)
from skyharvest.surveys.legacysurvey.viewer.pace import Clock, RequestPace
from skyharvest.surveys.legacysurvey.viewer.queue import QueuedCutout, address

log = logging.getLogger(__name__)

PACE = "viewer_pace.json"
REFUSALS = (429, 503)
BROKEN = (500, 404, 410)  # the viewer answers, but its program failed, or it has not given any file yet
FAILED_IN_A_ROW = 2  # after all retries; then the viewer is asked for a file that it is known to have
BROKEN_IN_A_ROW = 100  # the same, of files that were asked for once
SAY_S = 30.0  # between lines of progress
RECENT = 50  # answers from which the remaining time is estimated


@dataclass
class CutoutsFetched:
    """What became of the wanted files.

    Attributes
    ----------
    n_new, n_bytes, n_requests
        Files and bytes that came in this run, and requests that it took.
    """

    status: Counter[str] = field(default_factory=Counter)
    n_new: int = 0
    n_bytes: int = 0
    n_requests: int = 0


def fetch_cutouts(
    viewer: str,
    queue: Sequence[QueuedCutout],
    directory: Path,
    *,
    pace: Path | None = None,
    patience: Patience | None = None,
    clock: Clock | None = None,
    again: bool = False,
) -> CutoutsFetched:
    """Fetch the missing files, one after the other; ``viewer.csv`` is written at the end, whatever happens.

    Parameters
    ----------
    pace
        The file that keeps the pace; ``viewer_pace.json`` in the directory if None. Of two runs
        that share it, the second ends at once.
    patience
        Retries and timeouts; by default the environment's.
    again
        Ask again for files recorded as absent or wrong.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        If the viewer does not answer as it should. What has come until then is kept, and the next run goes on.
    MalformedFile
        If ``viewer.db`` is none.
    """
    pace = pace or directory / PACE
    patience = patience or Patience.from_environment()
    clock = clock or Clock()
    directory.mkdir(parents=True, exist_ok=True)
    client = HttpClient(connections=1, patience=patience)
    with _only_one(pace), open_notes(directory / DATABASE) as database:
        run = _Run(
            viewer,
            directory,
            client,
            RequestPace(pace, urlsplit(viewer).netloc, patience.retry_after_cap_s, clock),
            clock,
        )
        run.database = database
        try:
            run.go(queue, again=again)
        except HarvestError as error:
            raise type(error)(f"{error}; {run.so_far()}") from error
        finally:
            client.close()
            run.pace.save()
            run.fetched.n_requests = client.traffic.requests
            run.fetched.status = write_table(directory / TABLE, queue, directory / DATABASE)
    return run.fetched


class _Failed(Exception):
    """A file that did not come, but may come later."""

    def __init__(self, why: str, status: int | None) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class _Run:
    """One run of the queue."""

    database: sqlite3.Connection

    def __init__(self, viewer: str, directory: Path, client: HttpClient, pace: RequestPace, clock: Clock) -> None:
        self.viewer = viewer
        self.directory = directory
        self.client = client
        self.pace = pace
        self.clock = clock
        self.fetched = CutoutsFetched()
        self._n_wanted = 0
        self._n_done = 0
        self._last: QueuedCutout | None = None  # the last file that came: the viewer has it for certain
        self._said = clock.now()
        self._answers: deque[float] = deque([clock.now()], maxlen=RECENT)

    def go(self, queue: Sequence[QueuedCutout], *, again: bool) -> None:
        """Ask for the remaining files of the queue, and once more for those that failed."""
        left, failed = self._remaining(queue, again)
        self._n_wanted, self._n_done = len(queue), len(queue) - len(left) - len(failed)
        log.info("%s of %s are there or recorded", f"{self._n_done:,}", counted(self._n_wanted, "file"))
        failed = [*failed, *(cutout for cutout, _ in self._pass(left))]
        if not failed:
            return
        log.info("once more: %s that failed", counted(len(failed), "file"))
        again_failed = self._pass(failed)
        if not again_failed:
            return
        first, failure = next((pair for pair in again_failed if pair[1].status not in BROKEN), again_failed[0])
        message = (
            f"{counted(len(again_failed), 'file')} failed twice, such as {address(self.viewer, first)}: {failure.why}"
        )
        if failure.status not in BROKEN:
            raise ArchiveUnavailable(f"{message}: run again when the viewer works")
        if self._last is None:
            raise ArchiveUnavailable(
                f"{message}. The viewer has not given a single file yet: see whether its address is right, whether it "
                "works, and whether the layers cover the sources"
            )
        log.warning("%s: they are listed as %s; the next run asks again", message, ERROR)

    def so_far(self) -> str:
        """Return how many are done."""
        done = f"{self._n_done:,} of {counted(self._n_wanted, 'file')} are done and stay"
        return f"{done}; the next run goes on with the others"

    # --- The remaining files ------------------------------------------------------------------------------------------

    def _remaining(self, queue: Sequence[QueuedCutout], again: bool) -> tuple[list[QueuedCutout], list[QueuedCutout]]:
        """Return the files not asked for yet, and those that failed."""
        known = known_files(self.database)
        left, failed, brought = [], [], []
        for cutout in queue:
            query, status, _ = known.get(cutout.path, (None, WAITING, ""))
            file = self.directory / cutout.path
            if query is None and file.exists() and picture_defect(file) is None:
                brought.append((cutout.path, cutout.query, THERE, ""))  # by another program, or by a killed run
                query, status = cutout.query, THERE
            if query != cutout.query or (again and status in (ABSENT, WRONG)):
                left.append(cutout)
            elif status == THERE:
                if file.exists():
                    self._last = cutout
                else:
                    left.append(cutout)
            elif status not in FINAL:
                failed.append(cutout)
        self.database.executemany("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)", brought)
        self.database.commit()
        return left, failed

    # --- One after the other -----------------------------------------------------------------------------------------

    def _pass(self, cutouts: Sequence[QueuedCutout]) -> list[tuple[QueuedCutout, _Failed]]:
        """Ask for files, one after the other; return those that failed."""
        failed: list[tuple[QueuedCutout, _Failed]] = []
        n_failed = n_broken = 0  # in a row
        for cutout in cutouts:
            try:
                self._fetch(cutout)
                self._n_done += 1
                n_failed = n_broken = 0
            except _Failed as failure:
                if failure.status in REFUSALS:
                    raise self._down(cutout, failure) from None
                self._record(cutout, ERROR, failure.why)
                failed.append((cutout, failure))
                if failure.status in BROKEN:
                    n_broken += 1
                else:
                    n_failed += 1
                if n_failed == FAILED_IN_A_ROW or n_broken == BROKEN_IN_A_ROW:
                    if not self._still_works():
                        raise self._down(cutout, failure) from None
                    n_failed = n_broken = 0
            self._say()
        return failed

    def _down(self, cutout: QueuedCutout, failure: _Failed) -> ArchiveUnavailable:
        return ArchiveUnavailable(f"{address(self.viewer, cutout)}: {failure.why}: the viewer is down or refuses")

    def _still_works(self) -> bool:
        """Tell whether the viewer still gives a file that it gave before. Our copy stays as it is."""
        if self._last is None:
            return False
        self.pace.wait()
        try:
            data = self.client.attempt(address(self.viewer, self._last), {}, read_body)
        except (NotThere, TryAgain):
            return False
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "copy"
            copy.write_bytes(data)
            return picture_defect(copy, self._last.path) is None

    def _fetch(self, cutout: QueuedCutout) -> None:
        """Ask for a file until it has come, or it is certain that there is none; else raise `_Failed`."""
        url = address(self.viewer, cutout)
        patience = self.client.patience
        attempts = 0
        doubted: set[str] = set()  # statuses that a second answer confirms
        while True:
            self.pace.wait()
            try:
                data = self.client.attempt(url, {}, read_body)
                self.pace.went_well()
                self._keep(cutout, data)
                return
            except (NotThere, NoPicture) as answer:
                if isinstance(answer, NotThere):
                    self.pace.went_well()
                    status, reason = ABSENT, f"HTTP {answer.status}"
                    if self._last is None:
                        raise _Failed(reason, answer.status) from None
                else:
                    status, reason = answer.status, answer.reason
                if status in doubted:
                    self._record(cutout, status, f"{reason}, asked twice")
                    return
                doubted.add(status)
                self.client.close()  # the second request must not share the first one's connection
            except TryAgain as failure:
                attempts += 1
                backoff_s = patience.wait_s(attempts)
                if failure.status in REFUSALS:
                    self.pace.refused(failure.retry_after_s, backoff_s)
                elif failure.status in BROKEN:
                    self.pace.went_well()
                    if failure.retry_after_s is not None:
                        self.pace.hold(failure.retry_after_s)
                    raise _Failed(failure.why, failure.status) from None
                else:
                    self.pace.hold(backoff_s if failure.retry_after_s is None else failure.retry_after_s)
                log.info("%s: %s", url, failure.why)
                if attempts >= patience.tries:
                    raise _Failed(f"{failure.why}, {attempts} times", failure.status) from None

    def _keep(self, cutout: QueuedCutout, data: bytes) -> None:
        """Write a file if it is the picture asked for."""
        with atomic_path(self.directory / cutout.path) as temporary:
            temporary.write_bytes(data)
            defect = picture_defect(temporary, cutout.path)
            if defect is not None:
                raise defect
        self._record(cutout, THERE)
        self._last = cutout
        self.fetched.n_new += 1
        self.fetched.n_bytes += len(data)

    # --- Notes -------------------------------------------------------------------------------------------------------

    def _record(self, cutout: QueuedCutout, status: str, reason: str = "") -> None:
        line = (cutout.path, cutout.query, status, reason)
        self.database.execute("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)", line)
        self.database.commit()
        if status != THERE:
            (self.directory / cutout.path).unlink(missing_ok=True)  # of another position or request
            log.info("%s: %s: %s", cutout.path, status, reason)

    def _say(self) -> None:
        """Print a line now and then."""
        now = self.clock.now()
        self._answers.append(now)
        if now - self._said < SAY_S:
            return
        self._said = now
        each_s = max(0.0, now - self._answers[0]) / (len(self._answers) - 1)
        left = duration(each_s * (self._n_wanted - self._n_done))
        files = f"{self._n_done:,} of {counted(self._n_wanted, 'file')}, {self.fetched.n_new:,} new"
        print(f"[{datetime.now():%H:%M:%S}] viewer: {files}, one every {each_s:.1f} s, about {left} left", flush=True)


@contextmanager
def _only_one(pace: Path) -> Iterator[None]:
    """Keep other runs that share the pace from asking meanwhile."""
    pace.parent.mkdir(parents=True, exist_ok=True)
    with pace.with_name(f"{pace.name}.lock").open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveUnavailable(
                f"{pace} is in use by another run, and the viewer serves one request at a time: run again when "
                "that has ended"
            ) from None
        yield
