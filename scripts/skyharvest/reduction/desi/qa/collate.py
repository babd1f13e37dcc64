"""How good a night is, as JSON: ``QA/NIGHT/qa-night-NIGHT.json`` in the production."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from skyharvest.core.atomic import atomic_path
from skyharvest.reduction.desi.cameras import ARMS
from skyharvest.reduction.desi.exposure_table import Exposure
from skyharvest.reduction.desi.graph import exposure_of
from skyharvest.reduction.desi.production import Production, log_of
from skyharvest.reduction.desi.qa.definitions import is_of
from skyharvest.reduction.desi.qa.faults import Fault, fault_of, faults_of, grouped
from skyharvest.reduction.desi.qa.limits import Limits
from skyharvest.reduction.desi.qa.measured import Frame, Metric
from skyharvest.reduction.desi.qa.night import Night
from skyharvest.reduction.desi.steps import STEP_OF
from skyharvest.reduction.limits import BAD, OK, STATES, worst

FEWEST = 3
"""Exposures of which a trend is told."""
PETAL = {
    "WORSTREADNOISE": ("brz", "PREPROC-READNOISE"),
    "NSTDSTAR": ("r", "FLUXCALIB-NSTDSTAR"),
    "STARRMS": ("r", "FLUXCALIB-STARRMS"),
} | {
    f"{arm.upper()}{column}": (arm, name)
    for arm in ARMS
    for column, name in (
        ("SKYTHRURMS", "SKYSUB-THRPUT_RMS"),
        ("SKYCHI2PDF", "SKYSUB-CHI2"),
        ("THRUFRAC", "FLUXCALIB-THRUFRAC"),
    )
}
"""Columns of desispec's PETALQA (`desispec.exposure_qa`) → the arms and the metric that they are told by."""


def night_path(production: Path, night: int) -> Path:
    """Return where the JSON of a night stands."""
    return production / f"QA/{night}/qa-night-{night}.json"


def conditions_of(exposure: Exposure) -> str:
    """Return ``bright`` or ``dark``, as the program says for which sky a tile is; "" if it says neither."""
    if exposure.obstype != "science":
        return ""
    if exposure.program.startswith(("bright", "bgs", "mws", "backup")):
        return "bright"
    return "dark" if exposure.program.startswith(("dark", "elg", "lrg", "qso")) else ""


def collate_night(production: Production, night: int, limits: Limits) -> dict[str, Any]:
    """Return how good a night is; complete its frames' files.

    What has been measured is in it, whatever of the production is asked for now.
    """
    of = Night(production, night, limits)
    of.complete()
    exposures = [_exposure(of, one) for one in of.exposures]
    metrics = {name: limits.judge(name, metric) for name, metric in _of_night(of).items()}
    failed = [_failed(of, *one) for one in of.failed()]
    states = Counter(frame.state for frame in of.frames.values())
    bad = [BAD] if failed else []
    return {
        "night": night,
        "specprod": production.directory.name,
        "state": worst([*(one["state"] for one in exposures), *(metric.state for metric in metrics.values()), *bad]),
        "counts": {"exposures": len(exposures), "frames": len(of.frames), **{state: states[state] for state in STATES}},
        "exposures": exposures,
        "metrics": _plain(metrics),
        "failed": failed,
        "worst": [one.as_json() for one in grouped(_faults(of, metrics, failed))],
        "limits": {name: dict(places) for name, places in limits.of.items()},
    }


def write_night(production: Production, night: int, limits: Limits, out: Path) -> None:
    """Write how good a night is; the file appears whole."""
    write_json(collate_night(production, night, limits), out)


def write_json(content: Mapping[str, Any], out: Path) -> None:
    """Write JSON; the file appears whole."""
    with atomic_path(out) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _plain(metrics: Mapping[str, Metric]) -> dict[str, list[Any]]:
    """Return metrics as JSON has them: value, state, and where there is something to say, where the worst is."""
    return {name: [one.value, one.state, *([one.at] if one.at else [])] for name, one in metrics.items()}


