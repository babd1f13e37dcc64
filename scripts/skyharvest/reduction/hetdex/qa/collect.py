"""How good a shot and a month are: all values of their products with their states, and what is not good, worst first.

A file for each, as JSON; pages are made of these alone. ``amps`` names the amplifiers, ``PAIRING_AMP``, in the order in
which columns have them; null is what there is no value of. What of a month is not done, is told by its ledger.
"""

import logging
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.layout import Layout, month_of
from skyharvest.reduction.hetdex.ledger import Account, Line
from skyharvest.reduction.hetdex.places import Place
from skyharvest.reduction.hetdex.plan import SCIENCE, Plan
from skyharvest.reduction.hetdex.qa.collected import failure, of_shot
from skyharvest.reduction.hetdex.qa.definitions import place_of
from skyharvest.reduction.hetdex.qa.faults import Fault, exposure_of
from skyharvest.reduction.hetdex.qa.limits import Limits
from skyharvest.reduction.hetdex.qa.missing import missing_amps
from skyharvest.reduction.hetdex.qa.read import (
    Values,
    amp_to_amp_values,
    amp_values,
    exposed_values,
    full_sky_values,
    shot_values,
)
from skyharvest.reduction.hetdex.qa.read_sources import cube_values, line_values, of_all, source_values
from skyharvest.reduction.hetdex.qa.shown import curves_of
from skyharvest.reduction.hetdex.steps import (
    BY_IFU,
    CALIBRATIONS,
    DONE,
    FAILED,
    FRAMES,
    LEFT_OUT,
    OF_SHOT,
    WAITING,
    Chosen,
)
from skyharvest.reduction.limits import BAD, OK, STATES, beyond, worst

log = logging.getLogger(__name__)

_UNWELL = ("step", "state", "reason", "ifu", "amp")
_OF_FRAMES = f"{FRAMES}: "

DIGITS = 9
"""Of values of shots and exposures: there are places on the sky among them."""
Judged = tuple[float | None, str]
"""A value, None for NaN, and its state."""


