"""The head of a report: what the detection is, its numbers, and the best guess."""

import numpy as np

from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS
from skyharvest.report.hetdex_detections.canvas import Canvas, text_width
from skyharvest.report.hetdex_detections.colours import GUESSES, NEIGHBOUR
from skyharvest.report.hetdex_detections.content import Content
from skyharvest.report.hetdex_detections.magnitudes import ab_magnitude
from skyharvest.report.hetdex_detections.words import (
    FWHM,
    UNKNOWN,
    number,
    sexagesimal,
    share,
    velocity,
    with_error,
    with_unit,
)
from skyharvest.report.style import FAINT, MUTED

LEFT, RIGHT = 24, 1476
TITLE, NAME, VALUE = 24, 12, 14
FIRST_ROW, ROW, LINE = 70, 22, 149
COLUMNS = (24, 330, 690, 1030, 1270)
SAME, G = 1.5, BANDS.index("g")
"""Arcsec within which a continuum source is a star of the catalogue; and the place of its magnitude."""
Pairs = list[tuple[str, str]]


def draw_header(canvas: Canvas, content: Content) -> None:
    """Draw it."""
    kind = "continuum source" if content.detection.is_continuum else "emission line"
    end = canvas.text(LEFT, 34, str(content.detection.detectid), TITLE, bold=True)
    canvas.text(end + 14, 34, f"{kind} · shot {content.shot} · IFU {content.ifu.split('_')[1]}", 15, colour=MUTED)
    _draw_guess(canvas, content)
    canvas.line([LEFT, RIGHT], [48, 48], FAINT)
    for x, pairs in zip(COLUMNS, _columns(content), strict=True):
        wide = max(text_width(name, NAME) for name, _ in pairs) + 10
        for k, (name, value) in enumerate(pairs):
            y = FIRST_ROW + k * ROW
            canvas.text(x, y, name, NAME, colour=MUTED)
            canvas.text(x + wide, y, value, VALUE)
    canvas.line([LEFT, RIGHT], [LINE, LINE], FAINT)


def _draw_guess(canvas: Canvas, content: Content) -> None:
    """Write the best guess, at the right of the title."""
    star = next((one for one in content.neighbours if one.is_star and one.separation < SAME), None)
    if star and content.detection.is_continuum:
        said = f"star of the catalogue, g = {number(float(star.magnitudes[G]), 2)}, {number(star.separation, 1)}″ away"
        canvas.text(RIGHT, 34, said, 18, bold=True, colour=NEIGHBOUR, anchor="right")
        return
    if not content.guesses:
        words = "no emission line: no redshift guess" if content.detection.is_continuum else "no redshift guess"
        canvas.text(RIGHT, 34, words, 15, colour=MUTED, anchor="right")
        return
    best = content.guesses[0]
    said = f"{best.sureness} ({share(best.probability)})"
    canvas.text(RIGHT, 34, said, 15, colour=MUTED, anchor="right")
    words = f"{best.label}  z = {number(best.redshift, 4)}  {best.kind}"
    canvas.text(RIGHT - text_width(said, 15) - 14, 34, words, 20, bold=True, colour=GUESSES[0], anchor="right")


def _columns(content: Content) -> list[Pairs]:
    row, line = content.detection.row, content.line
    ra, dec = float(row["ra"]), float(row["dec"])
    specid, slot, ifuid, _ = content.ifu.split("_")
    fwhm = [one.fwhm for _, one in sorted(content.exposures.items())]
    seeing = " ".join(number(value, 2) for value in fwhm)
    place = [
        ("RA Dec", f"{number(ra, 6)}  {number(dec, 6)}"),
        ("", sexagesimal(ra, dec)),
        ("seeing", f"{seeing}″ of exposures"),
        ("S/N", number(float(row["sn"]), 1)),
    ]
    names = [
        ("IFU", f"slot {slot}, id {ifuid}, spec {specid}"),
        ("best fiber", f"{row['amp'].decode()} {int(row['fibnum']):03d}, exposure {int(row['expnum'])}"),
        ("in the IFU", f"{number(float(row['x_ifu']), 1)}″  {number(float(row['y_ifu']), 1)}″"),
        ("fibers", f"{len(content.detection.fibers)}, with {number(float(row['apcor']), 2)} of its light (apcor)"),
    ]
    sigma = line.sigma if line else np.nan
    wave = line.wave if line else np.nan
    fitted = not content.detection.is_continuum
    wave_error, sigma_error = (float(row[name]) if fitted else np.nan for name in ("wave_err", "linewidth_err"))
    light = [
        ("wave", with_unit(with_error(wave, wave_error, 2), "Å")),
        ("flux", with_unit(_flux(content), "·10⁻¹⁷")),
        ("continuum", with_unit(_continuum(content), "·10⁻¹⁷/Å")),
        ("g (AB)", with_unit(_magnitude(content), "by this spectrum")),
    ]
    shape = [
        ("σ", with_unit(with_error(sigma, sigma_error, 2), "Å")),
        ("FWHM", with_unit(number(FWHM * sigma, 1), "Å")),
        ("", with_unit(number(velocity(sigma, wave), 0), "km/s")),
        ("observed EW", _width(content)),
    ]
    quality = [
        ("χ² of the fit", number(float(row["chi2"]), 2)),
        ("χ² of the fiber", number(float(row["chi2fib"]), 2)),
        ("1σ noise", with_unit(number(float(row["flux_noise_1sigma"]), 2), "·10⁻¹⁷")),
        ("noise ratio", number(float(row["noise_ratio"]), 2)),
    ]
    return [place, names, light, shape, quality]


def _flux(content: Content) -> str:
    line = content.line
    return with_error(line.flux, line.flux_error, 2) if line else number(np.nan, 2)


def _width(content: Content) -> str:
    """Return the equivalent width as observed, Å."""
    line = content.line
    if not line or not line.continuum > 2 * line.continuum_error:
        return UNKNOWN
    width = line.flux / line.continuum
    relative = float(np.hypot(line.flux_error / line.flux, line.continuum_error / line.continuum))
    return f"{with_error(width, width * relative, 1)} Å"


def _magnitude(content: Content) -> str:
    magnitude, error, is_limit = ab_magnitude(content.flux, content.error)
    return f"> {number(magnitude, 2)}" if is_limit else with_error(magnitude, error, 2)


def _continuum(content: Content) -> str:
    line = content.line
    if line:
        return with_error(line.continuum, line.continuum_error, 3)
    return number(float(np.nanmedian(content.flux)) if np.isfinite(content.flux).any() else np.nan, 3)
