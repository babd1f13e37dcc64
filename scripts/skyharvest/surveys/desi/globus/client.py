"""A logged-in client of Globus's Transfer service, and error messages that say what to do.

With `skyharvest.surveys.desi.globus.transfer` the only module that imports globus_sdk.
"""

import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import globus_sdk
from globus_sdk.gare import GlobusAuthorizationParameters, to_gare
from globus_sdk.login_flows import CommandLineLoginFlowManager
from globus_sdk.token_storage import JSONTokenStorage, MemoryTokenStorage
from globus_sdk.transport import RetryConfig

from skyharvest.core.errors import ArchiveRefused, ArchiveUnavailable, HarvestError, InputError

log = logging.getLogger(__name__)

PROGRAM = "scripts/globus_transfer.py"
TOKEN_FILE = Path("~/.config/skyharvest/globus-tokens.json")

# The native client of the SDK's documentation: public, without a secret. GLOBUS_CLIENT_ID replaces it.
NATIVE_CLIENT = "61338d24-54d5-408f-a10d-66c06b59f6d2"
APP_NAME = "Skyharvest"


class _TerminalLogin(CommandLineLoginFlowManager):
    """Asks for a login in a terminal; elsewhere raises an error that says what to do."""

    def __init__(self, client: globus_sdk.NativeAppAuthClient, command: str, *, asks: bool) -> None:
        super().__init__(client, request_refresh_tokens=True, native_prefill_named_grant=APP_NAME)
        self._command = command
        self._asks = asks

    def run_login_flow(self, auth_parameters: GlobusAuthorizationParameters) -> globus_sdk.OAuthTokenResponse:
        scopes = " ".join(auth_parameters.required_scopes or [])
        if not (self._asks and sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
            raise ArchiveRefused(
                f"Globus wants a login with consent to {scopes}"
                + (f" ({auth_parameters.session_message})" if auth_parameters.session_message else "")
                + f": log in once, in a terminal, with `{self._command}`, and run this again. Without a person: set "
                "GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET of a confidential client (docs/globus.md)"
            )
        log.info("Globus wants a login with consent to %s", scopes)
        return super().run_login_flow(auth_parameters)


def command_to_log_in(
    release: str,
    *,
    destination: tuple[str, str],
    source: tuple[str | None, str | None] = (None, None),
    token_file: Path = TOKEN_FILE,
    program: str = PROGRAM,
) -> str:
    """Return the command that logs in for a transfer; source and destination are UUID and path of a collection."""
    words = ["python", program, "--login", "--release", release]
    for option, value in zip(("--source-endpoint", "--source-path"), source, strict=True):
        words += [option, value] if value else []
    if token_file != TOKEN_FILE:
        words += ["--token-file", str(token_file)]
    return shlex.join([*words, *destination])


@contextmanager
def connect(
    token_file: Path,
    login_command: str,
    *,
    anew: bool = False,
    asks: bool = True,
    retries: int = 10,
    retry_max_s: float = 120.0,
) -> Iterator[globus_sdk.TransferClient]:
    """Yield a logged-in client of the Transfer service.

    With GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET in the environment it is a confidential client, whose tokens stay in
    memory. Otherwise it acts for the user who has logged in, with tokens in a file that only the user can read. If
    the service requires more consent, the user is asked; a confidential client gives it itself.

    Parameters
    ----------
    token_file
        Created, or made private, if necessary.
    login_command
        Command to show when a login is needed and there is no terminal.
    anew
        Log in again even with a valid login, which may have been revoked.
    asks
        Whether a person in a terminal is asked to log in; else that raises, as without a terminal.
    retries, retry_max_s
        The SDK's retries of a request, with backoff from 0.5 s up to ``retry_max_s``, and Retry-After.

    Raises
    ------
    InputError
        If there is a secret without an ID, or the token file is invalid.
    ArchiveRefused
        If a login is needed and there is no terminal, or Globus refuses it.
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
            login_flow_manager=_TerminalLogin(native, login_command, asks=asks),
            request_refresh_tokens=True,
            auto_redrive_gares=True,
        )
        app = globus_sdk.UserApp(APP_NAME, login_client=native, config=config)
    retry = RetryConfig(max_retries=retries, max_sleep=retry_max_s)
    with app, globus_sdk.TransferClient(app=app, retry_config=retry) as client:
        with explaining("logging in"):
            app.login(force=anew)
        yield client


def _private_storage(token_file: Path) -> JSONTokenStorage:
    """Return the SDK's token storage; its file gets mode 0600, its directory 0700."""
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
def explaining(action: str) -> Iterator[None]:
    """Turn the SDK's errors into errors that say what to do."""
    try:
        yield
    except globus_sdk.GlobusAPIError as error:
        raise _explained(error, action) from error
    except globus_sdk.NetworkError as error:
        raise ArchiveUnavailable(f"{action}: Globus cannot be reached ({error}); tasks under way go on") from error
    except globus_sdk.GlobusError as error:  # invalid tokens, such as another person's
        raise ArchiveRefused(f"{action}: {error}: remove the token file, and log in again") from error


def _explained(error: globus_sdk.GlobusAPIError, action: str) -> HarvestError:
    message = f"{action}: Globus answers {error.http_status} {error.code or ''}: {error.message or error.http_reason}"
    if error.http_status == 429 or error.http_status >= 500:
        return ArchiveUnavailable(f"{message}; tasks under way go on")
    if isinstance(error, globus_sdk.AuthAPIError) or error.http_status == 401:
        return ArchiveRefused(
            f"{message}: log in again (globus_transfer.py --login), or correct GLOBUS_CLIENT_ID and "
            "GLOBUS_CLIENT_SECRET"
        )
    gare = to_gare(error)
    if gare is not None:
        scopes = " ".join(gare.authorization_parameters.required_scopes or [])
        return ArchiveRefused(f"{message}: it wants consent to {scopes}, which this login cannot give")
    if error.code == "EndpointNotFound":
        return InputError(f"{message}: correct the collection's UUID")
    return ArchiveRefused(message)


def part(response: globus_sdk.GlobusHTTPResponse, key: str) -> Any:
    """Return a part of an answer, after a check that it comes from this service."""
    if not isinstance(response.data, dict) or key not in response.data:
        raise ArchiveUnavailable(f"Globus sends no {key!r} but {response.text[:80]!r}: something else answers for it")
    return response.data[key]
