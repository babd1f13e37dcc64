"""A small public release of DESI as a whole: redshifts of given spectra and of others, tiles and exposures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skyharvest.simulate.desi import catalogues
from skyharvest.simulate.desi.catalogues import EXPOSURE, FRAME, TILE, ZPIX, ZTILE, random_rows, write_tables

SKY = 1 << 59
N_OTHERS = 200
TILES = (80, 1000, 1001)
NIGHTS = (20250115, 20250116)
Spectrum = tuple[int, str, str]
"""TARGETID, survey, program."""


def write_release(directory: Path, spectra: Sequence[Spectrum], seed: int = 1) -> None:
    """Write zall-pix, zall-tilecumulative, tiles and exposures, with all that a loader has to take care of.

    Every third target of ``spectra`` is there in sv3/bright as well, and some of these redshifts contradict; there are
    fibers of sky, a stuck one, NaN, and targets that only tiles have.
    """
    rng = np.random.default_rng(seed)
    name = directory.name
    targets = sorted({one[0] for one in spectra})
    others = [(catalogues.FIRST_TARGETID + k, "main", ("dark", "bright")[k % 2]) for k in range(N_OTHERS)]
    again = [(target, "sv3", "bright") for target in targets[::3]]
    no_targets = [(-17, "main", "dark"), (SKY | 5, "main", "dark"), (SKY | 6, "sv3", "bright")]
    zpix = _redshifts(ZPIX, [*spectra, *others, *again, *no_targets], rng)
    zpix["HEALPIX"] = zpix["SPGRPVAL"] = rng.integers(0, 49152, len(zpix))
    zpix["MEAN_DELTA_X"][:3], zpix["TSNR2_LRG"][5] = np.nan, np.nan
    on_tiles = [*targets, *(one[0] for one in others[::2]), *(catalogues.FIRST_TARGETID + 10**6 + k for k in range(9))]
    pairs = [(target, tile) for tile in TILES for k, target in enumerate(on_tiles) if (k + tile) % 3]
    ztile = _redshifts(ZTILE, [(target, "main", "dark") for target, _ in pairs], rng)
    ztile["TILEID"], ztile["SPGRPVAL"] = [tile for _, tile in pairs], NIGHTS[-1]
    write_tables(directory / f"zcatalog/v1/zall-pix-{name}.fits", [("ZCATALOG", zpix)])
    write_tables(directory / f"zcatalog/v1/zall-tilecumulative-{name}.fits", [("ZCATALOG", ztile)])
    tiles, exposures, frames = _exposures(rng)
    write_tables(directory / f"tiles-{name}.fits", [("TILE_COMPLETENESS", tiles)])
    write_tables(directory / f"exposures-{name}.fits", [("EXPOSURES", exposures), ("FRAMES", frames)])


def _redshifts(row_type: np.dtype, spectra: Sequence[Spectrum], rng: np.random.Generator) -> np.ndarray:
    rows = random_rows(row_type, len(spectra), rng)
    for name, values in zip(("TARGETID", "SURVEY", "PROGRAM"), zip(*spectra, strict=True), strict=True):
        rows[name] = values
    of_target = rows["TARGETID"] % 1009 / 1009
    # What is of the target, not of the spectrum: the same in all files.
    rows["FLUX_R"], rows["DESI_TARGET"] = 4 * of_target, 1 << (rows["TARGETID"] % 4)
    rows["Z"] = 3 * of_target + np.where(rng.random(len(rows)) < 0.2, 0.1, 0)
    first = np.zeros(len(rows), bool)
    first[np.unique(rows["TARGETID"], return_index=True)[1]] = True
    rows["ZCAT_PRIMARY"] = first
    return rows


def _exposures(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tiles, exposures = random_rows(TILE, len(TILES), rng), random_rows(EXPOSURE, 2 * len(TILES), rng)
    tiles["TILEID"], tiles["SURVEY"], tiles["PROGRAM"], tiles["OBSSTATUS"] = TILES, "main", "dark", "obsend"
    tiles["LASTNIGHT"] = NIGHTS[-1]
    exposures["TILEID"], exposures["EXPID"] = np.repeat(TILES, 2), np.arange(len(exposures)) + 7
    exposures["NIGHT"] = np.tile(NIGHTS, len(TILES))
    exposures["MJD"] = catalogues.MJD_0 + np.arange(len(exposures)) / 7
    exposures["SURVEY"], exposures["GOALTYPE"] = "main", "dark"
    exposures["PROGRAM"] = np.where(exposures["TILEID"] == TILES[0], "bright", "dark")
    exposures["SEEING_ETC"][0] = np.nan
    cameras = [f"{arm}{k}" for arm in "brz" for k in range(10)]
    seen = [(row, camera) for row in exposures for camera in cameras if (row["EXPID"], camera) != (9, "z3")]
    frames = random_rows(FRAME, len(seen), rng)
    for name in ("NIGHT", "EXPID", "TILEID", "MJD", "EXPTIME"):
        frames[name] = [row[name] for row, _ in seen]
    frames["CAMERA"] = [camera for _, camera in seen]
    return tiles, exposures, frames
