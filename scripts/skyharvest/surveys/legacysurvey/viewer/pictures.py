"""Cutouts and PSFs from the viewer of the Legacy Surveys, which serves one request at a time: a polite queue.

Below the directory of the queue are::

    {layer}/{pix16}/{row}.jpg, .fits   cutouts
    {layer}-psf/{pix16}/{row}.fits     PSFs of the coadds, an image of each band
    urls.txt                           a line 'address' path for each of them
    viewer.csv                         row,layer,path,status,reason for each of them
    viewer.db                          what was asked for and what came of it; the next run goes on from there

==========  ===========================================================================================================
``there``   the file has come, complete, now or in an earlier run
``absent``  the viewer answered 404 twice, or twice with a FITS file without an image: not asked for again
``wrong``   it answered twice with something that is no picture of that format: not asked for again
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

import csv
import fcntl
import logging
import sqlite3
import tempfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from skyharvest.archive.http.client import HttpClient
from skyharvest.archive.http.patience import Patience
from skyharvest.archive.http.response import NotThere, Response, TryAgain
from skyharvest.core.atomic import atomic_path
from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import ArchiveUnavailable, HarvestError, InputError, MalformedFile
from skyharvest.core.words import counted, duration
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.surveys.legacysurvey.viewer.layers import Wanted
from skyharvest.surveys.legacysurvey.viewer.pace import Clock, Pace

log = logging.getLogger(__name__)

URLS, TABLE, DATABASE, PACE = "urls.txt", "viewer.csv", "viewer.db", "viewer_pace.json"
COLUMNS = ("row", "layer", "path", "status", "reason")
THERE, ABSENT, WRONG, ERROR, WAITING = "there", "absent", "wrong", "error", "waiting"
FINAL = (THERE, ABSENT, WRONG)

MOST = 1 << 28  # bytes of a file: 512 × 512 pixels of ten bands with their inverse variances have 21 MB
JPEG_BEGIN, JPEG_END = b"\xff\xd8", b"\xff\xd9"  # markers SOI and EOI (ITU-T T.81, Table B.1)
FITS_BEGIN = b"SIMPLE  ="
REFUSALS = (429, 503)
BROKEN = (500, 404, 410)  # the viewer is there; its program failed, or it was never seen to have anything
FAILED_IN_A_ROW = 2  # that were tried again and again, until it is asked for something that it is known to have
BROKEN_IN_A_ROW = 100  # ditto, of those that were asked for once
SAY_S = 30.0  # between lines of progress
RECENT = 50  # answers that tell the time that is left
BUSY_S = 60.0  # to wait for another process at the database


@dataclass(frozen=True, slots=True)
class Cutout:
    """A file that is wanted.

    Attributes
    ----------
    row
        Of the CSV.
    layer
        Directory: the layer, or ``{layer}-psf``.
    path
        Below the queue's directory.
    query
        Its address, below the viewer's.
    """

    row: int
    layer: str
    path: str
    query: str


@dataclass
class Fetched:
    """What became of the files that were wanted.

    Attributes
    ----------
    status
        Number of files of each status.
    n_new, n_bytes, n_requests
        Files and bytes that came in this run, and requests that it took.
    """

    status: Counter[str] = field(default_factory=Counter)
    n_new: int = 0
    n_bytes: int = 0
    n_requests: int = 0


def rows_with_spectra(ledgers: Iterable[Path]) -> set[int]:
    """Return the CSV rows that have the status ``matched`` in any of these files ``ledger.csv``.

    Raises
    ------
    InputError
        If one of them has no columns ``row`` and ``status``.
    """
    rows = set()
    for path in ledgers:
        with path.open(newline="", encoding="utf-8") as text:
            lines = csv.DictReader(text)
            if not {"row", "status"} <= set(lines.fieldnames or ()):
                raise InputError(f"{path}: found columns {lines.fieldnames}; expected a ledger.csv with row and status")
            rows |= {int(line["row"]) for line in lines if line["status"] == "matched"}
    return rows


def make_queue(targets: Mapping[str, Any], wanted: Wanted, first: Iterable[int] = ()) -> list[Cutout]:
    """Return the files that are wanted, in the order in which they are asked for.

    Parameters
    ----------
    targets
        ``row``, ``ra``, ``dec`` (degrees), ``pix16``: arrays of equal length.
    wanted
        Of every target.
    first
        CSV rows that come before all others; then by row, and all files of a row together.

    Raises
    ------
    InputError
        If the viewer does not have what is wanted.
    """
    problems = [f"{key}: {problem}" for key, problem in wanted.problems()]
    if problems:
        raise InputError("; ".join(problems))
    early = set(first)
    lines = zip(*(targets[name].tolist() for name in ("row", "ra", "dec", "pix16")), strict=True)
    options: dict[str, Any] = {"pixscale": wanted.pixscale, "size": wanted.size, "bands": wanted.bands}
    asked = urlencode({key: value for key, value in options.items() if value is not None}, safe=",")
    queue = []
    for row, ra, dec, pix16 in sorted(lines, key=lambda line: (line[0] not in early, line[0])):
        at = f"ra={ra:.7f}&dec={dec:.7f}"
        for layer in wanted.layers:
            name = urlencode({"layer": layer})
            for ending in wanted.formats:
                piece = "&subimage" if wanted.subimage and ending == "fits" else ""
                query = f"cutout.{ending}?{at}&{name}&{asked}{piece}"
                queue.append(Cutout(row, layer, f"{layer}/{pix16}/{row}.{ending}", query))
        for layer in wanted.psf_layers:
            query = f"coadd-psf/?{at}&{urlencode({'layer': layer})}"
            queue.append(Cutout(row, f"{layer}-psf", f"{layer}-psf/{pix16}/{row}.fits", query))
    return queue


def write_urls(path: Path, viewer: str, queue: Iterable[Cutout]) -> None:
    """Write a line ``'address' path`` for each file, in the queue's order."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.writelines(f"'{_address(viewer, cutout)}' {cutout.path}\n" for cutout in queue)


