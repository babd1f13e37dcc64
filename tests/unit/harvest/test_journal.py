"""What jobs note, and what is said from it while a run goes on."""

import csv
import multiprocessing
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.download import downloaded
from skyharvest.archive.http.patience import Patience
from skyharvest.core.errors import HarvestError
from skyharvest.harvest import journal, progress
from skyharvest.harvest.extracted import lines_of
from skyharvest.harvest.journal import COLUMNS, Journal, Line, read_journal
from skyharvest.harvest.progress import Progress, jobs_at_once, progress_line, seconds_left
from skyharvest.surveys.desi import selection
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.batch import files_of
from skyharvest.surveys.desi.plan import NO_TARGETID, TARGET_DTYPE
from skyharvest.surveys.desi.wanted import Wanted
from small_release import ARMS, RELEASE, extract_batch, near, path_of, simulated, write

LINE = Line(1.8e9, 27247, "main", "dark", "read", 1500, 3, 1.25, 6, 4_200_000, (0, 17, 90210))
FAILURE = Line(1.8e9, 27247, "", "", "failed", seconds=0.5, requests=2, bytes=99, message='HTTP 403, "no"')


def test_lines_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "logs/journal.csv"
    others = [replace(LINE, unit=1, rows=()), FAILURE]
    Journal(path).add([LINE])
    Journal(path).add(others)
    read = read_journal(path)
    assert read.lines == [LINE, *others]
    assert (read.requests, read.bytes) == (14, 8_400_099)
    with path.open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert tuple(table[0]) == COLUMNS
    assert (table[0]["time"], table[0]["rows"]) == ("2027-01-15T08:00:00.000Z", "0 17 90210")
    assert table[2]["message"] == 'HTTP 403, "no"'


def test_of_lines_about_the_same_coadd_the_last_one_counts(tmp_path):
    path = tmp_path / "journal.csv"
    again = replace(LINE, n_spectra=4)
    Journal(path).add([LINE, FAILURE])
    assert read_journal(path).failed == {27247: FAILURE}
    Journal(path).add([again])
    read = read_journal(path)
    assert (read.files, read.failed) == ({LINE.file: again}, {})
    assert read.bytes == 2 * LINE.bytes + FAILURE.bytes  # they were moved all the same


@given(st.text())
def test_a_message_is_one_line_of_bounded_length(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("m") / "journal.csv"
    Journal(path).add([replace(FAILURE, message=text), LINE])
    first, second = read_journal(path).lines
    assert second == LINE
    assert len(first.message) <= journal.MESSAGE_LENGTH
    if len(text) < journal.MESSAGE_LENGTH and text.isprintable():
        assert first.message.split() == text.split()


# Junk as a lost machine leaves it, such as zeros; what completes a torn line by chance is taken for one.
@given(cut=st.integers(0, 400), junk=st.binary(max_size=30).filter(lambda junk: b"," not in junk))
def test_a_torn_line_costs_itself_and_no_other(tmp_path_factory, cut, junk):
    path = tmp_path_factory.mktemp("t") / "journal.csv"
    lines = [replace(LINE, unit=k) for k in range(4)]
    Journal(path).add(lines)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)] + junk)
    Journal(path).add([FAILURE])
    read = read_journal(path).lines
    assert read[-1] == FAILURE
    whole = [replace(line, message="") for line in read[:-1]]  # the junk may be taken for one
    assert whole == lines[: len(whole)]  # in order, none made up
    assert len(read) >= 4 - cut // 60


def _write_many(path: Path, pix64: int) -> None:
    for k in range(60):
        Journal(path).add([replace(LINE, unit=pix64, n_searched=k, rows=tuple(range(40 * k)))])


def test_jobs_that_write_at_once_do_not_mix_and_one_header_is_first(tmp_path):
    path = tmp_path / "journal.csv"
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_write_many, args=(path, pix64)) for pix64 in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    text = [line for line in path.read_text().splitlines() if line]  # a blank one does no harm
    assert text[0] == ",".join(COLUMNS)
    assert sum(line.startswith("time") for line in text) == 1
    read = read_journal(path).lines
    assert len(read) == len(text) - 1 == 240
    for pix64 in range(4):
        assert [line for line in read if line.unit == pix64] == [
            replace(LINE, unit=pix64, n_searched=k, rows=tuple(range(40 * k))) for k in range(60)
        ]
    assert [name.name for name in tmp_path.iterdir()] == ["journal.csv"]


@pytest.mark.parametrize("where", ["/dev/full", "a file/journal.csv"])
def test_a_journal_that_cannot_be_written_is_only_a_warning(tmp_path, monkeypatch, caplog, where):
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    Journal(Path(where)).add([LINE])
    assert where in caplog.text
    assert read_journal(Path("a file/journal.csv")).lines == []


# What batches note.

PIXELS = (27244, 27245)
COADDS = {pix64: simulated(6, pix64=pix64, seed=pix64) for pix64 in PIXELS}
for arm in ARMS:
    COADDS[27245].ivar[arm][1] = 0
