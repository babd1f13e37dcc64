"""Run the whole workflow at the real scale: 102,403 targets in 4,791 pixels, on a sparse archive of full-size coadds.

Writes a CSV with as many rows in each NSIDE=64 pixel as the real cross-match has, and an archive that covers the
pixels that DESI DR1's main survey covers, with a dark and a bright coadd of 300 fibers in each; then runs Snakemake on
them, stage by stage, as a user would, and reports where time and memory go. The ledger is compared with what was
written, row by row. Where there is nginx, the same is run over a network. Needs Linux (/proc) and, for the real list,
about 40 GB of disk.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lib import digests, report
from lib.big_archive import Pixel, Sample, add_options, chosen, simulate
from lib.progress import say
from lib.proxy import proxy
from lib.truth import check
from lib.webserver import nginx, webserver
from lib.workflow import Stage, desi, disk_gb, prepare, run_stage, working

GOAL_RUN_S, GOAL_NOTHING_S, GOAL_DRY_S, GOAL_REPORT_S, GOAL_GROWN_S = 330, 3, 30, 120, 1000
GOAL_MB, GOAL_RESULTS_GB, GOAL_RATIO = 1000, 9, 1.5
ROUND_TRIP_S, BYTES_PER_S, GOAL_NETWORK = 0.02, 50e6, 1.3
SETTLE_S = 0.3  # the last connections close before what went through is counted
GROWTH = [300, 3000, 30000]
FIRST_GUESS_S = 0.5  # per pixel, before anything has been measured


def measure(work: Path, sample: Sample, cores: int) -> tuple[list[str], dict[str, np.ndarray], float]:
    """Run all stages; return the report, what the ledger must say, and the seconds of the whole run."""
    load = os.getloadavg()
    start = time.monotonic()
    truth = simulate(work, sample, cores)
    prepare(work, work / "targets.csv", desi(work / "archive"))
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
    check(work / "results", sample, truth)
    if stages[nothing].jobs:
        raise SystemExit(f"a rerun with nothing to do ran {len(stages[nothing].jobs)} jobs")
    run = stages["run"]
    whole = sum(stages[name].wall for name in ("targets", "plan", "run"))
    first, last = min(job.start for job in run.jobs), max(job.end for job in run.jobs)
    n_covered = sample.n_covered
    results_gb = disk_gb(work / "results")
    about = (
        f"{len(truth['status']):,} targets in {len(sample.pixels):,} pixels, {n_covered:,} of them covered; "
        f"{sample.n_coadds:,} coadds of {sample.n_fibers} fibers; {truth['n_spectra'].sum():,} spectra. "
        f"Archive {archive_gb:.1f} GB on disk (written in {simulated_s:.0f} s), results {results_gb:.1f} GB. Snakemake "
        f"{version('snakemake')}, {cores} cores; load average before: {load[0]:.1f}."
    )
    peak = max(job.peak for job in run.jobs) / 1000
    goals = [
        within("seconds, whole run: targets, plan, extract, assemble, account", whole, GOAL_RUN_S, "s"),
        within("seconds, rerun with nothing to do", stages[nothing].wall, GOAL_NOTHING_S, "s"),
        within("seconds, dry run with nothing to do", stages[dry_nothing].wall, GOAL_DRY_S, "s"),
        within("seconds, dry run with all to do", stages[dry].wall, GOAL_DRY_S, "s"),
        within("disk, results", results_gb, GOAL_RESULTS_GB, "GB"),
        within("peak memory, fullest job of the run", peak, GOAL_MB, "MB"),
        within("seconds, the report", stages["report"].wall, GOAL_REPORT_S, "s"),
        within("peak memory, the report", peak_mb("report.py", stages), GOAL_MB, "MB"),
        report.Row("seconds from start to the list of jobs (DAG)", f"{run.dag:.1f} s"),
        report.Row("pixels per second", f"{n_covered / (last - first):.1f}"),
        report.Row("jobs per second", f"{len(run.jobs) / (last - first):.2f}"),
        report.Row("Snakemake's own share of CPU", f"{run.own_cpu / (run.own_cpu + run.jobs_cpu):.0%}"),
    ]
    lines = [
        report.comparison(goals),
        "",
        about,
        "",
        f"{bound(run, cores)} With nothing to do, Snakemake's imports and list of jobs take "
        f"{stages[nothing].own_cpu:.1f} s.",
        "",
        report.table(STAGE_COLUMNS, [stage_row(stage) for stage in stages.values()]),
        "",
        report.table(JOB_COLUMNS, [job_row(program, stages) for program in programs(stages)]),
    ]
    return lines, truth, whole


def over_network(work: Path, sample: Sample, truth: dict[str, np.ndarray], cores: int, local_s: float) -> list[str]:
    """Run the workflow through a proxy; return the report. ``local_s``: what the same takes on the archive itself."""
    folder = work / "network"
    network = {"round_trip_s": ROUND_TRIP_S, "bytes_per_s": BYTES_PER_S}
    with webserver(work / "archive") as server, proxy(server.port, **network) as between:
        prepare(folder, work / "targets.csv", desi(f"http://127.0.0.1:{between.port}"))
        run = run_stage(folder, "run over a network", cores)
        time.sleep(SETTLE_S)
        counts, asked = between.counts(), len(server.asked())
    check(folder / "results", sample, truth)
    least = counts.down / BYTES_PER_S
    longer = max(least, local_s)
    ratio = run.wall / longer
    rows = [
        report.Row(
            "seconds, whole run over a network; bytes / rate, or the local run",
            f"{run.wall:,.0f} s",
            f"{longer:,.0f} s",
            goal_text=f"≤ {GOAL_NETWORK} × the other",
            reached=ratio <= GOAL_NETWORK,
        ),
        report.Row("that is", f"{ratio:.2f} × the other"),
        report.Row("bytes / rate", f"{counts.down / 1e9:.2f} GB / {BYTES_PER_S / 1e6:.0f} MB/s = {least:,.0f} s"),
        report.Row("the local run", f"{local_s:,.0f} s"),
        report.Row("requests", f"{asked:,}"),
        report.Row("connections, at once at most", f"{counts.connections:,}, {counts.most_open}"),
    ]
    about = f"""
