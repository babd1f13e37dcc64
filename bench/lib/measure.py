"""Whole processes, measured from outside: seconds, CPU, peak memory; and calls, measured from inside: CPU."""

import ctypes
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MB = 1e6
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True)
class Run:
    """One finished process.

    Attributes
    ----------
    seconds
        From start to end, the interpreter's own start and imports included.
    cpu_s
        User and system time, its children's included.
    peak_bytes
        Largest resident set. A process starts as a copy of this one, so that it is never seen below this one's own:
        programs that measure memory import nothing large.
    finished
        False if it was stopped at its time limit; ``seconds`` is then that limit.
    output
        What it wrote to stdout.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    finished: bool
    output: str


def run(command: Sequence[str | Path], *, limit_s: float = 600.0) -> Run:
    """Run a command to its end, or stop it at the limit.

    Raises
    ------
    RuntimeError
        If it fails; with the end of what it wrote to stderr.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            preexec_fn=end_with_parent,  # noqa: PLW1509 (takes no lock)
        )
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            os.kill(child.pid, signal.SIGKILL)

        timer = threading.Timer(limit_s, stop)
        timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
        finally:
            timer.cancel()
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode and not stopped.is_set():
            tail = err.read()[-2000:]
            raise RuntimeError(f"{' '.join(map(str, command))}\nended with status {child.returncode}:\n{tail}")
        return Run(
            seconds=seconds,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_bytes=usage.ru_maxrss * 1024,
            finished=not stopped.is_set(),
            output=out.read(),
        )


def end_with_parent() -> None:
    """Called in a new process: ask the kernel to end it when its parent is gone, however that ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def median(runs: Sequence[Run], of: Callable[[Run], float] = lambda run: run.seconds) -> float:
    """Return the median of a figure over runs."""
    return statistics.median(map(of, runs))


def cpu_s(do: Callable[[], object], times: int = 5) -> float:
    """Return the median CPU seconds of some calls, after one that compiles and reads what is not yet in memory."""
    do()
    seconds = []
    for _ in range(times):
        start = time.process_time()
        do()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def shown_seconds(runs: Sequence[Run]) -> str:
    """Return the median of the seconds as text; marked if the time limit stopped a run."""
    limit = "" if all(one.finished for one in runs) else "> "
    return f"{limit}{median(runs):.2f} s"
