"""The page on archives that differ has, of each difference that a test injects, what a check says of it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from skyharvest.harvest.check import Finding

PAGE = Path(__file__).resolve().parents[1] / "docs" / "differences.md"
HERE = "ARCHIVE"
OUT = "SHOWN_DIFFERENCES"
"""Environment variable: a file to which rows that the page lacks are added, with their heading."""


def assert_shown(heading: str, difference: str, finding: Finding, volatile: Mapping[str, str] | str | Path) -> None:
    """Assert that the page has a row for a finding.

    Parameters
    ----------
    heading
        Of its table.
    difference
        What was injected, in words.
    volatile
        Texts that differ from run to run → what stands for them; or the root of the archive.
    """
    if not isinstance(volatile, Mapping):
        volatile = {str(volatile): HERE}
    told = [difference, finding.question, finding.seen, finding.verdict, finding.means, finding.change]
    cells = [_cell(text, volatile) for text in told]
    row = f"| {' | '.join(cells)} |"
    table = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    if row not in table.splitlines() and OUT in os.environ:
        with Path(os.environ[OUT]).open("a") as out:
            out.write(f"{heading}\t{row}\n")
        return
    assert row in table.splitlines(), f"{PAGE.name}, {heading}, should have:\n{row}"


def _cell(text: str, volatile: Mapping[str, str]) -> str:
    for changing, stands in volatile.items():
        text = text.replace(changing, stands)
    text = re.sub(r"/\S*/(?=ARCHIVE)", "", " ".join(text.split()))
    text = re.sub(r"(DATASUM is|data give) \d+", r"\1 N", text)
    return re.sub(r"([\\*\[\]<|`_])", r"\\\1", text) or "–"
