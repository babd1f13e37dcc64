"""Copy whole files of a release by Globus, in batches, with a status for every file.

The state of a run is kept (`skyharvest.surveys.desi.globus.state`): the next run waits for tasks that are still active
instead of submitting their files again. A file ends with one of these statuses; anything else (no permission, a
cancelled task, a service that is down) is an error of the run.

===============  ============================================================================================
``transferred``  copied to the destination by a successful task, or already equal there
``absent``       not at the source: the task reported FILE_NOT_FOUND, and a listing does not have it
===============  ============================================================================================

API: docs.globus.org/api/transfer; task states and skippable errors: …/transfer/task, …/transfer/task_behavior.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import globus_sdk

from skyharvest.core.errors import ArchiveRefused, ArchiveUnavailable, HarvestError, InputError
from skyharvest.surveys.desi.globus.client import explaining, part
from skyharvest.surveys.desi.globus.collection import Collection
from skyharvest.surveys.desi.globus.files import ABSENT, TRANSFERRED, WantedFile
from skyharvest.surveys.desi.globus.state import State, Task, batches

log = logging.getLogger(__name__)

SyncLevel = Literal["exists", "size", "mtime", "checksum"]
UNDER_WAY = 20  # tasks at once: Globus runs 3 of a user's tasks and lets 100 wait
LABEL_LENGTH = 100  # Globus takes 128; the rest is for the batch's number
WEB = "https://app.globus.org/activity"


@dataclass(frozen=True)
class Polling:
    """How often tasks are checked, and files submitted again.

    Attributes
    ----------
    poll_s
        Seconds between two checks of the tasks.
    attempts
        Largest number of submissions of a file.
    pause_s
        Seconds before the second submission; doubled for each later one.
    """

    poll_s: float = 10.0
    attempts: int = 3
    pause_s: float = 30.0


def check_label(label: str) -> str:
    """Return the label if Globus accepts it.

    Raises
    ------
    InputError
        If it is too long, or holds line breaks, or begins or ends with a space.
    """
    if not label or label != label.strip() or not label.isprintable() or len(label) > LABEL_LENGTH:
        raise InputError(f"--label {label!r}: expected 1 to {LABEL_LENGTH} printable characters, no space at the ends")
    return label


class Listing:
    """Directories of a collection, each listed once, to tell whether files exist."""

    def __init__(self, client: globus_sdk.TransferClient, collection: Collection) -> None:
        self._client = client
        self._collection = collection
        self._sizes: dict[str, dict[str, int] | None] = {}

    def sizes(self, directory: str, limit: int = 100_000) -> dict[str, int] | None:
        """Return name → bytes of what is in a directory (full path); None if it does not exist."""
        if directory not in self._sizes:
            with explaining(f"listing {self._collection.endpoint}:{directory}"):
                try:
                    answer = self._client.operation_ls(self._collection.endpoint, directory, limit=limit)
                    self._sizes[directory] = {entry["name"]: entry.get("size") or 0 for entry in part(answer, "DATA")}
                except globus_sdk.TransferAPIError as error:
                    if error.http_status != 404 or (error.code or "").rpartition(".")[2] != "NotFound":
                        raise
                    self._sizes[directory] = None
        return self._sizes[directory]

    def names(self, directory: str, limit: int = 100_000) -> set[str] | None:
        """Return the names in a directory (full path); None if it does not exist."""
        sizes = self.sizes(directory, limit)
        return None if sizes is None else set(sizes)

    def has(self, path: str) -> bool:
        """Return whether a file or directory exists (full path, below the collection's root path).

        Raises
        ------
        ArchiveUnavailable
            If that is not known: the root does not exist (an unmounted disk must not look like a thousand absent
            files), or a listed directory is not found.
        """
        directory, _, name = path.rpartition("/")
        names = self.names(directory or "/")
        if names is not None:
            return name in names
        if len(directory) <= len(self._collection.path.rstrip("/")) or self.has(directory):
            raise ArchiveUnavailable(
                f"{self._collection.endpoint}:{directory} cannot be listed now, so that nothing can be said of {path}"
            )
        return False


def check_access(client: globus_sdk.TransferClient, source: Collection, destination: Collection) -> None:
    """List both collections, to find a missing login, consent, permission or collection before the first task.

    Raises
    ------
    ArchiveUnavailable
        If the source does not exist now.
    ArchiveRefused, InputError
        If a collection does not give access.
    """
    if Listing(client, source).names(source.path, limit=1) is None:
        raise ArchiveUnavailable(f"there is no directory {source} now: try again later, or correct the source")
    Listing(client, destination).names(destination.path, limit=1)  # Globus creates it if it does not exist


@dataclass
class Transfer:
    """Copies files, with a status for each.

    Attributes
    ----------
    client
        From `connect`.
    source, destination
        Directories that contain ``spectro/``.
    state
        State so far; its file is kept up to date.
    batch_size
        Largest number of files per task.
    sync_level
        How files at the destination are compared with the source's; equal ones are not copied.
    label
        Label of the tasks.
    """

    client: globus_sdk.TransferClient
    source: Collection
    destination: Collection
    state: State
    batch_size: int = 500
    sync_level: SyncLevel = "checksum"
    label: str = "skyharvest"
    polling: Polling = field(default_factory=Polling)
    _failures: list[HarvestError] = field(default_factory=list, init=False)
    _moved: Counter[str] = field(default_factory=Counter, init=False)
    _logged: dict[str, str] = field(default_factory=dict, init=False)

    def run(self, files: Sequence[str], timeout_s: float | None = None) -> dict[str, str]:
        """Transfer the files that are neither done nor in a task, and wait for all.

        Parameters
        ----------
        files
            Paths relative to the directory that contains ``spectro/``.
        timeout_s
            Stop waiting after this time. Tasks continue at Globus; the next run waits for them.

        Returns
        -------
        dict
            File → `TRANSFERRED` or `ABSENT`, in the order of ``files``.

        Raises
        ------
        ArchiveUnavailable
            If Globus or a collection is down, files failed repeatedly, or the time is over.
        ArchiveRefused
            If the source denies access to files, or a task is suspended.
        HarvestError
            If a task was cancelled.
        """
        give_up = time.monotonic() + timeout_s if timeout_s is not None else None
        new = batches(self.state.remaining(files), self.batch_size, self.label)
        queue = deque([*(task for task in self.state.tasks if not task.task_id), *new])
        watched = [task for task in self.state.tasks if task.task_id]
        if watched:
            log.info("%d tasks of an earlier run are under way", len(watched))
        while queue or watched:
            while queue and len(watched) < UNDER_WAY:
                watched.append(self._submit(queue.popleft()))
            documents = [(task, self._document(task)) for task in watched]
            self._show_progress([document for _, document in documents], len(queue))
            ended = [(task, document) for task, document in documents if document["status"] != "ACTIVE"]
            for task, document in ended:
                watched.remove(task)
                queue.extend(self._settle(task, document))
            if watched and not ended:
                if give_up is not None and time.monotonic() >= give_up:
                    raise ArchiveUnavailable(
                        f"{len(watched)} tasks are still under way after {timeout_s:g} s, such as "
                        f"{WEB}/{watched[0].task_id}; they go on at Globus, and the next run waits for them"
                    )
                time.sleep(self.polling.poll_s)
        if self._failures:
            later = any(isinstance(failure, ArchiveUnavailable) for failure in self._failures)
            refused = all(isinstance(failure, ArchiveRefused) for failure in self._failures)
            kind = ArchiveUnavailable if later else ArchiveRefused if refused else HarvestError
            n_missing = sum(name not in self.state.done for name in files)
            reasons = "; ".join(dict.fromkeys(map(str, self._failures)))
            raise kind(f"{n_missing} of {len(files)} files are not accounted for, the others are kept: {reasons}")
        return {name: self.state.done[name] for name in files}

    def _submit(self, task: Task) -> Task:
        """Save a task in the state, then submit it."""
        with explaining(f"submitting {task.label!r}"):
            if not task.submission_id:
                if task.attempt > 1:
                    time.sleep(self.polling.pause_s * 2 ** (task.attempt - 2))
                task.submission_id = part(self.client.get_submission_id(), "value")
                self.state.tasks.append(task)
                self.state.save()
            data = globus_sdk.TransferData(
                self.source.endpoint,
                self.destination.endpoint,
                label=task.label,
                submission_id=task.submission_id,
                sync_level=self.sync_level,
                verify_checksum=True,
                skip_source_errors=True,
                fail_on_quota_errors=True,
                notify_on_succeeded=False,
            )
            for name in task.files:
                data.add_item(self.source.full(name), self.destination.full(name))
            try:
                task.task_id = part(self.client.submit_transfer(data), "task_id")
            except globus_sdk.GlobusAPIError as error:
                if error.http_status < 500 and error.http_status != 429:  # refused: there is no task
                    self.state.tasks.remove(task)
                raise
            finally:
                self.state.save()
        log.info("submitted %r, %d files: %s/%s", task.label, len(task.files), WEB, task.task_id)
        return task

    def _document(self, task: Task) -> dict[str, Any]:
        """Return Globus's document of a task; its status is ``GONE`` if Globus no longer has it."""
        with explaining(f"asking for {task.label!r} ({task.task_id})"):
            try:
                answer = self.client.get_task(task.task_id)
            except globus_sdk.TransferAPIError as error:
                if error.http_status != 404:
                    raise
                return {"status": "GONE"}
            part(answer, "status")
            return dict(answer.data)

    def _settle(self, task: Task, document: dict[str, Any]) -> list[Task]:
        """Record the files of a task that has ended, and return tasks to submit again."""
        status, why = document["status"], ""
        statuses: dict[str, str] = {}
        if status == "SUCCEEDED" and not document.get("history_deleted"):
            statuses, why = self._outcome(task, document.get("subtasks_skipped_errors") or 0)
        elif status == "INACTIVE":
            self._fail(ArchiveRefused, task, "is suspended: renew the login to its collections there, and run again")
            return []  # the task stays in the state: it can continue
        elif status == "FAILED":
            fatal = document.get("fatal_error") or {}
            why = f"{fatal.get('code', 'FAILED')} {fatal.get('description', '')}".strip()
            statuses = dict.fromkeys(self._copied(task), TRANSFERRED)
        else:
            why = "Globus no longer knows what became of it"
        remaining = [name for name in task.files if name not in statuses]
        self.state.done.update({name: status for name, status in statuses.items() if status in (TRANSFERRED, ABSENT)})
        self.state.tasks.remove(task)
        self.state.save()
        refused = {name: code for name, code in statuses.items() if code not in (TRANSFERRED, ABSENT)}
        if refused:
            name, code = next(iter(refused.items()))
            self._fail(
                ArchiveRefused, task, f"was refused {len(refused)} files, such as {self.source.full(name)}: {code}"
            )
        if remaining and status == "FAILED" and (document.get("fatal_error") or {}).get("code") == "CANCELED":
            self._fail(
                HarvestError, task, f"was cancelled with {len(remaining)} files to go; run again to submit them anew"
            )
        elif remaining and task.attempt >= self.polling.attempts:
            self._fail(
                ArchiveUnavailable, task, f"left {len(remaining)} files, such as {remaining[0]}, at the last try: {why}"
            )
        elif remaining:
            log.warning(
                "%r left %d of %d files, they are submitted again: %s", task.label, len(remaining), len(task.files), why
            )
            return [Task(f"{self.label}, {len(remaining)} files again", remaining, task.attempt + 1)]
        return []

    def _outcome(self, task: Task, n_skipped: int) -> tuple[dict[str, str], str]:
        """Return the statuses of the files of a task that succeeded, and why the others are submitted again.

        A status is `TRANSFERRED`, `ABSENT`, or the error code of a skipped file. ``n_skipped`` is Globus's number of
        skipped files.
        """
        skipped = self._skipped(task, n_skipped)
        listing = Listing(self.client, self.source)
        statuses, came_back = {}, []
        for name in task.files:
            code = skipped.get(name)
            if code != "FILE_NOT_FOUND":
                statuses[name] = code or TRANSFERRED
            elif listing.has(self.source.full(name)):
                came_back.append(name)
            else:
                statuses[name] = ABSENT
        count, copied = Counter(statuses.values()), len(self._copied(task))
        log.info(
            "%r: %d files copied, %d were there, %d absent",
            task.label,
            copied,
            count[TRANSFERRED] - copied,
            count[ABSENT],
        )
        return statuses, f"{came_back[0]} was not found, and yet it is listed" if came_back else ""

    def _copied(self, task: Task) -> set[str]:
        """Return the files that a task has copied, without those that were equal at the destination."""
        names = {self.destination.full(name): name for name in task.files}
        rows = self._rows(task, self.client.paginated.task_successful_transfers)
        return {names[row["destination_path"]] for row in rows if row["destination_path"] in names}

    def _skipped(self, task: Task, n_skipped: int) -> dict[str, str]:
        """Return file → error code of the files that a task skipped; the others count as transferred."""
        names = {self.source.full(name): name for name in task.files}
        rows = self._rows(task, self.client.paginated.task_skipped_errors, at_least=n_skipped)
        foreign = [row["source_path"] for row in rows if row["source_path"] not in names]
        if foreign or len(rows) < n_skipped:
            raise ArchiveUnavailable(
                f"{task.label!r} ({WEB}/{task.task_id}) skipped {n_skipped} files, and Globus lists {len(rows)}, "
                f"{len(foreign)} of them not of this task {foreign[:1]}: nothing can be said of its files now"
            )
        return {names[row["source_path"]]: str(row["error_code"]) for row in rows}

    def _rows(self, task: Task, pages: Callable[..., Iterable[Any]], at_least: int = 0) -> list[dict[str, Any]]:
        """Return Globus's list about a task's files; ask again while it is not ready or complete."""
        attempts_left = self.polling.attempts
        while True:
            attempts_left -= 1
            with explaining(f"asking what became of {task.label!r} ({task.task_id})"):
                try:
                    rows = [row for page in pages(task.task_id) for row in part(page, "DATA")]
                    if len(rows) >= at_least or not attempts_left:
                        return rows
                except globus_sdk.TransferAPIError as error:
                    if error.http_status not in (404, 409) or not attempts_left:
                        raise
            time.sleep(self.polling.poll_s)

    def _fail(self, kind: type[HarvestError], task: Task, problem: str) -> None:
        failure = kind(f"{task.label!r} ({WEB}/{task.task_id}) {problem}")
        log.error("%s", failure)
        self._failures.append(failure)

    def _show_progress(self, documents: Sequence[dict[str, Any]], waiting: int) -> None:
        """Log the progress of the tasks when it changes, and why a task is held up."""
        for document in documents:
            self._moved[document.get("task_id", "")] = document.get("bytes_transferred") or 0
            held_up = document.get("nice_status")
            if held_up not in (None, "", "OK", "Queued") and document["status"] == "ACTIVE":
                details = document.get("nice_status_short_description") or held_up
                self._log_change(document["task_id"], logging.WARNING, f"{document.get('label')} is held up: {details}")
        files = sum(
            (document.get("files_transferred") or 0) + (document.get("files_skipped") or 0) for document in documents
        )
        rate = sum(document.get("effective_bytes_per_second") or 0 for document in documents)
        self._log_change(
            "progress",
            logging.INFO,
            f"{len(self.state.done) + files:,} files accounted for, {sum(self._moved.values()) / 1e9:,.2f} GB moved, "
            f"{rate / 1e6:,.1f} MB/s; {len(documents)} tasks under way, {waiting} to be submitted",
        )

    def _log_change(self, subject: str, level: int, text: str) -> None:
        if self._logged.get(subject) != text:
            self._logged[subject] = text
            log.log(level, "%s", text)


def summary(files: Sequence[WantedFile], tasks: Sequence[Task], source: Collection, destination: Collection) -> str:
    """Return the text of a dry run: coadds by survey and program, and the tasks."""
    kinds = Counter((file.survey, file.program) for file in files)
    lines = [f"from  {source}", f"to    {destination}", "", f"{'survey':<10}{'program':<10}{'pixels':>9}{'files':>9}"]
    for (survey, program), n_files in sorted(kinds.items()):
        pixels = {file.pix64 for file in files if (file.survey, file.program) == (survey, program)}
        lines.append(f"{survey:<10}{program:<10}{len(pixels):>9,}{n_files:>9,}")
    lines += ["", f"{sum(len(task.files) for task in tasks):,} files to transfer, in {len(tasks)} tasks"]
    for task in tasks:
        lines += [f"  {task.label}: {len(task.files)} files", f"    {task.files[0]}", f"    ... {task.files[-1]}"]
    return "\n".join(lines)
