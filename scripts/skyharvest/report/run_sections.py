"""The report's sections that are of no single survey: bytes and time; versions and the configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from skyharvest.core.words import clock, counted, size
from skyharvest.report.files import traffic_of
from skyharvest.report.harvested import Harvested
from skyharvest.report.job_times import RuleTimes, read_times
from skyharvest.report.names import RUN
from skyharvest.report.page import Section, Table, number, text
from skyharvest.report.style import FAINT, MAIN, MUTED, REST, THIRD, bare, new, nothing, svg_picture

RATE = 20e6  # bytes/s, of a link to the archive: an assumption, and said to be
NONE = number(0, "–")


def costs(harvests: Sequence[Harvested], results: Path) -> Section:
    """Return the section on bytes and time."""
    traffic = [traffic_of(harvest.survey, harvest.files, harvest.journal) for harvest in harvests]
    steps = read_times(results / "benchmarks")
    said, bars, lines = [], [], []
    for one in traffic:
        whole, about = one.whole_bytes or 0, "about " if one.estimated else ""
        whole_size = about + size(whole)
        moved = size(one.bytes)
        said.append(f"{one.title}: {moved} moved" + (f", whole files {whole_size}" if whole else ""))
        bars.append((f"{one.title}: moved", one.bytes, MAIN, moved if one.bytes else "0: read from a directory"))
        if whole:
            bars.append((f"{one.title}: whole files", whole, REST, whole_size))
        lines.append(
            [
                text(one.title),
                number(one.files),
                number(one.requests),
                number(one.bytes, moved),
                number(whole, whole_size) if whole else NONE,
                number(whole / one.bytes, f"{whole / one.bytes:,.1f} ×") if whole and one.bytes else NONE,
                number(one.seconds, clock(one.seconds)),
                number(whole / RATE, about + clock(whole / RATE)) if whole else NONE,
            ]
        )
    rate = f"{RATE / 1e6:.0f} MB/s"
    heads = ["survey", "files read", "requests", "moved", "whole files", "whole ÷ moved", "time of reading"]
    note = (
        "The time of reading is added up over jobs, which may run at once. The last column is the size of the whole "
        f"files over an assumed {rate}, for comparison."
    )
    took = [f"{clock(step.seconds)} in {counted(step.jobs, 'job')}" for step in steps]
    times = [(step.rule, step.seconds, THIRD, one) for step, one in zip(steps, took, strict=True)]
    pictures = [
        svg_picture(RUN, kind, _bars(drawn), f"Bars: {'; '.join(words) or 'there is nothing to show'}.")
        for kind, drawn, words in (
            ("moved", bars, said),
            ("time", times, [f"{rule}: {one}" for rule, _, _, one in times]),
        )
    ]
    facts = [
        ("moved over the network", size(sum(one.bytes for one in traffic))),
        ("requests", f"{sum(one.requests for one in traffic):,}"),
        ("time of all jobs", clock(sum(step.seconds for step in steps))),
    ]
    unknown = f"How long jobs took is not known: there are no benchmark files in {results / 'benchmarks'}."
    tables = [Table("What was read", [*heads, f"whole files at {rate}"], lines, note), _time_table(steps)]
    return Section("costs", "Bytes and time", facts, [] if steps else [unknown], pictures, tables)


def _bars(bars: Sequence[tuple[str, float, str, str]]) -> Figure:
    """Draw bars: the name of each above its beginning; its length, in words, above its end. Also: their colours."""
    figure, (axes,) = new(0.43 * max(len(bars), 2) + 0.1)
    bare(axes)
    most = max((value for _, value, _, _ in bars), default=0) or 1
    for k, (name, value, colour, said) in enumerate(bars):
        axes.barh(k, most, 0.26, color=FAINT)
        axes.barh(k, value, 0.26, color=colour)
        axes.text(0, k - 0.2, name, va="bottom")
        axes.text(most, k - 0.2, said, va="bottom", ha="right", color=MUTED)
    axes.set(xlim=(0, most), ylim=(max(len(bars), 2) - 0.8, -0.75))
    return figure if bars else nothing(figure, "no journal and no times were left")


def _time_table(steps: Sequence[RuleTimes]) -> Table:
    lines = [
        [
            text(step.rule),
            number(step.jobs),
            *(
                number(value, clock(value))
                for value in (step.seconds, step.seconds / step.jobs, step.longest, step.span)
            ),
            number(step.memory_mb, size(step.memory_mb * 1e6)) if step.memory_mb else NONE,
        ]
        for step in steps
    ]
    heads = ["step", "jobs", "all jobs", "mean", "longest", "first start to last end", "largest memory"]
    return Table("Jobs of each step", heads, lines)


def provenance(
    harvests: Sequence[Harvested], versions: Mapping[str, str], config: str, hashes_now: Mapping[str, str]
) -> Section:
    """Return the section on versions and configuration.

    Parameters
    ----------
    versions
        Name → version of what made this report.
    config
        The configuration, as YAML.
    hashes_now
        Survey → digest of the settings that its results depend on.
    """
    section = Section("provenance", "Versions and configuration")
    for one in harvests:
        hashes, hash_now = sorted(one.columns.about.get("config_hash", ())), hashes_now[one.name]
        if hashes and hashes != [hash_now]:
            section.warnings.append(
                f"{one.title}: the assembled files were made with another configuration "
                f"({', '.join(hashes)}) than the one shown here ({hash_now})."
            )
    lines = [
        [text(one.title), text(key), text(value), number(n)]
        for one in harvests
        for key, values in one.columns.about.items()
        for value, n in sorted(values.items())
    ]
    section.tables = [
        Table("This report was made with", ["what", "version"], [[text(k), text(v)] for k, v in versions.items()]),
        Table("The assembled files say", ["survey", "attribute", "value", "files"], lines),
    ]
    section.texts = [("Configuration", config)]
    return section
