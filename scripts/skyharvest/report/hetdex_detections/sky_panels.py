"""Two pictures of the sky about a detection: the light that fibers saw, and a survey's image."""

import textwrap

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.sources.line_image import APERTURE
from skyharvest.reduction.hetdex.virus import FIBER_RADIUS
from skyharvest.report.hetdex_detections.canvas import Box, Canvas, coloured
from skyharvest.report.hetdex_detections.colours import (
    BEYOND,
    BODY,
    HEAD,
    LINE,
    MOST_NEIGHBOURS,
    NEIGHBOUR,
    colour_of_exposure,
)
from skyharvest.report.hetdex_detections.content import Content
from skyharvest.report.hetdex_detections.words import with_error
from skyharvest.report.style import INK, MUTED, PAPER

HALF = 10.0
"""Arcsec from the middle to an edge."""
NEIGHBOUR_RADIUS = 1.0
BAR = 5.0
SMOOTH_MAP, FIBER_MAP = "viridis", "gray_r"
WIDEST, MOST_LINES = 42, 6
"""Letters of a line, and lines, of why there is no image."""
HOW = (
    "to have one: legacysurvey.enabled: true and",
    "positions of detections as CSV; then again",
    "--forcerun hetdex_reports",
)


def draw_fibers(canvas: Canvas, content: Content, box: Box) -> None:
    """Draw the picture of the line with the fibers, or the fibers of a continuum source by their light."""
    if content.image is not None:
        canvas.text(box.left, box.top - 24, "Line on the sky", HEAD, bold=True)
        words = f"in 1.5″: {with_error(content.image.flux, content.image.flux_err, 2)} ·10⁻¹⁷"
        canvas.text(box.left, box.top - 7, words, BODY, colour=MUTED)
        _draw_image(canvas, content.image.image[::-1].astype(float), box)
        _draw_faces(canvas, content, box, width=0.8)
    else:
        canvas.text(box.left, box.top - 24, "Light of fibers, 4400 to 5200 Å", HEAD, bold=True)
        canvas.rectangle(box, None, BEYOND)
        _draw_lit_faces(canvas, content, box)
    _draw_legend(canvas, content, box)
    _draw_frame(canvas, content, box)


def _draw_image(canvas: Canvas, image: Floats, box: Box) -> None:
    known = image[np.isfinite(image)]
    if not known.size:
        canvas.rectangle(box, None, BEYOND)
        return
    low, middle = np.percentile(known, [15.87, 50])
    noise = max(float(middle - low), 1e-9)
    high = max(float(known.max()), middle + 5 * noise)
    canvas.image(coloured(image, middle - 2 * noise, high, SMOOTH_MAP, BEYOND), box)


def _place(box: Box, east: Floats, north: Floats) -> tuple[Floats, Floats]:
    """Return where offsets are, pixels: north is up and east to the left."""
    scale = box.width / (2 * HALF)
    return box.left + box.width / 2 - east * scale, box.top + box.height / 2 - north * scale


def _draw_faces(canvas: Canvas, content: Content, box: Box, width: float) -> None:
    fibers = content.fibers
    radius = FIBER_RADIUS * box.width / (2 * HALF)
    near = np.hypot(fibers.east, fibers.north) < 1.5 * HALF
    xs, ys = _place(box, fibers.east[near], fibers.north[near])
    for x, y, expnum in zip(xs, ys, fibers.expnum[near], strict=True):
        canvas.circle(x, y, radius, edge=colour_of_exposure(int(expnum)), width=width, within=box, alpha=0.9)


