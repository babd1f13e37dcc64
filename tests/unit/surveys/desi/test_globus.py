"""Copies by Globus: the real client against a service on loopback that really copies files."""

import csv
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import globus_transfer
from globus_service import CLIENT, SECRET, serve
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveUnavailable, InputError
from skyharvest.surveys.desi.globus.client import connect
from skyharvest.surveys.desi.globus.collection import Collection, path_problem
from skyharvest.surveys.desi.globus.files import read_pixels
from skyharvest.surveys.desi.globus.state import State
from skyharvest.surveys.desi.globus.transfer import Polling, Transfer
from skyharvest.surveys.desi.release import load_release

SCRIPTS = Path(globus_transfer.__file__).parent
RELEASE = load_release("demo")
SOURCE, DEST = "22222222-2222-4222-8222-222222222222", "11111111-1111-4111-8111-111111111111"
COADDS = [("main", "dark", 27246), ("main", "bright", 27246), ("main", "dark", 27247), ("sv3", "dark", 19456)]
MISSING = ("main", "bright", 27247)  # planned, but the archive has none of its files
QUICK = Polling(poll_s=0.01, pause_s=0.01)


def files_of(coadd):
    """Return the three paths, below what holds spectro/, as the public archive has them."""
    survey, program, pix = coadd
    group = f"spectro/redux/demo/healpix/{survey}/{program}/{pix // 100}/{pix}"
    names = [f"{kind}-{survey}-{program}-{pix}.fits" for kind in ("coadd", "redrock")]
    return [
        f"{group}/{name}" for name in (*names, f"redux_demo_healpix_{survey}_{program}_{pix // 100}_{pix}.sha256sum")
    ]


FILES = [path for coadd in COADDS for path in files_of(coadd)]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home directory and a working directory of the test's own, and no credentials."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("GLOBUS_CLIENT_ID", "GLOBUS_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A service with a source that has COADDS, an empty destination, a plan, and somebody who is logged in."""
    for path in FILES:
        (tmp_path / "there/public" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "there/public" / path).write_text(f"content of {path}\n")
    (tmp_path / "here").mkdir()
    lines = [f"{survey},{program},{pix},{pix // 16},1" for survey, program, pix in [*COADDS, MISSING]]
    (tmp_path / "plan.csv").write_text("\n".join(["survey,program,pix64,pix16,n_targets", *lines]) + "\n")
    with serve({SOURCE: tmp_path / "there", DEST: tmp_path / "here"}) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        running.write_tokens(tmp_path / "tokens.json")
        yield running


def arguments(*more, plan=True):
    """Return a command line that copies the plan's coadds."""
    where = [DEST, "/data/mirror", "--release", "demo", "--source-endpoint", SOURCE, "--source-path", "/public"]
    how = ["--token-file", "tokens.json", "--record", "record.csv", "--poll", "0.01"]
    return [*where, *how, *(["--plan", "plan.csv"] if plan else []), *more]


def run(*more, plan=True):
    """Run the program in this process and return its exit status."""
    return cli.run(globus_transfer.main, globus_transfer.build_parser(), arguments(*more, plan=plan))


def transfer(service, polling=QUICK, **how):
    """Transfer all files of the plan by the library, with little patience."""
    source, destination = Collection(SOURCE, "/public"), Collection(DEST, "/data/mirror")
    state = State.load(Path("record.csv.state.json"), source, destination)
    with connect(Path("tokens.json"), "log in", retries=2, retry_max_s=0.01) as client:
        return Transfer(client, source, destination, state, polling=polling, **how).run([*FILES, *files_of(MISSING)])


