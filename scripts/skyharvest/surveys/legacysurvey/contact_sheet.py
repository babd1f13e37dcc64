"""Contact sheets: all cutouts of an assembled ``crossmatch_legacysurvey.hdf5`` in one PNG.

One stretch serves the whole sheet, so that what is brighter on it is brighter on the sky. North is up (+y) and East
left (-x), as in the cutouts.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.surveys.legacysurvey.colors import lupton, shown_bands, shown_planes, sky_noise
from skyharvest.targets.settings import Targets

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]
Color = tuple[int, ...]

SAMPLE = 40  # cutouts that the noise is measured on
MAGNITUDE_ARCSEC = 1.5  # radius of the aperture whose magnitude is shown, or the nearest that there is
SCALES_ARCSEC = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)

MAX_SIDE = 16_000  # pixels: what viewers show
ASPECT = 1.4  # width over height, about
LEAST_WIDTH = 660  # of the heading
LEAST_THUMBNAIL, MOST_THUMBNAIL = 32, 1024
MARGIN, GAP, LABEL, HEADING = 24, 14, 34, 96  # pixels

GROUND: Color = (13, 15, 19)
FRAME: Color = (40, 44, 53)
NOTHING: Color = (27, 30, 37)
HATCH: Color = (43, 47, 57)
BRIGHT: Color = (233, 236, 241)
DIM: Color = (139, 146, 159)
AMBER: Color = (240, 180, 84)
MARK: Color = (126, 238, 176)
LIGHTS: dict[int, tuple[Color, ...]] = {
    0: (),
    1: ((200, 200, 200),),
    2: ((255, 96, 88), (92, 150, 255)),
    3: ((255, 96, 88), (98, 214, 120), (92, 150, 255)),
}


@dataclass(frozen=True)
class Grid:
    """Where the cutouts are on a sheet, in pixels."""

    n: int
    columns: int
    thumbnail: int

    @property
    def width(self) -> int:
        """Of the sheet."""
        return max(2 * MARGIN + self.columns * (self.thumbnail + GAP) - GAP, LEAST_WIDTH)

    @property
    def height(self) -> int:
        """Of the sheet."""
        rows = max(math.ceil(self.n / self.columns), 1)
        return HEADING + rows * (self.thumbnail + LABEL + GAP) + MARGIN - GAP

    def corner(self, k: int) -> tuple[int, int]:
        """Return the left and the top pixel of a cutout; its label is below it."""
        row, column = divmod(k, self.columns)
        step = self.thumbnail + GAP
        return MARGIN + column * step, HEADING + row * (step + LABEL)


def grid(n: int, thumbnail: int = 160) -> Grid:
    """Return the grid for n cutouts, of smaller thumbnails where it would be larger than `MAX_SIDE`."""
    while True:
        cell = (thumbnail + GAP) / (thumbnail + LABEL + GAP)
        rows = max(round(math.sqrt(n * cell / ASPECT)), 1)
        sheet = Grid(n, max(math.ceil(n / rows), 1), thumbnail)
        if max(sheet.width, sheet.height) <= MAX_SIDE or thumbnail == LEAST_THUMBNAIL:
            return sheet
        thumbnail = max(int(thumbnail * 0.9), LEAST_THUMBNAIL)


def make_sheet(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, name: str = Targets.name, thumbnail: int = 160
) -> int:
    """Draw the contact sheet of one assembled file, in the order of its rows, and return how many cutouts are on it.

    Each has its CSV row, its position, and its magnitude if the file has ``aperture_magnitude`` (n, band[, radius]; and
    the radii in ``aperture_radius``, arcsec). A cutout says which bands it lacks; pixels without data are
    hatched. The PNG appears complete or not at all.

    Parameters
    ----------
    path
        ``crossmatch_legacysurvey.hdf5``. It may have no rows.
    thumbnail
        Side of a cutout on the sheet, pixels; smaller where there are very many.

    Raises
    ------
    InputError
        If the file has no images or no such group, or the thumbnail's size is absurd.
    MalformedFile
        If it is torn, or its datasets do not belong together.
    """
    from PIL import Image  # noqa: PLC0415

    if not LEAST_THUMBNAIL <= thumbnail <= MOST_THUMBNAIL:
        raise InputError(
            f"the thumbnails' size is {thumbnail} pixels, expected {LEAST_THUMBNAIL} to {MOST_THUMBNAIL}: change it"
        )
    with hdf5.reading(path) as file:
        cutouts = _Cutouts(file, Path(path), name)
        places = grid(cutouts.n, thumbnail)
        noise = _sky_noise(cutouts, places.thumbnail)
        sheet = Image.new("RGB", (places.width, places.height), GROUND)
        pen = _Pen(sheet)
        _draw_heading(pen, places, cutouts, file.attrs)
        for k in range(cutouts.n):
            left, top = places.corner(k)
            planes, missing = cutouts.planes(k, places.thumbnail)
            pen.draw.rectangle((left - 1, top - 1, left + places.thumbnail, top + places.thumbnail), outline=FRAME)
            sheet.paste(Image.fromarray(_render(planes, noise, places.thumbnail)), (left, top))
            if planes:
                _draw_source(pen, places, k, cutouts)
            if missing:
                _draw_missing(pen, (left, top, places.thumbnail), missing, bool(planes))
            _draw_label(pen, places, k, cutouts.label(k))
    with atomic_path(out) as temporary:
        sheet.save(temporary, format="PNG", compress_level=6)
    return places.n


class _Cutouts:
    """The cutouts of an assembled file, and their labels."""

    def __init__(self, file: h5py.File, path: Path, name: str) -> None:
        if "legacysurvey" not in file:
            raise InputError(f"{path} has no group legacysurvey: give a crossmatch_legacysurvey.hdf5")
        group = file["legacysurvey"]
        if "image" not in group:
            raise InputError(f"{path} has no legacysurvey/image: put image among the configuration's products")
        if name not in file:
            others = ", ".join(key for key in file if key != "legacysurvey") or "none"
            raise InputError(f"{path} has no group {name!r} of CSV columns (there is: {others}): name the right one")
        self._image = group["image"]
        if self._image.ndim != 4 or self._image.shape[2] != self._image.shape[3]:
            raise MalformedFile(f"{path}: legacysurvey/image is {self._image.shape}, expected (n, band, size, size)")
        self.n, n_bands, self.size, _ = self._image.shape
        columns = {key: group.get(key) for key in ("ra", "dec", "x", "y", "x0", "y0")} | {"row": file[name].get("row")}
        for key, column in columns.items():
            if column is None or column.shape != (self.n,):
                actual = "not there" if column is None else f"of shape {column.shape}"
                raise MalformedFile(f"{path}: {key} is {actual}, expected ({self.n},) as of legacysurvey/image")
        if "band" not in group or group["band"].shape != (n_bands,):
            raise MalformedFile(f"{path}: legacysurvey/band is not there or not ({n_bands},) as of legacysurvey/image")
        self._values = {key: column[:] for key, column in columns.items()}
        self.bands = hdf5.text(group["band"][:])
        pixscale = float(group.attrs.get("pixscale", math.nan))
        if not 0 < pixscale < math.inf:
            raise MalformedFile(f"{path}: legacysurvey's attribute pixscale is {pixscale}, expected arcsec per pixel")
        self.side_arcsec = pixscale * self.size
        self.magnitude_band = "r" if "r" in self.bands else next(iter(self.bands), "")
        self.radius, self.magnitudes = self._read_magnitudes(group)

    def _read_magnitudes(self, group: h5py.Group) -> tuple[float | None, Floats]:
        """Return the radius (arcsec) and the magnitudes (n,) that are shown, NaN where there is none."""
        magnitudes, radii = group.get("aperture_magnitude"), group.get("aperture_radius")
        if magnitudes is None or magnitudes.shape[:2] != (self.n, len(self.bands)) or not self.bands:
            return None, np.full(self.n, np.nan)
        values = magnitudes[:, self.bands.index(self.magnitude_band)]
        if values.ndim == 1:
            return None, values
        if radii is None or radii.shape != values.shape[1:] or radii.size == 0:
            return None, np.full(self.n, np.nan)
        nearest = int(np.argmin(np.abs(radii[:] - MAGNITUDE_ARCSEC)))
        return float(radii[nearest]), values[:, nearest]

    def planes(self, k: int, side: int) -> tuple[list[Array], list[str]]:
        """Return thumbnails of the bands that are red, green and blue, North up, and the names of missing bands."""
        planes, having = shown_planes(self._image[k][:, ::-1], self.bands)
        return [_resize(plane, side) for plane in planes], [band for band in self.bands if band not in having]

    def place(self, k: int, side: int) -> tuple[float, float]:
        """Return where the source is on the thumbnail: pixels from its left and its top edge."""
        x, y = (float(self._values[key][k]) - float(self._values[f"{key}0"][k]) + 0.5 for key in ("x", "y"))
        return x * side / self.size, side - y * side / self.size

    def label(self, k: int) -> tuple[str, str, str]:
        """Return what is written below a cutout: CSV row, magnitude, position."""
        magnitude = self.magnitudes[k]
        return (
            f"#{int(self._values['row'][k])}",
            f"{self.magnitude_band} {magnitude:.2f}" if np.isfinite(magnitude) else "",
            f"{self._values['ra'][k]:.5f} {self._values['dec'][k]:+.5f}",
        )


def _resize(plane: Array, side: int) -> Array:
    """Return a square image with another number of pixels: the mean of finite values, NaN where there are none."""
    from PIL import Image  # noqa: PLC0415

    if plane.shape == (side, side):
        return plane
    method = Image.Resampling.BOX if side < len(plane) else Image.Resampling.BILINEAR
    good = np.isfinite(plane)
    total, weight = (
        np.asarray(Image.fromarray(np.ascontiguousarray(values, np.float32)).resize((side, side), method))
        for values in (np.where(good, plane, 0), good)
    )
    return np.asarray(np.where(weight > 0, total / np.where(weight > 0, weight, 1), np.nan))


def _sky_noise(cutouts: _Cutouts, side: int) -> float:
    """Return the noise of the sky in the sheet's planes, measured on some cutouts."""
    shown = np.unique(np.linspace(0, cutouts.n - 1, SAMPLE).astype(int)) if cutouts.n else ()
    return sky_noise([plane for k in shown for plane in cutouts.planes(int(k), side)[0]])


