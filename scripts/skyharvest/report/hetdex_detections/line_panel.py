"""The panel with the line: the spectrum about it, the fitted Gaussian, and what this leaves."""

import numpy as np

from skyharvest.reduction.hetdex.virus import GRID
from skyharvest.report.hetdex_detections.canvas import Box, Canvas
from skyharvest.report.hetdex_detections.colours import HEAD, LINE
from skyharvest.report.hetdex_detections.content import Content
from skyharvest.report.hetdex_detections.line_fluxes import gaussian
from skyharvest.report.hetdex_detections.plot import Plot
from skyharvest.report.hetdex_detections.sky_light import is_on_sky_line
from skyharvest.report.style import FAINT, INK, MUTED

HALF = 50.0
"""Å to each side."""
RESIDUAL = 90
"""Pixels."""
SIGMAS = 4.5


def draw_line(canvas: Canvas, content: Content, box: Box) -> None:
    """Draw the panel; numbers stand outside of the box."""
    line = content.line
    wave = line.wave if line else content.wave
    title = "Line and fit" if not content.detection.is_continuum else "Strongest line"
    canvas.text(box.left, box.top - 24, title if line else "Spectrum about its middle", HEAD, bold=True)
    if line and is_on_sky_line(content.sky, line.wave, line.sigma):
        canvas.text(box.right, box.top - 24, "on a line of the sky", HEAD, bold=True, colour=LINE, anchor="right")
    near = np.abs(GRID - wave) <= HALF
    x, flux, error = GRID[near], content.flux[near], content.error[near]
    fine = np.linspace(wave - HALF, wave + HALF, 401)
    model = _model(content, fine)
    known = np.isfinite(flux) & np.isfinite(error)
    reach = np.concatenate([(flux - error)[known], (flux + error)[known], model[np.isfinite(model)], [0.0]])
    low, high = float(reach.min()), float(reach.max())
    margin = 0.06 * max(high - low, 1e-6)
    limits = (low - margin, high + margin)
    upper = Box(box.left, box.top, box.width, box.height - (RESIDUAL + 8 if line else 0))
    plot = Plot(canvas, upper, (wave - HALF, wave + HALF), limits)
    plot.level(0.0, MUTED)
    plot.band(x, flux - error, flux + error, FAINT)
    plot.steps(x, flux, INK, 1.2)
    plot.line(fine, model, LINE, 2.0)
    unit = "10⁻¹⁷ erg/s/cm²/Å"
    if line is None:
        plot.frame(5, 5, x_label="Å, air", y_label=unit)
        return
    plot.frame(0, 5, y_label=unit)
    lower = Plot(
        canvas, Box(box.left, box.bottom - RESIDUAL, box.width, RESIDUAL), (wave - HALF, wave + HALF), (-SIGMAS, SIGMAS)
    )
    for level in (-3.0, 0.0, 3.0):
        lower.level(level, MUTED if level == 0 else FAINT)
    with np.errstate(invalid="ignore", divide="ignore"):
        lower.steps(x, np.clip((flux - _model(content, x)) / error, -SIGMAS, SIGMAS), INK, 1.2)
    canvas.text(box.left + 6, lower.box.top + 15, "less the fit, σ", 12, colour=MUTED, halo=True)
    lower.frame(5, 3, x_label="Å, air")


def _model(content: Content, wave: np.ndarray) -> np.ndarray:
    """Return the fit at wavelengths, per Å; NaN if there is none."""
    line = content.line
    if line is None:
        return np.full(wave.shape, np.nan)
    return line.continuum + line.flux * gaussian(wave, np.array(line.wave), np.array(line.sigma))
