"""Data releases: the registry ``config/releases.yaml``, and what the releases of all surveys have in common.

A survey's own kind of release, and its function ``load_release``, stand in ``surveys/<name>/release.py``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from skyharvest.core.errors import InputError
from skyharvest.core.paths import CONFIG, expand_user
from skyharvest.core.words import nearest
from skyharvest.core.yaml_file import read_yaml

REGISTRY = CONFIG / "releases.yaml"
SCHEMA = REGISTRY.parent / "schema" / "releases.schema.yaml"
TRANSPORTS = ("https", "s3", "local")
"""Names of roots in the registry; any other ``archive`` is itself the path or URL of a mirror."""

_UNSAID = "desi"  # the survey of an entry that names none
_UNUSABLE = (LookupError, TypeError, ValueError, AttributeError)  # raised by an entry with a mistake


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

    name: str
    roots: Mapping[str, str]
    paths: Mapping[str, str]

    @classmethod
    def of_entry(cls, name: str, entry: dict[str, Any]) -> Self:
        """Return the release that an entry of the registry describes; each of its paths has been formed once."""
        raise NotImplementedError

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


def load_registry(surveys: Collection[str], registry: Path | None = None) -> dict[str, Any]:
    """Return the registry of releases as it is written, checked against its schema.

    Parameters
    ----------
    surveys
        The names of all surveys: each entry is of one of them.
    registry
        ``config/releases.yaml`` unless given.

    Raises
    ------
    InputError
        If the file is not valid; the message lists everything that is wrong.
    """
    import jsonschema  # noqa: PLC0415 (0.15 s that jobs, which come after this check, do not pay)

    path = registry or REGISTRY
    entries, schema = read_yaml(path), read_yaml(SCHEMA)
    schema["additionalProperties"]["properties"]["survey"]["enum"] = list(surveys)
    problems = [
        f"  {'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message}"
        for error in jsonschema.Draft202012Validator(schema).iter_errors(entries)
    ]
    if problems:
        raise InputError("\n".join([f"{path} is not a valid registry of releases:", *sorted(problems)]))
    return entries


def load_release_of(kind: type[_Release], name: str, registry: Path | None = None) -> _Release:
    """Return a survey's release of that name. (`load_registry` checks the registry as a whole, and says more.)

    Parameters
    ----------
    kind
        The survey's class.
    name
        A key of the registry.
    registry
        ``config/releases.yaml`` unless given.

    Raises
    ------
    InputError
        If the survey has no such release, or its entry lacks something, or a path's template asks for an unknown word.
    """
    path = registry or REGISTRY
    entries = read_yaml(path)
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
