"""What a check says of servers that differ from what is assumed; and that the harvest's client does what it says."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from range_server import denied, serve
from shown_differences import assert_shown
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.check import server
from skyharvest.check.ask import answers
from skyharvest.core.errors import HarvestError
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NO_ANSWER, NO_SUCH, NOTE, Asking, Finding

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=2)
DATA = bytes(k * k % 251 for k in range(300_000))
RANGES = [(k * 2000, k * 2000 + 10) for k in range(140)]
MULTI = "many ranges in one request"
Misbehaviour = Callable[[Any, int], bool]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("served")
    (directory / "list.fits").write_bytes(DATA)
    (directory / "x.fits").write_bytes(DATA)
    return directory


def asked(url: str, section: dict[str, Any] | None = None) -> dict[str, Finding]:
    """Return the findings of all questions to a server by what they ask, each asked once."""
    section = section or {}
    with Archive(url, patience=QUICK, forbidden_is_absent="forbidden_is_absent" in section, budget=10**6) as archive:
        asking = Asking(
            survey="desi",
            config={"desi": section},
            release=None,
            known="list.fits",
            archive=archive,
            read_targets=dict,
        )
        findings = list(answers(asking, server.QUESTIONS))
    assert len({finding.question for finding in findings}) == len(findings)
    return {finding.question: finding for finding in findings}


def read(url: str, path: str = "x.fits", **how: Any) -> str:
    """Return what a harvest comes to that reads a file by ranges."""
    with Archive(url, patience=QUICK, **how) as archive:
        try:
            with archive.open(path) as source:
                return "read" if source.read(RANGES) == [DATA[a:b] for a, b in RANGES] else "wrong"
        except HarvestError as error:
            return type(error).__name__


def always(answer: Callable[[Any], None], *, only: Callable[[Any], bool] = lambda handler: True) -> Misbehaviour:
    def misbehave(handler: Any, _number: int) -> bool:
        if only(handler):
            answer(handler)
            return True
        return False

    return misbehave


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[[Any], None]:
    return lambda handler: handler.answer(status, body, {k.replace("_", "-"): v for k, v in headers.items()})


def is_missing(handler: Any) -> bool:
    return not handler.path.endswith(("/list.fits", "/x.fits")) or NO_SUCH in handler.path


def has_many(handler: Any, more_than: int = 1) -> bool:
    return handler.headers.get("Range", "").count(",") >= more_than


def hang_up(handler: Any) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def is_long(handler: Any) -> bool:
    return max(len(value) for value in handler.headers.values()) > 3000


def versions(handler: Any, number: int, **headers: str) -> bool:
    """Give another ETag with every answer, and one range, as two servers do behind one name."""
    data = handler.content() if not is_missing(handler) else b""
    span = handler.headers.get("Range", "").removeprefix("bytes=").partition(",")[0]
    if not data or not span:
        return False
    first, last = map(int, span.split("-"))
    body = data[first : last + 1]
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    said = {**given, "Content-Range": f"bytes {first}-{first + len(body) - 1}/{len(data)}", "ETag": f'"{number % 2}"'}
    handler.answer(206, body, said)
    return True


def spanned(span: str) -> Callable[[Any], None]:
    """Answer with ten bytes that are said to be of some place."""
    return lambda handler: handler.answer(206, DATA[:10], {"Content-Range": span})


def one_by_one(handler: Any, _number: int) -> bool:
    """Answer in HTTP/1.0, and hang up."""
    handler.protocol_version = "HTTP/1.0"
    handler.close_connection = True
    return False


@dataclass
class Difference:
    """A server; the finding that it must lead to; and what reading ``path`` from it comes to."""

    misbehave: Misbehaviour | None
    question: str
    verdict: str
    words: list[str]
    claim: str = "read"
    path: str = "x.fits"
    ranges: str = "multi"
    section: dict[str, Any] | None = None


MISSING = "nowhere/y.fits"
PAGE = answering(200, b"<!DOCTYPE html><html>Sorry</html>", Content_Type="text/html")
DIFFERENCES = {
    "no ranges": Difference(None, "one range", ADAPTED, ["the whole file", "mirror"], ranges="none"),
    "one range a request": Difference(None, MULTI, ADAPTED, ["one: the whole file", "one range a"], ranges="single"),
    "the first range only": Difference(None, MULTI, ADAPTED, ["one: only bytes 0-0/300000"], ranges="first"),
    "many ranges refused": Difference(None, MULTI, ADAPTED, ["one: HTTP 400"], ranges="refuse"),
    "not so many ranges": Difference(
        always(answering(431), only=lambda handler: has_many(handler, 100)),
        MULTI,
        ADAPTED,
        ["20 are taken; 180: HTTP 431"],
    ),
    "many ranges not answered": Difference(always(hang_up, only=has_many), MULTI, ADAPTED, ["one: no answer"]),
    "short headers only": Difference(
        always(answering(431), only=is_long), "length of a request", ADAPTED, ["HTTP 431", "one range a request"]
    ),
    "another range": Difference(
        always(spanned("bytes 5-14/300000")), "one range", FAILS, ["bytes 5-14/300000"], "ArchiveUnavailable"
    ),
    "no length": Difference(
        always(spanned("bytes 0-9/*")), "one range", FAILS, ["without the file's length", "RFC 9110"], ""
    ),
    "compressed on the way": Difference(
        always(answering(200, b"\x1f\x8b" + bytes(300), Content_Encoding="gzip")),
        *("encoding", FAILS, ["Content-Encoding: gzip", "must not compress"], "MalformedFile"),
    ),
    "two versions": Difference(versions, "version of a file", FAILS, ["then", "ETag"], "ArchiveUnavailable"),
    "two versions, but one date": Difference(
        partial(versions, Last_Modified="Sat, 01 Jan 2022 00:00:00 GMT"),
        *("version of a file", ADAPTED, ['then "', "Last-Modified is the same"]),
    ),
    "missing: forbidden": Difference(
        always(answering(403), only=is_missing),
        *("a missing file", FAILS, ["HTTP 403", "desi.forbidden_is_absent: true"], "ArchiveRefused", MISSING),
    ),
    "missing: forbidden by S3": Difference(
        always(denied, only=is_missing),
        *("a missing directory", FAILS, ["AccessDenied in S3's XML", "desi.forbidden_is_absent"], "ArchiveRefused"),
        path=MISSING,
    ),
    "missing: forbidden, as is known": Difference(
        always(denied, only=is_missing),
        *("a missing file", ADAPTED, ["HTTP 403", "recorded as absent"], "Absent", MISSING),
        section={"forbidden_is_absent": True},
    ),
    "missing: a page": Difference(
        always(PAGE, only=is_missing),
        *("a missing file", FAILS, ["HTTP 200, an HTML page", "cannot be told"], "ArchiveUnavailable", MISSING),
    ),
    "missing: a text": Difference(
        always(answering(200, b"not found", Content_Type="text/plain"), only=is_missing),
        *("a missing directory", ADAPTED, ["text/plain", "unreadable, not as absent"], "MalformedFile", MISSING),
    ),
    "missing: an error": Difference(
        always(answering(500), only=is_missing),
        *("a missing file", FAILS, ["HTTP 500", "in trouble"], "ArchiveUnavailable", MISSING),
    ),
    "missing: a refusal": Difference(
        always(answering(406), only=is_missing),
        *("a missing file", FAILS, ["HTTP 406", "refusal"], "ArchiveRefused", MISSING),
    ),
    "missing: sent home": Difference(
        lambda handler, number: (
            always(PAGE, only=lambda handler: handler.path == "/home")(handler, number)
            or always(answering(302, Location="/home"), only=is_missing)(handler, number)
        ),
        *("a missing file", FAILS, ["HTTP 200 from /home", "HTML page"], "ArchiveUnavailable", MISSING),
    ),
    "HTTP/1.0": Difference(one_by_one, "HTTP version", ADAPTED, ["do not stay open", "opens a connection"]),
    "in circles": Difference(
        always(lambda handler: answering(302, Location=handler.path)(handler)),
        *("redirects", FAILS, ["from one address to the next"], "ArchiveRefused"),
    ),
    "a login": Difference(always(PAGE), "first answer", FAILS, ["an HTML page", "login"], "ArchiveUnavailable"),
    "not public": Difference(
        always(answering(401)), "first answer", FAILS, ["HTTP 401", "not public"], "ArchiveRefused"
    ),
    "no list": Difference(always(answering(404)), "first answer", FAILS, ["HTTP 404", "releases.yaml"], "Absent"),
    "a refusal": Difference(
        always(answering(418)), "first answer", FAILS, ["HTTP 418", "desi.archive"], "ArchiveRefused"
    ),
    "busy": Difference(
        always(answering(503, Retry_After="120")),
        *("first answer", NO_ANSWER, ["HTTP 503, Retry-After: 120", "later"], ""),
    ),
}


def test_a_good_server_is_as_assumed_and_is_asked_little(root):
    with serve(root) as served:
        served.tagged = True
        found = asked(served.url)
    assert {finding.verdict for finding in found.values()} == {AS_ASSUMED, NOTE}
    assert found[MULTI].seen == "180"
    assert "ms for the first answer" in found["latency"].seen
    assert "a second" in found["rate"].seen
    assert len(served.requests) < 20
    assert served.sent < 500_000


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_is_seen_and_what_is_said_of_it_is_true(root, name):
    case = DIFFERENCES[name]
    with serve(root) as served:
        served.ranges, served.misbehave = case.ranges, case.misbehave
        finding = asked(served.url, case.section)[case.question]
        assert finding.verdict == case.verdict, finding
        told = f"{finding.seen} {finding.means} {finding.change}"
        assert not [word for word in case.words if word not in told], told
        assert finding.means
        assert finding.change or case.verdict == ADAPTED
        assert finding.about.startswith(served.url)
        assert_shown("Every archive on the web", name, finding, served.url)
        if case.claim:
            how = {"forbidden_is_absent": True} if case.section else {}
            assert read(served.url, case.path, **how) == case.claim


def test_a_server_that_is_busy_once_is_asked_again(root):
    with serve(root) as served:
        served.misbehave = lambda handler, number: number == 1 and (handler.answer(503, b"busy"), True)[1]
        found = asked(served.url)
    assert {finding.verdict for finding in found.values()} == {AS_ASSUMED, NOTE}


def test_a_server_that_gets_busy_is_not_said_to_lack_files(root):
    with serve(root) as served:
        served.misbehave = lambda handler, _: (
            any(NO_SUCH in path for path, _ in served.requests) and (handler.answer(503, b"busy"), True)[1]
        )
        found = asked(served.url)
    assert found["missing files"].verdict == NO_ANSWER
    assert "later" in found["missing files"].change


@pytest.mark.parametrize(("status", "words"), [(302, "with every request"), (308, "once in each job")])
@pytest.mark.parametrize("ranges", ["multi", "single"])
def test_a_redirect_is_followed_and_the_root_behind_it_is_named(root, status, words, ranges):
    with serve(root) as there, serve(root) as here:
        there.ranges = ranges
        here.misbehave = always(
            lambda handler: handler.answer(status, b"", {"Location": f"{there.url}/moved/..{handler.path}"})
        )
        finding = asked(here.url)["redirects"]
        assert (finding.verdict, words in finding.means) == (ADAPTED, True)
        assert finding.change == f"set desi.archive: {there.url}/moved/.."
        here.requests.clear()
        there.requests.clear()
        assert read(here.url) == "read"
        assert len(here.requests) == (1 if status == 308 else len(there.requests))


def test_s3_is_never_asked_for_many_ranges(root, monkeypatch):
    with serve(root) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)

        def strip(handler: Any, _number: int) -> bool:
            handler.path = "/" + handler.path.partition("://")[2].partition("/")[2]
            return False

        proxy.misbehave = strip
        found = asked("http://bucket.s3.amazonaws.com")
    assert found[MULTI].verdict == AS_ASSUMED
    assert "not asked" in found[MULTI].seen
    assert len(proxy.requests) > 5
    assert not [asked for _, asked in proxy.requests if "," in asked]
    assert (found["proxy"].verdict, proxy.url in found["proxy"].seen) == (NOTE, True)


def test_a_budget_is_kept(root):
    with serve(root) as served, Archive(served.url, patience=QUICK, budget=5000) as archive:
        asking = Asking(
            survey="desi", config={"desi": {}}, release=None, known="list.fits", archive=archive, read_targets=dict
        )
        findings = list(answers(asking, server.QUESTIONS))
        assert archive.client.traffic.bytes <= 5000
    assert "not asked" in {finding.verdict for finding in findings}
    assert not {FAILS, NO_ANSWER} & {finding.verdict for finding in findings}


@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1:9"])
def test_without_a_network_a_check_says_so_in_seconds(host):
    began = time.monotonic()
    found = asked(f"http://{host}")
    assert time.monotonic() - began < 30
    [finding] = [one for one in found.values() if one.verdict == NO_ANSWER]
    assert finding.change
    assert "what follows" in found or len(found) == 2


@contextmanager
def certificate(directory: Path, name: str, days: tuple[int, int]) -> Iterator[ssl.SSLContext]:
    """Give what a server needs whose certificate is for a name, and valid from and until so many days from now."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem = made.public_bytes(encoding)
    (directory / "cert.pem").write_bytes(pem)
    (directory / "both.pem").write_bytes(pem + key.private_bytes(encoding, private, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "both.pem")
    yield context


@pytest.mark.parametrize(
    ("name", "days", "trusted", "verdict", "words"),
    [
        ("localhost", (-1, 9), True, AS_ASSUMED, ["valid until"]),
        ("localhost", (-1, 9), False, FAILS, ["self-signed", "SSL_CERT_FILE"]),
        ("localhost", (-9, -1), True, FAILS, ["has expired", "clock"]),
        ("localhost", (2, 9), True, FAILS, ["not valid yet", "clock"]),
        ("elsewhere.example", (-1, 9), True, FAILS, ["for another host", "address"]),
    ],
)
def test_certificates(root, tmp_path, monkeypatch, name, days, trusted, verdict, words):
    with certificate(tmp_path, name, days) as tls, serve(root, tls) as served:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem") if trusted else "/dev/null")
        finding = asked(served.url)["certificate"]
        assert finding.verdict == verdict, finding
        assert not [word for word in words if word not in f"{finding.seen} {finding.change}"], finding
        assert read(served.url) == ("read" if verdict == AS_ASSUMED else "ArchiveRefused")
