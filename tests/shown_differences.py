"""The page on archives that differ has, of each difference that a test injects, what a check says of it.

To write its tables anew: ``python tests/shown_differences.py``, which runs those tests.
"""

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "differences.md"
HEAD = "| difference | question | seen | verdict | means | change |\n|---|---|---|---|---|---|\n"
ROWS = "SHOWN_DIFFERENCES"
"""Environment variable: the file that rows are added to, each after its heading, instead of being compared."""


def assert_shown(heading: str, difference: str, finding: object, volatile: Mapping[str, str] | str | Path) -> None:
    """Assert that the page has a row for a `skyharvest.harvest.check.Finding`.

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
        volatile = {str(volatile): "ARCHIVE"}
    told = [getattr(finding, key) for key in ("question", "seen", "verdict", "means", "change")]
    row = f"| {' | '.join(_cell(text, volatile) for text in [difference, *told])} |"
    if ROWS in os.environ:
        with Path(os.environ[ROWS]).open("a") as out:
            out.write(f"{heading}\t{row}\n")
        return
    table = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert row in table.splitlines(), f"write the page anew (python {Path(__file__).relative_to(ROOT)}):\n{row}"


def _cell(text: str, volatile: Mapping[str, str]) -> str:
    for changing, stands in volatile.items():
        text = text.replace(changing, stands)
    text = re.sub(r"/\S*/(?=ARCHIVE)", "", " ".join(text.split()))
    text = re.sub(r"(DATASUM is|data give) \d+", r"\1 N", text)
    text = re.sub(r"[\d.]+ [kMGT]?B free", "N GB free", text)
    return re.sub(r"([\\*\[\]<|`_])", r"\\\1", text) or "–"


def write_page(rows: Path) -> None:
    """Write the tables with these rows."""
    tables: dict[str, list[str]] = defaultdict(list)
    for line in rows.read_text().splitlines():
        heading, _, row = line.partition("\t")
        tables[heading].append(row)
    introduction, *old = PAGE.read_text().split("\n## ")
    headings = [*(heading for part in old if (heading := part.partition("\n")[0]) in tables), *tables]
    parts = [f"## {name}\n\n{HEAD}" + "".join(f"{row}\n" for row in tables[name]) for name in dict.fromkeys(headings)]
    PAGE.write_text("\n".join([introduction, *parts]))


def main() -> None:
    """Run the tests, and write what their findings say."""
    show = re.compile(r"\b(assert_shown|check_case)\(")
    tests = [str(path) for path in sorted((ROOT / "tests/unit").rglob("test_*.py")) if show.search(path.read_text())]
    rows = Path("shown_differences.tsv").absolute()
    try:
        subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], env={**os.environ, ROWS: str(rows)}, check=True)
        write_page(rows)
    finally:
        rows.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
