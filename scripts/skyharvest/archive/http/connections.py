"""Pools of connections to servers, direct or through a proxy; and what a connection that fails means."""

import ssl
import threading
from collections.abc import Mapping
from typing import Any

from skyharvest.archive.http.patience import Patience
from skyharvest.archive.http.proxies import Proxy, proxy_of
from skyharvest.archive.http.response import TryAgain
from skyharvest.core.errors import ArchiveRefused

MAX_REDIRECTS = 5
UNKNOWN_AUTHORITY = (
    "is of an authority that is not known here",
    "let SSL_CERT_FILE name a file with that authority's own certificate",
)
CERTIFICATES = {  # OpenSSL's numbers: man verify
    9: ("is not valid yet", "set this machine's clock"),
    10: ("has expired", "set this machine's clock if it is wrong; else wait until the archive has a new one"),
    18: ("is self-signed", "let SSL_CERT_FILE name a file with it, if it is the right one"),
    19: UNKNOWN_AUTHORITY,
    20: UNKNOWN_AUTHORITY,
    62: ("is for another host", "correct the address; behind a login page of a network: log in first"),
    64: ("is for another address", "give the name of the host, not its number"),
}


class Connections:
    """Open connections, kept for the next requests.

    Parameters
    ----------
    most
        Open ones to a host, at most.
    headers
        Of every request.
    """

    def __init__(self, most: int, patience: Patience, headers: Mapping[str, str]) -> None:
        import urllib3  # noqa: PLC0415 (0.1 s that jobs on local files need not spend)

        self._urllib3 = urllib3
        self._lock = threading.Lock()
        self._pools: dict[Proxy | None, Any] = {}
        self._how: dict[str, Any] = {
            "maxsize": most,
            "block": True,
            "cert_reqs": "CERT_REQUIRED",
            "headers": dict(headers),
            "timeout": urllib3.Timeout(connect=patience.connect_s, read=patience.read_s),
            # Retries are ours (they must know ranges and Retry-After); redirects are urllib3's.
            "retries": urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=MAX_REDIRECTS),
        }

    def to(self, url: str) -> Any:
        """Return urllib3's pools for an address."""
        proxy = proxy_of(url)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._open(proxy)
            return self._pools[proxy]

    def _open(self, proxy: Proxy | None) -> Any:
        if proxy is None:
            return self._urllib3.PoolManager(**self._how)
        login = self._urllib3.make_headers(proxy_basic_auth=proxy.login) if proxy.login else None
        return self._urllib3.ProxyManager(proxy.address, proxy_headers=login, **self._how)

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()


def network_error(url: str, error: Exception) -> TryAgain | ArchiveRefused:
    """Return what an error of urllib3's means: whether another attempt may help."""
    reason: Any = getattr(error, "reason", None) or error
    cause: Any = reason.args[0] if getattr(reason, "args", None) else reason
    if isinstance(cause, ssl.SSLCertVerificationError):
        what, do = CERTIFICATES.get(cause.verify_code, (f"is no good ({cause.verify_message})", "ask the archive"))
        return ArchiveRefused(f"{url}: the server's certificate does not verify: it {what}: {do}")
    if "too many redirects" in str(reason):
        return ArchiveRefused(f"{url}: the server sends from one address to the next, more than {MAX_REDIRECTS} times")
    text = f"{type(reason).__name__}: {str(reason).rsplit(': ', 1)[-1]}"
    if type(reason).__name__ == "ProxyError":
        why = str(reason.original_error)
        if refused := next((status for status in (401, 403, 407) if f" {status} " in f"{why} "), None):
            return proxy_refusal(url, refused)
        text = f"{proxy_of(url)}: {why.rsplit(': ', 1)[-1]}"
    failure = TryAgain(text)
    failure.hung_up = type(reason).__name__ == "ProtocolError"
    return failure


def proxy_refusal(url: str, status: int) -> ArchiveRefused:
    """Return the error that a proxy lets nobody through, or not without a name and a password."""
    do = "correct the variable, or name the archive's host in NO_PROXY"
    if status == 407:
        do = "give it the name and password, as in http://name:password@host:port"
    return ArchiveRefused(f"{url}: {proxy_of(url)} refuses (HTTP {status}): {do}")
