"""A reduction of HETDEX of values alone: products that say how good they are, of any size, with planted faults.

Clean, all values are within their limits.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import fitsio
import h5py
import numpy as np

from skyharvest.reduction.hetdex.amp_file import AmpResult, write_amps
from skyharvest.reduction.hetdex.calibration.drift_table import Row
from skyharvest.reduction.hetdex.calibration.drift_table import write as write_drift
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.frames.planning import DAMAGED, LEFT_OUT_COLUMNS, REPEAT
from skyharvest.reduction.hetdex.layout import AMPS, Layout, month_of, name_of_exposure
from skyharvest.reduction.hetdex.ledger import Account
from skyharvest.reduction.hetdex.places import STEPS, Place
from skyharvest.reduction.hetdex.plan import BIAS, SCIENCE, TWILIGHT, Unit, read_plan, write_plan
from skyharvest.reduction.hetdex.qa.collect import collect_month, collect_shot
from skyharvest.reduction.hetdex.qa.collected import path_of_month, path_of_shot, write_json
from skyharvest.reduction.hetdex.qa.limits import read_limits
from skyharvest.reduction.hetdex.spectra import amp_dat
from skyharvest.reduction.hetdex.spectra.amp_dat import AmpSky
from skyharvest.reduction.hetdex.steps import INDEXED, SWITCHED
from skyharvest.report.hetdex_qa.commands import Commands
from skyharvest.report.hetdex_qa.first import write_site
from skyharvest.report.hetdex_qa.month import write_month
from skyharvest.report.hetdex_qa.site import directory_of

SLOTS = [f"{column:02d}{row}" for column in range(1, 11) for row in range(1, 9)][1:-1]
"""IFUSLOTs of a field."""
GOOD = {
    "bias": {"n_frames": (15, 0), "level": (1000, 3), "rms": (3, 0.1), "overscan_rms": (3, 0.1), "n_traps": (0, 0)},
    "trace": {"n_frames": (6, 0), "n_alive": (112, 0), "trace_rms": (0.03, 0.002), "scattered": (3, 0.2)},
    "flat": {},
    "wavelength": {
        "wave_rms": (0.06, 0.005),
        "wave_worst": (0.3, 0.02),
        "lsf_fwhm": (5.5, 0.1),
        "f2f_rms": (0.1, 0.01),
    },
    "amp_to_amp": {"level": (1, 0.1), "error": (0.002, 0.0002), "n_exposures": (6, 0), "correction": (1, 0.001)},
    "science": {"n_cosmics": (40, 6), "background": (2, 0.1), "pull": (1.0, 0.01)},
    "residuals": {"n_frames": (60, 0), "n_bad": (10, 2), "chi2": (1, 0.01), "sky": (0.001, 0.0001)},
    "full_sky": {
        "factor": (1, 0.02),
        "n_continuum": (5, 0),
        "background": (0, 0.1),
        "rms": (3, 0.1),
        "shift": (0, 0.05),
        "stretch": (0, 0.00001),
        "n_low": (0, 0),
    },
}
"""Step → value → mean and scatter."""
EXPOSURE = {
    "astrometry": {"n_found": (40, 2), "n_matched": (30, 2), "rms_x": (0.15, 0.02), "rms_y": (0.15, 0.02)},
    "stars": {"norm": (1, 0.02)},
}
SHOT = {
    "stars": {"fwhm": (1.8, 0.1), "fwhm_error": (0.05, 0), "n_fwhm": (12, 1)},
    "throughput": {"response_4540": (0.15, 0.01), "n_stars": (30, 2), "n_taken": (20, 2), "c1": (1, 0.05)},
}
DRIFT = {"bias_change": (0, 3), "wave_change": (0, 0.1), "trace_change": (0, 0.1), "amp_to_amp_change": (0, 0.01)}
COMMAND = "python scripts/reduction/hetdex/{step}.py --out {product}"


@dataclass
class Small:
    """What there is.

    Attributes
    ----------
    shots, pairings
        Names.
    planted
        (step, value, unit) → number: the unit is that of the product, its names joined by slashes, with an amplifier
        behind: ``201901/008_093_054_0123_LL``, ``20190103v012/exp01/…``, ``20190103v012``.
    failed
        (step, unit) → reason; of step ``frames``: a science frame that is damaged.
    """

    directory: Path
    shots: list[str]
    pairings: list[str]
    n_exposures: int = 3
    planted: dict[tuple[str, str, str], float] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layout = Layout(self.directory / "reduction/hetdex")
        self.logs = self.directory / "logs"
        self.random = np.random.default_rng(1)
        self.months = sorted({month_of(shot) for shot in self.shots})
        self.exposures = [name_of_exposure(k + 1) for k in range(self.n_exposures)]

    @property
    def site(self) -> Path:
        return directory_of(self.layout.directory)

    @property
    def commands(self) -> Commands:
        return Commands(self.layout, self.logs, (Path("my.yaml"),))

    def command(self, step: str, place: Place) -> str:
        return COMMAND.format(step=step, product=place.product(step, self.layout))

    def write(self) -> None:
        """Write the products, what is collected of them, and the pages."""
        self.products()
        self.collect()
        self.pages()

    def products(self) -> None:
        self._write_plan()
        for month in self.months:
            for ifu in self.pairings:
                for step in ("bias", "trace", "flat", "wavelength"):
                    place = Place(str(month), ifu)
                    path = place.product(step, self.layout)
                    path = path / "flat.fits" if step == "flat" else path
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_amps(path, {}, {amp: self._amp(step, f"{month}/{ifu}_{amp}") for amp in AMPS})
                    self._log(step, place)
                place = Place(str(month), ifu)
                self._write_amps_csv("residuals", place.product("residuals", self.layout), f"{month}/{ifu}")
                self._log("residuals", place)
            self._write_amp_to_amp(month)
        for shot in self.shots:
            self._write_shot(shot)

    def collect(self) -> None:
        plan, limits = read_plan(self.layout.plan), read_limits()
        for month in self.months:
            made = [collect_shot(self.layout, plan, shot, limits) for shot in self.shots if month_of(shot) == month]
            for one in made:
                write_json(one, path_of_shot(self.layout.directory, one["shot"]))
            account = Account(self.layout.directory, self.logs, month)
            collected = collect_month(account, month, limits, made)
            write_json(collected, path_of_month(self.layout.directory, month))

    def pages(self) -> None:
        for month in self.months:
            write_month(self.commands, month)
        write_site(self.commands, self.months, drift=self._drift(), left_out=self.layout.left_out)

    def _drift(self) -> Path:
        path = self.layout.directory / "drift.csv"
        rows = [
            Row(ifu, amp, month, self.months[0], **self._values("drift", f"{month}/{ifu}_{amp}", DRIFT))
            for ifu in self.pairings
            for amp in AMPS
            for month in self.months
        ]
        write_drift(path, rows)
        return path

    def _units(self) -> list[Unit]:
        units = [
            Unit(kind, month, ifu, "", 0, 60, month, "0" * 8)
            for month in self.months
            for ifu in self.pairings
            for kind in (BIAS, TWILIGHT)
        ]
        return units + [
            Unit(SCIENCE, month_of(shot), ifu, shot, k + 1, 4, month_of(shot), "0" * 8)
            for shot in self.shots
            for k in range(self.n_exposures)
            for ifu in self.pairings
        ]

    def _write_plan(self) -> None:
        self.layout.plan.parent.mkdir(parents=True, exist_ok=True)
        write_plan(self.layout.plan, self._units())
        rows = [{"night": "20190103", "obs": "1", "why": REPEAT, "reason": "another frame is used"}]
        holes = [self._hole(*key.split("/"), why) for (step, key), why in self.failed.items() if step == "frames"]
        rows += [{"why": DAMAGED} | {name: str(getattr(one, name, "")) for name in LEFT_OUT_COLUMNS if name != "why"}
                 for one in holes]  # fmt: skip
        with self.layout.left_out.open("w", newline="") as stream:
            out = csv.DictWriter(stream, LEFT_OUT_COLUMNS)
            out.writeheader()
            out.writerows(rows)
        for month in self.months:
            for ifu in self.pairings:
                own = [one for one in holes if (one.month, one.ifu) == (month, ifu)]
                frames_file.write(self.layout.frames(month, ifu), own)

    def _hole(self, shot: str, exposure: str, amp: str, why: str) -> Member:
        tar = f"raw/{shot[:8]}/virus/virus0000{shot[9:]}.tar"
        when = (int(shot[:8]), int(shot[9:]), int(exposure[3:]))
        return Member("sci", *when, *amp.split("_"), tar, "a_frame.fits", 0, 0, state="bad", reason=why)

    def _value(self, step: str, name: str, unit: str, mean: float, scatter: float) -> float:
        made = self.random.normal(mean, scatter) if scatter else mean
        return self.planted.get((step, name, unit), made)

    def _values(self, step: str, unit: str, of: dict[str, tuple[float, float]]) -> dict[str, float]:
        return {name: self._value(step, name, unit, *like) for name, like in of.items()}

    def _amp(self, step: str, unit: str) -> AmpResult:
        reason = self.failed.get((step, unit), "") or self.failed.get(("frames", unit), "")
        return AmpResult(failed=reason) if reason else AmpResult({}, self._values(step, unit, GOOD[step]))

    def _write_amp_to_amp(self, month: int) -> None:
        path = self.layout.amp_to_amp(month)
        path.parent.mkdir(parents=True, exist_ok=True)
        amps = [(ifu, amp) for ifu in self.pairings for amp in AMPS]
        columns = {"ifu": np.array([ifu for ifu, _ in amps], "S20"), "amp": np.array([amp for _, amp in amps], "S2")}
        columns |= {"state": np.array(["done"] * len(amps), "S8"), "reason": np.array([""] * len(amps), "S1")}
        values = [self._values("amp_to_amp", f"{month}/{ifu}_{amp}", GOOD["amp_to_amp"]) for ifu, amp in amps]
        columns |= {name: np.array([one[name] for one in values]) for name in GOOD["amp_to_amp"]}
        with fitsio.FITS(str(path), "rw", clobber=True) as out:
            out.write(None)
            out.write(list(columns.values()), names=list(columns), extname="AMPS")
        self._log("amp_to_amp", Place(str(month)))

    def _write_amps_csv(self, step: str, directory: Path, unit: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        names = list(GOOD[step])
        with (directory / "amps.csv").open("w", newline="") as stream:
            out = csv.writer(stream)
            out.writerow(["amp", "state", "reason", *names])
            for amp in AMPS:
                made = self._amp(step, f"{unit}_{amp}")
                cells = [made.values.get(name, "") for name in names]
                out.writerow([amp, "failed" if made.failed else "done", made.failed, *cells])

    def _write_shot(self, shot: str) -> None:
        month = str(month_of(shot))
        for exposure in self.exposures:
            for ifu in self.pairings:
                place = Place(month, ifu, shot, exposure)
                directory = place.product("science", self.layout)
                directory.mkdir(parents=True, exist_ok=True)
                self._write_amps_csv("science", directory, f"{shot}/{exposure}/{ifu}")
                self._log("science", place)
            place = Place(month, "", shot, exposure)
            path = place.product("full_sky", self.layout) / "amp.dat"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = []
            for ifu in self.pairings:
                for amp in AMPS:
                    of = self._values("full_sky", f"{shot}/{exposure}/{ifu}_{amp}", GOOD["full_sky"])
                    rows.append(AmpSky(f"{ifu.rpartition('_')[0]}_{amp}", **of))
            amp_dat.write(path, rows)
            with fitsio.FITS(str(path.with_name("full_sky.fits")), "rw", clobber=True) as out:
                out.write(np.zeros(1, [("wavelength", "f8"), ("counts", "f8")]), extname="SKY")
            self._log("full_sky", place)
        place = Place(month, "", shot)
        for step in ("astrometry", "stars", "seds", "throughput", "shots"):
            path = place.product(step, self.layout)
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file.attrs["shot"] = shot
                if reason := self.failed.get((step, shot)):
                    file.attrs["failed"] = reason
                    self._log(step, place)
                    continue
                file.attrs.update(self._values(step, shot, SHOT.get(step, {})))
                if own := EXPOSURE.get(step):
                    rows = np.zeros(self.n_exposures, [("expnum", "i4"), *((name, "f8") for name in own)])
                    for k, exposure in enumerate(self.exposures):
                        rows[k] = (k + 1, *self._values(step, f"{shot}/{exposure}", own).values())
                    file["Solution/exposures" if step == "astrometry" else "exposures"] = rows
                if step == "throughput":
                    self._write_curve(file)
            self._log(step, place)
        self._write_sources(shot)

    def _write_sources(self, shot: str) -> None:
        """Write what is made of the shot's file; as much of each is there as says how it stands."""
        month = str(month_of(shot))
        of_all = [(step, Place(month, "", shot)) for step in (INDEXED, *SWITCHED) if step != "detections"]
        for step, place in [*of_all, *(("detections", Place(month, ifu, shot)) for ifu in self.pairings)]:
            path = place.product(step, self.layout)
            path = path / {"detections": "detections.h5", "cubes": "cubes.csv"}.get(step, "")
            path.parent.mkdir(parents=True, exist_ok=True)
            if step == "cubes":
                path.write_text("\n".join(["ifu,state,reason", *(f"{ifu},done," for ifu in self.pairings)]) + "\n")
            elif step == "reports":
                path.write_text("detectid,state,reason\n")
            else:
                with h5py.File(path, "w") as file:
                    file.attrs["shot"] = shot
                    if step == "detections":
                        self._write_lines(file, path.with_name("flux_limits.h5"), f"{shot}/{place.ifu}")
            self._log(step, place)

    def _write_lines(self, file: h5py.File, limits: Path, unit: str) -> None:
        n_lines = int(self._value("detections", "n_lines", unit, 20, 3))
        file["Detections"] = np.zeros(n_lines, [("detectid", "i8")])
        sigma = self._value("detections", "flux_limit_4600", unit, 5, 0.3) / 5
        with h5py.File(limits, "w") as out:
            out.attrs.update(shot=unit[:12], ifu=unit[13:], failed="", linewidth=2.7, sn=5.0, least_coverage=0.3)
            out.attrs["pointing"] = [200.0, 50.0, 0.0]
            out["wavelengths"], out["sigmas"] = [3600.0, 5400.0], np.full((2, 3, 3), sigma, "f4")
            out["x"] = out["y"] = [-25.0, 0.0, 25.0]
            out["coverage"] = np.ones((3, 3), "f4")

    def _write_curve(self, file: h5py.File) -> None:
        wave = np.arange(3510.0, 5500, 20)
        table = np.zeros(
            len(wave), [(name, "f8") for name in ("wavelength", "throughput", "tp_low", "tp_high", "tp_gband")]
        )
        curve = 0.16 * np.exp(-(((wave - 4700) / 900) ** 2))
        for name, by in (("throughput", 1), ("tp_low", 0.93), ("tp_high", 1.07), ("tp_gband", 0.97)):
            table[name] = by * curve
        table["wavelength"] = wave
        names = ("level", "scatter", "rms")
        stars = np.zeros(
            12, [("star_id", "S8"), ("g", "f8"), ("taken", "?"), ("reason", "S60"), *((n, "f8") for n in names)]
        )
        stars["star_id"] = [f"star{k}" for k in range(12)]
        stars["taken"] = np.arange(12) % 4 > 0
        stars["reason"] = np.where(stars["taken"], b"", b"its ratio scatters by 0.31, more than 0.2")
        stars["g"], stars["level"] = self.random.uniform(16, 20, 12), self.random.normal(1, 0.05, 12)
        file["throughput"], file["stars"] = table, stars

    def _log(self, step: str, place: Place) -> None:
        path = self.logs / place.log(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"2026-01-01 00:00:00 INFO command: {self.command(step, place)}\nINFO done\n")


def pairings(n: int) -> list[str]:
    """Return names of pairings."""
    return [f"{300 + k:03d}_{SLOTS[k]}_{20 + k:03d}_{k + 101:04d}" for k in range(n)]


def shots(month: int, n: int, a_night: int = 8) -> list[str]:
    """Return names of shots of a month."""
    return [f"{month}{k // a_night + 1:02d}v{k % a_night + 10:03d}" for k in range(n)]


assert set(GOOD) <= set(STEPS)
