"""Figures of the page, as specifications that ``chart.js`` draws."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.reduction.hetdex.lines.completeness_file import Pooled, fit_fleming, fleming
from skyharvest.report.quality.words import rounded

Chart = tuple[str, dict[str, Any], str]
"""Heading, specification, caption."""

SN_EDGES = np.array([3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 9, 10, 12])
SN_FIT = "true S/N"
FLUX = "10⁻¹⁷ erg s⁻¹ cm⁻²"
FIT_SAYS = (
    "S/N: flux by the error that a fit of it has, as flux_err of detections. Faint: 68 % of what chance makes. Dashed: "
    "a function of Fleming et al. (1995)."
)
KNOWN_SAYS = (
    "S/N: flux by the noise of a line whose width and wavelength are known, as sn of detections and flux limits."
)
FLUX_SAYS = "Of all places and wavelengths, which differ in noise: less steep than by S/N."
N_BINS = 12
"""Of fluxes and wavelengths."""
FEWEST = 5
"""Lines of a bin that is drawn."""
MOST_POINTS = 2000
"""That a figure has: of more, some that are drawn at random."""
LEVELS = {"measured / true": 1.0, "(measured − true) / error": 0.0, "measured − true (Å)": 0.0}
"""Where it should be, by what is drawn."""
MOST_SHOTS = 8
"""That have a line of their own."""


def numbers(values: Array) -> list[float | None]:
    """Return numbers for JSON, None for those that are not known."""
    return [rounded(float(value)) if np.isfinite(value) else None for value in np.asarray(values, float)]


def sn_distribution(pooled: Pooled) -> Chart:
    """Return the signal to noise of all positions and wavelengths of the search, beside a unit normal."""
    rows = pooled.histogram[1:-1]  # the first and last have what is beyond
    rows = rows[rows["n"].cumsum() > 0]
    middle, width = (rows["low"] + rows["high"]) / 2, rows["high"] - rows["low"]
    total = pooled.histogram["n"].sum()
    normal = total * width * np.exp(-0.5 * middle**2) / np.sqrt(2 * np.pi)
    negative, positive = middle < 0, middle > 0
    mirrored = [-middle[negative][::-1], rows["n"][negative][::-1]]
    series = [
        _line("positive", middle[positive], _power(rows["n"][positive])),
        _line("negative", mirrored[0], _power(mirrored[1])),
        _line("reference", middle[positive], _power(normal[positive])),
    ]
    spec = {"x": "size of S/N", "y": "positions × wavelengths", "powers": True, "height": 340, "series": series}
    says = (
        "Both signs laid over each other. Where they part, there are lines. Noise alone would follow the dashed unit "
        "normal; what the negative side has above it is what is wrong with the noise: residuals of the sky, and "
        "absorption lines of stars. Positions overlap: many values are of the same noise."
    )
    return "S/N of the search", spec | {"alt": "Number of positions by the size of their S/N"}, says


def detections_above(pooled: Pooled) -> Chart:
    """Return how many lines are kept above a signal to noise, of either sign."""
    series = []
    found = pooled.found[pooled.found["isolated"] > 0]
    highest = float(found["sn"].max()) if len(found) else 6.0
    cuts = np.linspace(4.5, min(max(highest, 6.0), 15.0), 120)
    for name, sign in (("positive", 1), ("negative", -1)):
        sn = np.sort(found["sn"][found["sign"] == sign])
        above = len(sn) - np.searchsorted(sn, cuts)
        series.append(_line(name, cuts[above > 0], _power(above[above > 0])))
    spec = {"x": "S/N cut", "y": "lines above it", "powers": True, "height": 340, "series": series}
    says = (
        "Lines on no continuum that search and fits keep, in all IFUs of all shots, without those that were put in; "
        "and in the same fibers with their sign turned, where no line is: noise makes as many of both signs."
    )
    return "Lines above a cut", spec | {"alt": "Number of lines above a cut of S/N"}, says


def completeness(rows: Array) -> list[Chart]:
    """Return the share of lines that is found, by true signal to noise and by flux."""
    low, high = np.quantile(rows["flux"], [0.01, 0.99])
    known = "true S/N of a line of known shape"
    return [
        _completeness(rows, "sn_fit", ("By signal to noise", SN_FIT, FIT_SAYS), SN_EDGES),
        _completeness(rows, "sn", ("By signal to noise, if the shape is known", known, KNOWN_SAYS), SN_EDGES),
        _completeness(rows, "flux", ("By flux", f"true flux ({FLUX})", FLUX_SAYS), np.geomspace(low, high, N_BINS + 1)),
    ]


def _completeness(rows: Array, column: str, words: tuple[str, str, str], edges: Floats) -> Chart:
    heading, label, says = words
    isolated = rows[rows["isolated"] > 0]
    series = []
    for name, of in (("all", rows), ("isolated", isolated)):
        middle, share, least, most = _shares(of[column], of["found"], edges)
        if name == "isolated":
            series += [_line("range", middle, numbers(edge)) for edge in (least, most)]
        series.append({"kind": "points", "colour": name, "x": numbers(middle), "y": numbers(share)})
    half, slope = fit_fleming(isolated[column], isolated["found"])
    if np.isfinite(half):
        x = np.geomspace(edges[0], edges[-1], 120)
        series.append(_line("reference", x, numbers(fleming(x, half, slope))))
        says += f" Half of them are found at {half:.3g}; α = {slope:.2f}."
    spec = {"x": label, "y": "share that is found", "height": 300, "series": series}
    return heading, spec | {"alt": f"Completeness {heading[:1].lower()}{heading[1:]}"}, says


def measured(rows: Array) -> list[Chart]:
    """Return how well lines that were found are measured, by true signal to noise."""
    rows = rows[(rows["found"] > 0) & (rows["isolated"] > 0)]
    pull = (rows["found_flux"] - rows["flux"]) / rows["found_flux_err"]
    distance = np.hypot(rows["found_x"] - rows["x"], rows["found_y"] - rows["y"])
    of = (
        (
            rows["found_flux"] / rows["flux"],
            "Flux",
            "measured / true",
            "Faint lines are found where noise adds to them.",
        ),
        (pull, "Flux by its error", "(measured − true) / error", "Should scatter by 1 about 0."),
        (rows["found_wave"] - rows["wave"], "Wavelength", "measured − true (Å)", ""),
        (distance, "Position", "distance (″)", ""),
        (rows["found_linewidth"] / rows["linewidth"], "Width", "measured / true", ""),
    )
    made = [_cloud(rows["sn_fit"], values, *words) for values, *words in of]
    edges = np.linspace(-4, 4, 33)
    counted = np.histogram(pull[np.isfinite(pull)], edges)[0]
    steps = {"kind": "steps", "colour": "isolated", "x": numbers(edges), "y": counted.tolist(), "normal": True}
    spec = {"x": "(measured − true) / error of the flux", "y": "lines", "series": [steps], "alt": "Pull of fluxes"}
    return [*made[:2], ("Pull of fluxes", spec, "Dashed: a unit normal."), *made[2:]]


def _cloud(sn: Array, values: Array, heading: str, label: str, says: str) -> Chart:
    middle, median, low, high = (np.full(len(SN_EDGES) - 1, np.nan) for _ in range(4))
    for k, (first, last) in enumerate(itertools.pairwise(SN_EDGES)):
        of = values[(sn >= first) & (sn < last) & np.isfinite(values)]
        if len(of) >= FEWEST:
            middle[k], (low[k], median[k], high[k]) = (first + last) / 2, np.quantile(of, [0.16, 0.5, 0.84])
    known = np.isfinite(middle)
    some = _some(len(values))
    series = [{"kind": "points", "colour": "faint", "x": numbers(sn[some]), "y": numbers(values[some])}]
    series += [_line("range", middle[known], numbers(edge[known])) for edge in (low, high)]
    series.append(_line("isolated", middle[known], numbers(median[known])))
    if label in LEVELS:
        series.append(_line("reference", SN_EDGES[[0, -1]], [LEVELS[label]] * 2))
    spec = {"x": SN_FIT, "y": label, "alt": f"{heading} by true S/N", "series": series}
    return heading, spec, f"Line: median; thin: 68 % of the lines. {says}".strip()


def limits_by_wave(pooled: Pooled) -> Chart:
    """Return typical flux limits by wavelength: of each shot, or what most of many have."""
    waves, of_wave = np.unique(pooled.limits["wave"], return_inverse=True)
    of_unit = np.full((len(pooled.units), len(waves)), np.nan)
    of_unit[pooled.of_limits, of_wave] = pooled.limits["limit"]
    shots = np.array([str(unit["shot"]) for unit in pooled.units])
    names = np.unique(shots).tolist()
    table = np.array([_medians(of_unit[shots == name]) for name in names])
    series = []
    if len(names) <= MOST_SHOTS:
        series = [_line(f"shot{k}", waves, numbers(row)) for k, row in enumerate(table)]
        says = "Of each shot, the median of its IFUs."
    else:
        low, middle, high = np.nanquantile(table, [0.16, 0.5, 0.84], axis=0)
        series = [_line("range", waves, numbers(edge)) for edge in (low, high)]
        series.append(_line("isolated", waves, numbers(middle)))
        says = "The median of shots; thin: 68 % of them."
    sn = next((unit["limit_sn"] for unit in pooled.units if not unit["failed"]), np.nan)
    spec = {"x": "wavelength (Å)", "y": f"flux ({FLUX})", "height": 340, "series": series}
    return f"Flux of a line with S/N {sn:g}", spec | {"alt": "Flux limits by wavelength"}, says


def _medians(rows: Floats) -> Floats:
    """Return the median of each column, NaN of one in which nothing is known."""
    known = np.isfinite(rows).any(0)
    made = np.full(rows.shape[1], np.nan)
    made[known] = np.nanmedian(rows[:, known], axis=0)
    return made


def _line(colour: str, x: Array, y: Sequence[float | None]) -> dict[str, Any]:
    return {"kind": "line", "colour": colour, "x": numbers(x), "y": list(y)}


def _power(n: Array) -> list[float | None]:
    """Return the logarithms of numbers; of less than a half, nothing."""
    n = np.asarray(n, float)
    return numbers(np.where(n > 0.5, np.log10(np.maximum(n, 0.5)), np.nan))


def _shares(values: Array, found: Array, edges: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return middle, share, and its 68 % by Wilson (1927, JASA 22, 209), of bins with enough lines."""
    made = []
    for low, high in itertools.pairwise(edges):
        of = (values >= low) & (values < high)
        n = int(of.sum())
        if n < FEWEST:
            continue
        share = float(found[of].mean())
        middle = (share + 0.5 / n) / (1 + 1 / n)
        half = np.sqrt(share * (1 - share) / n + 0.25 / n**2) / (1 + 1 / n)
        made.append((float(values[of].mean()), share, middle - half, middle + half))
    columns = np.array(made).reshape(-1, 4).T
    return columns[0], columns[1], columns[2], columns[3]


def _some(n: int) -> Array:
    if n <= MOST_POINTS:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, MOST_POINTS, replace=False))
