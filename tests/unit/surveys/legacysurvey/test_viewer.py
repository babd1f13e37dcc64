"""The viewer's queue: one request at a time, at the pace that it allows, nothing asked twice, nothing half written."""

import csv
import email.utils
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import fetch_viewer
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from skyharvest.archive.http.client import USER_AGENT
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveRefused, ArchiveUnavailable, InputError
from skyharvest.surveys.legacysurvey.viewer import fetch as viewerfetch
from skyharvest.surveys.legacysurvey.viewer.fetch import fetch_cutouts
from skyharvest.surveys.legacysurvey.viewer.layers import LAYERS, PSF_LAYERS, ViewerRequest, layer_problem
from skyharvest.surveys.legacysurvey.viewer.pace import Clock, RequestPace
from skyharvest.surveys.legacysurvey.viewer.queue import make_queue, rows_with_spectra, write_urls

QUICK = Patience(tries=3, base_s=0.01, cap_s=0.01, connect_s=2, read_s=0.5)
PATIENT = Patience(tries=8, base_s=1, cap_s=60, connect_s=2, read_s=2)
JPG = ViewerRequest(layers=("ls-dr9",))


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.t = 1_800_000_000.0
        self.clock = Clock(lambda: self.t, self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.t += seconds


@dataclass
class Viewer:
    """A server that does what the Legacy Surveys' viewer does, to those who behave and to others.

    Attributes
    ----------
    time
        Its clock: the client's.
    url
        Its address.
    least_s
        Time between the beginnings of two requests; a request that comes earlier is refused (429).
    retry_after
        Said then.
    takes_s
        Seconds of its clock that an answer takes.
    misbehave
        Called with the handler, the query and the number of the request for it (1, 2, …); True if it has answered.
    asked
        (time, path and query, status) of all requests, in order.
    most_at_once
        Requests under way at once, at most.
    """

    time: Time
    url: str = ""
    least_s: float = 0.0
    retry_after: str | None = None
    takes_s: float = 0.0
    misbehave: object = None
    asked: list = field(default_factory=list)
    agents: set = field(default_factory=set)
    under_way: int = 0
    most_at_once: int = 0
    last: float = -1e9
    lock: threading.Lock = field(default_factory=threading.Lock)

    def queries(self, status: int = 200) -> list[str]:
        return [query for _, query, found in self.asked if found == status]

    def count(self, query: str) -> int:
        return sum(asked == query for _, asked, _ in self.asked)


def picture(query: str) -> bytes:
    """Return what the viewer gives for an address: every one something else."""
    seed = np.frombuffer(query.encode(), "u1")
    if query.startswith("cutout.jpg"):
        return b"\xff\xd8\xff\xe0" + np.random.default_rng(seed).bytes(3000) + b"\xff\xd9"
    out = io.BytesIO()
    image = np.random.default_rng(seed).normal(size=(20, 20)).astype("f4")
    if "subimage" in query or "psf" in query:  # a first unit without data, or an image of each band
        units = [fits.PrimaryHDU(), fits.ImageHDU(image), fits.ImageHDU(image)]
    else:
        units = [fits.PrimaryHDU(np.stack([image, image]))]
    fits.HDUList(units).writeto(out)
    return out.getvalue()


@contextmanager
def running(viewer: Viewer):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.under_way = True
            with viewer.lock:
                viewer.under_way += 1
                viewer.most_at_once = max(viewer.most_at_once, viewer.under_way)
                self.now, early = viewer.time.t, viewer.time.t - viewer.last < viewer.least_s - 1e-6
                busy = viewer.under_way > 1
                if not early:
                    viewer.last = self.now
            viewer.agents.add(self.headers.get("User-Agent"))
            self.query = self.path.removeprefix("/viewer/")
            try:
                if early or busy:
                    self.answer(429, b"slow down", {"Retry-After": viewer.retry_after} if viewer.retry_after else {})
                    return
                viewer.time.t += viewer.takes_s
                number = viewer.count(self.query) + 1
                if viewer.misbehave is None or not viewer.misbehave(self, self.query, number):
                    self.answer(200, picture(self.query))
            finally:
                self.leave()

        def leave(self) -> None:
            """Count as answered: before the last byte, or the client could be back before this thread is."""
            with viewer.lock:
                viewer.under_way -= self.under_way
                self.under_way = False

        def answer(self, status: int, body: bytes, headers=None, announced: int | None = None) -> bool:
            viewer.asked.append((self.now, self.query, status))
            self.send_response(status)
            given = {"Content-Type": "image/jpeg" if ".jpg" in self.query else "image/fits", **(headers or {})}
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
            self.leave()
            self.end_headers()
            self.wfile.write(body)
            return True

        def log_message(self, *_) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address) -> None:
            if not isinstance(sys.exception(), OSError):
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    viewer.url = f"http://127.0.0.1:{server.server_port}/viewer"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield viewer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def viewer():
    with running(Viewer(Time())) as made:
        yield made


