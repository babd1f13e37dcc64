"""Whole files: resumed, verified, or not taken at all."""

import fcntl
import hashlib
import logging
import re
import socket
from pathlib import Path

import pytest

from range_server import serve, tag
from skyharvest.archive.archive import Archive
from skyharvest.archive.download import download, downloaded
from skyharvest.archive.http.patience import Patience
from skyharvest.core.errors import Absent, ArchiveUnavailable, MalformedFile
from skyharvest.surveys.desi.batch import files_of
from skyharvest.surveys.desi.release import load_release
from small_release import coadd_files, path_of, simulated, write

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.02, connect_s=2, read_s=2)
MB = 1 << 20
DATA = {"d/a.fits": bytes(range(256)) * 4096 * 12, "d/b.fits": b"redrock" * 100}  # 12 MB
SUMS = "d/d.sha256sum"


@pytest.fixture
def archive(tmp_path):
    """A directory of two files and their checksums, served."""
    folder = tmp_path / "archive" / "d"
    folder.mkdir(parents=True)
    for path, data in DATA.items():
        (tmp_path / "archive" / path).write_bytes(data)
    sums = [f"{hashlib.sha256(data).hexdigest()}  {Path(path).name}" for path, data in DATA.items()]
    (folder / "d.sha256sum").write_text("\n".join(sums) + "\n\nnonsense\n")
    with serve(tmp_path / "archive") as server:
        server.tagged = True
        yield server


def remote(server):
    return Archive(server.url, patience=QUICK)


def get(server, tmp_path, *paths):
    with remote(server) as source:
        return download(source, paths or list(DATA), tmp_path / "out", SUMS)


def written(tmp_path):
    out = tmp_path / "out"
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def spans(server, path="/d/a.fits"):
    return [span for asked, span in server.requests if asked == path]


def damage(times, path="/d/a.fits"):
    """Return a server's behaviour: the first answers for a file have one byte wrong."""

    def misbehave(handler, number):
        if handler.path != path or number > times:
            return False
        handler.answer(200, DATA[path[1:]][:-1] + b"?")
        return True

    return misbehave


def break_off(after, times=99, path="/d/a.fits"):
    """Return a server's behaviour: the connection breaks after so many bytes of an answer."""

    def misbehave(handler, number):
        if handler.path != path or number > times:
            return False
        data = DATA[path[1:]]
        begin = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        handler.send_response(206 if begin else 200)
        handler.send_header("ETag", tag(data))
        handler.send_header("Content-Length", str(len(data) - begin))
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        handler.wfile.write(data[begin : begin + after])
        handler.wfile.flush()
        handler.close_connection = True
        if begin + after < len(data):
            handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    return misbehave


def test_files_arrive_as_they_are(archive, tmp_path, caplog):
    for source in (remote(archive), Archive(str(archive.root))):
        with source:
            download(source, list(DATA), tmp_path / "out", SUMS)
        assert written(tmp_path) == DATA
        for path in DATA:
            (tmp_path / "out" / path).unlink()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_transfer_that_breaks_off_is_resumed(archive, tmp_path):
    archive.misbehave = break_off(5 * MB)
    get(archive, tmp_path)
    assert written(tmp_path) == DATA
    first, *later = spans(archive)
    assert first == ""
    begins = [int(span.removeprefix("bytes=").removesuffix("-")) for span in later]
    assert begins == sorted(begins) and begins[0] > 3 * MB and len(begins) == 2


def test_breaking_off_for_ever_does_not_use_up_the_tries_while_something_comes(archive, tmp_path):
    archive.misbehave = break_off(MB + 65536)  # twelve times; two tries are allowed
    get(archive, tmp_path)
    assert written(tmp_path) == DATA
    archive.misbehave = break_off(1000)
    (tmp_path / "out/d/a.fits").unlink()
    with pytest.raises(ArchiveUnavailable, match="gave up after 2 attempts"):
        get(archive, tmp_path, "d/a.fits")


def test_a_later_job_goes_on_where_an_earlier_one_was_stopped(archive, tmp_path):
    archive.misbehave = break_off(300_000)
    with pytest.raises(ArchiveUnavailable):
        get(archive, tmp_path, "d/a.fits")
    left = set(written(tmp_path))
    assert left == {"d/a.fits.part", "d/a.fits.version"}
    have = (tmp_path / "out/d/a.fits.part").stat().st_size
    assert have > 0
    archive.misbehave = None
    archive.requests.clear()
    get(archive, tmp_path, "d/a.fits")
    assert written(tmp_path) == {"d/a.fits": DATA["d/a.fits"]}
    assert spans(archive) == [f"bytes={have}-"]


