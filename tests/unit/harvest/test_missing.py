"""What a failed run has not brought."""

import csv
import os
from pathlib import Path

import h5py
import pytest

from skyharvest.harvest.done import done_for, is_stale
from skyharvest.harvest.journal import Journal, Line
from skyharvest.harvest.missing import COLUMNS, find_missing, set_aside, show, write_missing
from skyharvest.surveys.desi.about import SURVEY as DESI

PLAN = """survey,program,pix64,pix16,n_targets
main,dark,100,6,3
main,bright,100,6,3
main,dark,101,6,5
main,dark,200,12,7
main,dark,300,18,9
"""
PIXELS = "pix16,pix64,n_targets,digest\n6,100,3,a\n6,101,5,b\n12,200,7,c\n18,300,9,d\n"


@pytest.fixture
def run(tmp_path):
    """Batches of 100 and 101, 200, 300: the second is finished, of the first one pixel, of the third none."""
    (tmp_path / "plan.csv").write_text(PLAN)
    (tmp_path / "plan_pixels.csv").write_text(PIXELS)
    for path in (DESI.path(tmp_path, 100), DESI.path(tmp_path, 200), tmp_path / "batches/4-12.csv"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def missing(run, *lines: Line):
    journal = run / "journal.csv"
    Journal(journal).add(lines)
    batches = {"4-6": [6], "4-12": [12], "4-18": [18]}
    return find_missing(DESI.read_plan(run / "plan.csv"), batches, run, journal)


def failed(pix64: int, why: str) -> Line:
    return Line(0, pix64, "", "", "failed", message=why)


def test_pixels_without_a_list_or_a_file_are_missing(run):
    found = missing(run, failed(101, "HTTP 503, twice"), failed(200, "long ago"))
    assert found == [(101, 5, "main/dark", "HTTP 503, twice"), (300, 9, "main/dark", "")]


def test_a_file_of_an_earlier_run_does_not_stand_for_a_pixel_that_failed_since(run):
    assert missing(run, failed(100, "gone"))[0] == (100, 3, "main/dark main/bright", "gone")


def test_the_list_and_what_is_shown(run):
    found = missing(run, failed(101, "a, b"))
    write_missing(run / "missing.csv", found)
    with (run / "missing.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert tuple(lines[0]) == COLUMNS
    assert lines[0] == {"unit": "101", "n_targets": "5", "files": "main/dark", "reason": "a, b"}
    said = show(found * 30, DESI.read_plan(run / "plan.csv"), run / "missing.csv")
    assert said.startswith("60 of 4 pixels are missing; there is no ledger until they are there.")
    assert "  101 (main/dark): a, b\n  300 (main/dark): not tried\n" in said
    assert said.endswith("  and 40 more")


def test_what_is_set_aside_keeps_its_kind(tmp_path):
    set_aside(tmp_path / "ledger.csv")
    (tmp_path / "ledger.csv").write_text("x")
    set_aside(tmp_path / "ledger.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.previous.csv"]


@pytest.fixture
def done(tmp_path):
    """Return a function: lines of a batch's list, and what it was done for → the path of the list."""

    def write(*lines: str, digest: str | None = "d") -> Path:
        listed = DESI.listed(tmp_path, "4-6")
        listed.parent.mkdir()
        header = "unit,n_spectra,n_read,n_absent,n_unreadable,n_beside_absent,request"
        listed.write_text("\n".join([header, *lines]))
        if digest is not None:
            done_for(listed).write_text(digest)
        return listed

    return write


@pytest.mark.parametrize(
    ("counts", "again", "expected"),
    [
        ("0,0,0", ("unreadable", "absent"), False),
        ("0,1,0", ("unreadable",), True),
        ("0,1,0", ("absent",), False),
        ("2,0,0", ("absent",), True),
        ("0,0,1", ("absent",), True),
        ("2,1,1", (), False),
    ],
)
def test_batches_to_read_again(done, counts, again, expected):
    assert is_stale(DESI, done("7,3,1,0,0,0,r", f"8,3,1,{counts},r"), "d", [7, 8], again) is expected


@pytest.mark.parametrize(("digest", "expected"), [("d", False), ("other", True), (None, True)])
def test_a_batch_that_was_done_for_something_else_or_by_an_earlier_version_is_done_again(done, digest, expected):
    assert is_stale(DESI, done("7,3,1,0,0,0,r", digest=digest), "d", [7], ()) is expected


@pytest.mark.parametrize(("request_now", "expected"), [("r", False), ("another", True), (None, True)])
def test_a_batch_with_a_unit_that_another_batch_has_extracted_since_is_done_again(
    tmp_path, done, request_now, expected
):
    listed, file = done("7,3,1,0,0,0,r"), DESI.path(tmp_path, 7)
    file.parent.mkdir(parents=True)
    with h5py.File(file, "w") as made:
        if request_now is not None:
            made.attrs["request"] = request_now
    os.utime(listed, (1e9, 1e9))
    assert is_stale(DESI, listed, "d", [7], ()) is expected
    file.unlink()
    assert not is_stale(DESI, listed, "d", [7], ("absent",)), "it is made when it is needed"