def arrived(tmp_path):
    root = tmp_path / "here/data/mirror"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def record():
    with Path("record.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def state():
    return json.loads(Path("record.csv.state.json").read_text())


EVERYTHING = dict.fromkeys(FILES, "transferred") | dict.fromkeys(files_of(MISSING), "absent")


def test_files_arrive_as_the_archive_has_them_and_absent_ones_are_recorded(service, tmp_path):
    assert run("--batch-size", "4", "--label", "my run") == 0
    assert arrived(tmp_path) == sorted(FILES)
    for path in FILES:
        assert (tmp_path / "here/data/mirror" / path).read_text() == f"content of {path}\n"
    lines = record()
    assert list(lines[0]) == ["survey", "program", "pix64", "file", "status"]
    assert [(line["survey"], line["program"], int(line["pix64"])) for line in lines[::3]] == [*COADDS, MISSING]
    assert {line["file"]: line["status"] for line in lines} == EVERYTHING
    assert [len(document["DATA"]) for document in service.submitted] == [4, 4, 4, 3]
    assert [document["label"] for document in service.submitted] == [f"my run {n} of 4" for n in (1, 2, 3, 4)]
    for document in service.submitted:
        assert (document["sync_level"], document["skip_source_errors"], document["verify_checksum"]) == (3, True, True)
    assert not Path("record.csv.state.json").exists()


def test_what_is_there_already_is_not_copied_but_recorded(service, tmp_path, caplog):
    caplog.set_level("INFO")
    assert run() == 0
    (tmp_path / "here/data/mirror" / FILES[0]).write_text("torn")
    before = {path: (tmp_path / "here/data/mirror" / path).stat().st_mtime_ns for path in FILES[1:]}
    caplog.clear()
    assert run() == 0
    assert "1 files copied, 11 were there, 3 absent" in caplog.text
    assert {path: (tmp_path / "here/data/mirror" / path).stat().st_mtime_ns for path in FILES[1:]} == before
    assert (tmp_path / "here/data/mirror" / FILES[0]).read_text() == f"content of {FILES[0]}\n"
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


@pytest.mark.parametrize(
    "path", ["desi", "home/vera/desi", "~/desi", "~vera/desi", "/~/desi", "/home/~/desi", "$HOME/desi", "/$HOME", ""]
)
def test_a_path_that_globus_takes_as_relative_to_a_home_is_explained(service, path, capsys):
    assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [DEST, path, "--plan", "plan.csv"]) == 2
    said = capsys.readouterr().err
    assert "DEST_PATH" in said and repr(path) in said
    assert "/home/USER/home/USER" in said
    assert service.requests == []


def test_paths_that_are_good_or_bad_in_other_ways():
    assert path_problem("/") is path_problem("/home/vera/desi") is path_problem("/a b/c~") is None
    assert "without .." in path_problem("/data/../../etc")
    assert "control characters" in path_problem("/data\n")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["not-a-uuid", "/data"], "DEST_ENDPOINT: found 'not-a-uuid'; expected the UUID"),
        ([DEST, "/data", "--source-endpoint", SOURCE], "give --source-endpoint and --source-path"),
        ([DEST, "/data", "--release", "demo"], "'demo' has no Globus collection"),
        ([DEST, "/data", "--label", "two\nlines"], "printable"),
        ([DEST, "/data", "--batch-size", "0"], "expected 1 or more"),
    ],
)
def test_other_mistakes_on_the_command_line(wrong, said, capsys):
    assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [*wrong, "--plan", "plan.csv"]) == 2
    assert said in capsys.readouterr().err


def test_the_public_collection_is_the_source_by_default(service, capsys):
    """UUID and path as the archive's own page gives them (data.desi.lbl.gov/doc/access/#globus)."""
    options = [DEST, "/data", "--plan", "plan.csv", "--dry-run"]
    for more, path in (([], "/dr1"), (["--release", "edr"], "/edr")):
        assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [*options, *more]) == 0
        assert f"from  6b4e1f6a-e600-11ed-9b9b-c9bb788c490e:{path}\n" in capsys.readouterr().out
    assert service.requests == []


