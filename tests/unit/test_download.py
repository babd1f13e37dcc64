"""Whole files: verified, taken as they are, or marked as absent."""

import hashlib
import logging

import pytest

import download_desi_coadd
from range_server import serve
from skyharvest import cli
from skyharvest.archive import ABSENT_MARK, Archive
from skyharvest.download import download
from skyharvest.errors import Absent, ArchiveUnavailable, MalformedFile
from skyharvest.httpsource import Patience
from skyharvest.releases import load_release

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.02, connect_s=2, read_s=2)
DATA = {"a.fits": bytes(range(256)) * 9000, "b.fits": b"redrock" * 100}


@pytest.fixture
def archive(tmp_path):
    """A directory of two files and their checksums, served."""
    folder = tmp_path / "archive" / "d"
    folder.mkdir(parents=True)
    for name, data in DATA.items():
        (folder / name).write_bytes(data)
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in DATA.items()]
    (folder / "d.sha256sum").write_text("\n".join(sums) + "\n\nnonsense\n")
    with serve(tmp_path / "archive") as server:
        yield server


def wanted(tmp_path, *names):
    return {f"d/{name}": tmp_path / "out" / name for name in names}


def remote(server):
    return Archive(server.url, patience=QUICK)


def written(tmp_path):
    return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


def damage(times, path="/d/a.fits"):
    """Return a server's behaviour: the first answers for a file have one byte wrong."""

    def misbehave(handler, number):
        if handler.path != path or number > times:
            return False
        handler.answer(200, DATA["a.fits"][:-1] + b"?")
        return True

    return misbehave


def test_files_arrive_as_they_are(archive, tmp_path, caplog):
    for source in (remote(archive), Archive(str(archive.root))):
        with source:
            download(source, wanted(tmp_path, *DATA), "d/d.sha256sum")
        assert written(tmp_path) == DATA
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_damaged_file_is_fetched_once_more(archive, tmp_path, caplog):
    archive.misbehave = damage(times=1)
    with remote(archive) as source:
        download(source, wanted(tmp_path, *DATA), "d/d.sha256sum")
    assert written(tmp_path) == DATA
    assert archive.count("/d/a.fits") == 2
    wrong = hashlib.sha256(DATA["a.fits"][:-1] + b"?").hexdigest()
    assert f"a.fits: sha256 is {wrong}, the archive says" in caplog.text


def test_a_file_that_is_damaged_twice_is_an_error_and_leaves_nothing(archive, tmp_path):
    archive.misbehave = damage(times=2)
    with remote(archive) as source, pytest.raises(MalformedFile, match=r"d/a\.fits: sha256 is .*, twice: the copy"):
        download(source, wanted(tmp_path, "a.fits"), "d/d.sha256sum")
    assert written(tmp_path) == {}
    (archive.root / "d" / "b.fits").write_bytes(b"")  # on disk, too
    with pytest.raises(MalformedFile, match=r"d/b\.fits: sha256 is e3b0c442"):
        download(Archive(str(archive.root)), wanted(tmp_path, "b.fits"), "d/d.sha256sum")
    assert written(tmp_path) == {}


def test_an_absent_file_leaves_a_mark_and_the_others_arrive(archive, tmp_path):
    for source in (remote(archive), Archive(str(archive.root))):
        with source:
            download(source, wanted(tmp_path, "x.fits", "b.fits"), "d/d.sha256sum")
        assert written(tmp_path) == {"x.fits": ABSENT_MARK, "b.fits": DATA["b.fits"]}
        with pytest.raises(Absent):
            Archive(str(tmp_path / "out")).open("x.fits")
    assert archive.count("/d/x.fits") == 2


@pytest.mark.parametrize("sums", ["absent", "without it"])
def test_a_file_without_a_checksum_is_taken_with_a_warning(archive, tmp_path, caplog, sums):
    (archive.root / "d" / "d.sha256sum").write_text(f"{'0' * 64}  other.fits\n")
    name = "d/none.sha256sum" if sums == "absent" else "d/d.sha256sum"
    with remote(archive) as source:
        download(source, wanted(tmp_path, *DATA), name)
    assert written(tmp_path) == DATA
    assert caplog.text.count("the archive has no checksum for it") == 2


def test_checksums_in_the_forms_that_sha256sum_writes(archive, tmp_path, caplog):
    digest = {name: hashlib.sha256(data).hexdigest() for name, data in DATA.items()}
    lines = [f"{digest['a.fits'].upper()} *a.fits", f"{digest['b.fits']}  some/where/b.fits"]
    (archive.root / "d" / "d.sha256sum").write_text("\r\n".join(lines))
    with remote(archive) as source:
        download(source, wanted(tmp_path, *DATA), "d/d.sha256sum")
    assert "no checksum" not in caplog.text


def test_a_busy_archive_leaves_nothing_and_no_mark(archive, tmp_path):
    archive.misbehave = lambda handler, _: handler.path == "/d/a.fits" and handler.answer(503, b"") is None
    with remote(archive) as source, pytest.raises(ArchiveUnavailable):
        download(source, wanted(tmp_path, "a.fits"), "d/d.sha256sum")
    assert written(tmp_path) == {}


def test_what_stood_there_stays_until_the_new_file_is_good(archive, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.fits").write_bytes(b"old")
    archive.misbehave = damage(times=2)
    with remote(archive) as source, pytest.raises(MalformedFile):
        download(source, wanted(tmp_path, "a.fits"), "d/d.sha256sum")
    assert written(tmp_path) == {"a.fits": b"old"}


def test_the_program_fetches_a_coadd_and_its_redrock_file(tmp_path, capsys):
    release, kind = load_release("demo"), ("main", "dark", 27258)
    for path, data in ((release.coadd(*kind), b"coadd"), (release.redrock(*kind), b"redrock")):
        (tmp_path / "archive" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "archive" / path).write_bytes(data)
    sums = tmp_path / "archive" / release.checksums(*kind)
    sums.write_text(f"{hashlib.sha256(b'coadd').hexdigest()}  coadd-main-dark-27258.fits\n")
    command = ["--release", "demo", "--archive", str(tmp_path / "archive"), "--survey", "main", "--program", "dark"]
    command += ["--pix64", "27258", "--coadd", str(tmp_path / "out" / "c"), "--redrock", str(tmp_path / "out" / "r")]
    run = (download_desi_coadd.main, download_desi_coadd.build_parser())
    assert cli.run(*run, command) == 0
    assert written(tmp_path) == {"c": b"coadd", "r": b"redrock"}
    sums.write_text(f"{'0' * 64}  coadd-main-dark-27258.fits\n")
    assert cli.run(*run, command) == 1
    assert "the copy there is damaged; tell the archive" in capsys.readouterr().err
