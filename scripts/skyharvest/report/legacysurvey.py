"""The report's section on the Legacy Surveys."""

import io
from pathlib import Path

import numpy as np

from skyharvest.core.words import counted
from skyharvest.formats import hdf5
from skyharvest.report.histograms import draw_bands, draw_magnitudes, nearest_radius, shares
from skyharvest.report.ledger import per_pixel
from skyharvest.report.page import Picture, Section
from skyharvest.report.survey import Harvested, common, missing, picture

SHEET_WIDTH = 1000  # pixels


def legacysurvey(harvest: Harvested) -> Section:
    """Return the Legacy Surveys' section."""
    section = common(harvest)
    columns = harvest.columns
    bands = hdf5.text(columns.constants.get("band", np.zeros(0, "S1")))
    coverage, magnitude = columns.values["coverage"], columns.values["aperture_magnitude"]
    there = bool(bands) and coverage.ndim == 2 and len(coverage) > 0
    said = "No cutout."
    if there:
        of_band = shares(coverage)
        said = "Bars: " + "; ".join(
            f"{band}: {whole:.0%} of the cutouts whole, {none:.0%} without data"
            for band, (whole, _, none) in zip(bands, of_band, strict=True)
        )
        section.facts.append(("bricks", f"{len(set(columns.values['brickname'].tolist()) - {''}):,}"))
    section.pictures.append(
        picture(
            "legacysurvey", "bands", draw_bands(bands if there else [], coverage if there else np.zeros((0, 0))), said
        )
    )
    radii = columns.constants.get("aperture_radius", np.zeros(0))
    measured = there and magnitude.ndim == 3 and len(radii) > 0
    at = nearest_radius(radii) if measured else 0
    of_bands = magnitude[:, :, at] if measured else np.zeros((0, max(len(bands), 1)))
    radius = float(radii[at]) if measured else 0.0
    known = [of_bands[:, k][np.isfinite(of_bands[:, k])] for k in range(of_bands.shape[1])]
    medians = "; ".join(f"{band}: {np.median(v):.2f}" for band, v in zip(bands, known, strict=False) if len(v))
    said = f"Histograms of magnitudes within {radius:g} arcsec; medians: {medians}." if medians else "No magnitude."
    section.pictures.append(
        picture("legacysurvey", "magnitudes", draw_magnitudes(bands if measured else [], of_bands, radius), said)
    )
    section.pictures += _contact_sheet(harvest)
    section.tables = missing(harvest)
    return section


def _contact_sheet(harvest: Harvested) -> list[Picture]:
    """Return the contact sheet of the pixel with most cutouts, if there is one."""
    for pixel in per_pixel(harvest.rows):
        path = harvest.crossmatch(pixel.pix16).with_name("contact_sheet.png")
        if path.exists():
            png = _scaled(path)
            alt = f"Contact sheet of the {counted(pixel.spectra, 'cutout')} in pixel {pixel.pix16}."
            name = "legacysurvey_contact_sheet"
            words = f"Cutouts in pixel {pixel.pix16}, the one with most of them that has a contact sheet."
            return [Picture(name, "contact_sheet", alt, png, png, "png", "Contact sheet", words)]
    return []


def _scaled(path: Path) -> bytes:
    """Return a PNG file, made smaller if it is wider than a page."""
    from PIL import Image  # noqa: PLC0415 (comes with matplotlib; for this one picture)

    with Image.open(path) as image:
        if image.width <= SHEET_WIDTH:
            return path.read_bytes()
        small = image.convert("RGB").resize((SHEET_WIDTH, max(1, round(image.height * SHEET_WIDTH / image.width))))
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    return out.getvalue()
