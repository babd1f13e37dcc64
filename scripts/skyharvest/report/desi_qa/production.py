"""The first page of a production's site: what is bad, its nights, any metric as a series, histograms by channel."""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.core.words import counted
from skyharvest.reduction.desi.qa.collate_production import production_path
from skyharvest.reduction.desi.qa.definitions import place_of
from skyharvest.report.desi_qa.curves import Chart, by_exposure, histogram
from skyharvest.report.desi_qa.faults import fault_of_night
from skyharvest.report.desi_qa.night import camera_choices, read_night
from skyharvest.report.desi_qa.series import Series, metric_choices, programs, write_series
from skyharvest.report.desi_qa.site import FAULTS, directory_of, renderer
from skyharvest.report.desi_qa.words import path
from skyharvest.report.page import Cell, Table, number
from skyharvest.report.quality.fault import Fault
from skyharvest.report.quality.site import Page, write_assets
from skyharvest.report.quality.words import shown

SHOWN_LATEST, SHOWN_NIGHT, SHOWN = 40, 6, 120
"""Lines of what is bad: of the latest night that has some, of each before it, and of all."""


def write_site(production: Path) -> None:
    """Write the first page of a production whose nights have theirs, and the series of its metrics.

    Nights that the production has no longer lose their pages.
    """
    site = directory_of(production)
    collated = json.loads(production_path(production).read_text(encoding="utf-8"))
    nights = [one["night"] for one in collated["nights"]]
    series = Series()
    faults = {}
    for night in nights:
        series.add(read_night(production, night))
        own = _faults_of(site / str(night))
        # What only the other nights tell, such as a zero point that is not theirs.
        told = {one.what for one in own}
        whole = [one for one in collated["worst"] if one["night"] == night and not one["expids"] and not one["cameras"]]
        faults[night] = own + [fault_of_night(one) for one in whole if one["what"] not in told]
    with_pages = {night for night in nights if (site / str(night) / FAULTS).exists()}
    write_assets(site)
    write_series(site / "series", series)
    html = renderer().render("production", _page(collated, faults, series, with_pages), "")
    with atomic_path(site / "index.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    for stale in site.iterdir():
        if stale.name.isdigit() and int(stale.name) not in nights:
            shutil.rmtree(stale)


def _faults_of(night: Path) -> list[Fault]:
    """Return what is bad in a night, as its pages have it; nothing if it has none, as it is not asked for now.

    Raises
    ------
    MalformedFile
        If they are of another version.
    """
    path = night / FAULTS
    try:
        return [Fault(**one) for one in json.loads(path.read_text(encoding="utf-8"))["faults"]] if path.exists() else []
    except (TypeError, KeyError, ValueError) as error:
        raise MalformedFile(f"{path}: expected lines of this version, found {error!r}: remove {night}") from error


def _page(
    collated: Mapping[str, Any], faults: Mapping[int, Sequence[Fault]], series: Series, with_pages: Collection[int]
) -> Page:
    counts = collated["counts"]
    groups, left_out = _groups(faults)
    latest = collated["nights"][-1] if collated["nights"] else None
    fiducials, zero_points = list(_fiducials(collated["s2n"])), list(_zero_points(collated["zero_points"]))
    light = [("light", "⟨S/N⟩ and zero points")] if fiducials or zero_points else []
    return Page(
        title=f"Quality of {collated['specprod']}",
        about=_in_words(latest, counts),
        state="BAD" if counts["failed"] else collated["state"],
        facts=[
            ("frames BAD", f"{counts['BAD']:,}"),
            ("frames WARN", f"{counts['WARN']:,}"),
            ("steps failed", f"{counts['failed']:,}"),
            ("frames OK", f"{counts['OK']:,}"),
            ("exposures", f"{counts['exposures']:,}"),
            ("nights", f"{counts['nights']:,}"),
        ],
        where=[(collated["specprod"], "")],
        contents=[
            ("bad", "What is bad"),
            ("nights", "Nights"),
            ("series", "Any metric, as a series"),
            *light,
            ("channels", "Histograms by channel"),
        ],
        holds={
            "faults": groups,
            "left_out": left_out,
            "nights": _nights(collated["nights"], with_pages),
            "chosen": max(series.names, key=series.n_bad, default=""),
            "metrics": list(metric_choices(sorted(series.names, key=place_of))),
            "programs": programs(one["filter"] for one in series.exposures),
            "cameras": camera_choices(series.cameras),
            "fiducials": fiducials,
            "zero_points": zero_points,
            "histograms": [
                histogram(name, collated["metrics"][name])
                for name in sorted(collated["metrics"], key=place_of)
                if collated["metrics"][name]["by_arm"]
            ],
        },
    )


def _in_words(latest: Mapping[str, Any] | None, counts: Mapping[str, int]) -> str:
    if latest is None:
        return "There are no nights."
    failed = f", {counted(latest['failed'], 'step')} failed" if latest["failed"] else ""
    frames = counted(latest["frames"], "frame")
    return f"Latest night {latest['night']}: {latest['BAD']} BAD and {latest['WARN']} WARN of {frames}{failed}."


def _groups(faults: Mapping[int, Sequence[Fault]]) -> tuple[list[dict[str, Any]], str]:
    """Return what is BAD by night, the latest first, and what to say of lines that are not shown."""
    groups: list[dict[str, Any]] = []
    room, n_left, first = SHOWN, 0, True
    for night in sorted(faults, reverse=True):
        bad = [one for one in faults[night] if one.state == "BAD"]
        if not bad:
            if night == max(faults):
                groups.append({"title": f"Night {night}: nothing is bad", "link": path(night), "lines": []})
            continue
        n = min(len(bad), SHOWN_LATEST if first else SHOWN_NIGHT, room)
        first, room, n_left = False, room - n, n_left + len(bad) - n
        if n:
            title = f"Night {night}: {counted(len(bad), 'fault')}" + (f", {n} of them here" if n < len(bad) else "")
            lines = [one.seen_from("") for one in bad[:n]]
            groups.append({"title": title, "link": f"{path(night)}#bad", "lines": lines})
    return groups, f"{counted(n_left, 'more line')} on the pages of nights." if n_left else ""


def _nights(nights: Sequence[Mapping[str, Any]], with_pages: Collection[int]) -> Table:
    names = list(dict.fromkeys(name for one in nights for name in one["metrics"]))
    rows = []
    for one in sorted(nights, key=lambda one: -one["night"]):
        bad, warn, failed = one["BAD"], one["WARN"], one["failed"]
        row = [
            number(one["night"], str(one["night"]), path(one["night"]) if one["night"] in with_pages else ""),
            Cell(f"{bad:,}", bad, mark="BAD" if bad else ""),
            Cell(f"{warn:,}", warn, mark="WARN" if warn else ""),
            Cell(f"{failed:,}", failed, mark="BAD" if failed else ""),
            number(one["OK"]),
            number(one["exposures"]),
        ]
        for name in names:
            value, state, *_ = one["metrics"].get(name, (None, "OK"))
            row.append(
                Cell(shown(value), float("nan") if value is None else value, mark="" if state == "OK" else state)
            )
        rows.append(row)
    heads = [name.removeprefix("NIGHT-") for name in names]
    note = "Frames by state; a step that failed is one of a camera's exposure." + (
        f" {', '.join(heads)}: of the night as a whole." if heads else ""
    )
    return Table("Nights", ["night", "BAD", "WARN", "failed", "OK", "exposures", *heads], rows, note)


def _fiducials(found: Sequence[Mapping[str, Any]]) -> Iterator[Chart]:
    """Yield ⟨S/N⟩ of a class of targets at its magnitude, in the arms that have it."""
    of: dict[tuple[str, float], dict[str, Any]] = {}
    for one in found:
        of.setdefault((one["class"], one["magnitude"]), {})[one["arm"]] = one["points"]
    for (kind, magnitude), lines in of.items():
        heading = f"⟨S/N⟩ of {kind} at magnitude {magnitude:g}"
        yield by_exposure(heading, "signal to noise of a pixel", lines, "mean", "Mean of the cameras of each exposure.")


def _zero_points(lines: Mapping[str, Any]) -> Iterator[Chart]:
    if any(lines.values()):
        says = "Median of the cameras of each exposure: AB magnitude of an electron per second and Å."
        yield by_exposure("Zero points", "zero point (mag)", lines, "median", says)