def test_a_dry_run_shows_the_tasks_and_asks_nobody(service, capsys):
    assert run("--dry-run", "--batch-size", "6") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^main +bright +2 +6$", shown, re.M)
    assert re.search(r"^main +dark +2 +6$", shown, re.M)
    assert "15 files to transfer, in 3 tasks" in shown
    assert "skyharvest demo 3 of 3: 3 files" in shown
    assert FILES[0] in shown
    assert service.requests == []
    assert sorted(path.name for path in Path().iterdir()) == ["here", "home", "plan.csv", "there", "tokens.json"]


def test_pixels_surveys_and_programs_are_chosen_from_the_releases_list(service, tmp_path, capsys, caplog):
    from small_release import write_list

    cache = tmp_path / "cache/tilepix.fits"
    cache.parent.mkdir()
    write_list(tmp_path / "list", [*COADDS, MISSING]).rename(cache)
    Path("pix64.txt").write_text("27247\n\n19456\n")
    Path("counts.csv").write_text("count,pix64\n5,27246\n")

    def chosen(*more):
        assert run("--dry-run", "--tilepix-cache", str(cache), "--batch-size", "3", *more, plan=False) == 0
        return sorted(re.findall(r"coadd-(\w+)-(\w+)-(\d+)\.fits", capsys.readouterr().out))

    def names(*coadds):
        return sorted((survey, program, str(pix)) for survey, program, pix in coadds)

    main = [coadd for coadd in (*COADDS, MISSING) if coadd[0] == "main"]
    assert chosen() == names(*main)
    assert chosen("--healpix", "27246") == names(*[coadd for coadd in main if coadd[2] == 27246])
    assert chosen("--healpix-file", "pix64.txt", "--programs", "dark") == names(("main", "dark", 27247))
    assert "1 of 2 pixels are not listed, such as 19456" in caplog.text
    assert chosen("--healpix-file", "counts.csv", "--healpix", "27247") == names(*main)
    assert chosen("--surveys", "sv3", "main", "--programs", "dark") == names(COADDS[0], COADDS[2], COADDS[3])
    assert run("--dry-run", "--tilepix-cache", str(cache), "--healpix", "1", plan=False) == 2
    assert "lists no coadd of main, dark/bright in these pixels" in capsys.readouterr().err


def test_files_of_pixels_that_are_not(tmp_path):
    for text, line in (("27246\nabc\n", 2), ("pix64,count\n1,2\n,3\n", 3), ("-5\n", 1), ("1.5\n", 1)):
        Path("pixels").write_text(text)
        with pytest.raises(InputError, match=f"line {line}: found .*expected the number of a pixel"):
            read_pixels(Path("pixels"))


@pytest.mark.parametrize("name", ["../../etc", "a/b", "main\0", ""])
def test_a_survey_that_would_leave_the_directory_is_refused(service, name, capsys):
    Path("plan.csv").write_text(f'survey,program,pix64\n"{name}",dark,1\n')
    assert run() in (1, 2)
    assert "expected lower-case letters and digits" in capsys.readouterr().err
    assert service.requests == []


# --- what is absent, and what is not


def test_a_file_that_was_not_found_but_is_listed_is_submitted_again(service, tmp_path):
    """As on a file system that is coming back."""
    lost = {f"/public/{path}" for path in FILES[:2]}
    service.skip = lambda path: "FILE_NOT_FOUND" if path in lost and len(service.submitted) == 1 else None
    assert transfer(service) == EVERYTHING
    assert arrived(tmp_path) == sorted(FILES)
    assert [len(document["DATA"]) for document in service.submitted] == [15, 2]


def test_a_file_that_is_listed_and_never_found_is_an_error(service):
    service.skip = lambda path: "FILE_NOT_FOUND" if path == f"/public/{FILES[0]}" else None
    with pytest.raises(ArchiveUnavailable, match=r"left 1 files, such as .*it is listed"):
        transfer(service)
    assert len(service.submitted) == QUICK.attempts
    assert FILES[0] not in state()["done"]


