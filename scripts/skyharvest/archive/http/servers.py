"""What each HTTP server can do, tried once and remembered.

==========  ====================================================================================================
``multi``   answers many ranges in one ``multipart/byteranges`` response (nginx, Apache)
``single``  answers one range per request (S3), also when several requests are sent before the first answer
``serial``  one range per request, one request at a time on a connection
``whole``   ignores ranges: the file is fetched once, into a temporary file, and read there
==========  ====================================================================================================
"""

import json
import logging
from pathlib import Path
from urllib.parse import urlsplit

from skyharvest.core.atomic import atomic_path

log = logging.getLogger(__name__)

MULTI, SINGLE, SERIAL, WHOLE = "multi", "single", "serial", "whole"
WAYS = {
    MULTI: "many ranges a request",
    SINGLE: "one range a request",
    SERIAL: "one range a request, one request at a time",
    WHOLE: "no ranges",
}
KNOWN = {".amazonaws.com": SINGLE}
"""End of a host's name → what it can do: to find out by asking costs up to 1 MB, of S3's answer with the whole file."""


class Servers:
    """What each server can do, shared by the jobs of a run in a small JSON file.

    Parameters
    ----------
    path
        The file; None keeps it in memory. A file that cannot be read counts as empty.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._ways: dict[str, str] = self._load()

    def _load(self) -> dict[str, str]:
        if self._path is None:
            return {}
        try:
            ways = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {host: way for host, way in ways.items() if way in WAYS} if isinstance(ways, dict) else {}

    def get(self, url: str) -> str | None:
        """Return a key of `WAYS`; None if the server is not known yet."""
        parts = urlsplit(url)
        known = (way for end, way in KNOWN.items() if (parts.hostname or "").endswith(end))
        return self._ways.get(parts.netloc) or next(known, None)

    def learn(self, url: str, way: str) -> None:
        """Remember what a server can do."""
        host = urlsplit(url).netloc
        if self._ways.get(host) == way:
            return
        log.info("%s: %s", host, WAYS[way])
        self._ways[host] = way
        if self._path is not None:
            with atomic_path(self._path) as temporary:
                temporary.write_text(json.dumps(self._load() | self._ways, indent=1) + "\n", encoding="utf-8")
