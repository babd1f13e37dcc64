"""The picture of a report: where its panels are."""

from skyharvest.report.hetdex_detections.canvas import Box, Canvas
from skyharvest.report.hetdex_detections.content import Content
from skyharvest.report.hetdex_detections.detector_panel import draw_detector
from skyharvest.report.hetdex_detections.header import draw_header
from skyharvest.report.hetdex_detections.line_panel import draw_line
from skyharvest.report.hetdex_detections.sky_panels import draw_fibers, draw_survey
from skyharvest.report.hetdex_detections.spectrum_panel import draw_spectrum
from skyharvest.report.hetdex_detections.tables import draw_guesses, draw_neighbours, draw_same_source

WIDTH, HEIGHT = 1500, 1100
VERSION = 1
"""Of what pictures look like: another one makes those that are there old."""
LINE_BOX, FIBERS_BOX = Box(690, 202, 370, 290), Box(1156, 202, 316, 316)
SPECTRUM_BOX = Box(64, 572, 1412, 192)
SURVEY_BOX = Box(24, 818, 268, 268)


class Picture:
    """Draws reports, one after the other, on one canvas.

    Parameters
    ----------
    radius
        Arcsec, in which neighbours were looked for.
    """

    def __init__(self, radius: float) -> None:
        self._canvas = Canvas(WIDTH, HEIGHT)
        self._radius = radius

    def draw(self, content: Content) -> bytes:
        """Return the picture of a detection, the bytes of a PNG file."""
        canvas = self._canvas
        canvas.clear()
        draw_header(canvas, content)
        draw_detector(canvas, content, 24, 178)
        draw_line(canvas, content, LINE_BOX)
        draw_fibers(canvas, content, FIBERS_BOX)
        draw_spectrum(canvas, content, SPECTRUM_BOX)
        draw_survey(canvas, content, SURVEY_BOX)
        end = draw_neighbours(canvas, content, 322, 810, self._radius)
        draw_same_source(canvas, content, 322, max(end + 32, 996))
        draw_guesses(canvas, content, 800, 810)
        return canvas.png()
