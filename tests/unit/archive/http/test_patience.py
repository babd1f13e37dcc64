"""How long an archive is tried, and what is not believed of it."""

import threading
import time

import pytest

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.file import HttpFile
from skyharvest.archive.http.patience import PATIENCE_VARIABLE, Patience
from skyharvest.core.errors import ArchiveUnavailable, InputError

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=0.4)
DATA = bytes(range(256)) * 4000


@pytest.fixture
def server(tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    with serve(tmp_path) as served:
        yield served


def test_the_environment_says_how_patient(monkeypatch):
    monkeypatch.delenv(PATIENCE_VARIABLE, raising=False)
    assert Patience.from_environment() == Patience()
    monkeypatch.setenv(PATIENCE_VARIABLE, " tries=20  cap_s=600.5 ")
    assert Patience.from_environment() == Patience(tries=20, cap_s=600.5)
    assert Patience(tries=10**6).wait_s(10**6) <= 60


def test_retry_after_is_obeyed_up_to_a_cap(server):
    assert Patience(base_s=0).wait_s(1, 7.0) == 7.0
    assert Patience(base_s=0, retry_after_cap_s=5).wait_s(1, 3600.0) == 5.0
    waits = {Patience(base_s=1, cap_s=8).wait_s(attempt) for attempt in range(1, 12)}
    assert len(waits) == 11  # jitter
    assert max(waits) <= 8


@pytest.mark.parametrize(
    "word", ["tries=x", "tries=0", "tries=2.5", "read_s=-1", "read_s=nan", "cap_s=inf", "trys=3", "3"]
)
def test_what_is_no_patience_is_named(monkeypatch, word):
    monkeypatch.setenv(PATIENCE_VARIABLE, f"tries=3 {word}")
    with pytest.raises(InputError, match=f"{PATIENCE_VARIABLE}: found '{word}'; expected words such as tries=20"):
        Patience.from_environment()


def test_the_environment_reaches_every_archive_that_is_not_told_otherwise(monkeypatch, server):
    monkeypatch.setenv(PATIENCE_VARIABLE, "tries=3 base_s=0.01")
    server.misbehave = lambda handler, _: handler.answer(503, b"") is None
    for patience, tries in ((None, 3), (QUICK, 2)):
        server.forget()
        with Archive(server.url, patience=patience) as archive, pytest.raises(ArchiveUnavailable):
            archive.open("x").head(9)
        assert len(server.requests) == tries


@pytest.mark.parametrize("way", ["multi", "single"])
def test_a_trickle_is_given_up(server, way):
    """A byte now and then keeps every single read alive."""
    server.ranges = way

    def trickle(handler, number: int) -> bool:
        if number == 1:
            return False
        handler.spoil = lambda body: (len(body), body[:600])
        handler.send_file(DATA)
        for _ in range(60):
            handler.wfile.write(b"x")
            threading.Event().wait(0.05)
        handler.close_connection = True
        return True

    with Archive(server.url, patience=QUICK) as archive:
        source = archive.open("x")
        source.head(100)
        server.misbehave = trickle
        began = time.monotonic()
        with pytest.raises(ArchiveUnavailable, match="slowed down to less than 1,000 bytes a second"):
            source.read([(0, 500_000)])
        assert time.monotonic() - began < 2.9, "it did not wait for the end of the trickle"


def test_one_answer_with_the_whole_file_does_not_change_how_a_server_is_read(server):
    def whole(handler, number: int) -> bool:
        if number in (1, 3):
            handler.answer(200, DATA)
        return number in (1, 3)

    server.misbehave = whole
    with Archive(server.url, patience=QUICK) as archive, archive.open("x") as source:
        assert source.head(50) == DATA[:50]
        assert source.read([(100, 110)]) == [DATA[100:110]]
        assert isinstance(source, HttpFile)
        assert archive.client.servers.get(server.url) != "whole"
    assert archive.client.traffic.bytes < len(DATA)
