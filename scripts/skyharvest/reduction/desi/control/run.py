"""Run chosen tasks here, without Snakemake: with the runner of its jobs, so that files and records are the same."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.control.choice import KINDS
from skyharvest.reduction.desi.control.standing import SHOWN, Unwell
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.production import Job, Production
from skyharvest.reduction.desi.records import BROKEN, FAILED, WAITING, show
from skyharvest.reduction.desi.run_tasks import JobIncomplete, Runner
from skyharvest.reduction.desi.steps import STEP_OF, STEPS

log = logging.getLogger(__name__)

OWNER = {
    "exposure": re.compile(r"\d{8}/\d{8}"),
    "night": re.compile(r"\d{8}"),
    "pixel": re.compile(r"healpix/[a-z0-9]+/[a-z0-9]+/\d+/\d+"),
}
"""How the owner of a task is written."""


def run_tasks(
    production: Production, keys: Iterable[Key], workers: int, script: str | None = None
) -> Mapping[str, Counter[str]]:
    """Run tasks, step after step.

    Parameters
    ----------
    workers
        How many run at once.
    script
        Name of the script that does this, if one does.

    Returns
    -------
    mapping
        Step → how many tasks ended in which state, or were kept as they were.

    Raises
    ------
    Unwell
        If a task failed, was broken off, waits for one that has not been done, or is none of the production; when all
        others have ended.
    """
    production.commands.set_environment(os.environ)
    made: dict[str, Counter[str]] = {}
    chosen = list(keys)
    unknown: list[str] = []
    for step in STEPS:
        own = {key for key in chosen if STEP_OF[key.kind].name == step}
        if not own:
            continue
        owners = tuple(dict.fromkeys(key.owner for key in chosen if key in own))
        part = production
        if STEPS[step].per != "pixel":
            part = production.of_nights(sorted({int(owner.partition("/")[0]) for owner in owners}))
        job = Job(step, owners[0].replace("/", "-"), owners)
        unknown += [show(key) for key in sorted(own - {task.key for task in part.tasks_of(job)})]
        runner = Runner(part, job, workers, own, script)
        try:
            runner.run()
        except JobIncomplete as error:
            log.error("%s", error)
        made[step] = Counter({state: n for state, n in runner.counts.items() if n})
        log.info("%s: %s", step, ", ".join(f"{n} {state}" for state, n in made[step].items()) or "nothing was run")
    production.note_by_hand()
    if unknown:
        few = ", ".join(unknown[:SHOWN]) + (", …" if len(unknown) > SHOWN else "")
        raise Unwell(f"the production has no such task: {few}. All others of the list have ended")
    unwell = {step: of for step, of in made.items() if of[FAILED] + of[BROKEN] + of[WAITING]}
    if unwell:
        told = "; ".join(
            f"{step}: {', '.join(f'{n} {state}' for state, n in of.items())}" for step, of in unwell.items()
        )
        raise Unwell(f"not all has been done. {told}. `tasks --states failed` says why")
    return made


def share_of(keys: Sequence[Key], environment: Mapping[str, str]) -> list[Key]:
    """Return this process's share of tasks, of those that `srun` has started: every so many-th owner."""
    number, of = int(environment.get("SLURM_PROCID", "0")), int(environment.get("SLURM_NTASKS", "1"))
    owners = set(list(dict.fromkeys(key.owner for key in keys))[number::of])
    return [key for key in keys if key.owner in owners]


def read_list(path: Path) -> list[Key]:
    """Read a list of tasks: a line for each, as `show` writes it; other lines may begin with #.

    Raises
    ------
    InputError
        If a line is no task; names it.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_parsed(path, number, line) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]


def _parsed(path: Path, number: int, line: str) -> Key:
    words = line.split()
    if words[0] not in KINDS or len(words) not in (2, 3) or not OWNER[STEP_OF[words[0]].per].fullmatch(words[-1]):
        raise InputError(f"{path}, line {number}: {line!r} is no task; expected such as preproc b0 20250115/00000006")
    return Key(words[0], words[-1], words[1] if len(words) == 3 else "")


def as_list(keys: Iterable[Key]) -> str:
    """Return a list of tasks, as `read_list` reads it."""
    return "".join(f"{show(key)}\n" for key in keys)
