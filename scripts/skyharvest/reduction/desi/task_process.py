"""The process of a task: its commands, one after the other, and a look at what they made."""

import gzip
import logging
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from isal import igzip


def run_commands(words: Sequence[Sequence[str]], outputs: Sequence[Path], text: Path) -> None:
    """Run commands, check what they made, and end this process."""
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):  # then it was killed, and has not failed
            signal.signal(number, signal.SIG_DFL)
        stream = os.open(text, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        # astropy packs .fits.gz with Python's gzip at its slowest: 9 s for an image of 4,096 rows, 0.1 s with this.
        gzip.GzipFile = igzip.IGzipFile  # type: ignore[misc]
        logging.getLogger().handlers.clear()  # desispec has its own
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        for command in words:
            _execute(command)
        for path in outputs:
            _check(path)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
        if isinstance(ended.code, str):
            print(ended.code)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _execute(words: Sequence[str]) -> None:
    """Run a command in this process, if it is a program in Python; else in another one.

    Raises
    ------
    SystemExit
        If it ends with another status than 0.
    """
    program = words[1] if words[0] == "python" else _find(words[0])
    arguments = list(words[2:] if words[0] == "python" else words[1:])
    if not _is_python(program):
        if status := subprocess.run([program, *arguments], check=False).returncode:
            raise SystemExit(f"{shlex.join(words)} ended with status {status}")
        return
    sys.argv = [program, *arguments]
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as ended:
        if ended.code not in (None, 0, False):
            raise


def _find(name: str) -> str:
    """Return the path of a program: beside this Python first."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"error: there is no program {name} beside {sys.executable}, nor on PATH")
    return found


def _is_python(program: str) -> bool:
    with Path(program).open("rb") as stream:
        return b"python" in stream.readline(200) or program.endswith(".py")


def _check(path: Path) -> None:
    """Check that a file can be read to its end.

    Raises
    ------
    SystemExit
        If not.
    """
    if not path.exists():
        raise SystemExit(f"error: the command ended well, and {path.name} is not there")
    if path.name.endswith((".fits", ".fits.gz")):
        import fitsio  # noqa: PLC0415 (only here, and heavy)

        try:
            with fitsio.FITS(str(path)) as file:
                n_hdus = len(file)
                file[n_hdus - 1].read_header()
        except OSError as error:
            raise SystemExit(f"error: the command ended well, and {path.name} cannot be read: {error}") from error
    elif path.stat().st_size == 0:
        raise SystemExit(f"error: the command ended well, and {path.name} is empty")


_SAYS_WHY = re.compile(
    r"^(?:error: )?((?:[a-z_]+\.)*[A-Z]\w*(?:Error|Exception|Exit)\b.*|(?<=error: ).*)$", re.MULTILINE
)
_REPORTS = re.compile(r"^(?:ERROR|CRITICAL):\S+?:\d+:\w+: *(.*)$", re.MULTILINE)
"""What desispec's programs log: level, file, line, function, and what they say."""


def reason_of(code: int, said: str) -> str:
    """Return why a task has not been done, in one line."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    whys = _SAYS_WHY.findall(said)
    lines = [line for line in said.splitlines() if line.strip()] or [f"it ended with status {code}"]
    why = whys[-1] if whys else "; ".join(dict.fromkeys(_REPORTS.findall(said))) or lines[-1]
    return re.sub(r"\s+", " ", why)[:300]
