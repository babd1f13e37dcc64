"""Reports of a shot: made, made again, removed; what fails; and a program that is killed."""

import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from PIL import Image

import hetdex_reports
from hetdex_reports import (
    CONTINUUM,
    FIRST,
    IFU,
    LINES,
    OTHER_IFU,
    SHOT,
    SHOTID,
    known_shot,
    small_shot,
    write_detections,
)
from running import ROOT
from skyharvest.reduction.hetdex.report_list import read_list
from skyharvest.reduction.hetdex.source_settings import Reports
from skyharvest.report.hetdex_detections.picture import Picture
from skyharvest.report.hetdex_detections.write_reports import Counts, write_reports

ALL = [*(FIRST + k for k in range(len(LINES))), CONTINUUM]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("shot")


@pytest.fixture(scope="module")
def inputs(root):
    return small_shot(root)


@pytest.fixture
def shot(root):
    """A shot that is known."""
    return known_shot(root)


@pytest.fixture
def out(tmp_path):
    return tmp_path / f"reports/{SHOT}.csv"


@pytest.fixture
def database(out):
    return out.with_name(f"elixer_reports_{SHOTID}.db")


def plainly(picture, content):
    """Draw nothing: return what tells a report from others."""
    detection = content.detection
    return f"{detection.detectid} {detection.row['wave']} {[one.separation for one in content.neighbours]}".encode()


def detectids(database, table="report"):
    with sqlite3.connect(database) as file:
        return [row[0] for row in file.execute(f"SELECT detectid FROM {table} ORDER BY detectid")]


def read_report(database, detectid):
    with sqlite3.connect(database) as file:
        row = file.execute("SELECT image FROM report WHERE detectid = ?", (detectid,)).fetchone()
    return row and bytes(row[0])


def states(out):
    return {detectid: one.state for detectid, one in read_list(out).items()}


def test_every_detection_has_one_picture(shot, inputs, out, database):
    assert write_reports(shot, inputs, out, Reports()) == Counts(expected=6, found=6, new=6, removed=0)
    assert detectids(database) == ALL
    assert states(out) == dict.fromkeys(ALL, "done")
    with sqlite3.connect(database) as file:
        columns = [row[1:4] for row in file.execute("PRAGMA table_info(report)")]
    assert columns == [("detectid", "BIGINT", 0), ("image", "BLOB", 1)]
    for detectid in ALL:
        data = read_report(database, detectid)
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.size) == ("PNG", (1500, 1100))
        assert 20_000 < len(data) < 200_000
        assert len(set(picture.convert("L").resize((150, 110)).tobytes())) > 50  # and is not empty
    assert read_report(database, 1) is None


def test_only_what_is_missing_or_has_changed_is_made(shot, inputs, out, database, tmp_path):
    inputs = replace(inputs, lines=[tmp_path / IFU, tmp_path / OTHER_IFU], continuum=tmp_path / "continuum.h5")
    write_detections(inputs, LINES)
    write_reports(shot, inputs, out, Reports(), plainly)
    assert write_reports(shot, inputs, out, Reports(), plainly) == Counts(6, 6, new=0, removed=0)
    with sqlite3.connect(database) as file:
        file.execute("DELETE FROM report WHERE detectid = ?", (ALL[2],))
        file.execute("UPDATE report SET image = x'00' WHERE detectid = ?", (ALL[3],))
        file.execute("UPDATE made SET digest = 'other' WHERE detectid = ?", (ALL[3],))
    assert write_reports(shot, inputs, out, Reports(), plainly).new == 2
    assert read_report(database, ALL[3]).startswith(str(ALL[3]).encode())
    # The second line is gone, of which the report of the first told; those after it have its number, and another place.
    moved = hetdex_reports.Line(-3.0, 1.0, 4710.0, 50.0)
    write_detections(inputs, [LINES[0], moved, LINES[3]])
    before = {detectid: read_report(database, detectid) for detectid in ALL}
    counts = write_reports(shot, inputs, out, Reports(), plainly)
    assert counts == Counts(expected=4, found=4, new=3, removed=2)
    left = [*ALL[:3], CONTINUUM]
    assert detectids(database) == detectids(database, "made") == sorted(states(out)) == left
    assert [read_report(database, k) != before[k] for k in left] == [False, True, True, False]
    assert write_reports(shot, inputs, out, Reports(radius=20.0), plainly).new == 4


def test_settings_leave_detections_out(shot, inputs, out, database):
    assert write_reports(shot, inputs, out, Reports(least_sn=12.0), plainly) == Counts(
        expected=5, found=5, new=5, removed=0
    )
    listed = read_list(out)
    assert listed[ALL[4]].state == "left_out" and "S/N 10.0" in listed[ALL[4]].reason
    assert listed[CONTINUUM].state == "done"  # it has no signal to noise
    assert write_reports(shot, inputs, out, Reports(), plainly).new == 1


