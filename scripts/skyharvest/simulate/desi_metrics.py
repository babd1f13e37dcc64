"""A production of DESI of which there are only metrics: exposure tables, records, and the file of every frame.

It is as large as is asked for, and known faults are planted in it, to measure and test collation and pages with.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.settings import Setting, describe
from skyharvest.reduction.desi import exposure_table
from skyharvest.reduction.desi.cameras import ARMS, create_camword
from skyharvest.reduction.desi.production import Production, freeze
from skyharvest.reduction.desi.qa.limits import read_limits
from skyharvest.reduction.desi.qa.measured import Curve, Frame, Metric, path_of, write_frame, write_metrics
from skyharvest.reduction.desi.records import DONE, Record, Records, judge_all
from skyharvest.reduction.desi.settings import Settings, frozen

FIRST_MJD = 60690.1  # of 2025-01-15
PETALS = tuple(range(10))
AMPS = "ABCD"

_ALL, _FLAT, _SCIENCE = ("arc", "flat", "science"), ("flat", "science"), ("science",)
TYPICAL: Mapping[str, tuple[tuple[str, ...], tuple[float, float, float], float]] = {
    **{f"PREPROC-READNOISE_{amp}": (_ALL, (3.0, 2.7, 2.6), 0.05) for amp in AMPS},
    **{f"PREPROC-OVERSCAN_{amp}": (_ALL, (1010.0, 1020.0, 1030.0), 1.5) for amp in AMPS},
    "PREPROC-OVERSCAN_STEP": (_ALL, (1.3, 1.3, 1.3), 0.1),
    **{f"PREPROC-NOISE_{amp}": (_ALL, (1.0, 1.0, 1.0), 0.01) for amp in AMPS},
    **{f"PREPROC-MASKED_{amp}": (_ALL, (0.002, 0.003, 0.003), 0.0001) for amp in AMPS},
    "PREPROC-COSMICS": (_ALL, (0.002, 0.003, 0.006), 0.0004),
    "PSF-XSIGMA": (("arc",), (1.1, 1.1, 1.2), 0.01),
    "PSF-YSIGMA": (("arc",), (1.1, 1.1, 1.2), 0.01),
    "PSF-DX": (("arc",), (0.0, 0.0, 0.0), 0.03),
    "PSF-DY": (("arc",), (0.0, 0.0, 0.0), 0.03),
    "PSF-CHI2": (("arc",), (1.1, 1.1, 1.1), 0.02),
    "PSF-NBAD": (("arc",), (0.0, 0.0, 0.0), 0.0),
    "TRACESHIFT-DX": (_FLAT, (0.0, 0.0, 0.0), 0.03),
    "TRACESHIFT-DY": (_FLAT, (0.0, 0.0, 0.0), 0.03),
    "TRACESHIFT-BEND": (_FLAT, (0.02, 0.02, 0.02), 0.003),
    "EXTRACT-NDEAD": (_FLAT, (0.0, 0.0, 0.0), 0.0),
    "EXTRACT-CHI2": (_FLAT, (1.0, 1.0, 1.0), 0.01),
    "EXTRACT-NBADFIT": (_FLAT, (0.0005, 0.0005, 0.0005), 0.0001),
    "EXTRACT-MASKED": (_FLAT, (0.004, 0.004, 0.006), 0.0005),
    "FIBERFLAT-MAX_RMS": (("flat",), (0.02, 0.02, 0.02), 0.001),
    "FIBERFLAT-MEANSPEC": (("flat",), (2400.0, 5200.0, 6100.0), 40.0),
    "SKYSUB-NSKY": (_SCIENCE, (40.0, 40.0, 40.0), 0.0),
    "SKYSUB-SKY": (_SCIENCE, (60.0, 130.0, 320.0), 8.0),
    "SKYSUB-MED_RESID": (_SCIENCE, (0.0, 0.0, 0.0), 0.05),
    "SKYSUB-REL_RESID": (_SCIENCE, (0.0, 0.0, 0.0), 0.0005),
    "SKYSUB-CHI2": (_SCIENCE, (1.0, 1.0, 1.0), 0.01),
    "SKYSUB-PULL_WIDTH": (_SCIENCE, (1.0, 1.0, 1.0), 0.01),
    "SKYSUB-GAUSS": (_SCIENCE, (0.008, 0.008, 0.009), 0.001),
    "SKYSUB-THRPUT_RMS": (_SCIENCE, (0.01, 0.01, 0.01), 0.001),
    "FLUXCALIB-ZP": (_SCIENCE, (24.1, 24.6, 24.4), 0.02),
    "FLUXCALIB-RMS_ZP": (_SCIENCE, (0.03, 0.03, 0.03), 0.004),
    "FLUXCALIB-NSTDSTAR": (_SCIENCE, (10.0, 10.0, 10.0), 0.0),
    "S2N-MEDIAN": (_SCIENCE, (1.2, 2.4, 1.9), 0.1),
    "S2N-ELG": (_SCIENCE, (0.5, 0.9, 0.8), 0.03),
    "S2N-LRG": (_SCIENCE, (0.3, 1.6, 2.1), 0.05),
    "S2N-QSO": (_SCIENCE, (1.2, 1.5, 1.4), 0.05),
    "S2N-BGS": (_SCIENCE, (2.2, 4.5, 4.1), 0.1),
}
"""Metric → types of exposures that have it, what it is in b, r and z, and its scatter."""


@dataclass(frozen=True)
class Planted:
    """A fault.

    Attributes
    ----------
    night
        Which of the nights, from 0; of its science exposures those from ``first`` to ``last``.
    cameras
        Empty for all.
    values
        Metric → what it is there.
    at
        Metric → where the worst of it is.
    """

    name: str
    night: int
    first: int
    last: int
    cameras: tuple[str, ...]
    values: Mapping[str, float]
    at: Mapping[str, str] = field(default_factory=dict)

    def is_in(self, night: int, science: int, camera: str) -> bool:
        """Tell whether it is in a camera of a science exposure of a night, both counted from 0."""
        return night == self.night and self.first <= science <= self.last and camera in (self.cameras or (camera,))


def faults(night: int) -> tuple[Planted, ...]:
    """Return one fault of each kind, in a night of six science exposures or more, and of petals 0 and 1."""
    return (
        Planted("a bad amp", night, 0, 99, ("r1",), {"PREPROC-READNOISE_B": 14.0, "PREPROC-NOISE_B": 2.1}),
        Planted(
            "a fiber out",
            night,
            2,
            99,
            ("b0", "r0", "z0"),
            {"EXTRACT-NDEAD": 1.0},
            {"EXTRACT-NDEAD": "fiber 137"},
        ),
        Planted(
            "a wrong sky",
            night,
            1,
            1,
            ("z1",),
            {"SKYSUB-REL_RESID": 0.11, "SKYSUB-MED_RESID": 14.0, "SKYSUB-CHI2": 4.0, "SKYSUB-PULL_WIDTH": 1.9},
        ),
        Planted("a shifted camera", night, 3, 99, ("z0",), {"TRACESHIFT-DX": 2.4}),
        Planted("a cloud", night, 4, 5, (), {"FLUXCALIB-ZP": 22.9, "S2N-MEDIAN": 0.2}),
    )


@dataclass(frozen=True)
class Size:
    """How large a production is.

    Attributes
    ----------
    exposures
        Of a night: arcs, as many flats, and the rest are science exposures, dark ones and then bright ones.
    arcs
        Of a night.
    """

    nights: int = 30
    exposures: int = 40
    petals: Sequence[int] = PETALS
    arcs: int = 3

    @property
    def cameras(self) -> list[str]:
        """All cameras."""
        return [f"{arm}{petal}" for arm in ARMS for petal in self.petals]


def simulate(
    directory: Path, size: Size, planted: Sequence[Planted] = (), seed: int = 1, workers: int = 1
) -> Production:
    """Write a production that has only metrics, and return it.

    Parameters
    ----------
    directory
        Its own.
    """
    settings = _filled(Settings) | {"enabled": True, "raw": str(directory / "raw"), "specprod": directory.name}
    freeze(directory, frozen(settings))
    for number in range(size.nights):
        night, rows = _rows(number, size)
        exposure_table.write_table(exposure_table.path_of(directory, night), rows)
    production = Production(directory, settings)
    _write_records(production)
    jobs = [(directory, number, size, tuple(planted), seed) for number in range(size.nights)]
    if workers == 1:
        for job in jobs:
            _write_night(*job)
    else:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_write_night, *zip(*jobs, strict=True)))
    return production


def _filled(kind: type) -> dict[str, Any]:
    return {
        key: inner.default if isinstance(inner, Setting) else _filled(inner) for key, inner in describe(kind).items()
    }


def _rows(number: int, size: Size) -> tuple[int, list[dict[str, Any]]]:
    """Return a night, and the rows of its exposure table."""
    night = int((np.datetime64("2025-01-15") + number).astype(str).replace("-", ""))
    rows = []
    for k in range(size.exposures):
        first = 2 * size.arcs
        obstype = "arc" if k < size.arcs else "flat" if k < first else "science"
        program = "dark" if k < first + (size.exposures - first) * 0.6 else "bright"
        row = {
            "EXPID": 270_000 + 100 * number + k,
            "OBSTYPE": obstype,
            "TILEID": 1000 + 40 * number + k if obstype == "science" else -99,
            "CAMWORD": create_camword(size.cameras),
            "EXPTIME": {"arc": 5.0, "flat": 120.0, "science": 1000.0 if program == "dark" else 300.0}[obstype],
            "SURVEY": "main" if obstype == "science" else "unknown",
            "FA_SURV": "main" if obstype == "science" else "unknown",
            "FAPRGRM": program if obstype == "science" else "unknown",
            "MJD-OBS": FIRST_MJD + number + 0.4 * k / size.exposures,
            "NIGHT": night,
        }
        rows.append(row)
    return night, rows


def _write_records(production: Production) -> None:
    records = Records(production.directory)
    judged = judge_all(production.tasks(), records, lambda _: False, again=False)
    of: dict[Path, list[Record]] = {}
    for key, one in judged.items():
        of.setdefault(records.path(key.kind, key.owner), []).append(
            Record(key.unit, DONE, one.made or "", "12.0", "400")
        )
    header = ",".join(Record._fields)
    for path, some in of.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *(",".join(one) for one in some), ""]), encoding="utf-8")


def _write_night(directory: Path, number: int, size: Size, planted: Sequence[Planted], seed: int) -> None:
    chance = np.random.default_rng((seed, number))
    first: dict[tuple[str, str], Path] = {}
    for frame, is_planted in _frames(number, size, planted, chance):
        path = path_of(directory, frame.night, frame.expid, frame.camera)
        if is_planted or (frame.obstype, frame.camera) not in first:
            write_frame(frame, path)
        else:  # the curves of another exposure, which takes a third of the time
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(first[frame.obstype, frame.camera], path)
            write_metrics(frame, path)
        if not is_planted:
            first[frame.obstype, frame.camera] = path


def _frames(
    number: int, size: Size, planted: Sequence[Planted], chance: np.random.Generator
) -> Iterator[tuple[Frame, bool]]:
    limits = read_limits()
    night, rows = _rows(number, size)
    science = -1
    for row in rows:
        obstype = row["OBSTYPE"]
        science += obstype == "science"
        for camera in size.cameras:
            values = {
                name: (typical["brz".index(camera[0])], scatter)
                for name, (obstypes, typical, scatter) in TYPICAL.items()
                if obstype in obstypes
            }
            here = [one for one in planted if obstype == "science" and one.is_in(number, science, camera)]
            metrics = {}
            for name, (typical, scatter) in values.items():
                value = round(float(typical + scatter * np.clip(chance.normal(), -2.5, 2.5)), 5)
                at = ""
                for fault in here:
                    value, at = fault.values.get(name, value), fault.at.get(name, at)
                metrics[name] = limits.judge(name, Metric(value, at=at), camera[0], obstype)
            width = metrics["SKYSUB-PULL_WIDTH"].value if obstype == "science" else None
            frame = Frame(
                night, row["EXPID"], camera, obstype, row["TILEID"], row["SURVEY"], row["FAPRGRM"], row["MJD-OBS"],
                row["EXPTIME"], metrics,
            )  # fmt: skip
            yield replace(frame, curves=_curves(camera, width, chance)), bool(here)


def _curves(camera: str, pull_width: float | None, chance: np.random.Generator) -> dict[str, Curve]:
    wave = np.linspace(*{"b": (3600, 5800), "r": (5760, 7620), "z": (7520, 9824)}[camera[0]], 120).round(1)
    rows = np.linspace(0, 4096, 60).round()
    curves = {
        "PREPROC-OVERSCAN": _line(rows, 0.3 * chance.normal(size=60), "row", "overscan less its median (ADU)"),
    }
    if pull_width is not None:
        edges = np.linspace(-6, 6, 61)
        counts = np.histogram(chance.normal(0, pull_width, 20_000), edges)[0]
        curves["SKYSUB-PULLS"] = Curve("steps", _plain(edges), _plain(counts), "what is left over its error", "pixels")
        left = 0.2 * chance.normal(size=120) * pull_width
        curves["SKYSUB-RESID"] = _line(wave, left, "wavelength (Å)", "what is left (electron/Å)")
        magnitude = chance.uniform(17, 23, 80)
        signal = 10 ** (-0.35 * (magnitude - 22)) * chance.normal(1, 0.1, 80)
        curves["S2N-TARGETS"] = Curve("points", _plain(magnitude), _plain(signal), "magnitude", "signal to noise")
    return curves


def _line(x: Any, y: Any, x_label: str, y_label: str) -> Curve:
    return Curve("line", _plain(x), _plain(y), x_label, y_label)


def _plain(values: Any) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
