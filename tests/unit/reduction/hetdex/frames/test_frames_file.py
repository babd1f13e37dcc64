"""The frames of a pairing: written when they change, read by what is asked for."""

import dataclasses
import math
import os

import pytest

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.frames.frames_file import Member

LL = Member("sci", 20190103, 12, 1, "008", "093", "054", "0123", "LL", "a.tar", "x.fits", 512, 100, 'a, "b"', 360.0)
LU = dataclasses.replace(LL, amp="LU", expnum=2, state="bad", reason="cut short")
ZRO = dataclasses.replace(LL, type="zro", night=20190102, obs=1, exptime=math.nan)


def test_frames_are_read_as_written_and_chosen(tmp_path):
    path = tmp_path / "201901/008_093_054_0123.csv"
    assert frames_file.write(path, [ZRO, LL, LU])
    os.utime(path, (1, 1))
    assert not frames_file.write(path, [ZRO, LL, LU])
    assert path.stat().st_mtime == 1
    zro, *others = frames_file.read_all(path)
    assert others == [LL, LU]
    assert math.isnan(zro.exptime)
    assert (LL.shot, LL.exposure, LL.ifu, LL.month) == ("20190103v012", "exp01", "008_093_054_0123", 201901)
    assert frames_file.read(path, type="sci", shot="20190103v012") == [LL]  # the bad one is none
    assert [one.type for one in frames_file.read(path, amp="LL")] == ["zro", "sci"]
    assert frames_file.read(path, expnum=3) == []
    assert frames_file.read_one(path, "sci", "20190103v012", 1, "LL") == LL


def test_who_asks_for_a_bad_frame_hears_why(tmp_path):
    path = tmp_path / "frames.csv"
    frames_file.write(path, [LL, LU])
    with pytest.raises(MalformedFile, match=r"a\.tar: x\.fits: cut short"):
        frames_file.read_one(path, "sci", "20190103v012", 2, "LU")
    with pytest.raises(MalformedFile, match="found 0 frames sci 20190103v012 exp01 RU; expected one"):
        frames_file.read_one(path, "sci", "20190103v012", 1, "RU")


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "frames.csv"
    path.write_text("type,night\n")
    with pytest.raises(MalformedFile, match="found the columns type,night"):
        frames_file.read_all(path)
    frames_file.write(path, [LL])
    path.write_text(path.read_text().replace("20190103", "2019-01-03"))
    with pytest.raises(MalformedFile, match="line 2"):
        frames_file.read_all(path)
