"""The demo over HTTP, from a server that misbehaves: what is seen, and what a rerun gives when it behaves again."""

import csv
import io
import re
import shutil
import socket
from pathlib import Path

import h5py
import misbehaviour as bad
import numpy as np
from astropy.io import fits
from comparison import Comparison, Key, compare, spectra
from misbehaviour import Fault, Misbehaviour
from reliability import Outcome, seen

from range_server import serve
from running import snakemake
from workflow import settings

ROWS = 216  # 116 of the CSV, 100 spectra
SERVER = "server"
FAILS = "the pixel fails, and is listed; a rerun reads it"
RECORDED = "recorded as `unreadable`, the pixel's other coadds are used; every rerun tries it again"
UNSEEN = "nothing, until `--forcerun harvest_desi` reads all anew, or with `transfer: files`"
TAKEN = "recorded as `absent` where it was said twice; a rerun with `read_again: [absent, unreadable]` reads it"
AGAIN = " attempt 2 follows in .*"


def log_of(directory: Path, pixel: int) -> str:
    """Return what the jobs said about the files of a pixel."""
    logs = (path.read_text() for path in sorted((directory / "results/logs/harvest_desi").glob("*.log")))
    return "\n".join(line for text in logs for line in text.splitlines() if f"{pixel}" in line)


def is_sound(found: Comparison) -> bool:
    """Tell whether everything is there, and as it should be."""
    rows, lost, wrong = found.figures()
    return rows == ROWS and lost == wrong == 0 and found.files == 14


# --- For a while -----------------------------------------------------------------------------------------------------

PASSING = {
    12215: ("503 for a while, with and without Retry-After", bad.busy(503), f"HTTP 503;{AGAIN}"),
    27333: ("429 for a while, with and without Retry-After", bad.busy(429), f"HTTP 429;{AGAIN}"),
    12256: ("404 once", bad.status(404), None),
    12258: ("a body that trickles", bad.trickle, f"the transfer has slowed down to .*;{AGAIN}"),
    12259: ("another range than was asked for", bad.elsewhere, f"asked for bytes .*;{AGAIN}"),
    18090: ("half the body, and a Content-Length to match", bad.shortened, f"[0-9,]* of .* bytes arrived;{AGAIN}"),
    18773: ("connection reset", bad.reset, f"ProtocolError: .*reset by peer.*;{AGAIN}"),
    19456: ("connection reset within the body", bad.reset_inside, f"the transfer broke off: .*;{AGAIN}"),
    19457: ("a body that stalls", bad.stall, f"the transfer broke off: ReadTimeoutError;{AGAIN}"),
    19458: ("a body that ends before its Content-Length", bad.cut, f"the transfer broke off: .*;{AGAIN}"),
    27245: (
        "200 with an HTML page, of type text/html",
        bad.page("text/html"),
        f"the server sent an HTML page.*;{AGAIN}",
    ),
    27246: ("a range answered with the whole file", bad.whole, f"the server sent the whole file .*;{AGAIN}"),
    27247: ("redirect to another host", None, None),
}


def test_faults_that_pass_are_waited_out(directory, demo_release, sound, outcomes):
    """Each pixel's files have a fault of their own, in every phase of reading them: one run, and nothing to repeat."""
    with serve(demo_release) as other, serve(demo_release) as server:
        elsewhere = bad.redirect(other.url.replace("127.0.0.1", "localhost"))
        faults = {f"/{pixel}/": Fault(answer or elsewhere) for pixel, (_, answer, _) in PASSING.items()}
        faults["/12258/"].until = faults["/19457/"].until = 4  # these take their time
        server.misbehave = Misbehaviour(faults)
        done = snakemake(directory, *settings(server.url))
        assert done.status == 0, done.output
        assert len(other.requests) > 0
    found = compare(directory / "results", sound)
    assert is_sound(found), found
    for pixel, (name, _, message) in PASSING.items():
        said = seen(log_of(directory, pixel), message) if message else ""
        struck = len(server.misbehave.struck[f"/{pixel}/"])
        becomes = "followed by the job" if name.startswith("redirect") else "asked again by the job"
        outcomes.append(Outcome(SERVER, name, said, becomes, struck, *found.figures([pixel])))


