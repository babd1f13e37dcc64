"""Files that appear under their final name complete or not at all."""

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
ROOM = 1 << 20  # bytes: a disk with less is full
_UMASK = os.umask(0o022)  # can only be read by setting it; once, as files of other threads would get this one
os.umask(_UMASK)
ABANDONED_S = 86_400.0  # a temporary file that nobody has written to for so long is nobody's


@contextmanager
def atomic_path(final: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a unique temporary path beside ``final``; rename it to ``final`` if the block succeeds.

    Missing parent directories are made. If the block raises, the temporary file is removed and whatever stood under
    the final name stays as it was. What a killed process has left of the same final file is removed first.

    Parameters
    ----------
    final
        Where the finished file belongs.

    Yields
    ------
    Path
        An empty file in the same directory (so that the rename is atomic), to be written by the caller.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(final)
    mine = f".{final.name}.{os.getpid()}.{os.uname().nodename}."
    handle, name = tempfile.mkstemp(prefix=mine, suffix=".tmp", dir=final.parent)
    temporary = Path(name)
    try:
        os.fchmod(handle, 0o666 & ~_UMASK)  # mkstemp gives 0600; results are for the user's group, too
        os.close(handle)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(final)
    except BaseException as error:
        if isinstance(error, OSError) and is_full(error) and error.filename is None:
            error.filename = str(final)  # Python's own message does not say where
        temporary.unlink(missing_ok=True)
        raise


def write_changed(path: Path, text: str) -> bool:
    """Write a text file, unless it holds this text already: then its time stays as it was.

    Returns
    -------
    bool
        Whether it was written.
    """
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return False
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return True


def is_full(error: BaseException) -> bool:
    """Tell whether an error is that of a full disk."""
    return isinstance(error, OSError) and error.errno in FULL


def check_room(directory: Path) -> None:
    """Make a directory, and write `ROOM` to its disk, which is given back at once.

    Raises
    ------
    OSError
        If there is no room for it, or nothing may be written. It names the directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as stream:
            stream.write(bytes(ROOM))
    except OSError as error:
        error.filename = str(directory)
        raise


def _remove_leftovers(final: Path) -> None:
    """Remove the temporary files of ``final`` whose process is gone, as far as can be told from here."""
    prefix = f".{final.name}."
    with os.scandir(final.parent) as entries:
        left = [entry for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(".tmp")]
    for entry in left:
        pid, _, rest = entry.name.removeprefix(prefix).partition(".")
        node = rest.removesuffix(".tmp").rpartition(".")[0]
        with suppress(OSError):  # another job was quicker
            abandoned = time.time() - entry.stat().st_mtime > ABANDONED_S
            if abandoned or (node == os.uname().nodename and pid.isdecimal() and not _is_running(int(pid))):
                os.unlink(entry.path)  # noqa: PTH108 (a DirEntry's path)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # someone else's
        return True
    return True
