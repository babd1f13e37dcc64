"""The pages of a month: its own, and those of its shots."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skyharvest.core.whole_directory import whole_directory
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.qa.collected import of_shot, path_of_month, path_of_shot, read_json
from skyharvest.reduction.hetdex.qa.definitions import place_of
from skyharvest.reduction.hetdex.qa.missing import missing_amps
from skyharvest.report.hetdex_qa.commands import Commands
from skyharvest.report.hetdex_qa.faults import lines_of
from skyharvest.report.hetdex_qa.maps import maps_script
from skyharvest.report.hetdex_qa.shot import write_shot
from skyharvest.report.hetdex_qa.site import directory_of, renderer
from skyharvest.report.hetdex_qa.tables import missing_table, shots_table, strip
from skyharvest.report.quality.site import Page

MOST_FAULTS = 300


def write_month(commands: Commands, month: int) -> None:
    """Write the pages of a month that was collected; they take the place of those that were there, all at once.

    Parameters
    ----------
    commands
        What repeats jobs, and where the reduction stands.
    month
        YYYYMM.
    """
    reduction = commands.layout.directory
    collected = read_json(path_of_month(reduction, month))
    shots = [one["shot"] for one in collected["shots"]]
    rendered = renderer()
    with whole_directory(directory_of(reduction) / str(month)) as out:
        (out / "index.html").write_text(rendered.render("month", _page(collected, commands), "../"), encoding="utf-8")
        missing = missing_amps(collected["unwell"])
        why = {one.amp: f"{one.step} {one.state}: {one.reason}" for one in missing}
        script = maps_script(collected["amps"], {"": collected["values"]}, {"": why}, collected["limits"])
        (out / "maps.js").write_text(script, encoding="utf-8")
        _write_amps(out / "amps.csv", collected, why)
        for k, shot in enumerate(shots):
            around = (("previous shot", k - 1), ("next shot", k + 1))
            beside = [(word, shots[j]) for word, j in around if 0 <= j < len(shots)]
            own, state = list(of_shot(collected["unwell"], shot)), collected["shots"][k]["state"]
            made = read_json(path_of_shot(reduction, shot))
            write_shot(out, made, unwell=own, state=state, beside=beside, commands=commands, renderer=rendered)


def _page(month: Mapping[str, Any], commands: Commands) -> Page:
    lines, n_left = lines_of(month["faults"], commands, MOST_FAULTS)
    n_bad = sum(one.state == "BAD" for one in lines)
    counts = month["counts"]
    nights: dict[str, list[Mapping[str, Any]]] = {}
    for one in month["shots"]:
        nights.setdefault(one["shot"][:8], []).append(one)
    pairings, shots = counted(counts["pairings"], "pairing"), counted(counts["shots"], "shot")
    return Page(
        title=f"Month {month['month']}",
        about=f"{pairings} of an IFU and a spectrograph, {shots}",
        state=month["state"],
        facts=[
            ("shots BAD", f"{counts['BAD']:,}"),
            ("shots WARN", f"{counts['WARN']:,}"),
            ("shots OK", f"{counts['OK']:,}"),
            ("faults", f"{n_bad:,}"),
            ("amplifiers", f"{counts['amps']:,}"),
            ("missing", f"{counts['failed']:,}"),
        ],
        where=[("HETDEX", "../index.html"), (str(month["month"]), "")],
        contents=[
            ("bad", "What is bad"),
            ("shots", "Shots"),
            ("maps", "The focal plane"),
            ("amps", "Amplifiers"),
        ],
        holds={
            "faults": [one.seen_from("../") for one in lines],
            "n_left": n_left,
            "strips": [{"name": night, "link": "", "cells": strip(some, "../")} for night, some in nights.items()],
            "shots": shots_table(month["shots"]),
            "maps": sorted(month["values"], key=place_of),
            "missing": missing_table(missing_amps(month["unwell"]), month["month"]),
        },
    )


def _write_amps(path: Path, month: Mapping[str, Any], missing: Mapping[str, str]) -> None:
    """Write all values of amplifiers as a CSV file, for other programs."""
    names = list(month["values"])
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["specid", "ifuslot", "ifuid", "contid", "amp", "missing", *names])
        for k, amp in enumerate(month["amps"]):
            writer.writerow([*amp.split("_"), missing.get(amp, ""), *(month["values"][name][k] for name in names)])
