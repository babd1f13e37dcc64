"""The report's figures by name, for the rule that makes them: no heavy imports here.

A figure is ``{survey}_{kind}.svg``; ``run`` stands for what is not of one survey. The caption of a kind is
``captions/{kind}.rst``: plain text, which the page and Snakemake's own report show alike.
"""

from collections.abc import Iterable
from pathlib import Path

from skyharvest.surveys import SURVEYS

CAPTIONS = Path(__file__).parent / "captions"

RUN = "run"
OF_RUN = ("moved", "time")
TITLES = {
    "steps": "What became of the rows",
    "sky": "On the sky",
    "distances": "Distances",
    "separations": "Separations",
    "redshifts": "Redshifts",
    "signal": "Signal-to-noise ratio",
    "pixels": "Busiest pixels",
    "epochs": "Epochs",
    "bands": "Bands",
    "magnitudes": "Magnitudes",
    "moved": "Bytes moved",
    "time": "Time by step",
}


def figures(surveys: Iterable[str]) -> list[tuple[str, str]]:
    """Return (survey, kind) of each figure of a report on these surveys, in the page's order."""
    of_surveys = [(survey, kind) for survey in surveys for kind in SURVEYS[survey].report.figures]
    return [*of_surveys, *((RUN, kind) for kind in OF_RUN)]


def caption(kind: str) -> str:
    """Return the caption of a kind of figure."""
    return " ".join((CAPTIONS / f"{kind}.rst").read_text(encoding="utf-8").split())
