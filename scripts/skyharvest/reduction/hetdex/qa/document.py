"""The table of values on the page of the documentation, out of their definitions and the default limits.

``python -m skyharvest.reduction.hetdex.qa.document``, in ``scripts/``, writes it anew; a test tells when that is due.
"""

from skyharvest.core.paths import CHECKOUT
from skyharvest.reduction.hetdex.qa.definitions import DEFINITIONS
from skyharvest.reduction.hetdex.qa.limits import read_limits
from skyharvest.reduction.limits import NONE, bounds_in_words, with_table

PAGE = CHECKOUT / "docs" / "hetdex-quality.md"
BEGIN, END = "<!-- values: written by qa/document.py -->", "<!-- end of values -->"


def table() -> str:
    """Return the table."""
    limits = read_limits()
    lines = ["| value | of | unit | what it is | OK within | BAD outside |", "|---|---|---|---|---|---|"]
    for name, one in DEFINITIONS.items():
        levels = [bounds_in_words(limits.find(name).get(level, NONE)) for level in ("warn", "bad")]
        lines.append(f"| {' | '.join([f'`{name}`', one.of, one.unit, one.meaning, *levels])} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the page with the table in its place."""
    return with_table(text, BEGIN, table(), END)


def main() -> None:
    """Write it anew."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
