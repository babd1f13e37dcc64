"""Connections to HTTP(S) servers: pooled, counted, with retries.

Source: RFC 9110 §14 (range requests), §15.5 (4xx); RFC 9112 §9.3 (persistent connections).
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from skyharvest import __version__
from skyharvest.archive.archive import Cost
from skyharvest.archive.http.connections import Connections, network_error, proxy_refusal
from skyharvest.archive.http.patience import Patience
from skyharvest.archive.http.pipelining import Pipelined, ask_pipelined
from skyharvest.archive.http.proxies import proxy_of
from skyharvest.archive.http.redirects import Redirects
from skyharvest.archive.http.response import (
    Headers,
    NotThere,
    Response,
    TryAgain,
    Unable,
    retry_after_s,
)
from skyharvest.archive.http.servers import SERIAL, SINGLE, Servers
from skyharvest.core.errors import Absent, ArchiveRefused, ArchiveUnavailable, BudgetSpent, InputError
from skyharvest.formats.byte_source import Range

log = logging.getLogger(__name__)

T = TypeVar("T")

USER_AGENT = f"skyharvest/{__version__}"
MANY_RANGES_STATUSES = frozenset({400, 413, 414, 431})  # of a server that takes one range, or short requests
TRY_AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})
MAX_FAILURES = 2  # of pipelining or of ranges, until the server is taken to be unable
GAP_LIMITS = (4096, 1 << 20)
LARGE_READ = 1 << 16  # bytes; larger reads measure the transfer rate
CHECK = "check the address and whether the data are public"
FIRST_RATE = (2e6, 0.2)  # bytes and seconds assumed before any read: the first reads may come in a burst


@dataclass
class HttpClient:
    """Connections to HTTP(S) servers, shared by the files that one job reads.

    Attributes
    ----------
    connections
        Open connections, at most; requests go out in parallel over them.
    patience
        Retries and timeouts.
    servers
        What each server can do.
    forbidden_is_absent
        Take 403 for 404: what a bucket answers for a missing key where nobody may list its keys.
    budget
        Body bytes that may be read in all; what would take more raises `BudgetSpent`.
    traffic
        Counts requests and body bytes.
    round_trip_s
        Smallest time to an answer seen, seconds.
    pools, headers
        The connections, and what every request says.
    """

    connections: int = 1
    patience: Patience = field(default_factory=Patience)
    servers: Servers = field(default_factory=Servers)
    forbidden_is_absent: bool = False
    budget: int | None = None
    traffic: Cost = field(default_factory=Cost)
    round_trip_s: float = 0.05

    def __post_init__(self) -> None:
        import urllib3  # noqa: PLC0415 (0.1 s that jobs on local files need not spend)

        self._urllib3 = urllib3
        self._counting = threading.Lock()
        self._fastest_s: float | None = None
        self._pipelines, self._pipelining_failures = False, 0
        self._ranges_ignored = 0
        self._large_reads = FIRST_RATE
        self.headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        self._redirects = Redirects()
        self.pools = Connections(self.connections, self.patience, self.headers)

    def close(self) -> None:
        """Close all idle connections."""
        self.pools.close()

    def single_gap(self) -> int:
        """Return the bytes that arrive in the time of one more request, at the rate measured: a connection's share."""
        n_bytes, seconds = self._large_reads
        gap = int(self.round_trip_s * n_bytes / seconds / self.connections)
        return max(GAP_LIMITS[0], min(gap, GAP_LIMITS[1]))

    def ignores_ranges(self) -> bool:
        """Count an answer with the whole file instead of a range; return True from the second in a row."""
        with self._counting:
            self._ranges_ignored += 1
        return self._ranges_ignored >= MAX_FAILURES

    def allow(self, url: str, n_bytes: int) -> None:
        """Raise `BudgetSpent` if so many bytes more would be too many."""
        if self.budget is not None and self.traffic.bytes + n_bytes > self.budget:
            raise BudgetSpent(
                f"{url}: {n_bytes:,} bytes more, after {self.traffic.bytes:,}, are more than the {self.budget:,} that "
                "may be read here"
            )

    def count(self, n_bytes: int, seconds: float) -> None:
        """Add to the traffic; large reads measure the transfer rate."""
        with self._counting:
            self.traffic.bytes += n_bytes
            if n_bytes > LARGE_READ:
                self._large_reads = (self._large_reads[0] + n_bytes, self._large_reads[1] + seconds)

    def get(self, url: str, headers: dict[str, str], consume: Callable[[Response], T]) -> T:
        """GET ``url`` and return ``consume`` of the answer, trying again where that may help.

        Parameters
        ----------
        url
            Address of the file.
        headers
            Sent beside the client's own.
        consume
            Reads the body of an answer with status 200, 206 or 416. May raise `TryAgain`, and change ``headers`` for
            the next attempt.

        Raises
        ------
        Absent
            After 404 or 410 to two separate requests; with `forbidden_is_absent`, 403 as well.
        ArchiveRefused
            After any other 4xx, or a certificate that does not verify.
        ArchiveUnavailable
            When every attempt failed.
        """
        absences, attempt = 0, 0
        while True:
            attempt += 1
            try:
                return self.attempt(url, headers, consume)
            except NotThere as answer:
                absences += 1
                if absences == 2:
                    raise Absent(f"{url} does not exist (HTTP {answer.status}, asked twice)") from None
                attempt -= 1
                self.close()  # ask again over another connection
                time.sleep(min(1.0, self.patience.base_s))
            except TryAgain as failure:
                if failure.progress:
                    attempt = 1
                if failure.hung_up and attempt > 1 and _asks_for_many(headers):
                    raise Unable(SINGLE) from None  # some close the connection where a request is too long for them
                if attempt >= self.patience.tries:
                    raise ArchiveUnavailable(
                        f"{url}: {failure.why}; gave up after {attempt} attempts. Nothing is recorded about this "
                        "file: run again when the server answers"
                    ) from None
                wait_s = self.patience.wait_s(attempt, failure.retry_after_s)
                log.warning("%s: %s; attempt %d follows in %.1f s", url, failure.why, attempt + 1, wait_s)
                time.sleep(wait_s)

    def pipelines(self, url: str) -> bool:
        """Tell whether requests to an address may be pipelined.

        Not through a proxy, which seldom knows how to; nor where all of them would be sent on.
        """
        now = self._redirects.follow(url)
        return proxy_of(now) is None and not self._redirects.sends_on(now)

    def get_pipelined(self, url: str, ranges: Sequence[Range]) -> list[tuple[Headers, bytes]]:
        """Ask for ranges with a request each, all sent at once on one connection (`pipelining`).

        Returns
        -------
        list of (headers, bytes)
            Of the first ranges; fewer than were asked for, or none, if anything went wrong.
        """
        self.allow(url, sum(stop - start for start, stop in ranges))
        errors = self._urllib3.exceptions
        url = self._redirects.follow(url)
        address = self._urllib3.util.parse_url(url)
        request = f"GET {address.request_uri} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        request += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        pool = self.pools.to(url).connection_from_url(url)
        connection: Any = pool._get_conn()  # urllib3 has no public way to borrow a connection
        pipelined = Pipelined()
        try:
            if connection.is_closed:
                connection.connect()
            connection.sock.settimeout(self.patience.read_s)
            pipelined = ask_pipelined(connection.sock, request, ranges)
        except (errors.HTTPError, OSError) as error:
            log.debug("%s: %s", url, error)  # the ordinary requests that follow will report it
        finally:
            if not pipelined.reusable:
                connection.close()
            pool._put_conn(connection)
        with self._counting:
            self.traffic.requests += len(pipelined.answers)
            self.traffic.bytes += sum(len(data) for _, data in pipelined.answers)
            self._pipelines = self._pipelines or len(pipelined.answers) > 1
            self._pipelining_failures += not pipelined.understood
        if self._pipelining_failures >= MAX_FAILURES and not self._pipelines:
            self.servers.learn(url, SERIAL)
        return pipelined.answers

    def attempt(self, url: str, headers: dict[str, str], consume: Callable[[Response], T]) -> T:
        """GET ``url`` once, for callers with retries of their own; see `get`.

        Raises
        ------
        TryAgain, NotThere, Unable
            Which `get` handles.
        ArchiveRefused
            As for `get`.
        """
        errors = self._urllib3.exceptions
        began = time.monotonic()
        try:
            # Not decoded: a .gz is often served with Content-Encoding, and lengths and ranges are of the bytes stored.
            now = self._redirects.follow(url)
            raw = self.pools.to(now).request(
                "GET", now, headers={**self.headers, **headers}, preload_content=False, decode_content=False
            )
        except errors.LocationValueError as error:
            raise InputError(f"{url} is not a URL that can be asked: {error}") from error
        except errors.HTTPError as error:
            raise network_error(url, error) from error
        self._redirects.learn(now, raw.retries.history if raw.retries else ())
        with self._counting:
            self.traffic.requests += 1
            answered_s = time.monotonic() - began
            self._ranges_ignored = 0 if raw.status == 206 else self._ranges_ignored
            self._fastest_s = min(answered_s, self._fastest_s or answered_s)
            self.round_trip_s = self._fastest_s
        response = Response(raw, errors.HTTPError, self.patience.read_s, partial(self.allow, url), self.count)
        log.debug("GET %s %s: %d", url, headers.get("Range", ""), raw.status)
        try:
            if raw.status in (404, 410) or (raw.status == 403 and self.forbidden_is_absent):
                raise NotThere(raw.status)
            if raw.status in TRY_AGAIN_STATUSES or raw.status >= 500:
                raise TryAgain(f"HTTP {raw.status}", retry_after_s(raw.headers.get("Retry-After")), raw.status)
            if raw.status not in (200, 206, 416):
                if raw.status in MANY_RANGES_STATUSES and _asks_for_many(headers):
                    raise Unable(SINGLE)
                if raw.status == 407 and proxy_of(url):
                    raise proxy_refusal(url, raw.status)
                why = f"{url}: HTTP {raw.status} {raw.reason or ''}: the server refuses; "
                raise ArchiveRefused(why + (_forbidden(response) if raw.status == 403 else CHECK))
            if raw.headers.get("Content-Type", "").startswith("text/html"):
                raise TryAgain("the server sent an HTML page instead of the file")
            return consume(response)
        finally:
            if not response.at_end:
                raw.close()  # the rest of the body must not reach the next request
            raw.release_conn()


def _asks_for_many(headers: Headers) -> bool:
    """Tell whether a request asks for more than one range."""
    return "," in (headers.get("Range") or "")


def _forbidden(response: Response) -> str:
    """Return what may be wrong after an answer of 403, and what to do: first, for lists cut long messages short."""
    then = (
        "in the survey's section of the configuration: what it refuses is then recorded as absent, as long as it gives "
        "the files that it must have"
    )
    if b"<Code>AccessDenied</Code>" in response.read(4096):  # S3's
        return (
            "this bucket gives no list permission: a missing file looks like a forbidden one. Set forbidden_is_absent: "
            f"true {then}. If it gives none of its files, it is not public"
        )
    return f"{CHECK}. If it refuses only files that may be missing, set forbidden_is_absent: true {then}"
