"""The page of a shot."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skyharvest.reduction.hetdex.places import Place
from skyharvest.reduction.hetdex.qa.collected import failure
from skyharvest.reduction.hetdex.qa.definitions import place_of
from skyharvest.reduction.hetdex.qa.missing import missing_amps
from skyharvest.reduction.hetdex.steps import FAILED, INDEXED, OF_SHOT, SWITCHED
from skyharvest.report.hetdex_qa.commands import Commands
from skyharvest.report.hetdex_qa.faults import lines_of
from skyharvest.report.hetdex_qa.maps import maps_script
from skyharvest.report.hetdex_qa.site import page_of
from skyharvest.report.hetdex_qa.tables import exposures_table, ifus_table, missing_table, stars_table, values_table
from skyharvest.report.quality.site import Page, Renderer
from skyharvest.report.quality.words import shown

MOST_FAULTS = 200
Chart = tuple[str, dict[str, Any], str]
"""Heading, specification, caption."""
Columns = Mapping[str, Sequence[float | None]]


def write_shot(
    directory: Path,
    shot: Mapping[str, Any],
    *,
    unwell: Sequence[Mapping[str, Any]],
    state: str,
    beside: Sequence[tuple[str, str]],
    commands: Commands,
    renderer: Renderer,
) -> None:
    """Write the page of a shot, and the data of its maps.

    Parameters
    ----------
    directory
        Of its month's pages.
    shot
        As it was collected.
    unwell
        What of it is not done.
    state
        Its state, that of what failed included.
    beside
        The shots before and after it: what leads there, and its name.
    commands
        What repeats jobs.
    renderer
        Of the site.
    """
    name, month, exposures = shot["shot"], shot["month"], shot["exposures"]
    failures = [failure(month, one).as_json() for one in unwell if one["state"] == FAILED]
    lines, n_left = lines_of([*shot["faults"], *failures], commands, MOST_FAULTS)
    missing = missing_amps(unwell)
    reasons = {
        key: {one.amp: f"{one.step} {one.state}: {one.reason}" for one in missing if f"{name}/{key}" in one.exposures}
        for key in exposures
    }
    amps = sorted({*shot["amps"], *(one.amp for one in missing)})
    sets = {key: _reordered(of["amps"], shot["amps"], amps) for key, of in exposures.items() if "amps" in of}
    script = maps_script(amps, sets, reasons, shot["limits"])
    (directory / f"{name}.js").write_text(script, encoding="utf-8")
    curves = shot["curves"]
    charts = [_throughput(curves)] if curves.get("wavelength") else []
    page = Page(
        title=f"Shot {name}",
        about=f"Night {name[:8]}, observation {int(name[9:])}",
        state=state,
        facts=list(_facts(shot, len({one.amp for one in missing}))),
        where=[("HETDEX", "../index.html"), (str(month), "index.html"), (name, "")],
        beside=[(word, page_of(month, other).partition("/")[2]) for word, other in beside],
        contents=[
            ("bad", "What is bad"),
            *([("throughput", "Throughput")] if curves else []),
            ("values", "Values"),
            ("maps", "Amplifiers on the focal plane"),
            ("jobs", "Jobs of the shot"),
        ],
        holds={
            "faults": [one.seen_from("../") for one in lines],
            "n_left": n_left,
            "charts": charts,
            "stars": stars_table(curves["stars"]) if curves else None,
            "values": values_table(shot["values"], shot["limits"]),
            "exposures": exposures_table(exposures, shot["limits"]),
            "ifus": ifus_table(shot["ifus"]),
            "maps": sorted({one for of in sets.values() for one in of}, key=place_of),
            "sets": [(key, key) for key in sets],
            "missing": missing_table(missing, month, name),
            "jobs": [_job(step, shot, unwell, commands) for step in (*OF_SHOT, *_made_of(shot["values"], unwell))],
            "script": f"{name}.js",
        },
    )
    (directory / f"{name}.html").write_text(renderer.render("shot", page, "../"), encoding="utf-8")


def _made_of(values: Mapping[str, Any], unwell: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the steps that a job makes of the shot, as far as they are switched on."""
    known = {name.partition(".")[0] for name in values} | {one["step"] for one in unwell}
    yield INDEXED
    yield from (step for step in SWITCHED if step != "detections" and step in known)


def _reordered(columns: Columns, amps: Sequence[str], order: Sequence[str]) -> Columns:
    place = {amp: k for k, amp in enumerate(amps)}
    return {name: [column[place[amp]] if amp in place else None for amp in order] for name, column in columns.items()}


def _facts(shot: Mapping[str, Any], n_missing: int) -> Iterator[tuple[str, str]]:
    yield "exposures", f"{len(shot['exposures'])}"
    yield "amplifiers", f"{len(shot['amps']):,}"
    yield "missing", f"{n_missing:,}"
    for label, name in (
        ("throughput at 4540 Å", "throughput.response_4540"),
        ("stars taken", "throughput.n_taken"),
        ("FWHM (″)", "stars.fwhm"),
    ):
        if name in shot["values"]:
            yield label, shown(shot["values"][name][0])


def _throughput(curves: Mapping[str, Any]) -> Chart:
    x = curves["wavelength"]
    drawn = (("tp_low", "range"), ("tp_high", "range"), ("tp_gband", "reference"), ("throughput", "main"))
    series = [{"kind": "line", "colour": colour, "x": x, "y": curves[name]} for name, colour in drawn]
    says = "Faint: 1 σ. Dashed: the reference, at the level of the stars' g magnitudes alone."
    spec = {"x": "wavelength (Å)", "y": "throughput", "alt": "Throughput against wavelength", "series": series}
    return "Throughput", spec | {"height": 300}, says


def _job(
    step: str, shot: Mapping[str, Any], unwell: Sequence[Mapping[str, Any]], commands: Commands
) -> tuple[str, str, str, str, str]:
    """Return how a step of the shot stands: its name, state, reason, command and log."""
    said = next((one for one in unwell if one["step"] == step), {"state": "done", "reason": ""})
    return step, said["state"], said["reason"], *commands.of(step, Place(str(shot["month"]), "", shot["shot"]))
