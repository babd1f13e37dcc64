"""What has become of Snakemake's jobs, as far as files tell: their outputs, their logs, and its notes on them.

===============  ==================================================================================
``waiting``      not begun: something that it reads is not there yet
``ready``        not begun: all that it reads is there
``running``      begun by a run that is alive, or still at work though its run is not
``done``         its files are there
``failed``       its log ends with an error (while a run is alive: if that run has tried it)
``interrupted``  begun and cut off: it was killed, or its machine went down
===============  ==================================================================================
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skyharvest.core.cli import COMMAND, DONE
from skyharvest.run.snakemake_state import Begun, read_begun

WAITING, READY, RUNNING, ENDED, FAILED, INTERRUPTED = "waiting", "ready", "running", "done", "failed", "interrupted"

SAME_S = 2.0  # some file systems keep times in whole seconds
LOG_END = 1 << 16  # bytes of a log that are looked at
MESSAGE_LENGTH = 600


@dataclass(frozen=True)
class Error:
    """A job that failed: when, why, and the command that repeats it."""

    time: float
    job: str
    message: str
    log: Path
    command: str


class Jobs:
    """The jobs of a working directory.

    Parameters
    ----------
    directory
        Where Snakemake runs, with ``.snakemake``.
    alive
        Whether a run goes on; None where that cannot be known, which is taken for yes.
    since
        When that run began, by the clock of its file system; seconds since 1970.
    """

    def __init__(self, directory: Path, alive: bool | None, since: float) -> None:
        self._alive = alive is not False
        self._since = since - SAME_S if self._alive else 0.0
        self._begun = read_begun(directory)
        self._held = _held()
        self.errors: list[Error] = []

    def state(self, name: str, outputs: Sequence[Path], log: Path, *, ready: bool) -> str:
        """Return a job's state, and keep its error if it failed.

        Parameters
        ----------
        outputs, log
            Its files and its log: real paths, without links.
        ready
            Whether all that it reads is there.
        """
        not_begun = READY if ready else WAITING
        notes = [self._begun[path] for path in outputs if path in self._begun]
        if str(log) in self._held:
            return RUNNING
        if notes:
            return self._noted(max(notes, key=lambda note: note.time), log, not_begun)
        if all(path.exists() for path in outputs):
            return ENDED
        if changed(log) < max(self._since, 1.0):
            return not_begun
        return self._tried(name, log, not_begun)

    def _noted(self, begun: Begun, log: Path, not_begun: str) -> str:
        """Return the state of a job that has begun, by Snakemake's note."""
        if not self._alive:
            return INTERRUPTED
        if begun.time < self._since:
            return not_begun  # cut off in an earlier run, and this one comes to it
        waits = begun.submitted and changed(log) < begun.time - SAME_S  # in the cluster's queue
        return not_begun if waits else RUNNING

    def _tried(self, name: str, log: Path, not_begun: str) -> str:
        """Return the state of a job that has been tried, and has left nothing but its log."""
        command, last = read_log(log)
        if last == DONE:
            return not_begun  # what it made was removed
        if last is None and not self._alive:
            return INTERRUPTED
        message = last or "ended without a word: was it killed, for memory or time?"
        self.errors.append(Error(changed(log), name, message, log, command))
        return FAILED


def changed(path: Path) -> float:
    """Return when a file was last written to, seconds since 1970; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _held() -> set[str]:
    """Return the files that this user's processes on this host have as their stderr: the logs of jobs at work."""
    held = set()
    with contextlib.suppress(OSError):
        for pid in os.listdir("/proc"):  # noqa: PTH208 (hundreds of names, no need for paths)
            with contextlib.suppress(OSError):
                held.add(os.readlink(f"/proc/{pid}/fd/2"))  # noqa: PTH115
    return held


def read_log(log: Path) -> tuple[str, str | None]:
    """Return the command of a job's log, and how the log ends: `DONE`, an error's message, or None if it breaks off.

    See `skyharvest.core.cli.run`, which writes the one and the other.
    """
    try:
        with log.open("rb") as stream:
            first = stream.readline().decode("utf-8", "replace")
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - LOG_END))
            lines = stream.read().decode("utf-8", "replace").rstrip().split("\n")
    except OSError:
        return "", None
    _, found, command = first.partition(COMMAND)
    return command.strip() if found else "", _ending(lines)


def _ending(lines: Sequence[str]) -> str | None:
    last = lines[-1]
    if last.endswith(f" INFO {DONE}"):
        return DONE
    errors = [k for k, line in enumerate(lines) if line.startswith("error: ")]
    if errors:
        message = "\n".join(lines[errors[-1] :]).removeprefix("error: ")
        return message if len(message) <= MESSAGE_LENGTH else f"{message[: MESSAGE_LENGTH - 1]}…"
    if ": error: " in last:  # argparse's
        return last.partition(": error: ")[2]
    if any(line.startswith("Traceback ") for line in lines) and not last.startswith((" ", "KeyboardInterrupt")):
        return last
    return None
