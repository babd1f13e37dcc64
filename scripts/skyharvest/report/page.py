"""The report's page: what it is made of, and one HTML file that needs no other.

The template and its style and script are in ``assets/``; the figures stand in the page as data URLs.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from skyharvest.core.atomic import atomic_path
from skyharvest.harvest.origin import Origin

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS = Path(__file__).with_name("assets")
MIME = {"svg": "image/svg+xml", "png": "image/png"}

Fact = tuple[str, str]
"""Name and value."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it shows, the number that it is sorted by, where it leads, its class, and a note."""

    text: str
    value: float | None = None
    link: str = ""
    mark: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption; ``note`` says what has been left out. Columns of numbers stand to the right."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers."""
        return [all(row[k].value is not None for row in self.rows) for k in range(len(self.columns))]


@dataclass(frozen=True)
class Picture:
    """A figure: its name in files, heading and caption, and what it says in words.

    ``content`` goes to a file, ``shown`` to the page: SVG, of the light scheme or of both; or PNG.
    """

    name: str
    heading: str
    caption: str
    alt: str
    content: bytes
    shown: bytes
    suffix: str = "svg"

    @property
    def url(self) -> str:
        """The figure as a data URL."""
        return f"data:{MIME[self.suffix]};base64,{base64.b64encode(self.shown).decode()}"


@dataclass
class Section:
    """A section: facts (name, value), warnings, figures, tables, and text as it is (such as a configuration)."""

    id: str
    title: str
    facts: list[Fact] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """The page: its title, what stands under it, the first figures that a reader wants, its sections, and of what."""

    title: str
    about: str
    facts: Sequence[Fact]
    sections: Sequence[Section]
    origin: Origin


def text(value: str, link: str = "") -> Cell:
    """Return a cell of text."""
    return Cell(value, None, link)


def number(value: float, shown: str = "", link: str = "") -> Cell:
    """Return a cell with a number."""
    return Cell(shown or f"{value:,}", value, link)


def templates(*directories: Path) -> "Environment":
    """Return what renders the templates of the report, and those of other directories."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 (0.1 s that parse time saves)

    made = Environment(
        loader=FileSystemLoader([*directories, ASSETS]),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["now"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return made


def render(page: Page) -> str:
    """Return the page as HTML."""
    style, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return templates().get_template("page.html.j2").render(page=page, style=style, script=script)


def write(page: Page, out: Path, figures: Path) -> None:
    """Write the page, and each figure to a file of its own.

    Parameters
    ----------
    out
        ``index.html``.
    figures
        Directory for ``{name}.svg`` or ``.png``.
    """
    for section in page.sections:
        for picture in section.pictures:
            with atomic_path(figures / f"{picture.name}.{picture.suffix}") as temporary:
                temporary.write_bytes(picture.content)
    made = {f"{picture.name}.{picture.suffix}" for section in page.sections for picture in section.pictures}
    for stale in figures.glob("*.*") if figures.is_dir() else ():
        if stale.name not in made and not stale.name.startswith("."):
            stale.unlink(missing_ok=True)  # of a report with other surveys
    html = render(page)
    with atomic_path(out) as temporary:
        temporary.write_text(html, encoding="utf-8")
