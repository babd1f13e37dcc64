"""The HETDEX datacube: its data model, and the spectra of the sources on it.

A cube ``dex_cube_{shotid}_{ifuslot}.fits`` is what one IFU saw in one observation: an empty primary HDU and three
images of shape (1036, 104, 104) = (wavelength, y, x), tile-compressed or not. ``DATA`` and ``ERROR`` (1σ) are
10⁻¹⁷ erg s⁻¹ cm⁻² per spaxel and bin of 2 Å, ``MASK`` has the bits of `skyharvest.surveys.hetdex.mask_bits` (0 =
good). Where no fiber was, DATA is NaN or 0 and ERROR is 0. Spaxels of 0.5″ are not aligned with north. Source:
Mentuch Cooper et al. 2026, HETDEX Public Data Release 1, Tables 2 and 3.

Wavelengths are in air. The header's spectral axis cannot be trusted with its unit (``CUNIT3 = 'm'`` beside
``CRVAL3 = 3470`` occurs) and calls air ``WAVE``, the FITS code for vacuum: it is checked by its numbers alone and never
becomes part of a WCS.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.tangent_plane import Sky, as_number
from skyharvest.surveys.hetdex.mask_bits import mask_bits

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Box = tuple[slice, slice]  # rows (y) and columns (x) of spaxels

N_WAVE, N_SPAXELS = 1036, 104
SHAPE = (N_WAVE, N_SPAXELS, N_SPAXELS)
FIRST_WAVE, BIN_WIDTH = 3470.0, 2.0  # Å, air
WAVE_AIR: Floats = FIRST_WAVE + BIN_WIDTH * np.arange(N_WAVE, dtype=np.float64)
"""(1036,) float64 Å, in air: every cube's grid."""

IMAGES = {"DATA": "f", "ERROR": "f", "MASK": "iu"}  # and what they hold: NumPy's kinds
UNFILLED = 1e-8  # |flux| below it: a spaxel at the rim that nothing was measured in
PSF_REACH = 3.0  # FWHM: the radius within which the optimal extraction looks
PSF_NODES = 5  # of a Gauss-Legendre rule along each side of a spaxel
LEAST_WEIGHT = 1e-9  # of a spaxel in a circle: less is rounding
N_DECIMALS = 12  # to which sums of weights are good: full coverage is 1, not 1 - 2e-16

_FILE_NAME = re.compile(r"dex_cube_(\d+)_(\d{3})\.fits")


def air_to_vacuum(wave: Any) -> Floats:
    """Return the vacuum wavelengths of wavelengths in air.

    Solves λ_air = λ / n(λ) for λ by iteration, with the refractive index n of dry air at 15 °C and 1 atm of Morton
    (2000, ApJS 130, 403, eq. 8), the IAU's standard.

    Parameters
    ----------
    wave : (n,) Å, in air

    Returns
    -------
    (n,) float64 Å
    """
    air = np.asarray(wave, np.float64)
    vacuum = air
    for _ in range(4):  # each step gains more than four digits
        s2 = (1e4 / vacuum) ** 2
        vacuum = air * (1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2))
    return vacuum


@dataclass(frozen=True)
class Masking:
    """Which bits of MASK make a voxel bad. Each is what `skyharvest.surveys.hetdex.mask_bits.mask_bits` takes.

    Attributes
    ----------
    exclude_bits
        A voxel with any of these is bad.
    keep_bits
        A voxel with any of these is good all the same.
    include_only_bits
        If given, the voxels with any of these are good and no others; the rest of the rules do not count.

    Raises
    ------
    InputError
        If a bit is unknown.
    """

    exclude_bits: str | int | Sequence[str | int] = "any"
    keep_bits: str | int | Sequence[str | int] = ()
    include_only_bits: str | int | Sequence[str | int] = ()

    def __post_init__(self) -> None:
        for bits in (self.exclude_bits, self.keep_bits, self.include_only_bits):
            mask_bits(bits)

    def good(self, mask: Array) -> Bools:
        """Return for each voxel whether it is good.

        Parameters
        ----------
        mask : integers of any shape and type

        Returns
        -------
        bool, of the same shape
        """
        only, kept = mask_bits(self.include_only_bits), mask_bits(self.keep_bits)
        if only:
            return _has(mask, only)
        good = ~_has(mask, mask_bits(self.exclude_bits))
        return good | _has(mask, kept) if kept else good


