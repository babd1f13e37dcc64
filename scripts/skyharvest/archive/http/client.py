"""Connections to HTTP(S) servers: pooled, counted, patient, and never confusing what the answers mean.

What a server can do is found out by asking it, once, and remembered (`Servers`):

==========  ====================================================================================================
``multi``   answers many ranges in one ``multipart/byteranges`` response (nginx, Apache)
``single``  answers one range a request (S3), and requests that are sent before the last one was answered
``serial``  ditto, but one request at a time on a connection
``whole``   ignores ranges: the file is fetched once, into a temporary file, and read there
==========  ====================================================================================================

Source: RFC 9110 §14 (range requests), §15.5 (4xx), §10.2.3 (Retry-After); RFC 9112 §9.3 (connections kept).
"""

import email.utils
import json
import logging
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from skyharvest import __version__
from skyharvest.archive.http.pipelining import SLOWEST, Headers, Pace, Row, ask_in_a_row
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import Absent, ArchiveRefused, ArchiveUnavailable, InputError
from skyharvest.formats.byte_source import CHUNK, Range

log = logging.getLogger(__name__)

T = TypeVar("T")

USER_AGENT = f"skyharvest/{__version__}"
PATIENCE_VARIABLE = "SKYHARVEST_PATIENCE"
MOST_PATIENT = 86_400
TRY_AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})

MULTI, SINGLE, SERIAL, WHOLE = "multi", "single", "serial", "whole"
WAYS = {
    MULTI: "many ranges a request",
    SINGLE: "one range a request",
    SERIAL: "one range a request, one request at a time",
    WHOLE: "no ranges",
}
MISUNDERSTANDINGS = 2  # of requests in a row, or of a range, until it is believed that the server cannot do it
GAP_LIMITS = (4096, 1 << 20)
LARGE_READ = 1 << 16  # bytes of a read that tells the rate
FETCH_READ = 1 << 16  # bytes that are lost, at most, when a transfer breaks off
RATE_AT_FIRST = (2e6, 0.2)  # bytes and seconds that stand for experience: the first reads may come in a burst


@dataclass(frozen=True)
class Patience:
    """How long to keep trying an archive that does not answer as it should.

    Attributes
    ----------
    tries
        Attempts per request, the first included.
    base_s, cap_s
        The wait before attempt n is drawn from [0.5, 1] × min(cap_s, base_s 2ⁿ⁻¹) seconds; jitter keeps many jobs
        from coming back at the same moment.
    retry_after_cap_s
        A server's ``Retry-After`` is obeyed up to this many seconds.
    connect_s, read_s
        Timeouts of a connect and of each single read, in seconds.
    """

    tries: int = 8
    base_s: float = 1.0
    cap_s: float = 60.0
    retry_after_cap_s: float = 300.0
    connect_s: float = 15.0
    read_s: float = 60.0

    @classmethod
    def from_environment(cls) -> Self:
        """Return the patience that the environment variable `PATIENCE_VARIABLE` asks for; the defaults without it.

        It holds words such as ``tries=20 cap_s=600``, of the attributes above.

        Raises
        ------
        InputError
            If it holds anything else.
        """
        defaults = asdict(cls())
        asked_for: dict[str, Any] = {}
        for word in os.environ.get(PATIENCE_VARIABLE, "").split():
            key, _, value = word.partition("=")
            try:
                asked_for[key] = type(defaults[key])(value)
                good = 0 < asked_for[key] <= MOST_PATIENT
            except (KeyError, ValueError):
                good = False
            if not good:
                raise InputError(
                    f"{PATIENCE_VARIABLE}: found {word!r}; expected words such as tries=20 cap_s=600, of "
                    f"{', '.join(defaults)}, each more than 0 and at most {MOST_PATIENT:,}"
                )
        return cls(**asked_for)

    def wait_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Return the seconds to wait after failed attempt number ``attempt`` (1, 2, …)."""
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 99)) * random.uniform(0.5, 1.0)  # noqa: S311
        if retry_after_s is None:
            return backoff
        return max(backoff, min(retry_after_s, self.retry_after_cap_s))


@dataclass
class Traffic:
    """What went over the wire, for logs and benchmarks."""

    requests: int = 0
    bytes: int = 0


class Servers:
    """What each server can do, remembered over the jobs of a run in a small JSON file.

    Parameters
    ----------
    path
        The file; None keeps it in memory. One that cannot be read is as good as none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, str] = self._load()

    def _load(self) -> dict[str, str]:
        if self._path is None:
            return {}
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        known = found.items() if isinstance(found, dict) else ()
        return {str(host): way for host, way in known if way in WAYS}

    def get(self, url: str) -> str | None:
        """Return ``multi``, ``single``, ``serial``, ``whole``, or None where it is not known yet."""
        return self._known.get(urlsplit(url).netloc)

    def learn(self, url: str, way: str) -> None:
        """Remember what a server can do."""
        host = urlsplit(url).netloc
        if self._known.get(host) == way:
            return
        log.info("%s: %s", host, WAYS[way])
        self._known[host] = way
        if self._path is not None:
            with atomic_path(self._path) as temporary:
                temporary.write_text(json.dumps(self._load() | self._known, indent=1) + "\n", encoding="utf-8")


