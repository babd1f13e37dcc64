"""The whole run at the real scale, over HTTP, while all goes wrong that can: against the same run in peace.

The archive is that of scale.py, served on loopback. 1 % of the answers are faulty, at random in the ways of
docs/reliability.md; the workflow is killed with `kill -9` twenty times at random moments, and its disk is full twice.
After each of these it is run again, as that page says, until it has ended well. Then every line of the ledger must be
as it was simulated, every assembled row as in the run in peace, in all datasets, and no file more may be there. Needs
Linux, the right to mount (root, or user namespaces), and for the real list some 40 GB of disk.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lib import ROOT, report
from lib.bad_server import AtRandom, bad_server
from lib.big_archive import RESULTS_BYTES, Sample, add_options, chosen, simulate
from lib.disk import Disk, disk, enter_namespace
from lib.progress import say
from lib.truth import check
from lib.workflow import desi, disk_gb, prepare, start, tail, working
from skyharvest.archive.http.patience import PATIENCE_VARIABLE

sys.path.insert(0, str(ROOT / "tests" / "faults"))
import comparison
from reliability import CHAOS, Outcome, document

GOAL_RATIO = 1.5
KILLS, FULL_DISKS, SHARE = 20, 2, 0.01
SPREAD = 0.8  # of the time that the run takes in peace: the blows fall in this part of it, in the mean
ENOUGH = 12  # runs in a row that fail without a blow
KILLED, FILLED, WELL, ALONE = "killed", "its disk was full", "ended well", "failed by itself"
NO_SPACE = "No space left on device"
AGAIN = ["--config", "desi={read_again: [absent, unreadable]}"]
TEMPORARY = (".tmp", ".part")
NOT_COMPARED = ("logs", "benchmarks")  # of the results: they tell of each run

Rows = tuple[dict[comparison.Key, bytes], dict[int, str]]
"""Of the assembled files and of the ledger."""


@dataclass
class Story:
    """What became of a run that was disturbed.

    Attributes
    ----------
    seconds
        Of all runs and of unlocking.
    ends
        How many runs ended how.
    unlock_s
        Of that, what unlocking took.
    full_s
        How long a run went on after its disk was full, s.
    """

    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    unlock_s: float = 0.0
    full_s: list[float] = field(default_factory=list)


class Directory:
    """A directory to run in; it remembers all that it has started."""

    def __init__(self, folder: Path, cores: int) -> None:
        self.folder, self.cores = folder, cores
        self.groups: list[int] = []
        self.log = folder / "run.log"

    @contextmanager
    def running(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Start a run; what is left of it at the end of the block is killed."""
        self.log = self.folder / f"run-{len(self.groups):03}.log"
        with self.log.open("w") as out:
            process = start(self.folder, self.cores, *arguments, out=out)
            self.groups.append(process.pid)
            try:
                yield process
            finally:
                kill(process.pid)
                process.wait()

    def run(self, *arguments: str) -> str:
        """Run to the end, which must be a good one; return what was said."""
        with self.running(*arguments) as process:
            if process.wait():
                raise SystemExit(f"snakemake {' '.join(arguments)} failed:\n{tail(self.log)}")
        return self.log.read_text()

    def nothing_runs(self) -> bool:
        """Tell whether all that was started here has ended."""
        return not any(kill(group, 0) for group in self.groups)


