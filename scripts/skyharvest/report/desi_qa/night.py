"""The pages of a night: its own, those of its exposures, and those of their cameras."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skyharvest.core.whole_directory import whole_directory
from skyharvest.reduction.desi.cameras import ARMS
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.qa.collate import night_path
from skyharvest.reduction.desi.qa.limits import Limits
from skyharvest.reduction.desi.qa.measured import Curve, Frame, Metric, path_of, read_curves
from skyharvest.reduction.desi.settings import CHOICES
from skyharvest.report.desi_qa.curves import charts_of
from skyharvest.report.desi_qa.faults import faults_of, faults_of_exposure, link_to
from skyharvest.report.desi_qa.series import programs, write_night_series
from skyharvest.report.desi_qa.site import FAULTS, directory_of, renderer
from skyharvest.report.desi_qa.steps import Ended, Steps
from skyharvest.report.desi_qa.tables import camera_table, exposure_tables, exposures_table, metrics_table, steps_table
from skyharvest.report.desi_qa.words import describe, kind_of, path, program_of
from skyharvest.report.quality.site import Page
from skyharvest.report.quality.words import mark


class Night:
    """A night, as it was collated, and how its tasks ended.

    Parameters
    ----------
    production
        The whole of it is shown, whatever is asked for.
    logs
        Directory of the run's logs.
    """

    def __init__(self, production: Production, night: int, logs: Path) -> None:
        own = production.settings | dict.fromkeys(CHOICES) | {"nights": [night]}
        production = Production(production.directory, own)
        self.directory, self.night = production.directory, night
        self.site = directory_of(production.directory)
        self.collated = read_night(production.directory, night)
        self.limits = Limits(self.collated["limits"])
        self.steps = Steps(production, night, logs)
        self.faults = list(faults_of(self.collated, self.steps))
        self.renderer = renderer()

    def write(self) -> None:
        """Write its pages; they take the place of those that were there, all at once."""
        exposures = self.collated["exposures"]
        with whole_directory(self.site / str(self.night)) as out:
            (out / "index.html").write_text(self._night_page(), encoding="utf-8")
            write_night_series(out / "series.js", self.collated)
            faults = {"faults": [asdict(one) for one in self.faults]}
            (out / FAULTS).write_text(json.dumps(faults, ensure_ascii=False), encoding="utf-8")
            for k, exposure in enumerate(exposures):
                around = (("previous exposure", k - 1), ("next exposure", k + 1))
                near = [(name, exposures[j]) for name, j in around if 0 <= j < len(exposures)]
                self._write_exposure(out / f"{exposure['expid']:08d}", exposure, near)

    def _night_page(self) -> str:
        counts, exposures = self.collated["counts"], self.collated["exposures"]
        n_failed = len(self.collated["failed"])
        cameras = sorted({camera for one in exposures for camera in self._cameras(one)}, key=_order)
        page = Page(
            title=f"Night {self.night}",
            about=f"{self.directory.name}: {_in_words(exposures)}",
            state=_state(self.collated["state"], n_failed),
            facts=_facts(counts, n_failed),
            where=[(self.directory.name, "../index.html"), (str(self.night), "")],
            contents=[
                ("bad", "What is bad"),
                ("cameras", "Exposures and cameras"),
                ("exposures", "Exposures"),
                ("series", "Metrics by exposure"),
            ],
            holds={
                "faults": [one.seen_from("../") for one in self.faults],
                "grid": {"columns": cameras, "rows": [self._row(one, cameras) for one in exposures]},
                "exposures": exposures_table(exposures),
                "metrics": metrics_table("Of the night as a whole", self.collated["metrics"]),
                "series": _names_of(exposures),
                "programs": programs(map(program_of, exposures)),
                "cameras": camera_choices(cameras),
            },
        )
        return self.renderer.render("night", page, "../")

    def _row(self, exposure: Mapping[str, Any], cameras: Sequence[str]) -> dict[str, Any]:
        expid = exposure["expid"]
        return {
            "name": f"{expid:08d}",
            "link": f"{expid:08d}/index.html",
            "says": (exposure["left_out"] and "left out") or program_of(exposure),
            "cells": [self._cell(exposure, camera, f"{expid:08d}/") for camera in cameras],
        }

    def _cell(self, exposure: Mapping[str, Any], camera: str, to: str, sign: str = "") -> dict[str, str] | None:
        if camera not in self._cameras(exposure):
            return None
        state, says = self._judge(exposure, camera)
        return {
            "link": f"{to}{camera}.html",
            "state": state,
            "says": f"{camera} {exposure['expid']:08d}: {says or state}",
            "text": f"{sign}{mark(state)}" if sign else mark(state),
        }

    def _judge(self, exposure: Mapping[str, Any], camera: str) -> tuple[str, str]:
        """Return the state of a camera's exposure, and what it is from."""
        if failed := [one["step"] for one in self._failed_of(exposure["expid"], camera)]:
            return "BAD", f"{', '.join(failed)} failed"
        frame = exposure["cameras"].get(camera)
        if frame is None:
            return "none", "nothing is measured"
        names = [name for name, (_, state, *_at) in frame["metrics"].items() if state == frame["state"] != "OK"]
        return frame["state"], f"{', '.join(names)} {frame['state']}" if names else ""

    def _failed_of(self, expid: int, camera: str) -> list[Mapping[str, Any]]:
        return [
            one for one in self.collated["failed"] if one["expid"] == expid and one["camera"] in (camera, camera[1], "")
        ]

    def _cameras(self, exposure: Mapping[str, Any]) -> list[str]:
        """Return the cameras of an exposure that have a page: those that are run, or have been measured."""
        of_table = self.steps.exposures.get(exposure["expid"])
        run = of_table.cameras if of_table and not of_table.reason else frozenset()
        return sorted(run | exposure["cameras"].keys(), key=_order)

    def _write_exposure(
        self, out: Path, exposure: Mapping[str, Any], near: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> None:
        out.mkdir()
        expid, of_table = exposure["expid"], self.steps.exposures.get(exposure["expid"])
        cameras = self._cameras(exposure)
        metrics = {camera: self._metrics(exposure, camera) for camera in cameras}
        failed = [one for one in self.collated["failed"] if one["expid"] in (expid, None)]
        about = {name: exposure[name] for name in ("obstype", "tileid", "survey", "program", "mjd", "exptime")}
        frames = (Frame(self.night, expid, camera, **about, metrics=own) for camera, own in metrics.items())
        faults = list(dict.fromkeys(faults_of_exposure(frames, failed, self.steps)))
        ended = {camera: list(self.steps.of(of_table, camera)) if of_table else [] for camera in cameras}
        petals = sorted({camera[1] for camera in cameras})
        arms = [arm for arm in ARMS if any(camera[0] == arm for camera in cameras)]
        page = Page(
            title=f"Exposure {expid:08d}",
            about=_about(exposure),
            state=_state(exposure["state"], any(self._failed_of(expid, camera) for camera in cameras)),
            facts=_exposure_facts(exposure),
            where=self._where(expid),
            beside=[(name, f"../{one['expid']:08d}/index.html") for name, one in near],
            contents=[("bad", "What is bad"), ("cameras", "Cameras"), ("metrics", "Metrics"), ("steps", "Steps")],
            holds={
                "left_out": exposure["left_out"],
                "faults": [one.seen_from("../../") for one in faults],
                "grid": {
                    "columns": petals,
                    "rows": [
                        {
                            "name": arm,
                            "link": "",
                            "says": "",
                            "cells": [self._cell(exposure, f"{arm}{petal}", "", f"{arm}{petal}") for petal in petals],
                        }
                        for arm in arms
                    ],
                },
                "tables": list(exposure_tables(exposure, arms, cameras)),
                "steps": steps_table(ended),
            },
        )
        (out / "index.html").write_text(self.renderer.render("exposure", page, "../../"), encoding="utf-8")
        for k, camera in enumerate(cameras):
            others = [
                *([(f"‹ {cameras[k - 1]}", f"{cameras[k - 1]}.html")] if k else []),
                *([(f"{cameras[k + 1]} ›", f"{cameras[k + 1]}.html")] if k + 1 < len(cameras) else []),
                *((name, f"../{one['expid']:08d}/{camera}.html") for name, one in near if camera in self._cameras(one)),
            ]
            html = self._camera_page(exposure, camera, metrics[camera], ended[camera], others)
            (out / f"{camera}.html").write_text(html, encoding="utf-8")

    def _metrics(self, exposure: Mapping[str, Any], camera: str) -> dict[str, Metric]:
        """Return the metrics of a frame, with the limits that judged them."""
        said = exposure["cameras"].get(camera, {"metrics": {}})["metrics"]
        return {
            name: Metric(value, describe(name).unit, " ".join(at), self._limits(name, camera, exposure), state)
            for name, (value, state, *at) in said.items()
        }

    def _limits(self, name: str, camera: str, exposure: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self.limits.find(name, camera[0], exposure["obstype"])
        except KeyError:  # of another version
            return {}

    def _curves(self, expid: int, camera: str) -> Mapping[str, Curve]:
        file = path_of(self.directory, self.night, expid, camera)
        return read_curves(file) if file.exists() else {}

    def _where(self, expid: int, camera: str = "") -> list[tuple[str, str]]:
        above = [(self.directory.name, "../../index.html"), (str(self.night), "../index.html")]
        return above + ([(f"{expid:08d}", "index.html"), (camera, "")] if camera else [(f"{expid:08d}", "")])

    def _camera_page(
        self,
        exposure: Mapping[str, Any],
        camera: str,
        metrics: Mapping[str, Metric],
        ended: Sequence[Ended],
        beside: list[tuple[str, str]],
    ) -> str:
        expid = exposure["expid"]
        curves = self._curves(expid, camera)
        state, _ = self._judge(exposure, camera)
        unwell = {kind_of(name) for name, one in metrics.items() if one.state != "OK"}
        page_file = self.site / path(self.night, expid, camera)
        steps = [
            asdict(one)
            | {
                "kind": one.kind,
                "about": one.about,
                "log": str(one.log or ""),
                "log_link": link_to(one.log, page_file) if one.log else "",
                "said": self.steps.logs.said(one.key) if one.state == "failed" or one.kind in unwell else "",
            }
            for one in ended
        ]
        page = Page(
            title=f"{camera} {expid:08d}",
            about=_about(exposure),
            state=state,
            facts=_exposure_facts(exposure),
            where=self._where(expid, camera),
            beside=beside,
            contents=[
                ("metrics", "Metrics"),
                *([("curves", "What they are made from")] if curves else []),
                ("steps", "Steps"),
            ],
            holds={
                "metrics": camera_table(metrics, {one.kind for one in ended}),
                "curves": charts_of(curves, camera[0]),
                "steps": steps,
                "environment": self.steps.environment,
            },
        )
        return self.renderer.render("camera", page, "../../")


def read_night(production: Path, night: int) -> dict[str, Any]:
    """Return what a night was collated to."""
    return dict(json.loads(night_path(production, night).read_text(encoding="utf-8")))


def camera_choices(cameras: Sequence[str]) -> list[tuple[str, str]]:
    """Return by which cameras a reader chooses."""
    return [("", "all"), *((arm, f"all {arm}") for arm in ARMS), *((camera, camera) for camera in cameras)]


def _order(camera: str) -> tuple[int, str]:
    return ARMS.index(camera[0]), camera[1:]


def _state(state: str, failed: object) -> str:
    return "BAD" if failed else state


def _facts(counts: Mapping[str, int], n_failed: int) -> list[tuple[str, str]]:
    return [
        ("frames BAD", f"{counts['BAD']:,}"),
        ("frames WARN", f"{counts['WARN']:,}"),
        ("steps failed", f"{n_failed:,}"),
        ("frames OK", f"{counts['OK']:,}"),
        ("exposures", f"{counts['exposures']:,}"),
    ]


def _in_words(exposures: Sequence[Mapping[str, Any]]) -> str:
    kinds: dict[str, int] = {}
    for one in exposures:
        kinds[program_of(one)] = kinds.get(program_of(one), 0) + 1
    return ", ".join(f"{n} {kind}" for kind, n in kinds.items())


def _about(exposure: Mapping[str, Any]) -> str:
    words = [exposure["obstype"]]
    if exposure["obstype"] == "science":
        words += [f"tile {exposure['tileid']}", f"{exposure['survey']} {exposure['program']}".strip()]
    return ", ".join([*words, f"MJD {exposure['mjd']:.5f}"])


def _exposure_facts(exposure: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("exposure time", f"{exposure['exptime']:,.0f} s"), ("UTC at its begin", _clock(exposure["mjd"]))]
    airmass = exposure.get("airmass")
    return facts + ([("airmass", f"{airmass:.2f}")] if airmass and exposure["obstype"] == "science" else [])


def _clock(mjd: float) -> str:
    minutes = round(mjd % 1 * 1440) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _names_of(exposures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the metrics of frames, those that are BAD in most frames first, then in the order of steps."""
    counts: dict[str, int] = {}
    for exposure in exposures:
        for frame in exposure["cameras"].values():
            for name, (value, state, *_at) in frame["metrics"].items():
                if value is not None:
                    counts[name] = counts.get(name, 0) + (state == "BAD")
    return sorted(counts, key=lambda name: -counts[name])
