"""What is asked of every archive on the web, from its name to absent files; of ranges: `skyharvest.check.ranges`."""

import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from skyharvest.archive.http.probe import Answer, probe_patiently
from skyharvest.archive.http.proxies import proxy_of
from skyharvest.check.ranges import first_bytes, many_ranges, one_range, rate
from skyharvest.core.errors import ArchiveRefused, ArchiveUnavailable
from skyharvest.harvest.check import (
    ADAPTED,
    AS_ASSUMED,
    FAILS,
    NO_ANSWER,
    NO_SUCH,
    NOTE,
    Asking,
    EnoughAsked,
    Finding,
    Question,
)

ANSWER = "a file (HTTP 200 or 206)"
NAME, CERTIFICATE, REDIRECTS, VERSION, FIRST = (
    *("name of the host", "certificate", "redirects", "HTTP version", "first answer"),
)


def name_resolves(asking: Asking) -> Iterator[Finding]:
    """Ask for the host's address, or for that of the proxy which has to know it."""
    root = asking.archive.root
    proxy = proxy_of(root)
    if proxy is not None:
        means = "all requests go through it"
        change = f"where none is needed: name the archive's host in NO_PROXY, or unset {proxy.variable}"
        yield asking.found(NOTE, "proxy", root, assumed="none", seen=f"{proxy}", means=means, change=change)
    parts = urlsplit(proxy.address if proxy else root)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except OSError as error:
        yield asking.found(
            NO_ANSWER,
            NAME,
            host,
            assumed="has an address",
            seen=f"has none: {error.strerror or error}",
            means="no file can be asked for: there is no network here, or no such host",
            change=f"connect this machine to the network, or set HTTPS_PROXY; else correct {asking.survey}.archive",
        )
        raise EnoughAsked from None
    addresses = ", ".join(dict.fromkeys(str(one[4][0]) for one in found))
    yield asking.found(AS_ASSUMED, NAME, host, assumed="has an address", seen=addresses)


def first_answer(asking: Asking) -> Iterator[Finding]:
    """Ask for a byte of a file that the release has: certificate, redirects, version, status."""
    url = asking.archive.location(asking.known)
    try:
        answer = probe_patiently(asking.archive.client, url)
    except ArchiveUnavailable as error:
        told = {"assumed": ANSWER, "seen": f"{error}", "change": "check later; or correct the address, or the proxy"}
        yield asking.found(NO_ANSWER, FIRST, url, means="the run would try again and again, and then fail", **told)
        raise EnoughAsked from None
    except ArchiveRefused as error:
        yield _refusal(asking, url, str(error).removeprefix(f"{url}: "))
        raise EnoughAsked from None
    asking.shared["first_s"] = answer.seconds
    if url.startswith("https:"):
        seen = f"valid until {answer.certificate_ends}" if answer.certificate_ends else "valid"
        yield asking.found(AS_ASSUMED, CERTIFICATE, url, assumed="valid", seen=seen)
    yield _redirects(asking, url, answer)
    yield _version(asking, url, answer)
    yield from _status(asking, url, answer)


def _refusal(asking: Asking, url: str, why: str) -> Finding:
    """Return the finding that there is no first answer, for a reason that will not pass."""
    told = {"seen": why, "means": "the run would stop at its first file"}
    if "one address to the next" in why:
        change = f"tell the archive; or set {asking.survey}.archive to another root or a mirror"
        return asking.found(FAILS, REDIRECTS, url, assumed="none", change=change, **told)
    told["seen"], _, change = why.rpartition(": ")
    question, assumed = (CERTIFICATE, "valid") if "certificate" in why else (FIRST, ANSWER)
    return asking.found(FAILS, question, url, assumed=assumed, change=change, **told)


def _redirects(asking: Asking, url: str, answer: Answer) -> Finding:
    asking.shared["one_by_one"] = not answer.moved or proxy_of(url) is not None  # no requests are sent ahead
    if not answer.hops:
        return asking.found(AS_ASSUMED, REDIRECTS, url, assumed="none", seen="none")
    last = answer.hops[-1]
    if last.startswith("http:") and url.startswith("https:"):
        means = "what is read comes without encryption, and could be changed on the way"
        change = f"ask the archive; or read from another root of {asking.survey}.archive"
        return asking.found(NOTE, REDIRECTS, url, assumed="none", seen=f"to {last}", means=means, change=change)
    means = "the run follows it, with every request: each takes twice as long"
    if answer.moved:
        means = "for good: the run follows it once in each job"
    root = last.removesuffix(asking.known).rstrip("/")
    change = f"set {asking.survey}.archive: {root}" if last.endswith(asking.known) else ""
    return asking.found(ADAPTED, REDIRECTS, url, assumed="none", seen=f"to {last}", means=means, change=change)


