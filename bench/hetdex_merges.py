"""Merged files of HETDEX's release: seconds, MB/s, and memory by the number of shots.

Shots of 8 IFUs with 6 emission lines, 3 continuum sources and 1,344 fibers each, of random numbers. Whole processes,
imports included, one thread. Files that were just written are read from the disk's cache.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lib import ROOT, measure, report

N_IFU, N_LINES, N_CONTINUUM = 8, 6, 3
PROGRAMS = ROOT / "scripts" / "reduction" / "hetdex"
GOAL_MB, GOAL_GROWTH_MB, GOAL_S = 300, 15, 120


def make(root: Path, n: int) -> None:
    """Write what shots leave, and print their names: in a process of its own, see `hetdex_shot.make`."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]
    import hetdex_products as products
    from skyharvest.reduction.hetdex.layout import Layout

    layout, names = Layout(root), products.shots(n)
    ifus = tuple(f"{k + 1:03d}_{k + 11:03d}_{k + 21:03d}_{k + 100:04d}" for k in range(N_IFU))
    products.write_small_plan(layout, names, ifus)
    for shot in names:
        for ifu in ifus:
            products.write_ifu(layout, shot, ifu, N_LINES)
        products.write_continuum(layout, shot, N_CONTINUUM, ifus)
        products.write_shot(layout, shot, ifus, spectra=False)
        products.write_fibers(layout, shot, ifus)
    print(*names)


class Release:
    """The merges of a release.

    Parameters
    ----------
    root
        Directory of the reduction.
    shots
        Those that are merged.
    """

    def __init__(self, root: Path, shots: Sequence[str]) -> None:
        self.root, self.shots = root, shots
        self.months = sorted({shot[:6] for shot in shots})
        self.detect = root / f"release/detect/detect_n{len(shots)}.h5"
        self.cont = root / f"release/detect/cont_n{len(shots)}.h5"
        self.survey = root / f"release/survey/survey_n{len(shots)}.h5"
        self.fibers = root / f"release/survey/fiber_index_n{len(shots)}.h5"

    def _run(self, program: str, out: Path, *given: str | Path) -> measure.Run:
        return measure.run([sys.executable, PROGRAMS / f"{program}.py", *given, "--out", out], limit_s=1800)

    def _of_shots(self, program: str, out: Path) -> measure.Run:
        return self._run(program, out, "--reduction", self.root, "--shots", *self.shots)

    def collect(self) -> list[measure.Run]:
        """Collect the lines of each month."""
        runs = []
        for month in self.months:
            shots = [shot for shot in self.shots if shot.startswith(month)]
            out = self.root / f"release/detect/months/detect_{month}.h5"
            runs.append(self._run("collect_detections", out, "--reduction", self.root, "--shots", *shots))
        return runs

    def merge_lines(self) -> measure.Run:
        """Merge the lines of all months."""
        return self._run("merge_detections", self.detect, "--reduction", self.root, "--months", *self.months)

    def merge_continuum(self) -> measure.Run:
        """Merge the continuum sources of all shots."""
        return self._of_shots("merge_detections", self.cont)

    def index(self) -> measure.Run:
        """Index both."""
        out = self.root / "release/detect/detect_index_hdr5.h5"
        given = ("--release", f"n{len(self.shots)}", "--lines", self.detect, "--continuum", self.cont)
        return self._run("index_detections", out, *given)

    def write_survey(self) -> measure.Run:
        """Write the table of shots."""
        return self._of_shots("write_survey", self.survey)

    def merge_fibers(self) -> measure.Run:
        """Merge the tables of fibers."""
        return self._of_shots("merge_fiber_index", self.fibers)


def merge_rows(release: Release) -> tuple[list[report.Row], dict[str, float]]:
    """Measure the merges of a release.

    Returns
    -------
    rows
        Seconds and MB/s.
    peaks
        Name of a merge → peak memory, MB.
    """
    n = len(release.shots)
    rows, peaks, total = [], {}, 0.0
    steps: tuple[tuple[str, Callable[[], measure.Run | list[measure.Run]], Path | None], ...] = (
        ("lines of IFUs collected by month", release.collect, None),
        ("lines of months merged", release.merge_lines, release.detect),
        ("continuum sources of shots merged", release.merge_continuum, release.cont),
        ("index of detections", release.index, None),
        ("survey", release.write_survey, None),
        ("fiber index", release.merge_fibers, release.fibers),
    )
    for name, do, made in steps:
        done = do()
        runs = done if isinstance(done, list) else [done]
        seconds = sum(run.seconds for run in runs)
        total += seconds
        peaks[name] = max(run.peak_bytes for run in runs) / measure.MB
        size = made.stat().st_size / measure.MB if made else 0
        speed = f"; {size:.0f} MB, {size / seconds:.0f} MB/s" if made else ""
        rows.append(report.Row(f"{n} shots, {name}", f"{seconds:.1f} s{speed}"))
    goal = {"goal_text": f"≤ {GOAL_S} s", "reached": total <= GOAL_S}
    rows.append(report.Row(f"{n} shots, all of these", f"{total:.1f} s", **goal))
    return rows, peaks


def memory_rows(peaks: dict[int, dict[str, float]]) -> list[report.Row]:
    """Return the peak memory of each merge, by the number of shots."""
    rows = []
    fewest, most = min(peaks), max(peaks)
    for name in peaks[most]:
        values = ", ".join(f"{peaks[n][name]:.0f}" for n in sorted(peaks))
        grown = peaks[most][name] - peaks[fewest][name]
        rows.append(
            report.Row(
                f"{name}: peak memory of {', '.join(map(str, sorted(peaks)))} shots",
                f"{values} MB",
                goal_text=f"≤ {GOAL_MB} MB, and {GOAL_GROWTH_MB} MB more",
                reached=peaks[most][name] <= GOAL_MB and grown <= GOAL_GROWTH_MB,
            )
        )
    return rows


def main() -> int:
    """Measure, and write the section."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--make", nargs=2, metavar=("DIR", "SHOTS"), help=argparse.SUPPRESS)
    options.add_argument("--shots", type=int, nargs="+", default=[50, 100, 200], help="numbers of shots")
    given = options.parse_args()
    if given.make:
        make(Path(given.make[0]), int(given.make[1]))
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    rows, peaks = [], {}
    with tempfile.TemporaryDirectory(prefix="skyharvest-hetdex-merges-") as folder:
        root, most = Path(folder), max(given.shots)
        made = measure.run([sys.executable, Path(__file__).resolve(), "--make", root, str(most)], limit_s=1800)
        names = made.output.split()
        for n in sorted(given.shots):
            measured, peaks[n] = merge_rows(Release(root, names[:n]))
            rows += measured if n == most else []
    rows += memory_rows(peaks)
    report.write_section("hetdex_merges", "HETDEX: merged files of a release", report.comparison(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
