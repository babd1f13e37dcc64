"""Facts, figures and tables of the report that every survey can have: its steps, map, distances, pixels, files."""

from collections.abc import Mapping

import numpy as np

from skyharvest.core.words import counted, size
from skyharvest.harvest.remarks import remarks
from skyharvest.report.harvested import Harvested
from skyharvest.report.ledger import NSIDE, per_pixel, sky_density, steps
from skyharvest.report.page import Fact, Table, number, text
from skyharvest.report.sky import draw_sky
from skyharvest.report.style import FAINT, INK, LOST, MAIN, MUTED, REST, Drawing, bare, new, nothing, whole_numbers

SHOWN_FILES = 500
SHOWN_PIXELS = {"table": 20, "figure": 12}
WORDS = {
    "rejected": "rejected: no usable position",
    "not_selected": "only in what the configuration leaves out",
    "not_covered": "not covered by the release",
    "_absent": "{file} not in the archive",
    "_unreadable": "{file} unreadable",
}
BAR = 0.34  # of the room for one step


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
    """Return what of the survey's files does not fit together, and what to do about rows without a result."""
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
    said += [f"{remark}." for remark in remarks(harvest.summary)]
    if others:
        said.append(f"The assembled files are not of one kind: they differ in {', '.join(sorted(others))} (see below).")
    return said


def file_facts(harvest: Harvested) -> list[Fact]:
    """Return how many of the archive's files were read, absent or unreadable, or read without some part."""
    files, n = harvest.survey.files, harvest.summary[harvest.survey.files]
    facts = [(f"{files} {state}", f"{n[state]:,}") for state in harvest.survey.report.file_states]
    return facts + [(f"{files} without {part}", f"{k:,}") for part, k in harvest.summary.get("without", {}).items()]


def steps_figure(harvest: Harvested) -> Drawing:
    """Draw how many of the CSV's rows reached each step, how many it lost, and why."""
    way, words = steps(harvest.summary, harvest.survey.report.result), harvest.survey.report.words
    figure, (axes,) = new(0.66 * len(way) + 0.1)
    bare(axes)
    most, said = max(way[0].reached, 1), []
    for k, step in enumerate(way):
        axes.barh(k, most, BAR, color=FAINT)
        axes.barh(k, step.reached, BAR, color=MAIN)
        axes.barh(k, sum(step.lost.values()), BAR, left=step.reached, color=LOST)
        axes.text(0, k - 0.23, step.name, va="bottom", fontweight="bold")
        share = f" · {step.reached / most:.1%}" if k else ""
        axes.text(most, k - 0.23, f"{step.reached:,}{share}", va="bottom", ha="right")
        why = [f"{n:,} {_reason(status, words)}" for status, n in step.lost.items() if n]
        if why:
            axes.text(most, k + 0.21, f"− {'; '.join(why)}", va="top", ha="right", fontsize=8.5, color=MUTED)
        said.append(f"{step.reached:,} {step.name}" + "".join(f" ({one})" for one in why))
    axes.set(xlim=(0, most), ylim=(len(way) - 0.55, -0.62))
    return figure, f"Bars: {'; '.join(said)}."


def _reason(status: str, words: Mapping[str, str]) -> str:
    """Return what a status of the ledger says; ``words`` has those of the survey's own statuses."""
    for key, said in {**WORDS, **words}.items():
        if status == key or (key.startswith("_") and status.endswith(key)):
            return said.format(file=status.removesuffix(key))
    return status.replace("_", " ")


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
    figure, (axes,) = new(2.7)
    end = max(farthest, radius)
    # Bins end at the radius, so that none is of both kinds.
    n = max(1, round(radius / 0.05)) if radius / 0.05 <= 80 else 40
    edges = np.arange(0, end + radius / n, radius / n)
    for values, colour, label in (
        (near[near <= radius], MAIN, "within the match radius"),
        (near[near > radius], REST, "farther away"),
    ):
        axes.hist(values, edges.tolist(), color=colour, label=f"{len(values):,} {label}")
    if len(near) > 1000:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(bottom=0.6)  # a bar of one row is seen
    else:
        axes.yaxis.set_major_locator(whole_numbers())
    axes.axvline(radius, color=INK, linewidth=1.2)
    axes.annotate(
        f"{radius:g}″", (radius, 0.97), (4, 0), xycoords=("data", "axes fraction"), textcoords="offset points", va="top"
    )
    axes.set(xlim=(0, end), xlabel=f"distance to the nearest {thing} (arcsec)", ylabel="CSV rows")
    figure.legend(loc="outside upper left", ncols=1)
    return figure, said


def pixels_figure(harvest: Harvested) -> Drawing:
    """Draw the pixels with most results: rows with one, without, and not covered."""
    pixels, result = per_pixel(harvest.rows), harvest.survey.report.result
    said = f"Bars for the busiest of {len(pixels):,} pixels" + (
        f": pixel {pixels[0].pix16} has {pixels[0].targets:,} rows, {pixels[0].matched:,} with {result}."
        if pixels
        else "."
    )
    shown = pixels[: SHOWN_PIXELS["figure"]]
    figure, (axes,) = new(0.75 + 0.27 * max(len(shown), 3))
    y, left = np.arange(len(shown)), np.zeros(len(shown))
    for label, colour, counts in (
        (f"with {result}", MAIN, [pixel.matched for pixel in shown]),
        ("without", LOST, [pixel.covered - pixel.matched for pixel in shown]),
        ("not covered", REST, [pixel.targets - pixel.covered for pixel in shown]),
    ):
        axes.barh(y, counts, 0.68, left=left, color=colour, label=label)
        left += counts
    axes.set_yticks(y, [str(pixel.pix16) for pixel in shown])
    axes.set(xlabel="CSV rows", ylabel="NSIDE 16 pixel")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(whole_numbers())
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.0)
    return (figure if shown else nothing(figure, "no CSV row has a usable position")), said


def pixels_table(harvest: Harvested) -> list[Table]:
    """Return the pixels with most results, and links to their pages of spectra."""
    pixels, results = per_pixel(harvest.rows), harvest.survey.product
    lines = []
    for pixel in pixels[: SHOWN_PIXELS["table"]]:
        file = harvest.crossmatch(pixel.pix16)
        lines.append(
            [
                number(pixel.pix16, str(pixel.pix16), harvest.page(pixel.pix16)),
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
    """Return the files that were not searched, with their addresses; those with most targets first."""
    survey = harvest.survey
    reasons = {bad[survey.file]: bad["reason"] for bad in harvest.summary[f"unreadable_{survey.files}"]}
    root, path_of = survey.addresses(harvest.config[survey.name])
    missing = []
    for line in harvest.files:
        if line.status != "read":
            path = path_of(line.unit, (line.survey, line.program))
            reason = reasons.get(path) or line.message or "listed by the release, not in the archive"
            address = f"{root}/{path}" if root else path
            missing.append((line.status, harvest.plan.n_targets[line.unit], address, reason))
    missing.sort(key=lambda file: (file[0] != "unreadable", -file[1], file[2]))
    lines = [
        [
            text(status),
            number(n),
            text(address, address if address.startswith(("http://", "https://")) else ""),
            text(reason),
        ]
        for status, n, address, reason in missing[:SHOWN_FILES]
    ]
    left = len(missing) - len(lines)
    note = f"{left:,} more: see logs/extract_{harvest.name}.csv." if left else ""
    caption = f"{survey.file.capitalize()}s absent or failed: {len(missing):,}"
    return [Table(caption, ["what", "targets", "address", "why"], lines, note)] if missing else []
