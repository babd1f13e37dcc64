"""Faults of a night, worst first: what is one fault is told once, however many exposures or cameras have it."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from skyharvest.reduction.desi.qa.measured import Frame, Metric
from skyharvest.reduction.limits import MOST_SEVERE, OK, STATES, beyond

SHOWN = 100
"""As many exposures and cameras of a fault are named."""


@dataclass(frozen=True)
class Fault:
    """What is not well.

    Attributes
    ----------
    what
        A metric, or the step that failed.
    expids, cameras
        Where; at most `SHOWN` are named. Empty for what is of the night.
    n
        Cameras' exposures that have it.
    value
        The worst one; None if it cannot be told, or if a step failed.
    limit
        That it is beyond, in words.
    reason, command, log
        Of a step that failed: why, what does it again, and where it says more, below the results.
    also
        Other metrics of its QATYPE that are not well in the same frames.
    severity
        How far beyond the limit, in units of the distance between the limits of WARN and BAD.
    """

    what: str
    state: str
    night: int
    expids: Sequence[int] = ()
    cameras: Sequence[str] = ()
    n: int = 1
    value: float | None = None
    limit: str = ""
    at: str = ""
    reason: str = ""
    command: str = ""
    log: str = ""
    also: Sequence[str] = ()
    severity: float = field(default=0.0)

    def as_json(self) -> dict[str, Any]:
        """Return what is written of it."""
        return asdict(self)


def faults_of(frame: Frame, told: Collection[str] = ()) -> Iterator[Fault]:
    """Yield the faults of a frame, one of each QATYPE: the first of its metrics that is BAD, or else WARN.

    Parameters
    ----------
    told
        Metrics that are told elsewhere: what is missing because a step failed is told with the step.
    """
    by_kind: dict[str, list[str]] = {}
    for name, metric in frame.metrics.items():
        if metric.state != OK and name not in told:
            by_kind.setdefault(name.partition("-")[0], []).append(name)
    for names in by_kind.values():
        first = max(names, key=lambda name: STATES.index(frame.metrics[name].state))  # the first of equals
        made = fault_of(frame.night, first, frame.metrics[first])
        also = tuple(name for name in names if name != first)
        yield replace(made, expids=(frame.expid,), cameras=(frame.camera,), also=also)


def fault_of(night: int, name: str, metric: Metric) -> Fault:
    """Return the fault that a metric is which is not OK."""
    limit, severity = "", MOST_SEVERE
    if metric.value is not None:
        limit, severity = beyond(metric.value, metric.limits, metric.state)
    return Fault(name, metric.state, night, value=metric.value, limit=limit, at=metric.at, severity=severity)


def grouped(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults, worst first: those of one metric in a camera, or in an exposure, as one.

    Of each that is left, the larger of its two groups is taken: that of its camera, or of its exposure.
    """
    made: list[Fault] = []
    by_name: dict[tuple[str, str, str], list[Fault]] = {}
    for one in faults:
        by_name.setdefault((one.what, one.state, one.reason), []).append(one)
    for some in by_name.values():
        left = list(some)
        while left:
            of_camera = Counter(one.cameras[0] for one in left if one.cameras)
            of_expid = Counter(one.expids[0] for one in left if one.expids)
            camera, n = max(of_camera.items(), key=lambda pair: pair[1], default=("", 0))
            expid, m = max(of_expid.items(), key=lambda pair: pair[1], default=(0, 0))
            if max(n, m) == 0:
                made += left
                break
            is_taken = [camera in one.cameras if n > m else expid in one.expids for one in left]
            made.append(_as_one([one for one, taken in zip(left, is_taken, strict=True) if taken]))
            left = [one for one, taken in zip(left, is_taken, strict=True) if not taken]
    return sorted(made, key=lambda one: (-STATES.index(one.state), not one.command, -one.severity, one.what))


def _as_one(faults: list[Fault]) -> Fault:
    worst = max(faults, key=lambda one: one.severity)
    also = dict.fromkeys(name for one in faults for name in one.also if name != worst.what)
    return replace(
        worst,
        expids=tuple(sorted({expid for one in faults for expid in one.expids}))[:SHOWN],
        cameras=tuple(sorted({camera for one in faults for camera in one.cameras}))[:SHOWN],
        n=sum(one.n for one in faults),
        also=tuple(also),
    )
