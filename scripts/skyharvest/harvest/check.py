"""What is asked of an archive before a run: questions that the code otherwise answers by assumption, and the findings.

The questions to every archive are in `skyharvest.check`, a survey's own in its module ``check``, as ``QUESTIONS``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

AS_ASSUMED = "as assumed"
ADAPTED = "adapted to"  # it contradicts an assumption, and the run deals with it
NOTE = "note"  # worth knowing; the run needs nothing
NOT_ASKED = "not asked"  # as where it would take too many bytes; `means` says why
FAILS = "run would fail"
VERDICTS = (AS_ASSUMED, ADAPTED, NOTE, NOT_ASKED, FAILS)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The answer to a question: a line of the table.

    Attributes
    ----------
    survey
        Whose archive was asked.
    question
        A few words, such as ``compression of masks``.
    about
        File, URL or address that was asked, with HDU, header card or column where there is one.
    assumed, seen
        What the code takes for granted, and what was found.
    verdict
        One of `VERDICTS`.
    means, change
        What that means for this run, and what to change, if anything: setting and value, or where to report it.
    """

    survey: str
    question: str
    about: str
    assumed: str
    seen: str
    verdict: str
    means: str = ""
    change: str = ""


Question = Callable[..., Iterator[Finding]]
"""Asks, and yields what it found; its argument is the survey's `Asking`. An exception is a finding as well."""
