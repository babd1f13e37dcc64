"""Numbers and names as messages say them."""

import difflib
from collections.abc import Collection, Iterable, Sequence


def counted(number: int, thing: str) -> str:
    """Return a number of things: ``1 error``, ``2 errors``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return seconds as a person would say them: ``50 s``, ``4 min``, ``3 h 12 min``, ``2 d 5 h``."""
    whole = round(seconds)
    if whole < 100:
        return f"{max(whole, 0)} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def clock(seconds: float) -> str:
    """Return seconds as `duration` does, with a decimal where they are few: ``7.8 s``."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def size(n_bytes: float) -> str:
    """Return a number of bytes as a person would say it: ``12.3 MB``; powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}" if unit != "B" else f"{n_bytes:.0f} B"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB" if n_bytes < 1000 else f"{n_bytes:,.0f} TB"


def megabytes(n_bytes: int) -> str:
    """Return a number of bytes in MB (10⁶)."""
    return f"{n_bytes / 1e6:,.1f} MB"


def size_in_words(n_bytes: int, digits_of_mb: int = 1) -> str:
    """Return a number of bytes in TB, GB or MB (10¹², 10⁹, 10⁶)."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes / 1e6:.{digits_of_mb}f} MB"


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or a list of all valid words where none is near."""
    words = list(valid)
    near = difflib.get_close_matches(word.lower(), words, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; expected one of: {', '.join(words)}"


def show(value: object) -> str:
    """Return a value for a message, without the user name and password of a URL."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    scheme, colon, rest = text.partition("://")
    if colon and "@" in rest:
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return text


def distinct_names(names: Sequence[str], taken: Collection[str]) -> list[str]:
    """Return the names, each once, with ``csv_`` before those that are taken."""
    distinct = []
    for given in names:
        name = given
        while name in taken or (name != given and name in names):
            name = f"csv_{name}"
        distinct.append(name)
    return distinct