def _has(mask: Array, bits: int) -> Bools:
    return np.asarray((mask & np.int64(bits).astype(mask.dtype)) != 0)


@dataclass(frozen=True)
class Psf:
    """What a point source looks like: for the optimal extraction.

    Attributes
    ----------
    kind
        ``gaussian`` or ``moffat`` (Moffat 1969, A&A 3, 455).
    fwhm_arcsec
        Full width at half maximum: the index's ``fwhm_virus``.
    beta
        The Moffat profile's exponent; HETDEX's own extraction (hetdex_api) uses 3.5.

    Raises
    ------
    InputError
        If the kind is unknown, or the numbers make no profile.
    """

    kind: str
    fwhm_arcsec: float
    beta: float = 3.5

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "moffat"):
            raise InputError(f"{self.kind!r} is no PSF; expected gaussian or moffat")
        if not 0 < self.fwhm_arcsec < np.inf:
            raise InputError(f"the PSF's FWHM is {self.fwhm_arcsec}″, expected a positive number")
        if not 1 < self.beta < np.inf:
            raise InputError(f"the Moffat profile's beta is {self.beta}, expected a number above 1")

    def profile(self, r2: Array) -> Floats:
        """Return the surface brightness of a source of total 1, per arcsec², at squared distances in arcsec²."""
        if self.kind == "gaussian":
            variance = self.fwhm_arcsec**2 / (8 * np.log(2))
            return np.asarray(np.exp(-r2 / (2 * variance)) / (2 * np.pi * variance))
        alpha2 = self.fwhm_arcsec**2 / (4 * (2 ** (1 / self.beta) - 1))
        return np.asarray((self.beta - 1) / (np.pi * alpha2) * (1 + r2 / alpha2) ** -self.beta)

    def fractions(self, dx: Array, dy: Array, spaxel_arcsec: float) -> Floats:
        """Return the fraction of a point source's light that falls on each spaxel; on the whole plane it adds up to 1.

        Parameters
        ----------
        dx, dy : (nx,), (ny,)
            From the source to the centres of columns and rows of spaxels, in spaxels.
        spaxel_arcsec
            Their side.

        Returns
        -------
        (ny, nx) float64
        """
        nodes, weights = np.polynomial.legendre.leggauss(PSF_NODES)
        x2, y2 = ((offsets[:, None] + nodes / 2) ** 2 * spaxel_arcsec**2 for offsets in (dx, dy))
        sampled = self.profile(y2[:, None, :, None] + x2[None, :, None, :])  # (ny, nx, nodes of y, nodes of x)
        return np.asarray(sampled @ (weights / 2) @ (weights / 2) * spaxel_arcsec**2)


@dataclass
class Cube:
    """What one IFU saw in one observation.

    Attributes
    ----------
    name
        Path or URL, for messages.
    shotid, ifuslot
        From the header, else from the file's name; None if neither says. The slot has its zeros: ``034``.
    flux, error : (1036, 104, 104) float32
        10⁻¹⁷ erg s⁻¹ cm⁻² per spaxel and bin; (wavelength, y, x).
    mask : (1036, 104, 104) integers
        Bits; 0 = good.
    sky
        Where its spaxels are. An `astropy.wcs.WCS` of the two celestial axes will do.
    bin_width
        Å.
    rows : (104,) bool
        Which rows of spaxels (y) were read; in the others flux, error and mask are 0.
    """

    name: str
    shotid: int | None
    ifuslot: str | None
    flux: Array
    error: Array
    mask: Array
    sky: Sky
    bin_width: float = BIN_WIDTH
    rows: Bools = field(default_factory=lambda: np.ones(N_SPAXELS, bool))

    def __post_init__(self) -> None:
        if not isinstance(self.sky, Sky):
            self.sky = Sky(dict(self.sky.to_header()), SHAPE[1:])

    @property
    def wcs(self) -> Any:
        """`astropy.wcs.WCS` of the two celestial axes."""
        return self.sky.wcs

    def spaxels(self, ra: Any, dec: Any) -> tuple[Floats, Floats]:
        """Return where positions fall: `skyharvest.formats.tangent_plane.Sky.pixels`."""
        return self.sky.pixels(ra, dec)


