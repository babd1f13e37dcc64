"""Axes of a canvas: from numbers to pixels, with ticks."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from skyharvest.core.arrays import Floats
from skyharvest.report.hetdex_detections.canvas import Box, Canvas
from skyharvest.report.style import FAINT, INK, MUTED

TICK = 4
SMALL = 12
"""Pixels: length of ticks, and size of their numbers."""


class Plot:
    """Axes in a box.

    Parameters
    ----------
    canvas, box
        Where they are; numbers stand outside of the box.
    x, y
        The numbers at the left and right edge, and at the lower and upper one.
    """

    def __init__(self, canvas: Canvas, box: Box, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.canvas, self.box, self._x, self._y = canvas, box, x, y

    def x(self, values: Floats | Sequence[float] | float) -> Floats:
        """Return where values are, pixels."""
        low, high = self._x
        return self.box.left + (np.asarray(values, np.float64) - low) / (high - low) * self.box.width

    def y(self, values: Floats | Sequence[float] | float) -> Floats:
        """Return where values are, pixels."""
        low, high = self._y
        place = self.box.bottom - (np.asarray(values, np.float64) - low) / (high - low) * self.box.height
        return np.clip(place, -1e5, 1e5)

    def line(
        self,
        x: Floats | Sequence[float],
        y: Floats | Sequence[float],
        colour: str,
        width: float = 1.0,
        *,
        dashes: Sequence[float] | None = None,
        alpha: float = 1.0,
    ) -> None:
        """Draw a line within the box."""
        self.canvas.line(self.x(x), self.y(y), colour, width, within=self.box, dashes=dashes, alpha=alpha)

    def steps(self, x: Floats, y: Floats, colour: str, width: float = 1.0) -> None:
        """Draw the steps of a spectrum whose bins are evenly spaced."""
        half = (x[1] - x[0]) / 2
        edges = np.column_stack([x - half, x + half]).ravel()
        self.line(edges, np.repeat(y, 2), colour, width)

    def band(self, x: Floats, low: Floats, high: Floats, colour: str, alpha: float = 1.0) -> None:
        """Fill what is between two curves, where both are known."""
        known = np.isfinite(low) & np.isfinite(high)
        for run in np.split(np.flatnonzero(known), np.flatnonzero(np.diff(np.flatnonzero(known)) > 1) + 1):
            if len(run) > 1:
                there = np.concatenate([x[run], x[run][::-1]])
                back = np.concatenate([low[run], high[run][::-1]])
                self.canvas.area(self.x(there), self.y(back), colour, within=self.box, alpha=alpha)

    def upright(self, x: float, colour: str, width: float = 1.0, dashes: Sequence[float] | None = None) -> None:
        """Draw a line from the lower to the upper edge."""
        at = float(self.x(x))
        self.canvas.line([at, at], [self.box.top, self.box.bottom], colour, width, within=self.box, dashes=dashes)

    def level(self, y: float, colour: str = FAINT, width: float = 1.0) -> None:
        """Draw a line from the left to the right edge."""
        at = float(self.y(y))
        self.canvas.line([self.box.left, self.box.right], [at, at], colour, width, within=self.box)

    def frame(self, x_ticks: int = 6, y_ticks: int = 5, x_label: str = "", y_label: str = "") -> None:
        """Draw the edges, ticks and their numbers.

        Parameters
        ----------
        x_ticks, y_ticks
            At most so many; 0 for none.
        x_label
            Below the numbers, at the right.
        y_label
            Above the box, at the left.
        """
        box, canvas = self.box, self.canvas
        canvas.rectangle(box, MUTED)
        for value in _ticks(self._x, x_ticks):
            at = float(self.x(value))
            canvas.line([at, at], [box.bottom, box.bottom + TICK], MUTED)
            canvas.text(at, box.bottom + TICK + SMALL, _number(value), SMALL, colour=MUTED, anchor="middle")
        for value in _ticks(self._y, y_ticks):
            at = float(self.y(value))
            canvas.line([box.left - TICK, box.left], [at, at], MUTED)
            canvas.text(box.left - TICK - 3, at + SMALL / 3, _number(value), SMALL, colour=MUTED, anchor="right")
        if x_label:
            canvas.text(box.right, box.bottom + TICK + 2 * SMALL + 3, x_label, SMALL, colour=INK, anchor="right")
        if y_label:
            canvas.text(box.left, box.top - 6, y_label, SMALL, colour=INK)


def _ticks(limits: tuple[float, float], most: int) -> list[float]:
    """Return round numbers within limits."""
    low, high = min(limits), max(limits)
    if not most or not np.isfinite([low, high]).all():
        return []
    slack = 1e-6 * (high - low)
    ticks = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low - slack <= tick <= high + slack]


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")
