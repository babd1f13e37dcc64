"""Settings of a harvest that are not of one survey, and what the checks of all surveys' settings share.

A survey's settings stand in its module ``settings``: the section ``Settings``, and if there is something to check
between them, a function ``problems(given, registry)`` that yields a `Problem` for each mistake.
"""

import difflib
import functools
import operator
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from skyharvest.core.paths import expand_user
from skyharvest.core.settings import Distinct, Number, section, setting
from skyharvest.core.words import show
from skyharvest.harvest.releases import REGISTRY, TRANSPORTS, ArchivedRelease, survey_of, wrong_survey

Problem = tuple[str, str]
"""Dotted key, and what is wrong with it."""

Again = Annotated[list[Literal["unreadable", "absent"]], Distinct()]


def forbidden_is_absent() -> Any:
    """Return the setting of that name, which every survey that reads from a web server has."""
    return setting(
        False,
        "Whether a file that the server refuses (HTTP 403) is recorded as absent, as long as the release's list of "
        "files can be read. A bucket without permission to list its keys answers so for files that it does not have.",
        outcome=False,
    )


@section
class Match:
    """How near a spectrum has to be."""

    radius_arcsec: Number = setting(
        1.0, "A spectrum within this great-circle distance of a position, in arcseconds, is kept.", gt=0, le=60
    )
    report_radius_arcsec: Number = setting(
        3.0,
        "Fibers within this distance, in arcseconds, are counted in the ledger, and the nearest one's "
        "distance is given; at least radius_arcsec.",
        gt=0,
        le=60,
    )


class Given:
    """The settings of a configuration, or of a section, but for those that are wrong in themselves.

    Parameters
    ----------
    config
        With every key filled in.
    bad
        Dotted keys that are wrong in themselves; a value of a list has its number as the last part.
    """

    def __init__(self, config: dict[str, Any], bad: Collection[str], prefix: str = "") -> None:
        self._config, self._bad, self._prefix = config, bad, prefix

    def __call__(self, key: str) -> Any:
        """Return the value of a dotted key; None if it, or a key in it, is wrong; a list without its wrong values."""
        parts = f"{self._prefix}{key}".split(".")
        if any(".".join(parts[:n]) in self._bad for n in range(1, len(parts) + 1)):
            return None
        value = functools.reduce(operator.getitem, parts, self._config)
        if isinstance(value, dict) and any(key.startswith(f"{'.'.join(parts)}.") for key in self._bad):
            return None
        if isinstance(value, list):
            return [one for number, one in enumerate(value) if f"{self._prefix}{key}.{number}" not in self._bad]
        return value

    def of(self, name: str) -> "Given":
        """Return those of a section."""
        return Given(self._config, self._bad, f"{name}.")


def release_problems(
    kind: type[ArchivedRelease], given: Given, registry: dict[str, Any], made: Path | None = None
) -> Iterator[Problem]:
    """Yield what is wrong with the release and the archive of a survey.

    Parameters
    ----------
    made
        A directory that the same run makes, so that it need not be there.
    """
    release, archive = given("release"), given("archive")
    names = [name for name, entry in registry.items() if survey_of(entry) == kind.survey]
    if release and release not in registry and kind.of_directory(release, archive or ""):
        pass  # it needs no entry
    elif release and release not in registry:
        of_specprod = [name for name in names if registry[name].get("specprod") == release]
        near = f"; did you mean {of_specprod[0]!r}?" if of_specprod else _suggest(release, names)
        other = f"; {kind.in_directories}" if kind.in_directories else ""
        yield (
            "release",
            f"found {show(release)}{near}; config/{REGISTRY.name} has: {', '.join(names)}; another one "
            f"is added there, as an entry with the paths of its files{other}",
        )
    elif release and release not in names:
        yield "release", f"found {show(release)}, {wrong_survey(release, registry, kind.survey)}"
    elif release and archive in TRANSPORTS and archive in kind.ways and archive not in registry[release]["roots"]:
        roots = ", ".join(registry[release]["roots"]) or "none"
        yield (
            "archive",
            f"found {archive!r}, which release {release!r} does not have (in config/{REGISTRY.name}: {roots}); "
            f"give the path or URL of a mirror, the directory that holds {kind.holds}",
        )
    is_made = archive and made and expand_user(archive).resolve() == made.resolve()
    if archive and not is_made and (problem := archive_problem(archive, kind.ways)):
        yield "archive", problem


def archive_problem(archive: str, ways: Sequence[str]) -> str | None:
    """Return what is wrong with where something is to be read from: words that stand for a place, a path, or a URL."""
    if "://" in archive:
        return _url_problem(archive, ways)
    if archive in ways or expand_user(archive).is_dir():
        return None
    if "/" in archive:
        return f"found {archive!r}, but there is no such directory (the working directory is {Path.cwd()})"
    return (
        f"found {archive!r}{_suggest(archive, list(ways))}; expected {_either(ways)}, or the path or URL of a mirror "
        "(and there is no directory of that name here)"
    )


def _url_problem(url: str, ways: Sequence[str]) -> str | None:
    """Return what is wrong with a mirror's address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises where it is not a number
    except ValueError as error:
        return f"found {show(url)}, which is not a valid URL: {error}"
    if "@" in parts.netloc:
        return f"found {show(url)}: no user names or passwords in a configuration, which ends up in logs and results"
    if parts.scheme not in ("http", "https") or not host:
        return (
            f"found {show(url)}; expected {_either(ways)}, a path, or an address that begins with https:// or http://"
        )
    if parts.query or parts.fragment:
        return f"found {show(url)}; expected an address without ? and #, to which paths can be added"
    return None


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if words else "a directory"


def _suggest(word: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(word.lower(), valid, n=1, cutoff=0.7)  # dr2 is no misspelt edr
    return f"; did you mean {near[0]!r}?" if near else ""
