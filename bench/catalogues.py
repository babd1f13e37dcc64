"""200 of 20,000 spectra, scattered over 40 coadds, over a network: against LSDB and a HATS catalogue of these coadds.

Ours is the whole workflow as a user runs it, from the CSV to assembled files and ledger. Theirs is LSDB as its
documentation shows it, on a catalogue with nested spectra that hats-import made of the coadds; whole processes, too.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np

from lib import ROOT, measure, report
from lib.big_archive import N_PIXELS, Pixel, Sample, simulate
from lib.measure import MB
from lib.progress import say
from lib.proxy import proxy
from lib.report import Row
from lib.truth import check
from lib.webserver import nginx, webserver
from lib.workflow import desi, prepare, run_stage, working

PYTHON = sys.executable
HATS_PYTHON = ROOT / ".venv" / "hats" / "bin" / "python"
MAKE = ROOT / "bench" / "lib" / "hats_catalogue.py"
READ = ROOT / "bench" / "lib" / "hats_readers.py"
WAYS = {
    "crossmatch": "LSDB: `crossmatch`",
    "crossmatch_workers": "LSDB: `crossmatch`, four workers",
    "two_steps": "LSDB: `crossmatch` of positions, then rows by TARGETID",
}
N_COADDS, N_FIBERS, WANTED = 40, 500, 5  # wanted: per coadd
PARTITION_ROWS = 1000  # 160 MB in memory; LSDB's documentation wants some 100 MB
ROUND_TRIP_S, BYTES_PER_S = 0.06, 20e6
GOAL_BYTES, GOAL_SECONDS = 20, 5
SETTLE_S = 0.3  # the last connections close before what went through is counted
RESOLUTION_BYTES = 4 * 11 * (2751 + 2326 + 2881)  # of a row
ARMS, KINDS = "brz", ("flux", "ivar", "mask")
DELIVERED = {"the same arrays": False, "and their resolution": True}


@dataclass(frozen=True)
class Read:
    """What reading took: seconds of the whole processes, of the jobs that read, and bytes both ways."""

    seconds: float
    jobs_s: float
    moved: int


def ours(work: Path, sample: Sample, truth: dict[str, np.ndarray], url: str, *, lsf: bool, cores: int) -> Read:
    """Run the workflow with native arms, and compare its ledger; the results are left in ``work``."""
    prepare(work, work.parent / "targets.csv", desi(url, lsf=lsf, arms=True))
    stage = run_stage(work, "run", cores)
    check(work / "results", sample, truth)
    reading = [job for job in stage.jobs if job.program.endswith("_desi.py") and not job.program.startswith("plan")]
    return Read(stage.wall, max(job.end for job in reading) - min(job.start for job in reading), 0)


def spectra(results: Path) -> dict[str, np.ndarray]:
    """Return what the assembled files hold of the arms, by rising TARGETID, named as by `hats_readers.arrays`."""
    found: dict[str, list[np.ndarray]] = {}
    names = {"TARGETID": "targetid", **{f"{arm}_{kind}": f"{arm}_{kind}" for arm in ARMS for kind in KINDS}}
    names |= {f"{arm}_resolution": f"{arm}_resolution" for arm in ARMS}
    for path in sorted(results.glob("desi_crossmatches/*/*.hdf5")):
        with h5py.File(path) as file:
            for name, dataset in names.items():
                if dataset in file["desi"]:
                    found.setdefault(name, []).append(file["desi"][dataset][:])
            for arm in ARMS:
                wavelength = file[f"desi/{arm}_lambda"][:]
                rows = np.broadcast_to(wavelength, (len(file["desi/targetid"]), len(wavelength)))
                found.setdefault(f"{arm}_wavelength", []).append(rows)
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    order = np.argsort(joined["TARGETID"])
    return {name: values[order] for name, values in joined.items()}


def same(mine: dict[str, np.ndarray], theirs: Path) -> None:
    """Fail unless both have the same spectra, value for value, and ours their resolution as well."""
    with np.load(theirs) as file:
        for name in file.files:
            np.testing.assert_array_equal(mine[name], file[name], err_msg=name)
    for arm in ARMS:
        assert f"{arm}_resolution" not in mine or np.isfinite(mine[f"{arm}_resolution"]).any()


def make_catalogue(work: Path) -> float:
    """Make ``hats/`` of the coadds of the archive; return its size in bytes."""
    coadds = sorted((work / "archive").rglob("coadd-*.fits"))
    parts = work / "parts"
    parts.mkdir()
    began = time.monotonic()
    subprocess.run([PYTHON, MAKE, "stage", *coadds, parts], check=True)
    say(f"coadds as Parquet files after {time.monotonic() - began:.0f} s")
    subprocess.run([HATS_PYTHON, MAKE, "import", parts, work / "hats", str(PARTITION_ROWS)], check=True)
    say(f"catalogue made after {time.monotonic() - began:.0f} s")
    return float(sum(path.stat().st_size for path in (work / "hats").rglob("*.parquet")))


def measure_all(work: Path, sample: Sample, runs: int, cores: int) -> list[str]:
    """Read in all ways; return the report."""
    truth = simulate(work, sample, cores)
    size = make_catalogue(work)
    network = {"round_trip_s": ROUND_TRIP_S, "bytes_per_s": BYTES_PER_S}
    of_ways: dict[str, list[Read]] = {}
    with webserver(work) as server, proxy(server.port, **network) as between:

        def counted(name: str, read: Callable[[str], Read]) -> None:
            between.reset()
            taken = read(f"http://127.0.0.1:{between.port}")
            time.sleep(SETTLE_S)
            taken = Read(taken.seconds, taken.jobs_s, between.counts().moved)
            of_ways.setdefault(name, []).append(taken)
            say(f"  {name}: {taken.seconds:.1f} s (jobs {taken.jobs_s:.1f} s), {taken.moved / MB:,.1f} MB")

        for number in range(runs):
            for name, lsf in DELIVERED.items():
                folder = work / f"ours-{lsf}-{number}"
                counted(
                    name,
                    lambda url, folder=folder, lsf=lsf: ours(
                        folder, sample, truth, f"{url}/archive", lsf=lsf, cores=cores
                    ),
                )
            for way in WAYS:
                out = work / f"{way}.npz"

                def theirs(url: str, way: str = way, out: Path = out) -> Read:
                    run = measure.run([PYTHON, READ, way, f"{url}/hats", work / "targets.csv", out], limit_s=1200)
                    return Read(run.seconds, run.seconds, 0)

                counted(way, theirs)
                for lsf in DELIVERED.values():
                    same(spectra(work / f"ours-{lsf}-{number}" / "results"), out)

    def median(name: str, of: Callable[[Read], float]) -> float:
        return statistics.median(map(of, of_ways[name]))

    best = min(WAYS, key=lambda way: median(way, lambda read: read.seconds))
    least = min(median(way, lambda read: read.moved) for way in WAYS)
    rows = []
    for name in DELIVERED:
        moved, seconds, jobs = (
            median(name, of) for of in (lambda read: read.moved, lambda read: read.seconds, lambda read: read.jobs_s)
        )
        theirs_s = median(best, lambda read: read.seconds)
        shown = f"{theirs_s:.1f} s"
        rows += [
            Row(f"bytes, {name}", f"{moved / MB:,.0f} MB", f"{least / MB:,.0f} MB", least / moved, GOAL_BYTES),
            Row(f"seconds, {name}; the whole workflow", f"{seconds:.1f} s", shown, theirs_s / seconds, GOAL_SECONDS),
            Row(f"seconds, {name}; its jobs that read and assemble", f"{jobs:.1f} s", shown, theirs_s / jobs),
        ]
    of_theirs = [
        [what, f"{median(way, lambda read: read.seconds):.1f}", f"{median(way, lambda read: read.moved) / MB:,.0f}"]
        for way, what in WAYS.items()
    ]
    row_kb = RESOLUTION_BYTES / 1e3
    about = f"""
{sample.spectra()} of {sample.n_coadds * sample.n_fibers:,} spectra, {WANTED} in each of {sample.n_coadds} coadds of
{sample.n_fibers} targets; native flux, ivar and mask of each arm, compared value for value. nginx behind a proxy:
{1000 * ROUND_TRIP_S:.0f} ms a round trip, connecting included, and {BYTES_PER_S / MB:.0f} MB/s. "Other" is the best of
LSDB {version("lsdb")}'s ways below; its catalogue of {size / MB:,.0f} MB is hats-import's own choice of encodings and
compression, with {PARTITION_ROWS:,} rows at most in a partition, no margin, and only the columns that are asked for are
opened. Ours has redshifts, the FIBERMAP's columns and the combined spectrum besides.

