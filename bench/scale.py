"""Run the whole workflow at the real scale: 102,403 targets in 4,791 pixels, on a sparse archive of full-size coadds.

Writes a CSV with as many rows in each NSIDE=64 pixel as the real cross-match has, and an archive that covers the
pixels that DESI DR1's main survey covers, with a dark and a bright coadd of 300 fibers in each; then runs Snakemake on
them, stage by stage, as a user would, and reports where time and memory go. The ledger is compared with what was
written, row by row. Needs Linux (/proc) and, for the real list, about 55 GB of disk.
"""

import argparse
import contextlib
import csv
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import healpy as hp
import numpy as np
import yaml

from lib import ROOT, digests, report
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.simulate.desi import columns
from skyharvest.simulate.desi.coadd import observe, write_coadd, write_redrock
from skyharvest.simulate.desi.release import write_tilepix
from skyharvest.simulate.desi.sources import draw_sources
from skyharvest.surveys.desi.release import load_release

REAL = ROOT.parent / "shared" / "real"
RELEASE = load_release("dr1")
SEED = 3
N_FIBERS = 300
SHARES = {"dark": 0.6, "bright": 0.2}  # of a pixel's CSV rows that have a spectrum
N_PIXELS = 12 * RELEASE.nside**2
FINE = 64  # a pixel's positions stand on a grid of 64 x 64, 0.9 arcmin apart
MARGIN = 4  # of its points are left free at each edge: no match circle touches another pixel
OFFSET_ARCSEC = 0.3  # between a CSV position and its fiber
SPECTRA = ("_FLUX", "_IVAR", "_MASK", "_RESOLUTION")
GOAL_RUN_S, GOAL_NOTHING_S, GOAL_DRY_S, GOAL_REPORT_S, GOAL_GROWN_S = 330, 3, 30, 120, 1000
GOAL_MB, GOAL_RESULTS_GB, GOAL_RATIO = 1000, 9, 1.5
GROWTH = [300, 3000, 30000]
FIRST_GUESS_S = 0.5  # per pixel, before anything has been measured

# Every Python process of a run says at its end what it was, when, and what it took. VmHWM and not ru_maxrss, which a
# process inherits from the one that started it.
PROBE = """
import atexit, os, sys, time
_start = time.time()
def _record():
    with open("/proc/self/status") as status:
        peak = next((line.split()[1] for line in status if line.startswith("VmHWM")), "0")
    line = f"{os.path.basename(sys.argv[0])},{_start},{time.time()},{time.process_time()},{peak}\\n"
    out = os.open(os.environ["SKYHARVEST_PROBE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(out, line.encode())
    os.close(out)
atexit.register(_record)
"""


@dataclass(frozen=True)
class Pixel:
    """An NSIDE=64 NESTED pixel with its number of CSV rows."""

    pix64: int
    count: int
    covered: bool


@dataclass(frozen=True)
class Sample:
    """What is simulated: pixels, and what a coadd is like."""

    pixels: Sequence[Pixel]
    shares: dict[str, float]
    n_fibers: int = N_FIBERS
    lsf: bool = True

    def spectra(self) -> int:
        """Return the number of spectra that match, about."""
        return sum(
            min(int(share * pixel.count), self.n_fibers)
            for pixel in self.pixels
            if pixel.covered
            for share in self.shares.values()
        )

    def needed_gb(self) -> float:
        """Return how much disk the archive and the results take: a row in either, its combined spectrum, tables."""
        row = 445e3 if self.lsf else 95e3
        n_coadds = len(self.shares) * sum(pixel.covered for pixel in self.pixels)
        return (self.spectra() * (2.05 * row + 1.2e5) + n_coadds * (1.5e5 + 2600.0 * self.n_fibers)) / 1e9


def read_pixels(counts: Path, covered: Path) -> list[Pixel]:
    """Return the real list, by falling count."""
    inside = set(covered.read_text().split())
    with counts.open(newline="") as stream:
        return [
            Pixel(int(line["pix64"]), int(line["count"]), line["pix64"] in inside) for line in csv.DictReader(stream)
        ]


