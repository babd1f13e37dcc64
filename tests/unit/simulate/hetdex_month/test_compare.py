"""Comparisons with the truth: a reduction that is the truth is well, and one that is wrong somewhere is not."""

from pathlib import Path

import fitsio
import h5py
import numpy as np
import pytest
from scipy.optimize import curve_fit

from skyharvest.reduction.hetdex.amp_file import AmpResult, write_amps
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.simulate.hetdex_month.checks import fiber_places, rows_of_amp
from skyharvest.simulate.hetdex_month.compare import check_month, multifits
from skyharvest.simulate.hetdex_month.compare_sources import check_sources
from skyharvest.simulate.hetdex_month.detector import DEFECT
from skyharvest.simulate.hetdex_month.field import Pointing
from skyharvest.simulate.hetdex_month.month import simulate
from skyharvest.simulate.hetdex_month.optics import Fibers
from skyharvest.simulate.hetdex_month.plan import IFUS, Night, Plan, Shot
from skyharvest.simulate.hetdex_month.true_sources import TrueFibers
from skyharvest.simulate.hetdex_month.truth import GRID, Truth

SHOT = Shot(17, fwhm=(1.7, 1.9), norm=(0.98, 1.02), sky=(1.0, 1.1), shift=(0.0, 0.0), lines=28)
PLAN = Plan(
    (Night(ifus=IFUS[:1], biases=1, twilights=1, shots=(SHOT,)),),
    {("317", "LL"): Fibers(dead=(60,)), ("317", "LU"): Fibers(dark=True)},
    amps=("LL", "LU", "RL"),
)
DETECTED = ("ra", "dec", "wave", "flux", "flux_err", "sn")
NAME, IFU, MONTH = "20190103v017", "317_015_038_0211", "201901"


@pytest.fixture(scope="module")
def months(tmp_path_factory) -> tuple[Path, Path]:
    """A month, and a reduction of it that knows the truth."""
    root = tmp_path_factory.mktemp("month")
    simulate(root / "truth", PLAN)
    layout = Layout(root / "hetdex")
    with Truth(root / "truth/truth.h5") as truth:
        write_calibration(truth, layout)
        rows = [row for expnum in (1, 2) for row in write_spectra(truth, layout, expnum)]
        write_shot(truth, layout, rows)
        write_sources(truth, layout)
    return root / "truth", root / "hetdex"


def write_calibration(truth: Truth, layout: Layout) -> None:
    steps: dict[str, dict[str, AmpResult]] = {"bias": {}, "trace": {}, "wavelength": {}, "flat": {}}
    ratios = []
    for amp in PLAN.amps:
        name = f"{IFU}_{amp}"
        traps = np.array([(*trap, 300) for trap in truth.amp_value(name, "traps")], np.int32)
        steps["bias"][amp] = AmpResult({"bias": truth.amp(name, "bias"), "traps": traps}, {"n_frames": 7})
        y, x = truth.amp_value(name, "defect")
        good = np.ones((1032, 1032), np.uint8)
        good[y : y + DEFECT[0], x : x + DEFECT[1]] = 0
        keys = {"trace": ("trace", "alive"), "wavelength": ("wavelength", "fiber_to_fiber")}
        for step, arrays in keys.items():
            values = {key: truth.amp(name, key).astype("u1" if key == "alive" else "f8") for key in arrays}
            steps[step][amp] = AmpResult(failed="no light") if amp == "LU" else AmpResult(values)
        steps["flat"][amp] = AmpResult({"good": good})
        curve = np.interp(GRID, truth.amp(name, "wavelength").mean(0), truth.amp(name, "amp_to_amp"))
        ratios.append(curve * 1.01 if amp != "LU" else curve * np.nan)
    for step, results in steps.items():
        path = layout.flat(MONTH, IFU) / "flat.fits" if step == "flat" else layout.calibration(step, MONTH, IFU)
        write_amps(path, {}, results)
    table = np.zeros(3, [("ifu", "S20"), ("amp", "S2"), ("state", "S8"), ("reason", "S8")])
    table["ifu"], table["amp"], table["state"] = IFU, PLAN.amps, ("done", "failed", "done")
    layout.amp_to_amp(MONTH).parent.mkdir()
    with fitsio.FITS(str(layout.amp_to_amp(MONTH)), "rw") as file:
        file.write(None)
        file.write(table, extname="AMPS")
        curves = [table["ifu"], table["amp"], np.array(ratios, "f4")]
        file.write(curves, names=["ifu", "amp", "amp_to_amp"], extname="AMP_TO_AMP")


