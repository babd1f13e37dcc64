"""HTTP pipelining: many requests are sent on one connection before the first is answered.

Where a server takes one range per request, many small ranges then cost one round trip. HTTP/1.1 requires servers to
support this, but some servers and proxies do not. So an answer counts only if it is complete and names the range that
was asked for. The first other answer ends the pipeline; the caller asks for the rest with ordinary requests.

Source: RFC 9112 §9.3.2 (pipelining).
"""

import io
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Literal

from skyharvest.archive.http.response import Headers, TransferRate
from skyharvest.formats.byte_source import Range

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DEPTH = 32  # requests under way on a connection: few enough that sending them never blocks
PATIENCE_S = 10.0  # for the next answer: a server that drops requests must not cost a full timeout


@dataclass
class Pipelined:
    """The answers to pipelined requests.

    Attributes
    ----------
    answers
        Headers and body for the first requests; the others were not answered as asked.
    understood
        False if the server took the first request and lost the others.
    reusable
        Whether the connection can be used again.
    """

    answers: list[tuple[Headers, bytes]] = field(default_factory=list)
    understood: bool = True
    reusable: bool = False


def ask_pipelined(connection: socket.socket, request: str, ranges: Sequence[Range]) -> Pipelined:
    """Ask for ranges of one file, all at once, and read the answers.

    Parameters
    ----------
    connection
        Open and idle; read with its own timeout, or `PATIENCE_S` if that is shorter.
    request
        Request line and headers, each with its line's end, without ``Range``.
    ranges
        At most `DEPTH`.

    Returns
    -------
    Pipelined
        Errors of the server or the network do not raise: they end the answers.
    """
    assert len(ranges) <= DEPTH
    pipelined = Pipelined()
    timeout = connection.gettimeout()
    connection.settimeout(min(PATIENCE_S, timeout or PATIENCE_S))
    stream = _Stream(connection)
    try:
        connection.sendall("".join(f"{request}Range: bytes={a}-{b - 1}\r\n\r\n" for a, b in ranges).encode("latin-1"))
        for span in ranges:
            response = HTTPResponse(stream, method="GET")  # type: ignore[arg-type] # calls makefile() only
            response.begin()
            if response.status != 206:
                return pipelined
            if not _is_for(response, span):
                break
            data = response.read(span[1] - span[0])
            if len(data) < span[1] - span[0]:
                break
            pipelined.answers.append((response.headers, data))
            if response.will_close:
                break
        pipelined.reusable = len(pipelined.answers) == len(ranges) and not response.will_close
    except (OSError, HTTPException, ValueError):
        pass
    finally:
        stream.end()
        connection.settimeout(timeout)
    pipelined.understood = len(pipelined.answers) != 1 or len(ranges) == 1
    return pipelined


def _is_for(response: HTTPResponse, span: Range) -> bool:
    """Tell whether an answer is the one for a range."""
    named = response.headers.get("Content-Range", "").partition("/")[0]
    return named == f"bytes {span[0]}-{span[1] - 1}" and response.length == span[1] - span[0]


class _Stream(io.BufferedReader):
    """Many responses are read from it; each one calls ``close``, only `end` closes it."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(_FastEnough(connection, "rb"))

    def makefile(self, *_: Any) -> "_Stream":
        return self

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()


class _FastEnough(socket.SocketIO):
    """A socket's bytes; `TimeoutError` if they arrive too slowly."""

    def __init__(self, connection: socket.socket, mode: Literal["rb"]) -> None:
        super().__init__(connection, mode)
        self._rate = TransferRate(PATIENCE_S)

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        count = super().readinto(buffer)
        if self._rate.is_too_slow(count or 0):
            raise TimeoutError
        return count
