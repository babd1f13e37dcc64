"""Copies by Globus: the real client against a service on loopback that really copies files."""

import json
import re
from pathlib import Path

import pytest

from skyharvest.core.errors import ArchiveUnavailable
from small_transfer import COADDS, EVERYTHING, FILES, MISSING, QUICK, SOURCE, arrived, record, run, state, transfer


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
