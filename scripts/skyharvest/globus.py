"""Whole files of a release, copied by Globus: submitted in batches, waited for, and accounted for file by file.

The only module that imports globus_sdk. What a run has submitted and learnt is kept in a state file, so that the next
run waits for the tasks that are still under way instead of submitting their files again. A file ends as one of

===============  ============================================================================================
``transferred``  it is at the destination: copied, or found equal there, in a task that succeeded
``absent``       the source has no such file: the task reported FILE_NOT_FOUND, and a listing agreed
===============  ============================================================================================

and a run in which any file ends otherwise (no permission, a cancelled task, a service that is down) is an error.

API: docs.globus.org/api/transfer; task states and skippable errors: …/transfer/task, …/transfer/task_behavior.
"""

import csv
import json
import logging
import os
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import globus_sdk
from globus_sdk.gare import GlobusAuthorizationParameters, to_gare
from globus_sdk.login_flows import CommandLineLoginFlowManager
from globus_sdk.token_storage import JSONTokenStorage, MemoryTokenStorage
from globus_sdk.transport import RetryConfig

from skyharvest.atomic import atomic_path
from skyharvest.errors import ArchiveRefused, ArchiveUnavailable, HarvestError, InputError, MalformedFile
from skyharvest.releases import Release

log = logging.getLogger(__name__)

TRANSFERRED, ABSENT = "transferred", "absent"
RECORD = ("survey", "program", "pix64", "file", "status")
SyncLevel = Literal["exists", "size", "mtime", "checksum"]
TOKEN_FILE = Path("~/.config/skyharvest/globus-tokens.json")

# Public, without a secret: the native client of the SDK's documentation. GLOBUS_CLIENT_ID names another one.
NATIVE_CLIENT = "61338d24-54d5-408f-a10d-66c06b59f6d2"
APP_NAME = "Skyharvest"
UNDER_WAY = 20  # tasks at once: Globus works on 3 of a user's and lets no more than 100 wait
LABEL_LENGTH = 100  # Globus takes 128; the rest is for the batch's number
NAME = re.compile(r"[a-z0-9]+")
WEB = "https://app.globus.org/activity"


@dataclass(frozen=True)
class WantedFile:
    """A file of a release; ``path`` is relative to what holds ``spectro/``."""

    survey: str
    program: str
    pix64: int
    path: str


@dataclass(frozen=True)
class Collection:
    """What holds ``spectro/`` on a Globus collection: its UUID, and the absolute path there."""

    endpoint: str
    path: str

    def __str__(self) -> str:
        return f"{self.endpoint}:{self.path}"

    def full(self, path: str) -> str:
        """Return the path on the collection of a file relative to what holds ``spectro/``."""
        return f"{self.path.rstrip('/')}/{path}"


@dataclass(frozen=True)
class Pace:
    """How often Globus is asked, and how often a file is tried.

    Attributes
    ----------
    poll_s
        Between two looks at the tasks.
    attempts
        Times that a file is submitted, at most.
    pause_s
        Before files are submitted the second time; doubled each time.
    retries, retry_max_s
        Of one request to the service, by the SDK: with backoff from 0.5 s up to ``retry_max_s``, and with Retry-After.
    """

    poll_s: float = 10.0
    attempts: int = 3
    pause_s: float = 30.0
    retries: int = 10
    retry_max_s: float = 120.0


def wanted_files(release: Release, coadds: Iterable[tuple[str, str, int]]) -> list[WantedFile]:
    """Return coadd, redrock file and checksum file of each (survey, program, NSIDE=64 pixel), by directory.

    Raises
    ------
    MalformedFile
        If a survey or program is not named by lower-case letters and digits: it becomes part of a path.
    """
    files = []
    for survey, program, pix64 in dict.fromkeys(coadds):
        if not (NAME.fullmatch(survey) and NAME.fullmatch(program)):
            raise MalformedFile(
                f"the list of coadds has survey {survey!r}, program {program!r}; expected lower-case letters and digits"
            )
        place = (survey, program, pix64)
        for path in (release.coadd(*place), release.redrock(*place), release.checksums(*place)):
            files.append(WantedFile(*place, path))
    return files


