"""How long a run is going to take, and how much it moves and writes: from its work, and what was measured."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from skyharvest.archive.archive import is_url
from skyharvest.core.words import duration, size
from skyharvest.harvest.check import AS_ASSUMED, FAILS, NOTE, Asking, Finding, Work

ASSUMED_RATE = 20e6  # bytes/s, where no file was long enough to measure it


def estimate(asking: Asking, work: Work) -> Iterator[Finding]:
    """Say how many hours and gigabytes a run takes, and whether the disk has room for what it writes."""
    what = f"{work.rows} in {work.files}"
    if is_url(asking.archive.root):
        what += f": {size(work.moved)} over the network, in some {_duration(asking, work)}"
    yield asking.found(NOTE, "this run", asking.archive.root, seen=what)
    results = Path(asking.config["results"]).absolute()
    there = next(path for path in (results, *results.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    told = {"assumed": f"{size(work.kept)} for the results", "seen": f"{size(free)} free"}
    if work.kept <= free:
        yield asking.found(AS_ASSUMED, "room on disk", str(there), **told)
        return
    means = "the disk would be full before the end; what is written until then is kept"
    yield asking.found(FAILS, "room on disk", str(there), means=means, change="set results to a larger disk", **told)


def _duration(asking: Asking, work: Work) -> str:
    """Return how long the reading takes: the waiting for answers, and the bytes at the rate of a connection or two.

    More connections share the waiting, but do not make the line faster: the rate counts as measured.
    """
    latency_s = asking.shared.get("latency_s", asking.archive.client.round_trip_s)
    rate = asking.shared.get("bytes_per_s", ASSUMED_RATE)
    waiting = work.n_files * work.round_trips * latency_s / asking.archive.connections
    seconds = waiting + work.moved / rate
    measured = "measured" if "bytes_per_s" in asking.shared else "assumed"
    return f"{duration(seconds)}, at {1e3 * latency_s:.0f} ms (measured) and {size(rate)}/s ({measured})"
