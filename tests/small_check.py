"""Questions to archives, asked of small releases, and how to spoil a header."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.check.ask import answers
from skyharvest.config.load import validate
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.harvest.check import BUDGET, VERDICTS, Asking, Finding, Question

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
