"""The table of what a check found, for a terminal of 120 columns."""

import textwrap
from collections.abc import Sequence

from skyharvest.core.words import counted
from skyharvest.harvest.check import AS_ASSUMED, FAILS, NO_ANSWER, NOTE, Checked, Finding

WIDTH = 120
WIDTHS = (30, 34, 36, 14)  # with two blanks between
LONG = 3 * WIDTHS[2]
HEADS = ("question", "assumed", "seen", "verdict")
INDENT = "      "


def show(checked: Checked) -> str:
    """Return the table: of each survey its questions, below those not as assumed what that means and what to change."""
    lines: list[str] = []
    for survey, archive in checked.archives.items():
        lines += [f"{survey}: {archive}", ""]
        lines += [*_cells(HEADS), "  ".join("-" * width for width in WIDTHS)]
        for finding in checked.findings:
            if finding.survey == survey:
                lines += _lines(finding)
        lines.append("")
    return "\n".join(lines)


def _lines(finding: Finding) -> list[str]:
    seen = "the same" if finding.seen == finding.assumed else finding.seen
    cells = {"assumed": finding.assumed, "seen": seen}
    below = {name: text for name, text in cells.items() if _is_long(text)}
    cells |= dict.fromkeys(below, "see below")
    told = {**below, "asked": finding.about, "means": finding.means, "change": finding.change}
    lines = _cells((finding.question, cells["assumed"], cells["seen"], finding.verdict))
    if finding.verdict != AS_ASSUMED or below:
        for name, text in told.items():
            if text:
                lines += _wrapped(text, INDENT + f"{name}: ".ljust(8))
    return lines


def _is_long(text: str) -> bool:
    """Tell what is read more easily in long lines: a message, or a word as long as an address."""
    return len(text) > LONG or max(map(len, text.split()), default=0) > min(WIDTHS[1:3])


def _wrapped(text: str, first: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)


def _cells(texts: Sequence[str]) -> list[str]:
    """Return the lines of a row of cells, each wrapped to its width."""
    columns = [
        textwrap.wrap(text, width, break_on_hyphens=False) or [""] for text, width in zip(texts, WIDTHS, strict=True)
    ]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, WIDTHS, strict=True)).rstrip()
        for row in zip(*padded, strict=True)
    ]


def conclusion(findings: Sequence[Finding]) -> str:
    """Return in a sentence or two what all findings mean for the run."""
    fails, silent = ([one for one in findings if one.verdict == verdict] for verdict in (FAILS, NO_ANSWER))
    if fails:
        reasons = ", ".join(dict.fromkeys(f"{one.survey}: {one.question}" for one in fails))
        return f"The run would fail ({reasons}). Do what stands above at `change`, and check again."
    if silent:
        reasons = ", ".join(dict.fromkeys(f"{one.survey}: {one.question}" for one in silent))
        return f"No answer now ({reasons}): whether the run would fail is not known. Check again later."
    differ = sum(one.verdict not in (AS_ASSUMED, NOTE) for one in findings)
    return (
        f"Nothing would make the run fail; {counted(differ, 'thing')} not as assumed."
        if differ
        else ("Nothing would make the run fail; all is as assumed.")
    )
