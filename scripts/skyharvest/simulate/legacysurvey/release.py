"""A few simulated bricks of the Legacy Surveys over the demo's positions, their tables, and the truth behind them.

The bricks are smaller than real ones (0.03 instead of 0.25 degrees) and overlap less, so that cutouts of a usual size
need several.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.formats import hdf5
from skyharvest.simulate.legacysurvey.brick import (
    BANDS,
    BETA,
    EXPOSURES,
    FWHM,
    MASKBITS,
    PIXEL,
    Stars,
    to_pixels,
    write_brick,
)
from skyharvest.simulate.legacysurvey.layout import NEEDED, SIZE, Brick, bricks_elsewhere, lay_out
from skyharvest.simulate.legacysurvey.table import table_row, write_table
from skyharvest.simulate.positions import read_positions, separation_arcsec
from skyharvest.simulate.sha256sum import write_sha256sum

log = logging.getLogger(__name__)

RADIUS = 3.5  # arcsec: of the circle whose good share the truth tells

_PER_BRICK = 10  # stars that are not of the CSV
_APART = 10.0  # arcsec, of stars, at least
_MEDIUM = 17.5  # stars brighter in r have a mask around them
_GAP = np.s_[190:350, 250:410]  # y, x; holds a whole tile


def simulate(csv_path: Path, out: Path, seed: int = 1) -> None:
    """Write the release and its truth under a directory; same CSV and seed, same bytes.

    The tables are written last: if the south's is there, the release is complete. Files of an earlier run are
    replaced.

    Parameters
    ----------
    csv_path
        The CSV of positions that `release.simulate` wrote: some of its rows, known by their name, get a brick.
    out
        Gets ``{south,north}/survey-bricks-demo-{region}.fits.gz``, ``{region}/coadd/`` and ``truth.hdf5``. Attributes
        of its root: ``bands``, ``fwhm_arcsec`` (per band), ``moffat_beta``, ``pixel_arcsec``, ``size`` (pixels).
        Groups:

        - ``stars``: ``ra``, ``dec``, ``flux`` (nanomaggies) and ``magnitude`` (AB), both (n, band), of all light: one
          on every accepted CSV row that is in a brick, and others, 10 arcsec or more away from them and each other;
        - ``rows``, the CSV rows in a brick: ``row`` (from 0), ``star`` (two rows at one place have one), ``brick``;
        - ``bricks``: ``region``, ``brickname``, ``ra``, ``dec`` (of the center), ``ra1``, ``ra2``, ``dec1``,
          ``dec2``, ``bands`` (the letters), ``on_disk``, ``flawed``;
        - ``pairs``, every star on a brick's image: ``star``, ``brick``, ``x``, ``y``, ``home`` (the star is in the
          brick's box) and ``good`` (n, band): the share of the pixels within 3.5 arcsec that have data; 0 where the
          brick has no file of the band.

    Raises
    ------
    InputError
        If the CSV is not the demo's.
    """
    names, positions = read_positions(csv_path, NEEDED)
    bricks = lay_out(names, positions)
    stars, rows = _draw(bricks, positions, np.random.default_rng([seed, 5]))
    tables = {region: out / region / f"survey-bricks-demo-{region}.fits.gz" for region in ("north", "south")}
    for table in tables.values():
        table.unlink(missing_ok=True)
    listed: dict[str, list[Array]] = {region: [] for region in tables}
    pairs: list[dict[str, Array]] = []
    for i, brick in enumerate(bricks):
        for old in (out / brick.directory).glob("legacysurvey[-_]*"):
            old.unlink()
        rng = np.random.default_rng([seed, 6, i])
        nexp = {band: _exposures(EXPOSURES[band], rng) for band in brick.bands}
        if brick.on_disk:
            nexp = _write(out / brick.directory, brick, stars, nexp, rng)
        pairs.append(_on_brick(i, brick, stars, nexp))
        listed[brick.region].append(table_row(brick, nexp, int(pairs[-1]["home"].sum())))
    for brick in bricks_elsewhere(positions):
        listed[brick.region].append(table_row(brick, dict.fromkeys(BANDS, np.full((SIZE, SIZE), 2)), 0))
    _write_truth(out / "truth.hdf5", bricks, stars, rows, pairs)
    for region, table in tables.items():
        write_table(table, np.sort(np.concatenate(listed[region]), order="brickname"))
    log.info("%s: %d bricks, %d stars", out, sum(brick.on_disk for brick in bricks), len(stars.ra))


def _draw(
    bricks: Sequence[Brick], positions: Mapping[int, tuple[float, float]], rng: np.random.Generator
) -> tuple[Stars, dict[str, Array]]:
    """Return stars on the CSV rows in bricks and between them, and which row has which star."""
    places = np.array(list(positions.values()))
    held = np.array([brick.holds(places[:, 0], places[:, 1]) for brick in bricks])
    brick, at = np.nonzero(held)
    with_star, star = np.unique(places[at], axis=0, return_inverse=True)
    order = np.argsort(np.array(list(positions))[at])
    rows = {"row": np.array(list(positions))[at][order], "star": star.reshape(-1)[order], "brick": brick[order]}
    sky = [tuple(place) for place in with_star]
    for each in bricks:
        ra1, ra2, dec1, dec2 = each.box
        for _ in range(_PER_BRICK):
            while True:
                place = (rng.uniform(ra1, ra2), rng.uniform(dec1, dec2))
                if separation_arcsec(np.array(sky).T, place).min() > _APART:
                    break
            sky.append(place)
    n, n_rows = len(sky), len(with_star)
    red = np.concatenate([rng.uniform(18, 21, n_rows), rng.uniform(16.5, 21.5, n - n_rows)])
    color = rng.uniform(0.2, 1.3, n)
    shift = {"g": color, "r": 0 * color, "i": -0.4 * color, "z": -0.6 * color}
    flux = {band: 10 ** ((22.5 - red - shift[band]) / 2.5) for band in BANDS}
    ra, dec = np.array(sky).T
    return Stars(ra, dec, flux), rows


def _exposures(typical: int, rng: np.random.Generator) -> Array:
    """Return (size, size) int16: exposures that end somewhere on the brick."""
    nexp = np.full((SIZE, SIZE), typical, dtype=np.int16)
    nexp[rng.integers(50, SIZE - 50) :] += 1
    nexp[:, : rng.integers(50, SIZE - 50)] -= 1
    return nexp


def _write(
    directory: Path, brick: Brick, stars: Stars, nexp: Mapping[str, Array], rng: np.random.Generator
) -> dict[str, Array]:
    """Write a brick of the demo and its checksums; return its nexp, as `write_brick`."""
    x, y = to_pixels(stars.ra, stars.dec, brick.center, SIZE)
    bits = np.zeros((SIZE, SIZE), dtype=np.int32)
    for i in np.flatnonzero(22.5 - 2.5 * np.log10(stars.flux["r"]) < _MEDIUM):
        bits[_distance(x[i], y[i]) < 6 / PIXEL] |= 1 << MASKBITS["MEDIUM"]
    gaps = {}
    if brick.trail is not None:
        gaps = {band: rng.random((SIZE, SIZE)) < 3e-4 for band in brick.bands}
        gaps["z"][_GAP] = True
        x0, y0 = (int(np.rint(axis)) for axis in to_pixels(*brick.trail, brick.center, SIZE))
        gaps["r"][y0 - 1 : y0 + 2, : x0 + 150] = True
    ra, dec = brick.center
    written = write_brick(
        directory,
        brick.name,
        ra=ra,
        dec=dec,
        size=SIZE,
        stars=stars,
        bands=brick.bands,
        nexp=nexp,
        gaps=gaps,
        maskbits=bits,
        box=brick.box,
        rng=rng,
    )
    write_sha256sum(directory / brick.checksums, sorted(directory.glob("*.fits.fz")))
    return written


def _on_brick(number: int, brick: Brick, stars: Stars, nexp: Mapping[str, Array]) -> dict[str, Array]:
    """Return a brick's share of the pairs."""
    x, y = to_pixels(stars.ra, stars.dec, brick.center, SIZE)
    on = np.flatnonzero((np.abs(x - (SIZE - 1) / 2) < SIZE / 2) & (np.abs(y - (SIZE - 1) / 2) < SIZE / 2))
    good = np.zeros((len(on), len(BANDS)))
    beyond = math.ceil(RADIUS / PIXEL)
    for j, band in enumerate(BANDS):
        if brick.on_disk and band in brick.bands:
            has_data = np.pad(nexp[band] > 0, beyond)
            for k, i in enumerate(on):
                good[k, j] = has_data[_distance(x[i], y[i], beyond) <= RADIUS / PIXEL].mean()
    home = brick.holds(stars.ra[on], stars.dec[on])
    return {"star": on, "brick": np.full(len(on), number), "x": x[on], "y": y[on], "home": home, "good": good}


