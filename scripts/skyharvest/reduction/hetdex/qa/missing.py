"""Amplifiers that are missing: each once for a cause, with the exposures that lack it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skyharvest.reduction.hetdex.steps import FAILED, LEFT_OUT, STATES, STEPS, WAITING

WORST = (FAILED, WAITING, LEFT_OUT)
"""States, the cause first."""


@dataclass
class Missing:
    """An amplifier that is missing.

    Attributes
    ----------
    amp
        ``PAIRING_AMP``.
    step, state, reason
        Of the cause, or of the first step that waits for it.
    exposures
        That lack it: ``SHOT/exp01``.
    """

    amp: str
    step: str
    state: str
    reason: str
    exposures: list[str] = field(default_factory=list)


def missing_amps(unwell: Iterable[Mapping[str, Any]]) -> list[Missing]:
    """Return the amplifiers that are missing.

    Parameters
    ----------
    unwell
        What is not done, as `collect.collect_month` returns it.
    """
    found: dict[tuple[str, str], Missing] = {}
    for one in unwell:
        if not one["amp"] or one["step"] == "residuals":  # which tells of an amplifier, and is not asked for by others
            continue
        assert one["state"] in STATES, f"found the state {one['state']}"
        cause = cause_of(one["state"], one["reason"])
        made = found.setdefault((one["amp"], cause), Missing(one["amp"], one["step"], one["state"], cause))
        if WORST.index(one["state"]) < WORST.index(made.state):
            made.step, made.state = one["step"], one["state"]
        made.exposures += one["exposures"]
    return sorted(found.values(), key=lambda one: (WORST.index(one.state), one.amp, one.reason))


def cause_of(state: str, reason: str) -> str:
    """Return a reason without the step that it is of: a ledger puts that before what waits for it."""
    step, colon, cause = reason.partition(": ")
    return cause if state == WAITING and colon and step in STEPS else reason
