"""What is asked of every archive on the web about ranges of bytes, and how fast they come."""

from collections.abc import Iterator, Sequence
from statistics import median

from skyharvest.archive.archive import Cost
from skyharvest.archive.http.file import HEADER_BYTES, RANGES_PER_REQUEST, split_parts
from skyharvest.archive.http.probe import Answer, probe
from skyharvest.archive.http.response import TryAgain, parse_content_range
from skyharvest.archive.http.servers import SINGLE
from skyharvest.core.errors import ArchiveUnavailable
from skyharvest.core.words import size
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, Asking, Finding

FEW, SOME = 2, 20
N_TIMED = 4
RATE_BYTES = 2_000_000
BY_SPEED = "whole files would be fetched, of hundreds of MB each"


def one_range(asking: Asking) -> Iterator[Finding]:
    """Ask for one range, twice: are they ranges, of one version of the file, as it is stored?"""
    url = asking.archive.location(asking.known)
    first, again = (probe(asking.archive.client, url, {"Range": f"bytes={a}-{a + 9}"}) for a in (0, 10))
    yield _range(asking, url, first)
    encoded = first.headers.get("Content-Encoding", "identity")
    if encoded != "identity":
        yield asking.found(
            FAILS if not url.endswith(".gz") else NOTE,
            "encoding",
            url,
            assumed="bytes as they are stored",
            seen=f"Content-Encoding: {encoded}",
            means="ranges are of the compressed bytes: no FITS file can be read",
            change="tell the archive that it must not compress FITS files",
        )
    yield _version(asking, url, first, again)


def _version(asking: Asking, url: str, first: Answer, again: Answer) -> Finding:
    """Compare what two answers say of the version of a file, which did not change between them."""
    question, assumed = "version of a file", "the same in every answer"
    tags, dates = ([answer.headers.get(key) or "" for answer in (first, again)] for key in ("ETag", "Last-Modified"))
    if dates[0] != dates[1] or (tags[0] != tags[1] and not dates[0]):
        key, (one, other) = ("Last-Modified", dates) if dates[0] != dates[1] else ("ETag", tags)
        told = {"seen": f"{key}: {one or 'none'}, then {other or 'none'}"}
        told["means"] = "the run would take the file as changed while it is read, and try again until it gives up"
        told["change"] = f"tell the archive that its servers differ; or set {asking.survey}.archive to another"
        return asking.found(FAILS, question, url, assumed=assumed, **told)
    if tags[0] != tags[1]:
        seen, means = f"ETag: {tags[0]}, then {tags[1]}", "Last-Modified is the same, and counts"
        return asking.found(ADAPTED, question, url, assumed=assumed, seen=seen, means=means)
    return asking.found(AS_ASSUMED, question, url, assumed=assumed, seen=assumed)


def _range(asking: Asking, url: str, answer: Answer) -> Finding:
    told = {"assumed": "the bytes that are asked for", "seen": f"HTTP {answer.status}"}
    span = parse_content_range(answer.headers.get("Content-Range") or "")
    if answer.status == 200:
        told |= {"seen": "the whole file", "means": BY_SPEED, "change": "use another root or mirror, or Globus"}
        asking.shared["whole"] = True
        return asking.found(ADAPTED, "one range", url, **told)
    if answer.status != 206 or span is None or span[:2] != (0, 10):
        told["seen"] += f", Content-Range: {answer.headers.get('Content-Range')}"
        told["means"] = "the run would ask again, and then fail"
        told["change"] = "tell the archive; use another root or mirror"
        return asking.found(FAILS, "one range", url, **told)
    if span[2] is None:
        told["seen"] += ", without the file's length"
        told["means"] = "the run needs each file's length, and would fail"
        told["change"] = "tell the archive that Content-Range should end with the length, as RFC 9110 says"
        return asking.found(FAILS, "one range", url, **told)
    asking.shared["length"] = span[2]
    return asking.found(AS_ASSUMED, "one range", url, assumed=told["assumed"], seen=f"of {span[2]:,} bytes: those")


