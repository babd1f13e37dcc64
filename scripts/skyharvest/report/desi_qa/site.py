"""The site of a production: where it stands, and what renders its pages."""

from pathlib import Path

from skyharvest.report.quality.site import Renderer

FAULTS = "faults.json"
"""What is bad in a night, in its directory: the first page is made of it."""


def directory_of(production: Path) -> Path:
    """Return the directory of a production's site."""
    return production / "QA" / "pages"


def renderer() -> Renderer:
    """Return what renders its pages."""
    return Renderer(Path(__file__).with_name("assets"))
