"""The report's figures of ledgers, pixels, bytes and time: bars that carry their own labels."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skyharvest.core.words import counted, duration
from skyharvest.report.files import Traffic
from skyharvest.report.job_times import RuleTimes
from skyharvest.report.ledger import Floats, Pixel, Step
from skyharvest.report.page import Picture
from skyharvest.report.style import (
    FAINT,
    INK,
    LOST,
    MAIN,
    MUTED,
    REST,
    THIRD,
    bare,
    for_page,
    new,
    svg,
    whole_numbers,
)

Drawing = tuple[Figure, str]
"""A figure, and what it says in words."""

WORDS = {
    "rejected": "rejected: no usable position",
    "not_covered": "not covered by the release",
    "_absent": "{file} not in the archive",
    "_unreadable": "{file} unreadable",
}
BAR = 0.34  # of the room for one step
SHOWN_PIXELS = 12


def svg_picture(survey: str, kind: str, figure: Figure, alt: str) -> Picture:
    """Return a figure for the page and for a file."""
    drawn = svg(figure)
    return Picture(f"{survey}_{kind}", kind, alt, drawn.encode(), for_page(drawn).encode())


def reason(status: str, words: Mapping[str, str]) -> str:
    """Return what a status of the ledger says; ``words`` has those of the survey's own statuses."""
    for key, said in {**WORDS, **words}.items():
        if status == key or (key.startswith("_") and status.endswith(key)):
            return said.format(file=status.removesuffix(key))
    return status.replace("_", " ")


def draw_steps(steps: Sequence[Step], words: Mapping[str, str]) -> Figure:
    """Draw how many rows reached each step, and how many it lost, and why (`reason`)."""
    figure, (axes,) = new(0.66 * len(steps) + 0.1)
    bare(axes)
    most = max(steps[0].reached, 1)
    for k, step in enumerate(steps):
        lost = sum(step.lost.values())
        axes.barh(k, most, BAR, color=FAINT)
        axes.barh(k, step.reached, BAR, color=MAIN)
        axes.barh(k, lost, BAR, left=step.reached, color=LOST)
        axes.text(0, k - 0.23, step.name, va="bottom", fontweight="bold")
        share = f" · {step.reached / most:.1%}" if k else ""
        axes.text(most, k - 0.23, f"{step.reached:,}{share}", va="bottom", ha="right")
        why = "; ".join(f"{n:,} {reason(status, words)}" for status, n in step.lost.items() if n)
        if why:
            axes.text(most, k + 0.21, f"− {why}", va="top", ha="right", fontsize=8.5, color=MUTED)
    axes.set(xlim=(0, most), ylim=(len(steps) - 0.55, -0.62))
    return figure


def draw_distances(nearest: Floats, radius: float, report_radius: float, thing: str) -> Figure:
    """Draw the distance to what is nearest to each CSV row, with the match radius.

    Parameters
    ----------
    nearest
        (n,) arcsec; NaN where there is none within the report radius.
    radius, report_radius
        arcsec.
    thing
        What is nearest: ``fiber``.
    """
    figure, (axes,) = new(2.7)
    end = max(report_radius, radius)
    # Bins end at the radius, so that none is of both kinds.
    n = max(1, round(radius / 0.05)) if radius / 0.05 <= 80 else 40
    edges = np.arange(0, end + radius / n, radius / n)
    known = nearest[np.isfinite(nearest)]
    for values, colour, label in (
        (known[known <= radius], MAIN, "within the match radius"),
        (known[known > radius], REST, "farther away"),
    ):
        axes.hist(values, edges.tolist(), color=colour, label=f"{len(values):,} {label}")
    if len(known) > 1000:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(bottom=0.6)  # a bar of one row is seen
    else:
        axes.yaxis.set_major_locator(whole_numbers())
    axes.axvline(radius, color=INK, linewidth=1.2)
    axes.annotate(
        f"{radius:g}″", (radius, 0.97), (4, 0), xycoords=("data", "axes fraction"), textcoords="offset points", va="top"
    )
    axes.set(xlim=(0, end), xlabel=f"distance to the nearest {thing} (arcsec)", ylabel="CSV rows")
    figure.legend(loc="outside upper left", ncols=1)
    return figure


def draw_pixels(pixels: Sequence[Pixel], result: str) -> Figure:
    """Draw the busiest pixels: rows with a result (``a spectrum``), without one, and not covered."""
    shown = list(pixels[:SHOWN_PIXELS])
    figure, (axes,) = new(0.75 + 0.27 * max(len(shown), 3))
    y = np.arange(len(shown))
    left = np.zeros(len(shown))
    for label, colour, counts in (
        (f"with {result}", MAIN, [p.matched for p in shown]),
        ("without", LOST, [p.covered - p.matched for p in shown]),
        ("not covered", REST, [p.targets - p.covered for p in shown]),
    ):
        axes.barh(y, counts, 0.68, left=left, color=colour, label=label)
        left += counts
    axes.set_yticks(y, [str(p.pix16) for p in shown])
    axes.set(xlabel="CSV rows", ylabel="NSIDE 16 pixel")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(whole_numbers())
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.0)
    if not shown:
        nothing(axes, "no CSV row has a usable position")
    return figure


def draw_moved(traffic: Sequence[Traffic]) -> Figure:
    """Draw the bytes that were moved, and what the same files have as a whole."""
    bars = []
    for one in traffic:
        said = size(one.bytes) if one.bytes else "0: read from a directory"
        bars.append((f"{one.title}: moved", one.bytes, MAIN, said))
        if one.whole_bytes:
            about = "about " if one.estimated else ""
            name = f"{one.title}: whole files"
            bars.append((name, one.whole_bytes, REST, about + size(one.whole_bytes)))
    return _labelled(bars)


def draw_time(steps: Sequence[RuleTimes]) -> Figure:
    """Draw the time of all jobs of each step."""
    return _labelled(
        [(step.rule, step.seconds, THIRD, f"{clock(step.seconds)} in {counted(step.jobs, 'job')}") for step in steps]
    )


def _labelled(bars: Sequence[tuple[str, float, str, str]]) -> Figure:
    """Draw bars with a name above their beginning and a value above their end."""
    figure, (axes,) = new(0.43 * max(len(bars), 2) + 0.1)
    bare(axes)
    most = max((value for _, value, _, _ in bars), default=0) or 1
    for k, (name, value, colour, said) in enumerate(bars):
        axes.barh(k, most, 0.26, color=FAINT)
        axes.barh(k, value, 0.26, color=colour)
        axes.text(0, k - 0.2, name, va="bottom")
        axes.text(most, k - 0.2, said, va="bottom", ha="right", color=MUTED)
    axes.set(xlim=(0, most), ylim=(max(len(bars), 2) - 0.8, -0.75))
    if not bars:
        nothing(axes, "no journal and no times were left")
    return figure


def nothing(axes: Axes, why: str) -> None:
    """Say on empty axes why they are empty."""
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=MUTED)


def size(n_bytes: float) -> str:
    """Return a number of bytes as a person would say it: ``12.3 MB``; powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}" if unit != "B" else f"{n_bytes:.0f} B"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB" if n_bytes < 1000 else f"{n_bytes:,.0f} TB"


def clock(seconds: float) -> str:
    """Return seconds as a person would say them, with a decimal where they are few."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
