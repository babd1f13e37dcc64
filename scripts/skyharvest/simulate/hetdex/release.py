"""A few simulated HETDEX IFU cubes over positions of the demo's CSV, their index, and the truth behind them."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.formats import hdf5
from skyharvest.simulate.hetdex.cube import (
    BETA,
    RADIUS,
    REACH,
    WAVE,
    PointSources,
    aperture_fraction,
    center_for,
    to_spaxels,
    write_cube,
)
from skyharvest.simulate.hetdex.ifu import lit_spaxels, noise_level, spoil
from skyharvest.simulate.hetdex.index import Observation, index_rows, write_index
from skyharvest.simulate.positions import read_positions, separation_arcsec

log = logging.getLogger(__name__)

_AB_WAVE = 4500.0  # Å
_C = 2.99792458e18  # Å/s

NEEDED = ("duplicate-row-0", "match-12258-0", "ra-negative", "ra-0", "separation-0.99")  # rows that get a cube


def draw_point_sources(ra: Floats, dec: Floats, rng: np.random.Generator) -> tuple[PointSources, dict[str, Array]]:
    """Draw a power-law continuum with two emission lines for every position.

    Returns
    -------
    sources
    truth
        ``ab_mag`` (n,): of the continuum at 4500 Å; ``slope`` (n,): of its flux per Å against wavelength; ``line_wave``
        (Å, air), ``line_flux`` (10⁻¹⁷ erg s⁻¹ cm⁻²), ``line_sigma`` (Å), each (n, 2).
    """
    n = len(ra)
    level, slope = rng.lognormal(np.log(5.0), 0.4, n), rng.uniform(-2.0, 0.5, n)
    wave = np.stack([rng.uniform(3700, 4400, n), rng.uniform(4600, 5150, n)], axis=-1)
    light, sigma = rng.uniform(50, 200, (n, 2)), rng.uniform(2.4, 5.0, (n, 2))
    flux = level[:, None] * (WAVE / _AB_WAVE) ** slope[:, None]
    for k in range(2):
        shape = np.exp(-0.5 * ((WAVE - wave[:, k, None]) / sigma[:, k, None]) ** 2)
        flux += (light[:, k] / (sigma[:, k] * math.sqrt(2 * math.pi)))[:, None] * shape
    truth = {
        "ab_mag": -2.5 * np.log10(level * 1e-17 * _AB_WAVE**2 / _C) - 48.6,
        "slope": slope,
        "line_wave": wave,
        "line_flux": light,
        "line_sigma": sigma,
    }
    return PointSources(np.asarray(ra, float), np.asarray(dec, float), flux), truth


def simulate(csv_path: Path, out: Path, seed: int = 1) -> None:
    """Write the release and its truth under a directory; same CSV and seed, same bytes.

    ``ifu-index.fits`` is written last: if it is there, the release is complete. Files of an earlier run are replaced.

    Parameters
    ----------
    csv_path
        The CSV of positions that `release.simulate` wrote: some of its rows, known by their name, get a cube.
    out
        Gets ``ifu-index.fits``, ``datacubes/`` and ``truth.hdf5``, which has the groups

        - ``sources``: ``ra``, ``dec``, ``flux`` (n, 1036), and the truth of `draw_point_sources`: a source on
          every accepted CSV row within 45 arcsec of a cube's center;
        - ``rows``: ``row`` (of the CSV, from 0) and ``source``: two rows at one place have one source;
        - ``cubes``, those near a source: ``shotid``, ``ifuslot``, ``ra``, ``dec`` (of the center, as in the header),
          ``pa``, ``fwhm`` (arcsec), ``on_disk``, ``flawed`` (has masks and a dead fiber);
        - ``pairs``, every source within 45 arcsec of a cube's center: ``source``, ``cube``, ``x``, ``y``,
          ``fraction`` (of its light within 3.5 arcsec) and ``fraction_on_cube`` (within that part of the circle that
          is on the cube's grid; 0 where it does not touch).

    Raises
    ------
    InputError
        If the CSV is not the demo's.
    """
    rows, positions = read_positions(csv_path, NEEDED)
    observations = _lay_out(rows, positions)
    sources, truth, pairs = _sources(observations, positions, np.random.default_rng([seed, 3]))
    index = out / "ifu-index.fits"
    index.unlink(missing_ok=True)
    level = noise_level()
    for i, cube in enumerate(observations):
        if not cube.on_disk:
            (out / cube.path).unlink(missing_ok=True)
            continue
        near = pairs["source"][pairs["cube"] == i]
        rng = np.random.default_rng([seed, cube.shotid, int(cube.ifuslot)])
        write_cube(
            out / cube.path,
            shotid=cube.shotid,
            ifuslot=cube.ifuslot,
            ra=cube.ra,
            dec=cube.dec,
            pa=cube.pa,
            sources=PointSources(sources.ra[near], sources.dec[near], sources.flux[near]),
            fwhm=cube.fwhm,
            error=level,
            rng=rng,
            lit=lit_spaxels(cube.amps),
            change=spoil(rng) if cube.flawed else None,
            field=cube.field,
        )
    with hdf5.create(out / "truth.hdf5") as file:
        file.attrs.update(aperture_radius_arcsec=RADIUS, psf="moffat", moffat_beta=BETA)
        columns = ("shotid", "ra", "dec", "pa", "fwhm", "on_disk", "flawed")
        cubes = {name: np.array([getattr(cube, name) for cube in observations]) for name in columns}
        cubes["ifuslot"] = np.array([cube.ifuslot.encode() for cube in observations])
        spectra: dict[str, Array] = {"ra": sources.ra, "dec": sources.dec, "flux": sources.flux.astype(np.float32)}
        of_source = {place: i for i, place in enumerate(zip(sources.ra.tolist(), sources.dec.tolist(), strict=True))}
        pairs_of_rows = [(row, of_source[place]) for row, place in positions.items() if place in of_source]
        row, source = np.array(pairs_of_rows).T
        groups: dict[str, dict[str, Array]] = {
            "sources": spectra | truth,
            "rows": {"row": row, "source": source},
            "cubes": cubes,
            "pairs": pairs,
        }
        for name, group in groups.items():
            hdf5.write_table(file.create_group(name), group)
    write_index(index, index_rows(observations, positions, np.random.default_rng([seed, 4])))
    log.info("%s: %d cubes, %d sources", out, sum(cube.on_disk for cube in observations), len(sources.ra))


def _lay_out(names: Mapping[str, int], positions: Mapping[int, tuple[float, float]]) -> list[Observation]:
    """Return the cubes near CSV rows: repeats, an edge, flaws, one of 2017, RA 0, positions off cubes, one absent."""

    def over(name: str, x: float, y: float, *, pa: float, **options: Any) -> Observation:
        """Lay a cube so that a row's position is at x, y."""
        ra, dec = center_for(*positions[names[name]], x, y, pa)
        return Observation(ra=ra, dec=dec, pa=pa, **options)

    def of(shotid: int, ifuslot: str, fwhm: float, field: str) -> dict[str, Any]:
        return {"shotid": shotid, "ifuslot": ifuslot, "fwhm": fwhm, "field": field}

    spring, fall = "dex-spring", "dex-fall"
    return [
        over("duplicate-row-0", 56.3, 47.9, pa=32.7, **of(20190301012, "034", 1.62, spring)),
        over("duplicate-row-0", 49.4, 53.2, pa=211.4, **of(20210114007, "047", 1.95, spring), flawed=True),
        # Part of the circle is off the grid.
        over("match-12258-0", 4.2, 60.7, pa=75.0, **of(20170302011, "013", 1.8, spring), amps=(1, 2)),
        # Its neighbour 36 arcsec to the north is on the cube, too.
        over("ra-negative", 60.0, 16.0, pa=8.0, **of(20200918021, "106", 1.7, fall), amps=(0, 3)),
        # Its neighbours to the north and south are within 37 arcsec of the center, but off the cube.
        over("ra-0", 51.4, 50.8, pa=12.0, **of(20200918021, "095", 1.7, fall), amps=(1, 2)),
        over("separation-0.99", 40.0, 55.0, pa=120.0, **of(20220405009, "093", 1.7, spring), on_disk=False),
    ]


def _sources(
    observations: Sequence[Observation], positions: Mapping[int, tuple[float, float]], rng: np.random.Generator
) -> tuple[PointSources, dict[str, Array], dict[str, Array]]:
    """Return the sources, their truth, and the pairs of a source and a cube."""
    places = np.array(sorted(set(positions.values())))
    near = np.array([separation_arcsec(places.T, (cube.ra, cube.dec)) <= REACH for cube in observations])
    places, near = places[near.any(axis=0)], near[:, near.any(axis=0)]
    sources, truth = draw_point_sources(places[:, 0], places[:, 1], rng)
    cubes, source = np.nonzero(near)
    x, y, fraction, on_cube = np.zeros((4, len(cubes)))
    for i, (k, n) in enumerate(zip(cubes.tolist(), source.tolist(), strict=True)):
        cube = observations[k]
        x[i], y[i] = to_spaxels(sources.ra[n], sources.dec[n], (cube.ra, cube.dec), cube.pa)
        fraction[i], on_cube[i] = aperture_fraction(float(x[i]), float(y[i]), cube.fwhm, BETA)
    pairs = {"source": source, "cube": cubes, "x": x, "y": y, "fraction": fraction, "fraction_on_cube": on_cube}
    return sources, truth, pairs
