"""Absent files are believed only of an archive that has the files it must have."""

import pytest

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core.errors import ArchiveUnavailable

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
