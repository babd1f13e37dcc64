"""A server that makes a share of its answers faulty, at random: in the ways in which tests/faults does it."""

import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib import ROOT

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "faults"))
import misbehaviour as bad

from range_server import Served, serve


def faults(elsewhere: str) -> dict[str, bad.Answer]:
    """Return the faults of docs/reliability.md that are seen as such, by name; ``elsewhere``: another host's URL."""
    return {
        "503": bad.busy(503),
        "429": bad.busy(429),
        "403": bad.status(403),
        "404": bad.status(404),
        "a body that trickles": bad.trickle,
        "another range than was asked for": bad.elsewhere,
        "half the body, and a Content-Length to match": bad.shortened,
        "connection reset": bad.reset,
        "connection reset within the body": bad.reset_inside,
        "a body that stalls": bad.stall,
        "a body that ends before its Content-Length": bad.cut,
        "200 with an HTML page, of type text/html": bad.page("text/html"),
        "200 with an HTML page, as a binary file": bad.page("application/octet-stream"),
        "a range answered with the whole file": bad.whole,
        "redirect to another host": bad.redirect(elsewhere),
        "file cut short": bad.contents(lambda data: data[: len(data) // 2]),
        "wrong bytes in a header, under the right length": bad.contents(
            lambda data: data.replace(b"TTYPE1  = 'TARGETID'", b"TTYPE1  = 'TARGETIX'")
        ),
    }


@dataclass
class AtRandom:
    """Strikes a share of all answers; what `range_server.Served.misbehave` is set to.

    Whether and how the n-th request of a path is answered wrongly depends on the seed, the path and n alone.

    Attributes
    ----------
    struck
        How many answers were spoilt, per fault.
    answers
        How many there were in all.
    """

    faults: Mapping[str, bad.Answer]
    share: float
    seed: int
    struck: Counter[str] = field(default_factory=Counter)
    answers: int = 0

    def __call__(self, handler: Any, number: int) -> bool:
        self.answers += 1
        chance = random.Random(f"{self.seed} {handler.path} {number}")
        if chance.random() >= self.share:
            return False
        name = chance.choice(list(self.faults))
        self.struck[name] += 1
        self.faults[name](handler)
        return True


@contextmanager
def bad_server(root: Path, share: float, seed: int) -> Iterator[tuple[Served, AtRandom]]:
    """Serve ``root`` on loopback, well, until its ``misbehave`` is set to what comes with it."""
    with serve(root) as other, serve(root) as server:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        yield server, AtRandom(faults(elsewhere), share, seed)
