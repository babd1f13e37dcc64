"""How every task of a production stands, from files alone: as it runs, after a crash, and from every machine.

=============  =======================================================================================================
``waiting``    for tasks that it needs: they are to be run, or have failed
``ready``      to be run, and all that it needs is there
``running``    under way
``submitted``  in a cluster's queue, or in a job that has begun and comes to it
``done``       its files are there, made from what is there now
``failed``     or broken off, and not tried again since
=============  =======================================================================================================
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from skyharvest.core.errors import HarvestError
from skyharvest.core.many_objects import without_collector
from skyharvest.core.words import counted
from skyharvest.reduction.desi.graph import Key, Task
from skyharvest.reduction.desi.production import Job, Production
from skyharvest.reduction.desi.records import BROKEN, DONE, FAILED, READY, WAITING, Judged, Records, judge_all, show
from skyharvest.reduction.desi.steps import STEP_OF
from skyharvest.reduction.desi.under_way import Notice, read_notices

RUNNING, SUBMITTED = "running", "submitted"
STATES = (WAITING, READY, RUNNING, SUBMITTED, DONE, FAILED)
SHOWN = 20
"""As many failures a message names."""


class Unwell(HarvestError):
    """Of the tasks that were chosen some have failed, or wait for such."""


class Standing(NamedTuple):
    """How a task stands: its state, and why it waits, is ready or failed."""

    state: str
    reason: str = ""


@dataclass(frozen=True)
class Standings:
    """How a production stands.

    Attributes
    ----------
    tasks
        All of them, each after those that it needs.
    judged
        As a run would judge them.
    of
        Their states.
    notices
        Who is at work.
    """

    production: Production
    tasks: list[Task]
    records: Records
    judged: dict[Key, Judged]
    of: dict[Key, Standing]
    notices: list[Notice]

    def to_do(self, tasks: Iterable[Task]) -> list[Task]:
        """Return those of some tasks that a run would do, and that nobody has taken on."""
        taken = (RUNNING, SUBMITTED)
        return [one for one in tasks if self.judged[one.key].state == READY and self.of[one.key].state not in taken]

    def check_well(self, tasks: Iterable[Task]) -> None:
        """Check that none of some tasks has failed.

        Raises
        ------
        Unwell
            Names them, and why.
        """
        failed = [task.key for task in tasks if self.of[task.key].state == FAILED]
        if failed:
            told = "\n".join(f"  {show(key)}: {self.of[key].reason}" for key in failed[:SHOWN])
            more = f"\n  … and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
            raise Unwell(f"{counted(len(failed), 'task')} failed:\n{told}{more}")


def stand(production: Production, in_queue: Iterable[Job] = ()) -> Standings:
    """Look at a production's files.

    Parameters
    ----------
    in_queue
        Jobs that Snakemake has handed to a cluster, and that have not begun.
    """
    # Read first what ends: a task that ends meanwhile is done then, and not ready again.
    notices = read_notices(production.directory)
    records = Records(production.directory)
    tasks = production.tasks()
    judged = judge_all(tasks, records, production.commands.listed(), again=production.settings["again"])
    running = {key for notice in notices for key in notice.running}
    handed = {key for notice in notices if notice.queued for key in notice.left}
    next_in_job = {key for notice in notices if not notice.queued for key in notice.left}
    queued = {(job.step, owner) for job in in_queue for owner in job.owners}
    made: dict[Key, Standing] = {}
    with without_collector():
        for task in tasks:
            key, one = task.key, judged[task.key]
            if one.state == DONE:
                made[key] = _DONE
            elif key in running:
                made[key] = _RUNNING
            elif key in handed or (one.state == READY and (key in next_in_job or _owner(key) in queued)):
                made[key] = _SUBMITTED
            else:
                made[key] = _at_rest(task, judged, records)
    return Standings(production, tasks, records, judged, made, notices)


def _owner(key: Key) -> tuple[str, str]:
    return STEP_OF[key.kind].name, key.owner


_DONE, _RUNNING, _SUBMITTED = Standing(DONE), Standing(RUNNING), Standing(SUBMITTED)


def _at_rest(task: Task, judged: dict[Key, Judged], records: Records) -> Standing:
    """Return how a task stands that nobody has taken on."""
    one = judged[task.key]
    if one.state != READY:
        return Standing(one.state, one.reason)
    for key in (*task.needs, *task.some_of):
        if key in judged and judged[key].state == READY:
            return Standing(WAITING, f"{show(key)} is to be run")
    record = records.get(task.key)
    if record is not None and record.state in (FAILED, BROKEN) and record.made == one.made:
        return Standing(FAILED, one.reason if record.state == FAILED else f"{one.reason}; the next run tries it again")
    return Standing(READY, one.reason)
