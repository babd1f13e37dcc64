"""What is bad, as lines of a page: what, where, its value and limit, the command that repeats it, and its log."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any

from skyharvest.core.words import counted
from skyharvest.reduction.desi.qa.faults import faults_of as faults_of_frame
from skyharvest.reduction.desi.qa.faults import grouped
from skyharvest.reduction.desi.qa.measured import Frame
from skyharvest.reduction.desi.steps import STEP_OF, STEPS
from skyharvest.report.desi_qa.steps import Ended, Steps
from skyharvest.report.desi_qa.words import describe, kind_of, path, place, span
from skyharvest.report.quality.fault import Fault
from skyharvest.report.quality.words import shown


def faults_of(night: Mapping[str, Any], steps: Steps) -> Iterator[Fault]:
    """Yield what is bad in a night, then what is not good: steps that failed, metrics."""
    for one in night["failed"]:
        yield _failed(night["night"], one, steps)
    metrics = [one for one in night["worst"] if one["what"] not in STEPS]
    for one in sorted(_joined(metrics), key=lambda one: one["state"] != "BAD"):
        yield _metric(one, steps)


def faults_of_exposure(frames: Iterable[Frame], failed: Sequence[Mapping[str, Any]], steps: Steps) -> Iterator[Fault]:
    """Yield what is bad in an exposure, then what is not good; ``failed`` are steps of it and of its night."""
    found: list[Any] = []
    for frame in frames:
        own = [one for one in failed if one["camera"] in (frame.camera, frame.camera[1], "")]
        missing = [name for name in frame.metrics if name.endswith("-MISSING")]
        found += faults_of_frame(frame, missing if own else ())
        yield from (_failed(frame.night, one, steps) for one in own if one["expid"] is not None)
    for fault in _joined([one.as_json() for one in grouped(found)]):
        yield _metric(fault, steps)


def fault_of_night(one: Mapping[str, Any]) -> Fault:
    """Return what is not good of a night as a whole, as a production's collation tells it."""
    return _metric(one, None)


def _joined(faults: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return faults, those of a metric in the same exposures, of the same cameras, or of one thing as one."""
    joined = [dict(one) for one in faults]
    for same in (_at, lambda one: one["cameras"], lambda one: one["expids"]):
        first: dict[tuple[Any, ...], dict[str, Any]] = {}
        for one in joined:
            into = first.setdefault((one["what"], one["state"], tuple(same(one))), one)
            if into is not one:
                for name in ("expids", "cameras"):
                    into[name] = sorted({*into[name], *one[name]})
                into["also"] = list(dict.fromkeys([*into["also"], *one["also"]]))
        joined = list(first.values())
    return joined


def _at(one: Mapping[str, Any]) -> Sequence[Any]:
    """Return what faults have in common that are of one thing, such as a fiber in the three cameras of a petal."""
    petals = {camera[1] for camera in one["cameras"]}
    return (one["at"], *petals) if one["at"] and len(petals) == 1 else (*one["cameras"], *one["expids"])


def _failed(night: int, one: Mapping[str, Any], steps: Steps) -> Fault:
    expids = [one["expid"]] if one["expid"] is not None else steps.expids_of(one["step"], one["camera"])[:1]
    camera = steps.camera_of(expids[0], one["camera"]) if expids else ""
    ended = _find(steps, expids, camera, one["step"])
    waiting = one.get("waiting", 0)
    page = path(night, expids[0], camera) if expids else path(night)
    kind, log = ended.kind if ended else one["step"], _log(ended) or one["log"]
    return Fault(
        state="BAD",
        what=f"{one['step']} failed",
        says=f"{counted(waiting, 'task')} {'waits' if waiting == 1 else 'wait'} for it" if waiting else "",
        value="",
        limit="",
        at="",
        reason=one["reason"],
        also="",
        place=place([one["expid"]] if one["expid"] is not None else [], [one["camera"]] if one["camera"] else []),
        span="",
        page=page,
        step=kind,
        command=ended.command if ended else one["command"],
        log=log,
        said=_said(page, kind, log),
    )


def _metric(one: Mapping[str, Any], steps: Steps | None) -> Fault:
    said = describe(one["what"])
    kind = kind_of(one["what"])
    cameras = one["cameras"]
    ended = _find(steps, one["expids"], cameras[0] if cameras else "", kind)
    unit = f" {said.unit}" if said.unit else ""
    page = path(one["night"], one["expids"][0], cameras[0] if cameras else "") if one["expids"] else path(one["night"])
    log = _log(ended)
    return Fault(
        state=one["state"],
        what=one["what"],
        says=said.meaning,
        value=f"{shown(one['value'])}{unit}" if one["value"] is not None else "no value",
        limit=one["limit"].replace("-", "−"),
        at=one["at"],
        reason=one["reason"],
        also=", ".join(one["also"]),
        place=place(one["expids"], cameras),
        span=span(one["expids"]),
        page=page,
        step=kind,
        command=ended.command if ended else "",
        log=log,
        said=_said(page, kind, log),
    )


def _find(steps: Steps | None, expids: list[int], camera: str, kind: str) -> Ended | None:
    """Return the task of the first of some exposures that is of a kind, or of a kind of that step."""
    if steps is None or not expids or not camera or expids[0] not in steps.exposures:
        return None
    own = {one.kind: one for one in steps.of(steps.exposures[expids[0]], camera)}
    if kind in STEP_OF:
        some = [own[name] for name in STEP_OF[kind].kinds if name in own]
        return next((one for one in some if one.state == "failed"), some[-1] if some else None)
    return None


def _said(page: str, kind: str, log: str) -> str:
    return (page if page.endswith("index.html") else f"{page}#{kind}") if log else ""


def _log(ended: Ended | None) -> str:
    return str(ended.log) if ended and ended.log else ""


def link_to(log: Path, page: Path) -> str:
    """Return the link from a page to a log."""
    return relpath(log, page.parent)
