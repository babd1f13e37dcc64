"""Small commands in place of desispec's, in this process and in those that it starts: they write files that say so."""

import os
from pathlib import Path

from skyharvest.reduction.desi.commands import Commands

HEADER = "SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0", "END"
EMPTY_FITS = "".join(f"{card:<80}" for card in HEADER).ljust(2880)
PROGRAM = """
import pathlib, sys, time
name, fails, *outputs = sys.argv[1:]
if name in fails.split(","):
    raise ValueError("no light in it")
if f"slow:{name}" in fails.split(","):
    time.sleep(60)
for path in map(pathlib.Path, outputs):
    path.write_text(%r if path.name.endswith((".fits", ".fits.gz")) else name)
"""
SITE = """
import sys
sys.path[:0] = {path!r}
import small_commands
small_commands.install({directory!r})
"""
FAILS = "SMALL_COMMANDS_FAIL"
"""Environment variable: ``preproc-b0,slow:psf-r0`` are the tasks that fail, or take a minute."""


WRITE = "import pathlib, sys; [pathlib.Path(name).write_text('as it should be') for name in sys.argv[1:]]"


class Made(Commands):
    """Commands that write text into the files of tasks, or do what a test says for a camera."""

    def __init__(self, root: Path, made, **instead: str) -> None:
        super().__init__(made.directory, made.settings, {})
        self.root, self.instead = root, instead

    def names(self, key):
        return [str(Path(name).with_suffix(".txt")) for name in super().names(key)]

    def words(self, task, outputs, used=()):
        program = self.root / f"{task.key.kind}_{task.key.unit}.py"
        program.write_text(self.instead.get(task.key.unit, WRITE))
        return [["python", str(program), *map(str, outputs)]]


def install(directory: str) -> None:
    """Put small commands in the place of all others, in this process."""
    from skyharvest.reduction.desi.run_tasks import Runner

    program = Path(directory) / "write.py"

    def words(self, task, outputs, used=()):
        name = f"{task.key.kind}-{task.key.unit}"
        return [["python", str(program), name, os.environ.get(FAILS, ""), *map(str, outputs)]]

    Commands.words = words
    Runner._import = lambda self: None


def site(directory: Path) -> str:
    """Write what makes new processes of Python use small commands; return what belongs into ``PYTHONPATH``."""
    directory.mkdir(exist_ok=True)
    (directory / "write.py").write_text(PROGRAM % EMPTY_FITS)
    root = Path(__file__).resolve().parents[1]
    path = [str(root / "scripts"), str(root / "tests")]
    (directory / "sitecustomize.py").write_text(SITE.format(path=path, directory=str(directory)))
    return str(directory)
