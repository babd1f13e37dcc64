"""An HTTP server on loopback that serves a directory by ranges, and misbehaves when told to."""

import hashlib
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Served:
    """A running server.

    Attributes
    ----------
    url
        Its root, ``http://127.0.0.1:port``.
    requests
        (path, Range header) of each request, in order.
    misbehave
        Called with the handler and the number of the request to its path (1, 2, …); returns True if it has answered.
    ranges
        What the server does with ranges: ``multi`` answers many in one response, ``single`` sends the whole file when
        asked for more than one (as S3 does), ``first`` serves only the first of them, ``refuse`` answers 400 to many,
        ``none`` sends the whole file always.
    tagged
        Whether answers have the file's ETag, which If-Range is compared with.
    headers
        More headers of all answers.
    sent
        Body bytes that were written, over all requests.
    most_open
        Connections that were open at once, at most.
    """

    url: str
    root: Path
    requests: list[tuple[str, str]] = field(default_factory=list)
    misbehave: Callable[[Any, int], bool] | None = None
    ranges: str = "multi"
    tagged: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    most_open: int = 0
    open_now: set[int] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)

    def count(self, path: str) -> int:
        return self.asked[path]

    def forget(self) -> None:
        """Count from zero."""
        self.requests.clear()
        self.asked.clear()


def denied(handler: Any) -> None:
    """Answer as S3 does for a missing key where nobody may list its keys, and for a forbidden one."""
    body = b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    handler.answer(403, body, {"Content-Type": "application/xml"})


class Content:
    """A file's bytes, of which only those are read that are asked for: coadds are large."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, span: slice) -> bytes:
        start, stop, _ = span.indices(self.size)
        with self.path.open("rb") as stream:
            stream.seek(start)
            return stream.read(max(stop - start, 0))

    def __bytes__(self) -> bytes:
        return self[:]


def tag(data: bytes | Content) -> str:
    """Return a file's ETag."""
    return f'"{hashlib.md5(bytes(data)).hexdigest()}"'


@contextmanager
def serve(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    """Serve ``root`` on a free loopback port until the block ends; with ``tls`` as ``https://localhost``."""
    served = Served("", root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20
        disable_nagle_algorithm = True
        spoil: Callable[[bytes], tuple[int, bytes]] | None = None  # body → announced length and what is sent of it

        def setup(self) -> None:
            super().setup()
            served.open_now.add(id(self))
            served.most_open = max(served.most_open, len(served.open_now))

        def finish(self) -> None:
            served.open_now.discard(id(self))
            super().finish()

        def do_GET(self) -> None:
            served.requests.append((self.path, self.headers.get("Range", "")))
            served.asked[self.path] += 1
            if served.misbehave is not None and served.misbehave(self, served.count(self.path)):
                return
            path = root / self.path.lstrip("/")
            if not path.is_file():
                self.answer(404, b"no such file")
                return
            self.send_file(Content(path))

        def end_headers(self) -> None:
            for name, value in served.headers.items():
                self.send_header(name, value)
            super().end_headers()

        def content(self) -> Content:
            return Content(root / self.path.lstrip("/"))

        def send_file(self, data: bytes | Content) -> None:
            asked = self.headers.get("Range", "").removeprefix("bytes=")
            if "If-Range" in self.headers and self.headers["If-Range"] != tag(data):
                asked = ""
            pairs = [span.split("-") for span in asked.split(",") if span]
            spans = [(int(first), int(last) if last else max(len(data) - 1, int(first))) for first, last in pairs]
            if len(spans) > 1 and served.ranges == "refuse":
                self.answer(400, b"too many ranges")
                return
            if not spans or served.ranges == "none" or (len(spans) > 1 and served.ranges == "single"):
                self.answer(200, data)
                return
            if served.ranges == "first":
                spans = spans[:1]
            parts = [(first, data[first : last + 1]) for first, last in spans if first < len(data)]
            if not parts:
                self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            elif len(spans) == 1:
                first, part = parts[0]
                self.answer(206, part, {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(data)}"})
            else:
                boundary = "00000000000000000042"
                body = b"".join(
                    f"\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n"
                    f"Content-Range: bytes {first}-{first + len(part) - 1}/{len(data)}\r\n\r\n".encode()
                    + part
                    for first, part in parts
                )
                body += f"\r\n--{boundary}--\r\n".encode()
                self.answer(206, body, {"Content-Type": f"multipart/byteranges; boundary={boundary}"})

        def answer(self, status: int, body: bytes | Content, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            given = {"Content-Type": "application/octet-stream", **(headers or {})}
            if status in (200, 206) and served.tagged and "ETag" not in given:
                given["ETag"] = tag(self.content())
            for name, value in given.items():
                self.send_header(name, value)
            announced, body = self.spoil(body) if self.spoil else (len(body), body)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            try:
                for start in range(0, len(body), 65536):
                    self.wfile.write(body[start : start + 65536])
                    served.sent += len(body[start : start + 65536])
            except OSError:  # the client has seen enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exception(), OSError):  # that the client has hung up is no news
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{server.server_port}"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
