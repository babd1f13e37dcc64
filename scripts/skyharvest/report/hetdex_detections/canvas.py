"""A picture that is drawn into: lines and areas by Agg, text by FreeType through Pillow, images pixel by pixel.

Thousands of pictures are made of a shot. matplotlib's figures take half a second each, nearly all of it for axes and
text; its renderer alone, and Pillow for text, some hundredths of one. All places are pixels from the upper left corner.
"""

import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.path import Path as Curve
from matplotlib.transforms import Affine2D, Bbox
from PIL import Image, ImageDraw, ImageFont

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.report.style import INK, PAPER

DPI = 100
COLOURS = 255
"""Of the PNG's palette."""
Anchor = Literal["left", "middle", "right"]
_Renderer: Any = RendererAgg  # which has no types
_ANCHORS = {"left": "ls", "middle": "ms", "right": "rs"}


class Box(NamedTuple):
    """A rectangle: pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """Its right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """Its lower edge."""
        return self.top + self.height


class _Text(NamedTuple):
    x: float
    y: float
    words: str
    size: int
    bold: bool
    colour: str
    anchor: Anchor
    halo: bool


class Canvas:
    """A picture.

    Parameters
    ----------
    width, height
        Pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._agg = _Renderer(width, height, DPI)
        self._pixels: Array = np.asarray(self._agg.buffer_rgba())
        self._texts: list[_Text] = []
        self._flip = Affine2D().scale(1, -1).translate(0, height)
        self.clear()

    def clear(self) -> None:
        """Make it empty, for the next picture."""
        self._pixels[:] = np.array([round(255 * part) for part in to_rgba(PAPER)], np.uint8)
        self._texts = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: int = 13,
        *,
        bold: bool = False,
        colour: str = INK,
        anchor: Anchor = "left",
        halo: bool = False,
    ) -> float:
        """Write text above all else, with its base line at y; return where it ends.

        Parameters
        ----------
        size
            Pixels.
        halo
            Whether it has a rim of paper, to be read above an image.
        """
        self._texts.append(_Text(x, y, words, size, bold, colour, anchor, halo))
        return x + text_width(words, size, bold=bold)

    def line(
        self,
        x: Sequence[float] | Floats,
        y: Sequence[float] | Floats,
        colour: str = INK,
        width: float = 1.0,
        *,
        within: Box | None = None,
        dashes: Sequence[float] | None = None,
        alpha: float = 1.0,
    ) -> None:
        """Draw a line; it has gaps where x or y is NaN."""
        self._draw(
            np.column_stack([x, y]), face=None, edge=colour, width=width, within=within, dashes=dashes, alpha=alpha
        )

    def area(
        self,
        x: Sequence[float] | Floats,
        y: Sequence[float] | Floats,
        colour: str,
        *,
        within: Box | None = None,
        alpha: float = 1.0,
    ) -> None:
        """Fill a polygon."""
        points = np.column_stack([x, y])
        closed = np.vstack([points, points[:1]])
        self._draw(closed, face=colour, edge=colour, width=0.0, within=within, dashes=None, alpha=alpha)

    def rectangle(self, box: Box, edge: str | None = INK, face: str | None = None, width: float = 1.0) -> None:
        """Draw a rectangle with sharp edges."""
        if face:
            self._pixels[box.top : box.bottom, box.left : box.right, :3] = _bytes(face)
        if edge:
            left, top, right, bottom = box.left + 0.5, box.top + 0.5, box.right - 0.5, box.bottom - 0.5
            self.line([left, right, right, left, left], [top, top, bottom, bottom, top], edge, width)

    def circle(
        self,
        x: float,
        y: float,
        radius: float,
        *,
        edge: str | None = INK,
        face: str | None = None,
        width: float = 1.0,
        within: Box | None = None,
        dashes: Sequence[float] | None = None,
        alpha: float = 1.0,
    ) -> None:
        """Draw a circle."""
        angle = _CIRCLE
        points = np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])
        stroke = width if edge else 0.0
        self._draw(points, face=face, edge=edge or face or INK, width=stroke, within=within, dashes=dashes, alpha=alpha)

    def image(self, colours: Array, box: Box) -> None:
        """Put an image into a box, (h, w, 3) u1, the first row uppermost, each pixel as large as it comes out."""
        row = (np.arange(box.height) * colours.shape[0]) // box.height
        column = (np.arange(box.width) * colours.shape[1]) // box.width
        self._pixels[box.top : box.bottom, box.left : box.right, :3] = colours[row[:, None], column]

    def _draw(
        self,
        points: Floats,
        *,
        face: str | None,
        edge: str,
        width: float,
        within: Box | None,
        dashes: Sequence[float] | None,
        alpha: float,
    ) -> None:
        context = self._agg.new_gc()
        context.set_foreground(to_rgba(edge, alpha), isRGBA=True)
        context.set_linewidth(width)
        context.set_alpha(alpha)
        if dashes:
            context.set_dashes(0, list(dashes))
        if within:
            low, high = self.height - within.bottom, self.height - within.top
            context.set_clip_rectangle(Bbox([[within.left, low], [within.right, high]]))
        fill = to_rgba(face, alpha) if face else None
        self._agg.draw_path(context, Curve(points), self._flip, fill)
        context.restore()

    def png(self) -> bytes:
        """Return the picture as the bytes of a PNG file."""
        picture = Image.fromarray(np.ascontiguousarray(self._pixels[..., :3]))
        pen = ImageDraw.Draw(picture)
        for one in self._texts:
            options: dict[str, Any] = {"stroke_width": 2, "stroke_fill": PAPER} if one.halo else {}
            pen.text(
                (one.x, one.y),
                one.words,
                fill=one.colour,
                font=_font(one.size, one.bold),
                anchor=_ANCHORS[one.anchor],
                **options,
            )
        out = io.BytesIO()
        few = picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(out, "PNG", compress_level=6)
        return out.getvalue()


_CIRCLE = np.linspace(0, 2 * np.pi, 49)


@functools.lru_cache(maxsize=32)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(mpl.get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def text_width(words: str, size: int, *, bold: bool = False) -> float:
    """Return how wide text is, pixels."""
    return float(_font(size, bold).getlength(words))


def _bytes(colour: str) -> Array:
    return np.array([round(255 * part) for part in to_rgb(colour)], np.uint8)


def coloured(values: Floats, low: float, high: float, name: str, missing: str) -> Array:
    """Return the colours of values, (h, w, 3) u1.

    Parameters
    ----------
    values
        (h, w).
    low, high
        What the first and last colour stand for.
    name
        Of matplotlib's map of colours.
    missing
        Colour of what is not finite.
    """
    table = _colours(name)
    known: Bools = np.isfinite(values)
    place = np.where(known, (np.nan_to_num(values) - low) / max(high - low, 1e-30), 0)
    made: Array = table[np.clip(place * len(table), 0, len(table) - 1).astype(np.int64)]
    made[~known] = _bytes(missing)
    return made


@functools.cache
def _colours(name: str) -> Array:
    """Return 64 colours of a map: so many are told apart, and a PNG of them is small."""
    return np.asarray(np.round(255 * mpl.colormaps[name](np.linspace(0, 1, 64))[:, :3]), np.uint8)
