"""The panel with the detector's pieces: a strip for each of the best fibers, and their mean."""

import numpy as np

from skyharvest.core.arrays import Float32s
from skyharvest.report.hetdex_detections.canvas import Box, Canvas, coloured
from skyharvest.report.hetdex_detections.colours import BEYOND, BODY, HEAD, LINE, MASKED, colour_of_exposure
from skyharvest.report.hetdex_detections.content import Content
from skyharvest.report.hetdex_detections.detector_pieces import HEIGHT, WIDTH, FiberPiece
from skyharvest.report.hetdex_detections.plot import SMALL, TICK
from skyharvest.report.hetdex_detections.words import number, shortened
from skyharvest.report.style import INK, MUTED

ZOOM = 5
"""Pixels of the picture for one of the detector."""
GAP, TEXT = 6, 12
SIGMAS = 6.0
"""σ of the noise: what is brighter is black, at least."""
MAP = "gray_r"
TICK_STEP = 20.0
LONGEST = 60
"""Letters, of why there is no piece."""


def draw_detector(canvas: Canvas, content: Content, left: int, top: int) -> None:
    """Draw the panel, 600 × 350 pixels."""
    canvas.text(left, top, "2-D spectra of the best fibers, sky taken off", HEAD, bold=True)
    top += 12
    pieces = content.pieces
    strips: list[tuple[Float32s, FiberPiece | None]] = [(piece.light, piece) for piece in pieces.of_fibers]
    strips.append((pieces.mean, None))
    for k, (light, piece) in enumerate(strips):
        box = Box(left, top + k * (HEIGHT * ZOOM + GAP), WIDTH * ZOOM, HEIGHT * ZOOM)
        _draw_strip(canvas, box, light, piece)
        _describe(canvas, box, piece)
    _draw_axis(canvas, content, box)


def _draw_strip(canvas: Canvas, box: Box, light: Float32s, piece: FiberPiece | None) -> None:
    values = light[::-1].astype(float)
    known = values[np.isfinite(values)]
    if not known.size:
        canvas.rectangle(box, MUTED, BEYOND)
        return
    low, below, middle, high = np.percentile(known, [2.0, 15.87, 50.0, 99.5])
    colours = coloured(values, low, max(high, middle + SIGMAS * (middle - below)), MAP, BEYOND)
    if piece is not None:
        masked = piece.masked[::-1]
        colours[masked] = coloured(np.full((1, 1), np.nan), 0, 1, MAP, MASKED)[0, 0]
    canvas.image(colours, box)
    canvas.rectangle(box, MUTED)
    middle_x = box.left + (WIDTH // 2 + 0.5) * ZOOM
    for y, back in ((box.top, 6), (box.bottom, -6)):  # where the line is
        canvas.line([middle_x, middle_x], [y, y + back], LINE, 2.0)


def _describe(canvas: Canvas, box: Box, piece: FiberPiece | None) -> None:
    x, y = box.right + TEXT, box.top + 15
    if piece is None:
        canvas.text(x, y + 8, "mean by weight", BODY, bold=True)
        return
    fiber = piece.fiber
    expnum = int(fiber["expnum"])
    canvas.text(
        x,
        y,
        f"exp {expnum}  {fiber['amp'].decode()} {int(fiber['fibnum']):03d}",
        BODY,
        bold=True,
        colour=colour_of_exposure(expnum),
    )
    weight, distance = float(fiber["weight"]), float(fiber["distance"])
    canvas.text(x, y + 17, f"weight {number(weight, 2)}, at {number(distance, 2)}″", BODY)
    canvas.text(x, y + 33, f"x {int(fiber['x_raw'])}, y {int(fiber['y_raw'])}", BODY, colour=MUTED)
    if piece.why:
        canvas.text(box.left + 10, box.top + box.height / 2 + 4, shortened(piece.why, LONGEST), BODY, colour=INK)


def _draw_axis(canvas: Canvas, content: Content, box: Box) -> None:
    """Draw the wavelengths below the last strip: those of the best fiber that has a piece."""
    waves = [piece.wave for piece in content.pieces.of_fibers if np.isfinite(piece.wave).sum() > 1]
    if not waves:
        return
    known = np.isfinite(waves[0])
    columns = np.arange(WIDTH)[known]
    wave = waves[0][known]
    ticks = np.arange(np.ceil(wave[0] / TICK_STEP), np.floor(wave[-1] / TICK_STEP) + 1) * TICK_STEP
    for tick, column in zip(ticks, np.interp(ticks, wave, columns), strict=True):
        x = box.left + (column + 0.5) * ZOOM
        canvas.line([x, x], [box.bottom, box.bottom + TICK], MUTED)
        canvas.text(x, box.bottom + TICK + SMALL, f"{tick:.0f}", SMALL, colour=MUTED, anchor="middle")
    y = box.bottom + TICK + SMALL
    x = float(box.right + 2 * TEXT)
    for colour, words in ((MASKED, "cosmic ray"), (BEYOND, "no value")):
        canvas.rectangle(Box(round(x), y - 10, 10, 10), None, colour)
        x = canvas.text(x + 15, y, words, SMALL, colour=MUTED) + 14
