"""The tables of a coadd and its redrock file, filled."""

from collections.abc import Mapping

import numpy as np

from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.simulate.desi import columns
from skyharvest.simulate.desi.sources import Sources
from skyharvest.simulate.desi.spectrograph import PADDED_WAVE, STEP, wavelength

SMALL_DELTA_CHI2 = 4  # redrock's ZWARN bit 2
SECONDS_PER_TSNR2_LRG = 12.15  # effective dark time, Schlafly et al. 2023, AJ 166, 259
# TSNR2_LRG = 1 in units of each tracer's arms B, R, Z: ratios of a real dark coadd.
_TSNR2_PER_LRG = {
    "GPBDARK": (3.59, 121.0, 0.0),
    "ELG": (0.0017, 0.302, 1.19),
    "GPBBRIGHT": (0.643, 21.4, 0.0),
    "LYA": (1.22, 0.0003, 0.0),
    "BGS": (8.73, 22.9, 52.6),
    "GPBBACKUP": (4.46, 146.0, 0.0),
    "QSO": (0.0432, 0.0826, 0.244),
    "LRG": (0.0171, 0.4188, 0.5641),
}


def fibermap(sources: Sources, program: str, tiles: Ints, effective: Floats, rng: np.random.Generator) -> Array:
    """Return FIBERMAP, a row per object, observed on so many ``tiles`` for so many ``effective`` seconds."""
    n = len(sources.targetid)
    table = np.zeros(n, columns.FIBERMAP)
    table["TARGETID"] = sources.targetid
    table["TARGET_RA"] = table["PLATE_RA"] = sources.ra
    table["TARGET_DEC"] = table["PLATE_DEC"] = sources.dec
    for axis in ("RA", "DEC"):
        table[f"MEAN_FIBER_{axis}"] = table[f"TARGET_{axis}"] + rng.normal(0, 1e-5, n)
        table[f"STD_FIBER_{axis}"] = rng.uniform(0, 0.08, n)
    for axis in ("X", "Y"):
        table[f"MEAN_DELTA_{axis}"] = rng.normal(0, 0.002, n)
        table[f"RMS_DELTA_{axis}"] = rng.uniform(0.001, 0.006, n)
    table["MEAN_PSF_TO_FIBER_SPECFLUX"] = rng.uniform(0.7, 0.8, n)

    star = sources.spectype == b"STAR"
    for name, scale in (("PMRA", 8.0), ("PMDEC", 8.0), ("PARALLAX", 1.0)):
        table[name] = np.where(star, rng.normal(0, scale, n), 0)
    table["REF_EPOCH"] = 2015.5
    table["REF_CAT"] = np.where(star, b"G2", b"")
    table["REF_ID"] = np.where(star, rng.integers(1 << 58, 1 << 59, n), 0)
    table["OBJTYPE"] = b"TGT"
    table["FA_TYPE"] = 1
    table["SUBPRIORITY"] = rng.random(n)
    table["OBSCONDITIONS"] = {"dark": 1, "bright": 2, "backup": 4}[program]
    table["PRIORITY_INIT"], table["NUMOBS_INIT"] = 3000, 2

    legacy = sources.targetid < 1 << 61
    table["RELEASE"] = np.where(legacy, 9010, 0)
    table["BRICKID"] = np.where(legacy, sources.targetid >> 22 & 0xFFFFF, 0)
    table["BRICK_OBJID"] = np.where(legacy, sources.targetid & 0x3FFFFF, 0)
    for row in np.flatnonzero(legacy):
        sign = "m" if sources.dec[row] < 0 else "p"
        table["BRICKNAME"][row] = f"{int(sources.ra[row] * 10):04d}{sign}{int(abs(sources.dec[row]) * 10):03d}"
    table["PHOTSYS"] = np.where(sources.dec > 32.375, b"N", b"S")
    table["MORPHTYPE"] = np.where(sources.spectype == b"GALAXY", b"SER", b"PSF")
    table["SERSIC"] = np.where(sources.spectype == b"GALAXY", rng.uniform(0.5, 5, n), 0)
    table["SHAPE_R"] = np.where(sources.spectype == b"GALAXY", rng.uniform(0.3, 2, n), 0)
    table["EBV"] = rng.uniform(0.01, 0.05, n)
    for band, low, high in (("G", 4000, 5500), ("R", 5650, 7150), ("Z", 8500, 9800)):
        inside = slice(*np.searchsorted(PADDED_WAVE, (low, high)))
        middle = (low + high) / 2
        # 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ to nanomaggies: f_nu = f_lambda wave² / c, 1 nanomaggy = 3.631e-29 erg s⁻¹ cm⁻² Hz⁻¹
        fiber = sources.model[:, inside].mean(axis=1) * 1e-17 * middle**2 / 2.99792458e18 / 3.631e-29
        table[f"FIBERFLUX_{band}"] = table[f"FIBERTOTFLUX_{band}"] = fiber
        table[f"FLUX_{band}"] = fiber * 1.4
        table[f"FLUX_IVAR_{band}"] = rng.uniform(100, 900, n)
        gaia = {"G": "BP", "R": "G", "Z": "RP"}[band]
        magnitude = 22.5 - 2.5 * np.log10(np.maximum(fiber * 1.4, 1e-3))
        table[f"GAIA_PHOT_{gaia}_MEAN_MAG"] = np.where(star, magnitude, 0)
    for band in ("W1", "W2"):
        table[f"FLUX_{band}"] = table["FLUX_Z"] * rng.uniform(0.5, 2, n)
        table[f"FLUX_IVAR_{band}"] = rng.uniform(1, 4, n)

    bits = {b"GALAXY": 1, b"QSO": 4, b"STAR": 1 << 61}  # desitarget's LRG, QSO, MWS_ANY
    table["DESI_TARGET"] = [
        bits[kind] if ours else 1 << 62 for kind, ours in zip(sources.spectype, legacy, strict=True)
    ]
    table["FA_TARGET"] = table["DESI_TARGET"]
    table["SCND_TARGET"] = np.where(legacy, 0, 1 << 10)
    table["COADD_NUMTILE"] = table["COADD_NUMNIGHT"] = tiles
    table["COADD_NUMEXP"] = tiles + 1  # the first tile took two exposures
    table["COADD_EXPTIME"] = effective * 1.3
    return table


