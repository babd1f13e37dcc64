"""The engine of DESI's reduction: the fit of a PSF, moves of traces and the extraction of a camera of 25 fibers.

Whole processes, imports included, one thread, on images of full height with known truth. With ``--gpu-specter`` the
same image is extracted by that code as well, and the spectra are compared; it is not a package of a registry:
``--gpu-specter DIR`` names the ``py`` directory of a clone of github.com/desihub/gpu_specter.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from desispec.io import read_frame

from lib import ROOT, measure, report
from lib.desi_images import SHIFT, write_images
from skyharvest.reduction.desi.psf.file import read_psf
from skyharvest.simulate.desi_night.camera import Camera, cameras
from skyharvest.simulate.desi_night.psf import off

GOAL_PSF_S, GOAL_EXTRACT_S, GOAL_EXTRACT_MB = 25, 20, 600
GOAL_PIXELS, GOAL_MEDIAN, GOAL_MOST = 0.02, 0.05, 0.5
PROGRAMS = ROOT / "scripts" / "reduction" / "desi"


def program(name: str, *arguments: object) -> measure.Run:
    """Run a program of the reduction."""
    return measure.run([sys.executable, PROGRAMS / f"{name}.py", *map(str, arguments)])


def one_camera(camera: Camera, root: Path, peer: Path | None) -> list[report.Row]:
    """Measure all steps of a camera."""
    paths = write_images(root, camera)
    fitted, moved, frame = (root / f"{name}-{camera.name}.fits" for name in ("fitted", "moved", "frame"))
    arc = ("--image", paths["arc"], "--psf", paths["psf"], "--camera", camera.name)
    fit = program("fit_psf", *arc, "--out", fitted)
    shift = program("shift_traces", "--image", paths["sky"], "--psf", fitted, "--out", moved, "--sky")
    grid = ("--wavelength", camera.first, camera.last, 0.8)
    exposure = ("--image", paths["sky"], "--psf", moved, *grid)
    extract = program("extract_frame", *exposure, "--out", frame)
    modelled = program("extract_frame", *exposure, "--out", root / f"modelled-{camera.name}.fits", "--model-variance")
    arm = camera.name
    rows = [
        report.Row(
            f"{arm}: CPU s, PSF of an arc",
            f"{fit.cpu_s:.1f} s",
            goal_text=f"≤ {GOAL_PSF_S} s",
            reached=fit.cpu_s <= GOAL_PSF_S,
        ),
        _pixels(f"{arm}: its traces, from the truth at most", off(read_psf(fitted), camera, (0, 0))),
        report.Row(f"{arm}: CPU s, traces of an exposure", f"{shift.cpu_s:.1f} s"),
        _pixels(f"{arm}: these, from the truth at most", off(read_psf(moved), camera, SHIFT), goal=None),
    ]
    theirs = {"ours": f"{extract.cpu_s:.1f} s"}
    different = []
    if peer is not None:
        out, script = root / f"peer-{arm}.npz", ROOT / "bench" / "lib" / "gpu_specter_frame.py"
        other = measure.run(
            [sys.executable, script, peer, paths["sky"], moved, out, f"{camera.first}", f"{camera.last}"]
        )
        theirs |= {"peer": f"{other.cpu_s:.1f} s", "ratio": other.cpu_s / extract.cpu_s}
        different = _differences(arm, read_frame(str(frame)), out)
    rows.append(report.Row(f"{arm}: CPU s, extraction", **theirs))
    goal = {"goal_text": f"≤ {GOAL_EXTRACT_S} s", "reached": modelled.cpu_s <= GOAL_EXTRACT_S}
    rows.append(report.Row(f"{arm}: with modelled variances", f"{modelled.cpu_s:.1f} s", **goal))
    megabytes = modelled.peak_bytes / measure.MB
    goal = {"goal_text": f"≤ {GOAL_EXTRACT_MB} MB", "reached": megabytes <= GOAL_EXTRACT_MB}
    rows.append(report.Row(f"{arm}: its peak memory", f"{megabytes:.0f} MB", **goal))
    return rows + different


def _pixels(what: str, pixels: float, goal: float | None = GOAL_PIXELS) -> report.Row:
    how = {"goal_text": f"≤ {goal} pixel", "reached": pixels <= goal} if goal else {}
    return report.Row(what, f"{pixels:.3f} pixel", **how)


def _differences(arm: str, frame: object, path: Path) -> list[report.Row]:
    with np.load(path) as peer:
        flux, ivar = peer["flux"], peer["ivar"]
    good = (frame.mask == 0) & (ivar > 0)
    sigma = (np.abs(frame.flux - flux) * np.sqrt(ivar))[good]
    return [
        report.Row(
            f"{arm}: from gpu_specter's flux, {what}",
            f"{value:.1g} σ",
            goal_text=f"≤ {goal} σ",
            reached=bool(value <= goal),
        )
        for what, value, goal in (("median", np.median(sigma), GOAL_MEDIAN), ("at most", sigma.max(), GOAL_MOST))
    ]


def main() -> int:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--gpu-specter", type=Path, metavar="DIR", help="compare with it")
    given = options.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="skyharvest-extraction-") as folder:
        rows = [row for camera in cameras().values() for row in one_camera(camera, Path(folder), given.gpu_specter)]
    about = "25 fibers, 4,096 rows; whole processes with one thread. Goals of time are for one camera of one exposure."
    other = " Other: gpu_specter on the CPU." if given.gpu_specter else ""
    report.write_section("extraction", "The engine of the reduction", f"{report.comparison(rows)}\n\n{about}{other}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