@pytest.mark.parametrize("trouble", ["unmounted", "listing fails", "listing hangs up", "directory is a file"])
def test_nothing_is_absent_when_the_source_cannot_be_listed(service, tmp_path, trouble):
    """The task is over and has found none of its files, for a reason that shows when the source is listed."""

    def answer(handler, number):
        if not service.submitted or not handler.path.partition("?")[0].endswith("/ls"):
            return False
        if trouble == "listing fails":
            handler.reply(502, {"code": "ExternalError.DirListingFailed.ConnectFailed", "message": "no route"})
        else:
            handler.drop()
        return True

    def move_away(_):
        moved.rename(tmp_path / "gone")
        if trouble == "directory is a file":
            moved.write_text("")

    moved = tmp_path / "there/public"
    service.skip = lambda path: "FILE_NOT_FOUND"
    if trouble.startswith("listing"):
        service.misbehave = answer
    else:
        moved /= "spectro/redux/demo/healpix/main/dark/272" if trouble == "directory is a file" else ""
        service.fate = move_away
    said = {"listing fails": "ConnectFailed", "listing hangs up": "cannot be reached"}
    with pytest.raises(ArchiveUnavailable, match=said.get(trouble, "so that nothing can be said of")):
        transfer(service)
    assert state()["done"] == {}

    if service.fate is move_away:
        moved.unlink(missing_ok=True)
        (tmp_path / "gone").rename(moved)
    service.misbehave, service.skip, service.fate = None, lambda path: None, lambda document: None
    assert transfer(service) == EVERYTHING


def test_a_source_that_is_not_there_is_found_before_anything_is_submitted(service, tmp_path, capsys):
    (tmp_path / "there/public").rename(tmp_path / "there/elsewhere")
    assert run() == 75
    assert f"there is no directory {SOURCE}:/public now" in capsys.readouterr().err
    assert service.submitted == []


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "AMBIGUOUS_PATH"])
def test_other_skipped_files_are_an_error_and_the_only_ones_to_be_tried_again(service, tmp_path, code, capsys):
    service.skip = lambda path: code if path == f"/public/{FILES[4]}" else None
    assert run("--batch-size", "4") == 1
    said = capsys.readouterr().err
    assert f"1 files, such as /public/{FILES[4]}: {code}" in said
    assert "1 of 15 files are not accounted for, the others are kept" in said
    assert not Path("record.csv").exists()
    assert state()["done"] == {path: status for path, status in EVERYTHING.items() if path != FILES[4]}
    service.skip = lambda path: None
    assert run() == 0
    assert [item["source_path"] for item in service.submitted[-1]["DATA"]] == [f"/public/{FILES[4]}"]
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


# --- tasks that fail, and a service that is not always there


def test_what_a_failed_task_has_left_is_submitted_again(service, tmp_path):
    service.fate = lambda document: "ENDPOINT_ERROR" if len(service.submitted) == 1 else None
    assert transfer(service) == EVERYTHING
    assert arrived(tmp_path) == sorted(FILES)
    assert [len(document["DATA"]) for document in service.submitted] == [15, 8]


def test_a_task_that_fails_again_and_again_is_an_error_with_its_reason(service):
    service.fate = lambda document: "QUOTA_EXCEEDED"
    with pytest.raises(ArchiveUnavailable, match=r"8 of 15|at the last try: QUOTA_EXCEEDED as the test wants it"):
        transfer(service)
    assert len(service.submitted) == QUICK.attempts
    assert "absent" not in state()["done"].values()


def test_a_cancelled_task_is_not_submitted_again_in_the_same_run(service, capsys):
    service.fate = lambda document: "CANCELED"
    assert run() == 1
    assert "was cancelled with 8 files to go" in capsys.readouterr().err
    assert len(service.submitted) == 1
    service.fate = lambda document: None
    assert run() == 0
    assert [len(document["DATA"]) for document in service.submitted] == [15, 8]


