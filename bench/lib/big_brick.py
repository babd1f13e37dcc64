"""Write a brick as large as the Legacy Surveys' are, in a process of its own: ``python -m lib.big_brick FOLDER``.

3600 x 3600 pixels in g, r, i and z: image, invvar and maskbits, with the noise that makes images and inverse variances
the 10 and 10.5 MB that legacypipe notes of its settings (``get_compression_string``).
"""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np

from lib import ROOT  # noqa: F401 (finds skyharvest)
from lib.targets import write_targets
from skyharvest.simulate.legacysurvey.brick import BANDS, MASKBITS, SIGMA, Stars, to_pixels, write_brick
from skyharvest.simulate.sha256sum import write_sha256sum
from skyharvest.surveys.legacysurvey.bricks import BRICK_DTYPE
from skyharvest.surveys.legacysurvey.plan import make_plan, write_plan
from skyharvest.surveys.legacysurvey.release import load_release

RELEASE = load_release("dr10")
REGION, BRICKNAME = "south", "1499p020"
CENTRE = 149.875, 2.0
BOX = 149.75, 150.0, 1.875, 2.125
SIZE, PIXEL_DEG, TILE = 3600, 0.262 / 3600, 100
CUTOUT = 160
SEED = 20240913
NOISE = 0.001  # nanomaggies in a pixel: ten steps of the compression
MASKED = 2e-4  # of the pixels of a band: in all exposures, by cosmic rays and the like
PLACES = {4: (1710, 1810), 9: (1760, 1860)}  # tiles that a cutout touches, the fewest and the most: x, y of a source
MANY = (10, 100)


def main(folder: Path) -> None:
    """Write the brick, its checksums, and plans for some sources, below ``archive`` and ``plan-{name}``.

    ``made.json`` has the sizes of the files in bytes by product and band.
    """
    rng = np.random.default_rng(SEED)
    path = folder / "archive" / RELEASE.product(REGION, BRICKNAME, "maskbits")
    stars, magnitude = draw_stars(1500, rng)
    write_brick(
        path.parent,
        BRICKNAME,
        ra=CENTRE[0],
        dec=CENTRE[1],
        size=SIZE,
        stars=stars,
        products=("image", "invvar"),
        nexp={band: exposures(band, rng) for band in BANDS},
        gaps={band: rng.random((SIZE, SIZE), np.float32) < MASKED for band in BANDS},
        maskbits=masks(stars, magnitude),
        box=BOX,
        rng=rng,
    )
    files = sorted(path.parent.glob("*.fits.fz"))
    write_sha256sum(folder / "archive" / RELEASE.checksums(REGION, BRICKNAME), files)
    sizes = {file.name.removesuffix(".fits.fz").split("-", 2)[2]: file.stat().st_size for file in files}
    (folder / "made.json").write_text(json.dumps(sizes))
    for tiles, place in PLACES.items():
        first = [at - CUTOUT // 2 for at in place]
        assert tiles == math.prod((at + CUTOUT - 1) // TILE - at // TILE + 1 for at in first)
        plan(folder, f"1-of-{tiles}-tiles", np.array([place], float))
    for n in MANY:
        plan(folder, str(n), rng.uniform((SIZE - 3430) / 2, (SIZE + 3430) / 2, (n, 2)))  # within the box
    os.sync()  # writing it out must not go on while others are timed


def draw_stars(n: int, rng: np.random.Generator) -> tuple[Stars, np.ndarray]:
    """Return stars all over the brick, and their magnitudes: ten times as many for every 2.5 magnitudes."""
    magnitude = np.maximum(23 + 2.5 * np.log10(rng.random(n)), 14)
    ra, dec = rng.uniform(BOX[0], BOX[1], n), rng.uniform(BOX[2], BOX[3], n)
    return Stars(ra, dec, dict.fromkeys(BANDS, 10 ** ((22.5 - magnitude) / 2.5))), magnitude


def exposures(band: str, rng: np.random.Generator) -> np.ndarray:
    """Return how many exposures of the simulation make `NOISE`; z has scatter only by these."""
    n = (SIGMA[band] / NOISE) ** 2
    return np.rint(rng.normal(n, 0.03 * n if band == "z" else 0, (SIZE, SIZE)).astype(np.float32)).astype(np.int16)


def masks(stars: Stars, magnitude: np.ndarray) -> np.ndarray:
    """Return bits around bright stars."""
    bits = np.zeros((SIZE, SIZE), np.int32)
    rows, columns = np.ogrid[:SIZE, :SIZE]
    x, y = to_pixels(stars.ra, stars.dec, CENTRE, SIZE)
    for i in np.flatnonzero(magnitude < 18):
        radius = 300 * 10 ** ((14 - magnitude[i]) / 7.5)
        box = np.s_[
            max(int(y[i] - radius), 0) : int(y[i] + radius) + 2, max(int(x[i] - radius), 0) : int(x[i] + radius) + 2
        ]
        square = (rows[box[0]] - y[i]) ** 2 + (columns[:, box[1]] - x[i]) ** 2
        for name, share in (("MEDIUM", 1), ("BRIGHT", 0.5), *((f"SATUR_{band.upper()}", 0.05) for band in BANDS)):
            if name != "BRIGHT" or magnitude[i] < 15:
                bits[box][square < (share * radius) ** 2] |= 1 << MASKBITS[name]
    return bits


def plan(folder: Path, name: str, places: np.ndarray) -> None:
    """Write a plan for sources at x, y (n, 2)."""
    # Radians on the tangent plane; East is left.
    east, north = (
        np.radians((SIZE - 1) / 2 - places[:, 0]) * PIXEL_DEG,
        np.radians(places[:, 1] - (SIZE - 1) / 2) * PIXEL_DEG,
    )
    dec0 = np.radians(CENTRE[1])
    toward = np.cos(dec0) - north * np.sin(dec0)
    ra = CENTRE[0] + np.degrees(np.arctan2(east, toward))
    dec = np.degrees(np.arctan2(np.sin(dec0) + north * np.cos(dec0), np.hypot(east, toward)))
    bricks = np.zeros(1, BRICK_DTYPE)
    bricks[0] = (REGION, BRICKNAME, *CENTRE, *BOX, "".join(BANDS))
    n = len(places)
    targets = {"row": np.arange(n), "ra": ra, "dec": dec, "pix16": np.zeros(n, np.int64)}
    plan = make_plan(bricks, targets, size=CUTOUT, bands=BANDS, products=("image", "invvar", "maskbits"))
    assert plan.n_covered == n
    write_plan(plan, folder / f"plan-{name}", RELEASE, "", transfer="rows")
    write_targets(folder / f"plan-{name}" / "targets.parquet", ra, dec, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