@pytest.mark.parametrize("change", ["another version", "no version", "no note", "longer than the file", "no ranges"])
def test_what_cannot_be_resumed_is_fetched_anew(archive, tmp_path, change):
    folder = tmp_path / "out" / "d"
    folder.mkdir(parents=True)
    (folder / "a.fits.part").write_bytes(b"x" * (13 * MB if change == "longer than the file" else 5000))
    if change != "no note":
        (folder / "a.fits.version").write_text('"old"' if change == "another version" else tag(DATA["d/a.fits"]))
    archive.tagged = change != "no version"
    archive.ranges = "none" if change == "no ranges" else "multi"
    if change == "no version":
        (folder / "a.fits.version").write_text("")
    get(archive, tmp_path, "d/a.fits")
    assert written(tmp_path) == {"d/a.fits": DATA["d/a.fits"]}


def test_a_part_that_is_complete_is_not_fetched_again(archive, tmp_path):
    folder = tmp_path / "out" / "d"
    folder.mkdir(parents=True)
    (folder / "a.fits.part").write_bytes(DATA["d/a.fits"])
    (folder / "a.fits.version").write_text(tag(DATA["d/a.fits"]))
    get(archive, tmp_path, "d/a.fits")
    assert written(tmp_path) == {"d/a.fits": DATA["d/a.fits"]}
    assert archive.sent < MB


def test_a_damaged_file_is_fetched_once_more(archive, tmp_path, caplog):
    archive.misbehave = damage(times=1)
    get(archive, tmp_path)
    assert written(tmp_path) == DATA
    assert spans(archive) == ["", ""]
    wrong = hashlib.sha256(DATA["d/a.fits"][:-1] + b"?").hexdigest()
    assert f"a.fits: sha256 is {wrong}, the archive says" in caplog.text


def test_a_file_that_is_damaged_twice_is_an_error_and_leaves_nothing(archive, tmp_path):
    archive.misbehave = damage(times=2)
    wrong = get(archive, tmp_path, "d/a.fits")
    assert re.fullmatch(r"d/a\.fits: sha256 is .*, twice: the copy there is damaged; .*", str(wrong["d/a.fits"]))
    assert written(tmp_path) == {}
    (archive.root / "d" / "b.fits").write_bytes(b"")  # on disk, too
    wrong = download(Archive(str(archive.root)), ["d/b.fits"], tmp_path / "out", SUMS)
    assert "d/b.fits: sha256 is e3b0c442" in str(wrong["d/b.fits"])
    assert written(tmp_path) == {}


def test_an_absent_file_is_not_written_and_the_others_arrive(archive, tmp_path):
    for source in (remote(archive), Archive(str(archive.root))):
        with source:
            download(source, ["d/x.fits", "d/b.fits"], tmp_path / "out", SUMS)
        assert written(tmp_path) == {"d/b.fits": DATA["d/b.fits"]}
    assert archive.count("/d/x.fits") == 2


@pytest.mark.parametrize("sums", ["absent", "without it"])
def test_a_file_without_a_checksum_must_be_as_long_as_its_headers_say(tmp_path, caplog, sums):
    path = write(tmp_path / "archive", simulated(3))
    listed = tmp_path / "archive" / path_of(simulated(3), "checksums")
    listed.unlink()
    if sums == "without it":
        listed.write_text(f"{'0' * 64}  other.fits\n")
    with Archive(str(tmp_path / "archive")) as source:
        download(source, [path], tmp_path / "out", str(listed.relative_to(tmp_path / "archive")))
        good = (tmp_path / "archive" / path).read_bytes()
        assert written(tmp_path) == {path: good}
        assert f"{path}: the archive has no checksum for it" in caplog.text
        (tmp_path / "out" / path).unlink()
        for bad, reason in (
            (good[:-3000], "truncated"),
            (good + b"<html>", "found an HTML page"),
            (b"<html>" + good, "found an HTML page"),
        ):
            (tmp_path / "archive" / path).write_bytes(bad)
            wrong = download(source, [path], tmp_path / "out", "none")
            assert re.search(f"{reason}.*twice: the copy there is damaged", str(wrong[path]))
            assert written(tmp_path) == {}


