"""Cutouts of 1, 10 and 100 sources of one brick of the Legacy Surveys over a network, against whole bricks.

Whole processes, from the interpreter's start to its end: both ways are the command that a job of the workflow runs.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib import ROOT, measure, report
from lib.measure import MB, Run, median
from lib.proxy import Counts, proxy
from lib.report import Row
from lib.webserver import Asked, nginx, webserver

PYTHON = sys.executable
HARVEST = ROOT / "scripts" / "legacysurvey" / "harvest_legacysurvey.py"
CUTOUTS = Path(__file__).with_name("lib") / "cutouts.py"
CUTOUT = 160  # pixels
BANDS, PRODUCTS = ("g", "r", "i", "z"), ("image", "invvar", "maskbits")
ROUND_TRIP_S, BYTES_PER_S = 0.06, 20e6
SETTLE_S = 0.3  # the last connections close before the next run is counted
CONNECTIONS = 6  # config.yaml's default
SERVICE_S = 5.2  # the viewer's, for a cutout, one at a time
FEWER_BYTES = 50  # the goal for one source


@dataclass(frozen=True)
class Case:
    """Sources of the brick: the name of their plan, and how many they are."""

    plan: str
    what: str
    n: int


CASES = (
    Case("1-of-4-tiles", "1 source on 4 tiles", 1),
    Case("1-of-9-tiles", "1 source on 9 tiles", 1),
    Case("10", "10 sources", 10),
    Case("100", "100 sources", 100),
)


@dataclass(frozen=True)
class Fetched:
    """Runs of one case in one way, all alike."""

    n: int
    runs: list[Run]
    counts: list[Counts]
    asked: list[Asked]  # in the last run

    @property
    def seconds(self) -> float:
        """For a cutout."""
        return median(self.runs) / self.n

    @property
    def bytes(self) -> float:
        """For a cutout."""
        return statistics.median(count.moved for count in self.counts) / self.n

    @property
    def peak(self) -> float:
        """Of memory, bytes."""
        return median(self.runs, lambda run: run.peak_bytes)

    @property
    def cpu_s(self) -> float:
        """For a cutout."""
        return median(self.runs, lambda run: run.cpu_s) / self.n

    @property
    def requests(self) -> float:
        """For a cutout."""
        return len(self.asked) / self.n

    def body(self, of: Callable[[Asked], bool] = lambda _: True) -> int:
        """Return the bytes of the bodies of some answers, of all cutouts."""
        return sum(request.body_bytes for request in self.asked if of(request))


class Bench:
    """A brick in a folder, and extractions from it.

    Parameters
    ----------
    data
        Gets the brick and its plans, unless it has them.
    scratch
        Gets what is extracted.
    runs
        Runs of each.
    """

    def __init__(self, data: Path, scratch: Path, runs: int) -> None:
        self.data, self.scratch, self.runs = data, scratch, runs
        sizes = data / "made.json"
        if not sizes.exists():
            _say("making a brick of 3600 x 3600 pixels")
            subprocess.run([PYTHON, "-m", "lib.big_brick", data], cwd=CUTOUTS.parents[1], check=True)
        self.sizes: dict[str, int] = json.loads(sizes.read_text())

    def command(self, root: str, case: Case, *more: str | Path, connections: int = CONNECTIONS) -> list[str | Path]:
        """Return the command of the workflow's rule `harvest_legacysurvey`; it writes `extracted`."""
        plan = self.data / f"plan-{case.plan}"
        asked = ["--release", "dr10", "--no-contact-sheets", "--size", str(CUTOUT), "--bands", *BANDS]
        asked += ["--products", *PRODUCTS, "--connections", str(connections)]
        planned = ["--targets", plan / "targets.parquet", "--plan", plan / "plan.csv", "--batch", "all"]
        places = ["--extracted", self.scratch / "new", "--assembled", self.scratch / "new-assembled"]
        return [PYTHON, HARVEST, "--archive", root, *asked, *planned, *places, *more]

    def extracted(self, case: Case, way: str) -> Path:
        """Return where the file that was extracted in a way is kept."""
        return self.scratch / f"{way}-{case.plan}.hdf5"

    def fetch(
        self,
        case: Case,
        way: str,
        *more: str | Path,
        connections: int = CONNECTIONS,
        max_ranges: int | None = None,
        known: bool = False,
    ) -> Fetched:
        """Run the command over the network; what it wrote is kept as `extracted`."""
        fetched = Fetched(case.n, [], [], [])
        with (
            webserver(self.data / "archive", max_ranges=max_ranges) as server,
            proxy(server.port, round_trip_s=ROUND_TRIP_S, bytes_per_s=BYTES_PER_S) as between,
        ):
            command = self.command(f"http://127.0.0.1:{between.port}", case, *more, connections=connections)
            if known:
                command += ["--server-notes", self.scratch / f"notes-{server.port}.json"]
            for run in range(-1 if known else 0, self.runs):
                shutil.rmtree(self.scratch / "new", ignore_errors=True)
                between.reset()
                server.asked()
                finished = measure.run(command)
                time.sleep(SETTLE_S)
                asked = server.asked()
                if run >= 0:
                    fetched.runs.append(finished)
                    fetched.counts.append(between.counts())
                    fetched.asked[:] = asked
        (extracted,) = (self.scratch / "new").rglob("*.hdf5")
        extracted.rename(self.extracted(case, way))
        _say(f"  {case.what}, {way}: {median(fetched.runs):.2f} s, {case.n * fetched.bytes / MB:,.2f} MB")
        return fetched

    def check(self, case: Case, ways: Sequence[str]) -> None:
        """Compare what was extracted in several ways with the first one, and that with the whole images."""
        (brick,) = (self.data / "archive").rglob("*-maskbits.fits.fz")
        first, *others = (self.extracted(case, way) for way in ways)
        for other in others:
            measure.run([PYTHON, CUTOUTS, first, other, brick.parent, str(case.n)])


