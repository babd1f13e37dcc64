"""Globus on loopback: the Transfer and Auth calls that are used here, which really copy files between directories.

Answers have the form of docs.globus.org/api/transfer and …/api/auth. globus_sdk reaches it by its own settings, see
`Service.environment`.
"""

import json
import shutil
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TRANSFER, AUTH = "transfer.api.globus.org", "auth.globus.org"
SCOPES = {TRANSFER: "urn:globus:auth:scope:transfer.api.globus.org:all", AUTH: "openid"}
IDENTITY = "99999999-9999-4999-8999-999999999999"
CLIENT, SECRET = "88888888-8888-4888-8888-888888888888", "s3cret-of-the-client"
BASIC = b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
PAGE = 3  # entries of a list per answer
LEVELS = {None, 0, 1, 2, 3}


@dataclass
class Service:
    """A running service.

    Attributes
    ----------
    url
        Its root, ``http://127.0.0.1:port``.
    collections
        UUID → directory that is the collection's ``/``.
    requests
        (method, path without query) of each request, in order.
    submitted
        The accepted transfer documents.
    tasks
        Task ID → task document.
    misbehave
        Called with the handler and the number of the request to its path (1, 2, …); returns True if it has answered.
    skip
        Called with a full source path; returns the code of an error that the file is skipped for, or None.
    fate
        Called with a transfer document when its task ends; returns the code of a fatal error (then half of its files
        are copied), or None.
    polls, status, nice_status
        Times that a task is ``ACTIVE`` and ``OK``, or what else, when it is looked at. It copies at its end.
    consent_wanted, consents
        Collection → scope that it wants consent to; scopes that were consented to.
    left
        Task ID → times that it will still be so.
    refresh_tokens
        Those that are good.
    secrets
        Everything that must not be seen anywhere.
    """

    url: str
    collections: Mapping[str, Path]
    requests: list[tuple[str, str]] = field(default_factory=list)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    misbehave: Callable[[Any, int], bool] | None = None
    skip: Callable[[str], str | None] = lambda _path: None
    fate: Callable[[dict[str, Any]], str | None] = lambda _document: None
    polls: int = 0
    status: str = "ACTIVE"
    nice_status: str = "OK"
    consent_wanted: dict[str, str] = field(default_factory=dict)
    consents: set[str] = field(default_factory=set)
    secrets: list[str] = field(default_factory=lambda: [SECRET, BASIC])
    left: dict[str, int] = field(default_factory=dict)
    refresh_tokens: set[str] = field(default_factory=set)
    _access: dict[str, float] = field(default_factory=dict)
    _codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    _lists: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    _task_of: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the settings by which globus_sdk talks to this service instead of globus.org."""
        return {
            "GLOBUS_SDK_SERVICE_URL_TRANSFER": f"{self.url}/",
            "GLOBUS_SDK_SERVICE_URL_AUTH": f"{self.url}/",
            "NO_PROXY": "127.0.0.1",
        }

    def count(self, method: str, path: str) -> int:
        return sum(asked == (method, path) for asked in self.requests)

    def token(self, server: str, *, refresh: bool, lifetime_s: int = 7200) -> dict[str, Any]:
        """Issue an access token, and a refresh token with it."""
        made = {"access_token": f"access-{uuid.uuid4()}", "scope": SCOPES[server], "resource_server": server}
        made |= {"expires_in": lifetime_s, "token_type": "Bearer"}
        self._access[made["access_token"]] = time.time() + lifetime_s
        if refresh:
            made["refresh_token"] = f"refresh-{server}-{uuid.uuid4()}"
            self.refresh_tokens.add(made["refresh_token"])
        self.secrets += [value for name, value in made.items() if name in ("access_token", "refresh_token")]
        return made

    def write_tokens(self, path: Path, **how: Any) -> None:
        """Write the token file of somebody who has logged in."""
        from globus_sdk.token_storage import JSONTokenStorage, TokenStorageData

        tokens = {}
        for server in SCOPES:
            made = self.token(server, refresh=True, **how)
            expires = int(time.time()) + made.pop("expires_in")
            tokens[server] = TokenStorageData(**made, identity_id=IDENTITY, expires_at_seconds=expires)
        JSONTokenStorage(path).store_token_data_by_resource_server(tokens)

    # --- Auth

    def authorize(self, query: dict[str, str]) -> tuple[int, Any]:
        """Play the page on which a person logs in: what it shows is the code."""
        code = f"code-{uuid.uuid4()}"
        self._codes[code] = (query["client_id"], query["scope"])
        return 200, {"code": code}

    def grant(self, form: dict[str, str], credentials: str) -> tuple[int, Any]:
        """Answer ``POST /v2/oauth2/token``."""
        kind, audience, scope = form["grant_type"], form.get("client_id", ""), form.get("scope", "")
        if kind == "client_credentials" and credentials != f"Basic {BASIC}":
            return 401, {"error": "invalid_client", "errors": [{"status": "401", "code": "UNAUTHORIZED"}]}
        if kind == "refresh_token":
            if form["refresh_token"] not in self.refresh_tokens:
                return 400, {"error": "invalid_grant"}
            renewed = self.token(form["refresh_token"].split("-")[1], refresh=False)
            return 200, renewed | {"refresh_token": form["refresh_token"], "other_tokens": []}
        if kind == "authorization_code":
            audience, scope = self._codes.pop(form["code"])
        self.consents |= {wanted for wanted in self.consent_wanted.values() if wanted in scope}
        servers = [server for server, wanted in SCOPES.items() if wanted in scope]
        answer, *others = (self.token(server, refresh=kind == "authorization_code") for server in servers)
        answer["other_tokens"] = others
        if kind == "authorization_code":
            import jwt

            now = int(time.time())
            about = {"sub": IDENTITY, "aud": audience, "iss": self.url, "iat": now, "exp": now + 600}
            answer["id_token"] = jwt.encode(about, _signing_key(), algorithm="RS256", headers={"kid": "1"})
        return 200, answer

    # --- Transfer

    def list_directory(self, endpoint: str, path: str) -> tuple[int, Any]:
        refusal = self.refusal(endpoint)
        if refusal:
            return refusal
        directory = self.resolve(endpoint, path)
        if not directory.is_dir():
            return _error(404, "ClientError.NotFound", f"Directory '{path}' not found on endpoint '{endpoint}'")
        names = sorted(directory.iterdir())
        entries = [
            {"name": entry.name, "type": "dir" if entry.is_dir() else "file", "size": entry.stat().st_size}
            for entry in names
        ]
        return 200, {"DATA_TYPE": "file_list", "DATA": entries, "path": path, "endpoint": endpoint}

    def submit(self, document: dict[str, Any]) -> tuple[int, Any]:
        """Accept a transfer; one with a known submission ID is the same task."""
        source, destination = document["source_endpoint"], document["destination_endpoint"]
        refusal = self.refusal(source) or self.refusal(destination)
        if refusal:
            return refusal
        label = document.get("label", "")
        if len(label) > 128 or label != label.strip() or "\n" in label or document.get("sync_level") not in LEVELS:
            return _error(400, "ClientError.BadRequest", "bad label or sync level")
        submission, code = document["submission_id"], "Duplicate"
        if submission not in self._task_of:
            code, task_id = "Accepted", str(uuid.uuid4())
            self._task_of[submission] = task_id
            self.left[task_id] = self.polls
            self.submitted.append(document)
            zeros = ("files_transferred", "files_skipped", "subtasks_skipped_errors", "bytes_transferred", "faults")
            self.tasks[task_id] = {
                "DATA_TYPE": "task",
                "task_id": task_id,
                "type": "TRANSFER",
                "status": "ACTIVE",
                "label": label,
                "nice_status": "Queued",
                "fatal_error": None,
                "history_deleted": False,
                "is_paused": False,
                "files": len(document["DATA"]),
                "effective_bytes_per_second": 0,
                **dict.fromkeys(zeros, 0),
            }
            self.tasks[task_id]["_document"] = document
        task_id = self._task_of[submission]
        return 202 if code == "Accepted" else 200, {
            "DATA_TYPE": "transfer_result",
            "code": code,
            "message": "",
            "task_id": task_id,
            "submission_id": submission,
        }

    def look_at(self, task_id: str) -> tuple[int, Any]:
        """Return a task's document; it ends when it has been looked at often enough."""
        if task_id not in self.tasks:
            return _error(404, "TaskNotFound", f"no task {task_id}")
        task = self.tasks[task_id]
        if task_id not in self._lists:
            task |= {"status": self.status, "nice_status": self.nice_status}
            if self.left[task_id] <= 0:
                self._finish(task)
            self.left[task_id] -= 1
        return 200, {name: value for name, value in task.items() if name != "_document"}

    def _finish(self, task: dict[str, Any]) -> None:
        document = task["_document"]
        source, destination = document["source_endpoint"], document["destination_endpoint"]
        items, fatal = document["DATA"], self.fate(document)
        successful: list[dict[str, Any]] = []
        skipped: list[dict[str, Any]] = []
        for item in items[: len(items) // 2] if fatal else items:
            paths = {name: item[name] for name in ("source_path", "destination_path")}
            here, there = (
                self.resolve(source, paths["source_path"]),
                self.resolve(destination, paths["destination_path"]),
            )
            code = self.skip(paths["source_path"]) or (None if here.is_file() else "FILE_NOT_FOUND")
            if code and document.get("skip_source_errors"):
                skipped.append({"DATA_TYPE": "skipped_error", **paths, "error_code": code, "error_details": "500"})
            elif code:
                fatal = code
                break
            elif there.is_file() and document.get("sync_level") is not None and _equal(here, there):
                task["files_skipped"] += 1
            else:
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(here, there)
                task["bytes_transferred"] += here.stat().st_size
                successful.append({"DATA_TYPE": "successful_transfer", **paths})
        task["files_transferred"], task["subtasks_skipped_errors"] = len(successful), len(skipped)
        task["status"] = "FAILED" if fatal else "SUCCEEDED"
        task["nice_status"] = None
        task["fatal_error"] = {"code": fatal, "description": "as the test wants it"} if fatal else None
        self._lists[task["task_id"]] = {"successful_transfers": successful, "skipped_errors": skipped}

    def page(self, task_id: str, kind: str, marker: str) -> tuple[int, Any]:
        """Return a page of what became of a task's files."""
        if task_id not in self._lists:
            return _error(409, "Conflict", "the task has not ended")
        entries, start = self._lists[task_id][kind], int(marker or 0)
        more = str(start + PAGE) if start + PAGE < len(entries) else None
        return 200, {"DATA_TYPE": kind, "DATA": entries[start : start + PAGE], "next_marker": more}

    def resolve(self, endpoint: str, path: str) -> Path:
        """Return where a path of a collection is; what does not begin with / is relative to its home."""
        return self.collections[endpoint] / (path if path.startswith("/") else f"home/USER/{path}").lstrip("/")

    def refusal(self, endpoint: str) -> tuple[int, Any] | None:
        if endpoint not in self.collections:
            return _error(404, "EndpointNotFound", f"No such endpoint '{endpoint}'")
        scope = self.consent_wanted.get(endpoint)
        if scope and scope not in self.consents:
            status, body = _error(403, "ConsentRequired", "Missing required data_access consent")
            return status, body | {"required_scopes": [f"{SCOPES[TRANSFER]}[*{scope}]"]}
        return None

    def answer(self, handler: "Handler", method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Return the status and JSON body of the answer to a request."""
        if path == "/.well-known/openid-configuration":
            return 200, {"jwks_uri": f"{self.url}/jwk.json", "id_token_signing_alg_values_supported": ["RS256"]}
        if path == "/jwk.json":
            return 200, {"keys": [_public_key()]}
        authorization = handler.headers.get("Authorization", "")
        if path == "/v2/oauth2/authorize":
            return self.authorize(query)
        if path == "/v2/oauth2/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            return self.grant(form, authorization)
        if self._access.get(authorization.removeprefix("Bearer "), 0) < time.time():
            return _error(401, "AuthenticationFailed", "Token is not active")
        parts = path.removeprefix("/v0.10/").split("/")
        match (method, *parts):
            case ("GET", "submission_id"):
                return 200, {"DATA_TYPE": "submission_id", "value": str(uuid.uuid4())}
            case ("POST", "transfer"):
                return self.submit(json.loads(body))
            case ("GET", "task", task_id):
                return self.look_at(task_id)
            case ("GET", "task", task_id, ("successful_transfers" | "skipped_errors") as kind):
                return self.page(task_id, kind, query.get("marker", ""))
            case ("GET", "operation", "endpoint", endpoint, "ls"):
                return self.list_directory(endpoint, query["path"])
        return _error(404, "ClientError.NotFound", f"no such resource: {path}")


def _equal(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"code": code, "message": message, "request_id": "r", "resource": "/v0.10"}


@cache
def _signing_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _public_key() -> dict[str, Any]:
    from jwt.algorithms import RSAAlgorithm

    return RSAAlgorithm.to_jwk(_signing_key().public_key(), as_dict=True) | {"kid": "1", "alg": "RS256", "use": "sig"}


class Handler(BaseHTTPRequestHandler):
    """Of one connection; the service is the server's."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.respond("GET")

    def do_POST(self) -> None:
        self.respond("POST")

    def respond(self, method: str) -> None:
        service: Service = self.server.service  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:  # type: ignore[attr-defined]
            service.requests.append((method, parts.path))
            self.body, self.query = body, query
            if service.misbehave and service.misbehave(self, service.count(method, parts.path)):
                return
            self.reply(*service.answer(self, method, parts.path, query, body))

    def reply(self, status: int, document: Any, **headers: str) -> None:
        """Send a JSON document, or text as an HTML page."""
        html = isinstance(document, str)
        data = document.encode() if html else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def drop(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serve(collections: Mapping[str, Path]) -> Iterator[Service]:
    """Serve collections on a free loopback port until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        service = Service(f"http://127.0.0.1:{server.server_port}", collections)
        server.service, server.lock = service, threading.Lock()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