def read_pixels(path: Path) -> set[int]:
    """Return the NSIDE=64 pixels of a file: a number per line (``pix64.txt``), or a CSV with a column ``pix64``.

    Raises
    ------
    InputError
        If a line is neither.
    """
    pixels = set()
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.reader(stream))
    column, first = 0, 0
    if lines and "pix64" in lines[0]:
        column, first = lines[0].index("pix64"), 1
    for number, line in enumerate(lines[first:], first + 1):
        cell = line[column].strip() if column < len(line) else ""
        if cell.isdecimal():
            pixels.add(int(cell))
        elif any(line):
            raise InputError(f"{path}, line {number}: found {','.join(line)[:80]!r}; expected the number of a pixel")
    return pixels


def read_plan(path: Path) -> list[tuple[str, str, int]]:
    """Return the (survey, program, pixel) of each line of ``plan.csv``.

    Raises
    ------
    InputError
        If the file is not one.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        try:
            return [(line["survey"], line["program"], int(line["pix64"])) for line in csv.DictReader(stream)]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is not a plan ({error!r}): expected survey,program,pix64,… as plan_desi.py writes"
            ) from error


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


def check_label(label: str) -> str:
    """Return the label if Globus takes it.

    Raises
    ------
    InputError
        If it is too long, or holds line breaks, or begins or ends with a space.
    """
    if not label or label != label.strip() or not label.isprintable() or len(label) > LABEL_LENGTH:
        raise InputError(f"--label {label!r}: expected 1 to {LABEL_LENGTH} printable characters, no space at the ends")
    return label


class _TerminalLogin(CommandLineLoginFlowManager):
    """Asks for a login where there is somebody to ask, and says elsewhere what to do."""

    def __init__(self, client: globus_sdk.NativeAppAuthClient, command: str) -> None:
        super().__init__(client, request_refresh_tokens=True, native_prefill_named_grant=APP_NAME)
        self._command = command

    def run_login_flow(self, auth_parameters: GlobusAuthorizationParameters) -> globus_sdk.OAuthTokenResponse:
        scopes = " ".join(auth_parameters.required_scopes or [])
        if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
            raise ArchiveRefused(
                f"Globus wants a login with consent to {scopes}"
                + (f" ({auth_parameters.session_message})" if auth_parameters.session_message else "")
                + f": log in once, in a terminal, with `{self._command}`, and run this again. Without a person: set "
                "GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET of a confidential client (docs/globus.md)"
            )
        log.info("Globus wants a login with consent to %s", scopes)
        return super().run_login_flow(auth_parameters)


@contextmanager
def connect(
    token_file: Path, login_command: str, *, anew: bool = False, pace: Pace | None = None
) -> Iterator[globus_sdk.TransferClient]:
    """Give a client of the Transfer service that is logged in.

    As a confidential client if the environment has GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET (its tokens stay in
    memory), else as the person who has logged in, with tokens in a file that only they can read. Where the service
    wants more consent, a person is asked for it, and a confidential client takes it.

    Parameters
    ----------
    token_file
        Made, or made private, if need be.
    login_command
        What to tell a person to run if there is no login and nobody to ask.
    anew
        Log in even if there is a login already: it may have been revoked.
    pace
        Retries of a request.

    Raises
    ------
    InputError
        If there is a secret without an ID, or the token file holds something else.
    ArchiveRefused
        If there is no login and nobody to ask for one, or Globus refuses it.
    """
    client_id, secret = os.environ.get("GLOBUS_CLIENT_ID"), os.environ.get("GLOBUS_CLIENT_SECRET")
    if secret and not client_id:
        raise InputError("GLOBUS_CLIENT_SECRET is set, GLOBUS_CLIENT_ID is not: set both, or neither")
    app: globus_sdk.GlobusApp
    if secret:
        app = globus_sdk.ClientApp(
            APP_NAME,
            client_id=client_id,
            client_secret=secret,
            config=globus_sdk.GlobusAppConfig(token_storage=MemoryTokenStorage(), auto_redrive_gares=True),
        )
    else:
        native = globus_sdk.NativeAppAuthClient(client_id or NATIVE_CLIENT, app_name=APP_NAME)
        config = globus_sdk.GlobusAppConfig(
            token_storage=_private_storage(token_file),
            login_flow_manager=_TerminalLogin(native, login_command),
            request_refresh_tokens=True,
            auto_redrive_gares=True,
        )
        app = globus_sdk.UserApp(APP_NAME, login_client=native, config=config)
    pace = pace or Pace()
    retries = RetryConfig(max_retries=pace.retries, max_sleep=pace.retry_max_s)
    with app, globus_sdk.TransferClient(app=app, retry_config=retries) as client:
        with _explaining("logging in"):
            app.login(force=anew)
        yield client


def _private_storage(token_file: Path) -> JSONTokenStorage:
    """Return the SDK's storage, which creates its file with mode 0600, in a directory that only its owner can enter."""
    path = token_file.expanduser().absolute()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_mode & 0o077:
        log.warning("%s could be read by others: its mode is 0600 now", path)
        path.chmod(0o600)
    storage = JSONTokenStorage(path)
    try:
        storage.get_token_data_by_resource_server()
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a file of Globus tokens ({error}): remove it, and log in again") from error
    return storage


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    """Turn the SDK's errors into those that say what to do."""
    try:
        yield
    except globus_sdk.GlobusAPIError as error:
        raise _explained(error, what) from error
    except globus_sdk.NetworkError as error:
        raise ArchiveUnavailable(f"{what}: Globus cannot be reached ({error}); tasks under way go on") from error
    except globus_sdk.GlobusError as error:  # tokens that do not fit, such as another person's
        raise ArchiveRefused(f"{what}: {error}: remove the token file, and log in again") from error


