"""Bytes from an archive: parts of files, or whole files, from a directory or over HTTP(S).

This module knows no astronomy. It tells apart what callers must never confuse:

==========================  ===========================================================================
`Absent`                    the file is not there: said twice, by two separate requests
`ArchiveUnavailable`        it could not be read *for now*, although it was tried again with backoff
`ArchiveRefused`            trying again will not help (401, 403, a bad certificate, no permission)
`MalformedFile`             it is there, but shorter than was asked for
==========================  ===========================================================================

Certificates are always checked. Every connect and every read has a timeout.
"""

import email.utils
import errno
import logging
import os
import random
import ssl
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from skyharvest import __version__
from skyharvest.errors import Absent, ArchiveRefused, ArchiveUnavailable, InputError, MalformedFile

log = logging.getLogger(__name__)

T = TypeVar("T")
Range = tuple[int, int]
"""Half-open byte range ``(start, stop)``."""

ABSENT_MARK = b"skyharvest: the archive says that it has no such file\n"
"""Stands, in a folder of fetched files, for one that the archive does not have."""

USER_AGENT = f"skyharvest/{__version__}"
CHUNK = 1 << 20  # bytes per read of a whole file
TRY_AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})
TRY_AGAIN_ERRNOS = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENOTCONN})


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


def merge(ranges: Sequence[Range], gap: int) -> list[Range]:
    """Return the sorted ranges that cover ``ranges``, joined where ``gap`` bytes or fewer lie between two."""
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if start < 0 or stop < start:
            raise ValueError(f"not a byte range: {start}-{stop}")
        if start == stop:
            continue
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


class Source(ABC):
    """One file of an archive, read by byte ranges."""

    name: str  # path or URL, for messages
    gap: int  # bytes between two ranges that are cheaper to read than to skip

    @abstractmethod
    def _read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each of these disjoint, sorted, non-empty ranges."""

    @abstractmethod
    def size(self) -> int:
        """Return the file's length in bytes."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the source holds open."""

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Read many parts of the file at once.

        Parameters
        ----------
        ranges
            Half-open byte ranges, in any order; they may overlap or be empty.

        Returns
        -------
        list of bytes
            In the order of ``ranges``, each exactly ``stop - start`` long.

        Raises
        ------
        MalformedFile
            If the file ends before a range does.
        Absent, ArchiveUnavailable, ArchiveRefused
            As the module says.
        """
        merged = merge(ranges, self.gap)
        blocks = self._read(merged) if merged else []
        starts = [start for start, _ in merged]
        parts = []
        for start, stop in ranges:
            if start == stop:
                parts.append(b"")
                continue
            k = bisect_right(starts, start) - 1
            block = blocks[k]
            offset = start - starts[k]
            whole = offset == 0 and stop - start == len(block)
            parts.append(block if whole else block[offset : offset + stop - start])
        return parts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalFile(Source):
    """A file on disk, read with ``pread``."""

    gap = 4096

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Absent(f"{path} does not exist") from error
        except OSError as error:
            raise _local_error(path, error) from error
        if not path.is_file():  # a directory opens, too
            self.close()
            raise MalformedFile(f"{path} is not a file")
        if self.size() == len(ABSENT_MARK) and os.pread(self._handle, len(ABSENT_MARK), 0) == ABSENT_MARK:
            self.close()
            raise Absent(f"{path} stands for a file that the archive does not have")

    def _read(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self._read_one(start, stop) for start, stop in ranges]

    def _read_one(self, start: int, stop: int) -> bytes:
        pieces = []
        position = start
        while position < stop:
            try:
                piece = os.pread(self._handle, stop - position, position)
            except OSError as error:
                raise _local_error(Path(self.name), error) from error
            if not piece:
                raise _too_short(self.name, self.size(), stop)
            pieces.append(piece)
            position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def size(self) -> int:
        """Return the file's length in bytes."""
        return os.fstat(self._handle).st_size

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _local_error(path: Path, error: OSError) -> ArchiveRefused | ArchiveUnavailable:
    if error.errno in TRY_AGAIN_ERRNOS:
        return ArchiveUnavailable(f"{path}: {error.strerror}; run again when the file system is back")
    return ArchiveRefused(f"{path}: {error.strerror}")


