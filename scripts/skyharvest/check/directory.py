"""What is asked of an archive that is a directory of this machine."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from skyharvest.core.errors import Absent, HarvestError
from skyharvest.harvest.check import AS_ASSUMED, FAILS, NO_SUCH, Asking, EnoughAsked, Finding, Question

READABLE = "a readable directory"


def is_there(asking: Asking) -> Iterator[Finding]:
    """Ask whether the root is a directory that can be entered and listed."""
    root = Path(asking.archive.root)
    question, about = "root of the archive", str(root)
    if root.is_dir() and os.access(root, os.R_OK | os.X_OK):
        yield asking.found(AS_ASSUMED, question, about, assumed=READABLE, seen=READABLE)
        return
    seen = "a directory that may not be read" if root.is_dir() else "a file" if root.exists() else "nothing"
    means = "no file of the archive can be read"
    change = f"mount it, ask for permission, or correct {asking.survey}.archive"
    if asking.section.get("archive") == "local" and "https" in asking.release.roots:
        change = f"{asking.survey}.archive: https; local is for the computing centre that has this directory"
    yield asking.found(FAILS, question, about, assumed=READABLE, seen=seen, means=means, change=change)
    raise EnoughAsked


def what_is_missing(asking: Asking) -> Iterator[Finding]:
    """Ask for a file that is not there: some file systems say something else than that."""
    path = f"{NO_SUCH}/{NO_SUCH}"
    told = {"assumed": "does not exist", "seen": "does not exist"}
    try:
        asking.archive.open(path).close()
        told["seen"] = "is there"
    except Absent:
        yield asking.found(AS_ASSUMED, "a missing file", asking.archive.location(path), **told)
        return
    except HarvestError as error:
        told["seen"] = f"{error}"
    told["means"] = "absent files cannot be told from others: the first one would end the run"
    told["change"] = f"mount the file system another way, or set {asking.survey}.archive to another root"
    yield asking.found(FAILS, "a missing file", asking.archive.location(path), **told)


QUESTIONS: Mapping[str, Question] = {"root of the archive": is_there, "a missing file": what_is_missing}