def targets(n: int, first: int = 0) -> dict:
    row = np.arange(first, first + n)
    return {"row": row, "ra": 10.0 + row / 64, "dec": np.full(n, -1.5), "pix16": 1000 + row % 3}


def fetch(viewer, queue, out: Path, patience: Patience = QUICK, **options):
    return fetch_cutouts(viewer.url, queue, out, patience=patience, clock=viewer.time.clock, **options)


def table(out: Path) -> dict[str, tuple[str, str]]:
    with (out / "viewer.csv").open(newline="") as text:
        return {line["path"]: (line["status"], line["reason"]) for line in csv.DictReader(text)}


def files(out: Path) -> set[str]:
    """Return the files of the queue's layers, whatever they are called."""
    return {str(path.relative_to(out)) for path in out.glob("*/**/*") if path.is_file()}


def check_all_there(queue, out: Path) -> None:
    assert files(out) == {cutout.path for cutout in queue}
    for cutout in queue:
        assert (out / cutout.path).read_bytes() == picture(cutout.query), cutout
    assert table(out) == {cutout.path: ("there", "") for cutout in queue}


# --- What is asked for ------------------------------------------------------------------------------------------------


def test_addresses_mean_to_a_server_what_was_wanted():
    wanted = ViewerRequest(
        ("mzls+bass-dr6", "unwise-neo7"),
        ("ls-dr10",),
        ("jpg", "fits"),
        size=512,
        pixscale=0.262,
        bands="grz",
        subimage=True,
    )
    queue = make_queue({k: v[:1] for k, v in targets(8, 5).items()}, wanted)
    assert [cutout.path for cutout in queue] == [
        "mzls+bass-dr6/1002/5.jpg",
        "mzls+bass-dr6/1002/5.fits",
        "unwise-neo7/1002/5.jpg",
        "unwise-neo7/1002/5.fits",
        "ls-dr10-psf/1002/5.fits",
    ]
    asked = [(urlsplit(c.query).path, parse_qs(urlsplit(c.query).query, keep_blank_values=True)) for c in queue]
    at = {"ra": ["10.0781250"], "dec": ["-1.5000000"]}
    cut = {**at, "layer": ["mzls+bass-dr6"], "pixscale": ["0.262"], "size": ["512"], "bands": ["grz"]}
    assert asked[0] == ("cutout.jpg", cut)
    assert asked[1] == ("cutout.fits", {**cut, "subimage": [""]})
    assert asked[4] == ("coadd-psf/", {**at, "layer": ["ls-dr10"]})
    [plain] = make_queue({k: v[:1] for k, v in targets(1).items()}, JPG)
    assert set(parse_qs(urlsplit(plain.query).query)) == {"ra", "dec", "layer", "size"}, (
        "the viewer knows the rest best"
    )


def test_sources_with_a_spectrum_come_first_then_by_row(tmp_path):
    for name, matched in (("desi", {7}), ("hetdex", {2, 7})):
        lines = [f"{row},{'matched' if row in matched else 'no_fiber'},1" for row in range(9)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["row,status,n_spectra", *lines]) + "\n")
    shuffled = {key: values[[3, 7, 0, 8, 2, 1]] for key, values in targets(9).items()}
    first = rows_with_spectra([tmp_path / "desi.csv", tmp_path / "hetdex.csv"])
    queue = make_queue(shuffled, ViewerRequest(("ls-dr9", "galex")), first)
    assert [cutout.row for cutout in queue] == [2, 2, 7, 7, 0, 0, 1, 1, 3, 3, 8, 8]
    assert queue[1].layer == "galex"
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv: found columns \['a', 'b'\]; expected a ledger\.csv"):
        rows_with_spectra([tmp_path / "other.csv"])


