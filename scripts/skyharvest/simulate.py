"""A small simulated DESI release with known truth: what the demo runs on and what tests compare with.

The files have the format of DR1 (specprod iron): see desidatamodel.readthedocs.io, DESI_SPECTRO_REDUX/SPECPROD/healpix
(tilepix, coadd-SURVEY-PROGRAM-PIXNUM, redrock-SURVEY-PROGRAM-PIXNUM). The sky is laid out so that every status of the
ledger occurs, with the awkward places on purpose: pixel edges at NSIDE 64 and 16, RA 0/360, high declination, absent
coadds. The expected result of every CSV row is found by brute force here (all pairs, great circles), with nothing
from the modules that it tests.

Units: wavelength Å (vacuum), flux 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, ivar the inverse square of that, RA and Dec degrees (ICRS).
"""

import csv
import hashlib
import itertools
import logging
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from astropy.io.fits import Header

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Random = np.random.Generator

log = logging.getLogger(__name__)

SPECPROD = "demo"
ARMS = ("b", "r", "z")
ARM_FIRST = {"b": 3600.0, "r": 5760.0, "z": 7520.0}
ARM_START = {"b": 0, "r": 2700, "z": 4900}  # first pixel of the arm on the common grid
ARM_PIXELS = {"b": 2751, "r": 2326, "z": 2881}
N_COMBINED = 7781
STEP = 0.8  # Å per pixel
N_DIAGONALS = 11
REACH = N_DIAGONALS // 2  # pixels to either side from which a pixel receives light
PADDED_WAVE: Floats = 3600.0 + STEP * np.arange(-REACH, N_COMBINED + REACH, dtype=np.float64)
"""(7791,) float64 Å: the common grid and what the line-spread function reaches beyond its ends."""

MATCH_ARCSEC = 1.0
REPORT_ARCSEC = 3.0
SECONDS_PER_TSNR2_LRG = 12.15  # effective dark time, Schlafly et al. 2023, AJ 166, 259
EFFECTIVE_SECONDS = {"dark": 1000.0, "bright": 180.0, "backup": 60.0}  # per tile, ibid.
REFERENCE_SECONDS = 14000.0  # for which _clear_ivar is given

SOMEBADPIX, ALLBADPIX, COSMIC = 1, 2, 4  # desispec's specmask bits 0, 1, 2
SMALL_DELTA_CHI2 = 4  # redrock's ZWARN bit 2

# --- Tables ------------------------------------------------------------------------------------------------------

_UNITS: dict[str, str] = {}


def _columns(text: str) -> np.dtype[Any]:
    """Parse ``NAME:type[:unit]`` into a packed dtype; units (blanks written as ~) go to the table of units."""
    fields: list[tuple[Any, ...]] = []
    for word in text.split():
        name, kind, *unit = word.split(":")
        fields.append((name, *((kind[2:], (int(kind[:2]),)) if kind[0].isdigit() else (kind,))))
        if unit:
            _UNITS[name] = unit[0].replace("~", " ")
    return np.dtype(fields)


FIBERMAP = _columns("""
    TARGETID:i8 COADD_FIBERSTATUS:i4 TARGET_RA:f8:deg TARGET_DEC:f8:deg PMRA:f4:mas~yr^-1 PMDEC:f4:mas~yr^-1
    REF_EPOCH:f4:yr FA_TARGET:i8 FA_TYPE:u1 OBJTYPE:S3 SUBPRIORITY:f8 OBSCONDITIONS:i4 RELEASE:i2 BRICKNAME:S8
    BRICKID:i4 BRICK_OBJID:i4 MORPHTYPE:S4 EBV:f4:mag FLUX_G:f4:nanomaggy FLUX_R:f4:nanomaggy FLUX_Z:f4:nanomaggy
    FLUX_W1:f4:nanomaggy FLUX_W2:f4:nanomaggy FLUX_IVAR_G:f4:nanomaggy^-2 FLUX_IVAR_R:f4:nanomaggy^-2
    FLUX_IVAR_Z:f4:nanomaggy^-2 FLUX_IVAR_W1:f4:nanomaggy^-2 FLUX_IVAR_W2:f4:nanomaggy^-2 FIBERFLUX_G:f4:nanomaggy
    FIBERFLUX_R:f4:nanomaggy FIBERFLUX_Z:f4:nanomaggy FIBERTOTFLUX_G:f4:nanomaggy FIBERTOTFLUX_R:f4:nanomaggy
    FIBERTOTFLUX_Z:f4:nanomaggy MASKBITS:i2 SERSIC:f4 SHAPE_R:f4:arcsec SHAPE_E1:f4 SHAPE_E2:f4 REF_ID:i8 REF_CAT:S2
    GAIA_PHOT_G_MEAN_MAG:f4:mag GAIA_PHOT_BP_MEAN_MAG:f4:mag GAIA_PHOT_RP_MEAN_MAG:f4:mag PARALLAX:f4:mas PHOTSYS:S1
    PRIORITY_INIT:i8 NUMOBS_INIT:i8 DESI_TARGET:i8 BGS_TARGET:i8 MWS_TARGET:i8 SCND_TARGET:i8 PLATE_RA:f8:deg
    PLATE_DEC:f8:deg COADD_NUMEXP:i2 COADD_EXPTIME:f4:s COADD_NUMNIGHT:i2 COADD_NUMTILE:i2 MEAN_DELTA_X:f4:mm
    RMS_DELTA_X:f4:mm MEAN_DELTA_Y:f4:mm RMS_DELTA_Y:f4:mm MEAN_FIBER_RA:f8:deg STD_FIBER_RA:f4:arcsec
    MEAN_FIBER_DEC:f8:deg STD_FIBER_DEC:f4:arcsec MEAN_PSF_TO_FIBER_SPECFLUX:f4
""")
EXP_FIBERMAP = _columns("""
    TARGETID:i8 PRIORITY:i4 SUBPRIORITY:f8 NIGHT:i4 EXPID:i4 MJD:f8 TILEID:i4 EXPTIME:f8:s PETAL_LOC:i2
    DEVICE_LOC:i4 LOCATION:i8 FIBER:i4 FIBERSTATUS:i4 FIBERASSIGN_X:f4:mm FIBERASSIGN_Y:f4:mm LAMBDA_REF:f4:Angstrom
    PLATE_RA:f8:deg PLATE_DEC:f8:deg NUM_ITER:i8 FIBER_X:f8:mm FIBER_Y:f8:mm DELTA_X:f8:mm DELTA_Y:f8:mm
    FIBER_RA:f8:deg FIBER_DEC:f8:deg PSF_TO_FIBER_SPECFLUX:f8
""")
_TRACERS = ("GPBDARK", "ELG", "GPBBRIGHT", "LYA", "BGS", "GPBBACKUP", "QSO", "LRG")
_TSNR2_COLUMNS = [f"TSNR2_{tracer}{arm}:f4" for arm in ("_B", "_R", "_Z", "") for tracer in _TRACERS]
TSNR2 = _columns(" ".join(["TARGETID:i8", *_TSNR2_COLUMNS]))
SCORES = _columns(
    " ".join(
        ["TARGETID:i8"]
        + [
            f"{kind}_{arm}:f4"
            for arm in "BRZ"
            for kind in ("INTEG_COADD_FLUX", "MEDIAN_COADD_FLUX", "MEDIAN_COADD_SNR")
        ]
        + _TSNR2_COLUMNS
    )
)
REDSHIFTS = _columns("""
    TARGETID:i8 CHI2:f8 COEFF:10f8 Z:f8 ZERR:f8 ZWARN:i8 NPIXELS:i8 SPECTYPE:S6 SUBTYPE:S20 NCOEFF:i8 DELTACHI2:f8
""")
TILEPIX = _columns("TILEID:i4 SURVEY:S7 PROGRAM:S6 PETAL_LOC:i2 HEALPIX:i4")

# TSNR2_LRG = 1 in units of each tracer's arms B, R, Z: ratios of a real dark coadd.
_TSNR2_PER_LRG = {
    "GPBDARK": (3.59, 121.0, 0.0),
    "ELG": (0.0017, 0.302, 1.19),
    "GPBBRIGHT": (0.643, 21.4, 0.0),
    "LYA": (1.22, 0.0003, 0.0),
    "BGS": (8.73, 22.9, 52.6),
    "GPBBACKUP": (4.46, 146.0, 0.0),
    "QSO": (0.0432, 0.0826, 0.244),
    "LRG": (0.0171, 0.4188, 0.5641),
}

# --- FITS --------------------------------------------------------------------------------------------------------

_BLOCK = 2880
_TFORM = {"i8": "K", "i4": "J", "i2": "I", "u1": "B", "f8": "D", "f4": "E"}
_CHECKSUM_COMMENT = "HDU checksum updated 2022-10-27T12:00:00"  # a fixed time: same seed, same bytes
_DATASUM_COMMENT = "data unit checksum updated 2022-10-27T12:00:00"
_DEPENDENCIES = [
    ("python", "3.10.2"),
    ("numpy", "1.21.5"),
    ("scipy", "1.7.3"),
    ("astropy", "5.0"),
    ("yaml", "6.0"),
    ("matplotlib", "3.5.1"),
    ("fitsio", "1.1.6"),
    ("healpy", "1.15.0"),
    ("desiutil", "3.2.6"),
    ("desispec", "0.56.5"),
    ("desitarget", "2.5.0"),
    ("desimodel", "0.18.0"),
    ("speclite", "0.16"),
    ("DESI_ROOT", "/global/cfs/cdirs/desi"),
    ("DESI_SPECTRO_REDUX", "/global/cfs/cdirs/desi/spectro/redux"),
    ("SPECPROD", SPECPROD),
    # Longer than a card: needs CONTINUE.
    ("DESIMODEL", "/global/common/software/desi/perlmutter/desiconda/20220119-2.0.1/code/desimodel/0.18.0"),
]