class TryAgain(Exception):
    """A failed attempt that is worth another one; with ``progress`` it does not count among those in vain."""

    def __init__(self, why: str, retry_after_s: float | None = None, status: int | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after_s = retry_after_s
        self.status = status
        self.progress = False


class NotThere(Exception):
    """One answer of 404 or 410: not believed until it is given twice."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Unable(Exception):
    """The server cannot do what was asked for; it was hung up on before it sent a body."""

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.way = way


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
    traffic
        Counts requests and body bytes.
    round_trip_s
        Smallest time to an answer seen, seconds.
    """

    connections: int = 1
    patience: Patience = field(default_factory=Patience)
    servers: Servers = field(default_factory=Servers)
    traffic: Traffic = field(default_factory=Traffic)
    round_trip_s: float = 0.05

    def __post_init__(self) -> None:
        import urllib3  # noqa: PLC0415 (0.1 s that jobs on local files need not spend)

        self._urllib3 = urllib3
        self._counting = threading.Lock()
        self._fastest_s: float | None = None
        self._understood, self._misunderstood = False, 0
        self._ranges_ignored = 0
        self._large_reads = RATE_AT_FIRST
        self._pool = urllib3.PoolManager(
            maxsize=self.connections,
            block=True,
            cert_reqs="CERT_REQUIRED",
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=urllib3.Timeout(connect=self.patience.connect_s, read=self.patience.read_s),
            # Retries are ours (they must know ranges and Retry-After); redirects are urllib3's.
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5),
        )

    def close(self) -> None:
        """Close all idle connections."""
        self._pool.clear()

    def single_gap(self) -> int:
        """Return how many bytes one more request of one range is worth: its share of a round trip at the rate seen."""
        n_bytes, seconds = self._large_reads
        worth = int(self.round_trip_s * n_bytes / seconds / self.connections)
        return max(GAP_LIMITS[0], min(worth, GAP_LIMITS[1]))

    def ignores_ranges(self) -> bool:
        """Count an answer that was the whole file instead of a range; from the second in a row on it is no mishap."""
        with self._counting:
            self._ranges_ignored += 1
        return self._ranges_ignored >= MISUNDERSTANDINGS

    def count(self, n_bytes: int, seconds: float) -> None:
        """Add to the traffic; large reads tell the rate."""
        with self._counting:
            self.traffic.bytes += n_bytes
            if n_bytes > LARGE_READ:
                self._large_reads = (self._large_reads[0] + n_bytes, self._large_reads[1] + seconds)

    def get(self, url: str, headers: dict[str, str], consume: "Callable[[Response], T]") -> T:
        """GET ``url`` and return what ``consume`` makes of the answer, trying again where that may help.

        Parameters
        ----------
        url
            What to ask for.
        headers
            Sent beside the client's own.
        consume
            Reads the body of an answer with status 200, 206 or 416. May raise `TryAgain`, and change ``headers`` for
            the next attempt.

        Raises
        ------
        Absent
            After 404 or 410 to two separate requests.
        ArchiveRefused
            After any other 4xx, or a certificate that does not verify.
        ArchiveUnavailable
            When every attempt failed.
        """
        absences = 0
        attempt = 0
        while True:
            attempt += 1
            try:
                return self.attempt(url, headers, consume)
            except NotThere as answer:
                absences += 1
                if absences == 2:
                    raise Absent(f"{url} does not exist (HTTP {answer.status}, asked twice)") from None
                attempt -= 1
                self.close()  # the second request must not share the first one's connection
                time.sleep(min(1.0, self.patience.base_s))
            except TryAgain as failure:
                if failure.progress:
                    attempt = 1
                if attempt >= self.patience.tries:
                    raise ArchiveUnavailable(
                        f"{url}: {failure.why}; gave up after {attempt} attempts. Nothing is recorded about this "
                        "file: run again when the server answers"
                    ) from None
                wait_s = self.patience.wait_s(attempt, failure.retry_after_s)
                log.warning("%s: %s; attempt %d follows in %.1f s", url, failure.why, attempt + 1, wait_s)
                time.sleep(wait_s)

    def fetch(self, url: str, part: Path, *, note: Path | None = None) -> int:
        """Copy a whole file to ``part`` and return its length in bytes. A transfer that breaks off is resumed.

        Parameters
        ----------
        url
            What to copy.
        part
            Where to. What is there already is kept, and the rest asked for, if ``note`` says of which version it is and
            the server still has that one (RFC 9110 §13.1.5, If-Range); else it is overwritten.
        note
            A file for the version of what is in ``part``, so that a later job can go on. Removed at the end.
        """
        version = note.read_text(encoding="utf-8") if note is not None and note.exists() else ""
        headers: dict[str, str] = {}

        def ask_for_the_rest() -> None:
            have = part.stat().st_size if version and part.exists() else 0
            headers.clear()
            if have:
                headers.update({"Range": f"bytes={have}-", "If-Range": version})

        def consume(response: "Response") -> int:
            nonlocal version
            begin = 0
            if response.status == 416:
                total = total_length(response.headers)
                if total is not None and total == part.stat().st_size:
                    return total
                version = ""
                ask_for_the_rest()
                raise TryAgain("what is here of it is longer than the server's file")
            if response.status == 206:
                span = response.content_range()
                begin = part.stat().st_size
                if span is None or span[0] != begin or _strong_version(response.headers) != version:
                    version = ""
                    ask_for_the_rest()
                    raise TryAgain(f"asked for bytes {begin}-, the server sent {response.headers.get('Content-Range')}")
            version = _strong_version(response.headers)
            if note is not None:
                note.write_text(version, encoding="utf-8")
            length = begin
            left = response.content_length()
            try:
                with part.open("ab" if begin else "wb") as out:
                    while piece := response.read(FETCH_READ):
                        out.write(piece)
                        length += len(piece)
                if left is not None and length - begin != left:
                    raise TryAgain(f"{length - begin:,} of {left:,} announced bytes arrived")
            except TryAgain as broken:
                broken.progress = length - begin >= CHUNK
                ask_for_the_rest()
                raise
            return length

        ask_for_the_rest()
        length = self.get(url, headers, consume)
        if note is not None:
            note.unlink(missing_ok=True)
        return length

    def in_a_row(self, url: str, ranges: Sequence[Range]) -> list[tuple[Headers, bytes]]:
        """Ask for ranges with a request each, all sent at once on one connection (`pipelining`).

        Returns
        -------
        list of (headers, bytes)
            Of the first ranges; fewer than were asked for, or none, if anything was not as it should be.
        """
        errors = self._urllib3.exceptions
        address = self._urllib3.util.parse_url(url)
        request = f"GET {address.request_uri} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        request += "".join(f"{name}: {value}\r\n" for name, value in self._pool.headers.items())
        pool = self._pool.connection_from_url(url)
        connection: Any = pool._get_conn()  # urllib3 shares its connections out in no public way
        row = Row()
        try:
            if connection.is_closed:
                connection.connect()
            connection.sock.settimeout(self.patience.read_s)
            row = ask_in_a_row(connection.sock, request, ranges)
        except (errors.HTTPError, OSError) as error:
            log.debug("%s: %s", url, error)  # the ordinary way finds out what it is
        finally:
            if not row.reusable:
                connection.close()
            pool._put_conn(connection)
        with self._counting:
            self.traffic.requests += len(row.answers)
            self.traffic.bytes += sum(len(data) for _, data in row.answers)
            self._understood = self._understood or len(row.answers) > 1
            self._misunderstood += not row.understood
        if self._misunderstood >= MISUNDERSTANDINGS and not self._understood:
            self.servers.learn(url, SERIAL)
        return row.answers

    def attempt(self, url: str, headers: dict[str, str], consume: "Callable[[Response], T]") -> T:
        """GET ``url`` once, for callers that have patience of their own; see `get`.

        Raises
        ------
        TryAgain, NotThere, Unable
            What `get` deals with.
        ArchiveRefused
            As there.
        """
        errors = self._urllib3.exceptions
        began = time.monotonic()
        try:
            raw = self._pool.request("GET", url, headers={**self._pool.headers, **headers}, preload_content=False)
        except errors.LocationValueError as error:
            raise InputError(f"{url} is not a URL that can be asked: {error}") from error
        except errors.HTTPError as error:
            raise _network_error(url, error) from error
        with self._counting:
            self.traffic.requests += 1
            answered_s = time.monotonic() - began
            self._ranges_ignored = 0 if raw.status == 206 else self._ranges_ignored
            self._fastest_s = min(answered_s, self._fastest_s or answered_s)
            self.round_trip_s = self._fastest_s
        response = Response(raw, self, errors.HTTPError)
        log.debug("GET %s %s: %d", url, headers.get("Range", ""), raw.status)
        try:
            if raw.status in (404, 410):
                raise NotThere(raw.status)
            if raw.status in TRY_AGAIN_STATUSES or raw.status >= 500:
                raise TryAgain(f"HTTP {raw.status}", _retry_after_s(raw.headers.get("Retry-After")), raw.status)
            if raw.status not in (200, 206, 416):
                if raw.status == 400 and "," in headers.get("Range", ""):
                    raise Unable(SINGLE)
                raise ArchiveRefused(
                    f"{url}: HTTP {raw.status} {raw.reason or ''}: the server refuses; check the address and "
                    "whether the data are public"
                )
            if raw.headers.get("Content-Type", "").startswith("text/html"):
                raise TryAgain("the server sent an HTML page instead of the file")
            return consume(response)
        finally:
            if not response.at_end:
                raw.close()  # what is left of the body must not reach the next request
            raw.release_conn()