def test_checksums_in_the_forms_that_sha256sum_writes(archive, tmp_path, caplog):
    digest = {Path(path).name: hashlib.sha256(data).hexdigest() for path, data in DATA.items()}
    lines = [f"{digest['a.fits'].upper()} *a.fits", f"{digest['b.fits']}  some/where/b.fits"]
    (archive.root / "d" / "d.sha256sum").write_text("\r\n".join(lines))
    get(archive, tmp_path)
    assert written(tmp_path) == DATA
    assert "no checksum" not in caplog.text


def test_a_busy_archive_is_neither_absent_nor_used(archive, tmp_path):
    archive.misbehave = lambda handler, _: handler.path == "/d/a.fits" and handler.answer(503, b"") is None
    with pytest.raises(ArchiveUnavailable):
        get(archive, tmp_path, "d/a.fits")
    assert set(written(tmp_path)) <= {"d/a.fits.part"}


def test_two_jobs_do_not_write_the_same_file(archive, tmp_path):
    (tmp_path / "out/d").mkdir(parents=True)
    with (tmp_path / "out/d/a.fits.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ArchiveUnavailable, match="being written by another job"):
            get(archive, tmp_path, "d/a.fits")
    get(archive, tmp_path, "d/a.fits")
    assert written(tmp_path) == {"d/a.fits": DATA["d/a.fits"]}


@pytest.fixture
def coadds(tmp_path):
    """A release with two coadds of a pixel, and a third one that is listed only."""
    paths = [write(tmp_path / "archive", simulated(2, program)) for program in ("dark", "bright")]
    return [*paths, load_release("demo").coadd("main", "backup", 27247)]


def test_a_coadd_that_is_damaged_twice_is_malformed_and_the_others_are_at_hand(tmp_path, coadds):
    with serve(tmp_path / "archive") as server, remote(server) as archive:
        good = (tmp_path / "archive" / coadds[1]).read_bytes()
        server.misbehave = lambda handler, _: handler.path == f"/{coadds[1]}" and handler.answer(200, good[1:]) is None
        with downloaded(
            archive, files_of(load_release("demo"), coadd_files(coadds), redshifts=True), tmp_path / "scratch"
        ) as local:
            local.open(coadds[0]).close()
            with pytest.raises(MalformedFile, match=f"{coadds[1]}: sha256 is .*twice"):
                local.open(coadds[1])


@pytest.mark.parametrize("redshifts", [True, False])
def test_coadds_are_at_hand_and_gone_afterwards(tmp_path, coadds, redshifts):
    scratch = tmp_path / "scratch"
    with serve(tmp_path / "archive") as server, remote(server) as archive:
        with downloaded(
            archive, files_of(load_release("demo"), coadd_files(coadds), redshifts=redshifts), scratch
        ) as local:
            for path in coadds[:2]:
                assert (scratch / path).read_bytes() == (tmp_path / "archive" / path).read_bytes()
                assert local.open(path).size() == (scratch / path).stat().st_size
            with pytest.raises(Absent):
                local.open(coadds[2])
            assert len([path for path in scratch.rglob("*") if path.is_file()]) == (4 if redshifts else 2)
        assert [path for path in scratch.rglob("*") if path.is_file()] == []


def test_what_a_killed_job_has_downloaded_is_used(tmp_path, coadds):
    scratch = tmp_path / "scratch"
    (scratch / coadds[0]).parent.mkdir(parents=True)
    (scratch / coadds[0]).write_bytes((tmp_path / "archive" / coadds[0]).read_bytes())
    (scratch / coadds[1]).parent.mkdir(parents=True)
    (scratch / coadds[1]).write_bytes(b"something else")
    with serve(tmp_path / "archive") as server, remote(server) as archive:
        with downloaded(archive, files_of(load_release("demo"), coadd_files(coadds), redshifts=False), scratch):
            assert (scratch / coadds[1]).read_bytes() == (tmp_path / "archive" / coadds[1]).read_bytes()
        assert server.count(f"/{coadds[0]}") == 0
        assert server.count(f"/{coadds[1]}") == 1


def test_a_failure_leaves_only_what_can_be_resumed(tmp_path, coadds):
    scratch = tmp_path / "scratch"
    with serve(tmp_path / "archive") as server, remote(server) as archive:
        server.misbehave = lambda handler, _: "bright" in handler.path and handler.answer(503, b"") is None
        with (
            pytest.raises(ArchiveUnavailable),
            downloaded(archive, files_of(load_release("demo"), coadd_files(coadds), redshifts=True), scratch),
        ):
            raise AssertionError("not reached")
    assert {path.suffix for path in scratch.rglob("*") if path.is_file()} <= {".part", ".version"}
