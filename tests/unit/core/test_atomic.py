"""Files appear complete or not at all, and what a killed process left does not stay."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skyharvest.core.atomic import ABANDONED_S, atomic_path

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
WRITE = f"""
import sys, time
sys.path.insert(0, {str(SCRIPTS)!r})
from skyharvest.core.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print("written", flush=True)
    time.sleep(60)
"""


def writer(path: Path) -> subprocess.Popen[str]:
    """Start a process that is in the middle of writing a file."""
    process = subprocess.Popen([sys.executable, "-c", WRITE, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def write(path: Path, content: bytes = b"new") -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a" / "x.hdf5"
    write(path, b"old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert names(path) == ["x.hdf5"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_process_left_is_removed_by_the_next_to_write_the_file(tmp_path):
    path, other = tmp_path / "x.hdf5", tmp_path / "y.hdf5"
    with writer(path) as killed, writer(other) as running:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(names(path)) == 2
        write(other)
        assert len(names(path)) == 3, "neither another file's, nor what is still being written"
        write(path)
        left = [name for name in names(path) if name.endswith(".tmp")]
        assert [name.split(".")[3] for name in left] == [str(running.pid)]
        running.kill()


def test_what_another_machine_left_is_removed_after_a_day(tmp_path):
    path = tmp_path / "x.hdf5"
    left = tmp_path / ".x.hdf5.1.elsewhere.example.org.abc_123.tmp"
    left.write_bytes(b"half")
    write(path)
    assert left.exists()
    then = time.time() - ABANDONED_S - 1
    os.utime(left, (then, then))
    write(path)
    assert names(path) == ["x.hdf5"]
