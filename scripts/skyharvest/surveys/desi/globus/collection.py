"""Directories on Globus collections. Snakemake imports this while parsing, so it imports nothing heavy."""

from dataclasses import dataclass


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
