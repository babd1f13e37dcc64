"""What the figures of a page show: specifications that ``quality/assets/chart.js`` draws."""

from collections.abc import Mapping, Sequence
from typing import Any

from skyharvest.reduction.desi.cameras import ARMS
from skyharvest.reduction.desi.qa.measured import Curve
from skyharvest.report.quality.words import rounded

Chart = tuple[str, dict[str, Any], str]
"""Heading, specification, caption."""

PULLS = "SKYSUB-PULLS"
"""The curve over which the normal distribution is drawn."""


def charts_of(curves: Mapping[str, Curve], arm: str) -> list[Chart]:
    """Return the figures of a frame's curves."""
    return [(name, spec_of(name, curve, arm), curve.says) for name, curve in curves.items()]


def spec_of(name: str, curve: Curve, arm: str) -> dict[str, Any]:
    """Return a curve's figure."""
    line = {"kind": curve.kind, "colour": arm, "x": _plain(curve.x, 6), "y": _plain(curve.y), "normal": name == PULLS}
    return {"x": curve.x_label, "y": curve.y_label, "alt": f"{name}: {curve.says}", "height": 240, "series": [line]}


def histogram(name: str, metric: Mapping[str, Any]) -> Chart:
    """Return the histogram of a metric in each channel."""
    arms = [arm for arm, one in metric["by_arm"].items() if one["n"]]
    edges = _plain(metric["edges"], 6)
    series = [{"kind": "steps", "colour": arm, "x": edges, "y": metric["by_arm"][arm]["counts"]} for arm in arms]
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    medians = "; ".join(f"{arm} {rounded(metric['by_arm'][arm]['median'], 4):g}" for arm in arms)
    spec = {
        "x": f"{name}{unit}",
        "y": "frames",
        "alt": f"Histogram of {name}: medians {medians}",
        "height": 200,
        "series": series,
        "limits": [
            {"axis": "x", "state": level, "value": value}
            for level, value in sorted({(one[1], one[2]) for one in limits_of(metric["limits"])})
        ],
    }
    return name, spec, f"{metric['meaning']}. Medians: {medians}."


def limits_of(limits: Mapping[str, Mapping[str, Sequence[float | None]]]) -> list[tuple[str, str, float]]:
    """Return limits one by one: of which arm ("" for all), ``warn`` or ``bad``, and the number."""
    return [
        (place if place in ARMS else "", level, value)
        for place, levels in limits.items()
        for level, pair in levels.items()
        for value in pair
        if value is not None
    ]


def by_exposure(
    heading: str, label: str, lines: Mapping[str, Sequence[Mapping[str, Any]]], value: str, says: str
) -> Chart:
    """Return what was measured of each exposure, against MJD, for each arm."""
    series = [
        {
            "kind": "points",
            "colour": arm,
            "x": _plain([one["mjd"] for one in points], 9),
            "y": _plain([one[value] for one in points]),
        }
        for arm, points in lines.items()
        if points
    ]
    return heading, {"x": "MJD", "y": label, "alt": heading, "height": 240, "series": series}, says


def _plain(values: Sequence[float | None], digits: int = 5) -> list[float | None]:
    return [rounded(value, digits) for value in values]