def _network_error(url: str, error: Exception) -> TryAgain | ArchiveRefused:
    reason = getattr(error, "reason", None) or error
    cause = reason.args[0] if getattr(reason, "args", None) else reason
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ArchiveRefused(f"{url}: the server's certificate does not verify: {cause.verify_message}")
    return TryAgain(f"{type(reason).__name__}: {str(reason).rsplit(': ', 1)[-1]}")


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (a number or a date, RFC 9110 §10.2.3)."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


class Response:
    """The answer to one request: status, headers, and a body that is counted and checked while it is read."""

    def __init__(self, raw: Any, client: HttpClient, error: type[Exception]) -> None:
        self._raw = raw
        self._client = client
        self._error = error
        self.status: int = raw.status
        self.headers: dict[str, str] = raw.headers
        self.at_end = False

    def read(self, amount: int) -> bytes:
        """Return ``amount`` bytes of the body; fewer only at its end. A broken transfer is worth another try."""
        pieces = []
        left = amount
        began = time.monotonic()
        pace = Pace(self._client.patience.read_s)
        while left:
            try:
                piece: bytes = self._raw.read1(left)  # what has come, so that a trickle is noticed
            except (self._error, OSError) as error:
                raise TryAgain(f"the transfer broke off: {type(error).__name__}") from error
            if not piece:
                self.at_end = True
                break
            pieces.append(piece)
            left -= len(piece)
            if left and pace.is_too_slow(len(piece)):
                raise TryAgain(f"the transfer has slowed down to less than {SLOWEST:,.0f} bytes a second")
        self._client.count(amount - left, time.monotonic() - began)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def exactly(self, amount: int) -> bytes:
        """Return ``amount`` bytes, or raise `TryAgain` if the body ends before."""
        data = self.read(amount)
        if len(data) < amount:
            raise TryAgain(f"{len(data):,} of {amount:,} announced bytes arrived")
        return data

    def finish(self) -> None:
        """See the body's end, so that the connection can be used again."""
        self.read(1)

    def content_length(self) -> int | None:
        """Return the announced length of the body."""
        return _whole(self.headers.get("Content-Length") or "")

    def content_range(self) -> tuple[int, int, int | None] | None:
        """Return (start, stop, total) of the answer's Content-Range."""
        return parse_content_range(self.headers.get("Content-Range", ""))


def _strong_version(headers: Headers) -> str:
    """Return what If-Range may name: an ETag that is not weak, or a date; "" if there is neither."""
    tag = headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""


def total_length(headers: Headers) -> int | None:
    """Return the file's length that a Content-Range tells, also ``bytes */N``; None if it is not known."""
    return _whole((headers.get("Content-Range") or "").rpartition("/")[2])


def parse_content_range(value: str) -> tuple[int, int, int | None] | None:
    """Return (start, stop, total) of ``bytes a-b/total``, total None if unknown; None if it is not that."""
    unit, _, rest = value.strip().partition(" ")
    span, _, total = rest.partition("/")
    first, last = (_whole(number) for number in span.split("-", 1)) if "-" in span else (None, None)
    if unit.lower() != "bytes" or first is None or last is None or last < first:
        return None
    return first, last + 1, _whole(total)


def _whole(text: str) -> int | None:
    """Return the number that digits, and nothing else, stand for; None for those of no file's length."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
