"""A few simulated HETDEX IFU cubes over positions of the demo's CSV, their index, and the truth behind them.

The format is that of HETDEX Public Data Release 1: ``ifu-index.fits``, and ``dex_cube_SHOTID_IFUSLOT.fits`` with DATA,
ERROR and MASK, each (1036, 104, 104) = (wavelength, y, x). Nothing of the modules that read cubes is used.

Units: wavelengths Å in air, spectra 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, DATA and ERROR 10⁻¹⁷ erg s⁻¹ cm⁻² per bin of 2 Å, RA and
Dec degrees (ICRS), x and y spaxels from 0 (the middle of the first one).
"""

import datetime
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io.fits import Header

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.formats import hdf5
from skyharvest.simulate.fits_write import write_hdu, write_table
from skyharvest.simulate.positions import read_positions
from skyharvest.surveys.hetdex.mask_bits import MASK_BITS

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Change = Callable[[Array, Array, Array], None]

SHAPE = (1036, 104, 104)
BIN = 2.0  # Å
WAVE: Floats = 3470.0 + BIN * np.arange(SHAPE[0], dtype=np.float64)
SPAXEL = 0.5  # arcsec
CENTER = 51.0  # x and y of CRVAL: CRPIX is 52
RADIUS = 3.5  # arcsec, of the apertures in the truth
BETA = 3.0  # of the Moffat profile
BADCAL = [(3534.0, 3556.0), (5194.0, 5197.0), (5200.0, 5205.0), (5456.0, 5466.0)]  # Å, of poor calibration
REACH = 45.0  # arcsec from a cube's center: nothing farther away touches it

# An IFU: 448 fibers in 23 rows of 20 and 19, a third of the field; two more dithers fill it.
_FIBER_STEP, _ROW_STEP = 2.54, 2.2  # arcsec
_FIBER_RADIUS = 0.75
_DITHERS = [(0.0, 0.0), (1.27, 0.733), (1.27, -0.733)]
_LIT_RADIUS = 1.0  # arcsec from a fiber's center; the cubes are interpolated
_TILE = (1, *SHAPE[1:])  # rows as tiles, the usual ones, would take 4 MB an image for their table alone
_FINER = 16  # steps of ERROR in one of DATA
_AB_WAVE = 4500.0  # Å
_C = 2.99792458e18  # Å/s

INDEX = np.dtype(
    [
        ("shotid", "i8"),
        ("ifuslot", "S3"),
        ("ra_cen", "f4"),
        ("dec_cen", "f4"),
        ("flag", "f4"),
        ("flag_badamp", "f4"),
        ("flag_badfib", "f4"),
        ("flag_meteor", "f4"),
        ("flag_satellite", "f4"),
        ("flag_shot", "f4"),
        ("flag_throughput", "f4"),
        ("field", "S12"),
        ("objid", "S18"),
        ("date", "i4"),
        ("obsid", "i4"),
        ("ra_shot", "f8"),
        ("dec_shot", "f8"),
        ("pa", "f8"),
        ("n_ifu", "i4"),
        ("fwhm_virus", "f4"),
        ("fwhm_virus_err", "f4"),
        ("response_4540", "f4"),
        ("exptime", "f4"),
        ("mjd", "f8"),
        ("fluxlimit_4600", "f4"),
    ]
)
"""Columns of ``ifu-index.fits``."""


@dataclass(frozen=True)
class PointSources:
    """n sources of light.

    Attributes
    ----------
    ra, dec : (n,) float64, degrees
    flux : (n, 1036) float64, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ on `WAVE`
        All of its light.
    """

    ra: Floats
    dec: Floats
    flux: Floats