def tile_id(program: str, pix64: int, number: Array | int) -> Array | int:
    """Return the TILEID of the ``number``-th tile over an NSIDE=64 pixel."""
    return {"dark": 1000, "bright": 20000, "backup": 40000}.get(program, 80000) + pix64 % 1000 * 4 + number


def exp_fibermap(observed: Array, program: str, pix64: int, rng: np.random.Generator) -> Array:
    """Return EXP_FIBERMAP, a row per exposure of each row of a FIBERMAP."""
    numexp = observed["COADD_NUMEXP"].astype(np.int64)
    target = np.repeat(np.arange(len(observed)), numexp)
    n = len(target)
    exposure = np.arange(n) - np.repeat(np.cumsum(numexp) - numexp, numexp)
    visit = np.maximum(exposure - 1, 0)
    table = np.zeros(n, columns.EXP_FIBERMAP)
    for name in ("TARGETID", "SUBPRIORITY", "PLATE_RA", "PLATE_DEC"):
        table[name] = observed[name][target]
    table["PRIORITY"] = 3000 - visit
    table["NIGHT"] = 20210514 + visit
    table["EXPID"] = 88800 + 150 * visit + exposure
    table["MJD"] = 59349.2 + visit + 0.014 * exposure
    table["TILEID"] = tile_id(program, pix64, visit)
    table["EXPTIME"] = observed["COADD_EXPTIME"][target] / numexp[target]
    table["PETAL_LOC"] = pix64 % 10
    table["DEVICE_LOC"] = rng.integers(0, 524, n)
    table["LOCATION"] = table["PETAL_LOC"].astype(np.int64) * 1000 + table["DEVICE_LOC"]
    table["FIBER"] = table["PETAL_LOC"] * 500 + target % 500
    table["LAMBDA_REF"] = 5400
    table["NUM_ITER"] = 2
    for axis in ("X", "Y"):
        table[f"FIBER_{axis}"] = rng.uniform(-400, 400, n)
        table[f"FIBERASSIGN_{axis}"] = table[f"FIBER_{axis}"]
        table[f"DELTA_{axis}"] = rng.normal(0, 0.003, n)
    for axis in ("RA", "DEC"):
        table[f"FIBER_{axis}"] = observed[f"TARGET_{axis}"][target] + rng.normal(0, 1e-5, n)
    table["PSF_TO_FIBER_SPECFLUX"] = observed["MEAN_PSF_TO_FIBER_SPECFLUX"][target]
    return table


