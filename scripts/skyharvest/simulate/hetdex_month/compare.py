"""The reduction of a simulated month, compared with its truth.

What is compared are the products that people read: calibrations by pairing, multifits, files of shots.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import fitsio
import h5py
import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.amp_file import DONE, AmpFailed, AmpFile
from skyharvest.reduction.hetdex.calibration.amp_to_amp import AmpRatios
from skyharvest.reduction.hetdex.layout import AMPS, Layout, name_of_exposure
from skyharvest.simulate.hetdex_month.checks import Check, Worst, fiber_places, guarded, listed, rms, rows_of_amp
from skyharvest.simulate.hetdex_month.detector import DEFECT
from skyharvest.simulate.hetdex_month.field import Pointing
from skyharvest.simulate.hetdex_month.seeing import KNOTS, fractions
from skyharvest.simulate.hetdex_month.truth import GRID, Truth

BIAS = 0.7
"""rms over read noise / √ number of frames; a box of seven pixels makes it 0.4."""
TRACE = 0.03
"""Pixels, rms."""
WAVELENGTH, WAVELENGTH_MOST = 0.1, 0.4
"""Å: rms, and of the worst pixel."""
FIBER_TO_FIBER, AMP_TO_AMP = 0.005, 0.01
"""Relative, rms; of the worst amplifier."""
SKY = 0.015
"""Level of the sky in an amplifier, of that in the median one."""
PULL = (0.95, 1.05)
RECALL, FALSE = 0.98, 3.0
"""Of pixels that cosmic rays hit; in a frame."""
FWHM, POSITION = 0.05, 0.15
"""″; positions: rms of fibers."""
SHAPE, LEVEL = 0.02, 0.03
"""Of the throughput: rms of its ratio to the truth, and how far off that is."""
STAR = 0.03
"""Flux of stars from calibrated fibers: rms of those brighter than `BRIGHT`."""
BRIGHT = 18.6
COVERED = 0.22
"""Of its light, what fibers of an exposure get of a star that is not on the edge, at least."""
TRAP_ROWS = 15
"""A trap may be found so many rows off."""
LINE_5461 = 5460.7
SOURCE_FREE = 0.5
"""Normalised counts: fibers with less light of sources in each pixel have none."""
CLIP = 5.0
"""Pulls beyond it are not counted in a spread; how many there are is told."""
FIT = slice(15, 965)
"""Of the grid: 3500 to 5400 Å, where throughput and stars are compared."""


def check_month(root: Path, reduction: Path) -> Iterator[Check]:
    """Yield the comparisons of a reduction with the truth.

    Parameters
    ----------
    root
        Where the month was simulated.
    reduction
        Its reduction, ``results/reduction/hetdex``.
    """
    layout = Layout(reduction)
    with Truth(root / "truth.h5") as truth:
        for month, ifus in sorted(truth.months.items()):
            yield from guarded(f"{month}: calibration", check_calibration(truth, layout, month, ifus))
        for shot in truth.shots:
            yield from guarded(f"{shot}: spectra", check_science(truth, layout, shot))
            has_stars = any(truth.sources(shot, "star")[0]["ifuslot"] != b"")
            check = check_shot if has_stars else check_failed_shot
            yield from guarded(f"{shot}: shot", check(truth, layout, shot))


def check_calibration(truth: Truth, layout: Layout, month: str, ifus: Iterable[str]) -> Iterator[Check]:
    """Yield comparisons of what a month's biases and twilights tell."""
    trace, wave, most, f2f, bias = Worst(), Worst(), Worst(), Worst(), Worst()
    wrong_fibers: list[str] = []
    wrong_amps: list[str] = []
    not_found: list[str] = []
    for ifu in ifus:
        with (
            AmpFile(layout.calibration("bias", month, ifu)) as biases,
            AmpFile(layout.calibration("trace", month, ifu)) as traces,
            AmpFile(layout.calibration("wavelength", month, ifu)) as waves,
            AmpFile(layout.flat(month, ifu) / "flat.fits") as flats,
        ):
            for amp in [amp for amp in AMPS if f"{ifu}_{amp}" in truth.amps]:
                name = f"{ifu}_{amp}"
                dark = bool(truth.amp_value(name, "dark"))
                noise = truth.amp_value(name, "read_noise") / np.sqrt(float(biases.values(amp)["n_frames"]))
                bias.add(rms(biases.array("bias", amp) - truth.amp(name, "bias")) / noise, name)
                if not dark and not _trap_found(truth, name, biases, amp):
                    not_found.append(f"trap of {name}")
                if dark != (traces.states[amp][0] != DONE):
                    wrong_amps.append(name)
                if dark or traces.states[amp][0] != DONE:
                    continue
                alive = truth.amp(name, "alive").astype(bool)
                if not np.array_equal(traces.array("alive", amp).astype(bool), alive):
                    wrong_fibers.append(name)
                trace.add(rms((traces.array("trace", amp) - truth.amp(name, "trace"))[alive]), name)
                if not _defect_found(truth, name, flats.array("good", amp).astype(bool)):
                    not_found.append(f"defect of {name}")
                off = (waves.array("wavelength", amp) - truth.amp(name, "wavelength"))[alive]
                wave.add(rms(off), name)
                most.add(float(np.abs(off).max()), name)
                ratio = (waves.array("fiber_to_fiber", amp) / truth.amp(name, "fiber_to_fiber"))[alive]
                f2f.add(rms(ratio / np.median(ratio) - 1), name)
    yield bias.check(f"{month}: bias, rms over its noise", BIAS, ".2f")
    yield Check(f"{month}: traps and defects", listed(not_found, "all found"), "all found", not not_found)
    yield Check(f"{month}: amplifiers without light", listed(wrong_amps, "as they are"), "as they are", not wrong_amps)
    yield Check(f"{month}: living fibers", listed(wrong_fibers, "as they are"), "as they are", not wrong_fibers)
    yield trace.check(f"{month}: traces, rms", TRACE, ".3f", " pixel")
    yield wave.check(f"{month}: wavelengths, rms", WAVELENGTH, ".3f", " Å")
    yield most.check(f"{month}: wavelengths, worst", WAVELENGTH_MOST, ".2f", " Å")
    yield f2f.check(f"{month}: fiber to fiber, rms", FIBER_TO_FIBER, ".2%")
    yield _amp_to_amp(truth, layout, month, ifus)


