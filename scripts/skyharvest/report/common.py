"""Facts, figures and tables of the report that every survey can have: its steps, map, distances, pixels, files."""

import numpy as np

from skyharvest.core.words import counted
from skyharvest.report.figures import Drawing, draw_distances, draw_pixels, draw_steps, reason, size
from skyharvest.report.files import missing_files
from skyharvest.report.harvested import Harvested
from skyharvest.report.ledger import NSIDE, per_pixel, sky_density, steps
from skyharvest.report.page import Fact, Table, number, text
from skyharvest.report.sky import draw_sky

SHOWN_FILES = 500
SHOWN_PIXELS = 20


def first_facts(harvest: Harvested) -> list[Fact]:
    """Return the release and the numbers that every section begins with."""
    summary, survey = harvest.summary, harvest.survey
    return [
        ("release", str(summary.get("release", "unknown"))),
        ("CSV rows", f"{summary['rows']:,}"),
        (f"with {survey.report.result}", f"{summary['status']['matched']:,}"),
        (survey.product, f"{summary[survey.product]:,}"),
    ]


def warnings(harvest: Harvested) -> list[str]:
    """Return what of the survey's files does not fit together."""
    columns, n_results = harvest.columns, harvest.summary[harvest.survey.product]
    said = []
    if columns.bad:
        shown = "; ".join(columns.bad[:3]) + (f"; and {len(columns.bad) - 3} more" if len(columns.bad) > 3 else "")
        said.append(f"{counted(len(columns.bad), 'file')} could not be read and are left out of the figures: {shown}")
    elif columns.n != n_results:
        said.append(
            f"The assembled files hold {columns.n:,} rows, the summary says {n_results:,}: run `snakemake "
            f"{harvest.name}`, then `snakemake report` again."
        )
    others = [key for key, values in columns.about.items() if len(values) > 1 and key != "git_commit"]
    if others:
        said.append(f"The assembled files are not of one kind: they differ in {', '.join(sorted(others))} (see below).")
    return said


def file_facts(harvest: Harvested) -> list[Fact]:
    """Return how many of the archive's files were read, absent or unreadable."""
    counted_files = harvest.survey.files
    n = harvest.summary[counted_files]
    return [(f"{counted_files} {state}", f"{n[state]:,}") for state in harvest.survey.report.file_states]


def steps_figure(harvest: Harvested) -> Drawing:
    """Draw what became of the CSV's rows."""
    way, words = steps(harvest.summary, harvest.survey.report.result), harvest.survey.report.words
    said = "; ".join(
        f"{step.reached:,} {step.name}" + "".join(f" ({n:,} {reason(key, words)})" for key, n in step.lost.items() if n)
        for step in way
    )
    return draw_steps(way, words), f"Bars: {said}."


def sky_figure(harvest: Harvested) -> Drawing:
    """Draw where the CSV's rows are, covered by the release and not."""
    (pixels, counts), (other_pixels, other_counts) = (sky_density(harvest.rows, covered) for covered in (True, False))
    n, n_other = int(counts.sum()), int(other_counts.sum())
    maps = [
        (f"covered by the release: {n:,} rows", pixels, counts),
        (f"not covered: {n_other:,} rows", other_pixels, other_counts),
    ]
    said = (
        f"Two maps of the sky: {n:,} rows in {len(pixels):,} pixels that the release covers, "
        f"{n_other:,} rows in {len(other_pixels):,} pixels that it does not."
    )
    return draw_sky(maps, NSIDE), said


def distances_figure(harvest: Harvested) -> Drawing:
    """Draw the distance to what is nearest to each CSV row, with the match radius."""
    match, nearest, thing = harvest.config["match"], harvest.rows.nearest_arcsec, harvest.survey.report.nearest
    radius, farthest = match["radius_arcsec"], match["report_radius_arcsec"]
    near = nearest[np.isfinite(nearest)]
    article = "an" if thing[0] in "aeiou" else "a"
    said = (
        f"Histogram: {np.sum(near <= radius):,} rows have {article} {thing} within the match radius of {radius:g} "
        f"arcsec, {np.sum(near > radius):,} more within {farthest:g} arcsec"
        + (f"; the median distance is {np.median(near):.2f} arcsec." if len(near) else ".")
    )
    return draw_distances(nearest, radius, farthest, thing), said


def pixels_figure(harvest: Harvested) -> Drawing:
    """Draw the pixels with most results."""
    pixels, result = per_pixel(harvest.rows), harvest.survey.report.result
    said = f"Bars for the busiest of {len(pixels):,} pixels" + (
        f": pixel {pixels[0].pix16} has {pixels[0].targets:,} rows, {pixels[0].matched:,} with {result}."
        if pixels
        else "."
    )
    return draw_pixels(pixels, result), said


def pixels_table(harvest: Harvested) -> list[Table]:
    """Return the pixels with most results, and links to their pages of spectra."""
    pixels, results = per_pixel(harvest.rows), harvest.survey.product
    lines = []
    for pixel in pixels[:SHOWN_PIXELS]:
        file, page = harvest.crossmatch(pixel.pix16), f"healpix={pixel.pix16}.html"
        lines.append(
            [
                number(pixel.pix16, str(pixel.pix16), page if (harvest.results / "report" / page).exists() else ""),
                number(pixel.targets),
                number(pixel.covered),
                number(pixel.matched),
                number(pixel.results),
                number(file.stat().st_size, size(file.stat().st_size)) if file.exists() else number(0, "–"),
            ]
        )
    heads = ["NSIDE 16 pixel", "CSV rows", "covered", "matched", results, "file"]
    left = len(pixels) - len(lines)
    note = f"{counted(left, 'pixel')} with fewer {results} not listed." if left else ""
    return [Table(f"Pixels with most {results}", heads, lines, note)]


def missing_table(harvest: Harvested) -> list[Table]:
    """Return the files that were not searched."""
    files = missing_files(harvest.survey, harvest.files, harvest.plan, harvest.summary, harvest.config)
    if not files:
        return []
    lines = [
        [
            text(file.status),
            number(file.n_targets),
            text(file.address, file.address if file.address.startswith(("http://", "https://")) else ""),
            text(file.reason),
        ]
        for file in files[:SHOWN_FILES]
    ]
    left = len(files) - len(lines)
    note = f"{left:,} more: see logs/extract_{harvest.name}.csv." if left else ""
    caption = f"{harvest.survey.file.capitalize()}s absent or failed: {len(files):,}"
    return [Table(caption, ["what", "targets", "address", "why"], lines, note)]
