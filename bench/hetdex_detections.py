"""Emission lines of HETDEX: what their search and fits take, and what they find of lines that are known.

A whole IFU in three exposures, of the tests' own model: stars, and lines of a signal to noise from 4 to 14. Search and
fits are timed by themselves, on one core, and as the program that writes an IFU's directory, imports and the reading of
the shot's file included. What is found is counted on more such IFUs, with lines and without.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from lib import ROOT, measure, report

STUDY_SEARCH_S, STUDY_FITS_S = 13.0, 32.0
"""What a study's prototype in numpy took for an IFU and shot, as it was told: it was not run here."""
GOAL_S, GOAL_FALSE, GOAL_FAINT, GOAL_BRIGHT, GOAL_FLUX = 10.0, 1 / 3, 0.85, 0.95, 0.05
N_RUNS, N_IFUS = 3, 48
FLUXES = (8.0, 30.0)
"""Of lines, 1e-17 erg/s/cm²: that have a signal to noise of about 4 to 14."""
APART = 6.0
"""Arcsec from stars to lines, at least."""
PROGRAM = ROOT / "scripts" / "reduction" / "hetdex" / "find_lines.py"
SHOT, IFU = "20190103v017", "020_106_055_0123"


def fibers_of(seed: int, *, lines: bool) -> tuple[Any, list[Any]]:
    """Return fibers of an IFU with stars, and the lines that were put in."""
    import numpy as np

    from hetdex_sources import Line, Star, ifu_fibers

    random = np.random.default_rng(seed)
    stars = [Star(x, y, 10 ** random.uniform(-0.3, 1.7), 0.4) for x, y in random.uniform(-22, 22, (7, 2))]
    put = []
    if lines:
        for place in np.stack([one.ravel() for one in np.mgrid[-18:19:6, -18:19:6]], axis=1):
            x, y = place + random.uniform(-1, 1, 2)
            wave, flux = random.uniform(3800, 5400), random.uniform(*FLUXES)
            if min(np.hypot(x - one.x, y - one.y) for one in stars) > APART:
                put.append(Line(x, y, wave, flux))
    return ifu_fibers([*stars, *put], correlated=True, seed=seed), put


def make(root: Path) -> None:
    """Write a shot of one IFU: in a process of its own, as what it takes is not measured."""
    from hetdex_shot_file import write_shot
    from skyharvest.reduction.hetdex.layout import Layout

    write_shot(Layout(root), fibers_of(1, lines=True)[0])


def stages() -> None:
    """Print CPU seconds of search and fits (JSON)."""
    from skyharvest.reduction.hetdex.lines.line_fit import fit_lines
    from skyharvest.reduction.hetdex.lines.line_search import search
    from skyharvest.reduction.hetdex.settings import Detections

    how, (fibers, _) = Detections(), fibers_of(1, lines=True)
    found = search(fibers, how)
    of_search = measure.cpu_s(lambda: search(fibers, how), N_RUNS)
    of_fits = measure.cpu_s(lambda: fit_lines(fibers, found, how), N_RUNS)
    print(json.dumps({"search": of_search, "fits": of_fits, "candidates": len(found.candidates)}))


def quality() -> None:
    """Print what is found of lines, and where there are none (JSON)."""
    import numpy as np

    from hetdex_sources import MIDDLE
    from skyharvest.reduction.hetdex.lines.find_lines import lines_of
    from skyharvest.reduction.hetdex.lines.line_noise import fit_by_noise, noise_at
    from skyharvest.reduction.hetdex.settings import Detections
    from skyharvest.reduction.hetdex.virus import GRID

    how = Detections()
    n_false, rows = 0, []
    for seed in range(N_IFUS):
        n_false += len(lines_of(fibers_of(seed, lines=False)[0], how).lines)
        fibers, put = fibers_of(100 + seed, lines=True)
        found = lines_of(fibers, how)
        places = [(line.x + MIDDLE[0], line.y + MIDDLE[1], line.wave, line.width, line.flux) for line in put]
        x, y, wave, width, flux = np.array(places).T
        noise = noise_at(fibers, how.aperture, x, y, wave, width)[0] * np.interp(wave, GRID, found.search.ratio)
        sn = flux / noise / fit_by_noise(width, how.fit_half_width)
        for k, true in enumerate(flux):
            off = [np.hypot(one.place.x - x[k], one.place.y - y[k]) for one in found.lines]
            near = [
                one
                for one, apart in zip(found.lines, off, strict=True)
                if apart < 2 and abs(one.fit.wave - wave[k]) < 5
            ]
            made, error = (near[0].fit.flux, near[0].errors[0]) if near else (np.nan, np.nan)
            rows.append((sn[k], bool(near), made / true, (made - true) / error))
    sn, seen, ratio, pull = np.array(rows).T
    faint, bright, measured = (sn >= 5) & (sn < 6), sn >= 6.5, (sn >= 6) & (seen > 0)
    print(
        json.dumps(
            {
                "false": n_false / N_IFUS,
                "faint": seen[faint].mean(),
                "bright": seen[bright].mean(),
                "ratio": float(np.median(ratio[measured])),
                "pull": float(pull[measured].std()),
                "n": len(rows),
            }
        )
    )


