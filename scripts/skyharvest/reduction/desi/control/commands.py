"""The commands of tasks, as lines for a shell: pasted there, they make the same files; `sync` makes their records."""

import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from skyharvest.reduction.desi.commands import FOREIGN
from skyharvest.reduction.desi.control.standing import Standings
from skyharvest.reduction.desi.graph import Task
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.records import WAITING, show


def environment_lines(production: Production) -> list[str]:
    """Return what commands need of the environment: programs of this Python, calibration, templates, one thread."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in production.commands.environment.items()]
    return [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH", f"unset {' '.join(FOREIGN)}", *lines]


def command_lines(standings: Standings, tasks: Iterable[Task]) -> Iterator[str]:
    """Yield the commands of tasks, each after those that it needs; those that wait for something failed have none."""
    commands = standings.production.commands
    for task in tasks:
        if standings.judged[task.key].state == WAITING:
            yield f"# {show(task.key)} waits: {standings.judged[task.key].reason}"
            continue
        used = [key for key in task.some_of if standings.judged[key].made is not None]
        yield f"# {show(task.key)}"
        directories = dict.fromkeys(str(path.parent) for path in commands.outputs(task.key))
        if not all(Path(name).is_dir() for name in directories):
            yield shlex.join(["mkdir", "-p", *directories])
        yield commands.shown(task, used)
