"""A night of a production: its frames as they are measured, and what of it failed.

A frame's file is completed: with metrics that need the whole night, and with other limits where they have changed.
"""

import logging
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.exposure_table import Exposure
from skyharvest.reduction.desi.graph import Key, owner_of
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.qa.definitions import STEP_OF as STEP_OF_QATYPE
from skyharvest.reduction.desi.qa.definitions import definition_of
from skyharvest.reduction.desi.qa.limits import Limits, frame_of, missing
from skyharvest.reduction.desi.qa.measured import Frame, Metric, path_of, read_frame, write_metrics
from skyharvest.reduction.desi.records import BROKEN, DONE, FAILED, WAITING, Records, judge_all
from skyharvest.reduction.desi.steps import QA
from skyharvest.reduction.desi.steps import STEP_OF as STEP_OF_KIND

log = logging.getLogger(__name__)

CLEAR = 0.75
"""Quantile of a night's zero points that is that of its clear exposures: clouds only make them fainter."""
NOT_JUDGED = Limits({})
"""Frames are judged once all is known of them."""
QATYPE_OF = {step: kind for kind, step in STEP_OF_QATYPE.items()} | {"starfit": "FLUXCALIB"}


class Night:
    """A night of a production: its frames as they are measured, and what of it failed.

    Parameters
    ----------
    production
        The whole of it is used, whatever is asked for.

    Attributes
    ----------
    frames
        By expid and camera.
    told
        Of each, its metrics of what a step has not made that failed, or that waits for such.
    """

    def __init__(self, production: Production, night: int, limits: Limits) -> None:
        whole = production.whole()
        self.production = Production(whole.directory, whole.settings | {"nights": [night]})
        self.night, self.limits = night, limits
        self.directory = production.directory
        self.exposures = self.production.nights.get(night, [])
        self.tasks = {task.key: task for task in self.production.graph.of_night(self.exposures)}
        self._records = Records(self.directory)
        there = self.production.commands.listed()
        self.judged = judge_all(self.tasks.values(), self._records, there, again=False)
        self._of: dict[tuple[str, str], list[Key]] = {}
        for key in self.tasks:
            self._of.setdefault((key.owner, key.unit), []).append(key)
        self._before: dict[tuple[int, str], Frame] = {}
        self.told: dict[tuple[int, str], set[str]] = {}
        self.frames = {(frame.expid, frame.camera): frame for frame in self._measured()}

    def keys_of(self, exposure: Exposure, camera: str) -> list[Key]:
        """Return the tasks that make a camera's exposure."""
        owner = owner_of(exposure)
        return [key for unit in (camera, camera[1], "") for key in self._of.get((owner, unit), ())]

    def failure(self, key: Key) -> str | None:
        """Return why a task failed, or was broken off; None if it did not."""
        judged, record = self.judged[key], self._records.get(key)
        if judged.state == FAILED:
            return judged.reason
        # What has failed, and is to be run again as something has changed, has failed until then.
        return record.reason if record is not None and record.state in (FAILED, BROKEN) else None

    def _measured(self) -> Iterator[Frame]:
        """Yield the frames: their files' metrics, and what is missing because a step has not been done."""
        for exposure in self.exposures:
            for camera in sorted(exposure.cameras) if not exposure.reason else ():
                metrics = dict(self._read(exposure, camera))
                missed = self._missing(exposure, camera, metrics)
                self.told[exposure.expid, camera] = {*missed}
                metrics |= missed
                if metrics:
                    yield frame_of(exposure, camera, NOT_JUDGED, metrics)

    def _read(self, exposure: Exposure, camera: str) -> Mapping[str, Metric]:
        """Return what the file of a frame says of it alone."""
        path = path_of(self.directory, exposure.night, exposure.expid, camera)
        key = Key(QA, owner_of(exposure), camera)
        record = self._records.get(key)
        if not path.exists() or (record is not None and record.state != DONE):
            return {}
        try:
            found = read_frame(path, curves=False)
        except MalformedFile as error:
            log.warning("%s", error)
            return missing("PREPROC", str(error))
        self._before[exposure.expid, camera] = found
        return {name: metric for name, metric in found.metrics.items() if _is_known(name)}

    def _missing(self, exposure: Exposure, camera: str, metrics: Collection[str]) -> dict[str, Metric]:
        """Return what is missing because a step failed; or waits for one that has, and there was nothing to measure."""
        made: dict[str, Metric] = {}
        for key in self.keys_of(exposure, camera):
            step = STEP_OF_KIND[key.kind].name
            name = f"{QATYPE_OF.get(step)}-MISSING"
            if step not in QATYPE_OF:
                continue
            if (why := self.failure(key)) is not None:
                made |= missing(QATYPE_OF[step], f"{step} failed: {why}")
            elif self.judged[key].state == WAITING and name not in made and (not metrics or name in metrics):
                made |= missing(QATYPE_OF[step], f"{step} waits: {self.judged[key].reason}")
        return made

    def failed(self) -> Iterator[tuple[Key, str, int]]:
        """Yield what failed, why, and how many tasks of the same camera's exposure wait, for it or another."""
        for key in self.tasks:
            why = self.failure(key)
            if why is not None:
                beside = self._of[key.owner, key.unit]
                yield key, why, sum(self.judged[one].state == WAITING for one in beside if one.kind != QA)

    def complete(self) -> None:
        """Add the metrics that need the whole night, judge all, and write what has changed into the frames' files."""
        of_exposures = self.zero_points()
        for (expid, camera), frame in list(self.frames.items()):
            metrics = dict(frame.metrics)
            clear = self.clear(of_exposures.get(camera, {}))
            zero_point = of_exposures.get(camera, {}).get(expid)
            if clear is not None and zero_point is not None:
                metrics["FLUXCALIB-ZP_NIGHT"] = Metric(round(zero_point - clear, 5))
            mean = self._mean_calibration(expid, camera[0])
            own = frame.metrics.get("FLUXCALIB-CALIB")
            if mean and own is not None and own.value is not None:
                metrics["FLUXCALIB-THRUFRAC"] = Metric(round(own.value / mean, 5))
            self.frames[expid, camera] = replace(
                frame, metrics=self.limits.judge_all(metrics, camera[0], frame.obstype)
            )
            self._rewrite(self.frames[expid, camera])

    def _mean_calibration(self, expid: int, arm: str) -> float | None:
        values = [
            frame.metrics["FLUXCALIB-CALIB"].value
            for (other, camera), frame in self.frames.items()
            if other == expid and camera[0] == arm and "FLUXCALIB-CALIB" in frame.metrics
        ]
        known = [value for value in values if value]
        return sum(known) / len(known) if known else None

    def zero_points(self) -> dict[str, dict[int, float]]:
        """Return the zero points of each camera, by expid."""
        made: dict[str, dict[int, float]] = {}
        for (expid, camera), frame in self.frames.items():
            metric = frame.metrics.get("FLUXCALIB-ZP")
            if metric is not None and metric.value is not None:
                made.setdefault(camera, {})[expid] = metric.value
        return made

    @staticmethod
    def clear(zero_points: Mapping[int, float]) -> float | None:
        """Return the zero point of a camera's clear exposures; None of less than two."""
        values = sorted(zero_points.values())
        return values[math.ceil((len(values) - 1) * CLEAR)] if len(values) > 1 else None

    def _rewrite(self, frame: Frame) -> None:
        place = frame.expid, frame.camera
        if place in self._before and self._before[place] != frame:
            write_metrics(frame, path_of(self.directory, self.night, *place))


def _is_known(name: str) -> bool:
    """Tell whether a metric is one of a frame alone, and of this version."""
    try:
        return definition_of(name).of == "frame"
    except KeyError:
        return False
