"""The site: where it stands, and what renders its pages."""

from pathlib import Path

from skyharvest.report.quality.site import Renderer

OWN = Path(__file__).with_name("assets")
SCRIPTS = (OWN / "maps.js", OWN / "hetdex.css")
"""What its pages share beside what all pages of quality do."""


def directory_of(reduction: Path) -> Path:
    """Return the directory of a reduction's site."""
    return reduction / "quality" / "pages"


def renderer() -> Renderer:
    """Return what renders its pages."""
    return Renderer(OWN)


def page_of(month: int | str, shot: str = "") -> str:
    """Return the path of a page in the site."""
    return f"{month}/{shot or 'index'}.html"
