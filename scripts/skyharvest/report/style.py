"""How the report's figures look: colours, type, sizes, and SVG that follows the reader's light or dark scheme.

Figures are 3.9 inches wide with type of 9.5 points: legible at the width of a phone, and in two columns on a laptop.
Colours of the frame stand for roles. In a file of its own a figure has the light ones; on the page it is told both.
"""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from skyharvest.report.names import TITLES, caption
from skyharvest.report.page import Picture

Drawing = tuple[Figure, str]
"""A figure, and its content in words."""

WIDTH = 3.9  # inches
INK, MUTED, FAINT, PAPER = "#1d2731", "#5f6b77", "#dfe4ea", "#fefefe"
ROLES = {
    INK: ("--ink", "#e4e9ee"),
    MUTED: ("--muted", "#9ba7b3"),
    FAINT: ("--faint", "#343d47"),
    PAPER: ("--paper", "#171c22"),
}
"""Colour of the light scheme → its name on the page, and the dark scheme's colour."""

MAIN, LOST, THIRD, FOURTH, REST = "#3f7fb5", "#d58936", "#4f9d7e", "#9170b5", "#8a95a1"
"""Of what there is to show; each stands out from both papers."""
BINS = 36  # of histograms
SERIES = (MAIN, LOST, THIRD, FOURTH, "#c0607a", "#7d8f3f")

FONT = "DejaVu Sans"
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
STYLE: Any = {
    "font.family": [FONT],
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 1.2,
    "legend.borderaxespad": 0.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "skyharvest",  # equal content gives equal bytes
}


def styled() -> Any:
    """Return the context in which figures are made and saved."""
    return rc_context(STYLE)


def new(height: float, rows: int = 1, **options: Any) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of the common width and its axes, one above the other.

    Parameters
    ----------
    height
        Inches.
    rows
        Number of axes.
    options
        Of `Figure.subplots`.
    """
    figure = Figure((WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(rows, 1, squeeze=False, **options)
    return figure, list(axes[:, 0])


def whole_numbers() -> MaxNLocator:
    """Return what places ticks of counts."""
    return MaxNLocator("auto", integer=True)


def bare(axes: Axes) -> None:
    """Take away the frame, for bars that are labelled themselves."""
    axes.set_axis_off()
    axes.margins(0)


def nothing(figure: Figure, why: str) -> Figure:
    """Say in a figure why it is empty, and return it."""
    for axes in figure.axes:
        axes.set_axis_off()
    first = figure.axes[0]
    first.text(0.5, 0.5, why, transform=first.transAxes, ha="center", va="center", color=MUTED)
    return figure


def svg_picture(survey: str, kind: str, figure: Figure, alt: str) -> Picture:
    """Return a figure for the page and for a file: as SVG whose text is text."""
    return picture(f"{survey}_{kind}", TITLES[kind], caption(kind), figure, alt)


def picture(name: str, heading: str, says: str, figure: Figure, alt: str) -> Picture:
    """Return a figure, with its name in files, heading and caption, as SVG whose text is text."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    drawn = out.getvalue().replace(f"'{FONT}'", FONTS)
    return Picture(name, heading, says, alt, drawn.encode(), _for_page(drawn).encode())


def _for_page(text: str) -> str:
    """Return the SVG with the colours of both schemes: the reader's is taken."""
    for colour, (role, _) in ROLES.items():
        text = text.replace(colour, f"var({role})")
    light = "".join(f"{role}:{colour};" for colour, (role, _) in ROLES.items())
    dark = "".join(f"{role}:{colour};" for role, colour in ROLES.values())
    rules = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    head, tag, rest = text.partition("<defs>")
    return f"{head}{rules}{tag}{rest}"
