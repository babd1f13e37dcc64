"""Maps of the sky in the Mollweide projection, equal in area: pixels, shaded by the number of CSV rows in them.

Projection: Snyder 1987, "Map projections: a working manual", p. 249. Right ascension grows to the left; 120° is in the
middle, as in DESI's own maps, so that neither galactic cap is cut.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle

from skyharvest.core.arrays import Floats, Ints
from skyharvest.report.style import FAINT, LOST, MAIN, MUTED, PAPER, new
from skyharvest.sky.healpix import outlines

CENTRE = 120.0  # degrees of right ascension
STEPS = 4  # points on each side of a pixel
SHADES = (0.3, 0.47, 0.64, 0.82, 1.0)  # opacity; works on light and dark paper
FEW = 200  # so many pixels get a border of their colour, to be seen at all


def mollweide(ra: Any, dec: Any) -> tuple[Floats, Floats]:
    """Return the plane's x (-2 to 2, East to the left) and y (-1 to 1).

    Parameters
    ----------
    ra, dec
        Degrees, of any shape; right ascensions may go round more than once: x goes on beyond the ellipse.
    """
    phi = np.radians(np.asarray(dec, np.float64))
    theta = phi.copy()
    wanted = np.pi * np.sin(phi)
    for _ in range(60):  # Newton's method is slow at the poles: there the slope is 0
        slope = 2 + 2 * np.cos(2 * theta)
        step = (2 * theta + np.sin(2 * theta) - wanted) / np.maximum(slope, 1e-12)
        theta = np.clip(theta - step, -np.pi / 2, np.pi / 2)
        if np.all(np.abs(step) < 1e-9):
            break
    theta = np.where(np.abs(phi) > np.pi / 2 - 1e-9, np.copysign(np.pi / 2, phi), theta)
    return -(np.asarray(ra, np.float64) - CENTRE) / 90 * np.cos(theta), np.sin(theta)


def polygons(nside: int, pixels: Ints) -> tuple[Floats, Ints]:
    """Return the pixels' outlines in the plane, (m, points, 2), and the index of the pixel of each, (m,).

    A pixel that the map's edge cuts is there twice, once on either side.
    """
    ra, dec = outlines(nside, pixels, STEPS)
    # At a pole itself the right ascension says nothing: that of the point beside it keeps the outline in one piece.
    pole = np.abs(dec) > 90 - 1e-6
    middle = np.degrees(np.angle(np.where(pole, 0, np.exp(1j * np.radians(ra))).sum(axis=1, keepdims=True)))
    middle = (middle - CENTRE + 180) % 360 - 180 + CENTRE
    ra = np.where(pole, middle, (ra - middle + 180) % 360 - 180 + middle)
    index = np.arange(len(pixels))
    west, east = (ra > CENTRE + 180).any(axis=1), (ra < CENTRE - 180).any(axis=1)
    ra = np.concatenate([ra, ra[west] - 360, ra[east] + 360])
    dec = np.concatenate([dec, dec[west], dec[east]])
    return np.stack(mollweide(ra, dec), axis=-1), np.concatenate([index, index[west], index[east]])


def levels(most: int) -> list[int]:
    """Return the smallest number of rows of each shade; a factor apart, beginning with 1."""
    if most <= len(SHADES):
        return list(range(1, max(most, 1) + 1))
    factor = most ** (1 / len(SHADES))
    return list(dict.fromkeys(math.ceil(round(factor**k, 6)) for k in range(len(SHADES))))


def draw_sky(maps: Sequence[tuple[str, Ints, Ints]], nside: int) -> Figure:
    """Draw maps, one above the other, that share their shades; the first in blue, the others in orange.

    Parameters
    ----------
    maps
        Title, pixels (NESTED) and the number of CSV rows in each.
    """
    figure, axes = new(0.3 + 2.4 * len(maps), len(maps))
    begin = levels(max((int(counts.max()) for _, _, counts in maps if len(counts)), default=1))
    shades = SHADES[-len(begin) :]
    for k, (title, pixels, counts) in enumerate(maps):
        colour = MAIN if k == 0 else LOST
        _draw_one(
            axes[k], pixels, np.searchsorted(begin, counts, side="right") - 1, nside, shades=shades, colour=colour
        )
        axes[k].set_title(title, loc="left")
        _legend(axes[k], begin, shades, colour)
    return figure


def _draw_one(axes: Axes, pixels: Ints, shade: Ints, nside: int, *, shades: Sequence[float], colour: str) -> None:
    axes.set(xlim=(-2.12, 2.12), ylim=(-1.5, 1.03), aspect="equal")
    axes.set_axis_off()
    outline = Ellipse((0, 0), 4, 2, facecolor="none", edgecolor=MUTED, linewidth=0.9)
    axes.add_patch(outline)
    for dec in (-60, -30, 0, 30, 60):
        x, y = mollweide(CENTRE + np.linspace(-180, 180, 61), np.full(61, dec))
        axes.plot(x, y, color=FAINT, linewidth=0.7, zorder=0)
    for ra in range(int(CENTRE) - 120, int(CENTRE) + 180, 60):
        x, y = mollweide(np.full(61, ra), np.linspace(-90, 90, 61))
        axes.plot(x, y, color=FAINT, linewidth=0.7, zorder=0)
        label = axes.text(x[30], -0.03, f"{ra % 360}°", color=MUTED, fontsize=8, ha="center", va="top", zorder=3)
        label.set_bbox({"facecolor": PAPER, "alpha": 0.75, "pad": 0.6, "linewidth": 0})
    for dec in (-60, -30, 30, 60):
        x, y = mollweide(CENTRE + 180, dec)
        name = f"{dec:+d}°".replace("-", "−")
        beside = "bottom" if dec > 0 else "top"
        axes.text(float(x) - 0.02, float(y), name, color=MUTED, fontsize=8, ha="right", va=beside)
    shapes, index = polygons(nside, pixels) if len(pixels) else (np.zeros((0, 4, 2)), np.zeros(0, np.int64))
    width = 1.2 if len(pixels) <= FEW else 0.0
    for level, alpha in enumerate(shades):
        of_level = shapes[shade[index] == level]
        drawn = PolyCollection(
            list(of_level), facecolor=colour, edgecolor=colour if width else "none", alpha=alpha, linewidth=width
        )
        drawn.set_clip_path(outline)
        axes.add_collection(drawn, autolim=False)
    if not len(pixels):
        axes.text(0, 0.42, "none", ha="center", color=MUTED)


def _legend(axes: Axes, begin: Sequence[int], shades: Sequence[float], colour: str) -> None:
    width = 0.62
    left = -width * len(begin) / 2
    for k, (low, alpha) in enumerate(zip(begin, shades, strict=True)):
        axes.add_patch(Rectangle((left + k * width, -1.3), width, 0.09, facecolor=colour, alpha=alpha, linewidth=0))
        high = begin[k + 1] - 1 if k + 1 < len(begin) else None
        label = f"{low:,}" if high == low else f"{low:,}–{high:,}" if high else f"{low:,}+"
        axes.text(left + (k + 0.5) * width, -1.33, label, ha="center", va="top", fontsize=8, color=MUTED)
    axes.text(0, -1.19, "CSV rows per pixel", ha="center", va="bottom", fontsize=8, color=MUTED)
