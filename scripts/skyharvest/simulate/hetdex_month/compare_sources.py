"""Emission lines, continuum sources and cubes of a simulated month, compared with its truth.

A simulation has few lines: what is asked of a share or a mean is asked as far as so few can tell, with `SURE`.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from scipy.stats import binom, chi2, poisson

from skyharvest.core.arrays import Array, Floats
from skyharvest.reduction.hetdex.layout import DETECTIONS_FILE, Layout
from skyharvest.simulate.hetdex_month.checks import Check, guarded, listed, rms
from skyharvest.simulate.hetdex_month.compare import BRIGHT, COVERED, FIT
from skyharvest.simulate.hetdex_month.compare_cubes import check_cubes
from skyharvest.simulate.hetdex_month.true_sources import TrueFibers
from skyharvest.simulate.hetdex_month.truth import Truth

SURE = 0.99
"""A share or a mean that is so far off happens to one of a hundred that are right."""
SHARES = ((5.0, 6.0, 0.85), (6.5, np.inf, 0.95))
"""Flux of lines over the error that the best fit has, from and to; the share of them that is found."""
FLUX, PULL = 0.05, (0.9, 1.1)
"""Of lines with more than `TOLD`: how far the mean ratio of fluxes is from 1; the scatter of pulls."""
TOLD = 6.0
WAVE, POSITION = 0.5, 0.4
"""Å and ″, rms of those lines."""
SAME, SAME_WAVE = 2.0, 6.0
"""″ and Å: a line that is found so near to a true one is that one."""
STARLIGHT = 6.0
"""″: a line that is found so near to a star may be of the star."""
FALSE = 1 / 3
"""False lines in an IFU of a shot."""
STAR_SAME = 1.0
"""″: a continuum source that is found so near to a star is that star."""
STAR_FLUX = 0.05
"""Flux of those stars: rms."""


def check_sources(root: Path, reduction: Path) -> Iterator[Check]:
    """Yield the comparisons of what was found in calibrated fibers with the truth.

    Parameters
    ----------
    root
        Where the month was simulated.
    reduction
        Its reduction, ``results/reduction/hetdex``.
    """
    layout = Layout(reduction)
    false: list[str] = []
    n_ifus = 0
    with Truth(root / "truth.h5") as truth:
        for shot in truth.shots:
            if not any(truth.sources(shot, "star")[0]["ifuslot"] != b""):
                continue  # it has no throughput
            fibers = _fibers_of(truth, layout, shot)
            yield from guarded(f"{shot}: lines", check_lines(truth, layout, shot, fibers))
            yield from guarded(f"{shot}: stars", check_stars(truth, layout, shot, fibers))
            if layout.cubes(shot).exists():
                yield from guarded(f"{shot}: cubes", check_cubes(truth, layout, shot, fibers))
            false += [f"{shot} {one}" for one in false_lines(truth, layout, shot)]
            n_ifus += len({slot for slot in truth.sources(shot, "star")[0]["ifuslot"].tolist() if slot})
    seen = f"{len(false)} in {n_ifus} IFUs of shots{': ' if false else ''}{', '.join(false[:3])}"
    yield Check("lines that are none", seen, "1 in 3", len(false) <= _most(n_ifus * FALSE))


def _fibers_of(truth: Truth, layout: Layout, shot: str) -> TrueFibers:
    with h5py.File(layout.of_shot("shots", shot)) as file:
        fibers = file["Data/Fibers"]
        return TrueFibers(truth, shot, {name: fibers[name] for name in ("expnum", "fibidx", "multiframe", "calfibe")})


def read_lines(layout: Layout, shot: str) -> Array:
    """Return the rows of ``/Detections`` of all IFUs of a shot."""
    return _read(sorted(layout.detections(shot, "*").parent.glob(f"*/{DETECTIONS_FILE}")), "Detections")


def _read(paths: list[Path], table: str) -> Array:
    rows = []
    for path in paths:
        with h5py.File(path) as file:
            rows.append(file[table][()])
    return np.concatenate(rows)


def _apart(rows: Array, ra: float, dec: float) -> Floats:
    """Return how far rows are from a place, ″."""
    east = (rows["ra"].astype(float) - ra) * np.cos(np.deg2rad(dec))
    return np.asarray(np.hypot(east, rows["dec"].astype(float) - dec) * 3600)


def check_lines(truth: Truth, layout: Layout, shot: str, fibers: TrueFibers) -> Iterator[Check]:
    """Yield comparisons of a shot's emission lines: which are found, and what is said of those that are."""
    lines, _ = truth.sources(shot, "line")
    if not len(lines):
        return
    found = read_lines(layout, shot)
    is_found = np.zeros(len(lines), bool)
    sn, ratio, pull, wave, off = (np.full(len(lines), np.nan) for _ in range(5))
    for k, line in enumerate(lines):
        total = line["total"] * 1e17
        sn[k] = fibers.seen(line).signal_to_noise(line["wave"], total, line["width"])
        apart = np.where(
            np.abs(found["wave"] - line["wave"]) < SAME_WAVE, _apart(found, line["ra"], line["dec"]), np.inf
        )
        if not len(found) or apart.min() > SAME:
            continue
        one = found[apart.argmin()]
        is_found[k] = True
        ratio[k], pull[k] = one["flux"] / total, (one["flux"] - total) / one["flux_err"]
        wave[k], off[k] = one["wave"] - line["wave"], apart.min()
    for low, high, share in SHARES:
        inside = (sn >= low) & (sn < high)
        n, n_found = int(inside.sum()), int((inside & is_found).sum())
        span = f"{low:g} to {high:g}" if np.isfinite(high) else f"> {low:g}"
        well = n - n_found <= binom.ppf(SURE, n, 1 - share)
        yield Check(f"{shot}: lines found, S/N {span}", f"{n_found} of {n}", f"≥ {share}", bool(well))
    told = is_found & (sn > TOLD)
    if told.sum() < 2:
        return
    n = int(told.sum())
    mean, spread = float(np.mean(ratio[told])), float(np.std(pull[told]))
    most = FLUX + 2.6 / np.sqrt(n) * float(np.mean(1 / sn[told]))
    yield Check(
        f"{shot}: fluxes of lines", f"{mean:.3f} of the truth, mean of {n}", f"1 ± {most:.2f}", abs(mean - 1) <= most
    )
    low, high = (PULL[0] * _spread(n, 1 - SURE), PULL[1] * _spread(n, SURE))
    yield Check(f"{shot}: pulls of fluxes of lines", f"{spread:.2f}", f"{low:.2f} to {high:.2f}", low <= spread <= high)
    yield Check(f"{shot}: wavelengths of lines", f"{rms(wave[told]):.2f} Å rms", f"≤ {WAVE} Å", rms(wave[told]) <= WAVE)
    yield Check(f"{shot}: places of lines", f"{rms(off[told]):.2f}″ rms", f"≤ {POSITION}″", rms(off[told]) <= POSITION)


