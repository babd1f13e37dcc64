"""Files behind URLs, read by byte ranges: many ranges in one request where the server does that.

What a server can do is found out by asking it, once, and remembered (`Servers`):

==========  ====================================================================================================
``multi``   answers many ranges in one ``multipart/byteranges`` response (nginx, Apache)
``single``  answers one range a request (S3): ranges go out in parallel over the connections
``whole``   ignores ranges: the file is fetched once, into a temporary file, and read there
==========  ====================================================================================================

Source: RFC 9110 §14 (range requests), §15.5 (4xx), §10.2.3 (Retry-After).
"""

import email.utils
import json
import logging
import os
import random
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from skyharvest import __version__
from skyharvest.atomic import atomic_path
from skyharvest.errors import Absent, ArchiveRefused, ArchiveUnavailable, InputError
from skyharvest.source import CHUNK, LocalFile, Range, Source, cut, merge, too_short

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")

USER_AGENT = f"skyharvest/{__version__}"
TRY_AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})

MULTI, SINGLE, WHOLE = "multi", "single", "whole"
RANGES_PER_REQUEST = 180  # Apache takes 200
HEADER_BYTES = 3800  # of a Range header: servers take 4 to 8 kB of one header line
PART_OVERHEAD = 300  # bytes of a part's own headers, at most
MULTI_GAP = 512  # bytes that cost less than the headers of one more part
GAP_LIMITS = (4096, 1 << 20)
LARGE_READ = 1 << 16  # bytes of a read that tells the rate
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

    def wait_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Return the seconds to wait after failed attempt number ``attempt`` (1, 2, …)."""
        backoff = min(self.cap_s, self.base_s * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
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
        return {str(host): way for host, way in known if way in (MULTI, SINGLE, WHOLE)}

    def get(self, url: str) -> str | None:
        """Return ``multi``, ``single``, ``whole``, or None where it is not known yet."""
        return self._known.get(urlsplit(url).netloc)

    def learn(self, url: str, way: str) -> None:
        """Remember what a server can do."""
        host = urlsplit(url).netloc
        if self._known.get(host) == way:
            return
        log.info("%s: %s", host, {MULTI: "many ranges a request", SINGLE: "one range a request"}.get(way, "no ranges"))
        self._known[host] = way
        if self._path is not None:
            with atomic_path(self._path) as temporary:
                temporary.write_text(json.dumps(self._load() | self._known, indent=1) + "\n", encoding="utf-8")


class _TryAgain(Exception):
    """A failed attempt that is worth another one."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after_s = retry_after_s