def test_layers_are_those_of_the_viewers_own_documentation():
    named = ("ls-dr9", "ls-dr9-model", "ls-dr9-resid", "ls-dr10", "unwise-neo7", "galex", "vlass1.2", "hsc-dr3")
    assert set(named) | {"ls-dr8-south-resid", "decals-dr7-model", "mzls+bass-dr6", "sdss", "unwise-w1w2"} <= set(
        LAYERS
    )
    assert len(set(LAYERS)) == len(LAYERS)
    assert set(PSF_LAYERS) < set(LAYERS)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ls-dr9-modle", "did you mean ls-dr9-model"),
        ("LS-DR10", "did you mean ls-dr10"),
        ("vlass", "did you mean vlass1.2?"),
        ("unwise", "did you mean unwise-cat-model or unwise-neo11"),
        ("", "expected one of act-dr6-f150"),
        ("../../etc", "expected one of act-dr6-f150"),
    ],
)
def test_an_unknown_layer_is_named_with_the_nearest(name, hint):
    assert hint in (layer_problem(name) or "")
    with pytest.raises(InputError, match="layers: the viewer has no layer"):
        make_queue(targets(1), ViewerRequest(("ls-dr9", name)))


BAD = {
    "size: found 0; expected 1 to 512": ViewerRequest(("ls-dr9",), size=0),
    "size: found 10000; expected 1 to 512": ViewerRequest(("ls-dr9",), size=10_000),
    "size: found 513": ViewerRequest(("ls-dr9",), size=513),
    "pixscale: found 0": ViewerRequest(("ls-dr9",), pixscale=0),
    "pixscale: found nan": ViewerRequest(("ls-dr9",), pixscale=float("nan")),
    "bands: found 'g&size=9'": ViewerRequest(("ls-dr9",), bands="g&size=9"),
    "formats: found": ViewerRequest(("ls-dr9",), formats=("png",)),
    "subimage: found true": ViewerRequest(("ls-dr9",), subimage=True),
    "'galex' has no PSFs; expected one of decals-dr5": ViewerRequest(psf_layers=("galex",)),
    "'ls-dr9' is there twice": ViewerRequest(("ls-dr9", "ls-dr9")),
    "layers: found none": ViewerRequest(),
}


@pytest.mark.parametrize("message", BAD)
def test_what_the_viewer_would_not_understand_is_said_before_it_is_asked(message):
    with pytest.raises(InputError, match=re.escape(message)):
        make_queue(targets(1), BAD[message])


def test_the_list_of_layers_costs_a_configuration_nothing():
    heavy = ["numpy", "urllib3", "urllib.request", "sqlite3", "pyarrow", "yaml", "skyharvest.archive.http.client"]
    code = f"import sys, skyharvest.surveys.legacysurvey.viewer.layers; print(set(sys.modules) & set({heavy}))"
    path = {**os.environ, "PYTHONPATH": "scripts"}
    root = Path(__file__).resolve().parents[4]
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=path, cwd=root) == "set()\n"


# --- What comes -------------------------------------------------------------------------------------------------------


def test_everything_comes_in_order_one_request_at_a_time_and_once(viewer, tmp_path):
    wanted = ViewerRequest(("ls-dr9", "galex"), ("ls-dr9",), ("jpg", "fits"), subimage=True)
    queue = make_queue(targets(6), wanted, [4])
    made = fetch(viewer, queue, tmp_path)
    assert viewer.queries() == [cutout.query for cutout in queue]
    assert viewer.most_at_once == 1
    assert viewer.agents == {USER_AGENT}
    check_all_there(queue, tmp_path)
    assert (made.n_new, made.n_requests, made.status) == (30, 30, Counter(there=30))
    assert made.n_bytes == sum(len(picture(cutout.query)) for cutout in queue)
    made = fetch(viewer, queue, tmp_path)
    assert (made.n_new, made.n_requests) == (0, 0)
    more = make_queue(targets(8), wanted)
    fetch(viewer, more, tmp_path)
    assert len(viewer.asked) == len(more) == len(set(viewer.queries()))
    check_all_there(more, tmp_path)


def test_a_file_belongs_to_the_address_that_it_came_from(viewer, tmp_path):
    """Rows that have moved, and another size, are fetched anew: a file of that name may be of another source."""
    fetch(viewer, make_queue(targets(4), JPG), tmp_path)
    moved = targets(4)
    moved["ra"][2] += 1
    viewer.asked.clear()
    fetch(viewer, make_queue(moved, JPG), tmp_path)
    assert viewer.queries() == [make_queue(moved, JPG)[2].query]
    check_all_there(make_queue(moved, JPG), tmp_path)
    larger = make_queue(moved, ViewerRequest(("ls-dr9",), size=200))
    viewer.misbehave = lambda handler, query, _: query == larger[1].query and handler.answer(404, b"")
    fetch(viewer, larger, tmp_path)
    assert files(tmp_path) == {cutout.path for cutout in larger if cutout is not larger[1]}, "an old one is not kept"


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_files_that_were_fetched_as_the_documentation_says_count_if_they_are_complete(viewer, tmp_path):
    queue = make_queue(targets(4), ViewerRequest(("ls-dr9", "mzls+bass-dr6"), ("ls-dr9",)))
    write_urls(tmp_path / "urls.txt", viewer.url, queue)
    [command] = re.findall(r"^    (xargs .*)$", viewerfetch.__doc__ or "", re.M)
    gone = queue[3].query
    viewer.misbehave = lambda handler, query, _: query == gone and handler.answer(404, b"")
    again = command.replace("sleep 6", "true")
    for _ in range(2):
        subprocess.run(["sh", "-c", again], cwd=tmp_path, check=False, stderr=subprocess.DEVNULL, timeout=60)
    assert len(viewer.asked) == len(queue) + 1, "the command does not fetch twice, either"
    viewer.misbehave = None
    torn = tmp_path / queue[5].path
    torn.write_bytes(torn.read_bytes()[:-9])
    viewer.asked.clear()
    fetch(viewer, queue, tmp_path)
    assert viewer.queries() == [gone, queue[5].query]
    check_all_there(queue, tmp_path)