def _draw_lit_faces(canvas: Canvas, content: Content, box: Box) -> None:
    fibers = content.fibers
    radius = FIBER_RADIUS * box.width / (2 * HALF)
    near = np.flatnonzero(np.hypot(fibers.east, fibers.north) < 1.5 * HALF)
    light = fibers.light[near]
    if not np.isfinite(light).any():
        return
    # Roots, as a star's wings are faint.
    shown = np.sqrt(np.maximum(light, 0.0))
    faces = coloured(shown[None], 0.0, float(np.nanmax(shown)) or 1.0, FIBER_MAP, BEYOND)[0]
    xs, ys = _place(box, fibers.east[near], fibers.north[near])
    order = np.argsort(np.nan_to_num(light, nan=-np.inf))  # the brightest above the others
    for k in order:
        face = "#{:02x}{:02x}{:02x}".format(*faces[k])
        edge = colour_of_exposure(int(fibers.expnum[near[k]]))
        canvas.circle(xs[k], ys[k], radius, edge=edge, face=face, width=0.5, within=box)


def _draw_legend(canvas: Canvas, content: Content, box: Box) -> None:
    x: float = box.left
    y = box.bottom + 17
    for expnum in sorted(content.exposures):
        canvas.circle(x + 5, y - 4, 5, edge=colour_of_exposure(expnum), width=1.5)
        x = canvas.text(x + 14, y, f"exp {expnum}", BODY, colour=MUTED) + 12


def _draw_frame(canvas: Canvas, content: Content, box: Box) -> None:
    """Draw the aperture, neighbours, compass, scale and edges."""
    scale = box.width / (2 * HALF)
    middle = (box.left + box.width / 2, box.top + box.height / 2)
    canvas.circle(*middle, APERTURE * scale, edge=PAPER, width=3.0, within=box)
    canvas.circle(*middle, APERTURE * scale, edge=LINE, width=1.5, within=box)
    for k, neighbour in enumerate(content.neighbours[:MOST_NEIGHBOURS], 1):
        x, y = (float(at) for at in _place(box, np.array(neighbour.east), np.array(neighbour.north)))
        radius = NEIGHBOUR_RADIUS * scale
        if box.left < x < box.right and box.top < y < box.bottom:
            canvas.circle(x, y, radius, edge=PAPER, width=3.0, within=box)
            canvas.circle(x, y, radius, edge=NEIGHBOUR, width=1.5, within=box)
            at = x + radius + 3 if x + radius + 14 < box.right else x - radius - 12
            canvas.text(at, max(y - 6, box.top + 13), str(k), 13, bold=True, colour=NEIGHBOUR, halo=True)
    canvas.rectangle(box, MUTED)
    _draw_compass(canvas, box)
    right = box.right - 10
    y = box.bottom - 10
    canvas.line([right - BAR * scale, right], [y, y], PAPER, 4.0)
    canvas.line([right - BAR * scale, right], [y, y], INK, 2.0)
    canvas.text(right - BAR * scale / 2, y - 6, f"{BAR:g}″", BODY, anchor="middle", halo=True)


def _draw_compass(canvas: Canvas, box: Box) -> None:
    x, y, arm = box.left + 34, box.bottom - 12, 22
    for colour, width in ((PAPER, 4.0), (INK, 1.5)):
        canvas.line([x, x, x - arm], [y - arm, y, y], colour, width)
    canvas.text(x, y - arm - 4, "N", BODY, anchor="middle", halo=True)
    canvas.text(x - arm - 5, y + 4, "E", BODY, anchor="middle", halo=True)


def draw_survey(canvas: Canvas, content: Content, box: Box) -> None:
    """Draw the survey's image, or say why there is none."""
    picture = content.picture
    canvas.text(box.left, box.top - 8, "Legacy Surveys", HEAD, bold=True)
    if picture is None or not picture.bands:
        canvas.rectangle(box, MUTED, "#f3f5f7")
        why = content.no_picture if picture is None else "the cutout has no data here"
        said = textwrap.wrap(why, WIDEST)[:MOST_LINES]
        for k, words in enumerate((*said, *HOW)):
            y = box.top + box.height / 2 - 9 * (len(said) + len(HOW)) + 18 * k
            colour = INK if k < len(said) else MUTED
            canvas.text(box.left + box.width / 2, y, words, 11, colour=colour, anchor="middle")
        return
    canvas.text(box.right, box.top - 8, " ".join(picture.bands), BODY, colour=MUTED, anchor="right")
    canvas.image(picture.colours, box)
    _draw_frame(canvas, content, box)
