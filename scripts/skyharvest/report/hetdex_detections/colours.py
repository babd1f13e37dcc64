"""Colours, sizes and numbers that panels of reports share."""

from skyharvest.report.style import FOURTH, LOST, MAIN, THIRD

GUESSES = (MAIN, LOST, THIRD)
"""Of the best guesses, in order: their lines have them wherever they are marked."""
LINE, NEIGHBOUR = "#c0392b", FOURTH
EXPOSURES = ("#3f7fb5", "#d58936", "#4f9d7e")
"""Of the first, second and third exposure."""
MASKED, BEYOND = "#e58b8b", "#d9dee4"
"""Pixels that are left out, and those where there is nothing."""
MOST_NEIGHBOURS = 8
"""Of a detection, that are listed and marked on pictures."""
HEAD = 14
"""Pixels: size of panels' titles."""
BODY = 12
"""Pixels: size of text in tables."""


def colour_of_exposure(expnum: int) -> str:
    """Return the colour of an exposure."""
    return EXPOSURES[(expnum - 1) % len(EXPOSURES)]