HASTY = Patience(base_s=0.01)
ASKED = {pix64: [path_of(coadd), RELEASE.coadd("main", "backup", pix64)] for pix64, coadd in COADDS.items()}


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Two pixels with a dark coadd each, and a backup one that the archive does not have; three targets in each."""
    monkeypatch.setattr(selection, "SECOND_READING_S", 0)
    table = np.zeros(6, TARGET_DTYPE)
    for i, (pix64, k) in enumerate((pix64, k) for pix64 in PIXELS for k in range(3)):
        far = 0.3 if k < 2 else 2.0  # the third one is none of the fiber's
        table[i] = (pix64, 10 * i, *near(COADDS[pix64], k, far), NO_TARGETID)
    np.save(tmp_path / "plan_targets.npy", table)
    for coadd in COADDS.values():
        write(tmp_path / "archive", coadd)
    return tmp_path


def run(root: Path, archive: Archive, to: Journal, *, files: bool = False) -> None:
    def at_hand(coadds):
        return downloaded(archive, files_of(RELEASE, coadds, redshifts=True), root / "scratch")

    extract_batch(
        archive,
        ASKED,
        root / "plan_targets.npy",
        root / "extracted",
        Wanted(record_missing=True),
        at_hand=at_hand if files else None,
        journal=to,
    )


@pytest.mark.parametrize("files", [False, True])
def test_a_batch_notes_what_it_found_and_what_the_server_sent(root, files):
    path = root / "journal.csv"
    with serve(root / "archive") as server, Archive(server.url, connections=2, patience=HASTY) as archive:
        run(root, archive, Journal(path), files=files)
        answered = [asked for asked in server.requests if (server.root / asked[0].lstrip("/")).is_file()]
    read = read_journal(path)
    assert set(read.files) == {(pix64, "main", program) for pix64 in PIXELS for program in ("dark", "backup")}
    assert read.requests >= len(answered) > 0
    not_found = len(b"no such file") * (len(server.requests) - len(answered))  # bodies that are not read
    assert server.sent - not_found <= read.bytes <= server.sent
    for pix64 in PIXELS:
        dark, backup = (read.files[pix64, "main", program] for program in ("dark", "backup"))
        rows, empty = {27244: ((0, 10), ()), 27245: ((30,), (40,))}[pix64]
        assert (dark.status, dark.n_searched, dark.n_spectra) == ("read", 6, len(rows))
        assert (dark.rows, dark.rows_empty) == (rows, empty)
        assert (backup.status, backup.n_spectra, backup.rows) == ("absent", 0, ())
        assert 0 < dark.seconds < 60
        assert dark.bytes > 50 * backup.bytes
        with h5py.File(DESI.path(root / "extracted", pix64)) as file:
            assert sorted(set(file["row"][:].tolist())) == [*rows, *empty]
            line = lines_of(file, pix64)["main", "dark"]
        assert replace(line, time=dark.time, seconds=dark.seconds, requests=dark.requests, bytes=dark.bytes) == dark


def test_local_files_move_nothing(root):
    with Archive(str(root / "archive")) as archive:
        run(root, archive, Journal(root / "journal.csv"))
    read = read_journal(root / "journal.csv")
    assert (len(read.files), read.requests, read.bytes) == (4, 0, 0)


def test_a_pixel_that_fails_is_noted_with_its_reason(root):
    path = root / "journal.csv"
    with serve(root / "archive") as server, Archive(server.url, patience=HASTY) as archive:
        server.misbehave = lambda handler, _: "/27245/" in handler.path and handler.answer(403, b"") is None
        with pytest.raises(HarvestError):
            run(root, archive, Journal(path))
    read = read_journal(path)
    assert set(read.failed) == {27245}
    assert "HTTP 403" in read.failed[27245].message
    assert {coadd[0] for coadd in read.files} == {27244}


def test_without_a_journal_to_write_the_pixels_are_made(root):
    with Archive(str(root / "archive")) as archive:
        run(root, archive, Journal(Path("/dev/full")))
    assert all(DESI.path(root / "extracted", pix64).exists() for pix64 in PIXELS)


# What is said from it.


def coadds(program: str, n: int, seconds: float, first: int = 0, at_once: int = 1) -> list[Line]:
    """Return lines of n pixels that were read one after the other by so many jobs."""
    return [
        Line(1e9 + seconds * (k // at_once + 1), first + k, "main", program, "read", 10, 1, seconds) for k in range(n)
    ]


def test_time_is_estimated_per_program_and_shared_by_the_jobs_at_once(tmp_path):
    path = tmp_path / "journal.csv"
    dark = coadds("dark", 20, 10.0, at_once=2)
    Journal(path).add(dark)
    assert jobs_at_once(dark) == pytest.approx(2)
    backup = [replace(line, unit=100 + k, seconds=0.0) for k, line in enumerate(coadds("backup", 20, 1.0))]
    backup = [replace(line, time=dark[-1].time + k + 1, seconds=1.0) for k, line in enumerate(backup)]
    Journal(path).add(backup)
    read = read_journal(path)
    at_once = (200 + 20) / (100 + 20)
    assert jobs_at_once(read.lines) == pytest.approx(at_once)
    left = {("main", "dark"): 5, ("main", "backup"): 50}
    assert seconds_left(left, read) == pytest.approx((5 * 10 + 50 * 1) / at_once)
    assert seconds_left({("main", "bright"): 4}, read) == pytest.approx(4 * (220 / 40) / at_once)
    assert seconds_left({("main", "dark"): 0}, read) == 0
    assert seconds_left(left, read_journal(tmp_path / "none.csv")) is None


def test_a_night_with_the_laptop_closed_is_no_slowness():
    evening, morning = coadds("dark", 10, 2.0), coadds("dark", 10, 2.0, first=50)
    morning = [replace(line, time=line.time + 36000) for line in morning]
    assert jobs_at_once(evening + morning) == pytest.approx(1)
    waiting = [replace(line, time=line.time + 2 * k) for k, line in enumerate(evening)]  # two seconds between the jobs
    assert jobs_at_once(waiting) == pytest.approx(20 / 38)


@pytest.fixture
def planned(tmp_path) -> tuple[Path, Path]:
    """A journal, and a plan of three pixels, two of which have two coadds."""
    plan = tmp_path / "desi/plan.csv"
    plan.parent.mkdir()
    pairs = [(1, "dark"), (1, "backup"), (2, "dark"), (2, "backup"), (3, "dark")]
    plan.write_text("survey,program,pix64,pix16,n_targets\n" + "".join(f"main,{p},{k},0,9\n" for k, p in pairs))
    (plan.parent / "plan_pixels.csv").write_text("pix16,pix64,n_targets,digest\n0,1,9,a\n0,2,9,b\n0,3,9,c\n")
    path = tmp_path / "logs/extract_desi.csv"
    now = time.time()
    lines = [Line(now, 1, "main", p, "read", 10, 2, 4.0, 5, 700_000, message="") for p in ("dark", "backup")]
    Journal(path).add([*lines, Line(now - 9, 77, "main", "dark", "read", 10, 9, 4.0, 5, 700_000)])  # of an older plan
    return path, plan


def test_the_line_says_pixels_spectra_bytes_errors_and_time(planned):
    path, plan = planned
    said = progress_line(path, DESI.read_plan(plan))
    assert said == "1 of 3 pixels, 4 spectra, 2.1 MB moved, 0 errors, about 13 s left"
    Journal(path).add([Line(time.time(), 3, "", "", "failed", message="gone")])
    assert "4 spectra, 2.1 MB moved, 1 error, about 9 s left" in progress_line(path, DESI.read_plan(plan))


def age(path: Path, seconds: float) -> None:
    when = time.time() - seconds
    os.utime(path, (when, when))


def test_it_is_said_once_in_a_while_by_one_of_all_jobs(planned, capsys):
    path, plan = planned
    record, shown = path.with_name(progress.RECORD), path.with_name("progress_desi.txt")

    def all_jobs() -> list[str]:
        jobs = [threading.Thread(target=Progress(DESI, path, plan).unit_done) for _ in range(8)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        return capsys.readouterr().out.splitlines()

    record.touch()
    assert all_jobs() == []  # the run has just begun
    age(record, 31)
    (said,) = all_jobs()
    assert "1 of 3 pixels" in said
    assert shown.read_text() == f"{said}\n"
    assert all_jobs() == []
    age(shown, 31)
    assert len(all_jobs()) == 1
    age(shown, -3600)  # written by a clock that was wrong
    assert len(all_jobs()) == 1
    assert sorted(name.name for name in path.parent.iterdir()) == ["extract_desi.csv", "progress_desi.txt", "run.json"]


def test_a_job_that_comes_second_says_nothing(planned, monkeypatch, capsys):
    """Another one has spoken since it looked."""
    due = iter([True, False])
    monkeypatch.setattr(Progress, "_is_due", lambda *_: next(due))
    Progress(DESI, *planned).unit_done()
    assert capsys.readouterr().out == ""


def test_a_job_that_was_killed_while_it_spoke_silences_nobody_for_long(planned, capsys):
    path, plan = planned
    path.with_name(progress.RECORD).touch()
    age(path.with_name(progress.RECORD), 100)
    path.with_name(".progress_desi.txt").touch()
    Progress(DESI, path, plan).unit_done()
    assert capsys.readouterr().out == ""
    age(path.with_name(".progress_desi.txt"), 31)
    for _ in range(2):
        Progress(DESI, path, plan).unit_done()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_what_cannot_be_said_fails_no_job(planned, tmp_path, capsys):
    path, plan = planned
    path.with_name(progress.RECORD).touch()
    age(path.with_name(progress.RECORD), 100)
    Progress(DESI, path, tmp_path / "no plan.csv").unit_done()
    plan.write_text("something else\n1,2\n")
    Progress(DESI, path, plan).unit_done()
    Progress(DESI, tmp_path / "no/logs/journal.csv", plan).unit_done()
    Progress(DESI, path, None).unit_done()
    assert capsys.readouterr().out == ""
