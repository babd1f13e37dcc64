"""A check of Globus: what is missing for a copy is named before it begins, and nothing is copied, made or asked."""

import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from globus_service import CLIENT, SECRET
from shown_differences import assert_shown
from skyharvest.core.words import size
from skyharvest.harvest.check import AS_ASSUMED, FAILS, NO_ANSWER, NOT_ASKED, NOTE
from skyharvest.surveys.desi.globus.check import ask_globus
from small_check import ask, asking, one
from small_transfer import COADDS, DEST, SOURCE, files_of, run

LOCAL = "here/data/mirror"


def findings(coadds=COADDS, **globus):
    """Return the findings with a plan of these coadds."""
    own = {
        "endpoint": DEST,
        "path": "/data/mirror",
        "local": LOCAL,
        "source_endpoint": SOURCE,
        "source_path": "/public",
    }
    given = asking("desi", ".", (180, 40), release="demo", archive="globus", globus=own | globus)
    survey, program, pix64 = (np.array(column) for column in zip(*coadds, strict=True))
    given.shared["plan"] = SimpleNamespace(coadds=SimpleNamespace(survey=survey, program=program, pix64=pix64))
    return ask({"Globus": lambda asked: ask_globus(asked, Path("tokens.json"))}, given)


def test_what_is_ready_is_as_assumed_and_nothing_is_touched(service, tmp_path):
    found = findings()
    assert {finding.verdict for finding in found} == {AS_ASSUMED}, found
    n_bytes = sum((tmp_path / "there/public" / path).stat().st_size for path in files_of(COADDS[0]))
    assert one(found, "coadds to copy").seen == f"there, {n_bytes} B with what stands beside it"
    assert one(found, "room for coadds").assumed == f"{size(4 * n_bytes)}: 4 coadds like the one above"
    assert one(found, "destination of Globus").seen == "none yet: Globus makes it"
    assert {method for method, _ in service.requests} == {"GET"}
    assert not list((tmp_path / "here").iterdir())


def test_a_destination_that_has_coadds_already_is_the_same_on_both_sides(service):
    assert run("--local", LOCAL) == 0
    assert one(findings(), "destination of Globus").seen == "the same directory"


def test_a_client_with_a_secret_needs_no_login(service, monkeypatch):
    Path("tokens.json").unlink()
    monkeypatch.setenv("GLOBUS_CLIENT_ID", CLIENT)
    monkeypatch.setenv("GLOBUS_CLIENT_SECRET", SECRET)
    found = findings()
    assert {finding.verdict for finding in found} == {AS_ASSUMED}, found
    assert not any(secret in repr(found) for secret in service.secrets)
    assert not Path("tokens.json").exists()


def scope(collection):
    return f"https://auth.globus.org/scopes/{collection}/data_access"


def no_login(service, monkeypatch):
    Path("tokens.json").unlink()


def revoked(service, monkeypatch):
    Path("tokens.json").unlink()
    service.write_tokens(Path("tokens.json").absolute(), lifetime_s=-10)
    service.refresh_tokens.clear()


def consent(collection):
    def change(service, monkeypatch):
        service.consent_wanted[collection] = scope(collection)

    return change


def down(service, monkeypatch):
    def misbehave(handler, _):
        if "operation" in handler.path:
            handler.reply(503, {"code": "ServiceUnavailable", "message": "maintenance"})
            return True
        return False

    service.misbehave = misbehave


def without(path):
    return lambda service, monkeypatch: shutil.rmtree(path)


def elsewhere(service, monkeypatch):
    Path("here/data/mirror/spectro").mkdir(parents=True)
    Path("seen").mkdir()


def full(service, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))


def of_another(service, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)


CASES = {
    "no login": (no_login, {}, "login to Globus", FAILS, ("none", "globus_transfer.py --login --release demo", DEST)),
    "a login that ended": (revoked, {}, "login to Globus", FAILS, ("log in again", "--login")),
    "no consent to the source": (consent(SOURCE), {}, "source of Globus", FAILS, (scope(SOURCE), "--login")),
    "no consent to the destination": (consent(DEST), {}, "destination of Globus", FAILS, (scope(DEST), "--login")),
    "no such collection": (
        None,
        {"source_endpoint": "33333333-3333-4333-8333-333333333333"},
        "source of Globus",
        FAILS,
        ("EndpointNotFound", "correct the collection's UUID"),
    ),
    "no such source path": (
        None,
        {"source_path": "/private"},
        "source of Globus",
        FAILS,
        ("no such directory", "source_path"),
    ),
    "another directory": (
        None,
        {"source_path": "/public/spectro"},
        "source of Globus",
        FAILS,
        ("without spectro/: redux", "recorded as absent"),
    ),
    "a coadd less": (
        without("there/public/spectro/redux/demo/healpix/main/dark"),
        {},
        "coadds to copy",
        AS_ASSUMED,
        ("there, ",),
    ),
    "no coadds": (
        without("there/public/spectro/redux/demo/healpix/main"),
        {},
        "coadds to copy",
        NOTE,
        ("3 coadds of the plan not there", "recorded as absent"),
    ),
    "local is elsewhere": (
        elsewhere,
        {"local": "seen"},
        "destination of Globus",
        FAILS,
        ("on the collection 1 entries, here 0 entries", "desi.globus.local"),
    ),
    "no room": (full, {}, "room for coadds", FAILS, ("100 B free", "desi.archive: https")),
    "room that is not known": (
        without("there/public/spectro/redux/demo/healpix/main"),
        {},
        "room for coadds",
        NOT_ASKED,
        ("not known",),
    ),
    "not writable": (of_another, {}, "permission to copy to it", NOTE, ("not writable", "a directory of yours")),
    "Globus is down": (down, {}, "Globus", NO_ANSWER, ("503", "check again later")),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_missing_is_named(service, monkeypatch, case):
    change, globus, question, verdict, words = CASES[case]
    if change:
        change(service, monkeypatch)
    finding = one(findings(**globus), question)
    assert finding.verdict == verdict, finding
    for word in words:
        assert word in f"{finding.seen}; {finding.means}; {finding.change}"
    assert service.submitted == []
    assert_shown("Globus", case, finding, {"openid ": "", " openid": ""})  # scopes come in any order


def test_nobody_is_asked_to_log_in_not_even_in_a_terminal(service, monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a person was asked"))
    service.consent_wanted[SOURCE] = scope(SOURCE)
    assert scope(SOURCE) in one(findings(), "source of Globus").seen


@pytest.mark.parametrize("case", ["no login", "a login that ended", "no consent to the source"])
def test_then_the_copy_fails_as_well(service, monkeypatch, capsys, case):
    CASES[case][0](service, monkeypatch)
    assert run() == 1
    assert "--login" in capsys.readouterr().err
