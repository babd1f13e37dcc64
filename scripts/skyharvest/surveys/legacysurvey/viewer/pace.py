"""How fast a server that limits requests may be asked: found by trying, kept for the next run.

The time between two requests shrinks by a quarter after five good answers, and grows back after a refusal (429 or 503).
A refused step becomes smaller, and takes more good answers until it is tried again: the pace settles just above the
server's limit, and refusals become rare.

``Retry-After`` is obeyed to the second, by the next run, too (RFC 9110 §10.2.3).
"""

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import ArchiveUnavailable

log = logging.getLogger(__name__)

FIRST_S = 5.0
LIMITS_S = (0.25, 60.0)
STEP, SMALLEST_STEP = 0.75, 0.97
ENOUGH, MOST_ENOUGH = 5, 640  # good answers until the next step
TESTED = 1.2  # times the interval; after a longer gap, because of a slow answer, the pace was not tested
LONGEST_S = 86_400.0  # longest Retry-After that is believed


@dataclass(frozen=True)
class Clock:
    """The time, in seconds since 1970, and how to let it go by."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


class RequestPace:
    """The time between the beginnings of two requests.

    Parameters
    ----------
    path
        The file that keeps it; None keeps it in memory. An unreadable file is ignored.
    ceiling_s
        Longest time that ``Retry-After`` is waited for.
    """

    def __init__(self, path: Path | None, server: str, ceiling_s: float, clock: Clock | None = None) -> None:
        self._path = path
        self._server = server
        self._ceiling_s = ceiling_s
        self._clock = clock or Clock()
        saved = self._load().get(server, {})
        self.interval_s = _number(saved, "interval_s", *LIMITS_S) or FIRST_S
        self._good_s = _number(saved, "good_s", *LIMITS_S)
        self._step = _number(saved, "step", STEP, SMALLEST_STEP) or STEP
        self._enough = int(_number(saved, "enough", ENOUGH, MOST_ENOUGH) or ENOUGH)
        now = self._clock.now()
        self._not_before = min(_number(saved, "not_before", 0, math.inf) or 0.0, now + LONGEST_S)
        self._began: float | None = None
        self._gap_s: float | None = None
        self._streak = 0
        self._refused = False

    def wait(self) -> None:
        """Return when the next request may be sent; it then begins.

        Raises
        ------
        ArchiveUnavailable
            If the server asks for a longer wait than the ceiling.
        """
        now = self._clock.now()
        if self._not_before - now > self._ceiling_s:
            until = datetime.fromtimestamp(self._not_before).astimezone()
            raise ArchiveUnavailable(
                f"{self._server} asks to be left alone until {until:%Y-%m-%d %H:%M:%S %z} (Retry-After): run again then"
            )
        if self._began is not None:
            self._began = min(self._began, now)  # the clock may have been put back
        due = max(self._not_before, now if self._began is None else self._began + self.interval_s)
        while now < due:
            self._clock.sleep(due - now)
            now = self._clock.now()
        self._gap_s = None if self._began is None else now - self._began
        self._began = now

    def went_well(self) -> None:
        """Take note of an answer that was no refusal."""
        self._refused = False
        if self._gap_s is None or self._gap_s > TESTED * self.interval_s:
            return
        self._streak += 1
        if self._streak < self._enough:
            return
        if self._good_s is None or self.interval_s < self._good_s:  # the last step was good
            self._good_s, self._enough = self.interval_s, ENOUGH
        self._go_on_with(max(self.interval_s * self._step, LIMITS_S[0]))

    def refused(self, retry_after_s: float | None, backoff_s: float) -> None:
        """Take note of a refusal: slow down, and wait as long as the server asks, or else ``backoff_s``."""
        tried = self.interval_s
        if not self._refused and self._gap_s is not None:
            tried = max(tried, self._gap_s)
        if self._good_s is not None and not self._refused and tried < self._good_s:  # the last step was one too many
            self._step = min(math.sqrt(self._step), SMALLEST_STEP)
            self._enough = min(2 * self._enough, MOST_ENOUGH)
            self._go_on_with(self._good_s)
        else:
            self._good_s = None
            self._step, self._enough = STEP, ENOUGH
            self._go_on_with(min(2 * tried, LIMITS_S[1]))
        self._refused = True
        self.hold(backoff_s if retry_after_s is None else retry_after_s)

    def hold(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._not_before = max(self._not_before, self._clock.now() + min(seconds, LONGEST_S))
        self.save()

    def _go_on_with(self, interval_s: float) -> None:
        self._streak = 0
        if interval_s != self.interval_s:
            log.info("%s: a request every %.2f s", self._server, interval_s)
            self.interval_s = interval_s
            self.save()

    def save(self) -> None:
        """Keep the pace for the next run."""
        if self._path is None:
            return
        now = self._clock.now()
        due = self._not_before if self._began is None else max(self._not_before, self._began + self.interval_s)
        own = {
            "interval_s": round(self.interval_s, 3),
            "good_s": self._good_s and round(self._good_s, 3),
            "step": round(self._step, 4),
            "enough": self._enough,
            "not_before": round(due, 3) if due > now else 0,
        }
        with atomic_path(self._path) as temporary:
            temporary.write_text(json.dumps(self._load() | {self._server: own}, indent=1) + "\n", encoding="utf-8")

    def _load(self) -> dict[str, dict[str, Any]]:
        if self._path is None:
            return {}
        try:
            paces = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in paces.items() if isinstance(v, dict)} if isinstance(paces, dict) else {}


def _number(saved: dict[str, Any], key: str, low: float, high: float) -> float | None:
    value = saved.get(key)
    return float(value) if isinstance(value, int | float) and low <= value <= high else None