def _render(planes: Sequence[Array], noise: float, side: int) -> Pixels:
    """Return the picture (side, side, 3) of one to three planes, from red to blue; of none, all hatched."""
    rows, columns = np.indices((side, side))
    hatched = np.where(((rows + columns) % 9 < 1)[..., None], HATCH, NOTHING).astype(np.uint8)
    return lupton(planes, noise, hatched) if planes else hatched


class _Pen:
    """Draws on a sheet, text with Pillow's own font (which has ASCII, ° and ·)."""

    def __init__(self, sheet: "Image.Image") -> None:
        from PIL import ImageDraw, ImageFont  # noqa: PLC0415

        self.draw: ImageDraw.ImageDraw = ImageDraw.Draw(sheet, "RGBA")
        self._fonts = {size: ImageFont.load_default(size) for size in (10, 11, 12, 13, 20)}

    def width(self, text: str, size: int) -> float:
        """Return how many pixels wide a text is."""
        return float(self.draw.textlength(self._spaced(text, size), self._fonts[size]))

    def write(self, at: tuple[float, float], text: str, size: int, color: Color, anchor: str = "ls") -> None:
        """Write a text; the anchor is Pillow's, by default the left end of the baseline."""
        self.draw.text(at, self._spaced(text, size), color, self._fonts[size], anchor)

    @staticmethod
    def _spaced(text: str, size: int) -> str:
        return text if size > 13 else text.replace(" ", "  ")  # small blanks are hard to see


