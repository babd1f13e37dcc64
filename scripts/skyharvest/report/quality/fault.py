"""What is bad, as a line of a page: what, where, its value and limit, the command that repeats it, and its log."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A line.

    Attributes
    ----------
    what, says
        The value or the step, and what that is.
    place, span
        Where it is, in words, and the first and last of several.
    page
        Of its first place: a path in the site.
    step
        The kind of job that made it.
    log, said
        The path of its log, and the path in the site of what of it is shown; "" for none.
    """

    state: str
    what: str
    says: str
    value: str
    limit: str
    at: str
    reason: str
    also: str
    place: str
    span: str
    page: str
    step: str
    command: str
    log: str
    said: str = ""

    def seen_from(self, root: str) -> dict[str, Any]:
        """Return what a template asks for; ``root`` leads to the site's directory."""
        return asdict(self) | {"link": root + self.page, "said": self.said and root + self.said}
