"""An HTTP server on loopback that serves a directory by ranges, and misbehaves when told to."""

import threading
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
    sent
        Body bytes that were written, over all requests.
    """

    url: str
    root: Path
    requests: list[tuple[str, str]] = field(default_factory=list)
    misbehave: Callable[[Any, int], bool] | None = None
    ranges: str = "multi"
    sent: int = 0

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.requests)


@contextmanager
def serve(root: Path) -> Iterator[Served]:
    """Serve ``root`` on a free loopback port until the block ends."""
    served = Served("", root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            served.requests.append((self.path, self.headers.get("Range", "")))
            if served.misbehave is not None and served.misbehave(self, served.count(self.path)):
                return
            path = root / self.path.lstrip("/")
            if not path.is_file():
                self.answer(404, b"no such file")
                return
            self.send_file(path.read_bytes())

        def send_file(self, data: bytes) -> None:
            asked = self.headers.get("Range", "").removeprefix("bytes=")
            spans = [tuple(map(int, span.split("-"))) for span in asked.split(",") if span]
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

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/octet-stream", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                for start in range(0, len(body), 65536):
                    self.wfile.write(body[start : start + 65536])
                    served.sent += len(body[start : start + 65536])
            except OSError:  # the client has seen enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