class _Amps:
    """Values of amplifiers as columns."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.columns: dict[str, dict[str, float]] = {}

    def add(self, place: Place, found: Mapping[str, Values]) -> Iterator[Fault]:
        """Add what a product says of amplifiers, ``PAIRING_AMP``; yield what is not good."""
        for amp, values in found.items():
            for name, value in values.items():
                self.columns.setdefault(name, {})[amp] = value
                state = self.limits.judge(name, value)
                if state != OK:
                    yield _fault(self.limits, place, amp, name, value, state)

    @property
    def names(self) -> set[str]:
        """All amplifiers."""
        return {amp for some in self.columns.values() for amp in some}

    def as_columns(self, amps: Iterable[str]) -> dict[str, list[float | None]]:
        """Return the values of some amplifiers, in their order, by name."""
        amps = list(amps)
        return {
            name: [plain(self.columns[name].get(amp)) for amp in amps] for name in sorted(self.columns, key=place_of)
        }


def _said(read: Callable[..., dict[str, Values]], *arguments: Any) -> dict[str, Values]:
    """Return what a product says; nothing if it is not there or cannot be read: of that its ledger tells."""
    try:
        return read(*arguments)
    except FileNotFoundError:
        return {}
    except (MalformedFile, OSError) as error:
        log.warning("%s", error)
        return {}


def _said_of_one(read: Callable[..., Values], *arguments: Any) -> Values:
    return _said(lambda: {"": read(*arguments)}).get("", {})


def collect_shot(layout: Layout, plan: Plan, shot: str, limits: Limits, chosen: Chosen | None = None) -> dict[str, Any]:
    """Return how good a shot is.

    Parameters
    ----------
    layout
        Where its products stand.
    plan
        Which there should be.
    shot
        Its name.
    limits
        By which its values are judged.
    chosen
        Which steps are switched on; None: all.
    """
    month = str(month_of(shot))
    exposures: dict[str, dict[str, Any]] = {}
    by_exposure: dict[str, _Amps] = {}
    faults: list[Fault] = []
    for exposure in plan.exposures(shot):
        own = by_exposure[exposure] = _Amps(limits)
        pairings = plan.ifus(shot, exposure)
        for ifu in pairings:
            found = _said(exposed_values, "science", layout.science(shot, exposure, ifu))
            faults += own.add(Place(month, ifu, shot, exposure), _of_pairing(ifu, found))
        sky = _said(full_sky_values, layout.full_sky(shot, exposure), pairings)
        faults += own.add(Place(month, "", shot, exposure), sky)
        exposures[exposure] = {"values": {}}
    values: dict[str, Judged] = {}
    for step in OF_SHOT:
        path = layout.of_shot(step, shot)
        try:
            of_all, of_exposures = shot_values(step, path) if path.exists() else ({}, {})
        except MalformedFile as error:
            log.warning("%s", error)
            continue
        for exposure, some in ({"": of_all} | of_exposures).items():
            into = exposures.setdefault(exposure, {"values": {}})["values"] if exposure else values
            for name, value in some.items():
                state = limits.judge(name, value)
                into[name] = (plain(value, DIGITS), state)
                if state != OK:
                    faults.append(_fault(limits, Place(month, "", shot, exposure), "", name, value, state))
    of_sources, ifus, more = _collect_sources(layout, plan, shot, limits, chosen or Chosen())
    values |= of_sources
    faults += more
    amps = sorted({amp for own in by_exposure.values() for amp in own.names})
    for exposure, own in by_exposure.items():
        exposures[exposure]["amps"] = own.as_columns(amps)
    return {
        "shot": shot,
        "month": month_of(shot),
        "state": worst(one.state for one in faults),
        "amps": amps,
        "values": values,
        "ifus": ifus,
        "exposures": exposures,
        "faults": [one.as_json() for one in faults],
        "limits": {name: of for name, of in limits.of.items() if name.partition(".")[0] not in CALIBRATIONS},
        "curves": _curves(layout.of_shot("throughput", shot)),
    }


def _collect_sources(
    layout: Layout, plan: Plan, shot: str, limits: Limits, chosen: Chosen
) -> tuple[dict[str, Judged], dict[str, dict[str, Judged]], list[Fault]]:
    """Return values of what was found in a shot, and of each of its IFUs, and what is not good.

    Limits are of an IFU's values; one of the shot that is made of these is as the worst of them.
    """
    pairings = plan.ifus_of_shot(shot)
    values: dict[str, Judged] = {}
    ifus: dict[str, dict[str, Judged]] = {}
    faults: list[Fault] = []
    for step in chosen.switched:
        by_ifu: dict[str, Values] = {}
        if step == "detections":
            by_ifu = {ifu: _said_of_one(line_values, layout.detections(shot, ifu)) for ifu in pairings}
        elif step == "cubes":
            by_ifu = _said(cube_values, layout.cubes(shot))
        own = by_ifu if step in BY_IFU else {"": _said_of_one(source_values, step, layout, shot)}
        for ifu, some in own.items():
            for name, value in some.items():
                state = limits.judge(name, value)
                (ifus.setdefault(ifu, {}) if ifu else values)[name] = (plain(value), state)
                if state != OK:
                    faults.append(_fault(limits, Place(str(month_of(shot)), ifu, shot), "", name, value, state))
        for name, value in of_all(by_ifu).items():
            values[name] = (plain(value), worst(ifus[ifu][name][1] for ifu in by_ifu if name in ifus[ifu]))
    return values, ifus, faults


def _curves(path: Path) -> dict[str, Any]:
    try:
        return curves_of(path) if path.exists() else {}
    except MalformedFile as error:
        log.warning("%s", error)
        return {}


def collect_month(account: Account, month: int, limits: Limits, shots: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how good a month is: its calibration, and its shots.

    Parameters
    ----------
    account
        Of the month.
    month
        YYYYMM.
    limits
        By which its values are judged.
    shots
        As `collect_shot` returned them.
    """
    layout = account.layout
    own, faults = _Amps(limits), list[Fault]()
    pairings = sorted({unit.ifu for unit in account.plan.units if not unit.shot})
    for ifu in pairings:
        for step in CALIBRATIONS:
            path = layout.flat(month, ifu) / "flat.fits" if step == "flat" else layout.calibration(step, month, ifu)
            found = _said(amp_values, step, path) if path.exists() else {}
            faults += own.add(Place(str(month), ifu), _of_pairing(ifu, found))
    for ifu in sorted({unit.ifu for unit in account.plan.of(SCIENCE)}):
        found = _said(exposed_values, "residuals", layout.residuals(month, ifu))
        faults += own.add(Place(str(month), ifu), _of_pairing(ifu, found))
    if layout.amp_to_amp(month).exists():
        faults += own.add(Place(str(month)), _said(amp_to_amp_values, layout.amp_to_amp(month)))
    unwell = _unwell(account.steps())
    faults += [failure(month, one) for one in unwell if one["state"] == FAILED]
    science: dict[str, dict[str, list[float]]] = {}
    summaries = []
    for shot in shots:
        faults += [Fault.from_json(one) for one in shot["faults"]]
        for of in shot["exposures"].values():
            for name, column in of.get("amps", {}).items():
                for amp, value in zip(shot["amps"], column, strict=True):
                    if value is not None:
                        science.setdefault(name, {}).setdefault(amp, []).append(value)
        summaries.append(_summary(shot, unwell))
    amps = sorted({*own.names, *(amp for of in science.values() for amp in of), *(one["amp"] for one in unwell)} - {""})
    medians = {
        name: [plain(statistics.median(of[amp])) if amp in of else None for amp in amps]
        for name, of in sorted(science.items(), key=lambda item: place_of(item[0]))
    }
    states = [one["state"] for one in summaries]
    failed = {one.amp for one in missing_amps(unwell) if one.state != LEFT_OUT}
    return {
        "month": month,
        "state": worst(one.state for one in faults),
        "counts": {
            "shots": len(summaries),
            **{state: states.count(state) for state in STATES},
            "pairings": len(pairings),
            "amps": len(amps),
            "failed": len(failed),
        },
        "amps": amps,
        "values": own.as_columns(amps) | medians,
        "unwell": unwell,
        "shots": summaries,
        "faults": [one.as_json() for one in faults],
        "limits": dict(limits.of),
    }