def kill(group: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal to a process group; False if it is gone."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def draw_blows(chance: random.Random, seconds: float, kills: int, full_disks: int) -> list[tuple[str, float]]:
    """Return what strikes, and how many seconds after a run's start, in random order."""
    blows = [KILLED] * kills + [FILLED] * full_disks
    chance.shuffle(blows)
    return [(blow, chance.uniform(0, 2 * SPREAD * seconds / len(blows))) for blow in blows]


def disturbed(directory: Directory, results: Path, small: Disk, blows: list[tuple[str, float]]) -> Story:
    """Run until all is there: again after each blow and each failure. Blows that found no run are left in the list."""
    story = Story()
    began, alone, arguments = time.monotonic(), 0, list[str]()
    while True:
        blow, after = blows[-1] if blows else ("", None)
        with directory.running(*arguments) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(after)
            struck = process.returncode is None
            if struck:
                blows.pop()
                strike(blow, process, small, story)
            else:
                blow = ALONE if process.returncode else WELL
        story.ends[blow] += 1
        say(f"  {time.monotonic() - began:5.0f} s: {blow}; {len(blows)} blows to come")
        if blow == KILLED:
            since = time.monotonic()
            directory.run("--unlock")
            story.unlock_s += time.monotonic() - since
        if blow == FILLED and process.returncode and NO_SPACE not in directory.log.read_text():
            raise SystemExit(f"a run on a full disk has not said so:\n{tail(directory.log)}")
        alone = alone + 1 if blow == ALONE else 0
        if alone > ENOUGH:
            raise SystemExit(f"{alone} runs failed, one after the other:\n{tail(directory.log)}")
        if blow == WELL:
            to_do = unfinished(results)
            if not to_do:
                break
            arguments = AGAIN if to_do == "absent" else []
    story.seconds = time.monotonic() - began
    return story


def strike(blow: str, process: "subprocess.Popen[str]", small: Disk, story: Story) -> None:
    """Kill a run, or fill its disk and let it end as it will."""
    if blow == KILLED:
        kill(process.pid)
        process.wait()
        return
    filled = time.monotonic()
    small.fill()
    try:
        process.wait()
    finally:
        small.free()
    story.full_s.append(time.monotonic() - filled)


def unfinished(results: Path) -> str:
    """Return the status of coadds that one would read again, all being there: absent, unreadable, or none."""
    coadds = json.loads((results / "desi" / "summary.json").read_text())["coadds"]
    return next((status for status in ("absent", "unreadable") if coadds[status]), "")


def files_of(results: Path) -> set[str]:
    """Return the files of a run's results, but for what tells of the run."""
    found = (path.relative_to(results) for path in results.rglob("*") if not path.is_dir())
    return {path.as_posix() for path in found if path.parts[0] not in NOT_COMPARED}


def left_over(*folders: Path) -> list[Path]:
    """Return what should have been removed."""
    return [path for folder in folders for path in folder.rglob("*") if path.name.endswith(TEMPORARY)]


def measure(work: Path, sample: Sample, options: argparse.Namespace) -> tuple[list[str], Outcome]:
    """Run in peace and in chaos; return the report, and the line of docs/reliability.md."""
    truth = simulate(work, sample, options.cores)
    size = 1.5 * sample.spectra() * RESULTS_BYTES / 1e9 + 1
    with disk(work, size) as small, bad_server(work / "archive", SHARE, options.seed) as (server, at_random):
        results = small.path / "results"
        say("in peace")
        peace = Directory(work / "peace", options.cores)
        prepare(peace.folder, work / "targets.csv", desi(server.url), results=results)
        began = time.monotonic()
        peace.run()
        in_peace_s = time.monotonic() - began
        check(results, sample, truth)
        expected = comparison.spectra(results), comparison.ledger(results), files_of(results)
        results_gb, n_answers = disk_gb(results), len(server.requests)
        shutil.rmtree(results)
        server.forget()

        blows = draw_blows(random.Random(options.seed), in_peace_s, options.kills, options.full_disks)
        say(f"in chaos; in peace it took {in_peace_s:.0f} s and {n_answers:,} answers")
        chaos = Directory(work / "chaos", options.cores)
        prepare(chaos.folder, work / "targets.csv", desi(server.url), results=results)
        server.misbehave = at_random
        story = disturbed(chaos, results, small, blows)
        began = time.monotonic()
        if "Nothing to be done" not in chaos.run():
            raise SystemExit(f"all is there, and yet the next run did something:\n{tail(chaos.log)}")
        nothing_s = time.monotonic() - began
        if not chaos.nothing_runs():
            raise SystemExit("a process is left over")
        check(results, sample, truth)
        lost, wrong = differences(expected[:2], (comparison.spectra(results), comparison.ledger(results)))
        if more := sorted(files_of(results) ^ expected[2]):
            raise SystemExit(f"files that only one of the runs has: {', '.join(more[:20])}")
        if left := left_over(results, chaos.folder):
            raise SystemExit(f"left over: {', '.join(map(str, left[:20]))}")
    n_rows = len(expected[0]) + len(expected[1])
    n_places = at_random.struck.total() + story.ends[KILLED] + story.ends[FILLED]
    if lost or wrong:
        raise SystemExit(f"of {n_rows:,} rows {lost:,} are lost and {wrong:,} wrong")
    lines = told(story, at_random, in_peace_s, options)
    patience = os.environ.get(PATIENCE_VARIABLE)
    patience = f"`{PATIENCE_VARIABLE}` is `{patience}`." if patience else "The patience is the default one."
    about = (
        f"{len(truth['status']):,} targets, {sample.n_coadds:,} coadds, {len(expected[0]):,} spectra; results "
        f"{results_gb:.1f} GB on {small.kind}. In peace {n_answers:,} answers, in chaos {at_random.answers:,}; seed "
        f"{options.seed}. {patience} Both from one server, in Python, on the workflow's own {os.cpu_count()} cores."
    )
    outcome = Outcome(
        CHAOS,
        f"{SHARE:.0%} of all answers faulty, `kill -9` {story.ends[KILLED]} times, a full disk "
        f"{story.ends[FILLED]} times, {len(truth['status']):,} targets",
        NO_SPACE,
        f"`snakemake --unlock` after each kill, and a rerun after each failure: {story.ends.total()} runs",
        n_places,
        n_rows,
        lost,
        wrong,
    )
    n_starts = story.ends.total() - 1
    bound = (
        f"{report.BOUND}starting again, {n_starts} times. To unlock took {story.unlock_s:.0f} s, to find out what "
        f"is to do some {nothing_s:.0f} s each time, to end on a full disk {sum(story.full_s):.0f} s; the rest is what "
        "was under way when it was killed, and the pauses before faulty answers were asked for again."
    )
    return [lines[0], "", about, "", bound, "", *lines[1:]], outcome


def differences(expected: Rows, there: Rows) -> tuple[int, int]:
    """Return how many rows are not there, and how many are other ones, of the assembled files and of the ledger."""
    lost = sum(key not in given for wanted, given in zip(expected, there, strict=True) for key in wanted)
    wrong = sum(
        wanted.get(key) != value for wanted, given in zip(expected, there, strict=True) for key, value in given.items()
    )
    return lost, wrong


def told(story: Story, at_random: AtRandom, in_peace_s: float, options: argparse.Namespace) -> list[str]:
    """Return the tables of the report."""
    ratio = story.seconds / in_peace_s
    what = "seconds, faults, kills and full disks, reruns included; in peace"
    rows = [
        report.Row(
            what,
            f"{story.seconds:,.0f} s",
            f"{in_peace_s:,.0f} s",
            goal_text=f"≤ {GOAL_RATIO} × the other",
            reached=ratio <= GOAL_RATIO,
        ),
        report.Row("that is", f"{ratio:.2f} × the other"),
    ]
    for blow, n in ((KILLED, options.kills), (FILLED, options.full_disks)):
        rows.append(report.Row(f"runs: {blow}", f"{story.ends[blow]}", goal_text=f"{n}", reached=story.ends[blow] == n))
    rows += [report.Row(f"runs: {end}", f"{story.ends[end]}") for end in (ALONE, WELL)]
    if story.full_s:
        rows.append(report.Row("seconds that a run goes on on a full disk, at most", f"{max(story.full_s):.0f} s"))
    rows.append(report.Row("faulty answers", f"{at_random.struck.total():,}"))
    struck = report.table(["fault", "answers"], [[name, f"{n:,}"] for name, n in sorted(at_random.struck.items())])
    return [report.comparison(rows), struck]


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(made)
    made.add_argument("--seed", type=int, default=1, help="of all that is random (default: %(default)s)")
    made.add_argument("--kills", type=int, default=KILLS, metavar="N", help="default: %(default)s")
    made.add_argument("--full-disks", type=int, default=FULL_DISKS, metavar="N", help="default: %(default)s")
    return made


def main() -> int:
    """Measure and report."""
    options = build_parser().parse_args()
    if not enter_namespace():
        print("skipped: a disk of its own may not be mounted here: run it as root, or permit user namespaces")
        return 0
    sample = chosen(options)
    if sample is None:
        return 0
    with working(options.work, "chaos") as work:
        lines, outcome = measure(work, sample, options)
    body = "\n".join(lines)
    if options.pixels is None and (options.kills, options.full_disks) == (KILLS, FULL_DISKS):
        report.write_section("chaos", "Chaos", body)
        document(CHAOS, [outcome])
    else:
        print(body, outcome.line(), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
