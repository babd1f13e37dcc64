"""A simulated night of raw data, reduced to redshifts: against truth, after edits of its table, and harvested.

Fewer exposures than the demo's, with the same faults: an arc is cut short, a fiber is dead, a camera is missing.
"""

import csv
import html
import json
import os
import re
import shutil
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import fitsio
import h5py
import numpy as np
import pytest
import yaml
from astropy.table import Table
from desispec import exposure_qa

import planted_faults as faults
from running import Run, snakemake, start
from simulated_night import write_config
from skyharvest.config.load import validate
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.qa.collate import collate_night
from skyharvest.reduction.desi.qa.limits import read_limits
from skyharvest.reduction.desi.qa.measured import path_of, read_frame, write_frame
from skyharvest.reduction.limits import BAD
from skyharvest.simulate.desi_night.night import NIGHT, Plan, simulate
from skyharvest.simulate.desi_night.objects import SKY_BIT
from skyharvest.simulate.desi_night.truth import check_night

pytestmark = pytest.mark.timeout(1800)  # on a busy machine; alone the night takes four minutes

TORN, SCIENCE = 3, (5, 6)
DEAD = 9  # a fiber
MISSING = ("6", "z0")
PAGES = ("desi_qa_pages_night", "desi_qa_pages")


class Night:
    """A production of the night, and the directory that it is reduced in."""

    def __init__(self, root: Path, specprod: str, options: dict[str, Any], **own: Any) -> None:
        self.root = root
        self.production = root / "results/reduction/desi/spectro/redux" / specprod
        self.config = root / f"{specprod}.yaml"
        write_config(self.config, root / "simulated", specprod, options, **own)

    @property
    def table(self) -> Path:
        return self.production / f"exposure_tables/{str(NIGHT)[:6]}/exposure_table_{NIGHT}.csv"

    def read(self) -> Production:
        """Return the production, with paths that hold wherever this runs."""
        settings = validate(yaml.safe_load(self.config.read_text()))["desi_reduction"]
        return Production(self.production, settings | {"raw": str(self.root / settings["raw"])})

    def run(self, *options: str) -> Run:
        return snakemake(self.root, "--configfile", str(self.config), *options, timeout=900)

    def ledger(self) -> list[dict[str, str]]:
        with (self.production / "ledger.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    def edit(self, expid: int, **cells: str) -> None:
        """Edit a line of the exposure table by hand."""
        with self.table.open(newline="") as stream:
            rows = [row | (cells if int(row["EXPID"]) == expid else {}) for row in csv.DictReader(stream)]
        with self.table.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    made = Night(tmp_path_factory.mktemp("night"), "night", {"spectra": {"forms": ["cameras"]}})
    simulate(made.root / "simulated", Plan(arcs=2, flats=1, science=2, many_cosmics=None, bad_amp=None))
    return made


@pytest.fixture(scope="module")
def first(night):
    return night.run()


def jobs_of(run: Run) -> Counter:
    """Return how many jobs of each rule a dry run shows."""
    return Counter(re.findall(r"^(?:local)?rule (desi_\w+):", run.output, re.MULTILINE))


def test_the_run_names_what_failed_and_does_all_else(night, first):
    assert first.status != 0
    assert re.search(r"preproc [brz]0 20250115 00000003", first.output)
    lines = night.ledger()
    keys = [(line["NIGHT"], line["EXPID"], line["CAMERA"], line["HEALPIX"], line["STEP"]) for line in lines]
    assert len(set(keys)) == len(keys)
    unwell = {(line["EXPID"], line["STEP"], line["STATE"]) for line in lines if line["STATE"] in ("failed", "waiting")}
    assert {expid for expid, *_ in unwell} == {str(TORN)}
    assert {step for _, step, _ in unwell} <= {"preproc", "psf", "qa"}
    skipped = {(line["EXPID"], line["CAMERA"]) for line in lines if line["STATE"] == "skipped"}
    assert skipped == {MISSING}
    assert not (night.production / "complete.json").exists()


def test_it_agrees_with_the_truth(night, first):
    checks = list(check_night(night.root / "simulated", night.production))
    assert len(checks) > 20
    assert [f"{check.what}: {check.seen} ({check.goal})" for check in checks if not check.well] == []


def test_all_that_is_bad_of_the_night_is_what_was_planted(night, first):
    whole = json.loads((night.production / "QA/qa-production.json").read_text())
    bad = [fault for fault in whole["worst"] if fault["state"] == BAD]
    failed = [fault for fault in bad if fault["command"]]
    assert bad[: len(failed)] == failed, "first is what failed"
    assert {(fault["what"], *fault["expids"]) for fault in failed} == {("preproc", TORN)}
    assert {(fault["what"], fault["at"]) for fault in bad[len(failed) :]} == {("EXTRACT-NDEAD", f"fiber {DEAD}")}
    assert {fault["what"] for fault in whole["worst"] if fault["state"] != BAD} <= {"PSF-NBAD"}
    arc = next(one for one in _night(night)["exposures"] if one["expid"] == TORN)
    assert arc["state"] == BAD
    assert set(arc["cameras"]) == {"b0", "r0", "z0"}, "one of which nothing was done is there as well"
    assert whole["s2n"][0]["points"][0]["mean"] > 0


def test_its_pages_show_what_is_bad_with_its_command_and_log(night, first):
    site = night.production / "QA/pages"
    page = (site / "index.html").read_text()
    shown = page[page.index("What is bad") : page.index('id="nights"')]
    failed = next(fault for fault in _night(night)["worst"] if fault["what"] == "preproc")
    assert html.escape(failed["command"], quote=False) in shown
    assert f"fiber {DEAD}" in shown
    assert shown.index("preproc failed") < shown.index("EXTRACT-NDEAD")
    camera = failed["cameras"][0]
    said = (site / f"{NIGHT}/{TORN:08d}/{camera}.html").read_text()
    assert f"<code>=== preproc {camera} {NIGHT}/{TORN:08d}</code>" in said
    assert html.escape(failed["reason"][:20]) in said[said.index('<pre class="log"') :], "the end of its log"


def _night(night):
    return json.loads((night.production / f"QA/{NIGHT}/qa-night-{NIGHT}.json").read_text())


@pytest.mark.parametrize(
    ("camera", "damage", "metrics"),
    [
        ("r0", {"preproc": faults.noisy_amplifier}, ["PREPROC-NOISE_B"]),
        ("r0", {"psf": faults.shifted}, ["TRACESHIFT-DX"]),
        ("b0", {"frame": faults.fiber_out}, []),
        ("b0", {"sky": faults.sky_too_bright}, ["SKYSUB-MED_RESID", "SKYSUB-REL_RESID", "SKYSUB-CHI2"]),
        ("z0", {"sky": faults.sky_too_bright}, ["SKYSUB-MED_RESID", "SKYSUB-REL_RESID", "SKYSUB-CHI2"]),
    ],
)
def test_a_planted_fault_has_the_right_metric_bad(night, first, tmp_path, camera, damage, metrics):
    frame = faults.measured(night.read(), SCIENCE[0], camera, tmp_path, read_limits(), **damage)
    bad = [name for name, metric in frame.metrics.items() if metric.state == BAD and name != "EXTRACT-NDEAD"]
    assert bad[: len(metrics)] == metrics
    assert bool(bad) == bool(metrics)
    out = f"fiber {faults.FIBER}, {DEAD}" if "frame" in damage else f"fiber {DEAD}"
    assert frame.metrics["EXTRACT-NDEAD"].at == out


def test_a_file_that_is_cut_short_is_bad_and_the_rest_is_measured(night, first, tmp_path):
    made = night.read()
    sky = faults.torn(faults.files_of(made, SCIENCE[0], "r0")["sky"], tmp_path)
    frame = faults.measure(faults.exposed(made, SCIENCE[0], "r0", sky=sky), read_limits())
    bad = {name for name, metric in frame.metrics.items() if metric.state == BAD}
    assert bad == {"EXTRACT-NDEAD", "SKYSUB-MISSING"}
    assert {"PREPROC-READNOISE_A", "FLUXCALIB-ZP", "S2N-QSO"} <= frame.metrics.keys()


def test_a_cloud_stands_first_in_its_night(night, first, tmp_path):
    for name in ("QA", "exposure_tables"):
        shutil.copytree(night.production / name, tmp_path / name)
    made = Production(tmp_path, night.read().settings)
    for camera in ("b0", "r0"):
        frame = faults.measured(night.read(), SCIENCE[1], camera, tmp_path, read_limits(), fluxcalib=faults.cloud)
        write_frame(frame, path_of(tmp_path, NIGHT, SCIENCE[1], camera))
    found = collate_night(made, NIGHT, read_limits())
    assert (found["worst"][0]["what"], found["worst"][0]["cameras"]) == ("FLUXCALIB-ZP_NIGHT", ("b0", "r0"))
    assert found["worst"][0]["value"] == pytest.approx(-2.5 * np.log10(3), abs=0.05)


def test_the_numbers_of_petals_are_those_of_desispec(night, first, tmp_path, monkeypatch):
    """By its own `compute_exposure_qa`, which wants a fibermap in the production, and a template signal to noise."""
    monkeypatch.setattr(exposure_qa, "tsnr2_to_efftime", lambda values, _kind: values)
    expid = SCIENCE[0]
    for name in ("exposures", "preproc"):
        shutil.copytree(night.production / f"{name}/{NIGHT}/{expid:08d}", tmp_path / f"{name}/{NIGHT}/{expid:08d}")
    raw = night.root / f"simulated/data/{NIGHT}/{expid:08d}/fibermap-{expid:08d}.fits"
    shutil.copy(raw, tmp_path / f"preproc/{NIGHT}/{expid:08d}/{raw.name}")
    for path in tmp_path.glob("exposures/*/*/cframe-*"):
        with faults.fits.open(path, memmap=False) as file:
            scores = Table(file["SCORES"].data)
            for kind in ("ELG", "LRG"):
                scores[f"TSNR2_{kind}_{path.name[7].upper()}"] = 1.0
            file["SCORES"].data = scores.as_array()
            file.writeto(path, overwrite=True)
    _, petals = exposure_qa.compute_exposure_qa(NIGHT, expid, str(tmp_path))
    own = next(one for one in _night(night)["exposures"] if one["expid"] == expid)["petals"]["0"]
    theirs = {name: float(petals[name][0]) for name in petals.colnames if name in own}
    assert len(theirs) == len(own) == 13
    # It takes pixels that the step cframe has masked once more, of calibrated flux.
    assert theirs == pytest.approx(own, rel=2e-3)


def test_other_limits_judge_again_and_measure_nothing(night, first):
    limits = night.root / "limits.yaml"
    limits.write_text("SKYSUB-CHI2: {warn: [null, 0.1]}\n")
    option = ("--config", f"desi_reduction={{qa: {{limits: {limits}}}}}")
    assert jobs_of(night.run("-n", *option)) == Counter((*PAGES, "desi_qa_night", "desi_qa_production"))
    night.run(*option)
    path = path_of(night.production, NIGHT, SCIENCE[0], "r0")
    assert read_frame(path).metrics["SKYSUB-CHI2"].state == "WARN"
    night.run()
    assert read_frame(path).metrics["SKYSUB-CHI2"].state == "OK"


def test_nothing_is_done_twice(night, first):
    again = night.run("-n")
    assert jobs_of(again) == Counter()


def test_a_torn_exposure_that_the_table_calls_bad_is_skipped(night, first):
    before = {path: path.stat().st_mtime_ns for path in night.production.rglob("*.fits*")}
    night.edit(TORN, EXPFLAG="bad|")
    done = night.run()
    assert done.status == 0, done.output
    assert (night.production / "complete.json").exists()
    assert {line["REASON"] for line in night.ledger() if line["EXPID"] == str(TORN)} == {"bad"}
    after = {path: path.stat().st_mtime_ns for path in night.production.rglob("*.fits*")}
    changed = {path.name for path in after if before.get(path) != after[path]}
    # Its b0 was whole, and a part of the night's PSF: what is of b0 is made without it. So are the standard stars.
    assert "psfnight-b0-20250115.fits" in changed
    own = ("preproc", "fit", "psf", "psfnight", "frame", "fiberflat", "fiberflatnight", "sky", "skycorr")
    others = {name for name in changed if re.match(rf"({'|'.join(own)})-([a-z]+-)?[rz]0-", name)}
    assert others == set()


def test_one_cell_has_exactly_its_dependants_run_again(night, first):
    text = night.table.read_text()
    try:
        night.edit(SCIENCE[1], BADAMPS="b0A")
        shown = jobs_of(night.run("-n"))
    finally:
        night.table.write_text(text)
    by_exposure = ("preproc", "traceshift", "extract", "sky", "starfit", "fluxcalib", "cframe")
    collated = ("qa", "qa_night", "qa_production")
    assert set(shown) == {*PAGES, *(f"desi_{step}" for step in (*by_exposure, *collated, "spectra", "redshift"))}
    assert {step: shown[f"desi_{step}"] for step in by_exposure} == dict.fromkeys(by_exposure, 1)


def test_other_options_do_not_mix(night, first):
    other = night.run("-n", "--config", "desi_reduction={options: {sky: {adjust_lsf: false}}}")
    assert other.status != 0
    assert "options.sky.adjust_lsf: True there, False now" in other.output


def test_a_run_that_was_killed_goes_on_where_it_was(night, first):
    """Another production, of one exposure, begins with the first one's calibrations: its frames are to be the same."""
    start_from = {"production": str(night.production), "products": ["psfnight", "fiberflatnight"]}
    options = {"redshift": {"enabled": False}}
    killed = Night(night.root, "killed", options, expids=[SCIENCE[0]], start_from=start_from, cores_per_job=2)
    exposure = killed.production / f"exposures/{NIGHT}/{SCIENCE[0]:08d}"
    process = start(killed.root, "--cores", "2", "--configfile", str(killed.config))
    record = killed.production / f"tasks/{NIGHT}/{SCIENCE[0]:08d}/extract.csv"
    while not (record.exists() and any(exposure.glob(".task-frame-*"))):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert any(exposure.glob(".task-frame-*"))
    whole = {path: path.stat().st_mtime_ns for path in killed.production.glob("[ep]*/*/*/[!.]*")}
    frames = {path.name for path in whole if path.name.startswith("frame-")}
    assert killed.run("--unlock").status == 0
    done = killed.run()
    assert done.status == 0, done.output
    assert {path: path.stat().st_mtime_ns for path in whole} == whole
    counts = json.loads((killed.production / f"tasks/jobs/extract/{NIGHT}-{SCIENCE[0]:08d}.json").read_text())
    assert (counts["kept"], counts["done"]) == (len(frames), 3 - len(frames))
    assert [path for path in killed.production.rglob("*") if path.name.startswith(".")] == []
    assert {line["STATE"] for line in killed.ledger()} == {"done", "skipped"}
    for name in ("frame", "sky", "cframe"):
        for camera in ("b0", "r0", "z0"):
            path = exposure / f"{name}-{camera}-{SCIENCE[0]:08d}.fits.gz"
            assert differing(path, night.production / path.relative_to(killed.production)) == []


def differing(path: Path, other: Path) -> list[str]:
    """Return the HDUs of which the data differ, bit for bit."""
    with fitsio.FITS(str(path)) as one, fitsio.FITS(str(other)) as two:
        assert len(one) == len(two)
        pairs = [(a, b) for a, b in zip(one, two, strict=True) if a.has_data() or b.has_data()]
        return [a.get_extname() for a, b in pairs if a.read().tobytes() != b.read().tobytes()]


def test_its_own_coadds_are_harvested_bit_for_bit(night, first):
    """The code that harvests DR1 harvests the production, and finds every spectrum as it stands in the coadds."""
    coadds = sorted(night.production.glob("healpix/main/dark/*/*/coadd-main-dark-*.fits"))
    fibers = np.concatenate([fitsio.read(str(path), ext="FIBERMAP") for path in coadds])
    csv_path = night.root / "targets.csv"
    rows = (f"{row['TARGETID']},{row['TARGET_RA']:.17g},{row['TARGET_DEC']:.17g}\n" for row in fibers)
    csv_path.write_text("TARGETID,RA_DESI,DEC_DESI\n" + "".join(rows))
    config = night.root / "harvest.yaml"
    desi = {"release": "night", "archive": "results/reduction/desi", "sky_fibers": True, "spectra": {"arms": True}}
    config.write_text(yaml.safe_dump({"targets": {"csv": "targets.csv", "name": "night"}, "desi": desi}))
    done = snakemake(night.root, "desi", "--configfile", str(config))
    assert done.status == 0, done.output
    n_seen = 0
    for path in sorted((night.root / "results/desi_crossmatches").glob("healpix=*/crossmatch_desi.hdf5")):
        with h5py.File(path) as file:
            n_seen += _equal_to(file, coadds)
    assert n_seen == len(fibers) - 1, "all but the dead fiber"


def test_its_redshifts_are_loaded_into_a_database(night, first):
    done = snakemake(night.root, "load_database", "--configfile", str(night.config))
    assert done.status == 0, done.output
    redrock = sorted(night.production.glob("healpix/*/*/*/*/redrock-*.fits"))
    expected = np.concatenate([fitsio.read(str(path), ext="REDSHIFTS") for path in redrock])
    expected = expected[expected["TARGETID"] < SKY_BIT]  # DESI's tables have no rows of the sky
    with closing(sqlite3.connect(night.root / "results/database/night.db")) as database:
        found = database.execute("SELECT targetid, z FROM zpix JOIN target USING (targetid) JOIN tile USING (tileid)")
        assert dict(found.fetchall()) == dict(zip(expected["TARGETID"].tolist(), expected["Z"].tolist(), strict=True))
        cameras = database.execute("SELECT expid, camera FROM frame ORDER BY expid, camera").fetchall()
    whole = {(expid, camera) for expid in SCIENCE for camera in ("b0", "r0", "z0")}
    assert set(cameras) == whole - {(int(MISSING[0]), MISSING[1])}


def _equal_to(file: h5py.File, coadds: list[Path]) -> int:
    """Check the native arms of an assembled file against the coadds, row by row by TARGETID; return how many."""
    group = file["desi"]
    seen = 0
    for coadd in coadds:
        place = {int(targetid): k for k, targetid in enumerate(fitsio.read(str(coadd), ext="FIBERMAP")["TARGETID"])}
        for row, targetid in enumerate(group["targetid"][:]):
            if int(targetid) not in place:
                continue
            seen += 1
            for arm in "brz":
                for name, kind in (("flux", "FLUX"), ("ivar", "IVAR"), ("mask", "MASK")):
                    expected = fitsio.read(str(coadd), ext=f"{arm.upper()}_{kind}")[place[int(targetid)]]
                    assert np.array_equal(group[f"{arm}_{name}"][row], expected), (coadd, targetid, arm, name)
    return seen