def many_ranges(asking: Asking) -> Iterator[Finding]:
    """Ask how many ranges the server gives in one answer, and whether it takes long headers."""
    url, client = asking.archive.location(asking.known), asking.archive.client
    question = "many ranges in one request"
    if client.servers.get(url) == SINGLE:
        seen = "one a request: known of this host, and not asked"
        yield asking.found(AS_ASSUMED, question, url, assumed="one a request", seen=seen)
        return
    length = asking.shared.get("length", 0)
    if length < 2 * RANGES_PER_REQUEST or asking.shared.get("whole"):
        return  # too short for so many; or not by ranges at all

    def refusal(n: int) -> str:
        return _refusal(asking, url, [(k * (length // n), k * (length // n) + 1) for k in range(n)])

    if why := refusal(FEW):
        seen = f"one: {why}"
    elif not (why := refusal(RANGES_PER_REQUEST)):
        yield asking.found(AS_ASSUMED, question, url, assumed=f"{RANGES_PER_REQUEST}", seen=f"{RANGES_PER_REQUEST}")
        yield _long_header(asking, url)
        return
    else:
        seen = f"{FEW if refusal(SOME) else SOME} are taken; {RANGES_PER_REQUEST}: {why}"
    means = "the run asks for one range a request, and sends many requests at once: somewhat slower"
    if "whole file" in seen:
        means += "; to find that out costs it up to 1 MB, once"
    if asking.shared.get("one_by_one"):
        means = "the run asks for one range a request, and waits for each answer: many times slower"
    yield asking.found(ADAPTED, question, url, assumed=f"{RANGES_PER_REQUEST}", seen=seen, means=means)


def _refusal(asking: Asking, url: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return how a server answers many ranges, if not with all of them; what else it sends is not read."""
    asked = ",".join(f"{start}-{stop - 1}" for start, stop in spans)
    try:
        answer = probe(asking.archive.client, url, {"Range": f"bytes={asked}"}, most=1000 * len(spans))
    except ArchiveUnavailable:
        return "no answer"
    if answer.status != 206:
        return "the whole file" if answer.status == 200 else f"HTTP {answer.status}"
    if answer.headers.get("Content-Range"):
        return f"only {answer.headers.get('Content-Range')}"
    try:
        parts = split_parts(answer.body, answer.headers.get("Content-Type") or "")
    except TryAgain as error:
        return error.why
    return "" if len(parts) == len(spans) else f"{len(parts)} of {len(spans)} parts"


def _long_header(asking: Asking, url: str) -> Finding:
    """Ask with a header as long as a run's longest."""
    question, assumed = "length of a request", f"headers of {HEADER_BYTES:,} bytes are taken"
    padding = {"Range": "bytes=0-0", "X-Padding": "x" * HEADER_BYTES}
    try:
        answer = probe(asking.archive.client, url, padding)
        seen = assumed if answer.status in (200, 206) else f"HTTP {answer.status}"
    except ArchiveUnavailable:
        seen = "no answer"
    means = "where rows are far apart the run asks for one range a request: somewhat slower"
    return asking.compare(question, url, assumed=assumed, seen=seen, otherwise=ADAPTED, means=means)


def first_bytes(asking: Asking) -> Iterator[Finding]:
    """Take the time of a few small answers, and of the first one."""
    url = asking.archive.location(asking.known)
    times = [probe(asking.archive.client, url, {"Range": f"bytes={k}-{k}"}, most=1).seconds for k in range(N_TIMED)]
    asking.shared["latency_s"] = median(times)
    first = asking.shared.get("first_s", times[0])
    seen = f"{1e3 * first:.0f} ms for the first answer, then {1e3 * median(times):.0f} ms"
    yield asking.found(NOTE, "latency", url, seen=seen)


def rate(asking: Asking) -> Iterator[Finding]:
    """Read the beginning of the list of files, over one connection."""
    length = min(asking.shared.get("length", 0), RATE_BYTES)
    if length < 100_000 or asking.shared.get("whole"):
        return  # too little to tell
    cost = Cost()
    with asking.archive.open(asking.known) as source, asking.archive.metered(cost):
        source.head(length)
    asking.shared["bytes_per_s"] = length / max(cost.seconds - asking.shared["latency_s"], cost.seconds / 2)
    seen = f"{size(asking.shared['bytes_per_s'])} a second, of {size(length)} over one connection"
    yield asking.found(NOTE, "rate", asking.archive.location(asking.known), seen=seen)
