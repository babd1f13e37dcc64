"""Scripts of chosen tasks, for a shell or for SLURM: packed into jobs of so many minutes and nodes, in steps' order.

Each is a script and, beside it, the list of its tasks, which a person may edit. It runs ``scripts/production.py run``,
and so leaves the files and records that Snakemake's jobs do.
"""

import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import HarvestError
from skyharvest.reduction.desi.control.run import as_list
from skyharvest.reduction.desi.graph import Key, Task
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.steps import STEP_OF, STEPS
from skyharvest.reduction.desi.under_way import hand_over, notice_of, take_back

PROGRAM = Path(__file__).resolve().parents[4] / "production.py"
"""What scripts run, in a checkout."""
TRIES, PAUSE_S = 3, 2.0
"""A cluster's controller may be busy: a submission is tried so often."""


@dataclass(frozen=True)
class Limits:
    """What a job may take.

    Attributes
    ----------
    minutes
        At most. One owner's tasks of a step stay together, though they take longer.
    nodes
        At most; each has ``workers`` tasks at once.
    """

    minutes: int
    nodes: int
    workers: int


@dataclass(frozen=True)
class Script:
    """A script that was written.

    Attributes
    ----------
    stage
        Those of a stage may run at the same time, after all of the stage before.
    minutes
        It is expected to take no more.
    """

    name: str
    path: Path
    stage: int
    keys: tuple[Key, ...]
    minutes: int
    nodes: int


def write_scripts(
    production: Production,
    tasks: Sequence[Task],
    limits: Limits,
    config: Path,
    directory: Path,
    *,
    chain: bool = False,
    slurm: bool = False,
    options: Sequence[str] = (),
) -> list[Script]:
    """Write scripts.

    Parameters
    ----------
    tasks
        In the order of steps.
    config
        The configuration's file.
    directory
        Where they go.
    chain
        Whether a script has all steps of some nights, or of some pixels; else each has one step.
    slurm
        Whether they are for ``sbatch``.
    options
        More of ``sbatch``, such as ``--account=…``.
    """
    made: list[Script] = []
    for stage, units in enumerate(_stages(tasks, chain=chain)):
        for packed in _packed(production, units, limits):
            keys = tuple(task.key for task in packed)
            steps = Counter(STEP_OF[key.kind].name for key in keys)
            label = next(iter(steps)) if len(steps) == 1 else f"{next(iter(steps))}-to-{list(steps)[-1]}"
            path = directory / f"{len(made) + 1:03d}-{label}.sh"
            name = f"{directory.name}-{path.stem}"
            nodes = min(limits.nodes, len({key.owner for key in keys}))
            expected = production.minutes(steps, limits.workers * nodes)
            script = Script(name, path, stage, keys, expected, nodes)
            _write(script, production, limits, list(steps), config, options if slurm else None)
            made.append(script)
    return made


def new_directory(production: Production) -> Path:
    """Return a directory for scripts that are written now."""
    return production.directory / "run" / "scripts" / f"{datetime.now():%Y%m%dT%H%M%S.%f}"


def _stages(tasks: Sequence[Task], *, chain: bool) -> Iterator[list[list[Task]]]:
    """Yield the stages: of each, tasks that stay together."""
    stages: dict[str, dict[str, list[Task]]] = {}
    for task in tasks:
        step, owner = STEP_OF[task.key.kind], task.key.owner
        of_pixel = step.per == "pixel"
        stage = step.name if not chain else "pixels" if of_pixel else "nights"
        unit = owner if of_pixel or not chain else owner.partition("/")[0]
        stages.setdefault(stage, {}).setdefault(unit, []).append(task)
    yield from (list(units.values()) for units in stages.values())


def _packed(production: Production, units: Iterable[list[Task]], limits: Limits) -> Iterator[list[Task]]:
    """Yield the tasks of each job."""
    at_once = limits.workers * limits.nodes
    packed: list[Task] = []
    for unit in units:
        if packed and production.minutes(_counts([*packed, *unit]), at_once) > limits.minutes:
            yield packed
            packed = []
        packed = [*packed, *unit]
    if packed:
        yield packed


