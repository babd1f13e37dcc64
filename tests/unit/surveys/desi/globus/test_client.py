"""Logins to Globus."""

import json
import os
import pty
import re
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import globus_transfer
from globus_service import CLIENT, SECRET
from skyharvest.core import cli
from small_transfer import (
    DEST,
    EVERYTHING,
    SCRIPTS,
    SOURCE,
    arguments,
    record,
    run,
)

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
