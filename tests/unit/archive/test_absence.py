"""Absent files are believed only of an archive that has the files it must have."""

import pytest

from range_server import denied, serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core.errors import Absent, ArchiveRefused, ArchiveUnavailable, InputError

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=0.4)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    with serve(tmp_path) as served:
        yield served


def test_absence_is_believed_of_an_archive_that_has_what_it_must_have(tmp_path, server):
    for root in (str(tmp_path), server.url):
        with Archive(root, patience=QUICK) as archive:
            check = archive.absence_check("x")
            check()
            check()
            with pytest.raises(ArchiveUnavailable, match=r"y does not exist.*which the release has: .* not recorded"):
                archive.absence_check("y")()
    assert server.count("/x") == 1


def test_an_empty_mount_point_is_no_archive_of_absent_coadds(tmp_path):
    (tmp_path / "mnt").mkdir()
    with Archive(str(tmp_path / "mnt")) as archive, pytest.raises(ArchiveUnavailable, match="unmounted"):
        archive.absence_check("spectro/redux/iron/healpix/tilepix.fits")()


@pytest.mark.parametrize("http", [False, True])
@pytest.mark.parametrize(
    ("asked", "there", "word"),
    [
        ("coadd.fits", "coadd.fits.gz", "compressed, .*: unpack them"),
        ("cube.fits.gz", "cube.fits", "unpacked, .*: compress them"),
        ("image.fits.fz", "image.fits", "unpacked, .*: compress them"),
    ],
)
def test_a_mirror_of_files_that_are_compressed_otherwise_is_an_error(tmp_path, server, asked, there, word, http):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / there).write_bytes(b"content")
    root = server.url if http else str(tmp_path)
    with Archive(root, patience=QUICK) as archive:
        check = archive.absence_check("x")
        check(f"d/other.{asked}")
        with pytest.raises(InputError, match=rf"d/{asked} is absent, but .*d/{there} is there: .* files are {word}"):
            check(f"d/{asked}")


def test_over_the_network_only_the_first_absent_files_are_looked_for_once_more(server):
    with Archive(server.url, patience=QUICK) as archive:
        check = archive.absence_check("x")
        for k in range(6):
            check(f"absent-{k}.fits")
    assert [server.count(f"/absent-{k}.fits.gz") > 0 for k in range(6)] == [True] * 3 + [False] * 3


# --- A bucket that does not let its keys be listed: 403 for what it does not have -------------------------------------


ASKED = {
    "head": lambda archive, _: archive.open("d/missing").head(10),
    "a range": lambda archive, _: archive.open("d/missing").read([(5, 9)]),
    "many ranges": lambda archive, _: archive.open("d/missing").read([(5, 9), (9000, 9009)]),
    "size": lambda archive, _: archive.open("d/missing").size(),
    "whole": lambda archive, out: archive.fetch("d/missing", out),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("way", ["multi", "single"])
def test_a_missing_key_is_refused_with_what_it_is_and_absent_where_that_is_asked_for(server, tmp_path, ask, way):
    server.ranges = way
    server.misbehave = lambda handler, _: "missing" in handler.path and denied(handler) is None
    with Archive(server.url, patience=QUICK) as archive:
        says = r"missing: HTTP 403 .*no list permission: .*Set forbidden_is_absent: true in the survey's section"
        with pytest.raises(ArchiveRefused, match=says):
            ask(archive, tmp_path / "part")
    assert server.count("/d/missing") == 1, "trying again does not help"
    with Archive(server.url, patience=QUICK, forbidden_is_absent=True) as archive:
        check = archive.absence_check("x")
        for _ in range(2):
            with pytest.raises(Absent, match=r"missing does not exist \(HTTP 403, asked twice\)"):
                ask(archive, tmp_path / "part")
            check()
        assert archive.open("x").head(10) == b"content"


@pytest.mark.parametrize("status", [401, 402, 403, 407, 451])
def test_a_refusal_is_a_refusal_by_default_and_others_always(server, tmp_path, status):
    server.misbehave = lambda handler, _: handler.answer(status, b"<html>no</html>") is None
    for setting in (False,) if status == 403 else (False, True):
        says = f"HTTP {status} .*whether the data are public"
        archive = Archive(server.url, patience=QUICK, forbidden_is_absent=setting)
        with archive, pytest.raises(ArchiveRefused, match=says):
            archive.open("x").head(1)


def test_an_archive_that_refuses_everything_has_no_absent_files(server):
    """From the first request on, or at any later moment: a ban, an expired permission."""
    server.misbehave = lambda handler, _: handler.path == "/y" and denied(handler) is None
    with Archive(server.url, patience=QUICK, forbidden_is_absent=True) as archive:
        check = archive.absence_check("x")
        with pytest.raises(Absent):
            archive.open("y").head(1)
        check()
        server.misbehave = lambda handler, _: denied(handler) is None
        with pytest.raises(Absent):
            archive.open("z").head(1)
        with pytest.raises(
            ArchiveUnavailable, match=r"which the release has: the archive seems to refuse everything, .*not rec"
        ):
            check()
