"""A metric of a production as a time series."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.qa.collate_production import read_nights
from skyharvest.reduction.desi.qa.definitions import definition_of, is_of, names

BY = {"mjd": "mjd", "texp": "exptime", "expid": "expid"}
"""What a series can be by → the key of an exposure."""


@dataclass(frozen=True)
class Point:
    """A point of a series.

    Attributes
    ----------
    x
        Days, seconds, or an expid.
    conditions
        ``bright``, ``dark`` or "".
    """

    x: float
    value: float
    state: str
    night: int
    expid: int
    camera: str
    obstype: str
    conditions: str


def series(
    production: Path, name: str, by: str = "mjd", conditions: str | None = None, night: int | None = None
) -> list[Point]:
    """Return a metric of all frames, sorted by x, then by camera.

    Parameters
    ----------
    name
        ``QATYPE-METRIC``; without an amplifier's letter, of all four.
    by
        ``mjd``, ``texp`` or ``expid``.
    conditions
        Only those of tiles for a ``bright`` or a ``dark`` sky; None for all exposures.
    night
        Only its exposures; None for those of all nights.

    Raises
    ------
    InputError
        If there is no such metric; names those of this QATYPE.
    """
    try:
        definition_of(name)
    except KeyError:
        near = [known for known in names() if known.partition("-")[0] == name.partition("-")[0]]
        raise InputError(f"there is no metric {name}: expected one of {', '.join(near or names())}") from None
    points = _points(read_nights(production, night), name, by, conditions)
    return sorted(points, key=lambda one: (one.x, one.night, one.expid, one.camera))


def _points(nights: Iterable[Mapping[str, Any]], name: str, by: str, conditions: str | None) -> Iterator[Point]:
    for night in nights:
        for exposure in night["exposures"]:
            if conditions is not None and exposure["conditions"] != conditions:
                continue
            about = {key: exposure[key] for key in ("expid", "obstype", "conditions")}
            for camera, frame in exposure["cameras"].items():
                for metric, (value, state, *_) in frame["metrics"].items():
                    if value is not None and is_of(metric, name):
                        x = exposure[BY[by]]
                        yield Point(x=x, value=value, state=state, night=night["night"], camera=camera, **about)
