"""Small commands in place of desispec's, in this process and in those that it starts: they write files that say so."""

import os
from pathlib import Path

HEADER = "SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0", "END"
EMPTY_FITS = "".join(f"{card:<80}" for card in HEADER).ljust(2880)
WRITE = """
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


def install(directory: str) -> None:
    """Put small commands in the place of all others, in this process."""
    from skyharvest.reduction.desi.commands import Commands
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
    (directory / "write.py").write_text(WRITE % EMPTY_FITS)
    root = Path(__file__).resolve().parents[1]
    path = [str(root / "scripts"), str(root / "tests")]
    (directory / "sitecustomize.py").write_text(SITE.format(path=path, directory=str(directory)))
    return str(directory)
