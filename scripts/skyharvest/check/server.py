"""What is asked of every archive on the web."""

from collections.abc import Iterator, Mapping

from skyharvest.core.errors import Absent
from skyharvest.harvest.check import AS_ASSUMED, Asking, Finding, Question


def is_there(asking: Asking) -> Iterator[Finding]:
    """Ask for the first bytes of a file that the release has."""
    with asking.archive.open(asking.known) as source:
        try:
            source.head(1)
        except Absent:
            return  # the survey's own questions say more
        seen = f"a file of {source.size():,} bytes"
        yield asking.found(AS_ASSUMED, "first answer", source.name, assumed="a file", seen=seen)


QUESTIONS: Mapping[str, Question] = {"first answer": is_there}