def scores(targetid: Ints, flux: Mapping[str, Array], ivar: Mapping[str, Array], effective: Floats) -> Array:
    """Return SCORES of the arms' fluxes, and TSNR2 for so many ``effective`` seconds."""
    table = np.zeros(len(targetid), columns.SCORES)
    table["TARGETID"] = targetid
    for arm, low, high in (("b", 4000, 5800), ("r", 5800, 7600), ("z", 7600, 9800)):
        inside = slice(*np.searchsorted(wavelength(arm), (low, high)))
        weight = ivar[arm][:, inside]
        good = flux[arm][:, inside] * (weight > 0)
        table[f"INTEG_COADD_FLUX_{arm.upper()}"] = good.sum(axis=1) * STEP
        table[f"MEDIAN_COADD_FLUX_{arm.upper()}"] = np.median(good, axis=1)
        table[f"MEDIAN_COADD_SNR_{arm.upper()}"] = np.median(good * np.sqrt(weight), axis=1) / np.sqrt(STEP)
    for tracer, ratios in _TSNR2_PER_LRG.items():
        for arm, ratio in zip("BRZ", ratios, strict=True):
            table[f"TSNR2_{tracer}_{arm}"] = effective / SECONDS_PER_TSNR2_LRG * ratio
        table[f"TSNR2_{tracer}"] = sum(table[f"TSNR2_{tracer}_{arm}"] for arm in "BRZ")
    return table


def redshifts(sources: Sources, npixels: Ints, zwarn: Ints, rng: np.random.Generator) -> Array:
    """Return REDSHIFTS, sorted by TARGETID, from so many unmasked pixels: the truth to 3·10⁻⁵."""
    n, order = len(sources.targetid), np.argsort(sources.targetid)
    fit = np.zeros(n, columns.REDSHIFTS)
    fit["TARGETID"] = sources.targetid[order]
    fit["Z"] = (sources.z + rng.normal(0, 1e-5, n).clip(-3e-5, 3e-5))[order]
    fit["ZERR"] = rng.uniform(0.5e-5, 2e-5, n)
    fit["ZWARN"] = zwarn[order]
    fit["NPIXELS"] = npixels[order]
    fit["CHI2"] = fit["NPIXELS"] * rng.normal(1, 0.02, n)
    fit["SPECTYPE"], fit["SUBTYPE"] = sources.spectype[order], sources.subtype[order]
    fit["NCOEFF"] = np.select([fit["SPECTYPE"] == b"GALAXY", fit["SPECTYPE"] == b"QSO"], [10, 4], 5)
    fit["COEFF"] = rng.normal(0, 50, (n, 10)) * (np.arange(10) < fit["NCOEFF"][:, None])
    fit["DELTACHI2"] = np.where(fit["ZWARN"] == 0, rng.uniform(50, 3000, n), rng.uniform(0, 9, n))
    return fit


def tsnr2(scored: Array) -> Array:
    """Return TSNR2, sorted by TARGETID, of a SCORES."""
    ordered = scored[np.argsort(scored["TARGETID"])]
    table = np.zeros(len(scored), columns.TSNR2)
    for name in columns.TSNR2.names or ():
        table[name] = ordered[name]
    return table
