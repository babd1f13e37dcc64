"""What is made of calibrated fibers, by the workflow: of a month in which much goes wrong, killed and gone on with.

Against the truth; read by PyTables; and harvested as public releases are.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import tables

from hetdex_trouble_month import EMPTY, OTHER, SHOT, Month, jobs_of
from running import ROOT
from skyharvest.reduction.hetdex.layout import shotid_of
from skyharvest.reduction.hetdex.steps import MERGED
from skyharvest.simulate.hetdex_month.compare_cubes import encircled
from skyharvest.simulate.hetdex_month.compare_sources import check_sources
from skyharvest.simulate.hetdex_month.truth import Truth

pytestmark = pytest.mark.timeout(1800)  # on a busy machine; alone three minutes
PROGRAMS = ROOT / "scripts" / "reduction" / "hetdex"
IFU = "317_015_038_0211"


def test_every_unit_is_told_of_once(trouble_month, reduced_month):
    lines = [line for line in trouble_month.ledger() if line["step"] != "frames"]
    units = [(line["step"], line["month"], line["shot"], line["exposure"], line["ifu"], line["amp"]) for line in lines]
    assert len(set(units)) == len(units)
    counts = Counter((line["step"], line["shot"], line["state"]) for line in lines)
    for shot, state in ((SHOT, "done"), (OTHER, "done"), (EMPTY, "waiting")):
        for step in ("detections", "cubes"):
            assert counts[step, shot, state] == 2
        for step in ("shot_fibers", "continuum", "cutouts", "reports"):
            assert counts[step, shot, state] == 1
    assert {line["step"]: line["state"] for line in lines if line["step"] in MERGED} == dict.fromkeys(MERGED, "done")
    reasons = {line["reason"] for line in lines if line["step"] == "detections" and line["shot"] == EMPTY}
    assert len(reasons) == 1 and "astrometry: " in reasons.pop()


def test_what_was_found_is_what_is_there(trouble_month, reduced_month):
    checks = list(check_sources(trouble_month.simulated, trouble_month.layout.directory))
    assert len(checks) >= 17
    assert [f"{check.what}: {check.seen} ({check.goal})" for check in checks if not check.well] == []


def test_nothing_is_done_twice(trouble_month, reduced_month):
    again = trouble_month.run("reduce_hetdex_release", "reduce_hetdex_reports")
    assert again.status == 0, again.output
    assert "Nothing to be done" in again.output


def test_a_setting_makes_what_depends_on_it_anew(trouble_month, reduced_month):
    targets = ("reduce_hetdex_release", "reduce_hetdex_reports", "--dry-run")
    jobs = jobs_of(trouble_month.run(*targets, detections={"least_sn": 6.0}))
    assert jobs["hetdex_detections"] == 6
    assert jobs["hetdex_detect"] == jobs["hetdex_detect_index"] == 1
    assert not {"hetdex_shot", "hetdex_continuum", "hetdex_cubes", "hetdex_fiber_index"} & set(jobs)
    jobs = jobs_of(trouble_month.run(*targets, continuum={"counts": 60.0}))
    assert jobs["hetdex_continuum"] == 3
    assert not {"hetdex_detections", "hetdex_detect", "hetdex_cubes"} & set(jobs)
    jobs = jobs_of(trouble_month.run("reduce_hetdex_release", "--dry-run", release="other"))
    assert set(jobs) == {"hetdex_detect", "hetdex_cont", "hetdex_detect_index", "hetdex_survey", "hetdex_fiber_index"}


def test_a_merged_file_that_was_removed_is_made_again(trouble_month, reduced_month, tmp_path):
    files = [trouble_month.layout.merged(name, "own") for name in ("detect", "cont")]
    kept = [path.rename(tmp_path / path.name) for path in files]
    try:
        jobs = jobs_of(trouble_month.run("reduce_hetdex_release", "--dry-run"))
    finally:
        for path, file in zip(kept, files, strict=True):
            path.rename(file)
    assert set(jobs) == {"hetdex_detect", "hetdex_cont", "hetdex_detect_index"}


def merged(month: Month, *shots: str) -> Path:
    """Return a file of the month's lines that is made of shots in an order."""
    out = month.root / f"{'_'.join(shots)}.h5"
    options = ("--reduction", month.layout.directory, "--shots", *shots, "--out", out)
    subprocess.run([sys.executable, PROGRAMS / "collect_detections.py", *options], check=True, capture_output=True)
    return out