class _NotThere(Exception):
    """One answer of 404 or 410: not believed until it is given twice."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Unable(Exception):
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
            Reads the body of an answer with status 200, 206 or 416. May raise `_TryAgain`.

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
                return self._attempt(url, headers, consume)
            except _NotThere as answer:
                absences += 1
                if absences == 2:
                    raise Absent(f"{url} does not exist (HTTP {answer.status}, asked twice)") from None
                attempt -= 1
                self.close()  # the second request must not share the first one's connection
                time.sleep(min(1.0, self.patience.base_s))
            except _TryAgain as failure:
                if attempt >= self.patience.tries:
                    raise ArchiveUnavailable(
                        f"{url}: {failure.why}; gave up after {attempt} attempts. Nothing is recorded about this "
                        "file: run again when the server answers"
                    ) from None
                wait_s = self.patience.wait_s(attempt, failure.retry_after_s)
                log.warning("%s: %s; attempt %d follows in %.1f s", url, failure.why, attempt + 1, wait_s)
                time.sleep(wait_s)

    def _attempt(self, url: str, headers: dict[str, str], consume: "Callable[[Response], T]") -> T:
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
            self._fastest_s = min(answered_s, self._fastest_s or answered_s)
            self.round_trip_s = self._fastest_s
        response = Response(raw, self, errors.HTTPError)
        log.debug("GET %s %s: %d", url, headers.get("Range", ""), raw.status)
        try:
            if raw.status in (404, 410):
                raise _NotThere(raw.status)
            if raw.status in TRY_AGAIN_STATUSES or raw.status >= 500:
                raise _TryAgain(f"HTTP {raw.status}", _retry_after_s(raw.headers.get("Retry-After")))
            if raw.status not in (200, 206, 416):
                if raw.status == 400 and "," in headers.get("Range", ""):
                    raise _Unable(SINGLE)
                raise ArchiveRefused(
                    f"{url}: HTTP {raw.status} {raw.reason or ''}: the server refuses; check the address and "
                    "whether the data are public"
                )
            if raw.headers.get("Content-Type", "").startswith("text/html"):
                raise _TryAgain("the server sent an HTML page instead of the file")
            return consume(response)
        finally:
            if not response.at_end:
                raw.close()  # what is left of the body must not reach the next request
            raw.release_conn()


def _network_error(url: str, error: Exception) -> _TryAgain | ArchiveRefused:
    reason = getattr(error, "reason", None) or error
    cause = reason.args[0] if getattr(reason, "args", None) else reason
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ArchiveRefused(f"{url}: the server's certificate does not verify: {cause.verify_message}")
    return _TryAgain(f"{type(reason).__name__}: {str(reason).rsplit(': ', 1)[-1]}")


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
    except (TypeError, ValueError):
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
        while left:
            try:
                piece: bytes = self._raw.read(left)
            except (self._error, OSError) as error:
                raise _TryAgain(f"the transfer broke off: {type(error).__name__}") from error
            if not piece:
                self.at_end = True
                break
            pieces.append(piece)
            left -= len(piece)
        self._client.count(amount - left, time.monotonic() - began)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def exactly(self, amount: int) -> bytes:
        """Return ``amount`` bytes, or raise `_TryAgain` if the body ends before."""
        data = self.read(amount)
        if len(data) < amount:
            raise _TryAgain(f"{len(data):,} of {amount:,} announced bytes arrived")
        return data

    def finish(self) -> None:
        """See the body's end, so that the connection can be used again."""
        self.read(1)

    def content_length(self) -> int | None:
        """Return the announced length of the body."""
        value = self.headers.get("Content-Length", "")
        return int(value) if value.isdigit() else None

    def content_range(self) -> tuple[int, int, int | None] | None:
        """Return (start, stop, total) of the answer's Content-Range."""
        return parse_content_range(self.headers.get("Content-Range", ""))


def parse_content_range(value: str) -> tuple[int, int, int | None] | None:
    """Return (start, stop, total) of ``bytes a-b/total``, total None if unknown; None if it is not that."""
    unit, _, rest = value.strip().partition(" ")
    span, _, total = rest.partition("/")
    first, _, last = span.partition("-")
    if unit.lower() != "bytes" or not first.isdigit() or not last.isdigit():
        return None
    return int(first), int(last) + 1, int(total) if total.isdigit() else None


