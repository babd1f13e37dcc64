"""How long a run is going to take, and how much it moves and writes: from its work, and what was measured."""

from collections.abc import Iterator

from skyharvest.archive.archive import is_url
from skyharvest.core.words import duration, size_in_words
from skyharvest.harvest.check import NOTE, Asking, Finding, Work


def estimate(asking: Asking, work: Work) -> Iterator[Finding]:
    """Say how many hours and gigabytes a run takes."""
    what = f"{work.rows} in {work.files}: {size_in_words(work.moved)} to read, {size_in_words(work.kept)} to write"
    if is_url(asking.archive.root):
        latency = asking.shared.get("latency_s", asking.archive.client.round_trip_s)
        rate = asking.shared.get("bytes_per_s", 20e6)
        waiting = work.n_files * work.round_trips * latency / asking.archive.connections
        what += f"; {duration(waiting + work.moved / rate)} at {latency * 1e3:.0f} ms and {rate / 1e6:.1f} MB/s"
    yield asking.found(NOTE, "this run", asking.archive.root, seen=what)