def read_cube(
    path: Path, name: str | None = None, *, near: tuple[Any, Any] | None = None, reach_arcsec: float = 0.0
) -> Cube:
    """Read a cube.

    Parameters
    ----------
    path
        The file on disk, compressed or not.
    name
        What messages call it, such as the URL that it came from.
    near : ((n,), (n,)) degrees, ICRS
        Read only the rows of spaxels within ``reach_arcsec`` of these positions (see `reach`): for one of them, a sixth
        of the time.

    Raises
    ------
    MalformedFile
        If it is no such cube: not FITS, truncated, an image missing or of another shape or type, another wavelength
        grid, no celestial axes, tiles that cfitsio cannot read. The message names HDU and what was expected.
    Absent, ArchiveRefused, ArchiveUnavailable
        If the file is not there or cannot be read.
    """
    with LocalFile(path) as source:
        if name is not None:
            source.name = name
        fits = FitsFile(source)
        for image in IMAGES:
            _check_image(fits[image], source.size())
        data = fits["DATA"]
        _check_wavelengths(data)
        try:
            sky = Sky(data.header, SHAPE[1:])
        except ValueError as error:  # wcslib's, too
            raise MalformedFile(f"{data}: no celestial axes: {' '.join(str(error).split())}") from error
        rows = np.full(N_SPAXELS, near is None)
        for x, y in zip(*sky.pixels(*near), strict=True) if near is not None else ():
            rows[_box(x, y, reach_arcsec / sky.pixel_arcsec)[0]] = True
        named = _FILE_NAME.search(Path(source.name).name) or _FILE_NAME.search(path.name)
        shotid, ifuslot = data.header.get("SHOTID"), data.header.get("IFUSLOT")
        return Cube(
            name=source.name,
            shotid=int(shotid) if isinstance(shotid, int) else int(named[1]) if named else None,
            ifuslot=f"{ifuslot:0>3}" if isinstance(ifuslot, int | str) else named[2] if named else None,
            sky=sky,
            bin_width=_bin_width(data),
            rows=rows,
            **_read_images(path, fits, rows),
        )


def reach(radius_arcsec: float, psf: Psf | None = None) -> float:
    """Return how far from its position an extraction looks, arcsec."""
    return max(radius_arcsec, PSF_REACH * psf.fwhm_arcsec if psf is not None else 0.0)


def _check_image(hdu: HDU, size: int) -> None:
    z = "Z" if hdu.header.get("ZIMAGE") is True else ""
    if hdu.is_table and not z:
        raise MalformedFile(f"{hdu}: expected an image of shape {SHAPE}, found a binary table")
    n_axes = hdu.header.get(f"{z}NAXIS")
    if n_axes != len(SHAPE):
        raise MalformedFile(f"{hdu}: has {n_axes} axes, expected {len(SHAPE)}: {SHAPE}")
    shape = tuple(hdu.header.get(f"{z}NAXIS{k}") for k in (3, 2, 1))
    if shape != SHAPE:
        raise MalformedFile(f"{hdu}: has shape {shape}, expected {SHAPE} (wavelength, y, x)")
    if hdu.stop > size:
        raise MalformedFile(
            f"{hdu}: its header claims data up to byte {hdu.stop:,}, the file has {size:,}: it is truncated"
        )