def _exposure(of: Night, exposure: Exposure) -> dict[str, Any]:
    frames = {camera: frame for (expid, camera), frame in of.frames.items() if expid == exposure.expid}
    metrics = of.limits.judge_all(_of_exposure(frames), "", exposure.obstype)
    return {
        "expid": exposure.expid,
        "obstype": exposure.obstype,
        "tileid": exposure.tileid,
        "survey": exposure.survey,
        "program": exposure.program,
        "conditions": conditions_of(exposure),
        "mjd": exposure.mjd,
        "exptime": exposure.exptime,
        "airmass": exposure.airmass,
        "state": worst([*(frame.state for frame in frames.values()), *(one.state for one in metrics.values())]),
        "left_out": exposure.reason,
        "cameras": {
            camera: {"state": frame.state, "metrics": _plain(frame.metrics)} for camera, frame in frames.items()
        },
        "metrics": _plain(metrics),
        "petals": {petal: _petal(petal, frames) for petal in sorted({camera[1] for camera in frames})},
    }


def _values(frames: Mapping[str, Frame], name: str) -> Iterator[tuple[float, str]]:
    """Yield the values of a metric in frames, of all amplifiers if it is theirs, and where each is."""
    for camera, frame in frames.items():
        for metric, one in frame.metrics.items():
            if one.value is not None and is_of(metric, name):
                yield one.value, f"{camera} {one.at}".strip()


def _of_exposure(frames: Mapping[str, Frame]) -> dict[str, Metric]:
    made = {}
    noises = max(_values(frames, "PREPROC-READNOISE"), default=None)
    if noises:
        made["EXPOSURE-READNOISE"] = Metric(noises[0], at=noises[1])
    stars = min(_values(frames, "FLUXCALIB-NSTDSTAR"), default=None)
    if stars:
        made["EXPOSURE-NSTDSTAR"] = Metric(stars[0], at=f"petal {stars[1][1]}")
    return made


def _petal(petal: str, frames: Mapping[str, Frame]) -> dict[str, Any]:
    """Return desispec's columns of a petal, as far as they can be told."""
    own = {camera: frame for camera, frame in frames.items() if camera[1] == petal}
    made: dict[str, Any] = {"NCFRAME": sum("S2N-MEDIAN" in frame.metrics for frame in own.values())}
    for column, (arms, name) in PETAL.items():
        of_arms = {camera: frame for camera, frame in own.items() if camera[0] in arms}
        found = max(_values(of_arms, name), default=None)
        if found:
            made[column] = found[0]
    return made


def _of_night(of: Night) -> dict[str, Metric]:
    made = {}
    noises = [value for frame in of.frames.values() for value in _values({frame.camera: frame}, "PREPROC-READNOISE")]
    if noises:
        value, at = max(noises)
        made["NIGHT-READNOISE"] = Metric(value, at=at)
    begun = {exposure.expid: exposure.mjd for exposure in of.exposures}
    by_camera = of.zero_points()
    for arm in ARMS:
        own = {camera: points for camera, points in by_camera.items() if camera[0] == arm}
        clear = [point for points in own.values() for point in (of.clear(points),) if point is not None]
        if clear:
            made[f"NIGHT-ZP_{arm.upper()}"] = Metric(round(median(clear), 5))
        expids = sorted({expid for points in own.values() for expid in points})
        if len({begun[expid] for expid in expids}) >= FEWEST:
            medians = [median(points[expid] for points in own.values() if expid in points) for expid in expids]
            hours = [24 * (begun[expid] - begun[expids[0]]) for expid in expids]
            made[f"NIGHT-ZP_TREND_{arm.upper()}"] = Metric(round(linear_regression(hours, medians).slope, 5))
    return made


def _failed(of: Night, key: Any, why: str, waiting: int) -> dict[str, Any]:
    step = STEP_OF[key.kind].name
    used = [one for one in of.tasks[key].some_of if of.judged[one].made]
    return {
        "step": step,
        "expid": exposure_of(key.owner)[1] if "/" in key.owner else None,
        "camera": key.unit,
        "reason": why,
        "log": log_of(of.directory, step, key.owner),
        "command": of.production.commands.shown(of.tasks[key], used),
        "waiting": waiting,
    }


def _faults(of: Night, metrics: Mapping[str, Metric], failed: Iterable[Mapping[str, Any]]) -> Iterator[Fault]:
    for one in failed:
        where = () if one["expid"] is None else (one["expid"],)
        cameras = (one["camera"],) if one["camera"] else ()
        said = {name: one[name] for name in ("reason", "command", "log")}
        yield Fault(one["step"], BAD, of.night, where, cameras, **said)
    for place, frame in of.frames.items():
        yield from faults_of(frame, of.told.get(place, ()))
    yield from (fault_of(of.night, name, metric) for name, metric in metrics.items() if metric.state != OK)
