"""Requests in a row: many sent on one connection before the first is answered, then their answers, in order.

Many small ranges so cost one round trip a connection, where a server takes one range a request. Every server of
HTTP/1.1 has to understand it, but not all do (nor all that stands in between), so nothing is taken on trust: an answer
counts only if it is complete and names the range that was asked for in its place. Whatever else comes ends the row; the
caller asks for the rest in the ordinary way, which knows what to do about it.

Source: RFC 9112 §9.3.2 (pipelining).
"""

import io
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import TYPE_CHECKING, Any, Literal

from skyharvest.formats.byte_source import Range

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DEPTH = 32  # requests under way on a connection; the first must not fill the way out while nobody reads
SLOWEST = 1000.0  # bytes per second; a body that comes more slowly is given up
PATIENCE_S = 10.0  # for the next answer: a server that forgets what it was asked must not cost a full timeout

Headers = Mapping[str, str] | HTTPMessage


@dataclass
class Row:
    """What came of some requests in a row.

    Attributes
    ----------
    answers
        Headers and body of the first requests' answers; the requests without one were not answered as asked.
    understood
        False if the server took the first request and lost the others.
    reusable
        Whether the connection can be used again.
    """

    answers: list[tuple[Headers, bytes]] = field(default_factory=list)
    understood: bool = True
    reusable: bool = False


def ask_in_a_row(connection: socket.socket, request: str, ranges: Sequence[Range]) -> Row:
    """Ask for ranges of one file, all at once, and read the answers.

    Parameters
    ----------
    connection
        Open, with nothing under way; read with its own timeout, or `PATIENCE_S` if that is shorter.
    request
        Request line and headers, each with its line's end, without ``Range``.
    ranges
        At most `DEPTH`.

    Returns
    -------
    Row
        Never raises for what the server or the network does.
    """
    assert len(ranges) <= DEPTH
    row = Row()
    timeout = connection.gettimeout()
    connection.settimeout(min(PATIENCE_S, timeout or PATIENCE_S))
    stream = _Stream(connection)
    try:
        connection.sendall("".join(f"{request}Range: bytes={a}-{b - 1}\r\n\r\n" for a, b in ranges).encode("latin-1"))
        for span in ranges:
            response = HTTPResponse(stream, method="GET")  # type: ignore[arg-type] # it asks it for nothing but a file
            response.begin()
            if response.status != 206:
                return row
            if not _is_for(response, span):
                break
            data = response.read(span[1] - span[0])
            if len(data) < span[1] - span[0]:
                break
            row.answers.append((response.headers, data))
            if response.will_close:
                break
        row.reusable = len(row.answers) == len(ranges) and not response.will_close
    except (OSError, HTTPException, ValueError):
        pass
    finally:
        stream.end()
        connection.settimeout(timeout)
    row.understood = len(row.answers) != 1 or len(ranges) == 1
    return row


def _is_for(response: HTTPResponse, span: Range) -> bool:
    """Tell whether an answer is the one for a range."""
    named = response.headers.get("Content-Range", "").partition("/")[0]
    return named == f"bytes {span[0]}-{span[1] - 1}" and response.length == span[1] - span[0]


class _Stream(io.BufferedReader):
    """What many responses are read from, one after another; each closes it at its end, which must not be the last."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(_NoTrickle(connection, "rb"))

    def makefile(self, *_: Any) -> "_Stream":
        return self

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()


class Pace:
    """How fast bytes come: a trickle may last for days though no single read times out.

    Parameters
    ----------
    window_s
        The rate is taken over so many seconds at least.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._began = time.monotonic()
        self._came = 0

    def is_too_slow(self, n_bytes: int) -> bool:
        """Count bytes that came, and tell whether those of a whole window were too few."""
        self._came += n_bytes
        took_s = time.monotonic() - self._began
        if took_s < self._window_s:
            return False
        slow = self._came < SLOWEST * took_s
        self._began, self._came = time.monotonic(), 0
        return slow


class _NoTrickle(socket.SocketIO):
    """A socket's bytes, as long as they come fast enough."""

    def __init__(self, connection: socket.socket, mode: Literal["rb"]) -> None:
        super().__init__(connection, mode)
        self._pace = Pace(PATIENCE_S)

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        count = super().readinto(buffer)
        if self._pace.is_too_slow(count or 0):
            raise TimeoutError
        return count