def test_a_task_that_is_refused_is_not_looked_for_later(service, capsys):
    service.misbehave = lambda handler, number: (
        handler.path == "/v0.10/transfer"
        and handler.reply(403, {"code": "PermissionDenied", "message": "no write permission"}) is None
    )
    assert run() == 1
    assert "Globus answers 403 PermissionDenied: no write permission" in capsys.readouterr().err
    assert state()["tasks"] == []
    service.misbehave = None
    assert run() == 0


def test_a_suspended_task_is_kept_for_the_next_run(service, capsys):
    service.polls = 1
    service.status = "INACTIVE"
    assert run() == 1
    assert "is suspended: renew the login to its collections" in capsys.readouterr().err
    assert len(state()["tasks"]) == 1
    service.status = "ACTIVE"
    assert run() == 0
    assert len(service.submitted) == 1


@pytest.mark.parametrize("status", [503, 429, 500, 0])
def test_a_service_that_stumbles_at_every_call_costs_only_time(service, tmp_path, status):
    """Each path answers 503 (or 429, 500, or not at all) the first time."""

    def stumble(handler, number):
        if number > 1:
            return False
        if status:
            handler.reply(status, {"code": "ServiceUnavailable", "message": "busy"}, Retry_After="1")
        else:
            handler.drop()
        return True

    service.misbehave = stumble
    assert transfer(service) == EVERYTHING
    assert len(service.submitted) == 1
    assert service.count("POST", "/v0.10/transfer") == 2


def test_a_service_that_stays_down_ends_in_an_error_and_nothing_is_absent(service):
    service.misbehave = lambda handler, number: "/task/" in handler.path and handler.drop() is None
    with pytest.raises(ArchiveUnavailable, match="Globus cannot be reached"):
        transfer(service)
    assert state()["done"] == {}
    service.misbehave = lambda handler, number: "/task/" in handler.path and handler.reply(200, "<html>hi") is None
    with pytest.raises(ArchiveUnavailable, match="Globus sends no 'status' but '<html>hi'"):
        transfer(service)
    service.misbehave = lambda handler, number: "/skipped" in handler.path and handler.reply(200, "<html>hi") is None
    with pytest.raises(ArchiveUnavailable, match="Globus sends no 'DATA'"):
        transfer(service)
    assert state()["done"] == {}
    service.misbehave = None
    assert run() == 0
    assert len(service.submitted) == 1
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


def test_a_task_whose_acceptance_was_never_heard_of_is_not_submitted_twice(service):
    """The service has accepted it, and the answer is lost, for all retries; then the program is started again."""

    def deaf(handler, number):
        if handler.path == "/v0.10/transfer":
            service.submit(json.loads(handler.body))
            handler.drop()
            return True
        return False

    service.misbehave = deaf
    with pytest.raises(ArchiveUnavailable):
        transfer(service)
    assert [task["task_id"] for task in state()["tasks"]] == [""]
    service.misbehave = None
    assert transfer(service) == EVERYTHING
    assert len(service.tasks) == len(service.submitted) == 1


def test_a_task_that_globus_has_forgotten_is_submitted_again(service, tmp_path):
    service.polls = 1000
    assert run("--timeout", "0") == 75
    service.tasks.clear()
    service.polls = 0
    assert transfer(service) == EVERYTHING
    assert len(service.submitted) == 2


def test_lists_that_are_not_ready_at_once_are_asked_for_again(service):
    service.misbehave = lambda handler, number: bool(
        re.search("skipped|successful", handler.path)
        and number == 1
        and handler.reply(409, {"code": "Conflict", "message": "not complete"}) is None
    )
    assert transfer(service) == EVERYTHING


