"""What is asked of an archive before a run: questions that the code otherwise answers by assumption, and the findings.

The questions to every archive are in `skyharvest.check`, a survey's own in its module ``check``:

``QUESTIONS: Mapping[str, Question]``
    By what they ask, in a few words. They are asked in this order, and share what they found out in `Asking.shared`.
``work(asking) -> Work``
    How much the run is going to read and write, worked out in memory. Asked last; may be left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyharvest import __version__
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile

if TYPE_CHECKING:
    import numpy.typing as npt

    from skyharvest.archive.archive import Archive

NAME = "check.json"
NO_SUCH = "not-there"
"""Part of the names of what is asked for although it is not there."""
BUDGET = 20_000_000
"""Bytes that a check may read of a survey's archive over the network; `Asking.archive` reads no more."""

AS_ASSUMED = "as assumed"
ADAPTED = "adapted to"  # it contradicts an assumption, and the run deals with it
NOTE = "note"  # worth knowing; the run needs nothing
NOT_ASKED = "not asked"  # as where it would take too many bytes; `means` says why
NO_ANSWER = "no answer now"  # another time there may be one: the run would wait, and then fail
FAILS = "run would fail"  # or find nothing where there is something, or be wrong
VERDICTS = (AS_ASSUMED, ADAPTED, NOTE, NOT_ASKED, NO_ANSWER, FAILS)

REPORT = "open an issue of Skyharvest with check.json, which names the file, HDU and card"


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


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run is going to do with a survey's archive, as far as can be told before.

    Attributes
    ----------
    files
        What is read, in words: ``7,012 coadds``.
    rows
        What is looked for, in words: ``60,215 CSV rows``.
    n_files
        Files to open.
    round_trips
        Requests, one after the other, that a file takes.
    moved, kept
        Bytes that are read from the archive, and written to the results.
    """

    files: str
    rows: str
    n_files: int
    round_trips: int
    moved: int
    kept: int


class EnoughAsked(Exception):
    """Raised by a question: there is no sense in those that follow. What it has found has been yielded."""


@dataclass(kw_only=True)
class Asking:
    """What a question is given.

    Attributes
    ----------
    survey
        Its name.
    config
        The whole configuration, with every key filled in.
    release
        The survey's.
    known
        Path of a file that the archive has for certain: the release's list of files.
    archive
        Where the release's list of files is read from; open, with little patience, and at most `BUDGET` bytes.
    read_targets
        Returns the CSV's accepted rows: ``row`` int64, ``ra``, ``dec`` float64 degrees, ``pix16`` int64, each (n,), and
        with `targets.targetid` also ``targetid`` int64. Raises `InputError`, as the run would.
    shared
        What questions of a survey leave for those that follow.
    """

    survey: str
    config: Mapping[str, Any]
    release: Any
    known: str
    archive: "Archive"
    read_targets: "Callable[[], Mapping[str, npt.NDArray[Any]]]"
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def section(self) -> Mapping[str, Any]:
        """The survey's section of the configuration."""
        return self.config[self.survey]  # type: ignore[no-any-return]

    def found(self, verdict: str, question: str, about: str, **told: str) -> Finding:
        """Return a finding about this survey; ``told`` are ``assumed``, ``seen``, ``means`` and ``change``."""
        assumed, seen = told.pop("assumed", ""), told.pop("seen")
        return Finding(
            survey=self.survey,
            question=question,
            about=about,
            assumed=assumed,
            seen=seen,
            verdict=verdict,
            **told,
        )

    def compare(self, question: str, about: str, *, assumed: Any, seen: Any, otherwise: str, **told: str) -> Finding:
        """Return the finding that something is as assumed, else the verdict ``otherwise``; see `found`."""
        if assumed == seen:
            return self.found(AS_ASSUMED, question, about, assumed=f"{assumed}", seen=f"{seen}")
        return self.found(otherwise, question, about, assumed=f"{assumed}", seen=f"{seen}", **told)


Question = Callable[[Asking], Iterator[Finding]]
"""Asks, and yields what it found. An exception is a finding as well: see `skyharvest.check.ask`."""


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with those that are alike, of several files, as one: about the first, ``and 2 more``."""
    alike: dict[Finding, list[str]] = {}
    for finding in findings:
        alike.setdefault(replace(finding, about=""), []).append(finding.about)
    found = []
    for finding, abouts in alike.items():
        more = len(set(abouts)) - 1
        found.append(replace(finding, about=f"{abouts[0]} and {more} more" if more else abouts[0]))
    return found


@dataclass(frozen=True)
class Checked:
    """A check, as ``check.json`` has it.

    Attributes
    ----------
    archives
        Survey → its release and the directory or URL that was asked: ``dr1 at https://…``.
    findings
        All of them, in the order in which they were asked.
    made
        When, in ISO 8601.
    version
        Of Skyharvest.
    """

    archives: Mapping[str, str]
    findings: Sequence[Finding]
    made: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    version: str = __version__


def write_checked(checked: Checked, path: Path) -> None:
    """Write ``check.json``."""
    with atomic_path(path) as temporary:
        text = json.dumps(asdict(checked), indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_checked(path: Path) -> Checked:
    """Read ``check.json``.

    Raises
    ------
    MalformedFile
        If it is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        findings = [Finding(**one) for one in content.pop("findings")]
        return Checked(findings=findings, **content)
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise MalformedFile(f"{path} is not what a check writes ({error!r}): make check again, or remove it") from error
