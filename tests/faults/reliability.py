"""What became of each fault, and the tables of docs/reliability.md that are made of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
CHAOS = "chaos"
HEADER = (
    "| fault | what the user sees | what becomes of it | places | rows | lost | wrong |\n|---|---|---|--:|--:|--:|--:|"
)


@dataclass(frozen=True)
class Outcome:
    """One line of a table.

    Attributes
    ----------
    section
        Which table.
    fault, sees, becomes
        In words; ``sees`` is what was printed or logged.
    places
        Where it struck: files of the archive, jobs, or runs.
    rows, lost, wrong
        Of the results after the last rerun, of all CSV rows and spectra that the fault had to do with.
    """

    section: str
    fault: str
    sees: str
    becomes: str
    places: int
    rows: int
    lost: int
    wrong: int

    def line(self) -> str:
        sees = "`" + self.sees.replace("|", "\\|") + "`" if self.sees else "nothing"
        return f"| {self.fault} | {sees} | {self.becomes} | {self.places} | {self.rows} | {self.lost} | {self.wrong} |"


def table(outcomes: Iterable[Outcome]) -> str:
    """Return a table with its totals."""
    given = list(outcomes)
    total = [sum(getattr(each, name) for each in given) for name in ("places", "rows", "lost", "wrong")]
    return "\n".join(
        [
            HEADER,
            *(each.line() for each in given),
            "| **together** | | | " + " | ".join(f"**{n}**" for n in total) + " |",
        ]
    )


def marks(section: str) -> tuple[str, str]:
    maker = "bench/chaos.py" if section == CHAOS else "tests/faults"
    return f"<!-- {section}: made by {maker} -->", f"<!-- end of {section} -->"


def documented(section: str) -> list[str]:
    """Return the lines of a table of the document."""
    begin, end = marks(section)
    return DOCUMENT.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0].strip().splitlines()


def document(section: str, outcomes: Iterable[Outcome]) -> None:
    """Write a table into the document."""
    begin, end = marks(section)
    before, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(begin)
    assert found, f"{DOCUMENT} has no place for {section}"
    after = rest.partition(end)[2]
    DOCUMENT.write_text(f"{before}{begin}\n\n{table(outcomes)}\n\n{end}{after}", encoding="utf-8")


def seen(text: str, pattern: str, *places: str) -> str:
    """Return what a text says where it matches, without what differs from run to run."""
    found = re.search(pattern, text)
    assert found, f"nothing like {pattern!r} in:\n{text[-6000:]}"
    said = found.group(0)
    for place in sorted(places, key=len, reverse=True):
        said = said.replace(f"{place}/", "")
    said = re.sub(r"https?://(127\.0\.0\.1|localhost):\d+/", "", said)
    said = re.sub(r"spectro/redux/demo/healpix/main/\w+/\d+/\d+/", "…/", said)
    said = re.sub(r"\b\d+\.\d s\b", "… s", said)
    return said.strip()
