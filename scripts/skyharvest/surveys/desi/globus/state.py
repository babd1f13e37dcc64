"""The state of a Globus transfer, in a file from which the next run continues."""

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
    """A Globus task: files that are copied together.

    Attributes
    ----------
    label
        Its name on app.globus.org.
    files
        Paths relative to the directory that contains ``spectro/``.
    attempt
        Number of this submission of the files, from 1.
    submission_id
        From Globus, before the task is submitted: Globus accepts only one task with an id.
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
    """The state of one transfer over all its runs.

    Attributes
    ----------
    path
        The state's file (JSON).
    source, destination
        Collections of the transfer.
    done
        File → `TRANSFERRED` or `ABSENT`.
    tasks
        Submitted, or about to be, and not yet settled.
    """

    path: Path
    source: str
    destination: str
    done: dict[str, str] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, source: Collection, destination: Collection, local: Path | None = None) -> "State":
        """Return the state in a file; an empty one without a file, or if it is of another transfer.

        Parameters
        ----------
        local
            Path of the destination on this machine. Files that are missing there are transferred again.

        Raises
        ------
        MalformedFile
            If the file is damaged.
        """
        state = cls(path, str(source), str(destination))
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            if (saved["source"], saved["destination"]) == (state.source, state.destination):
                state.done = dict(saved["done"])
                state.tasks = [Task(**task) for task in saved["tasks"]]
            elif saved["tasks"]:
                under_way = ", ".join(task["task_id"] or task["label"] for task in saved["tasks"])
                log.warning("%s is about another transfer, which is left to itself: %s", path, under_way)
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedFile(
                f"{path} is damaged ({error!r}): remove it; files that are there are not copied again"
            ) from error
        if local is not None:
            transferred = [name for name, status in state.done.items() if status == TRANSFERRED]
            missing = [name for name in transferred if not (local / name).is_file()]
            for name in missing:
                del state.done[name]
            if missing:
                log.warning("%d transferred files are no longer in %s, such as %s", len(missing), local, missing[0])
        return state

    def save(self) -> None:
        """Write the file."""
        values = {name: value for name, value in asdict(self).items() if name != "path"}
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(values), encoding="utf-8")

    def remaining(self, files: Iterable[str]) -> list[str]:
        """Return the files that are neither done nor in a task, in order, each once."""
        under_way = {name for task in self.tasks for name in task.files}
        return [name for name in dict.fromkeys(files) if name not in self.done and name not in under_way]

    def finish(self, *, keep: bool) -> None:
        """End the transfer: with ``keep`` save the transferred files only, else remove the state's file."""
        if keep:
            self.done = {name: status for name, status in self.done.items() if status == TRANSFERRED}
            self.save()
        else:
            self.path.unlink(missing_ok=True)


def batches(files: Sequence[str], size: int, label: str) -> list[Task]:
    """Return tasks that copy ``files``, each with at most ``size`` of them."""
    starts = range(0, len(files), size)
    return [
        Task(f"{label} {number} of {len(starts)}", list(files[start : start + size]))
        for number, start in enumerate(starts, 1)
    ]
