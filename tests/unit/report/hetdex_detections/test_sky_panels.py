"""Pictures of the sky in reports: north is up, east to the left, whatever is drawn."""

import dataclasses

import numpy as np
import pytest

from hetdex_sources import MIDDLE, Line, Star, ifu_fibers
from skyharvest.reduction.hetdex.sources.detection_file import rows_of_source
from skyharvest.reduction.hetdex.sources.point_spectrum import extract
from skyharvest.report.hetdex_detections.canvas import Box, Canvas
from skyharvest.report.hetdex_detections.content import gather
from skyharvest.report.hetdex_detections.detector_pieces import DetectorImages
from skyharvest.report.hetdex_detections.legacy_images import SkyPicture
from skyharvest.report.hetdex_detections.neighbours import Neighbour
from skyharvest.report.hetdex_detections.shot_detections import Detection
from skyharvest.report.hetdex_detections.sky_panels import HALF, draw_fibers, draw_survey

EAST, NORTH = 5.0, 3.0
BOX = Box(20, 40, 320, 320)
FIRST, CONTINUUM = 2019010301795400, 2019010301796000


def content(kind):
    """Return that of a faint source, with a bright one `EAST` and `NORTH` of it."""
    empty = ifu_fibers(rows=9, columns=8, seed=None)
    ra, dec = (float(one[0]) for one in empty.pointing.to_sky(np.array([MIDDLE[0]]), np.array([MIDDLE[1]])))
    other = ra + EAST / 3600 / np.cos(np.radians(dec)), dec + NORTH / 3600
    x, y = (float(one) - middle for one, middle in zip(empty.pointing.to_plane(*other), MIDDLE, strict=True))
    sources = [Line(0, 0, 4500.0, 30.0), Line(x, y, 4500.0, 300.0)] if kind is Line else [Star(0, 0, 1), Star(x, y, 9)]
    fibers = ifu_fibers(sources, rows=9, columns=8, error=0.05)
    spectrum = extract(fibers, *MIDDLE, aperture=3.5)
    rows = rows_of_source(
        FIRST if kind is Line else CONTINUUM, fibers, spectrum, 4500.0, {"wave": 4500.0, "linewidth": 2.7, "flux": 30.0}
    )
    detection = Detection(rows.detections[0], rows.spectra[0], rows.fibers)
    nothing = {"sky": np.full(1036, np.nan), "picture": None, "no_picture": "", "neighbours": [], "same_source": []}
    return gather(detection, fibers, DetectorImages([]), **nothing)


def pixels(canvas):
    return canvas._pixels[BOX.top : BOX.bottom, BOX.left : BOX.right, :3].astype(int)


def place(mask):
    """Return the middle of pixels, arcsec east and north."""
    row, column = np.argwhere(mask).mean(axis=0) + 0.5
    scale = 2 * HALF / BOX.width
    return (BOX.width / 2 - column) * scale, (BOX.height / 2 - row) * scale


@pytest.mark.parametrize("kind", [Line, Star])
def test_light_is_where_the_sky_has_it(kind):
    canvas = Canvas(400, 400)
    draw_fibers(canvas, content(kind), BOX)
    red, green, blue = np.moveaxis(pixels(canvas), -1, 0)
    # The brightest of viridis is yellow; fibers of a continuum source are the blacker the brighter.
    lit = (red > 200) & (green > 200) & (blue < 80) if kind is Line else red + green + blue < 60
    lit[-60:] = False  # the compass and the bar
    assert place(lit) == pytest.approx((EAST, NORTH), abs=0.8)


def test_neighbours_are_marked_where_they_are():
    canvas = Canvas(400, 400)
    neighbour = Neighbour("", "", False, 0, 0, 0, -EAST, NORTH, np.full(5, np.nan), np.nan)
    picture = SkyPicture(np.zeros((77, 77, 3), np.uint8), HALF, "r")
    picture.colours[:10] = 255  # the north is white
    draw_survey(canvas, dataclasses.replace(content(Line), picture=picture, neighbours=[neighbour]), BOX)
    red, green, blue = np.moveaxis(pixels(canvas), -1, 0)
    assert pixels(canvas)[:30].mean() > 200 and pixels(canvas)[100:120].mean() < 60
    marked = (abs(red - 0x91) < 6) & (abs(green - 0x70) < 6) & (abs(blue - 0xB5) < 6)
    assert place(marked) == pytest.approx((-EAST, NORTH), abs=0.4)
