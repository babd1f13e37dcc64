"""20 of the 1,500 targets of a coadd of 670 MB: over a network, from a disk, and what a job costs besides.

Whole processes, from the interpreter's start to its end: ours is the command that a job of the workflow runs.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lib import ROOT, measure, report
from lib.measure import MB, Run, median, shown_seconds
from lib.proxy import Counts, proxy
from lib.report import Row
from lib.webserver import Asked, nginx, webserver
from skyharvest.surveys.desi.release import load_release

PYTHON = sys.executable
READERS = Path(__file__).with_name("lib") / "readers.py"
HARVEST = ROOT / "scripts" / "desi" / "harvest_desi.py"
EXTRACT_COADD = ROOT / "scripts" / "extract_desi_coadd.py"
PIX64 = 27258  # of lib/big_coadd.py, which this process does not import: see measure.Run.peak_bytes
COADD = load_release("dr1").coadd("main", "dark", PIX64)
ROUND_TRIP_S, BYTES_PER_S = 0.06, 20e6
SETTLE_S = 0.3  # the last connections close before the next run is counted
PATIENCE = 4  # a run is stopped after as many times what the whole file takes
CONNECTIONS = 6  # config.yaml's default
FLAGS = ["--connections", str(CONNECTIONS)]
NOT_SLOWER = 0.95  # runs of the same thing differ by as much


@dataclass(frozen=True)
class Fetched:
    """Runs over the network, all alike."""

    runs: list[Run]
    counts: list[Counts]
    asked: list[list[Asked]]

    @property
    def seconds(self) -> float:
        return median(self.runs)

    @property
    def moved(self) -> float:
        return statistics.median(count.moved for count in self.counts)

    @property
    def shown(self) -> str:
        return shown_seconds(self.runs)

    @property
    def shown_bytes(self) -> str:
        return f"{self.moved / MB:,.2f} MB"


def extract_command(
    archive: str | Path, out: Path, data: Path, *more: str | Path, program: str = "dark"
) -> list[str | Path]:
    """Return the command of the workflow's rule `harvest_desi`, without resolution; it writes `extracted(out)`."""
    planned = ["--targets", data / "targets.parquet", "--plan", data / f"plan-{program}" / "plan.csv", "--batch", "all"]
    places = ["--extracted", out, "--assembled", out / "assembled"]
    return [PYTHON, HARVEST, "--archive", archive, "--release", "dr1", *planned, "--no-lsf", *FLAGS, *places, *more]


