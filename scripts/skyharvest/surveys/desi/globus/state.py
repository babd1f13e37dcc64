"""What runs of one Globus transfer have submitted and learnt: a state file, which the next run goes on from."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.surveys.desi.globus.collection import Collection
from skyharvest.surveys.desi.globus.files import TRANSFERRED

log = logging.getLogger(__name__)


@dataclass
class Task:
    """Files that are copied together.

    Attributes
    ----------
    label
        By which a person finds it on app.globus.org.
    files
        Paths relative to what holds ``spectro/``.
    attempt
        1 the first time that these files are submitted.
    submission_id
        Drawn before the task is submitted: Globus takes a task with the same one only once.
    task_id
        Empty until Globus has accepted the task.
    """

    label: str
    files: list[str]
    attempt: int = 1
    submission_id: str = ""
    task_id: str = ""


@dataclass
class State:
    """What runs of one transfer have submitted and learnt so far.

    Attributes
    ----------
    path
        The file that it is kept in (JSON).
    source, destination
        The transfer that it is about.
    done
        File → `TRANSFERRED` or `ABSENT`.
    tasks
        Submitted, or about to be, and not accounted for.
    """

    path: Path
    source: str
    destination: str
    done: dict[str, str] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, source: Collection, destination: Collection, local: Path | None = None) -> "State":
        """Return what the file says, or an empty state if there is none or it is about another transfer.

        Parameters
        ----------
        local
            The destination as this machine sees it. Files that are no longer there are to be transferred again.

        Raises
        ------
        MalformedFile
            If the file is damaged.
        """
        state = cls(path, str(source), str(destination))
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if (kept["source"], kept["destination"]) == (state.source, state.destination):
                state.done = dict(kept["done"])
                state.tasks = [Task(**task) for task in kept["tasks"]]
            elif kept["tasks"]:
                under_way = ", ".join(task["task_id"] or task["label"] for task in kept["tasks"])
                log.warning("%s is about another transfer, which is left to itself: %s", path, under_way)
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedFile(
                f"{path} is damaged ({error!r}): remove it; files that are there are not copied again"
            ) from error
        if local is not None:
            gone = [name for name, what in state.done.items() if what == TRANSFERRED and not (local / name).is_file()]
            for name in gone:
                del state.done[name]
            if gone:
                log.warning("%d transferred files are no longer in %s, such as %s", len(gone), local, gone[0])
        return state

    def save(self) -> None:
        """Write the file."""
        kept = {name: value for name, value in asdict(self).items() if name != "path"}
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(kept), encoding="utf-8")

    def remaining(self, files: Iterable[str]) -> list[str]:
        """Return the files that are neither accounted for nor in a task, in order, each once."""
        under_way = {name for task in self.tasks for name in task.files}
        return [name for name in dict.fromkeys(files) if name not in self.done and name not in under_way]

    def finish(self, *, keep: bool) -> None:
        """After the last file: keep what is known to be at the destination if that can be looked at, else nothing."""
        if keep:
            self.done = {name: what for name, what in self.done.items() if what == TRANSFERRED}
            self.save()
        else:
            self.path.unlink(missing_ok=True)


def batches(files: Sequence[str], size: int, label: str) -> list[Task]:
    """Return the tasks that copy ``files``, each with ``size`` of them at most."""
    starts = range(0, len(files), size)
    return [
        Task(f"{label} {number} of {len(starts)}", list(files[start : start + size]))
        for number, start in enumerate(starts, 1)
    ]