def _distance(x: float, y: float, beyond: int = 0) -> Floats:
    """Return (rows, rows): of the middles of a brick's pixels, and of some beyond it, from a place; in pixels."""
    along = np.arange(-beyond, SIZE + beyond)
    return np.asarray(np.hypot(along - x, along[:, None] - y))


def _write_truth(
    path: Path,
    bricks: Sequence[Brick],
    stars: Stars,
    rows: Mapping[str, Array],
    pairs: Sequence[Mapping[str, Array]],
) -> None:
    flux = np.stack([stars.flux[band] for band in BANDS], axis=-1)
    boxes = np.array([brick.box for brick in bricks])
    centers = np.array([brick.center for brick in bricks])
    groups: dict[str, Mapping[str, Array]] = {
        "stars": {"ra": stars.ra, "dec": stars.dec, "flux": flux, "magnitude": 22.5 - 2.5 * np.log10(flux)},
        "rows": rows,
        "bricks": {
            "region": np.array([brick.region.encode() for brick in bricks]),
            "brickname": np.array([brick.name.encode() for brick in bricks]),
            "ra": centers[:, 0],
            "dec": centers[:, 1],
            **{name: boxes[:, i] for i, name in enumerate(("ra1", "ra2", "dec1", "dec2"))},
            "bands": np.array(["".join(brick.bands).encode() for brick in bricks]),
            "on_disk": np.array([brick.on_disk for brick in bricks]),
            "flawed": np.array([brick.trail is not None for brick in bricks]),
        },
        "pairs": {name: np.concatenate([part[name] for part in pairs]) for name in pairs[0]},
    }
    with hdf5.create(path) as file:
        file.attrs["bands"] = np.array([band.encode() for band in BANDS])
        file.attrs["fwhm_arcsec"] = [FWHM[band] for band in BANDS]
        file.attrs.update(moffat_beta=BETA, pixel_arcsec=PIXEL, size=SIZE, good_radius_arcsec=RADIUS)
        for name, group in groups.items():
            hdf5.write_table(file.create_group(name), group)
