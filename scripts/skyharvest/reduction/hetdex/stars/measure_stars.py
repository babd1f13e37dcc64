"""The step that measures a shot's stars, and writes them: ``stars/{shot}.h5``.

``stars``: a row for each star of the catalogue that the shot sees: star_ID, ra, dec, u g r i z of the catalogue;
ra_fit, dec_fit, dx, dy and their error, arcsec on the focal plane; ifuslot; flags (bits, told by the attribute
``flags``) and used_norm. Stars of which something is wrong are there, with their flags.

``exposures``: expnum, fwhm at 4500 Å (arcsec), norm (of mean 1), their errors, and how many stars told them.

Arrays (n_star, n_exp, 1036) f4: ``counts``, electrons in 2 Å of a mean fiber: all of the star's light, not divided by
the norm; ``variance``; ``fraction``, the share of it that fibers got. NaN where nothing is known. ``wavelength``: Å.
Arrays (n_star, n_exp) f8: ``light``, ``light_error``, ``chi2``, ``coverage``, ``fwhm``, ``fwhm_error`` in the band of
the settings, ``chi2_spectrum``; ``n_fibers``, ``used_fwhm``.

Attributes: shot, fwhm, fwhm_error and n_fwhm of the shot. A shot that has no stars which tell its FWHM and norms has
the attribute ``failed``, the reason, and nothing else; so has one whose astrometry failed.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from scipy.spatial import KDTree

from skyharvest.core.arrays import Array, Float32s, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.core.words import counted
from skyharvest.formats.pytables import rows_of, write_table
from skyharvest.reduction.hetdex.layout import name_of_exposure
from skyharvest.reduction.hetdex.rebin import rebin
from skyharvest.reduction.hetdex.settings import Stars as Options
from skyharvest.reduction.hetdex.stars import astrometry_file, fibers, star_extraction
from skyharvest.reduction.hetdex.stars.astrometry_file import Astrometry
from skyharvest.reduction.hetdex.stars.point_source import NEAR
from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS, StarCatalogue
from skyharvest.reduction.hetdex.stars.star_extraction import Measured, NearFibers, Spectra
from skyharvest.reduction.hetdex.virus import GRID

log = logging.getLogger(__name__)

COVERED = 0.8
"""A bin of the grid of which less is known is not known."""

STARS = [
    ("star_ID", "S28"),
    ("ra", "<f8"),
    ("dec", "<f8"),
    *((band, "<f8") for band in BANDS),
    ("ra_fit", "<f8"),
    ("dec_fit", "<f8"),
    ("dx", "<f8"),
    ("dy", "<f8"),
    ("offset_error", "<f8"),
    ("ifuslot", "S3"),
    ("flags", "<i4"),
    ("used_norm", "|b1"),
]
EXPOSURES = [
    ("expnum", "<i4"),
    ("fwhm", "<f8"),
    ("fwhm_error", "<f8"),
    ("n_fwhm", "<i4"),
    ("norm", "<f8"),
    ("norm_error", "<f8"),
    ("n_norm", "<i4"),
]


@dataclass
class _Pieces:
    """Fibers of an exposure, IFU by IFU."""

    x: list[Floats] = field(default_factory=list)
    y: list[Floats] = field(default_factory=list)
    light: list[Floats] = field(default_factory=list)
    error: list[Floats] = field(default_factory=list)
    brightest: list[Floats] = field(default_factory=list)
    counts: list[Array] = field(default_factory=list)
    variance: list[Array] = field(default_factory=list)

    def joined(self) -> NearFibers:
        """Return all of them."""

        def one(name: str) -> Floats:
            return np.concatenate(getattr(self, name)) if self.x else np.zeros(0)

        def spectra(name: str) -> Float32s:
            return np.concatenate(getattr(self, name)) if self.x else np.zeros((0, len(GRID)), np.float32)

        return NearFibers(
            one("x"),
            one("y"),
            one("light"),
            one("error"),
            one("brightest"),
            spectra("counts"),
            spectra("variance"),
        )


def extract_shot(multifits: Sequence[Path], astrometry: Path, out: Path, options: Options) -> None:
    """Measure the stars of a shot, and write them.

    Parameters
    ----------
    multifits
        Directories ``science/{shot}/exp{NN}/{ifu}``.
    astrometry
        ``astrometry/{shot}.h5``.
    out
        ``stars/{shot}.h5``. A shot that fails has the reason in it.

    Raises
    ------
    MalformedFile
        If a file is damaged.
    """
    known = astrometry_file.read(astrometry)
    shot = known.shot
    with atomic_path(out) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["shot"] = shot
        try:
            if known.failed:
                raise InputError(known.failed)
            _fill(file, multifits, known, options)
        except InputError as error:
            log.error("%s: %s", shot, error)
            for name in list(file):
                del file[name]
            file.attrs["failed"] = str(error)


def _fill(file: h5py.File, multifits: Sequence[Path], known: Astrometry, options: Options) -> None:
    stars = known.catalogue.take(np.flatnonzero(~(known.catalogue.magnitude("g") > options.faintest)))
    expnums = sorted(known.pointings)
    places = np.stack(
        [np.stack(known.pointings[expnum].to_plane(stars.ra, stars.dec), axis=1) for expnum in expnums], axis=1
    )  # (n_star, n_exp, 2)
    by_exposure = _read(multifits, known, dict(zip(expnums, places.swapaxes(0, 1), strict=True)), options)
    seen = np.array(
        [
            any(
                np.hypot(by_exposure[expnum].x - x, by_exposure[expnum].y - y).min(initial=np.inf) < options.aperture
                for expnum, (x, y) in zip(expnums, star, strict=True)
            )
            for star in places
        ],
        dtype=bool,
    )
    stars, places = stars.take(seen), places[seen]
    if not len(stars):
        raise InputError(
            f"found none of {counted(seen.size, 'star')} of the field brighter than g = {options.faintest:g} in an "
            f"IFU; expected {options.min_stars} or more: use a deeper catalogue, or another stars.faintest"
        )
    start = np.array([known.widths[expnum] for expnum in expnums])
    exposures = [by_exposure[expnum] for expnum in expnums]
    measured = star_extraction.measure(exposures, places[..., 0], places[..., 1], stars.magnitude("g"), start, options)
    _check(measured, expnums, options)
    spectra = [
        star_extraction.extract(
            exposure,
            places[:, e, 0] + measured.dx,
            places[:, e, 1] + measured.dy,
            float(measured.fwhm[e]),
            np.asarray(GRID, np.float64),
            options,
        )
        for e, exposure in enumerate(exposures)
    ]
    _write(file, stars, places, measured, spectra, expnums, known)


def _read(
    directories: Sequence[Path], known: Astrometry, places: Mapping[int, Floats], options: Options
) -> dict[int, NearFibers]:
    """Return the fibers near stars of each exposure."""
    made = {expnum: _Pieces() for expnum in places}
    for directory in sorted(directories):
        expnum = int(directory.parent.name.removeprefix("exp"))
        if expnum not in places or not len(places[expnum]):
            continue
        ifu = fibers.read(directory)
        if ifu is None:
            continue
        seat_x, seat_y = known.slots[ifu.ifuslot]
        x, y = ifu.x + seat_y, ifu.y + seat_x
        distance, _ = KDTree(places[expnum]).query(np.column_stack([x, y]), distance_upper_bound=2 * NEAR)
        near = np.flatnonzero(np.isfinite(distance))
        if not near.size:
            continue
        wave, counts, error = ifu.wavelength[near], ifu.counts[near], ifu.error[near]
        light, light_error = fibers.light(wave, counts, error, options.first_wavelength, options.last_wavelength)
        # Spectra are only those of fibers that may be extracted; others are measured in the band.
        wanted = distance[near] < options.aperture + options.most_off
        on_grid = np.full((2, len(near), len(GRID)), np.nan, np.float32)
        if wanted.any():
            known_pixels = fibers.good(counts[wanted], error[wanted])
            (value,), (variance,) = rebin(
                wave[wanted].astype(np.float64),
                (np.where(known_pixels, counts[wanted], np.nan),),
                (np.where(known_pixels, error[wanted].astype(np.float64) ** 2, np.nan),),
                float(GRID[0]),
                float(GRID[1] - GRID[0]),
                len(GRID),
                COVERED,
            )
            on_grid[0, wanted], on_grid[1, wanted] = value, variance
        brightest = np.where(np.isfinite(counts), counts, -np.inf).max(axis=1, initial=-np.inf).astype(np.float64)
        pieces = made[expnum]
        for name, values in (
            ("x", x[near]),
            ("y", y[near]),
            ("light", light),
            ("error", light_error),
            ("brightest", brightest),
            ("counts", on_grid[0]),
            ("variance", on_grid[1]),
        ):
            getattr(pieces, name).append(values)
    return {expnum: pieces.joined() for expnum, pieces in made.items()}


def _check(measured: Measured, expnums: Sequence[int], options: Options) -> None:
    """Raise InputError if an exposure has too few stars for its width, or none for its norm."""
    for e, expnum in enumerate(expnums):
        n = int(measured.used_fwhm[:, e].sum())
        log.info(
            "%s: FWHM %.3f ± %.3f″ of %s, norm %.3f ± %.3f",
            name_of_exposure(expnum),
            measured.fwhm[e],
            measured.fwhm_error[e],
            counted(n, "star"),
            measured.norm[e],
            measured.norm_error[e],
        )
        if n < options.min_stars:
            raise InputError(
                f"{name_of_exposure(expnum)}: found {counted(n, 'star')} that tell the width of images, of "
                f"{len(measured.flags)} that the shot sees; expected {options.min_stars} or more of S/N "
                f"{options.least_snr:g}, not blended, saturated or on an edge: lower stars.least_snr, or use a deeper "
                "catalogue"
            )
    if not measured.used_norm.any():
        raise InputError(
            f"found no star that is good in all of {counted(len(expnums), 'exposure')}, of {len(measured.flags)}; "
            "expected one or more, for their norms: lower stars.least_snr"
        )


def _write(
    file: h5py.File,
    stars: StarCatalogue,
    places: Floats,
    measured: Measured,
    spectra: Sequence[Spectra],
    expnums: Sequence[int],
    known: Astrometry,
) -> None:
    first = known.pointings[expnums[0]]
    at_x, at_y = places[:, 0, 0] + measured.dx, places[:, 0, 1] + measured.dy
    ra, dec = first.to_sky(at_x, at_y)
    slots = np.array(list(known.slots))
    seats = np.array([(y, x) for x, y in known.slots.values()])
    _, own = KDTree(seats).query(np.column_stack([at_x, at_y]))
    table = rows_of(
        STARS,
        {
            "star_ID": stars.ids,
            "ra": stars.ra,
            "dec": stars.dec,
            "ra_fit": ra,
            "dec_fit": dec,
            "dx": measured.dx,
            "dy": measured.dy,
            "offset_error": measured.offset_error,
            "ifuslot": slots[own],
            "flags": measured.flags,
            "used_norm": measured.used_norm,
        }
        | {band: stars.magnitude(band) for band in BANDS},
    )
    flags = "; ".join(f"{bit}: {meaning}" for bit, meaning in star_extraction.FLAGS.items())
    write_table(file, "stars", table, attributes={"flags": flags})
    n_fwhm = measured.used_fwhm.sum(axis=0)
    write_table(
        file,
        "exposures",
        rows_of(
            EXPOSURES,
            {
                "expnum": list(expnums),
                "fwhm": measured.fwhm,
                "fwhm_error": measured.fwhm_error,
                "n_fwhm": n_fwhm,
                "norm": measured.norm,
                "norm_error": measured.norm_error,
                "n_norm": int(measured.used_norm.sum()),
            },
        ),
    )
    file["wavelength"] = GRID
    for name in ("counts", "variance", "fraction"):
        file.create_dataset(name, data=np.stack([getattr(own, name) for own in spectra], axis=1))
    file["chi2_spectrum"] = np.stack([own.chi2 for own in spectra], axis=1)
    file["n_fibers"] = np.stack([own.n_fibers for own in spectra], axis=1)
    file["used_fwhm"] = measured.used_fwhm
    file["fwhm"], file["fwhm_error"] = measured.width, measured.width_error
    for name in ("light", "light_error", "chi2", "coverage"):
        file[name] = getattr(measured, name)
    file.attrs["fwhm"] = float(measured.fwhm.mean())
    file.attrs["fwhm_error"] = float(np.sqrt((measured.fwhm_error**2).sum()) / len(expnums))
    file.attrs["n_fwhm"] = int(measured.used_fwhm.any(axis=1).sum())