def _amp_to_amp(truth: Truth, layout: Layout, month: str, ifus: Iterable[str]) -> Check:
    """Compare the amplifiers' throughputs, each over the mean of all of the month."""
    worst = Worst()
    seen, true = {}, {}
    ratios = AmpRatios(layout.amp_to_amp(month))
    for ifu, amp in ((ifu, amp) for ifu in ifus for amp in AMPS if f"{ifu}_{amp}" in truth.amps):
        name = f"{ifu}_{amp}"
        if not truth.amp_value(name, "dark"):
            try:
                seen[name] = np.asarray(ratios.ratio(ifu, amp), float)
            except AmpFailed:
                worst.add(np.nan, name)
                continue
            wave = truth.amp(name, "wavelength").mean(0)
            true[name] = np.interp(GRID, wave, truth.amp(name, "amp_to_amp"))
    if seen:
        seen_mean, true_mean = (np.nanmean(list(one.values()), axis=0) for one in (seen, true))
        for name in seen:
            worst.add(rms(((seen[name] / seen_mean) / (true[name] / true_mean) - 1)[FIT]), name)
    return worst.check(f"{month}: amplifier to amplifier, rms", AMP_TO_AMP, ".2%")


def _trap_found(truth: Truth, name: str, biases: AmpFile, amp: str) -> bool:
    try:
        traps = biases.array("traps", amp)
    except MalformedFile:  # FITS has no empty images
        return False
    return all(
        any(column == x and abs(row - y) <= TRAP_ROWS for x, y, *_ in traps)
        for column, row in truth.amp_value(name, "traps")
    )


def _defect_found(truth: Truth, name: str, good: Bools) -> bool:
    y, x = truth.amp_value(name, "defect")
    rows, columns, _ = DEFECT
    return bool(np.mean(good[y : y + rows, x : x + columns]) < 0.05)


def multifits(layout: Layout, shot: str, expnum: int, name: str) -> Path:
    """Return the multifits of an amplifier, ``317_015_038_0211_LL``."""
    specid, ifuslot, ifuid, contid, amp = name.split("_")
    directory = layout.science(shot, name_of_exposure(expnum), f"{specid}_{ifuslot}_{ifuid}_{contid}")
    return directory / f"multi_{specid}_{ifuslot}_{ifuid}_{amp}.fits"