nginx behind a proxy: {1000 * ROUND_TRIP_S:.0f} ms a round trip, connecting included, and {BYTES_PER_S / 1e6:.0f} MB/s;
as many connections as is the default.

{bound(run, cores)} All else on this machine, of which the proxy and nginx are the most, takes
{run.others_cpu:,.0f} s of the same cores.
"""
    return [report.comparison(rows), about]


def bound(run: Stage, cores: int) -> str:
    """Return what a run cannot be quicker than."""
    return (
        f"{report.BOUND}CPU. The jobs of the run take {run.jobs_cpu:,.0f} s, Snakemake {run.own_cpu:,.0f} s: on "
        f"{cores} cores at least {(run.jobs_cpu + run.own_cpu) / cores:,.0f} s of its {run.wall:,.0f} s."
    )


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
    rows, per_pixel, guess, whole, bounds = [], [], FIRST_GUESS_S, 0.0, ""
    for n in sizes:
        say(f"{n:,} pixels: some {n * guess / 60:.0f} minutes, at {guess:.2f} s per pixel")
        sample = Sample([Pixel(pix64, 2, True) for pix64 in range(n)], {"dark": 0.5}, n_fibers=4, lsf=False)
        with working(folder, f"{n}") as work:
            truth = simulate(work, sample, cores)
            prepare(work, work / "targets.csv", desi(work / "archive", lsf=sample.lsf))
            run = run_stage(work, "run", cores)
            check(work / "results", sample, truth)
            nothing = run_stage(work, "rerun, nothing to do", cores)
        guess, whole, bounds = run.wall / n, run.wall, bound(run, cores)
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
        bounds,
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


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(made)
    made.add_argument("--only", choices=("real", "growth"), help="one section instead of both")
    made.add_argument(
        "--growth", type=int, nargs="+", default=GROWTH, metavar="N", help="numbers of pixels (default: %(default)s)"
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
    sample = chosen(options) if options.only != "growth" else None
    if sample:
        with working(options.work, "scale", keep=options.keep) as work:
            lines, truth, whole = measure(work, sample, options.cores)
            compare(work / "results", options.verify, options.digests)
            tell(lines, "real", "The whole run", keep=options.pixels is None)
            if nginx() is None:
                print("skipped: the run over a network needs a web server: apt-get install nginx-light")
            else:
                if not options.keep:
                    shutil.rmtree(work / "results")
                lines = over_network(work, sample, truth, options.cores, whole)
                tell(lines, "network", "The whole run over a network", keep=options.pixels is None)
    if options.only != "real" and options.pixels is None:
        with working(options.work, "scale", keep=options.keep) as work:
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