def test_a_file_that_was_removed_is_fetched_again(viewer, tmp_path):
    queue = make_queue(targets(3), JPG)
    fetch(viewer, queue, tmp_path)
    (tmp_path / queue[1].path).unlink()
    assert fetch(viewer, queue, tmp_path).n_new == 1
    check_all_there(queue, tmp_path)


# --- The pace ---------------------------------------------------------------------------------------------------------


def gaps(viewer) -> np.ndarray:
    return np.diff([when for when, _, _ in viewer.asked])


def walk(pace: RequestPace, time: Time, n: int, allows, retry_after_s=None) -> list[tuple[float, bool]]:
    """Ask a server that answers if ``allows`` (seconds since its last answer) n times; return when, and whether."""
    asked, last = [], -1e9
    for _ in range(n):
        pace.wait()
        good = allows(time.t - last + 1e-6)
        asked.append((time.t, good))
        if good:
            last = time.t
            pace.went_well()
        else:
            pace.refused(retry_after_s, 1.0)
    return asked


@pytest.mark.parametrize("least_s", [0.4, 1.3, 5.2, 17.0, 45.0])
@pytest.mark.parametrize("retry_after_s", [None, 3.0])
def test_the_pace_is_found_and_kept(tmp_path, least_s, retry_after_s):
    time = Time()
    pace = RequestPace(tmp_path / "pace.json", "h", 300, time.clock)
    asked = walk(pace, time, 3000, lambda gap: gap >= least_s, retry_after_s)
    refused = [n for n, (_, good) in enumerate(asked) if not good]
    assert sum(n < 300 for n in refused) <= 20
    assert sum(n >= 300 for n in refused) <= 12, "refusals become rare"
    assert np.diff([when for when, _ in asked[-1000:]]).mean() == pytest.approx(1.05 * least_s, rel=0.06)
    pace.save()
    asked = walk(
        RequestPace(tmp_path / "pace.json", "h", 300, time.clock), time, 200, lambda gap: gap >= least_s, retry_after_s
    )
    assert sum(not good for _, good in asked) <= 2, "the next run does not try it all again"
    assert asked[199][0] - asked[0][0] < 199 * 1.12 * least_s


def test_a_server_that_was_busy_for_a_while_is_asked_faster_again():
    time = Time()
    pace = RequestPace(None, "h", 300, time.clock)
    walk(pace, time, 300, lambda gap: gap >= 1)
    until = time.t + 200
    walk(pace, time, 400, lambda gap: gap >= 1 and time.t > until)
    asked = walk(pace, time, 100, lambda gap: gap >= 1)
    assert asked[-1][0] - asked[0][0] < 120


def test_the_viewers_limit_is_found(viewer, tmp_path):
    viewer.least_s = 7.0
    queue = make_queue(targets(60), JPG)
    fetch(viewer, queue, tmp_path, PATIENT)
    assert len(viewer.queries(429)) <= 6
    assert 7 <= gaps(viewer)[-20:].mean() < 9
    assert viewer.most_at_once == 1
    check_all_there(queue, tmp_path)


def test_a_server_that_allows_it_is_asked_faster(viewer, tmp_path):
    fetch(viewer, make_queue(targets(120), JPG), tmp_path)
    assert gaps(viewer)[0] == pytest.approx(5)
    assert (np.diff(gaps(viewer)) < 1e-3).all()
    assert gaps(viewer)[-1] == pytest.approx(0.25, rel=1e-3)


