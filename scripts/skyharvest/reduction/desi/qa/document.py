"""The table of metrics on the page of the documentation, out of their definitions and the default limits.

``python -m skyharvest.reduction.desi.qa.document``, in ``scripts/``, writes it anew; a test tells when that is needed.
"""

from collections.abc import Iterator

from skyharvest.core.paths import CHECKOUT
from skyharvest.reduction.desi.qa.definitions import DEFINITIONS
from skyharvest.reduction.desi.qa.limits import Limits, read_limits
from skyharvest.reduction.limits import bounds_in_words, with_table

PAGE = CHECKOUT / "docs" / "desi-quality.md"
BEGIN, END = "<!-- metrics: written by qa/document.py -->", "<!-- end of metrics -->"


def table() -> str:
    """Return the table."""
    limits = read_limits()
    lines = ["| metric | unit | what it is | OK within | BAD outside |", "|---|---|---|---|---|"]
    for name, one in DEFINITIONS.items():
        shown = f"`{name}`" + (" `_A` … `_D`" if one.amps else "")
        levels = ["", "is always BAD"] if name.endswith("-MISSING") else list(_levels(name, limits))
        cells = [shown, one.unit, one.meaning, *levels]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _levels(name: str, limits: Limits) -> Iterator[str]:
    places = limits.of.get(name, {})
    for level in ("warn", "bad"):
        shown = [(place, bounds_in_words(levels[level])) for place, levels in places.items() if level in levels]
        yield "; ".join(f"{place} {words}".strip() for place, words in shown)


def page(text: str) -> str:
    """Return the page with the table in its place."""
    return with_table(text, BEGIN, table(), END)


def main() -> None:
    """Write it anew."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