def _version(asking: Asking, url: str, answer: Answer) -> Finding:
    stays = answer.version != "HTTP/1.0" and (answer.headers.get("Connection") or "").lower() != "close"
    seen = f"{answer.version}, connections stay open" if stays else f"{answer.version}, connections do not stay open"
    means = "every request opens a connection: each takes two to three times as long"
    return asking.compare(
        VERSION, url, assumed="HTTP/1.1, connections stay open", seen=seen, otherwise=ADAPTED, means=means
    )


def _status(asking: Asking, url: str, answer: Answer) -> Iterator[Finding]:
    """Judge the first answer; without a file, nothing else can be asked."""
    assumed, survey, seen = ANSWER, asking.survey, f"HTTP {answer.status}"
    if answer.status in (200, 206) and not answer.is_page:
        yield asking.found(AS_ASSUMED, FIRST, url, assumed=assumed, seen=seen)
        return
    told = {"assumed": assumed, "seen": seen}
    if answer.is_page and answer.status in (200, 206):
        told |= {"seen": f"{seen}, an HTML page", "means": "the run would wait for the file, and then fail"}
        told["change"] = f"look at the page in a browser: a login, or a wrong address? Correct {survey}.archive"
        yield asking.found(FAILS, FIRST, url, **told)
    elif answer.status in (404, 410):
        told["means"] = "the release's list of files is not there: nothing can be planned"
        told["change"] = f"correct {survey}.archive or {survey}.release; another layout needs an entry in releases.yaml"
        yield asking.found(FAILS, FIRST, url, **told)
    elif answer.status in (401, 403, 407):
        told |= {"means": "the archive refuses: the data are not public there, or not for this machine"}
        told["change"] = f"check the address in a browser; or set {survey}.archive to another root or a mirror"
        yield asking.found(FAILS, FIRST, url, **told)
    elif answer.is_busy:
        told |= {"means": "busy or down: the run would try again and again, and then fail", "change": "check later"}
        if wait := answer.headers.get("Retry-After"):
            told["seen"] += f", Retry-After: {wait}"
        yield asking.found(NO_ANSWER, FIRST, url, **told)
    else:
        told |= {"means": "the run takes that for a refusal, and stops", "change": f"correct {survey}.archive"}
        yield asking.found(FAILS, FIRST, url, **told)
    raise EnoughAsked


def what_is_missing(asking: Asking) -> Iterator[Finding]:
    """Ask for a file and for a directory that are not there: absence has to be told from all else."""
    folder, _, name = asking.known.rpartition("/")
    folder = f"{folder}/" if folder else ""
    for question, path in (
        ("a missing file", f"{folder}{NO_SUCH}-{name}"),
        ("a missing directory", f"{folder}{NO_SUCH}/{name}"),
    ):
        url = asking.archive.location(path)
        answer = probe_patiently(asking.archive.client, url)
        if answer.is_busy and probe_patiently(asking.archive.client, asking.archive.location(asking.known)).is_busy:
            raise ArchiveUnavailable(f"{url}: HTTP {answer.status}, as for files that are there")
        yield _absence(asking, question, url, answer)


def _absence(asking: Asking, question: str, url: str, answer: Answer) -> Finding:
    section = asking.section
    told = {"assumed": "HTTP 404 or 410", "seen": f"HTTP {answer.status}"}
    if answer.hops:
        told["seen"] += f" from {answer.hops[-1]}"
    if answer.status in (404, 410):
        return asking.found(AS_ASSUMED, question, url, **told)
    if answer.status == 403:
        if b"<Code>AccessDenied</Code>" in answer.body:
            told["seen"] += ", AccessDenied in S3's XML"
        if section.get("forbidden_is_absent"):
            told["means"] = "recorded as absent, as forbidden_is_absent says, while the list of files can be read"
            return asking.found(ADAPTED, question, url, **told)
        told["means"] = "absent files look like forbidden ones: the first that is absent would end the run"
        told["change"] = f"set {asking.survey}.forbidden_is_absent: true"
        return asking.found(FAILS, question, url, **told)
    report = (
        f"tell the archive that {url} should be answered with 404; until then set {asking.survey}.archive to another"
    )
    if answer.status in (200, 206) and answer.is_page:
        told["seen"] += ", an HTML page"
        told["means"] = "absent files cannot be told from a server in trouble: the run would wait for them, and fail"
        return asking.found(FAILS, question, url, change=report, **told)
    if answer.status in (200, 206):
        told["seen"] += f", {answer.content_type or 'a body of no type'}"
        told["means"] = "files that are absent would be recorded as unreadable, not as absent"
        return asking.found(ADAPTED, question, url, change=report, **told)
    told["means"] = "taken for a server in trouble: the run would wait for each absent file, and then fail"
    if not answer.is_busy:
        told["means"] = "taken for a refusal: the first absent file would end the run"
    return asking.found(FAILS, question, url, change=report, **told)


QUESTIONS: Mapping[str, Question] = {
    NAME: name_resolves,
    FIRST: first_answer,
    "one range": one_range,
    "many ranges": many_ranges,
    "missing files": what_is_missing,
    "latency": first_bytes,
    "rate": rate,
}
