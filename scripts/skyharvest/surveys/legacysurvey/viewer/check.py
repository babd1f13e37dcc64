"""What is asked of the viewer before a run: a handful of requests, for a cutout of each layer."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

from skyharvest.archive.http.client import HttpClient
from skyharvest.archive.http.patience import Patience
from skyharvest.archive.http.response import NotThere, TryAgain
from skyharvest.core.errors import ArchiveRefused
from skyharvest.core.words import counted
from skyharvest.harvest.check import AS_ASSUMED, FAILS, NO_ANSWER, NOT_ASKED, NOTE, Asking, Finding
from skyharvest.surveys.legacysurvey.settings import wanted_of
from skyharvest.surveys.legacysurvey.viewer.answers import NoPicture, picture_defect, read_body
from skyharvest.surveys.legacysurvey.viewer.fetch import REFUSALS
from skyharvest.surveys.legacysurvey.viewer.queue import QueuedCutout, address, make_queue

MOST = 6  # requests
PACE = "429 or 503 where that is too fast"
QUESTION, ASSUMED = "layers of the viewer", "a picture"


def viewer(asking: Asking) -> Iterator[Finding]:
    """Ask for one cutout of each layer and format, at one position, one after the other without a pause between."""
    section = asking.section["viewer"]
    if not (section["layers"] or section["psf_layers"]):
        return
    targets = {name: values[:1] for name, values in asking.read_targets().items()}
    queue = make_queue(targets, wanted_of(section))
    if not queue:
        yield asking.found(NOT_ASKED, QUESTION, section["address"], assumed=ASSUMED, seen="no position in the CSV")
        return
    patience = Patience(tries=1, connect_s=5.0, read_s=15.0)
    client = HttpClient(connections=1, patience=patience)
    outcomes: dict[QueuedCutout, str] = {}  # "" for a picture
    began = monotonic()
    try:
        for cutout in queue[:MOST]:
            try:
                outcomes[cutout] = _answer(client, address(section["address"], cutout), cutout.path)
            except TryAgain as failure:
                if failure.status in REFUSALS:
                    yield _pushed(asking, failure, len(outcomes) + 1, monotonic() - began)
                    break
                outcomes[cutout] = failure.why
            except ArchiveRefused as error:
                outcomes[cutout] = str(error)
        else:
            seen = f"{counted(len(outcomes), 'request')} in {monotonic() - began:.1f} s, none refused"
            yield asking.found(AS_ASSUMED, "pace of the viewer", section["address"], assumed=PACE, seen=seen)
    finally:
        client.close()
    yield from _layers(asking, outcomes, queue)


def _answer(client: HttpClient, url: str, path: str) -> str:
    """Return what is wrong with the answer for a file; "" if it is a picture."""
    try:
        data = client.attempt(url, {}, read_body)
    except NotThere as answer:
        return f"HTTP {answer.status}"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "picture")
        file.write_bytes(data)
        defect = picture_defect(file, path)
    if isinstance(defect, NoPicture):
        return defect.reason
    return defect.why if defect is not None else ""


def _pushed(asking: Asking, failure: TryAgain, number: int, seconds: float) -> Finding:
    """Return that the viewer refused a request, and how long it wants to be left alone."""
    said = "no Retry-After" if failure.retry_after_s is None else f"Retry-After {failure.retry_after_s:g} s"
    seen = f"{failure.why} to request {number}, after {seconds:.1f} s; {said}"
    longest = Patience.from_environment().retry_after_cap_s
    address_ = asking.section["viewer"]["address"]
    if failure.retry_after_s is not None and failure.retry_after_s > longest:
        means = f"a run waits {longest:g} s at most: it would end, and go on in the next run"
        change = "run again later, with SKYHARVEST_PATIENCE=retry_after_cap_s=… to wait longer"
        return asking.found(
            NO_ANSWER, "pace of the viewer", address_, assumed=PACE, seen=seen, means=means, change=change
        )
    means = "" if number > 1 else "the run waits as long, and asks more slowly"
    return asking.found(
        AS_ASSUMED if number > 1 else NOTE, "pace of the viewer", address_, assumed=PACE, seen=seen, means=means
    )


def _layers(asking: Asking, outcomes: dict[QueuedCutout, str], queue: Sequence[QueuedCutout]) -> Iterator[Finding]:
    """Yield what each layer gave; where none gives anything, the run fails."""
    for cutout, wrong in outcomes.items():
        about = address(asking.section["viewer"]["address"], cutout)
        layer = f"{cutout.layer} {cutout.path.rpartition('.')[2]}"
        if not wrong:
            yield asking.found(AS_ASSUMED, QUESTION, about, assumed=ASSUMED, seen=f"{layer}: a picture")
            continue
        means = "the layer may not cover this position; what does not come is listed in viewer.csv"
        change = f"legacysurvey.viewer.layers: without {cutout.layer}, if no position has it"
        verdict = NOTE
        if all(outcomes.values()):
            verdict, means = FAILS, "a viewer that has not given a single file ends the run"
            change = "legacysurvey.viewer.address, or legacysurvey.viewer.layers"
        yield asking.found(
            verdict, QUESTION, about, assumed=ASSUMED, seen=f"{layer}: {wrong}", means=means, change=change
        )
    left = list(dict.fromkeys(cutout.layer for cutout in queue if cutout not in outcomes))
    if left:
        means = "a check asks for a few pictures only"
        address_ = asking.section["viewer"]["address"]
        yield asking.found(NOT_ASKED, QUESTION, address_, assumed=ASSUMED, seen=", ".join(left), means=means)