@pytest.mark.parametrize("lists", ["none of them", "another file"])
def test_a_list_of_skipped_files_that_leaves_some_out_is_not_believed(service, lists):
    """Else those would pass for transferred."""

    def answer(handler, number):
        if handler.path.endswith("/skipped_errors"):
            row = {"source_path": "/public/other", "destination_path": "/x", "error_code": "FILE_NOT_FOUND"}
            handler.reply(200, {"DATA": [] if lists == "none of them" else [row] * 3, "next_marker": None})
            return True
        return False

    service.misbehave = answer
    with pytest.raises(ArchiveUnavailable, match="skipped 3 files, and Globus lists"):
        transfer(service)
    assert state()["done"] == {}
    service.misbehave = None
    assert transfer(service) == EVERYTHING
    assert len(service.submitted) == 1


def test_only_so_many_tasks_are_under_way_at_once(service, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("skyharvest.surveys.desi.globus.transfer.UNDER_WAY", 2)
    service.polls, most = 2, []
    service.misbehave = lambda handler, number: most.append(
        sum(task["status"] == "ACTIVE" for task in service.tasks.values())
    )
    assert transfer(service, batch_size=3) == EVERYTHING
    assert max(most) == 2
    assert len(service.submitted) == 5
    assert re.search(r"6 files accounted for, .* GB moved, .* MB/s; 2 tasks under way, 1 to be submitted", caplog.text)


def test_what_holds_a_task_up_is_said_once(service, caplog):
    service.polls, service.nice_status = 5, "GC_NOT_CONNECTED"
    assert transfer(service) == EVERYTHING
    assert caplog.text.count("skyharvest 1 of 1 is held up: GC_NOT_CONNECTED") == 1


# --- interrupted


def test_after_a_timeout_the_next_run_waits_for_the_same_tasks(service, tmp_path, capsys):
    service.polls = 1000
    assert run("--timeout", "0.1", "--batch-size", "4") == 75
    assert "4 tasks are still under way after 0.1 s" in capsys.readouterr().err
    assert not Path("record.csv").exists()
    service.polls = 0
    for task_id in service.tasks:
        service.left[task_id] = 3
    assert run("--batch-size", "4") == 0
    assert len(service.submitted) == 4
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


def test_killed_and_started_again_it_goes_on(service, tmp_path):
    """kill -9 when one of four tasks is accounted for and three are under way."""
    service.polls = 10**9
    command = [sys.executable, SCRIPTS / "globus_transfer.py", *arguments("--batch-size", "4")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(service.tasks) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    service.left[next(iter(service.tasks))] = 0
    while len(state()["done"]) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert set(state()["done"]) == set(FILES[:4])
    assert len(state()["tasks"]) == 3
    for task_id in service.tasks:
        service.left[task_id] = 0
    assert run() == 0
    assert len(service.submitted) == 4
    assert arrived(tmp_path) == sorted(FILES)
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


def test_killed_before_it_hears_of_its_tasks_id_it_does_not_submit_it_twice(service, tmp_path):
    def kill(handler, number):
        if handler.path == "/v0.10/transfer":
            service.submit(json.loads(handler.body))
            os.kill(process.pid, signal.SIGKILL)
            handler.drop()
            return True
        return False

    service.misbehave = kill
    process = subprocess.Popen([sys.executable, SCRIPTS / "globus_transfer.py", *arguments()])
    assert process.wait(60) == -signal.SIGKILL
    service.misbehave = None
    assert run() == 0
    assert len(service.submitted) == 1
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


def test_a_damaged_state_file_says_what_to_do(service, capsys):
    Path("record.csv.state.json").write_text('{"source": ')
    assert run() == 1
    assert "record.csv.state.json is damaged" in capsys.readouterr().err


def test_the_state_of_another_transfer_is_not_taken_for_this_one(service, tmp_path, caplog):
    service.polls = 1000
    assert run("--timeout", "0") == 75
    service.polls = 0
    assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [DEST, "/other", *arguments()[2:]]) == 0
    assert "is about another transfer, which is left to itself: " + next(iter(service.tasks)) in caplog.text
    assert (tmp_path / "here/other" / FILES[0]).is_file()


# --- as seen from this machine


def test_files_that_cannot_be_seen_where_they_should_be_are_an_error(service, tmp_path, capsys):
    """Else every coadd would be recorded as absent by the jobs that read them there."""
    assert run("--local", str(tmp_path / "here/mirror")) == 2
    assert f"12 transferred files are not in {tmp_path}/here/mirror, such as {FILES[0]}" in capsys.readouterr().err
    assert not Path("record.csv").exists()
    assert run("--local", str(tmp_path / "here/data/mirror")) == 0


def test_a_later_run_transfers_only_what_is_new_or_gone(service, tmp_path):
    local = ["--local", str(tmp_path / "here/data/mirror")]
    lines = Path("plan.csv").read_text().splitlines()
    Path("plan.csv").write_text("\n".join(lines[:4]) + "\n")
    assert run(*local) == 0
    assert run(*local) == 0
    assert [len(document["DATA"]) for document in service.submitted] == [9]
    Path("plan.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "here/data/mirror" / FILES[1]).unlink()
    assert run(*local) == 0
    asked = [item["source_path"].removeprefix("/public/") for item in service.submitted[-1]["DATA"]]
    assert asked == [FILES[1], *FILES[9:], *files_of(MISSING)]
    assert run(*local) == 0  # what was absent may have come
    assert [item["source_path"][8:] for item in service.submitted[-1]["DATA"]] == files_of(MISSING)
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING


# --- logins


def test_without_a_login_and_a_person_it_says_what_to_run(service, capsys):
    Path("tokens.json").unlink()
    assert run() == 1
    said = capsys.readouterr().err
    assert f"--login --release demo --source-endpoint {SOURCE} --source-path /public --token-file tokens.json" in said
    assert "urn:globus:auth:scope:transfer.api.globus.org:all" in said
    assert "GLOBUS_CLIENT_SECRET of a confidential client" in said
    assert not Path("tokens.json").exists()


DATA_ACCESS = f"https://auth.globus.org/scopes/{DEST}/data_access"


def test_without_a_person_a_consent_that_is_wanted_is_named(service, capsys):
    service.consent_wanted[DEST] = DATA_ACCESS
    assert run() == 1
    said = capsys.readouterr().err
    assert DATA_ACCESS in said and "--login" in said
    assert service.submitted == []


def as_client(monkeypatch, secret=SECRET):
    monkeypatch.setenv("GLOBUS_CLIENT_ID", CLIENT)
    monkeypatch.setenv("GLOBUS_CLIENT_SECRET", secret)


def test_a_confidential_client_needs_no_person_and_leaves_no_tokens(service, tmp_path, monkeypatch):
    Path("tokens.json").unlink()
    as_client(monkeypatch)
    service.consent_wanted = {DEST: DATA_ACCESS}
    assert run() == 0
    assert {line["file"]: line["status"] for line in record()} == EVERYTHING
    assert not list(tmp_path.rglob("*tokens*"))


def test_a_confidential_client_that_is_refused(service, monkeypatch, capsys):
    as_client(monkeypatch, "wrong")
    assert run() == 1
    assert "correct GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET" in capsys.readouterr().err
    monkeypatch.delenv("GLOBUS_CLIENT_ID")
    assert run() == 2
    assert "set both, or neither" in capsys.readouterr().err


def test_an_access_token_that_has_expired_is_renewed_and_kept_private(service, tmp_path):
    service.write_tokens(tmp_path / "tokens.json", lifetime_s=-100)
    before = Path("tokens.json").read_text()
    Path("tokens.json").chmod(0o644)
    old = os.umask(0)
    try:
        assert run() == 0
    finally:
        os.umask(old)
    assert Path("tokens.json").read_text() != before
    assert stat.S_IMODE(Path("tokens.json").stat().st_mode) == 0o600


def test_a_login_that_was_revoked(service, tmp_path, capsys):
    service.write_tokens(tmp_path / "tokens.json", lifetime_s=-100)
    service.refresh_tokens.clear()
    assert run() == 1
    assert "log in again (globus_transfer.py --login)" in capsys.readouterr().err


def test_something_else_in_the_place_of_the_tokens(service, capsys):
    for text in ("not json", "{}"):
        Path("tokens.json").write_text(text)
        assert run() == 2
        assert "is not a file of Globus tokens" in capsys.readouterr().err
        assert Path("tokens.json").read_text() == text


def test_a_collection_that_does_not_exist(service, capsys):
    nowhere = "33333333-3333-4333-8333-333333333333"
    assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [nowhere, *arguments()[1:]]) == 2
    assert f"No such endpoint '{nowhere}': correct the collection's UUID" in capsys.readouterr().err


@pytest.mark.parametrize("who", ["person", "client"])
def test_no_secret_is_said_or_written(service, tmp_path, monkeypatch, who):
    """Not even with --verbose; the token file alone has tokens, and the client has none."""
    service.write_tokens(tmp_path / "tokens.json", lifetime_s=-100)
    if who == "client":
        Path("tokens.json").unlink()
        as_client(monkeypatch)
    command = [sys.executable, SCRIPTS / "globus_transfer.py", *arguments("--verbose", "--local", "here/data/mirror")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(service.secrets) > 5 - (who == "client")
    texts = {"output": done.stdout + done.stderr} | {
        path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != "tokens.json"
    }
    assert "record.csv.state.json" in texts and "DEBUG" in texts["output"]
    assert [name for name, text in texts.items() if any(secret in text for secret in service.secrets)] == []


@pytest.mark.parametrize("before", ["no login", "a login that was revoked"])
def test_a_person_logs_in_once_and_consents_when_asked(service, tmp_path, before):
    """In a terminal: two addresses are shown, one for the login and one for the consent; nothing the second time."""
    Path("tokens.json").unlink()
    if before != "no login":
        service.write_tokens(tmp_path / "tokens.json", lifetime_s=-100)
        service.refresh_tokens.clear()
    service.consent_wanted[DEST] = DATA_ACCESS
    master, slave = pty.openpty()
    command = [sys.executable, SCRIPTS / "globus_transfer.py", *arguments("--login", plan=False)]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, umask=0, start_new_session=True)
    os.close(slave)
    shown, visited = "", 0
    try:
        while True:
            shown += os.read(master, 4096).decode()
            if shown.count("Authorization Code here") > visited:
                address = re.findall(r"http://127\S+", shown)[visited]
                with urllib.request.urlopen(address) as page:
                    os.write(master, f"{json.load(page)['code']}\n".encode())
                visited += 1
    except OSError:  # the program has ended
        pass
    assert process.wait() == 0, shown
    assert visited == 2
    assert "logged in; both collections can be listed" in shown
    assert stat.S_IMODE(Path("tokens.json").stat().st_mode) == 0o600
    assert service.submitted == []
    assert run() == 0
    assert not [secret for secret in service.secrets if secret in shown]


def test_nothing_but_the_program_imports_the_sdk():
    modules = ("config.load", "harvest.releases", "harvest.batch", "surveys.desi.plan")
    code = f"import sys, {', '.join(f'skyharvest.{name}' for name in modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert not {"globus_sdk", "requests", "jwt"} & {name.partition(".")[0] for name in done.stdout.split()}
    users = [
        str(path.relative_to(SCRIPTS / "skyharvest/surveys/desi/globus"))
        for path in SCRIPTS.rglob("*.py")
        if re.search(r"^\s*(import|from) globus_sdk", path.read_text(), re.M)
    ]
    assert sorted(users) == ["client.py", "transfer.py"]