class HttpFile(Source):
    """A file behind a URL, read with range requests.

    Parameters
    ----------
    url
        Its address.
    client
        The connections to use.
    """

    def __init__(self, url: str, client: HttpClient) -> None:
        self.name = url
        self._client = client
        self._size: int | None = None
        self._version: str | None = None  # ETag or Last-Modified: all parts must be of one version
        self._copy: LocalFile | None = None  # of a server that does no ranges

    @property
    def gap(self) -> int:
        """For many ranges a request next to nothing, for one range a request what a round trip is worth."""
        return self._client.single_gap() if self._client.servers.get(self.name) == SINGLE else MULTI_GAP

    def _read(self, ranges: Sequence[Range]) -> list[bytes]:
        blocks: list[tuple[int, bytes]] = []
        wanted = list(ranges)
        if len(wanted) > 1 and self._way() in (None, MULTI):
            requests = _requests(wanted)
            try:
                blocks += self._read_multi(requests[0])
                for parts in self._in_parallel(self._read_multi, requests[1:] if self._way() == MULTI else []):
                    blocks += parts
            except _Unable as unable:
                self._client.servers.learn(self.name, unable.way)
            found = cut(ranges, sorted(blocks))
            wanted = [span for span, part in zip(ranges, found, strict=True) if part is None]
        if wanted:
            merged = merge(wanted, self.gap)
            try:
                blocks += zip([start for start, _ in merged], self._read_single(merged), strict=True)
            except _Unable as unable:
                self._client.servers.learn(self.name, unable.way)
                blocks += zip([start for start, _ in merged], self._whole().read(merged), strict=True)
        found = cut(ranges, sorted(blocks))
        return [part for part in found if part is not None]

    def _way(self) -> str | None:
        return self._client.servers.get(self.name)

    def _read_single(self, ranges: Sequence[Range]) -> list[bytes]:
        """Read ranges with a request each, in parallel over the connections."""
        if self._copy is not None or self._way() == WHOLE:
            return self._whole().read(ranges)
        return self._in_parallel(lambda span: self._read_one(*span)[0], ranges)

    def _in_parallel(self, ask: Callable[[A], T], questions: Sequence[A]) -> list[T]:
        """Return the answers to questions, asked over all connections at once, in order."""
        if len(questions) <= 1 or self._client.connections == 1:
            return [ask(question) for question in questions]
        with ThreadPoolExecutor(self._client.connections) as threads:
            return list(threads.map(ask, questions))

    def _read_one(self, start: int, stop: int, *, clip: bool = False) -> tuple[bytes, int | None]:
        """Read one range, and return it with the file's length. With ``clip`` the file may end before it does."""

        def consume(response: Response) -> tuple[bytes, int | None]:
            if response.status == 416:
                total = _total_of_416(response)
                if clip and start == 0 and total in (0, None):
                    return b"", 0
                raise too_short(self.name, total, stop)
            if response.status == 200:
                length = response.content_length()
                if length is not None and start == 0 and length <= stop:  # the whole file is what was asked for
                    self._check_version(response, length)
                    if length < stop and not clip:
                        raise too_short(self.name, length, stop)
                    data = response.exactly(length)
                    response.finish()
                    return data, length
                raise _Unable(WHOLE)
            span = response.content_range()
            short = span is not None and span[1] < stop and span[1] == span[2]
            if span is None or span[0] != start or (span[1] != stop and not short):
                raise _TryAgain(
                    f"asked for bytes {start}-{stop - 1}, the server sent {response.headers.get('Content-Range')}"
                )
            self._check_version(response, span[2])
            if short and not clip:
                raise too_short(self.name, span[2], stop)
            data = response.exactly(span[1] - start)
            response.finish()
            return data, span[2]

        return self._client.get(self.name, {"Range": f"bytes={start}-{stop - 1}"}, consume)

    def _read_multi(self, ranges: Sequence[Range]) -> list[tuple[int, bytes]]:
        """Read many ranges with one request; return what came, (start, bytes), which may be less."""
        most = sum(stop - start + PART_OVERHEAD for start, stop in ranges) + PART_OVERHEAD

        def consume(response: Response) -> list[tuple[int, bytes]]:
            if response.status == 416:
                raise too_short(self.name, _total_of_416(response), ranges[-1][1])
            if response.status == 200:
                raise _Unable(SINGLE)  # the whole file is on its way: hang up, and ask for one range at a time
            span = response.content_range()
            if span is not None:  # one range for many: they were joined, or only one was served
                if span[1] - span[0] > 2 * most:
                    raise _Unable(SINGLE)
                self._check_version(response, span[2])
                parts = [(span[0], response.exactly(span[1] - span[0]))]
                response.finish()
                if cut(ranges, parts).count(None):
                    self._client.servers.learn(self.name, SINGLE)
                return parts
            length = response.content_length()
            if length is not None and length > most + len(ranges) * PART_OVERHEAD:
                raise _Unable(SINGLE)
            body = response.exactly(length) if length is not None else response.read(2 * most)
            response.finish()
            parts = []
            for first, data, total in split_parts(body, response.headers.get("Content-Type", "")):
                self._check_version(response, total)
                parts.append((first, data))
            self._client.servers.learn(self.name, MULTI)
            return parts

        spans = ",".join(f"{start}-{stop - 1}" for start, stop in ranges)
        return self._client.get(self.name, {"Range": f"bytes={spans}"}, consume)

    def _check_version(self, response: Response, total: int | None) -> None:
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        changed = (self._size is not None and total is not None and total != self._size) or (
            self._version is not None and version is not None and version != self._version
        )
        if changed:
            raise ArchiveUnavailable(f"{self.name} changed on the server while it was read; run again")
        self._size = total if total is not None else self._size
        self._version = version or self._version

    def _whole(self) -> LocalFile:
        """Return a copy of the file, fetched once, for a server that does no ranges; it is gone when closed."""
        if self._copy is None:
            handle, name = tempfile.mkstemp(prefix="skyharvest-", suffix=".fits")
            os.close(handle)
            try:
                self._size = fetch(self._client, self.name, Path(name))
                self._copy = LocalFile(Path(name))
                self._copy.name = self.name
            finally:
                os.unlink(name)  # noqa: PTH108 (stays readable while open, and vanishes with the process)
        return self._copy

    def head(self, length: int) -> bytes:
        """Return the first ``length`` bytes, or the whole file if it is shorter."""
        if self._way() != WHOLE:
            try:
                data, size = self._read_one(0, length, clip=True)
                self._size = size if size is not None else self._size
                return data
            except _Unable as unable:
                self._client.servers.learn(self.name, unable.way)
        return self._whole().head(length)

    def size(self) -> int:
        """Return the file's length in bytes, by asking for its first byte where no answer has told it yet."""
        if self._size is None:
            self.head(1)
        if self._size is None:
            raise ArchiveRefused(f"{self.name}: the server does not tell the file's length")
        return self._size

    def close(self) -> None:
        """Drop the copy, if there is one; the connections are the client's, for the next file."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None


def _total_of_416(response: Response) -> int | None:
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _requests(ranges: Sequence[Range]) -> list[list[Range]]:
    """Divide ranges into requests that servers take."""
    requests: list[list[Range]] = [[]]
    length = 0
    for start, stop in ranges:
        text = len(f"{start}-{stop - 1},")
        if requests[-1] and (len(requests[-1]) == RANGES_PER_REQUEST or length + text > HEADER_BYTES):
            requests.append([])
            length = 0
        requests[-1].append((start, stop))
        length += text
    return requests


def split_parts(body: bytes, content_type: str) -> list[tuple[int, bytes, int | None]]:
    """Take a ``multipart/byteranges`` body apart (RFC 9110 §14.6).

    The parts are binary: their lengths come from their Content-Range, never from looking for the boundary in them.

    Returns
    -------
    list of (start, bytes, total)

    Raises
    ------
    _TryAgain
        If the body is not that.
    """
    kind, _, parameters = content_type.partition(";")
    name, _, boundary = parameters.strip().partition("=")
    boundary = boundary.split(";")[0].strip().strip('"')
    if kind.strip().lower() != "multipart/byteranges" or name.strip().lower() != "boundary" or not boundary:
        raise _TryAgain(f"an answer in parts without Content-Range or boundary ({content_type!r})")
    delimiter = b"--" + boundary.encode("latin-1")
    parts: list[tuple[int, bytes, int | None]] = []
    position = body.find(delimiter)
    while position >= 0:
        position += len(delimiter)
        if body[position : position + 2] == b"--":
            return parts
        headers_end = body.find(b"\r\n\r\n", position)
        if headers_end < 0:
            break
        span = None
        for line in body[position:headers_end].split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.strip().lower() == b"content-range":
                span = parse_content_range(value.decode("latin-1"))
        if span is None:
            break
        start = headers_end + 4
        data = body[start : start + span[1] - span[0]]
        if len(data) < span[1] - span[0] or body[start + len(data) :][:2] != b"\r\n":
            break
        parts.append((span[0], data, span[2]))
        position = start + len(data) + 2
        if body[position : position + len(delimiter)] != delimiter:
            break
    raise _TryAgain("the answer in parts is broken")


def fetch(client: HttpClient, url: str, destination: Path) -> int:
    """Copy a whole file to ``destination`` (which is overwritten) and return its length in bytes."""

    def consume(response: Response) -> int:
        announced = response.content_length()
        length = 0
        with destination.open("wb") as out:
            while piece := response.read(CHUNK):
                out.write(piece)
                length += len(piece)
        if announced is not None and length != announced:
            raise _TryAgain(f"{length:,} of {announced:,} announced bytes arrived")
        return length

    return client.get(url, {}, consume)
