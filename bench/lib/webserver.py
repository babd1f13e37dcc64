"""A real web server for the benchmarks: nginx on a free loopback port, with a configuration of its own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lib.measure import end_with_parent

START_S = 10.0

# `user` only counts for root, whose files others need not be able to read.
CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 512; }}
http {{
    log_format asked '$status\t$body_bytes_sent\t$request_time\t$connection\t$uri\t$http_range';
    access_log {folder}/access.log asked;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    {max_ranges}
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it: status, bytes of body sent, connection, path, Range header."""

    status: int
    body_bytes: int
    connection: int
    path: str
    ranges: str

    @property
    def n_ranges(self) -> int:
        """How many byte ranges it asked for."""
        return self.ranges.count(",") + 1 if self.ranges.startswith("bytes=") else 0


@dataclass(frozen=True)
class WebServer:
    """A running nginx."""

    port: int
    log: Path

    def asked(self) -> list[Asked]:
        """Return every request since the last call, in the order in which they were finished."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        found = []
        for line in lines:
            status, body, _, connection, path, ranges = line.split("\t")
            found.append(Asked(int(status), int(body), int(connection), path, ranges))
        return found


def nginx() -> str | None:
    """Return the path of nginx, or None."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def webserver(root: Path, *, max_ranges: int | None = None) -> Iterator[WebServer]:
    """Serve ``root`` until the block, or this process, ends.

    Parameters
    ----------
    max_ranges
        nginx's own setting: None is any number, 1 answers a request for several ranges with the whole file, 0 answers
        every request with the whole file.
    """
    program = nginx()
    if program is None:
        raise FileNotFoundError("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory(prefix="skyharvest-nginx-") as name:
        folder = Path(name)
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(
                folder=folder,
                root=root.resolve(),
                port=port,
                user="user root;" if os.geteuid() == 0 else "",
                max_ranges="" if max_ranges is None else f"max_ranges {max_ranges};",
            )
        )
        command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            preexec_fn=end_with_parent,  # noqa: PLW1509 (takes no lock)
        )
        try:
            _wait_for(child, port, folder / "error.log")
            yield WebServer(port, folder / "access.log")
        finally:
            child.terminate()
            child.wait()


def _wait_for(child: "subprocess.Popen[bytes]", port: int, errors: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if child.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nginx does not answer on port {port}: {errors.read_text() if errors.exists() else ''}")
