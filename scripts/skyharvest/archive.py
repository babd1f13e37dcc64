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

from pathlib import Path
from typing import TYPE_CHECKING

from skyharvest.errors import Absent, ArchiveUnavailable
from skyharvest.source import CHUNK, Closable, LocalFile, Source

if TYPE_CHECKING:
    from skyharvest.httpsource import HttpClient, Patience

ABSENT_MARK = b"skyharvest: the archive says that it has no such file\n"
"""Stands, in a folder of fetched files, for one that the archive does not have."""


class Archive(Closable):
    """A tree of files under one root: a directory or an ``http(s)://`` address.

    Parameters
    ----------
    root
        What holds the release's ``spectro/`` (or any other tree).
    connections
        Open connections to the server, at most.
    patience
        Retries and timeouts.
    notes
        A small file in which the jobs of a run remember what the server can do.
    """

    def __init__(
        self, root: str, *, connections: int = 1, patience: "Patience | None" = None, notes: Path | None = None
    ) -> None:
        self.root = root.rstrip("/") or "/"
        self._connections = connections
        self._patience = patience
        self._notes = notes
        self._client: HttpClient | None = None

    @property
    def client(self) -> "HttpClient":
        """The archive's HTTP connections, made when first needed."""
        if self._client is None:
            from skyharvest.httpsource import HttpClient, Patience, Servers  # noqa: PLC0415 (not for local files)

            self._client = HttpClient(self._connections, self._patience or Patience(), Servers(self._notes))
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
            from skyharvest.httpsource import HttpFile  # noqa: PLC0415

            return HttpFile(location, self.client)
        if location != path and not Path(self.root).is_dir():
            raise ArchiveUnavailable(
                f"the archive's root {self.root} is not a directory: mount it, or correct the `archive` setting"
            )
        source = LocalFile(Path(location))
        if source.size() == len(ABSENT_MARK) and source.head(len(ABSENT_MARK)) == ABSENT_MARK:
            source.close()
            raise Absent(f"{location} stands for a file that the archive does not have")
        return source

    def fetch(self, path: str, destination: Path) -> int:
        """Copy a whole file to ``destination`` (which is overwritten) and return its length in bytes.

        The length is checked against what the server announced. Callers give a temporary name.
        """
        location = self.location(path)
        if is_url(location):
            from skyharvest.httpsource import fetch  # noqa: PLC0415

            return fetch(self.client, location, destination)
        with self.open(path) as source, destination.open("wb") as out:
            total = source.size()
            for start in range(0, total, CHUNK):
                out.write(source.read([(start, min(start + CHUNK, total))])[0])
        return total

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()


def is_url(location: str) -> bool:
    """Tell whether ``location`` is an HTTP(S) address, not a path."""
    return location.startswith(("http://", "https://"))
