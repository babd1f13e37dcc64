"""A file system of its own that can be filled to the last byte, as other people's files do it."""

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMESPACE = "SKYHARVEST_BENCH_MOUNTS"
STEPS = [1 << 30, 1 << 24, 1 << 16, 1 << 12]  # bytes


def enter_namespace() -> bool:
    """Begin this program anew where what it mounts vanishes with it; False where that is not permitted."""
    if NAMESPACE in os.environ:
        return True
    enter = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    with contextlib.suppress(OSError):
        if not subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
            os.execvpe(enter[0], [*enter, sys.executable, *sys.argv], {**os.environ, NAMESPACE: "1"})
    return False


class Disk:
    """A mounted one.

    Attributes
    ----------
    path
        Where it is mounted.
    kind
        What it is, in words.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave no byte free."""
        filler = os.open(self._filler, os.O_WRONLY | os.O_CREAT)
        try:
            at = 0
            for step in STEPS:
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(filler, at, step)
                        at += step
            with contextlib.suppress(OSError):  # what is set aside for small writes
                while True:
                    at += os.pwrite(filler, bytes(STEPS[-1]), at)
        finally:
            os.close(filler)
        probe = self.path / "probe"
        try:
            probe.write_bytes(bytes(STEPS[-1]))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        else:
            raise RuntimeError(f"{self.path} could not be filled")
        finally:
            probe.unlink(missing_ok=True)

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink(missing_ok=True)


@contextlib.contextmanager
def disk(work: Path, gb: float) -> Iterator[Disk]:
    """Mount a disk of so many GB at ``work/disk``; after `enter_namespace`.

    A file of its own with ext4 in it; where that may not be mounted, memory.

    Raises
    ------
    subprocess.CalledProcessError
        If neither may be mounted.
    """
    path, image = work / "disk", work / "disk.ext4"
    path.mkdir()
    size = int(gb * 1e9)
    with image.open("wb") as stream:
        stream.truncate(size)
    make = ["mkfs.ext4", "-q", "-m", "0", "-E", "root_owner,nodiscard", str(image)]
    ways = {
        "ext4 in a file": [make, ["mount", "-o", "loop", str(image), str(path)]],
        "tmpfs": [["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]],
    }
    for kind, commands in ways.items():
        last = kind == list(ways)[-1]
        with contextlib.suppress(*() if last else (OSError, subprocess.CalledProcessError)):
            for command in commands:
                subprocess.run(command, check=True, capture_output=not last)
            break
    try:
        yield Disk(path, kind)
    finally:
        subprocess.run(["umount", str(path)], check=False)
        image.unlink(missing_ok=True)