def _check_wavelengths(hdu: HDU) -> None:
    """Check that the third axis is `WAVE_AIR` by its numbers; its unit and its type are known to be wrong."""
    keywords = ("CRVAL3", "CDELT3", "CRPIX3")
    value, step, pixel = (hdu.header.get(keyword) for keyword in keywords)
    step = hdu.header.get("CD3_3") if step is None else step
    numbers = [as_number(number) for number in (value, step, pixel)]
    first = numbers[0] + (1 - numbers[2]) * numbers[1]
    last = first + (N_WAVE - 1) * numbers[1]
    if not (abs(first - WAVE_AIR[0]) < 1e-3 and abs(last - WAVE_AIR[-1]) < 1e-3):
        found = ", ".join(f"{keyword} {shown!r}" for keyword, shown in zip(keywords, (value, step, pixel), strict=True))
        raise MalformedFile(f"{hdu}: the wavelengths are not {FIRST_WAVE:g} + {BIN_WIDTH:g} i Å; found {found}")


def _bin_width(hdu: HDU) -> float:
    width = as_number(hdu.header.get("SPECBW", BIN_WIDTH))
    if not 0 < width < np.inf:
        raise MalformedFile(f"{hdu}: SPECBW is {hdu.header['SPECBW']!r}, expected the width of a bin in Å")
    return width


def _read_images(path: Path, fits: FitsFile, rows: Bools) -> dict[str, Array]:
    """Read rows of the three images with cfitsio, whose decoder of RICE tiles is the fastest there is."""
    import fitsio  # noqa: PLC0415

    read: dict[str, Array] = {}
    hdu = fits["DATA"]
    try:
        # cfitsio would take brackets and commas in a path for its own syntax.
        with path.open("rb") as stream, fitsio.FITS(f"/dev/fd/{stream.fileno()}") as file:
            for image, kinds in IMAGES.items():
                hdu = fits[image]
                read[image] = _read_rows(file[image], _whole_tiles(rows, hdu))
                if read[image].dtype.kind not in kinds:
                    what = "bits in whole numbers" if image == "MASK" else "floating-point numbers"
                    raise MalformedFile(f"{hdu}: holds {read[image].dtype}, expected {what}")
    except (OSError, LookupError, ValueError) as error:  # fitsio's
        raise MalformedFile(f"{hdu}: cfitsio cannot read it: {' '.join(str(error).split())}") from error
    return {
        "flux": read["DATA"].astype(np.float32, copy=False),
        "error": read["ERROR"].astype(np.float32, copy=False),
        "mask": read["MASK"],
    }


def _whole_tiles(rows: Bools, hdu: HDU) -> Bools:
    """Return the rows with those that share a tile with them: they cost nothing more."""
    height = hdu.header.get("ZTILE2", 1)
    if not isinstance(height, int) or height < 1:
        raise MalformedFile(f"{hdu}: ZTILE2 is {height!r}, expected the height of a tile")
    starts = np.arange(0, N_SPAXELS, height)
    return np.repeat(np.logical_or.reduceat(rows, starts), height)[:N_SPAXELS]


def _read_rows(image: Any, rows: Bools) -> Array:
    """Read rows of spaxels of an image of fitsio's; what is between them is 0."""
    if rows.all():
        return np.asarray(image.read())
    bounds = np.flatnonzero(np.diff(rows, prepend=False, append=False)).tolist()
    parts = [(slice(*part), image[:, slice(*part), :]) for part in zip(bounds[::2], bounds[1::2], strict=True)]
    whole = np.zeros(SHAPE, parts[0][1].dtype if parts else image[:1, :1, :1].dtype)
    for part, values in parts:
        whole[:, part] = values
    return whole


@dataclass
class Spectra:
    """Spectra of n positions in one cube.

    Attributes
    ----------
    on_cube : (n,) bool
        Whether any of the aperture falls on the cube; if not, there is no spectrum: all is NaN.
    x, y : (n,) float64
        Position in spaxels, 0 = the first one's centre.
    flux, error : (n, 1036) float32
        10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ in the aperture, on `WAVE_AIR`.
    coverage : (n, 1036) float32
        Fraction of the aperture (of what of it is on the cube) that was measured.
    optimal_flux, optimal_error : (n, 1036) float32 or None
        Ditto of the whole of a point source, by the optimal extraction.
    """

    on_cube: Bools
    x: Floats
    y: Floats
    flux: Float32s
    error: Float32s
    coverage: Float32s
    optimal_flux: Float32s | None = None
    optimal_error: Float32s | None = None


