"""The limits of metrics: ``config/desi_qa_limits.yaml``, and a user's own file, which is laid over it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skyharvest.core.errors import InputError
from skyharvest.core.paths import CONFIG
from skyharvest.core.yaml_file import read_yaml
from skyharvest.reduction.desi.cameras import ARMS
from skyharvest.reduction.desi.exposure_table import Exposure
from skyharvest.reduction.desi.graph import RUN
from skyharvest.reduction.desi.qa.definitions import DEFINITIONS, definition_of, place_of
from skyharvest.reduction.desi.qa.measured import Curve, Frame, Metric
from skyharvest.reduction.desi.settings import LIMITS
from skyharvest.reduction.limits import BAD, LEVELS, Bounds, check_keys, check_levels, state_of

DEFAULT = CONFIG / LIMITS


@dataclass(frozen=True)
class Limits:
    """Limits of all metrics.

    Attributes
    ----------
    of
        Metric → "" (everywhere), an arm or a type of exposures → ``warn`` and ``bad`` → (low, high).
    """

    of: Mapping[str, Mapping[str, Mapping[str, Bounds]]]

    def find(self, name: str, arm: str = "", obstype: str = "") -> dict[str, Bounds]:
        """Return the limits of a metric: ``warn`` and ``bad``; empty if it has none."""
        said = self.of.get(name) or self.of.get(definition_of(name).name) or {}
        return {level: said[place][level] for place in ("", arm, obstype) for level in said.get(place, ())}

    def judge(self, name: str, metric: Metric, arm: str = "", obstype: str = "") -> Metric:
        """Return a metric with its unit, the limits that judge it, and its state."""
        limits = self.find(name, arm, obstype)
        state = BAD if metric.value is None else state_of(metric.value, limits)
        return replace(metric, unit=definition_of(name).unit, limits=limits, state=state)

    def judge_all(self, metrics: Mapping[str, Metric], arm: str, obstype: str) -> dict[str, Metric]:
        """Return metrics, judged, in the order of their definitions."""
        return {name: self.judge(name, metrics[name], arm, obstype) for name in sorted(metrics, key=place_of)}


def frame_of(
    exposure: Exposure,
    camera: str,
    limits: Limits,
    metrics: Mapping[str, Metric],
    curves: Mapping[str, Curve] | None = None,
) -> Frame:
    """Return what is measured of a camera's exposure, judged; what it is says the exposure's table."""
    return Frame(
        night=exposure.night,
        expid=exposure.expid,
        camera=camera,
        obstype=exposure.obstype,
        tileid=exposure.tileid,
        survey=exposure.survey,
        program=exposure.program,
        mjd=exposure.mjd,
        exptime=exposure.exptime,
        metrics=limits.judge_all(metrics, camera[0], exposure.obstype),
        curves=curves or {},
    )


def missing(kind: str, why: str) -> dict[str, Metric]:
    """Return the metric of a QATYPE that cannot be measured."""
    return {f"{kind}-MISSING": Metric(None, at=" ".join(why.split())[:300])}


def read_limits(own: Path | None = None, default: Path = DEFAULT) -> Limits:
    """Return the limits; what a user's own file says of a metric, level and place is instead of the default's.

    A metric of which it says nothing, ``{}``, has no limits.

    Raises
    ------
    InputError
        If a file has a metric that there is not, or a key, or limits that cannot be; says which, and what is expected.
    """
    of = _checked(default)
    for name, said in (_checked(own) if own else {}).items():
        there = of.get(name, {}) if any(said.values()) else {}
        of[name] = {place: there.get(place, {}) | said.get(place, {}) for place in {**there, **said}}
    return Limits(of)


def _checked(path: Path) -> dict[str, dict[str, dict[str, Bounds]]]:
    made = {}
    for name, said in read_yaml(path).items():
        try:
            definition_of(str(name))
        except KeyError:
            near = [known for known in DEFINITIONS if known.partition("-")[0] == str(name).partition("-")[0]]
            expected = ", ".join(near or DEFINITIONS)
            raise InputError(f"{path}: there is no metric {name}: expected one of {expected}") from None
        made[name] = _of_metric(f"{path}, {name}", said)
    return made


def _of_metric(place: str, said: Any) -> dict[str, dict[str, Bounds]]:
    known = (*LEVELS, "arms", "obstypes")
    check_keys(place, said, known)
    made = {"": check_levels(place, {key: said[key] for key in LEVELS if key in said})}
    for kind, words in (("arms", ARMS), ("obstypes", RUN)):
        check_keys(f"{place}, {kind}", said.get(kind, {}), words)
        for word, levels in said.get(kind, {}).items():
            check_keys(f"{place}, {kind}, {word}", levels, LEVELS)
            made[word] = check_levels(f"{place}, {kind}, {word}", levels)
    return made


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """Return the limits that the configuration's section ``desi_reduction`` asks for."""
    own = settings["qa"]["limits"]
    return read_limits(Path(own) if own else None)
