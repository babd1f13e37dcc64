"""The tables of a simulated release's bricks, ``survey-bricks-demo-{region}.fits.gz``."""

import gzip
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.simulate.fits_write import columns
from skyharvest.simulate.legacysurvey.brick import BANDS, FWHM, inside_box
from skyharvest.simulate.legacysurvey.layout import SIDE, SIZE, Brick
from skyharvest.simulate.positions import separation_arcsec


def _of_bands(column: str) -> str:
    return " ".join(column.format(band) for band in BANDS)


COLUMNS = columns(f"""
    brickname:S8 ra:f8 dec:f8 {_of_bands("nexp_{}:i2")} {_of_bands("nexphist_{}:11i4")} nobjs:i4
    {_of_bands("psfsize_{}:f4")} ra1:f8 ra2:f8 dec1:f8 dec2:f8 area:f4 survey_primary:?
""")
"""Those of the real tables that matter here."""

_NORTH_DEC = 32.375  # north of it, in the north galactic cap, the northern images count (desitarget)
_POLE = (192.85948, 27.12825)  # of the Galaxy, ICRS


def table_row(brick: Brick, nexp: Mapping[str, Array], n_objects: int) -> Array:
    """Return a brick's row of its region's table."""
    row = np.zeros(1, COLUMNS)
    ra, dec = brick.center
    row["brickname"], row["ra"], row["dec"], row["nobjs"] = brick.name, ra, dec, n_objects
    for name, edge in zip(("ra1", "ra2", "dec1", "dec2"), brick.box, strict=True):
        row[name] = edge
    row["area"] = (row["ra2"] - row["ra1"]) * SIDE * math.cos(math.radians(dec))
    inside = inside_box(ra, dec, SIZE, brick.box)
    for band in brick.bands:
        row[f"nexp_{band}"] = np.median(nexp[band][inside])
        row[f"nexphist_{band}"] = np.bincount(np.minimum(nexp[band][inside], 10), minlength=11)
        row[f"psfsize_{band}"] = FWHM[band]
    pole_ra, pole_dec = _POLE
    north = dec > _NORTH_DEC and separation_arcsec((ra, dec), (pole_ra, pole_dec)) < 90 * 3600
    row["survey_primary"] = north == (brick.region == "north")
    return row


def write_table(path: Path, rows: Array) -> None:
    """Write ``survey-bricks-demo-{region}.fits.gz``."""
    import fitsio  # noqa: PLC0415

    with fitsio.FITS("mem://", "rw") as file:
        file.write(rows)
        raw = file.read_raw()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(raw, mtime=0))