{report.BOUND}the resolution, {row_kb:.0f} kB of each row, {row_kb * sample.spectra() / 1e3:.0f} MB in all, of which
theirs has nothing; the tables of fibers and redshifts, which are read whole; the steps of a run, each a process. What
bounds theirs: a wanted row costs its partition, {size / MB / sample.n_coadds:.0f} MB a coadd.

Simulated spectra compress better than real ones, which is in their favour.
"""
    table = report.table(["what", "seconds", "MB"], of_theirs)
    return [report.comparison(rows), about, table]


def main() -> int:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=1, help="runs of each way (default: %(default)s)")
    options.add_argument("--coadds", type=int, default=N_COADDS, help="fewer, for a quick look, which is not kept")
    options.add_argument("--cores", type=int, default=2, help="for Snakemake (default: %(default)s)")
    options.add_argument("--work", type=Path, metavar="DIR", help="where to work; needs 15 GB")
    chosen = options.parse_args()
    if nginx() is None:
        print("skipped: a catalogue over a network needs a web server: apt-get install nginx-light")
        return 0
    if not HATS_PYTHON.exists():
        print("skipped: a HATS catalogue needs hats-import: make hats")
        return 0
    step = N_PIXELS // chosen.coadds
    pixels = [Pixel(step // 2 + step * k, WANTED, True) for k in range(chosen.coadds)]
    sample = Sample(pixels, {"dark": 1.0}, n_fibers=N_FIBERS, whole=True)
    with working(chosen.work, "catalogues") as work:
        body = "\n".join(measure_all(work, sample, chosen.runs, chosen.cores))
    if chosen.coadds == N_COADDS:
        report.write_section("catalogues", "Against a HATS catalogue", body)
    else:
        print(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
