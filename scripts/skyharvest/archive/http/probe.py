"""One request, and all that can be seen of its answer, without judging it: for those who want to know a server."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skyharvest.archive.http.client import TRY_AGAIN_STATUSES, HttpClient
from skyharvest.archive.http.connections import network_error
from skyharvest.archive.http.redirects import PERMANENT
from skyharvest.archive.http.response import TryAgain
from skyharvest.core.errors import ArchiveUnavailable

FIRST_BYTE = {"Range": "bytes=0-0"}


@dataclass(frozen=True)
class Answer:
    """The answer to one request.

    Attributes
    ----------
    status, headers, version
        As it is written; the version such as ``HTTP/1.1``.
    body
        Its first bytes.
    hops
        The addresses that the server sent the client on to.
    moved
        Whether all of these are for good.
    seconds
        Until the headers were there, with all hops.
    certificate_ends
        When the server's certificate expires, as it says; empty for ``http://``.
    """

    status: int
    headers: Mapping[str, str]
    version: str
    body: bytes
    hops: tuple[str, ...]
    seconds: float
    moved: bool
    certificate_ends: str = ""

    @property
    def content_type(self) -> str:
        """Its Content-Type without parameters, in small letters."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def is_busy(self) -> bool:
        """Whether it is one that a server gives for a time."""
        return self.status in TRY_AGAIN_STATUSES or self.status >= 500

    @property
    def is_page(self) -> bool:
        """Whether it is an HTML page, whatever it says that it is."""
        return self.content_type == "text/html" or self.body[:512].lstrip().lower().startswith((b"<!doctype", b"<html"))


def probe(client: HttpClient, url: str, headers: Mapping[str, str] | None = None, *, most: int = 4096) -> Answer:
    """Ask once, follow redirects, and read at most so many bytes of the answer.

    Raises
    ------
    ArchiveRefused, ArchiveUnavailable
        If there is no answer: of a certificate that does not verify; of anything else.
    """
    import urllib3  # noqa: PLC0415 (0.1 s that jobs on local files need not spend)

    began = time.monotonic()
    try:
        raw = client.pools.to(url).request(
            "GET", url, headers={**client.headers, **(headers or {})}, preload_content=False, decode_content=False
        )
        seconds = time.monotonic() - began
        certificate_ends = _certificate_ends(raw)  # urllib3 takes the connection back with the last byte
        hops = raw.retries.history if raw.retries else ()
        try:
            client.allow(url, most)
            body = raw.read(most) or b""
            rest = raw.read(1) if len(body) == most else b""
            client.count(len(body) + len(rest), time.monotonic() - began - seconds)
            return Answer(
                raw.status,
                raw.headers,
                f"HTTP/{raw.version / 10:.1f}",
                body,
                tuple(hop.redirect_location for hop in hops),
                seconds,
                all(hop.status in PERMANENT for hop in hops),
                certificate_ends,
            )
        finally:
            if not raw.closed or raw.length_remaining:
                raw.close()  # what is left of it must not reach the next request
            raw.release_conn()
    except urllib3.exceptions.HTTPError as error:
        failure = network_error(url, error)
        if isinstance(failure, TryAgain):
            raise ArchiveUnavailable(f"{url}: {failure.why}") from error
        raise failure from error


def probe_patiently(client: HttpClient, url: str) -> Answer:
    """Ask for the first byte of a file; where there is no answer, or that of a busy server, as often as patience says.

    Raises
    ------
    ArchiveRefused, ArchiveUnavailable
        See `probe`.
    """
    for attempt in range(1, client.patience.tries):
        try:
            answer = probe(client, url, FIRST_BYTE)
        except ArchiveUnavailable:
            answer = None
        if answer is not None and not answer.is_busy:
            return answer
        time.sleep(client.patience.wait_s(attempt))
    return probe(client, url, FIRST_BYTE)


def _certificate_ends(raw: Any) -> str:
    sock: Any = getattr(raw.connection, "sock", None)
    certificate = sock.getpeercert() if hasattr(sock, "getpeercert") else None
    return str((certificate or {}).get("notAfter", ""))
