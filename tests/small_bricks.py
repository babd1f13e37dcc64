"""Bricks of the Legacy Surveys for tests, laid out as the real ones are (see desiutil.brick), and their tables."""

import gzip
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from skyharvest.surveys.legacysurvey.bricks import BRICK_DTYPE

SIDE = 0.25  # degrees
FIRST = -90 - SIDE / 2  # Dec of the first row's edge: it reaches beyond the pole
N_ROWS = 721


def n_columns(row: int) -> int:
    """Return how many bricks a row has: an even number, so that they are at most 0.25° wide; one at a pole."""
    if row in (0, N_ROWS - 1):
        return 1
    widest = abs(-90 + row * SIDE) - SIDE / 2
    return 2 * math.ceil(360 / SIDE * math.cos(math.radians(widest)) / 2)


def row_of(row: int, region: str = "south", bands: str = "griz") -> np.ndarray:
    """Return the bricks of a row, of `BRICK_DTYPE`."""
    edges = np.linspace(0, 360, n_columns(row) + 1)
    bricks = np.empty(len(edges) - 1, BRICK_DTYPE)
    bricks["region"], bricks["bands"] = region.encode(), bands.encode()
    bricks["ra1"], bricks["ra2"] = edges[:-1], edges[1:]
    bricks["dec1"] = FIRST + row * SIDE
    bricks["dec2"] = bricks["dec1"] + SIDE
    bricks["ra"], bricks["dec"] = (edges[:-1] + edges[1:]) / 2, -90 + row * SIDE
    sign = "m" if row < 360 else "p"
    dec = f"{round(abs(-90 + row * SIDE) * 10000):06d}"[:3]
    bricks["brickname"] = [f"{round(ra * 10000):07d}"[:4] + sign + dec for ra in bricks["ra"].tolist()]
    return bricks


def around(ra: float, dec: float, reach: float = 0.6, region: str = "south", bands: str = "griz") -> np.ndarray:
    """Return the bricks, sorted by name, whose centre is within a reach (degrees) along both axes of a position."""
    rows = [row for row in range(N_ROWS) if abs(-90 + row * SIDE - dec) < reach]
    bricks = np.concatenate([row_of(row, region, bands) for row in rows])
    off = (bricks["ra"] - ra + 180) % 360 - 180
    bricks = bricks[np.abs(off) * np.cos(np.radians(bricks["dec"])) < reach]
    return bricks[np.argsort(bricks["brickname"])]


def table_of(bricks: np.ndarray, box: str = "f8", **columns: Any) -> np.ndarray:
    """Return the rows of a table of bricks, with the boxes in a type, and further columns before and behind."""
    first: dict[str, Any] = {"brickname": bricks["brickname"], "ra": bricks["ra"], "dec": bricks["dec"]}
    last = {name: bricks[name].astype(box) for name in ("ra1", "ra2", "dec1", "dec2")}
    primary = np.ones(len(bricks), bool)
    all_columns = {**first, **columns, "nexp": np.zeros(len(bricks), "i4"), **last, "survey_primary": primary}
    dtype = [(name, np.asarray(values).dtype, np.asarray(values).shape[1:]) for name, values in all_columns.items()]
    rows = np.empty(len(bricks), dtype)
    for name, values in all_columns.items():
        rows[name] = values
    return rows


def write_table(path: Path, rows: np.ndarray) -> Path:
    """Write a table by means of astropy, compressed if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(rows)]).writeto(out)
    path.write_bytes(gzip.compress(out.getvalue(), 1) if path.suffix == ".gz" else out.getvalue())
    return path


def moffat(x, y, fwhm, shape, fine):
    """Return a star's share of light in every pixel: the mean of fine × fine places of it."""
    rows, columns = ((np.arange(n * fine) + 0.5) / fine - 0.5 for n in shape)
    alpha = fwhm / 0.262 / (2 * np.sqrt(2 ** (1 / 3) - 1))
    profile = (1 + ((columns - x) ** 2 + (rows[:, None] - y) ** 2) / alpha**2) ** -3 * 2 / (np.pi * alpha**2)
    return profile.reshape(shape[0], fine, shape[1], fine).mean(axis=(1, 3))
