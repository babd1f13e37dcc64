"""Proxies, as the environment names them: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``; exceptions: ``NO_PROXY``.

In small letters they mean the same, and come first. A name or password in an address goes to the proxy, and to no
message.
"""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from skyharvest.core.errors import InputError


@dataclass(frozen=True)
class Proxy:
    """A proxy.

    Attributes
    ----------
    address
        Such as ``http://proxy.example.org:3128``.
    variable
        The one that names it, such as ``HTTPS_PROXY``.
    login
        ``name:password``, or empty.
    """

    address: str
    variable: str
    login: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.address} ({self.variable})"


def proxy_of(url: str) -> Proxy | None:
    """Return the proxy for an address, None if there is none for it. One of this machine's own has none, ever.

    Raises
    ------
    InputError
        If the environment names something else than an HTTP proxy.
    """
    parts = urlsplit(url)
    named = getproxies_environment()
    scheme = parts.scheme if named.get(parts.scheme) else "all"
    if not named.get(scheme) or _is_here(parts.hostname or "") or proxy_bypass_environment(parts.netloc, named):
        return None
    variable = f"{scheme.upper()}_PROXY"
    given = named[scheme] if "://" in named[scheme] else f"http://{named[scheme]}"
    try:
        proxy = urlsplit(given)
        host, port = proxy.hostname, proxy.port
    except ValueError:
        host, port = None, None
    if proxy.scheme not in ("http", "https") or not host:
        raise InputError(
            f"the environment's {variable} is no address of an HTTP proxy; expected one such as "
            "http://proxy.example.org:3128. Where none is needed: unset it, or name the archive's host in NO_PROXY"
        )
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else ""
    address = f"{proxy.scheme}://{f'[{host}]' if ':' in host else host}"
    return Proxy(f"{address}:{port}" if port else address, variable, login)


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine, which no proxy can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
