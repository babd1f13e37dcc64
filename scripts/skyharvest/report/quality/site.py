"""A site of plain files: how its pages are rendered, and what they share."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path
from skyharvest.report.page import ASSETS as COMMON
from skyharvest.report.page import templates

ASSETS = Path(__file__).with_name("assets")
SHARED = (
    *(COMMON / name for name in ("page.css", "page.js")),
    *(ASSETS / name for name in ("quality.css", "quality.js", "chart.js")),
)
"""What pages share."""


@dataclass(frozen=True)
class Page:
    """What every page has.

    Attributes
    ----------
    where
        The pages above it, and itself: name, and link; "" for itself.
    beside
        The pages before and after it.
    contents
        Its sections: id and title.
    holds
        What its template asks for beside.
    """

    title: str
    about: str
    state: str
    facts: list[tuple[str, str]]
    where: list[tuple[str, str]]
    contents: list[tuple[str, str]]
    beside: list[tuple[str, str]] = field(default_factory=list)
    holds: Mapping[str, Any] = field(default_factory=dict)


class Renderer:
    """Renders pages.

    Parameters
    ----------
    assets
        Directories of the templates of their own.
    """

    def __init__(self, *assets: Path) -> None:
        self._templates = templates(*assets, ASSETS)

    def render(self, template: str, page: Page, root: str) -> str:
        """Return a page as HTML; ``root`` leads from it to the site's directory: "", ``../``, ``../../``."""
        return self._templates.get_template(f"{template}.html.j2").render(page=page, root=root, **page.holds)


def write_assets(site: Path, *own: Path) -> None:
    """Copy what pages share, and files of their own."""
    for path in (*SHARED, *own):
        with atomic_path(site / "assets" / path.name) as temporary:
            shutil.copyfile(path, temporary)
