"""Tables of a report: neighbours in catalogues, other detections of the source, and redshift guesses."""

from collections.abc import Sequence

import numpy as np

from skyharvest.reduction.hetdex.detectids import is_continuum
from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS
from skyharvest.report.hetdex_detections.canvas import Canvas, text_width
from skyharvest.report.hetdex_detections.colours import BODY, GUESSES, HEAD, MOST_NEIGHBOURS, NEIGHBOUR
from skyharvest.report.hetdex_detections.content import Content
from skyharvest.report.hetdex_detections.redshift_guesses import LYA_CUT, Guess
from skyharvest.report.hetdex_detections.words import number, power_of_ten, share, shortened, with_error
from skyharvest.report.style import FAINT, INK, MUTED

ROW = 19
MOST_OTHERS, MOST_GUESSES = 3, 8
LONGEST = 20
"""Letters of a name."""
SHOWN_BANDS = ("g", "r", "z")
SHOWN_LINES = 3
OTHERS_WIDTH = 290
"""Pixels."""
Cell = tuple[str, str, bool]
"""Text, colour, whether it is bold."""


def draw_neighbours(canvas: Canvas, content: Content, left: int, top: int, radius: float) -> int:
    """Draw the table, and return where it ends."""
    found = content.neighbours
    canvas.text(left, top, f"Catalogue neighbours within {radius:g}″", HEAD, bold=True)
    if not found:
        canvas.text(left, top + ROW + 2, "none", BODY, colour=MUTED)
        return top + ROW + 2
    edges = (left, left + 58, *(left + 110 + 52 * k for k in range(len(SHOWN_BANDS))), left + 276, left + 292)
    _row(canvas, top + ROW + 2, edges, _heads("", "arcsec", *SHOWN_BANDS, "redshift", "name"))
    y = top + ROW + 2
    for k, one in enumerate(found[:MOST_NEIGHBOURS], 1):
        y += ROW
        magnitudes = [number(float(one.magnitudes[BANDS.index(band)]), 2) for band in SHOWN_BANDS]
        cells: list[Cell] = [(str(k), NEIGHBOUR, True), (number(one.separation, 2), INK, False)]
        cells += [(words, INK, False) for words in magnitudes]
        cells += [(number(one.redshift, 3), INK, False), (shortened(one.id, LONGEST), MUTED, False)]
        _row(canvas, y, edges, cells)
    if len(found) > MOST_NEIGHBOURS:
        y += ROW
        canvas.text(left, y, f"and {len(found) - MOST_NEIGHBOURS} more", BODY, colour=MUTED)
    return y


def draw_same_source(canvas: Canvas, content: Content, left: int, top: int) -> None:
    """Draw the other detections of the source."""
    canvas.text(left, top, "Other detections here", HEAD, bold=True)
    if not content.same_source:
        canvas.text(left, top + ROW + 2, "none", BODY, colour=MUTED)
        return
    for k, row in enumerate(content.same_source[:MOST_OTHERS], 1):
        detectid = int(row["detectid"])
        what = "continuum" if is_continuum(detectid) else f"{number(float(row['wave']), 1)} Å"
        words = f"{what}, S/N {number(float(row['sn']), 1)}"
        end = canvas.text(left, top + k * ROW + 2, str(detectid), BODY)
        canvas.text(end + 10, top + k * ROW + 2, words, BODY, colour=MUTED)
    more = len(content.same_source) - MOST_OTHERS
    if more > 0:
        canvas.text(left, top + (MOST_OTHERS + 1) * ROW + 2, f"and {more} more", BODY, colour=MUTED)


def draw_guesses(canvas: Canvas, content: Content, left: int, top: int) -> None:
    """Draw the table of redshift guesses."""
    title = "Redshift guesses"
    if content.detection.is_continuum and content.line:
        title += f", by the strongest line, {number(content.line.wave, 1)} Å"
    canvas.text(left, top, title, HEAD, bold=True)
    if not content.guesses:
        canvas.text(left, top + ROW + 2, "none", BODY, colour=MUTED)
        return
    edges = (left, left + 118, left + 170, left + 290, left + 375, left + 392)
    heads = _heads("line", "z", "odds", "rest EW, Å", "erg/s", "other lines: flux (σ)")
    _row(canvas, top + ROW + 2, edges, heads)
    y = top + ROW + 2
    for k, guess in enumerate(content.guesses[:MOST_GUESSES]):
        y += ROW
        colour = GUESSES[k] if k < len(GUESSES) else INK
        cells: list[Cell] = [
            (guess.label, colour, k == 0),
            (number(guess.redshift, 4), INK, k == 0),
            (share(guess.probability), INK, k == 0),
            (_width(guess), INK, False),
            (power_of_ten(guess.luminosity), INK, False),
            (_others(guess), MUTED, False),
        ]
        _row(canvas, y, edges, cells)
    canvas.text(left, y + ROW + 4, _hint(content.guesses), BODY, colour=MUTED)


def _heads(*words: str) -> list[Cell]:
    return [(word, MUTED, False) for word in words]


def _row(canvas: Canvas, y: int, edges: Sequence[float], cells: Sequence[Cell]) -> None:
    """Write a row: cells end at their edges, but the first and the last, which begin there."""
    last = len(cells) - 1
    for k, (edge, (words, colour, bold)) in enumerate(zip(edges, cells, strict=True)):
        starts = k in (0, last)
        canvas.text(edge, y, words, BODY, bold=bold, colour=colour, anchor="left" if starts else "right")
    canvas.line([edges[0], edges[-1] + text_width(cells[last][0], BODY)], [y + 5, y + 5], FAINT, 0.8)


def _width(guess: Guess) -> str:
    if np.isfinite(guess.width):
        return with_error(guess.width, guess.width_error, 1)
    return f"> {number(guess.width_least, 1)}"


def _others(guess: Guess) -> str:
    """Return the other lines of a guess, the ones that should be the strongest first."""
    known = [line for line in guess.others if np.isfinite(line.flux)]
    if not known:
        return "none in range"
    shown = sorted(known, key=lambda line: -line.expected)[:SHOWN_LINES]
    words = [f"{line.label} {number(line.flux, 1)} ({number(line.sn, 1)})" for line in shown]
    while text_width(", ".join(words), BODY) > OTHERS_WIDTH:
        words.pop()
    return ", ".join(words)


def _hint(guesses: Sequence[Guess]) -> str:
    """Say what the field's cut makes of the line."""
    lya = next((guess for guess in guesses if guess.label == "Lyα"), None)
    if lya is None:
        return "Lyα would be at a negative redshift"
    if np.isfinite(lya.width):
        is_lya, width = lya.width > LYA_CUT, f"{number(lya.width, 1)} Å"
    elif lya.width_least > LYA_CUT:
        is_lya, width = True, f"> {number(lya.width_least, 1)} Å"
    else:
        return f"too little is known of the continuum for the cut at {LYA_CUT:g} Å"
    cut = f"{'above' if is_lya else 'below'} the cut at {LYA_CUT:g} Å"
    return f"rest EW as Lyα {width}, {cut}: {'Lyα' if is_lya else '[O II]'}"