def check_science(truth: Truth, layout: Layout, shot: str) -> Iterator[Check]:
    """Yield comparisons of a shot's spectra."""
    pulls: list[Floats] = []
    at_line: list[Floats] = []
    hit = found = false = frames = 0
    levels: dict[str, float] = {}
    wrong: list[str] = []
    for expnum in truth.exposures(shot):
        for name in truth.frames(shot, expnum):
            path = multifits(layout, shot, expnum, name)
            wanted = truth.readable(shot, expnum, name) and not truth.amp_value(name, "dark")
            if wanted != path.is_file():
                wrong.append(f"{name_of_exposure(expnum)} {name}")
            if not path.is_file():
                continue
            frames += 1
            with fitsio.FITS(str(path)) as file:
                left, error = file["sky_subtracted"].read(), file["error1d"].read()
                sky, wave = file["sky_spectrum"].read(), truth.amp(name, "wavelength")
                good = np.isfinite(file["flat"].read())
                cosmics = ~np.isfinite(file["error"].read()) & good
            free = truth.amp(name, "alive").astype(bool)
            free &= truth.source_light(shot, expnum, name).max(1) < SOURCE_FREE
            pull = left[free] / error[free]
            pulls.append(pull[np.isfinite(pull)])
            line = pull[np.abs(wave[free] - LINE_5461) < 4]
            at_line.append(line[np.isfinite(line)])
            levels[f"{name_of_exposure(expnum)} {name}"] = float(
                np.nanmedian((sky / truth.sky(shot, expnum, name))[free])
            )
            true = truth.cosmics(shot, expnum, name) & good
            hit += int(true.sum())
            found += int((true & cosmics).sum())
            false += int((cosmics & ~_beside(true)).sum())
    yield Check(
        f"{shot}: amplifiers done", listed(wrong, f"{frames} frames"), "all that can be", not wrong and frames > 0
    )
    yield _pulls(f"{shot}: pulls of sky, all", pulls)
    yield _pulls(f"{shot}: pulls of sky at 5461 Å", at_line)
    level = Worst()
    for name, ratio in levels.items():
        level.add(abs(ratio / float(np.median(list(levels.values()))) - 1), name)
    yield level.check(f"{shot}: sky of amplifiers, relative", SKY, ".2%")
    recall, each = found / max(hit, 1), false / max(frames, 1)
    yield Check(f"{shot}: cosmic rays found", f"{recall:.3f} of {hit} pixels", f"≥ {RECALL}", recall >= RECALL)
    yield Check(f"{shot}: false cosmic rays", f"{each:.1f} pixels a frame", f"≤ {FALSE}", each <= FALSE)


def _beside(mask: Bools) -> Bools:
    """Return a mask and its neighbours: what is masked beside a ray is not false."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    wide = grown.copy()
    wide[:, 1:] |= grown[:, :-1]
    wide[:, :-1] |= grown[:, 1:]
    return wide


def _pulls(what: str, parts: list[Floats]) -> Check:
    low, high = PULL
    all_of_them = np.concatenate(parts) if parts else np.zeros(0)
    inside = all_of_them[np.abs(all_of_them) < CLIP]
    spread = float(np.sqrt(np.mean(inside**2))) if inside.size else np.nan
    far = 1 - inside.size / max(all_of_them.size, 1)
    return Check(what, f"{spread:.3f} ({far:.1e} beyond {CLIP:g})", f"{low} to {high}", low <= spread <= high)


def check_shot(truth: Truth, layout: Layout, shot: str) -> Iterator[Check]:
    """Yield comparisons of a shot's file: where it points, how wide stars are, its throughput, fluxes of stars."""
    path = layout.of_shot("shots", shot)
    with h5py.File(path) as file:
        if failed := str(file.attrs.get("failed", "")):
            yield Check(f"{shot}: shot file", failed, "one", well=False)
            return
        row = file["Shot"][0]
        fibers = file["Data/Fibers"]
        columns = {
            name: np.asarray(fibers[name])
            for name in ("expnum", "fibidx", "multiframe", "ra", "dec", "calfib", "calfibe")
        }
        curve = np.asarray(file["Calibration/Throughput/throughput"])
    expnums = truth.exposures(shot)
    fwhm = np.mean([truth.exposure_value(shot, expnum, "fwhm") for expnum in expnums])
    norm = np.array([truth.exposure_value(shot, expnum, "norm") for expnum in expnums])
    yield from _astrometry(truth, shot, columns)
    off = abs(float(row["fwhm_virus"]) - fwhm)
    yield Check(f"{shot}: FWHM", f"{row['fwhm_virus']:.3f}″ for {fwhm:.3f}″", f"± {FWHM}″", off <= FWHM)
    wrong = float(np.abs(row["relflux_virus"][: norm.size] / norm - 1).max())
    yield Check(f"{shot}: relative norms", f"{wrong:.2%} off at most", f"≤ {LEVEL:.0%}", wrong <= LEVEL)
    yield from _throughput(truth, shot, curve)
    yield _stars(truth, shot, columns)


