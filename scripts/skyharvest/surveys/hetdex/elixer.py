"""ELiXer's pictures of HETDEX detections: their addresses, and the pictures in SQLite files.

Source of the format: HETDEX Public Data Release 1: a report of each detection is a JPEG of some 150 kB,
``detect/elixer/{first five digits}/{detectid}.jpg``. Millions of small files are a burden to file systems: here
``elixer_{detectid // 100000}.db`` has up to 100,000 of them, in a table ``report(detectid, image)``, as HETDEX's own
files of reports have.

Pictures that the archive does not have are listed in ``elixer_missing.csv``; the next run asks for them again.
"""

import csv
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from sqlite3 import Connection

from skyharvest.archive.archive import Archive, is_url
from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import Absent, HarvestError, MalformedFile
from skyharvest.formats.sqlite_file import open_database
from skyharvest.surveys.hetdex.release import Release

log = logging.getLogger(__name__)

ADDRESSES, MISSING = "elixer_addresses.csv", "elixer_missing.csv"
PER_FILE = 100_000
MOST = 1 << 26  # bytes of a picture
BEGIN, END = b"\xff\xd8", b"\xff\xd9"  # JPEG's markers SOI and EOI (ITU-T T.81, Table B.1)


@dataclass
class PicturesFetched:
    """What became of the wanted pictures.

    Attributes
    ----------
    n_there
        Pictures that an earlier run has fetched.
    n_new
        Pictures that this run has fetched.
    missing
        detectid → why there is none.
    """

    n_there: int = 0
    n_new: int = 0
    missing: dict[int, str] = field(default_factory=dict)


def database_path(directory: Path, detectid: int) -> Path:
    """Return the SQLite file that a detection's picture belongs into."""
    return directory / f"elixer_{detectid // PER_FILE}.db"


def write_addresses(directory: Path, archive: Archive, release: Release, detectids: Iterable[int]) -> Path:
    """Write ``elixer_addresses.csv``, ``detectid,address``: where each picture should be. Return its path."""
    path = directory / ADDRESSES
    lines = ([detectid, archive.location(release.elixer(detectid))] for detectid in detectids)
    write_rows(path, ("detectid", "address"), lines)
    return path


def read_picture(directory: Path, detectid: int) -> bytes | None:
    """Return a picture (a JPEG's bytes) that was fetched, or None."""
    path = database_path(directory, detectid)
    if not path.exists():
        return None
    with _database(path) as database:
        row = database.execute("SELECT image FROM report WHERE detectid = ?", (detectid,)).fetchone()
    return None if row is None else bytes(row[0])


def fetch_pictures(archive: Archive, release: Release, detectids: Iterable[int], directory: Path) -> PicturesFetched:
    """Fetch the missing pictures; each is kept as soon as it has come.

    Parameters
    ----------
    archive
        Where they are; as many are asked for at once as it has connections.
    detectids
        Those that ``elixer_missing.csv`` lists are asked for as well.
    directory
        Where the SQLite files and ``elixer_missing.csv`` are.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        What has come until then is kept, and the next run goes on.
    MalformedFile
        If an SQLite file is damaged.
    """
    listed = _read_missing(directory / MISSING)
    wanted = sorted({*detectids, *listed})
    fetched = PicturesFetched(missing=dict(listed))
    try:
        for _, group in groupby(wanted, key=lambda detectid: detectid // PER_FILE):
            _fetch_group(archive, release, list(group), directory, fetched)
    finally:
        lines = ([k, archive.location(release.elixer(k)), why] for k, why in sorted(fetched.missing.items()))
        write_rows(directory / MISSING, ("detectid", "address", "reason"), lines)
    return fetched


def _fetch_group(
    archive: Archive, release: Release, wanted: Sequence[int], directory: Path, fetched: PicturesFetched
) -> None:
    """Fetch the pictures of one SQLite file."""
    path = database_path(directory, wanted[0])
    directory.mkdir(parents=True, exist_ok=True)
    failed: HarvestError | None = None
    with _database(path) as database:
        stored = {detectid for (detectid,) in database.execute("SELECT detectid FROM report")}
        for detectid in stored.intersection(wanted):
            fetched.missing.pop(detectid, None)
        left = [detectid for detectid in wanted if detectid not in stored]
        fetched.n_there += len(wanted) - len(left)
        for detectid, picture in _pictures(archive, release, left):
            if isinstance(picture, bytes):
                database.execute("INSERT OR REPLACE INTO report VALUES (?, ?)", (detectid, picture))
                database.commit()
                fetched.n_new += 1
                fetched.missing.pop(detectid, None)
            elif isinstance(picture, Absent | MalformedFile):
                log.info("missing: %s", picture)
                fetched.missing[detectid] = str(picture)
            else:
                failed = failed or picture
    if failed is not None:
        raise failed
    log.info("%s: %d of %d pictures", path, len(wanted) - len(fetched.missing.keys() & set(wanted)), len(wanted))


def _pictures(archive: Archive, release: Release, wanted: Sequence[int]) -> Iterator[tuple[int, bytes | HarvestError]]:
    """Return each picture, or why there is none, in order. After an error of the archive, no more are asked for."""
    if is_url(archive.root):
        _ = archive.client  # created before the threads
    waiting: deque[tuple[int, Future[bytes | HarvestError]]] = deque()
    left = iter(wanted)
    more = True
    with ThreadPoolExecutor(archive.connections) as threads:
        try:
            while True:
                while more and len(waiting) < 2 * archive.connections and (detectid := next(left, None)) is not None:
                    waiting.append((detectid, threads.submit(_picture, archive, release.elixer(detectid))))
                if not waiting:
                    return
                detectid, future = waiting.popleft()
                if future.cancelled():
                    continue
                picture = future.result()
                if not isinstance(picture, bytes | Absent | MalformedFile):
                    more = False
                    for _, other in waiting:
                        other.cancel()
                yield detectid, picture
        finally:
            for _, other in waiting:
                other.cancel()


def _picture(archive: Archive, path: str) -> bytes | HarvestError:
    """Return a picture, or why there is none; an answer that is no JPEG is read once more."""
    try:
        for _ in range(2):
            with archive.open(path) as source:
                data = source.head(MOST)
            if data.startswith(BEGIN) and data.endswith(END):
                return data
    except HarvestError as error:
        return error
    return MalformedFile(
        f"{archive.location(path)}: {len(data):,} bytes that begin with {data[:16]!r} and end with {data[-2:]!r}, "
        f"expected a JPEG, from {BEGIN!r} to {END!r}; read twice"
    )


def _database(path: Path) -> AbstractContextManager[Connection]:
    """Open a file of pictures, new or not."""
    return open_database(
        path, "report (detectid INTEGER PRIMARY KEY, image BLOB)", "remove it, the next run makes it anew"
    )


def _read_missing(path: Path) -> dict[int, str]:
    """Return detectid → reason of ``elixer_missing.csv``; nothing where it is not there."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as text:
        lines = list(csv.DictReader(text))
    return {
        int(line["detectid"]): line.get("reason") or "" for line in lines if (line.get("detectid") or "").isdecimal()
    }