def extract_spectra(
    cube: Cube,
    ra: Any,
    dec: Any,
    *,
    radius_arcsec: float = 3.5,
    masking: Masking | None = None,
    min_coverage: float = 0.2,
    psf: Psf | None = None,
) -> Spectra:
    """Extract the spectra of positions from a cube.

    In the aperture: with w the exact fraction of each spaxel that lies in the circle, at each wavelength

    - coverage = Σ w over voxels that are good, of finite flux with \\|flux\\| ≥ 1e-8, and of ERROR ≠ 0, over Σ w;
    - flux = Σ w flux over good voxels of finite flux, / coverage / bin width;
    - error = √(Σ w² error²) over good voxels of finite error, / coverage / bin width;
    - all NaN where coverage < ``min_coverage`` or is 0.

    What of the circle lies off the cube does not count. This is the definition of ``get_spectra`` of HETDEX/dexcube.

    The optimal extraction is Horne's (1986, PASP 98, 609): with P the fraction of a point source's light on each
    spaxel within 3 FWHM, flux = Σ P flux/error² / Σ P²/error², error = 1/√(Σ P²/error²) over the voxels that coverage
    counts with error > 0; NaN where they see less than ``min_coverage`` of the source's light.

    Parameters
    ----------
    cube
        From `read_cube`.
    ra, dec : (n,) degrees, ICRS
        They need not be on the cube.
    radius_arcsec
        Of the aperture.
    masking
        Which voxels are good; by default those with no bit set.
    min_coverage
        0 to 1.
    psf
        If given, the optimal extraction is made, too.

    Raises
    ------
    InputError
        If the radius is not positive.
    """
    if not 0 < radius_arcsec < np.inf:
        raise InputError(f"the aperture's radius is {radius_arcsec}″, expected a positive number")
    masking = masking or Masking()
    x, y = cube.spaxels(ra, dec)
    shape = (len(x), N_WAVE)
    made = Spectra(np.zeros(len(x), bool), x, y, *(np.full(shape, np.nan, np.float32) for _ in range(3)))
    if psf is not None:
        made.optimal_flux, made.optimal_error = (np.full(shape, np.nan, np.float32) for _ in range(2))
    radius, widest = (arcsec / cube.sky.pixel_arcsec for arcsec in (radius_arcsec, reach(radius_arcsec, psf)))
    for k in range(len(x)):
        box = _box(x[k], y[k], widest)
        weights = _in_circle(x[k], y[k], radius, box)
        if not weights.any():
            continue
        made.on_cube[k] = True
        voxels = _Voxels(cube, box, masking)
        made.flux[k], made.error[k], made.coverage[k] = voxels.in_aperture(weights.ravel(), min_coverage)
        if psf is not None and made.optimal_flux is not None and made.optimal_error is not None:
            dx, dy = _offsets(x[k], y[k], box)
            fractions = psf.fractions(dx, dy, cube.sky.pixel_arcsec)
            fractions[np.hypot(dy[:, None], dx) > PSF_REACH * psf.fwhm_arcsec / cube.sky.pixel_arcsec] = 0
            made.optimal_flux[k], made.optimal_error[k] = voxels.optimal(fractions.ravel(), min_coverage)
    return made


def _box(x: float, y: float, radius: float) -> Box:
    """Return the rows and columns of the spaxels that a circle touches, at most; empty if there are none."""
    if not (-radius - 1 < x < N_SPAXELS + radius and -radius - 1 < y < N_SPAXELS + radius):  # or NaN
        return slice(0, 0), slice(0, 0)
    bounds = [(math.floor(at - radius + 0.5), math.floor(at + radius + 0.5) + 1) for at in (y, x)]
    rows, columns = (slice(max(first, 0), min(last, N_SPAXELS)) for first, last in bounds)
    return rows, columns


