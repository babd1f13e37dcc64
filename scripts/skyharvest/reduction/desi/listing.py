"""Which files a production has, each of its directories read once: a question for each file would take a month's tasks
seconds, and minutes on a file system behind a network.

Light: it is imported whenever the workflow is parsed.
"""

import os
from pathlib import Path


class Listing:
    """The files below a directory, as they are when it is first asked about each."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        """Tell whether there is a file, which a link may lead to; its path below the directory."""
        directory, _, name = path.rpartition("/")
        names = self._names.get(directory)
        if names is None:
            names = self._names[directory] = self._read(directory)
        return name in names

    def _read(self, directory: str) -> frozenset[str]:
        try:
            with os.scandir(self._root / directory) as entries:
                return frozenset(
                    entry.name
                    for entry in entries
                    if not entry.is_symlink() or os.path.exists(entry.path)  # noqa: PTH110
                )
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
