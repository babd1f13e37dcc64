"""Combining cameras and the width of the line-spread function: what numpy takes, and what numba would have to save."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lib import measure, report
from lib.measure import median
from skyharvest.simulate.desi.coadd import observe
from skyharvest.simulate.desi.sources import draw_sources
from skyharvest.surveys.desi.spectra import Arm, combine_cameras, lsf_sigma

N_SPECTRA = (1, 20, 200)
SEED = 20240613
HERE = Path(__file__).parent


def arms_of(n: int) -> dict[str, Arm]:
    """Return simulated spectra."""
    rng = np.random.default_rng(SEED)
    coadd = observe(draw_sources(rng.uniform(149, 150, n), rng.uniform(1, 2, n), rng), "main", "dark", 27247, rng)
    return {
        arm: Arm(
            coadd.wavelength[arm],
            coadd.flux[arm],
            coadd.ivar[arm],
            coadd.mask[arm].astype(np.int32),
            coadd.resolution[arm],
        )
        for arm in "brz"
    }


def seconds_of(work: Callable[[], Any], runs: int) -> float:
    """Return the median of the seconds of a call."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def numba_seconds(arms: dict[str, Arm], runs: int) -> list[float]:
    """Return medians of numba's import, compilation, and seconds per spectrum, each in new processes."""
    wave, flux, ivar, mask = combine_cameras(arms)
    starts = [int(np.argmin(np.abs(wave - arm.wavelength[0]))) for arm in arms.values()]
    given = {f"{name}_{kind}": getattr(arm, kind) for name, arm in arms.items() for kind in ("flux", "ivar", "mask")}
    with tempfile.TemporaryDirectory(prefix="skyharvest-bench-") as folder:
        path = Path(folder) / "arms.npz"
        np.savez(path, starts=starts, flux=flux, ivar=ivar, mask=mask, **given)
        done = [measure.run([sys.executable, HERE / "lib" / "with_numba.py", path]) for _ in range(runs)]
    return [statistics.median(column) for column in zip(*(map(float, run.output.split()) for run in done), strict=True)]


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5, help="runs of each")
    runs = options.parse_args().runs
    per_spectrum: dict[str, list[float]] = {"combine_cameras": [], "lsf_sigma": []}
    for n in N_SPECTRA:
        arms = arms_of(n)
        for work in (combine_cameras, lsf_sigma):
            per_spectrum[work.__name__].append(seconds_of(lambda work=work, arms=arms: work(arms), runs) / n)  # type: ignore[misc]
    lines = [[f"`{name}`", *(f"{1000 * seconds:.2f}" for seconds in figures)] for name, figures in per_spectrum.items()]
    shown = report.table(["ms per spectrum, numpy", *(f"{n} at once" for n in N_SPECTRA)], lines)
    imports = {
        module: median([measure.run([sys.executable, "-c", f"import {module}"]) for _ in range(runs)])
        for module in ("numpy", "numba")
    }
    import_s, compile_s, numba_s = numba_seconds(arms, runs)
    combine_s, lsf_s = (figures[-1] for figures in per_spectrum.values())
    break_even = (import_s + compile_s) / max(combine_s - numba_s, 1e-9)
    at_best = import_s / (combine_s + lsf_s)
    process = f"from {imports['numpy']:.2f} s (numpy alone) to {imports['numba']:.2f} s"
    notes = f"""
Importing numba takes a process {process}. `combine_cameras` written with it
gives the same bits in {1000 * numba_s:.2f} ms per spectrum, once {compile_s:.2f} s of compiling are over: it is ahead
from {break_even:,.0f} spectra in one process. If numba did both functions in no time and needed no compiling, it would
be ahead from {at_best:,.0f}. Of the Chandra list's NSIDE=16 pixels, half have 43 targets or fewer; the fullest, COSMOS,
has 2,573. So: numpy.
"""
    report.write_section("compute", "Combining cameras", shown + "\n" + notes)


if __name__ == "__main__":
    main()