def over_network(bench: Bench) -> None:
    """Measure, and report."""
    rows, asked, peaks = [], [], []
    for case in CASES:
        tiles, whole = bench.fetch(case, "tiles"), bench.fetch(case, "files", "--download", bench.scratch / "downloads")
        ways = ["tiles", "files"]
        asked.append((case.what, tiles))
        goal = FEWER_BYTES if case.n == 1 else None
        rows += [
            _bytes_row(case, "whole bricks", tiles, whole, goal),
            _seconds_row(case, "whole bricks", tiles, whole),
            Row(
                f"seconds, {case.what}; the service",
                f"{tiles.seconds:.2f} s",
                f"{SERVICE_S} s",
                SERVICE_S / tiles.seconds,
            ),
        ]
        if case.plan in ("1-of-9-tiles", "100"):
            single = bench.fetch(case, "single", max_ranges=1, known=True)
            alone = bench.fetch(case, "alone", connections=1)
            ways += ["single", "alone"]
            rows += [
                _bytes_row(case, "whole bricks; single ranges", single, whole, goal),
                _seconds_row(case, "whole bricks; single ranges", single, whole),
                _seconds_row(case, "whole bricks; 1 connection", alone, whole),
            ]
            asked.append((f"{case.what}, single ranges", single))
        bench.check(case, ways)
        peaks += [
            Row(f"{what}, {case.what}; whole bricks", *(shown(of(way)) for way in (tiles, whole)))
            for what, of, shown in (
                ("peak memory", lambda way: way.peak / MB, "{:,.0f} MB".format),
                ("CPU", lambda way: way.cpu_s, "{:.2f} s".format),
            )
            if case.plan in ("1-of-9-tiles", "100")
        ]
    asked.append((f"whole bricks, {case.what}", whole))
    rows += peaks
    sizes = {product: [size for name, size in bench.sizes.items() if name.startswith(product)] for product in PRODUCTS}
    shown = {product: f"{statistics.mean(of) / MB:.1f}" for product, of in sizes.items()}
    network = f"{1000 * ROUND_TRIP_S:.0f} ms a round trip, connecting included, and {BYTES_PER_S / MB:.0f} MB/s"
    notes = f"""
Bytes, seconds and CPU are for one cutout: {CUTOUT} x {CUTOUT} pixels of {", ".join(PRODUCTS)} in {", ".join(BANDS)}.
One simulated brick of 3600 x 3600 pixels, {sum(bench.sizes.values()) / MB:.1f} MB in {len(bench.sizes)} files: an image
has {shown["image"]} MB, an invvar {shown["invvar"]} MB, maskbits {shown["maskbits"]} MB. A cutout touches 4, 6 or 9 of
1,296 tiles of 100 x 100 pixels, 6.7 in the mean. Whole processes, imports included, over nginx behind a proxy:
{network}. Bytes are those of the connection, both
ways, HTTP's headers included. "Whole bricks" is the same program with `--download` (`transfer: files`): it downloads
the files and their checksums, verifies, crops, removes. {CONNECTIONS} connections at most. "Single ranges" is nginx
with `max_ranges 1`, known from an earlier job. "The service" is the viewer's cutout: {SERVICE_S} s each, one at a time,
a figure that was given, not measured here; it has no inverse variance. All ways give the same pixels, bit by bit; so
does a crop of what cfitsio decodes of the whole files.

What is asked for, per cutout; "heads" are first reads, of headers and tile table: up to 69 kB a file.

{_requests(asked)}
"""
    report.write_section("bricks", "Cutouts from a brick", report.comparison(rows) + "\n" + notes)