@dataclass(frozen=True)
class _Observation:
    """A cube of the release; ``amps``: which of the IFU's four quarters, from low to high y, have light."""

    shotid: int
    ifuslot: str
    ra: float
    dec: float
    pa: float
    fwhm: float
    field: str
    on_disk: bool = True
    flawed: bool = False
    amps: tuple[int, ...] = (0, 1, 2, 3)

    @property
    def path(self) -> str:
        """Below the release's root."""
        return f"datacubes/{self.shotid}/dex_cube_{self.shotid}_{self.ifuslot}.fits"


def to_spaxels(ra: Array | float, dec: Array | float, at: tuple[float, float], pa: float) -> tuple[Floats, Floats]:
    """Return x and y of positions on a cube.

    The gnomonic projection (Calabretta & Greisen 2002, A&A 395, 1077, TAN) around ``at`` (RA, Dec in degrees), with
    the y axis at position angle ``pa`` (degrees, from north to east). Infinite for the other half of the sky.
    """
    lon, lat, lat0 = np.radians(np.asarray(ra, float) - at[0]), np.radians(dec), math.radians(at[1])
    depth = np.sin(lat) * math.sin(lat0) + np.cos(lat) * math.cos(lat0) * np.cos(lon)
    east = np.cos(lat) * np.sin(lon) / depth
    north = (np.sin(lat) * math.cos(lat0) - np.cos(lat) * math.sin(lat0) * np.cos(lon)) / depth
    u, v = -np.degrees(east) * 3600 / SPAXEL, np.degrees(north) * 3600 / SPAXEL
    c, s = math.cos(math.radians(pa)), math.sin(math.radians(pa))
    x, y = (np.where(depth > 0, CENTER + along, np.inf) for along in (c * u + s * v, -s * u + c * v))
    return x, y


def center_for(ra: float, dec: float, x: float, y: float, pa: float) -> tuple[float, float]:
    """Return where a cube's center must be for a position to be at x, y (to some 0.1 spaxels, not too near a pole)."""
    c, s = math.cos(math.radians(pa)), math.sin(math.radians(pa))
    u, v = c * (x - CENTER) - s * (y - CENTER), s * (x - CENTER) + c * (y - CENTER)
    center = dec - v * SPAXEL / 3600
    return (ra + u * SPAXEL / 3600 / math.cos(math.radians(center))) % 360, center


def write_cube(
    path: Path,
    *,
    shotid: int,
    ifuslot: str,
    ra: float,
    dec: float,
    pa: float,
    sources: PointSources,
    fwhm: float = 1.7,
    beta: float | None = BETA,
    error: Array | float = 0.08,
    rng: np.random.Generator | None = None,
    lit: Bools | None = None,
    change: Change | None = None,
    field: str = "dex-spring",
    compress: bool = True,
) -> None:
    """Write one cube.

    Parameters
    ----------
    path
        Of the file. It appears complete or not at all.
    shotid, ifuslot
        Date (YYYYMMDD) and number (three digits) of the exposure, as one number; three digits.
    ra, dec, pa
        Of the center (CRVAL), degrees; of the y axis from north to east, degrees.
    sources
        Those far away shine no light into the cube; any number, also none.
    fwhm, beta
        Of the point-spread function: arcsec; of a Moffat profile, or None for a Gaussian one.
    error : broadcast to (1036, 104, 104)
        Of a voxel. It is rounded to 1/16 of a power of two below its smallest positive value.
    rng
        Draws the noise; without it there is none.
    lit : (104, 104) bool, optional
        Where there are fibers (all by default): elsewhere DATA and ERROR are NaN.
    change
        Called last, with DATA, ERROR (float32) and MASK (int16, all 0), to be changed in place.
    compress
        Whether images are RICE-compressed in tiles of a plane, DATA in steps of the power of two above, with
        subtractive dither (which keeps 0); the noise that this adds is left out of what is drawn. Otherwise they are
        plain images, exact.
    """
    smallest = np.min(error, where=np.asarray(error) > 0, initial=np.inf)
    step = 2.0 ** math.floor(math.log2(smallest)) if np.isfinite(smallest) else 1.0
    errors = np.empty(SHAPE, dtype=np.float32)
    errors[:] = error
    errors *= _FINER / step
    np.rint(errors, out=errors)
    errors *= step / _FINER
    if rng is None:
        flux = np.zeros(SHAPE, dtype=np.float32)
    else:
        flux = np.square(errors)
        flux -= step**2 / 12 if compress else 0.0
        np.sqrt(np.maximum(flux, 0, out=flux), out=flux)
        flux *= rng.standard_normal(SHAPE, dtype=np.float32)
    x, y = to_spaxels(sources.ra, sources.dec, (ra, dec), pa)
    for i in range(len(x)):
        light = spread(float(x[i]), float(y[i]), fwhm, beta).astype(np.float32)
        flux += np.multiply.outer((BIN * sources.flux[i]).astype(np.float32), light)
    mask = np.zeros(SHAPE, dtype=np.int16)
    if lit is not None:
        flux[:, ~lit] = errors[:, ~lit] = np.nan
    if change is not None:
        change(flux, errors, mask)
    cards = _cards(shotid=shotid, ifuslot=ifuslot, ra=ra, dec=dec, pa=pa, fwhm=fwhm, field=field)
    _write_images(path, cards, {"DATA": flux, "ERROR": errors, "MASK": mask}, step if compress else None)


