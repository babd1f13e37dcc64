"""What is bad, as lines of a page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.qa.definitions import describe
from skyharvest.reduction.hetdex.qa.faults import Fault as Found
from skyharvest.reduction.hetdex.qa.faults import grouped
from skyharvest.report.hetdex_qa.commands import Commands
from skyharvest.report.hetdex_qa.site import page_of
from skyharvest.report.quality.fault import Fault
from skyharvest.report.quality.words import shown


def lines_of(faults: Iterable[Mapping[str, Any]], commands: Commands, most: int) -> tuple[list[Fault], int]:
    """Return faults as lines, worst first and at most so many of each state, and how many more there are."""
    every = grouped(Found.from_json(one) for one in faults)
    kept = [one for state in ("BAD", "WARN") for one in [each for each in every if each.state == state][:most]]
    return [line(one, commands) for one in kept], len(every) - len(kept)


def line(found: Found, commands: Commands) -> Fault:
    """Return a fault as a line."""
    said, place = describe(found.what), found.place
    command, log = commands.of(found.step, place)
    unit = f" {said.unit}" if said.unit else ""
    is_worst = found.n > 1 and not found.reason
    at = f"worst of {found.n}: {in_words(found.amp)} {_exposure(place.shot, place.exposure)}" if is_worst else ""
    return Fault(
        state=found.state,
        what=f"{found.what} failed" if found.reason else found.what,
        says=said.meaning,
        value="" if found.reason else "no value" if found.value is None else f"{shown(found.value)}{unit}",
        limit=found.limit.replace("-", "−"),
        at=at,
        reason=found.reason,
        also="",
        place=", ".join(filter(None, (_amps(found.amps), _exposures(found.exposures)))) or f"month {place.month}",
        span=_span(found.exposures),
        page=page_of(place.month, place.shot),
        step=found.step,
        command=command,
        log=log,
    )


def in_words(amp: str) -> str:
    """Return an amplifier as people name it: ``008_093_054 LL``, without the controller."""
    pairing, _, name = amp.rpartition("_")
    return f"{pairing.rpartition('_')[0]} {name}" if pairing else amp


def _amps(amps: Sequence[str]) -> str:
    pairings = {in_words(amp).partition(" ")[0] for amp in amps}
    if len(pairings) == 1:
        return " ".join([*pairings, *(amp.rpartition("_")[2] for amp in amps)])
    return counted(len(amps), "amplifier") if amps else ""


def _exposures(exposures: Sequence[str]) -> str:
    if len(exposures) > 1:
        return counted(len(exposures), "exposure" if "/" in exposures[0] else "shot")
    return _exposure(*exposures[0].split("/")) if exposures else ""


def _exposure(shot: str, exposure: str = "") -> str:
    return f"{shot} {exposure}".rstrip()


def _span(exposures: Sequence[str]) -> str:
    shots = sorted({one.partition("/")[0] for one in exposures})
    return f"{shots[0]} to {shots[-1]}" if len(shots) > 1 else ""