def _sum32(data: bytes | memoryview) -> int:
    """Return the ones' complement sum of big-endian 32-bit words (FITS standard 4.0, appendix J)."""
    whole = len(data) // 4 * 4
    total = int(np.frombuffer(data[:whole], ">u4").sum(dtype=np.uint64))
    total += int.from_bytes(bytes(data[whole:]).ljust(4, b"\0"), "big")
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encode_checksum(value: int) -> str:
    """Return the 16 letters and digits that stand for a 32-bit checksum (FITS standard 4.0, appendix J)."""
    excluded = {*range(0x3A, 0x41), *range(0x5B, 0x61)}
    letters = [0] * 16
    for i, byte in enumerate(value.to_bytes(4, "big")):
        four = [byte // 4 + byte % 4 + 0x30, *[byte // 4 + 0x30] * 3]
        while excluded.intersection(four):
            for j in (0, 2):
                if excluded.intersection(four[j : j + 2]):
                    four[j] += 1
                    four[j + 1] -= 1
        letters[i::4] = four
    text = bytes(letters).decode("ascii")
    return text[-1] + text[:-1]


def _write_hdu(stream: BinaryIO, header: Header, data: Array | None = None, *, checksum: bool = True) -> None:
    """Append an HDU: ``header``, which must describe ``data`` (big-endian, C order), and the data, both padded.

    Not by astropy's own HDU classes: they stamp the time into the checksums, and take 20 ms for a wide table.
    """
    raw = memoryview(b"") if data is None or data.size == 0 else data.reshape(-1).view(np.uint8).data
    if checksum:
        datasum = _sum32(raw)
        header["CHECKSUM"] = ("0" * 16, _CHECKSUM_COMMENT)
        header["DATASUM"] = (str(datasum), _DATASUM_COMMENT)
        total = _sum32(header.tostring().encode("ascii") + datasum.to_bytes(4, "big"))
        header["CHECKSUM"] = (_encode_checksum(total ^ 0xFFFFFFFF), _CHECKSUM_COMMENT)
    stream.write(header.tostring().encode("ascii"))
    stream.write(raw)
    stream.write(b"\0" * (-len(raw) % _BLOCK))


def _image_header(name: str, shape: tuple[int, ...], bitpix: int, unit: str = "", *, unsigned: bool = False) -> Header:
    scale = [("BSCALE", 1), ("BZERO", 1 << 31)] if unsigned else []
    header = Header(
        [
            ("XTENSION", "IMAGE", "Image extension"),
            ("BITPIX", bitpix, "array data type"),
            ("NAXIS", len(shape), "number of array dimensions"),
            *((f"NAXIS{i}", length) for i, length in enumerate(reversed(shape), 1)),
            ("PCOUNT", 0, "number of parameters"),
            ("GCOUNT", 1, "number of groups"),
            *scale,
        ]
    )
    header["EXTNAME"] = (name, "extension name")
    if unit:
        header["BUNIT"] = unit
    return header


@lru_cache(maxsize=32)
def _table_header(columns: np.dtype[Any]) -> Header:
    """Return the structural cards of a binary table with these columns and no rows."""
    header = Header(
        [
            ("XTENSION", "BINTABLE", "binary table extension"),
            ("BITPIX", 8, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", columns.itemsize, "length of dimension 1"),
            ("NAXIS2", 0, "length of dimension 2"),
            ("PCOUNT", 0, "number of group parameters"),
            ("GCOUNT", 1, "number of groups"),
            ("TFIELDS", len(columns.names or ()), "number of table fields"),
        ]
    )
    for i, name in enumerate(columns.names or (), 1):
        column = columns[name]
        if column.kind == "S":
            form = f"{column.itemsize}A"
        else:
            form = f"{column.shape[0] if column.shape else ''}{_TFORM[column.base.str[1:]]}"
        header.extend([(f"TTYPE{i}", name), (f"TFORM{i}", form)])
        if name in _UNITS:
            header[f"TUNIT{i}"] = (_UNITS[name], f"{name} units")
    return header


def _write_table(
    stream: BinaryIO,
    name: str,
    rows: Array,
    cards: Iterable[tuple[str, Any]] = (),
    *,
    checksum: bool = True,
) -> None:
    header = _table_header(rows.dtype).copy()
    header["NAXIS2"] = len(rows)
    header.extend(list(cards))
    header["EXTNAME"] = name
    _write_hdu(stream, header, rows.astype(rows.dtype.newbyteorder(">")), checksum=checksum)


def _dependency_cards() -> list[tuple[str, str]]:
    numbered = enumerate(_DEPENDENCIES)
    return [card for i, (name, version) in numbered for card in ((f"DEPNAM{i:02d}", name), (f"DEPVER{i:02d}", version))]


# --- What the spectrograph sees ----------------------------------------------------------------------------------

_GALAXY_LINES = [  # rest vacuum wavelength, relative strength: OII, Hb, OIII, NII, Ha, SII
    (3727.09, 0.7),
    (3729.88, 0.9),
    (4862.68, 0.6),
    (4960.30, 0.5),
    (5008.24, 1.5),
    (6549.85, 0.15),
    (6564.61, 2.0),
    (6585.27, 0.45),
    (6718.29, 0.3),
    (6732.67, 0.25),
]
_GALAXY_ABSORPTION = [(3934.78, 0.35), (3969.59, 0.35), (5176.6, 0.15), (5895.6, 0.12)]  # Ca K and H, Mg b, Na D
_QSO_LINES = [(1215.67, 3.0), (1549.48, 1.3), (1908.73, 0.7), (2798.75, 0.8), (4862.68, 0.9), (6564.61, 2.5)]
_BALMER = [(6564.61, 0.55), (4862.68, 0.65), (4341.68, 0.6), (4102.89, 0.5)]
_STARS = [("A", 9000.0), ("F", 6700.0), ("G", 5700.0), ("K", 4500.0), ("M", 3400.0)]


@dataclass(frozen=True)
class Sources:
    """What is in the sky: n objects, row-aligned.

    Attributes
    ----------
    targetid : (n,) int64
    ra, dec : (n,) float64, degrees
    z : (n,) float64
    spectype, subtype : (n,) bytes, as redrock writes them
    model : (n, 7791) float64, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ on `PADDED_WAVE`, before the spectrograph blurs it
    """

    targetid: Ints
    ra: Floats
    dec: Floats
    z: Floats
    spectype: Array
    subtype: Array
    model: Floats

    def take(self, rows: Sequence[int] | Ints) -> "Sources":
        """Return some of the objects, in the order of ``rows``."""
        chosen = np.asarray(rows, dtype=np.int64)
        return Sources(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def draw_sources(ra: Floats, dec: Floats, rng: Random) -> Sources:
    """Draw galaxies (60 %), QSOs (20 %) and stars (20 %) for given positions.

    Parameters
    ----------
    ra, dec : (n,) float64, degrees

    Returns
    -------
    Sources
        With unique 64-bit TARGETIDs: most of Legacy Surveys DR9 (RELEASE 9010, bit layout of desitarget's
        ``encode_targetid``), one in eight of a secondary program (2305843…).
    """
    n = len(ra)
    brick, objid = rng.integers(300000, 660000, n), np.arange(n) + rng.integers(1, 20000)
    targetid = (np.int64(9010) << 42) | (brick << 22) | objid
    secondary = rng.random(n) < 1 / 8
    targetid[secondary] = (1 << 61) + (rng.integers(1 << 8, 1 << 29, n) << 12 | np.arange(n) % (1 << 12))[secondary]
    kind = np.searchsorted([0.6, 0.8], rng.permutation((np.arange(n) + 0.5) / max(n, 1)))
    spectype = np.array([b"GALAXY", b"QSO", b"STAR"], dtype="S6")[kind]
    subtype = np.zeros(n, dtype="S20")
    z, model = np.zeros(n), np.zeros((n, len(PADDED_WAVE)))
    brightness = rng.lognormal(np.log(5.0), 0.5, n)[:, None]

    galaxies = np.flatnonzero(kind == 0)
    z[galaxies] = rng.uniform(0.02, 1.4, len(galaxies))
    model[galaxies] = brightness[galaxies] * _galaxies(z[galaxies], rng)

    qsos = np.flatnonzero(kind == 1)
    z[qsos] = rng.uniform(0.5, 3.5, len(qsos))
    subtype[qsos] = np.where(z[qsos] < 1.6, b"LOZ", b"HIZ")
    model[qsos] = brightness[qsos] * _qsos(z[qsos], rng)

    stars = np.flatnonzero(kind == 2)
    z[stars] = rng.uniform(-9e-4, 9e-4, len(stars))
    types = rng.integers(len(_STARS), size=len(stars))
    subtype[stars] = np.array([name for name, _ in _STARS], dtype="S20")[types]
    model[stars] = brightness[stars] * _stars(z[stars], np.array([kelvin for _, kelvin in _STARS])[types])
    return Sources(targetid, np.asarray(ra, float), np.asarray(dec, float), z, spectype, subtype, model)


def _galaxies(z: Floats, rng: Random) -> Floats:
    n = len(z)
    rest = PADDED_WAVE / (1 + z[:, None])
    depth = rng.uniform(0.1, 0.5, (n, 1))
    flux: Floats = (PADDED_WAVE / 6000) ** rng.uniform(-0.6, 1.0, (n, 1))
    flux *= 1 - depth * (1 - np.tanh((rest - 4000) / 30)) / 2
    width = rng.uniform(60, 160, n)
    for wavelength, strength in _GALAXY_ABSORPTION:
        flux *= 1 - strength * depth * _line(wavelength, z, width + 150)
    emission = rng.lognormal(0, 0.5, (n, 1))
    for wavelength, strength in _GALAXY_LINES:
        flux += strength * emission * _line(wavelength, z, width)
    return flux


def _qsos(z: Floats, rng: Random) -> Floats:
    flux: Floats = (PADDED_WAVE / 6000) ** rng.uniform(-1.8, -0.8, (len(z), 1))
    width = rng.uniform(1800, 3500, len(z))
    flux *= 1 + sum(strength * _line(wavelength, z, width) for wavelength, strength in _QSO_LINES)
    rest = PADDED_WAVE / (1 + z[:, None])
    flux *= np.where(rest < 1215.67, 0.7, 1.0)  # the Lyman-alpha forest, on average
    return flux


def _stars(z: Floats, kelvin: Floats) -> Floats:
    def planck(angstrom: Floats | float) -> Floats:
        return np.asarray(angstrom, float) ** -5 / np.expm1(1.43878e8 / (angstrom * kelvin[:, None]))

    flux: Floats = planck(PADDED_WAVE) / planck(6000.0)
    hot = np.clip((kelvin[:, None] - 4000) / 5000, 0.05, 1)
    for wavelength, depth in _BALMER:
        flux *= 1 - depth * hot * _line(wavelength, z, np.full(len(z), 500.0))
    for wavelength, depth in _GALAXY_ABSORPTION:
        flux *= 1 - depth * (1 - hot) * _line(wavelength, z, np.full(len(z), 120.0))
    return flux


def _line(wavelength: float, z: Floats, width: Floats) -> Floats:
    """Return a Gaussian of height 1 at ``wavelength`` (rest, Å) with sigma ``width`` (km/s); (n, 7791)."""
    center = wavelength * (1 + z[:, None])
    return np.asarray(np.exp(-0.5 * ((PADDED_WAVE - center) / (center * width[:, None] / 299792.458)) ** 2))


def wavelength(arm: str) -> Floats:
    """Return an arm's grid, (npix,) float64 Å, with the rounding of DESI's files (that of ``np.arange``)."""
    first = ARM_FIRST[arm]
    return np.asarray(np.arange(first, first + STEP * (ARM_PIXELS[arm] - 0.5), STEP))


def lsf_sigma(arm: str, fiber: Floats) -> Floats:
    """Return the sigma of the Gaussian line-spread function on an arm's pixels and `REACH` beyond its ends.

    Parameters
    ----------
    fiber : (n,) float64
        What tells the fibers apart, -1 to 1.

    Returns
    -------
    (n, npix + 10) float64, pixels of 0.8 Å
    """
    x = np.linspace(-1, 1, ARM_PIXELS[arm] + 2 * REACH)
    curve = {
        "b": 0.92 - 0.08 * x + 0.03 * x**2,
        "r": 0.82 - 0.05 * x + 0.04 * x**2,
        "z": 0.92 + 0.07 * x + 0.05 * x**2,
    }[arm]
    return np.asarray(curve * (1 + fiber[:, None] * (0.02 + 0.01 * x)))


def _clear_ivar(arm: str) -> Floats:
    """Return the sky's inverse variance in `REFERENCE_SECONDS`: throughput, dichroic ends and sky lines; (npix,)."""
    wave = wavelength(arm)
    x = (wave - wave[0]) / (wave[-1] - wave[0])

    def rise(middle: float, scale: float) -> Floats:
        return np.asarray(0.5 + 0.5 * np.tanh((wave - middle) / (2 * scale)))

    ivar = {
        "b": (2 + 90 * x**1.3) * (0.02 + rise(5797, -4)),
        "r": (90 + 230 * x) * (0.003 + rise(5775, 4)) * (0.05 + rise(7575, -20)),
        "z": (150 + 650 * x) * (0.05 + rise(7545, 15)) * (0.2 + rise(9750, -40)),
    }[arm]
    bands = np.concatenate([np.arange(7716, 8025, 34.0), np.arange(8280, 8470, 17.0), np.arange(8760, 9060, 24.0)])
    sky = np.zeros_like(wave)
    for line in [5578.9, 5891.6, 6302.0, 6365.5, 6865.7, 7278.0, 7342.9, *bands, *np.arange(9310, 9800, 38.0)]:
        sky += 12 * np.exp(-0.5 * ((wave - line) / 1.4) ** 2)
    return np.asarray(ivar / (1 + sky))


@dataclass
class SimulatedCoadd:
    """The content of a coadd file and of the redrock file beside it, and the truth behind them.

    ``n`` targets in FIBERMAP's order; ``redshifts`` and ``tsnr2`` are redrock's and sorted by TARGETID. The arrays may
    be changed before `write_coadd` to make odd files: nothing there compares their lengths.

    Attributes
    ----------
    fibermap, scores, redshifts, tsnr2 : (n,) structured
    exp_fibermap : (n_exposures,) structured
    wavelength : arm → (npix,) float64, Å
    flux, ivar : arm → (n, npix) float32
    mask : arm → (n, npix) uint32
    resolution : arm → (n, 11, npix) float32
        ``resolution[i, d, j]``: response of pixel j + d - 5 to light at pixel j.
    sigma : arm → (n, npix) float64, pixels
        Of the line-spread function.
    noise_free : arm → (n, npix) float64
        What the arm would have seen without noise.
    """

    survey: str
    program: str
    pix64: int
    sources: Sources
    fibermap: Array
    exp_fibermap: Array
    scores: Array
    redshifts: Array
    tsnr2: Array
    wavelength: dict[str, Floats]
    flux: dict[str, Array]
    ivar: dict[str, Array]
    mask: dict[str, Array]
    resolution: dict[str, Array]
    sigma: dict[str, Floats]
    noise_free: dict[str, Floats]

    def combined_noise_free(self) -> Floats:
        """Return (n, 7781) float64: the arms' noise-free fluxes, where they overlap weighted by their ivar.

        Where both arms are masked, their plain mean.
        """
        total, weight = np.zeros((2, len(self.fibermap), N_COMBINED))
        plain, count = np.zeros_like(total), np.zeros(N_COMBINED)
        for arm in ARMS:
            at = slice(ARM_START[arm], ARM_START[arm] + ARM_PIXELS[arm])
            total[:, at] += self.ivar[arm] * self.noise_free[arm]
            weight[:, at] += self.ivar[arm]
            plain[:, at] += self.noise_free[arm]
            count[at] += 1
        return np.where(weight > 0, total / np.where(weight > 0, weight, 1), plain / count)


def observe(
    sources: Sources,
    survey: str,
    program: str,
    pix64: int,
    rng: Random,
    *,
    tiles: Ints | None = None,
    zwarn: Ints | None = None,
) -> SimulatedCoadd:
    """Observe objects: blur, noise, masked pixels, tables, and a redrock fit that finds the truth to 10⁻⁵.

    Parameters
    ----------
    sources
        In the order that FIBERMAP shall have; any number, also none.
    program
        dark, bright or backup: sets the exposure time.
    tiles : (n,) int, optional
        On how many tiles each object was observed (1 to 4 by default): ivar and TSNR2 grow with it.
    zwarn : (n,) int, optional
        Redrock's ZWARN (by default 0, and 4 for one in twenty).
    """
    n = len(sources.targetid)
    tiles = rng.integers(1, 5, n) if tiles is None else np.asarray(tiles)
    zwarn = np.where(rng.random(n) < 0.05, SMALL_DELTA_CHI2, 0) if zwarn is None else np.asarray(zwarn)
    effective = EFFECTIVE_SECONDS[program] * tiles * rng.uniform(0.9, 1.1, n)
    fiber = rng.uniform(-1, 1, n)
    coadd = SimulatedCoadd(
        survey,
        program,
        pix64,
        sources,
        fibermap=_fibermap(sources, program, tiles, effective, rng),
        exp_fibermap=np.zeros(0, EXP_FIBERMAP),
        scores=np.zeros(n, SCORES),
        redshifts=np.zeros(n, REDSHIFTS),
        tsnr2=np.zeros(n, TSNR2),
        wavelength={arm: wavelength(arm) for arm in ARMS},
        flux={},
        ivar={},
        mask={},
        resolution={},
        sigma={},
        noise_free={},
    )
    for arm in ARMS:
        _observe_arm(coadd, arm, lsf_sigma(arm, fiber), effective, rng)
    _mask_pixels(coadd, rng)
    coadd.exp_fibermap = _exp_fibermap(coadd.fibermap, program, pix64, rng)
    _fill_scores(coadd, effective)
    _fit(coadd, zwarn, rng)
    return coadd


def _observe_arm(coadd: SimulatedCoadd, arm: str, sigma: Floats, effective: Floats, rng: Random) -> None:
    n, npix = len(coadd.fibermap), ARM_PIXELS[arm]
    # Weight of the light k pixels away in row i: q^(k²), normalised over the 11 pixels. Rows beyond the arm's ends
    # are there, too: in DESI's files the columns at the ends are complete although the rows are not.
    q = np.exp(-0.5 / sigma**2).astype(np.float32)
    q4 = (q * q) ** 2
    q9, q16 = q4 * q4 * q, q4**2 * q4**2
    weights = np.stack([np.ones_like(q), q, q4, q9, q16, q9 * q16])
    weights /= weights[0] + 2 * weights[1:].sum(axis=0)
    resolution = np.empty((n, N_DIAGONALS, npix), dtype=np.float32)
    for d in range(N_DIAGONALS):
        resolution[:, d] = weights[abs(d - REACH), :, d : d + npix]

    model = coadd.sources.model[:, ARM_START[arm] :]
    rows = weights[:, :, REACH : REACH + npix]
    seen = rows[0] * model[:, REACH : REACH + npix]
    for k in range(1, REACH + 1):
        seen += rows[k] * (model[:, REACH - k :][:, :npix] + model[:, REACH + k :][:, :npix])

    sky = _clear_ivar(arm) * (effective / REFERENCE_SECONDS)[:, None]
    ivar = (1 / (1 / sky + 0.01 * np.abs(seen) / np.sqrt(effective / 1000)[:, None])).astype(np.float32)
    noise = rng.standard_normal((n, npix), dtype=np.float32) / np.sqrt(ivar)
    coadd.flux[arm] = (seen + noise).astype(np.float32)
    coadd.ivar[arm] = ivar
    coadd.mask[arm] = np.zeros((n, npix), dtype=np.uint32)
    coadd.resolution[arm] = resolution
    coadd.sigma[arm] = sigma[:, REACH : REACH + npix]
    coadd.noise_free[arm] = seen


def _mask_pixels(coadd: SimulatedCoadd, rng: Random) -> None:
    """Mask a few pixels: anywhere, and in each overlap in the one arm, the other, or both, from row to row.

    Half of them hold a cosmic ray's flux, which shows if somebody ignores the mask.
    """
    for row in range(len(coadd.fibermap)):
        at = [(arm, int(pixel)) for arm in ARMS for pixel in rng.integers(ARM_PIXELS[arm], size=3)]
        for i, (blue, red) in enumerate(itertools.pairwise(ARMS)):
            lag = ARM_START[red] - ARM_START[blue]
            pixel = int(rng.integers(ARM_PIXELS[blue] - lag))
            at += [[(blue, lag + pixel)], [(red, pixel)], [(blue, lag + pixel), (red, pixel)]][(row + i) % 3]
        for arm, pixel in at:
            cosmic = rng.random() < 0.5
            coadd.mask[arm][row, pixel] = ALLBADPIX | SOMEBADPIX | (COSMIC if cosmic else 0)
            coadd.ivar[arm][row, pixel] = 0
            coadd.flux[arm][row, pixel] = 500.0 if cosmic else 0.0


def _fibermap(sources: Sources, program: str, tiles: Ints, effective: Floats, rng: Random) -> Array:
    n = len(sources.targetid)
    table = np.zeros(n, FIBERMAP)
    table["TARGETID"] = sources.targetid
    table["TARGET_RA"] = table["PLATE_RA"] = sources.ra
    table["TARGET_DEC"] = table["PLATE_DEC"] = sources.dec
    for axis in ("RA", "DEC"):
        table[f"MEAN_FIBER_{axis}"] = table[f"TARGET_{axis}"] + rng.normal(0, 1e-5, n)
        table[f"STD_FIBER_{axis}"] = rng.uniform(0, 0.08, n)
    for axis in ("X", "Y"):
        table[f"MEAN_DELTA_{axis}"] = rng.normal(0, 0.002, n)
        table[f"RMS_DELTA_{axis}"] = rng.uniform(0.001, 0.006, n)
    table["MEAN_PSF_TO_FIBER_SPECFLUX"] = rng.uniform(0.7, 0.8, n)

    star = sources.spectype == b"STAR"
    for name, scale in (("PMRA", 8.0), ("PMDEC", 8.0), ("PARALLAX", 1.0)):
        table[name] = np.where(star, rng.normal(0, scale, n), 0)
    table["REF_EPOCH"] = 2015.5
    table["REF_CAT"] = np.where(star, b"G2", b"")
    table["REF_ID"] = np.where(star, rng.integers(1 << 58, 1 << 59, n), 0)
    table["OBJTYPE"] = b"TGT"
    table["FA_TYPE"] = 1
    table["SUBPRIORITY"] = rng.random(n)
    table["OBSCONDITIONS"] = {"dark": 1, "bright": 2, "backup": 4}[program]
    table["PRIORITY_INIT"], table["NUMOBS_INIT"] = 3000, 2

    legacy = sources.targetid < 1 << 61
    table["RELEASE"] = np.where(legacy, 9010, 0)
    table["BRICKID"] = np.where(legacy, sources.targetid >> 22 & 0xFFFFF, 0)
    table["BRICK_OBJID"] = np.where(legacy, sources.targetid & 0x3FFFFF, 0)
    for row in np.flatnonzero(legacy):
        sign = "m" if sources.dec[row] < 0 else "p"
        table["BRICKNAME"][row] = f"{int(sources.ra[row] * 10):04d}{sign}{int(abs(sources.dec[row]) * 10):03d}"
    table["PHOTSYS"] = np.where(sources.dec > 32.375, b"N", b"S")
    table["MORPHTYPE"] = np.where(sources.spectype == b"GALAXY", b"SER", b"PSF")
    table["SERSIC"] = np.where(sources.spectype == b"GALAXY", rng.uniform(0.5, 5, n), 0)
    table["SHAPE_R"] = np.where(sources.spectype == b"GALAXY", rng.uniform(0.3, 2, n), 0)
    table["EBV"] = rng.uniform(0.01, 0.05, n)
    for band, low, high in (("G", 4000, 5500), ("R", 5650, 7150), ("Z", 8500, 9800)):
        inside = slice(*np.searchsorted(PADDED_WAVE, (low, high)))
        middle = (low + high) / 2
        # 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ to nanomaggies: f_nu = f_lambda wave² / c, 1 nanomaggy = 3.631e-29 erg s⁻¹ cm⁻² Hz⁻¹
        fiber = sources.model[:, inside].mean(axis=1) * 1e-17 * middle**2 / 2.99792458e18 / 3.631e-29
        table[f"FIBERFLUX_{band}"] = table[f"FIBERTOTFLUX_{band}"] = fiber
        table[f"FLUX_{band}"] = fiber * 1.4
        table[f"FLUX_IVAR_{band}"] = rng.uniform(100, 900, n)
        gaia = {"G": "BP_", "R": "", "Z": "RP_"}[band]
        magnitude = 22.5 - 2.5 * np.log10(np.maximum(fiber * 1.4, 1e-3))
        table[f"GAIA_PHOT_{gaia}G_MEAN_MAG" if not gaia else f"GAIA_PHOT_{gaia}MEAN_MAG"] = np.where(star, magnitude, 0)
    for band in ("W1", "W2"):
        table[f"FLUX_{band}"] = table["FLUX_Z"] * rng.uniform(0.5, 2, n)
        table[f"FLUX_IVAR_{band}"] = rng.uniform(1, 4, n)

    bits = {b"GALAXY": 1, b"QSO": 4, b"STAR": 1 << 61}  # desitarget's LRG, QSO, MWS_ANY
    table["DESI_TARGET"] = [
        bits[kind] if ours else 1 << 62 for kind, ours in zip(sources.spectype, legacy, strict=True)
    ]
    table["FA_TARGET"] = table["DESI_TARGET"]
    table["SCND_TARGET"] = np.where(legacy, 0, 1 << 10)
    table["COADD_NUMTILE"] = table["COADD_NUMNIGHT"] = tiles
    table["COADD_NUMEXP"] = tiles + 1  # the first tile took two exposures
    table["COADD_EXPTIME"] = effective * 1.3
    return table


def _tile(program: str, pix64: int, number: Array | int) -> Array | int:
    """Return the TILEID of the ``number``-th tile over a pixel."""
    return {"dark": 1000, "bright": 20000, "backup": 40000}[program] + pix64 % 1000 * 4 + number


def _exp_fibermap(fibermap: Array, program: str, pix64: int, rng: Random) -> Array:
    """Return a row per target and exposure."""
    numexp = fibermap["COADD_NUMEXP"].astype(np.int64)
    target = np.repeat(np.arange(len(fibermap)), numexp)
    n = len(target)
    exposure = np.arange(n) - np.repeat(np.cumsum(numexp) - numexp, numexp)
    visit = np.maximum(exposure - 1, 0)
    table = np.zeros(n, EXP_FIBERMAP)
    for name in ("TARGETID", "SUBPRIORITY", "PLATE_RA", "PLATE_DEC"):
        table[name] = fibermap[name][target]
    table["PRIORITY"] = 3000 - visit
    table["NIGHT"] = 20210514 + visit
    table["EXPID"] = 88800 + 150 * visit + exposure
    table["MJD"] = 59349.2 + visit + 0.014 * exposure
    table["TILEID"] = _tile(program, pix64, visit)
    table["EXPTIME"] = fibermap["COADD_EXPTIME"][target] / numexp[target]
    table["PETAL_LOC"] = pix64 % 10
    table["DEVICE_LOC"] = rng.integers(0, 524, n)
    table["LOCATION"] = table["PETAL_LOC"].astype(np.int64) * 1000 + table["DEVICE_LOC"]
    table["FIBER"] = table["PETAL_LOC"] * 500 + target % 500
    table["LAMBDA_REF"] = 5400
    table["NUM_ITER"] = 2
    for axis in ("X", "Y"):
        table[f"FIBER_{axis}"] = rng.uniform(-400, 400, n)
        table[f"FIBERASSIGN_{axis}"] = table[f"FIBER_{axis}"]
        table[f"DELTA_{axis}"] = rng.normal(0, 0.003, n)
    for axis in ("RA", "DEC"):
        table[f"FIBER_{axis}"] = fibermap[f"TARGET_{axis}"][target] + rng.normal(0, 1e-5, n)
    table["PSF_TO_FIBER_SPECFLUX"] = fibermap["MEAN_PSF_TO_FIBER_SPECFLUX"][target]
    return table


def _fill_scores(coadd: SimulatedCoadd, effective: Floats) -> None:
    scores = coadd.scores
    scores["TARGETID"] = coadd.fibermap["TARGETID"]
    for arm, low, high in (("b", 4000, 5800), ("r", 5800, 7600), ("z", 7600, 9800)):
        inside = slice(*np.searchsorted(coadd.wavelength[arm], (low, high)))
        flux, ivar = coadd.flux[arm][:, inside], coadd.ivar[arm][:, inside]
        good = flux * (ivar > 0)
        scores[f"INTEG_COADD_FLUX_{arm.upper()}"] = good.sum(axis=1) * STEP
        scores[f"MEDIAN_COADD_FLUX_{arm.upper()}"] = np.median(good, axis=1)
        scores[f"MEDIAN_COADD_SNR_{arm.upper()}"] = np.median(good * np.sqrt(ivar), axis=1) / np.sqrt(STEP)
    for tracer, ratios in _TSNR2_PER_LRG.items():
        for arm, ratio in zip("BRZ", ratios, strict=True):
            scores[f"TSNR2_{tracer}_{arm}"] = effective / SECONDS_PER_TSNR2_LRG * ratio
        scores[f"TSNR2_{tracer}"] = sum(scores[f"TSNR2_{tracer}_{arm}"] for arm in "BRZ")


def _fit(coadd: SimulatedCoadd, zwarn: Ints, rng: Random) -> None:
    """Fill redrock's tables, sorted by TARGETID."""
    sources, n = coadd.sources, len(coadd.fibermap)
    order = np.argsort(sources.targetid)
    fit = coadd.redshifts
    fit["TARGETID"] = sources.targetid[order]
    fit["Z"] = (sources.z + rng.normal(0, 1e-5, n).clip(-3e-5, 3e-5))[order]
    fit["ZERR"] = rng.uniform(0.5e-5, 2e-5, n)
    fit["ZWARN"] = zwarn[order]
    fit["NPIXELS"] = sum((coadd.ivar[arm] > 0).sum(axis=1) for arm in ARMS)[order]
    fit["CHI2"] = fit["NPIXELS"] * rng.normal(1, 0.02, n)
    fit["SPECTYPE"], fit["SUBTYPE"] = sources.spectype[order], sources.subtype[order]
    fit["NCOEFF"] = np.select([fit["SPECTYPE"] == b"GALAXY", fit["SPECTYPE"] == b"QSO"], [10, 4], 5)
    fit["COEFF"] = rng.normal(0, 50, (n, 10)) * (np.arange(10) < fit["NCOEFF"][:, None])
    fit["DELTACHI2"] = np.where(fit["ZWARN"] == 0, rng.uniform(50, 3000, n), rng.uniform(0, 9, n))
    for name in TSNR2.names or ():
        coadd.tsnr2[name] = coadd.scores[name][order]


# --- Files of the release ----------------------------------------------------------------------------------------


def write_coadd(
    path: Path,
    coadd: SimulatedCoadd,
    *,
    mask_dtype: npt.DTypeLike = np.uint32,
    hdus: Sequence[str] | None = None,
    exp_fibermap: bool = True,
    extra_columns: Mapping[str, Array] | None = None,
    checksum: bool = True,
) -> None:
    """Write a coadd file.

    Parameters
    ----------
    mask_dtype
        uint32 (BITPIX 32 with BZERO 2³¹, as in DR1) or int32 (as in later productions).
    hdus
        Names of the extensions to write, in that order (all, in DR1's order, by default).
    exp_fibermap
        Whether there is an EXP_FIBERMAP (files from before 2022 have none).
    extra_columns
        Name → (n,) or (n, m) array: more columns of FIBERMAP. They come before TARGET_RA, so that all offsets move.
    checksum
        Whether the HDUs have CHECKSUM and DATASUM.
    """
    identity = [("SURVEY", coadd.survey), ("PROGRAM", coadd.program)]
    pixel = [("HPXPIXEL", coadd.pix64), ("HPXNSIDE", 64)]
    about = [("ENCODING", "ascii"), ("LONGSTRN", "OGIP 1.0"), *identity, *_dependency_cards(), *pixel]
    if hdus is None:
        images = [f"{arm}_{kind}" for arm in "BRZ" for kind in ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION")]
        hdus = ["FIBERMAP", "EXP_FIBERMAP", *images, "SCORES"]
    primary = Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
    primary.extend([("SPGRP", "healpix"), ("SPGRPVAL", coadd.pix64), *pixel, ("HPXNEST", True), *identity])
    primary.extend([("LONGSTRN", "OGIP 1.0"), *_dependency_cards(), ("FIBERMIN", 500 * (coadd.pix64 % 10))])
    primary["INFIL000"] = f"spectra-{coadd.survey}-{coadd.program}-{coadd.pix64}.fits.gz"
    with path.open("wb") as stream:
        _write_hdu(stream, primary, checksum=checksum)
        for name in hdus:
            if name == "FIBERMAP":
                _write_table(stream, name, _with_columns(coadd.fibermap, extra_columns or {}), about, checksum=checksum)
            elif name == "EXP_FIBERMAP":
                if exp_fibermap:
                    _write_table(stream, name, coadd.exp_fibermap, about, checksum=checksum)
            elif name == "SCORES":
                _write_table(stream, name, coadd.scores, [("ENCODING", "ascii")], checksum=checksum)
            else:
                header, data = _image(coadd, name, np.dtype(mask_dtype))
                _write_hdu(stream, header, data, checksum=checksum)


def _image(coadd: SimulatedCoadd, name: str, mask_dtype: np.dtype[Any]) -> tuple[Header, Array]:
    arm, _, kind = name.partition("_")
    data: Array = getattr(coadd, kind.lower())[arm.lower()]
    if kind == "MASK":
        unsigned = mask_dtype == np.uint32
        # FITS has no unsigned integers: stored minus 2³¹, which flips the top bit.
        stored = (data.astype(np.uint32) ^ np.uint32(unsigned << 31)).astype(">u4")
        return _image_header(name, data.shape, 32, unsigned=unsigned), stored
    unit = {
        "WAVELENGTH": "Angstrom",
        "FLUX": "10**-17 erg/(s cm2 Angstrom)",
        "IVAR": "10**+34 (s2 cm4 Angstrom2) / erg2",
        "RESOLUTION": "",
    }[kind]
    bitpix = -64 if kind == "WAVELENGTH" else -32
    return _image_header(name, data.shape, bitpix, unit), data.astype(">f8" if bitpix == -64 else ">f4")


def _with_columns(table: Array, extra: Mapping[str, Array]) -> Array:
    if not extra:
        return table
    names = list(table.dtype.names or ())
    at = names.index("TARGET_RA")
    fields = [(name, table.dtype[name]) for name in names]
    fields[at:at] = [(name, np.dtype((values.dtype, values.shape[1:]))) for name, values in extra.items()]
    wider = np.zeros(len(table), dtype=np.dtype(fields))
    for name in names:
        wider[name] = table[name]
    for name, values in extra.items():
        wider[name] = values
    return wider


def write_redrock(path: Path, coadd: SimulatedCoadd, *, exp_fibermap: bool = True) -> None:
    """Write the redrock file of a coadd: its tables are sorted by TARGETID, FIBERMAP's order is another."""
    templates = [
        "GALAXY",
        "QSO:::HIZ",
        "QSO:::LOZ",
        *(f"STAR:::{name}" for name in ("A", "B", "CV", "F", "G", "K", "M", "WD")),
    ]
    primary = Header([("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 0), ("EXTEND", True)])
    primary["COMMENT"] = "  FITS (Flexible Image Transport System) format is defined in 'Astronomy"
    primary.add_comment("  and Astrophysics', volume 376, page 359; bibcode: 2001A&A...376..359H ")
    primary.extend([("LONGSTRN", "OGIP 1.0"), ("RRVER", "0.17.0", "Redrock version")])
    for i, name in enumerate(templates):
        primary.extend([(f"TEMNAM{i:02d}", name), (f"TEMVER{i:02d}", "2.6" if name == "GALAXY" else "0.1")])
    primary.extend([*_dependency_cards(), ("SPGRP", "healpix"), ("SPGRPVAL", coadd.pix64), ("HPXPIXEL", coadd.pix64)])
    primary.extend([("HPXNSIDE", 64), ("HPXNEST", True), ("SURVEY", coadd.survey), ("PROGRAM", coadd.program)])
    tables = {
        "REDSHIFTS": coadd.redshifts,
        "FIBERMAP": coadd.fibermap[np.argsort(coadd.fibermap["TARGETID"])],
        "EXP_FIBERMAP": coadd.exp_fibermap,
        "TSNR2": coadd.tsnr2,
    }
    with path.open("wb") as stream:
        _write_hdu(stream, primary, checksum=False)
        for name, table in tables.items():
            if exp_fibermap or name != "EXP_FIBERMAP":
                _write_table(stream, name, table, checksum=False)


def write_tilepix(path: Path, listed: Iterable[tuple[str, str, int]]) -> None:
    """Write ``tilepix.fits``: two tiles, two petals each, for every (survey, program, NSIDE=64 NESTED pixel)."""
    rows = [
        (_tile(program, pix64, number), survey, program, (pix64 + petal) % 10, pix64)
        for survey, program, pix64 in listed
        for number in (0, 1)
        for petal in (0, 1)
    ]
    table = np.array(rows, dtype=TILEPIX)
    with path.open("wb") as stream:
        primary = Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
        _write_hdu(stream, primary, checksum=False)
        _write_table(stream, "TILEPIX", table, [("HPXNSIDE", 64), ("HPXNEST", True)], checksum=False)


def write_sha256sum(path: Path, files: Iterable[Path]) -> None:
    """Write the SHA-256 of files as ``sha256sum`` prints it: hash, two spaces, file name."""
    with path.open("w", encoding="ascii") as stream:
        for file in files:
            with file.open("rb") as data:
                stream.write(f"{hashlib.file_digest(data, 'sha256').hexdigest()}  {file.name}\n")


# --- The sky -----------------------------------------------------------------------------------------------------

DARK, BRIGHT, BACKUP = "dark", "bright", "backup"
COADDS: dict[int, tuple[str, ...]] = {
    27247: (DARK, BRIGHT, BACKUP),  # around COSMOS; NSIDE=16 pixel 1702
    27245: (DARK, BRIGHT),
    27246: (BRIGHT,),
    27258: (DARK, BRIGHT),  # 1703
    19456: (DARK, BRIGHT),  # on RA 0; 1216
    19457: (DARK, BRIGHT),
    19458: (DARK,),
    18090: (DARK,),  # 1130
    18773: (BRIGHT,),  # 1173
    12258: (DARK, BRIGHT),  # Dec 82; 766
    12259: (DARK,),
    12256: (DARK, BACKUP),
    12215: (DARK,),  # 763
}
"""NSIDE=64 NESTED pixel → programs whose coadds exist (survey main)."""

ABSENT = [("main", DARK, 27333), ("main", BRIGHT, 27333), ("main", DARK, 27246)]
"""Listed in tilepix without a file, as (survey, program, pixel)."""

OTHER_SURVEY = [("sv3", DARK, 27256), ("sv3", DARK, 27247)]
"""Listed in tilepix for another survey than main; no files either."""

UNCOVERED = 27244  # shares edges with 27245 and 27246
NO_EXP_FIBERMAP = (DARK, 27258)
OTHER_ORDER = (BRIGHT, 19457)
EXTRA_COLUMN = (DARK, 12259)

PER_COADD = 12
SHARED = 5  # objects of a pixel that all its programs observed

Vector = npt.NDArray[np.float64]


@dataclass
class _Object:
    """An object with a fiber: on how many tiles, and with what ZWARN, per program (None: leave it to chance)."""

    at: Vector
    programs: dict[str, tuple[int | None, int | None]]


@dataclass
class _Row:
    """A row of the CSV: position as written, and what must become of it."""

    name: str
    ra: str
    dec: str
    healpix: str
    status: str


def _unit(ra: Array | float, dec: Array | float) -> Vector:
    """Return unit vectors (…, 3) of positions in degrees."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _degrees(at: Vector) -> tuple[float, float]:
    """Return RA in [0, 360) and Dec of a vector, degrees."""
    ra = float(np.degrees(np.arctan2(at[1], at[0])))
    return ra % 360.0, float(np.degrees(np.arctan2(at[2], np.hypot(at[0], at[1]))))


def _toward(at: Vector, direction: Vector, arcsec: float) -> Vector:
    """Go ``arcsec`` along the great circle that leaves ``at`` in ``direction`` (any vector not parallel to it)."""
    tangent = direction - at * (at @ direction)
    angle = np.radians(arcsec / 3600)
    return np.asarray(at * np.cos(angle) + tangent / np.linalg.norm(tangent) * np.sin(angle))


def _separation(a: Vector, b: Vector) -> Floats:
    """Return great-circle distances in arcsec, accurate at every scale (atan2 of cross and dot product)."""
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.degrees(np.arctan2(cross, (a * b).sum(axis=-1))) * 3600)


class _Sky:
    """The objects and the CSV rows, laid out."""

    def __init__(self, rng: Random) -> None:
        import healpy  # noqa: PLC0415 (2 s: not for those who only write a coadd)

        self.healpy = healpy
        self.rng = rng
        self.objects: list[_Object] = []
        self.rows: list[_Row] = []
        self.free: dict[int, list[Vector]] = {}
        for pix64 in (*COADDS, 27333, 27256, UNCOVERED):
            # Centers of sub-pixels of 51 arcsec: uniform, apart from each other and from the pixel's edges.
            child = pix64 * 4096 + rng.choice(4096, 60, replace=False)
            self.free[pix64] = list(np.stack(healpy.pix2vec(64 * 64, child, nest=True), axis=-1))
        self.members: dict[int, list[_Object]] = {pix64: self._populate(pix64) for pix64 in COADDS}

    def pixel(self, at: Vector, nside: int = 64) -> int:
        ra, dec = _degrees(at)
        return int(self.healpy.ang2pix(nside, ra, dec, nest=True, lonlat=True))

    def empty(self, pix64: int) -> Vector:
        """Return a place in the pixel, half an arcminute or more from every object and edge."""
        return self.free[pix64].pop()

    def near(self, at: Vector, arcsec: float) -> Vector:
        """Return a place at a distance, in a random direction."""
        return _toward(at, self.rng.standard_normal(3), arcsec)

    def fiber(self, at: Vector, *programs: str) -> _Object:
        """Put a fiber on a place."""
        made = _Object(at, dict.fromkeys(programs or COADDS[self.pixel(at)][:1], (None, None)))
        self.objects.append(made)
        return made

    def row(self, name: str, status: str, at: Vector, *, ra: str | None = None, digits: int | None = None) -> None:
        """Add a CSV row at a place; ``digits``: decimals to keep."""
        lon, lat = _degrees(at)
        if ra is not None:
            lon = float(ra)
        elif digits is not None:
            lon, lat = round(lon, digits), round(lat, digits)
        healpix = self.healpy.ang2pix(16, lon % 360, lat, nest=True, lonlat=True)
        self.rows.append(_Row(name, ra or repr(lon), repr(lat), str(healpix), status))

    def bad_row(self, name: str, ra: str, dec: str, healpix: str = "") -> None:
        self.rows.append(_Row(name, ra, dec, healpix, "rejected"))

    def edge(self, inside: int, outside: int) -> tuple[Vector, Vector]:
        """Return the middle of the edge between two pixels, and the direction from the one's center to it."""
        center = np.stack(self.healpy.pix2vec(64, inside, nest=True))
        corners = self.healpy.boundaries(64, inside, step=2, nest=True).T[1::2]  # the four edges' middles
        for at in corners:
            if self.pixel(_toward(at, at - center, 0.5)) == outside:
                return np.asarray(at), np.asarray(at - center)
        raise ValueError(f"NSIDE=64 pixels {inside} and {outside} share no edge")

    def touched(self, at: Vector) -> set[int]:
        """Return the NSIDE=64 pixels that the match circle touches, by sampling it densely."""
        east = np.cross([0.0, 0.0, 1.0], at) if abs(at[2]) < 1 else np.array([1.0, 0.0, 0.0])
        east /= np.linalg.norm(east)
        north = np.cross(at, east)
        phi = np.linspace(0, 2 * np.pi, 720, endpoint=False)[:, None]
        directions = np.cos(phi) * east + np.sin(phi) * north
        found = []
        for arcsec in (0.98 * MATCH_ARCSEC, 1.02 * MATCH_ARCSEC):
            circle = at + directions * np.radians(arcsec / 3600)
            found.append({self.pixel(at), *self.healpy.vec2pix(64, *circle.T, nest=True).tolist()})
        assert found[0] == found[1], f"a row at {_degrees(at)} has a match circle that all but touches a pixel"
        return found[0]

    def _populate(self, pix64: int) -> list[_Object]:
        programs = COADDS[pix64]
        shared = [self.fiber(self.empty(pix64), *programs) for _ in range(SHARED)]
        own = [self.fiber(self.empty(pix64), program) for program in programs for _ in range(PER_COADD - SHARED)]
        return [*shared, *own]

    def lay_out(self) -> None:
        """Add the CSV's rows, and the fibers that some of them need."""
        for pix64, members in self.members.items():
            for i, member in enumerate([members[0], members[SHARED], *members[SHARED + 3 : SHARED + 5]]):
                place = self.near(member.at, self.rng.uniform(0.05, 0.9))
                self.row(f"match-{pix64}-{i}", "matched", place, digits=7)
        self._matches()
        self._edges()
        self._ra_zero()
        self._misses()
        self._bad()

    def _matches(self) -> None:
        members = self.members[27247]
        self.row("exact-position", "matched", members[1].at)
        for i, place in enumerate([members[2].at] * 2):
            self.row(f"duplicate-row-{i}", "matched", place, digits=6)
        self.row("separation-0.99", "matched", self.near(members[7].at, 0.99))
        self.row("separation-1.01", "no_fiber", self.near(members[8].at, 1.01))

        pair = self.empty(27247)
        self.fiber(_toward(pair, np.array([0.0, 0.0, 1.0]), 0.3), DARK)
        self.fiber(_toward(pair, np.array([0.0, 1.0, 0.0]), 0.7), DARK)
        self.row("two-fibers", "matched", pair)

        # Which spectrum is primary: ZWARN = 0 first, then TSNR2_LRG. Tiles and ZWARN, dark and bright.
        for name, dark, bright in (
            ("primary-bright-by-zwarn", (4, SMALL_DELTA_CHI2), (1, 0)),
            ("primary-dark-by-zwarn", (1, 0), (20, SMALL_DELTA_CHI2)),
            ("primary-dark-by-tsnr2", (3, 0), (1, 0)),
            ("primary-bright-by-tsnr2", (1, 0), (20, 0)),
            ("primary-dark-both-warned", (3, SMALL_DELTA_CHI2), (1, SMALL_DELTA_CHI2)),
        ):
            made = self.fiber(self.empty(27245))
            made.programs = {DARK: dark, BRIGHT: bright}
            self.row(name, "matched", self.near(made.at, 0.2))

        members = self.members[27246]  # its dark coadd is listed but absent
        self.row("dark-coadd-absent-match", "matched", self.near(members[2].at, 0.4))
        self.row("dark-coadd-absent-near", "no_fiber", self.near(members[3].at, 1.7))
        self.row("dark-coadd-absent-nothing", "no_fiber", self.empty(27246))

    def _edges(self) -> None:
        for name, mine, theirs in (
            ("across-pix64-edge", 27247, 27245),
            ("across-pix16-edge", 27247, 27258),
            ("across-pix16-edge-back", 27258, 27247),
            ("across-edge-at-ra-0", 19456, 19457),
            ("across-pix16-edge-at-ra-0", 19456, 18090),
            ("across-edge-at-dec-82", 12258, 12259),
            ("across-pix16-edge-at-dec-82", 12258, 12215),
            ("uncovered-side-of-edge", UNCOVERED, 27245),
            ("absent-side-of-edge", 27333, 27247),
        ):
            edge, outward = self.edge(mine, theirs)
            # Not at the very middle of the edge, where another pair may be.
            along = np.cross(edge, outward)
            place = _toward(edge, along, self.rng.uniform(60, 600))
            place = self._onto_edge(place, outward, mine, theirs)
            self.fiber(_toward(place, outward, 0.3))
            self.row(name, "matched", _toward(place, -outward, 0.3))

        edge, outward = self.edge(19456, 19458)
        self.fiber(_toward(edge, outward, 0.3))
        self.fiber(_toward(edge, -outward, 0.5))
        self.row("fibers-on-both-sides", "matched", _toward(edge, -outward, 0.2))

        edge, outward = self.edge(27245, UNCOVERED)
        self.row("uncovered-side-without-fiber", "no_fiber", _toward(edge, outward, 0.4))

        # 2.2 arcsec apart, but the fiber's coadd is not one that the match circle touches: not reported.
        edge, outward = self.edge(12258, 12256)
        self.fiber(_toward(edge, outward, 0.6))
        self.row("fiber-beyond-the-touched-pixels", "no_fiber", _toward(edge, -outward, 1.6))

        # The southern corner of 27247: four pixels meet, one of them uncovered, one with a coadd absent.
        corners = self.healpy.boundaries(64, 27247, step=1, nest=True).T
        south = corners[np.argmin(corners[:, 2])]
        self.fiber(_toward(south, np.array([0.0, 0.0, 1.0]), 0.4))
        self.row("pixel-corner", "matched", _toward(south, np.array([0.0, 0.0, 1.0]), 0.1))

    def _onto_edge(self, place: Vector, outward: Vector, inside: int, outside: int) -> Vector:
        """Move a place near an edge onto it, along ``outward``, by bisection."""
        low, high = -600.0, 600.0
        assert self.pixel(_toward(place, -outward, -low)) == inside
        assert self.pixel(_toward(place, outward, high)) == outside
        while high - low > 1e-3:
            middle = (low + high) / 2
            if self.pixel(_toward(place, outward, middle)) == inside:
                low = middle
            else:
                high = middle
        return _toward(place, outward, (low + high) / 2)

    def _ra_zero(self) -> None:
        for name, fiber_ra, ra, dec in (
            ("ra-negative", 0.00005, "-0.00008", 0.61),
            ("ra-negative-same-side", 359.99995, "-0.00012", 0.62),
            ("ra-359.99", 0.00006, "359.99994", 0.63),
            ("ra-360", 0.0001, "360.0", 0.64),
            ("ra-0", 359.9999, "0.0", 0.65),
        ):
            self.fiber(_unit(fiber_ra, dec))
            self.row(name, "matched", _unit(float(ra), dec), ra=ra)
        self.fiber(_unit(0.0003, 0.66))
        self.row("ra-negative-too-far", "no_fiber", _unit(-0.0002, 0.66), ra="-0.0002")
        self.row("ra-minus-180", "not_covered", _unit(180.0, 12.0), ra="-180.0")

    def _misses(self) -> None:
        for i, (pix64, arcsec) in enumerate([(27247, 1.5), (27258, 2.0), (19456, 2.5), (12258, 2.9), (18773, 1.2)]):
            self.row(f"near-{i}", "no_fiber", self.near(self.members[pix64][9].at, arcsec), digits=7)
        self.row("near-3.1", "no_fiber", self.near(self.members[27247][10].at, 3.1))
        between = self.empty(12256)
        self.fiber(_toward(between, np.array([0.0, 0.0, 1.0]), 1.3))
        self.fiber(_toward(between, np.array([0.0, 0.0, -1.0]), 2.3))
        self.row("near-two", "no_fiber", between)
        for i, pix64 in enumerate([27247, 27258, 19457, 18090, 12215, 12259]):
            self.row(f"nothing-near-{i}", "no_fiber", self.empty(pix64), digits=5)
        for i in range(3):
            self.row(f"coadd-absent-{i}", "coadd_absent", self.empty(27333), digits=7)
        self.row("not-covered-next-to-others", "not_covered", self.empty(UNCOVERED), digits=7)
        self.row("not-covered-other-survey", "not_covered", self.empty(27256), digits=7)
        self.row("not-covered-far", "not_covered", _unit(180.0, 40.0), digits=4)
        self.row("not-covered-south", "not_covered", _unit(52.1, -27.8), digits=4)
        self.row("not-covered-pole", "not_covered", _unit(10.0, 90.0), ra="10.0")

    def _bad(self) -> None:
        self.bad_row("bad-ra-empty", "", "1.8", "1702")
        self.bad_row("bad-dec-empty", "149.5", "", "1702")
        self.bad_row("bad-ra-abc", "abc", "1.8", "1702")
        self.bad_row("bad-dec-95", "149.5", "95.0")
        self.bad_row("bad-ra-400", "400.0", "1.8")
        self.bad_row("bad-ra-minus-200", "-200.0", "1.8")
        self.bad_row("bad-sexagesimal", "09:57:51.7", "+01:47:37", "1702")
        self.bad_row("bad-nan", "nan", "1.8", "1702")
        self.bad_row("bad-inf", "149.5", "inf")


def _sky(rng: Random) -> _Sky:
    sky = _Sky(rng)
    sky.lay_out()
    # The file's order tells nothing.
    sky.rows = [sky.rows[i] for i in rng.permutation(len(sky.rows))]
    return sky


def _coadds(sky: _Sky, sources: Sources, seed: int) -> Iterable[SimulatedCoadd]:
    """Observe the objects, one coadd after another."""
    pixels = np.array([sky.pixel(made.at) for made in sky.objects])
    for number, (pix64, programs) in enumerate(COADDS.items()):
        for program in programs:
            rng = np.random.default_rng([seed, number, list(EFFECTIVE_SECONDS).index(program)])
            mine = np.array([i for i in np.flatnonzero(pixels == pix64) if program in sky.objects[i].programs])
            mine = rng.permutation(mine)
            if (np.diff(sources.targetid[mine]) > 0).all():
                mine = mine[::-1]  # redrock's order must be another
            tiles, zwarn = rng.integers(1, 5, len(mine)), np.where(rng.random(len(mine)) < 0.05, SMALL_DELTA_CHI2, 0)
            for i, made in enumerate(mine):
                fixed_tiles, fixed_zwarn = sky.objects[made].programs[program]
                tiles[i] = tiles[i] if fixed_tiles is None else fixed_tiles
                zwarn[i] = zwarn[i] if fixed_zwarn is None else fixed_zwarn
            yield observe(sources.take(mine), "main", program, pix64, rng, tiles=tiles, zwarn=zwarn)


# --- The release -------------------------------------------------------------------------------------------------


def simulate(out: Path, seed: int = 1) -> None:
    """Write the release, the CSV of positions and the truth under a directory; same seed, same bytes.

    Everything is written beside ``out`` first and renamed when it is complete, ``tilepix.fits`` last: if that is
    there, all is. What an earlier run left under the same names is replaced.

    Parameters
    ----------
    out
        Gets ``spectro/redux/demo/healpix/``, laid out as the public archive, with checksum files; ``targets.csv``;
        and ``truth.hdf5``, which has the groups

        - ``rows``, per CSV row: ``row``, ``status``, ``n_spectra`` (coadd rows within 1.0 arcsec), ``nearest_arcsec``
          (NaN beyond 3), ``n_within_report_radius`` (3 arcsec), ``pix64`` (-1 if rejected), ``missing_coadds``. Only
          fibers in the coadds of pixels that the row's 1.0 arcsec circle touches count;
        - ``spectra``, per coadd row of the release: ``targetid``, ``survey``, ``program``, ``pix64``, ``ra``, ``dec``,
          ``z`` (true), ``spectype``, ``subtype``, ``zwarn``, ``tsnr2_lrg``, ``flux`` (7781: noise-free, as blurred by
          the arms; in overlaps weighted by their ivar), ``lsf_sigma_b``, ``_r``, ``_z`` (native pixels, in pixels);
        - ``matches``, per pair within 1.0 arcsec: ``row``, ``spectrum`` (index into ``spectra``),
          ``separation_arcsec``.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        new = work / "new"
        healpix = new / "spectro" / "redux" / SPECPROD / "healpix"
        healpix.mkdir(parents=True)
        sky = _sky(np.random.default_rng(seed))
        positions = np.array([_degrees(made.at) for made in sky.objects])
        sources = draw_sources(positions[:, 0], positions[:, 1], np.random.default_rng([seed, 1]))
        observed = [_write_pixel(healpix, coadd) for coadd in _coadds(sky, sources, seed)]
        listed = [("main", program, pix64) for pix64, programs in COADDS.items() for program in programs]
        write_tilepix(healpix / "tilepix.fits", sorted([*listed, *ABSENT, *OTHER_SURVEY]))
        write_sha256sum(healpix / f"redux_{SPECPROD}_healpix.sha256sum", [healpix / "tilepix.fits"])
        _write_csv(new / "targets.csv", sky.rows, np.random.default_rng([seed, 2]))
        _write_truth(new / "truth.hdf5", sky, observed)
        _replace(new, out, work / "old")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    log.info("%s: %d coadds, %d CSV rows", out, len(observed), len(sky.rows))


def _write_pixel(healpix: Path, coadd: SimulatedCoadd) -> dict[str, Array]:
    """Write a coadd's directory; return its share of the truth."""
    survey, program, pix64 = coadd.survey, coadd.program, coadd.pix64
    folder = healpix / survey / program / str(pix64 // 100) / str(pix64)
    folder.mkdir(parents=True)
    files = [folder / f"{kind}-{survey}-{program}-{pix64}.fits" for kind in ("coadd", "redrock")]
    exp_fibermap = (program, pix64) != NO_EXP_FIBERMAP
    hdus = None
    if (program, pix64) == OTHER_ORDER:
        kinds = ("RESOLUTION", "MASK", "FLUX", "WAVELENGTH", "IVAR")
        hdus = ["SCORES", *(f"{arm}_{kind}" for kind in kinds for arm in "ZBR"), "FIBERMAP", "EXP_FIBERMAP"]
    extra = None
    if (program, pix64) == EXTRA_COLUMN:
        extra = {"NOT_YET_INVENTED": np.arange(len(coadd.fibermap), dtype=np.int16)}
    write_coadd(
        files[0],
        coadd,
        mask_dtype=np.uint32 if program == DARK else np.int32,
        hdus=hdus,
        exp_fibermap=exp_fibermap,
        extra_columns=extra,
    )
    write_redrock(files[1], coadd, exp_fibermap=exp_fibermap)
    write_sha256sum(folder / f"redux_{SPECPROD}_healpix_{survey}_{program}_{pix64 // 100}_{pix64}.sha256sum", files)

    n = len(coadd.fibermap)
    fit = coadd.redshifts[np.argsort(np.argsort(coadd.sources.targetid))]  # back to FIBERMAP's order
    assert (fit["TARGETID"] == coadd.sources.targetid).all()
    return {
        "targetid": coadd.sources.targetid,
        "survey": np.full(n, survey, dtype="S7"),
        "program": np.full(n, program, dtype="S6"),
        "pix64": np.full(n, pix64),
        "ra": coadd.sources.ra,
        "dec": coadd.sources.dec,
        "z": coadd.sources.z,
        "spectype": coadd.sources.spectype,
        "subtype": coadd.sources.subtype,
        "zwarn": fit["ZWARN"],
        "tsnr2_lrg": coadd.scores["TSNR2_LRG"],
        "flux": coadd.combined_noise_free().astype(np.float32),
        **{f"lsf_sigma_{arm}": coadd.sigma[arm].astype(np.float32) for arm in ARMS},
    }


def _write_csv(path: Path, rows: Sequence[_Row], rng: Random) -> None:
    """Write the CSV of positions, with the columns that an X-ray catalogue may have beside them."""
    notes = ["", "extended, soft", 'the "blue" one, see log', "off-axis > 10', low counts"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ["name", "RA_DESI", "DEC_DESI", "healpix", "flux_aper_b", "significance", "obsid", "region_id", "note"]
        )
        for i, row in enumerate(rows):
            flux = "" if i % 7 == 3 else f"{rng.lognormal(np.log(3e-15), 1):.3e}"
            significance, obsid, region = f"{rng.uniform(2, 40):.2f}", int(rng.integers(300, 28000)), f"{i + 34:04d}"
            writer.writerow(
                [row.name, row.ra, row.dec, row.healpix, flux, significance, obsid, region, notes[i % len(notes)]]
            )


def _expected(sky: _Sky, spectra: Mapping[str, Array]) -> tuple[Array, Array]:
    """Find by brute force what must become of every CSV row.

    Returns
    -------
    rows, matches
        Structured arrays, the datasets of ``truth.hdf5``.
    """
    listed = {(program, pix64) for pix64, programs in COADDS.items() for program in programs}
    absent = {(program, pix64) for _, program, pix64 in ABSENT}
    fibers = _unit(spectra["ra"], spectra["dec"])
    rows = np.zeros(
        len(sky.rows),
        [
            ("row", "i8"),
            ("status", "S12"),
            ("n_spectra", "i8"),
            ("nearest_arcsec", "f8"),
            ("n_within_report_radius", "i8"),
            ("pix64", "i8"),
            ("missing_coadds", "i8"),
        ],
    )
    matches: list[tuple[int, int, float]] = []
    for i, row in enumerate(sky.rows):
        if row.status == "rejected":
            rows[i] = (i, b"rejected", 0, np.nan, 0, -1, 0)
            continue
        at = _unit(float(row.ra), float(row.dec))
        touched = sky.touched(at)
        distance = np.where(np.isin(spectra["pix64"], list(touched)), _separation(at, fibers), np.inf)
        for limit in (MATCH_ARCSEC, REPORT_ARCSEC):
            assert (np.abs(distance - limit) > 1e-3).all(), f"CSV row {row.name}: a fiber at just {limit} arcsec"
        matched = np.flatnonzero(distance <= MATCH_ARCSEC)
        reported = distance <= REPORT_ARCSEC
        missing = sum(pix64 in touched for _, pix64 in absent)
        if len(matched):
            status = "matched"
        elif any(pix64 in touched for _, pix64 in listed):
            status = "no_fiber"
        else:
            status = "coadd_absent" if missing else "not_covered"
        assert status == row.status, f"CSV row {row.name}: laid out to be {row.status}, is {status}"
        nearest = distance.min() if reported.any() else np.nan
        rows[i] = (i, status.encode(), len(matched), nearest, reported.sum(), sky.pixel(at), missing)
        matches += [(i, int(spectrum), float(distance[spectrum])) for spectrum in matched]
    return rows, np.array(matches, dtype=[("row", "i8"), ("spectrum", "i8"), ("separation_arcsec", "f8")])


def _write_truth(path: Path, sky: _Sky, observed: Sequence[Mapping[str, Array]]) -> None:
    import h5py  # noqa: PLC0415 (not for those who only write a coadd)

    spectra = {name: np.concatenate([part[name] for part in observed]) for name in observed[0]}
    rows, matches = _expected(sky, spectra)
    with h5py.File(path, "w") as file:
        for group, table in (("rows", rows), ("matches", matches)):
            for name in table.dtype.names or ():
                file[f"{group}/{name}"] = table[name]
        for name, values in spectra.items():
            if values.ndim == 1:
                file[f"spectra/{name}"] = values
            else:
                chunks = (min(16, len(values)), values.shape[1])
                file.create_dataset(
                    f"spectra/{name}", data=values, chunks=chunks, shuffle=True, compression="gzip", compression_opts=1
                )
        file["rows"].attrs.update(match_radius_arcsec=MATCH_ARCSEC, report_radius_arcsec=REPORT_ARCSEC)


def _replace(new: Path, out: Path, old: Path) -> None:
    """Put the finished pieces in place of what an earlier run left, ``tilepix.fits`` last."""
    healpix = Path("spectro") / "redux" / SPECPROD / "healpix"
    tilepix = healpix / "tilepix.fits"
    pieces = [
        healpix / "main",
        healpix / f"redux_{SPECPROD}_healpix.sha256sum",
        Path("targets.csv"),
        Path("truth.hdf5"),
    ]
    (out / healpix).mkdir(parents=True, exist_ok=True)
    old.mkdir()
    (out / tilepix).unlink(missing_ok=True)
    for piece in pieces:
        if (out / piece).exists():
            (out / piece).rename(old / piece.name)
        (new / piece).rename(out / piece)
    (new / tilepix).rename(out / tilepix)
