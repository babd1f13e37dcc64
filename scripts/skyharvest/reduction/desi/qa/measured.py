"""What is measured of a camera's exposure, and its file: ``QA/NIGHT/EXPID/qa-CAMERA-EXPID.yaml`` in the production.

A metric is named ``QATYPE-METRIC``, as the field does: ``SKYSUB-MED_RESID``.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.layout import Layout
from skyharvest.reduction.limits import OK, worst

_CURVES = "\ncurves:"
_NUMBERS = re.compile(r"^( +[xy]: )\[([-+.\deE,\s]*)\]$", re.MULTILINE)
"""Where they begin in a file: at its end."""


@dataclass(frozen=True)
class Metric:
    """A number that tells how good something is.

    Attributes
    ----------
    value
        None where it cannot be told, though the step was to be run: then ``at`` says why, and it is `BAD`.
    at
        Where the worst of it is: ``amp A``, ``fiber 12``, ``5577 Å``.
    limits
        As they judged it: ``warn`` and ``bad``, each (low, high), None for no limit. Empty if it has none.
    """

    value: float | None
    unit: str = ""
    at: str = ""
    limits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    state: str = OK


@dataclass(frozen=True)
class Curve:
    """Numbers to be drawn: what the metrics are made from.

    Attributes
    ----------
    kind
        ``line`` and ``points`` have x and y of one length; ``steps``, a histogram, has one edge x more than counts y.
    says
        A caption: one sentence.
    """

    kind: Literal["line", "points", "steps"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    x_label: str
    y_label: str
    says: str = ""


@dataclass(frozen=True)
class Frame:
    """All that is measured of a camera's exposure.

    Attributes
    ----------
    mjd
        Of the exposure's begin, days.
    exptime
        Seconds.
    metrics
        By ``QATYPE-METRIC``, in the order of steps.
    curves
        By ``QATYPE-CURVE``.
    """

    night: int
    expid: int
    camera: str
    obstype: str
    tileid: int
    survey: str
    program: str
    mjd: float
    exptime: float
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The worst state of its metrics."""
        return worst(metric.state for metric in self.metrics.values())


def path_of(production: Path, night: int, expid: int, camera: str) -> Path:
    """Return where a frame's file stands."""
    return Layout(production).quality(night, expid, camera)


def write_frame(frame: Frame, path: Path) -> None:
    """Write a frame's file; it appears whole."""
    with atomic_path(path) as temporary:
        temporary.write_text(_text(asdict(frame)), encoding="utf-8")


def write_metrics(frame: Frame, path: Path) -> None:
    """Write all but the curves of a frame anew into its file; they stay as they are there."""
    _, between, curves = path.read_text(encoding="utf-8").partition(_CURVES)
    head = {key: value for key, value in asdict(frame).items() if key != "curves"}
    with atomic_path(path) as temporary:
        temporary.write_text(_text(head).rstrip("\n") + between + curves, encoding="utf-8")


def _text(content: Mapping[str, Any]) -> str:
    # Lists of numbers stand in lines: one a line would be twice as long, and as slow to read.
    how: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "default_flow_style": None, "width": 120}
    return str(yaml.dump(_plain(content), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), **how))


def _plain(value: Any) -> Any:
    """Return a value with lists for tuples, which YAML has no word for."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value


def read_frame(path: Path, *, curves: bool = True) -> Frame:
    """Return what a frame's file says.

    Parameters
    ----------
    curves
        Whether they are read as well: they are most of the file, and its end.

    Raises
    ------
    MalformedFile
        If it is not such a file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        head, between, _ = text.partition(_CURVES)
        said = yaml.load(text if curves else head, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe)
        metrics = {name: _metric(one) for name, one in said.pop("metrics").items()}
        drawn = {name: _curve(one) for name, one in said.pop("curves", {}).items()}
        if not between:
            raise KeyError("curves")
        return Frame(**said, metrics=metrics, curves=drawn)
    except (TypeError, KeyError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise MalformedFile(
            f"{path}: expected the metrics of a frame; found {error!r}: remove it, and run again"
        ) from error


def _metric(said: dict[str, Any]) -> Metric:
    limits = {level: (low, high) for level, (low, high) in said.pop("limits").items()}
    return Metric(**said, limits=limits)


def _curve(said: dict[str, Any]) -> Curve:
    return Curve(**(said | {axis: tuple(said[axis]) for axis in "xy"}))


def read_curves(path: Path) -> dict[str, Curve]:
    """Return the curves of a frame's file alone.

    Their numbers are read beside the YAML, in a tenth of the time: a month of 36,000 frames has tens of millions.

    Raises
    ------
    MalformedFile
        If it is not such a file.
    """
    lists: list[list[float]] = []

    def take(found: re.Match[str]) -> str:
        lists.append([float(word) for word in found[2].split(",") if word.strip()])
        return f"{found[1]}{len(lists) - 1}"

    try:
        _, between, text = path.read_text(encoding="utf-8").partition(_CURVES)
        if not between:
            raise KeyError("curves")
        short = _NUMBERS.sub(take, f"curves:{text}")
        said = yaml.load(short, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["curves"]  # noqa: S506 (both are safe)
        for one in said.values():
            one |= {axis: lists[one[axis]] for axis in "xy" if isinstance(one[axis], int)}
        return {name: _curve(one) for name, one in said.items()}
    except (TypeError, KeyError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise MalformedFile(f"{path}: expected curves; found {error!r}: remove it, and run again") from error
