"""What servers do to their users, on command: ways to answer a request wrongly, for `range_server`."""

import contextlib
import itertools
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

HTML = b"<!DOCTYPE html>\n<html><head><title>Sorry</title></head><body>Down for maintenance</body></html>\n"

Answer = Callable[[Any], None]
"""Answers one request, given its handler."""


@dataclass
class Fault:
    """One way to misbehave.

    Attributes
    ----------
    answer
        How.
    lasts
        For ever; else every other request of a file is spoilt, so that all phases of reading it are struck, and all can
        succeed.
    until
        The first request of a file that is not spoilt any more.
    """

    answer: Answer
    lasts: bool = False
    until: int = 8

    def strikes(self, number: int) -> bool:
        return self.lasts or (number % 2 == 1 and number < self.until)


@dataclass
class Misbehaviour:
    """Faults by what a path contains; what `range_server.Served.misbehave` is set to.

    Attributes
    ----------
    struck
        The files whose answers were spoilt, per fault.
    """

    faults: Mapping[str, Fault]
    struck: dict[str, set[str]] = field(default_factory=dict)

    def __call__(self, handler: Any, number: int) -> bool:
        for part, fault in self.faults.items():
            if part in handler.path and fault.strikes(number):
                self.struck.setdefault(part, set()).add(handler.path)
                fault.answer(handler)
                return True
        return False


def status(code: int) -> Answer:
    """Answer with an error."""
    return lambda handler: handler.answer(code, b"Not now.\n")


def busy(code: int) -> Answer:
    """Answer with an error, and to every other request with when to come back."""
    times = itertools.count()

    def answer(handler: Any) -> None:
        handler.answer(code, b"Not now.\n", {"Retry-After": "1"} if next(times) % 2 else {})

    return answer


def page(content_type: str) -> Answer:
    """Answer 200 with an error page, called by its name or not."""
    return lambda handler: handler.answer(200, HTML, {"Content-Type": content_type})


def contents(change: Callable[[bytes], bytes]) -> Answer:
    """Serve another file than there is, in every other way correctly."""
    return lambda handler: handler.send_file(change(bytes(handler.content())))


def whole(handler: Any) -> None:
    """Answer a range with the whole file."""
    handler.answer(200, handler.content())


def redirect(to: str) -> Answer:
    """Send the client to another host."""
    return lambda handler: handler.answer(302, b"", {"Location": to + handler.path})


def elsewhere(handler: Any) -> None:
    """Answer with another range than was asked for."""
    data = handler.content()
    handler.answer(206, data[100:200], {"Content-Range": f"bytes 100-199/{len(data)}"})


def begin(handler: Any, *, announced: float = 1.0) -> bytes:
    """Send the headers and the first half of the right answer; return the other half.

    ``announced`` is the Content-Length as a share of the true one.
    """
    rest = b""

    def half(body: bytes) -> tuple[int, bytes]:
        nonlocal rest
        rest = body[len(body) // 2 :]
        return int(announced * len(body)), body[: len(body) // 2]

    handler.spoil = half
    handler.send_file(handler.content())
    handler.spoil = None
    handler.close_connection = True
    return rest


def cut(handler: Any) -> None:
    """Close the connection in the middle of the body, which was announced in full."""
    begin(handler)


def shortened(handler: Any) -> None:
    """Announce half the body, and send that."""
    begin(handler, announced=0.5)


def reset(handler: Any) -> None:
    """Reset the connection without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())  # at once, without the farewell that a server's shutdown says first
    handler.close_connection = True


def reset_inside(handler: Any) -> None:
    """Reset the connection in the middle of the body."""
    begin(handler)
    reset(handler)


def stall(handler: Any) -> None:
    """Send half the body, and then nothing, until the client has had enough."""
    begin(handler)
    wait_for_hang_up(handler, 10)


def trickle(handler: Any) -> None:
    """Send half the body, and then a byte now and then: no single read ever times out."""
    rest = begin(handler)
    with contextlib.suppress(OSError):
        for k in range(min(len(rest), 100)):
            handler.wfile.write(rest[k : k + 1])
            threading.Event().wait(0.2)


def wait_for_hang_up(handler: Any, seconds: float) -> None:
    handler.connection.settimeout(seconds)
    with contextlib.suppress(OSError):
        handler.connection.recv(1)