def write_spectra(truth: Truth, layout: Layout, expnum: int) -> list[tuple]:
    random = np.random.default_rng(expnum)
    pointing = Pointing(*(float(truth.shot_value(NAME, key)) for key in ("ra", "dec", "pa")))
    rows = []
    for amp in ("LL", "RL"):
        name = f"{IFU}_{amp}"
        sky, light = truth.sky(NAME, expnum, name), truth.source_light(NAME, expnum, name)
        error = np.sqrt(sky + light + 50)
        path = multifits(layout, NAME, expnum, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with fitsio.FITS(str(path), "rw") as file:
            masked = np.where(truth.cosmics(NAME, expnum, name), np.nan, 1.0)
            file.write(masked.astype("f4"), extname="error")
            file.write(np.ones((1032, 1032), "f4"), extname="flat")
            file.write(random.normal(light, error).astype("f4"), extname="sky_subtracted")
            file.write(error.astype("f4"), extname="error1d")
            file.write(sky.astype("f4"), extname="sky_spectrum")
        _, x, y = fiber_places(truth, expnum, name)
        ra, dec = pointing.to_sky(x, y)
        counts = np.array([np.interp(GRID, w, s) for w, s in zip(truth.amp(name, "wavelength"), light, strict=True)])
        per_flux = 360 * 5e5 * truth.throughput * GRID / 1.98644586e-8 * truth.exposure_value(NAME, expnum, "norm")
        for k in range(112):
            flux = counts[k] / per_flux * 1e17  # of 2 Å
            row = expnum, k, f"multi_317_015_038_{amp}".encode(), ra[k], dec[k], flux, np.full(1036, 0.2)
            rows.append(row)
    return rows


def write_shot(truth: Truth, layout: Layout, rows: list[tuple]) -> None:
    kinds = [("expnum", "i4"), ("fibidx", "i4"), ("multiframe", "S20"), ("ra", "f4"), ("dec", "f4")]
    layout.of_shot("shots", NAME).parent.mkdir()
    with h5py.File(layout.of_shot("shots", NAME), "w") as file:
        file["Data/Fibers"] = np.array(rows, [*kinds, ("calfib", "f4", 1036), ("calfibe", "f4", 1036)])
        file["Shot"] = np.array([(1.81, (0.98, 1.02, np.nan))], [("fwhm_virus", "f4"), ("relflux_virus", "f4", 3)])
        curve = np.zeros(1036, [("wavelength", "f8"), ("throughput", "f8")])
        curve["wavelength"], curve["throughput"] = GRID, truth.throughput
        file["Calibration/Throughput/throughput"] = curve


def write_sources(truth: Truth, layout: Layout) -> None:
    """Write lines that fibers see well enough, with noise; and all stars."""
    lines, _ = truth.sources(NAME, "line")
    with h5py.File(layout.of_shot("shots", NAME)) as file:
        fibers = file["Data/Fibers"]
        names = ("expnum", "fibidx", "multiframe", "calfibe")
        seen = TrueFibers(truth, NAME, {name: fibers[name] for name in names})
    sn = np.array([seen.seen(one).signal_to_noise(one["wave"], one["total"] * 1e17, one["width"]) for one in lines])
    assert (sn > 6.5).sum() >= 8 and (sn < 5).any()
    found, random = lines[sn > 5], np.random.default_rng(7)
    rows = np.zeros(len(found), [("detectid", "i8"), *((name, "f4") for name in DETECTED)])
    rows["ra"], rows["dec"], rows["sn"] = found["ra"], found["dec"] + 0.2 / 3600, sn[sn > 5]
    rows["wave"] = found["wave"] + random.normal(0, 0.3, len(found))
    rows["flux_err"] = found["total"] * 1e17 / sn[sn > 5]
    rows["flux"] = found["total"] * 1e17 + random.normal(0, rows["flux_err"])
    write_tables(layout.detections(NAME, IFU) / "detections.h5", Detections=rows)
    stars, fluxes = truth.sources(NAME, "star")
    rows = np.zeros(len(stars), rows.dtype)
    rows["detectid"], rows["ra"], rows["dec"] = np.arange(len(stars)), stars["ra"], stars["dec"]
    spectra = np.zeros(len(stars), [("detectid", "i8"), ("spec1d", "f4", 1036)])
    spectra["detectid"], spectra["spec1d"] = rows["detectid"], 2e17 * fluxes
    write_tables(layout.of_shot("continuum", NAME), Detections=rows, Spectra=spectra)


def write_tables(path: Path, **tables: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, rows in tables.items():
            file[name] = rows


def test_the_truth_is_well(months: tuple[Path, Path]):
    checks = list(check_month(*months))
    assert not [check for check in checks if not check.well]
    assert len(checks) == 21
    checks = list(check_sources(*months))
    assert not [check for check in checks if not check.well]
    assert len(checks) == 10


def gaussian(off, flux, middle, sigma, level, slope):
    return flux * np.exp(-0.5 * ((off - middle) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma) + level + slope * off


def test_signal_to_noise_is_what_a_fit_of_the_flux_has(months: tuple[Path, Path]):
    """By least squares over all fibers near a line, each bin of which has its noise alone; and by a fit's error."""
    with Truth(months[0] / "truth.h5") as truth, h5py.File(Layout(months[1]).of_shot("shots", NAME)) as file:
        columns = {name: file["Data/Fibers"][name] for name in ("expnum", "fibidx", "multiframe", "calfibe", "calfib")}
        line = max(truth.sources(NAME, "line")[0], key=lambda one: one["total"])
        seen = TrueFibers(truth, NAME, columns).seen(line)
        sigma = np.hypot(line["width"], seen.lsf[:, np.abs(GRID - line["wave"]).argmin()].mean())
        off, true = np.arange(-50.0, 51.0, 2.0), (1.0, 0.0, sigma, 0.0, 0.0)
        alone = gaussian(off, *true)
        _, errors2 = curve_fit(gaussian, off, alone, true, np.ones(len(off)), absolute_sigma=True)
        sn = seen.signal_to_noise(line["wave"], line["total"] * 1e17, line["width"])
        # What fibers hold of it, as the simulation painted it: nothing else is near.
        here = np.abs(GRID - line["wave"]) < 12
        pointing = Pointing(*(float(truth.shot_value(NAME, key)) for key in ("ra", "dec", "pa")))
        x, y = pointing.to_plane(np.array(line["ra"]), np.array(line["dec"]))
        total = 0.0
        for expnum in truth.exposures(NAME):
            for name in ("LL", "RL"):
                _, at_x, at_y = fiber_places(truth, expnum, f"{IFU}_{name}")
                rows = rows_of_amp(columns, expnum, f"{IFU}_{name}")
                near = rows[np.hypot(at_x - x, at_y - y)[columns["fibidx"][rows]] < 6]
                total += float(np.sum((columns["calfib"][near][:, here] / columns["calfibe"][near][:, here]) ** 2))
    assert sn == pytest.approx(np.sqrt(total / errors2[0, 0] / np.sum(alone**2)), rel=0.03)


def shifted(path: Path, extname: str, by: float) -> None:
    with fitsio.FITS(str(path), "rw") as file:
        file[extname].write(file[extname].read() + by)


def scaled(path: Path, name: str, by: float) -> None:
    with h5py.File(path, "r+") as file:
        table, _, column = name.partition(":")
        rows = file[table][()]
        rows[column] *= by
        file[table][...] = rows


WRONG = {
    "traces, rms": lambda layout: shifted(layout.calibration("trace", MONTH, IFU), "TRACE_RL", 0.035),
    "wavelengths, rms": lambda layout: shifted(layout.calibration("wavelength", MONTH, IFU), "WAVELENGTH_RL", 0.2),
    "living fibers": lambda layout: shifted(layout.calibration("trace", MONTH, IFU), "ALIVE_LL", 1),
    "traps and defects": lambda layout: shifted(layout.calibration("bias", MONTH, IFU), "TRAPS_RL", 1),
    "pulls of sky, all": lambda layout: shifted(multifits(layout, NAME, 1, f"{IFU}_RL"), "sky_subtracted", 20),
    "places of fibers": lambda layout: scaled(layout.of_shot("shots", NAME), "Data/Fibers:dec", 1 + 1e-6),
    "FWHM": lambda layout: scaled(layout.of_shot("shots", NAME), "Shot:fwhm_virus", 1.05),
    "relative norms": lambda layout: scaled(layout.of_shot("shots", NAME), "Shot:relflux_virus", 1.05),
    "throughput, level": lambda layout: scaled(
        layout.of_shot("shots", NAME), "Calibration/Throughput/throughput:throughput", 0.96
    ),
    "fluxes of stars": lambda layout: scaled(layout.of_shot("shots", NAME), "Data/Fibers:calfib", 1.05),
}


def without(path: Path, kept: slice) -> None:
    with h5py.File(path, "r+") as file:
        for name in list(file):
            rows = file[name][kept]
            del file[name]
            file[name] = rows


def found_lines(layout: Layout) -> Path:
    return layout.detections(NAME, IFU) / "detections.h5"


def found_stars(layout: Layout) -> Path:
    return layout.of_shot("continuum", NAME)


def in_space(layout: Layout) -> None:
    with h5py.File(found_lines(layout), "r+") as file:
        rows = file["Detections"][:]
        others = np.repeat(rows[:1], 4)
        others["dec"] += 0.01 * np.arange(1, 5)
        del file["Detections"]
        file["Detections"] = np.concatenate([rows, others])


WRONG_SOURCES = {
    "lines found, S/N > 6.5": lambda layout: without(found_lines(layout), slice(None, None, 2)),
    "fluxes of lines": lambda layout: scaled(found_lines(layout), "Detections:flux", 1.3),
    "pulls of fluxes of lines": lambda layout: scaled(found_lines(layout), "Detections:flux_err", 3),
    "wavelengths of lines": lambda layout: scaled(found_lines(layout), "Detections:wave", 1.0002),
    "places of lines": lambda layout: scaled(found_lines(layout), "Detections:dec", 1 + 3e-6),
    "lines that are none": in_space,
    "stars as continuum sources": lambda layout: without(found_stars(layout), slice(0, 1)),
    "other continuum sources": lambda layout: scaled(found_stars(layout), "Detections:dec", 1 + 3e-5),
    "fluxes of continuum sources": lambda layout: scaled(found_stars(layout), "Spectra:spec1d", 1.06),
}


@pytest.mark.parametrize("what", WRONG_SOURCES)
def test_what_is_wrong_of_sources_is_seen(months: tuple[Path, Path], what: str):
    root, reduction = months
    layout = Layout(reduction)
    before = {path: path.read_bytes() for path in (found_lines(layout), found_stars(layout))}
    try:
        WRONG_SOURCES[what](layout)
        bad = [check.what for check in check_sources(root, reduction) if not check.well]
    finally:
        for path, data in before.items():
            path.write_bytes(data)
    assert len(bad) <= 3 and any(what in name for name in bad), bad


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_seen(months: tuple[Path, Path], what: str):
    root, reduction = months
    before = {path: path.read_bytes() for path in reduction.rglob("*.*")}
    try:
        WRONG[what](Layout(reduction))
        bad = [check.what for check in check_month(root, reduction) if not check.well]
    finally:
        for path, data in before.items():
            path.write_bytes(data)
    assert len(bad) <= 3 and any(what in name for name in bad), bad


def test_a_product_that_is_not_there_is_told(months: tuple[Path, Path], tmp_path: Path):
    checks = list(check_month(months[0], tmp_path))
    bad = {check.what: check.seen for check in checks if not check.well}
    assert "bias" in bad["201901: calibration"] and "20190103v017.h5" in bad["20190103v017: shot"]
    assert "not: " in bad["20190103v017: amplifiers done"]