def _cards(
    *, shotid: int, ifuslot: str, ra: float, dec: float, pa: float, fwhm: float, field: str
) -> list[tuple[str, object]]:
    """Return the cards of an image, with the oddities of the real ones: CUNIT3 says m where CRVAL3 is in Å."""
    c, s = math.cos(math.radians(pa)), math.sin(math.radians(pa))
    return [
        ("WCSAXES", 3),
        ("CRPIX1", CENTER + 1),
        ("CRPIX2", CENTER + 1),
        ("CRPIX3", 1.0),
        ("PC1_1", c),
        ("PC1_2", -s),
        ("PC2_1", s),
        ("PC2_2", c),
        ("CDELT1", -SPAXEL / 3600),
        ("CDELT2", SPAXEL / 3600),
        ("CDELT3", BIN),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("CUNIT3", "m"),
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CTYPE3", "WAVE"),
        ("CRVAL1", ra),
        ("CRVAL2", dec),
        ("CRVAL3", float(WAVE[0])),
        ("LONPOLE", 180.0),
        ("RADESYS", "ICRS"),
        ("SHOTID", shotid),
        ("IFUSLOT", ifuslot),
        ("DATEVOBS", f"{shotid // 1000}v{shotid % 1000:03d}"),
        ("FIELD", field),
        ("FWHM", fwhm),
    ]


def _write_images(
    path: Path, cards: Sequence[tuple[str, object]], images: Mapping[str, Array], step: float | None
) -> None:
    """Write a primary HDU without data, and images; compressed where ``step`` is given."""
    import fitsio  # noqa: PLC0415 (what only wants positions need not wait for it)

    header = [{"name": name, "value": value} for name, value in cards]
    # What is written of ERROR is a multiple of its step, a power of two: it, and 0, come back as they were.
    ways: dict[str, dict[str, Any]] = {"DATA": {}, "ERROR": {}, "MASK": {}}
    if step is not None:
        ways["DATA"] = {"qlevel": -step, "qmethod": "SUBTRACTIVE_DITHER_2", "dither_seed": 1}
        ways["ERROR"] = {"qlevel": -step / _FINER, "qmethod": "NO_DITHER"}
        for way in ways.values():
            way.update(compress="RICE", tile_dims=_TILE)
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as out:
        out.write(None)
        for name, data in images.items():
            out.write(data, extname=name, header=header, **ways[name])


