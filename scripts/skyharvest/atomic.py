"""Files that appear under their final name complete or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(final: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a unique temporary path beside ``final``; rename it to ``final`` if the block succeeds.

    Missing parent directories are made. If the block raises, the temporary file is removed and whatever stood under
    the final name stays as it was.

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
    handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent)
    temporary = Path(name)
    try:
        os.fchmod(handle, 0o666 & ~_umask())  # mkstemp gives 0600; results are for the user's group, too
        os.close(handle)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Return the process's umask (which can only be read by setting it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
