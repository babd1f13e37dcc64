"""Bytes from archives: exact, and never confusing absent with unavailable."""

import os
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from range_server import Served, serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core.errors import Absent, ArchiveRefused, ArchiveUnavailable, MalformedFile

DATA = bytes(range(256)) * 1200  # 307,200 bytes
QUICK = Patience(tries=3, base_s=0.01, cap_s=0.02, connect_s=2, read_s=2)
RANGES = [(300_000, 300_010), (5, 9), (0, 3), (7, 20), (100, 100), (5, 9)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.fits").write_bytes(DATA)
    return tmp_path


@pytest.fixture
def server(root: Path):
    with serve(root) as served:
        yield served


def remote(server: Served) -> Archive:
    return Archive(server.url, patience=QUICK)


def answer(status: int, times: int, **headers: str):
    def misbehave(handler, number: int) -> bool:
        if number > times:
            return False
        handler.answer(status, b"oops", {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return misbehave


def test_ranges_come_back_in_the_order_asked_for(root, server):
    for archive in (Archive(str(root)), remote(server)):
        with archive, archive.open("d/x.fits") as source:
            assert source.read(RANGES) == [DATA[start:stop] for start, stop in RANGES]
            assert source.size() == len(DATA)


def test_what_is_not_there_is_absent_only_after_a_second_request(root, server):
    with pytest.raises(Absent, match="does not exist"):
        Archive(str(root)).open("d/y.fits")
    with remote(server) as archive, pytest.raises(Absent, match=r"y\.fits.*404, asked twice"):
        archive.open("d/y.fits").read([(0, 1)])
    assert server.count("/d/y.fits") == 2
    server.misbehave = answer(404, times=1)
    with remote(server) as archive:
        assert archive.open("d/x.fits").read([(0, 4)]) == [DATA[:4]]


def test_a_missing_root_is_not_a_thousand_absent_files(tmp_path):
    with pytest.raises(ArchiveUnavailable, match="not a directory: mount it"):
        Archive(str(tmp_path / "nowhere")).open("d/x.fits")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_and_never_taken_for_an_absent_file(server, status):
    server.misbehave = answer(status, times=2, Retry_After="0")
    with remote(server) as archive:
        assert archive.open("d/x.fits").read([(0, 4)]) == [DATA[:4]]
    server.misbehave = answer(status, times=99)
    with remote(server) as archive, pytest.raises(ArchiveUnavailable, match=f"HTTP {status}; gave up after 3"):
        archive.open("d/x.fits").read([(0, 4)])


def test_refusals_are_not_retried(server):
    server.misbehave = answer(403, times=99)
    with remote(server) as archive, pytest.raises(ArchiveRefused, match="HTTP 403"):
        archive.open("d/x.fits").read([(0, 4)])
    assert server.count("/d/x.fits") == 1


def test_an_html_page_instead_of_the_file_is_not_believed(server):
    server.misbehave = answer(200, times=1, Content_Type="text/html; charset=utf-8")
    with remote(server) as archive:
        assert archive.open("d/x.fits").read([(0, 4)]) == [DATA[:4]]
    server.misbehave = answer(200, times=99, Content_Type="text/html")
    with remote(server) as archive, pytest.raises(ArchiveUnavailable, match="HTML page"):
        archive.open("d/x.fits").read([(0, 4)])


def test_broken_transfers_are_tried_again(server):
    def cut(handler, number: int) -> bool:
        if number > 2:
            return False
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-99/{len(DATA)}")
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(DATA[:50])
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    server.misbehave = cut
    with remote(server) as archive:
        assert archive.open("d/x.fits").read([(0, 100)]) == [DATA[:100]]
    assert server.count("/d/x.fits") == 3


def test_a_wrong_content_range_is_not_used(server):
    def lie(handler, number: int) -> bool:
        if number > 1:
            return False
        handler.answer(206, DATA[50:60], {"Content-Range": f"bytes 50-59/{len(DATA)}"})
        return True

    server.misbehave = lie
    with remote(server) as archive:
        assert archive.open("d/x.fits").read([(0, 10)]) == [DATA[:10]]


def test_reading_past_the_end_is_a_malformed_file(root, server):
    end = len(DATA)
    for archive in (Archive(str(root)), remote(server)):
        for span in ((end - 5, end + 5), (end + 10, end + 20)):
            with archive, archive.open("d/x.fits") as source, pytest.raises(MalformedFile, match="truncated"):
                source.read([span])


def test_a_file_that_changes_while_it_is_read_fails(server):
    def tagged(handler, number: int) -> bool:
        handler.answer(206, b"abcd", {"Content-Range": "bytes 0-3/1000", "ETag": f'"{number}"'})
        return True

    server.misbehave = tagged
    with remote(server) as archive:
        source = archive.open("d/x.fits")
        source.read([(0, 4)])
        with pytest.raises(ArchiveUnavailable, match="changed on the server"):
            source.read([(0, 4)])


def test_nobody_listening_is_unavailable():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    archive = Archive(f"http://127.0.0.1:{port}", patience=QUICK)
    with archive, pytest.raises(ArchiveUnavailable, match="gave up after 3"):
        archive.open("x").read([(0, 1)])


def test_a_stalled_server_does_not_hang_the_job(server):
    def stall(handler, _number: int) -> bool:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-9/{len(DATA)}")
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"abc")
        handler.wfile.flush()
        threading.Event().wait(1.5)
        handler.close_connection = True
        return True

    server.misbehave = stall
    impatient = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=1, read_s=0.3)
    with Archive(server.url, patience=impatient) as archive, pytest.raises(ArchiveUnavailable):
        archive.open("d/x.fits").read([(0, 10)])


def test_a_certificate_that_does_not_verify_is_refused(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    openssl = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        capture_output=True,
        check=False,
    )
    if openssl.returncode:
        pytest.skip("openssl cannot make a certificate here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once() -> None:
            connection, _ = listener.accept()
            try:
                context.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()

        threading.Thread(target=once, daemon=True).start()
        archive = Archive(f"https://localhost:{listener.getsockname()[1]}", patience=QUICK)
        with archive, pytest.raises(ArchiveRefused, match="certificate does not verify"):
            archive.open("x").read([(0, 1)])


def test_whole_files_are_fetched_and_their_length_checked(root, server, tmp_path):
    for k, archive in enumerate((Archive(str(root)), remote(server))):
        with archive:
            assert archive.fetch("d/x.fits", tmp_path / str(k)) == len(DATA)
        assert (tmp_path / str(k)).read_bytes() == DATA


def test_requests_name_the_project(server):
    agents = []

    def note(handler, _number: int) -> bool:
        agents.append(handler.headers["User-Agent"])
        return False

    server.misbehave = note
    with remote(server) as archive:
        archive.open("d/x.fits").read([(0, 1)])
    assert agents[0].startswith("skyharvest/")


def test_a_file_that_may_not_be_read_says_so(root):
    path = root / "d" / "x.fits"
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ArchiveRefused, match="Permission denied"):
        Archive(str(root)).open("d/x.fits")
