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
        Whether the server does ranges at all.
    """

    url: str
    root: Path
    requests: list[tuple[str, str]] = field(default_factory=list)
    misbehave: Callable[[Any, int], bool] | None = None
    ranges: bool = True

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.requests)


@contextmanager
def serve(root: Path) -> Iterator[Served]:
    """Serve ``root`` on a free loopback port until the block ends."""
    served = Served("", root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

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
            asked = self.headers.get("Range", "")
            if not (served.ranges and asked.startswith("bytes=")):
                self.answer(200, data)
                return
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1, len(data))
            if start >= len(data):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            self.answer(206, data[start:stop], {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/octet-stream", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

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
