"""The page: what it has, and how it is written."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.reduction.hetdex.layout import Layout, Pairing
from skyharvest.reduction.hetdex.lines.completeness_file import Pooled, read_files
from skyharvest.reduction.hetdex.plan import Plan
from skyharvest.report.hetdex_completeness import charts
from skyharvest.report.hetdex_completeness.checks import Check, checks_of
from skyharvest.report.hetdex_qa.site import OWN as HETDEX
from skyharvest.report.hetdex_qa.site import SCRIPTS
from skyharvest.report.page import Cell, Table, number, text
from skyharvest.report.quality.site import Page, Renderer, write_assets
from skyharvest.report.quality.words import rounded, shown

OWN = Path(__file__).with_name("assets")
FOUND_OF = "Share of isolated lines that were put in, by flux over the error of its fit."
VALUES = {
    "fluxlimit_4600": ("Flux limit at 4600 Å", "10⁻¹⁷ erg s⁻¹ cm⁻²", "Typical of the IFU."),
    "completeness_faint": ("Completeness at flux / error 5 to 6", "", FOUND_OF),
    "completeness_bright": ("Completeness above flux / error 6.5", "", FOUND_OF),
    "flux_ratio": ("Flux, measured over true", "", "Median above S/N 6."),
    "flux_pull": ("Scatter of the flux by its error", "", "Above S/N 6."),
    "scatter": ("Scatter of the search's S/N", "", "Where there is noise alone: should be 1."),
}
"""Of an IFU and shot: heading, unit, and what it is."""
CUTS = (4.5, 4.8, 5.0, 5.2, 5.5, 6.0, 6.5, 8.0)
MOST_ROWS = 2000
"""Of the table of IFUs and shots."""


def files_of(layout: Layout, plan: Plan, shots: Sequence[str]) -> list[Path]:
    """Return the files of all IFUs of shots that the plan has."""
    return [layout.completeness(shot, ifu) for shot in shots for ifu in plan.ifus_of_shot(shot)]


def write_page(files: Sequence[Path], out: Path) -> None:
    """Write the page, and beside it what it shares with those of quality.

    Parameters
    ----------
    files
        ``completeness/SHOT/IFU.h5``.
    out
        ``index.html``.

    Raises
    ------
    MalformedFile
        If a file is none.
    """
    pooled = read_files(files)
    checks = checks_of(pooled)
    done = [unit for unit in pooled.units if not unit["failed"]]
    state = "OK" if all(one.state != "WARN" for one in checks) else "WARN"
    rows = pooled.injected
    has_lines = bool(len(rows))
    write_assets(out.parent, *SCRIPTS, OWN / "completeness.css")
    page = Page(
        title="Completeness of HETDEX's emission lines",
        about="Lines of known light that were put into calibrated fibers, and what search and fits made of them",
        state=state if done else "none",
        facts=[
            ("shots", f"{len({str(unit['shot']) for unit in done}):,}"),
            ("IFUs, shot by shot", f"{len(done):,}"),
            ("lines put in", f"{len(rows):,}"),
            ("of these isolated", f"{int(rows['isolated'].sum()):,}"),
            ("lines found without them", f"{int((pooled.found['sign'] > 0).sum()):,}"),
        ],
        where=[],
        contents=[
            ("checks", "Checks"),
            ("noise", "The search and the noise"),
            ("completeness", "Completeness"),
            ("measured", "How well lines are measured"),
            ("limits", "Flux limits"),
            ("maps", "The focal plane"),
            ("units", "IFUs and shots"),
        ],
        holds={
            "checks": _checks_table(checks),
            "noise": [charts.sn_distribution(pooled), charts.detections_above(pooled)] if len(pooled.histogram) else [],
            "cuts": _cuts_table(pooled, len(done)),
            "completeness": charts.completeness(rows) if has_lines else [],
            "measured": charts.measured(rows) if has_lines else [],
            "limits": [charts.limits_by_wave(pooled)] if len(pooled.limits) else [],
            "shots": [(one, one) for one in _shots(pooled)],
            "maps": [(name, heading) for name, (heading, _, _) in VALUES.items()],
            "map_data": _maps(pooled),
            "units": _units_table(pooled),
            "failed": _failed_table(pooled),
        },
    )
    html = Renderer(OWN, HETDEX).render("completeness", page, "")
    with atomic_path(out) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _checks_table(checks: Iterable[Check]) -> Table:
    rows = [
        [
            Cell(one.name, note=one.says),
            Cell(shown(_known(one.value)), mark="WARN" if one.state == "WARN" else ""),
            text(_range(one)),
            text({"OK": "✓", "WARN": "!"}.get(one.state, "·")),
        ]
        for one in checks
    ]
    return Table("What should be, and what is", ("what", "is", "should be", ""), rows)


def _range(one: Check) -> str:
    if one.low is None and one.high is None:
        return ""
    if one.low is None:
        return f"≤ {shown(one.high)}"
    return f"≥ {shown(one.low)}" if one.high is None else f"{shown(one.low)} to {shown(one.high)}"


def _cuts_table(pooled: Pooled, n_units: int) -> Table:
    """Return how many lines are above some cuts, of both signs."""
    found = pooled.found
    rows = []
    for cut in CUTS:
        row = [number(cut, f"{cut:g}")]
        for sign in (1, -1):
            above = (found["sign"] == sign) & (found["sn"] >= cut)
            for n in (int(above.sum()), int((above & (found["isolated"] > 0)).sum())):
                row.append(number(n, f"{n:,} ({n / n_units:.2g})" if n_units else f"{n:,}"))
        rows.append(row)
    columns = ("S/N cut", "lines", "on no continuum", "with the sign turned", "on no continuum")
    note = "In brackets: per IFU and shot. Below the cut of the configuration there are none."
    return Table("Lines above a cut", columns, rows, note)


def _shots(pooled: Pooled) -> list[str]:
    return sorted({str(unit["shot"]) for unit in pooled.units})


def _maps(pooled: Pooled) -> dict[str, Any]:
    """Return the data of maps of the focal plane, IFU by IFU."""
    ifus = sorted({str(unit["ifu"]) for unit in pooled.units})
    place = {ifu: k for k, ifu in enumerate(ifus)}
    sets: dict[str, dict[str, list[float | None]]] = {
        shot: {name: [None] * len(ifus) for name in VALUES} for shot in _shots(pooled)
    }
    failed: dict[str, dict[int, str]] = {shot: {} for shot in sets}
    for unit in pooled.units:
        shot, k = str(unit["shot"]), place[str(unit["ifu"])]
        if unit["failed"]:
            failed[shot][k] = str(unit["failed"])
            continue
        for name, values in sets[shot].items():
            values[k] = rounded(_known(unit[_key(name)]), 4)
    about = {name: {"unit": unit, "says": says, "limits": {}} for name, (_, unit, says) in VALUES.items()}
    return {"amps": ifus, "about": about, "sets": sets, "failed": failed}


def _key(name: str) -> str:
    return name if name in ("fluxlimit_4600", "scatter") else f"isolated_{name}"


def _units_table(pooled: Pooled) -> Table:
    done = [(k, unit) for k, unit in enumerate(pooled.units) if not unit["failed"]]
    names = ("n_faint", "completeness_faint", "n_bright", "completeness_bright", "flux_ratio", "flux_pull")
    more = ("wave_rms", "position_rms")
    rows = []
    for k, unit in done[:MOST_ROWS]:
        signs = pooled.found["sign"][pooled.of_found == k]
        values = [unit["fluxlimit_4600"], *(unit[f"isolated_{name}"] for name in (*names, *more))]
        rows.append(
            [
                text(str(unit["shot"])),
                text(Pairing.named(str(unit["ifu"])).ifuslot),
                *(_number(value) for value in values),
                _number(unit["scatter"]),
                number(int((signs > 0).sum())),
                number(int((signs < 0).sum())),
            ]
        )
    columns = (
        "shot", "IFUSLOT", "limit at 4600 Å", "lines, flux / error 5 to 6", "found", "lines, above 6.5", "found",
        "flux ratio", "flux pull", "wave rms (Å)", "position rms (″)", "S/N scatter", "lines kept", "sign turned",
    )  # fmt: skip
    note = f"The first {MOST_ROWS:,} of {len(done):,}." if len(done) > MOST_ROWS else "Of isolated lines."
    return Table("Each IFU in each shot", columns, rows, note)


def _failed_table(pooled: Pooled) -> Table:
    rows = [[text(str(unit[name])) for name in ("shot", "ifu", "failed")] for unit in pooled.units if unit["failed"]]
    return Table("What failed", ("shot", "IFU", "reason"), rows)


def _number(value: float) -> Cell:
    known = _known(value)
    return Cell("–") if known is None else number(known, shown(rounded(known, 3)))


def _known(value: Array | float) -> float | None:
    return float(value) if np.isfinite(value) else None