def choose_pixels(real: Sequence[Pixel], n: int | None) -> list[Pixel]:
    """Return n of the pixels, evenly over the list (the fullest is among them), or more than there are."""
    if n is None or n == len(real):
        return list(real)
    if n < len(real):
        return [real[i * len(real) // n] for i in range(n)]
    if n > N_PIXELS:
        raise SystemExit(f"--pixels {n}: there are {N_PIXELS:,} pixels on the sky")
    known = {pixel.pix64 for pixel in real}
    free = [pix64 for pix64 in range(N_PIXELS) if pix64 not in known][: n - len(real)]
    return [*real, *(Pixel(pix64, real[i % len(real)].count, True) for i, pix64 in enumerate(free))]


def layout(sample: Sample, pixel: Pixel) -> tuple[Any, dict[str, Any], np.random.Generator]:
    """Return the pixel's grid points in random order (CSV rows come first), and which of the rows have a spectrum."""
    rng = np.random.default_rng([SEED, pixel.pix64])
    x, y = np.divmod(rng.permutation((FINE - 2 * MARGIN) ** 2), FINE - 2 * MARGIN)
    within = np.zeros(len(x), np.int64)
    for bit in range(FINE.bit_length() - 1):  # NESTED numbers interleave the bits of x and y
        within |= ((x + MARGIN) >> bit & 1) << 2 * bit | ((y + MARGIN) >> bit & 1) << (2 * bit + 1)
    matched = {}
    for program, share in sample.shares.items():
        n = min(int(share * pixel.count + rng.random()), sample.n_fibers) if pixel.covered else 0
        matched[program] = np.sort(rng.permutation(pixel.count)[:n])
    return pixel.pix64 * FINE**2 + within, matched, rng


def degrees(points: Any) -> tuple[Any, Any]:
    """Return RA and Dec of grid points."""
    ra, dec = hp.pix2ang(RELEASE.nside * FINE, points, nest=True, lonlat=True)
    return ra, dec


class Template:
    """A file from which others are made: of the same structure, with other targets, and spectra in some rows only.

    CHECKSUM and DATASUM stay those of the template.
    """

    def __init__(self, path: Path) -> None:
        with LocalFile(path) as source:
            hdus = FitsFile(source).hdus
            self.size = source.size()
        with path.open("rb") as stream:
            self.bytes = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        self.spectra = [hdu for hdu in hdus if hdu.name.endswith(SPECTRA)]
        self.regions: list[tuple[int, bytearray]] = []
        start = 0
        for hdu in self.spectra:
            self.regions.append((start, bytearray(self.bytes[start : hdu.data_start])))
            start = hdu.stop
        self.regions.append((start, bytearray(self.bytes[start:])))
        self.tables = {hdu.name: self._view(hdu) for hdu in hdus if hdu.is_table}
        self.targetid = {name: table["TARGETID"].astype(np.int64) for name, table in self.tables.items()}
        self.cards = [
            (region, found.start(), found[1])
            for _, region in self.regions
            for found in re.finditer(rb"(SPGRPVAL|HPXPIXEL|INFIL000)= ", bytes(region))
        ]

    def _view(self, hdu: HDU) -> Any:
        start, region = next(here for here in self.regions if here[0] <= hdu.data_start < here[0] + len(here[1]))
        dtype = getattr(columns, hdu.name).newbyteorder(">")
        assert dtype.itemsize == hdu.row_bytes
        return np.ndarray(hdu.n_rows, dtype, region, hdu.data_start - start)

    def write(self, path: Path, program: str, pix64: int, ra: Any, dec: Any, rows: Any) -> None:
        """Write the file of a pixel: positions are in the order of rising TARGETID, as ``rows`` are of the spectra."""
        for region, at, keyword in self.cards:
            if keyword == b"INFIL000":
                region[at + 10 : at + 80] = f"'spectra-main-{program}-{pix64}.fits.gz'".ljust(70).encode()
            else:
                region[at + 10 : at + 30] = b"%20d" % pix64
        rank = np.argsort(np.argsort(self.targetid["FIBERMAP"]))
        fibermap = self.tables["FIBERMAP"]
        for kind in ("TARGET", "MEAN_FIBER", "PLATE"):
            fibermap[f"{kind}_RA"], fibermap[f"{kind}_DEC"] = ra[rank], dec[rank]
        for name, table in self.tables.items():
            table["TARGETID"] = self.targetid[name] + (pix64 << 22)  # another BRICKID: the order stays
        with path.open("wb") as out:
            os.ftruncate(out.fileno(), self.size)
            for start, region in self.regions:
                os.pwrite(out.fileno(), region, start)
            of_target = np.argsort(rank)
            for hdu in self.spectra:
                for start, stop in hdu.rows(np.sort(of_target[rows])):
                    os.pwrite(out.fileno(), self.bytes[start:stop], start)


def write_templates(folder: Path, sample: Sample) -> None:
    """Write a coadd and its redrock file for each program, with simulated spectra in every row."""
    n = sample.n_fibers
    for program in sample.shares:
        rng = np.random.default_rng([SEED, len(program)])
        sources = draw_sources(rng.uniform(0, 1, n), rng.uniform(0, 1, n), rng)
        coadd = observe(sources, "main", program, 0, rng, tiles=np.ones(n, np.int64))
        write_coadd(folder / f"coadd-{program}", coadd)
        write_redrock(folder / f"redrock-{program}", coadd)


_templates: dict[str, Template] = {}
_samples: list[Sample] = []  # of one; not an argument of each pixel's, since it holds all of them


def _load(folder: Path, sample: Sample) -> None:
    _samples.append(sample)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    _templates.update({path.name: Template(path) for path in folder.iterdir()})


def write_pixel(archive: Path, pixel: Pixel) -> None:
    """Write a covered pixel's coadds and redrock files."""
    sample = _samples[0]
    points, matched, rng = layout(sample, pixel)
    for program, rows in matched.items():
        chosen = np.concatenate([rows, pixel.count + np.arange(sample.n_fibers - len(rows))])
        ra, dec = degrees(points[chosen])
        dec = dec + OFFSET_ARCSEC / 3600
        shuffle = rng.permutation(sample.n_fibers)
        has_spectrum = np.flatnonzero(shuffle < len(rows))
        for kind, path_of in (("coadd", RELEASE.coadd), ("redrock", RELEASE.redrock)):
            path = archive / path_of("main", program, pixel.pix64)
            path.parent.mkdir(parents=True, exist_ok=True)
            template = _templates[f"{kind}-{program}"]
            template.write(path, program, pixel.pix64, ra[shuffle], dec[shuffle], has_spectrum)


def simulate(work: Path, sample: Sample, cores: int) -> dict[str, Any]:
    """Write archive, CSV and configuration; return the columns that the ledger must have, in the CSV's order."""
    needed, free = sample.needed_gb(), shutil.disk_usage(work).free / 1e9
    if needed > free - 2:
        raise SystemExit(
            f"{work} has {free:.0f} GB free, archive and results need {needed:.0f}: give another --work or fewer pixels"
        )
    templates, archive = work / "templates", work / "archive"
    templates.mkdir()
    write_templates(templates, sample)
    covered = [pixel for pixel in sample.pixels if pixel.covered]
    pool = ProcessPoolExecutor(cores, initializer=_load, initargs=(templates, sample))
    try:
        said = time.monotonic()
        for i, made in enumerate([pool.submit(write_pixel, archive, pixel) for pixel in covered], 1):
            made.result()
            if time.monotonic() - said > 10:
                said = time.monotonic()
                say(f"  archive: {i:,} of {len(covered):,} pixels")
    finally:
        pool.shutdown(cancel_futures=True)
    listed = [("main", program, pixel.pix64) for pixel in covered for program in sample.shares]
    tilepix = archive / RELEASE.tilepix()
    tilepix.parent.mkdir(parents=True, exist_ok=True)
    write_tilepix(tilepix, sorted(listed))
    truth = write_csv(work / "targets.csv", sample)
    config = {
        "targets": {"csv": str(work / "targets.csv"), "healpix": "healpix"},
        "desi": {"release": "dr1", "archive": str(archive), "spectra": {"lsf": sample.lsf}},
        "results": str(work / "results"),
    }
    (work / "config.yaml").write_text(yaml.safe_dump(config))
    (work / "probe").mkdir()
    (work / "probe" / "sitecustomize.py").write_text(PROBE)
    return truth


def write_csv(path: Path, sample: Sample) -> dict[str, Any]:
    """Write the CSV, pixels mixed; return each row's status, number of spectra and pixel."""
    points, spectra, pix64, status = [], [], [], []
    for pixel in sample.pixels:
        grid, matched, _ = layout(sample, pixel)
        points.append(grid[: pixel.count])
        found = sum(np.isin(np.arange(pixel.count), rows).astype(int) for rows in matched.values())
        spectra.append(found)
        pix64.append(np.full(pixel.count, pixel.pix64))
        status.append(np.where(found > 0, "matched", "no_fiber" if pixel.covered else "not_covered"))
    rng = np.random.default_rng(SEED)
    order = rng.permutation(sum(pixel.count for pixel in sample.pixels))
    ra, dec = degrees(np.concatenate(points)[order])
    truth = {
        "status": np.concatenate(status)[order],
        "n_spectra": np.concatenate(spectra)[order],
        "pix64": np.concatenate(pix64)[order],
    }
    flux, significance = rng.lognormal(-33.4, 1, len(order)), rng.uniform(2, 40, len(order))
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["name", "RA_DESI", "DEC_DESI", "healpix", "flux_aper_b", "significance", "obsid"])
        for i, (a, d, pix) in enumerate(zip(ra.tolist(), dec.tolist(), truth["pix64"].tolist(), strict=True)):
            more = [f"{flux[i]:.3e}", f"{significance[i]:.2f}", 300 + i % 27000]
            writer.writerow([f"2CXO J{i:06d}", a, d, pix >> 4, *more])
    return truth


@dataclass(frozen=True)
class Process:
    """What one Python process of a run said at its end: seconds since the epoch, CPU seconds, MB."""

    program: str
    start: float
    end: float
    cpu: float
    peak: float


@dataclass
class Stage:
    """One `snakemake` command. Seconds; MB; ``dag``: from its start until it knows its jobs, the imports included."""

    name: str
    wall: float
    own_cpu: float
    jobs_cpu: float
    others_cpu: float
    io_wait: float
    dag: float
    jobs: list[Process]
    peak: float


def run_stage(work: Path, name: str, cores: int, *arguments: str) -> Stage:
    """Run Snakemake as a user would, in a directory of its own."""
    say(f"{name}: snakemake {' '.join(arguments)}")
    record = work / f"processes-{len(list(work.glob('processes-*.log')))}.csv"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # users have compiled modules
    python_path = [str(work / "probe"), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(python_path), "SKYHARVEST_PROBE": str(record)}
    environment.setdefault("SLURM_CONF", "/dev/null")  # Snakemake asks for a cluster, and waits for one that is down
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles" / "default"), "--configfile", str(work / "config.yaml")]
    command += ["--cores", str(cores), *arguments]
    (work / "run").mkdir(exist_ok=True)
    log = record.with_suffix(".log")
    before, start, dag = machine_cpu(), time.monotonic(), 0.0
    process = subprocess.Popen(
        command,
        cwd=work / "run",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = start
        with log.open("w") as out:
            for line in process.stdout:
                now = time.monotonic()
                if line.startswith(("Job stats:", "Nothing to be done")):
                    dag = dag or now - start
                if " steps (" in line and now - said > 20:
                    said = now
                    say(f"  {now - start:5.0f} s: {line.strip()}")
                out.write(line)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # Of a process that has ended and is not yet waited for, /proc tells the final figures.
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        own_user, own_system, jobs_user, jobs_system = (
            int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:15]
        )
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    wall = time.monotonic() - start
    busy, waited = (now - then for now, then in zip(machine_cpu(), before, strict=True))
    if process.wait():
        raise SystemExit(f"{name} failed with status {process.returncode}:\n{tail(log)}")
    with record.open() as stream:
        said_at_end = [Process(name, *map(float, rest)) for name, *rest in csv.reader(stream)]
    programs = {path.name for folder in ("", "*/") for path in (ROOT / "scripts").glob(f"{folder}*.py")}
    jobs = [one for one in said_at_end if one.program in programs]
    peak = max((one.peak for one in said_at_end if one not in jobs), default=0) / 1000
    own, others = own_user + own_system, jobs_user + jobs_system
    return Stage(name, wall, own, others, busy - own - others, waited, dag, jobs, peak)


def tail(log: Path) -> str:
    """Return the end of a log."""
    return "".join(log.read_text().splitlines(keepends=True)[-40:])


def machine_cpu() -> tuple[float, float]:
    """Return the seconds that all processors together were busy, and idle with a disk access pending, since boot."""
    user, nice, system, _, wait, *interrupts = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + sum(interrupts)) / tick, wait / tick


