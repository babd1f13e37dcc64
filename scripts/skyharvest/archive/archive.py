"""Archives: trees of files under a directory or an HTTP(S) address.

This module knows no astronomy. It tells apart what callers must never confuse:

==========================  ===========================================================================
`Absent`                    the file is not there: said twice, by two separate requests
`ArchiveUnavailable`        it could not be read *for now*, although it was tried again with backoff
`ArchiveRefused`            trying again will not help (401, 403, a bad certificate, no permission)
`MalformedFile`             it is there, but shorter than was asked for
==========================  ===========================================================================

Certificates are always checked. Every connect and every read has a timeout.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skyharvest.core.errors import ArchiveUnavailable
from skyharvest.formats.byte_source import CHUNK, Closable, LocalFile, Source

if TYPE_CHECKING:
    from skyharvest.archive.http.client import HttpClient, Patience


@dataclass
class Cost:
    """What reading took: seconds, and requests and body bytes over the network."""

    seconds: float = 0.0
    requests: int = 0
    bytes: int = 0


class Archive(Closable):
    """A tree of files under one root: a directory or an ``http(s)://`` address.

    Parameters
    ----------
    root
        What holds the release's ``spectro/`` (or any other tree).
    connections
        Open connections to the server, at most.
    patience
        Retries and timeouts; as the environment asks for unless given.
    notes
        A small file in which the jobs of a run remember what the server can do.
    """

    def __init__(
        self, root: str, *, connections: int = 1, patience: "Patience | None" = None, notes: Path | None = None
    ) -> None:
        self.root = root.rstrip("/") or "/"
        self.connections = connections
        self._patience = patience
        self._notes = notes
        self._client: HttpClient | None = None

    @property
    def client(self) -> "HttpClient":
        """The archive's HTTP connections, made when first needed."""
        if self._client is None:
            from skyharvest.archive.http.client import HttpClient, Patience, Servers  # noqa: PLC0415 (not for local files)

            self._client = HttpClient(
                self.connections, self._patience or Patience.from_environment(), Servers(self._notes)
            )
        return self._client

    def location(self, path: str) -> str:
        """Return the full path or URL of a file given relative to the root (or already in full)."""
        if is_url(path) or path.startswith("/"):
            return path
        return f"{self.root}/{path}"

    def open(self, path: str) -> Source:
        """Open a file given by its path relative to the root, or by its own full path or URL.

        Raises
        ------
        Absent
            For a local file that is not there; over HTTP that shows at the first read.
        ArchiveUnavailable
            If the root itself is not there: an unmounted disk must not look like a thousand absent files.
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
        """Copy a whole file to ``part`` and return its length in bytes. Callers give a temporary name.

        See `skyharvest.archive.http.client.HttpClient.fetch` for ``note``, which lets an earlier transfer be resumed.
        """
        location = self.location(path)
        if is_url(location):
            return self.client.fetch(location, part, note=note)
        with self.open(path) as source, part.open("wb") as out:
            total = source.size()
            for start in range(0, total, CHUNK):
                out.write(source.read([(start, min(start + CHUNK, total))])[0])
        return total

    @contextmanager
    def metered(self, cost: Cost) -> Iterator[None]:
        """Add to ``cost`` what the block takes."""
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


def is_url(location: str) -> bool:
    """Tell whether ``location`` is an HTTP(S) address, not a path."""
    return location.startswith(("http://", "https://"))
