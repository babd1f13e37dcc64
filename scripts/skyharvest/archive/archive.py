"""Archives: trees of files under a directory or an HTTP(S) address.

This module knows no astronomy. Callers must tell these errors apart:

==========================  ===========================================================================
`Absent`                    the file does not exist: two requests said so (404; 403 only if asked for)
`ArchiveUnavailable`        it cannot be read now, after several attempts
`ArchiveRefused`            another attempt will not help (401, 403, a bad certificate, no permission)
`MalformedFile`             it exists, but it is too short
==========================  ===========================================================================

Certificates are always checked. Every connect and every read has a timeout.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from skyharvest.core.errors import Absent, ArchiveRefused, ArchiveUnavailable, InputError, MalformedFile
from skyharvest.formats.byte_source import CHUNK, Closable, LocalFile, Source

if TYPE_CHECKING:
    from skyharvest.archive.http.client import HttpClient
    from skyharvest.archive.http.patience import Patience

MAX_LOOKED = 3  # absent files of a job that are looked for, over the network, under other endings


@dataclass
class Cost:
    """What reading cost: seconds, requests, and body bytes over the network."""

    seconds: float = 0.0
    requests: int = 0
    bytes: int = 0


class Archive(Closable):
    """A tree of files under one root: a directory or an ``http(s)://`` address.

    Parameters
    ----------
    root
        Directory or address of the tree.
    connections
        Open connections to the server, at most.
    patience
        Retries and timeouts; by default those of the environment.
    notes
        File in which the jobs of a run remember what the server can do.
    forbidden_is_absent
        Whether a file that the server refuses (403) counts as absent.
    budget
        Bytes that may be read over the network; what would take more raises `BudgetSpent`.
    """

    def __init__(
        self,
        root: str,
        *,
        connections: int = 1,
        patience: "Patience | None" = None,
        notes: Path | None = None,
        forbidden_is_absent: bool = False,
        budget: int | None = None,
    ) -> None:
        self.root = root.rstrip("/") or "/"
        self.connections = connections
        self._patience = patience
        self._notes = notes
        self._forbidden_is_absent = forbidden_is_absent
        self._budget = budget
        self._client: HttpClient | None = None

    @property
    def client(self) -> "HttpClient":
        """The archive's HTTP connections, opened when first needed."""
        if self._client is None:
            from skyharvest.archive.http.client import HttpClient  # noqa: PLC0415 (not for local files)
            from skyharvest.archive.http.patience import Patience  # noqa: PLC0415
            from skyharvest.archive.http.servers import Servers  # noqa: PLC0415

            self._client = HttpClient(
                self.connections,
                self._patience or Patience.from_environment(),
                Servers(self._notes),
                self._forbidden_is_absent,
                self._budget,
            )
        return self._client

    def location(self, path: str) -> str:
        """Return the full path or URL of a file; its ``path`` may be relative to the root."""
        if is_url(path) or path.startswith("/"):
            return path
        return f"{self.root}/{path}"

    def open(self, path: str) -> Source:
        """Open a file by its path relative to the root, or by its full path or URL.

        Raises
        ------
        Absent
            If a local file does not exist; over HTTP the first read raises it.
        ArchiveUnavailable
            If the root does not exist: an unmounted disk must not look like a thousand absent files.
        """
        location = self.location(path)
        if is_url(location):
            from skyharvest.archive.http.file import HttpFile  # noqa: PLC0415

            return HttpFile(location, self.client)
        if location != path and not Path(self.root).is_dir():
            raise ArchiveUnavailable(
                f"the archive's root {self.root} is not a directory: mount it, or correct the `archive` setting"
            )
        return LocalFile(Path(location))

    def fetch(self, path: str, part: Path, *, note: Path | None = None) -> int:
        """Copy a whole file to ``part``, a temporary name, and return its length in bytes.

        With ``note`` an earlier transfer is resumed: see `skyharvest.archive.http.fetch`.
        """
        location = self.location(path)
        if is_url(location):
            from skyharvest.archive.http.fetch import fetch  # noqa: PLC0415 (not for local files)

            return fetch(self.client, location, part, note=note)
        with self.open(path) as source, part.open("wb") as out:
            total = source.size()
            for start in range(0, total, CHUNK):
                out.write(source.read([(start, min(start + CHUNK, total))])[0])
        return total

    @contextmanager
    def metered(self, cost: Cost) -> Iterator[None]:
        """Add the cost of the block to ``cost``."""
        began, before = time.monotonic(), self._traffic()
        try:
            yield
        finally:
            after = self._traffic()
            cost.seconds += time.monotonic() - began
            cost.requests += after[0] - before[0]
            cost.bytes += after[1] - before[1]

    def _traffic(self) -> tuple[int, int]:
        return (0, 0) if self._client is None else (self._client.traffic.requests, self._client.traffic.bytes)

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()

    def absence_check(self, known: str) -> Callable[..., None]:
        """Return a check that the archive still has a file that it must have, such as the release's list of coadds.

        In an archive that is moved, unmounted or in maintenance every file seems absent; that must not be recorded.
        The check raises `ArchiveUnavailable` if the file ``known`` is absent too. Once read, it is not read again; but
        where 403 counts as absent it is, every time: a server may begin to refuse everything at any moment.

        Given the path of an absent file, the check also does what `refuse_other_compression` does; over the network for
        the first few only.
        """
        looked = count()

        def check(path: str = "") -> None:
            there()
            if path and (not is_url(self.root) or next(looked) < MAX_LOOKED):
                self.refuse_other_compression(path)

        def there() -> None:
            try:
                with self.open(known) as source:
                    source.head(1)
            except Absent as error:
                seems = (
                    "to refuse everything" if self._forbidden_is_absent else "to be moved, unmounted or in maintenance"
                )
                raise ArchiveUnavailable(
                    f"{error}, which the release has: the archive seems {seems}, and what it says to be absent is not "
                    "recorded. Run again when it is back, or correct the `archive` setting"
                ) from None

        if not self._forbidden_is_absent:
            there = cache(there)
        return check

    def refuse_other_compression(self, path: str) -> None:
        """Raise `InputError` if the archive has an absent file with another ending: ``.fits.gz`` for ``.fits``, say.

        A mirror that holds its files so has nothing that can be read, although all seems only to be absent.
        """
        plain = path.removesuffix(".gz").removesuffix(".fz")
        other, is_now, do = (f"{path}.gz", "compressed", "unpack") if path == plain else (plain, "unpacked", "compress")
        if self.has(other):
            raise InputError(
                f"{self.location(path)} is absent, but {self.location(other)} is there: the archive's files are "
                f"{is_now}, and are read only as the release has them: {do} them, or correct the `archive` setting"
            )

    def has(self, path: str) -> bool:
        """Return whether the archive gives a file; False also where it refuses it."""
        try:
            with self.open(path) as source:
                source.head(1)
        except (Absent, ArchiveRefused, MalformedFile):
            return False
        return True


def is_url(location: str) -> bool:
    """Return whether ``location`` is an HTTP(S) address, not a path."""
    return location.startswith(("http://", "https://"))