def test_nights_that_are_merged_in_another_order_are_the_same_file(trouble_month, reduced_month):
    files = [merged(trouble_month, SHOT, OTHER, EMPTY), merged(trouble_month, EMPTY, OTHER, SHOT)]
    files.append(trouble_month.layout.detections_of_month(201901))
    assert len({path.read_bytes() for path in files}) == 1


def test_a_shot_that_is_searched_again_has_the_same_detections(trouble_month, reduced_month, tmp_path):
    layout = trouble_month.layout
    files = {step: layout.of_shot(name, SHOT) for step, name in (("shot", "shots"), ("stars", "stars"))}
    options = ["--astrometry", layout.of_shot("astrometry", SHOT), "--ifu", IFU, "--out", tmp_path / "again"]
    options += [word for name, path in files.items() for word in (f"--{name}", path)]
    subprocess.run([sys.executable, PROGRAMS / "find_lines.py", *options], check=True, capture_output=True)
    with h5py.File(tmp_path / "again/detections.h5") as again, h5py.File(layout.merged("detect", "own")) as merged_file:
        rows = again["Detections"][:]
        of_all = merged_file["Detections"][:]
    assert len(rows) > 2
    first = shotid_of(SHOT) * 100_000 + 15 * 900
    assert rows["detectid"].tolist() == [first + k for k in range(len(rows))]
    of_all = of_all[np.isin(of_all["detectid"], rows["detectid"])]
    assert of_all.tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    ("name", "table", "column"),
    [
        ("detect/detect_own.h5", "Detections", "detectid"),
        ("detect/detect_own.h5", "Spectra", "detectid"),
        ("detect/detect_own.h5", "Fibers", "detectid"),
        ("detect/months/detect_201901.h5", "Detections", "detectid"),
        ("detect/cont_own.h5", "Detections", "detectid"),
        ("detect/cont_own.h5", "Spectra", "detectid"),
        ("detect/detect_index_hdr5.h5", None, "detectid"),
        ("survey/survey_own.h5", "Survey", "shotid"),
        ("survey/fiber_index_own.h5", "FiberIndex", "healpix"),
        ("im2D_own.h5", "FiberImages", "detectid"),
        ("im2D_own.h5", "Spec1D", "detectid"),
    ],
)
def test_tables_are_queried_as_in_hetdex_tutorials(trouble_month, reduced_month, name, table, column):
    with tables.open_file(str(trouble_month.layout.release / name)) as file:
        node = file.get_node(f"/{table}") if table else next(file.walk_nodes("/", "Table"))
        values = node.col(column)
        assert len(values) > 1
        asked = values[len(values) // 2]
        rows = node.read_where(f"{column} == {asked}")
    assert len(rows) == np.sum(values == asked)
    assert set(rows[column].tolist()) == {asked}


def test_stars_are_harvested_from_the_own_release(trouble_month, reduced_month):
    done = trouble_month.run("hetdex")
    assert done.status == 0, done.output
    found = {name: [] for name in ("ra", "dec", "shotid", "spectrum_flux")}
    for path in sorted((trouble_month.root / "results/hetdex_crossmatches").glob("*/crossmatch_hetdex.hdf5")):
        with h5py.File(path) as file:
            for name, values in found.items():
                values.append(file[f"hetdex/{name}"][:])
    rows = {name: np.concatenate(values) for name, values in found.items()}
    ratios = []
    with Truth(trouble_month.simulated / "truth.h5") as truth:
        for shot in (SHOT, OTHER):
            fwhm = float(np.mean([truth.exposure_value(shot, expnum, "fwhm") for expnum in truth.exposures(shot)]))
            stars, fluxes = truth.sources(shot, "star")
            of_shot = np.flatnonzero(rows["shotid"] == shotid_of(shot))
            for star, flux in zip(stars, fluxes, strict=True):
                apart = np.hypot(
                    (rows["ra"][of_shot] - star["ra"]) * np.cos(np.deg2rad(star["dec"])),
                    rows["dec"][of_shot] - star["dec"],
                )
                if not star["ifuslot"] or star["g"] > 17.5 or apart.min(initial=1) > 0.5 / 3600:
                    continue
                seen = rows["spectrum_flux"][of_shot[apart.argmin()]]
                ratios.append(float(np.nanmedian((seen / (1e17 * flux * encircled(fwhm, 3.5)))[15:965])))
    assert len(ratios) >= 4
    assert np.median(ratios) == pytest.approx(1, abs=0.03), ratios
