"""Write a cube as large as HETDEX's are, in a process of its own: ``python -m lib.big_cube CUBE POSITIONS N``.

Noise from fibers, sources in it, NaN outside, some bits; RICE tiles of one row, cfitsio's default, quantised so that it
has about the 19 MB of the public cubes. N positions on and around it are written beside it as a NumPy array (n, 2) of
RA and Dec.
"""

import sys
from pathlib import Path

import fitsio
import numpy as np

from lib import ROOT  # noqa: F401 (finds skyharvest)
from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.surveys.hetdex.cube import N_SPAXELS, N_WAVE, SHAPE, WAVE_AIR

SEED = 20190405
PA_DEG = 70.4
RA, DEC, SPAXEL_DEG = 215.68807983398, 52.11502456665, 0.5 / 3600
FIBER_SPAXELS = 2.2 / 0.5 / 3  # between fibers of three dithers
QUANTISATION = 1.4  # steps per noise: gives the size
BADCAL = ((3534, 3556), (5194, 5197), (5200, 5205), (5456, 5466))  # Å


def header() -> dict[str, object]:
    """Return the header of an image."""
    cos, sin = np.cos(np.radians(PA_DEG)), np.sin(np.radians(PA_DEG))
    matrix = {"PC1_1": cos, "PC1_2": -sin, "PC2_1": sin, "PC2_2": cos}
    axes = {}
    for axis, (kind, unit, value, step, pixel) in enumerate(
        [
            ("RA---TAN", "deg", RA, -SPAXEL_DEG, 52.5),
            ("DEC--TAN", "deg", DEC, SPAXEL_DEG, 52.5),
            ("WAVE", "m", 3470.0, 2.0, 1.0),
        ],
        start=1,
    ):
        names = ("CTYPE", "CUNIT", "CRVAL", "CDELT", "CRPIX")
        axes |= {f"{name}{axis}": of for name, of in zip(names, (kind, unit, value, step, pixel), strict=True)}
    return {**matrix, **axes, "RADESYS": "ICRS", "SPECBW": 2.0, "SHOTID": 20190405020}


def images(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return DATA, ERROR and MASK."""
    rows, columns = np.indices((N_SPAXELS, N_SPAXELS))
    fibers = 1 + 0.15 * np.cos(2 * np.pi * rows / FIBER_SPAXELS) * np.cos(2 * np.pi * columns / FIBER_SPAXELS)
    fibers *= rng.normal(1, 0.08, fibers.shape)
    throughput = 0.25 + 1.5 * np.exp(-np.arange(N_WAVE) / 150)
    error = (throughput[:, None, None] * fibers).astype(np.float32)
    flux = error * rng.standard_normal(SHAPE, np.float32)
    for x, y, brightness in zip(*rng.uniform(5, 98, (2, 20)), rng.uniform(0.3, 10, 20), strict=True):
        flux += (brightness * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.5**2))).astype(np.float32)
    corners = np.abs(rows - 51.5) + np.abs(columns - 51.5) > 98
    rim = np.maximum(np.abs(rows - 51.5), np.abs(columns - 51.5)) > 51
    flux[:, corners | rim] = np.nan
    error[:, corners | rim] = 0
    mask = np.zeros(SHAPE, np.int16)
    mask[:, 78:, 52:] |= MASK_BITS["BADAMP"]
    for x, y in rng.integers(0, N_SPAXELS - 3, (12, 2)):
        mask[:, y : y + 3, x : x + 3] |= MASK_BITS["BADFIB"]
    for first, last in BADCAL:
        mask[(first <= WAVE_AIR) & (last >= WAVE_AIR)] |= MASK_BITS["BADCAL"]
    return {"DATA": flux, "ERROR": error, "MASK": mask}


def positions(n: int, rng: np.random.Generator, center: tuple[float, float] = (RA, DEC)) -> np.ndarray:
    """Return n positions (n, 2), some of them on the edges of a cube around a center; degrees."""
    dx, dy = rng.uniform(-2, N_SPAXELS + 1, (2, n)) - 51.5
    cos, sin = np.cos(np.radians(PA_DEG)), np.sin(np.radians(PA_DEG))
    east, north = -SPAXEL_DEG * (cos * dx - sin * dy), SPAXEL_DEG * (sin * dx + cos * dy)
    return np.column_stack([center[0] + east / np.cos(np.radians(center[1])), center[1] + north])


def write(cube: Path, rng: np.random.Generator) -> None:
    """Write the cube."""
    with fitsio.FITS(str(cube), "rw", clobber=True) as file:
        file.write(None)
        for name, data in images(rng).items():
            file.write(
                data, extname=name, header=header(), compress="rice", tile_dims=[1, 1, N_SPAXELS], qlevel=QUANTISATION
            )


def main(cube: Path, listed: Path, n: int) -> None:
    """Write the cube and the positions."""
    rng = np.random.default_rng(SEED)
    write(cube, rng)
    np.save(listed, positions(n, rng))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