def _offsets(x: float, y: float, box: Box) -> tuple[Floats, Floats]:
    """Return the columns' and the rows' centres relative to a position."""
    rows, columns = box
    return np.arange(columns.start, columns.stop, dtype=np.float64) - x, np.arange(
        rows.start, rows.stop, dtype=np.float64
    ) - y


def _in_circle(x: float, y: float, radius: float, box: Box) -> Floats:
    """Return the exact fraction of each spaxel of the box that lies in a circle.

    At every corner of the grid, the area of the disc left of it and below it, by integration of the circle's equation;
    a spaxel's area is the difference of the differences of its four corners. (photutils' `circular_overlap_grid` gives
    the same, but importing it takes 0.9 s.)
    """
    dx, dy = (np.append(offsets - 0.5, offsets[-1:] + 0.5) for offsets in _offsets(x, y, box))
    a, b = np.clip(dx, -radius, radius), np.clip(dy, -radius, radius)[:, None]

    def height(at: Floats) -> Floats:
        return np.asarray(np.sqrt(np.maximum(radius**2 - at**2, 0)))

    def quarter(at: Floats) -> Floats:  # area between the x axis and the circle, left of a point
        return np.asarray((at * height(at) + radius**2 * (np.arcsin(at / radius) + np.pi / 2)) / 2)

    half = height(b)  # of the chord
    inside = np.clip(a, -half, half)
    area = b * (inside + half) + quarter(inside) - quarter(-half)
    area += np.where(b > 0, 2 * (quarter(np.minimum(a, -half)) + quarter(np.maximum(a, half)) - quarter(half)), 0)
    weights = np.diff(np.diff(area, axis=0), axis=1)
    return np.where(weights > LEAST_WEIGHT, weights, 0)


class _Voxels:
    """A box of a cube at all wavelengths: arrays (1036, m)."""

    def __init__(self, cube: Cube, box: Box, masking: Masking) -> None:
        assert cube.rows[box[0]].all(), f"{cube.name}: read without the rows of spaxels that are asked for"
        flux, error, mask = (array[:, *box].reshape(N_WAVE, -1) for array in (cube.flux, cube.error, cube.mask))
        self.flux, self.error, self.bin_width = flux, error, cube.bin_width
        self.good = masking.good(mask)
        self.finite = self.good & np.isfinite(flux)
        self.measured = self.finite & (error != 0) & (np.abs(flux) >= UNFILLED)

    def in_aperture(self, weights: Floats, min_coverage: float) -> tuple[Floats, Floats, Floats]:
        """Return flux, error (per Å) and coverage, (1036,) each."""
        coverage = np.round(_sum(self.measured, weights) / weights.sum(), N_DECIMALS)
        coverage[(coverage < min_coverage) | (coverage == 0)] = np.nan
        scale = coverage * self.bin_width
        error = np.where(self.good & np.isfinite(self.error), self.error, 0)
        flux, variance = _sum(np.where(self.finite, self.flux, 0), weights), _sum(error, error, weights**2)
        return flux / scale, np.sqrt(variance) / scale, coverage

    def optimal(self, fractions: Floats, min_coverage: float) -> tuple[Floats, Floats]:
        """Return flux and error per Å of the optimal extraction, (1036,) each."""
        seen = self.measured & (self.error > 0) & np.isfinite(self.error)
        ivar = 1 / np.square(np.where(seen, self.error, np.inf), dtype=np.float64)
        covered = _sum(seen, fractions)
        norm = _sum(ivar, fractions**2)
        norm[(covered < min_coverage) | (covered == 0)] = np.nan
        flux = _sum(ivar, np.where(seen, self.flux, 0), fractions)
        return flux / norm / self.bin_width, norm**-0.5 / self.bin_width


def _sum(*factors: Array) -> Floats:
    """Return at each wavelength the sum over spaxels of a product whose last factor is the same at all of them.

    In float64, whatever the factors are. Not by matrix products: their threads get in each other's way where a job
    runs on every core, for some 10 ms each.
    """
    subscripts = ",".join(["ij"] * (len(factors) - 1) + ["j"])
    return np.asarray(np.einsum(f"{subscripts}->i", *factors, dtype=np.float64))
