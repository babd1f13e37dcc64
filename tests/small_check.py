"""Questions to archives, asked of small releases, and differences that are injected into copies of these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from shown_differences import assert_shown
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.check.ask import answers
from skyharvest.config.load import validate
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.harvest.check import BUDGET, FAILS, VERDICTS, Asking, Finding, Question

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, retry_after_cap_s=0.1, connect_s=2, read_s=5)


def asking(survey: str, root: str, positions: Any, **section: Any) -> Asking:
    """Return what questions are given: a configuration of this survey alone, and positions (ra, dec) of a CSV."""
    config = validate({"targets": {"csv": "any.csv"}, "desi": {"enabled": False}, survey: {"enabled": True, **section}})
    ra, dec = np.array(positions, float).reshape(-1, 2).T
    targets = {"row": np.arange(len(ra)), "ra": ra, "dec": dec, "pix16": np.zeros(len(ra), np.int64)}
    release = import_module(f"skyharvest.surveys.{survey}.release").load_release(section["release"])
    archive = Archive(str(root), patience=QUICK, budget=BUDGET)
    return Asking(
        survey=survey, config=config, release=release, known="", archive=archive, read_targets=lambda: targets
    )


def ask(questions: Mapping[str, Question], given: Asking) -> list[Finding]:
    """Return all findings."""
    with given.archive:
        return list(answers(given, questions))


def one(findings: list[Finding], question: str) -> Finding:
    """Return the finding of a question; of several, the worst."""
    found = [finding for finding in findings if finding.question == question]
    assert found, f"{question}: not among {findings}"
    return max(found, key=lambda finding: VERDICTS.index(finding.verdict))


def set_card(path: Path, hdu: str, key: str, value: Any, *, instead_of: str = "") -> None:
    """Overwrite a card of a header, or another one with it."""
    with LocalFile(path) as source:
        found = FitsFile(source)[hdu]
    text = f"'{value}'" if isinstance(value, str) else f"{value!s:>20}"
    with path.open("r+b") as file:
        file.seek(found.start)
        header = file.read(found.data_start - found.start)
        at = header.index(f"{instead_of or key:8}=".encode())
        file.seek(found.start + at)
        file.write(f"{key:8}= {text}".ljust(80).encode())


@dataclass
class Case:
    """A difference.

    ``spoil`` makes it in a copy of a release, ``words`` stand in the finding's seen, means or change, and ``so`` shows
    that what the finding says of the run is true.
    """

    spoil: Any
    question: str
    verdict: str
    words: tuple[str, ...]
    so: Any = None
    section: dict[str, Any] = field(default_factory=dict)


def check_case(title: str, name: str, case: Case, root: Path, findings: Callable[..., list[Finding]]) -> None:
    """Make a difference in a copy of a release, and compare what is found of it; ``title`` is of the docs."""
    case.spoil(root)
    finding = one(findings(root, **case.section), case.question)
    assert finding.verdict == case.verdict, finding
    told = f"{finding.seen}; {finding.means}; {finding.change}"
    for words in case.words:
        assert words in told
    if case.verdict == FAILS:
        assert finding.means and finding.change, finding
    assert_shown(title, name, finding, root)
    if case.so is not None:
        case.so(root)


def own(path: Path) -> Path:
    """Make a file of a copy, which is of links, its own."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    return path
