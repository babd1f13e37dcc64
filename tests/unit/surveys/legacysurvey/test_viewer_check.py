"""A check of the viewer: few requests, and what its answers mean for a run."""

import io

import numpy as np
import pytest
from astropy.io import fits

from range_server import serve
from skyharvest.harvest.check import AS_ASSUMED, FAILS, NO_ANSWER, NOT_ASKED, NOTE
from skyharvest.surveys.legacysurvey.viewer.check import MOST, viewer
from small_check import ask, asking, one

LAYERS = ["ls-dr9", "galex", "unwise-neo7"]
JPEG = b"\xff\xd8\xff\xe0" + bytes(3000) + b"\xff\xd9"


def fits_file(image):
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(image)]).writeto(out)
    return out.getvalue()


def answering(of_layer=lambda layer: None):
    """Return a server's behaviour: pictures, but for layers that ``of_layer`` has an answer (status, body, …) for."""

    def misbehave(handler, _):
        layer = handler.path.partition("layer=")[2].partition("&")[0]
        picture = JPEG if "cutout.jpg" in handler.path else fits_file(np.ones((4, 4), "f4"))
        handler.answer(*(of_layer(layer) or (200, picture)))
        return True

    return misbehave


def findings(tmp_path, misbehave, **section):
    """Return the findings, and the requests that were made."""
    with serve(tmp_path) as server:
        server.misbehave = misbehave
        wanted = {"layers": LAYERS, "address": server.url} | section
        given = asking("legacysurvey", str(tmp_path), [(180, 40), (181, 41)], release="dr10", viewer=wanted)
        return ask({"viewer": viewer}, given), server.requests


def after(number, answer):
    """Return an answer for all requests but the first ones."""
    asked = []

    def of_layer(layer):
        asked.append(layer)
        return answer if len(asked) > number else None

    return of_layer


def test_each_layer_is_asked_for_one_picture(tmp_path):
    found, requests = findings(tmp_path, answering(), formats=["jpg", "fits"], psf_layers=["ls-dr9"])
    assert len(requests) == MOST
    assert all("ra=180.0" in path for path, _ in requests)
    assert one([finding for finding in found if finding.verdict == AS_ASSUMED], "pace of the viewer")
    seen = [finding.seen for finding in found if finding.verdict == AS_ASSUMED]
    assert "galex jpg: a picture" in seen and "galex fits: a picture" in seen
    assert one(found, "layers of the viewer").verdict == NOT_ASKED
    assert one(found, "layers of the viewer").seen == "ls-dr9-psf"


SLOW = (429, b"slow down")
CASES = {
    "a layer is not there": (
        lambda layer: (404, b"") if layer == "galex" else None,
        "layers of the viewer",
        NOTE,
        ("galex jpg: HTTP 404", "viewer.layers: without galex"),
        3,
    ),
    "a layer fails": (
        lambda layer: (500, b"") if layer == "galex" else None,
        "layers of the viewer",
        NOTE,
        ("galex jpg: HTTP 500",),
        3,
    ),
    "a page": (
        lambda layer: (200, b"<html>", {"Content-Type": "text/html"}) if layer == "galex" else None,
        "layers of the viewer",
        NOTE,
        ("galex jpg: the server sent an HTML page",),
        3,
    ),
    "no picture": (
        lambda layer: (200, b"GIF89a") if layer == "galex" else None,
        "layers of the viewer",
        NOTE,
        ("galex jpg: 6 bytes that begin with b'GIF89a', expected JPEG",),
        3,
    ),
    "nothing at all": (
        lambda layer: (500, b""),
        "layers of the viewer",
        FAILS,
        ("has not given a single file", "viewer.address"),
        3,
    ),
    "refused": (
        lambda layer: (403, b""),
        "layers of the viewer",
        FAILS,
        ("HTTP 403", "has not given a single file"),
        3,
    ),
    "pushed": (
        after(2, (*SLOW, {"Retry-After": "30"})),
        "pace of the viewer",
        AS_ASSUMED,
        ("HTTP 429 to request 3, after", "Retry-After 30 s"),
        3,
    ),
    "pushed, without a word": (
        after(1, (503, b"")),
        "pace of the viewer",
        AS_ASSUMED,
        ("HTTP 503 to request 2", "no Retry-After"),
        2,
    ),
    "busy from the start": (
        after(0, SLOW),
        "pace of the viewer",
        NOTE,
        ("HTTP 429 to request 1", "asks more slowly"),
        1,
    ),
    "left alone for long": (
        after(1, (*SLOW, {"Retry-After": "7200"})),
        "pace of the viewer",
        NO_ANSWER,
        ("Retry-After 7200 s", "waits 300 s at most", "run again later"),
        2,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_told_with_what_it_means(tmp_path, case):
    of_layer, question, verdict, words, n_requests = CASES[case]
    found, requests = findings(tmp_path, answering(of_layer))
    finding = one(found, question)
    assert finding.verdict == verdict, finding
    for word in words:
        assert word in f"{finding.seen}; {finding.means}; {finding.change}"
    assert len(requests) == n_requests


def test_a_fits_file_without_an_image_is_no_picture(tmp_path):
    found, _ = findings(
        tmp_path, answering(lambda layer: (200, fits_file(None)) if layer == "galex" else None), formats=["fits"]
    )
    assert "galex fits: a FITS file without an image" in one(found, "layers of the viewer").seen