def _draw_source(pen: _Pen, places: Grid, k: int, cutouts: _Cutouts) -> None:
    """Draw an open cross around the source of a cutout."""
    side = places.thumbnail
    left, top = places.corner(k)
    x, y = cutouts.place(k, side)
    if not (0 <= x <= side and 0 <= y <= side):  # or NaN
        return
    _draw_cross(pen, (left + x, top + y), side / 160)


def _draw_cross(pen: _Pen, at: tuple[float, float], scale: float) -> None:
    x, y = (math.floor(value) for value in at)
    inner, outer = round(8 * scale), round(16 * scale)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        ends = (x + inner * dx, y + inner * dy, x + outer * dx, y + outer * dy)
        pen.draw.line(ends, (*GROUND, 70), 3)
        pen.draw.line(ends, (*MARK, 230), 1)


def _draw_missing(pen: _Pen, box: tuple[int, int, int], bands: Sequence[str], is_seen: bool) -> None:
    """Say which bands a cutout lacks."""
    left, top, side = box
    if not is_seen:
        pen.write((left + side / 2, top + side / 2), "no image", 12, AMBER, "mm")
        return
    text = f"no {', '.join(bands)}"
    bottom = top + side - 5
    pen.draw.rectangle((left + 4, bottom - 15, left + 12 + pen.width(text, 11), bottom), (*GROUND, 190))
    pen.write((left + 8, bottom - 4), text, 11, AMBER)


