"""Whether the targets' CSV is there, and still the same. Imports nothing heavy: it is asked at every parse."""

import difflib
import hashlib
import os
from pathlib import Path

from skyharvest.core.errors import InputError

MAX_LISTED = 8


def check_csv_exists(path: str | os.PathLike[str]) -> Path:
    """Return the path if there is something to read under it.

    Parameters
    ----------
    path
        File of the targets; relative to the working directory, or absolute.

    Raises
    ------
    InputError
        If there is no such file: gives the full path, and names files that it may have been meant to be: those that
        its name is only the beginning of (a truncated path), else those with similar names.
    """
    given = Path(path)
    full = given.absolute()
    try:
        if full.is_dir():
            raise InputError(f"the targets' CSV {full} is a directory: give the file in it")
        if full.exists():  # a pipe is as good as a file
            return given
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the targets' CSV {full}: {error}") from error
    if full.is_symlink():
        raise InputError(f"the targets' CSV {full} is a link to {full.readlink()}, which does not exist")
    raise InputError(f"the targets' CSV {full} does not exist; {_what_is_there(full)}")


def content_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, 64 hex digits as `sha256sum` prints; "" for what cannot be read twice: a pipe.

    100,000 targets with 30 columns (20 MB) take 20 to 100 ms.
    """
    if not Path(path).is_file():
        return ""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _what_is_there(full: Path) -> str:
    """Say what the missing path may have been meant to be."""
    missing = full
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    directory = missing.parent
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        return f"its directory cannot be listed ({error.strerror})"
    longer = [entry for entry in entries if entry.name.startswith(missing.name)] if missing == full else []
    if longer:
        return f"the path looks truncated, for it is the beginning of {_listed(longer)}: give the whole path"
    by_name = {entry.name.lower(): entry for entry in entries}
    near = difflib.get_close_matches(missing.name.lower(), by_name, n=MAX_LISTED)
    place = f"in {directory}" if missing == full else f"there is no {missing.name!r} in {directory}; there"
    if near:
        return f"{place} are similar names: {_listed([by_name[name] for name in near])}"
    return f"{place} is nothing with a similar name ({len(entries)} entries)"


def _listed(paths: list[Path]) -> str:
    names = [f"{path}/" if path.is_dir() else str(path) for path in paths[:MAX_LISTED]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
