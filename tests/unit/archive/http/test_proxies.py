"""Proxies are those that the environment names; their passwords go to them, and to nobody else."""

import base64
import logging
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from range_server import Served, serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.archive.http.proxies import Proxy, proxy_of
from skyharvest.core.errors import ArchiveRefused, ArchiveUnavailable, HarvestError, InputError

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=2)
DATA = bytes(k * k % 251 for k in range(200_000))
RANGES = [(k * 1000, k * 1000 + 10) for k in range(100)]
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("served")
    (directory / "x").write_bytes(DATA)
    return directory


@pytest.fixture
def proxy(root) -> Iterator[Served]:
    """A server that takes whole addresses, as proxies do, and has the answers itself."""
    with serve(root) as served:

        def strip(handler: Any, _number: int) -> bool:
            login = handler.headers.get("Proxy-Authorization", "")
            served.logins.append(base64.b64decode(login.removeprefix("Basic ")).decode())
            if served.wants and served.logins[-1] != served.wants:
                handler.answer(407, b"who are you?")
                return True
            handler.path = handler.path.removeprefix("http://archive.example")
            return False

        served.misbehave, served.logins, served.wants = strip, [], ""
        yield served


def read(url: str) -> str:
    with Archive(url, connections=2, patience=QUICK) as archive:
        try:
            with archive.open("x") as source:
                return "read" if source.read(RANGES) == [DATA[a:b] for a, b in RANGES] else "wrong"
        except HarvestError as error:
            return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "https://a.example/x", None),
        ({"HTTPS_PROXY": "http://p.example:3128"}, "https://a.example/x", ("http://p.example:3128", "HTTPS_PROXY")),
        ({"https_proxy": "p.example:3128"}, "https://a.example/x", ("http://p.example:3128", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://p.example:3128"}, "http://a.example/x", None),
        ({"ALL_PROXY": "http://p.example"}, "http://a.example/x", ("http://p.example", "ALL_PROXY")),
        ({"HTTP_PROXY": "http://p.example", "NO_PROXY": ".example"}, "http://a.example/x", None),
        (
            {"HTTP_PROXY": "http://p.example", "NO_PROXY": "b.example"},
            "http://a.example/x",
            ("http://p.example", "HTTP_PROXY"),
        ),
        ({"HTTP_PROXY": "http://p.example", "NO_PROXY": "*"}, "http://a.example/x", None),
        ({"HTTP_PROXY": "http://p.example"}, "http://localhost:80/x", None),
        ({"HTTP_PROXY": "http://p.example"}, "http://127.0.0.1:80/x", None),
        (
            {"HTTP_PROXY": "http://me:a%40b@p.example:1"},
            "http://a.example",
            ("http://p.example:1", "HTTP_PROXY", "me:a@b"),
        ),
        ({"HTTP_PROXY": ""}, "http://a.example/x", None),
    ],
)
def test_which_proxy_an_address_has(monkeypatch, environment, url, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == (expected and Proxy(*expected))


@pytest.mark.parametrize(
    "value", ["socks5://me:secret@p.example:1080", "http://:3128", "http://me:secret@p.example:port"]
)
def test_another_kind_of_proxy_is_a_mistake_that_is_named_without_its_password(monkeypatch, value):
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(InputError, match=r"HTTPS_PROXY is no address of an HTTP proxy; .*NO_PROXY") as error:
        proxy_of("https://archive.example/x")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("ranges", ["multi", "single"])
def test_files_are_read_through_a_proxy_with_its_login(proxy, monkeypatch, caplog, ranges):
    caplog.set_level(logging.DEBUG)
    proxy.ranges, proxy.wants = ranges, "me:s3cret"
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:s3cret@"))
    assert read("http://archive.example") == "read"
    assert set(proxy.logins) == {"me:s3cret"}
    assert all(path.startswith("http://archive.example/") for path, _ in proxy.requests)
    assert "s3cret" not in caplog.text


def test_a_proxy_that_wants_another_login_is_refused_at_once(proxy, monkeypatch):
    proxy.wants = "me:s3cret"
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:wr0ng@"))
    said = read("http://archive.example")
    assert said.startswith("ArchiveRefused: http://archive.example/x: the proxy http://127.0.0.1:")
    assert "(HTTP_PROXY) refuses (HTTP 407)" in said
    assert "wr0ng" not in said
    assert len(proxy.requests) == 1


def test_a_proxy_that_is_not_there_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
    said = read("https://archive.example")
    assert said.startswith("ArchiveUnavailable")
    assert f"the proxy http://127.0.0.1:{port} (HTTPS_PROXY)" in said
    assert "secret" not in said


@contextmanager
def tunnels(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a proxy that answers every CONNECT so, and what it was asked."""
    asked: list[bytes] = []

    class Tunnel(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            with suppress(OSError):
                asked.append(self.rfile.readline())
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("407 Proxy Authentication Required", ArchiveRefused, r"HTTPS_PROXY\) refuses \(HTTP 407\).*name and password"),
        ("403 Forbidden", ArchiveRefused, r"HTTPS_PROXY\) refuses \(HTTP 403\).*NO_PROXY"),
        ("502 Bad Gateway", ArchiveUnavailable, r"HTTPS_PROXY\).*502"),
    ],
)
def test_encrypted_connections_are_tunnelled_and_a_refusal_is_no_passing_failure(monkeypatch, status, kind, words):
    with tunnels(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as (address, asked):
        monkeypatch.setenv("HTTPS_PROXY", address)
        with Archive("https://archive.example", patience=QUICK) as archive, pytest.raises(kind, match=words):
            archive.open("x").head(1)
    assert asked[0].startswith(b"CONNECT archive.example:443 ")
    assert len(asked) == (1 if kind is ArchiveRefused else 2)
