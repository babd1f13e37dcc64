"""Data releases: the registry ``config/releases.yaml``, and what the releases of all surveys have in common.

A survey's own kind of release, its function ``load_release``, and the section `Entry` that says how an entry of the
registry is written, stand in ``surveys/<name>/release.py``. `skyharvest.config.registry` checks the entries.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from skyharvest.core.errors import Absent, InputError
from skyharvest.core.paths import CONFIG, expand_user
from skyharvest.core.settings import section, setting
from skyharvest.core.words import nearest
from skyharvest.core.yaml_file import read_yaml

if TYPE_CHECKING:
    from skyharvest.archive.archive import Archive

REGISTRY = CONFIG / "releases.yaml"
SCHEMA = CONFIG / "schema" / "releases.schema.json"
TRANSPORTS = ("https", "s3", "local")
"""Names of roots in the registry; any other ``archive`` is itself the path or URL of a mirror."""

MAX_LISTED = 12  # files in a message
_UNSAID = "desi"  # the survey of an entry that names none
_UNUSABLE = (LookupError, TypeError, ValueError, AttributeError)  # raised by an entry with a mistake


def address(meaning: str) -> Any:
    """Return a field of `Roots` for an address."""
    without = "It begins with http:// or https://, has no user name, and does not end in a slash."
    return setting("", f"{meaning} {without}", pattern="^https?://[^@]+[^/]$")


def template(of: str) -> Any:
    """Return a field for the template of a path: of what file."""
    return setting(MISSING, f"Path, relative to a root, of {of}.", pattern="^[^/]")


@section
class Roots:
    """Directory or address that the paths are relative to, by transport."""

    https: str = address("Address of the web archive.")
    local: str = setting("", "Directory, absolute or relative to the working directory.", min_length=1)


@dataclass(frozen=True)
class ArchivedRelease:
    """What every survey's data release has.

    Attributes
    ----------
    survey
        The survey's name: what an entry of the registry says it is of, and the configuration's section.
    ways
        What the survey's ``archive`` may say besides a path or URL.
    holds
        What lies directly below a root.
    templates
        What its paths are made of, for a message.
    in_directories
        For a message: which releases need no entry, as a directory of this machine has them; "" if there are none.
    name
        Its key in the registry, such as ``dr1``.
    roots
        Directory or address that its paths are relative to, by transport.
    paths
        Templates of paths relative to a root.
    """

    survey: ClassVar[str]
    ways: ClassVar[tuple[str, ...]]
    holds: ClassVar[str]
    templates: ClassVar[str]
    in_directories: ClassVar[str] = ""

    name: str
    roots: Mapping[str, str]
    paths: Mapping[str, str]

    @classmethod
    def of_entry(cls, name: str, entry: dict[str, Any]) -> Self:
        """Return the release that an entry of the registry describes; each of its paths has been formed once."""
        raise NotImplementedError

    @classmethod
    def of_directory(cls, name: str, archive: str) -> Self | None:
        """Return a release that no registry has to describe, as it stands in a directory of this machine; or None."""
        return None

    def root_if_any(self, archive: str) -> str:
        """Return what `root` does, or "" where the registry has no root of that transport."""
        try:
            return self.root(archive)
        except InputError:
            return ""

    def root(self, archive: str) -> str:
        """Return the directory or URL, without a trailing slash, that the release's paths are relative to.

        Parameters
        ----------
        archive
            One of `TRANSPORTS`, or else the path (``~`` is expanded) or URL of a mirror.

        Raises
        ------
        InputError
            If the registry has no root of that transport for this release.
        """
        if archive in TRANSPORTS:
            if archive not in self.roots:
                known = ", ".join(self.roots) or "none"
                raise InputError(
                    f"release {self.name!r} has no {archive!r} root in {REGISTRY.name} (it has: {known}); "
                    f"give the path or URL of a mirror that holds {self.holds}"
                )
            return self.roots[archive]
        if "://" in archive:
            return archive.rstrip("/")
        return str(expand_user(archive))


_Release = TypeVar("_Release", bound=ArchivedRelease)


def load_release_of(kind: type[_Release], name: str, registry: Path | None = None, archive: str = "") -> _Release:
    """Return a survey's release of that name. (`skyharvest.config.registry` says more of a mistake.)

    Parameters
    ----------
    registry
        ``config/releases.yaml`` unless given.
    archive
        Where it is read from: a directory may have releases that the registry does not have; see
        `ArchivedRelease.of_directory`.

    Raises
    ------
    InputError
        If the survey has no such release, or its entry lacks something, or a path's template asks for an unknown word.
    """
    path = registry or REGISTRY
    entries = read_yaml(path)
    if name not in entries and (found := kind.of_directory(name, archive)):
        return found
    if name not in entries:
        of_survey = [key for key, entry in entries.items() if survey_of(entry) == kind.survey]
        raise InputError(f"no release {name!r}{nearest(name, of_survey)} (see {path})")
    if survey_of(entries[name]) != kind.survey:
        raise InputError(f"{name!r} is {wrong_survey(name, entries, kind.survey)} (see {path})")
    try:
        return kind.of_entry(name, entries[name])
    except _UNUSABLE as error:
        raise InputError(
            f"{path}: release {name!r} cannot be used ({error!r}); an entry has what {SCHEMA.name} says, and its paths "
            f"are made of {kind.templates}"
        ) from error


def survey_of(entry: Any) -> str:
    """Return the survey that an entry of the registry says it is of."""
    return str(entry.get("survey", _UNSAID)) if isinstance(entry, dict) else _UNSAID


def wrong_survey(name: str, entries: Mapping[str, Any], survey: str) -> str:
    """Return that the registry's release ``name`` is of another survey than is wanted, and which are of that one."""
    other = survey_of(entries[name])
    of_survey = ", ".join(key for key, entry in entries.items() if survey_of(entry) == survey)
    return (
        f"a release of {other.upper()}, which {other}.release may name; {survey}.release wants one of "
        f"{survey.upper()}: {of_survey}"
    )


def fetch_list(archive: "Archive", release: ArchivedRelease, path: str, part: Path) -> int:
    """Fetch a release's list of its files, as `skyharvest.archive.archive.Archive.fetch` does.

    Raises
    ------
    Absent
        If the archive has none; says how its path is composed, by what, and what there is.
    InputError
        If it is there, but compressed.
    """
    try:
        return archive.fetch(path, part)
    except Absent as error:
        archive.refuse_other_compression(path)
        survey, root = release.survey, archive.root
        others = [name for name, entry in read_yaml(REGISTRY).items() if survey_of(entry) == survey]
        raise Absent(
            f"{error}: release {release.name!r} is looked for below {root} as {path}{_what_is_there(root, path)}. "
            f"{survey}.archive says which directory or address holds {release.holds}, {survey}.release which release "
            f"that is. config/{REGISTRY.name} has {', '.join(others)}; a release with other paths needs an entry there"
        ) from error


def _what_is_there(root: str, path: str) -> str:
    """Say what a directory holds in place of an absent file."""
    if "://" in root or not Path(root).is_dir():
        return ""
    nearest_there = next(up for up in Path(root, path).parents if up.is_dir())
    entries = sorted(entry.name for entry in nearest_there.iterdir())
    return f"; {nearest_there} has {', '.join(entries[:MAX_LISTED]) or 'nothing in it'}"
