"""Files behind URLs, read by byte ranges in as few round trips as the server allows.

Many ranges go out in one request, or else in pipelined requests on every connection, or one by one; the last resort is
a copy of the whole file. `skyharvest.archive.http.servers` remembers what a server can do.

Source: RFC 9110 §14 (range requests, ``multipart/byteranges``).
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from skyharvest.archive.http.client import HttpClient
from skyharvest.archive.http.fetch import fetch
from skyharvest.archive.http.pipelining import DEPTH
from skyharvest.archive.http.response import Headers, Response, TryAgain, Unable, parse_content_range, total_length
from skyharvest.archive.http.servers import MULTI, SERIAL, SINGLE, WHOLE
from skyharvest.core.errors import ArchiveRefused, ArchiveUnavailable
from skyharvest.formats.byte_source import LocalFile, Range, Source, cut, merge, too_short

A = TypeVar("A")
T = TypeVar("T")

RANGES_PER_REQUEST = 180  # Apache takes 200
HEADER_BYTES = 3800  # of a Range header: servers take 4 to 8 kB of one header line
PART_OVERHEAD = 300  # bytes of a part's own headers, at most
MULTI_GAP = 512  # bytes: less than the headers of one more part
SINGLE_GAP = 1024  # bytes: less than the headers of one more request and its answer


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
        self._version: str | None = None  # Last-Modified or ETag: all parts must be of one version
        self._copy: LocalFile | None = None  # of a server that ignores ranges
        self._erred = False  # it has given one for many ranges, though it can do better

    @property
    def gap(self) -> int:
        """Bytes: few, except for a server that takes one request at a time, where a round trip counts."""
        return {SINGLE: SINGLE_GAP, SERIAL: self._client.single_gap()}.get(self._way() or MULTI, MULTI_GAP)

    def _read(self, ranges: Sequence[Range]) -> list[bytes]:
        blocks: list[tuple[int, bytes]] = []
        wanted = list(ranges)
        if len(wanted) > 1 and self._way() in (None, MULTI):
            requests = _requests(wanted)
            try:
                blocks += self._read_multi(requests[0])
                for parts in self._in_parallel(self._read_multi, requests[1:] if self._way() == MULTI else []):
                    blocks += parts
            except Unable as unable:
                self._client.servers.learn(self.name, unable.way)
            parts_read = cut(ranges, sorted(blocks))
            wanted = [span for span, part in zip(ranges, parts_read, strict=True) if part is None]
        if wanted:
            merged = merge(wanted, self.gap)
            try:
                blocks += zip([start for start, _ in merged], self._read_single(merged), strict=True)
            except Unable as unable:
                self._client.servers.learn(self.name, unable.way)
                blocks += zip([start for start, _ in merged], self._whole().read(merged), strict=True)
        return [part for part in cut(ranges, sorted(blocks)) if part is not None]

    def _way(self) -> str | None:
        return self._client.servers.get(self.name)

    def _read_single(self, ranges: Sequence[Range]) -> list[bytes]:
        """Read ranges with a request each, in parallel over the connections."""
        if self._copy is not None or self._way() == WHOLE:
            return self._whole().read(ranges)
        if self._way() != SINGLE or not self._client.pipelines(self.name):
            return self._in_parallel(lambda span: self._read_one(*span)[0], ranges)
        share = -(-len(ranges) // self._client.connections)
        shares = [ranges[k : k + share] for k in range(0, len(ranges), share)]
        return [data for answers in self._in_parallel(self._read_pipelined, shares) for data in answers]

    def _read_pipelined(self, ranges: Sequence[Range]) -> list[bytes]:
        """Read ranges over one connection, without waiting for an answer before the next request."""
        bodies: list[bytes] = []
        while len(bodies) < len(ranges):
            remaining = ranges[len(bodies) :]
            if len(remaining) > 1 and self._way() == SINGLE:
                for headers, data in self._client.get_pipelined(self.name, remaining[:DEPTH]):
                    self._check_version(headers, total_length(headers))
                    bodies.append(data)
                if len(bodies) > len(ranges) - len(remaining):
                    continue
            bodies.append(self._read_one(*remaining[0])[0])
        return bodies

    def _in_parallel(self, ask: Callable[[A], T], questions: Sequence[A]) -> list[T]:
        """Return the answers to questions, asked over all connections at once, in order."""
        if len(questions) <= 1 or self._client.connections == 1:
            return [ask(question) for question in questions]
        with ThreadPoolExecutor(self._client.connections) as threads:
            return list(threads.map(ask, questions))

    def _read_one(self, start: int, stop: int, *, clip: bool = False) -> tuple[bytes, int | None]:
        """Return one range and the file's length. With ``clip`` the file may end before ``stop``."""

        def consume(response: Response) -> tuple[bytes, int | None]:
            if response.status == 416:
                total = total_length(response.headers)
                if clip and start == 0 and total in (0, None):
                    return b"", 0
                raise too_short(self.name, total, stop)
            if response.status == 200:
                length = response.content_length()
                if length is not None and start == 0 and length <= stop:  # the range is the whole file
                    self._check_version(response.headers, length)
                    if length < stop and not clip:
                        raise too_short(self.name, length, stop)
                    return response.exactly(length), length
                if not self._client.ignores_ranges():
                    raise TryAgain("the server sent the whole file instead of a range")
                raise Unable(WHOLE)
            span = response.content_range()
            short = span is not None and span[1] < stop and span[1] == span[2]
            if span is None or span[0] != start or (span[1] != stop and not short):
                raise TryAgain(
                    f"asked for bytes {start}-{stop - 1}, the server sent {response.headers.get('Content-Range')}"
                )
            self._check_version(response.headers, span[2])
            if short and not clip:
                raise too_short(self.name, span[2], stop)
            return response.exactly(span[1] - start), span[2]

        return self._client.get(self.name, {"Range": f"bytes={start}-{stop - 1}"}, consume)

    def _read_multi(self, ranges: Sequence[Range]) -> list[tuple[int, bytes]]:
        """Read many ranges with one request; return (start, bytes) of the parts that came, perhaps not all."""
        most = sum(stop - start + PART_OVERHEAD for start, stop in ranges) + PART_OVERHEAD

        def consume(response: Response) -> list[tuple[int, bytes]]:
            if response.status == 416:
                raise too_short(self.name, total_length(response.headers), ranges[-1][1])
            if response.status == 200:
                self._forgive()
                raise Unable(SINGLE)  # the whole file is coming: close, and ask for one range at a time
            span = response.content_range()
            if span is not None:  # one range for many: the server joined them, or served only one
                if span[1] - span[0] > 2 * most:
                    raise Unable(SINGLE)
                self._check_version(response.headers, span[2])
                parts = [(span[0], response.exactly(span[1] - span[0]))]
                if cut(ranges, parts).count(None):
                    self._forgive()
                    self._client.servers.learn(self.name, SINGLE)
                return parts
            length = response.content_length()
            if length is not None and length > most + len(ranges) * PART_OVERHEAD:
                raise Unable(SINGLE)
            body = response.exactly(length) if length is not None else response.read(2 * most)
            parts = []
            for first, data, total in split_parts(body, response.headers.get("Content-Type", "")):
                self._check_version(response.headers, total)
                parts.append((first, data))
            self._client.servers.learn(self.name, MULTI)
            return parts

        spans = ",".join(f"{start}-{stop - 1}" for start, stop in ranges)
        return self._client.get(self.name, {"Range": f"bytes={spans}"}, consume)

    def _forgive(self) -> None:
        """Let a server that has given many ranges before be asked once more, before it counts as unable."""
        if self._way() == MULTI and not self._erred:
            self._erred = True
            raise TryAgain("the server sent the whole file, or one range, instead of many ranges")

    def _check_version(self, headers: Headers, total: int | None) -> None:
        # Servers behind one name may have an ETag each, of the same file.
        version = headers.get("Last-Modified") or headers.get("ETag")
        changed = (self._size is not None and total is not None and total != self._size) or (
            self._version is not None and version is not None and version != self._version
        )
        if changed:
            raise ArchiveUnavailable(f"{self.name} changed on the server while it was read; run again")
        self._size = total if total is not None else self._size
        self._version = version or self._version

    def _whole(self) -> LocalFile:
        """Return a temporary copy of the file, fetched once, for a server that ignores ranges."""
        if self._copy is None:
            handle, name = tempfile.mkstemp(prefix="skyharvest-", suffix=".fits")
            os.close(handle)
            try:
                self._size = fetch(self._client, self.name, Path(name))
                self._copy = LocalFile(Path(name))
                self._copy.name = self.name
            finally:
                os.unlink(name)  # noqa: PTH108 (readable while it is open)
        return self._copy

    def head(self, length: int) -> bytes:
        """Return the first ``length`` bytes, or the whole file if it is shorter."""
        if self._way() != WHOLE:
            try:
                data, size = self._read_one(0, length, clip=True)
                self._size = size if size is not None else self._size
                return data
            except Unable as unable:
                self._client.servers.learn(self.name, unable.way)
        return self._whole().head(length)

    def size(self) -> int:
        """Return the file's length in bytes; if it is not known yet, ask for the first byte."""
        if self._size is None:
            self.head(1)
        if self._size is None:
            raise ArchiveRefused(f"{self.name}: the server does not tell the file's length")
        return self._size

    def close(self) -> None:
        """Remove the copy, if there is one; the connections stay open for the next file."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None


def _requests(ranges: Sequence[Range]) -> list[list[Range]]:
    """Divide ranges into requests that servers accept."""
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

    The parts are binary and may contain the boundary: their lengths come from their Content-Range.

    Returns
    -------
    list of (start, bytes, total)

    Raises
    ------
    TryAgain
        If the body is anything else.
    """
    kind, _, parameters = content_type.partition(";")
    name, _, boundary = parameters.strip().partition("=")
    boundary = boundary.split(";")[0].strip().strip('"')
    if kind.strip().lower() != "multipart/byteranges" or name.strip().lower() != "boundary" or not boundary:
        raise TryAgain(f"an answer in parts without Content-Range or boundary ({content_type!r})")
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
        if len(data) < span[1] - span[0] or not body.startswith(b"\r\n", start + len(data)):
            break
        parts.append((span[0], data, span[2]))
        position = start + len(data) + 2
        if not body.startswith(delimiter, position):
            break
    raise TryAgain("the answer in parts is broken")
