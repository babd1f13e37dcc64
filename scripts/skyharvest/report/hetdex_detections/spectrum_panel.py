"""The panel with the whole spectrum: its error, the sky's lines, and the lines of the best guesses."""

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.virus import GRID
from skyharvest.report.hetdex_detections.canvas import Box, Canvas, text_width
from skyharvest.report.hetdex_detections.colours import GUESSES, HEAD, LINE
from skyharvest.report.hetdex_detections.content import Content
from skyharvest.report.hetdex_detections.plot import Plot
from skyharvest.report.hetdex_detections.redshift_guesses import Guess
from skyharvest.report.hetdex_detections.sky_light import lines_of
from skyharvest.report.style import FAINT, INK, MUTED

RANGE = (3470.0, 5540.0)
ROW = 17
"""Pixels of a row of marks above the box."""
LEAST_PROBABILITY = 0.005
"""A guess with less is not marked."""
SKY_HEIGHT = 0.22
"""Of the box, that the sky's spectrum has."""
SKY = "#c9a27a"
SMOOTHED = np.array([0.25, 0.5, 0.25])


def draw_spectrum(canvas: Canvas, content: Content, box: Box) -> None:
    """Draw the panel; numbers stand outside of the box, marks of guesses in its upper part."""
    canvas.text(box.left, box.top - 8, "Whole spectrum", HEAD, bold=True)
    guesses = [guess for guess in content.guesses[: len(GUESSES)] if guess.probability >= LEAST_PROBABILITY]
    flux, error = content.flux, content.error
    limits = _limits(content, len(guesses) * ROW / box.height)
    plot = Plot(canvas, box, RANGE, limits)
    _draw_sky(canvas, box, content.sky)
    plot.band(GRID, -error, error, FAINT)
    plot.level(0.0, MUTED)
    plot.line(GRID, flux, "#9aa6b2", 0.8)
    plot.line(GRID, _smoothed(flux), INK, 1.2)
    if content.line:
        at = float(plot.x(content.line.wave))
        canvas.line([at, at], [box.top, box.bottom], LINE, 1.0, within=box, dashes=(4, 3))
    for k, guess in enumerate(guesses):
        _mark(canvas, plot, guess, GUESSES[k], box.top + k * ROW)
    for other in content.same_source:
        if np.isfinite(other["wave"]):
            plot.upright(float(other["wave"]), MUTED, 1.0, (1, 3))
    plot.frame(12, 5)
    canvas.text(box.left + 140, box.top - 8, "10⁻¹⁷ erg/s/cm²/Å", 12, colour=INK)
    canvas.text(box.right, box.top - 8, _legend(content), 12, colour=MUTED, anchor="right")
    canvas.text(box.right + 4, box.bottom + 16, "Å", 12, colour=INK)


def _legend(content: Content) -> str:
    words = ["black: mean of three bins", "grey: bins", "band: ±1σ"]
    words += ["brown: lines of the sky"] if np.isfinite(content.sky).any() else []
    words += ["dashed: the line"] if content.line else []
    words += ["dotted: other detections"] if content.same_source else []
    return ", ".join(words)


def _limits(content: Content, share_of_marks: float) -> tuple[float, float]:
    """Return the range of flux that is shown; above it is room for marks."""
    flux, error = content.flux, content.error
    known = np.isfinite(flux) & np.isfinite(error)
    if not known.any():
        return -1.0, 1.0
    noise = float(np.median(error[known]))
    low, high = np.percentile(flux[known], [0.5, 99.5])
    line = content.line
    peak = line.continuum + line.flux / (line.sigma * np.sqrt(2 * np.pi)) if line else -np.inf
    low, high = min(float(low), -2 * noise), max(float(high), float(peak), 3 * noise)
    return low - 0.05 * (high - low), low + (high - low) * 1.06 / (1 - share_of_marks)


def _smoothed(flux: Floats) -> Floats:
    known = np.isfinite(flux)
    weight = np.convolve(known, SMOOTHED, "same")
    total = np.convolve(np.where(known, flux, 0), SMOOTHED, "same")
    return np.where(known, total / np.where(weight > 0, weight, 1), np.nan)


def _draw_sky(canvas: Canvas, box: Box, sky: Floats) -> None:
    """Draw the lines of the sky's spectrum along the lower edge."""
    lines = lines_of(sky)
    if np.isfinite(lines).any() and np.nanmax(lines) > 0:
        plot = Plot(canvas, box, RANGE, (0.0, float(np.nanmax(lines)) / SKY_HEIGHT))
        plot.band(GRID, np.zeros(GRID.shape), lines, SKY, 0.6)


def _mark(canvas: Canvas, plot: Plot, guess: Guess, colour: str, top: float) -> None:
    """Mark the lines of a guess in a row, each with its name where there is room."""
    lines: list[tuple[str, float | None, float]] = [(guess.label, None, float(plot.x(guess.wave)))]
    lines += [(line.label, line.sn, float(plot.x(line.wave))) for line in guess.others]
    end = -np.inf
    for label, sn, x in sorted(lines, key=lambda line: line[2]):
        if not plot.box.left <= x <= plot.box.right:
            continue
        is_seen = sn is None or sn >= 3
        canvas.line([x, x], [top + 3, top + 17], colour, 2.5 if is_seen else 1.0)
        words = label if sn is None or not np.isfinite(sn) else f"{label} {sn:.1f}σ".replace("-", "−")
        wide = text_width(words, 12)
        left = x + 5 if x + 5 + wide < plot.box.right else x - 5 - wide
        if left > end:
            canvas.text(left, top + 14, words, 12, bold=is_seen, colour=colour, halo=True)
            end = left + wide + 4