def test_answers_that_take_long_say_nothing_about_a_faster_pace(viewer, tmp_path):
    viewer.takes_s = 8.0
    fetch(viewer, make_queue(targets(40), JPG), tmp_path)
    assert gaps(viewer) == pytest.approx(np.full(39, 8.0)), "the next request follows the answer"
    viewer.takes_s = 0.0
    fetch(viewer, make_queue(targets(44), JPG), tmp_path)
    assert gaps(viewer)[-2:] == pytest.approx([5, 5])


@pytest.mark.parametrize("status", [429, 503, 502])
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed_to_the_second(viewer, tmp_path, status, as_date):
    queue = make_queue(targets(6), JPG)

    def misbehave(handler, query, number: int) -> bool:
        if query != queue[3].query or number > 1:
            return False
        after = email.utils.formatdate(time.time() + 77, usegmt=True) if as_date else "77"
        return handler.answer(status, b"", {"Retry-After": after})

    viewer.misbehave = misbehave
    fetch(viewer, queue, tmp_path)
    assert viewer.asked[3][1:] == (queue[3].query, status)
    assert gaps(viewer)[3] == pytest.approx(77, abs=2 if as_date else 0.01)
    check_all_there(queue, tmp_path)


@pytest.mark.parametrize("after", ["5000", "inf"])
def test_a_server_that_wants_to_be_left_alone_for_long_is_left_alone_by_the_next_run_too(viewer, tmp_path, after):
    queue = make_queue(targets(6), JPG)
    viewer.misbehave = lambda handler, query, n: (
        query == queue[3].query and n == 1 and handler.answer(429, b"", {"Retry-After": after})
    )
    began = viewer.time.t
    for _ in range(2):
        with pytest.raises(
            ArchiveUnavailable, match=r"asks to be left alone until 20\d\d-.*run again then; 3 of 6 files"
        ):
            fetch(viewer, queue, tmp_path)
        assert len(viewer.asked) == 4
    assert viewer.time.t - began < 60, "nobody waits for that"
    viewer.time.t += 4800 if after == "5000" else 86_300  # the rest is waited for
    fetch(viewer, queue, tmp_path)
    assert gaps(viewer)[3] >= (5000 if after == "5000" else 86_400) - 0.01
    check_all_there(queue, tmp_path)


def test_refusals_that_last_end_the_run_and_are_recorded_of_nobody(viewer, tmp_path):
    queue = make_queue(targets(6), JPG)
    viewer.misbehave = lambda handler, query, _: len(viewer.queries()) >= 2 and handler.answer(429, b"")
    with pytest.raises(ArchiveUnavailable, match=r"HTTP 429, 3 times.*; 2 of 6 files are done and stay"):
        fetch(viewer, queue, tmp_path)
    assert len(viewer.asked) == 5
    assert gaps(viewer)[-2] >= 9, "slower and slower"
    assert gaps(viewer)[-1] >= 2 * gaps(viewer)[-2] - 0.1
    assert list(table(tmp_path).values()) == [("there", "")] * 2 + [("waiting", "")] * 4
    viewer.misbehave = None
    viewer.asked.clear()
    fetch(viewer, queue, tmp_path)
    assert viewer.queries() == [cutout.query for cutout in queue[2:]]
    check_all_there(queue, tmp_path)


def test_a_second_run_does_not_ask_while_the_first_one_does(viewer, tmp_path):
    queue = make_queue(targets(3), JPG)
    asked, go_on = threading.Event(), threading.Event()

    def slow(*_) -> bool:
        asked.set()
        go_on.wait(10)
        return False

    viewer.misbehave = slow
    pace = tmp_path / "pace.json"
    patience = Patience(tries=3, base_s=0.01, cap_s=0.01, read_s=10)
    first = threading.Thread(target=fetch, args=(viewer, queue, tmp_path / "a", patience), kwargs={"pace": pace})
    first.start()
    assert asked.wait(10)
    try:
        with pytest.raises(ArchiveUnavailable, match=r"pace\.json is in use by another run"):
            fetch(viewer, queue, tmp_path / "b", pace=pace)
        assert viewer.most_at_once == 1
    finally:
        go_on.set()
        first.join()
    check_all_there(queue, tmp_path / "a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"x": 3}',
        '{"HOST": {"interval_s": -1, "good_s": "a", "step": 9, "enough": 1e99, "not_before": null}}',
    ],
)
def test_a_damaged_note_of_the_pace_is_as_good_as_none(tmp_path, text):
    path = tmp_path / "pace.json"
    path.write_text(text.replace("HOST", "h"))
    time = Time()
    pace = RequestPace(path, "h", 300, time.clock)
    assert pace.interval_s == 5
    pace.wait()
    pace.hold(50)
    later = RequestPace(path, "h", 300, time.clock)
    began = time.t
    later.wait()
    assert time.t - began == pytest.approx(50, abs=0.01)
    assert "h" in json.loads(path.read_text())