def extracted(out: Path) -> Path:
    """Return the file that `extract_command` writes."""
    return out / str(PIX64 // 100) / f"{PIX64}.hdf5"


def over_network(data: Path, scratch: Path, runs: int) -> None:
    """Measure bytes and seconds behind the proxy."""
    sizes = make_coadd(data)
    wanted = data / "targetids.txt"
    expected = measure.run([PYTHON, READERS, "extracted", _local(data, scratch), wanted]).output
    limit_s = PATIENCE * sizes["coadd"] / BYTES_PER_S

    def read(way: str) -> Callable[[str], list[str | Path]]:
        return lambda root: [PYTHON, READERS, way, f"{root}/{COADD}", wanted]

    def ours(*more: str | Path) -> Callable[[str], list[str | Path]]:
        return lambda root: extract_command(root, scratch / "rows", data, *more)

    def ours_by_csv(root: str) -> list[str | Path]:
        out = extracted(scratch / "rows")
        positions = ["--targets", data / "targets.csv"]
        return [
            PYTHON,
            EXTRACT_COADD,
            "--archive",
            root,
            "--coadd",
            COADD,
            *positions,
            "--no-resolution",
            *FLAGS,
            "--out",
            out,
        ]

    def check(finished: Run) -> None:
        digest = finished.output
        if not digest:  # ours: it wrote a file
            digest = measure.run([PYTHON, READERS, "extracted", extracted(scratch / "rows"), wanted]).output
            extracted(scratch / "rows").unlink()
        assert digest in ("fetched\n", expected), "not the rows that the local file has"

    def fetch(
        command_for: Callable[[str], list[str | Path]],
        max_ranges: int | None = None,
        *,
        delayed: bool = True,
        known: bool = False,
    ) -> Fetched:
        network = {"round_trip_s": ROUND_TRIP_S, "bytes_per_s": BYTES_PER_S} if delayed else {}
        fetched = Fetched([], [], [])
        with webserver(data, max_ranges=max_ranges) as server, proxy(server.port, **network) as between:
            command = command_for(f"http://127.0.0.1:{between.port}")
            if known:
                measure.run(command, limit_s=limit_s)
            for _ in range(runs):
                between.reset()
                server.asked()
                fetched.runs.append(measure.run(command, limit_s=limit_s))
                time.sleep(SETTLE_S)
                fetched.counts.append(between.counts())
                fetched.asked.append(server.asked())
                if fetched.runs[-1].finished:
                    check(fetched.runs[-1])
        _say(f"  {command[1]} {command[2]} max_ranges={max_ranges}: {fetched.shown}, {fetched.shown_bytes}")
        return fetched

    bare = fetch(ours(), delayed=False)
    through = fetch(read("whole_files"), delayed=False)
    many, single, none = (fetch(ours(), max_ranges) for max_ranges in (None, 1, 0))
    later = [fetch(ours("--server-notes", scratch / f"notes{n}.json"), n, known=True) for n in (1, 0)]
    by_csv = fetch(ours_by_csv)
    whole = fetch(read("whole_files"))
    sections, sorted_rows, small = (
        fetch(read(way)) for way in ("astropy_sections", "astropy_file_order", "astropy_small_blocks")
    )

    def bytes_row(name: str, mine: Fetched, other: str, theirs: Fetched, goal: float | None = None) -> Row:
        return Row(f"bytes, {name}; {other}", mine.shown_bytes, theirs.shown_bytes, theirs.moved / mine.moved, goal)

    def seconds_row(name: str, mine: Fetched, other: str, theirs: Fetched, goal: float | None = None) -> Row:
        return Row(f"seconds, {name}; {other}", mine.shown, theirs.shown, theirs.seconds / mine.seconds, goal)

    rows = []
    for name, mine in (("multi-range", many), ("single ranges", single), ("single ranges, known server", later[0])):
        factor = mine.moved / sizes["ideal"]
        rows += [
            Row(
                f"bytes, {name}; rows + FIBERMAP + REDSHIFTS",
                f"{mine.shown_bytes}, {factor:.2f} × the other",
                f"{sizes['ideal'] / MB:.2f} MB",
                goal_text="≤ 1.25 × the other",
                reached=factor <= 1.25 and all(run.finished for run in mine.runs),
            ),
            bytes_row(name, mine, "whole files", whole, 200),
            bytes_row(name, mine, "astropy", sections, 200),
        ]
    for name, mine, goal in (("multi-range", many, 30), ("single ranges", single, 15)):
        rows += [
            seconds_row(name, mine, "whole files", whole, goal),
            seconds_row(name, mine, "astropy", sections, goal),
        ]
    rows += [
        seconds_row("no ranges at all", none, "whole files", whole, NOT_SLOWER),
        seconds_row("single ranges, known server", later[0], "whole files", whole),
        seconds_row("no ranges, known server", later[1], "whole files", whole),
        seconds_row("multi-range, positions from a CSV", by_csv, "whole files", whole),
        bytes_row("multi-range", many, "astropy, rows sorted", sorted_rows),
        seconds_row("multi-range", many, "astropy, rows sorted", sorted_rows),
        bytes_row("multi-range", many, "astropy, sorted, blocks of 16 kB", small),
        seconds_row("multi-range", many, "astropy, sorted, blocks of 16 kB", small),
    ]
    speed = f"{through.moved / through.seconds / MB:,.0f} MB/s"
    network = f"{1000 * ROUND_TRIP_S:.0f} ms a round trip, connecting included, and {BYTES_PER_S / MB:.0f} MB/s"
    notes = f"""
Wanted: flux, ivar and mask of 20 of {Path(COADD).name}'s 1,500 targets ({sizes["coadd"] / MB:.0f} MB), and their
redshifts ({sizes["redrock"] / MB:.1f} MB). nginx behind a proxy: {network}. Bytes
are those of the connection, both ways, HTTP's headers included. "Single ranges" is nginx with `max_ranges 1`, which
answers a request for several ranges with the whole file. astropy is `fits.open(url, use_fsspec=True)` and
`.section[row]`, array by array, the rows as they are wanted; "rows sorted" is that in the file's order, "blocks of
16 kB" is that with `fsspec_kwargs={{"block_size": 16384, "cache_type": "bytes"}}`. All read the same bits. Ours has
{CONNECTIONS} connections at most, and does not know the server; "known server" is with the notes of an earlier job, as
in all jobs of a run but the first: a server that is asked for many ranges for the first time, and sends the whole file,
is hung up on, but some of it is on its way.

Without delay and cap ours takes {bare.shown}, and whole files pass the proxy at {speed}: it is not what bounds the
figures. It imitates neither slow start nor losses. What ours asks for, in the order in which the server had answered
(of a body that is hung up on, more leaves the server than crosses the network, which is what is counted above):

{_requests([("any number of ranges", many), ("one range a request", single), ("no ranges", none)])}
"""
    title = "Rows over a network"
    report.write_section("coadd_rows", title, report.comparison(rows) + "\n" + notes, part="network")


def _local(data: Path, scratch: Path) -> Path:
    """Extract the rows from the local file: the bits to compare with."""
    measure.run(extract_command(data, scratch / "local", data))
    return extracted(scratch / "local")


def _requests(servers: Sequence[tuple[str, Fetched]]) -> str:
    lines = []
    for server, fetched in servers:
        asked, counts = fetched.asked[-1], fetched.counts[-1]
        begins = len(lines)
        for (status, path, ranges), alike in groupby(asked, lambda one: (one.status, one.path, one.n_ranges)):
            lines.append(["", *_summed(list(alike)), path.rpartition("/")[2].split("-")[0], f"{ranges:,}", f"{status}"])
        connections = f"connections: {counts.connections}, at once: {counts.most_open}"
        lines.append(["", *_summed(asked), f"both ({connections})", "", ""])
        lines[begins][0] = server
    return report.table(["server", "requests", "kB of body", "file", "ranges in each", "status"], lines)


def _summed(asked: Sequence[Asked]) -> tuple[str, str]:
    return f"{len(asked)}", f"{sum(one.body_bytes for one in asked) / 1000:,.1f}"


def from_disk(data: Path, scratch: Path, runs: int) -> None:
    """Measure the same work on a local file."""
    wanted = data / "targetids.txt"
    with (data / COADD).open("rb") as stream:
        while stream.read(1 << 24):
            pass  # into the page cache, for all
    runs_by_way = {}
    for way in ("ours_combined", "desispec_targetids", "desispec_select"):
        runs_by_way[way] = [measure.run([PYTHON, READERS, way, data / COADD, wanted]) for _ in range(runs)]
        _say(f"  {way}: {shown_seconds(runs_by_way[way])}, {_peak(runs_by_way[way]) / MB:.0f} MB")
    last_lines = {run.output.splitlines()[-1] for runs_of in runs_by_way.values() for run in runs_of}
    assert len(last_lines) == 1, "they read different spectra"
    program = [measure.run(_job(data, data, scratch)) for _ in range(runs)]
    ours = runs_by_way["ours_combined"]
    rows = []
    for way, name, goal in (
        ("desispec_targetids", "`read_spectra(targetids=…)`", 4),
        ("desispec_select", "`read_spectra().select()`", 10),
    ):
        theirs = runs_by_way[way]
        ratio = median(theirs) / median(ours)
        rows.append(Row(f"seconds; {name}", shown_seconds(ours), shown_seconds(theirs), ratio, goal))
    for way, name in (
        ("desispec_targetids", "`read_spectra(targetids=…)`"),
        ("desispec_select", "`read_spectra().select()`"),
    ):
        peaks = _peak(ours), _peak(runs_by_way[way])
        shown = [f"{peak / MB:,.0f} MB" for peak in peaks]
        rows.append(
            Row(
                f"peak memory; {name}",
                *shown,
                ratio=peaks[1] / peaks[0],
                goal_text="< 200 MB",
                reached=peaks[0] < 200 * MB,
            )
        )
    notes = f"""
A process each, imports included, the file in the page cache: 20 targets by TARGETID of a coadd of 1,500, with their
resolution, cameras combined (theirs: `coadd_cameras`; ours: `combine_cameras` and `lsf_sigma`), nothing written. Flux,
ivar and mask come out equal to the last bit of float32. `select()` is what the Multimodal Universe's build script
does. The workflow's own job, `harvest_desi.py` with redshifts, an extracted and an assembled file, but without
resolution, takes {shown_seconds(program)} and {_peak(program) / MB:.0f} MB.
"""
    report.write_section("coadd_rows", "Rows from a local file", report.comparison(rows) + "\n" + notes, part="disk")


def _peak(runs: Sequence[Run]) -> float:
    return median(runs, lambda run: run.peak_bytes)


def not_reading(data: Path, scratch: Path, runs: int) -> None:
    """Measure the CPU of a job that reads nothing: its only coadd is absent."""
    idle = [measure.run(_job(data, data, scratch, program="backup")) for _ in range(2 * runs)]
    busy = [measure.run(_job(data, data, scratch)) for _ in range(2 * runs)]
    python = [measure.run([PYTHON, "-c", "pass"]) for _ in range(2 * runs)]
    numpy = [measure.run([PYTHON, "-c", "import numpy"]) for _ in range(2 * runs)]
    cpu = {
        name: median(of, _cpu) for name, of in (("idle", idle), ("busy", busy), ("python", python), ("numpy", numpy))
    }
    rows = [
        Row(
            "CPU, the job's one coadd is absent", f"{cpu['idle']:.2f} s", goal_text="< 0.5 s", reached=cpu["idle"] < 0.5
        ),
        Row("CPU, 20 rows of a local coadd, reading included", f"{cpu['busy']:.2f} s"),
    ]
    if nginx():
        with webserver(data) as server:
            remote = f"http://127.0.0.1:{server.port}"
            idle = [measure.run(_job(remote, data, scratch, program="backup")) for _ in range(2 * runs)]
            busy = [measure.run(_job(remote, data, scratch)) for _ in range(2 * runs)]
        for name, of in (
            ("the job's one coadd is absent, over HTTP", idle),
            ("20 rows over HTTP, reading included", busy),
        ):
            seconds = median(of, _cpu)
            goal = {"goal_text": "< 0.5 s", "reached": seconds < 0.5} if of is idle else {}
            rows.append(Row(f"CPU, {name}", f"{seconds:.2f} s", **goal))
    notes = f"""
User and system time of the whole process. A job whose coadd is absent starts, imports, finds its targets, asks the
archive, and writes an extracted and an assembled file, but reads no data. Of it, Python's own start is
{cpu["python"]:.2f} s, and numpy's import {cpu["numpy"] - cpu["python"]:.2f} s. Slowest imports of the program
(seconds, their own imports included):

{_imports()}
"""
    report.write_section(
        "coadd_rows", "What a job costs besides reading", report.comparison(rows) + "\n" + notes, part="cpu"
    )


def _job(archive: str | Path, data: Path, scratch: Path, program: str = "dark") -> list[str | Path]:
    """Return the command of a job for which nothing is there yet."""
    return extract_command(archive, Path(tempfile.mkdtemp(prefix="job-", dir=scratch)), data, program=program)


def _cpu(run: Run) -> float:
    return run.cpu_s


def _imports() -> str:
    command = [PYTHON, "-X", "importtime", "-c", "import harvest_desi"]
    timed = subprocess.run(command, cwd=HARVEST.parent, capture_output=True, text=True, check=True).stderr
    found = re.findall(r"import time:\s+\d+ \|\s+(\d+) \|( +)(\S+)", timed)
    outermost = {}
    for cumulative, indent, name in found:
        if len(indent) <= 5:  # the program's own imports, and theirs
            outermost[name] = int(cumulative) / 1e6
    slowest = sorted(outermost.items(), key=lambda item: -item[1])[:8]
    return report.table(["module", "s"], [[f"`{name}`", f"{seconds:.3f}"] for name, seconds in slowest])


def make_coadd(data: Path) -> dict[str, int]:
    """Return the sizes of the coadd and its parts; make it, in a process of its own, unless it is there."""
    sizes = data / "made.json"
    if not sizes.exists():
        _say("making a coadd of 1,500 targets")
        subprocess.run([PYTHON, "-m", "lib.big_coadd", data], cwd=READERS.parents[1], check=True)
    return dict(json.loads(sizes.read_text()))


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    """Measure what is asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3, help="runs of each command")
    options.add_argument("--data", type=Path, help="where the coadd is kept for the next time (else: nowhere)")
    options.add_argument("--only", choices=("network", "disk", "cpu"), help="one section instead of all")
    chosen = options.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skyharvest-bench-")))
        data = chosen.data or scratch / "data"
        data.mkdir(parents=True, exist_ok=True)
        make_coadd(data)
        if chosen.only in (None, "disk"):
            from_disk(data, scratch, chosen.runs)
        if chosen.only in (None, "cpu"):
            not_reading(data, scratch, chosen.runs)
        if chosen.only in (None, "network"):
            if nginx() is None:
                _say("skipped: rows over a network need a web server: apt-get install nginx-light")
            else:
                over_network(data, scratch, chosen.runs)


if __name__ == "__main__":
    main()