def _counts(tasks: Iterable[Task]) -> Counter[str]:
    return Counter(STEP_OF[task.key.kind].name for task in tasks)


def _write(
    script: Script,
    production: Production,
    limits: Limits,
    steps: list[str],
    config: Path,
    options: Sequence[str] | None,
) -> None:
    listed = script.path.with_suffix(".tasks")
    order = list(STEPS)
    keys = sorted(script.keys, key=lambda key: order.index(STEP_OF[key.kind].name))
    with atomic_path(listed) as temporary:
        temporary.write_text(as_list(keys), encoding="utf-8")
    run = [sys.executable, str(PROGRAM), "run", "--configfile", str(config.resolve()), "--tasks", str(listed.resolve())]
    run += ["--workers", str(limits.workers), "--script", script.name]
    run += ["--again"] if production.settings["again"] else []
    lines = ["#!/bin/bash"]
    if options is not None:
        memory = max(production.mem_mb(step, limits.workers) for step in steps)
        asked = [f"--job-name={production.directory.name}-{script.path.stem}", f"--nodes={script.nodes}"]
        asked += ["--ntasks-per-node=1", f"--cpus-per-task={limits.workers}", f"--mem={memory}"]
        asked += [f"--time={min(script.minutes, limits.minutes)}"]
        asked += [f"--output={script.path.resolve().with_suffix('')}-%j.log", *options]
        lines += [f"#SBATCH {option}" for option in asked]
    lines += [f"# {len(script.keys)} tasks, of {', '.join(steps)}: some {script.minutes} minutes at most", ""]
    lines += [f"cd {shlex.quote(str(Path.cwd()))}", "status=0"]
    if script.nodes == 1 or options is None:
        lines += [f"{shlex.join(run)} || status=$?"]
    else:  # a node takes its share of each step, when all have done the step before
        lines += [f"srun {shlex.join([*run, '--share', '--steps', step])} || status=$?" for step in steps]
    lines += [f"rm -f {shlex.quote(str(notice_of(production.directory, script.name).resolve()))}", "exit $status", ""]
    with atomic_path(script.path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    script.path.chmod(0o755)


def submit(production: Production, scripts: Sequence[Script]) -> list[str]:
    """Submit scripts, those of a stage after all of the stage before, however they ended; return SLURM's numbers.

    Raises
    ------
    HarvestError
        If SLURM does not take one of them; says which. Their tasks are as they were before.
    """
    numbers: list[str] = []
    of_stage: dict[int, list[str]] = {}
    for script in scripts:
        before = of_stage.get(script.stage - 1, [])
        after = [f"--dependency=afterany:{':'.join(before)}"] if before else []
        hand_over(production.directory, script.name, script.keys)  # before it can begin
        try:
            number = _sbatch([*after, str(script.path)])
        except OSError as error:
            take_back(production.directory, script.name)
            left = len(scripts) - len(numbers)
            raise HarvestError(
                f"{script.path.name} was not submitted, and {left - 1} after it: {error}. {len(numbers)} were "
                f"({' '.join(numbers) or 'none'}). The tasks of the others are ready: `script --submit` again"
            ) from error
        numbers.append(number)
        of_stage.setdefault(script.stage, []).append(number)
    return numbers


def _sbatch(options: Sequence[str]) -> str:
    program = shutil.which("sbatch")
    if program is None:
        raise FileNotFoundError("there is no sbatch on PATH; the scripts run with bash, too")
    for left in reversed(range(TRIES)):
        done = subprocess.run([program, "--parsable", *options], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip().partition(";")[0]
        if left:
            time.sleep(PAUSE_S)
    raise OSError(done.stderr.strip() or f"sbatch ended with status {done.returncode}")
