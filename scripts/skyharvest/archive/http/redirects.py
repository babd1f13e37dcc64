"""Redirects: where a server sends requests on for good, those that follow go there at once.

Source: RFC 9110 §15.4 (301 and 308 are permanent).
"""

import posixpath
from typing import Any
from urllib.parse import urljoin, urlsplit

PERMANENT = (301, 308)


class Redirects:
    """Beginnings of addresses that have moved, as one client has learnt them."""

    def __init__(self) -> None:
        self._moved: dict[str, str] = {}
        self._sending: set[str] = set()

    def sends_on(self, url: str) -> bool:
        """Tell whether an address is of a server that has sent requests on, and not for good."""
        return urlsplit(url).netloc in self._sending

    def follow(self, url: str) -> str:
        """Return where an address is now, as far as is known."""
        return next((new + url[len(old) :] for old, new in self._moved.items() if url.startswith(old)), url)

    def learn(self, url: str, history: Any) -> None:
        """Learn from the hops of an answer (urllib3's ``RequestHistory``): what the addresses end in stays the same."""
        if not history:
            return
        if any(hop.status not in PERMANENT for hop in history):
            self._sending.add(urlsplit(url).netloc)
            return
        now = url
        for hop in history:
            now = urljoin(now, hop.redirect_location)
        same = posixpath.commonprefix([url[::-1], now[::-1]])[::-1]
        same = same[same.find("/") :] if "/" in same else ""
        if same and not same.startswith("//"):  # else the server's own name is all that they share
            old, new = (address.removesuffix(same) + "/" for address in (url, now))
            self._moved = {**self._moved, old: new}  # another thread may be going through the former one
