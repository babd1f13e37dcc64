"""A night's tars are indexed: members by offset, and what is damaged is told."""

import csv

import numpy as np
import pytest

from raw_frames import frame, name_of, write_tar
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.frames.tar_index import (
    BAD,
    GOOD,
    exposure_time,
    index_night,
    index_tar,
    read_list,
    tars_of,
    write_list,
)

AMPS = ("LL", "LU", "RL", "RU")
SMALL = np.zeros((1032, 1064), "u2")


@pytest.fixture(scope="module")
def frames():
    return {name_of(12, 1, amp, "sci"): frame(amp, SMALL, OBJECT=f"DEX {amp}") for amp in AMPS}


def spoilt(path, at, data):
    with path.open("r+b") as out:
        out.seek(at)
        out.write(data)


@pytest.mark.parametrize("options", [{"format": 0}, {"format": 1}, {"format": 2, "mtime": 1546494300.25}])
def test_members_are_found_where_tarfile_finds_them(tmp_path, frames, options):
    where = write_tar(tmp_path / "virus0000012.tar", frames, **options)
    rows = index_tar(tmp_path / "virus0000012.tar", 20190103)
    assert [row.member for row in rows] == list(frames)
    for row, amp, data in zip(rows, AMPS, frames.values(), strict=True):
        assert (row.offset, row.size) == (where[row.member], len(data))
        assert (row.night, row.obs, row.expnum, row.type, row.ifuslot, row.amp) == (20190103, 12, 1, "sci", "093", amp)
        assert (row.specid, row.ifuid, row.contid, row.exptime) == ("008", "054", "0123", "360")
        assert (row.state, row.reason, row.header["OBJECT"]) == (GOOD, "", f"DEX {amp}")
        assert row.header["TRAJCRA"] == "13.0"
        assert "DEWPOINT" not in row.header


def test_a_long_name_and_other_members_are_read_too(tmp_path):
    long = "archive/" * 12 + name_of(3, 2, "RU", "twi")
    write_tar(tmp_path / "virus0000003.tar", {"notes.txt": b"cloudy", long: frame("RU", SMALL)}, format=1)
    write_tar(tmp_path / "virus0000004.tar", {"notes.txt": b"cloudy", long: frame("RU", SMALL)}, format=2)
    for obs in (3, 4):
        odd, row = index_tar(tmp_path / f"virus000000{obs}.tar", 20190103)
        assert (row.member, row.state, row.expnum, row.type) == (long, GOOD, 2, "twi")
        assert odd.state == BAD
        assert "no frame by its name" in odd.reason


def test_a_tar_that_is_cut_short_keeps_what_is_before(tmp_path, frames):
    path = tmp_path / "virus0000012.tar"
    where = write_tar(path, frames)
    names = list(frames)
    whole = path.read_bytes()
    path.write_bytes(whole[: where[names[2]] + 1_000_000])
    rows = index_tar(path, 20190103)
    assert [row.state for row in rows] == [GOOD, GOOD, BAD]
    assert rows[2].member == names[2]
    assert rows[2].amp == "RL"
    assert "cut short" in rows[2].reason
    assert str(where[names[2]] + 1_000_000) in rows[2].reason
    path.write_bytes(whole[: where[names[2]] - 300])  # in a tar header
    assert [row.state for row in index_tar(path, 20190103)] == [GOOD, GOOD, BAD]
    path.write_bytes(whole[: where[names[2]] - 512])  # between two members
    *good, last = index_tar(path, 20190103)
    assert [row.state for row in good] == [GOOD, GOOD]
    assert "no end mark" in last.reason