def spread(x: float, y: float, fwhm: float, beta: float | None) -> Floats:
    """Return (104, 104) float64: the share of a source's light that falls on every spaxel (1 over the whole plane).

    Integrated over spaxels by Gauss-Legendre quadrature, 4 × 4 points. ``fwhm`` in arcsec; ``beta`` of a Moffat
    profile (Moffat 1969, A&A 3, 455), None for a Gaussian.
    """
    nodes, weights = np.polynomial.legendre.leggauss(4)
    n = len(nodes)
    square = [
        ((np.arange(length)[:, None] + nodes / 2).ravel() - at) ** 2
        for length, at in zip(SHAPE[1:], (y, x), strict=True)
    ]
    r2 = np.add.outer(*square)
    width = _width(fwhm / SPAXEL, beta)
    if beta is None:
        profile = np.exp(-r2 / (2 * width**2)) / (2 * np.pi * width**2)
    else:
        profile = (beta - 1) / (np.pi * width**2) * (1 + r2 / width**2) ** -beta
    return np.asarray(
        np.einsum("iajb,a,b->ij", profile.reshape(SHAPE[1], n, SHAPE[2], n), weights / 2, weights / 2, optimize=True)
    )


def aperture_fraction(
    x: float, y: float, fwhm: float, beta: float | None, radius: float = RADIUS
) -> tuple[float, float]:
    """Return the share of a source's light within a circle around it, and within its part that is on the grid.

    The first is analytic, the second the mean over directions of it at the distance where the grid ends. ``fwhm`` and
    ``radius`` in arcsec.
    """
    width, reach = _width(fwhm / SPAXEL, beta), radius / SPAXEL

    def within(r: Array | float) -> Floats:
        ratio = (np.asarray(r) / width) ** 2
        return np.asarray(1 - np.exp(-ratio / 2) if beta is None else 1 - (1 + ratio) ** (1 - beta))

    angle = (np.arange(36000) + 0.5) * (2 * np.pi / 36000)
    enter, leave = np.zeros_like(angle), np.full_like(angle, np.inf)
    for at, along, length in ((x, np.cos(angle), SHAPE[2]), (y, np.sin(angle), SHAPE[1])):
        ends = np.sort([(-0.5 - at) / along, (length - 0.5 - at) / along], axis=0)
        enter, leave = np.maximum(enter, ends[0]), np.minimum(leave, ends[1])
    on_grid = within(np.minimum(leave, reach)) - within(np.minimum(enter, reach))
    return float(within(reach)), float(np.where(leave > enter, on_grid, 0).mean())


def _width(fwhm: float, beta: float | None) -> float:
    """Return a Gaussian's sigma, or a Moffat profile's alpha."""
    return fwhm / math.sqrt(8 * math.log(2)) if beta is None else fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))


def _fibers() -> Floats:
    """Return (448, 2) x, y of the fibers in the first dither."""
    made = []
    for row in range(23):
        n = 20 - row % 2
        made += [((i - (n - 1) / 2) * _FIBER_STEP, (row - 11) * _ROW_STEP) for i in range(n)]
    return np.asarray(CENTER + (np.array(made[:448]) - np.mean(_DITHERS, axis=0)) / SPAXEL)


def _near(places: Floats, arcsec: float) -> Bools:
    """Return (104, 104) bool: which spaxels are near one of some places, (n, 2) x, y."""
    x, y = places[:, :1], places[:, 1:]
    box = np.arange(-math.ceil(arcsec / SPAXEL) - 1, math.ceil(arcsec / SPAXEL) + 2)
    rows, columns = (np.round(at[:, None]) + offsets for at, offsets in ((y, box[:, None]), (x, box)))
    near = np.hypot(columns - x[..., None], rows - y[..., None]) <= arcsec / SPAXEL
    near &= (rows >= 0) & (rows < SHAPE[1]) & (columns >= 0) & (columns < SHAPE[2])
    made = np.zeros(SHAPE[1:], dtype=bool)
    made[tuple(np.broadcast_to(at, near.shape)[near].astype(int) for at in (rows, columns))] = True
    return made


