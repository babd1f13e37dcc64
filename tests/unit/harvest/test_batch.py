"""A job on a full disk."""

import errno
import os

import pytest

from skyharvest.harvest.batch import Batch
from skyharvest.harvest.journal import Journal, read_journal
from skyharvest.surveys.desi.about import SURVEY as DESI


def job(tmp_path, extract) -> Batch:
    return Batch(
        survey=DESI,
        extracted=tmp_path / "extracted",
        assembled=tmp_path / "assembled",
        searched={4: [64, 65], 8: [128]},
        requests={64: "a", 65: "b", 128: "c"},
        extract=extract,
        assemble=lambda *_: pytest.fail("there is nothing to assemble"),
        journal=Journal(tmp_path / "journal.csv"),
    )


def test_nothing_more_is_read_when_the_disk_is_full(tmp_path):
    asked = []

    def extract(unit, _):
        asked.append(unit)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{unit}.hdf5")

    with pytest.raises(OSError, match=r"No space left on device: '64\.hdf5'"):
        job(tmp_path, extract).run()
    assert asked == [64]
    assert "No space left" in read_journal(tmp_path / "journal.csv").failed[64].message


def test_nothing_is_read_when_the_disk_is_full_already(tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, data: bytes) -> int:
            assert len(data) >= 4096
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("skyharvest.core.atomic.tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(OSError, match=r"No space left on device: '.*/extracted'"):
        job(tmp_path, lambda *_: pytest.fail("it was read")).run()