# --- Faults -----------------------------------------------------------------------------------------------------------


def reset(handler) -> bool:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())
    handler.close_connection = True
    return True


def cut(handler) -> bool:
    body = picture(handler.query)
    handler.answer(200, body[: len(body) // 2], announced=len(body))
    handler.close_connection = True
    return True


def stall(handler) -> bool:
    body = picture(handler.query)
    handler.answer(200, body[: len(body) // 2], announced=len(body))
    handler.connection.settimeout(5)
    with suppress(OSError):
        handler.connection.recv(1)
    handler.close_connection = True
    return True


FAULTS = {
    "bad gateway": lambda handler: handler.answer(502, b""),
    "unavailable": lambda handler: handler.answer(503, b""),
    "too many": lambda handler: handler.answer(429, b""),
    "failed": lambda handler: handler.answer(500, b"<h1>Server Error (500)</h1>", {"Content-Type": "text/html"}),
    "page": lambda handler: handler.answer(200, b"<html>Down for maintenance", {"Content-Type": "text/html"}),
    "reset": reset,
    "cut": cut,
    "stall": stall,
    "torn as a whole": lambda handler: handler.answer(200, picture(handler.query)[:-100]),
    "empty": lambda handler: handler.answer(200, b""),
    "a part": lambda handler: handler.answer(206, picture(handler.query)[:100], {"Content-Range": "bytes 0-99/3000"}),
    "not found": lambda handler: handler.answer(404, b""),
    "text": lambda handler: handler.answer(200, b"not now"),
}


@pytest.mark.parametrize("ending", ["jpg", "fits"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_once_is_asked_for_again(viewer, tmp_path, fault, ending):
    queue = make_queue(targets(5), ViewerRequest(("ls-dr9",), formats=(ending,)))
    struck = set()

    def misbehave(handler, query, _) -> bool:
        if query not in (queue[1].query, queue[3].query) or query in struck:
            return False
        struck.add(query)
        return FAULTS[fault](handler)

    viewer.misbehave = misbehave
    fetch(viewer, queue, tmp_path)
    assert len(struck) == 2
    assert viewer.most_at_once == 1 or fault in ("reset", "stall", "cut"), "of those the server learns late"
    check_all_there(queue, tmp_path)


@pytest.mark.parametrize("fault", ["bad gateway", "page", "reset", "cut", "torn as a whole", "unavailable"])
def test_a_viewer_that_is_down_ends_the_run_and_nothing_is_lost_or_recorded_as_absent(viewer, tmp_path, fault):
    queue = make_queue(targets(12), JPG)
    viewer.misbehave = lambda handler, *_: len(viewer.queries()) >= 3 and FAULTS[fault](handler)
    with pytest.raises(ArchiveUnavailable, match=r"the viewer is down or refuses; 3 of 12 files are done and stay"):
        fetch(viewer, queue, tmp_path)
    assert files(tmp_path) == {cutout.path for cutout in queue[:3]}
    found = [status for status, _ in table(tmp_path).values()]
    assert set(found) <= {"there", "error", "waiting"}
    assert found.count("waiting") >= 7
    viewer.misbehave = None
    fetch(viewer, queue, tmp_path)
    check_all_there(queue, tmp_path)


ANSWERS = {
    "HTTP 404, asked twice": ("absent", lambda handler: handler.answer(404, b"")),
    "expected FITS": ("wrong", lambda handler: handler.answer(200, b"\x89PNG\r\n\x1a\n" + bytes(99))),
    "a FITS file without an image": ("absent", lambda handler: handler.answer(200, empty_fits())),
}


def empty_fits() -> bytes:
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU()]).writeto(out)
    return out.getvalue()


@pytest.mark.parametrize("reason", ANSWERS)
@pytest.mark.parametrize("which", [0, 2])
def test_what_the_viewer_does_not_have_is_asked_for_twice_and_recorded(viewer, tmp_path, reason, which):
    status, answer = ANSWERS[reason]
    queue = make_queue(targets(4), ViewerRequest(("ls-dr9",), formats=("fits",)))
    bad = queue[which]
    viewer.misbehave = lambda handler, query, _: query == bad.query and answer(handler)
    made = fetch(viewer, queue, tmp_path)
    assert made.status == Counter({"there": 3, status: 1})
    assert table(tmp_path)[bad.path][0] == status
    assert reason in table(tmp_path)[bad.path][1]
    assert viewer.count(bad.query) == (3 if which == 0 and "404" in reason else 2)
    assert (gaps(viewer) >= 4.99).all(), "the second time as politely as the first"
    viewer.asked.clear()
    fetch(viewer, queue, tmp_path)
    assert viewer.asked == [], "not asked for again"
    viewer.misbehave = None
    assert fetch(viewer, queue, tmp_path, again=True).n_new == 1
    check_all_there(queue, tmp_path)


def test_a_wrong_address_makes_nothing_absent(viewer, tmp_path):
    queue = make_queue(targets(5), JPG)
    viewer.misbehave = lambda handler, *_: handler.answer(404, b"no such page")
    with pytest.raises(
        ArchiveUnavailable, match=r"HTTP 404\. The viewer has not given a single file yet: see whether its"
    ):
        fetch(viewer, queue, tmp_path)
    assert {status for status, _ in table(tmp_path).values()} == {"error"}
    viewer.misbehave = None
    fetch(viewer, queue, tmp_path)
    check_all_there(queue, tmp_path)


def test_a_refusal_for_good_ends_the_run(viewer, tmp_path):
    viewer.misbehave = lambda handler, *_: handler.answer(403, b"")
    with pytest.raises(ArchiveRefused, match=r"HTTP 403.*0 of 5 files are done"):
        fetch(viewer, make_queue(targets(5), JPG), tmp_path)
    assert len(viewer.asked) == 1


def test_positions_that_a_layer_does_not_cover_do_not_hold_up_the_others(viewer, tmp_path, monkeypatch):
    """For those the viewer's program fails: HTTP 500, some of them in long rows."""
    monkeypatch.setattr(viewerfetch, "BROKEN_IN_A_ROW", 10)
    queue = make_queue(targets(40), ViewerRequest(("ls-dr9",), formats=("fits",)))
    outside = {cutout.query for cutout in queue[5:35]}
    viewer.misbehave = lambda handler, query, _: query in outside and handler.answer(500, b"no overlap")
    made = fetch(viewer, queue, tmp_path)
    assert made.status == Counter(error=30, there=10)
    asked = Counter(query for _, query, _ in viewer.asked)
    assert {asked[query] for query in outside} == {2}, "once more at the end"
    assert sum(asked.values()) == 10 + 2 * 30 + 6, "six times it was asked for what it has for certain"
    assert viewer.asked[42][1] not in outside, "the others first"
    assert table(tmp_path)[queue[9].path] == ("error", "HTTP 500")
    viewer.asked.clear()
    outside.remove(queue[20].query)
    made = fetch(viewer, queue, tmp_path)
    assert made.status == Counter(error=29, there=11)
    assert len(viewer.asked) == 30 + 2, "once each, after two rows of ten one that has come"


def test_a_program_that_fails_for_everybody_is_not_asked_for_everything(viewer, tmp_path, monkeypatch):
    monkeypatch.setattr(viewerfetch, "BROKEN_IN_A_ROW", 10)
    queue = make_queue(targets(40), JPG)
    fetch(viewer, queue[:3], tmp_path)
    viewer.misbehave = lambda handler, *_: handler.answer(500, b"")
    with pytest.raises(ArchiveUnavailable, match=r"HTTP 500: the viewer is down or refuses; 3 of 40 files"):
        fetch(viewer, queue, tmp_path)
    assert len(viewer.queries(500)) == 11
    assert files(tmp_path) == {cutout.path for cutout in queue[:3]}, "what was there stays"


def test_files_that_always_break_do_not_hold_up_the_others(viewer, tmp_path):
    queue = make_queue(targets(10), JPG)
    bad = [queue[2], queue[3], queue[5], queue[8]]
    queries = {cutout.query for cutout in bad}
    viewer.misbehave = lambda handler, query, _: query in queries and cut(handler)
    with pytest.raises(ArchiveUnavailable, match=r"4 files failed twice, such as http.*broke off.*6 of 10 files"):
        fetch(viewer, queue, tmp_path)
    assert files(tmp_path) == {cutout.path for cutout in queue if cutout not in bad}
    assert len(viewer.asked) == 6 + 2 * 3 * 4 + 3, "after two in a row it is asked for what it has for certain"
    viewer.misbehave = None
    assert fetch(viewer, queue, tmp_path).n_new == 4
    check_all_there(queue, tmp_path)


# --- The program ------------------------------------------------------------------------------------------------------


def command(viewer, directory: Path, n: int = 6) -> list[str]:
    directory.mkdir(exist_ok=True)
    pq.write_table(pa.table(targets(n)), directory / "targets.parquet")
    made = [
        "--targets",
        str(directory / "targets.parquet"),
        "--viewer",
        viewer.url,
        "--out-dir",
        str(directory / "out"),
    ]
    return [*made, "--layers", "ls-dr9", "--formats", "fits"]


def keep_pace(viewer, directory: Path, interval_s: float) -> list[str]:
    """Return the option for a file with a pace that was found: the program's clock is the real one."""
    path = directory / "pace.json"
    path.write_text(json.dumps({urlsplit(viewer.url).netloc: {"interval_s": interval_s}}))
    return ["--pace", str(path)]


def test_a_killed_run_leaves_nothing_half_written_and_the_next_goes_on(viewer, tmp_path):
    arguments = command(viewer, tmp_path)
    queue = make_queue(targets(6), ViewerRequest(("ls-dr9",), formats=("fits",)))
    half = threading.Event()

    def stop_inside(handler, query, number: int) -> bool:
        if query != queue[3].query or number > 1:
            return False
        body = picture(query)
        handler.answer(200, body[:3000], announced=len(body))
        half.set()
        handler.connection.settimeout(10)
        handler.connection.recv(1)
        handler.close_connection = True
        return True

    viewer.misbehave = stop_inside
    program = [sys.executable, fetch_viewer.__file__, *arguments, *keep_pace(viewer, tmp_path, 0.25)]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    assert half.wait(20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    out = tmp_path / "out"
    assert {path for path in files(out) if path.endswith(".fits")} == {cutout.path for cutout in queue[:3]}
    result = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    assert [viewer.count(cutout.query) for cutout in queue] == [1, 1, 1, 2, 1, 1]
    check_all_there(queue, out)
    assert viewer.most_at_once == 1


def test_a_run_that_is_killed_while_it_writes_leaves_nothing_that_is_taken_for_a_picture(viewer, tmp_path):
    queue = make_queue(targets(2), JPG)
    path = tmp_path / queue[0].path
    path.parent.mkdir(parents=True)
    left = path.with_name(f".{path.name}.99999999.{os.uname().nodename}.x.tmp")
    left.write_bytes(picture(queue[0].query)[:99])
    fetch(viewer, queue, tmp_path)
    check_all_there(queue, tmp_path)


def test_the_program_lists_first_and_says_how_far_it_is(viewer, tmp_path, capsys, monkeypatch):
    arguments = [*command(viewer, tmp_path), *keep_pace(viewer, tmp_path, 0.25)]
    out = tmp_path / "out"
    run = lambda *more: cli.run(fetch_viewer.main, fetch_viewer.build_parser(), [*arguments, *more])  # noqa: E731
    assert run("--list-only") == 0
    assert viewer.asked == []
    assert sorted(path.name for path in out.iterdir()) == ["urls.txt", "viewer.csv", "viewer.db"]
    lines = (out / "urls.txt").read_text().splitlines()
    assert lines[0] == (
        f"'{viewer.url}/cutout.fits?ra=10.0000000&dec=-1.5000000&layer=ls-dr9&size=160' ls-dr9/1000/0.fits"
    )
    assert (out / "viewer.csv").read_text().splitlines()[:2] == [
        "row,layer,path,status,reason",
        "0,ls-dr9,ls-dr9/1000/0.fits,waiting,",
    ]
    monkeypatch.setattr(viewerfetch, "SAY_S", 0.0)
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=2 base_s=0.01 cap_s=0.01")
    viewer.misbehave = lambda handler, *_: len(viewer.queries()) >= 4 and handler.answer(503, b"")
    assert run() == cli.EXIT_TRY_AGAIN
    shown = capsys.readouterr()
    assert "viewer: 4 of 6 files, 4 new, one every 0.2 s, about 0 s left\n" in shown.out
    assert "error: http" in shown.err
    viewer.misbehave = None
    viewer.asked.clear()
    assert run() == 0
    assert len(viewer.asked) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--layers", "ls-dr9", "lsdr10"], "the viewer has no layer 'lsdr10'; did you mean ls-dr10"),
        (["--size", "0"], "size: found 0; expected 1 to 512"),
        (
            ["--viewer", "legacysurvey.org/viewer"],
            "--viewer legacysurvey.org/viewer: expected an address such as https",
        ),
    ],
)
def test_the_program_refuses_what_makes_no_sense_before_it_asks(viewer, tmp_path, capsys, more, message):
    arguments = [*command(viewer, tmp_path), *more]
    assert cli.run(fetch_viewer.main, fetch_viewer.build_parser(), arguments) == cli.EXIT_USAGE
    assert message in capsys.readouterr().err
    assert viewer.asked == []
