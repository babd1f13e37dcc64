"""The metrics of frames by exposure."""

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from skyharvest.reduction.desi.cameras import ARMS
from skyharvest.report.desi_qa.curves import limits_of
from skyharvest.report.desi_qa.words import describe, program_of
from skyharvest.report.quality.series import Limit, rows_script, series_script, write_scripts
from skyharvest.report.quality.words import rounded

ROWS = "exposures"
AXES = {"mjd": "MJD", "exptime": "exposure time (s)", "expid": "exposure (EXPID)"}
COLUMNS = ("night", "name", "about", "filter", *AXES)


class Series:
    """The metrics of frames as columns: of a night, or of many, which are added one by one.

    A production of 36,000 frames has 2 million values: they are held as numbers, 8 bytes each.
    """

    def __init__(self) -> None:
        self.exposures: list[dict[str, Any]] = []
        self._frames: dict[str, dict[str, tuple[array[int], array[float], array[int]]]] = {}
        self._limits: dict[str, list[Limit]] = {}

    def add(self, night: Mapping[str, Any]) -> None:
        """Add the frames of a night, as it was collated."""
        for name, limits in night["limits"].items():
            self._limits[name] = limits_of(limits)
        for exposure in night["exposures"]:
            k = len(self.exposures)
            about = {name: exposure[name] for name in AXES}
            program, name = program_of(exposure), f"{exposure['expid']:08d}"
            about |= {"name": name, "about": program or exposure["obstype"], "filter": program}
            self.exposures.append({"night": night["night"]} | about)
            for camera, frame in exposure["cameras"].items():
                for name, (value, state, *_) in frame["metrics"].items():
                    where, values, bad = self._frames.setdefault(name, {}).setdefault(
                        camera, (array("l"), array("d"), array("l"))
                    )
                    where.append(k)
                    values.append(float("nan") if value is None else value)
                    if state == "BAD":
                        bad.append(k)

    @property
    def names(self) -> list[str]:
        """The metrics that have numbers, in the order in which they were found."""
        columns = {name: [values for _, values, _ in of.values()] for name, of in self._frames.items()}
        return [name for name, of in columns.items() if any(math.isfinite(value) for some in of for value in some)]

    def n_bad(self, name: str) -> int:
        """Return in how many frames a metric is BAD."""
        return sum(len(bad) for _, _, bad in self._frames[name].values())

    @property
    def cameras(self) -> list[str]:
        """All cameras, b first."""
        found = {camera for of in self._frames.values() for camera in of}
        return sorted(found, key=lambda camera: (ARMS.index(camera[0]), camera[1:]))

    def exposures_script(self, root: str) -> str:
        """Return the script with what is known of exposures; ``root`` leads from the page to the site's directory."""
        cameras = self.cameras
        about = {
            "root": root,
            "noun": "frame",
            "columns": cameras,
            "groups": [camera[0] for camera in cameras],
            "axes": AXES,
            "link": "{night}/{name}/{column}.html",
        }
        return rows_script(ROWS, about, {name: [one[name] for one in self.exposures] for name in COLUMNS})

    def script(self, name: str) -> str:
        """Return the script with a metric: for each exposure the values of all cameras, or null."""
        cameras, of = self.cameras, self._frames[name]
        rows: list[list[float | None] | None] = [None] * len(self.exposures)
        bad = []
        for c, camera in enumerate(cameras):
            where, values, is_bad = of.get(camera, (array("l"), array("d"), array("l")))
            for k, value in zip(where, values, strict=True):
                row = rows[k]
                if row is None:
                    row = rows[k] = [None] * len(cameras)
                row[c] = rounded(value) if math.isfinite(value) else None
            bad += [k * len(cameras) + c for k in is_bad]
        said = describe(name)
        about = {
            "unit": said.unit,
            "says": said.meaning,
            "limits": self._limits.get(name) or self._limits.get(said.name, []),
        }
        return series_script(name, ROWS, about, bad, rows)


def write_night_series(path: Path, night: Mapping[str, Any]) -> None:
    """Write the series of a night, all in one script."""
    series = Series()
    series.add(night)
    path.write_text(series.exposures_script("../") + "".join(map(series.script, series.names)), encoding="utf-8")


def write_series(directory: Path, series: Series) -> None:
    """Write the series of a production: a script for each metric; those of metrics that are no more are removed."""
    scripts = ((name, series.script(name)) for name in series.names)
    write_scripts(directory, chain([(ROWS, series.exposures_script(""))], scripts))


def programs(found: Iterable[str]) -> list[tuple[str, str]]:
    """Return by which programs a reader chooses: all, then those that there are, of science first."""
    first = ("dark", "bright")
    own = dict.fromkeys(found)
    return [
        ("", "all"),
        *((one, one) for one in (*(p for p in first if p in own), *(p for p in own if p not in first))),
    ]


def metric_choices(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the metrics by which a reader chooses."""
    for name in names:
        meaning = describe(name).meaning
        yield name, f"{name}: {meaning}" if meaning else name