# --- For ever --------------------------------------------------------------------------------------------------------

GAVE_UP = "gave up after 3 attempts"
LASTING = {
    12215: ("503", bad.busy(503), f"HTTP 503; {GAVE_UP}"),
    12256: ("429", bad.busy(429), f"HTTP 429; {GAVE_UP}"),
    12258: ("body that trickles", bad.trickle, f"the transfer has slowed down to .*; {GAVE_UP}"),
    12259: ("another range than was asked for", bad.elsewhere, f"asked for bytes .*; {GAVE_UP}"),
    27333: ("403", bad.status(403), "HTTP 403 .*: the server refuses"),
    18773: ("connection reset", bad.reset, f"ProtocolError: .*reset by peer.*; {GAVE_UP}"),
    19456: ("body that stalls", bad.stall, f"the transfer broke off: ReadTimeoutError; {GAVE_UP}"),
    19457: ("body that ends before its Content-Length", bad.cut, f"the transfer broke off: .*; {GAVE_UP}"),
    19458: ("half the body, and a Content-Length to match", bad.shortened, f"[0-9,]* of .* bytes arrived; {GAVE_UP}"),
    27245: ("200 with an HTML page, of type text/html", bad.page("text/html"), f"the server sent an HTML.*; {GAVE_UP}"),
}
UNREADABLE = {
    27246: ("200 with an HTML page, as a binary file", bad.page("application/octet-stream"), "found an HTML page .*"),
    27247: ("file cut short", bad.contents(lambda data: data[: len(data) // 2]), "its header claims .*"),
    27258: (
        "wrong bytes in a header, under the right length",
        bad.contents(lambda data: data.replace(b"TTYPE1  = 'TARGETID'", b"TTYPE1  = 'TARGETIX'")),
        "column TARGETID is missing",
    ),
}
ABSENT = 18090


def test_faults_that_last_fail_their_pixels_or_are_recorded_and_a_rerun_makes_them_good(
    directory, demo_release, sound, outcomes
):
    faults = {f"/{pixel}/": Fault(how, lasts=True) for pixel, (_, how, _) in (LASTING | UNREADABLE).items()}
    faults[f"/{ABSENT}/"] = Fault(bad.status(404), lasts=True)
    results = directory / "results"
    with serve(demo_release) as server:
        server.misbehave = Misbehaviour(faults)
        failed = snakemake(directory, *settings(server.url))
        assert failed.status != 0
        assert "Traceback" not in failed.output
        said = {pixel: log_of(directory, pixel) for pixel in (*LASTING, *UNREADABLE, ABSENT)}
        struck = {int(part.strip("/")): len(files) for part, files in server.misbehave.struck.items()}
        assert set(struck) == {*LASTING, *UNREADABLE, ABSENT}

        # What is missing is said, and in a list, and no ledger says otherwise. What is there is right.
        with (results / "desi/missing.csv").open(newline="") as stream:
            missing = {int(line["unit"]): line["reason"] for line in csv.DictReader(stream)}
        assert set(missing) == set(LASTING)
        assert f"{len(missing)} of 14 pixels are missing; there is no ledger until they are there" in failed.output
        for pixel, (_, _, message) in LASTING.items():
            assert re.search(message, missing[pixel]), (pixel, missing[pixel])
            assert re.search(f"  {pixel} .*{message}", failed.output)
        assert not (results / "desi/ledger.csv").exists()
        assert not (results / "desi/summary.json").exists()
        partly = compare(results, sound)
        assert all(not wrong for pixel, wrong in partly.wrong.items())
        assert partly.files == 0

        # It behaves again: pixels that failed are read, those with an unreadable coadd again.
        server.misbehave = None
        server.forget()
        again = snakemake(directory, *settings(server.url))
        assert again.status == 0, again.output
        read = {int(path.split("/")[-2]) for path, _ in server.requests if "coadd-" in path}
        assert read == {*LASTING, *UNREADABLE}
        assert not (results / "desi/missing.csv").exists()
        found = compare(results, sound)
        differing = {pixel for pixel in found.rows if found.lost[pixel] or found.wrong[pixel]}
        assert differing == {ABSENT, 19456}  # a target of the latter is on the edge of the former

        # What was said to be absent is taken for that, until someone asks for it once more.
        assert "Nothing to be done" in snakemake(directory, *settings(server.url)).output
        asked = snakemake(directory, *settings(server.url, read_again="[absent, unreadable]"))
        assert asked.status == 0, asked.output
    found = compare(results, sound)
    assert is_sound(found), found
    for pixel, (name, _, message) in LASTING.items():
        why = seen(missing[pixel], message)
        outcomes.append(Outcome(SERVER, f"{name}, for ever", why, FAILS, struck[pixel], *found.figures([pixel])))
    for pixel, (name, _, message) in UNREADABLE.items():
        why = "unreadable: " + seen(said[pixel], message)
        outcomes.append(Outcome(SERVER, f"{name}, for ever", why, RECORDED, struck[pixel], *found.figures([pixel])))
    why = seen(said[ABSENT], "absent: .*")
    outcomes.append(Outcome(SERVER, "404 (a lie), for ever", why, TAKEN, struck[ABSENT], *found.figures([ABSENT])))


# --- No archive at all -----------------------------------------------------------------------------------------------


def test_an_archive_that_is_down_leaves_a_list_of_what_is_missing_and_no_ledger(
    directory, demo_release, sound, outcomes
):
    results = directory / "results"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    down = snakemake(directory, *settings(nobody))
    assert down.status != 0
    no_one = seen(down.output, r"error: http.*tilepix\.fits: .*; gave up after 3 attempts")
    assert not (results / "desi").exists()

    with serve(demo_release) as server:
        assert snakemake(directory, *settings(server.url), "--", "plan").status == 0
        # Half of the archive answers 503; of the other half it says that it is not there, as of everything else.
        faults = {part: Fault(bad.busy(503), lasts=True) for part in ("/194/", "/272/", "/273/")}
        server.misbehave = Misbehaviour(faults | {"/": Fault(bad.status(404), lasts=True)})
        failed = snakemake(directory, *settings(server.url))
        assert failed.status != 0
        assert "Traceback" not in failed.output
        assert "14 of 14 pixels are missing; there is no ledger until they are there" in failed.output
        with (results / "desi/missing.csv").open(newline="") as stream:
            missing = {int(line["unit"]): line["reason"] for line in csv.DictReader(stream)}
        assert len(missing) == 14
        gone = seen(missing[12215], "the archive seems to be moved, .* is not recorded")
        assert not list((results / "desi").glob("ledger*"))
        assert not list(results.glob("desi/extracted/*/*.hdf5"))

        server.misbehave = None
        done = snakemake(directory, *settings(server.url))
        assert done.status == 0, done.output
        found = compare(results, sound)
        assert is_sound(found), found
        figures = found.figures()
        outcomes += [
            Outcome(SERVER, "nobody answers", no_one, "the run fails; a rerun makes everything", 1, *figures),
            Outcome(SERVER, "404 for everything", gone, "nothing is recorded; a rerun reads it", 14, *figures),
        ]

        # A ledger of an earlier run is no ledger of this one.
        ledger = (results / "desi/ledger.csv").read_text()
        with h5py.File(results / "desi/extracted/187/18773.hdf5") as file:
            ra, dec = file["ra"][0], file["dec"][0]
        with (directory / "data/targets.csv").open("a") as stream:
            stream.write(f"new,{ra},{dec},1173,,,,,\n")
        server.misbehave = Misbehaviour({"/": Fault(bad.busy(503), lasts=True)})
        failed = snakemake(directory, *settings(server.url))
        assert failed.status != 0
        assert "1 of 14 pixels are missing" in failed.output
        assert not (results / "desi/ledger.csv").exists()
        assert (results / "desi/ledger.previous.csv").read_text() == ledger


# --- Wrong bytes under the right length ------------------------------------------------------------------------------

PART = ["batch_seconds=0.01", "--", "results/report/healpix=766.html"]  # it needs that pixel, and its batch no other


def flip(data: bytes) -> bytes:
    """Change a bit of every flux of the blue arm, and nothing that a structure could tell."""
    with io.BytesIO(data) as stream, fits.open(stream) as hdus:
        at, size = hdus["B_FLUX"].fileinfo()["datLoc"], hdus["B_FLUX"].data.nbytes
    changed = np.frombuffer(data[at : at + size], np.uint8).copy()
    changed[3::4] ^= 16
    return data[:at] + changed.tobytes() + data[at + size :]


def test_wrong_bytes_in_spectra_are_not_seen_by_rows_and_are_by_files(directory, demo_release, sound, outcomes):
    """No checksum covers a row. Whole files have one."""
    good = {key: digest for key, digest in spectra(sound).items() if key[3] in (12256, 12258, 12259)}
    mine = [key for key in good if key[3] == 12259]

    def wrong() -> list[Key]:
        found = spectra(directory / "results")
        return [key for key in good if found.get(key) != good[key]]

    with serve(demo_release) as server:
        server.misbehave = Misbehaviour({"coadd-main-dark-12259": Fault(bad.contents(flip), lasts=True)})
        options = [*settings(server.url), *PART]
        assert snakemake(directory, *options).status == 0
        assert wrong() == mine
        server.misbehave = None
        assert "Nothing to be done" in snakemake(directory, *options).output
        assert wrong() == mine
        name = "wrong bytes in spectra, `transfer: rows`"
        outcomes.append(Outcome("unseen", name, "", UNSEEN, 1, len(mine), 0, len(mine)))
        forced = snakemake(directory, "--forcerun", "harvest_desi", *options)
        assert forced.status == 0, forced.output
        assert wrong() == []
        shutil.rmtree(directory / "results")

        server.tagged = True
        faults = {
            "coadd-main-dark-12256": Fault(bad.cut),
            "coadd-main-dark-12258": Fault(bad.contents(flip), lasts=True),
            "coadd-main-dark-12259": Fault(bad.contents(flip)),
        }
        server.misbehave = Misbehaviour(faults)
        options = [*settings(server.url, transfer="files"), *PART]
        done = snakemake(directory, *options)
        assert done.status == 0, done.output
        assert {key[3] for key in wrong()} == {12258}
        assert any(span.startswith("bytes=") for path, span in server.requests if "coadd-main-dark-12256" in path)
        said = {pixel: log_of(directory, pixel) for pixel in (12256, 12258, 12259)}
        server.misbehave = None
        assert snakemake(directory, *options).status == 0
        assert wrong() == []
    assert [path for path in (directory / "results/desi/downloads").rglob("*") if path.is_file()] == []
    for pixel, name, message, becomes in (
        (
            12256,
            "whole file cut short of its Content-Length",
            f"the transfer broke off: .*;{AGAIN}",
            "resumed by the job",
        ),
        (12259, "wrong bytes in a whole file, once", "sha256 is .*; fetching it once more", "fetched again by the job"),
        (12258, "wrong bytes in a whole file, for ever", "unreadable: .*sha256 is .*, twice: .*", RECORDED),
    ):
        why = re.sub(r"[0-9a-f]{64}", "…", seen(said[pixel], message))
        rows = sum(key[3] == pixel for key in good)
        outcomes.append(Outcome(SERVER, f"{name}, `transfer: files`", why, becomes, 1, rows, 0, 0))