def told(option: str) -> dict[str, float]:
    """Return what this program prints with an option, in a process of its own."""
    done = measure.run([sys.executable, Path(__file__).resolve(), option], limit_s=3600)
    made: dict[str, float] = json.loads(done.output)
    return made


def time_rows(root: Path) -> list[report.Row]:
    """Measure what lines take."""
    of = told("--stages")
    measure.run([sys.executable, Path(__file__).resolve(), "--make", root])
    files = {"--shot": "shots", "--astrometry": "astrometry", "--stars": "stars"}
    given = [word for option, step in files.items() for word in (option, root / step / f"{SHOT}.h5")]
    done = [
        measure.run([sys.executable, PROGRAM, *given, "--ifu", IFU, "--out", root / "lines"]) for _ in range(N_RUNS)
    ]
    whole, memory = statistics.median(one.cpu_s for one in done), max(one.peak_bytes for one in done) / measure.MB
    both, study = of["search"] + of["fits"], STUDY_SEARCH_S + STUDY_FITS_S
    return [
        report.Row(
            "search of an IFU, three exposures: CPU s",
            f"{of['search']:.2f} s",
            f"{STUDY_SEARCH_S:g} s",
            STUDY_SEARCH_S / of["search"],
        ),
        report.Row(
            f"fits of its {of['candidates']:.0f} candidates: CPU s",
            f"{of['fits']:.2f} s",
            f"{STUDY_FITS_S:g} s",
            STUDY_FITS_S / of["fits"],
        ),
        report.Row(
            "search and fits, both: CPU s",
            f"{both:.2f} s",
            f"{study:g} s",
            study / both,
            goal_text=f"≤ {GOAL_S:g} s",
            reached=both <= GOAL_S,
        ),
        report.Row("… the whole process, with flux limits", f"{whole:.1f} s"),
        report.Row("… its peak memory", f"{memory:.0f} MB"),
    ]


def quality_rows() -> list[report.Row]:
    """Measure what is found."""
    of = told("--quality")
    return [
        report.Row(
            f"found where there are none, for each of {N_IFUS} IFUs",
            f"{of['false']:.2f}",
            goal_text=f"≤ {GOAL_FALSE:.2f}",
            reached=of["false"] <= GOAL_FALSE,
        ),
        report.Row(
            f"found of {of['n']:.0f} lines, at S/N 5 to 6 of a fit",
            f"{of['faint']:.2f}",
            goal_text=f"≥ {GOAL_FAINT:g}",
            reached=of["faint"] >= GOAL_FAINT,
        ),
        report.Row(
            "… above 6.5", f"{of['bright']:.2f}", goal_text=f"≥ {GOAL_BRIGHT:g}", reached=of["bright"] >= GOAL_BRIGHT
        ),
        report.Row(
            "… their flux over the true one, median above 6",
            f"{of['ratio']:.3f}",
            goal_text=f"1 ± {GOAL_FLUX:g}",
            reached=abs(of["ratio"] - 1) <= GOAL_FLUX,
        ),
        report.Row(
            "… scatter of their flux by its error",
            f"{of['pull']:.2f}",
            goal_text="0.9 to 1.1",
            reached=0.9 <= of["pull"] <= 1.1,
        ),
    ]


def main() -> int:
    """Measure, and write the section."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--make", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    options.add_argument("--stages", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--quality", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]
    if given.make or given.stages or given.quality:
        make(given.make) if given.make else stages() if given.stages else quality()
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="skyharvest-hetdex-detections-") as folder:
        rows = time_rows(Path(folder))
    rows += quality_rows()
    about = "Other: a study's prototype in numpy, as its report has it."
    report.write_section("hetdex_detections", "HETDEX: emission lines", f"{report.comparison(rows)}\n\n{about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
