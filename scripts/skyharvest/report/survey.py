"""What the report says of every survey: what its run has left, its steps, its map, its pixels, its missing files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from skyharvest.core.words import counted
from skyharvest.harvest.journal import Read, read_journal
from skyharvest.harvest.plan import Plan
from skyharvest.harvest.survey import Survey
from skyharvest.report import columns as reportcolumns
from skyharvest.report import files as reportfiles
from skyharvest.report.columns import Columns, read_columns
from skyharvest.report.figures import draw_pixels, draw_steps, reason, size
from skyharvest.report.ledger import NSIDE, Rows, per_pixel, read_ledger, read_summary, sky_density, steps
from skyharvest.report.names import SURVEYS as NAMES
from skyharvest.report.page import Picture, Section, Table, number, text
from skyharvest.report.sky import draw_sky
from skyharvest.report.style import for_page, svg
from skyharvest.surveys import SURVEYS

SHOWN_FILES = 500
SHOWN_PIXELS = 20


@dataclass
class Harvested:
    """What a survey's run has left, read once.

    Attributes
    ----------
    crossmatches
        Directory of the assembled files.
    files
        The journal's lines of the plan's files.
    """

    name: str
    results: Path
    crossmatches: Path
    config: Mapping[str, Any]
    rows: Rows
    summary: dict[str, Any]
    survey: Survey
    plan: Plan
    journal: Read
    files: list[Any]
    columns: Columns

    def crossmatch(self, pix16: int) -> Path:
        """Return where the assembled file of an NSIDE=16 pixel stands."""
        return self.survey.crossmatch(self.crossmatches, pix16)

    @property
    def report(self) -> Path:
        """Where the page is written: links are relative to it."""
        return self.results / "report"


def read_harvest(name: str, results: Path, config: Mapping[str, Any]) -> Harvested:
    """Read what a survey's run has left.

    Parameters
    ----------
    name
        ``desi``, ``hetdex``, ``legacysurvey``.
    results
        The run's results.
    config
        As `skyharvest.config.load.validate` returns it.

    Raises
    ------
    FileNotFoundError
        If the survey has no ledger, summary or plan yet.
    MalformedFile
        If one of these is not what it should be.
    """
    root, survey = results / name, SURVEYS[name]
    rows, summary = read_ledger(root / "ledger.csv"), read_summary(root / "summary.json")
    plan = survey.read_plan(str(root / "plan.csv"))
    journal = read_journal(results / "logs" / f"extract_{name}.csv")
    crossmatches = results / f"{name}_crossmatches"
    paths = [survey.crossmatch(crossmatches, pix16) for pix16 in plan.searched]
    wanted = {
        "desi": (reportcolumns.DESI, ()),
        "hetdex": (reportcolumns.HETDEX, ()),
        "legacysurvey": (reportcolumns.LEGACY_SURVEYS, ("band", "aperture_radius")),
    }
    columns, constants = wanted[name]
    return Harvested(
        name=name,
        results=results,
        crossmatches=crossmatches,
        config=config,
        rows=rows,
        summary=summary,
        survey=survey,
        plan=plan,
        journal=journal,
        files=reportfiles.read_files(survey, plan, journal, summary, root / "extracted"),
        columns=read_columns(paths, name, columns, constants),
    )


def picture(survey: str, kind: str, figure: Figure, alt: str) -> Picture:
    """Return a figure for the page and for a file."""
    made = svg(figure)
    return Picture(f"{survey}_{kind}", kind, alt, made.encode(), for_page(made).encode())


def common(harvest: Harvested) -> Section:
    """Return the section of a survey with what all surveys have."""
    section = Section(harvest.name, NAMES[harvest.name])
    summary, rows = harvest.summary, harvest.rows
    status = summary["status"]
    section.facts = [
        ("release", str(summary.get("release", "unknown"))),
        ("CSV rows", f"{summary['rows']:,}"),
        (steps(summary)[-1].name, f"{status['matched']:,}"),
        (harvest.survey.product, f"{summary[harvest.survey.product]:,}"),
    ]
    section.warnings = _warnings(harvest)
    way = steps(summary)
    said = "; ".join(
        f"{step.reached:,} {step.name}" + "".join(f" ({n:,} {reason(key)})" for key, n in step.lost.items() if n)
        for step in way
    )
    section.pictures.append(picture(harvest.name, "steps", draw_steps(way), f"Bars: {said}."))
    density = sky_density(rows)
    n = {covered: int(counts.sum()) for covered, (_, counts) in density.items()}
    maps = [
        (f"covered by the release: {n[True]:,} rows", *density[True]),
        (f"not covered: {n[False]:,} rows", *density[False]),
    ]
    said = (
        f"Two maps of the sky: {n[True]:,} rows in {len(density[True][0]):,} pixels that the release covers, "
        f"{n[False]:,} rows in {len(density[False][0]):,} pixels that it does not."
    )
    section.pictures.append(picture(harvest.name, "sky", draw_sky(maps, NSIDE), said))
    return section


def _warnings(harvest: Harvested) -> list[str]:
    columns, spectra = harvest.columns, harvest.summary[harvest.survey.product]
    made = []
    if columns.bad:
        shown = "; ".join(columns.bad[:3]) + (f"; and {len(columns.bad) - 3} more" if len(columns.bad) > 3 else "")
        made.append(f"{counted(len(columns.bad), 'file')} could not be read and are left out of the figures: {shown}")
    elif columns.n != spectra:
        made.append(
            f"The assembled files hold {columns.n:,} rows, the summary says {spectra:,}: run `snakemake "
            f"{harvest.name}`, then `snakemake report` again."
        )
    others = [key for key, values in columns.about.items() if len(values) > 1 and key != "git_commit"]
    if others:
        made.append(f"The assembled files are not of one kind: they differ in {', '.join(sorted(others))} (see below).")
    return made


def pixel_picture(harvest: Harvested) -> Picture:
    pixels = per_pixel(harvest.rows)
    said = f"Bars for the busiest of {len(pixels):,} pixels" + (
        f": pixel {pixels[0].pix16} has {pixels[0].targets:,} rows, {pixels[0].matched:,} with a spectrum."
        if pixels
        else "."
    )
    return picture(harvest.name, "pixels", draw_pixels(pixels), said)


def pixel_table(harvest: Harvested) -> Table:
    pixels = per_pixel(harvest.rows)
    lines = []
    for pixel in pixels[:SHOWN_PIXELS]:
        file = harvest.crossmatch(pixel.pix16)
        browser = f"healpix={pixel.pix16}.html"
        lines.append(
            [
                number(pixel.pix16, str(pixel.pix16), browser if (harvest.report / browser).exists() else ""),
                number(pixel.targets),
                number(pixel.covered),
                number(pixel.matched),
                number(pixel.spectra),
                number(file.stat().st_size, size(file.stat().st_size)) if file.exists() else number(0, "–"),
            ]
        )
    heads = ["NSIDE 16 pixel", "CSV rows", "covered", "matched", "spectra", "file"]
    left = len(pixels) - len(lines)
    note = f"{counted(left, 'pixel')} with fewer spectra not listed." if left else ""
    return Table("Pixels with most spectra", heads, lines, note)


def missing(harvest: Harvested) -> list[Table]:
    """Return the files that were not searched."""
    file = harvest.survey.file
    found = reportfiles.missing_files(harvest.survey, harvest.files, harvest.plan, harvest.summary, harvest.config)
    if not found:
        return []
    lines = [
        [text(one.status), number(one.n_targets), text(one.address, link(one.address)), text(one.reason)]
        for one in found[:SHOWN_FILES]
    ]
    left = len(found) - len(lines)
    note = f"{left:,} more: see logs/extract_{harvest.name}.csv." if left else ""
    return [
        Table(
            f"{file.capitalize()}s absent or failed: {len(found):,}", ["what", "targets", "address", "why"], lines, note
        )
    ]


def link(address: str) -> str:
    return address if address.startswith(("http://", "https://")) else ""