def _spread(n: int, probability: float) -> float:
    """Return the quantile of the scatter of n numbers that scatter by 1."""
    return float(np.sqrt(chi2.ppf(probability, n - 1) / n))


def _most(mean: float) -> float:
    """Return how many of what happens so often on the mean there may be."""
    return float(poisson.ppf(SURE, mean))


def false_lines(truth: Truth, layout: Layout, shot: str) -> Iterator[str]:
    """Yield emission lines of a shot that are none: not of a true line, nor so near to a star that they may be its."""
    stars, lines = truth.sources(shot, "star")[0], truth.sources(shot, "line")[0]
    for one in read_lines(layout, shot):
        near_line = (_apart(lines, one["ra"], one["dec"]) < 2 * SAME) & (
            np.abs(lines["wave"] - one["wave"]) < 2 * SAME_WAVE
        )
        if not near_line.any() and _apart(stars, one["ra"], one["dec"]).min() > STARLIGHT:
            yield f"{one['detectid']} (S/N {one['sn']:.1f})"


def check_stars(truth: Truth, layout: Layout, shot: str, fibers: TrueFibers) -> Iterator[Check]:
    """Yield comparisons of a shot's continuum sources: bright stars are found, with their fluxes, and no others."""
    path = layout.of_shot("continuum", shot)
    found, spectra = _read([path], "Detections"), _read([path], "Spectra")
    assert np.array_equal(found["detectid"], spectra["detectid"])
    stars, fluxes = truth.sources(shot, "star")
    lost, ratios = [], []
    least = COVERED * len(truth.exposures(shot))
    for star, flux in zip(stars, fluxes, strict=True):
        if star["g"] > BRIGHT or not star["ifuslot"] or fibers.seen(star).covered < least:
            continue
        apart = _apart(found, star["ra"], star["dec"])
        if not len(found) or apart.min() > STAR_SAME:
            lost.append(f"g {star['g']:.1f} in {star['ifuslot'].decode()}")
            continue
        seen = spectra["spec1d"][apart.argmin()].astype(float)  # 1e-17 erg/s/cm² in 2 Å
        ratios.append(float(np.nanmedian((seen / (2e17 * flux))[FIT])))
    n = len(ratios) + len(lost)
    yield Check(f"{shot}: stars as continuum sources", listed(lost, f"{n} found"), "all", not lost and n > 0)
    others = [f"{one['detectid']}" for one in found if _apart(stars, one["ra"], one["dec"]).min() > SAME]
    yield Check(f"{shot}: other continuum sources", listed(others, "none"), "none", not others)
    if ratios:
        off = rms(np.array(ratios) - 1)
        seen_as = f"{off:.2%} rms, {np.mean(ratios) - 1:+.2%} on the mean of {len(ratios)}"
        yield Check(f"{shot}: fluxes of continuum sources", seen_as, f"≤ {STAR_FLUX:.0%} rms", off <= STAR_FLUX)
