"""Step: the data cubes of a shot, ``datacubes/{shotid}/dex_cube_{shotid}_{ifuslot}.fits``, and their table.

Axes are those of the focal plane, as in public cubes; the middle of a cube is that of its IFU, mean of the exposures.
Light and errors: `cube`. Bits of a voxel's mask are those of the fiber that is nearest (`cube_fibers`), whether it has
a value or not; where there is no value MAIN is set, and BADAMP if some amplifier failed in all exposures, so that
nobody knows where its fibers were.
"""

import hashlib
import logging
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.whole_directory import whole_directory
from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.reduction.hetdex.layout import shotid_of
from skyharvest.reduction.hetdex.release import cubes_csv
from skyharvest.reduction.hetdex.release.cube import make_cube
from skyharvest.reduction.hetdex.release.cube_fibers import COLUMNS, CubeFibers, fibers_of_cube, middle_of
from skyharvest.reduction.hetdex.release.cube_file import name_of, shot_cards, wcs_cards, write_cube
from skyharvest.reduction.hetdex.release.cubes_csv import FLUX_LIMIT, INDEX, CubeRow
from skyharvest.reduction.hetdex.source_settings import Cubes, Flags
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers, ShotFibers
from skyharvest.reduction.hetdex.sources.sky_faults import SkyFaults
from skyharvest.reduction.hetdex.stars.tangent import Pointing

log = logging.getLogger(__name__)


def make_cubes(shot: ShotFibers, out: Path, settings: Cubes, flags: Flags, faults: SkyFaults) -> None:
    """Make the cubes of a shot, one after the other: memory is that of an IFU.

    Parameters
    ----------
    out
        The directory, which appears whole.

    Raises
    ------
    MalformedFile
        If the shot's files are not what they should be.
    """
    with whole_directory(out) as directory:
        if shot.failed:
            log.warning("%s: %s", shot.name, shot.failed)
            rows = [CubeRow("", shot.failed)]
        else:
            rows = [_make_one(shot, ifu, directory, settings, flags, faults) for ifu in shot.ifus]
        cubes_csv.write(directory, rows)
    log.info("%s: %d cubes", out, sum(row.values is not None for row in rows))


def _make_one(shot: ShotFibers, ifu: str, directory: Path, settings: Cubes, flags: Flags, faults: SkyFaults) -> CubeRow:
    fibers = shot.read(ifu, COLUMNS)
    if not np.isfinite(fibers.flux).any():
        reasons = "; ".join(dict.fromkeys(fibers.failed_amps.values()))
        log.warning("%s: no cube: %s", ifu, reasons)
        return CubeRow(ifu, f"none of its fibers has a value: {reasons or 'they are dead'}")
    middle = middle_of(fibers)
    of_cube = fibers_of_cube(fibers, middle, shot.row, faults, flags)
    cube = make_cube(
        of_cube.x,
        of_cube.y,
        of_cube.flux,
        of_cube.error,
        of_cube.bits,
        kernel_fwhm=settings.kernel_fwhm,
        empty=_bits_without_fibers(fibers),
    )
    name = name_of(shotid_of(shot.name), fibers.ifu.ifuslot)
    cards = [*wcs_cards(middle), *shot_cards(shot.row, fibers.ifu), ("KERNEL", settings.kernel_fwhm)]
    write_cube(directory / name, cube, cards, compressed=not settings.uncompressed)
    values = _index_row(shot.row, fibers, middle, of_cube)
    values["content"] = _digest(directory / name)
    return CubeRow(ifu, path=name, values=values)


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8)).hexdigest().encode()


def _bits_without_fibers(fibers: IfuFibers) -> int:
    """Return the bits of voxels that no fiber is near."""
    unplaced = {amp for _, amp in fibers.failed_amps} - set(fibers.amp.tolist())
    return MASK_BITS["MAIN"] | (MASK_BITS["BADAMP"] if unplaced else 0)


def _index_row(shot: Array, fibers: IfuFibers, middle: Pointing, of_cube: CubeFibers) -> Array:
    """Return the row of ``ifu-index.fits``, () of type `INDEX`: exptime is the mean exposure's, mjd the first's."""
    row = np.zeros((), INDEX)
    for name in INDEX.names or ():
        if name in (shot.dtype.names or ()) and not INDEX[name].shape and not shot[name].shape:
            row[name] = shot[name]
        elif name in of_cube.good:
            row[name] = of_cube.good[name]
    there = np.isfinite(shot["mjd"])
    row["exptime"] = np.mean(shot["exptime"][there]) if there.any() else np.nan
    row["mjd"] = shot["mjd"][there][0] if there.any() else np.nan
    row["ifuslot"] = fibers.ifu.ifuslot.encode()
    row["ra_cen"], row["dec_cen"] = middle.ra, middle.dec
    row["ra_shot"], row["dec_shot"] = shot["ra"], shot["dec"]
    row[FLUX_LIMIT] = np.nan
    return row
