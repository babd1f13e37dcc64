"""The answer to one HTTP request, checked while it is read, and what can be wrong with it.

Source: RFC 9110 §14 (range requests), §10.2.3 (Retry-After).
"""

import email.utils
import time
from collections.abc import Callable, Mapping
from http.client import HTTPMessage
from typing import Any

Headers = Mapping[str, str] | HTTPMessage

SLOWEST = 1000.0  # bytes per second; a slower body is given up


class TryAgain(Exception):
    """A failed attempt that is worth another one; after ``progress`` attempts are counted from 1 again.

    ``hung_up`` says that the server closed the connection instead of answering.
    """

    def __init__(self, why: str, retry_after_s: float | None = None, status: int | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after_s = retry_after_s
        self.status = status
        self.progress = False
        self.hung_up = False


class NotThere(Exception):
    """One answer of 404 or 410, which is believed only when it comes twice."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Unable(Exception):
    """The server cannot answer this kind of request; ``way`` is what it can do (`servers`)."""

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.way = way


class TransferRate:
    """How fast a body arrives: a very slow one may last for days without any single read timing out.

    Parameters
    ----------
    window_s
        Seconds over which the rate is measured, at least.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._began = time.monotonic()
        self._n_bytes = 0

    def is_too_slow(self, n_bytes: int) -> bool:
        """Count bytes that arrived; return True at the end of a window slower than `SLOWEST`."""
        self._n_bytes += n_bytes
        elapsed_s = time.monotonic() - self._began
        if elapsed_s < self._window_s:
            return False
        too_slow = self._n_bytes < SLOWEST * elapsed_s
        self._began, self._n_bytes = time.monotonic(), 0
        return too_slow


class Response:
    """The answer to one request: status, headers and body.

    Parameters
    ----------
    raw
        urllib3's response.
    error
        Base class of urllib3's errors.
    read_s
        Seconds over which the transfer rate is checked.
    allow
        Called before each read with its bytes, at most; may raise what shall end it.
    count
        Called with the bytes of each read and its seconds.
    """

    def __init__(
        self,
        raw: Any,
        error: type[Exception],
        read_s: float,
        allow: Callable[[int], None],
        count: Callable[[int, float], None],
    ) -> None:
        self._raw = raw
        self._error = error
        self._read_s = read_s
        self._allow = allow
        self._count = count
        self.status: int = raw.status
        self.headers: dict[str, str] = raw.headers
        self.at_end = False

    def read(self, amount: int) -> bytes:
        """Return ``amount`` bytes of the body; fewer only at its end. A broken transfer is worth another try."""
        pieces = []
        missing = amount
        self._allow(amount)
        began = time.monotonic()
        rate = TransferRate(self._read_s)
        while missing:
            try:
                piece: bytes = self._raw.read1(missing)  # only what has arrived: a slow transfer is noticed
            except (self._error, OSError) as error:
                raise TryAgain(f"the transfer broke off: {type(error).__name__}") from error
            if not piece:
                self.at_end = True
                break
            pieces.append(piece)
            missing -= len(piece)
            if missing and rate.is_too_slow(len(piece)):
                raise TryAgain(f"the transfer has slowed down to less than {SLOWEST:,.0f} bytes a second")
        self._count(amount - missing, time.monotonic() - began)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def exactly(self, amount: int) -> bytes:
        """Return a body of ``amount`` bytes, or raise `TryAgain` if it ends before.

        Its end is read as well, so that the connection can be used again.
        """
        data = self.read(amount)
        if len(data) < amount:
            raise TryAgain(f"{len(data):,} of {amount:,} announced bytes arrived")
        self.read(1)
        return data

    def content_length(self) -> int | None:
        """Return the announced length of the body."""
        return _whole(self.headers.get("Content-Length") or "")

    def content_range(self) -> tuple[int, int, int | None] | None:
        """Return (start, stop, total) of the answer's Content-Range."""
        return parse_content_range(self.headers.get("Content-Range", ""))


def strong_version(headers: Headers) -> str:
    """Return the ETag, if it is not weak, or the date that If-Range may name; "" without either."""
    tag = headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""


def total_length(headers: Headers) -> int | None:
    """Return the file's length by Content-Range, also from ``bytes */N``; None if it is not known."""
    return _whole((headers.get("Content-Range") or "").rpartition("/")[2])


def parse_content_range(value: str) -> tuple[int, int, int | None] | None:
    """Return (start, stop, total) of ``bytes a-b/total``; total None if unknown; None for another text."""
    unit, _, rest = value.strip().partition(" ")
    span, _, total = rest.partition("/")
    first, last = (_whole(number) for number in span.split("-", 1)) if "-" in span else (None, None)
    if unit.lower() != "bytes" or first is None or last is None or last < first:
        return None
    return first, last + 1, _whole(total)


def _whole(text: str) -> int | None:
    """Return the number of a text of digits; None for any other text, or for more than 19 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def retry_after_s(value: str | None) -> float | None:
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
