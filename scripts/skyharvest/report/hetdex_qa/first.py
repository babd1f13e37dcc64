"""The first page: what is bad, months and their shots, series by shot and by month, amplifiers that failed."""

import csv
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.calibration import drift_table
from skyharvest.reduction.hetdex.qa.collected import path_of_month, read_json
from skyharvest.reduction.limits import BAD, worst
from skyharvest.report.hetdex_qa.commands import Commands
from skyharvest.report.hetdex_qa.drift import add_drift, pictures_of
from skyharvest.report.hetdex_qa.faults import lines_of
from skyharvest.report.hetdex_qa.maps import (
    AMP_CHOICES,
    groups_of,
    month_series,
    names_of_months,
    names_of_shots,
    shot_series,
)
from skyharvest.report.hetdex_qa.site import SCRIPTS, directory_of, page_of, renderer
from skyharvest.report.hetdex_qa.tables import bad_amps_table, damaged_table, left_out_table, months_table, strip
from skyharvest.report.page import Picture
from skyharvest.report.quality.series import write_scripts
from skyharvest.report.quality.site import Page, write_assets

SHOWN_LATEST, SHOWN_MONTH, SHOWN = 60, 10, 120
"""Lines of what is bad: of the latest month that has some, of each before it, and of all."""
MONTHS_WITH_SHOTS = 12
"""So many months have their shots on the first page."""
FIRST_SERIES = (
    "throughput.response_4540",
    "stars.fwhm",
    "astrometry.rms_x",
    "astrometry.rms_y",
    "astrometry.n_matched",
    "science.sky_residual",
    "science.pull",
)
"""What a reader wants to see over time."""
CHOSEN_BY_MONTH = "bias.level"


def write_site(
    commands: Commands, months: Iterable[int], drift: Path | None = None, left_out: Path | None = None
) -> None:
    """Write the first page of a reduction whose months have theirs, and its series. Other months lose their pages.

    Parameters
    ----------
    commands
        What repeats jobs, and where the reduction stands.
    months
        That were collected.
    drift
        The table of what drifts over months; None: there is none.
    left_out
        The table of frames that are not used.
    """
    reduction = commands.layout.directory
    site = directory_of(reduction)
    collected = [read_json(path_of_month(reduction, month)) for month in sorted(months)]
    rows = drift_table.read(drift) if drift else []
    add_drift(collected, rows)
    write_assets(site, *SCRIPTS)
    write_scripts(site / "series", chain(shot_series(collected), month_series(collected)))
    page = _page(collected, commands, _left_out(left_out), pictures_of(rows))
    html = renderer().render("first", page, "")
    with atomic_path(site / "index.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    known = {str(one["month"]) for one in collected}
    for stale in site.iterdir():
        if stale.name.isdigit() and stale.name not in known:
            shutil.rmtree(stale)


def _page(
    months: Sequence[Mapping[str, Any]],
    commands: Commands,
    left_out: Sequence[Mapping[str, str]],
    drift: Sequence[Picture],
) -> Page:
    counts: Counter[str] = Counter()
    for month in months:
        counts.update(month["counts"])
    by_shot, by_month = names_of_shots(months), names_of_months(months)
    exposures = sorted({name for month in months for shot in month["shots"] for name in shot["exposures"]})
    return Page(
        title="Quality of HETDEX",
        about=f"{counted(len(months), 'month')}, {counted(counts['shots'], 'shot')}",
        state=worst(month["state"] for month in months),
        facts=[
            ("shots BAD", f"{counts['BAD']:,}"),
            ("shots WARN", f"{counts['WARN']:,}"),
            ("shots OK", f"{counts['OK']:,}"),
            ("months BAD", f"{sum(month['state'] == BAD for month in months):,}"),
            ("amplifiers missing, by month", f"{counts['failed']:,}"),
        ],
        where=[("HETDEX", "")],
        contents=[
            ("bad", "What is bad"),
            ("months", "Months and shots"),
            ("by-shot", "Over time, by shot"),
            ("by-month", "Over time, by month"),
            *([("drift", "Drift")] if drift else []),
            ("missing", "Amplifiers that are missing"),
            ("left-out", "Frames that are not used"),
        ],
        holds={
            "groups": list(_groups(months, commands)),
            "strips": [
                {"name": str(one["month"]), "link": page_of(one["month"]), "cells": strip(one["shots"], "")}
                for one in list(reversed(months))[:MONTHS_WITH_SHOTS]
            ],
            "months": months_table(months),
            "first_series": [name for name in FIRST_SERIES if name in by_shot],
            "by_shot": [(name, name) for name in by_shot],
            "columns": groups_of(["shot", *exposures]),
            "shown_months": [("", "all"), *((str(one["month"]), str(one["month"])) for one in months)],
            "by_month": [(f"amps.{name}", name) for name in by_month],
            "chosen_by_month": f"amps.{CHOSEN_BY_MONTH}",
            "amps": AMP_CHOICES,
            "drift": drift,
            "missing": bad_amps_table(months),
            "left_out": left_out_table(left_out),
            "damaged": damaged_table(left_out),
        },
    )


def _groups(months: Sequence[Mapping[str, Any]], commands: Commands) -> Iterator[dict[str, Any]]:
    """Yield what is BAD by month, the latest first; of months for which there is no room only how much it is."""
    most, room = SHOWN_LATEST, SHOWN
    for month in reversed(months):
        bad = [one for one in month["faults"] if one["state"] == "BAD"]
        if not bad:
            continue
        lines, n_left = lines_of(bad, commands, min(most, room))
        title = f"Month {month['month']}: {counted(len(lines) + n_left, 'fault')}"
        title += f", {len(lines)} of them here" if n_left and lines else ""
        yield {"title": title, "link": f"{page_of(month['month'])}#bad", "lines": [one.seen_from("") for one in lines]}
        most, room = SHOWN_MONTH, room - len(lines)


def _left_out(path: Path | None) -> list[dict[str, str]]:
    """Return the frames that are not used."""
    if path is None or not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
