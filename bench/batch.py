"""Where the time of a job goes that harvests a batch: its steps, by Python's profiler, on pixels of the real list.

The profiler slows short calls more than long ones; of the job as a whole, the seconds without it stand beside.
"""

import argparse
import pstats
import sys
import time
from pathlib import Path

from lib import ROOT, measure, report
from lib.big_archive import add_options, chosen, simulate
from lib.workflow import desi, prepare, run_stage, working

PIXELS = 300
PROGRAM = ROOT / "scripts" / "desi" / "harvest_desi.py"
STEPS = (
    ("finding the parts of a coadd: headers", "selection.py", "_read_tables"),
    ("matching, and choosing rows", "selection.py", "select"),
    ("reading rows of spectra", "coadd.py", "read_arms"),
    ("width of the line-spread function", "spectra.py", "lsf_sigma"),
    ("writing an extracted file", "extract.py", "_write"),
    ("reading an extracted file's tables", "hdf5.py", "read_table"),
    ("combining cameras", "spectra.py", "combine_cameras"),
    ("writing an assembled file's columns", "assemble.py", "_write_columns"),
    ("writing its spectra", "assemble.py", "_write_spectra"),
    ("writing its columns of the CSV", "csv_columns.py", "write_csv_columns"),
    ("… of all these: making short datasets", "hdf5.py", "write_column"),
    ("… of all these: HDF5 writing spectra, compression included", "dataset.py", "__setitem__"),
    ("… of all these: digests of files", "hdf5.py", "_seal"),
    ("asking whether files are there already", "batch.py", "_is_current"),
)
"""What it is, and the function, with what that calls."""


def main() -> None:
    """Profile and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(options)
    given = options.parse_args()
    keep = given.pixels is None
    given.pixels = given.pixels or PIXELS
    sample = chosen(given)
    if sample is None:
        return
    with working(given.work, "batch") as work:
        truth = simulate(work, sample, given.cores)
        prepare(work, work / "targets.csv", desi(work / "archive"))
        run_stage(work, "plan", given.cores, "plan")
        results = work / "results"
        asked = ["--archive", work / "archive", "--release", "dr1", "--batch", "all", "--name", "chandra"]
        planned = ["--targets", results / "targets" / "targets.parquet", "--plan", results / "desi" / "plan.csv"]
        program = [PROGRAM, *asked, *planned]

        def places(name: str) -> list[str | Path]:
            return ["--extracted", work / name / "extracted", "--assembled", work / name / "assembled"]

        plain = measure.run([sys.executable, *program, *places("plain")])
        began = time.monotonic()
        profile = work / "profile"
        profiled = measure.run([sys.executable, "-m", "cProfile", "-o", profile, *program, *places("profiled")])
        print(f"profiled in {time.monotonic() - began:.0f} s", file=sys.stderr)
        stats = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    rows = []
    for what, file, function in STEPS:
        found = [figures for (path, _, name), figures in stats.items() if (Path(path).name, name) == (file, function)]
        assert found, f"no {function} of {file} was called: mend STEPS"
        calls, seconds = sum(figures[1] for figures in found), sum(figures[3] for figures in found)
        rows.append([what, f"`{function}`", f"{calls:,}", f"{seconds:.1f}", f"{seconds / total:.0%}"])
    body = [
        report.table(["step", "function", "calls", "s", "of the job"], rows),
        "",
        f"{sample.n_covered} pixels, {sample.n_coadds} coadds, {truth['n_spectra'].sum():,} spectra in one job: "
        f"{plain.cpu_s:.1f} s of CPU; under the profiler {profiled.cpu_s:.1f} s. Steps have others within them: "
        "they do not add up.",
    ]
    text = "\n".join(body)
    if keep:
        report.write_section("batch", "A batch, by its steps", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