def test_a_damaged_member_does_not_stop_the_walk(tmp_path, frames):
    path = tmp_path / "virus0000012.tar"
    where = write_tar(path, frames)
    names = list(frames)
    whole = path.read_bytes()
    spoilt(path, where[names[1]], b"\x00" * 4000)  # the FITS header
    rows = index_tar(path, 20190103)
    assert [row.state for row in rows] == [GOOD, BAD, GOOD, GOOD]
    assert "expected a FITS header" in rows[1].reason
    for damage in (b"\x00" * 512, b"\xff" * 512):  # the whole tar header: the member's name is gone
        path.write_bytes(whole)
        spoilt(path, where[names[1]] - 512, damage)
        rows = index_tar(path, 20190103)
        assert [row.state for row in rows] == [GOOD, BAD, GOOD, GOOD]
        assert [row.member for row in rows] == [names[0], "", *names[2:]]
        assert "damaged tar header" in rows[1].reason
    path.write_bytes(whole)
    spoilt(path, where[names[3]] - 512 + 130, b"\xff" * 20)  # size and time of the last one; its name is still there
    rows = index_tar(path, 20190103)
    assert [row.state for row in rows] == [GOOD, GOOD, GOOD, BAD]
    assert (rows[3].amp, rows[3].ifuslot, rows[3].expnum, rows[3].type) == ("RU", "093", 1, "sci")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame("LL", SMALL)[:1_000_000], "cut short: found"),
        (frame("LL", SMALL[:, :500]), "NAXIS1"),
        (frame("LL", SMALL)[:800], "no END"),
        (frame("LU", SMALL), "CCDPOS and CCDHALF say LU"),
        (frame("LL", SMALL, CCDPOS=None), "CCDPOS and CCDHALF say 'L'"),
        (frame("LL", SMALL, IFUSLOT="094"), "IFUSLOT is 094"),
        (frame("LL", SMALL, IMAGETYP="zro"), "IMAGETYP is zro, the name says sci"),
        (b"<html>", "expected a FITS header"),
    ],
)
def test_a_frame_that_cannot_be_one_is_bad_with_the_reason(tmp_path, data, reason):
    path = tmp_path / "virus0000012.tar"
    write_tar(path, {name_of(12, 1, "LL", "sci"): data, name_of(12, 1, "RU", "sci"): frame("RU", SMALL)})
    bad, good = index_tar(path, 20190103)
    assert (bad.state, good.state) == (BAD, GOOD)
    assert reason in bad.reason


def test_what_is_odd_about_a_good_frame_is_told(tmp_path):
    cards = {"GAIN": 0.0, "SPECID": 8, "CONTID": None, "EXPTIME": 1200.0, "PEXPTIME": 368.0}
    write_tar(tmp_path / "virus0000012.tar", {name_of(12, 1, "LL", "sci"): frame("LL", SMALL, **cards)})
    (row,) = index_tar(tmp_path / "virus0000012.tar", 20190103)
    assert (row.state, row.specid, row.contid, row.exptime) == (GOOD, "008", "", "360")
    assert "GAIN is 0.0: 0.85 is taken" in row.reason
    assert "parallel mode" in row.reason


def test_a_type_that_is_none_of_virus_says_nothing(tmp_path):
    data = frame("LL", SMALL, IMAGETYP="object")
    write_tar(tmp_path / "virus0000012.tar", {name_of(12, 1, "LL", "sci"): data})
    assert index_tar(tmp_path / "virus0000012.tar", 20190103)[0].state == GOOD


def test_exposure_time_in_parallel_mode():
    assert exposure_time({"EXPTIME": 360.1, "PEXPTIME": 368.0}) == 360.1
    assert exposure_time({"EXPTIME": 1215.0, "PEXPTIME": 368.0}) == 360
    assert exposure_time({"EXPTIME": 360.1}) == 360.1
    assert exposure_time({"EXPTIME": 360.1, "PEXPTIME": 0.0}) == 360.1
    assert exposure_time({"PEXPTIME": 368.0}) == 360
    assert exposure_time({"EXPTIME": 0.0}) == 0
    assert exposure_time({}) is None


def test_another_frame_has_another_digest(tmp_path):
    digests = set()
    for cards, mtime in (({}, 1), ({}, 1), ({"OBJECT": "other"}, 1), ({}, 2)):
        path = tmp_path / "virus0000012.tar"
        write_tar(path, {name_of(12, 1, "LL", "sci"): frame("LL", SMALL, **cards)}, mtime=mtime)
        digests.add(index_tar(path, 20190103)[0].digest)
    assert len(digests) == 3


def test_a_list_is_read_as_it_was_written(tmp_path, frames):
    write_tar(tmp_path / "20190103/virus/virus0000012.tar", {**frames, 'odd, "name"\udcff': b""})
    write_tar(tmp_path / "20190103/virus/virus0000002.tar", {name_of(2, 1, "LL", "zro"): frame("LL", SMALL)})
    rows = index_night(tmp_path, 20190103)
    assert [row.obs for row in rows] == [2, 12, 12, 12, 12, 12]
    write_list(tmp_path / "list.csv", rows)
    assert read_list(tmp_path / "list.csv") == rows
    with (tmp_path / "list.csv").open(newline="") as stream:
        assert [line["TRAJCDEC"] for line in csv.DictReader(stream)][:2] == ["51.0", "51.0"]
    (tmp_path / "list.csv").write_text((tmp_path / "list.csv").read_text()[:-30])
    with pytest.raises(MalformedFile, match=r"list\.csv: line \d+: .*; remove the file and run again"):
        read_list(tmp_path / "list.csv")


def test_a_night_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="20190105"):
        tars_of(tmp_path, 20190105)