def _explained(error: globus_sdk.GlobusAPIError, what: str) -> HarvestError:
    said = f"{what}: Globus answers {error.http_status} {error.code or ''}: {error.message or error.http_reason}"
    if error.http_status == 429 or error.http_status >= 500:
        return ArchiveUnavailable(f"{said}; tasks under way go on")
    if isinstance(error, globus_sdk.AuthAPIError) or error.http_status == 401:
        return ArchiveRefused(
            f"{said}: log in again (globus_transfer.py --login), or correct GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET"
        )
    gare = to_gare(error)
    if gare is not None:
        scopes = " ".join(gare.authorization_parameters.required_scopes or [])
        return ArchiveRefused(f"{said}: it wants consent to {scopes}, which this login cannot give")
    if error.code == "EndpointNotFound":
        return InputError(f"{said}: correct the collection's UUID")
    return ArchiveRefused(said)


def _part(response: globus_sdk.GlobusHTTPResponse, key: str) -> Any:
    """Return a part of an answer, having checked that it is one of this service."""
    if not isinstance(response.data, dict) or key not in response.data:
        raise ArchiveUnavailable(f"Globus sends no {key!r} but {response.text[:80]!r}: something else answers for it")
    return response.data[key]


class Listing:
    """Whether files are on a collection, according to listings of their directories, each read once."""

    def __init__(self, client: globus_sdk.TransferClient, collection: Collection) -> None:
        self._client = client
        self._collection = collection
        self._names: dict[str, set[str] | None] = {}

    def names(self, directory: str, limit: int = 100_000) -> set[str] | None:
        """Return the names in a directory (full path), or None if there is no such directory."""
        if directory not in self._names:
            with _explaining(f"listing {self._collection.endpoint}:{directory}"):
                try:
                    answer = self._client.operation_ls(self._collection.endpoint, directory, limit=limit)
                    self._names[directory] = {entry["name"] for entry in _part(answer, "DATA")}
                except globus_sdk.TransferAPIError as error:
                    if error.http_status != 404 or (error.code or "").rpartition(".")[2] != "NotFound":
                        raise
                    self._names[directory] = None
        return self._names[directory]

    def has(self, path: str) -> bool:
        """Tell whether a file or directory (full path, below the collection's root path) is there.

        Raises
        ------
        ArchiveUnavailable
            If that cannot be told: the root itself is not there (an unmounted disk must not look like a thousand
            absent files), or a directory is listed but not found.
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
    """List both collections, so that a missing login, consent, permission or collection shows before the first task.

    Raises
    ------
    ArchiveUnavailable
        If the source is not there now.
    ArchiveRefused, InputError
        If there is no way in.
    """
    if Listing(client, source).names(source.path, limit=1) is None:
        raise ArchiveUnavailable(f"there is no directory {source} now: try again later, or correct the source")
    Listing(client, destination).names(destination.path, limit=1)  # Globus makes it if it is not there


@dataclass
class Transfer:
    """Copies files, and finds out what became of each.

    Attributes
    ----------
    client
        Logged in, from `connect`.
    source, destination
        What holds ``spectro/`` there.
    state
        What is known already; kept up to date in its file.
    batch_size
        Files per task, at most.
    sync_level
        What makes a file at the destination equal to the source's, so that it is not copied.
    label
        Of the tasks.
    """

    client: globus_sdk.TransferClient
    source: Collection
    destination: Collection
    state: State
    batch_size: int = 500
    sync_level: SyncLevel = "checksum"
    label: str = "skyharvest"
    pace: Pace = field(default_factory=Pace)
    _failures: list[HarvestError] = field(default_factory=list, init=False)
    _moved: Counter[str] = field(default_factory=Counter, init=False)
    _said: dict[str, str] = field(default_factory=dict, init=False)

    def run(self, files: Sequence[str], timeout_s: float | None = None) -> dict[str, str]:
        """Transfer what is neither done nor under way, and wait for all of it.

        Parameters
        ----------
        files
            Paths relative to what holds ``spectro/``.
        timeout_s
            Give up waiting after so long. Tasks go on at Globus; the next run waits for them.

        Returns
        -------
        dict
            File → `TRANSFERRED` or `ABSENT`, in the order of ``files``.

        Raises
        ------
        ArchiveUnavailable
            If Globus or a collection is down, files failed again and again, or it took too long.
        ArchiveRefused
            If the source refuses files, or a task is suspended.
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
                time.sleep(self.pace.poll_s)
        if self._failures:
            later = any(isinstance(failure, ArchiveUnavailable) for failure in self._failures)
            refused = all(isinstance(failure, ArchiveRefused) for failure in self._failures)
            kind = ArchiveUnavailable if later else ArchiveRefused if refused else HarvestError
            left = sum(name not in self.state.done for name in files)
            reasons = "; ".join(dict.fromkeys(map(str, self._failures)))
            raise kind(f"{left} of {len(files)} files are not accounted for, the others are kept: {reasons}")
        return {name: self.state.done[name] for name in files}

    def _submit(self, task: Task) -> Task:
        """Submit a task, which the state knows of before Globus does."""
        with _explaining(f"submitting {task.label!r}"):
            if not task.submission_id:
                if task.attempt > 1:
                    time.sleep(self.pace.pause_s * 2 ** (task.attempt - 2))
                task.submission_id = _part(self.client.get_submission_id(), "value")
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
                task.task_id = _part(self.client.submit_transfer(data), "task_id")
            except globus_sdk.GlobusAPIError as error:
                if error.http_status < 500 and error.http_status != 429:  # refused: there is no task to look for
                    self.state.tasks.remove(task)
                raise
            finally:
                self.state.save()
        log.info("submitted %r, %d files: %s/%s", task.label, len(task.files), WEB, task.task_id)
        return task

    def _document(self, task: Task) -> dict[str, Any]:
        """Return Globus's description of a task; for one that it does not know any more, its status is ``GONE``."""
        with _explaining(f"asking for {task.label!r} ({task.task_id})"):
            try:
                answer = self.client.get_task(task.task_id)
            except globus_sdk.TransferAPIError as error:
                if error.http_status != 404:
                    raise
                return {"status": "GONE"}
            _part(answer, "status")
            return dict(answer.data)

    def _settle(self, task: Task, document: dict[str, Any]) -> list[Task]:
        """Account for the files of a task that has ended, and return what is to be submitted again."""
        status, why = document["status"], ""
        statuses: dict[str, str] = {}
        if status == "SUCCEEDED" and not document.get("history_deleted"):
            statuses, why = self._outcome(task, document.get("subtasks_skipped_errors") or 0)
        elif status == "INACTIVE":
            self._fail(ArchiveRefused, task, "is suspended: renew the login to its collections there, and run again")
            return []  # the state keeps it: it goes on
        elif status == "FAILED":
            fatal = document.get("fatal_error") or {}
            why = f"{fatal.get('code', 'FAILED')} {fatal.get('description', '')}".strip()
            statuses = dict.fromkeys(self._copied(task), TRANSFERRED)
        else:
            why = "Globus no longer knows what became of it"
        again = [name for name in task.files if name not in statuses]
        self.state.done.update({name: what for name, what in statuses.items() if what in (TRANSFERRED, ABSENT)})
        self.state.tasks.remove(task)
        self.state.save()
        refused = {name: what for name, what in statuses.items() if what not in (TRANSFERRED, ABSENT)}
        if refused:
            name, code = next(iter(refused.items()))
            self._fail(
                ArchiveRefused, task, f"was refused {len(refused)} files, such as {self.source.full(name)}: {code}"
            )
        if again and status == "FAILED" and (document.get("fatal_error") or {}).get("code") == "CANCELED":
            self._fail(
                HarvestError, task, f"was cancelled with {len(again)} files to go; run again to submit them anew"
            )
        elif again and task.attempt >= self.pace.attempts:
            self._fail(ArchiveUnavailable, task, f"left {len(again)} files, such as {again[0]}, at the last try: {why}")
        elif again:
            log.warning(
                "%r left %d of %d files, they are submitted again: %s", task.label, len(again), len(task.files), why
            )
            return [Task(f"{self.label}, {len(again)} files again", again, task.attempt + 1)]
        return []

    def _outcome(self, task: Task, n_skipped: int) -> tuple[dict[str, str], str]:
        """Return what became of the files of a task that succeeded, and why others are to be submitted again.

        A file's status is `TRANSFERRED`, `ABSENT`, or the code of the error for which it was skipped. ``n_skipped`` is
        how many files were skipped according to Globus.
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
        """Return the files that a task has copied: not those that it found equal at the destination."""
        names = {self.destination.full(name): name for name in task.files}
        rows = self._rows(task, self.client.paginated.task_successful_transfers)
        return {names[row["destination_path"]] for row in rows if row["destination_path"] in names}

    def _skipped(self, task: Task, n_skipped: int) -> dict[str, str]:
        """Return file → code of the error for which a task has skipped it. What it leaves out counts as transferred."""
        names = {self.source.full(name): name for name in task.files}
        rows = self._rows(task, self.client.paginated.task_skipped_errors, at_least=n_skipped)
        strange = [row["source_path"] for row in rows if row["source_path"] not in names]
        if strange or len(rows) < n_skipped:
            raise ArchiveUnavailable(
                f"{task.label!r} ({WEB}/{task.task_id}) skipped {n_skipped} files, and Globus lists {len(rows)}, "
                f"{len(strange)} of them not of this task {strange[:1]}: nothing can be said of its files now"
            )
        return {names[row["source_path"]]: str(row["error_code"]) for row in rows}

    def _rows(self, task: Task, pages: Callable[..., Iterable[Any]], at_least: int = 0) -> list[dict[str, Any]]:
        """Return a list of what became of a task's files, asking again while it is not ready or complete."""
        left = self.pace.attempts
        while True:
            left -= 1
            with _explaining(f"asking what became of {task.label!r} ({task.task_id})"):
                try:
                    rows = [row for page in pages(task.task_id) for row in _part(page, "DATA")]
                    if len(rows) >= at_least or not left:
                        return rows
                except globus_sdk.TransferAPIError as error:
                    if error.http_status not in (404, 409) or not left:
                        raise
            time.sleep(self.pace.poll_s)

    def _fail(self, kind: type[HarvestError], task: Task, what: str) -> None:
        failure = kind(f"{task.label!r} ({WEB}/{task.task_id}) {what}")
        log.error("%s", failure)
        self._failures.append(failure)

    def _show_progress(self, documents: Sequence[dict[str, Any]], waiting: int) -> None:
        """Say how far the tasks are, when that has changed, and what holds one up."""
        for document in documents:
            self._moved[document.get("task_id", "")] = document.get("bytes_transferred") or 0
            held_up = document.get("nice_status")
            if held_up not in (None, "", "OK", "Queued") and document["status"] == "ACTIVE":
                details = document.get("nice_status_short_description") or held_up
                self._say(document["task_id"], logging.WARNING, f"{document.get('label')} is held up: {details}")
        files = sum(
            (document.get("files_transferred") or 0) + (document.get("files_skipped") or 0) for document in documents
        )
        rate = sum(document.get("effective_bytes_per_second") or 0 for document in documents)
        self._say(
            "progress",
            logging.INFO,
            f"{len(self.state.done) + files:,} files accounted for, {sum(self._moved.values()) / 1e9:,.2f} GB moved, "
            f"{rate / 1e6:,.1f} MB/s; {len(documents)} tasks under way, {waiting} to be submitted",
        )

    def _say(self, about: str, level: int, text: str) -> None:
        if self._said.get(about) != text:
            self._said[about] = text
            log.log(level, "%s", text)


