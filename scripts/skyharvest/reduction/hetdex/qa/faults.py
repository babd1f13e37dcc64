"""What is not good, worst first: what is one fault is told once, however many exposures or amplifiers have it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from skyharvest.reduction.hetdex.places import Place
from skyharvest.reduction.limits import MOST_SEVERE, STATES

SHOWN = 100
"""As many exposures and amplifiers of a fault are named."""


def exposure_of(shot: str, exposure: str) -> str:
    """Return how an exposure is named here: ``SHOT/exp01``; a shot as a whole by its name."""
    return f"{shot}/{exposure}" if exposure else shot


@dataclass(frozen=True)
class Fault:
    """What is not good.

    Attributes
    ----------
    what
        A value, ``step.name``, or the step that failed.
    step
        The step that made it.
    place
        The job that made the worst of it.
    amp
        The worst one's amplifier, ``PAIRING_AMP``; empty for what is of a shot or exposure.
    amps, exposures
        All amplifiers and exposures, ``SHOT/exp01`` or ``SHOT``; at most `SHOWN` of each are named.
    n
        As many values.
    value
        The worst one; None if it cannot be told.
    limit
        That it is beyond, in words.
    reason
        Why a step failed.
    severity
        How far beyond the limit, in units of the distance between the limits of WARN and BAD.
    """

    what: str
    state: str
    step: str
    place: Place
    amp: str = ""
    amps: tuple[str, ...] = ()
    exposures: tuple[str, ...] = ()
    n: int = 1
    value: float | None = None
    limit: str = ""
    reason: str = ""
    severity: float = 0.0

    def __post_init__(self) -> None:
        """Name its own amplifier and exposure."""
        if not self.amps and self.amp:
            object.__setattr__(self, "amps", (self.amp,))
        if not self.exposures and self.place.shot:
            object.__setattr__(self, "exposures", (exposure_of(self.place.shot, self.place.exposure),))
        object.__setattr__(self, "severity", min(self.severity, MOST_SEVERE))

    def as_json(self) -> dict[str, Any]:
        """Return what is written of it: what is not as by default."""
        said = asdict(self)
        said["place"] = {key: value for key, value in said["place"].items() if value}
        return {key: value for key, value in said.items() if value != _DEFAULTS.get(key, self)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> "Fault":
        """Return what was written."""
        lists = {key: tuple(said[key]) for key in ("amps", "exposures") if key in said}
        return cls(**{**said, "place": Place(**said["place"]), **lists})


_DEFAULTS = {one.name: one.default for one in fields(Fault)}


def grouped(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults, worst first: those of one value in an amplifier, or in an exposure, as one.

    Of each that is left, the larger of its two groups is taken; of what is in none, that of a job is one.
    """
    made: list[Fault] = []
    by_name: dict[tuple[str, str, str], list[Fault]] = {}
    for one in faults:
        by_name.setdefault((one.what, one.state, one.reason), []).append(one)
    for some in by_name.values():
        left = some
        while left:
            of_amp = Counter(amp for one in left for amp in one.amps)
            of_exposure = Counter(exposure for one in left for exposure in one.exposures)
            amp, n = max(of_amp.items(), key=lambda pair: pair[1], default=("", 0))
            exposure, m = max(of_exposure.items(), key=lambda pair: pair[1], default=("", 0))
            if max(n, m) <= 1:
                made += _by_job(left)
                break
            key, name = ("amps", amp) if n >= m else ("exposures", exposure)
            made.append(_as_one([one for one in left if name in getattr(one, key)]))
            left = [one for one in left if name not in getattr(one, key)]
    return sorted(made, key=lambda one: (-STATES.index(one.state), not one.reason, -one.severity, one.what, one.amps))


def _by_job(faults: Iterable[Fault]) -> Iterator[Fault]:
    """Yield faults, those of one job as one."""
    jobs: dict[Place, list[Fault]] = {}
    for one in faults:
        jobs.setdefault(one.place, []).append(one)
    yield from map(_as_one, jobs.values())


def _as_one(faults: list[Fault]) -> Fault:
    worst = max(faults, key=lambda one: one.severity)
    return replace(
        worst,
        amps=tuple(sorted({amp for one in faults for amp in one.amps}))[:SHOWN],
        exposures=tuple(sorted({exposure for one in faults for exposure in one.exposures}))[:SHOWN],
        n=sum(one.n for one in faults),
    )
