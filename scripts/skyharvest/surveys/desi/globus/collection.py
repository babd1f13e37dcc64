"""Directories on Globus collections. Snakemake imports this while parsing, so it imports nothing heavy."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from skyharvest.core.errors import InputError

if TYPE_CHECKING:
    from skyharvest.surveys.desi.release import Release


@dataclass(frozen=True)
class Collection:
    """The directory on a Globus collection that contains ``spectro/``: the collection's UUID and the absolute path."""

    endpoint: str
    path: str

    def __str__(self) -> str:
        return f"{self.endpoint}:{self.path}"

    def full(self, path: str) -> str:
        """Return the path on the collection of a file given relative to the directory."""
        return f"{self.path.rstrip('/')}/{path}"


def path_problem(path: str) -> str | None:
    """Return what is wrong with a path on a Globus collection, or None.

    Parameters
    ----------
    path
        As given by the user. To Globus a path without a leading ``/``, or with ``/~/``, is relative to the collection's
        home directory (docs.globus.org/api/transfer/file_operations, "Path Arguments").
    """
    parts = path.split("/")
    if not path.startswith("/") or any(part.startswith(("~", "$")) for part in parts):
        return (
            f"found {path!r}; expected an absolute path of the collection. Globus takes any other one as relative to "
            "the collection's home, and the home in it once more: home/USER/desi ends up in /home/USER/home/USER/desi. "
            "Give the path as the collection's file manager shows it, from its first / on, without ~"
        )
    if ".." in parts or not path.isprintable():
        return f"found {path!r}; expected an absolute path of the collection without .. and control characters"
    return None


def collection(endpoint: str, path: str, endpoint_name: str, path_name: str) -> Collection:
    """Return a directory on a Globus collection.

    Parameters
    ----------
    endpoint_name, path_name
        What messages call the two.

    Raises
    ------
    InputError
        If the endpoint is no UUID, or the path has a problem.
    """
    try:
        uuid = str(UUID(endpoint))
    except ValueError:
        raise InputError(f"{endpoint_name}: found {endpoint!r}; expected the UUID of a Globus collection") from None
    problem = path_problem(path)
    if problem:
        raise InputError(f"{path_name}: {problem}")
    return Collection(uuid, path.rstrip("/") or "/")


def source_collection(release: "Release", endpoint: str | None = None, path: str | None = None) -> Collection:
    """Return where to copy a release from: a given collection, else its public one.

    Raises
    ------
    InputError
        If there is none, or another one is given without a path on it.
    """
    given = endpoint
    endpoint = given or release.globus.get("endpoint")
    path = path or (release.globus.get("path") if not given else None)
    if not endpoint or not path:
        raise InputError(
            f"release {release.name!r} has no Globus collection in config/releases.yaml, or another one was named "
            "without a path on it: give --source-endpoint and --source-path (desi.globus.source_endpoint, source_path)"
        )
    return collection(endpoint, path, "--source-endpoint", "--source-path")
