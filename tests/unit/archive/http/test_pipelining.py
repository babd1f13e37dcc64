"""Pipelined requests: fewer round trips where a server supports them, the same bytes where it does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from range_server import Served, serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http import pipelining
from skyharvest.archive.http.patience import Patience
from skyharvest.core.errors import Absent, ArchiveUnavailable

SIZE = 3_000_000
DATA = bytes(k * k % 253 for k in range(100_003)) * (SIZE // 100_003 + 1)
DATA = DATA[:SIZE]
QUICK = Patience(tries=3, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)
RANGES = [(k * 20_000, k * 20_000 + 900 + k) for k in range(100)]
WANTED = [DATA[start:stop] for start, stop in RANGES]
Misbehaviour = Callable[[Any, int], bool]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("served")
    (directory / "x").write_bytes(DATA)
    return directory


@pytest.fixture
def server(root, tmp_path):
    """Serve one range a request; that is known already."""
    with serve(root) as served:
        served.ranges = "single"
        know(served, tmp_path, "single")
        yield served


def know(server: Served, tmp_path: Path, way: str) -> None:
    (tmp_path / "notes.json").write_text(json.dumps({server.url.removeprefix("http://"): way}))


def known(tmp_path: Path) -> str:
    [way] = json.loads((tmp_path / "notes.json").read_text()).values()
    return way


def remote(server: Served, tmp_path: Path, connections: int = 3) -> Archive:
    return Archive(server.url, connections=connections, patience=QUICK, notes=tmp_path / "notes.json")


def read(server: Served, tmp_path: Path, connections: int = 3) -> Archive:
    archive = remote(server, tmp_path, connections)
    with archive, archive.open("x") as source:
        assert source.read(RANGES) == WANTED
        assert source.read(RANGES[::-1]) == WANTED[::-1]  # over the same connections
    return archive


def more(handler: Any) -> bool:
    """Tell whether the next request is here already."""
    handler.connection.setblocking(False)
    try:
        return bool(handler.rfile.peek(1))
    finally:
        handler.connection.settimeout(handler.timeout)


@pytest.mark.parametrize("connections", [1, 3])
def test_requests_do_not_wait_for_answers(server, tmp_path, connections):
    waiting = []

    def note(handler: Any, _number: int) -> bool:
        waiting.append(more(handler))
        return False

    server.misbehave = note
    archive = read(server, tmp_path, connections)
    assert len(server.requests) == 2 * len(RANGES)
    assert sum(waiting) > 0.9 * len(waiting)
    assert archive.client.traffic.requests == 2 * len(RANGES)
    assert archive.client.traffic.bytes == 2 * sum(map(len, WANTED))
    assert known(tmp_path) == "single"


def closes_after(n: int) -> Misbehaviour:
    """Answer n requests of a connection, then close it."""

    def misbehave(handler: Any, _number: int) -> bool:
        handler.answered = getattr(handler, "answered", 0) + 1
        handler.close_connection = handler.answered == n
        return False

    return misbehave


@pytest.mark.parametrize("n", [2, 7, 40])
def test_a_server_that_closes_after_some_requests_is_asked_for_the_rest(server, tmp_path, n):
    """As S3 does after 100, nginx after 1,000. With what it did not read, what it sent may be lost, too."""
    server.misbehave = closes_after(n)
    read(server, tmp_path)
    if n == 40:
        assert known(tmp_path) == "single"


def test_a_server_that_keeps_no_connection_is_asked_one_by_one(server, tmp_path):
    server.misbehave = closes_after(1)
    read(server, tmp_path)
    assert known(tmp_path) == "serial"
    assert len(server.requests) <= 2 * len(RANGES) + 3


def test_a_server_that_loses_requests_costs_one_wait(server, tmp_path, monkeypatch):
    monkeypatch.setattr(pipelining, "PATIENCE_S", 0.3)

    def forget(handler: Any, _number: int) -> bool:
        while more(handler):
            handler.rfile.read(len(handler.rfile.peek(1)))
        return False

    server.misbehave = forget
    read(server, tmp_path)
    assert known(tmp_path) == "serial"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for(server, tmp_path, status):
    """A status that may pass says nothing about what the server understands."""
    asked = []

    def busy(handler: Any, _number: int) -> bool:
        asked.append(1)
        if len(asked) not in (1, 30, 31, 99):
            return False
        handler.answer(status, b"", {"Retry-After": "0"})
        return True

    server.misbehave = busy
    read(server, tmp_path)
    assert known(tmp_path) == "single"


def test_an_answer_to_another_question_is_never_used(server, tmp_path):
    def swap(handler: Any, number: int) -> bool:
        if number % 9:
            return False
        handler.answer(206, DATA[50:1000], {"Content-Range": f"bytes 50-999/{SIZE}"})
        return number < 60  # later on, the right answer follows

    server.misbehave = swap
    read(server, tmp_path)


def test_torn_answers_are_not_used(server, tmp_path):
    def tear(handler: Any, number: int) -> bool:
        if number not in (5, 60):
            return False
        handler.send_response(206)
        first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        handler.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
        handler.send_header("Content-Length", str(last - first + 1))
        handler.end_headers()
        handler.wfile.write(DATA[first : first + 100])
        handler.close_connection = True
        return True

    server.misbehave = tear
    read(server, tmp_path)


def test_a_file_that_changes_in_between_fails(server, tmp_path):
    def tagged(handler: Any, number: int) -> bool:
        first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        named = {"Content-Range": f"bytes {first}-{last}/{SIZE}", "ETag": '"new"' if number > 20 else '"old"'}
        handler.answer(206, DATA[first : last + 1], named)
        return True

    server.misbehave = tagged
    with pytest.raises(ArchiveUnavailable, match="changed on the server"):
        read(server, tmp_path)


def test_absent_is_still_absent_and_silence_still_unavailable(server, tmp_path):
    with remote(server, tmp_path) as archive, pytest.raises(Absent):
        archive.open("y").read(RANGES)
    server.misbehave = lambda handler, _number: handler.answer(500, b"") is None
    with remote(server, tmp_path) as archive, pytest.raises(ArchiveUnavailable, match="gave up after 3"):
        archive.open("x").read(RANGES)
    assert known(tmp_path) == "single"
