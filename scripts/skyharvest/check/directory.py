"""What is asked of an archive that is a directory of this machine."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from skyharvest.harvest.check import AS_ASSUMED, FAILS, Asking, EnoughAsked, Finding, Question

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
    yield asking.found(FAILS, question, about, assumed=READABLE, seen=seen, means=means, change=change)
    raise EnoughAsked


QUESTIONS: Mapping[str, Question] = {"root of the archive": is_there}