def lit_spaxels(amps: Sequence[int] = (0, 1, 2, 3)) -> Bools:
    """Return (104, 104) bool: where an IFU's three dithers have light. The rim has gaps.

    ``amps``: which of the four amplifiers, 112 fibers each from low to high y, have been read.
    """
    fibers = _fibers().reshape(4, 112, 2)[list(amps)].reshape(-1, 1, 2) + np.array(_DITHERS) / SPAXEL
    return _near(fibers.reshape(-1, 2), _LIT_RADIUS)


def noise_level() -> Floats:
    """Return (1036, 104, 1) float64: ERROR of the release's cubes: more in the blue, another in every amplifier."""
    blue = 0.07 + 0.05 * ((WAVE[-1] - WAVE) / np.ptp(WAVE)) ** 2
    amplifier = np.repeat([1.0, 1.15, 1.05, 1.25], SHAPE[1] // 4)
    return np.asarray(np.multiply.outer(blue, amplifier)[..., None])


def _flaws() -> dict[str, Bools]:
    """Return where the flawed cube is flawed, (104, 104) bool by name of the bit; DEAD has no bit, but ERROR 0."""
    rows, columns = np.indices(SHAPE[1:])
    angle = math.radians(20)
    off_streak = (columns - CENTER) * math.sin(angle) - (rows - 59) * math.cos(angle)
    bad, odd, dead = (_fibers()[i] + np.array(_DITHERS) / SPAXEL for i in (300, 350, 204))
    return {
        "METEOR": np.abs(off_streak) <= _FIBER_RADIUS / SPAXEL,
        "BADAMP": rows < 26,
        "BADFIB": _near(bad, _FIBER_RADIUS),
        "CHI2FIB": _near(odd, _FIBER_RADIUS),
        "DEAD": _near(dead, _FIBER_RADIUS),
    }


def _flawed(rng: np.random.Generator) -> Change:
    """Return what spoils a cube; much of it has light that shows if somebody passes over the mask."""

    def change(flux: Array, error: Array, mask: Array) -> None:
        wrong = _flaws()
        lit = np.isfinite(error[0])
        dead = wrong.pop("DEAD") & lit
        for name, where in wrong.items():
            mask[:, where & lit] |= MASK_BITS[name]
        mask[:, (wrong["BADAMP"] | wrong["BADFIB"]) & lit] |= MASK_BITS["MAIN"]
        flux[:, wrong["METEOR"] & lit] += np.float32(2.0)
        for first, last in BADCAL:
            at = np.flatnonzero((first <= WAVE) & (last >= WAVE))
            mask[at] |= np.where(lit, MASK_BITS["BADCAL"], 0).astype(np.int16)
        spots = tuple(rng.integers(length, size=3000) for length in SHAPE)
        spots = tuple(axis[lit[spots[1:]]] for axis in spots)
        mask[spots] |= MASK_BITS["BADPIX"]
        flux[spots] += np.float32(50.0)
        flux[:, dead] = error[:, dead] = 0

    return change


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

    ``ifu-index.fits`` is written last: if it is there, all is. What an earlier run left under the same names is
    replaced.

    Parameters
    ----------
    csv_path
        The CSV of positions that `release.simulate` wrote: some of its rows, known by their name, get a cube.
    out
        Gets ``ifu-index.fits``, ``datacubes/`` and ``truth.hdf5``, which has the groups

        - ``sources``: ``ra``, ``dec``, ``flux`` (n, 1036), and what `draw_point_sources` tells of them: a source on
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
    rows, positions = read_positions(csv_path)
    observations = _lay_out(csv_path, rows, positions)
    sources, truth, pairs = _sources(observations, positions, np.random.default_rng([seed, 3]))
    index = out / "ifu-index.fits"
    index.unlink(missing_ok=True)
    level = noise_level()
    for i, made in enumerate(observations):
        if not made.on_disk:
            (out / made.path).unlink(missing_ok=True)
            continue
        near = pairs["source"][pairs["cube"] == i]
        rng = np.random.default_rng([seed, made.shotid, int(made.ifuslot)])
        write_cube(
            out / made.path,
            shotid=made.shotid,
            ifuslot=made.ifuslot,
            ra=made.ra,
            dec=made.dec,
            pa=made.pa,
            sources=PointSources(sources.ra[near], sources.dec[near], sources.flux[near]),
            fwhm=made.fwhm,
            error=level,
            rng=rng,
            lit=lit_spaxels(made.amps),
            change=_flawed(rng) if made.flawed else None,
            field=made.field,
        )
    with hdf5.create(out / "truth.hdf5") as file:
        file.attrs.update(aperture_radius_arcsec=RADIUS, psf="moffat", moffat_beta=BETA)
        columns = ("shotid", "ra", "dec", "pa", "fwhm", "on_disk", "flawed")
        cubes = {name: np.array([getattr(made, name) for made in observations]) for name in columns}
        cubes["ifuslot"] = np.array([made.ifuslot.encode() for made in observations])
        spectra: dict[str, Array] = {"ra": sources.ra, "dec": sources.dec, "flux": sources.flux.astype(np.float32)}
        of_source = {place: i for i, place in enumerate(zip(sources.ra.tolist(), sources.dec.tolist(), strict=True))}
        known = np.array([(row, of_source[place]) for row, place in positions.items() if place in of_source])
        table = {"row": known[:, 0], "source": known[:, 1]}
        groups: dict[str, dict[str, Array]] = {
            "sources": spectra | truth,
            "rows": table,
            "cubes": cubes,
            "pairs": pairs,
        }
        for name, group in groups.items():
            hdf5.write_table(file.create_group(name), group)
    _write_index(index, _index_rows(observations, positions, np.random.default_rng([seed, 4])))
    log.info("%s: %d cubes, %d sources", out, sum(made.on_disk for made in observations), len(sources.ra))


def _lay_out(path: Path, names: Mapping[str, int], positions: Mapping[int, tuple[float, float]]) -> list[_Observation]:
    """Return the cubes near CSV rows: repeats, an edge, a flawed one, one of 2017, RA 0, positions off, one absent."""

    def over(name: str, x: float, y: float, *, pa: float, **how: Any) -> _Observation:
        """Lay a cube so that a row's position is at x, y."""
        if names.get(name) not in positions:
            raise InputError(f"{path} has no row named {name!r}: it must be the CSV that simulate_release.py writes")
        ra, dec = center_for(*positions[names[name]], x, y, pa)
        return _Observation(ra=ra, dec=dec, pa=pa, **how)

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


def _separation(places: Floats, at: tuple[float, float]) -> Floats:
    """Return the distances in arcsec of places, (n, 2) RA, Dec, from one (haversine formula)."""
    lon, lat, lat0 = np.radians(places[:, 0] - at[0]), np.radians(places[:, 1]), math.radians(at[1])
    half = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * math.cos(lat0) * np.sin(lon / 2) ** 2
    return np.asarray(np.degrees(2 * np.arcsin(np.sqrt(half))) * 3600)


def _sources(
    observations: Sequence[_Observation], positions: Mapping[int, tuple[float, float]], rng: np.random.Generator
) -> tuple[PointSources, dict[str, Array], dict[str, Array]]:
    """Return the sources, what is known of them, and the pairs of a source and a cube."""
    places = np.array(sorted(set(positions.values())))
    near = np.array([_separation(places, (made.ra, made.dec)) <= REACH for made in observations])
    places, near = places[near.any(axis=0)], near[:, near.any(axis=0)]
    sources, truth = draw_point_sources(places[:, 0], places[:, 1], rng)
    cube, source = np.nonzero(near)
    x, y, fraction, on_cube = np.zeros((4, len(cube)))
    for i, (k, n) in enumerate(zip(cube.tolist(), source.tolist(), strict=True)):
        made = observations[k]
        x[i], y[i] = to_spaxels(sources.ra[n], sources.dec[n], (made.ra, made.dec), made.pa)
        fraction[i], on_cube[i] = aperture_fraction(float(x[i]), float(y[i]), made.fwhm, BETA)
    pairs = {"source": source, "cube": cube, "x": x, "y": y, "fraction": fraction, "fraction_on_cube": on_cube}
    return sources, truth, pairs


def _index_rows(
    observations: Sequence[_Observation], positions: Mapping[int, tuple[float, float]], rng: np.random.Generator
) -> Array:
    """Return the index: the cubes, other slots of their shots, and shots elsewhere, away from every CSV row."""
    away = [
        _Observation(
            made.shotid, slot, (made.ra + east / 3600) % 360, made.dec + north / 3600, made.pa, made.fwhm, made.field
        )
        for made in observations[:4]
        for slot, east, north in (("008", 300.0, -200.0), ("105", -100.0, 0.0))
    ]
    away += [
        _Observation(20180914005, "076", 23.417, 0.213, 44.0, 1.9, "dex-fall"),
        _Observation(20171118031, "024", 359.31, -0.41, 301.0, 2.3, "dex-fall"),
        _Observation(20230220018, "067", 213.04, 51.92, 162.0, 1.5, "dex-spring"),
    ]
    places = np.array(list(positions.values()))
    away = [made for made in away if _separation(places, (made.ra, made.dec)).min() > 2 * REACH]
    flaws = _flaws()
    rows = np.zeros(len(observations) + len(away), INDEX)
    shots: dict[int, tuple[float, ...]] = {}
    for row, made in zip(rows, [*observations, *away], strict=True):
        if made.shotid not in shots:
            shots[made.shotid] = tuple(rng.uniform([0.12, 0.04, 1000, 0.1, 4.0], [0.19, 0.15, 1300, 0.5, 6.0]))
        response, fwhm_error, exptime, day, limit = shots[made.shotid]
        date, obsid = divmod(made.shotid, 1000)
        for name in INDEX.names or ():
            if name.startswith("flag"):
                row[name] = 1
        if made.flawed:
            lit = lit_spaxels(made.amps)
            for bit in ("BADAMP", "BADFIB", "METEOR"):
                row[f"flag_{bit.lower()}"] = 1 - flaws[bit][lit].mean()
            row["flag"] = 1 - np.any([flaws[bit] for bit in ("BADAMP", "BADFIB", "METEOR")], axis=0)[lit].mean()
        elif len(made.amps) < 4:
            row["flag"] = row["flag_badamp"] = len(made.amps) / 4
        row["shotid"], row["ifuslot"], row["field"] = made.shotid, made.ifuslot, made.field
        row["ra_cen"], row["dec_cen"], row["pa"], row["fwhm_virus"] = made.ra, made.dec, made.pa, made.fwhm
        row["objid"], row["date"], row["obsid"] = f"DEX{obsid:06d}", date, obsid
        row["ra_shot"], row["dec_shot"], row["n_ifu"] = round(made.ra, 1), round(made.dec, 1), 74
        row["response_4540"], row["fwhm_virus_err"], row["exptime"] = response, fwhm_error, exptime
        day_of = datetime.date(date // 10000, date // 100 % 100, date % 100)
        row["mjd"] = day_of.toordinal() - 678576 + day
        row["fluxlimit_4600"] = limit * 1e-17
    return rows[np.argsort(rows, order=("shotid", "ifuslot"))]


def _write_index(path: Path, rows: Array) -> None:
    """Write ``ifu-index.fits``."""
    primary = Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        write_hdu(stream, primary, checksum=False)
        write_table(stream, "IFU-INDEX", rows, checksum=False)