def check(work: Path, sample: Sample, truth: dict[str, Any]) -> None:
    """Compare ledger and summary with what was simulated; and see that spectra were not read from holes."""
    with (work / "results" / "desi" / "ledger.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    if len(lines) != len(truth["status"]):
        raise SystemExit(f"the ledger has {len(lines):,} rows, the CSV {len(truth['status']):,}")
    for column, expected in truth.items():
        found = np.array([line[column] for line in lines]).astype(expected.dtype)
        wrong = np.flatnonzero(found != expected)
        if len(wrong):
            raise SystemExit(
                f"ledger.csv, row {wrong[0]}: {column} is {found[wrong[0]]}, {expected[wrong[0]]} was simulated "
                f"({len(wrong):,} rows differ)"
            )
    summary = json.loads((work / "results" / "desi" / "summary.json").read_text())
    n_coadds = len(sample.shares) * sum(pixel.covered for pixel in sample.pixels)
    expected_totals = {
        "rows": len(lines),
        "spectra": int(truth["n_spectra"].sum()),
        "coadds": {"read": n_coadds, "absent": 0, "unreadable": 0},
    }
    for key, value in expected_totals.items():
        if summary[key] != value:
            raise SystemExit(f"summary.json: {key} is {summary[key]}, {value} was simulated")
    fullest = max((pixel for pixel in sample.pixels if pixel.covered), key=lambda pixel: pixel.count)
    path = work / "results" / "desi_crossmatches" / f"healpix={fullest.pix64 >> 4}" / "crossmatch_desi.hdf5"
    with h5py.File(path) as file:
        flux = file["desi/spectrum_flux"][:]
    if not len(flux) or not (flux != 0).any(axis=1).all():
        raise SystemExit(f"{path}: holds a spectrum of zeros, which was not simulated")


def disk_gb(*folders: Path) -> float:
    """Return what the files take on disk, holes not counted."""
    return sum(path.lstat().st_blocks * 512 for folder in folders for path in folder.rglob("*")) / 1e9


def measure(work: Path, sample: Sample, cores: int) -> list[str]:
    """Run all stages and return the report."""
    load = os.getloadavg()
    start = time.monotonic()
    truth = simulate(work, sample, cores)
    simulated_s, archive_gb = time.monotonic() - start, disk_gb(work / "archive")
    say(f"archive and CSV written in {simulated_s:.0f} s, {archive_gb:.1f} GB")
    dry, nothing, dry_nothing = "dry run, all to do", "rerun, nothing to do", "dry run, nothing to do"
    plan = [
        ("targets", ["targets"]),
        ("plan", ["plan"]),
        (dry, ["-n"]),
        ("run", []),
        (nothing, []),
        (dry_nothing, ["-n"]),
        ("report", ["report"]),
    ]
    stages = {name: run_stage(work, name, cores, *arguments) for name, arguments in plan}
    check(work, sample, truth)
    if stages[nothing].jobs:
        raise SystemExit(f"a rerun with nothing to do ran {len(stages[nothing].jobs)} jobs")
    run = stages["run"]
    whole = sum(stages[name].wall for name in ("targets", "plan", "run"))
    first, last = min(job.start for job in run.jobs), max(job.end for job in run.jobs)
    n_covered = sum(pixel.covered for pixel in sample.pixels)
    results_gb = disk_gb(work / "results")
    about = (
        f"{len(truth['status']):,} targets in {len(sample.pixels):,} pixels, {n_covered:,} of them covered; "
        f"{n_covered * len(sample.shares):,} coadds of {sample.n_fibers} fibers; {truth['n_spectra'].sum():,} spectra. "
        f"Archive {archive_gb:.1f} GB on disk (written in {simulated_s:.0f} s), results {results_gb:.1f} GB. Snakemake "
        f"{version('snakemake')}, {cores} cores; load average before: {load[0]:.1f}."
    )
    peak = peak_mb("assemble_desi.py", stages)
    goals = [
        within("seconds, whole run: targets, plan, extract, assemble, account", whole, GOAL_RUN_S, "s"),
        within("seconds, rerun with nothing to do", stages[nothing].wall, GOAL_NOTHING_S, "s"),
        within("seconds, dry run with nothing to do", stages[dry_nothing].wall, GOAL_DRY_S, "s"),
        within("seconds, dry run with all to do", stages[dry].wall, GOAL_DRY_S, "s"),
        within("disk, results", results_gb, GOAL_RESULTS_GB, "GB"),
        within("peak memory, fullest assembly", peak, GOAL_MB, "MB"),
        within("seconds, the report", stages["report"].wall, GOAL_REPORT_S, "s"),
        within("peak memory, the report", peak_mb("report.py", stages), GOAL_MB, "MB"),
        report.Row("seconds from start to the list of jobs (DAG)", f"{run.dag:.1f} s"),
        report.Row("pixels per second", f"{n_covered / (last - first):.1f}"),
        report.Row("jobs per second", f"{len(run.jobs) / (last - first):.2f}"),
        report.Row("Snakemake's own share of CPU", f"{run.own_cpu / (run.own_cpu + run.jobs_cpu):.0%}"),
    ]
    return [
        report.comparison(goals),
        "",
        about,
        "",
        report.table(STAGE_COLUMNS, [stage_row(stage) for stage in stages.values()]),
        "",
        report.table(JOB_COLUMNS, [job_row(program, stages) for program in programs(stages)]),
    ]


def within(what: str, measured: float, goal: float, unit: str) -> report.Row:
    """Return a row whose goal is not to take more than so much."""
    digits = 0 if measured >= 100 else 1
    return report.Row(what, f"{measured:,.{digits}f} {unit}", goal_text=f"≤ {goal:,} {unit}", reached=measured <= goal)


STAGE_COLUMNS = ("stage", "wall s", "jobs", "jobs' CPU s", "Snakemake CPU s", "Snakemake MB", "others' CPU s", "disk s")
JOB_COLUMNS = ("job", "jobs", "first start to last end, s", "wall s each", "CPU s each", "CPU s at most", "peak MB")


def stage_row(stage: Stage) -> list[str]:
    """Return a row about one `snakemake` command; "disk": the cores' time idle with a disk access pending."""
    return [
        stage.name,
        f"{stage.wall:.1f}",
        f"{len(stage.jobs):,}",
        f"{stage.jobs_cpu:.1f}",
        f"{stage.own_cpu:.1f}",
        f"{stage.peak:.0f}",
        f"{stage.others_cpu:.1f}",
        f"{stage.io_wait:.1f}",
    ]


def programs(stages: dict[str, Stage]) -> list[str]:
    """Return the programs that ran, in the order of their first start."""
    started = sorted((job.start, job.program) for stage in stages.values() for job in stage.jobs)
    return list(dict.fromkeys(program for _, program in started))


def peak_mb(program: str, stages: dict[str, Stage]) -> float:
    """Return the most memory that one of a program's jobs took."""
    return max(job.peak for stage in stages.values() for job in stage.jobs if job.program == program) / 1000


def job_row(program: str, stages: dict[str, Stage]) -> list[str]:
    """Return a row about all jobs of one program."""
    jobs = [job for stage in stages.values() for job in stage.jobs if job.program == program]
    wall = np.mean([job.end - job.start for job in jobs])
    cpu = [job.cpu for job in jobs]
    span = max(job.end for job in jobs) - min(job.start for job in jobs)
    return [
        program,
        f"{len(jobs):,}",
        f"{span:.1f}",
        f"{wall:.2f}",
        f"{np.mean(cpu):.2f}",
        f"{max(cpu):.2f}",
        f"{peak_mb(program, stages):.0f}",
    ]


def grow(folder: Path, sizes: Sequence[int], cores: int) -> list[str]:
    """Run the workflow at each size, from nothing, on small coadds; return the report."""
    rows, per_pixel, guess, whole = [], [], FIRST_GUESS_S, 0.0
    for n in sizes:
        say(f"{n:,} pixels: some {n * guess / 60:.0f} minutes, at {guess:.2f} s per pixel")
        sample = Sample([Pixel(pix64, 2, True) for pix64 in range(n)], {"dark": 0.5}, n_fibers=4, lsf=False)
        with working(folder / f"{n}", keep=False) as work:
            truth = simulate(work, sample, cores)
            run = run_stage(work, "run", cores)
            check(work, sample, truth)
            nothing = run_stage(work, "rerun, nothing to do", cores)
        guess, whole = run.wall / n, run.wall
        per_pixel.append(guess)
        share = run.own_cpu / (run.own_cpu + run.jobs_cpu)
        rows.append(
            [
                f"{n:,}",
                f"{len(run.jobs):,}",
                f"{run.wall:.0f}",
                f"{guess:.3f}",
                f"{share:.0%}",
                f"{run.peak:.0f}",
                f"{nothing.wall:.1f}",
                f"{run.others_cpu:.0f}",
            ]
        )
    header = ["pixels", "jobs", "whole run s", "s per pixel", "Snakemake's share of CPU", "Snakemake MB"]
    ratio = per_pixel[-1] / per_pixel[0]
    what = f"seconds per pixel, {sizes[-1]:,} pixels over {sizes[0]:,}"
    goal = report.Row(what, f"{ratio:.2f}", goal_text=f"< {GOAL_RATIO}", reached=ratio < GOAL_RATIO)
    return [
        report.comparison([within(f"seconds, {sizes[-1]:,} pixels", whole, GOAL_GROWN_S, "s"), goal]),
        "",
        "Coadds of 4 fibers, one in each pixel, one of two targets matched; the whole sky has 49,152 pixels.",
        "",
        report.table([*header, "nothing to do s", "others' CPU s"], rows),
    ]


def compare(results: Path, former: Path | None, kept: Path | None) -> None:
    """Compare every dataset with those of a former run, and keep digests of them for the next one."""
    if not (former or kept):
        return
    made = digests.digests(results)
    if kept:
        digests.write(kept, made)
        say(f"digests of {len(made):,} files: {kept}")
    if former:
        found = digests.differences(made, json.loads(former.read_text()))
        if found:
            more = f"\n… and {len(found) - 20:,} more" if len(found) > 20 else ""
            raise SystemExit("the results differ from those of " + "\n".join([f"{former}:", *found[:20]]) + more)
        say(f"{sum(map(len, made.values())):,} datasets of {len(made):,} files are those of {former}, bit for bit")


@contextlib.contextmanager
def working(path: Path, *, keep: bool) -> Any:
    """Give an empty directory, and remove it at the end."""
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        if keep:
            say(f"kept: {path}")
        else:
            shutil.rmtree(path)


def say(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    counts, covered = REAL / "dr1_chandra_pix64_counts.csv", REAL / "dr1_chandra_pix64_covered.txt"
    made.add_argument("--counts", type=Path, default=counts, metavar="CSV", help="CSV rows per pixel: pix64,count")
    made.add_argument("--covered", type=Path, default=covered, metavar="TXT", help="the pixels that have coadds")
    made.add_argument("--only", choices=("real", "growth"), help="one section instead of both")
    made.add_argument(
        "--pixels",
        type=int,
        metavar="N",
        help="for a quick look, which is not kept: so many pixels, evenly from the list by falling count",
    )
    made.add_argument(
        "--growth", type=int, nargs="+", default=GROWTH, metavar="N", help="numbers of pixels (default: %(default)s)"
    )
    made.add_argument("--cores", type=int, default=2, help="for Snakemake (default: %(default)s)")
    made.add_argument(
        "--work", type=Path, metavar="DIR", help="where to work (default: the system's temporary directory)"
    )
    made.add_argument("--digests", type=Path, metavar="JSON", help="keep a digest of every dataset of the real run")
    made.add_argument(
        "--verify", type=Path, metavar="JSON", help="fail unless every dataset of the real run is as kept by --digests"
    )
    made.add_argument("--keep", action="store_true", help="do not remove the archive and the results")
    return made


def main() -> int:
    """Measure and report."""
    options = build_parser().parse_args()
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    base = Path(tempfile.mkdtemp(prefix="skyharvest-scale-", dir=options.work)).resolve()
    base.rmdir()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # cleans up as after Ctrl-C
    if options.only != "growth":
        missing = [path for path in (options.counts, options.covered) if not path.is_file()]
        if missing:
            print(f"skipped: no {missing[0]}")
        else:
            pixels = choose_pixels(read_pixels(options.counts, options.covered), options.pixels)
            with working(base, keep=options.keep) as work:
                lines = measure(work, Sample(pixels, SHARES), options.cores)
                compare(work / "results", options.verify, options.digests)
                tell(lines, "real", "The whole run", keep=options.pixels is None)
    if options.only != "real" and options.pixels is None:
        with working(base, keep=options.keep) as work:
            tell(grow(work, options.growth, options.cores), "growth", "Growth", keep=options.growth == GROWTH)
    return 0


def tell(lines: Sequence[str], part: str, title: str, *, keep: bool) -> None:
    """Print a section, and keep it if it is of the full size."""
    body = "\n".join(lines)
    if keep:
        report.write_section("scale", title, body, part=part)
    else:
        print(body)


if __name__ == "__main__":
    sys.exit(main())
