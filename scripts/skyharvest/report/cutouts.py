"""The report's facts and figures of image cutouts, as the Legacy Surveys' are."""

import io
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.words import counted
from skyharvest.formats import hdf5
from skyharvest.report.columns import Columns
from skyharvest.report.harvested import Harvested
from skyharvest.report.ledger import per_pixel
from skyharvest.report.page import Fact, Picture
from skyharvest.report.style import BINS, LOST, MAIN, REST, SERIES, Drawing, new, nothing, whole_numbers

SHEET_WIDTH = 1000  # pixels
APERTURE = 2.0  # arcsec


def brick_facts(harvest: Harvested) -> list[Fact]:
    """Return the number of bricks that cutouts are from, and of cutouts without mask bits, if there are any."""
    bricks = set(harvest.columns.values["brickname"].tolist()) - {""}
    facts = [("bricks", f"{len(bricks):,}")] if _covered_bands(harvest.columns) else []
    n_without = harvest.summary.get("n_without_maskbits", 0)
    return [*facts, *([("cutouts without mask bits", f"{n_without:,}")] if n_without else [])]


def bands_figure(harvest: Harvested) -> Drawing:
    """Draw which bands cover the cutouts."""
    bands = _covered_bands(harvest.columns)
    figure, (axes,) = new(0.9 + 0.36 * max(len(bands), 2))
    if not bands:
        return nothing(figure, "no cutout"), "No cutout."
    of_bands, left = shares(harvest.columns.values["coverage"]), np.zeros(len(bands))
    for share, colour, label in zip(
        of_bands.T, (MAIN, LOST, REST), ("whole cutout", "part of it", "nothing"), strict=True
    ):
        axes.barh(range(len(bands)), share * 100, 0.68, left=left, color=colour, label=label)
        left += share * 100
    axes.set_yticks(range(len(bands)), bands)
    axes.invert_yaxis()
    axes.set(xlabel="cutouts with data (%)", ylabel="band", xlim=(0, 100))
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.0)
    said = "; ".join(
        f"{band}: {whole:.0%} of the cutouts whole, {none:.0%} without data"
        for band, (whole, _, none) in zip(bands, of_bands, strict=True)
    )
    return figure, f"Bars: {said}"


def magnitudes_figure(harvest: Harvested) -> Drawing:
    """Draw AB magnitudes in the aperture whose radius is nearest to `APERTURE`, band by band, on one scale."""
    columns = harvest.columns
    bands, magnitude = _covered_bands(columns), columns.values["aperture_magnitude"]
    radii = columns.constants.get("aperture_radius", np.zeros(0))
    known: list[Array] = []
    if bands and magnitude.ndim == 3 and len(radii):
        at = int(np.argmin(np.abs(radii - APERTURE)))
        known = [of_band[np.isfinite(of_band)] for of_band in magnitude[:, :, at].T]
    figure, axes = new(0.3 + 1.15 * max(len(known), 1), max(len(known), 1), sharex=True)
    if not any(map(len, known)):
        return nothing(figure, "no magnitude"), "No magnitude."
    low, high = np.percentile(np.concatenate(known), [0.2, 99.8])
    edges = np.linspace(low - 0.2, high + 0.2, BINS + 1)
    for k, (ax, band, values) in enumerate(zip(axes, bands, known, strict=True)):
        ax.hist(np.clip(values, edges[0], edges[-1]), edges.tolist(), color=SERIES[k % len(SERIES)])
        ax.set_title(f"{band}: {len(values):,}")
        ax.yaxis.set_major_locator(whole_numbers())
    axes[-1].set(xlabel=f"AB magnitude within {radii[at]:g}″")
    medians = "; ".join(f"{band}: {np.median(v):.2f}" for band, v in zip(bands, known, strict=True) if len(v))
    return figure, f"Histograms of magnitudes within {radii[at]:g} arcsec; medians: {medians}."


def _covered_bands(columns: Columns) -> list[str]:
    """Return the names of the bands, if there is a cutout."""
    coverage = columns.values["coverage"]
    return hdf5.text(columns.constants.get("band", np.zeros(0, "S1"))) if coverage.ndim == 2 and len(coverage) else []


def contact_sheet(harvest: Harvested) -> list[Picture]:
    """Return the contact sheet of the pixel with most cutouts, if there is one."""
    for pixel in per_pixel(harvest.rows):
        path = harvest.crossmatch(pixel.pix16).with_name("contact_sheet.png")
        if harvest.config[harvest.name]["contact_sheets"] and path.exists():
            png = _scaled(path)
            alt = f"Contact sheet of the {counted(pixel.results, 'cutout')} in pixel {pixel.pix16}."
            name = f"{harvest.name}_contact_sheet"
            words = f"Cutouts in pixel {pixel.pix16}, the one with most of them that has a contact sheet."
            return [Picture(name, "Contact sheet", words, alt, png, png, "png")]
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


def shares(coverage: Array) -> Array:
    """Return the share of cutouts, (band, 3), that a band covers wholly, in part, and not at all.

    Parameters
    ----------
    coverage
        (n, band), the share of each cutout's pixels that have data.
    """
    known = np.nan_to_num(np.asarray(coverage, float))
    whole, none = known > 0.999, known <= 0
    return np.stack([whole.mean(axis=0), (~whole & ~none).mean(axis=0), none.mean(axis=0)], axis=1)