def _astrometry(truth: Truth, shot: str, columns: dict[str, Array]) -> Iterator[Check]:
    pointing = Pointing(*(float(truth.shot_value(shot, key)) for key in ("ra", "dec", "pa")))
    worst = Worst()
    for expnum in truth.exposures(shot):
        far: list[Floats] = []
        for name in truth.frames(shot, expnum):
            _, x, y = fiber_places(truth, expnum, name)
            ra, dec = pointing.to_sky(x, y)
            rows = rows_of_amp(columns, expnum, name)
            k = columns["fibidx"][rows]
            east = (columns["ra"][rows] - ra[k]) * np.cos(np.deg2rad(pointing.dec))
            far.append(np.hypot(east, columns["dec"][rows] - dec[k]) * 3600)
        worst.add(rms(np.concatenate(far)), name_of_exposure(expnum))
    yield worst.check(f"{shot}: places of fibers, rms", POSITION, ".3f", "″")


def _throughput(truth: Truth, shot: str, curve: Array) -> Iterator[Check]:
    wave = np.asarray(curve["wavelength"], float)
    inside = (wave >= GRID[FIT][0]) & (wave <= GRID[FIT][-1])
    ratio = curve["throughput"][inside] / np.interp(wave[inside], GRID, truth.throughput)
    level = float(np.median(ratio))
    shape = rms(ratio / level - 1)
    yield Check(f"{shot}: throughput, shape", f"{shape:.2%} rms", f"≤ {SHAPE:.0%}", shape <= SHAPE)
    yield Check(f"{shot}: throughput, level", f"{level:.4f} of the truth", f"1 ± {LEVEL}", abs(level - 1) <= LEVEL)


def _stars(truth: Truth, shot: str, columns: dict[str, Array]) -> Check:
    """Compare fluxes of bright stars, as fibers near them give them by the fractions that they truly get."""
    pointing = Pointing(*(float(truth.shot_value(shot, key)) for key in ("ra", "dec", "pa")))
    stars, fluxes = truth.sources(shot, "star")
    ratios = []
    for star, flux in zip(stars, fluxes, strict=True):
        if star["g"] > BRIGHT or not star["ifuslot"]:
            continue
        x, y = pointing.to_plane(np.array(star["ra"]), np.array(star["dec"]))
        top, bottom, covered = np.zeros(GRID.size), np.zeros(GRID.size), 0.0
        for expnum in truth.exposures(shot):
            fwhm = float(truth.exposure_value(shot, expnum, "fwhm"))
            for name in truth.frames(shot, expnum):
                slot, at_x, at_y = fiber_places(truth, expnum, name)
                if slot.encode() != star["ifuslot"]:
                    continue
                rows = rows_of_amp(columns, expnum, name)
                k = columns["fibidx"][rows]
                near = np.hypot(at_x[k] - x, at_y[k] - y) < 3
                parts = fractions(at_x[k][near] - x, at_y[k][near] - y, fwhm)
                for part, row in zip(parts, rows[near], strict=True):
                    seen, error = columns["calfib"][row] * 1e-17 / 2, columns["calfibe"][row] * 1e-17 / 2
                    good = np.isfinite(seen) & (error > 0)
                    fraction = np.interp(GRID, KNOTS, part)
                    weight = np.where(good, fraction / np.where(good, error, 1) ** 2, 0)
                    top += weight * np.where(good, seen, 0)
                    bottom += weight * fraction
                    covered += float(fraction[500])
        if covered > COVERED * len(truth.exposures(shot)):  # others are told by too little of their light
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios.append(float(np.nanmedian((top / bottom / flux)[FIT])))
    spread = rms(np.array(ratios) - 1) if ratios else np.nan
    seen = f"{spread:.2%} rms, {np.mean(ratios) - 1:+.2%} on the mean of {len(ratios)}" if ratios else "nothing"
    return Check(f"{shot}: fluxes of stars", seen, f"≤ {STAR:.0%} rms", spread <= STAR)


def check_failed_shot(_truth: Truth, layout: Layout, shot: str) -> Iterator[Check]:
    """Yield whether a shot that has no stars fails, and says why."""
    with h5py.File(layout.of_shot("shots", shot)) as file:
        reason = str(file.attrs.get("failed", ""))
    yield Check(f"{shot}: without stars", reason or "a throughput", "a reason", bool(reason))