def write_table(path: Path, queue: Iterable[Cutout], database: Path) -> Counter[str]:
    """Write ``viewer.csv``, by row, and return the number of files of each status."""
    with _database(database) as opened:
        known = _known(opened)
    count: Counter[str] = Counter()

    def lines() -> Iterator[tuple[object, ...]]:
        for cutout in sorted(queue, key=lambda cutout: cutout.row):
            query, status, reason = known.get(cutout.path, ("", WAITING, ""))
            if query != cutout.query:
                status, reason = WAITING, ""
            count[status] += 1
            yield cutout.row, cutout.layer, cutout.path, status, reason

    write_rows(path, COLUMNS, lines())
    return count


def fetch_cutouts(
    viewer: str,
    queue: Sequence[Cutout],
    directory: Path,
    *,
    pace: Path | None = None,
    patience: Patience | None = None,
    clock: Clock | None = None,
    again: bool = False,
) -> Fetched:
    """Fetch what is not there yet, one file after the other; ``viewer.csv`` is written at the end, whatever happens.

    Parameters
    ----------
    viewer
        Its address.
    queue
        From `make_queue`.
    directory
        Where the files go.
    pace
        The file that keeps the pace; ``viewer_pace.json`` in the directory if None. Runs that share it wait for nobody:
        the second one ends at once.
    patience
        Retries and timeouts; by default the environment's.
    clock
        The time.
    again
        Ask again for what was recorded as absent or wrong.

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
    with _only_one(pace), _database(directory / DATABASE) as database:
        run = _Run(
            viewer, directory, client, Pace(pace, urlsplit(viewer).netloc, patience.retry_after_cap_s, clock), clock
        )
        run.database = database
        try:
            run.go(queue, again=again)
        except HarvestError as error:
            raise type(error)(f"{error}; {run.so_far()}") from error
        finally:
            client.close()
            run.pace.save()
            run.made.n_requests = client.traffic.requests
            run.made.status = write_table(directory / TABLE, queue, directory / DATABASE)
    return run.made


class _NoPicture(Exception):
    """An answer that is complete, and not what was asked for."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _Failed(Exception):
    """A file that did not come, and may come another time."""

    def __init__(self, why: str, status: int | None) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class _Run:
    """One run of the queue."""

    database: sqlite3.Connection

    def __init__(self, viewer: str, directory: Path, client: HttpClient, pace: Pace, clock: Clock) -> None:
        self.viewer = viewer
        self.directory = directory
        self.client = client
        self.pace = pace
        self.clock = clock
        self.made = Fetched()
        self._n_wanted = 0
        self._n_done = 0
        self._came: Cutout | None = None  # the last one that did: what the viewer has for certain
        self._said = clock.now()
        self._answers: deque[float] = deque([clock.now()], maxlen=RECENT)

    def go(self, queue: Sequence[Cutout], *, again: bool) -> None:
        """Ask for what is left of the queue, and then once more for what failed."""
        left, failed = self._what_is_left(queue, again)
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
            f"{counted(len(again_failed), 'file')} failed twice, such as {_address(self.viewer, first)}: {failure.why}"
        )
        if failure.status not in BROKEN:
            raise ArchiveUnavailable(f"{message}: run again when the viewer works")
        if self._came is None:
            raise ArchiveUnavailable(
                f"{message}. The viewer has not given a single file yet: see whether its address is right, whether it "
                "works, and whether the layers cover the sources"
            )
        log.warning("%s: they are listed as %s; the next run asks again", message, ERROR)

    def so_far(self) -> str:
        """Return how many are done."""
        done = f"{self._n_done:,} of {counted(self._n_wanted, 'file')} are done and stay"
        return f"{done}; the next run goes on with the others"

    # --- What is left ------------------------------------------------------------------------------------------------

    def _what_is_left(self, queue: Sequence[Cutout], again: bool) -> tuple[list[Cutout], list[Cutout]]:
        """Return what was not asked for yet, and what failed."""
        known = _known(self.database)
        left, failed, found = [], [], []
        for cutout in queue:
            query, status, _ = known.get(cutout.path, (None, WAITING, ""))
            file = self.directory / cutout.path
            if query is None and file.exists() and _what_is_wrong(file) is None:
                found.append((cutout.path, cutout.query, THERE, ""))  # by other means, or by a run that was killed
                query, status = cutout.query, THERE
            if query != cutout.query or (again and status in (ABSENT, WRONG)):
                left.append(cutout)
            elif status == THERE:
                if file.exists():
                    self._came = cutout
                else:
                    left.append(cutout)
            elif status not in FINAL:
                failed.append(cutout)
        self.database.executemany("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)", found)
        self.database.commit()
        return left, failed

    # --- One after the other -----------------------------------------------------------------------------------------

    def _pass(self, cutouts: Sequence[Cutout]) -> list[tuple[Cutout, _Failed]]:
        """Ask for files, one after the other; return those that failed."""
        failed: list[tuple[Cutout, _Failed]] = []
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
                    if not self._has_what_it_had():
                        raise self._down(cutout, failure) from None
                    n_failed = n_broken = 0
            self._say()
        return failed

    def _down(self, cutout: Cutout, failure: _Failed) -> ArchiveUnavailable:
        return ArchiveUnavailable(f"{_address(self.viewer, cutout)}: {failure.why}: the viewer is down or refuses")

    def _has_what_it_had(self) -> bool:
        """Tell whether the viewer still gives what it gave before. The file stays as it is."""
        if self._came is None:
            return False
        self.pace.wait()
        try:
            data = self.client.attempt(_address(self.viewer, self._came), {}, _body)
        except (NotThere, TryAgain):
            return False
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "copy"
            copy.write_bytes(data)
            return _what_is_wrong(copy, self._came.path) is None

    def _fetch(self, cutout: Cutout) -> None:
        """Ask for a file until it has come, or it is certain that there is none; else raise `_Failed`."""
        url = _address(self.viewer, cutout)
        patience = self.client.patience
        attempts = 0
        doubted: set[str] = set()  # what is believed when it is said again
        while True:
            self.pace.wait()
            try:
                data = self.client.attempt(url, {}, _body)
                self.pace.went_well()
                self._keep(cutout, data)
                return
            except (NotThere, _NoPicture) as answer:
                if isinstance(answer, NotThere):
                    self.pace.went_well()
                    status, reason = ABSENT, f"HTTP {answer.status}"
                    if self._came is None:
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

    def _keep(self, cutout: Cutout, data: bytes) -> None:
        """Write a file, if it is what it should be."""
        with atomic_path(self.directory / cutout.path) as temporary:
            temporary.write_bytes(data)
            wrong = _what_is_wrong(temporary, cutout.path)
            if wrong is not None:
                raise wrong
        self._record(cutout, THERE)
        self._came = cutout
        self.made.n_new += 1
        self.made.n_bytes += len(data)

    # --- Notes -------------------------------------------------------------------------------------------------------

    def _record(self, cutout: Cutout, status: str, reason: str = "") -> None:
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
        files = f"{self._n_done:,} of {counted(self._n_wanted, 'file')}, {self.made.n_new:,} new"
        print(f"[{datetime.now():%H:%M:%S}] viewer: {files}, one every {each_s:.1f} s, about {left} left", flush=True)


