"""Many ranges over HTTP, from servers of every ability: the same bytes, and never the whole file by accident."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http import servers
from skyharvest.archive.http.file import split_parts
from skyharvest.archive.http.patience import Patience
from skyharvest.archive.http.response import TryAgain
from skyharvest.core.errors import ArchiveUnavailable, MalformedFile

SIZE = 8_000_000
DATA = bytes(k * k % 251 for k in range(100_003)) * (SIZE // 100_003 + 1)
DATA = DATA[:SIZE]
WAYS = ["multi", "single", "first", "refuse", "none"]
QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)
RANGES = [(k * 100_000, k * 100_000 + 1000 + k) for k in range(70, 3, -1)] + [(10, 20), (5, 12), (SIZE - 3, SIZE)]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("served")
    (directory / "x").write_bytes(DATA)
    return directory


@pytest.fixture
def server(root):
    with serve(root) as served:
        yield served


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_server_gives_the_same_bytes(server, way, connections):
    server.ranges = way
    with Archive(server.url, connections=connections, patience=QUICK) as archive, archive.open("x") as source:
        assert source.head(100) == DATA[:100]
        assert source.size() == SIZE
        for _ in range(2):
            assert source.read(RANGES) == [DATA[start:stop] for start, stop in RANGES]
        assert source.read([(7, 9)]) == [DATA[7:9]]


@pytest.mark.parametrize(("way", "most"), [("multi", 3), ("single", 170), ("first", 170), ("refuse", 170), ("none", 3)])
def test_requests_are_as_few_as_the_server_allows(server, way, most):
    server.ranges = way
    with Archive(server.url, patience=QUICK) as archive, archive.open("x") as source:
        source.head(100)
        source.read(RANGES)
        source.read(RANGES)
    assert len(server.requests) <= most


def test_a_server_that_is_known_to_give_one_range_is_never_asked_for_many(server, monkeypatch):
    """S3 answers many ranges with the whole file, of which a megabyte is on its way before the connection is closed."""
    server.ranges = "single"
    monkeypatch.setitem(servers.KNOWN, "127.0.0.1", servers.SINGLE)
    with Archive(server.url, patience=QUICK) as archive, archive.open("x") as source:
        assert source.read(RANGES) == [DATA[start:stop] for start, stop in RANGES]
    assert not [span for _, span in server.requests if "," in span]
    known = servers.Servers()
    assert known.get("https://desidata.s3.amazonaws.com/dr1") == servers.SINGLE
    assert known.get("https://amazonaws.com.evil.example/dr1") is None
    known.learn("https://desidata.s3.amazonaws.com/dr1", servers.WHOLE)
    assert known.get("https://desidata.s3.amazonaws.com/edr") == servers.WHOLE


@pytest.mark.parametrize("way", ["single", "first", "refuse"])
def test_a_server_that_sends_everything_is_hung_up_on(server, way):
    server.ranges = way
    wanted = sum(stop - start for start, stop in RANGES)
    with Archive(server.url, connections=3, patience=QUICK) as archive, archive.open("x") as source:
        source.read(RANGES)
        assert archive.client.traffic.bytes < 2 * wanted + 100 * archive.client.single_gap()
    assert server.sent < SIZE


def test_what_a_server_can_do_is_remembered_for_the_next_job(server, tmp_path):
    server.ranges = "single"
    notes = tmp_path / "servers.json"
    for _ in range(2):
        server.forget()
        with Archive(server.url, patience=QUICK, notes=notes) as archive, archive.open("x") as source:
            source.read(RANGES)
        many = [span for _, span in server.requests if "," in span]
    assert many == []
    assert json.loads(notes.read_text()) == {server.url.removeprefix("http://"): "single"}
    notes.write_text("torn {")
    with Archive(server.url, patience=QUICK, notes=notes) as archive, archive.open("x") as source:
        assert source.read(RANGES[:3]) == [DATA[start:stop] for start, stop in RANGES[:3]]


@pytest.mark.parametrize("way", ["single", "first"])
def test_a_server_that_errs_once_is_asked_for_many_ranges_again(server, way, tmp_path):
    notes = tmp_path / "servers.json"

    def once(handler, _) -> bool:
        server.misbehave, server.ranges = None, way
        handler.send_file(handler.content())
        server.ranges = "multi"
        return True

    def found_out(*, lasting: bool) -> str:
        with Archive(server.url, patience=QUICK, notes=notes) as archive, archive.open("x") as source:
            source.read(RANGES)
            server.misbehave, server.ranges = (None, way) if lasting else (once, "multi")
            assert source.read(RANGES) == [DATA[start:stop] for start, stop in RANGES]
        return json.loads(notes.read_text()).popitem()[1]

    assert found_out(lasting=False) == "multi"
    assert len(server.requests) == 3
    server.ranges = "multi"
    assert found_out(lasting=True) == "single"


def test_a_server_without_ranges_sends_the_file_once_and_the_copy_is_gone_afterwards(server, tmp_path, monkeypatch):
    server.ranges = "none"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Archive(server.url, patience=QUICK) as archive, archive.open("x") as source:
        source.head(10)
        for start, stop in RANGES:
            assert source.read([(start, stop)]) == [DATA[start:stop]]
    assert archive.client.traffic.bytes < SIZE + 1000
    assert list(tmp_path.iterdir()) == []


def test_past_the_end_is_malformed_for_many_ranges_too(server):
    for way in WAYS:
        server.ranges = way
        with Archive(server.url, patience=QUICK) as archive, archive.open("x") as source:
            with pytest.raises(MalformedFile, match="truncated"):
                source.read([(0, 10), (SIZE - 10, SIZE + 10)])
            with pytest.raises(MalformedFile, match="truncated"):
                source.read([(SIZE + 100_000, SIZE + 100_010), (SIZE + 200_000, SIZE + 200_010)])


def test_the_head_of_a_short_file_is_the_file(root, server):
    (root / "short").write_bytes(b"abc")
    (root / "empty").write_bytes(b"")
    for way in WAYS:
        server.ranges = way
        with Archive(server.url, patience=QUICK) as archive:
            assert archive.open("short").head(1000) == b"abc"
            assert archive.open("empty").head(1000) == b""


def test_a_broken_answer_in_parts_is_tried_again(server):
    def broken(handler, number: int) -> bool:
        if "," not in handler.headers.get("Range", "") or number > 1:
            return False
        handler.answer(
            206, b"--b\r\nContent-Range: bytes 0-9/80\r\n\r\nabc", {"Content-Type": "multipart/byteranges; boundary=b"}
        )
        return True

    server.misbehave = broken
    with Archive(server.url, patience=QUICK) as archive:
        assert archive.open("x").read(RANGES[:2]) == [DATA[start:stop] for start, stop in RANGES[:2]]
    server.misbehave = lambda handler, _number: broken(handler, 1)
    with Archive(server.url, patience=QUICK) as archive, pytest.raises(ArchiveUnavailable, match="in parts is broken"):
        archive.open("x").read(RANGES[:2])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=60)), min_size=1, max_size=5),
    st.text("ab-", min_size=1, max_size=9),
)
def test_parts_are_taken_apart_by_their_lengths(pieces, boundary):
    """The payload may hold the boundary itself."""
    pieces = [(start, data + b"\r\n--" + boundary.encode() + b"--" + data) for start, data in pieces]
    body = b"preamble\r\n"[: 10 * (len(pieces) % 2)] + b"".join(
        f"--{boundary}\r\nContent-type: x/y\r\n".encode()
        + f"content-range: bytes {start}-{start + len(data) - 1}/2000000\r\n\r\n".encode()
        + data
        + b"\r\n"
        for start, data in pieces
    )
    body += f"--{boundary}--\r\n".encode()
    kind = f'multipart/byteranges; boundary="{boundary}"'
    assert split_parts(body, kind) == [(start, data, 2_000_000) for start, data in pieces]
    for cut in (len(body) // 2, len(body) - len(boundary) - 8):
        with pytest.raises(TryAgain):
            split_parts(body[:cut], kind)
