"""Directories that appear under their final name with all their files, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_directory(final: Path) -> Iterator[Path]:
    """Give an empty directory beside ``final``; it takes its place if the block succeeds.

    What a killed process has left of the same directory is removed first: one job at a time makes a directory. If the
    block raises, what stood under the final name stays as it was.

    Parameters
    ----------
    final
        Where the directory belongs.

    Yields
    ------
    Path
        An empty directory, to be filled by the caller.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{final.name}.tmp."
    for left in final.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=final.parent))
    try:
        made.chmod(final.parent.stat().st_mode & 0o777)
        yield made
        for path in filter(Path.is_file, made.iterdir()):
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        before = made.with_name(f"{made.name}.before")
        if final.exists():
            final.replace(before)
        made.replace(final)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        if error.errno is None:  # a library's own text, which the name of a file would take the place of
            raise OSError(f"{final}: {error}") from error
        error.filename = error.filename or str(final)
        raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
