"""An exposure of HETDEX: seconds of each part of its reduction, of a whole job of four amplifiers, and its memory.

Frames are made by the tests' own model, which has nothing of the code that is measured: dark sky, and 220 cosmic rays a
frame.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from lib import ROOT, measure, report
from lib.report import Row

sys.path.insert(0, str(ROOT / "tests"))

TIMES = 5
GOAL_S, STUDY_S, GOAL_MB = 0.85, 1.7, 1500
"""Goals for an amplifier, and for a job; what a study in numpy took for an amplifier, without writing it."""
RAYS = 220
PROGRAM = ROOT / "scripts/reduction/hetdex/extract_exposure.py"


def jobs(root: Path) -> list[Row]:
    """Return figures of a whole job, measured from outside: this process has imported nothing large yet."""
    made = [sys.executable, "-c", _WRITE, str(ROOT), str(root), str(RAYS)]
    options = measure.run(made).output.splitlines()
    command = [sys.executable, PROGRAM, *options]
    measure.run(command)  # compiles
    runs = [measure.run(command) for _ in range(TIMES)]
    cpu = measure.median(runs, lambda run: run.cpu_s) / 4
    wall = measure.median(runs) / 4
    megabytes = max(run.peak_bytes for run in runs) / measure.MB
    return [
        Row(
            "a job of four amplifiers, all included: CPU s of each",
            f"{cpu:.2f} s",
            f"{STUDY_S:g} s",
            STUDY_S / cpu,
            goal_text=f"≤ {GOAL_S} s",
            reached=cpu <= GOAL_S,
        ),
        Row("… seconds of each", f"{wall:.2f} s"),
        Row(
            "… peak memory of the job", f"{megabytes:.0f} MB", goal_text=f"≤ {GOAL_MB} MB", reached=megabytes <= GOAL_MB
        ),
    ]


_WRITE = """
import sys
from pathlib import Path
bench, root, rays = sys.argv[1:]
sys.path[:0] = [f"{bench}/tests", f"{bench}/scripts"]
from hetdex_exposure import IFU, words, write_exposure
print("\\n".join(words(write_exposure(Path(root), int(rays)), Path(root) / "out" / IFU)))
"""


def parts(root: Path) -> list[Row]:
    """Return figures of the parts."""
    import numpy as np
    from scipy.interpolate import make_lsq_spline

    from hetdex_amplifier import READNOISE, N
    from hetdex_exposure import IFU, SHOT
    from skyharvest.reduction.hetdex.detector.background import scattered_light
    from skyharvest.reduction.hetdex.frames import frames_file
    from skyharvest.reduction.hetdex.frames.frame import read_frame
    from skyharvest.reduction.hetdex.settings import Background, Cosmics, Extract, Sky
    from skyharvest.reduction.hetdex.spectra import multifits, sky_spline
    from skyharvest.reduction.hetdex.spectra.cosmics import extract_without_cosmics
    from skyharvest.reduction.hetdex.spectra.local_sky import fit_sky
    from skyharvest.reduction.hetdex.spectra.reduced_amp import HowToReduce, reduce_amp
    from skyharvest.reduction.hetdex.spectra.science import ScienceInputs, read_calibration
    from skyharvest.reduction.hetdex.spectra.trace_shift import shifted_traces

    products = (
        root / name for name in ("bias.fits", "trace.fits", "flat", f"wavelength/{IFU}.fits", "amp_to_amp.fits")
    )
    inputs = ScienceInputs(root / f"{IFU}.csv", *products)
    member = frames_file.read_one(inputs.frames, "sci", SHOT, 1, "LL")
    month = read_calibration(inputs, IFU, "LL")
    image = read_frame(member).image - month.bias
    how = HowToReduce(Background(), Cosmics(), Extract(), Sky())
    scattered = scattered_light(image, month.trace, month.good, how.background).image
    bare, noise = image - scattered, (scattered, np.ones((N, N), np.float32), READNOISE)
    moved = shifted_traces(bare, month.good, month.trace, month.alive, month.profile, *noise, how.extract, how.cosmics)
    reduced = reduce_amp(image + month.bias, READNOISE, month, how)
    spectra = {name: reduced.arrays[name] for name in ("sky_subtracted", "sky_spectrum", "error1d")}
    counts = spectra["sky_subtracted"] + spectra["sky_spectrum"]
    header = {"NAME0": "", **dict.fromkeys(multifits.COUNTS, 0)}
    arrays = reduced.arrays | {"ifupos": np.zeros((112, 2))}
    written = root / "multi.fits"
    ok = np.isfinite(counts)
    order = np.argsort(month.wavelength[ok])
    samples = month.wavelength[ok][order], counts[ok][order]
    knots = np.arange(samples[0][0] + 4, samples[0][-1] - 4, how.sky.sky_knots)
    knots = np.r_[[samples[0][0]] * 4, knots, [samples[0][-1]] * 4]

    figures = {
        "frame and calibration read": lambda: (read_frame(member), read_calibration(inputs, IFU, "LL")),
        "scattered light": lambda: scattered_light(image, month.trace, month.good, how.background),
        "shift of traces": lambda: shifted_traces(
            bare, month.good, month.trace, month.alive, month.profile, *noise, how.extract, how.cosmics
        ),
        "cosmic rays, and extraction": lambda: extract_without_cosmics(
            bare, month.good, moved.weights, month.alive, *noise, how.cosmics, moved.cleaned.model
        ),
        "local sky": lambda: fit_sky(counts, spectra["error1d"], month.wavelength, how.sky),
        "all that is computed": lambda: reduce_amp(image + month.bias, READNOISE, month, how),
        "multifits written": lambda: multifits.write(written, header, arrays),
    }
    rows = [Row(f"{what}: CPU s", f"{measure.cpu_s(do):.3f} s") for what, do in figures.items()]
    ours = measure.cpu_s(lambda: sky_spline.fit(*samples, np.ones(len(order)), how.sky.sky_knots, rounds=0))
    theirs = measure.cpu_s(lambda: make_lsq_spline(*samples, knots))
    rows.append(
        Row("a spline through 115,000 pixels; scipy", f"{ours * 1000:.0f} ms", f"{theirs * 1000:.0f} ms", theirs / ours)
    )
    return rows


def main() -> int:
    """Measure and report."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory(prefix="skyharvest-hetdex-science-") as folder:
        figures = jobs(Path(folder)) + parts(Path(folder))
    about = "Amplifiers of 112 fibers, on one core. Beside the job: a study in numpy, without what it wrote."
    report.write_section("hetdex_science", "HETDEX: an exposure", f"{report.comparison(figures)}\n\n{about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