def _address(viewer: str, cutout: Cutout) -> str:
    return f"{viewer.rstrip('/')}/{cutout.query}"


def _body(response: Response) -> bytes:
    """Return the body of an answer, whole."""
    if response.status != 200:  # a part of something: no range was asked for
        raise TryAgain(f"HTTP {response.status}")
    length = response.content_length()
    data = response.read(MOST) if length is None or length > MOST else response.exactly(length)
    response.finish()
    return data


def _what_is_wrong(path: Path, name: str | None = None) -> _NoPicture | TryAgain | None:
    """Return how a file differs from a picture of the format that its name says; a torn one is worth another try."""
    jpeg = (name or path.name).endswith(".jpg")
    with path.open("rb") as stream:
        found = stream.read(48)
        size = stream.seek(0, 2)
        stream.seek(max(0, size - len(JPEG_END)))
        end = stream.read()
    if not size:
        return TryAgain("the answer is empty")
    if not found.startswith(JPEG_BEGIN if jpeg else FITS_BEGIN):
        return _NoPicture(WRONG, f"{size:,} bytes that begin with {found!r}, expected {'JPEG' if jpeg else 'FITS'}")
    if jpeg:
        return None if end == JPEG_END else TryAgain(f"a JPEG of {size:,} bytes that does not end as one")
    return _what_is_wrong_with_fits(path, name or path.name, size)


def _what_is_wrong_with_fits(path: Path, name: str, size: int) -> _NoPicture | TryAgain | None:
    with LocalFile(path) as source:
        source.name = name
        try:
            hdus = FitsFile(source).hdus
        except MalformedFile as error:
            return TryAgain(str(error))
    if hdus[-1].stop != size:
        return TryAgain(f"a FITS file of {size:,} bytes whose headers imply {hdus[-1].stop:,}")
    if not any(hdu.n_rows * hdu.row_bytes for hdu in hdus):
        return _NoPicture(ABSENT, "a FITS file without an image")
    return None


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


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the notes, new or not."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS asked (path TEXT PRIMARY KEY, query TEXT, status TEXT, reason TEXT)"
            )
            yield database
    except sqlite3.OperationalError as error:  # a full disk, a lock, no permission
        raise OSError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise MalformedFile(f"{path}: {error}: remove it; files that are there will not be fetched again") from error


def _known(database: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    """Return path → (query, status, reason)."""
    lines = database.execute("SELECT path, query, status, reason FROM asked")
    return {path: (query, status, reason) for path, query, status, reason in lines}
