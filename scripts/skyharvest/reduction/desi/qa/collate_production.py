"""How good a production is, as JSON: ``QA/qa-production.json``, out of the JSON of its nights, one after the other."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any

import numpy as np

from skyharvest.reduction.desi.cameras import ARMS
from skyharvest.reduction.desi.qa.collate import night_path
from skyharvest.reduction.desi.qa.definitions import FIDUCIALS, SHOWN_FIDUCIALS, definition_of, place_of
from skyharvest.reduction.desi.qa.faults import fault_of
from skyharvest.reduction.desi.qa.limits import Limits
from skyharvest.reduction.desi.qa.measured import Metric
from skyharvest.reduction.limits import BAD, OK, STATES, worst

MOST_FAULTS = 200
FEWEST_NIGHTS = 3
"""Of which a median tells what is usual."""
BINS = 40
FAR = 10.0
"""Values are drawn as far from the median as so many times the median distance; those beyond are in the last bins."""


def production_path(production: Path) -> Path:
    """Return where the JSON of a production stands."""
    return production / "QA/qa-production.json"


def read_nights(production: Path, night: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield what the JSON of each night, or of one, says, in their order.

    One at a time, as a month has 36,000 frames.
    """
    for path in sorted((production / "QA").glob(f"{night or '*'}/qa-night-*.json")):
        if path == night_path(production, int(path.parent.name)):
            yield json.loads(path.read_text(encoding="utf-8"))


class _Sums:
    """What is summed up over the nights."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.values: dict[tuple[str, str], array[float]] = {}
        self.states: dict[str, Counter[str]] = {}
        self.s2n: dict[str, list[dict[str, Any]]] = {kind: [] for kind in SHOWN_FIDUCIALS}
        self.zero_points: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
        self.nights: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.n_faults = 0

    def add(self, night: Mapping[str, Any]) -> None:
        """Add a night."""
        counts = night["counts"] | {"failed": len(night["failed"])}
        self.counts.update(counts | {"nights": 1})
        own = {name: night[name] for name in ("night", "state", "metrics")}
        self.nights.append(own | counts)
        self.n_faults += len(night["worst"])
        self.faults = sorted([*self.faults, *night["worst"]], key=_rank)[:MOST_FAULTS]
        for exposure in night["exposures"]:
            for camera, frame in exposure["cameras"].items():
                for name, (value, state, *_) in frame["metrics"].items():
                    self.states.setdefault(name, Counter())[state] += 1
                    if value is not None:
                        self.values.setdefault((name, camera[0]), array("d")).append(value)
            about = {"night": night["night"]} | {name: exposure[name] for name in ("expid", "mjd", "exptime")}
            for kind, arm in SHOWN_FIDUCIALS.items():
                if found := _of_arm(exposure, f"S2N-{kind}", arm):
                    self.s2n[kind].append(about | {"mean": fmean(found), "std": pstdev(found), "n": len(found)})
            for arm in ARMS:
                if found := _of_arm(exposure, "FLUXCALIB-ZP", arm):
                    spread = {"median": median(found), "std": pstdev(found), "n": len(found)}
                    self.zero_points[arm].append(about | spread)


def _of_arm(exposure: Mapping[str, Any], name: str, arm: str) -> list[float]:
    found = (frame["metrics"].get(name) for camera, frame in exposure["cameras"].items() if camera[0] == arm)
    return [metric[0] for metric in found if metric is not None and metric[0] is not None]


def _rank(fault: Mapping[str, Any]) -> tuple[Any, ...]:
    return -STATES.index(fault["state"]), not fault["command"], -fault["severity"], fault["night"], fault["what"]


def collate_production(production: Path, limits: Limits) -> dict[str, Any]:
    """Return how good a production is, out of the JSON of its nights."""
    sums = _Sums()
    for night in read_nights(production):
        sums.add(night)
    _compare_nights(sums, limits)
    names = sorted({name for name, _ in sums.values} | sums.states.keys(), key=place_of)
    return {
        "specprod": production.name,
        "state": worst(night["state"] for night in sums.nights),
        "counts": {name: sums.counts[name] for name in ("nights", "exposures", "frames", *STATES, "failed")},
        "nights": sums.nights,
        "worst": sums.faults,
        "n_worst": sums.n_faults,
        "n_bad": sum(fault["state"] == BAD for fault in sums.faults),
        "metrics": {name: _metric(name, sums, limits) for name in names},
        "s2n": [
            {"class": kind, "arm": arm, "magnitude": FIDUCIALS[kind], "points": sums.s2n[kind]}
            for kind, arm in SHOWN_FIDUCIALS.items()
        ],
        "zero_points": sums.zero_points,
    }


def _compare_nights(sums: _Sums, limits: Limits) -> None:
    """Judge the zero points of nights against one another: a night that is cloudy from dusk to dawn is fainter."""
    for arm in ARMS:
        name = f"NIGHT-ZP_{arm.upper()}"
        found = [night for night in sums.nights if name in night["metrics"]]
        if len(found) < FEWEST_NIGHTS:
            continue
        usual = median(night["metrics"][name][0] for night in found)
        for night in found:
            off = f"NIGHT-ZP_OFF_{arm.upper()}"
            metric = limits.judge(off, Metric(round(night["metrics"][name][0] - usual, 5)))
            night["metrics"] = night["metrics"] | {off: [metric.value, metric.state]}
            night["state"] = worst((night["state"], metric.state))
            if metric.state != OK:
                sums.n_faults += 1
                sums.faults.append(fault_of(night["night"], off, metric).as_json())
    sums.faults = sorted(sums.faults, key=_rank)[:MOST_FAULTS]


def _metric(name: str, sums: _Sums, limits: Limits) -> dict[str, Any]:
    definition = definition_of(name)
    own = {arm: np.frombuffer(sums.values[name, arm]) for arm in ARMS if (name, arm) in sums.values}
    said = limits.of.get(name) or limits.of.get(definition.name) or {}
    edges = _edges(np.concatenate([*own.values()])) if own else np.zeros(0)
    by_arm = {}
    for arm, values in own.items():
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        by_arm[arm] = {"n": values.size, "median": float(np.median(values)), "counts": counts.tolist()}
    return {
        "unit": definition.unit,
        "meaning": definition.meaning,
        **{state: sums.states.get(name, Counter())[state] for state in STATES},
        "limits": {place: dict(levels) for place, levels in said.items()},
        "edges": edges.tolist(),
        "by_arm": by_arm,
    }


def _edges(values: Any) -> Any:
    """Return the edges of a histogram, (BINS + 1,): of whole numbers, where there are no others, in their middle."""
    centre = float(np.median(values))
    spread = float(np.median(np.abs(values - centre)))
    low, high = float(values.min()), float(values.max())
    if spread > 0:
        low, high = max(low, centre - FAR * spread), min(high, centre + FAR * spread)
    if high <= low:
        low, high = low - 0.5, low + 0.5
    return np.linspace(low, high, BINS + 1)
