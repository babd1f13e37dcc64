"""The HETDEX datacube: its data model, and reading it.

A cube ``dex_cube_{shotid}_{ifuslot}.fits`` is what one IFU saw in one observation: an empty primary HDU and three
images of shape (1036, 104, 104) = (wavelength, y, x), tile-compressed or not. ``DATA`` and ``ERROR`` (1σ) are
10⁻¹⁷ erg s⁻¹ cm⁻² per spaxel and bin of 2 Å, ``MASK`` has the bits of `skyharvest.surveys.hetdex.mask_bits` (0 =
good). Where no fiber was, DATA is NaN or 0 and ERROR is 0. Spaxels of 0.5″ are not aligned with north. Source:
Mentuch Cooper et al. 2026, HETDEX Public Data Release 1, Tables 2 and 3.

Wavelengths are in air. The header's spectral axis cannot be trusted with its unit (``CUNIT3 = 'm'`` beside
``CRVAL3 = 3470`` occurs) and calls air ``WAVE``, the FITS code for vacuum: it is checked by its numbers alone, in Å,
nm, µm or m, and never becomes part of a WCS.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.tangent_plane import Sky, as_number
from skyharvest.formats.tile_table import check_compression
from skyharvest.surveys.hetdex.mask_bits import mask_bits
from skyharvest.surveys.hetdex.settings import Settings

Box = tuple[slice, slice]  # rows (y) and columns (x) of spaxels

N_WAVE, N_SPAXELS = 1036, 104
SHAPE = (N_WAVE, N_SPAXELS, N_SPAXELS)
FIRST_WAVE, BIN_WIDTH = 3470.0, 2.0  # Å, air
WAVE_AIR: Floats = FIRST_WAVE + BIN_WIDTH * np.arange(N_WAVE, dtype=np.float64)
"""(1036,) float64 Å, in air: every cube's grid."""

LENGTHS = {"Å": 1.0, "nm": 10.0, "µm": 1e4, "m": 1e10}
"""In Å: units that the numbers of a spectral axis are looked for in."""

IMAGES = {"DATA": "f", "ERROR": "f", "MASK": "iu"}  # and what they hold: NumPy's kinds
UNFILLED = 1e-8  # |flux| below it: a spaxel at the rim that nothing was measured in
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

    exclude_bits: str | int | Sequence[str | int] = Settings.exclude_bits
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
        Read only the rows of spaxels within ``reach_arcsec`` of these positions (see `spectra.reach`): for one position
        a sixth of the time.

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
            check_image(fits[image], source.size())
        data = fits["DATA"]
        wavelength_unit(data)
        try:
            sky = Sky(data.header, SHAPE[1:])
        except ValueError as error:  # wcslib's, too
            raise MalformedFile(f"{data}: no celestial axes: {' '.join(str(error).split())}") from error
        rows = np.full(N_SPAXELS, near is None)
        for x, y in zip(*sky.pixels(*near), strict=True) if near is not None else ():
            rows[spaxel_box(x, y, reach_arcsec / sky.pixel_arcsec)[0]] = True
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


def spaxel_box(x: float, y: float, radius: float) -> Box:
    """Return the rows and columns of the spaxels that a circle touches, at most; empty if there are none."""
    if not (-radius - 1 < x < N_SPAXELS + radius and -radius - 1 < y < N_SPAXELS + radius):  # or NaN
        return slice(0, 0), slice(0, 0)
    bounds = [(math.floor(at - radius + 0.5), math.floor(at + radius + 0.5) + 1) for at in (y, x)]
    rows, columns = (slice(max(first, 0), min(last, N_SPAXELS)) for first, last in bounds)
    return rows, columns


def check_image(hdu: HDU, size: int) -> None:
    """Check that an HDU is an image of `SHAPE`, compressed or not, that ends before the file does.

    Raises
    ------
    MalformedFile
        If it is not.
    """
    z = "Z" if hdu.header.get("ZIMAGE") is True else ""
    if hdu.is_table and not z:
        raise MalformedFile(f"{hdu}: expected an image of shape {SHAPE}, found a binary table")
    if z:
        check_compression(hdu)
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


def wavelength_unit(hdu: HDU) -> str:
    """Return the unit, of `LENGTHS`, in which the third axis is `WAVE_AIR`.

    By its numbers alone: what the header says of its unit and its type is known to be wrong.

    Raises
    ------
    MalformedFile
        If the numbers are other wavelengths.
    """
    keywords = ("CRVAL3", "CDELT3", "CRPIX3")
    value, step, pixel = (hdu.header.get(keyword) for keyword in keywords)
    step = hdu.header.get("CD3_3") if step is None else step
    numbers = [as_number(number) for number in (value, step, pixel)]
    first = numbers[0] + (1 - numbers[2]) * numbers[1]
    last = first + (N_WAVE - 1) * numbers[1]
    for unit, length in LENGTHS.items():
        if abs(first * length - WAVE_AIR[0]) < 1e-3 and abs(last * length - WAVE_AIR[-1]) < 1e-3:
            return unit
    cards = ", ".join(f"{keyword} {card!r}" for keyword, card in zip(keywords, (value, step, pixel), strict=True))
    raise MalformedFile(f"{hdu}: the wavelengths are not {FIRST_WAVE:g} + {BIN_WIDTH:g} i Å; found {cards}")


def _bin_width(hdu: HDU) -> float:
    width = as_number(hdu.header.get("SPECBW", BIN_WIDTH))
    if not 0 < width < np.inf:
        raise MalformedFile(f"{hdu}: SPECBW is {hdu.header['SPECBW']!r}, expected the width of a bin in Å")
    return width


def _read_images(path: Path, fits: FitsFile, rows: Bools) -> dict[str, Array]:
    """Read rows of the three images with cfitsio, which is fastest at decoding RICE tiles."""
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
                    expected = "bits in whole numbers" if image == "MASK" else "floating-point numbers"
                    raise MalformedFile(f"{hdu}: holds {read[image].dtype}, expected {expected}")
    except (OSError, LookupError, ValueError) as error:  # fitsio's
        raise MalformedFile(f"{hdu}: cfitsio cannot read it: {' '.join(str(error).split())}") from error
    return {
        "flux": read["DATA"].astype(np.float32, copy=False),
        "error": read["ERROR"].astype(np.float32, copy=False),
        "mask": read["MASK"],
    }


def _whole_tiles(rows: Bools, hdu: HDU) -> Bools:
    """Return the rows, and those that share a tile with them: reading these costs nothing more."""
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