def _of_pairing(ifu: str, found: Mapping[str, Values]) -> dict[str, Values]:
    return {f"{ifu}_{amp}": values for amp, values in found.items()}


def _unwell(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Return what is not done: `_UNWELL`, which may be "", and exposures, ``SHOT/exp01`` or ``SHOT``."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in lines:
        if line.state == DONE:
            continue
        amp = f"{line.ifu}_{line.amp}" if line.amp else ""
        key = (line.step, line.state, line.reason, line.ifu, amp)
        if line.state == WAITING and line.reason.startswith(_OF_FRAMES):  # no step before tells of it
            key = (FRAMES, FAILED, line.reason.removeprefix(_OF_FRAMES), line.ifu, amp)
        of = found.setdefault(key, dict(zip(_UNWELL, key, strict=True)) | {"exposures": []})
        if line.shot:
            of["exposures"].append(exposure_of(line.shot, line.exposure))
    return list(found.values())


def _summary(shot: Mapping[str, Any], unwell: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a month tells of a shot: its values, those of exposures, medians of amplifiers, and what failed."""
    exposures = {}
    for exposure, of in shot["exposures"].items():
        values = dict(of["values"])
        for name, column in of.get("amps", {}).items():
            known = [value for value in column if value is not None]
            values[name] = (plain(statistics.median(known)) if known else None, OK)
        exposures[exposure] = values
    own = list(of_shot(unwell, shot["shot"]))
    failed = [one["step"] for one in own if one["state"] == FAILED or (not one["amp"] and one["state"] != LEFT_OUT)]
    return {
        "shot": shot["shot"],
        "state": worst([shot["state"], *(BAD for _ in failed)]),
        "values": shot["values"],
        "exposures": exposures,
        "n_bad": sum(one["state"] == BAD for one in shot["faults"]),
        "n_amps": len(shot["amps"]),
        "n_missing": len({one.amp for one in missing_amps(own)}),
        "steps": list(dict.fromkeys(failed)),
    }


def _fault(limits: Limits, place: Place, amp: str, name: str, value: float, state: str) -> Fault:
    limit, severity = beyond(value, limits.find(name), state)
    step = name.partition(".")[0]
    return Fault(name, state, step, place, amp, value=plain(value), limit=limit, severity=severity)


def plain(value: float | None, digits: int = 6) -> float | None:
    """Return a number with few digits, as files hold many; None for what is none."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")
