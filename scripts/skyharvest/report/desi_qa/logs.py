"""What tasks said: their part of a job's log."""

import functools
import re
from pathlib import Path

from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.production import is_of
from skyharvest.reduction.desi.records import show
from skyharvest.reduction.desi.steps import STEP_OF, STEPS

SHOWN_LINES, SHOWN_CHARACTERS = 60, 8000
_PART = re.compile(r"^=== (.+)$", re.MULTILINE)


class Logs:
    """The logs of a night's jobs.

    Parameters
    ----------
    directory
        Of the run's logs: ``desi_STEP/JOB.log`` in it.
    """

    def __init__(self, directory: Path, night: str) -> None:
        self.directory = directory
        self._names: dict[str, list[str]] = {}
        for step in STEPS:
            folder = directory / f"desi_{step}"
            found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            self._names[step] = sorted(name.removesuffix(".log") for name in found if name.startswith(night))

    @functools.cache  # noqa: B019 (it lives as long as a job)
    def _of(self, step: str, owner: str) -> Path | None:
        """Return the newest log of a job with tasks of this owner."""
        paths = [
            self.directory / f"desi_{step}" / f"{name}.log"
            for name in self._names[step]
            if is_of(name, owner, STEPS[step])
        ]
        return max(paths, key=lambda path: path.stat().st_mtime, default=None)

    def path(self, key: Key) -> Path | None:
        """Return the log of a task; None if there is none."""
        return self._of(STEP_OF[key.kind].name, key.owner)

    def said(self, key: Key) -> str:
        """Return the end of what a task said; "" if its log has been written anew without it."""
        path = self.path(key)
        part = _parts(path).get(show(key), "") if path else ""
        return "\n".join(part[-SHOWN_CHARACTERS:].splitlines()[-SHOWN_LINES:])


@functools.lru_cache(maxsize=2)
def _parts(path: Path) -> dict[str, str]:
    """Return the parts of a log by their titles, without the command that each begins with."""
    _, *found = _PART.split(path.read_text(encoding="utf-8", errors="replace"))
    return {title: text.strip("\n").partition("\n")[2] for title, text in zip(found[::2], found[1::2], strict=True)}