def test_a_picture_that_fails_does_not_stop_the_others(shot, inputs, out, database):
    def draw(picture, content):
        if content.detection.detectid == ALL[1]:
            raise ValueError("as planted")
        return plainly(picture, content)

    assert write_reports(shot, inputs, out, Reports(), draw) == Counts(expected=6, found=5, new=5, removed=0)
    assert read_list(out)[ALL[1]].reason == "ValueError: as planted"
    assert write_reports(shot, inputs, out, Reports(), plainly) == Counts(6, 6, new=1, removed=0)
    assert set(states(out).values()) == {"done"}


def test_a_picture_that_was_good_and_fails_now_is_not_kept(shot, inputs, out, database):
    write_reports(shot, inputs, out, Reports(), plainly)

    def draw(picture, content):
        raise ValueError("as planted")

    assert write_reports(shot, inputs, out, Reports(radius=5.0), draw) == Counts(6, 0, new=0, removed=6)
    assert detectids(database) == []


def test_without_images_of_the_detector_there_is_a_picture_that_says_so(tmp_path, out):
    inputs = small_shot(tmp_path, with_images=False)
    assert write_reports(known_shot(tmp_path), inputs, out, Reports(), plainly).found == 6
    reasons = [one.reason for one in read_list(out).values()]
    assert all("has no images in exp0" in reason for reason in reasons)
    assert any("the member is cut short" in reason for reason in reasons)


def test_a_shot_that_failed_has_no_reports(root, inputs, out, database):
    shot = known_shot(root, failed="it has no stars")
    assert write_reports(shot, inputs, out, Reports(), plainly) == Counts(expected=6, found=0, new=0, removed=0)
    assert {one.reason for one in read_list(out).values()} == {"it has no stars"}


@pytest.mark.parametrize("damage", ["text", "page", "columns"])
def test_a_damaged_file_is_made_anew(shot, inputs, out, database, damage, caplog):
    write_reports(shot, inputs, out, Reports(), plainly)
    if damage == "text":
        database.write_text("this is no database, and was never one " * 20)
    elif damage == "columns":
        database.unlink()
        with sqlite3.connect(database) as file:
            file.execute("CREATE TABLE report (number INTEGER)")
    else:
        data = bytearray(database.read_bytes())
        data[4096 : 3 * 4096] = bytes(2 * 4096)
        database.write_bytes(data)
    assert write_reports(shot, inputs, out, Reports(), plainly) == Counts(6, 6, new=6, removed=0)
    assert "it is made anew" in caplog.text


def test_a_program_that_is_killed_goes_on_where_it_was(tmp_path, out, database):
    """Killed with SIGKILL again and again: no picture is there twice, none is lost but the one under way."""
    n = 12
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}"}
    command = [sys.executable, str(ROOT / "tests/hetdex_reports.py"), str(tmp_path), str(n)]
    there = 0
    for _ in range(2):
        with subprocess.Popen([*command, "0.2"], env=environment, stdout=subprocess.PIPE, text=True) as job:
            assert job.stdout.readline() == "begin\n"
            wanted, end = there + 3, time.monotonic() + 60
            while time.monotonic() < end and (not database.exists() or _count(database) < wanted):
                time.sleep(0.02)
            job.send_signal(signal.SIGKILL)
        there = _count(database)
        assert wanted <= there < n + 1
        assert not out.exists()
    job = subprocess.run([*command, "0"], env=environment, capture_output=True, text=True, check=True)
    assert detectids(database) == detectids(database, "made") == [*(FIRST + k for k in range(n)), CONTINUUM]
    assert sorted(states(out)) == detectids(database)
    assert set(states(out).values()) == {"done"}


def _count(database):
    """Return how many pictures there are; 0 while the file has no table."""
    try:
        return len(detectids(database))
    except sqlite3.OperationalError:
        return 0


def test_pictures_of_one_canvas_do_not_see_each_other(shot, inputs, out, database, tmp_path):
    """Drawn first or last, a picture has the same bytes."""
    write_reports(shot, inputs, out, Reports())
    alone = tmp_path / "alone" / out.name

    def draw(_picture, content):
        return Picture(Reports().radius).draw(content)

    write_reports(shot, inputs, alone, Reports(), draw)
    for detectid in ALL:
        assert read_report(database, detectid) == read_report(alone.with_name(database.name), detectid)


def test_a_shot_without_detections_has_an_empty_list(shot, inputs, out, database, tmp_path):
    inputs = replace(inputs, lines=[tmp_path / IFU, tmp_path / OTHER_IFU], continuum=None)
    write_detections(replace(inputs, continuum=tmp_path / "continuum.h5"), [])
    assert write_reports(shot, inputs, out, Reports(), plainly) == Counts(0, 0, 0, 0)
    assert read_list(out) == {}
    assert detectids(database) == []
