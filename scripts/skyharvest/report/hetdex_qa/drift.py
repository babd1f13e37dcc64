"""What drifts over months, on the first page: judged here, as it is known once all months are."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from skyharvest.reduction.hetdex.calibration.drift_table import NUMBERS, Row
from skyharvest.reduction.hetdex.places import Place
from skyharvest.reduction.hetdex.qa.faults import Fault
from skyharvest.reduction.limits import OK, beyond, state_of, worst
from skyharvest.report.page import Picture

MADE_BY = {"bias_change": "bias", "trace_change": "trace", "amp_to_amp_change": "amp_to_amp"}
"""Number → the step that made what has drifted; of the others the calibration by twilights."""


def add_drift(months: Sequence[dict[str, Any]], rows: Sequence[Row]) -> None:
    """Add to months, as they were collected, what their amplifiers have drifted, with its faults.

    An amplifier's first month has none.
    """
    of_month: dict[int, list[Row]] = {}
    for row in rows:
        if row.reference != row.month:
            of_month.setdefault(row.month, []).append(row)
    for month in months:
        found = list(_values(of_month.get(month["month"], [])))
        place = {amp: k for k, amp in enumerate(month["amps"])}
        for name in dict.fromkeys(name for name, _, _ in found):
            month["values"][name] = [None] * len(place)
        for name, amp, value in found:
            if amp in place:
                month["values"][name][place[amp]] = value
                month["faults"] += (faults := list(_faults(month, name, amp, value)))
                month["state"] = worst([month["state"], *(one["state"] for one in faults)])


def _values(rows: Sequence[Row]) -> Iterator[tuple[str, str, float]]:
    for row in rows:
        for name, value in asdict(row).items():
            if name in NUMBERS and math.isfinite(value):
                yield f"drift.{name}", f"{row.ifu}_{row.amp}", value


def _faults(month: Mapping[str, Any], name: str, amp: str, value: float) -> Iterator[dict[str, Any]]:
    limits = month["limits"].get(name, {})
    state = state_of(value, limits)
    if state != OK:
        limit, severity = beyond(value, limits, state)
        place = Place(str(month["month"]), amp.rpartition("_")[0])
        step = MADE_BY.get(name.partition(".")[2], "wavelength")
        yield Fault(name, state, step, place, amp, value=value, limit=limit, severity=severity).as_json()


def pictures_of(rows: Sequence[Row]) -> list[Picture]:
    """Return figures of what drifts; none if there is but one month."""
    if len({row.month for row in rows}) < 2:
        return []
    from skyharvest.report.hetdex_drift import drawings  # noqa: PLC0415 (matplotlib, which a month alone does without)
    from skyharvest.report.style import picture, styled  # noqa: PLC0415

    with styled():
        return [
            picture(f"drift_{name}", NUMBERS[name][1], alt, figure, alt)
            for name, (figure, alt) in drawings(rows).items()
        ]
