"""Places on Globus collections. Imports nothing heavy: Snakemake asks while it parses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Collection:
    """What holds ``spectro/`` on a Globus collection: its UUID, and the absolute path there."""

    endpoint: str
    path: str

    def __str__(self) -> str:
        return f"{self.endpoint}:{self.path}"

    def full(self, path: str) -> str:
        """Return the path on the collection of a file relative to what holds ``spectro/``."""
        return f"{self.path.rstrip('/')}/{path}"


def path_problem(path: str) -> str | None:
    """Return what is wrong with a path on a Globus collection, or None.

    Parameters
    ----------
    path
        As a person gives it. Globus takes a path that does not begin with ``/``, or begins with ``/~/``, as relative to
        the collection's home directory (docs.globus.org/api/transfer/file_operations, "Path Arguments").
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
