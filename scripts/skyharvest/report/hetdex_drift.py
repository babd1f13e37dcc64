"""Figures of what drifts over months in HETDEX's calibration: one for each number of `drift.NUMBERS`."""

import math
from collections.abc import Sequence

import numpy as np

from skyharvest.reduction.hetdex.calibration.drift_table import NUMBERS, Row
from skyharvest.report.style import LOST, MAIN, MUTED, Drawing, new, nothing, styled

NAMED = 3
"""So many amplifiers that have drifted most are named."""
TICKS = 5


def drawings(rows: Sequence[Row]) -> dict[str, Drawing]:
    """Return a figure of each number, with what it shows in words.

    Points are amplifiers; the line is their median, and the band holds 68 % of them.
    """
    with styled():
        return {name: _drawn(rows, name) for name in NUMBERS}


def _drawn(rows: Sequence[Row], name: str) -> Drawing:
    unit, meaning = NUMBERS[name]
    figure, (axes,) = new(2.2)
    known = [row for row in rows if math.isfinite(getattr(row, name))]
    if not known:
        return nothing(figure, "no amplifier is known in two months"), f"{meaning}: nothing is known."
    months = sorted({row.month for row in known})
    place = {month: _year(month) for month in months}
    values = {month: np.array([getattr(row, name) for row in known if row.month == month]) for month in months}
    axes.plot(
        [place[row.month] for row in known],
        [getattr(row, name) for row in known],
        ".",
        color=MUTED,
        markersize=3,
        alpha=0.5,
        rasterized=len(known) > 2000,
    )
    x = [place[month] for month in months]
    low, middle, high = (np.array([np.percentile(values[month], part) for month in months]) for part in (16, 50, 84))
    axes.fill_between(x, low, high, color=MAIN, alpha=0.25, linewidth=0)
    axes.plot(x, middle, color=MAIN, marker="o", markersize=3)
    worst = sorted(known, key=lambda row: -abs(getattr(row, name)))[:NAMED]
    axes.plot([place[row.month] for row in worst], [getattr(row, name) for row in worst], "o", color=LOST, markersize=4)
    axes.set_ylabel(unit or "relative")
    axes.set_xlim(x[0] - 0.06, x[-1] + 0.06)
    shown = months[:: -(-len(months) // TICKS)]
    axes.set_xticks([place[month] for month in shown], [f"{month // 100}-{month % 100:02d}" for month in shown])
    said = ", ".join(f"{row.ifu} {row.amp} in {row.month} {getattr(row, name):.3g}" for row in worst)
    spread = float(np.median(np.abs(middle)))
    words = f"{meaning}: medians of {len(months)} months change by {spread:.3g} {unit}".rstrip()
    return figure, f"{words}; most: {said}."


def _year(month: int) -> float:
    return month // 100 + (month % 100 - 0.5) / 12