def _too_short(name: str, size: int | None, wanted: int) -> MalformedFile:
    found = "ends" if size is None else f"has {size:,} bytes and ends"
    return MalformedFile(f"{name}: the file {found} before byte {wanted:,}: it is truncated or its headers lie")


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


@dataclass
class HttpClient:
    """Connections to HTTP(S) servers, shared by the files that one job reads.

    Attributes
    ----------
    connections
        Open connections per server, at most.
    patience
        Retries and timeouts.
    traffic
        Counts requests and body bytes.
    """

    connections: int = 1
    patience: Patience = field(default_factory=Patience)
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        import urllib3  # noqa: PLC0415 (0.1 s that jobs on local files need not spend)

        self._urllib3 = urllib3
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
        """Close all connections."""
        self._pool.clear()

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
        self.traffic.requests += 1
        try:
            raw = self._pool.request("GET", url, headers={**self._pool.headers, **headers}, preload_content=False)
        except errors.LocationValueError as error:
            raise InputError(f"{url} is not a URL that can be asked: {error}") from error
        except errors.HTTPError as error:
            raise _network_error(url, error) from error
        response = Response(raw, self.traffic, errors.HTTPError)
        log.debug("GET %s %s: %d", url, headers.get("Range", ""), raw.status)
        try:
            if raw.status in (404, 410):
                raise _NotThere(raw.status)
            if raw.status in TRY_AGAIN_STATUSES or raw.status >= 500:
                raise _TryAgain(f"HTTP {raw.status}", _retry_after_s(raw.headers.get("Retry-After")))
            if raw.status not in (200, 206, 416):
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

    def __init__(self, raw: Any, traffic: Traffic, error: type[Exception]) -> None:
        self._raw = raw
        self._traffic = traffic
        self._error = error
        self.status: int = raw.status
        self.headers: dict[str, str] = raw.headers
        self.at_end = False

    def read(self, amount: int) -> bytes:
        """Return ``amount`` bytes of the body; fewer only at its end. A broken transfer is worth another try."""
        pieces = []
        left = amount
        while left:
            try:
                piece: bytes = self._raw.read(left)
            except (self._error, OSError) as error:
                raise _TryAgain(f"the transfer broke off: {type(error).__name__}") from error
            if not piece:
                self.at_end = True
                break
            self._traffic.bytes += len(piece)
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> None:
        """Read to the body's end, which lets the connection be used again."""
        while not self.at_end:
            self.read(CHUNK)

    def content_range(self) -> tuple[int, int, int | None] | None:
        """Return (start, stop, total) of a ``Content-Range: bytes a-b/total`` header; total None if unknown."""
        value = self.headers.get("Content-Range", "")
        unit, _, rest = value.partition(" ")
        span, _, total = rest.partition("/")
        first, _, last = span.partition("-")
        if unit != "bytes" or not first.isdigit() or not last.isdigit():
            return None
        return int(first), int(last) + 1, int(total) if total.isdigit() else None


