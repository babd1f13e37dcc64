"""The first page of a reduction's detections: a table of its shots, with their reports, expected and found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skyharvest.browser.detections import opened
from skyharvest.browser.site import PageKind, write
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.detectids import is_continuum
from skyharvest.reduction.hetdex.report_list import images_beside, read_list
from skyharvest.reduction.hetdex.steps import FAILED, LEFT_OUT

SHOTS = PageKind("shots", ("data.js", "table.js", "shots.js"), "shots.html", {"filter": "20190103 found<10"})


def write_shots_page(shots: Mapping[str, Path], out: Path) -> int:
    """Write the page, and return the number of reports that are missing.

    Parameters
    ----------
    shots
        Name → ``reports/SHOT.csv`` of each; its page is ``SHOT.html`` beside this one.
    out
        ``index.html``.
    """
    rows = [_row(*shot) for shot in shots.items()]
    names = ("shot", "lines", "continuum", "expected", "found", "left_out", "reason")
    table = {name: [row[name] for row in rows] for name in names}
    expected, found = sum(table["expected"]), sum(table["found"])
    about = f"{counted(len(rows), 'shot')} · {found} of {counted(expected, 'report')}"
    write(out, SHOTS, {"table": table, "about": about}, [], title="Detections · reports", what="Detections")
    return int(expected - found)


def _row(shot: str, reports: Path) -> dict[str, Any]:
    outcomes, database = read_list(reports), images_beside(reports, shot)
    with opened(database) as pictures:
        there = pictures.detectids()
    expected = {detectid for detectid, one in outcomes.items() if one.state != LEFT_OUT}
    n_continuum = sum(map(is_continuum, outcomes))
    failed = [f"{detectid}: {one.reason}" for detectid, one in outcomes.items() if one.state == FAILED]
    gone = [f"{detectid}: it is not in {database.name}" for detectid in sorted(expected - there)]
    return {
        "shot": shot,
        "lines": len(outcomes) - n_continuum,
        "continuum": n_continuum,
        "expected": len(expected),
        "found": len(expected & there),
        "left_out": len(outcomes) - len(expected),
        "reason": next(iter([*failed, *gone]), ""),
    }