def check_local(files: Mapping[str, str], local: Path, destination: Collection) -> None:
    """Check that what was transferred can be seen on this machine.

    Parameters
    ----------
    files
        File → status.
    local
        The destination as this machine sees it.

    Raises
    ------
    InputError
        If a file is not there: read from such a place, every coadd would pass for an absent one.
    """
    missing = [name for name, status in files.items() if status == TRANSFERRED and not (local / name).is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} transferred files are not in {local.absolute()}, such as {missing[0]}: it is not what "
            f"{destination} is; correct the path, or where it is seen (desi.globus.path and desi.globus.local)"
        )


def write_record(path: Path, files: Iterable[WantedFile], statuses: Mapping[str, str]) -> None:
    """Write what became of every file: a CSV with the columns `RECORD`."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(RECORD)
        writer.writerows((file.survey, file.program, file.pix64, file.path, statuses[file.path]) for file in files)


def summary(files: Sequence[WantedFile], tasks: Sequence[Task], source: Collection, destination: Collection) -> str:
    """Return what a dry run shows: coadds by survey and program, and the tasks."""
    kinds = Counter((file.survey, file.program) for file in files)
    lines = [f"from  {source}", f"to    {destination}", "", f"{'survey':<10}{'program':<10}{'pixels':>9}{'files':>9}"]
    for (survey, program), n_files in sorted(kinds.items()):
        pixels = {file.pix64 for file in files if (file.survey, file.program) == (survey, program)}
        lines.append(f"{survey:<10}{program:<10}{len(pixels):>9,}{n_files:>9,}")
    lines += ["", f"{sum(len(task.files) for task in tasks):,} files to transfer, in {len(tasks)} tasks"]
    for task in tasks:
        lines += [f"  {task.label}: {len(task.files)} files", f"    {task.files[0]}", f"    ... {task.files[-1]}"]
    return "\n".join(lines)
