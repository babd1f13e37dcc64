"""Write an archive of many cubes as large as HETDEX's are: ``python -m lib.many_cubes ARCHIVE CSV N SOURCES``.

The cubes are copies of `big_cube`'s, each at a place of its own: 50 to a shot, as far apart as IFUs are. The CSV has as
many rows on and around each cube. It needs some memory for a moment, which must not become the measuring process's.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from lib import big_cube
from skyharvest.simulate.hetdex.index import Observation, index_rows, write_index

SHOT, FIELD = 20190405020, "dex-spring"
PER_SHOT, PER_ROW = 50, 8
SPACING_DEG, SHOTS_APART_DEG = 100 / 3600, 1.5


def lay_out(n: int) -> list[Observation]:
    """Return n cubes."""
    cubes = []
    for number in range(n):
        shot, slot = divmod(number, PER_SHOT)
        row, column = divmod(slot, PER_ROW)
        dec = big_cube.DEC + row * SPACING_DEG
        ra = big_cube.RA + SHOTS_APART_DEG * shot + column * SPACING_DEG / np.cos(np.radians(big_cube.DEC))
        cubes.append(Observation(SHOT + shot, f"{slot + 10:03}", ra, dec, big_cube.PA_DEG, 1.7, FIELD))
    return cubes


def moved(template: bytes, cube: Observation) -> bytes:
    """Return the cube's bytes, from those of `big_cube`'s; checksums are none."""
    data = bytearray(template)
    values = {"CRVAL1": repr(float(cube.ra)), "CRVAL2": repr(float(cube.dec)), "SHOTID": str(cube.shotid)}
    for keyword, value in values.items():
        card, at, n = f"{keyword:8}= ".encode(), 0, 0
        while (at := template.find(card, at)) >= 0:
            data[at + 10 : at + 80] = f"{value:>20}".ljust(70).encode()
            at, n = at + 80, n + 1
        assert n == 3, f"{keyword} is in {n} headers, expected DATA's, ERROR's and MASK's"
    return bytes(data)


def main(archive: Path, positions: Path, n: int, sources: int) -> None:
    """Write cubes, index and CSV."""
    rng = np.random.default_rng(big_cube.SEED)
    archive.mkdir(parents=True)
    template = archive / "template.fits"
    big_cube.write(template, rng)
    data = template.read_bytes()
    template.unlink()
    rows = []
    cubes = lay_out(n)
    for cube in cubes:
        path = archive / cube.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(moved(data, cube))
        rows += big_cube.positions(sources, rng, (cube.ra, cube.dec)).tolist()
    write_index(archive / "ifu-index.fits", index_rows(cubes, dict(enumerate(map(tuple, rows))), rng))
    with positions.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["RA_DESI", "DEC_DESI"])
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
