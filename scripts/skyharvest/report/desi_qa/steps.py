"""How the tasks of a night have ended, with the command that repeats each, and where its log is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skyharvest.reduction.desi.control.commands import environment_lines
from skyharvest.reduction.desi.exposure_table import Exposure
from skyharvest.reduction.desi.graph import Key, Task, owner_of
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.records import BROKEN, DONE, READY, Judged, Record, Records, judge_all, show
from skyharvest.reduction.desi.steps import STEP_OF
from skyharvest.report.desi_qa.logs import Logs

NOT_RUN = "not run"


@dataclass(frozen=True)
class Ended:
    """How a task has ended.

    Attributes
    ----------
    state
        ``done``, ``failed``, ``broken off``, ``waiting``, or `NOT_RUN`.
    title
        As logs name it: ``preproc b0 20250115/00000006``.
    log
        None if there is none that can have it.
    """

    key: Key
    title: str
    state: str
    reason: str
    seconds: str
    megabytes: str
    command: str
    log: Path | None

    @property
    def kind(self) -> str:
        """Of its task."""
        return self.key.kind

    @property
    def about(self) -> str:
        """Where and what it took."""
        took = f"{float(self.seconds):,.0f} s, {self.megabytes} MB" if self.seconds else ""
        return ", ".join(filter(None, ["of the night" if "/" not in self.key.owner else "", took]))


class Steps:
    """How the tasks of a night have ended.

    Parameters
    ----------
    production
        As its tables have it; files are not asked for, but the records alone.
    logs
        Directory of the run's logs.
    """

    def __init__(self, production: Production, night: int, logs: Path) -> None:
        self.exposures = {one.expid: one for one in production.nights.get(night, [])}
        self.logs = Logs(logs, str(night))
        self._records, self._commands = Records(production.directory), production.commands
        tasks = list(production.graph.of_night(list(self.exposures.values())))
        self._judged = judge_all(tasks, self._records, lambda _: True, again=False)
        self._of: dict[tuple[str, str], list[Task]] = {}
        for task in tasks:
            self._of.setdefault((task.key.owner, task.key.unit), []).append(task)
        self._night = str(night)
        self._environment = environment_lines(production)

    @property
    def environment(self) -> str:
        """The commands that set what other commands need."""
        return "\n".join(self._environment)

    def expids_of(self, kind: str, camera: str) -> list[int]:
        """Return the exposures of a camera that a task of the night is made from."""
        obstypes = STEP_OF[kind].obstypes if kind in STEP_OF else ()
        return [one.expid for one in self.exposures.values() if one.obstype in obstypes and camera in one.cameras]

    def camera_of(self, expid: int, unit: str) -> str:
        """Return a camera whose exposure a task of this unit makes: itself, one of a spectrograph, or any."""
        cameras = sorted(self.exposures[expid].cameras) if expid in self.exposures else []
        return next((camera for camera in cameras if unit in (camera, camera[1], "")), "")

    def of(self, exposure: Exposure, camera: str) -> Iterator[Ended]:
        """Yield the tasks that a camera's exposure is made by, in order; those of the night among them."""
        own = [task for unit in (camera, camera[1], "") for task in self._of.get((owner_of(exposure), unit), ())]
        of_night = {"arc": ("psfnight",), "flat": ("psfnight", "fiberflatnight")}
        kinds = of_night.get(exposure.obstype, ("psfnight", "fiberflatnight"))
        own += [task for task in self._of.get((self._night, camera), ()) if task.key.kind in kinds]
        order = list(STEP_OF)
        for task in sorted(own, key=lambda task: order.index(task.key.kind)):
            yield self._ended(task)

    def _ended(self, task: Task) -> Ended:
        judged, record = self._judged[task.key], self._records.get(task.key) or Record("", "", "")
        used = [key for key in task.some_of if self._made(key)]
        return Ended(
            key=task.key,
            title=show(task.key),
            state=BROKEN if record.state == BROKEN else NOT_RUN if judged.state == READY else judged.state,
            reason=judged.reason if judged.state != DONE else "",
            seconds=record.seconds,
            megabytes=record.megabytes,
            command=self._commands.shown(task, used),
            log=self.logs.path(task.key) if record.state else None,
        )

    def _made(self, key: Key) -> bool:
        return self._judged.get(key, Judged("", None)).made is not None
