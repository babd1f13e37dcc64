"""What goes wrong with a question is a finding, of the right kind; and the table says so to a person."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from skyharvest.archive.archive import Archive
from skyharvest.check import directory, estimate, table
from skyharvest.check.ask import answers, check
from skyharvest.config.load import validate
from skyharvest.core.errors import (
    Absent,
    ArchiveRefused,
    ArchiveUnavailable,
    BudgetSpent,
    InputError,
    MalformedFile,
)
from skyharvest.harvest.check import (
    ADAPTED,
    AS_ASSUMED,
    FAILS,
    NO_ANSWER,
    NO_SUCH,
    NOT_ASKED,
    NOTE,
    Asking,
    Checked,
    EnoughAsked,
    Finding,
    Work,
    merged,
    read_checked,
    write_checked,
)


@pytest.fixture
def asking(tmp_path) -> Iterator[Asking]:
    with Archive(str(tmp_path)) as archive:
        yield Asking(
            survey="desi",
            config={"desi": {}, "results": str(tmp_path / "not" / "yet")},
            release=None,
            known="x",
            archive=archive,
            read_targets=dict,
        )


@pytest.mark.parametrize(
    ("error", "verdict", "words"),
    [
        (ArchiveUnavailable("HTTP 503"), NO_ANSWER, "later"),
        (ArchiveRefused("HTTP 401"), FAILS, "find the same"),
        (Absent("x does not exist"), FAILS, "find the same"),
        (MalformedFile("x: torn"), FAILS, "find the same"),
        (InputError("desi.surveys"), FAILS, "find the same"),
        (PermissionError(13, "Permission denied", "x"), FAILS, "find the same"),
        (BudgetSpent("20,000,000 bytes"), NOT_ASKED, "reads no more"),
        (KeyError("FIBERMAP"), NOT_ASKED, "mistake of the check"),
    ],
)
def test_an_error_is_a_finding_and_the_next_question_is_asked(asking, error, verdict, words):
    def fail(_: Asking) -> Iterator[Finding]:
        yield asking.found(NOTE, "first", "x", seen="something")
        raise error

    def go_on(_: Asking) -> Iterator[Finding]:
        yield asking.found(AS_ASSUMED, "last", "x", seen="all")

    first, found, last = answers(asking, {"this one": fail, "last": go_on})
    assert (first.question, last.question) == ("first", "last")
    assert (found.question, found.verdict) == ("this one", verdict)
    assert words in f"{found.means} {found.change}"
    assert str(error.args[-1]) in found.seen


def test_after_enough_nothing_is_asked_and_that_is_said(asking):
    def enough(_: Asking) -> Iterator[Finding]:
        yield asking.found(FAILS, "first", "x", seen="nothing")
        raise EnoughAsked

    def never(_: Asking) -> Iterator[Finding]:
        raise AssertionError
        yield

    found = list(answers(asking, {"first": enough, "second": never, "third": never}))
    assert [one.verdict for one in found] == [FAILS, NOT_ASKED]
    assert found[1].seen == "second, third"


def test_what_is_alike_of_many_files_is_one_line(asking):
    found = [asking.found(NOTE, "units", f"{k}.fits", seen="Jy") for k in (1, 2, 3)]
    [one, other] = merged([*found, asking.found(NOTE, "units", "4.fits", seen="mJy")])
    assert (one.about, other.about) == ("1.fits and 2 more", "4.fits")


def test_a_directory_that_is_not_there_ends_the_check_of_it(tmp_path):
    (tmp_path / "targets.csv").write_text("RA_DESI,DEC_DESI\n1,1\n")
    (tmp_path / "archive").mkdir()
    config = {
        "targets": {"csv": str(tmp_path / "targets.csv")},
        "desi": {"release": "demo", "archive": str(tmp_path / "archive")},
    }
    valid = validate(config)
    (tmp_path / "archive").rmdir()
    (found, rest) = check(valid).findings
    assert (found.verdict, found.seen, rest.verdict) == (FAILS, "nothing", NOT_ASKED)
    assert "mount it" in found.change


def work(moved: int, kept: int) -> Work:
    return Work(files="1 coadd", rows="2 spectra", n_files=1, round_trips=4, moved=moved, kept=kept)


def test_a_full_disk_is_seen_before_the_run(asking):
    _, room = estimate.estimate(asking, work(10, 10**18))
    assert (room.verdict, room.question) == (FAILS, "room on disk")
    assert "1e+03 PB" in room.assumed or "TB" in room.assumed
    assert "results" in room.change
    _, room = estimate.estimate(asking, work(10, 1000))
    assert room.verdict == AS_ASSUMED


def test_time_is_of_answers_and_of_bytes(tmp_path):
    with Archive("https://archive.example", connections=2) as archive:
        asking = Asking(
            survey="desi",
            config={"results": str(tmp_path)},
            release=None,
            known="x",
            archive=archive,
            read_targets=dict,
            shared={"latency_s": 0.1, "bytes_per_s": 1e6},
        )
        many = Work(files="7,000 coadds", rows="", n_files=7000, round_trips=4, moved=3_600_000_000, kept=0)
        run, _ = estimate.estimate(asking, many)
    assert "3.6 GB over the network, in some 1 h 23 min, at 100 ms (measured) and 1 MB/s (measured)" in run.seen


def test_the_table_fits_a_terminal_and_breaks_no_word_that_fits_a_line(asking):
    address = f"https://archive.example/{'spectro/' * 6}tilepix.fits"
    found = [
        asking.found(AS_ASSUMED, "one", "x", assumed="a " * 60, seen="b " * 30),
        asking.found(FAILS, "two", address, assumed="c", seen=f"to {address}", means="d " * 100, change="e"),
        asking.found(AS_ASSUMED, "three", "x", assumed="f", seen="f"),
        asking.found(ADAPTED, "four", "x", assumed="g", seen="h " * 100),
    ]
    shown = table.show(Checked({"desi": "dr1 at there"}, found))
    assert max(map(len, shown.splitlines())) <= 120
    assert shown.count(address) == 2
    assert "  change: e" in shown
    assert "three                           f                                   the same" in shown


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([AS_ASSUMED, NOTE], "all is as assumed"),
        ([AS_ASSUMED, ADAPTED, NOT_ASKED], "2 things not as assumed"),
        ([ADAPTED, NO_ANSWER], "No answer now (desi: q)"),
        ([NO_ANSWER, FAILS, ADAPTED], "The run would fail (desi: q)"),
    ],
)
def test_the_last_line_says_what_all_comes_to(asking, verdicts, words):
    assert words in table.conclusion([asking.found(verdict, "q", "x", seen="") for verdict in verdicts])


def test_a_check_is_read_as_it_was_written(asking, tmp_path):
    checked = Checked({"desi": "dr1"}, [asking.found(FAILS, "Å", "x", seen="y", change="z")])
    write_checked(checked, Path(tmp_path, "check.json"))
    assert read_checked(Path(tmp_path, "check.json")) == checked


def test_a_file_system_that_says_something_else_of_what_is_missing(asking, tmp_path):
    [found] = directory.what_is_missing(asking)
    assert found.verdict == AS_ASSUMED
    (tmp_path / NO_SUCH).touch()  # so that what is asked for is below a file
    [found] = directory.what_is_missing(asking)
    assert (found.verdict, "Not a directory" in found.seen) == (FAILS, True)


@pytest.mark.parametrize(
    ("archive", "change"), [("local", "desi.archive: https; local is for"), ("/mirror", "mount it")]
)
def test_a_directory_that_only_a_computing_centre_has_is_told_from_a_mirror(asking, tmp_path, archive, change):
    asking.config["desi"]["archive"] = archive
    asking.release = SimpleNamespace(roots={"https": "https://archive.example", "local": "/global"})
    asking.archive = Archive(str(tmp_path / "not-mounted"))
    first, *_ = answers(asking, directory.QUESTIONS)
    assert (first.verdict, first.seen) == (FAILS, "nothing")
    assert first.change.startswith(change)