class HttpFile(Source):
    """A file behind a URL, read with range requests."""

    gap = 64 * 1024  # about what a round trip of some tens of ms is worth on a shared link

    def __init__(self, url: str, client: HttpClient) -> None:
        self.name = url
        self._client = client
        self._size: int | None = None
        self._version: str | None = None  # ETag or Last-Modified: all parts must be of one version

    def _read(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self._read_one(start, stop) for start, stop in ranges]

    def _read_one(self, start: int, stop: int) -> bytes:
        def consume(response: Response) -> bytes:
            if response.status == 416:
                raise _too_short(self.name, self._total_of_416(response), stop)
            if response.status == 206:
                span = response.content_range()
                if span is None or span[0] != start or span[1] > stop:
                    raise _TryAgain(
                        f"asked for bytes {start}-{stop - 1}, the server sent {response.headers.get('Content-Range')}"
                    )
                self._check_version(response, span[2])
                if span[1] < stop:
                    raise _too_short(self.name, span[2], stop)
                body = response.read(stop - start)
                if len(body) < stop - start:
                    raise _TryAgain("the body is shorter than its Content-Range")
                response.read(1)  # sees the end, so that the connection can be used again
                return body
            # 200: the server does not do ranges. Read up to where the range ends and hang up.
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            self._check_version(response, total)
            if total is not None and total < stop:
                raise _too_short(self.name, total, stop)
            position = 0
            while position < start:
                skipped = len(response.read(min(CHUNK, start - position)))
                if not skipped:
                    raise _too_short(self.name, position, stop)
                position += skipped
            body = response.read(stop - start)
            if len(body) < stop - start:
                raise _too_short(self.name, start + len(body), stop)
            return body

        return self._client.get(self.name, {"Range": f"bytes={start}-{stop - 1}"}, consume)

    def _total_of_416(self, response: Response) -> int | None:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(total) if total.isdigit() else None

    def _check_version(self, response: Response, total: int | None) -> None:
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        changed = (self._size is not None and total is not None and total != self._size) or (
            self._version is not None and version is not None and version != self._version
        )
        if changed:
            raise ArchiveUnavailable(f"{self.name} changed on the server while it was read; run again")
        self._size = total if total is not None else self._size
        self._version = version or self._version

    def size(self) -> int:
        """Return the file's length in bytes, by asking for its first byte where no answer has told it yet."""
        if self._size is None:
            self._read_one(0, 1)
        if self._size is None:
            raise ArchiveRefused(f"{self.name}: the server does not tell the file's length")
        return self._size

    def close(self) -> None:
        """Do nothing: the connections are the client's, for the next file."""


class Archive:
    """A tree of files under one root: a directory or an ``http(s)://`` address.

    Parameters
    ----------
    root
        What holds the release's ``spectro/`` (or any other tree).
    connections
        Open connections to the server, at most.
    patience
        Retries and timeouts.
    """

    def __init__(self, root: str, *, connections: int = 1, patience: Patience | None = None) -> None:
        self.root = root.rstrip("/") or "/"
        self._connections = connections
        self._patience = patience or Patience()
        self._client: HttpClient | None = None

    @property
    def client(self) -> HttpClient:
        """The archive's HTTP connections, made when first needed."""
        if self._client is None:
            self._client = HttpClient(self._connections, self._patience)
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
            return HttpFile(location, self.client)
        if location != path and not Path(self.root).is_dir():
            raise ArchiveUnavailable(
                f"the archive's root {self.root} is not a directory: mount it, or correct the `archive` setting"
            )
        return LocalFile(Path(location))

    def fetch(self, path: str, destination: Path) -> int:
        """Copy a whole file to ``destination`` (which is overwritten) and return its length in bytes.

        The length is checked against what the server announced. Callers give a temporary name.
        """
        location = self.location(path)
        if not is_url(location):
            with self.open(path) as source, destination.open("wb") as out:
                total = source.size()
                for start in range(0, total, CHUNK):
                    out.write(source.read([(start, min(start + CHUNK, total))])[0])
            return total

        def consume(response: Response) -> int:
            announced = response.headers.get("Content-Length", "")
            length = 0
            with destination.open("wb") as out:
                while piece := response.read(CHUNK):
                    out.write(piece)
                    length += len(piece)
            if announced.isdigit() and length != int(announced):
                raise _TryAgain(f"{length:,} of {announced} announced bytes arrived")
            return length

        return self.client.get(location, {}, consume)

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_url(location: str) -> bool:
    """Tell whether ``location`` is an HTTP(S) address, not a path."""
    return location.startswith(("http://", "https://"))