def _draw_label(pen: _Pen, places: Grid, k: int, label: tuple[str, str, str]) -> None:
    """Write row, magnitude and position below a cutout, as far as there is room."""
    left, top = places.corner(k)
    row, magnitude, position = label
    right, below = left + places.thumbnail, top + places.thumbnail
    pen.write((left, below + 16), row, 12, BRIGHT)
    if pen.width(row, 12) + pen.width(magnitude, 11) + 6 <= places.thumbnail:
        pen.write((right, below + 16), magnitude, 11, DIM, "rs")
    if pen.width(position, 11) <= places.thumbnail:
        pen.write((left, below + 30), position, 11, DIM)


def _draw_heading(pen: _Pen, places: Grid, cutouts: _Cutouts, attributes: Any) -> None:
    """Write the title, and draw the legend: colours, mark, scale bar, compass."""
    pen.write((MARGIN, 38), f"Healpix {attributes['healpix']}" if "healpix" in attributes else "Cutouts", 20, BRIGHT)
    release = f"Legacy Surveys {attributes.get('release', '')}".strip()
    counted = f'{cutouts.n:,} cutout{"s" * (cutouts.n != 1)} of {cutouts.side_arcsec:.3g}"'
    pen.write((MARGIN, 59), f"{release} · {counted}", 12, DIM)
    at: float = MARGIN
    bands = shown_bands(cutouts.bands)
    for band, color in zip(bands, LIGHTS[len(bands)], strict=True):
        pen.draw.ellipse((at, 69, at + 8, 77), color)
        pen.write((at + 13, 77), band, 12, DIM)
        at += 24 + pen.width(band, 12)
    if np.isfinite(cutouts.magnitudes).any():
        within = f' within {cutouts.radius:.3g}"' if cutouts.radius else ""
        pen.write((at, 77), f"AB magnitude{within}", 12, DIM)

    right, middle = places.width - MARGIN, 50
    _draw_compass(pen, right, middle)
    scale = cutouts.side_arcsec / places.thumbnail
    length = max(
        (arcsec for arcsec in SCALES_ARCSEC if arcsec <= places.thumbnail * scale / 2), default=SCALES_ARCSEC[0]
    )
    bar = round(length / scale)
    start = right - 78 - bar
    pen.draw.line((start, middle, start + bar, middle), BRIGHT, 1)
    for end in (start, start + bar):
        pen.draw.line((end, middle - 4, end, middle + 4), BRIGHT, 1)
    pen.write((start + bar / 2, middle + 20), f'{length:g}"', 12, DIM, "ms")
    cross = start - 48
    _draw_cross(pen, (cross, middle), 0.75)
    pen.write((cross, middle + 26), "source", 12, DIM, "ms")


def _draw_compass(pen: _Pen, right: int, middle: int) -> None:
    """Draw arrows to the North (up) and the East (left)."""
    x, y, length = right - 8, middle + 18, 34
    for (dx, dy), name, anchor in (((0, -1), "N", "ms"), ((-1, 0), "E", "rm")):
        tip = (x + length * dx, y + length * dy)
        pen.draw.line((x, y, *tip), BRIGHT, 1)
        barbs = [(tip[0] - 6 * dx + side * 3 * dy, tip[1] - 6 * dy + side * 3 * dx) for side in (-1, 1)]
        pen.draw.polygon([tip, *barbs], BRIGHT)
        pen.write((tip[0] + 5 * dx, tip[1] + 5 * dy), name, 12, BRIGHT, anchor)
