"""The report's section on bytes and time."""

from collections.abc import Sequence
from pathlib import Path

from skyharvest.core.words import counted
from skyharvest.report.figures import clock, draw_moved, draw_time, size, svg_picture
from skyharvest.report.files import traffic_of
from skyharvest.report.harvested import Harvested
from skyharvest.report.job_times import RuleTimes, read_times
from skyharvest.report.names import RUN
from skyharvest.report.page import Section, Table, number, text

NOTHING = "there is nothing to show"
RATE = 20e6  # bytes/s, of a link to the archive: an assumption, and said to be


def costs(harvests: Sequence[Harvested], results: Path) -> Section:
    """Return the section on bytes and time."""
    section = Section("costs", "Bytes and time")
    traffic = [traffic_of(harvest.survey, harvest.files, harvest.journal) for harvest in harvests]
    steps = read_times(results / "benchmarks")
    section.facts = [
        ("moved over the network", size(sum(one.bytes for one in traffic))),
        ("requests", f"{sum(one.requests for one in traffic):,}"),
        ("time of all jobs", clock(sum(step.seconds for step in steps))),
    ]
    said = "; ".join(
        f"{one.title}: {size(one.bytes)} moved"
        + (f", whole files {'about ' if one.estimated else ''}{size(one.whole_bytes)}" if one.whole_bytes else "")
        for one in traffic
    )
    section.pictures.append(svg_picture(RUN, "moved", draw_moved(traffic), f"Bars: {said or NOTHING}."))
    said = "; ".join(f"{step.rule}: {clock(step.seconds)} in {counted(step.jobs, 'job')}" for step in steps)
    section.pictures.append(svg_picture(RUN, "time", draw_time(steps), f"Bars: {said or NOTHING}."))
    lines = []
    for one in traffic:
        whole = one.whole_bytes or 0
        about = "about " if one.estimated else ""
        lines.append(
            [
                text(one.title),
                number(one.files),
                number(one.requests),
                number(one.bytes, size(one.bytes)),
                number(whole, about + size(whole)) if whole else number(0, "–"),
                number(whole / one.bytes, f"{whole / one.bytes:,.1f} ×") if whole and one.bytes else number(0, "–"),
                number(one.seconds, clock(one.seconds)),
                number(whole / RATE, about + clock(whole / RATE)) if whole else number(0, "–"),
            ]
        )
    heads = [
        "survey",
        "files read",
        "requests",
        "moved",
        "whole files",
        "whole ÷ moved",
        "time of reading",
        f"whole files at {RATE / 1e6:.0f} MB/s",
    ]
    note = (
        "The time of reading is added up over jobs, which may run at once. The last column is the size of the whole "
        f"files over an assumed {RATE / 1e6:.0f} MB/s, for comparison."
    )
    if not steps:
        section.warnings = [
            f"How long jobs took is not known: there are no benchmark files in {results / 'benchmarks'}."
        ]
    section.tables = [Table("What was read", heads, lines, note), _time_table(steps)]
    return section


def _time_table(steps: Sequence[RuleTimes]) -> Table:
    lines = [
        [
            text(step.rule),
            number(step.jobs),
            *(
                number(value, clock(value))
                for value in (step.seconds, step.seconds / step.jobs, step.longest, step.span)
            ),
            number(step.memory_mb, size(step.memory_mb * 1e6)) if step.memory_mb else number(0, "–"),
        ]
        for step in steps
    ]
    heads = ["step", "jobs", "all jobs", "mean", "longest", "first start to last end", "largest memory"]
    return Table("Jobs of each step", heads, lines)