def _bytes_row(case: Case, other: str, mine: Fetched, theirs: Fetched, goal: float | None) -> Row:
    shown = (f"{way.bytes / MB:,.2f} MB" for way in (mine, theirs))
    return Row(f"bytes, {case.what}; {other}", *shown, theirs.bytes / mine.bytes, goal)


def _seconds_row(case: Case, other: str, mine: Fetched, theirs: Fetched) -> Row:
    shown = (f"{way.seconds:.2f} s" for way in (mine, theirs))
    return Row(f"seconds, {case.what}; {other}", *shown, theirs.seconds / mine.seconds)


def _requests(asked: Sequence[tuple[str, Fetched]]) -> str:
    """Return the table of requests and of what their answers were of."""
    lines = []
    for what, fetched in asked:
        kilobytes = 1000 * fetched.n
        total = fetched.body()
        of_product = [fetched.body(lambda one, product=product: f"-{product}" in one.path) for product in PRODUCTS]
        counts = fetched.counts[-1]
        lines.append(
            [
                what,
                f"{fetched.requests:.2f}",
                f"{counts.connections} in all",
                f"{total / kilobytes:,.1f}",
                f"{fetched.body(lambda run: run.ranges.startswith('bytes=0-')) / kilobytes:,.1f}",
                *(f"{of / kilobytes:,.1f}" for of in of_product),
                f"{of_product[-1] / total:.1%}",
            ]
        )
    header = ["", "requests", "connections", "kB of body", "of these, heads", *PRODUCTS, "maskbits' share"]
    return report.table(header, lines)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3, help="runs of each command")
    options.add_argument("--data", type=Path, help="where the brick is kept for the next time (else: nowhere)")
    chosen = options.parse_args()
    if nginx() is None:
        _say("skipped: cutouts over a network need a web server: apt-get install nginx-light")
        return
    with tempfile.TemporaryDirectory(prefix="skyharvest-bench-") as folder:
        data = chosen.data or Path(folder) / "data"
        data.mkdir(parents=True, exist_ok=True)
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        over_network(Bench(data, scratch, chosen.runs))


if __name__ == "__main__":
    main()
